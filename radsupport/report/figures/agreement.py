"""Agreement of two measurements of one quantity: the Bland-Altman plot."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, number


def _alt(table: pd.DataFrame, *, bias: float, limits: tuple[float, float], unit: str = "", **_: Any) -> str:
    low, high = limits
    outside = int(((table["difference"] < low) | (table["difference"] > high)).sum())
    unit = f" {unit}" if unit else ""
    return (
        f"Bland-Altman plot of {counted(len(table), 'patient')}: bias {number(bias)}{unit}, limits of agreement "
        f"{number(low)} to {number(high)}{unit}, {outside} outside."
    )


@figure("mean", "difference", alt=_alt, size=(4.6, 3.4))
def bland_altman(
    table: pd.DataFrame,
    ax: Axes,
    *,
    bias: float,
    limits: tuple[float, float],
    unit: str = "",
    ylabel: str = "First minus second",
) -> None:
    """Draw differences of two measurements against their means, with bias and limits of agreement.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``mean`` and ``difference`` of the two measurements.
    ax : matplotlib.axes.Axes
    bias : float
        Mean difference.
    limits : (float, float)
        Limits of agreement.
    unit, ylabel : str
    """
    ax.plot(table["mean"], table["difference"], "o", color=style.BLUE, markersize=4, alpha=0.7, markeredgewidth=0)
    ax.axhline(0, color=style.PALE, linewidth=1.0, zorder=0)
    ax.axhline(bias, color=style.INK, linewidth=1.2)
    for limit in limits:
        ax.axhline(limit, color=style.VERMILLION, linewidth=1.0, linestyle="--")
    reach = 1.15 * max(abs(limits[0]), abs(limits[1]), float(table["difference"].abs().max()), 1e-9)
    suffix = f" ({unit})" if unit else ""
    ax.set(xlabel=f"Mean of both{suffix}", ylabel=f"{ylabel}{suffix}", ylim=(-reach, reach))
