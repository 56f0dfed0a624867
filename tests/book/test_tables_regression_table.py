"""Univariable and multivariable regressions side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.tables import HEADERS, ratio_words, regression_table
from radsupport.stats.logistic import multivariable_table, univariable_table


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
    assert shown["odds_ratio_together"].tolist()[1:] == ["–", "–", "–"]
    assert shown["odds_ratio_alone"].iloc[1] == "1 (reference)"
    assert shown["p_lr_alone"].notna().tolist() == [True, True, False, False]
    assert "note" not in shown
    assert set(shown.columns) - {"characteristic", "n", "events"} <= set(HEADERS)


def test_no_multivariable_model_leaves_its_columns_out(rows: pd.DataFrame) -> None:
    shown = regression_table(univariable_table(rows, "y", ["x"]), None, {}, "odds_ratio")
    assert not any(column.endswith("together") for column in shown)


def test_what_can_not_be_estimated_says_why(rows: pd.DataFrame) -> None:
    shown = regression_table(univariable_table(rows.assign(x=rows["y"]), "y", ["x", "g"]), None, {}, "odds_ratio")
    assert shown["odds_ratio_alone"].iloc[0] == "–"
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
    assert ratio_words({"reference": False, "hr": ratio, "ci_low": low, "ci_high": high}, "hr") == words
