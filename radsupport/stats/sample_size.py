"""Minimum sample size for developing a prediction model, after Riley et al.

Sources: Riley et al. 2019, Stat Med 38:1276 (binary and time-to-event outcomes, with the erratum
Stat Med 38:5672) and Riley et al. 2020, BMJ 368:m441. The formulas are those of R's pmsampsize
1.1; nothing kept here computes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, stats

from radsupport.errors import InputError

Z = 1.96
"""As in the papers, which print it so."""
DEFAULT_NAGELKERKE = 0.15
"""Share of the largest possible R2 to expect where nothing better is known (Riley et al. 2020, figure 4)."""


@dataclass(frozen=True)
class SampleSize:
    """Patients that each criterion asks for.

    Attributes
    ----------
    shrinkage : int
        Criterion 1: predictor effects need be shrunk by no more than 10%.
    optimism : int
        Criterion 2: apparent and adjusted Nagelkerke R2 differ by no more than 0.05.
    overall_risk : int
        Criterion 3: the overall risk is estimated within 0.05.
    required : int
        The largest of the three.
    events : int
        Events among the required patients.
    events_per_parameter : float
    r2, max_r2 : float
        Cox-Snell R2 that was expected, and the largest possible one.
    """

    shrinkage: int
    optimism: int
    overall_risk: int
    required: int
    events: int
    events_per_parameter: float
    r2: float
    max_r2: float


def max_r2_binary(prevalence: float) -> float:
    """Return the largest Cox-Snell R2 for an outcome with this prevalence: 1 - (p^p (1-p)^(1-p))^2."""
    _share(prevalence, "prevalence")
    log = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    return 1 - math.exp(2 * log)


def max_r2_survival(rate: float, mean_follow_up: float) -> float:
    """Return the largest Cox-Snell R2 of a time-to-event model, time counted in mean follow-ups.

    Parameters
    ----------
    rate : float
        Events per unit of time and patient.
    mean_follow_up : float
        In the same unit of time.
    """
    events = _positive(rate, "rate") * _positive(mean_follow_up, "mean_follow_up")
    return 1 - math.exp(2 * (events * math.log(events) - events))


def r2_from_auc(auc: float, prevalence: float) -> float:
    """Return the Cox-Snell R2 of a calibrated logistic model with this AUC (Riley et al. 2021, Stat Med 40:859).

    Scores are taken as N(0, 1) without and N(mu, 1) with the event, mu = sqrt(2) z(AUC); the
    expected log-likelihood is integrated, where pmsampsize simulates a million patients.
    """
    if not 0.5 <= auc < 1:
        raise InputError(f"`auc` must lie in [0.5, 1), it is {auc}.")
    _share(prevalence, "prevalence")
    mu = math.sqrt(2) * float(stats.norm.ppf(auc))
    base = math.log(prevalence / (1 - prevalence)) - mu**2 / 2

    def log_likelihood(x: float) -> float:
        lp = base + mu * x
        with_event = prevalence * stats.norm.pdf(x, mu) * -math.log1p(math.exp(-lp))
        return float(with_event + (1 - prevalence) * stats.norm.pdf(x) * -math.log1p(math.exp(lp)))

    model = integrate.quad(log_likelihood, -10, 10 + mu, points=[0.0, mu], limit=200)[0]
    null = prevalence * math.log(prevalence) + (1 - prevalence) * math.log(1 - prevalence)
    return 1 - math.exp(-2 * (model - null))


def r2_from_concordance(concordance: float, event_share: float) -> float:
    """Return the Cox-Snell R2 of a survival model with this concordance index (Riley et al. 2020, appendix).

    C to Royston's D: D = 5.50 (C - 0.5) + 10.26 (C - 0.5)^3 (Jinks et al. 2015, BMC Med Res Methodol 15:82);
    D to R2_D, to O'Quigley's R2 per event, to the likelihood ratio, to Cox and Snell's R2 per patient.

    Parameters
    ----------
    concordance : float
    event_share : float
        Share of patients with the event during follow-up.
    """
    if not 0.5 <= concordance < 1:
        raise InputError(f"`concordance` must lie in [0.5, 1), it is {concordance}.")
    _share(event_share, "event_share")
    gap = concordance - 0.5
    d = 5.50 * gap + 10.26 * gap**3
    explained = math.pi / 8 * d**2
    r2_d = explained / (math.pi**2 / 6 + explained)
    per_event = math.pi**2 / 6 * r2_d / (1 - (1 - math.pi**2 / 6) * r2_d)
    return 1 - (1 - per_event) ** event_share


def for_binary(parameters: int, prevalence: float, r2: float | None = None, shrinkage: float = 0.9) -> SampleSize:
    """Return the minimum sample size for a binary outcome.

    Parameters
    ----------
    parameters : int
        Candidate predictor parameters, all that selection chooses from.
    prevalence : float
        Share of patients with the outcome.
    r2 : float, optional
        Cox-Snell R2 to expect; 15% of the largest possible one if not given.
    shrinkage : float
        Target of criterion 1.

    Raises
    ------
    InputError
        A value out of range, or an R2 larger than possible.
    """
    largest = max_r2_binary(prevalence)
    overall = (Z / 0.05) ** 2 * prevalence * (1 - prevalence)
    return _size(
        parameters, prevalence, DEFAULT_NAGELKERKE * largest if r2 is None else r2, largest, overall, shrinkage
    )


def expected_shrinkage(n: int, parameters: int, r2: float) -> float:
    """Return the shrinkage S of a model of so many candidate parameters in n patients, criterion 1 solved for S.

    n = parameters / ((S - 1) ln(1 - r2 / S)) has one solution between r2 and 1 (Riley et al. 2019, equation 7).
    """
    if not 0 < r2 < 1 or n < 1 or parameters < 1:
        raise InputError(f"`n` and `parameters` must be at least 1 and `r2` a share; got {n}, {parameters}, {r2}.")
    tiny = 1e-12

    def excess(shrinkage: float) -> float:
        return n * (shrinkage - 1) * math.log(1 - r2 / shrinkage) - parameters

    low, high = r2 * (1 + tiny), 1 - tiny
    return float(optimize.brentq(excess, low, high)) if excess(low) > 0 else r2  # to twelve digits


def overall_risk_binary(prevalence: float) -> int:
    """Return criterion 3 for a binary outcome, which does not depend on the predictors."""
    return math.ceil((Z / 0.05) ** 2 * _share(prevalence, "prevalence") * (1 - prevalence) - 1e-9)


def for_survival(
    parameters: int,
    rate: float,
    mean_follow_up: float,
    horizon: float,
    r2: float | None = None,
    shrinkage: float = 0.9,
) -> SampleSize:
    """Return the minimum sample size for a time-to-event outcome.

    Criterion 3 asks that the 95% limits of the risk at the horizon under a constant rate,
    1 - exp(-(rate ± 1.96 sqrt(rate / person-time)) t), lie within 0.05 of it; the lower limit is the
    farther one. pmsampsize only reports these limits at the larger of the other two sizes.

    Parameters
    ----------
    parameters : int
        Candidate predictor parameters.
    rate : float
        Events per unit of time and patient.
    mean_follow_up, horizon : float
        In the same unit of time.
    r2, shrinkage : float
        As in `for_binary`.
    """
    largest = max_r2_survival(rate, mean_follow_up)
    _positive(horizon, "horizon")
    margin = math.log1p(0.05 * math.exp(rate * horizon))
    overall = rate / mean_follow_up * (Z * horizon / margin) ** 2
    expected = DEFAULT_NAGELKERKE * largest if r2 is None else r2
    return _size(parameters, rate * mean_follow_up, expected, largest, overall, shrinkage)


def for_patients(
    parameters: int, event: npt.ArrayLike, time: npt.ArrayLike | None = None, horizon: float = 0.0
) -> SampleSize:
    """Return the minimum sample size where these patients tell the prevalence, or rate and mean follow-up.

    Parameters
    ----------
    parameters : int
        Candidate predictor parameters.
    event : array-like of 0 and 1, shape (n,)
    time : array-like, shape (n,), optional
        Follow-up to event or censoring; a binary outcome without.
    horizon : float
        In the same unit of time.

    Raises
    ------
    InputError
        Nobody, or for a binary outcome everybody, has the event.
    """
    event = np.asarray(event, float)
    if time is None:
        return for_binary(parameters, float(event.mean()))
    time = np.asarray(time, float)
    return for_survival(parameters, float(event.sum() / time.sum()), float(time.mean()), horizon)


def _size(parameters: int, share: float, r2: float, largest: float, overall: float, shrinkage: float) -> SampleSize:
    if parameters < 1:
        raise InputError(f"`parameters` must be at least 1, it is {parameters}.")
    if not 0 < r2 <= largest or r2 >= shrinkage:
        raise InputError(f"`r2` must be above 0, at most {largest:.3f} and below `shrinkage`; it is {r2:.3f}.")
    target = r2 / (r2 + 0.05 * largest)
    first, second = (parameters / ((s - 1) * math.log(1 - r2 / s)) for s in (shrinkage, target))
    one, two, three = (math.ceil(each - 1e-9) for each in (first, second, overall))
    events = max(one, two, three) * share
    needed = math.ceil(events - 1e-9)
    return SampleSize(one, two, three, max(one, two, three), needed, events / parameters, r2, largest)


def _share(value: float, name: str) -> float:
    if not 0 < value < 1:
        raise InputError(f"`{name}` must lie between 0 and 1, it is {value}.")
    return value


def _positive(value: float, name: str) -> float:
    if not value > 0 or not math.isfinite(value):
        raise InputError(f"`{name}` must be a positive number, it is {value}.")
    return value
