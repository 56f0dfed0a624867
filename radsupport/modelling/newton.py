"""Newton's method with step halving for a concave log-likelihood of standardised covariates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from radsupport.checks import FloatArray

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
