"""The 3-D CNN of Cui 2022, layer by layer as in Supplementary Table S2.

All convolutions and poolings pad as Keras' "same": an output has ceil(n / stride) voxels, and where
the padding is odd the extra voxel comes after, not before. No kept library pads its poolings so;
hence the layers here.

The seven-fold augmentation of training patches (Cui 2022, Data pre-processing).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from radsupport.errors import InputError
from radsupport.networks.training import Float32Array, reproducible

Shape3D = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """One row of the table: filters of a convolution, or 0 for a pooling; kernel in slices, rows, columns."""

    name: str
    filters: int
    kernel: Shape3D


LAYERS = (
    Layer("convolution1", 32, (3, 3, 3)),
    Layer("max_pooling1", 0, (3, 3, 3)),
    Layer("convolution2", 64, (3, 3, 3)),
    Layer("max_pooling2", 0, (3, 3, 3)),
    Layer("convolution3", 128, (3, 3, 3)),
    Layer("convolution4", 128, (3, 3, 3)),
    Layer("max_pooling3", 0, (3, 3, 3)),
    Layer("convolution5", 256, (2, 3, 3)),
    Layer("convolution6", 256, (2, 3, 3)),
    Layer("max_pooling4", 0, (2, 3, 3)),
)
DENSE_UNITS = (512, 256, 128)
LAST_MAPS = "convolution6"
PAPERS_GRAD_CAM_LAYER = "max_pooling4"


def same_padding(size: Sequence[int], kernel: Sequence[int], stride: int) -> list[int]:
    """Return Keras' "same" padding in the order of `torch.nn.functional.pad`: last axis first, before and after."""
    pads: list[int] = []
    for n, k in zip(reversed(size), reversed(kernel), strict=True):
        total = max((ceil(n / stride) - 1) * stride + k - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


class SameConvolution(nn.Module):
    """Convolution with stride 1, "same" padding and ReLU; Keras' initial weights (Glorot uniform, bias 0)."""

    def __init__(self, channels_in: int, filters: int, kernel: Shape3D) -> None:
        super().__init__()
        self.kernel = kernel
        self.convolution = nn.Conv3d(channels_in, filters, kernel)
        self.relu = nn.ReLU()
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of the same slices, rows and columns."""
        padded = functional.pad(x, same_padding(x.shape[2:], self.kernel, 1))
        return self.relu(self.convolution(padded))


class SameMaxPooling(nn.Module):
    """Maximum over overlapping windows with stride 2 and "same" padding, which never wins the maximum."""

    def __init__(self, kernel: Shape3D) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of half the slices, rows and columns, rounded up."""
        padded = functional.pad(x, same_padding(x.shape[2:], self.kernel, 2), value=float("-inf"))
        if x.is_cuda and torch.are_deterministic_algorithms_enabled():
            return deterministic_max_pool(padded, self.kernel)
        return functional.max_pool3d(padded, self.kernel, stride=2)


def deterministic_max_pool(x: torch.Tensor, kernel: Shape3D) -> torch.Tensor:
    """Equal `max_pool3d` with stride 2, values and gradients, where CUDA has no deterministic backward of it.

    The maximum is taken axis by axis, columns first, and of equals the first one wins: that is the
    voxel which the pooling's own scan finds first.
    """
    for axis, k in ((4, kernel[2]), (3, kernel[1]), (2, kernel[0])):
        last = x.shape[axis] - k
        best = _every_second(x, axis, 0, last)
        for offset in range(1, k):
            value = _every_second(x, axis, offset, last)
            best = torch.where(value > best, value, best)
        x = best
    return x


def _every_second(x: torch.Tensor, axis: int, first: int, last: int) -> torch.Tensor:
    window = [slice(None)] * x.ndim
    window[axis] = slice(first, first + last + 1, 2)
    return x[tuple(window)]


class CNN3D(nn.Module):
    """The network of Supplementary Table S2, for any patch and, scaled down, any width.

    Parameters
    ----------
    patch : tuple of int
        Slices, rows, columns of the input; 10 x 150 x 150 in the paper.
    width : float
        Factor on all filters and dense units; 1 in the paper, less in the demo profile.
    dropout : float
        Share of the dense units dropped in training; 0.5 in the paper.
    """

    def __init__(self, patch: Shape3D = (10, 150, 150), width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        if min(patch) < 1 or not width > 0 or not 0 <= dropout < 1:
            raise InputError(f"Not a network: patch {patch}, width {width}, dropout {dropout}.")
        self.patch, self.width = patch, width
        self.centre: torch.Tensor
        self.spread: torch.Tensor
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        channels = 1
        for layer in LAYERS:
            if layer.filters:
                filters = _scaled(layer.filters, width)
                self.add_module(layer.name, SameConvolution(channels, filters, layer.kernel))
                channels = filters
            else:
                self.add_module(layer.name, SameMaxPooling(layer.kernel))
                patch = _halved(patch)
        self.flatten = nn.Flatten()
        units = channels * patch[0] * patch[1] * patch[2]
        for i, wanted in enumerate((*(_scaled(n, width) for n in DENSE_UNITS), 2), start=1):
            dense = nn.Linear(units, wanted)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            self.add_module(f"dense{i}", dense)
            if i <= len(DENSE_UNITS):
                self.add_module(f"relu{i}", nn.ReLU())
                self.add_module(f"dropout{i}", nn.Dropout(dropout))
            units = wanted

    def standardise_by(self, images: Float32Array) -> None:
        """From now on subtract the mean of these (training) patches from every input and divide by their SD."""
        spread = float(images.std())
        self.centre.fill_(float(images.mean()))
        self.spread.fill_(spread if spread > 0 else 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of no event and event, shape (n, 2); the table's softmax is left to the loss."""
        x = (x - self.centre) / self.spread
        for module in self.children():
            x = module(x)
        return x


def build_cnn3d(patch: Shape3D = (10, 150, 150), width: float = 1.0, dropout: float = 0.5, seed: int = 0) -> CNN3D:
    """Return the network with seeded weights."""
    with reproducible(seed):
        return CNN3D(patch, width, dropout)


def layer_table(model: CNN3D) -> pd.DataFrame:
    """List the network as Supplementary Table S2 does.

    Returns
    -------
    DataFrame
        layer, kernel (filters or units; 0 where there is none), kernel_size, strides, output_shape
        (channels last, as printed), parameters. Computed by sending a patch through.
    """
    rows = []
    x = torch.zeros(1, 1, *model.patch)
    with torch.inference_mode():
        for name, module in model.eval().named_children():
            device = next(model.parameters()).device
            x = module(x.to(device))
            if name.startswith("relu"):
                continue
            shape = (*x.shape[2:], x.shape[1])
            rows.append(
                {
                    "layer": name,
                    "kernel": shape[-1] if isinstance(module, SameConvolution | nn.Linear) else 0,
                    "kernel_size": ", ".join(map(str, getattr(module, "kernel", ()))),
                    "strides": _strides(module),
                    "output_shape": ", ".join(map(str, shape)),
                    "parameters": sum(parameter.numel() for parameter in module.parameters()),
                }
            )
    return pd.DataFrame(rows)


def _strides(module: nn.Module) -> Literal["1, 1, 1", "2, 2, 2", ""]:
    if isinstance(module, SameConvolution):
        return "1, 1, 1"
    return "2, 2, 2" if isinstance(module, SameMaxPooling) else ""


def _scaled(n: int, width: float) -> int:
    return max(1, round(n * width))


def _halved(shape: Shape3D) -> Shape3D:
    slices, rows, columns = (ceil(n / 2) for n in shape)
    return slices, rows, columns


Operation = Literal["original", "flip_up_down", "flip_left_right", "translate", "rotate_90", "rotate_180", "rotate_270"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)


def draw_shift(seed: int, case: int, max_shift: int = 10) -> tuple[int, int]:
    """Draw the in-plane shift (rows, columns) of one case, in voxels from -max_shift to max_shift.

    The paper expands its data set once, so a case keeps its shift in all epochs.
    """
    rows, columns = np.random.default_rng([seed, case]).integers(-max_shift, max_shift + 1, size=2)
    return int(rows), int(columns)


def augment(patch: NDArray[Any], operation: Operation, shift: tuple[int, int] = (0, 0)) -> NDArray[Any]:
    """Return `patch` after one operation on its last two axes (rows, columns).

    Parameters
    ----------
    patch : array, shape (..., rows, columns)
        Image or mask; rotations need rows == columns.
    operation : str
        One of `OPERATIONS`; rotations are counter-clockwise.
    shift : tuple of int
        Voxels by which "translate" moves the content down and to the right; zeros move in.

    Raises
    ------
    InputError
    """
    if operation not in OPERATIONS:
        raise InputError(f"Unknown operation '{operation}'. Use one of {', '.join(OPERATIONS)}.")
    if operation in ("rotate_90", "rotate_270") and patch.shape[-2] != patch.shape[-1]:
        raise InputError(f"A patch of {patch.shape[-2]} x {patch.shape[-1]} can not be rotated by 90°: make it square.")
    if operation == "flip_up_down":
        patch = np.flip(patch, axis=-2)
    elif operation == "flip_left_right":
        patch = np.flip(patch, axis=-1)
    elif operation == "translate":
        patch = _translate(patch, shift)
    elif operation != "original":
        patch = np.rot90(patch, k=int(operation.removeprefix("rotate_")) // 90, axes=(-2, -1))
    return np.ascontiguousarray(patch)


def _translate(patch: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    """Move without wrapping round: what leaves on one side does not come back on the other."""
    moved = np.zeros_like(patch)
    (from_rows, to_rows), (from_columns, to_columns) = (
        _overlap(by, size) for by, size in zip(shift, patch.shape[-2:], strict=True)
    )
    moved[..., to_rows, to_columns] = patch[..., from_rows, from_columns]
    return moved


def _overlap(by: int, size: int) -> tuple[slice, slice]:
    """Return where the kept part of one axis comes from and where it goes."""
    by = int(np.clip(by, -size, size))
    return slice(max(0, -by), size - max(0, by)), slice(max(0, by), size - max(0, -by))
