"""Newton's method with step halving for a concave log-likelihood, and whether that likelihood has a maximum at all.

A direction of coefficients that never lowers the likelihood and sometimes raises it makes estimates infinite:
separation (logistic) or monotone likelihood (Cox). Whether one exists is a linear programme (Albert & Anderson 1984;
Konis 2007); it is solved only after a fit looked suspicious.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import NotEstimableError, Problem

Evaluate = Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]

_MAX_ITERATIONS = 100
_MAX_STEP = 5.0  # per standardised coefficient; only ever reached far from the solution


@dataclass(frozen=True)
class Optimum:
    """Where `maximise` stopped."""

    beta: FloatArray
    value: float
    score: FloatArray
    information: FloatArray
    iterations: int
    converged: bool


def maximise(evaluate: Evaluate, start: FloatArray, tolerance: float = 1e-20) -> Optimum:
    """Newton's method with step halving for a log-likelihood of standardised covariates.

    Parameters
    ----------
    evaluate : callable
        beta -> (log-likelihood, score, information).
    start : array, shape (p,)
    tolerance : float
        Stop when the expected gain (half the Newton decrement), relative to the log-likelihood, is below it.
        Convergence is quadratic, so the default costs one more step than 1e-9 and leaves nothing but rounding.

    Returns
    -------
    Optimum
        ``converged`` is False where 100 steps did not suffice or the information is singular.
    """
    beta = start
    value, score, information = evaluate(beta)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        step = _solve(information, score)
        if step is None:
            return Optimum(beta, value, score, information, iteration, False)
        gain = float(score @ step)
        if gain <= tolerance * (abs(value) + 1.0) or not beta.size:
            return Optimum(beta, value, score, information, iteration, True)
        step = step * min(1.0, _MAX_STEP / float(np.abs(step).max()))
        moved = _line_search(evaluate, beta, value, step)
        if moved is None:  # no step improves: rounding is all that is left, or the fit failed
            return Optimum(beta, value, score, information, iteration, gain < 1e-9 * (abs(value) + 1.0))
        beta, (value, score, information) = moved
    return Optimum(beta, value, score, information, _MAX_ITERATIONS, False)


def _solve(information: FloatArray, score: FloatArray) -> FloatArray | None:
    try:
        factor = np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return None
    return np.linalg.solve(factor.T, np.linalg.solve(factor, score))


def _line_search(
    evaluate: Evaluate, beta: FloatArray, value: float, step: FloatArray
) -> tuple[FloatArray, tuple[float, FloatArray, FloatArray]] | None:
    """Halve the step until the log-likelihood does not fall; None where even a tiny step makes it fall."""
    slack = 1e-13 * (abs(value) + 1.0)  # rounding of the log-likelihood
    for _ in range(30):
        candidate = beta + step
        result = evaluate(candidate)
        if np.isfinite(result[0]) and result[0] >= value - slack:
            return candidate, result
        step = step / 2
    return None


def restricted(evaluate: Evaluate, beta: FloatArray, free: Sequence[int]) -> Evaluate:
    """Let only the `free` coefficients vary; the others stay as in `beta`."""

    def restricted(part: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        whole = beta.copy()
        whole[free] = part
        value, score, information = evaluate(whole)
        return value, score[free], information[np.ix_(free, free)]

    return restricted


_SMALL = 1e-7


def logistic_direction(x: FloatArray, y: IntArray) -> FloatArray | None:
    """Return a separating direction of (intercept, slopes), largest entry 1, or None where there is none.

    Parameters
    ----------
    x : array, shape (n, p)
        Standardised covariates, without intercept.
    y : int array, shape (n,)
    """
    signed = np.column_stack([np.ones(len(y)), x]) * np.where(y == 1, 1.0, -1.0)[:, None]
    signed = signed / np.linalg.norm(signed, axis=1, keepdims=True)
    result = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(y)), bounds=(-1, 1), method="highs")
    return result.x if result.status == 0 and -result.fun > _SMALL * len(y) else None


def cox_direction(x: FloatArray, deaths: IntArray, first: IntArray) -> FloatArray | None:
    """Return a direction along which every death has the largest risk of its risk set, or None.

    Parameters
    ----------
    x : array, shape (n, p)
        Standardised covariates in ascending order of time.
    deaths, first : int array
        The subjects who die, and the first subject of each one's risk set.

    Notes
    -----
    Variables are the direction d and, for each position in time, an upper bound m of x·d over all later subjects; a
    death needs x·d >= m at its own time. This keeps the number of constraints proportional to n.
    """
    n, p = x.shape
    later = sparse.hstack([sparse.csr_matrix((n - 1, p)), sparse.eye(n - 1, n, k=1) - sparse.eye(n - 1, n)])
    own = sparse.hstack([sparse.csr_matrix(x), -sparse.eye(n)])
    select = sparse.csr_matrix((np.ones(deaths.size), (np.arange(deaths.size), first)), shape=(deaths.size, n))
    above = sparse.hstack([sparse.csr_matrix(-x[deaths]), select])
    constraints = sparse.vstack([later, own, above]).tocsr()
    counts = n - first
    suffix = np.cumsum(x[::-1], axis=0)[::-1]
    gain = (x[deaths] - suffix[first] / counts[:, None]).sum(axis=0)
    objective = np.concatenate([-gain, np.zeros(n)])
    bounds = [(-1.0, 1.0)] * p + [(None, None)] * n
    limits = np.zeros(constraints.shape[0])
    result = linprog(objective, A_ub=constraints, b_ub=limits, bounds=bounds, method="highs")
    return result.x[:p] if result.status == 0 and -result.fun > _SMALL * deaths.size else None


def refuse_separation(direction: FloatArray, columns: Sequence[str], model: str) -> NotEstimableError:
    """Return the error that names the covariates whose coefficients are infinite."""
    involved = [name for name, weight in zip(columns, direction, strict=True) if abs(weight) > 1e-6]
    problems = [
        Problem(
            "The coefficient is infinite: the outcome is separated by this covariate, alone or with the others named",
            "cases and controls that overlap",
            'Fit with penalty="firth", merge rare levels, or leave the covariate out',
            column=name,
        )
        for name in involved
    ]
    return NotEstimableError(f"The {model} likelihood has no maximum (separation):", problems)
