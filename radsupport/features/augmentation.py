"""The seven-fold augmentation of training patches (Cui 2022, Data pre-processing)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from radsupport.errors import InputError

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
