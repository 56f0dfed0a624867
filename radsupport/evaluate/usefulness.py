"""Whether acting on a signature would help: decision curves, and reclassification against another signature.

All functions take rows of one cohort (and horizon) as `probabilities` returns them, so that `measure` can go through
the cohorts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import NotEstimableError
from radsupport.evaluate.predictions import FEWEST, LABEL, SURVIVAL, common, enough, too_few, with_variance
from radsupport.evaluate.probability import usable_horizons
from radsupport.stats.bootstrap import bootstrap, percentile_limits
from radsupport.stats.usefulness import (
    counted_benefit,
    gains,
    least_gain,
    net_benefit,
    net_benefit_survival,
    nri_idi,
    nri_idi_survival,
    per_cent,
    stretch_words,
    stretches,
)


def decisions(
    part: pd.DataFrame, low: float = 0.05, high: float = 0.6, *, banded: str = "", n_bootstrap: int = 500, seed: int = 0
) -> pd.DataFrame:
    """Return net benefit of signatures, treat-all and treat-none over a range of thresholds, by per cent.

    Parameters
    ----------
    part : DataFrame
        Rows of one cohort (and horizon) with probability; the patients whom all its signatures predict are compared.
    low, high : float
        First and last threshold.
    banded : str
        A signature that gets the pointwise 95% limits of a bootstrap over these patients.
    n_bootstrap, seed : int
        Of these limits.

    Returns
    -------
    DataFrame
        n, events (by the horizon), threshold, strategy, net_benefit, interventions_avoided (per patient, against
        treating all), for `plots.decision_curve`, and net_benefit_low, net_benefit_high where a signature is `banded`;
        empty where nothing can be computed.
    """
    when, outcome, risks = _common(part)
    marks = per_cent(low, high)
    models = {str(name): risk for name, risk in risks.items()}
    if risks.empty or not (enough(outcome) if when is None else usable_horizons(outcome, [when])):
        return pd.DataFrame()
    try:
        if when is None:
            found, events = net_benefit(outcome["label"], models, marks), outcome["label"].sum()
        else:
            found = net_benefit_survival(outcome["time"], outcome["event"], models, when, marks)
            events = ((outcome["time"] <= when) & (outcome["event"] == 1)).sum()
    except NotEstimableError:
        return pd.DataFrame()
    found = found.assign(n=len(outcome), events=int(events))
    if banded in risks:
        own, place = found["strategy"] == banded, found["threshold"]
        for key, values in _limits(outcome, risks[banded], marks, when, n_bootstrap, seed).items():
            found[key] = place.map(dict(zip(marks, values, strict=True))).where(own)
    return found


def _limits(
    outcome: pd.DataFrame, risk: pd.Series, marks: FloatArray, when: float | None, n_bootstrap: int, seed: int
) -> dict[str, FloatArray]:
    """Return percentile limits of net benefit; none at a threshold that half of the resamples say nothing about."""
    drawn = bootstrap(
        lambda counts: counted_benefit(outcome, risk, marks, counts, when), len(outcome), n_bootstrap, seed
    )
    enough_known = np.isfinite(drawn).mean(axis=0) >= 0.5
    low, high = np.full(len(marks), np.nan), np.full(len(marks), np.nan)
    low[enough_known], high[enough_known] = percentile_limits(drawn[:, enough_known], 0.95, "a net benefit")
    return {"net_benefit_low": low, "net_benefit_high": high}


def _common(part: pd.DataFrame) -> tuple[float | None, pd.DataFrame, pd.DataFrame]:
    """Return horizon (None for a label), outcome, and probabilities of the patients common to all signatures."""
    when = float(part["horizon"].iloc[0]) if "horizon" in part else None
    outcome, risks = common(part, LABEL if when is None else SURVIVAL, "probability")
    return when, outcome, risks.clip(0, 1)


def usefulness(curves: pd.DataFrame) -> pd.DataFrame:
    """Return where each signature gains enough (`least_gain`) over both treating all and treating none.

    Parameters
    ----------
    curves : DataFrame
        `decisions` of one cohort (and horizon).

    Returns
    -------
    DataFrame
        n, events, least (gain that counts), signature, share (of the thresholds, at which it does), better_at (these
        thresholds as separate stretches, in words), largest_gain (net benefit per patient above the better reference),
        at (the threshold of that gain); the last two missing where no gain is that large.
    """
    rows = []
    n = int(curves["n"].iloc[0]) if len(curves) else 0
    for name, gain in gains(curves).items():
        found = stretches(gain, n)
        inside = sum(int(gain.loc[low:high].size) for low, high in found)
        most = (float(gain.max()), f"{gain.idxmax():.0%}") if found else (np.nan, "")
        row: dict[str, Any] = {"n": n, "events": int(curves["events"].iloc[0]), "least": least_gain(n)}
        row |= {"signature": name, "share": inside / len(gain), "better_at": stretch_words(found)}
        rows.append(row | {"largest_gain": most[0], "at": most[1] or None})
    return pd.DataFrame(rows)


def reclassification(
    part: pd.DataFrame,
    new: str,
    old: str,
    limits: Sequence[float] = (),
    n_bootstrap: int = 1000,
    seed: int = 0,
    *,
    halves: bool = False,
) -> pd.DataFrame:
    """Return how one signature moves patients against another one.

    Parameters
    ----------
    part : DataFrame
        Rows of one cohort (and horizon) with probability.
    new, old : str
        The two signatures.
    limits : sequence of float
        Limits of classes of risk, for the NRI of a label over classes.
    n_bootstrap, seed : int
        Of the intervals at a horizon, where both measures are weighted for censoring.
    halves : bool
        Whether the two parts of the continuous NRI, of patients with and without the event, have rows of their own.

    Returns
    -------
    DataFrame
        n, events, measure (continuous NRI, NRI over the limits, IDI), value, value_low, value_high, p (label only), and
        a note where patients are too few (one row without values), too few for an interval and a test, or an estimate
        has no variance; empty where the two signatures are one, or have no common patient.
    """
    when, outcome, p = _common(part[part["signature"].isin([new, old])])
    if p.shape[1] < 2 or new == old:
        return pd.DataFrame()
    if not (enough(outcome) if when is None else usable_horizons(outcome, [when])):
        by_then = outcome["label"] if when is None else (outcome["time"] <= when) & (outcome["event"] == 1)
        row = {"n": len(p), "events": int(by_then.sum()), "measure": "continuous NRI", "value": np.nan}
        return pd.DataFrame([row | {"value_low": np.nan, "value_high": np.nan, "note": too_few()}])
    if when is None:
        whole = nri_idi(outcome["label"], p[old], p[new])
        found: list[tuple[str, Any, str]] = [("continuous NRI", whole, "nri"), ("IDI", whole, "idi")]
        if limits:
            name = f"NRI over the limits {', '.join(f'{limit:.0%}' for limit in limits)}"
            found.insert(1, (name, nri_idi(outcome["label"], p[old], p[new], limits), "nri"))
    else:
        given = outcome["time"], outcome["event"], p[old], p[new], when
        moved = nri_idi_survival(*given, n_resamples=n_bootstrap, seed=seed)
        found = [("continuous NRI", moved, "nri"), ("IDI", moved, "idi")]
    if halves:
        whole = found[0][1]
        found[1:1] = [("NRI, events", whole, "nri_events"), ("NRI, non-events", whole, "nri_nonevents")]
    return pd.DataFrame([with_variance({"n": len(p)} | _moved(*one)) for one in found])


def _moved(name: str, found: Any, key: str) -> dict[str, Any]:
    """Return one measure; without interval and test where either outcome has fewer than 2 · `FEWEST` patients.

    Its standard error is that of patients who move up or down: as many again as `FEWEST` on either side.
    """
    row = {"events": found.n_events, "measure": name, "value": getattr(found, key)}
    few = min(found.n_events, found.n_nonevents) < 2 * FEWEST
    row |= {f"value_{end}": np.nan if few else getattr(found, f"{key}_{end}", np.nan) for end in ("low", "high")}
    row |= {"p": np.nan if few else getattr(found, f"p_{key}")} if hasattr(found, f"p_{key}") else {}
    return row | {"note": f"no interval or test: {too_few(fewest=2 * FEWEST)}"} if few else row
