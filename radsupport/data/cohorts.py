"""From subjects to cohorts: who is in, who is left out and why.

What is missing, how long patients were followed, and how many events there are for what is learnt.

Who came into the study and who did not: the tables of the flow diagram.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from radsupport.errors import ClinicalTableError, Problem, StudyError
from radsupport.settings.learning import Signature
from radsupport.settings.parts import CohortName
from radsupport.settings.study import Study

EXCLUDED = ("subject", "center", "reason")


@dataclass(frozen=True)
class CohortTables:
    """What chapter 01 starts from.

    Attributes
    ----------
    cohort : DataFrame
        The contract table `cohort`.
    excluded : DataFrame
        subject, center, reason; everybody the sources name who is not in the cohort.
    features : dict of str to DataFrame
        Contract tables by feature source, for studies that start from feature tables.
    log : DataFrame
        Cleaning steps in order: source, step, count, detail.
    """

    cohort: pd.DataFrame
    excluded: pd.DataFrame
    features: dict[str, pd.DataFrame] = field(default_factory=dict)
    log: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["source", "step", "count", "detail"]))


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
    return CohortTables(kept[[*lead, *inner]], out[list(EXCLUDED)])


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
    merged = table.merge(
        subjects, left_on="subject", right_index=True, how="outer", suffixes=("_sheet", ""), sort=False
    )
    merged["center"] = merged["center"].fillna(merged["center_sheet"]).fillna("")
    merged["exclusion"] = merged["exclusion"].fillna("")
    merged["imaged"] = merged["imaged"].eq(True)
    merged["listed"] = merged["listed"].eq(True)
    return merged.drop(columns="center_sheet")


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
            yield Problem(
                f"the shares of center {center} sum to {total:g}",
                "1",
                "correct `share:`",
                column="cohorts",
                value=shown,
            )


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


NOTHING_FITTED = "none: a published output is taken as it is"
ENOUGH_EVENTS = 10.0


def missing_table(cohort: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how many values of each variable are missing, per cohort.

    Parameters
    ----------
    cohort : pandas.DataFrame
        Table `cohort` without the segmentation cohort.
    study : Study

    Returns
    -------
    pandas.DataFrame
        variable, one column per cohort ("n of N (percent)"), all (missing in all); only variables with a missing
        value, the most incomplete first.
    """
    rows = []
    for name, column in study.columns.items():
        absent = cohort[name].isna()
        if not absent.any():
            continue
        row: dict[str, object] = {"variable": column.label}
        for key, spec in study.cohorts.items():
            here = cohort["cohort"] == key
            if here.any():
                n, total = int(absent[here].sum()), int(here.sum())
                row[spec.name] = f"{n} of {total} ({100 * n / total:.0f}%)" if n else "0"
        rows.append(row | {"all": int(absent.sum())})
    return pd.DataFrame(rows).sort_values("all", ascending=False) if rows else pd.DataFrame()


def complete_cases(cohort: pd.DataFrame, study: Study) -> int:
    """Return how many patients have a value in every column of the study."""
    return int(cohort[list(study.columns)].notna().all(axis=1).sum())


def events_per_variable(cohort: pd.DataFrame, study: Study, event: str) -> pd.DataFrame:
    """Return the events of the training cohort per candidate parameter of each signature.

    Parameters
    ----------
    cohort : pandas.DataFrame
    study : Study
    event : str
        Column of the primary endpoint's event, 0 or 1.

    Returns
    -------
    pandas.DataFrame
        signature, candidates (words), parameters (of clinical variables and CT findings: 1 per number, levels - 1 per
        category; NaN where images give the candidates), events (of the rarer outcome for a label), per_parameter,
        remark.

    Notes
    -----
    For a label the limit is set by the rarer of the two outcomes (Peduzzi et al. 1996, J Clin Epidemiol 49:1373; ten
    per parameter is their rule of thumb, neither necessary nor sufficient: Riley et al. 2020, BMJ 368:m441).
    """
    training = cohort.loc[cohort["cohort"] == "train", event]
    events = int(training.sum())
    rarer = min(events, len(training) - events) if study.endpoint.primary == "label" else events
    rows = []
    for signature in study.signatures:
        parameters, words = _candidates(signature, study)
        each = rarer / parameters if parameters else float("nan")
        published = signature.learner == "published"
        rows.append(
            {
                "signature": signature.name,
                "candidates": words,
                "parameters": float(parameters) if parameters is not None else float("nan"),
                "events": rarer,
                "per_parameter": each,
                "remark": NOTHING_FITTED if published else _remark(each, parameters, bool(signature.combines)),
            }
        )
    return pd.DataFrame(rows)


def _candidates(signature: Signature, study: Study) -> tuple[int | None, str]:
    """Return the candidate parameters of a signature and what they are; None where images give them."""
    if signature.combines:
        own = sum(_parameters(name, study) for name in signature.columns)
        words = [f"risks of {len(signature.combines)} signatures"]
        words += [f"{len(signature.columns)} variables"] if signature.columns else []
        return len(signature.combines) + own, ", ".join(words)
    from_tables = [source for source in signature.sources if source in ("clinical", "ct_findings")]
    names = [name for name, column in study.columns.items() if column.source in from_tables]
    names = list(dict.fromkeys([*names, *signature.columns]))
    if set(signature.sources) - set(from_tables):
        kinds = ", ".join(sorted(set(signature.sources) - set(from_tables))).replace("_", " ")
        return None, f"{kinds} features" + (f", {len(names)} variables" if names else "")
    return sum(_parameters(name, study) for name in names), f"{len(names)} variables"


def _parameters(name: str, study: Study) -> int:
    column = study.columns[name]
    return 1 if column.kind == "number" else len(column.levels) - 1


def _remark(per_parameter: float, parameters: int | None, combines: bool) -> str:
    if parameters == 0:
        return "no candidates in this study's tables"
    if parameters is None:
        return "candidates outnumber the events; selection and shrinkage inside the folds decide"
    words = "fewer than ten" if per_parameter < ENOUGH_EVENTS else "ten or more"
    return f"{words} in this step; the risks were learnt from the same events" if combines else words


def short_follow_up(cohort: pd.DataFrame, study: Study) -> tuple[int, int]:
    """Return how many patients without the label were followed for less than its horizon, and how many there are.

    Parameters
    ----------
    cohort : pandas.DataFrame
    study : Study
        `endpoint.label.horizon_months`; without it, or without follow-up, both numbers are 0.
    """
    label, survival = study.endpoint.label, study.endpoint.survival
    if label is None or survival is None or label.horizon_months is None:
        return 0, 0
    free = cohort[(cohort["label"] == 0) & cohort["time"].notna()]
    return int((free["time"] < label.horizon_months).sum()), len(free)


MOST_REASONS = 12


def flow_table(tables: CohortTables, study: Study, event: str) -> pd.DataFrame:
    """Return the patients' way into the study, for `figures.flow`.

    Parameters
    ----------
    tables : CohortTables
    study : Study
    event : str
        Column that counts an event of the primary endpoint.

    Returns
    -------
    pandas.DataFrame
        role (``main`` boxes downwards, ``cohort`` boxes side by side below them, ``aside`` beside these),
        step, n, excluded (who left after this box: one reason per line, with its number), note.
    """
    cohort, outlines = tables.cohort, tables.cohort["cohort"] == "segmentation"
    included = int((~outlines).sum())
    reasons = tables.excluded["reason"].value_counts(sort=True)
    rows = []
    if len(tables.excluded):
        screened = included + len(tables.excluded)
        left = reason_lines(reasons)
        rows.append({"role": "main", "step": "Assessed for eligibility", "n": screened, "excluded": left})
    rows.append({"role": "main", "step": "In the study", "n": included})
    for key, spec in study.cohorts.items():
        here = cohort[cohort["cohort"] == key]
        centers = ", ".join(sorted(here["center"].unique()))
        if key == "segmentation":
            note = "outlines train the network; no outcome is used"
            rows.append({"role": "aside", "step": f"In addition: {spec.name}", "n": len(here), "note": note})
        else:
            note = f"{int(here[event].sum())} events\ncenter: {centers}"
            rows.append({"role": "cohort", "step": spec.name, "n": len(here), "note": note})
    return pd.DataFrame(rows).reindex(columns=["role", "step", "n", "excluded", "note"]).fillna("")


def reason_lines(reasons: pd.Series) -> str:
    """Return "reason: n" line by line, the rarest reasons summed up where there are many."""
    shown = reasons if len(reasons) <= MOST_REASONS else reasons.head(MOST_REASONS - 1)
    lines = [f"{reason}: {n}" for reason, n in shown.items()]
    rest = reasons.iloc[len(shown) :]
    if len(rest):
        lines.append(f"{len(rest)} other reasons: {int(rest.sum())}")
    return "\n".join(lines)


def exclusion_table(tables: CohortTables) -> pd.DataFrame:
    """Return how many were left out for each reason, per center and in all, the most frequent first."""
    counts = pd.crosstab(tables.excluded["reason"], tables.excluded["center"].replace("", "unknown"))
    counts.insert(0, "all centers", counts.sum(axis=1))
    return counts.sort_values("all centers", ascending=False).rename_axis(columns=None).reset_index()
