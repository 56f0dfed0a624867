import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED

COUNTS = st.lists(st.integers(0, 500), min_size=1, max_size=6)


@given(counts=COUNTS, slip=st.integers(1, 5))
def test_a_list_adds_up_or_does_not(judge, counts, slip):
    assert judge("count_total", str(sum(counts)), {"counts": counts}).verdict == HOLDS
    wrong = judge("count_total", str(sum(counts) + slip), {"counts": counts})
    assert wrong.verdict == FAILS
    assert wrong.recomputed == str(sum(counts))


@pytest.mark.parametrize(
    ("published", "inputs", "verdict"),
    [
        ("18 low / 14 high (from the other rows)", {"counts": [[6, 2], [7, 17]]}, FAILS),
        ("13 low / 19 high", {"counts": [[6, 2], [7, 17]]}, HOLDS),
        ("46/10", {"levels": [["F", 24, 4], ["M", 22, 6]]}, HOLDS),
        ("[23, 53]", {"subgroups": [[19, 4], [23, 30]]}, HOLDS),
        ("[28, 127, 23]", {"subgroups": [[16, 3], [69, 58], [20, 12]]}, FAILS),
        ("74 = 56 + 18", {"addends": {"I": 56, "II": 18}}, HOLDS),
        ("1:9", {"addends": {"a": 58, "b": 22}, "ratio": [1, 9]}, HOLDS),
        ("1:9", {"addends": {"a": 58, "b": 23}, "ratio": [1, 9]}, FAILS),
        ("108 = 76 + 32 (7:3)", {"sums": [[108, [76, 32]]], "split": [[76, 32], [7, 3]]}, HOLDS),
        ("108 = 76 + 33", {"sums": [[108, [76, 33]]]}, FAILS),
        ("108 = 54 + 54 (7:3)", {"sums": [[108, [54, 54]]], "split": [[54, 54], [7, 3]]}, FAILS),
        ("1834/1487/772/9", {"stages": [1834, 1487, 772, 9]}, HOLDS),
        ("9/11", {"stages": [9, 11]}, FAILS),
        ("7", {"listed": ["a", "b", "c", "d", "e", "f"], "original_counted": True}, HOLDS),
        ("7", {"listed": ["a", "b", "c", "d", "e", "f"]}, FAILS),
    ],
)
def test_totals(judge, published, inputs, verdict):
    assert judge("count_total", published, inputs).verdict == verdict


def test_rows_that_share_many_digits_are_copies(judge):
    rows = {"Age": ["14.25 (3.00)", "14.75 (4.50)", "140"], "Portal vein": ["14.25 (3.00)", "14.75 (4.50)", "189.5"]}
    verdict = judge("duplicate_row", "-", {"rows": rows})
    assert verdict.verdict == FAILS
    assert verdict.values["shared"] == 4


def test_rows_that_share_few_digits_may_coincide(judge):
    rows = {"Symptom": [[23, 9], [23, 1]], "Diameter": [[23, 1], [23, 9]]}
    assert judge("duplicate_row", "-", {"rows": rows}).verdict == UNDECIDED
    assert judge("duplicate_row", "-", {"rows": {"a": ["1.5"], "b": ["2.7"]}}).verdict == HOLDS


def test_the_order_of_labels_is_never_decided(judge):
    verdict = judge("label_order", "Y 38/7, N 8/3", {"labels": {"yes": [38, 7], "no": [8, 3]}})
    assert verdict.verdict == UNDECIDED
    assert verdict.recomputed == "80% or 20%"


@pytest.mark.parametrize(
    ("kind", "published", "inputs", "reason"),
    [
        ("count_total", "5", {"counts": [1, -2]}, "at least 0"),
        ("count_total", "5", {"counts": [1, 2.5]}, "whole number"),
        ("count_total", "5", {"counts": []}, "list of"),
        ("count_total", "5", {"counts": [[1, 2], [3]]}, "equally long rows"),
        ("count_total", "five", {"counts": [2, 3]}, "1 whole number"),
        ("count_total", "5", {"addends": [2, 3]}, "must map names"),
        ("count_total", "5", {"sums": 3}, "structure"),
        ("duplicate_row", "-", {"rows": {"a": ["1"]}}, "two row names"),
        ("label_order", "-", {"labels": {"yes": [1]}}, "two labels"),
    ],
)
def test_malformed_counts_are_refused(refusal, kind, published, inputs, reason):
    assert reason in refusal(kind, published, inputs)
