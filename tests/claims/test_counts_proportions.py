import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.counts import denominators, near, reachable
from radsupport.claims.numbers import read_number
from radsupport.claims.verdicts import FAILS, HOLDS


@given(n=st.integers(1, 400), share=st.floats(0, 1), decimals=st.integers(0, 3))
def test_a_rounded_share_holds(judge, n, share, decimals):
    k = int(share * n)
    text = f"{100 * k / n:.{decimals}f}%"
    assert judge("proportion", text, {"k": k, "n": n}).verdict == HOLDS
    assert k in reachable(read_number(text), n, 100)


def test_grim_finds_impossible_proportions():
    assert reachable(read_number("0.91"), 27) == []
    assert near(read_number("0.91"), 27) == [24, 25]
    assert reachable(read_number("0.79"), 57) == [45]


def test_denominators_are_checked_by_rounding():
    assert denominators(read_number("33.3"), 9, 100) == [27]
    assert denominators(read_number("42.1"), 70, 100) == []
    assert denominators(read_number("0.60"), 105) == [174, 175, 176]
    assert denominators(read_number("0.0"), 0, 100) == []


@given(k=st.integers(1, 200), others=st.floats(0, 1), decimals=st.integers(0, 3))
def test_the_true_denominator_is_found(k, others, decimals):
    """Among shares of half and more, where few enough denominators fit that all are listed."""
    n = k + int(others * k)
    assert n in denominators(read_number(f"{100 * k / n:.{decimals}f}"), k, 100)


@pytest.mark.parametrize(
    ("published", "inputs", "said"),
    [
        ("60% [3/5]", {"k": 3, "n": 8}, "It is 3/5 = 60.00%, patients with the event divided by those without."),
        ("70 (42.1%)", {"k": 70, "n": 236}, "those without, with the last digit cut off."),
        ("9/37 (33.3%)", {"k": 9, "n": 37}, "9 would be 33.3% of 27 patients and of no other number."),
        ("25 (31.5%)", {"k": 25, "n": 80}, "printed 31.5%."),
        ("0.60", {"k": 105, "n": 178}, "printed 0.60."),
    ],
)
def test_the_slip_behind_a_wrong_share_is_named(judge, published, inputs, said):
    verdict = judge("proportion", published, inputs)
    assert verdict.verdict == FAILS
    assert verdict.reason.endswith(said)


@pytest.mark.parametrize(
    ("published", "inputs", "verdict"),
    [
        ("60% [3/5]", {"k": 3, "n": 8}, FAILS),
        ("70 (42.1%)", {"k": 70, "n": 236}, FAILS),
        ("27 (32.1%)", {"k": 27, "n": 84}, HOLDS),
        ("0.60", {"k": 105, "n": 178}, FAILS),
        ("61.9", {"k": 13, "n": 21}, HOLDS),
        ("2 of 2", {"k": 2, "n": 2}, HOLDS),
        ("1", {"k": 2, "n": 2}, HOLDS),
        ("33", {"k": 1, "n": 3}, HOLDS),
        ("2 of 3", {"k": 2, "n": 2}, FAILS),
        ("206", {"k": 206, "n": 1024, "claimed": "majority"}, FAILS),
        ("513", {"k": 513, "n": 1024, "claimed": "majority"}, HOLDS),
    ],
)
def test_single_shares(judge, published, inputs, verdict):
    assert judge("proportion", published, inputs).verdict == verdict


def test_percentages_are_checked_column_by_column(judge):
    good = [["F", [["23", "30.3"], ["8", "25.0"]]], ["M", [["53", "69.7"], ["24", "75.0"]]]]
    assert judge("proportion", "n (%)", {"levels": good}).verdict == HOLDS
    forced = [["a", [["41", "54.0"]]], ["b", [["21", "27.6"]]], ["c", [["9", "11.8"]]], ["d", [["5", "6.6"]]]]
    verdict = judge("proportion", "n (%)", {"levels": forced})
    assert verdict.verdict == FAILS
    assert verdict.values["wrong"] == 1
    assert "1 of 4 percentages of 76 patients differs" in verdict.reason
    assert "Column 1 adds up to exactly 100" in verdict.reason
    twice = [[name, cells * 2] for name, cells in forced]
    assert "Columns 1 and 2 add up" in judge("proportion", "n (%)", {"levels": twice}).reason


def test_given_denominators_replace_the_column_sums(judge):
    levels = [["F", [["6", "46.2"], ["2", "10.5"]]]]
    assert judge("proportion", "n (%)", {"levels": levels, "denominators": [13, 19]}).verdict == HOLDS
    assert judge("proportion", "n (%)", {"levels": levels, "denominators": [18, 14]}).verdict == FAILS


@pytest.mark.parametrize(
    ("published", "inputs", "reason"),
    [
        ("12%", {"k": 5, "n": 3}, "exceeds"),
        ("12%", {"k": 0, "n": 0}, "at least 1"),
        ("n (%)", {"levels": [["F", [["1", "50"]]], ["M", [["1", "50"], ["2", "50"]]]]}, "same number"),
        ("n (%)", {"levels": ["F"]}, "list of [level"),
        ("n (%)", {"levels": [["F", [["1", "half"]]]]}, "exactly one number"),
    ],
)
def test_malformed_shares_are_refused(refusal, published, inputs, reason):
    assert reason in refusal("proportion", published, inputs)
