"""How tables of the chapter look on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.book import show as show_shown
from radsupport.book import tables as shown


def test_limits_stand_in_one_cell_beside_their_estimate(make_study):
    table = pd.DataFrame(
        {
            "cohort": ["train"], "value": [0.8], "ci_low": [0.7], "ci_high": [0.9], "slope": [1.0], "slope_low": [-0.5],
            "slope_high": [2.5], "boot_low": [0.1], "boot_high": [np.nan],
        }
    )  # fmt: skip
    found = shown.in_words(table, make_study())
    assert list(found.columns) == ["cohort", "value", "value_ci", "slope", "slope_ci", "boot_ci"]
    assert found["cohort"].iloc[0] == "North"
    assert found["value_ci"].iloc[0] == "0.700\u00a0to\u00a00.900"
    assert found["slope_ci"].iloc[0] == "−0.500\u00a0to\u00a02.500"  # the slope itself is written with three decimals
    steep = shown.in_words(table.assign(slope=1.5), make_study())
    assert steep["slope_ci"].iloc[0] == "−0.50\u00a0to\u00a02.50"
    assert shown.header_words(found)["value_ci"] == "95% CI"
    assert shown.header_words(found)["boot_ci"] == "95% CI, bootstrap"
    missing = shown.in_words(table.assign(ci_low=np.nan, ci_high=np.nan), make_study())
    assert missing["value_ci"].iloc[0] == "–"


def test_an_estimate_beyond_one_keeps_the_decimals_of_its_limits(make_study):
    table = pd.DataFrame(
        {"measure": ["NRI", "IDI", "none"], "value": [-1.14, 0.0042, np.nan], "ci_low": [-1.688, -0.03, np.nan],
         "ci_high": [0.316, 0.029, np.nan]}
    )  # fmt: skip
    found = shown.in_words(table, make_study())
    assert list(found["value"]) == ["−1.140", "0.004", "–"]
    assert list(found["value_ci"])[1:] == ["−0.030\u00a0to\u00a00.029", "–"]
    small = shown.in_words(table.iloc[1:], make_study())
    assert small["value"].tolist()[0] == 0.004  # stays a number, which sorts as one


def test_predictions_of_a_published_output_are_called_so(make_study):
    study = make_study(
        signatures=[{"name": "B", "sources": ["deep_published"], "learner": "published"}],
        validation={"best": "B", "comparator": ""},
    )
    table = pd.DataFrame({"kind": ["out_of_fold", "external", "external"], "signature": ["B", "B", "other"]})
    assert list(shown.in_words(table, study)["kind"]) == ["published output", "published output", "finished model"]


def test_numbers_are_settled_but_p_values_are_not():
    table = pd.DataFrame(
        {"scaled": [4.6e-05, 0.02], "ratio": [1.0008, 0.995], "p": [1e-9, 0.5], "z": [-1e-17, 2.5], "n": [3, 4],
         "note": ["", ""], "text": ["", "x"], "empty": [np.nan, np.nan]}
    )  # fmt: skip
    found = shown.settled(table)
    assert found["scaled"].tolist() == [0.0, 0.02]
    assert found["p"].tolist() == [1e-9, 0.5]
    assert str(found["z"].iloc[0]) == "0.0"
    assert found["ratio"].tolist() == [1.0, 1.0]  # 1.0008 is shown with two decimals, and so is its neighbour
    assert "note" not in found
    assert "text" in found


def test_columns_of_the_study_are_called_by_their_labels(make_study):
    table = pd.DataFrame(
        {"column": ["age", "other"], "kind": ["out_of_fold", "external"], "cohort_a": ["internal"] * 2}
    )
    found = shown.in_words(table, make_study())
    assert list(found["column"]) == ["Age", "other"]
    assert list(found["kind"]) == ["out of fold", "finished model"]
    assert list(found["cohort_a"]) == ["South"] * 2


def test_a_table_without_rows_says_why(make_study, monkeypatch):
    said, tables = [], []
    monkeypatch.setattr(show_shown, "show_text", said.append)
    monkeypatch.setattr(show_shown, "show_table", lambda *a, **k: tables.append((a, k)))
    show_shown.show(pd.DataFrame(), "caption", "there is one cohort only", study=make_study())
    assert said == ["Not used: there is one cohort only."]
    show_shown.show(pd.DataFrame({"value": [0.5]}), "caption", study=make_study())
    assert tables[0][0][1] == "caption"
    assert tables[0][1]["sortable"] is False
