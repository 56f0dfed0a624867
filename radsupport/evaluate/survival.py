"""What happens over time to the patients that a cut-off divides: curves, times, differences, and where they went.

All functions take patients as `judged` and `groups` return them: subject, cohort, signature, risk, time (months),
event, and `group`, the low or the high risk. `pooled` adds sets of cohorts, which then count as cohorts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.calibration import brier_differences
from radsupport.evaluate.discrimination import pairs
from radsupport.evaluate.predictions import FEWEST, HIGH, LOW, SURVIVAL, common, enough, measure, too_few, too_small
from radsupport.evaluate.probability import usable_horizons
from radsupport.evaluate.regression import COVARIATES
from radsupport.evaluate.risk_groups import characteristics as characteristics  # who is in a group: a file of its own
from radsupport.evaluate.risk_groups import feature_values as feature_values
from radsupport.evaluate.risk_groups import flows as flows
from radsupport.evaluate.thresholds import Rule, groups, rule_name, threshold
from radsupport.stats.brier import brier_score
from radsupport.stats.cox import with_firth
from radsupport.stats.logrank import log_rank, maximally_selected_cutoff
from radsupport.stats.survival_curves import (
    KaplanMeier,
    kaplan_meier,
    median_follow_up,
    restricted_mean,
    restricted_mean_difference,
)
from radsupport.stats.time_roc import time_dependent_auc_difference, time_dependent_roc

#: Key of all cohorts together, where no sets of cohorts are named.
POOLED = "pooled"
#: Ratio of the limits of a hazard ratio beyond which the data say nothing about it.
WIDEST = 1e4
_PLACE = ("signature", "cohort")
#: The model that gives everybody the survival of their cohort.
NULL = "Kaplan–Meier"
_POINTS, _ERROR_POINTS = 15, 25  # times of the curves of AUC and of prediction error over time


def pooled(
    rows: pd.DataFrame, sets: Mapping[str, Sequence[str]] | None = None, *, instead: bool = False
) -> pd.DataFrame:
    """Return the patients, and once more those of each set of cohorts under the set's key.

    Parameters
    ----------
    rows : DataFrame
        `cohort` is an ordered category.
    sets : mapping of key to cohorts, optional
        By default all cohorts of a signature together are `POOLED`.
    instead : bool
        Sets stand in place of their cohorts, and by default nothing is pooled.
    """
    keys = list(rows["cohort"].cat.categories)
    if sets is None and not instead:
        several = rows.groupby("signature", observed=True)["cohort"].transform("nunique") > 1
        sets, found = {POOLED: keys}, [rows, rows[several].assign(cohort=POOLED)]
    else:
        sets = sets or {}
        members = {key for own in sets.values() for key in own} if instead else set()
        alone = rows[~rows["cohort"].isin(members)]
        found = [alone, *(rows[rows["cohort"].isin(list(own))].assign(cohort=key) for key, own in sets.items())]
    table = pd.concat([part.assign(cohort=part["cohort"].astype(str)) for part in found], ignore_index=True)
    present = set(table["cohort"])
    known = pd.CategoricalDtype([key for key in [*keys, *sets] if key in present], ordered=True)
    return table.assign(cohort=table["cohort"].astype(known))


def follow_up(part: pd.DataFrame) -> dict[str, float]:
    """Return n, events, longest follow-up and two medians with 95% limits (months).

    ``median`` is that of follow-up by the reverse Kaplan-Meier method, ``survival`` that of the time without the event
    by Kaplan-Meier. A median or limit is infinite where the curve never falls so far.
    """
    own = part.drop_duplicates("subject")
    followed, km = median_follow_up(own["time"], own["event"]), kaplan_meier(own["time"], own["event"])
    row: dict[str, float] = {"n": len(own), "events": int(own["event"].sum())}
    medians = {
        "median": (followed.median, followed.ci_low, followed.ci_high),
        "survival": (km.median, km.median_low, km.median_high),
    }
    for name, values in medians.items():
        limits = zip((name, f"{name}_low", f"{name}_high"), values, strict=True)
        row |= {key: np.inf if np.isnan(value) else value for key, value in limits}
    return row | {"longest": float(own["time"].max())}


def group_p(part: pd.DataFrame) -> float:
    """Return the log-rank P of the two groups; NaN where they are `too_small` for a test of all their events."""
    if too_small(part, each=False):
        return float("nan")
    try:
        return float(log_rank(part["time"], part["event"], part["group"]).p)
    except NotEstimableError:
        return float("nan")


def cut_offs(
    rows: pd.DataFrame, rule: Rule, others: Sequence[str] = ("median", "max_logrank", "youden")
) -> pd.DataFrame:
    """Return what the rules for a cut-off do, each found on training risks only, by signature, rule and cohort.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    rule : str, float or callable
        The one that is used, as `threshold` takes it.
    others : sequence of str
        Those beside it; Youden's index is left out where training patients have no label.

    Returns
    -------
    DataFrame
        signature, cohort, n, rule, used, by_outcome (see `threshold`), cut_off, low, high (patients), p (log-rank of
        just these groups), p_search (in training: the P that allows for the search), note. Where a rule finds nothing
        there is one row that says why, and the median is used in place of `rule`.
    """
    train, found = rows[rows["cohort"] == "train"], []
    labelled = "label" in rows and train["label"].notna().all()
    beside = [one for one in others if one != rule and (one != "youden" or labelled)] if len(train) else []
    for name in [rule, *beside]:
        cut = threshold(rows, name)
        lost = cut.attrs["note"]
        table = measure(groups(rows, cut.drop(list(lost))), _divided, _PLACE)
        reasons = [{"signature": one, "note": note} for one, note in lost.items()]
        words = {"rule": rule_name(name), "by_outcome": cut.attrs["by_outcome"]}
        found.append(pd.concat([table, pd.DataFrame(reasons)]).assign(**words, used=name == rule))
    table = pd.concat(found, ignore_index=True).fillna({"note": ""})
    instead = table["signature"].isin(table.loc[table["used"] & table["cut_off"].isna(), "signature"])
    table["used"] = table["used"].where(~instead, table["rule"] == "median")
    table["p_search"] = [
        _search_p(train, row["signature"]) if (row["rule"], row["cohort"]) == ("max_logrank", "train") else np.nan
        for row in table.to_dict("records")
    ]
    order = {name: i for i, name in enumerate(rows["signature"].cat.categories)}
    return table.sort_values("signature", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _divided(part: pd.DataFrame) -> dict[str, Any]:
    counts = part["group"].value_counts()
    row = {"cut_off": part["threshold"].iloc[0], "low": int(counts[LOW]), "high": int(counts[HIGH])}
    return row | {"p": group_p(part), "note": ""}


def _search_p(train: pd.DataFrame, signature: str) -> float:
    own = train[train["signature"] == signature]
    return float(maximally_selected_cutoff(own["time"], own["event"], own["risk"]).p)


def curves(groups: pd.DataFrame, by: Sequence[str] = _PLACE, times: Sequence[float] | None = None) -> pd.DataFrame:
    """Return Kaplan-Meier curves by group, for `plots.kaplan_meier`; a group without patients has none.

    Parameters
    ----------
    groups : DataFrame
    by : sequence of str
        Columns that make the curves.
    times : sequence of float, optional
        Months at which the curves are read, in place of every step; while somebody of the group is followed.

    Returns
    -------
    DataFrame
        The columns of `by`, n (patients of both groups), group, time, survival, ci_low, ci_high, n_risk …, median and
        median_at_risk (of the group, months, as in `times`), p (log-rank).
    """

    def of_groups(part: pd.DataFrame) -> pd.DataFrame:
        found, p = [], group_p(part)
        for name, own in part.groupby("group", observed=True):
            km = kaplan_meier(own["time"], own["event"], times)
            curve = km.curve if times is None else km.at_times[km.at_times["n_risk"] > 0]
            middle = {key: value for key, value in _medians(km, own).items() if key in ("median", "median_at_risk")}
            found.append(curve.assign(group=str(name), **middle, p=p))
        return pd.concat(found, ignore_index=True)

    return measure(groups, of_groups, by)


def followed_to(own: pd.DataFrame) -> float:
    """Return the time (months) after which fewer than `FEWEST` patients are at risk; of fewer, the shortest."""
    return float(own["time"].nlargest(min(FEWEST, len(own))).min())


def common_end(part: pd.DataFrame) -> float:
    """Return the time (months) up to which `FEWEST` patients of every group are at risk.

    Groups that never had so many, which get no estimate, do not count; NaN where all are such.
    """
    ends = [followed_to(own) for _, own in part.groupby("group", observed=True) if len(own) >= FEWEST]
    return min(ends, default=float("nan"))


def _medians(km: KaplanMeier, own: pd.DataFrame) -> dict[str, float]:
    """Return the median with its limits: infinite where never reached, NaN where fewer than `FEWEST` are left by then.

    `median_at_risk` are the patients at risk at the median.
    """
    end, found = followed_to(own), {"median": km.median, "median_low": km.median_low, "median_high": km.median_high}
    row = {key: np.inf if np.isnan(value) else value if value <= end else np.nan for key, value in found.items()}
    return row | {"median_at_risk": np.nan if np.isnan(km.median) else float((own["time"] >= km.median).sum())}


def times(groups: pd.DataFrame) -> pd.DataFrame:
    """Return what the curves come to, one row per signature, cohort and group.

    Returns
    -------
    DataFrame
        signature, cohort, n, group, events, median, median_low, median_high, restricted_mean, restricted_mean_low,
        restricted_mean_high (months, 95% CI), tau, median_at_risk, end, note. After `end` fewer than `FEWEST` patients
        of the group are at risk; medians and their limits beyond it are missing, those that the curve never falls to
        are infinite. The restricted mean is the area under the curve up to `tau`, the earliest of these months. A group
        of fewer has neither median nor mean, and a note.

        Beside them stands what statistical programs print, however few are left: mean, mean_low, mean_high (up to
        `longest`, the last month of the group's own follow-up), median_all and median_se (see `kaplan_meier`) with
        median_all_low, median_all_high (1.96 of these to each side).
    """

    whole = ["mean", "mean_low", "mean_high"]
    restricted = [f"restricted_{name}" for name in whole]

    def of_groups(part: pd.DataFrame) -> pd.DataFrame:
        tau, found = common_end(part), []
        for name, own in part.groupby("group", observed=True):
            km = kaplan_meier(own["time"], own["event"])
            row: dict[str, Any] = {"group": str(name), "n": km.n, "events": km.n_events}
            none = ["median", "median_low", "median_high", *restricted, "median_all", "median_se", *whole]
            row |= dict.fromkeys(none, np.nan) | {"tau": tau, "longest": float(own["time"].max())}
            if km.n < FEWEST:
                row |= {"note": f"fewer than {FEWEST} patients"}
            else:
                row |= _medians(km, own) | {"median_all": km.median, "median_se": km.median_se, "note": ""}
                for names, until in ((restricted, tau), (whole, row["longest"])):
                    mean = restricted_mean(own["time"], own["event"], until)
                    row |= dict(zip(names, (mean.rmst, mean.ci_low, mean.ci_high), strict=True))
            found.append(row | {"end": followed_to(own)})
        table = pd.DataFrame(found)
        half = norm.ppf(0.975) * table["median_se"]
        return table.assign(median_all_low=table["median_all"] - half, median_all_high=table["median_all"] + half)

    return measure(groups, of_groups, _PLACE)


def differences(groups: pd.DataFrame) -> pd.DataFrame:
    """Return how the two groups differ, one row per signature and cohort.

    Returns
    -------
    DataFrame
        signature, cohort, n, p (log-rank), difference, difference_low, difference_high, p_difference (restricted mean
        of low minus high risk, months, up to `tau`), tau, note; NaN where a group is `too_small`, as
        the note says (P stays where only one of the groups has no event).
    """

    def of_groups(part: pd.DataFrame) -> dict[str, Any]:
        row: dict[str, Any] = {"p": group_p(part), "note": too_small(part)}
        if row["note"]:
            return row | dict.fromkeys(
                ["difference", "difference_low", "difference_high", "p_difference", "tau"], np.nan
            )
        tau = common_end(part)
        order = part["group"].map({HIGH: "a", LOW: "b"}).astype(str)
        found = restricted_mean_difference(part["time"], part["event"], order, tau)
        row |= {"difference": found.difference, "difference_low": found.ci_low, "difference_high": found.ci_high}
        return row | {"p_difference": found.p, "tau": tau}

    return measure(groups, of_groups, _PLACE)


def hazard_ratios(groups: pd.DataFrame) -> pd.DataFrame:
    """Return Cox hazard ratios of high against low risk and per SD of the training risks, by signature and cohort.

    Returns
    -------
    DataFrame
        signature, cohort, n, contrast ("high against low" or "per SD"), events, hr, hr_low, hr_high, p (Wald), note.
        What is `too_small` (groups need `FEWEST` patients and `FEWEST` events each), can not be estimated, or only
        within a factor of more than `WIDEST`, keeps its row and says why.
    """
    sd = groups[groups["cohort"] == "train"].groupby("signature", observed=True)["risk"].std()

    def of_groups(part: pd.DataFrame) -> pd.DataFrame:
        unit = sd.get(part["signature"].iloc[0], np.nan)
        table = part[[*SURVIVAL]].assign(high=(part["group"] == HIGH).astype(int), scaled=part["risk"] / unit)
        size, few = {"events": int(part["event"].sum())}, too_few(SURVIVAL) * (not enough(part, SURVIVAL))
        contrasts = {"high against low": ("high", too_small(part, least=FEWEST))}
        contrasts |= {"per SD": ("scaled", few)} if len(sd) else {}  # whose SD, without training patients
        return pd.DataFrame([{"contrast": name} | size | _ratio(table, *how) for name, how in contrasts.items()])

    return measure(groups, of_groups, _PLACE)


def _ratio(table: pd.DataFrame, column: str, reason: str = "") -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys(["hr", "hr_low", "hr_high", "p"], np.nan)
    if reason:
        return nothing | {"note": reason}
    if table[column].nunique() < 2 or not np.isfinite(table[column]).all():
        return nothing | {"note": "all patients alike"}
    try:
        fit, note = with_firth(table, [column])
    except NotEstimableError as error:
        return nothing | {"note": error.problems[0].what if error.problems else error.message}
    row = fit.table.iloc[0]
    if row["ci_high"] > WIDEST * row["ci_low"]:
        return nothing | {"note": f"its 95% CI spans more than a factor of {WIDEST:.0f}"}
    return {"hr": row["hr"], "hr_low": row["ci_low"], "hr_high": row["ci_high"], "p": row["p"], "note": note}


def auc_at(part: pd.DataFrame, horizons: Sequence[float], n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Return the time-dependent AUC of one group of patients at each horizon that enough of them reach.

    Returns
    -------
    DataFrame
        time (months), auc, auc_low, auc_high (bootstrap), n_cases, n_controls.
    """
    times = usable_horizons(part, horizons)
    if not times:
        return pd.DataFrame()
    found = time_dependent_roc(part["time"], part["event"], part["risk"], times, n_resamples=n_bootstrap, seed=seed)
    kept = found.table[["time", "auc", "ci_low", "ci_high", "n_cases", "n_controls"]]
    return kept.rename(columns={"ci_low": "auc_low", "ci_high": "auc_high"})


def roc_at(rows: pd.DataFrame, areas: pd.DataFrame) -> pd.DataFrame:
    """Return the time-dependent ROC curves behind the areas of `auc_at`, for `plots.roc_curve`, by cohort and time.

    Parameters
    ----------
    rows : DataFrame
        The patients.
    areas : DataFrame
        What `measure` makes of `auc_at` by signature and cohort.

    Returns
    -------
    DataFrame
        cohort, time, signature, n, threshold, sensitivity, specificity, auc, ci_low, ci_high.
    """
    if areas.empty:
        return pd.DataFrame()

    def curve(part: pd.DataFrame) -> pd.DataFrame:
        wanted = areas[(areas[[*_PLACE]] == part[[*_PLACE]].iloc[0].astype(str)).all(axis=1)]
        times = wanted["time"].tolist()
        if not times:
            return pd.DataFrame()
        found = time_dependent_roc(part["time"], part["event"], part["risk"], times, interval="none").curve
        limits = wanted[["time", "auc", "auc_low", "auc_high"]]
        return found.merge(limits.rename(columns={"auc_low": "ci_low", "auc_high": "ci_high"}), on="time")

    order = {name: i for i, name in enumerate(rows["cohort"].cat.categories)}
    found = measure(rows, curve, _PLACE)
    return found.sort_values(["cohort", "time"], key=lambda c: c.map(order) if c.name == "cohort" else c, kind="stable")


def missing_horizons(part: pd.DataFrame, horizons: Sequence[float]) -> pd.DataFrame:
    """Return the horizons (months) that too few patients reach for an AUC there: time."""
    own = part.drop_duplicates("subject")
    return pd.DataFrame({"time": [time for time in horizons if time not in usable_horizons(own, horizons)]})


def each_pair(
    part: pd.DataFrame, test: Callable[..., pd.DataFrame] = pairs, baseline: str = "", **options: Any
) -> pd.DataFrame:
    """Return a test of every pair of signatures in a cohort, those with the baseline first.

    Parameters
    ----------
    part : DataFrame
        Rows of one cohort.
    test : callable
        Takes the rows of two signatures, in their order, and `options`: of the C-index, or `auc_difference`.
    baseline : str
        The signature that the others are compared with.
    """
    names = list(part["signature"].cat.remove_unused_categories().cat.categories)
    others = [name for name in names if name != baseline]
    compared = [(name, baseline) for name in others if baseline in names] + list(combinations(others, 2))
    found = [pd.DataFrame()]
    for pair in compared:
        both = part[part["signature"].isin(pair)]
        both = both.assign(signature=pd.Categorical(both["signature"], pair, ordered=True))
        try:
            found.append(test(both, **options))
        except (NotEstimableError, InputError):
            continue
    return pd.concat(found, ignore_index=True)


def auc_difference(both: pd.DataFrame, horizons: Sequence[float]) -> pd.DataFrame:
    """Return the paired differences of the time-dependent AUC of two signatures.

    Returns
    -------
    DataFrame
        signature_a, signature_b, n, time, auc_a, auc_b, difference, difference_low, difference_high, p.
    """
    known, risks = common(both, SURVIVAL)
    times = usable_horizons(known, horizons)
    if not times:
        return pd.DataFrame()
    a, b = risks.columns
    found = time_dependent_auc_difference(known["time"], known["event"], risks[a], risks[b], times)
    found = found.drop(columns=["se", "z"]).assign(signature_a=a, signature_b=b, n=len(known))
    return found.rename(columns={"ci_low": "difference_low", "ci_high": "difference_high"})


def auc_over_time(part: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC of one group of patients over time: time, auc, auc_low, auc_high (influence function)."""
    times = _grid(part)
    if len(times) < 2:
        return pd.DataFrame()
    found = time_dependent_roc(part["time"], part["event"], part["risk"], times, interval="influence").table
    return found[["time", "auc", "ci_low", "ci_high"]]


def _grid(part: pd.DataFrame) -> FloatArray:
    """Return evenly spaced times (months) over which an AUC can be followed in these patients."""
    deaths = np.sort(part.loc[part["event"] == 1, "time"].to_numpy(dtype=float))
    ends = np.sort(part["time"].to_numpy(dtype=float))
    if len(deaths) < FEWEST or len(ends) <= FEWEST:
        return np.empty(0)
    first, last = deaths[FEWEST - 1], ends[-FEWEST - 1]
    times = np.linspace(first, last, _POINTS).tolist() if last > first else []
    return np.array(usable_horizons(part, times), dtype=float)


def last_time(rows: pd.DataFrame, models: Mapping[str, Any], horizons: Sequence[float], least: int = FEWEST) -> float:
    """Return where curve and integral of the error end: at the last horizon, or as far as models and patients reach.

    Beyond the end at least `least` patients are still followed; 0 where there is no such time.
    """
    wanted = min([max(horizons), *(models[str(name)].end for name in rows["signature"].unique())])
    ends = np.sort(rows.drop_duplicates("subject")["time"].to_numpy(dtype=float))
    if int((ends > wanted).sum()) >= least:
        return float(wanted)
    enough = [float(time) for time in np.unique(ends) if int((ends > time).sum()) >= least]
    return enough[-1] if enough else 0.0


def error_curves(rows: pd.DataFrame, models: Mapping[str, Any], horizons: Sequence[float]) -> pd.DataFrame:
    """Return the Brier score over time, for `plots.prediction_error`, of the patients whom all models can predict.

    Parameters
    ----------
    rows : DataFrame
        Judged rows of all signatures, the covariates perhaps among them.
    models : mapping of signature to model
        As `probabilities` takes it, each with the `end` of what it can say (months).
    horizons : sequence of float
        The last one ends the curve (`last_time`).

    Returns
    -------
    DataFrame
        cohort, n (common patients), most (patients of the model that predicts most), model, time, brier. `NULL`, the
        Kaplan-Meier curve of the same patients, is the first model.
    """

    def of_cohort(part: pd.DataFrame) -> pd.DataFrame:
        sizes = part.groupby("subject")["signature"].nunique()
        own = part[part["subject"].isin(sizes.index[sizes == part["signature"].nunique()])]
        last = last_time(own, models, horizons) if len(own) else 0.0
        times = np.linspace(last / _ERROR_POINTS, last, _ERROR_POINTS)
        found: list[pd.DataFrame] = []
        for name, one in own.groupby("signature", observed=True) if last else []:
            risk = models[str(name)].probability(one, times)
            table = brier_score(one["time"], one["event"], risk, times, interval="none")
            null = table[["time"]].assign(model=NULL, brier=table["null"])
            found += [] if found else [null]
            found.append(table[["time", "brier"]].assign(model=str(name)))
        size = {"n": own["subject"].nunique(), "most": int(part.groupby("signature", observed=True).size().max())}
        return pd.concat(found).assign(**size) if found else pd.DataFrame()

    return measure(rows, of_cohort, ("cohort",))


def error_differences(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return differences of the Brier score to a baseline at the last usable horizon of each cohort.

    Parameters
    ----------
    rows : DataFrame
        What `probabilities` returns at horizons.
    baseline : str
        A signature; the model of the covariates is compared with no other.

    Returns
    -------
    DataFrame
        cohort, signature, horizon, n, brier_a, brier_b, difference with limits, p, baseline.
    """
    found = brier_differences(rows, baseline)
    if found.empty:
        return found
    found = found[found["signature"] != COVARIATES].drop_duplicates(["cohort", "signature"], keep="last")
    return found.assign(baseline=baseline)
