"""Chapter 07: Kaplan-Meier curves of the risk groups, and what they come to in numbers.

Chapter 07: from the risk group to what happened, and the chosen features behind the groups.

Chapter 07: whether hazard ratios stay the same over time.

Chapter 07: the risks themselves by outcome, and who is in which risk group.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.evaluate.predictions import HIGH, LOW, POOLED, label_of, of_signature, outcome, parts
from radsupport.evaluate.thresholds import group_p
from radsupport.learning.inspection import readable
from radsupport.settings.study import Study
from radsupport.stats.cox import CoxFit
from radsupport.stats.proportional_hazards import schoenfeld_test
from radsupport.stats.survival_curves import kaplan_meier, restricted_mean, restricted_mean_difference
from radsupport.stats.table_one import baseline_table, compare_groups
from radsupport.tables import read_table
from radsupport.wording import fixed, p_value

#: Patients that a curve should still have at risk for its end to be read.
FEW = 5


def group_curves(part: pd.DataFrame) -> pd.DataFrame:
    """Return Kaplan-Meier curves by group, with their median, for `figures.kaplan_meier`.

    A group without patients has none.
    """
    curves = []
    for name, rows in part.groupby("group", observed=True):
        km = kaplan_meier(rows["time"], rows["event"])
        curves.append(km.curve.assign(group=str(name), median=km.median))
    return pd.concat(curves, ignore_index=True)


def common_end(part: pd.DataFrame) -> float:
    """Return the time (months) up to which every group is followed: the smallest of their longest follow-ups."""
    return float(part.groupby("group", observed=True)["time"].max().min())


def group_summary(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return what the curves come to, one row per signature, cohort (or pooled set) and group.

    Returns
    -------
    DataFrame
        signature, key, cohort, group, n, events, median, median_low, median_high, tau, restricted_mean, mean_low,
        mean_high (months, 95% CI). The restricted mean is the area under the curve up to `tau`, the time to which both
        groups are followed.
    """
    rows = []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            tau = common_end(part)
            for group, own in part.groupby("group", observed=True):
                km = kaplan_meier(own["time"], own["event"])
                mean = restricted_mean(own["time"], own["event"], tau)
                row: dict[str, Any] = {"signature": name, "key": key, "cohort": cohort, "group": str(group)}
                row |= {"n": km.n, "events": km.n_events}
                row |= {"median": km.median, "median_low": km.median_low, "median_high": km.median_high}
                row |= {"tau": tau, "restricted_mean": mean.rmst, "mean_low": mean.ci_low, "mean_high": mean.ci_high}
                rows.append(row)
    return pd.DataFrame(rows)


def group_comparison(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how the two groups differ, one row per signature and cohort (or pooled set).

    Returns
    -------
    DataFrame
        signature, key, cohort, n, p (log-rank), difference, ci_low, ci_high, p_difference (restricted mean of low
        minus high risk, months, up to `tau`), tau; NaN where everybody is in one group.
    """
    rows = []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            row: dict[str, Any] = {"signature": name, "key": key, "cohort": cohort, "n": len(part), "p": group_p(part)}
            if part["group"].nunique() == 2:
                tau = common_end(part)
                order = part["group"].map({HIGH: "a", LOW: "b"}).astype(str)
                found = restricted_mean_difference(part["time"], part["event"], order, tau)
                row |= {"difference": found.difference, "ci_low": found.ci_low, "ci_high": found.ci_high}
                row |= {"p_difference": found.p, "tau": tau}
            rows.append(row)
    columns = ["signature", "key", "cohort", "n", "p", "difference", "ci_low", "ci_high", "p_difference", "tau"]
    return pd.DataFrame(rows, columns=columns)


def with_interval(value: float, low: float, high: float) -> str:
    """Word a time with its interval; a curve that does not fall far enough leaves the value, or its end, open."""
    if np.isnan(value):
        return "not reached" if np.isnan(low) else f"not reached (from {fixed(low, 1)})"
    if np.isnan(low) and np.isnan(high):
        return f"{fixed(value, 1)} (no interval)"
    return f"{fixed(value, 1)} ({fixed(low, 1)}–{'not reached' if np.isnan(high) else fixed(high, 1)})"


UNKNOWN = "not known"


def places(groups: pd.DataFrame, study: Study) -> list[tuple[str, pd.DataFrame]]:
    """Return name and patients of each center as the paper shows it: named pools in place of their cohorts."""
    members = {cohort for pool in study.survival.pooled.values() for cohort in pool}
    shown = [(key, name, part) for key, name, part in parts(groups, study) if key not in members and key != POOLED]
    return [(f"{name} (n = {len(part)})", part) for _, name, part in shown]


def flow_tables(groups: pd.DataFrame, cohort: pd.DataFrame, study: Study, signature: str) -> dict[str, pd.DataFrame]:
    """Return the flows between the stations of `survival.flow`, by cohort (or named pool of cohorts).

    Returns
    -------
    dict of str to DataFrame
        source, target, n, for `figures.sankey_panels`.
    """
    columns = [c for c in study.survival.flow if c in study.columns]
    found = {}
    for name, part in places(of_signature(groups, signature), study):
        rows = part.merge(cohort[["subject", *columns]], on="subject", how="left")
        stations = [_station(rows, key, study) for key in study.survival.flow]
        flows = [
            pd.DataFrame({"source": a, "target": b}).value_counts(sort=False).rename("n").reset_index()
            for a, b in pairwise(stations)
        ]
        if flows:
            found[name] = pd.concat(flows, ignore_index=True)
    return found


def _station(rows: pd.DataFrame, key: str, study: Study) -> pd.Series:
    """Return where each patient stands at one station, in order and in words that occur at no other station."""
    if key == "group":
        return rows["group"].cat.remove_unused_categories()
    if key == "event":
        event = outcome(study).event_name
        return _ordered(rows["event"].map({0: f"no {event}", 1: event}), [f"no {event}", event])
    label = study.endpoint.label
    if key == "label" and label is not None:
        unknown = f"{label.name}: {UNKNOWN}"
        words = rows["label"].map({0: label.negative, 1: label.positive}).fillna(unknown)
        return _ordered(words, [label.negative, label.positive, unknown])
    values = rows[key].astype(object).where(rows[key].notna(), UNKNOWN)
    levels = [*(study.columns[key].levels or sorted(values.unique(), key=str)), UNKNOWN]
    prefix = f"{study.columns[key].label}: "
    return _ordered(prefix + values.astype(str), [f"{prefix}{level}" for level in dict.fromkeys(levels)])


def _ordered(words: pd.Series, order: list[str]) -> pd.Series:
    return words.astype(pd.CategoricalDtype(order)).cat.remove_unused_categories()


def leaves(study: Study, signature: str) -> list[str]:
    """Return the signatures that a signature is made of in the end: itself, or the parts of a combination."""
    own = study.signature(signature)
    return [leaf for part in own.combines for leaf in leaves(study, part)] if own.combines else [signature]


def chosen_features(study: Study, results: Path, signature: str) -> pd.DataFrame:
    """Return the features that a signature uses most, at most `survival.heat_map` for each of its parts.

    Parameters
    ----------
    study : Study
    results : Path
        results/<study>, where chapter 05 writes ``chosen_features.csv`` (signature, feature, coefficient) and
        ``stability.csv`` (signature, feature, share of the fits that chose it).
    signature : str

    Returns
    -------
    DataFrame
        signature, feature, source; the largest coefficients first, and where there are none the most stable. Empty
        where the files are missing or nothing was chosen.
    """
    nothing = pd.DataFrame(columns=["signature", "feature", "source"])
    paths = results / "chosen_features.csv", results / "stability.csv"
    if not study.survival.heat_map or not all(path.is_file() for path in paths):
        return nothing
    chosen, stability = (pd.read_csv(path) for path in paths)
    both = chosen.merge(stability, on=["signature", "feature"], how="left")
    both = both.assign(size=both["coefficient"].abs()).sort_values(["size", "share"], ascending=False, kind="stable")
    found = []
    for leaf in leaves(study, signature):
        for source in study.signature(leaf).sources:
            own = both[both["signature"] == leaf].head(study.survival.heat_map)
            found.append(own[["signature", "feature"]].assign(source=source))
    return pd.concat(found, ignore_index=True) if found else nothing


def heat_tables(groups: pd.DataFrame, study: Study, results: Path, signature: str) -> dict[str, pd.DataFrame]:
    """Return the chosen features by risk group, z-scored by the training cohort, by cohort (or named pool).

    Returns
    -------
    dict of str to DataFrame
        feature, subject, group, value (SD from the training mean), patients in order of risk. Empty where chapter 05
        left no chosen features.
    """
    chosen = chosen_features(study, results, signature)
    values = _values(chosen, results) if len(chosen) else pd.DataFrame()
    if values.empty:
        return {}
    own = of_signature(groups, signature)
    training = values.reindex(own.loc[own["cohort"] == "train", "subject"])
    scaled = (values - training.mean()) / training.std().replace(0, np.nan)
    found = {}
    for name, part in places(own, study):
        ordered = part.sort_values("risk")[["subject", "group"]]
        long = scaled.reindex(ordered["subject"]).reset_index().melt("subject", var_name="feature", value_name="value")
        found[name] = long.merge(ordered, on="subject")[["feature", "subject", "group", "value"]]
    return found


def _values(chosen: pd.DataFrame, results: Path) -> pd.DataFrame:
    """Return the chosen features' values by subject, of those that a feature table holds."""
    tables: list[Any] = []
    for source, rows in chosen.groupby("source", sort=False):
        if (results / f"features_{source}.parquet").is_file():
            table = read_table(f"features_{source}", results).set_index("subject")
            tables.append(table[[f for f in dict.fromkeys(rows["feature"]) if f in table]])
    wide = pd.concat(tables, axis=1) if tables else pd.DataFrame()
    return wide.loc[:, ~wide.columns.duplicated()].rename(columns=readable)


GLOBAL = "GLOBAL"


def hazards_test(fit: CoxFit | None, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return the test of proportional hazards per covariate and globally: covariate (in words), term, chi2, df, p.

    Empty without a model, or with too few event times.
    """
    if fit is None:
        return pd.DataFrame()
    try:
        found = schoenfeld_test(fit)
    except NotEstimableError:
        return pd.DataFrame()
    words = found["covariate"].map(lambda term: "all together (global)" if term == GLOBAL else labels.get(term, term))
    return found.rename(columns={"covariate": "term"}).assign(covariate=words)[["covariate", "term", "chi2", "df", "p"]]


TEST_WORDS = {
    "student_t": "Student's t", "welch_t": "Welch's t", "mann_whitney": "Mann–Whitney", "chi_square": "chi-square",
    "chi_square_yates": "chi-square (Yates)", "fisher": "Fisher's exact",
}  # fmt: skip


def outcome_classes(study: Study) -> tuple[str, tuple[str, str]]:
    """Return the column that tells patients apart, and the words for its 0 and 1: the label, else the event."""
    label = study.endpoint.label
    if study.endpoint.primary == "label" and label is not None:
        return "label", (label.negative, label.positive)
    event = outcome(study).event_name
    return "event", (f"no {event} seen", f"{event} seen")


def risk_by_outcome(groups: pd.DataFrame, study: Study, signature: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return cohort (name), risk and label of one signature's patients, and each cohort's Mann-Whitney P in words.

    There is a P for a label only: whether an event was seen also depends on how long a patient was followed.
    """
    column, _ = outcome_classes(study)
    own = of_signature(groups, signature).dropna(subset=[column])
    table = pd.DataFrame({"cohort": own["cohort"].map(lambda key: study.cohort_names[key]), "risk": own["risk"]})
    table["label"] = own[column].astype(int)
    words = {}
    for name, part in table.groupby("cohort", sort=False) if column == "label" else ():
        try:
            p = compare_groups(part["risk"], part["label"], test="mann_whitney").p
        except NotEstimableError:
            continue
        words[str(name)] = p_value(p)
    return table.reset_index(drop=True), words


def described(study: Study) -> list[str]:
    """Return the columns described by risk group: covariates of the Cox models, then predictors of the nomogram."""
    columns = [*study.survival.covariates, *study.nomogram.columns, *study.nomogram.candidates]
    return list(dict.fromkeys(columns))


def characteristics(
    groups: pd.DataFrame, cohort: pd.DataFrame, study: Study, signature: str
) -> dict[str, pd.DataFrame]:
    """Return a baseline table by risk group for each cohort, by its name.

    Parameters
    ----------
    groups : DataFrame
        What `steps_groups.in_groups` returns.
    cohort : DataFrame
        cohort.parquet, with the columns described.
    study : Study
    signature : str

    Returns
    -------
    dict of str to DataFrame
        As `cohort.tables.baseline_table`, variables in words; a cohort that is all in one group is left out.
    """
    columns, own, found = described(study), of_signature(groups, signature), {}
    kinds = {c: "continuous" if study.columns[c].kind == "number" else "categorical" for c in columns}
    for key, part in own.groupby("cohort", sort=False):
        table = part[["subject", "group"]].merge(cohort[["subject", *columns]], on="subject", how="left")
        if not columns or table["group"].nunique() < 2:
            continue
        known = [c for c in columns if table[c].notna().any()]
        baseline = baseline_table(table, "group", known, kinds={c: kinds[c] for c in known})
        words = {c: label_of(study, c) for c in known} | {"n": "Patients"}
        repeated = baseline["variable"].duplicated()
        shown = baseline["variable"].map(words).mask(repeated, "")
        words_of_tests = baseline["test"].replace(TEST_WORDS)
        found[study.cohort_names[key]] = baseline.assign(variable=shown, test=words_of_tests).drop(columns="statistic")
    return found
