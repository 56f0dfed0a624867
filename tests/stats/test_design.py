from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from radsupport.errors import InputError
from radsupport.stats import design as module
from radsupport.stats.design import Design, complete_cases, level_label, needed_columns
from radsupport.stats.formulas import Covariates


def build_design(table: pd.DataFrame, covariates: Covariates, **options: Any) -> Design:
    return module.build_design(table, needed_columns(table, covariates, [])[0], **options)


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [50, 60, 70, 80],
            "size": [1.0, 10.0, 100.0, 1000.0],
            "stage": [3, 1, 2, 10],
            "side": ["left", "right", "left", "right"],
            "site": pd.Categorical(["b", "a", "b", "a"], categories=["b", "a", "never"]),
            "smoker": [True, False, True, True],
            "log(size)": [9.0, 9.0, 8.0, 8.0],
        }
    )


def test_columns_are_named_as_in_r(table):
    design = build_design(table, ["age", "factor(stage)", "side", "log10(size)"])
    assert design.columns == ["age", "factor(stage)2", "factor(stage)3", "factor(stage)10", "sideright", "log10(size)"]
    assert design.column_terms == ["age", *["factor(stage)"] * 3, "side", "log10(size)"]
    assert design.sources == ["age", "stage", "side", "size"]
    expected = [[50, 0, 1, 0, 0, 0], [60, 0, 0, 0, 1, 1], [70, 1, 0, 0, 0, 2], [80, 0, 0, 1, 1, 3]]
    np.testing.assert_allclose(design.transform(table), expected)


def test_levels_reference_and_ranges_are_remembered(table):
    design = build_design(table, ["age", "stage", "side", "site"], factors=["stage"], reference={"stage": 2})
    assert design["stage"].levels == ("1", "2", "3", "10")
    assert (design["stage"].reference, design["stage"].columns) == ("2", ("stage1", "stage3", "stage10"))
    assert (design["side"].levels, design["side"].reference) == (("left", "right"), "left")
    assert (design["site"].levels, design["site"].reference) == (("b", "a"), "b")  # order of categories, used ones only
    assert (design["age"].kind, design["side"].kind) == ("numeric", "factor")


def test_booleans_are_numbers_and_a_column_of_that_name_comes_first(table):
    design = build_design(table, ["smoker", "log(size)"])
    np.testing.assert_allclose(design.transform(table), [[1, 9], [0, 9], [1, 8], [1, 8]])
    assert design["log(size)"].source == "log(size)"


def test_a_level_written_as_number_or_text_is_the_same(table):
    design = build_design(table, ["factor(stage)"])
    rows = pd.DataFrame({"stage": [3.0, 10.0]})
    np.testing.assert_allclose(design.transform(rows), design.transform(rows.astype(int).astype(str)))
    assert [level_label(v) for v in (2.0, 2, "2", 2.5, "NA")] == ["2", "2", "2", "2.5", "NA"]


def test_select_keeps_coding_and_order(table):
    design = build_design(table, ["age", "side"], reference={"side": "right"}).select(["side"])
    assert design.columns == ["sideleft"]
    assert build_design(table, []).transform(table).shape == (4, 0)
    with pytest.raises(InputError, match="no term"):
        design.select(["age"])


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=20))
def test_each_row_has_one_level(values):
    table = pd.DataFrame({"f": values})
    coded = build_design(table, ["f"]).transform(table)
    assert ((coded.sum(axis=1) == 0) == (table["f"] == min(values))).all()
    assert coded.shape == (len(values), len(set(values)) - 1)


def test_all_problems_of_the_terms_are_listed_at_once(table):
    with pytest.raises(InputError) as caught:
        needed_columns(table, ["age", "age", "ghost", "cube(age)", "side"], ["side", "event"])
    text = str(caught.value)
    for words in ("more than once", "ghost", "cube(age)", "outcome is among", "outcome is no column"):
        assert words in text


def test_rows_that_can_not_be_coded_are_all_named(table):
    design = build_design(table, ["age", "sqrt(size)", "side"])
    rows = pd.DataFrame({"age": [np.inf, 1], "size": [4.0, -1.0], "side": ["left", "top"]})
    with pytest.raises(InputError) as caught:
        design.transform(rows)
    assert [problem.column for problem in caught.value.problems] == ["age", "size", "side"]
    assert "top" in caught.value.problems[2].value
    with pytest.raises(InputError, match="missing"):
        design.transform(rows.drop(columns="side"))
    with pytest.raises(InputError, match="missing value"):
        design.transform(table.assign(age=[1, 2, np.nan, 4]))
    with pytest.raises(InputError, match="not numeric"):
        design.transform(table.assign(age="old"))


def test_what_can_not_be_learnt_is_refused(table):
    with pytest.raises(InputError, match="log"):
        build_design(table.drop(columns="log(size)").assign(size=[0.0, 1, 2, 3]), ["log(size)"])
    with pytest.raises(InputError, match="reference level"):
        build_design(table, ["side"], reference={"side": "up"})
    with pytest.raises(InputError, match="not numeric"):
        build_design(table, ["sqrt(side)"])


def test_complete_cases_says_which_columns_leave_none():
    table = pd.DataFrame({"a": [1, np.nan], "b": [np.nan, 2], "c": [1, 2]})
    with pytest.raises(InputError) as caught:
        complete_cases(table, ["a", "b", "c"])
    assert [problem.column for problem in caught.value.problems] == ["a", "b"]
    assert len(complete_cases(table, ["a", "c", "a"])) == 1
