"""Printed numbers in the notations of journals; the right values are what a reader of the paper would say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.claims import check_claim
from radsupport.claims.numbers import numbers_in, read_number
from radsupport.claims.verdicts import HOLDS, Claim
from radsupport.errors import InputError


@pytest.mark.parametrize(
    ("text", "values", "decimals"),
    [
        ("0,485", [0.485], [3]),  # decimal commas: thousands never begin with 0
        ("P = ,05", [0.05], [2]),
        ("<,001", [0.001], [3]),
        ("47,2 %", [47.2], [1]),
        ("0,70–0,92", [0.70, 0.92], [2, 2]),
        ("2,10 (1,18; 3,74)", [2.10, 1.18, 3.74], [2, 2, 2]),
        ("1.234 (47,2 %)", [1234, 47.2], [0, 1]),  # a decimal comma beside it: the point sets thousands apart
        ("1,234 (47.2%)", [1234, 47.2], [0, 1]),
        ("1,234.5", [1234.5], [1]),
        ("31,031,685", [31031685], [0]),
        ("1.234.567", [1234567], [0]),
        ("1\u202f234", [1234], [0]),
        ("1\u00a0234 of 2\u2009345", [1234, 2345], [0, 0]),
        ("1'234", [1234], [0]),
        ("0.70,0.92", [0.70, 0.92], [2, 2]),  # a list without spaces
        ("64,64,32", [64, 64, 32], [0, 0, 0]),
        ("0·485", [0.485], [3]),  # the Lancet's raised point
        ("<·05", [0.05], [2]),
        ("2.3e-5", [2.3e-5], [6]),
        ("2.3E−05", [2.3e-5], [6]),
        ("2.3×10−5", [2.3e-5], [6]),
        ("2·3 × 10⁻⁵", [2.3e-5], [6]),
        ("3 x 10^4", [30000], [0]),
        ("−0,45", [-0.45], [2]),
        ("23/9,23/1", [23, 9, 23, 1], [0, 0, 0, 0]),
    ],
)
def test_notations_of_journals(text, values, decimals):
    found = numbers_in(text)
    assert [each.value for each in found] == pytest.approx(values, rel=1e-12)
    assert [each.decimals for each in found] == decimals


@pytest.mark.parametrize(("text", "relation"), [("≤0,05", "<="), ("⩽ ·05", "<="), ("<2×10⁻³", "<"), ("≧0.05", ">=")])
def test_bounds_in_other_notations(text, relation):
    assert read_number(text).relation == relation


@pytest.mark.parametrize("text", ["1,234", "12,345 patients", "0,70,0,92", "0.70,5"])
def test_what_has_two_readings_is_refused(text):
    with pytest.raises(InputError, match=r"may be|several ways"):
        numbers_in(text)


@pytest.mark.parametrize(
    ("text", "count"), [("1,234", 1234), ("1 234", 1234), ("n = 12,345", 12345), ("1.234.567", 1234567)]
)
def test_counts_have_thousands(text, count):
    assert [each.value for each in numbers_in(text, whole=True)] == [count]


@given(st.integers(0, 10**9), st.sampled_from([",", "\u202f", " ", "'"]))
def test_every_count_reads_back_from_its_thousands(count, mark):
    assert [each.value for each in numbers_in(f"{count:,}".replace(",", mark), whole=True)] == [count]


@given(st.floats(0, 999.994), st.sampled_from([",", "·", "."]))
def test_every_decimal_mark_reads_the_same(value, mark):
    printed = read_number(f"{value:.2f}".replace(".", mark))
    assert (printed.value, printed.decimals) == (float(f"{value:.2f}"), 2)


def claim(kind, value, inputs):
    return Claim("X", "T", "item", "all", value, kind, inputs)


@pytest.mark.parametrize(
    ("kind", "value", "inputs"),
    [
        ("p_value", "0,485", {"counts": [[24, 4], [22, 6]]}),  # Pearson's chi-square 0.4854
        ("p_value", "·485", {"counts": [[24, 4], [22, 6]]}),
        ("proportion", "47,2 %", {"k": 67, "n": 142}),
        ("count_total", "1,234", {"counts": [1000, 234]}),
        ("count_total", "1 234", {"counts": ["1,000", 234]}),
        ("p_value", "0,012", {"estimate": "2,10", "ci": ["1,18", "3,74"]}),
        ("shape", "16x16x1,024", {"downsamplings": 4}),
    ],
)
def test_a_claim_holds_in_any_notation(kind, value, inputs):
    verdict, problem = check_claim(claim(kind, value, inputs))
    assert problem is None
    assert verdict.verdict == HOLDS


@pytest.mark.parametrize("value", ["<.000", "1,234", ">1", "1.2"])
def test_no_p_value_is_malformed(value):
    verdict, problem = check_claim(claim("p_value", value, {"counts": [[24, 4], [22, 6]]}))
    assert verdict is None
    assert value in problem
