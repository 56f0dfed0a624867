import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from radsupport.claims.estimates import Z, matching_cells, p_range, woolf
from radsupport.claims.numbers import read_number
from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED


@given(log=st.floats(-2, 2), se=st.floats(0.02, 1.2), decimals=st.integers(2, 4))
def test_any_wald_interval_holds(judge, log, se, decimals):
    ratio, low, high = (f"{math.exp(x):.{decimals}f}" for x in (log, log - Z * se, log + Z * se))
    p = 2 * stats.norm.sf(abs(log / se))
    inputs = {"estimate": ratio, "ci": [low, high]}
    assert judge("hr", f"{ratio} ({low}-{high})", inputs).verdict == HOLDS
    assert judge("or", f"{ratio} ({low}-{high})", inputs).verdict == HOLDS
    assert judge("p_value", f"{p:.3f}", inputs).verdict == HOLDS
    least, most = p_range(read_number(low), read_number(high))
    assert least - 1e-12 <= p <= most + 1e-12


def test_p_from_the_interval_equals_r(r_values):
    found = r_values("cox__lung_age_sex_ecog")["values"]["efron"]
    for p, low, high, ratio in zip(
        found["p"], found["hr_ci95_lower"], found["hr_ci95_upper"], found["hazard_ratio"], strict=True
    ):
        limits = p_range(read_number(f"{low:.7f}"), read_number(f"{high:.7f}"), read_number(f"{ratio:.7f}"))
        assert limits == pytest.approx((p, p), rel=1e-3)


def test_an_interval_that_contains_one_never_gives_significance(judge):
    verdict = judge("p_value", "0.030", {"estimate": "1.02", "ci": ["0.99", "1.04"]})
    assert verdict.verdict == FAILS
    assert verdict.values["low"] > 0.05
    assert verdict.values["crosses"] == 1
    assert "contains 1" in verdict.reason
    assert judge("p_value", "<0.01", {"estimate": "1.25", "ci": ["0.89", "1.77"]}).verdict == FAILS


def test_the_estimate_narrows_the_range():
    low, high, estimate = (read_number(x) for x in ("1.0", "1.2", "1.14"))
    alone, narrowed = p_range(low, high), p_range(low, high, estimate)
    assert alone[0] <= narrowed[0] <= narrowed[1] <= alone[1]
    assert p_range(low, high, read_number("1.19")) is None


@pytest.mark.parametrize(
    ("published", "inputs", "verdict"),
    [
        ("2.26 (1.00-4.36)", {"estimate": "2.26", "ci": ["1.00", "4.36"]}, FAILS),
        ("5.65 (2.66-11.97)", {"estimate": "5.65", "ci": ["2.66", "11.97"]}, HOLDS),
        ("1.05 (1.05-1.13)", {"estimate": "1.05", "ci": ["1.05", "1.13"]}, FAILS),
        ("9.99 (1.05-1.13)", {"estimate": "9.99", "ci": ["1.05", "1.13"]}, FAILS),
        ("14 (5-42)", {"estimate": "14", "ci": ["5", "42"]}, HOLDS),
    ],
)
def test_geometric_midpoints(judge, published, inputs, verdict):
    assert judge("hr", published, inputs).verdict == verdict


def test_an_infinite_limit_goes_with_a_p_close_to_one(judge):
    assert judge("hr", "0.99", {"unbounded": {"estimate": "0.001", "ci": "0-Inf"}}).verdict == HOLDS
    assert judge("hr", "0.03", {"unbounded": {"estimate": "0.001", "ci": "0-Inf"}}).verdict == FAILS


def test_symmetric_intervals(judge):
    assert judge("ci", "36.28", {"est": "36.28", "ci": ["26.37", "46.20"]}).verdict == HOLDS
    assert judge("ci", "36.28", {"est": "36.28", "ci": ["26.37", "47.20"]}).verdict == FAILS
    assert judge("ci", "-", {"c": ["0.86", "0.81", "0.92"]}).verdict == HOLDS
    assert judge("ci", "-", {"c": ["0.66", "0.52", "0.72"]}).verdict == UNDECIDED
    assert judge("ci", "-", {"c": ["0.76", "0.52", "0.72"]}).verdict == FAILS


def test_exact_intervals_equal_r(judge, r_values):
    found = r_values("confusion__pima_te_pfull_ge_0.5")["values"]
    low, high = (found["overall"][f"accuracy_ci95_{side}_clopper_pearson"] for side in ("lower", "upper"))
    verdict = judge("ci", f"{low:.4f}-{high:.4f}", {"k": 266, "n": 332})
    assert verdict.verdict == HOLDS
    assert verdict.test == "Clopper-Pearson (exact)"
    assert verdict.values["low"] == pytest.approx(low, abs=1e-9)
    assert verdict.values["high"] == pytest.approx(high, abs=1e-9)


@pytest.mark.parametrize(("published", "test"), [("0.606-0.880", "Clopper-Pearson (exact)"), ("0.615-0.865", "Wilson")])
def test_the_interval_that_fits_is_named(judge, published, test):
    verdict = judge("ci", published, {"k": 32, "n": 42})
    assert verdict.verdict == HOLDS
    assert verdict.test == test


def test_no_interval_fits(judge):
    assert judge("ci", "0.5-0.6", {"k": 32, "n": 42}).verdict == FAILS


@given(a=st.integers(2, 60), b=st.integers(2, 60), c=st.integers(2, 60), d=st.integers(2, 60))
def test_any_odds_ratio_is_rebuilt(judge, a, b, c, d):
    ratio, low, high = woolf(a, b, c, d)
    published = f"{ratio:.3f} ({low:.3f}-{high:.3f})"
    assert judge("or", published, {"counts": [[a, b], [c, d]]}).verdict == HOLDS
    margins = {"exposed": a + b, "unexposed": c + d, "cases": a + c, "controls": b + d}
    assert judge("or", published, margins).verdict == HOLDS
    assert a in matching_cells(a + b, c + d, a + c, [read_number(f"{x:.3f}") for x in (ratio, low, high)])


def test_woolf_equals_r(r_values):
    found = r_values("contingency__birthwt_smoke_low")["values"]
    (a, b), (c, d) = found["table"]["matrix"]
    log_se = math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    ratio, low, high = woolf(a, b, c, d)
    assert ratio == pytest.approx(a * d / (b * c), rel=1e-12)
    assert math.log(high / low) == pytest.approx(2 * Z * log_se, rel=1e-12)


def test_another_split_is_found_where_the_margins_do_not_fit(judge):
    inputs = {"exposed": 156, "unexposed": 80, "cases": 113, "controls": 123}
    verdict = judge("or", "4.28 (2.16-8.50)", inputs)
    assert verdict.verdict == FAILS
    assert verdict.values["fits0"] == 179
    assert judge("or", "2.85 (1.61-5.03)", {"counts": [[88, 68], [25, 55]]}).verdict == HOLDS
    assert judge("or", "2.85 (1.61-5.03)", {"counts": [[88, 0], [25, 55]]}).verdict == UNDECIDED


@pytest.mark.parametrize(
    ("kind", "published", "inputs", "reason"),
    [
        ("hr", "1", {"estimate": "1.0", "ci": ["2.0", "1.0"]}, "lower limit first"),
        ("hr", "1", {"estimate": "-1.0", "ci": ["0.5", "1.0"]}, "negative"),
        ("hr", "1", {"estimate": "1.0", "ci": ["0.5"]}, "list of 2"),
        ("hr", "1", {"unbounded": {}}, "exactly one number"),
        ("or", "1", {"exposed": 5, "unexposed": 5, "cases": 5, "controls": 6}, "margins differ"),
        ("or", "1", {"exposed": 5, "unexposed": 5, "cases": 5, "controls": 5}, "must read OR"),
        ("or", "1", {"counts": [[1, 2, 3], [1, 2, 3]]}, "2 rows and 2 columns"),
        ("ci", "0.5", {"k": 3, "n": 5}, "two limits"),
    ],
)
def test_malformed_intervals_are_refused(refusal, kind, published, inputs, reason):
    assert reason in refusal(kind, published, inputs)
