"""From subjects to cohorts: who is in, and who is left out and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from radsupport.data.cohort_tables import CohortTables
from radsupport.errors import ClinicalTableError, Problem, StudyError
from radsupport.settings.parts import CohortName
from radsupport.settings.study import Study


def build_cohort(study: Study, clinical: pd.DataFrame, files: pd.DataFrame | None = None) -> CohortTables:
    """Assign every subject to a cohort or say why not.

    Parameters
    ----------
    study : Study
    clinical : DataFrame
        As `radsupport.data.clinical.read_clinical` returns it.
    files : DataFrame, optional
        Rows of the manifest (`radsupport.data.manifest.study_files`). Subjects, centers and
        exclusions come from it; without it from the clinical table.

    Returns
    -------
    CohortTables
        The cohort sorted by subject. Where `data.cohort` names a column, it decides. Else a cohort with a
        `share` is drawn at random within its center, stratified by the primary outcome, from the study's seed.

    Raises
    ------
    StudyError
        A center in two cohorts without shares, shares that do not sum to 1, or shares beside `data.cohort`.
    ClinicalTableError
        The column that `data.cohort` names holds no cohort of the study, or one that does not take the
        subject's center; all subjects at once.
    """
    merged = _everybody(clinical, files)
    claims = _claims(study)
    reason = _reasons(study, merged, set(claims))
    kept = merged[reason == ""].sort_values("subject", ignore_index=True)
    kept["cohort"] = _fixed(study, kept, claims) if study.data.cohort else _assign(study, kept, claims)
    lead = ["subject", "center", "cohort"]
    inner = [c for c in kept.columns if c not in [*lead, "exclusion", "imaged", "listed", "split"]]
    out = merged.assign(reason=reason)[reason != ""].sort_values("subject", ignore_index=True)
    return CohortTables(study, kept[[*lead, *inner]], out[["subject", "center", "reason"]])


def _everybody(clinical: pd.DataFrame, files: pd.DataFrame | None) -> pd.DataFrame:
    """Join the clinical table with the subjects of the manifest; nobody is lost."""
    table = clinical.assign(listed=True)
    if files is None:
        return table.assign(imaged=True, exclusion="")
    cases = files[files["subject"] != ""]
    subjects = cases.groupby("subject", sort=False).agg(
        center=("center", "first"),
        imaged=("role", lambda r: r.isin(["image", "dicom"]).any()),
        exclusion=("exclusion", "max"),
    )
    how: Any = {"left_on": "subject", "right_index": True, "how": "outer", "suffixes": ("_sheet", ""), "sort": False}
    merged = table.merge(subjects, **how)
    center = merged["center"].fillna(merged.pop("center_sheet")).fillna("")
    flags = {name: merged[name].eq(True) for name in ("imaged", "listed")}
    return merged.assign(center=center, exclusion=merged["exclusion"].fillna(""), **flags)


def _reasons(study: Study, table: pd.DataFrame, centers: set[str]) -> pd.Series:
    """Return for each subject why it is left out, the first reason that holds, or the empty text."""
    unlabelled = set(study.cohorts["segmentation"].centers) if "segmentation" in study.cohorts else set()
    needed = ["label"] if study.endpoint.primary == "label" else ["time", "event"]
    outcome = table.reindex(columns=needed).notna().all(axis=1) | table["center"].isin(unlabelled)
    rules: list[tuple[pd.Series, pd.Series | str]] = [
        (table["exclusion"] != "", table["exclusion"]),
        (~table["imaged"], "no image in the manifest"),
        (~table["center"].isin(centers), "center " + table["center"].replace("", "unknown") + " belongs to no cohort"),
        (~table["listed"] & ~table["center"].isin(unlabelled), "not in the clinical table"),
        (~outcome, "no " + ("label" if needed == ["label"] else "follow-up")),
    ]
    reason = pd.Series("", table.index, dtype=object)
    for holds, text in rules:
        first = holds & (reason == "")
        reason[first] = text[first] if isinstance(text, pd.Series) else text
    return reason


def _claims(study: Study) -> dict[str, list[tuple[CohortName, float]]]:
    """Return for each center the cohorts that take it and their shares."""
    claims: dict[str, list[tuple[CohortName, float]]] = {}
    for name, cohort in study.cohorts.items():
        for center in cohort.centers:
            claims.setdefault(center, []).append((name, 1.0 if cohort.share is None else cohort.share))
    problems = list(_fixed_problems(study) if study.data.cohort else _share_problems(claims))
    if problems:
        raise StudyError(f"The cohorts of study {study.id} contradict each other.", problems)
    return claims


def _share_problems(claims: dict[str, list[tuple[CohortName, float]]]) -> Iterator[Problem]:
    for center, parts in claims.items():
        total = sum(share for _, share in parts)
        if abs(total - 1) > 1e-6:
            shown = ", ".join(f"{name} {share:g}" for name, share in parts)
            what = f"the shares of center {center} sum to {total:g}"
            yield Problem(what, "1", "correct `share:`", column="cohorts", value=shown)


def _fixed_problems(study: Study) -> Iterator[Problem]:
    for name, cohort in study.cohorts.items():
        if cohort.share is not None:
            what = f"cohort {name} has a share, and `data.cohort` names the column {study.data.cohort}"
            yield Problem(what, "one of the two", "remove `share:`", column="cohorts", value=f"{cohort.share:g}")


def _fixed(study: Study, table: pd.DataFrame, claims: dict[str, list[tuple[CohortName, float]]]) -> list[str]:
    """Return the cohort that the clinical table fixes; where it says nothing, the only cohort of the center."""
    keys = {str(word).casefold(): key for key, cohort in study.cohorts.items() for word in (key, cohort.name)}
    problems, cohorts = [], []
    for row in table.to_dict("records"):
        allowed = [str(name) for name, _ in claims[row["center"]]]
        given = row["split"] if isinstance(row["split"], str) else ""
        cohort = keys.get(given.casefold(), "") if given else (allowed[0] if len(allowed) == 1 else "")
        cohorts.append(cohort)
        if cohort not in allowed:
            what = f"subject {row['subject']} of center {row['center']} is in no cohort that takes this center"
            expected = " or ".join(allowed)
            problems.append(Problem(what, expected, "correct the cohort", column=study.data.cohort, value=given))
    if problems:
        raise ClinicalTableError(f"The cohorts of study {study.id} can not be read from the clinical table.", problems)
    return cohorts


def _assign(study: Study, table: pd.DataFrame, claims: dict[str, list[tuple[CohortName, float]]]) -> list[str]:
    rng = np.random.default_rng(study.seed)
    stratum = table["label" if study.endpoint.primary == "label" else "event"]
    cohort = pd.Series("", table.index, dtype=object)
    for center, parts in claims.items():
        here = table["center"] == center
        if len(parts) == 1:
            cohort[here] = parts[0][0]
            continue
        for value in sorted(stratum[here].unique()):
            rows = rng.permutation(table.index[here & (stratum == value)].to_numpy())
            ends = np.round(np.cumsum([share for _, share in parts]) * len(rows)).astype(int)
            for (name, _), part in zip(parts, np.split(rows, ends[:-1]), strict=True):
                cohort[part] = name
    return cohort.tolist()
