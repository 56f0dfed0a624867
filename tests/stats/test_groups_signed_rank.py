"""Wilcoxon's test with its estimate and interval: values of R, a table small enough for the hand, P beside interval."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.groups import APPROXIMATE, EXACT, rank_sum_counts, signed_rank, walsh_averages

# Hamilton's depression scale, Hollander & Wolfe 1973, table 3.1 (the example of wilcox.test): first minus second visit
FIRST = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
SECOND = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
TWELVE = [-0.31, 0.12, 0.45, 0.08, -0.02, 0.77, 0.29, 0.33, -0.15, 0.61, 0.94, 0.05]
TIED = [1, 2, 2, 3, -1, 0, 4, 5, -2, 3, 6, 7, -3, 8, 2, 0, 9, 1]
SIXTY = np.round((np.arange(1, 61) * 37 % 61) / 61 - 0.4 + np.arange(1, 61) / 1000, 4)


# wilcox.test(x, conf.int = TRUE) of R 4.2.2: estimate, limits, P
@pytest.mark.parametrize(
    ("x", "expected", "method"),
    [
        (np.subtract(FIRST, SECOND), (0.46, 0.01, 0.786, 0.0390625), EXACT),
        (TWELVE, (0.24, 0.01, 0.53, 0.04248046875), EXACT),
        ([0.1, 0.2, 0.3, 0.45, 0.5, 0.62], (0.36, 0.10, 0.62, 0.03125), EXACT),
        (TIED, (3.0, 1.000002659799, 4.999983950434, 0.008166296813), APPROXIMATE),
        (SIXTY, (0.13057511, 0.04918990, 0.21181010, 0.00216865220124), APPROXIMATE),
    ],
)
def test_values_are_those_of_r(x: list[float], expected: tuple[float, ...], method: str) -> None:
    found = signed_rank(np.asarray(x, dtype=float))
    # R searches the limits of the approximation to a tolerance of 1e-4
    tolerance = 1e-9 if method == EXACT else 1e-4
    assert (found.estimate, found.ci_low, found.ci_high) == pytest.approx(expected[:3], abs=tolerance)
    assert found.p == pytest.approx(expected[3], rel=1e-8)
    assert found.method == method


def test_a_table_of_three_is_worked_out_by_hand() -> None:
    # differences 1, 4 and -2: Walsh averages -2, -0.5, 1, 1, 2.5, 4; the ranks of the positive ones, 1 and 3, add to 4
    x = np.array([1.0, 4.0, -2.0])
    assert walsh_averages(x).tolist() == [-2, -0.5, 1, 1, 2.5, 4]
    assert rank_sum_counts(3).tolist() == [1, 1, 1, 2, 1, 1, 1]
    found = signed_rank(x)
    # a sum of 4 or more: 3 of 8 patterns, both sides 6 of 8
    assert (found.estimate, found.p) == (1.0, 0.75)
    # with three patients the smallest P is 2 / 8: nothing is rejected at 95%, and at 75% only what lies beyond all
    assert (found.ci_low, found.ci_high) == (-np.inf, np.inf)
    wide = signed_rank(x, level=0.75)
    assert (wide.ci_low, wide.ci_high) == (-2, 4)


@pytest.mark.parametrize("n", [6, 15, 49, 60])
def test_the_interval_holds_zero_exactly_where_p_is_above_alpha(n: int) -> None:
    rng = np.random.default_rng(n)
    rejected = 0
    for _ in range(60):
        found = signed_rank(rng.normal(0.4 * rng.uniform(), 0.6, size=n))
        assert (found.ci_low <= 0 <= found.ci_high) == (found.p > 0.05)
        assert found.ci_low <= found.estimate <= found.ci_high
        rejected += found.p < 0.05
    assert 0 < rejected < 60


def test_limits_are_the_shifts_that_the_test_just_rejects() -> None:
    x = np.array(TWELVE)
    found = signed_rank(x)
    for limit, outside in ((found.ci_low, -1e-6), (found.ci_high, 1e-6)):
        assert signed_rank(x - limit - outside).p < 0.05
        assert signed_rank(x - limit + outside).p > 0.05


def test_ranks_add_up_as_all_sign_patterns_say() -> None:
    sums = [
        sum(r for r, s in zip(range(1, 8), signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=7)
    ]
    assert rank_sum_counts(7).tolist() == np.bincount(sums).tolist()


def test_zeros_ties_and_what_can_not_be_tested() -> None:
    same = signed_rank(np.zeros(6))
    assert (same.estimate, same.ci_low, same.ci_high, same.p) == (0, 0, 0, 1)
    equal = signed_rank(np.full(6, 0.25))
    assert (equal.estimate, equal.ci_low, equal.ci_high, equal.method) == (0.25, 0.25, 0.25, APPROXIMATE)
    assert equal.p == pytest.approx(0.01965615725)  # R
    with pytest.raises(NotEstimableError, match="2 patients are too few"):
        signed_rank(np.array([0.1, 0.2]))
    with pytest.raises(InputError, match="1 differences are missing"):
        signed_rank(np.array([0.1, 0.2, np.nan]))
