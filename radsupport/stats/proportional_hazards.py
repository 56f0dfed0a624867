"""Tests of proportional hazards and the scaled Schoenfeld residuals that go with them, as cox.zph of survival >= 3.

lifelines' `proportional_hazard_test` is the older test on residuals (other p-values) and has no global row; hence own
code. The young package `survival`, a port of R's, gives the same test: where it is installed, a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.calibration import loess
from radsupport.stats.cox import CoxFit, RiskSets, at_deaths, risk_sets, subject_weights
from radsupport.stats.regression import check_choice
from radsupport.stats.survival_curves import survival_before, survival_times

TRANSFORMS = ("km", "rank", "identity", "log")


def schoenfeld_test(fit: CoxFit, transform: str = "km", *, terms: bool = True) -> pd.DataFrame:
    """Test whether the log hazard ratios are constant over time (cox.zph, survival >= 3).

    A score test of adding covariate × g(t) to the fitted model, with the information matrix of the enlarged model
    (Grambsch & Therneau 1994; Therneau, survival 3.0).

    Parameters
    ----------
    fit : CoxFit
    transform : {"km", "rank", "identity", "log"}
        g(t): 1 - S(t-), the rank of the time among all times, the time, its logarithm.
    terms : bool
        One row per term, a factor being one term; otherwise one per coefficient.

    Returns
    -------
    DataFrame
        covariate, chi2, df, p; the last row is ``GLOBAL``.

    Raises
    ------
    InputError
        Unknown transform, "log" with a time of zero, a penalised fit.
    NotEstimableError
        No covariates, or too few distinct event times to see a trend.
    """
    parts = _Parts.of(fit, transform)
    p = len(fit.design.columns)
    names = fit.design.column_terms if terms else fit.design.columns
    rows = []
    for name in [*dict.fromkeys(names), "GLOBAL"]:
        chosen = [j for j in range(p) if name == "GLOBAL" or names[j] == name]
        chi2 = _score_test(parts.enlarged, parts.score, p, chosen)
        rows.append((name, chi2, len(chosen), float(stats.chi2.sf(chi2, len(chosen)))))
    return pd.DataFrame(rows, columns=["covariate", "chi2", "df", "p"])


def schoenfeld_residuals(fit: CoxFit, transform: str = "km") -> pd.DataFrame:
    """Scaled Schoenfeld residuals plus coefficient, whose trend over g(t) is that of beta(t) (points of plot.cox.zph).

    Returns
    -------
    DataFrame
        One row per death and term: time, transformed_time, covariate, residual. For a factor it is the residual of its
        contribution to the linear predictor, whose coefficient is 1.
    """
    parts = _Parts.of(fit, transform)
    coef = fit.coef.to_numpy()
    terms = fit.design.column_terms
    names = fit.design.names
    collapse = np.zeros((coef.size, len(names)))
    for j, term in enumerate(terms):
        collapse[j, names.index(term)] = coef[j] if terms.count(term) > 1 else 1.0
    centre = np.array([1.0 if terms.count(name) > 1 else coef[terms.index(name)] for name in names])
    information = collapse.T @ parts.enlarged[: coef.size, : coef.size] @ collapse / len(parts.residuals)
    scaled = np.linalg.solve(information, (parts.residuals @ collapse).T).T + centre
    wide = pd.DataFrame(scaled, columns=names).assign(time=parts.time, transformed_time=parts.g)
    return wide.melt(["time", "transformed_time"], names, "covariate", "residual")


@dataclass(frozen=True, eq=False)
class _Parts:
    """Pieces of test and residuals, one row per death in order of time."""

    time: FloatArray
    g: FloatArray
    residuals: FloatArray  # Schoenfeld: covariate minus its mean in the risk set, averaged over tied deaths
    score: FloatArray  # of the interaction terms
    enlarged: FloatArray  # information of covariates and interactions

    @classmethod
    def of(cls, fit: CoxFit, transform: str) -> _Parts:
        check_choice(transform, "transform", TRANSFORMS)
        if fit.penalty != "none":
            raise InputError("The test of proportional hazards is defined for unpenalised fits only.")
        if not fit.design.columns:
            raise NotEstimableError("The null model has no coefficient whose constancy could be tested.")
        time, event = survival_times(fit.data[fit.time], fit.data[fit.event])
        sets = risk_sets(time, event, fit.ties)
        if sets.times.size < 2:
            raise NotEstimableError(
                "All events are at one time: a change of the hazard ratio over time can not be seen."
            )
        x = (fit.design.transform(fit.data) - fit.means.to_numpy())[sets.order]
        g = _transformed(time, event, transform)[sets.order][sets.deaths]
        eta = x @ fit.coef.to_numpy()
        risk = np.exp(eta - eta.max())
        total = at_deaths(sets, risk)
        mean = at_deaths(sets, risk[:, None] * x) / total[:, None]
        centred = g - g.mean()
        blocks = [_information(sets, x, risk, total, mean, centred**power) for power in (0, 1, 2)]
        enlarged = np.block([[blocks[0], blocks[1]], [blocks[1], blocks[2]]])
        score = ((x[sets.deaths] - mean) * centred[:, None]).sum(axis=0)
        averaged = np.add.reduceat(mean, sets.starts, axis=0) / np.bincount(sets.group)[:, None]
        residuals = x[sets.deaths] - averaged[sets.group]
        return cls(sets.times[sets.group], g, residuals, score, enlarged)


def _information(
    sets: RiskSets, x: FloatArray, risk: FloatArray, total: FloatArray, mean: FloatArray, g: FloatArray
) -> FloatArray:
    """Sum over deaths of g times the covariance of the covariates in the risk set."""
    weights = risk * subject_weights(sets, g / total, x.shape[0])
    return x.T @ (weights[:, None] * x) - mean.T @ (g[:, None] * mean)


def _score_test(enlarged: FloatArray, score: FloatArray, p: int, chosen: list[int]) -> float:
    kept = [*range(p), *(p + j for j in chosen)]
    information = enlarged[np.ix_(kept, kept)]
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all() or np.linalg.cond(information / np.outer(scale, scale)) > 1e14:
        raise NotEstimableError("Too few distinct event times to test for a change of the hazard ratios over time.")
    u = np.concatenate([np.zeros(p), score[chosen]]) / scale
    return float(u @ np.linalg.solve(information / np.outer(scale, scale), u))


def _transformed(time: FloatArray, event: IntArray, transform: str) -> FloatArray:
    if transform == "km":
        return 1.0 - survival_before(time, event, time)
    if transform == "rank":
        return stats.rankdata(time)
    if transform == "log" and not (time > 0).all():
        raise InputError('`transform="log"` needs positive times; some are zero. Use "km", "rank" or "identity".')
    return np.log(time) if transform == "log" else time


def schoenfeld_table(residuals: pd.DataFrame, covariate: str, span: float = 0.75) -> pd.DataFrame:
    """Pick the residuals of one covariate and add their smooth curve, for `plots.schoenfeld`.

    Parameters
    ----------
    residuals : pandas.DataFrame
        What `schoenfeld_residuals` returns: ``time, transformed_time, covariate, residual``.
    covariate : str
    span : float
        Share of the events in each window of the smooth curve.

    Returns
    -------
    pandas.DataFrame
        ``covariate, time, residual, smooth, ci_low, ci_high``, by time. The curve is a loess over the transformed
        time with its pointwise 95% band (normal errors of one variance); plot.cox.zph draws a natural spline there.

    Raises
    ------
    InputError
        No residuals of this covariate, or fewer than 8 events, which no curve can be drawn through.
    """
    own = residuals[residuals["covariate"] == covariate].sort_values("time", ignore_index=True)
    if len(own) < 8:
        known = ", ".join(map(str, residuals["covariate"].unique()))
        raise InputError(f"{len(own)} residuals of `{covariate}`; at least 8 are needed. There are those of {known}.")
    x, y = own["transformed_time"].to_numpy(dtype=float), own["residual"].to_numpy(dtype=float)
    smooth, operator = loess(x, y, x, span)
    freedom = max(len(y) - float(np.trace(operator)), 1.0)
    se = np.sqrt(((y - smooth) ** 2).sum() / freedom * (operator**2).sum(axis=1))
    half = stats.norm.ppf(0.975) * se
    kept = own[["covariate", "time", "residual"]]
    return kept.assign(smooth=smooth, ci_low=smooth - half, ci_high=smooth + half)
