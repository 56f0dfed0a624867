"""A network as papers draw it: one box per layer, as high as its maps and as wide as their channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Patch, Rectangle

from radsupport.plots import style
from radsupport.plots.base import figure

_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
_GAP = 0.35  # between two boxes; a box is 0.2 wide and as much more as its channels have doubled


def _alt(table: pd.DataFrame, **_: Any) -> str:
    joined = int((table["joins"] != "").sum())
    skips = f", with {joined} skip connections" * bool(joined)
    listed = "; ".join(f"{row['block']} {row['shape']}" for row in table.to_dict("records"))
    return f"Network of {len(table)} layers{skips}, from the image to the output: {listed}."


@figure("block", "kind", "side", "channels", "shape", "joins", alt=_alt, size=(8.4, 3.4))
def architecture(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a network from left to right, in the order in which an image passes its layers.

    Heights are the square root of the maps' rows, so that the smallest can still be seen; widths are the logarithm of
    the channels, which is the height of a vector. Skip connections are arcs. Kinds differ in colour and in hatch.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per layer: ``block`` (name), ``kind``, ``side`` (rows of its maps; 1 for a vector), ``channels`` (or
        units), ``shape`` (text), ``joins`` (name of an earlier layer whose maps are joined to its own, or "").
    ax : matplotlib.axes.Axes
    """
    doubled, side = np.log2(table["channels"].to_numpy(dtype=float) + 1), table["side"].to_numpy(dtype=float)
    width = np.where(side > 1, 0.2 + 0.07 * doubled, 0.2)
    high = np.where(side > 1, np.sqrt(side / side.max()), 0.05 * doubled)
    left = np.concatenate([[0.0], np.cumsum(width + _GAP)[:-1]])
    kinds, place = list(table["kind"].unique()), dict(zip(table["block"], left + width / 2, strict=True))
    tops = dict(zip(table["block"], high / 2, strict=True))
    for i, (row, x, w, h) in enumerate(zip(table.to_dict("records"), left, width, high, strict=True)):
        k = kinds.index(row["kind"])
        look: Any = {"facecolor": style.colour(k), "hatch": _HATCHES[k % len(_HATCHES)], "edgecolor": style.INK}
        ax.add_patch(Rectangle((x, -h / 2), w, h, linewidth=0.7, alpha=0.75, **look))
        words = f"{row['block']}\n{row['shape']}"
        ax.text(x + w / 2, -0.56, words, rotation=90, ha="center", va="top", fontsize=7.5, linespacing=1.1)
        if i:
            ax.plot([x - _GAP, x], [0, 0], color=style.INK, linewidth=0.9)
        if row["joins"]:
            ends = [(place[name], tops[name]) for name in (row["joins"], row["block"])]
            arc: Any = {"connectionstyle": "arc3,rad=-0.18", "arrowstyle": "-|>", "mutation_scale": 8}
            ax.add_patch(FancyArrowPatch(*ends, color=style.GREY, linewidth=0.9, **arc))
    ax.set(xlim=(-0.2, left[-1] + width[-1] + 0.2), ylim=(-1.7, 1.25 if (table["joins"] != "").any() else 0.6))
    ax.set_axis_off()
    shown = [
        Patch(facecolor=style.colour(k), hatch=_HATCHES[k % len(_HATCHES)], edgecolor=style.INK, alpha=0.75, label=kind)
        for k, kind in enumerate(kinds)
    ]
    ax.legend(handles=shown, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4, columnspacing=1.2)
