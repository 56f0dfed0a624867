"""Claims of the text against the tables and about the layers of a network; and the checkers' inputs in words.

The relation that has to hold between two values of a text is named in the inputs; of a network its output shapes,
feature counts and numbers of weights are recomputed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from radsupport.claims.numbers import numbers_in, read_number
from radsupport.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Form,
    Verdict,
    as_count,
    as_counts,
    as_interval,
    as_printed,
    as_share,
    content,
    decide,
    form,
)
from radsupport.errors import InputError
from radsupport.wording import counted, listed

WORDS: dict[str, str] = content("words.yaml")["inputs"]
"""Words for each input that holds printed figures."""
OTHER_WORDS = {("survival", "first"): "first possible inclusion"}
"""Words for an input of one kind of claim, where they differ."""
SWITCHES = frozenset({"claimed", "granularity", "open_because", "original_counted", "relation", "scale", "statistic"})
"""Inputs that say how to compare, and hold no printed figure."""
ORDER = ["k", "TP", "FN", "TN", "FP", "sen", "spc", "auc", "n_pos", "n_neg", "estimate", "est", "mean_sd"]
"""Inputs that are named first, in this order."""


def figures_of(form: Form) -> str:
    """Return the printed figures that a form of a claim is recomputed from, in words, optional ones last."""
    needed, more = (_words(form.kind, names) for names in (form.required, form.optional))
    return listed(needed, len(needed)) + (f"; if given: {', '.join(more)}" if more else "")


def _words(kind: str, names: frozenset[str]) -> list[str]:
    ordered = sorted(names - SWITCHES, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return [OTHER_WORDS.get((kind, name), WORDS[name]) for name in ordered]


RESNET_WIDTH = {18: 512, 34: 512, 50: 2048, 101: 2048, 152: 2048}
"""Channels after the last stage: 512, times 4 from ResNet-50 on (He et al. 2016, table 1)."""


def _numbers(text: str) -> list[int]:
    """Return the whole numbers of a text; a comma before three digits sets thousands apart."""
    return [int(each.value) for each in numbers_in(text, whole=True)]


def _shape(text: str) -> list[int]:
    """Return the sizes of `16x16x1,024` or of `64, 64, 32`, where a comma ends a size."""
    return _numbers(text if re.search("[x×]", text) else text.replace(",", " ; "))


@form("shape", "input", "kernel", "stride", "padding", optional=("filters",))
def layer_output(claim: Claim) -> Verdict:
    """Compute the output of a convolution or pooling layer; a convolution has one channel per filter.

    `same` padding gives ceil(size / stride), `valid` ceil((size - kernel + 1) / stride). Pooling keeps the
    channels. Where the filters of a convolution are not given, its channels can not be decided.
    """
    *size, channels = as_counts(claim.inputs["input"], "input", minimum=1)
    kernel = as_counts(claim.inputs["kernel"], "kernel", len(size), minimum=1)
    stride, padding = as_count(claim.inputs["stride"], "stride", 1), claim.inputs["padding"]
    if padding not in {"same", "valid"}:
        raise InputError(f"`padding` must be same or valid, it is {padding!r}.")
    lost = [k - 1 if padding == "valid" else 0 for k in kernel]
    made = [math.ceil((s - gone) / stride) for s, gone in zip(size, lost, strict=True)]
    printed = _shape(claim.published_value)
    filters = [as_count(claim.inputs["filters"], "filters", 1)] if "filters" in claim.inputs else []
    known = [channels] if "pool" in claim.item.lower() else filters
    expected = [*made, *known]
    ok = printed[: len(expected)] == expected and len(printed) == len(size) + 1
    shown = ", ".join(map(str, expected))
    with_filters = f", {counted(known[0], 'filter')}" if "filters" in claim.inputs else ""
    given = f"{' x '.join(map(str, size))} with stride {stride}{with_filters} and {padding} padding gives {shown}"
    if ok and not known:
        reason = f"{given}, as printed; the number of channels is that of the filters, which are not given."
        return Verdict(UNDECIDED, reason, shown)
    return Verdict(decide(ok), f"{given}; printed {claim.published_value}.", shown, f"{padding} padding")


@form("shape", "input")
def flattened(claim: Claim) -> Verdict:
    """Multiply out the shape that is flattened."""
    size = as_counts(claim.inputs["input"], "input", minimum=1)
    made = math.prod(size)
    reason = f"{' x '.join(map(str, size))} = {made}; printed {claim.published_value}."
    return Verdict(decide(_numbers(claim.published_value) == [made]), reason, str(made), "product", {"size": made})


@form("shape", "units")
def dense_units(claim: Claim) -> Verdict:
    """Compare the number of units with the printed output size."""
    units = as_count(claim.inputs["units"], "units", 1)
    ok = _numbers(claim.published_value) == [units]
    reason = f"{units} units give {units} outputs; printed {claim.published_value}."
    return Verdict(decide(ok), reason, str(units), "units")


@form("shape", "downsamplings")
def bottleneck(claim: Claim) -> Verdict:
    """Work back from a U-Net's bottleneck to its input and first layer, halving size and doubling channels per step."""
    steps = as_count(claim.inputs["downsamplings"], "downsamplings", 1)
    height, width, channels = (*_shape(claim.published_value), 0, 0, 0)[:3]
    if not (height and width and channels):
        raise InputError(f"published_value must read height x width x channels, it is {claim.published_value!r}.")
    first, rest = divmod(channels, 2**steps)
    shown = f"input {height * 2**steps} x {width * 2**steps}, {channels / 2**steps:g} channels in the first layer"
    reason = f"{steps} halvings lead back to {shown}."
    if rest:
        return Verdict(FAILS, reason, shown, "doubling per step")
    reason += " The input size itself is not printed."
    return Verdict(HOLDS, reason, shown, "doubling per step", {"input": height * 2**steps, "first": first})


@form("shape", "net")
def pooled_features(claim: Claim) -> Verdict:
    """Compare a feature count with the channels that a ResNet's global pooling leaves."""
    found = re.search(r"resnet-?\s*(\d+)", str(claim.inputs["net"]), re.IGNORECASE)
    if not found or int(found.group(1)) not in RESNET_WIDTH:
        raise InputError(
            f"`net` must be a ResNet of depth {', '.join(map(str, RESNET_WIDTH))}: {claim.inputs['net']!r}."
        )
    made = RESNET_WIDTH[int(found.group(1))]
    reason = f"Global pooling of ResNet-{found.group(1)} leaves {made} features; printed {claim.published_value}."
    ok = _numbers(claim.published_value) == [made]
    return Verdict(decide(ok), reason, str(made), "architecture", {"features": made})


@form("shape", "layers")
def weights(claim: Claim) -> Verdict:
    """Add up the weights (size of the kernel x inputs x outputs) and biases (one per output) of all layers."""
    layers = claim.inputs["layers"]
    if not isinstance(layers, dict) or not layers:
        raise InputError("`layers` must map layer names to {kernel, in, out}.")
    made = {name: _parameters(name, layer) for name, layer in layers.items()}
    total = sum(made.values())
    wrong = [n for n, layer in layers.items() if "count" in layer and layer["count"] != made[n]]
    shown = f"{total:,}"
    values = {"total": total}
    if wrong:
        text = ", ".join(
            f"{name} has {made[name]:,} weights and biases, printed {layers[name]['count']}" for name in wrong
        )
        return Verdict(FAILS, f"{text}.", shown, "weights and biases", values)
    printed = _numbers(claim.published_value)
    if not printed:
        reason = f"The layers have {shown} weights and biases; no count is printed to compare it with."
        return Verdict(UNDECIDED, reason, shown, "weights and biases", values)
    ok = int("".join(map(str, printed))) == total
    reason = f"The layers have {shown} weights and biases; printed {claim.published_value}."
    return Verdict(decide(ok), reason, shown, "weights and biases", values)


def _parameters(name: str, layer: Any) -> int:
    if not isinstance(layer, dict) or not {"in", "out"} <= layer.keys():
        raise InputError(f"layer {name!r} must give `in`, `out` and, for a convolution, `kernel`: {layer!r}.")
    inputs, outputs = as_count(layer["in"], "in", 1), as_count(layer["out"], "out", 1)
    return math.prod(as_counts(layer.get("kernel", [1]), "kernel", minimum=1)) * inputs * outputs + outputs


NUMBER_WORDS = {
    "member": ("is one of", "is none of"),
    "contained": ("appear among", "do not all appear among"),
    "implies": ("follows from", "does not follow from"),
}


def _flatten(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [f"{name} {text}" for name, each in value.items() for text in _flatten(each)]
    if isinstance(value, list):
        return [text for each in value for text in _flatten(each)]
    return [str(value)]


@form("text_vs_table", "relation", "first", "second", optional=("scale",))
def two_passages(claim: Claim) -> Verdict:
    """Compare two passages: the same values, one found in the other, or a bound on P that follows from the other.

    `relation` is ``equal`` (same texts or numbers in the same order; `scale` multiplies the second),
    ``contained`` (all numbers of the first occur in the second), ``implies`` (a bound on P in the
    second implies the bound in the first) or ``member`` (the first is one of the second).
    """
    relation = claim.inputs["relation"]
    first, second = _flatten(claim.inputs["first"]), _flatten(claim.inputs["second"])
    shown = f"{', '.join(first)} against {', '.join(second)}"
    if relation == "equal":
        return _equal(claim, first, second, shown)
    if relation == "member":
        ok = all(each in second for each in first)
    elif relation == "contained":
        pool = {(n.value, n.decimals) for text in second for n in numbers_in(text)}
        ok = all((n.value, n.decimals) in pool for text in first for n in numbers_in(text))
    elif relation == "implies":
        ok = read_number(second[0], "second").high <= read_number(first[0], "first").high
    else:
        raise InputError(f"`relation` must be equal, contained, implies or member here, it is {relation!r}.")
    reason = f"“{', '.join(first)}” {NUMBER_WORDS[relation][0 if ok else 1]} “{', '.join(second)}”."
    return Verdict(decide(ok), reason, shown, relation)


def _equal(claim: Claim, first: list[str], second: list[str], shown: str) -> Verdict:
    scale = float(claim.inputs.get("scale", 1))
    if scale != 1:
        a = [n.value for text in first for n in numbers_in(text)]
        b = [n.value * scale for text in second for n in numbers_in(text)]
        ok = len(a) == len(b) and all(abs(x - y) < 1e-9 for x, y in zip(a, b, strict=True))
    else:
        ok = first == second
    differ = [f"{x} and {y}" for x, y in zip(first, second, strict=False) if x != y]
    if ok:
        return Verdict(decide(ok), f"Both places print the same: {', '.join(first)}.", shown, "equal")
    return Verdict(decide(ok), f"The two places differ: {'; '.join(differ) or shown}.", shown, "equal")


def _all_below(claim: Claim) -> Verdict:
    limit = float(claim.inputs["limit"])
    values = as_printed(claim.inputs["values"], "values")
    below, n = sum(each.value < limit for each in values), len(values)
    shown = ", ".join(map(str, values))
    reason = f"{below} of {n} values are below {limit:g} ({shown})."
    return Verdict(decide(below == n), reason, shown, f"below {limit:g}", {"below": below, "n": n})


def _increasing(claim: Claim) -> Verdict:
    values = as_printed(claim.inputs["values"], "values")
    ok = all(a.value < b.value for a, b in pairwise(values))
    shown = " and ".join(map(str, values))
    reason = f"The statement needs the first value to be the smaller; the table prints {shown}."
    return Verdict(decide(ok), reason, shown, "order")


def _none(claim: Claim) -> Verdict:
    values = as_counts(claim.inputs["values"], "values")
    shown = f"{' + '.join(map(str, values))} = {sum(values)}"
    reason = f"The statement needs there to be none; the table lists {shown}."
    return Verdict(decide(sum(values) == 0), reason, shown, "count", {"count": sum(values)})


def _same_direction(claim: Claim) -> Verdict:
    """Compare the side of 1 of ratios and of the odds ratios of two shares."""
    ratios = [p.value for p in as_printed(claim.inputs["values"], "values")]
    (a, n), (c, m) = (as_share(each, "odds") for each in claim.inputs["odds"])
    if c == 0 or a == n:
        raise InputError("`odds` must not hold 0 of n second, or n of n first: the odds ratio does not exist.")
    odds = a * (m - c) / ((n - a) * c)
    ok = len({value > 1 for value in [*ratios, odds]}) == 1
    shown = f"{', '.join(f'{r:g}' for r in ratios)} against an odds ratio of {odds:.2f}"
    side = "the same side" if ok else "different sides"
    return Verdict(decide(ok), f"{shown}: {side} of 1.", shown, "direction", {"odds": odds})


def _change(claim: Claim) -> Verdict:
    before, after = (as_printed(claim.inputs[name], name) for name in ("before", "after"))
    printed = as_printed(claim.inputs["values"], "values", len(before))
    made = [b.value - a.value for a, b in zip(before, after, strict=True)]
    ok = all(p.meets(value) for p, value in zip(printed, made, strict=True))
    shown = ", ".join(f"{a} to {b} ({value:+.2f})" for a, b, value in zip(before, after, made, strict=True))
    same, table = (_flatten(claim.inputs.get(name, [])) for name in ("first", "second"))
    also = f"; the text prints {', '.join(same)}, the table {', '.join(table)}" if same else ""
    reason = f"{shown}; printed {', '.join(map(str, printed))}{also}."
    return Verdict(decide(ok and same == table), reason, shown, "difference")


def _range_of_estimates(claim: Claim) -> Verdict:
    """Compare ranges given for several estimates with the estimates, and with their confidence intervals."""
    ranges = [as_interval(each, "values") for each in claim.inputs["values"]]
    rows = [as_printed(each, "estimates", 3) for each in claim.inputs["estimates"]]
    if len(ranges) != len(rows):
        raise InputError("`values` and `estimates` must have the same length.")
    points = [
        (low.value, high.value) == (row[0].value, row[0].value) for (low, high), row in zip(ranges, rows, strict=True)
    ]
    limits = [
        (low.value, high.value) == (row[1].value, row[2].value) for (low, high), row in zip(ranges, rows, strict=True)
    ]
    shown = "; ".join(f"{row[0]} ({row[1]}-{row[2]})" for row in rows)
    ok = all(points)
    same = f" {sum(limits)} of {len(limits)} ranges are the 95% limits of one model." if any(limits) else ""
    reason = f"The table prints {shown}.{same}"
    return Verdict(decide(ok), reason, shown, "range of estimates", {"limits": sum(limits), "n": len(limits)})


def _overlap(claim: Claim) -> Verdict:
    """Ask whether two printed ranges of one quantity are the same range."""
    (a, b), (c, d) = (as_interval(each, "values") for each in claim.inputs["values"])
    ok = (a.value, b.value) == (c.value, d.value)
    shown = f"{a} to {b} against {c} to {d}"
    return Verdict(decide(ok), f"One place prints {a} to {b}, the other {c} to {d}.", shown, "equal")


def _count(claim: Claim) -> Verdict:
    listed = claim.inputs["values"]
    if not isinstance(listed, list):
        raise InputError(f"`values` must be a list, it is {listed!r}.")
    ok = claim.number().value == len(listed)
    reason = f"{len(listed)} are named ({', '.join(map(str, listed))}); printed {claim.number()}."
    return Verdict(decide(ok), reason, str(len(listed)), "count", {"count": len(listed)})


SIMPLE: dict[str, tuple[Callable[[Claim], Verdict], tuple[str, ...]]] = {
    "all_below": (_all_below, ("limit",)),
    "increasing": (_increasing, ()),
    "none": (_none, ()),
    "same_direction": (_same_direction, ("odds",)),
    "change": (_change, ("before", "after")),
    "range_of_estimates": (_range_of_estimates, ("estimates",)),
    "same_range": (_overlap, ()),
    "count": (_count, ()),
}


@form(
    "text_vs_table",
    "relation",
    "values",
    optional=("limit", "odds", "before", "after", "first", "second", "estimates", "open_because"),
)
def relation_of_values(claim: Claim) -> Verdict:
    """Compare printed values as a statement of the text asks: all below a limit, in order, none, counted, changed.

    `relation` is one of `SIMPLE`. With `open_because`, the reason why the figures can not settle the statement
    (a judgement, another population, another outcome), they are only set beside it.
    """
    relation = claim.inputs["relation"]
    if relation not in SIMPLE:
        raise InputError(f"`relation` must be one of {', '.join(SIMPLE)} here, it is {relation!r}.")
    checker, needed = SIMPLE[relation]
    missing = [name for name in needed if name not in claim.inputs]
    if missing:
        raise InputError(f"relation {relation} also needs {', '.join(missing)}.")
    verdict, because = checker(claim), str(claim.inputs.get("open_because", "")).strip()
    return replace(verdict, verdict=UNDECIDED, reason=f"{verdict.reason} {because}", test="") if because else verdict


@form("text_vs_table", "relation", "rows", "which")
def highest(claim: Claim) -> Verdict:
    """Ask whether one named row has the highest value in every column."""
    if claim.inputs["relation"] != "highest":
        raise InputError(f"`relation` must be highest here, it is {claim.inputs['relation']!r}.")
    which, rows = claim.inputs["which"], claim.inputs["rows"]
    if not isinstance(rows, dict) or which not in rows:
        raise InputError("`rows` must map names to values, `which` must be one of the names.")
    numbers = {name: as_printed(values, "rows") for name, values in rows.items()}
    own = numbers[which]
    ok = all(a.value >= b.value for values in numbers.values() for a, b in zip(own, values, strict=True))
    reason = f"“{which}” {'has' if ok else 'does not have'} the highest value in each of {len(own)} columns."
    return Verdict(decide(ok), reason, ", ".join(map(str, own)), "largest")
