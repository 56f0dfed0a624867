"""Which features can be trusted: agreement between readers, robustness against small changes, and redundancy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from radsupport.checks import varies
from radsupport.errors import InputError
from radsupport.radiomics.case import Perturbation
from radsupport.radiomics.extract import extract
from radsupport.radiomics.settings import CLASS_NAMES, Settings, describe_features
from radsupport.settings.features import ToolkitFamily
from radsupport.stats.agreement import icc_features, known_kind, stacked_icc

UNCHANGED = "unchanged"
CUTS = tuple(np.linspace(0, 1, 101).tolist())
_KEYS = ("subject", "perturbation")


def count_features(features: pd.DataFrame, toolkit: Sequence[ToolkitFamily] | None = None) -> pd.DataFrame:
    """Count the columns of a feature table, one phase counted once: by filter (rows) and class (columns).

    Parameters
    ----------
    features : DataFrame
    toolkit : sequence, optional
        Families of the paper's own software: they are set beside ours instead.

    Returns
    -------
    DataFrame
        filter and a column per class. With `toolkit` family, published (features of the paper's software), classes
        (ours), unfiltered (our features of the original image), all images; a last row with the sums; no rows where no
        software is named.
    """
    parts = _described(features)
    if toolkit is not None:
        return _families(parts, toolkit)
    table = pd.crosstab(parts["filter"], parts["class"].map(CLASS_NAMES), margins=True, margins_name="all")
    return table.rename_axis("filter").reset_index().rename_axis(columns=None)


def _described(features: pd.DataFrame) -> pd.DataFrame:
    """Return the parts of the names of a table's features, each once whatever its phase."""
    names = [str(column).split("__")[-1] for column in features.columns if column not in _KEYS]
    return describe_features(dict.fromkeys(names))


def _families(parts: pd.DataFrame, toolkit: Sequence[ToolkitFamily]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for family in toolkit:
        own = parts[parts["class"].isin(family.classes)]
        classes = ", ".join(CLASS_NAMES[name] for name in family.classes)
        row = {"family": family.family, "published": family.published, "classes": classes}
        rows.append(row | {"unfiltered": int((own["filter"] == "original").sum()), "all images": len(own)})
    table = pd.DataFrame(rows, columns=["family", "published", "classes", "unfiltered", "all images"])
    if len(table):
        sums = table[["published", "unfiltered", "all images"]].sum()
        table.loc[len(table)] = {"family": "all", "classes": "", **sums.to_dict()}
    return table


def agreement(features: pd.DataFrame, again: pd.DataFrame | None = None, kind: str = "ICC(2,1)") -> pd.DataFrame:
    """Return each feature's ICC between two readers, or over changes of the same cases.

    Parameters
    ----------
    features : DataFrame
        ``subject`` and features, as `radsupport.radiomics.extract.extract` returns them; or as `perturbed` returns
        them, each change being taken as a reader.
    again : DataFrame, optional
        The features by the second reader's outlines; subjects and features of both tables are compared.
    kind : str
        Form of the ICC, see `radsupport.stats.agreement.known_kind`.

    Returns
    -------
    DataFrame
        feature, icc, ci_low, ci_high, n, feature_class, image_type.
    """
    if again is not None:
        table = icc_features(features.set_index("subject"), again.set_index("subject"), kind)
    else:
        names = [name for name in features.columns if name not in _KEYS]
        readings = [_readings(features, change, names) for change in features["perturbation"].unique()]
        table = stacked_icc(np.stack(readings, axis=1), known_kind(kind), 0.95)
        table.insert(0, "feature", names)
    parts = describe_features(table["feature"])
    return table.assign(feature_class=parts["class"].to_numpy(), image_type=parts["filter"].to_numpy())


def icc_shares(icc: pd.DataFrame, cuts: Sequence[float] = CUTS) -> pd.DataFrame:
    """Return which share of the features reaches an ICC or more, by class and by filter.

    Parameters
    ----------
    icc : DataFrame
        ``feature`` and ``icc``, as `agreement` returns them.
    cuts : sequence of float

    Returns
    -------
    DataFrame
        by (class, filter), feature_class (name of the class or filter), icc (the cut), n (features in the group),
        share (of them with this ICC or more). A feature without an ICC counts in n and never reaches a cut.

    Raises
    ------
    InputError
        Columns missing.
    """
    if not {"feature", "icc"} <= set(icc.columns):
        raise InputError("The table of agreement needs the columns `feature` and `icc`.")
    parts, rows = describe_features(icc["feature"]), []
    for by, names in (("class", parts["class"].map(CLASS_NAMES)), ("filter", parts["filter"])):
        for name, values in icc["icc"].groupby(names.to_numpy()):
            rows += [(by, name, cut, len(values), float((values >= cut).sum() / len(values))) for cut in cuts]
    return pd.DataFrame(rows, columns=["by", "feature_class", "icc", "n", "share"])


def icc_summary(icc: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return per class: features, median ICC, how many have none, how many reach the threshold, and their share."""
    grouped = icc.assign(feature_class=icc["feature_class"].map(CLASS_NAMES)).groupby("feature_class")["icc"]
    table = grouped.agg(features="size", median_icc="median", without_icc=lambda s: int(s.isna().sum()))
    table["reproducible"] = grouped.agg(lambda s: int((s >= threshold).sum()))
    table["share"] = table["reproducible"] / table["features"]
    return table.reset_index()


def standard_perturbations(seed: int = 0) -> list[Perturbation]:
    """Return a small set: unchanged, four half-voxel shifts, noise as large as the scan's own, outline -1 and +1 mm."""
    shifts = {"x": (0.5, 0.0, 0.0), "y": (0.0, 0.5, 0.0), "z": (0.0, 0.0, 0.5), "xyz": (0.5, 0.5, 0.5)}
    return [
        Perturbation(UNCHANGED),
        *(Perturbation(f"shift {axes}", shift_voxels=shift) for axes, shift in shifts.items()),
        Perturbation("noise", noise=1.0, seed=seed),
        Perturbation("outline -1 mm", margin_mm=-1.0),
        Perturbation("outline +1 mm", margin_mm=1.0),
    ]


def extract_perturbed(
    cases: pd.DataFrame, settings: Settings, changes: Sequence[Perturbation], **options: Any
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return features and log of `radsupport.radiomics.extract.extract` once per change, named by ``perturbation``.

    Raises
    ------
    InputError
        Two changes of one name, or as `extract`.
    """
    names = [one.name for one in changes]
    if len(set(names)) < len(names) or not names:
        raise InputError(f"Perturbations need names of their own; these are {names}.")
    features, logs = [], []
    for one in changes:
        table, log = extract(cases, settings, perturbation=one, **options)
        table.insert(1, "perturbation", one.name)
        log.insert(2, "perturbation", one.name)
        features.append(table)
        logs.append(log)
    return pd.concat(features, ignore_index=True), pd.concat(logs, ignore_index=True)


def perturbed(cases: pd.DataFrame, settings: Settings, *, patients: int, seed: int, **options: Any) -> pd.DataFrame:
    """Extract the features of some patients, drawn at random, once per small change of scan or outline.

    Parameters
    ----------
    cases, settings
        As `radsupport.radiomics.extract.extract`; patients without an outline are not drawn.
    patients : int
        How many; 0 for none.
    seed : int
        Of the draw and of the noise.
    **options
        ``n_jobs``, ``cache``, ``scheduler``, ``progress`` of `extract`.

    Returns
    -------
    DataFrame
        subject, perturbation (`standard_perturbations`), features; no rows where nobody is drawn.
    """
    usable = sorted(cases.loc[cases["mask"].notna(), "subject"].unique())
    if not patients or not usable:
        return pd.DataFrame(columns=list(_KEYS))
    # a stream of its own, so that the draw does not depend on what else the seed serves
    drawn = np.random.default_rng([seed, 3]).choice(usable, min(patients, len(usable)), replace=False)
    chosen = cases[cases["subject"].isin(drawn)].reset_index(drop=True)
    return extract_perturbed(chosen, settings, standard_perturbations(seed), **options)[0]


def by_perturbation(features: pd.DataFrame, threshold: float, kind: str = "ICC(2,1)") -> pd.DataFrame:
    """Return how many features survive each single change, compared with the unchanged case.

    Returns
    -------
    DataFrame
        perturbation, patients (measured in both), features, reproducible (ICC of `threshold` or more; a feature
        without an ICC is not), share, median_icc.

    Raises
    ------
    InputError
        There are no features of the unchanged cases.
    """
    if not (features["perturbation"] == UNCHANGED).any():
        raise InputError("There are no features of the unchanged cases, with which changed ones are compared.")
    names = [name for name in features.columns if name not in _KEYS]
    base, rows = _readings(features, UNCHANGED, names), []
    for change in [name for name in features["perturbation"].unique() if name != UNCHANGED]:
        ratings = np.stack([base, _readings(features, change, names)], axis=1)
        icc = stacked_icc(ratings, known_kind(kind), 0.95)["icc"]
        kept, patients = int((icc >= threshold).sum()), int(np.isfinite(ratings).all(axis=1).any(axis=1).sum())
        row = {"perturbation": change, "patients": patients, "features": len(names), "reproducible": kept}
        rows.append(row | {"share": kept / len(names), "median_icc": float(icc.median())})
    return pd.DataFrame(rows)


def _readings(features: pd.DataFrame, change: str, names: list[str]) -> np.ndarray:
    """Return one perturbation's values, shape (subjects, features), subjects sorted."""
    own = features[features["perturbation"] == change].sort_values("subject")
    return own[names].to_numpy(dtype=float)


class Correlations(NamedTuple):
    """|Pearson r| of pairs of features, and of how many features and patients.

    Attributes
    ----------
    pairs : DataFrame
        r (absolute): one row per pair.
    used, usable : int
        Features correlated, and features that vary and miss no value; fewer are used where there are too many.
    n : int
        Patients.
    """

    pairs: pd.DataFrame
    used: int
    usable: int
    n: int


def correlations(features: pd.DataFrame, most: int = 3000, seed: int = 0) -> Correlations:
    """Correlate all features in pairs; of more than `most` features, so many are drawn at random.

    A patient whose case failed in a phase, so that nothing of that phase was measured, is left out; a feature that is
    not defined for one of the others is left out.
    """
    values = features.drop(columns="subject")
    phases = [name.rpartition("__")[0] for name in values.columns]
    measured = values.notna().T.groupby(phases).any()
    values = values[measured[measured.any(axis=1)].all()].dropna(axis=1)
    values = values.loc[:, varies(values)]
    usable = values.shape[1]
    if usable > most:
        values = values.sample(most, axis=1, random_state=seed)
    r = np.abs(np.corrcoef(values.to_numpy(), rowvar=False)) if values.shape[1] > 1 else np.ones((1, 1))
    pairs = pd.DataFrame({"r": r[np.triu_indices_from(r, k=1)]})
    pairs.attrs["empty"] = f"Fewer than two features vary and are known in the {len(values)} patients measured."
    return Correlations(pairs, values.shape[1], usable, len(values))
