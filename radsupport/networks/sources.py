"""Chapter 04, step by step: one way in for every kind of network a study may name.

How alike the features of two phases are (Song 2021, Figure S5).

The same networks on a second reader's outlines of the test cohort (Cui 2022, Supplementary Figure S1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import StudyError
from radsupport.networks import source_cnn3d, source_resnet, source_unet, unet
from radsupport.networks.cnn3d import build_cnn3d, layer_table
from radsupport.networks.cnn3d_training import ensemble_predictions
from radsupport.networks.inputs import twice_read
from radsupport.networks.result import DeepResult
from radsupport.networks.source_cnn3d import Scheme, case_patches
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.settings.study import Study
from radsupport.stats.agreement import bland_altman, icc
from radsupport.stats.roc import auc, delong_test
from radsupport.study import StudyPaths
from radsupport.tables import Variant, compared_signatures

Runner = Callable[[Study, pd.DataFrame, pd.DataFrame, StudyPaths, bool], DeepResult]


def description(study: Study, cohort: pd.DataFrame) -> str:
    """Say in words which network it is and whom it was trained on."""
    if isinstance(study.deep, Unet):
        return source_unet.description(study, cohort)
    n = int((cohort["cohort"] == "train").sum())
    if isinstance(study.deep, Cnn3d):
        return (
            f"A 3-D CNN learns the outcome of the {n} training patients, in {study.deep.folds} folds: the risk of a "
            "training patient comes from the network that never saw that patient."
        )
    if isinstance(study.deep, Resnet):
        how = {
            "no": "No network is trained on the outcome.",
            "out_of_fold": f"It is fine-tuned on the outcome of the {n} training patients, anew in each fold, so that "
            "a patient's features come from a network that never saw that patient's outcome.",
            "as_published": f"**It is fine-tuned on the outcome of all {n} training patients, as published: the "
            "features of a training patient carry that patient's own outcome.**",
        }
        return (
            f"A ResNet-{study.deep.depth} describes the slices around the largest section. {how[study.deep.fine_tune]}"
        )
    raise _unknown(study)


def compute(
    study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool = True
) -> DeepResult:
    """Train the study's network where it is trained, return every patient's features, and those of other choices."""
    run = _runner(study)
    result = run(study, cohort, cases, paths, progress)
    if study.deep is None:
        raise _unknown(study)
    signatures = compared_signatures(study.signatures, "deep", study.deep.compare_on)
    variants = []
    for comparison in study.deep.compare:
        changed = study.model_copy(update={"deep": study.deep.chosen(comparison)})
        other = _runner(changed)(changed, cohort, cases, paths, progress)
        made = Variant(
            comparison.name, comparison.group, comparison.description, "deep", signatures, other.features,
            other.by_fold, other.icc,
        )  # fmt: skip
        variants.append(made)
    return result.with_variants(tuple(variants))


def printed_layers(study: Study) -> pd.DataFrame:
    """Return the study's own network layer by layer at its printed size, whatever the profile.

    The 3-D CNN takes patches of 10 x 150 x 150 and has all filters; the U-Net takes 256 x 256 pixels and has 64
    channels in its first level: the defaults of the study file.
    """
    if isinstance(study.deep, Unet):
        printed = Unet(network="unet")
        return unet.layer_table(printed.base_channels, printed.input_px)
    return layer_table(build_cnn3d(seed=study.seed))


def _runner(study: Study) -> Runner:
    if isinstance(study.deep, Unet):
        return source_unet.run
    if isinstance(study.deep, Cnn3d):
        return source_cnn3d.run
    if isinstance(study.deep, Resnet):
        return source_resnet.run if study.deep.fine_tune == "no" else source_resnet.run_fine_tuned
    raise _unknown(study)


def _unknown(study: Study) -> StudyError:
    return StudyError(f"Study {study.id} names no network that chapter 04 can run.")


ALPHA = 0.05


@dataclass(frozen=True)
class Collinearity:
    """Correlations between the features of two phases in the training cohort.

    Attributes
    ----------
    pairs : DataFrame
        Every feature of the first phase with every one of the second: r, p (two-sided t-test of Pearson's r).
    matrix : DataFrame
        |r| of the features that differ between the outcomes: rows of the first phase, columns of the second, the
        features that differ in both phases first and in one order.
    overlap : int
        How many differ in both phases: the block at the top left.
    phases : (str, str)
    n : int
        Patients.
    criterion : str
        Which features are in the matrix.
    """

    pairs: pd.DataFrame
    matrix: pd.DataFrame
    overlap: int
    phases: tuple[str, str]
    n: int
    criterion: str


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every column of `a` with every column of `b`, which all vary."""
    za, zb = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    return np.clip(za.T @ zb / len(a), -1, 1)


def p_of_correlation(r: np.ndarray, n: int) -> np.ndarray:
    """Return the two-sided P of Pearson's r in n patients: t with n - 2 degrees of freedom."""
    with np.errstate(divide="ignore"):  # r of exactly 1 has an infinite t and P 0
        t = np.abs(r) * np.sqrt((n - 2) / (1 - r**2))
    return 2 * stats.t.sf(t, n - 2)


READERS = ("reader 1", "reader 2")


def rescored(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, schemes: Sequence[Scheme]) -> pd.DataFrame:
    """Score the patients outside training by the outlines of both readers, with the mean of the folds' networks.

    Returns
    -------
    DataFrame
        subject, scheme, reader 1, reader 2 (risks), label; no rows where nobody outlined these patients again.
    """
    tables = []
    for scheme in schemes:
        twice = [s for name in ("internal", "external") for s in twice_read(cases, [scheme.phase], len(cases), name)]
        again, _ = case_patches(study, cases, scheme.phase, scheme.sampling, twice, "mask_reader2")
        both = [subject for subject in twice if subject in again and subject in scheme.patches]
        if len(both) < 2:
            continue
        by_reader = (scheme.images(both), np.stack([again[subject].image for subject in both])[:, None])
        risks = [ensemble_predictions(scheme.trained.models, images, both)["risk"].to_numpy() for images in by_reader]
        row = dict(zip(READERS, risks, strict=True))
        labels = cohort.set_index("subject").loc[both, "label"].to_numpy()
        tables.append(pd.DataFrame({"subject": both, "scheme": scheme.name, **row, "label": labels}))
    columns = ["subject", "scheme", *READERS, "label"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def score_agreement(scores: pd.DataFrame, kind: str = "ICC(2,1)") -> pd.DataFrame:
    """Say how far the risks by both readers agree, per scheme.

    Returns
    -------
    DataFrame
        scheme, n, icc, icc_low, icc_high, bias (reader 1 minus reader 2), bias_low, bias_high, limit_low, limit_high
        (95% limits of agreement).
    """
    rows = []
    for name, part in scores.groupby("scheme", sort=False):
        found = icc(part[list(READERS)].to_numpy()).set_index("kind").loc[kind]
        limits = bland_altman(part["reader 1"].to_numpy(), part["reader 2"].to_numpy()).iloc[0]
        row = {"scheme": name, "n": len(part), "icc": found["icc"]}
        row |= {"icc_low": found["ci_low"], "icc_high": found["ci_high"]}
        rows.append(row | {key: limits[key] for key in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")})
    return pd.DataFrame(rows)


def discrimination_by_reader(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC by each reader's outlines, and DeLong's paired test of the two.

    Returns
    -------
    DataFrame
        scheme, n, events, auc_1, auc_1_low, auc_1_high, auc_2, auc_2_low, auc_2_high, difference, p; schemes whose
        patients are all of one outcome are left out.
    """
    rows = []
    for name, part in scores.dropna(subset=["label"]).groupby("scheme", sort=False):
        y = part["label"].astype(int).to_numpy()
        if len(np.unique(y)) < 2:
            continue
        row: dict[str, object] = {"scheme": name, "n": len(y), "events": int(y.sum())}
        for i, reader in enumerate(READERS, start=1):
            area = auc(y, part[reader].to_numpy())
            row |= {f"auc_{i}": area.auc, f"auc_{i}_low": area.ci_low, f"auc_{i}_high": area.ci_high}
        test = delong_test(y, part["reader 1"].to_numpy(), part["reader 2"].to_numpy())
        rows.append(row | {"difference": test.difference, "p": test.p})
    return pd.DataFrame(rows)


def difference_table(scores: pd.DataFrame, scheme: str) -> pd.DataFrame:
    """Return mean and difference of the two risks of each patient, for `figures.bland_altman`."""
    part = scores[scores["scheme"] == scheme]
    first, second = part["reader 1"], part["reader 2"]
    return pd.DataFrame({"mean": (first + second) / 2, "difference": first - second})
