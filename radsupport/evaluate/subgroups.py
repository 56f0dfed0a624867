"""The same signature in parts of the patients: subgroups of the study file, and single centers of a pooled cohort."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate.discrimination import discrimination_of, independent_difference
from radsupport.evaluate.predictions import is_label, judged_cohorts, judged_of, judged_part, shown_signatures
from radsupport.evaluate.probability import log_odds
from radsupport.plots import tidy
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.study import Study
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.roc import auc, roc_curve
from radsupport.wording import number

#: Fewest patients with, and without, the event for which a part or a center is judged on its own; for survival, which
#: ranks by time even where everybody had the event, so many events among twice as many patients.
FEWEST = 5


def parts_of(study: Study, subgroup: Subgroup, cohort: pd.DataFrame) -> pd.Series:
    """Return each subject's part of a subgroup division, in words; missing where the column is missing.

    Returns
    -------
    Series
        Ordered categories, indexed by subject.
    """
    column = study.columns[subgroup.column]
    values = cohort.set_index("subject")[subgroup.column]
    if subgroup.cut is not None:
        unit = f" {column.unit}" if column.unit else ""
        words = [f"≤ {number(subgroup.cut)}{unit}", f"> {number(subgroup.cut)}{unit}"]
        known = pd.to_numeric(values).astype(float)
        parts = pd.Series(np.where(known <= subgroup.cut, *words), values.index).where(known.notna())
        return parts.astype(pd.CategoricalDtype(words, ordered=True))
    return values.astype("object").astype(pd.CategoricalDtype(subgroup.levels or column.levels, ordered=True))


def _divided(
    predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame
) -> Iterator[tuple[str, Subgroup, str, pd.DataFrame]]:
    """Yield cohort, division, signature and its patients with a column `part`, for the signatures looked at singly."""
    for subgroup in study.validation.subgroups:
        parts = parts_of(study, subgroup, cohort)
        for key in judged_cohorts(predictions, study):
            for name in shown_signatures(predictions, study):
                rows = judged_part(predictions, study, key, name)
                if len(rows):
                    yield key, subgroup, name, rows.assign(part=parts.reindex(rows["subject"]).array)


def subgroup_table(predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return discrimination in every part that is large enough (`enough`).

    Returns
    -------
    DataFrame
        cohort, signature, column, part, n, events, measure, value, ci_low, ci_high, p_vs_half, note (why there is no
        value).
    """
    rows = []
    for key, subgroup, name, patients in _divided(predictions, study, cohort):
        for part in patients["part"].dropna().drop_duplicates().sort_values():
            own = patients[patients["part"] == part]
            row = {"cohort": key, "signature": name, "column": subgroup.column, "part": str(part), "n": len(own)}
            rows.append(row | _judged_alone(own, study))
    return pd.DataFrame(rows)


def enough(patients: pd.DataFrame, study: Study) -> bool:
    """Whether there are so many patients and events (`FEWEST`) that discrimination among them says anything."""
    events = int(patients["label" if is_label(study) else "event"].sum())
    if is_label(study):
        return min(events, len(patients) - events) >= FEWEST
    return events >= FEWEST and len(patients) >= 2 * FEWEST


def few_words(study: Study) -> str:
    """Say what `enough` asks for."""
    if is_label(study):
        return f"fewer than {FEWEST} patients with, or without, the event"
    return f"fewer than {FEWEST} events or {2 * FEWEST} patients"


def _judged_alone(patients: pd.DataFrame, study: Study) -> dict[str, object]:
    """Return `discrimination_of` with a note; without values where the patients are too few."""
    found = discrimination_of(patients, study)
    if enough(patients, study):
        return found | {"note": ""}
    nothing = dict.fromkeys(("value", "ci_low", "ci_high", "p_vs_half"), np.nan)
    return found | nothing | {"note": few_words(study)}


def _too_small(patients: pd.DataFrame, study: Study) -> list[str]:
    """Return the parts that are too small to be judged, in their order."""
    parts = patients["part"].dropna().drop_duplicates().sort_values()
    return [str(part) for part in parts if not enough(patients[patients["part"] == part], study)]


def interaction_table(predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return whether the risk means the same in all parts, and whether it ranks alike.

    Returns
    -------
    DataFrame
        cohort, signature, column, n, chi2, df, p_interaction (likelihood-ratio test of risk x part in a logistic
        regression on the log odds of the risk, or in a Cox regression on the risk), difference, ci_low, ci_high,
        p_difference (of the AUC or C-index between two parts, unpaired), note (why something is missing).
    """
    rows = []
    for key, subgroup, name, patients in _divided(predictions, study, cohort):
        known = patients.dropna(subset=["part"])
        row = {"cohort": key, "signature": name, "column": subgroup.column, "n": len(known)}
        rows.append(row | interaction_test(known, study) | _difference(known, study))
    return pd.DataFrame(rows)


def interaction_test(patients: pd.DataFrame, study: Study) -> dict[str, object]:
    """Return chi2, df and p_interaction of risk x part; with a note instead where there is no such test.

    None where a part is too small (`enough`), or the model can not be fitted.

    Parameters
    ----------
    patients : DataFrame
        risk, part, and label or time and event.
    """
    missing: dict[str, object] = {"chi2": np.nan, "df": np.nan, "p_interaction": np.nan}
    risk = patients["risk"].to_numpy(dtype=float)
    inside = is_label(study) and ((risk >= 0) & (risk <= 1)).all()
    table = patients.drop(columns="risk").assign(risk=log_odds(risk) if inside else risk)
    groups = list(patients["part"].astype(str).drop_duplicates())
    main, product = ["risk"], []
    for i, group in enumerate(groups[1:]):
        table[f"part_{i}"] = (table["part"].astype(str) == group).astype(float)
        table[f"risk_by_part_{i}"] = table["risk"] * table[f"part_{i}"]
        main.append(f"part_{i}")
        product.append(f"risk_by_part_{i}")
    if not product:
        return missing | {"note": "all patients belong to one part"}
    small = _too_small(patients, study)
    if small:
        return missing | {"note": f"{few_words(study)} in: {', '.join(small)}"}
    try:
        without, full = (_log_likelihood(table, study, terms) for terms in (main, main + product))
    except NotEstimableError:
        return missing | {"note": "too few patients or events in a part"}
    chi2 = max(2 * (full - without), 0.0)
    return {"chi2": chi2, "df": len(product), "p_interaction": float(stats.chi2.sf(chi2, len(product))), "note": ""}


def _log_likelihood(table: pd.DataFrame, study: Study, terms: list[str]) -> float:
    numeric = table[[*terms, "label"] if is_label(study) else [*terms, "time", "event"]].astype(float)
    if is_label(study):
        return fit_logistic(numeric, "label", terms).log_likelihood
    return fit_cox(numeric, "time", "event", terms).log_likelihood


def _difference(patients: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return the difference in discrimination between the first and the second of two parts."""
    groups = [str(g) for g in patients["part"].drop_duplicates().sort_values()]
    found: dict[str, float] = {}
    if len(groups) == 2 and not _too_small(patients, study):
        a, b = (patients[patients["part"].astype(str) == g] for g in groups)
        found = independent_difference(a, b, study)
    keys = {"difference": "difference", "ci_low": "ci_low", "ci_high": "ci_high", "p_difference": "p"}
    return {name: found.get(key, np.nan) for name, key in keys.items()}


def subgroup_curves(
    predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame, subgroup: Subgroup, signature: str
) -> dict[str, pd.DataFrame]:
    """Return the ROC curves of the parts by cohort, for `figures.roc`; parts stand for signatures.

    A part that is too small (`enough`) has no curve worth drawing.
    """
    panels = {}
    parts = parts_of(study, subgroup, cohort)
    for key in judged_cohorts(predictions, study) if is_label(study) else []:
        patients = judged_part(predictions, study, key, signature)
        own = patients.assign(part=parts.reindex(patients["subject"]).array)
        groups = {f"{name} (n = {len(rows)})": rows for name, rows in own.groupby("part", observed=True)}
        groups = {name: rows for name, rows in groups.items() if enough(rows, study)}
        if groups:
            curves = {name: roc_curve(rows["label"], rows["risk"]) for name, rows in groups.items()}
            areas = {name: auc(rows["label"], rows["risk"]) for name, rows in groups.items()}
            panels[key] = tidy.roc_table(curves, areas).drop(columns="n")
    return panels


def _by_center(
    predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame
) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield cohort, signature and patients with `center`, where a cohort pools several centers."""
    centers = cohort.set_index("subject")["center"]
    for key, name, part in judged_of(predictions, study):
        own = part.assign(center=part["subject"].map(centers).to_numpy())
        if own["center"].dropna().drop_duplicates().size > 1:
            yield key, name, own.dropna(subset=["center"])


def center_table(predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return discrimination center by center where a cohort pools several.

    Returns
    -------
    DataFrame
        cohort, center, signature, n, events, measure, value, ci_low, ci_high, p_vs_half, note (why there is no value);
        empty where no cohort pools centers.
    """
    rows = []
    for key, name, patients in _by_center(predictions, study, cohort):
        for center, part in patients.groupby("center"):
            row = {"cohort": key, "center": str(center), "signature": name, "n": len(part)}
            rows.append(row | _judged_alone(part, study))
    return pd.DataFrame(rows)


def center_differences(predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame) -> pd.DataFrame:
    """Return the unpaired difference between every two centers of a cohort: signature, center_a, center_b, …"""
    rows = []
    for key, name, patients in _by_center(predictions, study, cohort):
        parts = {str(center): part for center, part in patients.groupby("center") if enough(part, study)}
        for a, b in itertools.combinations(parts, 2):
            found = independent_difference(parts[a], parts[b], study)
            if found:
                rows.append({"cohort": key, "signature": name, "center_a": a, "center_b": b, **found})
    return pd.DataFrame(rows)
