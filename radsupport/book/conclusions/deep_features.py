"""TODO."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.book.chapter import Chapter
from radsupport.book.conclusions.radiomics import share_words
from radsupport.errors import NotEstimableError
from radsupport.files import write_csv
from radsupport.networks.attention import Attention
from radsupport.networks.inputs import model_phases
from radsupport.networks.result import FOLDS, ROWS, DeepResult
from radsupport.networks.source_cnn3d import FLAT, Scheme, _span
from radsupport.networks.sources import ALPHA, Collinearity, _unknown, correlation, p_of_correlation
from radsupport.settings.features import Resnet
from radsupport.settings.study import Study
from radsupport.tables import write_fold_tables, write_variants
from radsupport.wording import STRONG, counted

#: Words for the columns of the layer tables.
LAYER_HEADERS = {
    "kernel": "Filters or units", "kernel_size": "Kernel", "strides": "Stride", "made_of": "Made of",
    "output_shape": "Output (…, channels)",
}  # fmt: skip


def unlisted_words(study: Study) -> str:
    """Say why a network's layers are not listed, and what its features are."""
    if not isinstance(study.deep, Resnet):
        raise _unknown(study)
    return (
        f"The network is a ResNet-{study.deep.depth} (He et al. 2016, in torchvision's layout) without its last layer; "
        "its layers are not listed here. A feature is one map of the last block, pooled."
    )


def comparison_headers(attention: Attention) -> dict[str, str]:
    """Return the words for the columns of `compare_shares`; none unless there are two schemes."""
    if len(attention.schemes) != 2:
        return {}
    first, second = (scheme.name for scheme in attention.schemes)
    return {
        "n": "Patients", first: f"{first}, median", second: f"{second}, median",
        "difference": f"{first} minus {second} (Hodges-Lehmann)", "ci_low": "95% CI, lower", "ci_high": "95% CI, upper",
        "method": "Test",
    }  # fmt: skip


CHECK_HEADERS = {
    "subject": "Patient", "spearman": "Spearman's ρ", "cam_tumour": "Grad-CAM, share in the tumour",
    "occlusion_tumour": "Occlusion, share in the tumour",
}  # fmt: skip
SHARE_HEADERS = {
    "subject": "Patient", "scheme": "Scheme", "tumour": "In the tumour", "neighbour": "Next to it",
    "elsewhere": "Elsewhere", "tumour_volume": "Tumour's share of the patch", "concentration": "Concentration",
    "peak_in_tumour": "Hottest voxel in the tumour", "no_heat": "No heat",
}  # fmt: skip


def learnt_words(schemes: Sequence[Scheme]) -> str:
    """Name the sampling schemes whose networks give everybody nearly the same risk; "" where there is none."""
    flat = [scheme.name for scheme in schemes if np.ptp(_span(scheme)) < FLAT]
    if not flat:
        return ""
    return (
        f"**The out-of-fold risks of {' and '.join(flat)} are nearly the same for everybody:** these networks have "
        "learnt next to nothing in the epochs they were given, and what later pages say of them is said of that. It is "
        "no evidence against the sampling scheme."
    )


def between_phases(study: Study, features: pd.DataFrame, cohort: pd.DataFrame) -> Collinearity:
    """Correlate the features of the study's first two phases, in the training patients.

    The features of the matrix are those that differ between patients with and without the event (Mann-Whitney,
    P < 0.05, unadjusted): a description, which no model uses. Where none differs in one of the phases, all are taken.

    Raises
    ------
    NotEstimableError
        One phase only, fewer than three patients with all features of both phases, or nothing that varies.
    """
    phases = model_phases(study)
    if len(phases) < 2:
        raise NotEstimableError(
            f"Study {study.id} has {counted(len(phases), 'phase')} with features: there is nothing to relate."
        )
    first, second = phases[:2]
    train = cohort[cohort["cohort"] == "train"].set_index("subject")
    own = [name for name in features.columns if name.startswith((f"{first}__", f"{second}__"))]
    values = features.set_index("subject").reindex(train.index)[own].dropna(how="any")
    a, b = (_varying(values, phase) for phase in (first, second))
    if len(values) < 3 or a.empty or b.empty:
        raise NotEstimableError(f"{len(values)} patients with features of both phases are too few to correlate them.")
    r = correlation(a.to_numpy(), b.to_numpy())
    pairs = pd.DataFrame({"r": r.ravel(), "p": p_of_correlation(r, len(values)).ravel()})
    outcome = train.loc[values.index, "label" if "label" in train.columns else "event"].dropna()
    chosen = [_differing(part.loc[outcome.index], outcome.to_numpy() == 1) for part in (a, b)]
    criterion = f"that differ between the outcomes (Mann-Whitney, P < {ALPHA:g})"
    if not all(len(names) for names in chosen):
        chosen, criterion = [list(a.columns), list(b.columns)], "that vary"
    both = [name for name in chosen[0] if name in chosen[1]]
    order = [[*both, *(name for name in names if name not in both)] for names in chosen]
    table = pd.DataFrame(np.abs(r), index=a.columns, columns=b.columns).loc[order[0], order[1]]
    return Collinearity(pairs, table, len(both), (first, second), len(values), criterion)


def _varying(values: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return one phase's features under their names without the phase, those that vary."""
    prefix = f"{phase}__"
    part = values[[name for name in values.columns if name.startswith(prefix)]]
    part = part.rename(columns=lambda name: name.removeprefix(prefix)).astype(float)
    return part.loc[:, part.std() > 1e-12 * part.abs().max()]


def _differing(part: pd.DataFrame, event: np.ndarray) -> list[str]:
    if event.all() or not event.any():
        return []
    p = stats.mannwhitneyu(part[event], part[~event], axis=0).pvalue
    return part.columns[np.asarray(p) < ALPHA].tolist()


def words(found: Collinearity) -> str:
    """Say how strongly the phases repeat each other."""
    strong = float((found.pairs["r"].abs() > STRONG).mean())
    low = float((found.pairs["p"] < ALPHA).mean())
    rows, columns = found.matrix.shape
    return (
        f"Of {len(found.pairs):,} pairs of one {found.phases[0]} and one {found.phases[1]} feature that vary, "
        f"{share_words(low)} are correlated at P < {ALPHA:g} (unadjusted) in the {found.n} training patients, "
        f"{share_words(strong)} with |r| above {STRONG:g}. Features {found.criterion}: {rows} in the {found.phases[0]} "
        f"and {columns} in the {found.phases[1]} phase, {found.overlap} of them the same channel in both."
    )


def write(chapter: Chapter, result: DeepResult) -> None:
    """Write the feature tables, the folds they were learnt with, the ICC, and the variants.

    Tables of an earlier run with more folds, or with other variants, are removed: chapter 05 reads what it finds.
    """
    results = chapter.paths.results
    chapter.write(result.features, "features_deep")
    write_fold_tables(results, "features_deep", result.by_fold)
    folds = pd.DataFrame() if result.folds is None else result.folds.rename_axis("subject").reset_index()
    for name, table in ((FOLDS, folds), ("icc_deep.csv", result.icc)):
        if len(table):
            write_csv(table, results / name)
        else:
            (results / name).unlink(missing_ok=True)
    write_csv(result.failed.assign(status="failed"), results / "features_deep_log.csv")
    write_variants(results, chapter.name, result.variants)


def curve_panels(history: pd.DataFrame, metric: str) -> list[tuple[str, pd.DataFrame, dict[str, str]]]:
    """Return the training curves of a metric as panels, one for the networks of a phase or sampling scheme.

    Parameters
    ----------
    history : DataFrame
        What `tidy_history` returns for several networks, named ``SS, fold 0`` or ``fold 0``.
    metric : str

    Returns
    -------
    list of (title, table, options)
        For `figures.panels` with `networks.training`.
    """
    own = history[history["metric"] == metric]
    parts = own["network"].astype(str).str.rpartition(", ")
    own = own.assign(network=parts[2])
    return [(str(name), part, {"metric": metric}) for name, part in own.groupby(parts[0], sort=False)]


def curve_caption(result: DeepResult, metric: str, study_id: str) -> str:
    """Say what the training curves of a metric show: how many networks, and whom they were trained on."""
    networks = counted(result.history["network"].nunique(), "network")
    return f"{metric[:1].upper()}{metric[1:]} per epoch of {networks} trained on {result.trained_on}; study {study_id}."


AGREEMENT_HEADERS = {
    "n": "Patients", "icc": "ICC(2,1)", "icc_low": "ICC, 95% CI lower", "icc_high": "ICC, 95% CI upper",
    "bias": "Reader 1 minus 2 (bias)", "bias_low": "Bias, 95% CI lower", "bias_high": "Bias, 95% CI upper",
    "limit_low": "Lower limit of agreement", "limit_high": "Upper limit of agreement",
}  # fmt: skip
AUC_HEADERS = {
    "n": "Patients", "auc_1": "AUC, reader 1", "auc_1_low": "95% CI, lower", "auc_1_high": "95% CI, upper",
    "auc_2": "AUC, reader 2", "auc_2_low": "95% CI, lower", "auc_2_high": "95% CI, upper",
    "difference": "AUC 1 minus AUC 2",
}  # fmt: skip


def settings_table(study: Study) -> pd.DataFrame:
    """Return the network's settings as the study file and the profile give them.

    Returns
    -------
    DataFrame
        setting, value: those that this study's network uses, and those that only a compared choice uses, which is
        named then. What a choice itself changes stands in the table of choices and not here.
    """
    own = study.deep
    if own is None:
        return pd.DataFrame(columns=["setting", "value"])
    choices = [(one, own.chosen(one)) for one in own.compare]
    rows = []
    for row in ROWS[own.network]:
        if row.used(own):
            rows.append((row.name, row.say(own)))
            continue
        others = [(one.name, spec) for one, spec in choices if row.used(spec) and row.key not in one.set]
        if others:
            names = ", ".join(name for name, _ in others)
            rows.append((f"{row.name} (only for the compared choice: {names})", row.say(others[0][1])))
    return pd.DataFrame(rows, columns=["setting", "value"])
