"""The seven-fold augmentation: each operation on patches whose voxels are all different."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import InputError
from radsupport.networks.cnn3d import OPERATIONS, augment, augmented, draw_shift

PLANE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("original", [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        ("flip_up_down", [[7, 8, 9], [4, 5, 6], [1, 2, 3]]),
        ("flip_left_right", [[3, 2, 1], [6, 5, 4], [9, 8, 7]]),
        ("translate", [[0, 0, 0], [2, 3, 0], [5, 6, 0]]),
        ("rotate_90", [[3, 6, 9], [2, 5, 8], [1, 4, 7]]),
        ("rotate_180", [[9, 8, 7], [6, 5, 4], [3, 2, 1]]),
        ("rotate_270", [[7, 4, 1], [8, 5, 2], [9, 6, 3]]),
    ],
)
def test_each_operation_in_every_slice(operation: str, expected: list[list[int]]) -> None:
    patch = np.stack([PLANE, 10 * PLANE])
    done = augment(patch, operation, shift=(1, -1))
    np.testing.assert_array_equal(done[0], expected)
    np.testing.assert_array_equal(done[1], 10 * np.array(expected))


@settings(max_examples=40, deadline=None)
@given(st.integers(-8, 8), st.integers(-8, 8))
def test_translation_neither_wraps_nor_invents(rows: int, columns: int) -> None:
    patch = np.random.default_rng(0).uniform(1, 2, size=(2, 6, 6))
    moved = augment(patch, "translate", shift=(rows, columns))
    kept = max(0, 6 - abs(rows)) * max(0, 6 - abs(columns))
    assert np.count_nonzero(moved) == 2 * kept
    for row in range(6):
        for column in range(6):
            if 0 <= row + rows < 6 and 0 <= column + columns < 6:
                np.testing.assert_array_equal(moved[:, row + rows, column + columns], patch[:, row, column])


def test_shift_is_the_cases_own_and_stays_in_range() -> None:
    shifts = [draw_shift(7, case) for case in range(500)]
    assert shifts == [draw_shift(7, case) for case in range(500)]
    assert {by for shift in shifts for by in shift} == set(range(-10, 11))
    assert draw_shift(8, 0) != shifts[0] or draw_shift(8, 1) != shifts[1]


def test_a_batch_is_what_its_patches_are_one_by_one() -> None:
    rng = np.random.default_rng(3)
    images = rng.random((5, 1, 2, 6, 6), dtype=np.float32)
    shifts = [draw_shift(1, case, 2) for case in range(5)]
    moved = np.stack([augment(image, "translate", by) for image, by in zip(images, shifts, strict=True)])
    cases, operations = np.divmod(rng.permutation(35), 7)
    one_by_one = [augment(images[c], OPERATIONS[o], shifts[c]) for c, o in zip(cases, operations, strict=True)]
    np.testing.assert_array_equal(augmented(images, moved, cases, operations), np.stack(one_by_one))


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="Unknown operation 'shear'"):
        augment(PLANE, "shear")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="4 x 3 can not be rotated"):
        augment(np.zeros((2, 4, 3)), "rotate_90")
    assert augment(np.zeros((2, 4, 3)), "rotate_180").shape == (2, 4, 3)
