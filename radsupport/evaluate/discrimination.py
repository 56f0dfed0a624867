"""How well each signature ranks patients: AUC or C-index per cohort, ROC curves, and differences.

Chapter 08: how well the nomogram ranks patients, against the signature and the clinical columns alone.

Chapter 07: discrimination at fixed times after the scan, and over time.

Chapter 07: hazard ratios and concordance of each signature in each cohort, and their differences.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.predictions import (
    HIGH,
    LABEL,
    common,
    common_patients,
    families,
    in_study_order,
    is_label,
    judged_cohorts,
    judged_of,
    judged_part,
    largest_families,
    measure,
    of_signature,
    outcome,
    outcome_columns,
    parts,
)
from radsupport.plots import tidy
from radsupport.settings.study import Study
from radsupport.stats.bootstrap import bootstrap_auc
from radsupport.stats.concordance import bootstrap_concordance, concordance, concordance_difference, uno_concordance
from radsupport.stats.cox import with_firth
from radsupport.stats.roc import auc, delong_matrix, delong_unpaired, roc_curve
from radsupport.stats.table_one import adjust_p
from radsupport.stats.time_roc import time_dependent_auc_difference, time_dependent_roc


def discrimination(
    part: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    n_bootstrap: int = 0,
    seed: int = 0,
    until: float | None = None,
) -> dict[str, Any]:
    """Return how well the risk ranks some patients: the AUC of a label, Harrell's C of a time to event.

    Parameters
    ----------
    part : DataFrame
        risk and the outcome, a row per patient.
    outcome : sequence of str
        ("label",) or ("time", "event").
    n_bootstrap : int
        Resamples of the percentile limits; 0 leaves them out.
    seed : int
    until : float, optional
        Adds Uno's C up to this time.

    Returns
    -------
    dict
        events, measure ("AUC" or "C-index"), value, value_low, value_high, p (DeLong; Wald by the infinitesimal
        jackknife), p_chance (by which the book calls a value better than chance: `null_se_p` of an AUC, which stays
        right for few patients and large AUCs where DeLong's standard error becomes too small; p of a C-index), and
        where asked for boot_low, boot_high, uno. Missing, with a note, where it can not be estimated.
    """
    is_label = tuple(outcome) == LABEL
    event = part[outcome[-1]]
    row: dict[str, Any] = {"events": int(event.sum()), "measure": "AUC" if is_label else "C-index"}
    keys = ["value", "value_low", "value_high", "p", "p_chance", *(["boot_low", "boot_high"] if n_bootstrap else [])]
    row |= dict.fromkeys([*keys, *(["uno"] if until is not None else [])], np.nan)
    try:
        row |= _area(part) if is_label else _concordance(part, outcome)
    except NotEstimableError as error:
        return row | {"note": error.message}
    if n_bootstrap:
        row |= dict(zip(("boot_low", "boot_high"), _resampled(part, outcome, n_bootstrap, seed), strict=True))
    if until is not None:
        row["uno"] = _uno(part, outcome, until)
    return row


def _area(part: pd.DataFrame) -> dict[str, float]:
    found = auc(part["label"], part["risk"])
    chance = null_se_p(found.auc, found.events, found.n - found.events)
    limits = {"value": found.auc, "value_low": found.ci_low, "value_high": found.ci_high}
    return limits | {"p": found.p_vs_half, "p_chance": chance}


def _concordance(part: pd.DataFrame, outcome: Sequence[str]) -> dict[str, float]:
    found = concordance(part[outcome[0]], part[outcome[1]], part["risk"])
    p = float(2 * stats.norm.sf(abs(found.concordance - 0.5) / found.se)) if found.se > 0 else np.nan
    limits = {"value": found.concordance, "value_low": found.ci_low, "value_high": found.ci_high}
    return limits | {"p": p, "p_chance": p}


def _resampled(part: pd.DataFrame, outcome: Sequence[str], n: int, seed: int) -> tuple[float, float]:
    """Return percentile limits over resamples of patients."""
    if tuple(outcome) == LABEL:
        found = bootstrap_auc(part["label"], part["risk"], n, seed)
        return found.ci_low, found.ci_high
    columns = part[outcome[0]], part[outcome[1]], {"risk": part["risk"]}
    low, high = bootstrap_concordance(*columns, n_resamples=n, seed=seed)["risk"].quantile([0.025, 0.975])
    return float(low), float(high)


def _uno(part: pd.DataFrame, outcome: Sequence[str], until: float) -> float:
    try:
        return uno_concordance(part[outcome[0]], part[outcome[1]], part["risk"], tau=until).concordance
    except NotEstimableError:
        return float("nan")


def roc(rows: pd.DataFrame, by: Sequence[str] = ("cohort", "signature")) -> pd.DataFrame:
    """Return ROC curves of a label for `plots.roc`.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    by : sequence of str
        Columns that make the groups.

    Returns
    -------
    DataFrame
        The keys, n, threshold, sensitivity, specificity, and in each row of a curve its auc with auc_low, auc_high;
        groups with one outcome only have no curve.
    """
    both = rows.groupby(list(by), observed=True)["label"].transform("nunique") == 2
    return measure(rows[both], _curve, by)


def _curve(part: pd.DataFrame) -> pd.DataFrame:
    area = auc(part["label"], part["risk"])
    limits = {"auc": area.auc, "auc_low": area.ci_low, "auc_high": area.ci_high}
    return roc_curve(part["label"], part["risk"]).assign(**limits)


#: Columns of `pairs`.
PAIRS = [
    "signature_a", "signature_b", "n", "events", "value_a", "value_b", "difference", "difference_low",
    "difference_high", "z", "p", "p_adjusted",
]  # fmt: skip


def pairs(rows: pd.DataFrame, outcome: Sequence[str] = LABEL, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return the test of every pair of signatures among the rows of one cohort, on the patients common to all.

    DeLong's test for AUCs; for C-indices the joint infinitesimal jackknife, with the paired bootstrap's interval.

    Returns
    -------
    DataFrame
        `PAIRS`: signature_a, signature_b, n, events, value_a, value_b (AUCs, or C-indices), difference with limits, z,
        p, p_adjusted (Holm over the pairs); empty where no test exists.
    """
    known, risks = common(rows, outcome)
    n, events = len(known), int(known[outcome[-1]].sum())
    is_label = tuple(outcome) == LABEL
    if risks.shape[1] < 2 or events == 0 or (is_label and events == n):
        return pd.DataFrame(columns=PAIRS)
    if is_label:
        found = delong_matrix(known["label"], {str(name): risk for name, risk in risks.items()}).pairs
    else:
        time, event = (known[column] for column in outcome)
        options: dict[str, Any] = {"n_resamples": n_bootstrap, "seed": seed}
        tests = [
            {"signature_a": a, "signature_b": b}
            | vars(concordance_difference(time, event, risks[a], risks[b], **options))
            for a, b in itertools.combinations(risks.columns, 2)
        ]
        found = pd.DataFrame(tests)
    names = {"auc_a": "value_a", "auc_b": "value_b", "concordance_a": "value_a", "concordance_b": "value_b"}
    found = found.rename(columns=names | {"ci_low": "difference_low", "ci_high": "difference_high"})
    tiny = found["difference"].abs() < 1e-12  # rounding of equal areas
    found[["difference", "z"]] = found[["difference", "z"]].mask(tiny, 0.0)
    return found.assign(n=n, events=events, p_adjusted=adjust_p(found["p"], "holm"))[PAIRS]


def equality(rows: pd.DataFrame) -> dict[str, float]:
    """Return DeLong's test that the AUCs of all signatures among the rows of one cohort are equal.

    Returns
    -------
    dict
        n, chi2, df, p.

    Raises
    ------
    NotEstimableError
        Fewer than three signatures, or one class only.
    """
    known, risks = common(rows)
    if risks.shape[1] < 3:
        raise NotEstimableError("A test that all AUCs are equal needs three signatures.")
    found = delong_matrix(known["label"], {str(name): risk for name, risk in risks.items()})
    return {"n": len(known), "chi2": found.chi2, "df": found.df, "p": found.p_overall}


def difference(a: pd.DataFrame, b: pd.DataFrame, outcome: Sequence[str] = LABEL) -> dict[str, float]:
    """Return the difference in discrimination of two groups of patients that share none.

    Returns
    -------
    dict
        n_a, n_b, value_a, value_b, difference with limits, statistic, p: DeLong's unpaired test (t) for AUCs, a z test
        with the two jackknife standard errors for C-indices.

    Raises
    ------
    NotEstimableError
        One of the two can not be estimated.
    """
    size = {"n_a": len(a), "n_b": len(b)}
    if tuple(outcome) == LABEL:
        t = delong_unpaired(a["label"], a["risk"], b["label"], b["risk"])
        limits = {"difference": t.difference, "difference_low": t.ci_low, "difference_high": t.ci_high}
        return size | {"value_a": t.auc_a, "value_b": t.auc_b} | limits | {"statistic": t.t, "p": t.p}
    one, two = (concordance(x[outcome[0]], x[outcome[1]], x["risk"]) for x in (a, b))
    gap, se = one.concordance - two.concordance, float(np.hypot(one.se, two.se))
    z, half = (gap / se if se > 0 else np.nan), stats.norm.ppf(0.975) * se
    limits = {"difference": gap, "difference_low": gap - half, "difference_high": gap + half}
    values = {"value_a": one.concordance, "value_b": two.concordance}
    return size | values | limits | {"statistic": z, "p": float(2 * stats.norm.sf(abs(z)))}


def between(
    rows: pd.DataFrame, column: str = "cohort", by: Sequence[str] = ("signature",), outcome: Sequence[str] = LABEL
) -> pd.DataFrame:
    """Return `difference` between every two groups of patients, such as the cohorts of a signature.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    column : str
        What the patients differ in.
    by : sequence of str
        Columns within which they are compared.
    outcome : sequence of str

    Returns
    -------
    DataFrame
        `by`, <column>_a, <column>_b, and what `difference` returns; pairs without a test are left out.
    """
    found = []
    for keys, part in rows.groupby(list(by), observed=True):
        groups = dict(list(part.groupby(column, observed=True)))
        for a, b in itertools.combinations(groups, 2):
            place = dict(zip(by, keys, strict=True)) | {f"{column}_a": a, f"{column}_b": b}
            try:
                found.append(place | difference(groups[a], groups[b], outcome))
            except NotEstimableError:
                continue
    return pd.DataFrame(found)


PAIR_COLUMNS = [
    "signature_a", "signature_b", "n", "events", "auc_a", "auc_b", "difference", "ci_low", "ci_high", "z", "p",
    "p_adjusted",
]  # fmt: skip


def discrimination_table(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how well each signature ranks patients, per cohort.

    Returns
    -------
    pandas.DataFrame
        cohort, signature, kind, n, events, measure (AUC or C-index), value, ci_low, ci_high, p_vs_half, and
        apparent (the same measure on the model's own training patients, for comparison).
    """
    rows = []
    for cohort, name, part in judged_of(predictions, study):
        own = predictions[(predictions["signature"] == name) & (predictions["kind"] == "apparent")]
        own = own.dropna(subset=outcome_columns(study))
        row = {"cohort": cohort, "signature": name, "kind": part["kind"].iloc[0], "n": len(part)}
        row |= discrimination_of(part, study)
        row["apparent"] = discrimination_of(own, study)["value"] if cohort == "train" and not own.empty else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def discrimination_of(part: pd.DataFrame, study: Study) -> dict[str, object]:
    """Return events, measure, value, ci_low, ci_high and p_vs_half of some patients; NaN where they do not exist.

    The AUC has DeLong's interval and test, the C-index its Wald interval and test by the infinitesimal jackknife.
    """
    event, measure = ("label", "AUC") if is_label(study) else ("event", "C-index")
    row: dict[str, object] = {"events": int(part[event].sum()), "measure": measure, "value": np.nan}
    row |= {"ci_low": np.nan, "ci_high": np.nan, "p_vs_half": np.nan}
    try:
        if is_label(study):
            found = auc(part["label"], part["risk"])
            limits = {"value": found.auc, "ci_low": found.ci_low, "ci_high": found.ci_high}
            return row | limits | {"p_vs_half": found.p_vs_half}
        c = concordance(part["time"], part["event"], part["risk"])
    except NotEstimableError:
        return row
    p = 2 * stats.norm.sf(abs(c.concordance - 0.5) / c.se) if c.se > 0 else np.nan
    return row | {"value": c.concordance, "ci_low": c.ci_low, "ci_high": c.ci_high, "p_vs_half": float(p)}


def null_se_p(area: float, events: int, others: int) -> float:
    """Return the two-sided P of an AUC against 0.5 by its standard error under chance.

    z = (AUC - 0.5) / sqrt((m + n + 1) / (12 m n)), the normal approximation of the Mann-Whitney test without ties
    (Hanley & McNeil 1982; SPSS's "asymptotic significance"). DeLong's test uses the standard error at the AUC found,
    which is smaller for large AUCs.
    """
    se = np.sqrt((events + others + 1) / (12 * events * others)) if events and others else np.nan
    return float(2 * stats.norm.sf(abs(area - 0.5) / se))


def chance_p(row: Mapping[Any, Any]) -> float:
    """Return the two-sided P of a row of `discrimination_table` against chance, by which the book calls it found.

    For an AUC `null_se_p`, which stays right for few patients and large AUCs where DeLong's standard error becomes too
    small; for a C-index the test of its infinitesimal jackknife.
    """
    if row["measure"] == "AUC":
        return null_se_p(row["value"], int(row["events"]), int(row["n"] - row["events"]))
    return float(row["p_vs_half"])


def above_chance(row: Mapping[Any, Any]) -> bool:
    """Whether a row of `discrimination_table` ranks better than chance: above 0.5, with `chance_p` below 0.05."""
    return bool(row["value"] > 0.5 and chance_p(row) < 0.05)


def with_resampling(scores: pd.DataFrame, predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Add bootstrap limits, and what some papers give besides.

    Returns
    -------
    pandas.DataFrame
        `scores` with boot_low, boot_high (percentile limits, ``validation.bootstrap`` resamples); for an AUC p_null_se
        where the study asks for it; for survival uno (Uno's C up to the last horizon).
    """
    rows = []
    for row in scores.to_dict("records"):
        part = judged_part(predictions, study, row["cohort"], row["signature"])
        rows.append(row | (_label_extras if is_label(study) else _survival_extras)(part, row, study))
    return pd.DataFrame(rows)


def _label_extras(part: pd.DataFrame, row: Mapping[Any, Any], study: Study) -> dict[str, float]:
    extras = {"boot_low": np.nan, "boot_high": np.nan}
    if not np.isnan(row["value"]):
        drawn = bootstrap_auc(part["label"], part["risk"], study.validation.bootstrap, study.seed)
        extras = {"boot_low": drawn.ci_low, "boot_high": drawn.ci_high}
    if study.validation.null_se:
        extras["p_null_se"] = null_se_p(row["value"], row["events"], row["n"] - row["events"])
    return extras


def _survival_extras(part: pd.DataFrame, row: Mapping[Any, Any], study: Study) -> dict[str, float]:
    if np.isnan(row["value"]) or study.endpoint.survival is None:
        return {"boot_low": np.nan, "boot_high": np.nan, "uno": np.nan}
    n, seed = study.validation.bootstrap, study.seed
    drawn = bootstrap_concordance(part["time"], part["event"], {"risk": part["risk"]}, n_resamples=n, seed=seed)["risk"]
    low, high = drawn.quantile([0.025, 0.975])
    last = max(study.endpoint.survival.horizons_months)
    try:
        uno = uno_concordance(part["time"], part["event"], part["risk"], tau=last).concordance
    except NotEstimableError:
        uno = np.nan
    return {"boot_low": float(low), "boot_high": float(high), "uno": uno}


def roc_table(predictions: pd.DataFrame, study: Study, cohort: str, names: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the honest ROC curves of a cohort for `figures.roc`; empty where none exists."""
    rows = [p for c, n, p in judged_of(predictions, study) if c == cohort and (names is None or n in names)]
    return _curves(pd.concat(rows) if rows else predictions.iloc[:0])


def _curves(part: pd.DataFrame) -> pd.DataFrame:
    parts = {str(name): rows for name, rows in part.groupby("signature", sort=False) if rows["label"].nunique() == 2}
    if not parts:
        return pd.DataFrame()
    curves = {name: roc_curve(rows["label"], rows["risk"]) for name, rows in parts.items()}
    return tidy.roc_table(curves, {name: auc(rows["label"], rows["risk"]) for name, rows in parts.items()})


def apparent_curves(predictions: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the ROC curves of the training patients as the fitted models see them; empty where there are none."""
    apparent = predictions[predictions["kind"] == "apparent"].dropna(subset=["label"])
    rows = [apparent[apparent["signature"] == name] for name in names]
    return _curves(pd.concat(rows) if rows else apparent)


def paired_tests(
    predictions: pd.DataFrame, study: Study, cohort: str, names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the test of every pair of signatures in a cohort, on the patients whom all of them predict.

    DeLong's test for AUCs; for C-indices the joint infinitesimal jackknife, with the paired bootstrap's interval.

    Returns
    -------
    pandas.DataFrame
        signature_a, signature_b, n, events, auc_a, auc_b (C-indices for survival), difference, ci_low, ci_high, z, p,
        p_adjusted (Holm over the pairs); empty where no test exists.
    """
    wanted = names if names is not None else [s.name for s in study.signatures]
    outcome, risks = common_patients(predictions, study, cohort, wanted)
    event = outcome.columns[-1]
    size = {"n": len(outcome), "events": int(outcome[event].sum())}
    if risks.shape[1] < 2 or size["events"] == 0 or (is_label(study) and size["events"] == size["n"]):
        return pd.DataFrame(columns=PAIR_COLUMNS)
    found = (
        delong_matrix(outcome["label"], {str(name): risk for name, risk in risks.items()}).pairs
        if is_label(study)
        else _concordance_pairs(outcome, risks, study)
    )
    tiny = found["difference"].abs() < 1e-12  # rounding of equal areas
    found[["difference", "z"]] = found[["difference", "z"]].mask(tiny, 0.0)
    return found.assign(**size, p_adjusted=adjust_p(found["p"], "holm"))[PAIR_COLUMNS]


def all_pairs(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return `paired_tests` of every comparison of the study in every cohort, with columns family and cohort.

    A comparison that is part of a larger one is tested there.
    """
    found = []
    for family in largest_families(families(predictions, study)):
        for cohort in judged_cohorts(predictions, study):
            pairs = paired_tests(predictions, study, cohort, family.signatures)
            if len(pairs):
                found.append(pairs.assign(family=family.name, cohort=cohort))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=[*PAIR_COLUMNS, "family", "cohort"])


def _concordance_pairs(outcome: pd.DataFrame, risks: pd.DataFrame, study: Study) -> pd.DataFrame:
    rows = []
    options: dict[str, Any] = {"n_resamples": study.validation.bootstrap, "seed": study.seed}
    for a, b in itertools.combinations(risks.columns, 2):
        found = concordance_difference(outcome["time"], outcome["event"], risks[a], risks[b], **options)
        row = {"signature_a": a, "signature_b": b, "auc_a": found.concordance_a, "auc_b": found.concordance_b}
        row |= {key: getattr(found, key) for key in ("difference", "ci_low", "ci_high", "z", "p")}
        rows.append(row)
    return pd.DataFrame(rows)


def equality_test(predictions: pd.DataFrame, study: Study, cohort: str, names: Sequence[str]) -> dict[str, float]:
    """Return DeLong's test that all these AUCs are equal: n, chi2, df, p; empty where it does not exist."""
    outcome, risks = common_patients(predictions, study, cohort, names)
    if not is_label(study) or risks.shape[1] < 3 or outcome["label"].nunique() < 2:
        return {}
    found = delong_matrix(outcome["label"], {str(name): risk for name, risk in risks.items()})
    return {"n": len(outcome), "chi2": found.chi2, "df": found.df, "p": found.p_overall}


def equality_table(predictions: pd.DataFrame, study: Study, pairs: pd.DataFrame) -> list[dict[str, Any]]:
    """Return `equality_test` of every group and cohort of `all_pairs` where it exists, with family and cohort."""
    rows = []
    for (family, cohort), part in pairs.groupby(["family", "cohort"], sort=False) if len(pairs) else []:
        names = in_study_order({*part["signature_a"], *part["signature_b"]}, study)
        test = equality_test(predictions, study, str(cohort), names)
        if test:
            rows.append({"family": family, "cohort": cohort, **test})
    return rows


def between_cohorts(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the difference of each signature's AUC (C-index) between every two cohorts, which share no patient.

    Returns
    -------
    pandas.DataFrame
        signature, cohort_a, cohort_b, n_a, n_b, value_a, value_b, difference, ci_low, ci_high, statistic, p: DeLong's
        unpaired test (t) for AUCs, a z test with the two jackknife standard errors for C-indices.
    """
    parts: dict[str, dict[str, pd.DataFrame]] = {}
    for cohort, name, part in judged_of(predictions, study):
        parts.setdefault(name, {})[cohort] = part
    rows = []
    for name, by_cohort in parts.items():
        for a, b in itertools.combinations(by_cohort, 2):
            found = independent_difference(by_cohort[a], by_cohort[b], study)
            if found:
                rows.append({"signature": name, "cohort_a": a, "cohort_b": b, **found})
    return pd.DataFrame(rows)


def independent_difference(a: pd.DataFrame, b: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return the difference in discrimination of two groups of patients; empty where it can not be estimated."""
    size = {"n_a": len(a), "n_b": len(b)}
    try:
        if is_label(study):
            t = delong_unpaired(a["label"], a["risk"], b["label"], b["risk"])
            values = {"value_a": t.auc_a, "value_b": t.auc_b, "difference": t.difference, "ci_low": t.ci_low}
            return size | values | {"ci_high": t.ci_high, "statistic": t.t, "p": t.p}
        first, second = (concordance(x["time"], x["event"], x["risk"]) for x in (a, b))
    except NotEstimableError:
        return {}
    difference, se = first.concordance - second.concordance, float(np.hypot(first.se, second.se))
    z, half = (difference / se if se > 0 else np.nan), stats.norm.ppf(0.975) * se
    limits = {"difference": difference, "ci_low": difference - half, "ci_high": difference + half}
    values = {"value_a": first.concordance, "value_b": second.concordance}
    return size | values | limits | {"statistic": z, "p": float(2 * stats.norm.sf(abs(z)))}


#: Ratio of the limits of a hazard ratio beyond which the data say nothing about it.
WIDEST = 1e4
_NAN = float("nan")


def training_sd(groups: pd.DataFrame) -> pd.Series:
    """Return the standard deviation of each signature's training risks: the unit of "per SD" in every cohort."""
    return groups[groups["cohort"] == "train"].groupby("signature", sort=False)["risk"].std()


def hazard_ratios(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return Cox hazard ratios of high against low risk and per SD, per signature and cohort (or pooled set).

    Returns
    -------
    DataFrame
        signature, key, cohort, contrast ("high against low" or "per SD"), n, events, hr, ci_low, ci_high, p (Wald),
        note. A group without events gets Firth's penalty; what can not be estimated, or only within a factor of more
        than `WIDEST`, keeps its row and says why.
    """
    sd, rows = training_sd(groups), []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            table = part[["time", "event"]].assign(
                high=(part["group"] == HIGH).astype(int), scaled=part["risk"] / sd[name]
            )
            for contrast, column in (("high against low", "high"), ("per SD", "scaled")):
                row = {"signature": name, "key": key, "cohort": cohort, "contrast": contrast}
                rows.append(row | {"n": len(part), "events": int(part["event"].sum())} | _ratio(table, column))
    return pd.DataFrame(rows)


def _ratio(table: pd.DataFrame, column: str) -> dict[str, Any]:
    nothing = {"hr": _NAN, "ci_low": _NAN, "ci_high": _NAN, "p": _NAN}
    if table[column].nunique() < 2 or not np.isfinite(table[column]).all():
        return nothing | {"note": "all patients alike"}
    try:
        fit, note = with_firth(table, [column])
    except NotEstimableError as error:
        return nothing | {"note": error.problems[0].what if error.problems else error.message}
    row = fit.table.iloc[0]
    if row["ci_high"] > WIDEST * row["ci_low"]:
        return nothing | {"note": f"its 95% CI spans more than a factor of {WIDEST:.0f}"}
    return {key: float(row[key]) for key in nothing} | {"note": note}


def concordances(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return Harrell's C of each signature in each cohort with its bootstrap interval.

    Returns
    -------
    DataFrame
        signature, key, cohort, n, events, c_index, ci_low, ci_high (percentile bootstrap over patients), se
        (infinitesimal jackknife). NaN where no two patients can be compared.
    """
    rows = []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        row: dict[str, Any] = {"signature": name, "key": key, "cohort": study.cohort_names[key], "n": len(part)}
        row["events"] = int(part["event"].sum())
        rows.append(row | _c_index(part, study))
    return pd.DataFrame(rows)


def _c_index(part: pd.DataFrame, study: Study) -> dict[str, float]:
    outcome = part["time"], part["event"]
    try:
        found = concordance(*outcome, part["risk"])
    except NotEstimableError:
        return {"c_index": _NAN, "ci_low": _NAN, "ci_high": _NAN, "se": _NAN}
    drawn = bootstrap_concordance(*outcome, {"c": part["risk"]}, n_resamples=study.survival.bootstrap, seed=study.seed)
    low, high = np.nanquantile(drawn["c"], [0.025, 0.975])
    return {"c_index": found.concordance, "ci_low": float(low), "ci_high": float(high), "se": found.se}


def compared_pairs(groups: pd.DataFrame, study: Study) -> list[tuple[str, str]]:
    """Return the pairs of signatures to compare: each with the baseline, or every pair where there is none."""
    names, baseline = list(groups["signature"].unique()), study.survival.baseline
    if baseline in names:
        others = [name for name in names if name != baseline]
        return [(name, baseline) for name in others] + list(combinations(others, 2))
    return list(combinations(names, 2))


def c_differences(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return paired differences of Harrell's C between signatures, on the patients that both have a risk for.

    Returns
    -------
    DataFrame
        cohort, signature_a, signature_b, n, c_a, c_b, difference, ci_low, ci_high (percentile bootstrap), p
        (infinitesimal jackknife, as in chapter 06). Empty with one signature; cohorts in which no two patients can be
        compared are left out.
    """
    rows = []
    for key, part in groups.groupby("cohort", sort=False):
        risks = {name: own.set_index("subject") for name, own in part.groupby("signature", sort=False)}
        for a, b in compared_pairs(part, study):
            both = risks[a].join(risks[b]["risk"].rename("other"), how="inner")
            row = {"cohort": study.cohort_names[key], "signature_a": a, "signature_b": b, "n": len(both)}
            rows += [row | found] if (found := _c_difference(both, study)) else []
    return pd.DataFrame(rows)


def _c_difference(both: pd.DataFrame, study: Study) -> dict[str, float]:
    columns, n = [both[name] for name in ("time", "event", "risk", "other")], study.survival.bootstrap
    try:
        found = concordance_difference(*columns, n_resamples=n, seed=study.seed)
    except (NotEstimableError, InputError):
        return {}
    return {
        "c_a": found.concordance_a, "c_b": found.concordance_b, "difference": found.difference,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "p": found.p,
    }  # fmt: skip


def ratio_forest(ratios: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """Return the hazard ratios of one contrast for `figures.forest`, a row per signature and cohort."""
    own = ratios[(ratios["contrast"] == contrast) & ratios["hr"].notna()]
    return own.assign(covariate=own["signature"] + ", " + own["cohort"])[["covariate", "hr", "ci_low", "ci_high", "p"]]


#: Patients with the event by a time, and patients followed beyond it, that an AUC at that time needs at least.
FEWEST = 3

_POINTS = 15  # times of the curve of AUC over time


def usable_times(part: pd.DataFrame, times: Any) -> list[float]:
    """Return the times with at least `FEWEST` events before and as many patients followed beyond."""
    kept = []
    for time in times:
        cases = int(((part["time"] <= time) & (part["event"] == 1)).sum())
        controls = int((part["time"] > time).sum())
        if min(cases, controls) >= FEWEST:
            kept.append(float(time))
    return kept


def auc_at_horizons(groups: pd.DataFrame, study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the time-dependent AUC at the study's horizons and the curves behind it.

    Returns
    -------
    table : DataFrame
        signature, key, cohort, n, time (months), auc, ci_low, ci_high (bootstrap), n_cases, n_controls. Horizons that
        too few patients reach are missing.
    curves : DataFrame
        key, cohort, time, signature, threshold, sensitivity, specificity, auc, ci_low, ci_high, n.
    """
    rows, curves = [], []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        times = usable_times(part, outcome(study).horizons_months)
        if not times:
            continue
        found = time_dependent_roc(
            part["time"], part["event"], part["risk"], times, n_resamples=study.survival.bootstrap, seed=study.seed
        )
        place: dict[str, Any] = {"signature": name, "key": key, "cohort": study.cohort_names[key], "n": len(part)}
        rows.append(found.table.assign(**place))
        areas = found.table[["time", "auc", "ci_low", "ci_high"]]
        curves.append(found.curve.merge(areas, on="time").assign(**place))
    if not rows:
        return pd.DataFrame(), pd.DataFrame()
    kept = ["signature", "key", "cohort", "n", "time", "auc", "ci_low", "ci_high", "n_cases", "n_controls"]
    return pd.concat(rows, ignore_index=True)[kept], pd.concat(curves, ignore_index=True)


def auc_differences(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return paired differences of the AUC at the horizons: cohort, signatures, time, AUCs, difference, CI, P."""
    tables = []
    for key, part in groups.groupby("cohort", sort=False):
        risks = {name: own.set_index("subject") for name, own in part.groupby("signature", sort=False)}
        for a, b in compared_pairs(part, study):
            both = risks[a].join(risks[b]["risk"].rename("other"), how="inner")
            times = usable_times(both, outcome(study).horizons_months)
            if times:
                data = both["time"], both["event"], both["risk"], both["other"]
                found = time_dependent_auc_difference(*data, times)
                place = {"cohort": study.cohort_names[key], "signature_a": a, "signature_b": b, "n": len(both)}
                tables.append(pd.DataFrame([place] * len(found)).join(found.drop(columns=["se", "z"])))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def grid(part: pd.DataFrame) -> FloatArray:
    """Return evenly spaced times (months) over which an AUC can be followed in these patients."""
    deaths = np.sort(part.loc[part["event"] == 1, "time"].to_numpy(dtype=float))
    ends = np.sort(part["time"].to_numpy(dtype=float))
    if len(deaths) < FEWEST or len(ends) <= FEWEST:
        return np.empty(0)
    first, last = deaths[FEWEST - 1], ends[-FEWEST - 1]
    return np.array(usable_times(part, np.linspace(first, last, _POINTS))) if last > first else np.empty(0)


def auc_over_time(groups: pd.DataFrame, study: Study) -> dict[str, pd.DataFrame]:
    """Return the AUC over time by cohort (name): signature, time, auc, ci_low, ci_high (influence function)."""
    found: dict[str, list[pd.DataFrame]] = {}
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        times = grid(part)
        if len(times) > 1:
            curve = time_dependent_roc(part["time"], part["event"], part["risk"], times, interval="influence").table
            kept = curve[["time", "auc", "ci_low", "ci_high"]].assign(signature=str(name))
            found.setdefault(f"{study.cohort_names[key]} (n = {len(part)})", []).append(kept)
    return {cohort: pd.concat(tables, ignore_index=True) for cohort, tables in found.items()}


def missing_horizons(groups: pd.DataFrame, study: Study) -> str:
    """Say which horizons too few patients reach in which cohort; empty where all can be used."""
    words = []
    for key, part in groups.drop_duplicates("subject").groupby("cohort", sort=False):
        wanted = outcome(study).horizons_months
        lost = [f"{t:g}" for t in wanted if t not in usable_times(part, wanted)]
        if lost:
            words.append(f"{' and '.join(lost)} months in {study.cohort_names[key]}")
    if not words:
        return ""
    need = f"fewer than {FEWEST} patients had the event by then, or are followed beyond"
    return f"Not shown: {'; '.join(words)} ({need})."
