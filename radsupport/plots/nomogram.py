"""The nomogram: parallel axes as rms lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.plots import style
from radsupport.plots.base import figure
from radsupport.wording import counted, listed

_TICK = 0.1  # length of a tick, in units of the distance between axes
_FONT = 8.5
_CHARACTER = 0.62 * _FONT  # width of a digit in points, generous
_NAME = 5.9  # width of a letter of an axis name in points, generous


def _nomogram_alt(table: pd.DataFrame, **_: Any) -> str:
    predictors = list(table.loc[table["kind"] == "predictor", "axis"].unique())
    results = list(table.loc[table["kind"] == "result", "axis"].unique())
    text = f"Nomogram with a points axis from 0 to 100, {counted(len(predictors), 'predictor axis', 'predictor axes')} "
    text += f"({listed(predictors, 12)}), a total points axis and {listed(results)}"
    reach = table.loc[table["kind"] == "predictor"].groupby("axis")["position"].agg(np.ptp)
    return f"{text}; the longest predictor axis is {reach.idxmax()}."


def _size(table: pd.DataFrame) -> tuple[float, float]:
    return 9.0, 0.8 + 0.55 * table["axis"].nunique()


@figure("axis", "kind", "label", "position", alt=_nomogram_alt, size=_size)
def nomogram(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a nomogram: Points 0–100 on top, one axis per predictor, Total Points, then the axes of the result.

    Parameters
    ----------
    table : pandas.DataFrame
        What `Nomogram.axes` returns, one row per tick, axes from top to bottom: ``axis`` (its name), ``kind``
        (``points``, ``predictor``, ``total`` or ``result``), ``label`` (text of the tick), ``position`` (0 to 1).
    ax : matplotlib.axes.Axes
    """
    names = list(table["axis"].unique())
    full = ax.get_window_extent().width * 72 / ax.figure.dpi
    width = full - max(len(name) for name in names) * _NAME - 26
    left = -(full - width) / width
    ax.set(xlim=(left, 1.02), ylim=(-len(names) + 0.35, 0.7))
    ax.axis("off")
    for line, name in enumerate(names):
        part = table[(table["axis"] == name) & table["position"].between(-1e-9, 1 + 1e-9)]
        part = part.sort_values("position", kind="stable")
        if part.empty:
            continue
        y, x = -float(line), part["position"].to_numpy(dtype=float)
        kind = str(part["kind"].iloc[0])
        colour = {"predictor": style.BLUE, "result": style.VERMILLION}.get(kind, style.INK)
        ax.plot([x.min(), x.max()], [y, y], color=colour, linewidth=1.3, solid_capstyle="butt")
        ax.vlines(x, y, y - _TICK, color=colour, linewidth=1)
        ax.text(left, y, name, ha="left", va="center", fontweight="bold" if kind != "predictor" else "normal")
        rows = ("below",) if kind in {"points", "total"} or len(x) > 10 else ("below", "above")
        places = label_rows(x * width, [str(label) for label in part["label"]], rows)
        for position, label, place in zip(x, part["label"], places, strict=True):
            shift, va = {"below": (-1.5 * _TICK, "top"), "above": (0.6 * _TICK, "bottom")}.get(str(place), (0, ""))
            if place is not None:
                ax.text(position, y + shift, str(label), ha="center", va=va, fontsize=_FONT)


def label_rows(positions: Any, labels: list[str], rows: Sequence[str]) -> list[str | None]:
    """Place each tick label in the first row where it touches no other, and nowhere where all are taken.

    Parameters
    ----------
    positions : array-like, shape (n,)
        In points, ascending.
    labels : list of str
    rows : sequence of {"below", "above"}
        Where labels may stand; ticks of dense numeric axes are read without each label.

    Returns
    -------
    list of {"below", "above", None}
    """
    end = {"below": -np.inf, "above": -np.inf}
    placed: list[str | None] = []
    for position, label in zip(positions, labels, strict=True):
        half = 0.5 * _CHARACTER * len(label)
        free = [row for row in rows if position - half > end[row] + 3]
        placed.append(free[0] if free else None)
        if free:
            end[free[0]] = position + half
    return placed
