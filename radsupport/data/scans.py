"""Which files belong to a study's cases, which are measured, and a reader's findings beside those of the images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.data.manifest import CASE_ROLES, study_files
from radsupport.errors import InputError, ManifestError
from radsupport.files import slug
from radsupport.imaging.regions import with_regions
from radsupport.settings.parts import Column
from radsupport.settings.study import Study
from radsupport.stats.agreement import bland_altman, icc_features, kappa, known_kind, stacked_icc
from radsupport.tables import Variant, compared_signatures
from radsupport.wording import number


def case_files(study: Study, cohort: pd.DataFrame, root: Path = Path()) -> pd.DataFrame:
    """Return one row per subject of the cohort and phase, with the path of each of its files.

    Parameters
    ----------
    study : Study
    cohort : pandas.DataFrame
        Table `cohort`; cases of other subjects are left alone.
    root : Path
        Project root.

    Returns
    -------
    pandas.DataFrame
        subject, phase, center, a column per role of `CASE_ROLES` (path as text, "" where there is none), exclusion (the
        reason where a subject has no image of a phase), cohort; as `radsupport.imaging.preprocess` takes it.

    Raises
    ------
    ManifestError
        The manifest names no image of this study.
    """
    listed = study_files(study, root)
    listed = listed[listed["role"].isin(CASE_ROLES) & (listed["exclusion"] == "")]
    if listed.empty:
        raise ManifestError(f"The manifest names no image of study {study.id}; see README, Bring your own scans.")
    wide = listed.assign(file=listed["file"].astype(str)).pivot_table(
        index=["subject", "center", "phase"], columns="role", values="file", aggfunc="first", fill_value=""
    )
    files = wide.reindex(columns=list(CASE_ROLES), fill_value="").reset_index().rename_axis(columns=None)
    unlabelled = cohort["cohort"] == "segmentation"
    wanted = cohort.loc[~unlabelled, ["subject"]].merge(pd.Series(list(study.phases), name="phase"), how="cross")
    extra = files.loc[files["subject"].isin(cohort.loc[unlabelled, "subject"]), ["subject", "phase"]]
    found = pd.concat([wanted, extra], ignore_index=True).merge(files, on=["subject", "phase"], how="left")
    absent = found["image"].fillna("") == ""
    found.loc[absent, list(CASE_ROLES)] = ""
    found["exclusion"] = np.where(absent, "no image in the manifest", "")
    return found.merge(cohort[["subject", "cohort"]], on="subject", how="left")


def model_cases(study: Study, cases: pd.DataFrame, cohorts: Sequence[str] = ()) -> pd.DataFrame:
    """Return the cases whose features enter models: phases of role `model`, patients with an outcome.

    Features are measured on the images as they came (`source_image`), because the settings file says how
    pyradiomics resamples them and filters need more surroundings than the preprocessed box holds. A case
    that chapter 02 excluded stays, without files, so that it fails with a reason and does not disappear.
    """
    phases = [name for name, phase in study.phases.items() if phase.role == "model"]
    wanted = cases["cohort"].isin(cohorts) if cohorts else cases["cohort"].notna() & (cases["cohort"] != "segmentation")
    kept = cases[cases["phase"].isin(phases) & wanted].copy()
    usable = kept["exclusion"] == ""
    for role in ("image", "mask", "roi_rough"):
        if f"source_{role}" in kept.columns:
            kept[role] = kept[f"source_{role}"].astype(object).mask(~usable, other=np.nan)
    order = {phase: i for i, phase in enumerate(phases)}
    return kept.sort_values(
        ["subject", "phase"], key=lambda s: s.map(order) if s.name == "phase" else s, ignore_index=True
    )


def outlined_twice(study: Study, cases: pd.DataFrame) -> pd.DataFrame:
    """Return the training cases that a second reader outlined, as `model_cases`, with that reader's mask as `mask`."""
    if "source_mask_reader2" not in cases.columns:
        return cases.iloc[:0]
    twice = cases["source_mask_reader2"].fillna("").ne("") & (cases["exclusion"] == "")
    kept = model_cases(study, cases[twice], ("train",))
    return kept.assign(mask=kept["source_mask_reader2"])


def compared_regions(study: Study, cases: pd.DataFrame, folder: Path) -> Iterator[tuple[Variant, str, pd.DataFrame]]:
    """Yield each region that the study compares with the careful outline, drawn in the cases that are measured in it.

    Parameters
    ----------
    study : Study
    cases : pandas.DataFrame
        Table `cases`.
    folder : Path
        For the changed masks, a folder per region.

    Yields
    ------
    Variant
        Its features are still to be extracted.
    str
        Name of the pyradiomics parameter file.
    pandas.DataFrame
        As `model_cases`, in the phases of the signatures that are judged with it, the changed region as `mask`.
    """
    spec = study.radiomics
    if spec is None:
        return
    signatures = compared_signatures(study.signatures, "radiomics", spec.compare_on)
    phases = {phase for name in signatures for phase in study.signature(name).phases or study.phases}
    chosen = model_cases(study, cases)
    chosen = chosen[chosen["phase"].isin(phases)].reset_index(drop=True)
    for one in spec.compare:
        changed = spec.chosen(one)
        variant = Variant(one.name, one.group, one.description, "radiomics", signatures, pd.DataFrame())
        yield variant, changed.settings, with_regions(changed, chosen, folder / slug(one.name))


_NUMERIC = [
    "column", "finding", "unit", "n", "bias", "bias_low", "bias_high", "limit_low", "limit_high", "icc", "icc_low",
    "icc_high", "patient", "mean", "icc_without", "bias_rho", "bias_p", "spread_rho", "spread_p",
]  # fmt: skip
_CATEGORIES = ["column", "finding", "n", "agree", "share", "kappa", "kappa_low", "kappa_high", "apart"]


def finding_pairs(cohort: pd.DataFrame, computed: pd.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Return the reader's entry and the image's value of each computed finding.

    Parameters
    ----------
    cohort : pandas.DataFrame
        Table `cohort` with the reader's entries.
    computed : pandas.DataFrame
        As `radsupport.imaging.findings.findings` returns it.
    columns : mapping
        Settings of the columns by name.

    Returns
    -------
    pandas.DataFrame
        One row per finding and patient: column, finding (its label), unit, kind (number, category), subject, reader,
        image, and for numbers mean and difference (image minus reader).
    """
    entries = cohort.set_index("subject")
    subjects = [subject for subject in entries.index if subject in computed.index]
    parts = []
    for name in computed.columns:
        spec = columns[name]
        both = pd.DataFrame({"reader": entries[name], "image": computed[name]}).reindex(subjects).astype(object)
        part = both.rename_axis("subject").reset_index()
        part[["mean", "difference"]] = np.nan
        if spec.kind == "number":
            values = both.astype(float)
            part["mean"] = values.mean(axis=1, skipna=False).to_numpy()
            part["difference"] = (values["image"] - values["reader"]).to_numpy()
        parts.append(part.assign(column=name, finding=spec.label, unit=spec.unit, kind=spec.kind))
    order = ["column", "finding", "unit", "kind", "subject", "reader", "image", "mean", "difference"]
    return pd.concat(parts, ignore_index=True)[order] if parts else pd.DataFrame(columns=order)


def side_by_side(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return `finding_pairs` with one row per patient: Patient, then of each finding "<reader> / <image>" in a cell."""
    table = pd.DataFrame({"Patient": pairs["subject"].unique()})
    for _, part in pairs.groupby("column", sort=False):
        label, unit, kind = part[["finding", "unit", "kind"]].iloc[0]
        unit = f" ({unit})" if unit and kind == "number" else ""
        sides = [
            part[side].map(lambda x: "–" if pd.isna(x) else x if isinstance(x, str) else number(float(x)))
            for side in ("reader", "image")
        ]
        table[f"{label}{unit}"] = sides[0].str.cat(sides[1], " / ").to_numpy()
    return table


def _complete(pairs: pd.DataFrame, kind: str) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield the facts of each finding of one kind, and reader and image by subject, complete pairs only."""
    for name, part in pairs[pairs["kind"] == kind].groupby("column", sort=False):
        both = part.set_index("subject")[["reader", "image"]].dropna().sort_index()
        if len(both) > 1:
            facts = {"column": name, "finding": part["finding"].iloc[0], "unit": part["unit"].iloc[0], "n": len(both)}
            yield facts, both.astype(float if kind == "number" else str)


def numeric_agreement(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return bias, limits of agreement and ICC of the findings that are numbers, and what to know before trusting them.

    Parameters
    ----------
    pairs : pandas.DataFrame
        As `finding_pairs` returns it.

    Returns
    -------
    pandas.DataFrame
        column, finding, unit, n, bias (image minus reader), bias_low, bias_high, limit_low, limit_high, icc, icc_low,
        icc_high (ICC(2,1), absolute agreement); patient (the one without whom the ICC changes most), mean (of both
        measurements of that patient), icc_without; bias_rho, bias_p (Spearman, differences against means),
        spread_rho, spread_p (Spearman, size of the residuals of a line through the differences against the means);
        NaN where nothing varies.

    Notes
    -----
    Limits of agreement assume that neither the bias nor the spread of the differences depends on the size of the
    measurement (Bland & Altman 1999, Stat Methods Med Res 8:135, who fit lines to differences and absolute residuals;
    ranks keep one outlying patient from deciding).
    """
    rows = []
    for facts, both in _complete(pairs, "number"):
        image, reader = _sides(both)
        limits, icc = bland_altman(image, reader).iloc[0], icc_features(image, reader).iloc[0]
        row = facts | {key: limits[key] for key in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")}
        row |= {"icc": icc["icc"], "icc_low": icc["ci_low"], "icc_high": icc["ci_high"]}
        rows.append(row | _influence(both, float(icc["icc"])) | _dependence(both))
    return pd.DataFrame(rows, columns=_NUMERIC)


def category_agreement(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return exact agreement and Cohen's kappa of the findings that are categories.

    Returns
    -------
    pandas.DataFrame
        column, finding, n, agree (number), share (0 to 1), kappa, kappa_low, kappa_high, apart (disagreements in
        words).
    """
    rows = []
    for facts, both in _complete(pairs, "category"):
        try:
            found = kappa(both["reader"], both["image"])
        except InputError:  # fewer than two categories in use
            continue
        same = both["reader"] == both["image"]
        apart = [f"reader {row['reader']}, image {row['image']}" for row in both[~same].to_dict("records")]
        words = "; ".join(f"{pair}: {n}" for pair, n in pd.Series(apart, dtype=object).value_counts().items())
        row = facts | {"agree": int(same.sum()), "share": float(same.mean()), "apart": words or "none"}
        rows.append(row | {"kappa": found.kappa, "kappa_low": found.ci_low, "kappa_high": min(found.ci_high, 1.0)})
    return pd.DataFrame(rows, columns=_CATEGORIES)


def _influence(both: pd.DataFrame, icc: float) -> dict[str, Any]:
    """Return the patient without whom the ICC changes most."""
    each = np.repeat(both[["image", "reader"]].to_numpy(float)[:, :, None], len(both), axis=2)
    each[np.arange(len(both)), :, np.arange(len(both))] = np.nan  # one patient left out in each
    without = pd.Series(stacked_icc(each, known_kind("ICC(2,1)"), 0.95)["icc"].to_numpy(), both.index)
    shift = (without - icc).abs()
    if not shift.notna().any():
        return {"patient": "", "mean": np.nan, "icc_without": np.nan}
    at = shift.idxmax()
    return {"patient": str(at), "mean": float(both.loc[at].mean()), "icc_without": float(without[at])}


def _sides(both: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    return both[["image"]].set_axis(["value"], axis=1), both[["reader"]].set_axis(["value"], axis=1)


def _dependence(both: pd.DataFrame) -> dict[str, float]:
    """Return Spearman's rho and P of differences, and of the size of their residuals, against the means."""
    mean, difference = both.mean(axis=1).to_numpy(), (both["image"] - both["reader"]).to_numpy()
    found = dict.fromkeys(("bias_rho", "bias_p", "spread_rho", "spread_p"), float("nan"))
    # differences that are constant up to rounding depend on nothing
    if len(both) < 4 or np.ptp(mean) == 0 or np.ptp(difference) <= 1e-9 * np.abs(mean).max():
        return found
    slope, intercept = np.polyfit(mean, difference, 1)
    residuals = np.abs(difference - intercept - slope * mean)
    for key, values in (("bias", difference), ("spread", residuals)):
        test = stats.spearmanr(mean, values)
        found |= {f"{key}_rho": float(test.statistic), f"{key}_p": float(test.pvalue)}
    return found
