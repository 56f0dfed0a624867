"""Figures of what carries a prediction, and of how it moves: beeswarm, contributions of one patient, repeated fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import MaxNLocator

from radsupport.plots import style
from radsupport.plots.base import figure, named_rows
from radsupport.wording import counted, fixed, listed, number

_BINS = 60


def _swarm_alt(table: pd.DataFrame, **_: Any) -> str:
    words = []
    for name, part in table.groupby("feature", sort=False, observed=True):
        low, high = part["contribution"].min(), part["contribution"].max()
        words.append(f"{name} {fixed(low)} to {fixed(high)}")
    return f"Beeswarm of the contributions of {counted(len(words), 'feature')}, strongest first: {'; '.join(words)}."


def _swarm_size(table: pd.DataFrame) -> tuple[float, float]:
    longest = int(table["feature"].astype(str).str.len().max())
    return 5.4 + 0.07 * longest, 1.5 + 0.42 * table["feature"].nunique()


@figure("feature", "contribution", "value", alt=_swarm_alt, size=_swarm_size)
def beeswarm(table: pd.DataFrame, ax: Axes, *, xlabel: str = "Contribution to the prediction") -> None:
    """Draw a point per patient and feature: how much it moved the prediction, in the colour of its value.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient and feature, features from the top down: ``feature, contribution, value``. Values count by
        rank within the feature; the upper half points up.
    ax : matplotlib.axes.Axes
    xlabel : str
    """
    reach = float(table["contribution"].abs().max()) or 1.0
    ax.axvline(0, color=style.GREY, linewidth=0.9)
    names = list(dict.fromkeys(table["feature"]))
    for y, name in zip(named_rows(ax, names), names, strict=True):
        part = table[table["feature"] == name].sort_values("contribution", kind="stable")
        x = part["contribution"].to_numpy(dtype=float)
        rank = part["value"].rank(pct=True).fillna(0.5).to_numpy(dtype=float)
        places = y + _spread(x, reach)
        for own, marker in ((rank <= 0.5, "v"), (rank > 0.5, "^")):
            ax.scatter(
                x[own], places[own], c=rank[own], cmap=style.DIVERGING, vmin=0, vmax=1, s=16, marker=marker,
                edgecolor=style.GREY, linewidth=0.3,
            )  # fmt: skip
    bar = ax.figure.colorbar(ScalarMappable(cmap=style.DIVERGING), ax=ax, ticks=[0, 1], shrink=0.6, pad=0.02)
    bar.ax.set_yticklabels(["low ▼", "high ▲"])
    bar.set_label("Value of the feature", fontsize=9)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(xlabel)


def _spread(x: npt.NDArray[np.float64], reach: float) -> npt.NDArray[np.float64]:
    """Return heights that keep points of one place apart: alternately above and below, at most 0.38 away."""
    place = np.round(x / reach * _BINS).astype(int)
    order = pd.Series(place).groupby(place).cumcount().to_numpy()
    most = max(int(np.bincount(place - place.min()).max()), 8) if len(x) else 1
    side = np.where(order % 2, 1, -1)
    heights: npt.NDArray[np.float64] = side * ((order + 1) // 2) * 0.76 / most
    return heights


def _parts_alt(table: pd.DataFrame, *, scale: str = "prediction", **_: Any) -> str:
    ends = f"from {fixed(table['base'].iloc[0])} on average to {fixed(table['score'].iloc[0])}"
    words = [f"{row['feature']} {fixed(row['contribution'])}" for row in table.head(5).to_dict("records")]
    return f"Waterfall of one patient's {scale}, {ends}: {listed(words)}."


def _parts_size(table: pd.DataFrame) -> tuple[float, float]:
    longest = int(table["feature"].astype(str).str.len().max())
    return 4.6 + 0.075 * longest, 1.6 + 0.38 * len(table)


@figure("feature", "contribution", "base", "score", alt=_parts_alt, size=_parts_size)
def contributions(table: pd.DataFrame, ax: Axes, *, scale: str = "prediction") -> None:
    """Draw how one patient's prediction comes from the average: a step per feature, the largest on top.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature, the largest first: ``feature, contribution, base`` (the average), ``score`` (what base and
        contributions add up to), and optionally ``value``.
    ax : matplotlib.axes.Axes
    scale : str
        What is added up, for the axis.
    """
    base, score = (float(table[key].iloc[0]) for key in ("base", "score"))
    steps = table["contribution"].to_numpy(dtype=float)
    ends = base + np.cumsum(steps[::-1])[::-1]
    values = table["value"] if "value" in table else pd.Series(np.nan, table.index)
    words = [
        str(name) if pd.isna(value) else f"{name} = {number(float(value), 3)}"
        for name, value in zip(table["feature"], values, strict=True)
    ]
    for y, step, end in zip(named_rows(ax, words), steps, ends, strict=True):
        fill: Any = {"color": style.VERMILLION, "hatch": "////"} if step > 0 else {"color": style.BLUE}
        ax.barh(y, step, left=end - step, height=0.7, edgecolor="white", linewidth=0.3, **fill)
        shift, ha = ((4, 0), "left") if step >= 0 else ((-4, 0), "right")
        ax.annotate(fixed(step), (end, y), shift, textcoords="offset points", va="center", ha=ha, fontsize=8)
    ax.axvline(base, color=style.GREY, linestyle=":", linewidth=1, label=f"average {fixed(base)}")
    ax.axvline(score, color=style.INK, linewidth=1, label=f"this patient {fixed(score)}")
    low, high = min(base, *ends, *(ends - steps)), max(base, *ends, *(ends - steps))
    room = 0.2 * ((high - low) or 1.0)
    ax.set_xlim(low - room, high + room)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(scale[:1].upper() + scale[1:])
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)


OWN, REPEAT = "own", "repeat"


def _repeats_alt(table: pd.DataFrame, *, points: bool = False, ylabel: str = "", main: str = "", **_: Any) -> str:
    others, own = table[table["of"] == REPEAT], table[table["of"] == OWN]
    what = "points" if points else "lines"
    text = f"{ylabel or 'Value'}: {what} of {counted(others['repeat'].nunique(), 'fit')} beside {main or 'the model'}"
    if points:
        gap = (others["y"] - others["x"]).abs()
        return f"{text}; half of the points lie within {fixed(gap.median())} of the diagonal."
    ends = [(part["y"].min(), part["y"].max()) for part in (own, others) if len(part)]
    ranges = [f"{fixed(low)} to {fixed(high)}" for low, high in ends]
    return f"{text}; they range from {listed(ranges)}."


@figure("of", "repeat", "x", "y", alt=_repeats_alt, size=(4.8, 4.2))
def repeats(
    table: pd.DataFrame, ax: Axes, *, points: bool = False, diagonal: bool = False, main: str = "the model",
    other: str = "a repeat", xlabel: str = "", ylabel: str = "", lowest: float | None = None, rug: Any = None,
) -> None:  # fmt: skip
    """Draw what each of several fits says, pale, and what the model itself says, bold.

    Parameters
    ----------
    table : pandas.DataFrame
        ``of`` ("own", "repeat", or the name of a reference), ``repeat`` (which fit), ``x, y``; lines in order of x.
    ax : matplotlib.axes.Axes
    points : bool
        Points instead of lines.
    diagonal : bool
        Whether the line of equal x and y is drawn.
    main, other : str
        Words for the model itself and for a fit, in the legend.
    xlabel, ylabel : str
    lowest : float, optional
        Lower end of y: what lies below is cut off.
    rug : array-like or DataFrame, optional
        Values along x that patients have (a table's column ``value``), as ticks on the lower edge.
    """
    pale: Any = {"color": style.SKY, "alpha": 0.7, "linewidth": 0.8}
    shown = table[table["of"] == REPEAT]
    for i, (_, part) in enumerate(shown.groupby("repeat", sort=False)):
        label = other if i == 0 else None
        if points:
            ax.plot(part["x"], part["y"], "o", ms=2.5, color=style.BLUE, alpha=0.35, linewidth=0, label=label)
        else:
            ax.plot(part["x"], part["y"], label=label, **pale)
    for i, (name, part) in enumerate(table[~table["of"].isin([REPEAT])].groupby("of", sort=False)):
        look: Any = {"color": style.GREY, "linestyle": style.dash(i + 1), "linewidth": 1.1}
        look = {"color": style.INK, "linewidth": 1.9} if name == OWN else look
        ax.plot(part["x"], part["y"], label=main if name == OWN else str(name), **look)
    if diagonal:
        ax.axline((0, 0), slope=1, color=style.GREY, linestyle=":", linewidth=1)
        ax.set(xlim=(0, 1), ylim=(0, 1.02))
    if lowest is not None:
        ax.set_ylim(bottom=lowest)
    if rug is not None:
        values = np.asarray(rug["value"] if isinstance(rug, pd.DataFrame) else rug, dtype=float)
        ax.plot(values, np.zeros_like(values), "|", color=style.INK, ms=7, transform=ax.get_xaxis_transform())
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
