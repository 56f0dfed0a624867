"""Figures of scans: how they differ between centers, and a tumour's area slice by slice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, number


def _strips_alt(table: pd.DataFrame, *, ylabel: str = "value", **_: Any) -> str:
    parts = []
    for group, rows in table.dropna(subset=["value"]).groupby("group", sort=False):
        middle, low, high = (number(float(rows["value"].quantile(share))) for share in (0.5, 0.0, 1.0))
        parts.append(f"{group} median {middle} ({low} to {high})")
    return f"{ylabel} by center, one point per case: {'; '.join(parts)}."


@figure("group", "value", alt=_strips_alt, size=lambda table: (1.6 + 1.2 * table["group"].nunique(), 3.2))
def strips(table: pd.DataFrame, ax: Axes, *, ylabel: str = "") -> None:
    """Draw one point per case, side by side by group, with the median of each group.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per case: ``group`` (name) and ``value``; rows without a value are left out.
    ax : matplotlib.axes.Axes
    ylabel : str
    """
    groups = list(dict.fromkeys(table["group"]))
    for i, group in enumerate(groups):
        values = table.loc[table["group"] == group, "value"].dropna().to_numpy(dtype=float)
        # spread by rank, not at random: two builds draw the same picture
        offset = 0.32 * (((np.arange(values.size) * 0.618) % 1) - 0.5) * 2
        ax.plot(i + offset, values, style.marker(i), color=style.colour(i), markersize=3, alpha=0.6, markeredgewidth=0)
        if values.size:
            ax.plot([i - 0.36, i + 0.36], [np.median(values)] * 2, color=style.INK, linewidth=1.8)
    ax.set_xticks(range(len(groups)), [str(group).replace("_", " ") for group in groups])
    if max(len(str(group)) for group in groups) * len(groups) > 30:
        ax.tick_params(axis="x", labelrotation=20)
    ax.set(ylabel=ylabel, xlim=(-0.6, len(groups) - 0.4))


def _areas_alt(table: pd.DataFrame, **_: Any) -> str:
    parts = []
    for name, rows in table.groupby("subject", sort=False):
        best = rows.loc[rows["area_mm2"].idxmax()]
        slices = counted(len(rows), "slice")
        if len(rows) > 1:
            slices += f" {number(float(rows['position_mm'].sort_values().diff().median()))} mm apart"
        parts.append(f"{name}: {slices}, largest section {number(float(best['area_mm2']))} mm²")
    return f"Area of the tumour slice by slice. {'; '.join(parts)}."


@figure("subject", "position_mm", "area_mm2", alt=_areas_alt, size=(6.0, 3.4))
def slice_areas(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the tumour's area along the body axis, one line per case, its largest section marked.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per slice: ``subject``, ``position_mm`` (from the largest section), ``area_mm2``.
    ax : matplotlib.axes.Axes
    """
    for i, (name, rows) in enumerate(table.groupby("subject", sort=False)):
        ordered = rows.sort_values("position_mm")
        look: Any = {"color": style.colour(i), "linestyle": style.dash(i)}
        ax.plot(ordered["position_mm"], ordered["area_mm2"], label=str(name), **look)
        best = ordered.loc[ordered["area_mm2"].idxmax()]
        ax.plot(best["position_mm"], best["area_mm2"], style.marker(i), color=style.colour(i), markersize=7)
    ax.set(xlabel="Distance from the largest section (mm)", ylabel="Area (mm²)", ylim=(0, None))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
