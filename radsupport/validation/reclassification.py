"""Net reclassification and integrated discrimination improvement of one model over another.

Own code because no kept library has NRI or IDI; values equal Hmisc::improveProb.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from radsupport.checks import FloatArray, IntArray, as_binary, as_finite, as_level, as_probability
from radsupport.errors import InputError


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
