"""Tables as a page shows them: words for columns, estimates with their intervals, regressions side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book import text
from radsupport.book.tables import WORDS, counted_tests, filterable_table, laid_out, regression_table, table_html
from radsupport.stats.logistic import multivariable_table, univariable_table


def cells(table: pd.DataFrame, **options: Any) -> dict[str, list[str]]:
    """Return the texts of a table by the words of their column."""
    return {column.words: column.texts for column in laid_out(table, **options)}


@pytest.fixture
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=80), rng.choice(["a", "b", "c"], 80)
    return pd.DataFrame({"x": x, "g": g, "y": (x + rng.normal(size=80) > 0).astype(int)})


def test_terms_keep_their_order_and_their_models(rows: pd.DataFrame) -> None:
    alone = univariable_table(rows, "y", ["x", "g"])
    together = multivariable_table(rows, "y", ["x"])
    shown = regression_table(alone, together, {"x": "Size (mm)"}, "odds_ratio")
    assert shown["characteristic"].tolist() == ["Size (mm)", "g: a", "g: b", "g: c"]
    assert shown["p_alone"].iloc[0] == alone["p"].iloc[0]
    assert shown["p_together"].iloc[0] == together["p"].iloc[0]
    texts = cells(shown)
    assert texts["OR together (95% CI)"][1:] == ["–", "–", "–"]
    assert texts["OR alone (95% CI)"][1] == "1 (reference)"
    row = alone.iloc[0]
    assert texts["OR alone (95% CI)"][0] == f"{row['odds_ratio']:.2f} ({row['ci_low']:.2f}–{row['ci_high']:.2f})"
    assert shown["p_lr_alone"].notna().tolist() == [True, True, False, False]
    assert "note" not in shown
    limits = {name for name in shown if name.endswith(("_low", "_high"))}
    assert set(shown.columns) - limits - {"characteristic"} <= set(WORDS)


def test_no_multivariable_model_leaves_its_columns_out(rows: pd.DataFrame) -> None:
    shown = regression_table(univariable_table(rows, "y", ["x"]), None, {}, "odds_ratio")
    assert not any(column.endswith("together") for column in shown)


def test_a_spline_has_one_row_and_an_interaction_too() -> None:
    rng = np.random.default_rng(2)
    rows = pd.DataFrame({"x": rng.normal(size=300), "g": rng.choice(["a", "b", "c"], 300)})
    rows["y"] = rng.integers(0, 2, 300)
    rows.loc[:29, "g"] = None  # other rows together than alone, and so other quartiles
    alone = univariable_table(rows, "y", "cr(x, df=3) * g")
    together = multivariable_table(rows, "y", "cr(x, df=3) * g")
    words = {"cr(x, df=3)": "Size, spline", "cr(x, df=3):g": "Size, spline × g"}
    shown = regression_table(alone, together, words, "odds_ratio")
    level, other = alone["level"].iloc[0], together["level"].iloc[0]
    assert level != other
    first = f"Size, spline: {level} (together: {other})"
    assert shown["characteristic"].tolist() == [first, "g: a", "g: b", "g: c", "Size, spline × g"]
    assert shown["odds_ratio_together"].iloc[0] == together["odds_ratio"].iloc[0]
    assert shown["p_lr_together"].iloc[-1] == together["p_term"].iloc[-1]
    assert (shown["df"].iloc[0], shown["p_line_alone"].iloc[0]) == (3, alone["p_nonlinear"].iloc[0])
    assert cells(shown)["OR together (95% CI)"][-1] == "–"
    limits = {name for name in shown if name.endswith(("_low", "_high"))}
    assert set(shown.columns) - limits - {"characteristic"} <= set(WORDS)


def test_what_can_not_be_estimated_says_why(rows: pd.DataFrame) -> None:
    shown = regression_table(univariable_table(rows.assign(x=rows["y"]), "y", ["x", "g"]), None, {}, "odds_ratio")
    assert cells(shown)["OR alone (95% CI)"][0] == "–"
    assert "separated" in shown["note"].iloc[0]


@pytest.mark.parametrize(
    ("ratio", "low", "high", "words"),
    [
        (1.234, 0.5, 2.0, "1.23 (0.50–2.00)"),
        (250.4, 12.0, 88888.0, "250 (12.00–>9999)"),
        (0.001, 0.0001, 0.2, "<0.005 (<0.005–0.20)"),
    ],
)
def test_extreme_ratios_are_bounded(ratio: float, low: float, high: float, words: str) -> None:
    assert cells(pd.DataFrame({"hr": [ratio], "hr_low": low, "hr_high": high})) == {"HR (95% CI)": [words]}


def test_a_median_without_an_upper_limit_keeps_its_lower_one() -> None:
    table = pd.DataFrame({"median": [64.0, 10.0, np.nan], "median_low": [36.9, 8.0, 5.0]})
    found = cells(table.assign(median_high=[np.nan, 12.0, np.nan]))
    assert found == {"Median (95% CI)": ["64.00 (36.90–not reached)", "10.00 (8.00–12.00)", "–"]}


def test_sources_are_in_words() -> None:
    found = cells(pd.DataFrame({"source": ["ct_findings", "radiomics", None]}))
    assert found == {"Source": ["CT findings", "radiomics", "–"]}


def test_an_estimate_and_its_limits_are_one_cell_with_the_same_decimals() -> None:
    table = pd.DataFrame({
        "cohort": "A", "auc": [0.525, np.nan, 0.5], "ci_low": [-0.035, np.nan, np.nan],
        "ci_high": [0.00019, np.nan, np.nan], "n": 5,
    })  # fmt: skip
    found = cells(table)
    assert list(found) == ["Cohort", "AUC (95% CI)", "Patients"]
    assert found["AUC (95% CI)"] == ["0.525 (−0.035 to 0.000)", "–", "0.500"]
    own = cells(table.rename(columns={"ci_low": "auc_low", "ci_high": "auc_high"})[["n", "auc_high", "auc", "auc_low"]])
    assert own == {"Patients": ["5"] * 3, "AUC (95% CI)": found["AUC (95% CI)"]}


def test_a_slope_beyond_one_has_two_decimals_but_a_value_or_a_difference_three() -> None:
    table = pd.DataFrame({"slope": [1.5], "slope_low": [-0.5], "slope_high": [2.5]})
    assert cells(table) == {"Slope (95% CI)": ["1.50 (−0.50 to 2.50)"]}
    mixed = pd.DataFrame({"measure": ["NRI", "IDI"], "value": [-1.14, 0.0042], "value_low": [-1.688, -0.03],
                          "value_high": [0.316, 0.029]})  # fmt: skip
    assert cells(mixed)["Value (95% CI)"] == ["−1.140 (−1.688 to 0.316)", "0.004 (−0.030 to 0.029)"]


def test_an_interval_alone_is_one_cell() -> None:
    table = pd.DataFrame({"boot_low": [0.1, np.nan], "boot_high": [0.9, np.nan], "limit_low": -1.5, "limit_high": 2.0})
    found = cells(table)
    assert found["95% CI, bootstrap"] == ["0.100 to 0.900", "–"]
    assert found["Limits of agreement (95%)"] == ["−1.50 to 2.00"] * 2


def test_counts_of_low_and_high_are_no_limits() -> None:
    assert cells(pd.DataFrame({"n": [9], "n_low": [4], "n_high": [5]})) == {
        "Patients": ["9"], "Low risk": ["4"], "High risk": ["5"],
    }  # fmt: skip


def test_columns_are_worded_by_the_dictionary_unless_a_table_says_otherwise() -> None:
    table = pd.DataFrame({"signature_a": ["x"], "auc_b": [0.5], "difference": [0.1], "some_thing": ["y"], "note": [""]})
    assert list(cells(table)) == ["Signature A", "B", "A − B", "Some thing"]  # a column of empty texts is left out
    assert list(cells(table[["difference"]])) == ["Difference"]
    assert list(cells(table, headers={"auc_b": "AUC of the other"}))[1] == "AUC of the other"


def test_a_joined_cell_sorts_by_its_estimate() -> None:
    (column,) = laid_out(pd.DataFrame({"auc": [0.9, 0.1], "auc_low": 0.0, "auc_high": 1.0}))
    assert column.is_number
    assert column.keys.tolist() == [0.9, 0.1]


def test_what_a_wide_table_says_in_every_row_is_said_once() -> None:
    wide = pd.DataFrame({"cohort": ["North", "North"], **{f"x{i}": [i, i + 0.5] for i in range(7)}})
    wide = wide.assign(measure="AUC", n=[56, 56], note="a long remark that nobody would look for below")
    page = table_html(wide, "Values")
    assert "In every row: Measure AUC, Patients 56." in page
    assert ">Measure</th>" not in page
    assert page.count("North") == 2  # the first column names the rows
    assert page.count("a long remark") == 2
    for shown in (table_html(wide.drop(columns=["x0", "x1", "x2"]), "Values"), table_html(wide.head(1), "Values"),
                  filterable_table(wide, "Values", ["cohort"])):  # fmt: skip
        assert "In every row" not in shown


@pytest.mark.parametrize(
    ("n", "folded", "seen"),
    [(15, None, False), (16, None, True), (16, False, False), (9, True, True), (6, True, False)],
)
def test_a_long_table_begins_with_its_first_rows(n: int, folded: bool | None, seen: bool) -> None:
    table = pd.DataFrame({"feature": [f"f{i}" for i in range(n)], "icc": np.linspace(0, 1, n)})
    html = table_html(table, "ICC", folded=folded)
    assert ("rad-folded" in html.split("<style>")[0]) is seen
    assert (f"Show all {n} rows</label>" in html) is seen
    assert html.count("<tr>") == n + 1
    cut = table_html(table, "ICC", folded=folded, max_rows=n - 1)
    assert f"The first {n - 1} of {n} rows." in cut
    assert "Show all" not in cut
    assert (f"Show these {n - 1} rows</label>" in cut) is (seen and n - 1 > (15 if folded is None else 6))


def test_what_is_the_same_in_each_of_many_rows_is_said_once() -> None:
    table = pd.DataFrame({"feature": [f"f{i}" for i in range(30)], "phase": "venous", "icc": np.linspace(0, 1, 30)})
    html = table_html(table, "ICC")
    assert "In every row: Phase venous." in html
    assert html.count("<th ") == 2
    assert table_html(table.head(9), "ICC").count("<th ") == 3


def test_a_table_of_many_p_values_says_how_many() -> None:
    table = pd.DataFrame({"cohort": list("abcdef"), "p": [0.01, 0.5, 0.0001, 0.2, 0.9, np.nan], "value": 1.5})
    assert counted_tests(table) == "5 P values in this table, not adjusted for their number."
    assert "not adjusted for their number" in table_html(table, "Tests")
    text = pd.DataFrame(
        {"P": ["0.01", "", "<0.001", "–", "0.2", "0.4", "0.9"], "Test": "Fisher"}
    )  # of a printed layout
    assert counted_tests(text).startswith("5 P values")
    assert counted_tests(table.head(4)) == counted_tests(table.drop(columns="p")) == ""
    assert counted_tests(table.assign(p_adjusted=table["p"])) == ""
    assert counted_tests(table.assign(whose="printed")) == ""


@pytest.mark.parametrize(
    ("columns", "looks"),
    [(4, ""), (8, " rad-dense"), (11, " rad-dense rad-tight"), (20, " rad-dense rad-tight rad-anywhere")],
)
def test_a_row_that_a_page_can_not_hold_is_set_closer(columns: int, looks: str) -> None:
    values = pd.DataFrame({f"m{i}{end}": [0.5, 0.6] for i in range(columns) for end in ("", "_low", "_high")})
    html = table_html(values, "Many estimates", whole=True)
    assert f'class="rad-box{looks}">' in html
    assert html.count("0.500 <span>(0.500–0.500)</span>") == columns


def test_rows_of_patients_are_taken_along_only_where_the_study_file_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    people = [pd.DataFrame({"subject": ["a", "b"], "risk": [0.1, 0.2]}), pd.DataFrame({"time": [1.0], "event": [1]})]
    others = pd.DataFrame({"time": [1.0, 2.0], "survival": [0.9, 0.8]})
    assert all("data:text/csv" in table_html(table, "T") for table in (*people, others))
    monkeypatch.setattr(text._Data, "withholds", True)
    assert [text.withheld(table) for table in (*people, others)] == [True, True, False]
    for table in people:
        html = table_html(table, "T")
        assert "data:text/csv" not in html
        assert "a row per patient" in html
    assert "data:text/csv" in table_html(others, "T")
    text.forget(Path())
    assert not text.withheld(people[0])
