"""Figures of scans and networks: slices with outlines and heat, areas slice by slice, values by center, training."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from contourpy import contour_generator
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import box, figure, look, strip
from radsupport.wording import counted, fixed, listed, number

#: Heat: transparent where there is none, so that the slice stays visible.
HEAT = LinearSegmentedColormap.from_list("heat", [(0.9, 0.6, 0.0, 0.0), (0.9, 0.5, 0.0, 0.55), (0.83, 0.2, 0.0, 0.85)])

#: The two parts of the patients who train a network, by the key in the table.
PARTS = {"train": "training part", "validation": "validation part"}


def _curves_alt(table: pd.DataFrame, *, metric: str = "loss", **_: Any) -> str:
    own = table[table["metric"] == metric]
    words = []
    for name, part in own.groupby("network", sort=False, observed=True):
        shown = part[part["set"] == part["set"].iloc[-1]]
        kept = shown.loc[shown["epoch"] == shown["kept"], "value"]
        value = f" ({number(float(kept.iloc[0]))})" if len(kept) else ""
        words.append(f"{name}: epoch {int(part['kept'].iloc[0])} kept{value}")
    return f"Training curves of {metric}, {counted(own['network'].nunique(), 'network')}; {listed(words)}."


@figure("network", "epoch", "set", "metric", "value", "kept", alt=_curves_alt, size=(7.2, 3.8))
def training(table: pd.DataFrame, ax: Axes, *, metric: str = "loss") -> None:
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
    for i, (name, part) in enumerate(own.groupby("network", sort=False, observed=True)):
        colour = style.colour(i)
        for which, line in part.groupby("set", sort=False, observed=True):
            dash = ":" if which == "train" else "-"
            label = str(name) if which != "train" or set(part["set"]) == {"train"} else None
            label = label if several else PARTS[str(which)]
            ax.plot(line["epoch"], line["value"], linestyle=dash, linewidth=1.4, label=label, color=colour)
            if which != "train":
                kept = line[line["epoch"] == line["kept"]]
                ax.plot(kept["epoch"], kept["value"], style.marker(i), ms=7, markeredgecolor="white", color=colour)
    for which in [name for name in PARTS if several and name in parts]:
        ax.plot([], [], linestyle=":" if which == "train" else "-", color=style.GREY, label=PARTS[which])
    ax.plot([], [], "o", color=style.GREY, label="epoch kept")
    ax.set(xlabel="Epoch", ylabel=metric[:1].upper() + metric[1:])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(**style.BESIDE)


def _strips_alt(table: pd.DataFrame, *, ylabel: str = "value", **_: Any) -> str:
    if "subject" in table:
        wide = _in_pairs(table)
        medians = [f"{name} {fixed(wide[name].median())}" for name in wide.columns]
        return f"{ylabel} of {counted(len(wide), 'patient')} in pairs; medians {listed(medians)}."
    parts = []
    for group, rows in table.dropna(subset=["value"]).groupby("group", sort=False, observed=True):
        middle, low, high = (number(float(rows["value"].quantile(share))) for share in (0.5, 0.0, 1.0))
        parts.append(f"{group} median {middle} ({low} to {high})")
    return f"{ylabel} by center, one point per case: {'; '.join(parts)}."


def _in_pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient with a value in every group, the groups in order of first mention."""
    groups = list(table["group"].unique())
    return table.pivot_table(index="subject", columns="group", values="value", dropna=False)[groups].dropna()


def _strips_size(table: pd.DataFrame) -> tuple[float, float]:
    return (4.4, 3.8) if "subject" in table else (1.6 + 1.2 * table["group"].nunique(), 3.2)


@figure("group", "value", alt=_strips_alt, size=_strips_size)
def strips(table: pd.DataFrame, ax: Axes, *, ylabel: str = "") -> None:
    """Draw one point per case, side by side by group, with the median of each group.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per case: ``group`` (name) and ``value``; rows without a value are left out. With a column
        ``subject`` a line leads from group to group; patients without a value in each of them are left out.
    ax : matplotlib.axes.Axes
    ylabel : str
    """
    groups = list(dict.fromkeys(table["group"]))
    paired = _in_pairs(table) if "subject" in table else None
    if paired is not None:
        ax.plot(range(len(groups)), paired.to_numpy().T, "-", color=style.GREY, linewidth=0.7, alpha=0.6)
    own = table if paired is None else paired.melt(var_name="group")
    axes: Any = {"x": "group", "y": "value", "order": groups}
    box(ax, own, **axes, showbox=False, showcaps=False, whiskerprops={"visible": False}, linecolor=style.INK)  # medians
    for i, group in enumerate(groups):
        looks: Any = {"color": style.colour(i), "marker": style.marker(i), "size": 3 + (paired is not None)}
        reach = 0.64 * (paired is None)
        strip(ax, own[own["group"] == group], **axes, **looks, reach=reach, alpha=0.6)
    names = [str(group).replace("_", " ") + ("" if paired is None else f"\n(n = {len(paired)})") for group in groups]
    ax.set_xticks(range(len(groups)), names)
    if max(map(len, names)) * len(groups) > 30 and paired is None:
        ax.tick_params(axis="x", labelrotation=20)
    ax.set(xlabel="", ylabel=ylabel, xlim=(-0.6, len(groups) - 0.4))


def _areas_alt(table: pd.DataFrame, **_: Any) -> str:
    parts = []
    for name, rows in table.groupby("subject", sort=False, observed=True):
        best = rows.loc[rows["area_mm2"].idxmax()]
        slices = counted(len(rows), "slice")
        if len(rows) > 1:
            slices += f" {number(float(rows['position_mm'].sort_values().diff().median()))} mm apart"
        parts.append(f"{name}: {slices}, largest section {number(float(best['area_mm2']))} mm²")
    return f"Area of the tumour slice by slice. {'; '.join(parts)}."


@figure("subject", "position_mm", "area_mm2", alt=_areas_alt, size=(6.0, 3.4))
def areas(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the tumour's area along the body axis, one line per case, its largest section marked.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per slice: ``subject``, ``position_mm`` (from the largest section), ``area_mm2``.
    ax : matplotlib.axes.Axes
    """
    for i, (name, rows) in enumerate(table.groupby("subject", sort=False, observed=True)):
        ordered = rows.sort_values("position_mm")
        ax.plot(ordered["position_mm"], ordered["area_mm2"], label=str(name), **look(i))
        best = ordered.loc[ordered["area_mm2"].idxmax()]
        ax.plot(best["position_mm"], best["area_mm2"], style.marker(i), color=style.colour(i), markersize=7)
    ax.set(xlabel="Distance from the largest section (mm)", ylabel="Area (mm²)", ylim=(0, None))
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


_FURTHER = (style.ORANGE, style.SKY, style.VERMILLION, style.GREEN)


def _sheet_alt(table: pd.DataFrame, *, centre: float = 40.0, width: float = 400.0, **_: Any) -> str:
    if "heat" in table:
        words = [f"{row['subject']} {_share(row['share'])}" for row in table.to_dict("records")]
        heat = f"Heat over {counted(len(table), 'slice')}, tumour outlined; share of heat in the tumour: "
        return f"{heat}{listed(words)}."
    rows = table.to_dict("records")
    empty = [str(row["subject"]) for row in rows if not np.any(row["mask"]) and not _further(row)]
    text = f"Contact sheet of {counted(len(table), 'CT slice')} ({listed(list(table['subject']))}), mask outlined"
    text += f", window {centre:g}/{width:g} HU" if width > 1 else ""
    return text + (f"; no mask in {listed(empty)}." if empty else ".")


def _share(value: float) -> str:
    """Word a share of heat; a patch without any heat has none."""
    return "no heat" if math.isnan(value) else f"{value:.0%}"


def _sheet_size(table: pd.DataFrame) -> tuple[float, float]:
    return 8.0, 1.0 + 2.0 * math.ceil(len(table) / 4)


@figure("subject", "image", "mask", alt=_sheet_alt, size=_sheet_size)
def contact_sheet(
    table: pd.DataFrame,
    ax: Axes,
    *,
    columns: int = 4,
    centre: float = 40.0,
    width: float = 400.0,
    colours: dict[int, str] | None = None,
    interpolation: Literal["bilinear", "nearest"] = "bilinear",
    legend: bool = True,
) -> None:
    """Draw slices side by side, each with the outline of its mask and the subject's name.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per slice: ``subject``, ``image`` (2-D array in HU), ``mask`` (2-D array of the same shape; 0 is
        background, each other value a region) and optionally ``spacing`` ((row, column) in mm) and ``outlines``
        (mapping of names to further 2-D masks, drawn over each other and named in a legend), or ``heat`` (0 to 1, drawn
        over the image) with ``share``, the part of the patient's heat that is in the tumour, NaN without any heat.
    ax : matplotlib.axes.Axes
    columns : int
        Slices per row.
    centre, width : float
        Display window in HU; 0.5 and 1 for images that are windowed already.
    colours : dict, optional
        Outline colour of each mask value.
    interpolation : {"bilinear", "nearest"}
        "nearest" shows the voxels as they are.
    legend : bool
        Whether ``outlines`` are named.

    Raises
    ------
    InputError
        An image is not two-dimensional or its mask has another shape.
    """
    columns = min(columns, len(table))
    sizes = [_size(row) for row in table.to_dict("records")]
    cell_height, cell_width = (1.04 * max(values) for values in zip(*sizes, strict=True))
    caption = 0.11 * cell_height
    for i, (row, (height, wide)) in enumerate(zip(table.to_dict("records"), sizes, strict=True)):
        left, top = (i % columns) * cell_width, (i // columns) * (cell_height + caption)
        extent = (left, left + wide, top + caption + height, top + caption)
        window: Any = {"vmin": centre - width / 2, "vmax": centre + width / 2}
        ax.imshow(row["image"], cmap="gray", extent=extent, interpolation=interpolation, **window)
        words = str(row["subject"])
        if "heat" in row:
            ax.imshow(row["heat"], cmap=HEAT, vmin=0, vmax=1, extent=extent, interpolation=interpolation)
            words, colours = f"{words}: {_share(row['share'])}", {1: style.SKY}
        _outline(ax, np.asarray(row["mask"]).astype(int), extent, colours or {})
        for k, further in enumerate(_further(row).values()):
            _outline(ax, np.asarray(further).astype(int), extent, {1: _FURTHER[k % len(_FURTHER)]})
        fits = min(1.0, 128 / columns / max(len(words), 1))  # letters of 8 points that a column has room for
        ax.text(left, top + 0.8 * caption, words, fontsize=8 * fits, va="baseline", ha="left")
    rows = math.ceil(len(table) / columns)
    names = list(dict.fromkeys(name for row in table.to_dict("records") for name in _further(row)))
    if legend and names:
        lines = [Line2D([], [], color=_FURTHER[k % len(_FURTHER)], label=name) for k, name in enumerate(names)]
        ax.legend(handles=lines, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(names))
    ax.set(xlim=(0, columns * cell_width), ylim=(rows * (cell_height + caption), 0), aspect="equal")
    ax.axis("off")


def _further(row: dict[Any, Any]) -> dict[str, Any]:
    """Return the named outlines of a row; none where there are none."""
    given = row.get("outlines")
    return given if isinstance(given, dict) else {}


def _size(row: dict[Any, Any]) -> tuple[float, float]:
    image, mask = np.asarray(row["image"]), np.asarray(row["mask"])
    if image.ndim != 2 or image.shape != mask.shape:
        raise InputError(
            f"Subject {row['subject']}: image {image.shape} and mask {mask.shape} must be 2-D and of one shape."
        )
    spacing = row.get("spacing", (1.0, 1.0))
    return float(image.shape[0] * spacing[0]), float(image.shape[1] * spacing[1])


def _outline(ax: Axes, mask: Any, extent: tuple[float, float, float, float], colours: dict[int, str]) -> None:
    left, right, bottom, top = extent
    rows, columns = mask.shape
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    for i, value in enumerate(v for v in np.unique(mask) if v != 0):
        line = colours.get(int(value), (style.ORANGE, style.SKY, style.VERMILLION)[i % 3])
        found = contour_generator(x, y, (mask == value).astype(float), name="mpl2014").lines(0.5)
        paths = [Path(points, codes) for points, codes in zip(*found, strict=True)]
        drawn = PathCollection(paths, facecolors="none", edgecolors=line, linewidths=1.3, zorder=2)
        ax.add_collection(drawn, autolim=False)
