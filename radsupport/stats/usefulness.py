"""Would acting on a predicted risk help? Decision curves, net reclassification, integrated discrimination improvement.

Each for a binary outcome and at a time horizon under censoring. NRI and IDI equal Hmisc::improveProb; under censoring
events and non-events are weighted by the inverse probability of being uncensored (Uno et al. 2013, Stat Med 32:2430,
the R package survIDINRI, weight alike), which without censoring gives the binary values. Stretches of thresholds at
which a curve lies above both references are separate: gaps are shown, noise is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from dcurves import dca
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite, as_level, as_probability, as_survival
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.bootstrap import bootstrap, percentile_limits
from radsupport.stats.calibration import as_horizon, survival_at
from radsupport.stats.regression import check_level
from radsupport.stats.survival_curves import survival_times
from radsupport.stats.time_roc import horizon_weights, resampled_weights
from radsupport.wording import listed


@dataclass(frozen=True)
class Reclassification:
    """NRI and IDI of a new model over an old one; positive values favour the new one.

    Attributes
    ----------
    nri : float
        `nri_events` + `nri_nonevents`, between -2 and 2.
    nri_events : float
        Share of events moved up minus share moved down.
    nri_nonevents : float
        Share of non-events moved down minus share moved up.
    se_nri, z_nri, p_nri, nri_low, nri_high : float
        Standard error (not under the null), z, two-sided p and Wald limits.
    idi, se_idi, z_idi, p_idi, idi_low, idi_high : float
        Gain in the mean risk difference between events and non-events, from the probabilities themselves,
        whatever the cut-offs.
    n_events, n_nonevents : int

    Notes
    -----
    Identical predictions give 0 with se 0, and NaN for z and p. A class with a single member has no IDI variance: NaN.
    """

    nri: float
    nri_events: float
    nri_nonevents: float
    se_nri: float
    z_nri: float
    p_nri: float
    idi: float
    se_idi: float
    z_idi: float
    p_idi: float
    nri_low: float
    nri_high: float
    idi_low: float
    idi_high: float
    n_events: int
    n_nonevents: int


# Differences of probabilities below this are rounding: a change that is the same for everyone has no variance.
_ROUNDING = 1e-12


def _z_and_p(value: float, se: float) -> tuple[float, float]:
    if se > 0 or np.isnan(se):
        z = value / se
    else:
        z = float("nan") if abs(value) < _ROUNDING else float(np.sign(value) * np.inf)
    return z, float(2 * stats.norm.sf(abs(z)))


def _net_upward(move: IntArray) -> tuple[float, float]:
    """Share moved up minus share moved down, and its variance."""
    up, down = float(np.mean(move > 0)), float(np.mean(move < 0))
    return up - down, (up + down - (up - down) ** 2) / move.size


def _variance_of_mean(values: FloatArray) -> float:
    if values.size < 2:
        return float("nan")
    return float(values.var(ddof=1) / values.size) if np.ptp(values) > _ROUNDING else 0.0


def _moves(old: FloatArray, new: FloatArray, cut_offs: Any) -> IntArray:
    if cut_offs is None:
        return np.sign(new - old).astype(np.int64)
    cuts = as_finite(np.atleast_1d(np.asarray(cut_offs)), "cut_offs")
    if (np.diff(cuts) <= 0).any():
        raise InputError(f"`cut_offs` must rise, they are {cuts.tolist()}.")
    place = [np.searchsorted(cuts, values, side="right") for values in (old, new)]
    return np.sign(place[1] - place[0]).astype(np.int64)


def nri_idi(y: Any, p_old: Any, p_new: Any, cut_offs: Any = None, level: float = 0.95) -> Reclassification:
    """Net reclassification improvement and integrated discrimination improvement.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p_old, p_new : array-like of probabilities, shape (n,)
    cut_offs : array-like, optional
        Rising limits of the risk categories (a risk equal to one belongs above it); without them any change of
        risk counts (continuous NRI).
    level : float
        Confidence level.

    Returns
    -------
    Reclassification

    Raises
    ------
    InputError, NotEstimableError
        NaN, a value outside 0-1, unequal lengths, cut-offs that do not rise; only one class.

    Notes
    -----
    Pencina et al. 2008, Stat Med 27:157, and 2011, 30:11, with Hmisc::improveProb's variances.
    """
    labels = as_binary(y)
    old = as_probability(p_old, "p_old", labels.size)
    new = as_probability(p_new, "p_new", labels.size)
    move, change = _moves(old, new, cut_offs), new - old
    event = labels == 1
    up_events, var_events = _net_upward(move[event])
    up_others, var_others = _net_upward(move[~event])
    nri, se_nri = up_events - up_others, float(np.sqrt(var_events + var_others))
    idi = float(change[event].mean() - change[~event].mean())
    se_idi = float(np.sqrt(_variance_of_mean(change[event]) + _variance_of_mean(change[~event])))
    z_nri, p_nri = _z_and_p(nri, se_nri)
    z_idi, p_idi = _z_and_p(idi, se_idi)
    half = float(stats.norm.ppf(0.5 + as_level(level) / 2))
    return Reclassification(
        nri=nri,
        nri_events=up_events,
        nri_nonevents=-up_others,
        se_nri=se_nri,
        z_nri=z_nri,
        p_nri=p_nri,
        idi=idi,
        se_idi=se_idi,
        z_idi=z_idi,
        p_idi=p_idi,
        nri_low=nri - half * se_nri,
        nri_high=nri + half * se_nri,
        idi_low=idi - half * se_idi,
        idi_high=idi + half * se_idi,
        n_events=int(event.sum()),
        n_nonevents=int((~event).sum()),
    )


@dataclass(frozen=True)
class SurvivalReclassification:
    """NRI and IDI of a new model over an old one at a horizon; positive values favour the new one.

    Attributes
    ----------
    nri : float
        `nri_events` + `nri_nonevents`, any change of risk counting (continuous NRI), between -2 and 2.
    nri_events, nri_nonevents : float
        Weighted share of events moved up minus down, and of non-events moved down minus up.
    nri_low, nri_high : float
        Percentile bootstrap.
    idi : float
        Gain in the difference of mean risk between events and non-events.
    idi_low, idi_high : float
    horizon : float
    n_events, n_nonevents : int
        Subjects with the event by the horizon, and followed beyond it; the others count through the weights only.
    """

    nri: float
    nri_events: float
    nri_nonevents: float
    nri_low: float
    nri_high: float
    idi: float
    idi_low: float
    idi_high: float
    horizon: float
    n_events: int
    n_nonevents: int


def nri_idi_survival(
    time: Any,
    event: Any,
    risk_old: Any,
    risk_new: Any,
    horizon: float,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> SurvivalReclassification:
    """Net reclassification and integrated discrimination improvement at a horizon.

    Parameters
    ----------
    time, event : array-like, shape (n,)
        Follow-up and event indicator (0/1).
    risk_old, risk_new : array-like of probabilities, shape (n,)
        Predicted probability of the event by `horizon`.
    horizon : float
        In the unit of `time`.
    n_resamples, seed : int
        Bootstrap over subjects, the weights estimated anew in each resample.
    level : float

    Returns
    -------
    SurvivalReclassification

    Raises
    ------
    InputError
        Invalid times, events or probabilities.
    NotEstimableError
        Nobody has the event by the horizon, or nobody is followed beyond it.

    Notes
    -----
    Events (T <= horizon) weigh 1 / G(T-), non-events (T > horizon) 1 / G(horizon), with the Kaplan-Meier estimate G of
    the censoring time.
    """
    checked, events = survival_times(time, event)
    old = as_probability(risk_old, "risk_old", checked.size)
    new = as_probability(risk_new, "risk_new", checked.size)
    at = horizon_weights(checked, events, float(horizon))
    if not (at.case.any() and at.control.any()):
        raise NotEstimableError(
            f"{int(at.case.sum())} subject(s) have the event by {horizon:g} and {int(at.control.sum())} are followed "
            "beyond; both are needed. Choose another horizon."
        )
    values = np.column_stack([np.sign(new - old), new - old])
    found = _gains(at.case_weight[None, :], at.control_weight[None, :], values)[0]
    drawn = bootstrap(
        lambda counts: _totals(_gains(*resampled_weights(checked, events, counts, at), values)),
        checked.size, n_resamples, seed,
    )  # fmt: skip
    low, high = percentile_limits(drawn, check_level(level), "a reclassification improvement")
    return SurvivalReclassification(
        nri=float(found[0] - found[1]),
        nri_events=float(found[0]),
        nri_nonevents=float(-found[1]),
        nri_low=float(low[0]),
        nri_high=float(high[0]),
        idi=float(found[2] - found[3]),
        idi_low=float(low[1]),
        idi_high=float(high[1]),
        horizon=float(horizon),
        n_events=int(at.case.sum()),
        n_nonevents=int(at.control.sum()),
    )


def _gains(cases: FloatArray, controls: FloatArray, values: FloatArray) -> FloatArray:
    """Weighted means of sign and size of the change: events, non-events, for each; shape (b, 4)."""
    means = []
    for weights in (cases, controls):
        total = weights.sum(axis=1, keepdims=True)
        means.append(np.divide(weights @ values, total, out=np.full((len(weights), 2), np.nan), where=total > 0))
    return np.column_stack([means[0][:, 0], means[1][:, 0], means[0][:, 1], means[1][:, 1]])


def _totals(gains: FloatArray) -> FloatArray:
    return np.column_stack([gains[:, 0] - gains[:, 1], gains[:, 2] - gains[:, 3]])


COLUMNS = ["threshold", "strategy", "net_benefit", "interventions_avoided"]


def _as_thresholds(thresholds: Any) -> FloatArray:
    values = as_finite(np.atleast_1d(np.asarray(thresholds)), "thresholds")
    if ((values < 0) | (values >= 1)).any():
        raise InputError(
            f"`thresholds` must lie in [0, 1), found {values.min():g} to {values.max():g}; "
            "a threshold of 1 would weigh a false positive infinitely."
        )
    return values


def per_cent(low: float, high: float) -> FloatArray:
    """Return the thresholds from `low` to `high` by per cent."""
    return np.round(np.arange(low, high + 1e-9, 0.01), 4)


def _strategies(risk: Any, n: int, name: str) -> dict[str, FloatArray]:
    """Checked probabilities by strategy; a single array is the strategy 'model'."""
    given = dict(risk.items()) if isinstance(risk, Mapping | pd.DataFrame) else {"model": risk}
    reserved = {"treat_all", "treat_none"} & {str(key) for key in given}
    if not given or reserved:
        raise InputError(
            f"`{name}` must name at least one signature, and none of them treat_all or treat_none; it names "
            f"{', '.join(map(str, given)) or 'nothing'}."
        )
    return {str(key): as_probability(values, f"{name}[{key!r}]", n) for key, values in given.items()}


def _avoided(table: pd.DataFrame) -> pd.DataFrame:
    """Add the interventions avoided against treating all, NaN at a threshold of 0."""
    reference = table.loc[table["strategy"] == "treat_all"].drop_duplicates("threshold")
    gain = table["net_benefit"] - table["threshold"].map(reference.set_index("threshold")["net_benefit"])
    odds = table["threshold"] / (1 - table["threshold"])
    table["interventions_avoided"] = gain / odds.where(odds > 0)
    return table[COLUMNS].reset_index(drop=True)


def net_benefit(y: Any, p: Any, thresholds: Any) -> pd.DataFrame:
    """Net benefit for a binary outcome.

    Parameters
    ----------
    y : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,), or mapping of signature to such arrays
        A subject is treated where p >= threshold.
    thresholds : array-like
        Threshold probabilities in [0, 1).

    Returns
    -------
    DataFrame
        `threshold, strategy, net_benefit, interventions_avoided`; `strategy` is "model" (or the signature's name),
        "treat_all" and "treat_none". `interventions_avoided` is per patient, against treating all, and NaN at
        threshold 0, where it does not exist.

    Raises
    ------
    InputError, NotEstimableError
        NaN, a value outside 0-1, unequal lengths; only one class.

    Notes
    -----
    TP/n - FP/n t/(1-t), from dcurves (Vickers & Elkin 2006, Med Decis Making 26:565). As there, a risk of exactly 0
    is never treated, not even at threshold 0.
    """
    labels = as_binary(y)
    marks = _as_thresholds(thresholds)
    models = _strategies(p, labels.size, "p")
    # Neutral column names: dcurves reserves "all" and "none".
    columns = {f"model_{i}": risk for i, risk in enumerate(models.values())}
    found = dca(pd.DataFrame({"outcome": labels, **columns}), "outcome", list(columns), thresholds=marks)
    names = dict(zip(columns, models, strict=True)) | {"all": "treat_all", "none": "treat_none"}
    return _avoided(found.assign(strategy=found["model"].map(names)))


def net_benefit_survival(time: Any, event: Any, risk: Any, horizon: float, thresholds: Any) -> pd.DataFrame:
    """Net benefit for a survival outcome at a horizon.

    Parameters
    ----------
    time, event : array-like, shape (n,)
        Follow-up and event indicator (0/1).
    risk : array-like of probabilities, shape (n,), or mapping of signature to such arrays
        Probability of the event by the horizon; a subject is treated where risk >= threshold.
    horizon : float
        In the unit of `time`.
    thresholds : array-like
        Threshold probabilities in [0, 1).

    Returns
    -------
    DataFrame
        As `net_benefit`. 0 where nobody is treated, NaN where none of the treated is followed to the horizon.

    Raises
    ------
    InputError, NotEstimableError
        Invalid input; nobody at all is followed to the horizon.

    Notes
    -----
    (1 - S) P - S P t/(1-t), with P the share treated and S their Kaplan-Meier survival at the horizon (Vickers et al.
    2008, BMC Med Inform Decis Mak 8:53). Own code with the values of dcurves: that refits lifelines twice for
    every threshold and strategy (1.8 s for 99 thresholds, n = 686) and fails with a TypeError when the horizon
    lies beyond all follow-up.
    """
    times, events = as_survival(time, event)
    marks = _as_thresholds(thresholds)
    when = as_horizon(times, horizon)
    models = _strategies(risk, times.size, "risk")
    treated = {name: values[None, :] >= marks[:, None] for name, values in models.items()}
    treated["treat_all"] = np.ones((marks.size, times.size), dtype=bool)
    treated["treat_none"] = np.zeros((marks.size, times.size), dtype=bool)
    parts = []
    for name, member in treated.items():
        benefit = _benefit(times, events, member, when, marks / (1 - marks))
        parts.append(pd.DataFrame({"threshold": marks, "strategy": name, "net_benefit": benefit}))
    return _avoided(pd.concat(parts, ignore_index=True))


def _benefit(times: FloatArray, events: Any, member: Any, horizon: float, odds: FloatArray) -> FloatArray:
    share = member.mean(axis=1)
    survival, _ = survival_at(times, events, member, horizon)
    return np.where(share == 0, 0.0, (1 - survival) * share - survival * share * odds)


_ROWS = 4000  # resamples x thresholds whose survival is estimated at once


def counted_benefit(
    outcome: pd.DataFrame, risk: Any, thresholds: Any, counts: FloatArray, horizon: float | None = None
) -> FloatArray:
    """Net benefit of a model in resamples, each patient counted as often as it was drawn.

    Parameters
    ----------
    outcome : DataFrame, n rows
        label; or time and event, for a horizon.
    risk : array-like of probabilities, shape (n,)
    thresholds : array-like
    counts : ndarray, shape (b, n)
    horizon : float, optional

    Returns
    -------
    ndarray, shape (b, thresholds)
        As `net_benefit` and `net_benefit_survival` on the drawn rows.
    """
    marks, total = _as_thresholds(thresholds), counts.sum(axis=1)
    odds, risks = marks / (1 - marks), as_probability(risk, "risk", len(outcome))
    treated = risks[None, :] >= marks[:, None]
    if horizon is None:
        labels = as_binary(outcome["label"], "label", len(outcome))
        member = (treated & (risks > 0)).T.astype(float)  # as `net_benefit`, which never treats a risk of 0
        return ((counts * labels) @ member - ((counts * (1 - labels)) @ member) * odds) / total[:, None]
    times, events = as_survival(outcome["time"], outcome["event"])
    share = counts @ treated.T.astype(float) / total[:, None]
    size = max(1, _ROWS // len(counts))  # thresholds at once: one by one takes ten times as long in few resamples
    parts = []
    for own in (treated[i : i + size] for i in range(0, marks.size, size)):
        member = (counts[:, None, :] * own).reshape(-1, times.size)
        parts.append(survival_at(times, events, member, horizon)[0].reshape(len(counts), -1))
    survival = np.concatenate(parts, axis=1)
    return np.where(share == 0, 0.0, (1 - survival) * share - survival * share * odds)


REFERENCES = ("treat_all", "treat_none")
#: Smallest gain in net benefit that counts: 5 more true positives per 1000 patients, at no more false ones.
LEAST_GAIN = 0.005


def least_gain(n: int) -> float:
    """Return the smallest gain in net benefit that counts among `n` patients, which is one patient at least."""
    return max(LEAST_GAIN, 1 / n) if n else LEAST_GAIN


def gains(curves: pd.DataFrame) -> pd.DataFrame:
    """Return net benefit above the better reference: one row per threshold, one column per signature.

    Parameters
    ----------
    curves : DataFrame
        threshold, strategy (signatures, and at least one of treat_all and treat_none), net_benefit (per patient).
    """
    wide = curves.groupby(["threshold", "strategy"])["net_benefit"].first().unstack()  # noqa: PD010 - keeps empty ones
    names = [s for s in curves["strategy"].drop_duplicates() if s not in REFERENCES]
    reference = wide.reindex(columns=list(REFERENCES)).max(axis=1).fillna(0.0)
    return wide[names].sub(reference, axis=0)


def stretches(gain: pd.Series, n: int = 0) -> list[tuple[float, float]]:
    """Return first and last threshold of every unbroken run of thresholds with a gain that counts (`least_gain`)."""
    better = (gain >= least_gain(n) - 1e-12).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], better.astype(int), [0]))))
    marks = gain.index.to_numpy(dtype=float)
    return [(float(marks[a]), float(marks[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


#: Said of a model without any gain.
NOWHERE = "nowhere"


def stretch_words(found: Sequence[tuple[float, float]]) -> str:
    """Word stretches in per cent: ``6% to 12%, 20%``; ``nowhere`` without any."""
    words = [f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}" for low, high in found]
    return listed(words, limit=len(words)) if words else NOWHERE
