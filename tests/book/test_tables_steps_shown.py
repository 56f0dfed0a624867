"""Chapter 07: estimates and their intervals in one cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.book.conclusions.survival import in_cells


def test_estimate_and_limits_have_the_same_decimals() -> None:
    table = pd.DataFrame({
        "cohort": "A", "auc": [0.525, np.nan, 0.5], "ci_low": [-0.035, np.nan, np.nan],
        "ci_high": [0.00019, np.nan, np.nan], "n": 5,
    })  # fmt: skip
    shown = in_cells(table, "auc", "AUC")
    assert shown.columns.tolist() == ["cohort", "AUC (95% CI)", "n"]
    assert shown["AUC (95% CI)"].tolist() == ["0.525 (−0.035 to 0.000)", "–", "0.500"]
