"""How well each signature ranks patients: AUC or C-index, ROC curves, and differences of signatures and of groups."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate.predictions import (
    FEWEST,
    LABEL,
    NO_VARIANCE,
    common,
    enough,
    largest,
    measure,
    ranked,
    too_few,
    with_variance,
)
from radsupport.stats.bootstrap import bootstrap_auc
from radsupport.stats.concordance import bootstrap_concordance, concordance, concordance_difference
from radsupport.stats.roc import auc, delong_matrix, delong_unpaired, roc_curve
from radsupport.stats.table_one import adjust_p, compare_groups


def discrimination(
    part: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    n_bootstrap: int = 0,
    seed: int = 0,
    until: float | None = None,
    fewest: int = 0,
    *,
    ranks: bool = False,
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
    fewest : int
        Patients that are not `enough` for it, such as those of a small center, are not judged.
    ranks : bool
        Adds the P of the Mann-Whitney test between patients with and without the label.

    Returns
    -------
    dict
        Of patients who are not `enough` for an interval and a test, the value alone, with a note.

        events, measure ("AUC" or "C-index"), value, value_low, value_high, p (DeLong; Wald by the infinitesimal
        jackknife), p_chance (by which the book calls a value better than chance: `null_se_p` of an AUC, which stays
        right for few patients and large AUCs where DeLong's standard error becomes too small; p of a C-index), and
        where asked for boot_low, boot_high, uno, p_ranks. Missing, with a note, where it can not be estimated. Of
        patients of several centers (a column center) also centers (their number) and within, with limits and p_within:
        the same measure of pairs of one center (`concordance` with strata), which no offset between centers can lift;
        of patients of several folds within_folds, the same of pairs whom one model ranks. Where the rows have a score
        (`predictions.ranked`), it ranks.
    """
    part, is_label = ranked(part), tuple(outcome) == LABEL
    event = part[outcome[-1]]
    row: dict[str, Any] = {"events": int(event.sum()), "measure": "AUC" if is_label else "C-index"}
    keys = ["value", "value_low", "value_high", "p", "p_chance", *(["boot_low", "boot_high"] if n_bootstrap else [])]
    row |= dict.fromkeys([*keys, *["uno"] * (until is not None), *["p_ranks"] * ranks], np.nan)
    if not enough(part, outcome, fewest):
        return row | {"note": too_few(outcome, fewest)}
    try:
        row |= (_area(part) if is_label else _concordance(part, outcome)) | _within(part, outcome)
        row |= {"within_folds": _within(part, outcome, "fold").get("within", np.nan)} if "fold" in part else {}
    except NotEstimableError as error:
        return row | {"note": error.message}
    if reason := _untested(part, outcome):
        kept = {key for key in row if key in ("events", "measure", "value", "centers", "within", "within_folds")}
        return {key: row[key] if key in kept else np.nan for key in row} | {"note": reason}
    if n_bootstrap:
        *limits, used = _resampled(part, outcome, n_bootstrap, seed)
        row |= dict(zip(("boot_low", "boot_high"), limits, strict=True))
        row |= {"note": _lost(used, n_bootstrap)} if used < n_bootstrap else {}
    if until is not None:
        row["uno"] = _uno(part, outcome, until)
    if ranks and is_label:
        row["p_ranks"] = _ranks(part)
    return with_variance(row)


def _untested(part: pd.DataFrame, outcome: Sequence[str]) -> str:
    """Say why these patients' discrimination has neither interval nor test; empty where it has."""
    if not enough(part, outcome):
        return f"no interval or test: {too_few(outcome)}"
    return "no interval or test: everybody has the same risk" if part["risk"].nunique() < 2 else ""


def _within(part: pd.DataFrame, outcome: Sequence[str], column: str = "center") -> dict[str, float]:
    """Return the discrimination of pairs of one center (or fold); empty where there is one, or no such pair."""
    number = int(part[column].nunique()) if column in part else 1
    if number < 2 or part[column].isna().any():
        return {}
    survival = tuple(outcome) != LABEL
    time, event = (part[column] for column in outcome) if survival else (2 - part["label"], part["label"])
    try:
        found = concordance(time, event, part["risk"], strata=part[column])
    except NotEstimableError:
        return {}
    row = {"centers": number, "within": found.concordance, "within_low": found.ci_low, "within_high": found.ci_high}
    return row | {"p_within": _wald(found.concordance - 0.5, found.se)}


def headline(scores: pd.DataFrame) -> pd.DataFrame:
    """Return `discrimination` by cohort with the value within centers in place of the pooled one, where there is one.

    Parameters
    ----------
    scores : DataFrame

    Returns
    -------
    DataFrame
        value with limits and p_chance of pairs of one center in cohorts of several, and `pooled` beside it.
    """
    several = scores["within"].notna() if "within" in scores else pd.Series(False, scores.index)
    table = scores.assign(pooled=scores["value"].where(several))
    for own, other in (
        ("value", "within"),
        *((f"value_{e}", f"within_{e}") for e in ("low", "high")),
        ("p_chance", "p_within"),
    ):
        if several.any():
            table[own] = table[own].mask(several, table[other])
    return table


def _wald(difference: float, se: float) -> float:
    return float(2 * stats.norm.sf(abs(difference) / se)) if se > 0 else float("nan")


def _area(part: pd.DataFrame) -> dict[str, float]:
    found = auc(part["label"], part["risk"])
    chance = null_se_p(found.auc, found.events, found.n - found.events)
    limits = {"value": found.auc, "value_low": found.ci_low, "value_high": found.ci_high}
    return limits | {"p": found.p_vs_half, "p_chance": chance}


def _concordance(part: pd.DataFrame, outcome: Sequence[str]) -> dict[str, float]:
    found = concordance(part[outcome[0]], part[outcome[1]], part["risk"])
    p = _wald(found.concordance - 0.5, found.se)
    limits = {"value": found.concordance, "value_low": found.ci_low, "value_high": found.ci_high}
    return limits | {"p": p, "p_chance": p}


def _resampled(part: pd.DataFrame, outcome: Sequence[str], n: int, seed: int) -> tuple[float, float, int]:
    """Return percentile limits over resamples of patients, and in how many of them there is a value."""
    if tuple(outcome) == LABEL:
        found = bootstrap_auc(part["label"], part["risk"], n, seed)  # drawn by class: none fails
        return found.ci_low, found.ci_high, n
    columns = part[outcome[0]], part[outcome[1]], {"risk": part["risk"]}
    drawn = bootstrap_concordance(*columns, n_resamples=n, seed=seed)["risk"]
    low, high = drawn.quantile([0.025, 0.975])
    return float(low), float(high), int(drawn.notna().sum())


def _lost(used: Any, n: int) -> str:
    return f"the bootstrap has a value in {used} of {n} resamples"


def _ranks(part: pd.DataFrame) -> float:
    try:
        return float(compare_groups(part["risk"], part["label"], test="mann_whitney").p)
    except NotEstimableError:
        return float("nan")


def _uno(part: pd.DataFrame, outcome: Sequence[str], until: float) -> float:
    try:
        given = part[outcome[0]], part[outcome[1]], part["risk"]
        return concordance(*given, tau=until, weight="n/G2").concordance
    except NotEstimableError:
        return float("nan")


def roc(
    rows: pd.DataFrame,
    by: Sequence[str] = ("cohort", "signature"),
    fewest: int = 1,
    outcome: Sequence[str] = LABEL,
    comparisons: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Return ROC curves of a label for `plots.roc`; of survival there are none.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    by : sequence of str
        Columns that make the groups.
    fewest : int
        Fewest patients with, and without, the event for which there is a curve.
    outcome : sequence of str
    comparisons : mapping of name to signatures, optional
        Adds a column comparison, by which curves can be grouped: each signature once for each that it is part of.

    Returns
    -------
    DataFrame
        The keys, n, threshold, sensitivity, specificity, and in each row of a curve its auc with limits; without rows
        ``attrs["empty"]`` says why.
    """
    rows = ranked(rows if tuple(outcome) == LABEL else rows.iloc[:0])
    rows = rows if comparisons is None else _by_comparison(rows, comparisons)
    curves = measure(rows, lambda part: _curve(part) if enough(part, LABEL, fewest) else pd.DataFrame(), by)
    reason = "There is no curve: no cohort has patients with and without the event."
    if tuple(outcome) != LABEL:
        reason = (
            "Not used: the outcome is followed over time; its ROC curves at fixed times are in the survival chapter."
        )
    curves.attrs["empty"] = reason if curves.empty else ""
    return curves


def _by_comparison(rows: pd.DataFrame, groups: Mapping[str, Sequence[str]], most: int = 5) -> pd.DataFrame:
    """Return rows of signatures once for each comparison that they are part of, with a column comparison.

    Parameters
    ----------
    rows : DataFrame
        With a column signature, such as those of `judged`.
    groups : mapping of name to signatures
        Comparisons of more than `most` signatures, or of fewer than two that are there, are left out; signatures of no
        comparison make one of their own.
    """
    names = list(dict.fromkeys(rows["signature"]))
    present = {title: [name for name in names if name in wanted] for title, wanted in groups.items()}
    kept = {title: own for title, own in present.items() if 1 < len(own) <= most}
    kept["Others" if kept else "All signatures"] = [n for n in names if not any(n in own for own in kept.values())]
    parts = [rows[rows["signature"].isin(own)].assign(comparison=title) for title, own in kept.items() if own]
    table = pd.concat(parts, ignore_index=True) if parts else rows.assign(comparison="")
    return table.astype({"comparison": pd.CategoricalDtype([title for title, own in kept.items() if own])})


def _curve(part: pd.DataFrame) -> pd.DataFrame:
    area = auc(part["label"], part["risk"])
    limits = {"auc": area.auc, "auc_low": area.ci_low, "auc_high": area.ci_high}
    return roc_curve(part["label"], part["risk"]).assign(**limits)


#: Columns of `pairs`.
PAIRS = [
    "signature_a", "signature_b", "n", "events", "value_a", "value_b", "difference", "difference_low",
    "difference_high", "z", "p", "p_adjusted",
]  # fmt: skip


def comparisons(
    rows: pd.DataFrame,
    families: Mapping[str, Sequence[str]] | None = None,
    outcome: Sequence[str] = LABEL,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the test of every pair of signatures, in each cohort and group of signatures.

    A group that is part of a larger one is tested there.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    families : mapping of name to signatures, optional
        The groups; in each the patients are compared whom all its signatures predict. By default one of all.
    outcome : sequence of str
    n_bootstrap, seed : int
        Of the intervals of differences of C-indices.

    Returns
    -------
    DataFrame
        family, cohort, and what `pairs` and `equality` return (of a time to event the latter is missing); empty, with
        the reason, where no test exists.
    """
    found = []
    everybody = {"all": list(dict.fromkeys(rows["signature"]))}
    for name, members in largest(everybody if families is None else families).items():
        own = rows[rows["signature"].isin(members)]
        if families is not None:  # A and B in the order of the group
            own = own.assign(signature=pd.Categorical(own["signature"], members, ordered=True))
        table = measure(own, pairs, ("cohort",), outcome=outcome, n_bootstrap=n_bootstrap, seed=seed)
        if len(table) and tuple(outcome) == LABEL:
            same = measure(own, equality, ("cohort",)).reindex(columns=["cohort", "chi2", "df", "p_equal"])
            table = table.merge(same, on="cohort")
        found += [table.assign(family=name)] if len(table) else []
    columns = ["family", "cohort", *PAIRS, "chi2", "df", "p_equal", "note"]
    table = pd.concat(found or [pd.DataFrame()], ignore_index=True).reindex(columns=columns)
    table.attrs["empty"] = "" if found else "Not used: fewer than two signatures can be compared."
    return table


def pairs(rows: pd.DataFrame, outcome: Sequence[str] = LABEL, n_bootstrap: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return the test of every pair of signatures among the rows of one cohort, on the patients common to all.

    DeLong's test for AUCs; for C-indices the joint infinitesimal jackknife, with the paired bootstrap's interval.

    Returns
    -------
    DataFrame
        `PAIRS`: signature_a, signature_b, n, events, value_a, value_b (AUCs, or C-indices), difference with limits, z,
        p, p_adjusted (Holm over the pairs), and a note where a pair is not tested: patients who are not `enough`, or
        two signatures that rank everybody alike. Empty with fewer than two signatures.
    """
    known, risks = common(ranked(rows), outcome)
    n, events = len(known), int(known[outcome[-1]].sum())
    is_label = tuple(outcome) == LABEL
    if risks.shape[1] < 2:
        return pd.DataFrame(columns=[*PAIRS, "note"])
    if not enough(known, outcome):
        names = pd.DataFrame(itertools.combinations(risks.columns, 2), columns=["signature_a", "signature_b"])
        return names.assign(n=n, events=events, note=f"not tested: {too_few(outcome)}").reindex(
            columns=[*PAIRS, "note"]
        )
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
    same = {"auc_a": "value_a", "auc_b": "value_b", "concordance_a": "value_a", "concordance_b": "value_b"}
    found = found.rename(columns=same | {"ci_low": "difference_low", "ci_high": "difference_high"})
    tiny = found["difference"].abs() < 1e-12  # rounding of equal areas
    found[["difference", "z"]] = found[["difference", "z"]].mask(tiny, 0.0)
    alike = (found["difference_high"] - found["difference_low"]).abs() < 1e-12
    lost = ["z", "p", "difference_low", "difference_high"]
    found[lost] = found[lost].mask(alike)
    used = found.get("used", pd.Series(n_bootstrap, found.index))
    found["note"] = [_lost(one, n_bootstrap) if one < n_bootstrap else "" for one in used]
    found["note"] = found["note"].mask(alike, f"{NO_VARIANCE} (the two rank everybody alike)")
    return found.assign(n=n, events=events, p_adjusted=adjust_p(found["p"], "holm"))[[*PAIRS, "note"]]


def rivals(
    rows: pd.DataFrame,
    scores: pd.DataFrame,
    tested: pd.DataFrame,
    best: str,
    comparator: str = "",
    simple: Collection[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Return the chosen signature minus its comparator, minus the highest and minus each simple one, in each cohort.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    scores : DataFrame
        `discrimination` by cohort and signature.
    tested : DataFrame
        `comparisons`; a pair that is not among them is tested on the patients common to the two.
    best, comparator : str
    simple : collection of str
        Signatures that cost less, such as the diameter alone: they are rivals where `best` is not shown to be better.
    **options
        Of `pairs`.

    Returns
    -------
    DataFrame
        cohort, role (comparator, highest, both, or simple, of which one may be the highest), and `PAIRS` with `best` as
        signature_a, and its measure.
    """
    found = []
    for cohort, part in scores.dropna(subset=["value"]).groupby("cohort", sort=False, observed=True):
        values = part.set_index(part["signature"].astype(str))["value"]
        others = values.drop(index=best, errors="ignore")
        if best not in values or others.empty:
            continue
        highest = str(others.idxmax())
        for other in dict.fromkeys([name for name in (comparator, highest, *simple) if name in others.index]):
            two = rows[(rows["cohort"] == cohort) & rows["signature"].isin([best, other])]
            own = tested[tested["cohort"] == cohort] if len(tested) else tested
            role = "both" if highest == comparator else "comparator"
            role = role if other == comparator else "simple" if other in simple else "highest"
            row = _oriented(own, best, other) or _oriented(pairs(two, **options), best, other)
            if row and not (role == "simple" and row["difference_low"] > 0):
                found.append({"cohort": cohort, "role": role, "measure": part["measure"].iloc[0]} | row)
    return pd.DataFrame(found)


def _oriented(table: pd.DataFrame, a: str, b: str) -> dict[str, Any]:
    """Return the first test of two signatures as a minus b; empty without one."""
    for row in table.to_dict("records"):
        if (row["signature_a"], row["signature_b"]) == (a, b):
            return {str(key): value for key, value in row.items()}
        if (row["signature_a"], row["signature_b"]) == (b, a):
            turned = {"difference": -row["difference"], "z": -row["z"], "value_a": row["value_b"]}
            turned |= {"difference_low": -row["difference_high"], "difference_high": -row["difference_low"]}
            swapped = {"value_b": row["value_a"], "signature_a": a, "signature_b": b}
            return {str(key): value for key, value in row.items()} | turned | swapped
    return {}


def equality(rows: pd.DataFrame) -> dict[str, float]:
    """Return DeLong's test that the AUCs of all signatures among the rows of one cohort are equal.

    Returns
    -------
    dict
        chi2, df, p_equal.

    Raises
    ------
    NotEstimableError
        Fewer than three signatures, or one class only.
    """
    known, risks = common(ranked(rows))
    if risks.shape[1] < 3 or not enough(known):
        raise NotEstimableError(f"A test that all AUCs are equal needs three signatures, and {FEWEST} of each outcome.")
    found = delong_matrix(known["label"], {str(name): risk for name, risk in risks.items()})
    return {"chi2": found.chi2, "df": found.df, "p_equal": found.p_overall}


def difference(a: pd.DataFrame, b: pd.DataFrame, outcome: Sequence[str] = LABEL) -> dict[str, Any]:
    """Return the difference in discrimination of two groups of patients that share none.

    Returns
    -------
    dict
        n_a, n_b, value_a, value_b, difference with limits, statistic, p: DeLong's unpaired test (t) for AUCs, a z test
        with the two jackknife standard errors for C-indices. Missing, with a note, where one of the groups is not
        `enough`, or has one risk for everybody.

    Raises
    ------
    NotEstimableError
        One of the two can not be estimated.
    """
    a, b, size = ranked(a), ranked(b), {"n_a": len(a), "n_b": len(b)}
    if reason := next(filter(None, (_untested(part, outcome) for part in (a, b))), ""):
        nothing = ("value_a", "value_b", "difference", "difference_low", "difference_high", "statistic", "p")
        return size | dict.fromkeys(nothing, np.nan) | {"note": reason.replace("no interval or test", "not tested")}
    if tuple(outcome) == LABEL:
        t = delong_unpaired(a["label"], a["risk"], b["label"], b["risk"])
        limits = {"difference": t.difference, "difference_low": t.ci_low, "difference_high": t.ci_high}
        return with_variance(size | {"value_a": t.auc_a, "value_b": t.auc_b} | limits | {"statistic": t.t, "p": t.p})
    one, two = (concordance(x[outcome[0]], x[outcome[1]], x["risk"]) for x in (a, b))
    gap, se = one.concordance - two.concordance, float(np.hypot(one.se, two.se))
    z, half = (gap / se if se > 0 else np.nan), stats.norm.ppf(0.975) * se
    limits = {"difference": gap, "difference_low": gap - half, "difference_high": gap + half}
    values = {"value_a": one.concordance, "value_b": two.concordance}
    return with_variance(size | values | limits | {"statistic": z, "p": float(2 * stats.norm.sf(abs(z)))})


def between(
    rows: pd.DataFrame,
    column: str = "cohort",
    by: Sequence[str] = ("signature",),
    outcome: Sequence[str] = LABEL,
    fewest: int = 0,
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
    fewest : int
        Groups that are not `enough` for it are not compared.

    Returns
    -------
    DataFrame
        `by`, <column>_a, <column>_b, and what `difference` returns; without any pair
        ``attrs["empty"]`` says so.
    """
    found = []
    for keys, part in rows.groupby(list(by), observed=True):
        groups = {one: own for one, own in part.groupby(column, observed=True) if enough(own, outcome, fewest)}
        for a, b in itertools.combinations(groups, 2):
            place = dict(zip(by, keys, strict=True)) | {f"{column}_a": a, f"{column}_b": b}
            try:
                found.append(place | difference(groups[a], groups[b], outcome))
            except NotEstimableError:
                continue
    table = pd.DataFrame(found)
    table.attrs["empty"] = f"Not used: no two of the {column}s can be compared." if len(rows) else ""
    return table


def null_se_p(area: float, events: int, others: int) -> float:
    """Return the two-sided P of an AUC against 0.5 by its standard error under chance.

    z = (AUC - 0.5) / sqrt((m + n + 1) / (12 m n)), the normal approximation of the Mann-Whitney test without ties
    (Hanley & McNeil 1982; SPSS's "asymptotic significance"). DeLong's test uses the standard error at the AUC found,
    which is smaller for large AUCs.
    """
    se = np.sqrt((events + others + 1) / (12 * events * others)) if events and others else np.nan
    return float(2 * stats.norm.sf(abs(area - 0.5) / se))
