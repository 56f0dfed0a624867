"""Elastic-net paths by Newton's method on the active set: the solver behind `radsupport.stats.lasso`.

At one penalty, the log-likelihood is replaced by its exact quadratic (the whole Hessian, not its diagonal as in glmnet
and scikit-survival's Coxnet), the penalised quadratic is solved exactly by an active-set method, and this is repeated
until the optimality (KKT) conditions hold to 1e-9 of the largest penalty. Each penalty starts where the last two
solutions point to, which makes this two steps a penalty.

scikit-learn has no L1 path for the logistic likelihood with a free intercept, and Coxnet needs a tolerance of 1e-13 for
coefficients to 1e-6, which takes it minutes on wide data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.linalg import lapack

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import NotEstimableError
from radsupport.stats.cox import RiskSets, at_deaths, subject_weights

try:
    import radsupport.stats._penalised as _penalised  # type: ignore[import-not-found, unused-ignore]
except ImportError:  # not built: no C compiler, or a folder that was never installed
    _penalised = None

_KKT = 1e-9  # relative to the largest penalty
_KKT_LOOSE = 1e-6  # where columns are nearly identical and rounding keeps the strict one out of reach
_MAX_NEWTON = 200
_MIN_LAMBDAS = 5  # glmnet.control's mnlam


@dataclass(frozen=True, eq=False)
class BinomialLoss:
    """Logistic log-likelihood of 0/1 outcomes per subject, as a function of linear predictors."""

    y: IntArray

    @property
    def n(self) -> int:
        """Number of subjects."""
        return int(self.y.size)

    @property
    def saturated(self) -> float:
        """Zero: every probability is 0 or 1."""
        return 0.0

    def exhausted(self, ratios: Sequence[float]) -> bool:
        """The last penalty added less than 1e-5, or more than 0.999 is explained (glmnet's lognet)."""
        return ratios[-1] > 0.999 or ratios[-1] - ratios[-2] < 1e-5

    def gradient(self, eta: FloatArray) -> tuple[float, FloatArray]:
        """Value, and derivative by each linear predictor."""
        value = -float(np.logaddexp(0.0, np.where(self.y == 1, -eta, eta)).sum())
        return value / self.n, (self.y - special.expit(eta)) / self.n

    def hessian(self, x: FloatArray, eta: FloatArray) -> FloatArray:
        """Negative second derivative by the coefficients of `x`."""
        p = special.expit(eta)
        return x.T @ ((p * (1 - p) / self.n)[:, None] * x)


@dataclass(frozen=True, eq=False)
class CoxLoss:
    """Partial log-likelihood per subject with Breslow's ties; subjects in the order of `sets`."""

    sets: RiskSets

    @property
    def n(self) -> int:
        """Number of subjects."""
        return int(self.sets.order.size)

    @property
    def saturated(self) -> float:
        """Minus the sum of d log d over distinct death times (glmnet's coxnet.deviance)."""
        d = np.bincount(self.sets.group).astype(float)
        return -float((d * np.log(d)).sum()) / self.n

    def exhausted(self, ratios: Sequence[float]) -> bool:
        """Four penalties added less than 1e-3 of the total, or more than 0.99 is explained (glmnet's coxnet)."""
        return ratios[-1] > 0.99 or ratios[-1] - ratios[-_MIN_LAMBDAS] < 1e-3 * ratios[-1]

    def gradient(self, eta: FloatArray) -> tuple[float, FloatArray]:
        """Value, and derivative by each linear predictor."""
        shift = eta.max()
        risk = np.exp(eta - shift)
        total = at_deaths(self.sets, risk)
        value = float((eta[self.sets.deaths] - shift - np.log(total)).sum())
        residual = -risk * subject_weights(self.sets, 1.0 / total, self.n)
        residual[self.sets.deaths] += 1.0
        return value / self.n, residual / self.n

    def hessian(self, x: FloatArray, eta: FloatArray) -> FloatArray:
        """Negative second derivative by the coefficients of `x`."""
        risk = np.exp(eta - eta.max())
        total = at_deaths(self.sets, risk)
        mean = at_deaths(self.sets, risk[:, None] * x) / total[:, None]
        weights = risk * subject_weights(self.sets, 1.0 / total, self.n)
        return (x.T @ (weights[:, None] * x) - mean.T @ mean) / self.n


Loss = BinomialLoss | CoxLoss


@dataclass(frozen=True, eq=False)
class Path:
    """Solutions along a path of penalties; coefficients of the columns of `x` as given.

    Attributes
    ----------
    lambdas : float array, shape (m,)
    coef : float array, shape (m, p)
    value : float array, shape (m,)
        Log-likelihood per subject.
    dev_ratio : float array, shape (m,)
        1 - deviance / null deviance.
    null_value : float
        Log-likelihood per subject without penalised columns.
    """

    lambdas: FloatArray
    coef: FloatArray
    value: FloatArray
    dev_ratio: FloatArray
    null_value: float


def solve_path(
    loss: Loss,
    x: FloatArray,
    penalised: FloatArray,
    alpha: float,
    lambdas: FloatArray | None,
    n_lambdas: int,
    min_ratio: float,
) -> Path:
    """Solve max value - lambda (alpha |b|_1 + (1 - alpha) |b|^2 / 2) for a falling sequence of lambda.

    Parameters
    ----------
    loss : Loss
    x : array, shape (n, p)
        Standardised columns.
    penalised : array, shape (p,)
        1 for penalised columns, 0 for the intercept.
    alpha : float
        Share of the L1 penalty, 0 < alpha <= 1.
    lambdas : array or None
        Given penalties, falling; otherwise `n_lambdas` from the smallest that selects nothing down to `min_ratio` times
        it, stopping as glmnet does once the explained deviance hardly grows.
    """
    x = np.ascontiguousarray(x)
    beta, null_value, score = _null_model(loss, x, penalised)
    largest = float(np.abs(score[penalised > 0]).max() / alpha) if (penalised > 0).any() else 0.0
    if not largest > 1e-14:
        raise NotEstimableError("No feature is related to the outcome at all: the path of penalties is empty.")
    automatic = lambdas is None
    grid = largest * min_ratio ** (np.arange(n_lambdas) / max(n_lambdas - 1, 1)) if lambdas is None else lambdas
    null_deviance = 2 * (loss.saturated - null_value)
    coefs: list[FloatArray] = []
    values, ratios = [], []
    for k, penalty in enumerate(grid):
        start = beta if k < 2 else _ahead(coefs[-2:], grid[k - 2 : k + 1])
        l1, l2 = float(penalty) * alpha * penalised, float(penalty) * (1 - alpha) * penalised
        beta, value = _solve(loss, x, l1, l2, start, largest)
        values.append(value)
        coefs.append(beta)
        ratios.append(1 - 2 * (loss.saturated - values[-1]) / null_deviance)
        if automatic and len(ratios) >= _MIN_LAMBDAS and loss.exhausted(ratios):
            break
    return Path(grid[: len(coefs)], np.array(coefs), np.array(values), np.array(ratios), null_value)


def _null_model(loss: Loss, x: FloatArray, penalised: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Coefficients with every penalised one at zero, the value there, and the score of all columns."""
    beta = np.zeros(x.shape[1])
    free = np.flatnonzero(penalised == 0)
    for _ in range(_MAX_NEWTON):
        value, residual = loss.gradient(x @ beta)
        score = x.T @ residual
        if not free.size or np.abs(score[free]).max() < 1e-14:
            break
        beta[free] += np.linalg.solve(loss.hessian(x[:, free], x @ beta), score[free])
    return beta, value, score


def _ahead(last: list[FloatArray], penalties: FloatArray) -> FloatArray:
    """Extend the line through the last two solutions to the next penalty; coefficients do not change their sign."""
    share = (penalties[2] - penalties[1]) / (penalties[1] - penalties[0]) if penalties[1] < penalties[0] else 0.0
    start = last[1] + share * (last[1] - last[0])
    return np.where(start * last[1] > 0, start, last[1])


def _solve(
    loss: Loss, x: FloatArray, l1: FloatArray, l2: FloatArray, start: FloatArray, largest: float
) -> tuple[FloatArray, float]:
    """Return the coefficients at one penalty, and the log-likelihood there."""
    if _penalised is not None and isinstance(loss, BinomialLoss):
        beta = start.copy()
        status, value = _penalised.logistic(np.ascontiguousarray(x), loss.y.astype(float), l1, l2, beta, largest)
        if status == 0:  # else Python tries again, and says why not
            return beta, value
    beta, free = start, l1 == 0
    used = np.flatnonzero(beta)
    eta = x[:, used] @ beta[used]
    value, residual = loss.gradient(eta)
    for _ in range(_MAX_NEWTON):
        score = residual @ x - l2 * beta
        wrong = np.abs(score) - l1
        work = np.flatnonzero((beta != 0) | (wrong > 0) | free)
        wrong[used] = np.abs(score[used] - l1[used] * np.sign(beta[used]))
        worst = wrong.max()
        if worst <= _KKT * largest:
            return beta, value
        columns = x[:, work]
        hessian = loss.hessian(columns, eta)
        hessian.flat[:: work.size + 1] += l2[work]
        target = penalised_quadratic(hessian, score[work] + hessian @ beta[work], l1[work], beta[work])
        objective = value - float(l1 @ np.abs(beta) + l2 @ beta**2 / 2)
        moved = _step(loss, columns, l1[work], l2[work], beta[work], target - beta[work], objective)
        if moved is None:  # nothing but rounding is left to gain
            return beta, value
        own, eta, value, residual = moved
        beta = np.zeros_like(beta)
        beta[work] = own
        used = work[own != 0]
    if worst <= _KKT_LOOSE * largest:  # nearly identical columns: the optimum is flat, the risk is settled
        return beta, value
    raise NotEstimableError(f"The penalised fit did not converge within {_MAX_NEWTON} steps; use a larger penalty.")


def ridge_logistic(x: FloatArray, y: IntArray, penalties: FloatArray) -> list[tuple[FloatArray, float]]:
    """Logistic regression with a ridge penalty, -value + lambda |b|^2 / 2, at each of several falling penalties.

    With more columns than subjects Newton's steps are made in the space of subjects, where b = x'a (Rasmussen &
    Williams 2006, algorithm 3.1): one matrix of products serves all steps and penalties.

    Returns
    -------
    list of (coefficients, intercept)
    """
    n, p = x.shape
    if p < n:
        design, penalised = np.column_stack([np.ones(n), x]), np.append(0.0, np.ones(p))
        loss, beta, found = BinomialLoss(y), np.append(special.logit(y.mean()), np.zeros(p)), []
        largest = float(np.abs(loss.gradient(design @ beta)[1] @ design).max())
        for penalty in penalties:
            beta, _ = _solve(loss, design, np.zeros(p + 1), penalty * penalised, beta, largest)
            found.append((beta[1:], float(beta[0])))
        return found
    products, a, shift, found = x @ x.T, np.zeros(n), float(special.logit(y.mean())), []
    for penalty in penalties:
        a, shift = _dual_ridge(products, y, n * float(penalty), a, shift)
        found.append((x.T @ a, shift))
    return found


def _dual_ridge(
    products: FloatArray, y: IntArray, penalty: float, a: FloatArray, shift: float
) -> tuple[FloatArray, float]:
    """Newton's method for `ridge_logistic` with b = x'a; at the optimum, penalty * a is the residual."""

    def objective(a: FloatArray, eta: FloatArray) -> float:
        return float(np.logaddexp(0.0, np.where(y == 1, -eta, eta)).sum() + penalty / 2 * (a @ products @ a))

    eta = products @ a + shift
    value = objective(a, eta)
    for _ in range(_MAX_NEWTON):
        p = special.expit(eta)
        if np.abs(y - p - penalty * a).max() <= _KKT and abs(float((y - p).sum())) <= _KKT:
            break
        root = np.sqrt(np.maximum(p * (1 - p), 1e-12))
        matrix = root[:, None] * products * root
        matrix.flat[:: len(y) + 1] += penalty
        right = np.column_stack([root * eta + (y - p) / root, root])
        u, v = (root[:, None] * _solved(matrix, right)).T
        new_shift = float(u.sum() / v.sum())
        step, turn = u - new_shift * v - a, new_shift - shift
        for _ in range(40):
            moved = products @ (a + step) + shift + turn
            found = objective(a + step, moved)
            if found <= value + 1e-12 * (abs(value) + 1):
                break
            step, turn = step / 2, turn / 2
        else:
            break  # nothing but rounding is left to gain
        a, shift, eta, value = a + step, shift + turn, moved, found
    return a, shift


def _step(
    loss: Loss, x: FloatArray, l1: FloatArray, l2: FloatArray, beta: FloatArray, step: FloatArray, objective: float
) -> tuple[FloatArray, FloatArray, float, FloatArray] | None:
    slack = 1e-15 * (abs(objective) + 1)
    for _ in range(40):
        candidate = beta + step
        eta = x @ candidate
        value, residual = loss.gradient(eta)
        if np.isfinite(value) and value - float(l1 @ np.abs(candidate) + l2 @ candidate**2 / 2) >= objective - slack:
            return candidate, eta, value, residual
        step = step / 2
    return None


def penalised_quadratic(hessian: FloatArray, linear: FloatArray, l1: FloatArray, start: FloatArray) -> FloatArray:
    """Minimise b'Hb / 2 - c'b + sum of l1 |b| exactly, by adding and dropping one coefficient at a time.

    Parameters
    ----------
    hessian : array, shape (p, p)
        Positive semidefinite.
    linear : array, shape (p,)
    l1 : array, shape (p,)
        Zero for unpenalised coefficients.
    start : array, shape (p,)
        Where to start; its nonzero entries and signs are the first active set.
    """
    b, sign = start.copy(), np.sign(start)
    if _penalised is not None and _penalised.quadratic(np.ascontiguousarray(hessian), linear, l1, b) == 0:
        return b
    b = start.copy()
    active = (b != 0) | (l1 == 0)
    tolerance = 1e-12 * max(float(np.abs(linear).max()), float(l1.max()))
    matrix = hessian.copy()
    matrix.flat[:: len(b) + 1] += 1e-14 * float(np.trace(hessian)) / len(b) + 1e-300
    for turn in range(20 * len(b) + 100):
        chosen = np.flatnonzero(active)
        own, penalty = b[chosen], l1[chosen]
        target = _solved(matrix[chosen[:, None], chosen], linear[chosen] - penalty * sign[chosen])
        crossing = (penalty > 0) & (target * sign[chosen] <= 0)
        if crossing.any():
            move = target - own
            share = np.full(chosen.size, np.inf)
            share[crossing] = -own[crossing] / np.where(move[crossing] == 0, -1.0, move[crossing])
            first = int(np.argmin(share))
            b[chosen] += min(max(float(share[first]), 0.0), 1.0) * move
            b[chosen[first]], sign[chosen[first]], active[chosen[first]] = 0.0, 0.0, False
            continue
        b[chosen] = target
        pull = linear - hessian[:, chosen] @ target
        excess = np.abs(pull) - l1
        excess[chosen] = -np.inf
        worst = int(np.argmax(excess))
        if excess[worst] <= tolerance:
            return b
        # All that want to enter at once save solving; one at a time can not go round in circles.
        new = excess > tolerance if turn < _TOGETHER else np.array([worst])
        active[new], sign[new] = True, np.sign(pull[new])
    return b


_TOGETHER = 10  # turns in which several coefficients enter at once


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """Solve a positive definite system by Cholesky, and by elimination where rounding leaves it singular."""
    if not right.size:
        return right
    _, found, failed = lapack.dposv(matrix, right)
    return np.asarray(np.linalg.solve(matrix, right) if failed else found, dtype=float)
