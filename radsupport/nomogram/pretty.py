"""R's `pretty`: round values that cover a range."""

from __future__ import annotations

import math

from radsupport.errors import InputError

_BIAS = 1.5  # R: high.u.bias
_BIAS_5 = 0.5 + 1.5 * _BIAS  # R: u5.bias
_SLACK = 1e-10  # R: rounding_eps


def pretty(low: float, high: float, n: int = 5) -> list[float]:
    """Return about `n` + 1 equally spaced round values (1, 2 or 5 times a power of ten) that cover ``[low, high]``.

    Own code: matplotlib's and plotly's tick locators choose other steps than R's `pretty`, which rms uses.

    Parameters
    ----------
    low, high : float
        The range to cover; ``low < high``.
    n : int
        Wanted number of intervals; at least ``n // 3`` are made.

    Returns
    -------
    list of float

    Raises
    ------
    InputError
        The range is empty, reversed or not finite, or `n` is below 1.

    Notes
    -----
    Algorithm of R_pretty in R >= 4.2 (src/appl/pretty.c), by the description in help(pretty): the unit is the
    largest of 1, 2, 5, 10 times the power of ten below the cell size that the biases ``h = 1.5`` and
    ``h5 = 0.5 + 1.5 h`` allow. Ranges that are empty up to rounding are refused here, where R widens them.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high and n >= 1):
        raise InputError(f"`pretty` needs finite limits with low < high and n >= 1; got {low}, {high} and {n}.")
    unit = _unit((high - low) / n)
    first = math.floor(low / unit + _SLACK)
    last = math.ceil(high / unit - _SLACK)
    while first * unit > low + _SLACK * unit:
        first -= 1
    while last * unit < high - _SLACK * unit:
        last += 1
    first, last = _widened(first, last, n // 3, low, high)
    return [_clean(i, unit) for i in range(first, last + 1)]


def _unit(cell: float) -> float:
    """Choose the step: 1, 2, 5 or 10 times the power of ten at or below the cell."""
    base = 10.0 ** math.floor(math.log10(cell))
    unit = base
    for factor, bias in ((2, _BIAS), (5, _BIAS_5), (10, _BIAS)):
        if factor * base - cell >= bias * (cell - unit):
            break
        unit = factor * base
    return unit


def _widened(first: int, last: int, least: int, low: float, high: float) -> tuple[int, int]:
    """Add intervals at both ends where there are fewer than `least`, but none across zero."""
    lacking = least - (last - first)
    if lacking <= 0:
        return first, last
    if low == 0 and first == 0 and high != 0:
        return first, last + lacking
    if high == 0 and last == 0 and low != 0:
        return first - lacking, last
    more, rest = lacking // 2, lacking % 2
    return (first - more - rest, last + more) if first >= 0 else (first - more, last + more + rest)


def _clean(i: int, unit: float) -> float:
    """Return ``i * unit`` without the rounding error of units below one (0.6 rather than 0.6000000000000001)."""
    decimals = max(0, 1 - math.floor(math.log10(unit)))
    return float(round(i * unit, decimals))
