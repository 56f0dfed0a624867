"""Chapter 07: estimates and their intervals in one cell, with the same decimals."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.report.wording import estimate, fixed


def in_cells(table: pd.DataFrame, value: str, title: str, decimals: int = 3) -> pd.DataFrame:
    """Return a table with an estimate and its limits in one column, in words.

    Parameters
    ----------
    table : DataFrame
        `value`, ci_low and ci_high among its columns.
    value : str
        Column of the estimate.
    title : str
        What the column is called then; " (95% CI)" is added.
    decimals : int

    Returns
    -------
    DataFrame
        As `table`, without the three columns; a dash without an estimate, the estimate alone without limits.
    """
    rows = table[[value, "ci_low", "ci_high"]].to_numpy(dtype=float)
    cells = [_cell(found, low, high, decimals) for found, low, high in rows]
    shown = table.drop(columns=["ci_low", "ci_high"])
    return shown.assign(**{value: cells}).rename(columns={value: f"{title} (95% CI)"})


def _cell(value: float, low: float, high: float, decimals: int) -> str:
    if np.isnan(value):
        return "–"
    return fixed(value, decimals) if np.isnan(low) or np.isnan(high) else estimate(value, low, high, decimals)
