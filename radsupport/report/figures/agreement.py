"""Agreement of two measurements of one quantity: the Bland-Altman plot, and the ICC of many features."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, fixed, number


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
    xlabel: str = "Mean of both",
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
    unit, ylabel, xlabel : str
    """
    ax.plot(table["mean"], table["difference"], "o", color=style.BLUE, markersize=4, alpha=0.7, markeredgewidth=0)
    ax.axhline(0, color=style.PALE, linewidth=1.0, zorder=0)
    ax.axhline(bias, color=style.INK, linewidth=1.2)
    for limit in limits:
        ax.axhline(limit, color=style.VERMILLION, linewidth=1.0, linestyle="--")
    reach = 1.15 * max(abs(limits[0]), abs(limits[1]), float(table["difference"].abs().max()), 1e-9)
    suffix = f" ({unit})" if unit else ""
    ax.set(xlabel=f"{xlabel}{suffix}", ylabel=f"{ylabel}{suffix}", ylim=(-reach, reach))


def _ranked_alt(table: pd.DataFrame, *, threshold: float, **_: Any) -> str:
    known = table["icc"].dropna()
    sure = int((table["ci_low"] >= threshold).sum())
    return (
        f"ICC of {counted(len(known), 'feature')} in ascending order, from {fixed(known.min())} to "
        f"{fixed(known.max())}; {int((known >= threshold).sum())} reach {fixed(threshold)}, of {sure} the whole "
        "interval does."
    )


@figure("icc", "ci_low", "ci_high", alt=_ranked_alt, size=(6.4, 3.6))
def icc_ranked(table: pd.DataFrame, ax: Axes, *, threshold: float) -> None:
    """Draw every feature's ICC with its interval, from the least to the most reproducible feature.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature: ``icc, ci_low, ci_high``; features without an ICC are left out.
    ax : matplotlib.axes.Axes
    threshold : float
        Least ICC of a feature that is kept, drawn as a dashed line.
    """
    known = table.dropna(subset=["icc"]).sort_values("icc", ignore_index=True)
    rank = known.index + 1
    ax.vlines(rank, known["ci_low"], known["ci_high"], color=style.SKY, linewidth=0.7, alpha=0.5, label="95% CI")
    ax.plot(rank, known["icc"], color=style.BLUE, linewidth=1.6, label="ICC")
    ax.axhline(threshold, color=style.VERMILLION, linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}")
    ax.set(xlabel="Features, from the least to the most reproducible", ylabel="ICC", xlim=(0, len(known) + 1))
    ax.legend(loc="lower right")
