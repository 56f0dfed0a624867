"""Claims about means, standard deviations and medians of whole-numbered data (GRIM) and of pooled groups."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_counts, as_mean_sd
from radsupport.published.rounding import show_range
from radsupport.published.verdicts import FAILS, HOLDS, Claim, Verdict, decide, form


@form("mean_sd", "n", optional=("statistic", "granularity"))
def grim(claim: Claim) -> Verdict:
    """Ask whether n whole numbers can have the printed mean (GRIM, Brown & Heathers 2017) or median.

    ``statistic`` is ``mean`` (default) or ``median``; ``granularity`` is the step of the data (default 1).
    """
    n = as_count(claim.inputs["n"], "n", 1)
    step = float(claim.inputs.get("granularity", 1))
    which = str(claim.inputs.get("statistic", "mean"))
    if which not in {"mean", "median"} or step <= 0:
        raise InputError(f"`statistic` must be mean or median and `granularity` positive: {which!r}, {step:g}.")
    return _grim_median(claim, n, step) if which == "median" else _grim_mean(claim, n, step)


def _grim_mean(claim: Claim, n: int, step: float) -> Verdict:
    printed = claim.number()
    first = math.ceil(printed.low * n / step - 1e-9)
    last = math.floor(printed.high * n / step + 1e-9)
    if first <= last:
        total, digits = first * step, printed.decimals + 2
        reason = f"{n} {_data(step)} adding up to {total:g} have the mean {total / n:.{digits}f}; printed {printed}."
        every = " Any mean with so few decimals is possible for so many." if printed.unit * n >= step else ""
        return Verdict(HOLDS, reason + every, f"{total / n:.{digits}f}", "GRIM", {"total": total})
    near = [math.floor(printed.value * n / step) * step / n, math.ceil(printed.value * n / step) * step / n]
    shown = f"{near[0]:.{printed.decimals + 2}f} or {near[1]:.{printed.decimals + 2}f}"
    reason = f"The nearest means of {n} {_data(step)} are {shown}; printed {printed}."
    return Verdict(FAILS, reason, shown, "GRIM", {"below": near[0], "above": near[1]})


def _data(step: float) -> str:
    return "whole numbers" if step == 1 else f"values in steps of {step:g}"


def _grim_median(claim: Claim, n: int, step: float) -> Verdict:
    printed = claim.number()
    grain = step if n % 2 else step / 2
    nearest = round(printed.value / grain) * grain
    kind = "the middle value" if n % 2 else "halfway between the two middle values"
    reason = f"The median of {n} {_data(step)} is {kind}, a multiple of {grain:g}; printed {printed}."
    return Verdict(decide(printed.meets(nearest)), reason, f"{nearest:g}", "GRIM for a median", {"nearest": nearest})


@form("mean_sd", "totals", "n", optional=("granularity",))
def median_or_mean_of_all(claim: Claim) -> Verdict:
    """Judge a printed median of whole numbers, and say whether it is the mean that the group totals give."""
    n = as_count(claim.inputs["n"], "n", 1)
    mean = sum(as_counts(claim.inputs["totals"], "totals")) / n
    verdict = _grim_median(claim, n, float(claim.inputs.get("granularity", 1)))
    is_mean = claim.number().meets(mean)
    also = f"It is the mean, {mean:.2f}." if is_mean else f"It is not the mean either: the totals give {mean:.2f}."
    reason = f"{verdict.reason} {also}"
    shown = f"{verdict.recomputed} (mean {mean:.2f})"
    return Verdict(verdict.verdict, reason, shown, verdict.test, {**verdict.values, "mean": mean})


@form("mean_sd", "groups", "n")
def pooled_mean_sd(claim: Claim) -> Verdict:
    """Compare mean and SD of a whole with those of its two or more groups.

    Total sum of squares = within + between, for all means and SDs that round to what is printed.
    """
    groups = as_mean_sd(claim.inputs["groups"], "groups")
    n = as_counts(claim.inputs["n"], "n", len(groups), minimum=2)
    printed = claim.numbers()
    if len(printed) != 2:
        raise InputError(f"published_value must read mean±SD, it is {claim.published_value!r}.")
    means, sds = [], []
    for corner in itertools.product(*[(p.low, p.value, p.high) for pair in groups for p in pair]):
        mean, sd = _pool(corner[0::2], corner[1::2], n)
        means.append(mean)
        sds.append(sd)
    centre = _pool([m.value for m, _ in groups], [s.value for _, s in groups], n)
    ok = printed[0].meets(min(means), max(means)) and printed[1].meets(min(sds), max(sds))
    shown = f"{show_range(min(means), max(means), 2)} ± {show_range(min(sds), max(sds), 2)}"
    reason = f"The groups pool to {shown}; printed {claim.published_value}."
    return Verdict(decide(ok), reason, shown, "pooling", {"mean": centre[0], "sd": centre[1]})


def _pool(means: Sequence[float], sds: Sequence[float], n: list[int]) -> tuple[float, float]:
    total = sum(n)
    mean = sum(k * m for k, m in zip(n, means, strict=True)) / total
    squares = sum((k - 1) * s**2 + k * (m - mean) ** 2 for k, m, s in zip(n, means, sds, strict=True))
    return mean, math.sqrt(squares / (total - 1))
