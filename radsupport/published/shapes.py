"""Claims about the layers of a neural network: output shapes, feature counts, numbers of weights."""

from __future__ import annotations

import math
import re
from typing import Any

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_counts
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, Claim, Verdict, decide, form
from radsupport.report.wording import counted

RESNET_WIDTH = {18: 512, 34: 512, 50: 2048, 101: 2048, 152: 2048}
"""Channels after the last stage: 512, times 4 from ResNet-50 on (He et al. 2016, table 1)."""


def _numbers(text: str) -> list[int]:
    return [int(each) for each in re.findall(r"\d+", text.replace(",", " "))]


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
    printed = _numbers(claim.published_value)
    known = [channels] if "pool" in claim.item.lower() else _filters(claim)
    expected = [*made, *known]
    ok = printed[: len(expected)] == expected and len(printed) == len(size) + 1
    shown = ", ".join(map(str, expected))
    with_filters = f", {counted(known[0], 'filter')}" if "filters" in claim.inputs else ""
    given = f"{' x '.join(map(str, size))} with stride {stride}{with_filters} and {padding} padding gives {shown}"
    if ok and not known:
        reason = f"{given}, as printed; the number of channels is that of the filters, which are not given."
        return Verdict(UNDECIDED, reason, shown)
    return Verdict(decide(ok), f"{given}; printed {claim.published_value}.", shown, f"{padding} padding")


def _filters(claim: Claim) -> list[int]:
    return [as_count(claim.inputs["filters"], "filters", 1)] if "filters" in claim.inputs else []


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
    return Verdict(
        decide(ok), f"{units} units give {units} outputs; printed {claim.published_value}.", str(units), "units"
    )


@form("shape", "downsamplings")
def bottleneck(claim: Claim) -> Verdict:
    """Work back from a U-Net's bottleneck to its input and first layer, halving size and doubling channels per step."""
    steps = as_count(claim.inputs["downsamplings"], "downsamplings", 1)
    height, width, channels = (*_numbers(claim.published_value), 0, 0, 0)[:3]
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
    return Verdict(
        decide(_numbers(claim.published_value) == [made]), reason, str(made), "architecture", {"features": made}
    )


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
