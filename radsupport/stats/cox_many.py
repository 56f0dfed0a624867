"""Thousands of univariable Cox regressions at once: Newton's method on all features side by side.

lifelines and `fit_cox` fit one model at a time; here every step is a handful of matrix operations over all features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray
from radsupport.errors import InputError
from radsupport.stats.cox import RiskSets, at_deaths, risk_sets
from radsupport.stats.regression import check_choice, check_level
from radsupport.stats.survival_curves import survival_times

BoolArray = npt.NDArray[np.bool_]

_MAX_ITERATIONS = 40
_BLOCK = 2_000_000  # subjects × features at a time


def univariable_cox_features(
    features: Any, time: Any, event: Any, ties: str = "efron", *, level: float = 0.95
) -> pd.DataFrame:
    """Fit one Cox regression per feature, all at once.

    Values equal those of `radsupport.stats.cox.fit_cox` with the one covariate.

    Parameters
    ----------
    features : DataFrame or array, shape (n, m)
    time, event : array-like, shape (n,)
    ties : {"efron", "breslow"}
    level : float

    Returns
    -------
    DataFrame
        One row per feature, in order: feature, coef, hr, ci_low, ci_high, se, z, p, lr_chi2, p_lr, note. A feature that
        can not be estimated has NaN and the reason in ``note``: "constant", "missing or infinite values",
        "no information" (it does not vary among those at risk at any event), or "separated" (each event has the
        largest, or each the smallest, value of those at risk: infinite coefficient).

    Raises
    ------
    InputError
        Features are not numeric or not one row per subject.
    NotEstimableError
        No event.
    """
    check_choice(ties, "ties", ("efron", "breslow"))
    z = float(stats.norm.ppf(0.5 + check_level(level) / 2))
    times, events = survival_times(time, event, any_event=True)
    names, values = _matrix(features, times.size)
    sets = risk_sets(times, events, ties)
    finite = np.isfinite(values).all(axis=0)
    filled = np.where(finite, values, 0.0)
    mean, sd = filled.mean(axis=0), filled.std(axis=0)
    varied = sd > 1e-10 * np.maximum(np.abs(mean), np.finfo(float).tiny)
    x = ((filled - mean) / np.where(varied, sd, 1.0))[sets.order]
    width = max(1, _BLOCK // times.size)
    parts = [_newton(sets, x[:, i : i + width]) for i in range(0, x.shape[1], width)]
    beta, information, gain = (np.concatenate(part) for part in zip(*parts, strict=True))
    reasons = {"missing or infinite values": ~finite, "constant": ~varied, **_unbounded(sets, x)}
    note = np.select(list(reasons.values()), list(reasons), "")
    usable = note == ""
    coef, se = np.full(len(names), np.nan), np.full(len(names), np.nan)
    coef[usable] = beta[usable] / sd[usable]
    se[usable] = 1 / np.sqrt(information[usable]) / sd[usable]
    chi2 = np.where(usable, 2 * gain, np.nan)
    with np.errstate(over="ignore"):  # a feature in tiny units has a hazard ratio of infinity per unit
        ratios = {"hr": np.exp(coef), "ci_low": np.exp(coef - z * se), "ci_high": np.exp(coef + z * se)}
    wald = coef / se
    tests = {"se": se, "z": wald, "p": 2 * stats.norm.sf(np.abs(wald)), "lr_chi2": chi2, "p_lr": stats.chi2.sf(chi2, 1)}
    return pd.DataFrame({"feature": names, "coef": coef, **ratios, **tests, "note": note})


def _matrix(features: Any, n: int) -> tuple[list[str], FloatArray]:
    table = features if isinstance(features, pd.DataFrame) else pd.DataFrame(np.asarray(features))
    wrong = [str(name) for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    if wrong:
        raise InputError(f"`features` must be numeric; these columns are not: {', '.join(wrong[:10])}.")
    if len(table) != n or not table.shape[1]:
        raise InputError(f"`features` has shape {table.shape}; {n} rows and at least one column were expected.")
    return [str(name) for name in table.columns], table.to_numpy(dtype=float)


def _unbounded(sets: RiskSets, x: FloatArray) -> dict[str, BoolArray]:
    """Features whose likelihood is flat, or rises for ever: every death is extreme in its risk set."""
    own = x[sets.deaths]
    highest = np.maximum.accumulate(x[::-1])[::-1][sets.first]
    lowest = np.minimum.accumulate(x[::-1])[::-1][sets.first]
    flat = (highest == lowest).all(axis=0)
    return {"no information": flat, "separated": (own == highest).all(axis=0) | (own == lowest).all(axis=0)}


def _newton(sets: RiskSets, x: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return coefficients, information and gain in log-likelihood, shape (m,) each."""
    beta = np.zeros(x.shape[1])
    value, score, information = _evaluate(sets, x, beta)
    null = value.copy()
    active = np.arange(beta.size)
    for _ in range(_MAX_ITERATIONS):
        usable = information[active] > 1e-12
        step = np.divide(score[active], information[active], out=np.zeros(active.size), where=usable)
        moving = usable & (score[active] * step > 1e-20 * (np.abs(value[active]) + 1))
        active, step = active[moving], np.clip(step[moving], -5.0, 5.0)
        if not active.size:
            break
        found = _evaluate(sets, x[:, active], beta[active] + step)
        for _ in range(30):
            worse = ~(found[0] >= value[active] - 1e-13 * (np.abs(value[active]) + 1))
            if not worse.any():
                break
            step = np.where(worse, step / 2, step)
            retry = _evaluate(sets, x[:, active[worse]], beta[active[worse]] + step[worse])
            for old, new in zip(found, retry, strict=True):
                old[worse] = new
        beta[active] += step
        value[active], score[active], information[active] = found
    return beta, information, value - null


def _evaluate(sets: RiskSets, x: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log partial likelihood, score and information of each feature alone."""
    eta = x * beta
    shift = eta.max(axis=0)
    risk = np.exp(eta - shift)
    total = at_deaths(sets, risk)
    first = at_deaths(sets, risk * x) / total
    second = at_deaths(sets, risk * x * x) / total
    value = (eta[sets.deaths] - shift - np.log(total)).sum(axis=0)
    return value, (x[sets.deaths] - first).sum(axis=0), (second - first * first).sum(axis=0)
