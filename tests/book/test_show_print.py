"""Figures shown in a notebook are saved for print."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.book import show as display
from radsupport.plots import style


@pytest.mark.parametrize(("wanted", "kinds"), [("", ["svg"]), ("1", ["pdf", "svg"])])
def test_shown_figures_are_saved_as_svg_and_on_request_as_pdf(
    wanted: str, kinds: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADSUPPORT_PRINT", wanted)
    figure, (axes,) = style.new_figure()
    axes.plot([0, 1], [0, 1])
    axes.set_title("ROC, Hospital I & II")
    display.save_figures_to(tmp_path, "06_validation")
    try:
        display.show_figure(axes, alt="a line")
    finally:
        display.save_figures_to(None)
    display.show_figure(figure, alt="a line")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"06_validation_01_roc_hospital_i_ii.{kind}" for kind in kinds]


def test_the_table_behind_a_figure_is_saved_whatever_its_columns_are(tmp_path: Path) -> None:
    pictures = pd.Series([np.zeros((2, 2)), np.ones((2, 2))])
    table = pd.DataFrame({"cohort": pd.Categorical(["a", "b"]), "n": pd.array([1, None], dtype="Int64")})
    display.save_figures_to(tmp_path, "06")
    try:
        display._save_table(table.assign(image=pictures, value=[0.5, np.nan]), "06_01_roc")
    finally:
        display.save_figures_to(None)
    saved = pd.read_csv(tmp_path / "06_01_roc.csv")
    pd.testing.assert_frame_equal(saved, pd.DataFrame({"cohort": ["a", "b"], "n": [1, np.nan], "value": [0.5, np.nan]}))


def test_a_table_of_single_patients_is_not_saved_where_it_may_not_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display.text._Data, "withholds", True)
    display.save_figures_to(tmp_path, "06")
    try:
        display._save_table(pd.DataFrame({"subject": ["No. 1"], "risk": [0.1]}), "06_01_risks")
        display._save_table(pd.DataFrame({"time": [1.0], "survival": [0.9]}), "06_02_km")
    finally:
        display.save_figures_to(None)
    assert [path.name for path in tmp_path.iterdir()] == ["06_02_km.csv"]
