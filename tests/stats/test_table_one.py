"""Choice of the group test, adjustment of p-values, and Table 1."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.table_one import COX, LOG_RANK, adjust_p, baseline_table, compare_groups, survival_test

METHODS = {"BH": "bh", "holm": "holm"}


@pytest.mark.parametrize("stem", ["p_adjust__ten", "p_adjust__with_ties_and_na"])
def test_adjusted_p_equal_r(stem, r_values, golden):
    reference = r_values(stem)
    lines = (golden / "statistics" / reference["dataset"][0]).read_text().splitlines()[1:]
    p = np.array([float(line) if line.strip('" ') else np.nan for line in lines])
    for name, method in METHODS.items():
        expected = np.array(reference["values"][name], dtype=float)
        found = adjust_p(p, method)
        assert np.isnan(found).tolist() == np.isnan(p).tolist()
        known = expected[~np.isnan(expected)]
        assert found[~np.isnan(found)] == pytest.approx(known, rel=1e-9)
        assert adjust_p(p, name.upper()).tolist() == pytest.approx(found.tolist(), nan_ok=True)
    assert adjust_p(p, "none").tolist() == pytest.approx(p.tolist(), nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_laws_of_adjustment(p):
    raw = np.array(p)
    order = np.argsort(raw)
    # Holm is left to the reference's files: statsmodels collects garbage in it, a fifth of a second a call.
    found = adjust_p(raw, "bh")
    assert (found >= raw - 1e-12).all()
    assert (found <= 1).all()
    assert (np.diff(found[order]) >= -1e-12).all()
    assert adjust_p(np.append(raw, np.nan), "bh")[:-1] == pytest.approx(found)


def test_adjustment_edges():
    assert np.isnan(adjust_p([np.nan, np.nan])).all()
    assert adjust_p([]).size == 0
    assert adjust_p(0.3).tolist() == [0.3]
    with pytest.raises(InputError, match="method"):
        adjust_p([0.1], "sidak")
    with pytest.raises(InputError, match="between 0 and 1"):
        adjust_p([0.1, 1.2])


def test_choice_for_categories_follows_expected_counts():
    def compare(counts):
        rows = np.concatenate([np.full(sum(row), f"r{i}") for i, row in enumerate(counts)])
        columns = np.concatenate([np.repeat(range(len(row)), row) for row in counts])
        return compare_groups(rows, columns)

    assert compare([[20, 20], [20, 20]]).test == "chi_square"
    assert compare([[4, 20], [3, 18]]).test == "fisher"
    assert compare([[30, 30], [25, 30], [6, 5]]).test == "chi_square"
    assert compare([[30, 30], [25, 30], [1, 0]]).test == "fisher"
    assert compare([[9, 9, 1], [9, 9, 1]]).test == "fisher"
    assert "expected count" in compare([[4, 20], [3, 18]]).reason


def test_choice_falls_back_and_says_so_when_no_exact_sum_is_possible():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 5, 700)
    columns = np.where(rng.random(700) < 0.005, 4, rng.integers(0, 4, 700))
    found = compare_groups(rows.astype(str), columns)
    assert found.test == "chi_square"
    assert "too many tables" in found.reason


def test_numbers_of_two_values_count_as_categories_unless_told_otherwise():
    value, group = [0, 1, 1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 1, 1, 1, 1]
    assert compare_groups(value, group).test == "fisher"
    assert compare_groups(value, group, kind="continuous").test == "mann_whitney"
    assert compare_groups([1, 2, 3, 1, 2, 3], [0, 0, 0, 1, 1, 1], kind="categorical").test == "fisher"
    assert compare_groups([True, False, True, False], [0, 0, 1, 1]).test == "fisher"


def test_missing_values_are_left_out_and_counted():
    value = [1.0, 2.5, np.nan, 4.0, 3.0, 7.0, 5.0]
    group = ["a", "a", "a", "a", "b", "b", None]
    found = compare_groups(value, group, "welch_t")
    assert (found.n, found.n_missing) == (5, 2)
    assert found.p == compare_groups([1.0, 2.5, 4.0, 3.0, 7.0], list("aaabb"), "welch_t").p
    assert compare_groups(["x", None, "y", "x"], [0, 0, 1, 1], "chi_square").n_missing == 1


def test_order_of_groups_sets_the_sign():
    value, group = [1.0, 2.0, 3.5, 5.0, 6.0, 8.0], list("bbbaaa")
    sorted_levels = compare_groups(value, group, "welch_t")
    assert sorted_levels.statistic > 0
    ordered = pd.Categorical(group, categories=["b", "a", "never"])
    reversed_levels = compare_groups(value, ordered, "welch_t")
    assert reversed_levels.statistic == pytest.approx(-sorted_levels.statistic)
    assert compare_groups(value, ordered, "mann_whitney").statistic == 0


def test_nothing_to_compare_is_an_error():
    for test in ("student_t", "welch_t", "mann_whitney", "anova", "kruskal"):
        with pytest.raises(NotEstimableError):
            compare_groups([2.0, 2.0, 2.0, 2.0], [0, 0, 1, 1], test)
    with pytest.raises(NotEstimableError, match="two in each"):
        compare_groups([1.0, 2.0, 3.0], [0, 1, 1], "welch_t")
    with pytest.raises(NotEstimableError, match="at least two"):
        compare_groups([1.0, 2.0, 3.0], [1, 1, 1])
    with pytest.raises(NotEstimableError):
        compare_groups(["x", "x", "x"], [0, 1, 1])
    with pytest.raises(NotEstimableError, match="every group"):
        compare_groups([1.0, 2.0, 3.0, 3.0, 1.0, 5.0], [0, 0, 1, 1, 2, 2], "welch_anova")
    with pytest.raises(NotEstimableError, match="within any group"):
        compare_groups([1.0, 2.0, 3.0], [0, 1, 2], "anova")
    with pytest.raises(InputError, match="infinite"):
        compare_groups([1.0, np.inf, 3.0, 4.0], [0, 0, 1, 1], "welch_t")
    with pytest.raises(InputError, match="not numeric"):
        compare_groups(["a", "b", "c"], [0, 1, 1], "welch_t")
    with pytest.raises(InputError, match="equal numbers"):
        compare_groups([1.0, 2.0], [0, 1, 1])
    with pytest.raises(InputError, match="expected auto or one of"):
        compare_groups([1.0, 2.0], [0, 1], "z")
    with pytest.raises(InputError, match="kind"):
        compare_groups([1.0, 2.0], [0, 1], kind="ordinal")


def test_values_that_are_close_together_are_still_compared():
    near = np.array([0.2, 0.2 + 1e-10, 0.2 + 3e-10, 0.7, 0.7 + 1e-10, 0.7 + 2e-10])
    apart = compare_groups(near, [0, 0, 0, 1, 1, 1], "welch_t")
    assert apart.statistic == pytest.approx(-0.5 / np.sqrt(((7 / 3) * 1e-20 + 1e-20) / 3), rel=1e-4)
    assert apart.p < 1e-10


def test_three_subjects():
    assert compare_groups([1.0, 2.0, 3.0], [0, 1, 1]).test == "mann_whitney"
    assert compare_groups([1.0, 2.0, 3.0], [0, 1, 1]).p == pytest.approx(2 / 3)


@pytest.fixture
def patients():
    rng = np.random.default_rng(7)
    n = 60
    table = pd.DataFrame(
        {
            "age": rng.normal(60, 9, n),
            "volume": rng.lognormal(3, 1, n),
            "sex": rng.choice(["female", "male"], n),
            "stage": pd.Categorical(rng.choice(["I", "II", "III"], n), categories=["III", "II", "I"], ordered=True),
            "mutated": rng.integers(0, 2, n),
            "cohort": np.repeat(["train", "internal", "external"], 20),
            "label": np.tile([0, 1], 30),
        }
    )
    table.loc[[3, 40], "age"] = np.nan
    table.loc[5, "sex"] = None
    return table


COLUMNS = ["age", "volume", "sex", "stage", "mutated"]


def test_table_by_outcome(patients):
    found = baseline_table(patients, "label", COLUMNS)
    assert list(found.columns) == ["variable", "level", "overall", "0", "1", "missing", "test", "statistic", "p"]
    assert found.loc[0, ["variable", "overall", "0", "1"]].tolist() == ["n", "60", "30", "30"]
    first = found[found["missing"].notna()].set_index("variable")
    assert first["missing"].to_dict() == {"age": 2, "volume": 0, "sex": 1, "stage": 0, "mutated": 0}
    assert first.loc["age", "level"] == "mean ± SD"
    assert first.loc["volume", "level"] == "median (Q1–Q3)"
    for name in COLUMNS:
        single = compare_groups(patients[name], patients["label"])
        assert first.loc[name, "test"] == single.test
        assert first.loc[name, "p"] == pytest.approx(single.p, rel=1e-12)
    age = patients.loc[patients["label"] == 1, "age"].dropna()
    assert first.loc["age", "1"] == f"{age.mean():.1f} ± {age.std():.1f}"
    low, middle, high = patients["volume"].quantile([0.25, 0.5, 0.75])
    assert first.loc["volume", "overall"] == f"{middle:.1f} ({low:.1f}–{high:.1f})"


def test_levels_counts_and_missing_rows(patients):
    found = baseline_table(patients, "label", COLUMNS, decimals=0).set_index(["variable", "level"])
    assert [level for name, level in found.index if name == "stage"] == ["III", "II", "I"]
    men = (patients["sex"] == "male") & (patients["label"] == 0)
    known = patients.loc[patients["label"] == 0, "sex"].notna().sum()
    assert found.loc[("sex", "male"), "0"] == f"{men.sum()} ({100 * men.sum() / known:.0f})"
    counts = found.loc["stage", "overall"].str.extract(r"^(\d+)")[0].astype(int)
    assert counts.sum() == 60
    assert found.loc[("sex", "missing"), "overall"] == "1 (2)"
    assert found.loc[("age", "missing"), ["0", "1"]].tolist() == ["1 (3)", "1 (3)"]
    assert ("stage", "missing") not in found.index
    assert found.loc[("sex", "male"), "test"] == ""


def test_table_by_cohort_with_adjusted_p(patients):
    found = baseline_table(patients, "cohort", COLUMNS, adjust="BH", tests={"age": "kruskal"})
    assert {"external", "internal", "train"} <= set(found.columns)
    tested = found["p"].notna()
    assert tested.sum() == 5
    assert found.loc[tested, "p_bh"].to_numpy() == pytest.approx(adjust_p(found.loc[tested, "p"]))
    assert found.loc[~tested, "p_bh"].isna().all()
    assert found.set_index("variable").loc["age", "test"].iloc[0] == "kruskal"
    patients["cohort"] = pd.Categorical(patients["cohort"], ["train", "internal", "external"])
    assert list(baseline_table(patients, "cohort", ["age"]).columns[2:6]) == [
        "overall",
        "train",
        "internal",
        "external",
    ]


def test_a_row_without_a_test_says_why_and_leaves_the_others(patients):
    patients["scanner"] = "A"
    patients["flat"] = 1.5
    patients["empty"] = np.nan
    found = baseline_table(
        patients, "label", ["scanner", "flat", "empty", "age"], {"flat": "continuous", "empty": "continuous"}
    )
    first = found.drop_duplicates("variable").set_index("variable")
    assert first.loc[["scanner", "flat", "empty"], "test"].str.startswith("not estimable").all()
    assert first.loc[["scanner", "flat", "empty"], "p"].isna().all()
    assert first.loc["empty", ["overall", "missing"]].tolist() == ["–", 60]
    assert first.loc["age", "p"] == pytest.approx(compare_groups(patients["age"], patients["label"]).p)


def test_subjects_without_a_group_are_left_out(patients):
    patients.loc[:9, "cohort"] = None
    found = baseline_table(patients, "cohort", ["age"])
    assert found.loc[0, "overall"] == "50"


def test_problems_are_listed_together(patients):
    with pytest.raises(InputError) as caught:
        baseline_table(
            patients, "label", ["age", "weight", "sex"], {"sex": "continuous", "age": "number"}, {"age": "z"}
        )
    for part in ("no column weight", "kind 'number' of age", "test 'z' of age", "sex is text"):
        assert part in str(caught.value)
    with pytest.raises(InputError, match="named missing like"):
        baseline_table(patients.assign(label=np.tile(["missing", "known"], 30)), "label", ["age"])
    with pytest.raises(NotEstimableError, match="at least two"):
        baseline_table(patients.assign(label=1), "label", ["age"])


def test_decimals_may_differ_by_column(patients):
    found = baseline_table(patients, "label", ["age", "volume"], decimals={"age": 2}).set_index("variable")
    assert len(found.loc["age", "overall"].iloc[0].split(" ")[0].split(".")[1]) == 2
    assert len(found.loc["volume", "overall"].split(" ")[0].split(".")[1]) == 1


def test_log_rank_of_four_patients_by_hand():
    """Deaths at 1 and 2 among M1, at 3 and 4 among M0: (2 - 1/2 - 1/3)² / (1/4 + 2/9) = 49/17."""
    values, time = pd.Series(["M1", "M1", "M0", "M0"]), pd.Series([1.0, 2, 3, 4])
    found = survival_test(values, time, pd.Series([1, 1, 1, 1]), is_number=False)
    assert found["test"] == LOG_RANK
    assert found["statistic"] == pytest.approx(49 / 17)
    assert found["p"] == pytest.approx(chi2.sf(49 / 17, 1))


def test_cox_of_three_patients_by_hand():
    """x = 0, 1, 0, deaths in this order: L = r / ((2 + r)(1 + r)) with its maximum at a hazard ratio of sqrt(2)."""
    values, time = pd.Series([0.0, 1, 0, np.nan]), pd.Series([1.0, 2, 3, 9])
    ratio = np.sqrt(2)
    expected = 2 * np.log(6 * ratio / ((2 + ratio) * (1 + ratio)))
    found = survival_test(values, time, pd.Series([1, 1, 1, 1]), is_number=True)
    assert found["test"] == COX
    assert found["statistic"] == pytest.approx(expected, rel=1e-6)
    assert found["p"] == pytest.approx(chi2.sf(expected, 1), rel=1e-6)


@pytest.mark.parametrize(("values", "is_number"), [("male", False), (60.0, True), (np.nan, True), (None, False)])
def test_a_variable_without_a_test_of_times_says_why(values, is_number):
    found = survival_test(pd.Series([values] * 3), pd.Series([1.0, 2, 3]), pd.Series([1, 1, 1]), is_number)
    assert found["test"].startswith("not estimable")
    assert np.isnan(found["p"])


def test_groups_by_an_event_are_tested_by_the_times_unless_a_test_is_asked_for(patients):
    patients = patients.assign(time=np.arange(60.0) + 1)
    asked = {"volume": "mann_whitney"}
    found = baseline_table(patients, "label", ["age", "volume", "sex"], tests=asked, survival=("time", "label"))
    tests = found.drop_duplicates("variable").set_index("variable")["test"]
    assert tests[["age", "volume", "sex"]].tolist() == [COX, "mann_whitney", LOG_RANK]
