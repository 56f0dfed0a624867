"""A 3 × 3 convolution of small maps, tap by tap: what the last levels of a ResNet do with images of 64 pixels.

On maps of a few pixels most of what a kernel meets is padding, and PyTorch's CPU convolution spends its time on that
and on putting millions of weights into another order. Here each place of the kernel is one product of matrices over
the pixels that it meets. Values and gradients are those of `torch.nn.functional.conv2d` but for rounding.

A network that only predicts needs no batch normalisation: its scale and shift go into the convolution before it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Model = TypeVar("Model", bound=nn.Module)

#: Most pixels of a map that is made tap by tap, and fewest maps at once; others are faster as they are.
SMALL, SEVERAL = 4, 8


class SmallMapConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` without groups or dilation, which passes small maps on the CPU tap by tap."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the same as a `Conv2d` of these weights."""
        rows, columns = (-(-side // self.stride[0]) for side in input.shape[2:])
        if input.device.type != "cpu" or rows * columns > SMALL or len(input) < SEVERAL:
            return super().forward(input)
        found: torch.Tensor = _TapByTap.apply(input, self.weight, self.stride[0], self.padding[0])
        return found if self.bias is None else found + self.bias[:, None, None]


def for_small_maps(network: nn.Module) -> None:
    """Replace the 3 × 3 convolutions of a network, which keep their weights and names."""
    for part in list(network.modules()):
        for name, one in part.named_children():
            if type(one) is nn.Conv2d and one.kernel_size == (3, 3) and one.bias is None and one.groups == 1:
                own = SmallMapConv2d(
                    one.in_channels, one.out_channels, 3, one.stride[0], int(one.padding[0]), bias=False, device="meta"
                )
                own.weight = one.weight
                setattr(part, name, own)


def fused(network: Model) -> Model:
    """Return a copy that predicts, its batch normalisations taken into the 2-D convolutions before them.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode; a normalisation stands behind its convolution among a module's children, as in ResNets.

    Returns
    -------
    nn.Module
        Equal but for rounding (1e-6 of the largest value).
    """
    network = copy.deepcopy(network)
    for part in list(network.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, one in list(part.named_children()):
            if before and isinstance(before[1], nn.Conv2d) and isinstance(one, nn.BatchNorm2d):
                setattr(part, before[0], fuse_conv_bn_eval(before[1], one))
                setattr(part, name, nn.Identity())
            before = name, one
    return network


Met = tuple[int, slice, slice]


def _taps(size: int, out: int, stride: int, padding: int) -> list[Met]:
    """Return, along one axis, each place of the kernel that meets the map: place, where it lands, what it meets."""
    found = []
    for place in range(3):
        first = max(0, -((place - padding) // stride))
        last = min(out, (size - 1 + padding - place) // stride + 1)
        if last > first:
            start = first * stride + place - padding
            found.append((place, slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)))
    return found


def _pairs(size: torch.Size, out: torch.Size, stride: int, padding: int) -> Iterator[tuple[Met, Met]]:
    columns = _taps(size[3], out[3], stride, padding)
    return ((row, column) for row in _taps(size[2], out[2], stride, padding) for column in columns)


class _TapByTap(torch.autograd.Function):
    """Maps (n, channels, rows, columns) are looked at with their channels last, where a pixel is a row of a matrix."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        rows, columns = ((side + 2 * padding - 3) // stride + 1 for side in x.shape[2:])
        pixels, made = x.permute(0, 2, 3, 1), x.new_zeros(len(x), rows, columns, len(weight))
        found = made.permute(0, 3, 1, 2)
        for (a, to_rows, rows_met), (b, to_columns, columns_met) in _pairs(x.shape, found.shape, stride, padding):
            made[:, to_rows, to_columns] += pixels[:, rows_met, columns_met] @ weight[:, :, a, b].t()
        return found

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        x, weight = ctx.saved_tensors
        pixels, slopes = x.permute(0, 2, 3, 1), slope.permute(0, 2, 3, 1)
        to_x, to_weight = torch.zeros(pixels.shape, dtype=x.dtype), weight.new_zeros(len(weight), 3, 3, x.shape[1])
        met = _pairs(x.shape, slope.shape, ctx.stride, ctx.padding)
        for (a, to_rows, rows_met), (b, to_columns, columns_met) in met:
            part = slopes[:, to_rows, to_columns]
            to_weight[:, a, b] = part.flatten(0, 2).t() @ pixels[:, rows_met, columns_met].flatten(0, 2)
            to_x[:, rows_met, columns_met] += part @ weight[:, :, a, b]
        return to_x.permute(0, 3, 1, 2), to_weight.permute(0, 3, 1, 2), None, None
