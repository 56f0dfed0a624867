import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.numbers import Printed, numbers_in, read_number
from radsupport.claims.verdicts import agreement, holds, show, show_range, significant_digits
from radsupport.errors import InputError


@pytest.mark.parametrize(
    ("text", "values", "decimals"),
    [
        ("0.83-0.94", [0.83, 0.94], [2, 2]),
        ("0.99–1.04", [0.99, 1.04], [2, 2]),
        (".215", [0.215], [3]),
        ("-1.244", [-1.244], [3]),
        ("SEN −0.10; 0.80", [-0.10, 0.80], [2, 2]),
        ("61.70±11.31", [61.70, 11.31], [2, 2]),
        ("16x16x1024", [16, 16, 1024], [0, 0, 0]),
        ("[139, 39]", [139, 39], [0, 0]),
        ("no number", [], []),
    ],
)
def test_numbers_keep_their_decimals(text, values, decimals):
    found = numbers_in(text)
    assert [each.value for each in found] == values
    assert [each.decimals for each in found] == decimals


@pytest.mark.parametrize(("text", "relation"), [("<0.001*", "<"), ("P ≤ .05", "<="), ("> 0.05", ">"), ("0.05", "=")])
def test_bounds_are_recognised(text, relation):
    assert read_number(text).relation == relation


def test_a_bound_reads_as_all_values_beyond_it():
    assert read_number("<0.001").meets(0.0005)
    assert not read_number("<0.001").meets(0.001)
    assert read_number(">=0.05").meets(0.05)
    assert not read_number(">0.05").meets(0.05)
    assert read_number("<0.001").meets(0.0005, 0.2)


@given(st.floats(-1e4, 1e4), st.integers(0, 5))
def test_every_value_meets_its_own_print(value, decimals):
    printed = read_number(f"{value:.{decimals}f}")
    assert printed.meets(value)
    assert agreement(value, printed) == "rounded"
    assert not printed.meets(value + 1.01 * printed.unit)


@given(st.floats(1e-4, 0.999), st.integers(1, 3))
def test_significant_figures_are_met(value, figures):
    text = f"{float(f'{value:.{figures}g}'):.6f}"
    assert Printed(float(text), 6, significant=figures).meets(value)


def test_two_significant_figures_are_coarser_only_above_a_tenth():
    assert Printed(0.140, 3, significant=2).meets(0.1449)
    assert not Printed(0.140, 3).meets(0.1449)
    assert not Printed(0.032, 3, significant=2).meets(0.0326)
    assert Printed(1.0, 3, significant=2).meets(0.996)
    assert not Printed(1.0, 3, significant=2).meets(0.98)


def test_halves_may_go_either_way():
    assert holds(0.625, read_number("0.62"))
    assert holds(0.625, read_number("0.63"))


def test_rounding_twice_holds_and_cutting_off_does_not():
    assert agreement(0.60547, read_number("0.606")) == "rounded twice"
    assert holds(0.60547, read_number("0.606"))
    assert agreement(5 / 9, read_number("0.55")) == "cut off"
    assert not holds(5 / 9, read_number("0.55"))
    assert agreement(-0.559, read_number("-0.55")) == "cut off"
    assert agreement(0.7, read_number("0.5")) == ""
    assert agreement(0.002, read_number("<0.001")) == ""


@pytest.mark.parametrize("value", ["", "none", "1 2", None, [1, 2]])
def test_one_number_is_required(value):
    with pytest.raises(InputError, match="exactly one number"):
        read_number(value, "estimate")


@pytest.mark.parametrize(("text", "digits"), [("0.850", 2), ("1.000", 1), ("0.0632", 3), ("0.000", 1), ("140.000", 2)])
def test_significant_digits_ignore_padding(text, digits):
    assert significant_digits(read_number(text)) == digits


def test_numbers_are_shown_without_losing_small_ones():
    assert show(0.0123456) == "0.012"
    assert show(0.000587) == "0.0006"
    assert show(0.00099) == "0.001"
    assert show(0.0000421) == show(0.000042, 4) == "<0.0001"
    assert show(0.0000421, 5) == "0.00004"
    assert show(1.23e-7) == "<0.0001"
    assert show(-0.0004) == "-0.0004"
    assert show(-1.23e-7) == "0.000"
    assert show(0.0) == "0.000"
    assert show(math.inf) == "infinite"
    assert show_range(0.1231, 0.1234) == "0.123"
    assert show_range(0.1, 0.2, 2) == "0.10 to 0.20"
    assert str(read_number("<0.0010")) == "<0.0010"
