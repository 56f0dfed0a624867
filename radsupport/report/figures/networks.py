"""Figures of networks: training of several networks at once, heat over slices, shares of heat in pairs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, fixed, listed, number

#: Heat: transparent where there is none, so that the slice stays visible.
HEAT = LinearSegmentedColormap.from_list("heat", [(0.9, 0.6, 0.0, 0.0), (0.9, 0.5, 0.0, 0.55), (0.83, 0.2, 0.0, 0.85)])

#: The two parts of the patients who train a network, by the key in the table.
PARTS = {"train": "training part", "validation": "validation part"}


def _curves_alt(table: pd.DataFrame, *, metric: str = "loss", **_: Any) -> str:
    own = table[table["metric"] == metric]
    words = []
    for name, part in own.groupby("network", sort=False):
        shown = part[part["set"] == part["set"].iloc[-1]]
        kept = shown.loc[shown["epoch"] == shown["kept"], "value"]
        value = f" ({number(float(kept.iloc[0]))})" if len(kept) else ""
        words.append(f"{name}: epoch {int(part['kept'].iloc[0])} kept{value}")
    return f"Training curves of {metric}, {counted(own['network'].nunique(), 'network')}; {listed(words)}."


@figure("network", "epoch", "set", "metric", "value", "kept", alt=_curves_alt, size=(7.2, 3.8))
def fold_curves(table: pd.DataFrame, ax: Axes, *, metric: str = "loss") -> None:
    """Draw one metric per epoch of one or several networks: training dotted, validation solid, the kept epoch marked.

    Several networks are told apart by colour; of a single one the legend names the two parts alone.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per network, epoch, set and metric: ``network, epoch, set`` (train / validation), ``metric, value,
        kept`` (the epoch whose weights are used).
    ax : matplotlib.axes.Axes
    metric : str
        The metric that is drawn.
    """
    own = table[table["metric"] == metric]
    if own.empty:
        raise InputError(
            f"The table has no rows of the metric `{metric}`; it has {listed(list(table['metric'].unique()))}."
        )
    several, parts = len(own["network"].unique()) > 1, set(own["set"])
    for i, (name, part) in enumerate(own.groupby("network", sort=False)):
        look: Any = {"color": style.colour(i)}
        for which, line in part.groupby("set", sort=False):
            dash = ":" if which == "train" else "-"
            label = str(name) if which != "train" or set(part["set"]) == {"train"} else None
            label = label if several else PARTS[str(which)]
            ax.plot(line["epoch"], line["value"], linestyle=dash, linewidth=1.4, label=label, **look)
            if which != "train":
                kept = line[line["epoch"] == line["kept"]]
                ax.plot(kept["epoch"], kept["value"], style.marker(i), ms=7, markeredgecolor="white", **look)
    for which in [name for name in PARTS if several and name in parts]:
        ax.plot([], [], linestyle=":" if which == "train" else "-", color=style.GREY, label=PARTS[which])
    ax.plot([], [], "o", color=style.GREY, label="epoch kept")
    ax.set(xlabel="Epoch", ylabel=metric[:1].upper() + metric[1:])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def _share(value: float) -> str:
    """Word a share of heat; a patch without any heat has none."""
    return "no heat" if math.isnan(value) else f"{value:.0%}"


def _overlay_alt(table: pd.DataFrame, *, columns: int = 4, **_: Any) -> str:
    words = [f"{row['subject']} {_share(row['share'])}" for row in table.to_dict("records")]
    return f"Heat over {counted(len(table), 'slice')}, tumour outlined; share of heat in the tumour: {listed(words)}."


def _overlay_size(table: pd.DataFrame) -> tuple[float, float]:
    return 8.0, 0.4 + 2.3 * math.ceil(len(table) / 4)


@figure("subject", "image", "heat", "mask", "share", alt=_overlay_alt, size=_overlay_size)
def heat_overlays(table: pd.DataFrame, ax: Axes, *, columns: int = 4) -> None:
    """Draw slices side by side with heat over them and the tumour outlined.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per slice: ``subject`` (a caption), ``image`` (0 to 1), ``heat`` (0 to 1), ``mask``: 2-D arrays of one
        shape; ``share`` of the patient's heat in the tumour, NaN where there is no heat.
    ax : matplotlib.axes.Axes
    columns : int
        Slices per row.
    """
    height, width = np.asarray(table["image"].iloc[0]).shape
    gap = 0.05 * width
    step_y = height * 1.16
    for i, row in enumerate(table.to_dict("records")):
        left, top = (i % columns) * (width + gap), (i // columns) * step_y
        extent = (left, left + width, top + height * 1.12, top + height * 0.12)
        ax.imshow(row["image"], cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="bilinear")
        ax.imshow(row["heat"], cmap=HEAT, vmin=0, vmax=1, extent=extent, interpolation="bilinear")
        if np.any(row["mask"]):
            x = left + np.arange(width) + 0.5
            y = top + height * 0.12 + np.arange(height) + 0.5
            ax.contour(x, y, np.asarray(row["mask"], dtype=float), levels=[0.5], colors=[style.SKY], linewidths=1.2)
        text = f"{row['subject']}: {_share(row['share'])}"
        ax.text(left, top + height * 0.09, text, fontsize=8, va="baseline", ha="left")
    rows = math.ceil(len(table) / columns)
    ax.set(xlim=(0, columns * (width + gap)), ylim=(rows * step_y, 0), aspect="equal")
    ax.axis("off")


def _pairs_alt(table: pd.DataFrame, *, ylabel: str = "Share", **_: Any) -> str:
    wide = _in_pairs(table)
    medians = [f"{name} {fixed(wide[name].median())}" for name in wide.columns]
    return f"{ylabel} of {counted(len(wide), 'patient')} in pairs; medians {listed(medians)}."


def _in_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient with a value in every group, the groups in order of first mention."""
    groups = list(table["group"].unique())
    return table.pivot_table(index="subject", columns="group", values="value", dropna=False)[groups].dropna()


@figure("subject", "group", "value", alt=_pairs_alt, size=(4.4, 3.8))
def paired_values(table: pd.DataFrame, ax: Axes, *, ylabel: str = "Share") -> None:
    """Draw one line per patient from one group to the other, with the medians.

    Parameters
    ----------
    table : pandas.DataFrame
        Two rows per patient: ``subject, group, value``.
    ax : matplotlib.axes.Axes
    ylabel : str
    """
    wide = _in_pairs(table)
    groups = list(wide.columns)
    x = np.arange(len(groups))
    for values in wide.to_numpy():
        ax.plot(x, values, "-", color=style.GREY, linewidth=0.7, alpha=0.6)
    for i, name in enumerate(groups):
        ax.plot(np.full(len(wide), i), wide[name], style.marker(i), ms=4, color=style.colour(i), alpha=0.8, mew=0)
        ax.hlines(wide[name].median(), i - 0.18, i + 0.18, color=style.INK, linewidth=2.2)
    ax.set_xticks(x, [f"{name}\n(n = {len(wide)})" for name in groups])
    ax.set(xlim=(-0.5, len(groups) - 0.5), ylabel=ylabel)


def _block_alt(table: pd.DataFrame, *, overlap: int = 0, names: tuple[str, str] = ("rows", "columns"), **_: Any) -> str:
    values = table.to_numpy(dtype=float)
    block = f"; the framed block holds the {overlap} features of both" if overlap else ""
    return (
        f"Heat map of |r| between {len(table)} {names[0]} and {table.shape[1]} {names[1]} features, median "
        f"{fixed(float(np.median(values)))}{block}."
    )


@figure(alt=_block_alt, size=(5.6, 4.6))
def correlation_block(
    table: pd.DataFrame, ax: Axes, *, overlap: int = 0, names: tuple[str, str] = ("rows", "columns")
) -> None:
    """Draw \\|r\\| between two sets of features as a heat map, the features of both sets framed.

    Parameters
    ----------
    table : pandas.DataFrame
        \\|r\\|: one row per feature of the first set, one column per feature of the second.
    ax : matplotlib.axes.Axes
    overlap : int
        How many features at the start of rows and columns are in both sets.
    names : (str, str)
        Names of the sets.
    """
    image = ax.imshow(
        table.to_numpy(dtype=float), cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto", interpolation="nearest"
    )
    if overlap:
        frame: Any = {"fill": False, "edgecolor": style.VERMILLION, "linewidth": 1.6}
        ax.add_patch(Rectangle((-0.5, -0.5), overlap, overlap, **frame))
    ax.set(xlabel=f"{names[1]} ({table.shape[1]} features)", ylabel=f"{names[0]} ({len(table)} features)")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.03).set_label("|r|")
