"""Profile-likelihood limits of a logistic fit: R's, which are interpolated, and exact ones.

statsmodels has no profile limits for logistic regression.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from scipy import optimize, stats
from scipy.interpolate import make_interp_spline

from radsupport.checks import FloatArray
from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import check_choice, check_level, standardise
from radsupport.modelling.logistic import LogisticFit, likelihood
from radsupport.modelling.newton import Evaluate, maximise, restricted

Profile = Callable[[float], float]

_MAX_STEPS = 9  # of profile.glm on each side
_FAR = 1e4  # standard errors from the estimate where a flat profile is given up


def profile_limits(fit: LogisticFit, level: float | None = None, method: str = "spline") -> pd.DataFrame:
    """Profile-likelihood limits of all odds ratios, intercept included.

    Twice the drop of the (penalised) log-likelihood, maximised over all other coefficients, is compared with the
    chi-square quantile.

    Parameters
    ----------
    fit : LogisticFit
    level : float, optional
        That of the fit by default.
    method : {"spline", "root"}
        "spline" equals R's confint.glm: the signed root of the drop is evaluated at steps of a fifth of its range and
        interpolated, by a spline and then linearly, which moves limits by up to about 1e-3 relative. "root" searches
        the exact limit.

    Returns
    -------
    DataFrame
        covariate, ci_low, ci_high. With "root", a limit that does not exist (the profile stays flat) is 0 or infinity;
        with "spline", NaN, as in R.
    """
    check_choice(method, "method", ("spline", "root"))
    wanted = fit.level if level is None else check_level(level)
    find = _spline_limits if method == "spline" else _root_limits
    standard_errors = np.sqrt(np.diag(fit.covariance.to_numpy()))
    rows = []
    for j, name in enumerate(fit.covariance.index):
        estimate, scale, root = _signed_root(fit, j)
        low, high = find(root, estimate, float(standard_errors[j]) * scale, wanted)
        with np.errstate(over="ignore"):
            rows.append((name, float(np.exp(low / scale)), float(np.exp(high / scale))))
    return pd.DataFrame(rows, columns=["covariate", "ci_low", "ci_high"])


def _signed_root(fit: LogisticFit, j: int) -> tuple[float, float, Profile]:
    """Standardised estimate of coefficient `j`, its scale, and the signed root of twice the drop at any value of it."""
    y, matrix = fit.events(), fit.design.transform(fit.data)
    mean, sd = standardise(matrix, fit.design.columns)
    slopes = fit.coef.to_numpy()
    centre = np.zeros_like(mean) if j == 0 else mean  # the intercept is that at zero, not at the means
    x = np.column_stack([np.ones(y.size), (matrix - centre) / sd])
    start = np.concatenate([[fit.intercept + centre @ slopes], slopes * sd])
    evaluate: Evaluate = partial(likelihood, x, y, fit.penalty)
    top, free, estimate = evaluate(start)[0], [k for k in range(start.size) if k != j], float(start[j])
    warm = start.copy()

    def root(value: float) -> float:
        warm[j] = value
        best = maximise(restricted(evaluate, warm.copy(), free), warm[free], tolerance=1e-16)
        if best.converged:
            warm[free] = best.beta
        return float(np.sign(value - estimate) * np.sqrt(max(2 * (top - best.value), 0.0)))

    return estimate, 1.0 if j == 0 else float(sd[j - 1]), root


def _root_limits(root: Profile, estimate: float, se: float, level: float) -> tuple[float, float]:
    z = float(stats.norm.ppf(0.5 + level / 2))
    limits = []
    for side in (-1.0, 1.0):
        inner, outer = estimate, estimate + side * se
        while side * root(outer) < z and abs(outer - estimate) < _FAR * se:
            inner, outer = outer, outer + 2 * (outer - inner)
        if side * root(outer) < z:
            limits.append(side * np.inf)
        else:
            limits.append(
                float(optimize.brentq(lambda value, s=side: root(value) - s * z, inner, outer, xtol=1e-12 * se))
            )
    return limits[0], limits[1]


def _spline_limits(root: Profile, estimate: float, se: float, level: float) -> tuple[float, float]:
    """Follow MASS::profile.glm and confint.profile.glm step by step."""
    furthest = float(np.sqrt(stats.chi2.ppf(1 - (1 - level) / 4, 1)))
    points = [(estimate, 0.0)]
    for side in (-1, 1):
        for step in range(1, _MAX_STEPS + 1):
            value = estimate + side * step * furthest / 5 * se
            points.append((value, root(value)))
            if abs(points[-1][1]) >= furthest:
                break
    x, z = np.array(sorted(points)).T
    grid = np.linspace(x[0], x[-1], 3 * x.size)
    curve = _fmm_spline(x, z)(grid)
    order = np.argsort(curve, kind="stable")
    ends = stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
    low, high = np.interp(ends, curve[order], grid[order], left=np.nan, right=np.nan)
    return float(low), float(high)


def _fmm_spline(x: FloatArray, y: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Cubic spline whose third derivative at each end is that of the cubic through the last four points (R's "fmm")."""
    if x.size < 4:
        raise NotEstimableError("The profile has too few points to interpolate; use method='root'.")
    ends = [6 * np.polyfit(part[0] - part[0][0], part[1], 3)[0] for part in ((x[:4], y[:4]), (x[-4:], y[-4:]))]
    return make_interp_spline(x, y, k=3, bc_type=([(3, ends[0])], [(3, ends[1])]))
