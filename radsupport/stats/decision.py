"""Decision curves: net benefit of acting on a predicted risk, and where it lies above both references.

For a binary outcome and for a survival outcome at a horizon. Stretches of thresholds are separate: gaps are shown,
noise is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from dcurves import dca

from radsupport.checks import FloatArray, as_binary, as_finite, as_probability, as_survival
from radsupport.errors import InputError
from radsupport.stats.calibration import as_horizon, survival_at
from radsupport.wording import listed

COLUMNS = ["threshold", "strategy", "net_benefit", "interventions_avoided"]


def _as_thresholds(thresholds: Any) -> FloatArray:
    values = as_finite(np.atleast_1d(np.asarray(thresholds)), "thresholds")
    if ((values < 0) | (values >= 1)).any():
        raise InputError(
            f"`thresholds` must lie in [0, 1), found {values.min():g} to {values.max():g}; "
            "a threshold of 1 would weigh a false positive infinitely."
        )
    return values


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


REFERENCES = ("treat_all", "treat_none")
#: Smallest gain in net benefit that counts: 5 more true positives per 1000 patients, at no more false ones.
LEAST_GAIN = 0.005


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


def stretches(gain: pd.Series) -> list[tuple[float, float]]:
    """Return first and last threshold of every unbroken run of thresholds with a gain of at least `LEAST_GAIN`."""
    better = (gain >= LEAST_GAIN - 1e-12).to_numpy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], better.astype(int), [0]))))
    marks = gain.index.to_numpy(dtype=float)
    return [(float(marks[a]), float(marks[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def stretch_words(found: Sequence[tuple[float, float]]) -> str:
    """Word stretches in per cent: ``6% to 12%, 20%``; ``nowhere`` without any."""
    words = [f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}" for low, high in found]
    return listed(words, limit=len(words)) if words else "nowhere"
