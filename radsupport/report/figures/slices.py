"""Contact sheet: CT slices with the outline of their masks."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, listed

_FURTHER = (style.ORANGE, style.SKY, style.VERMILLION, style.GREEN)


def _sheet_alt(table: pd.DataFrame, *, centre: float = 40.0, width: float = 400.0, **_: Any) -> str:
    rows = table.to_dict("records")
    empty = [str(row["subject"]) for row in rows if not np.any(row["mask"]) and not _further(row)]
    text = f"Contact sheet of {counted(len(table), 'CT slice')} ({listed(list(table['subject']))}), mask outlined"
    text += f", window {centre:g}/{width:g} HU" if width > 1 else ""
    return text + (f"; no mask in {listed(empty)}." if empty else ".")


@figure("subject", "image", "mask", alt=_sheet_alt, size=lambda table: (8.0, 1.0 + 2.0 * math.ceil(len(table) / 4)))
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
        (mapping of names to further 2-D masks, drawn over each other and named in a legend).
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
        _outline(ax, np.asarray(row["mask"]), extent, colours or {})
        for k, further in enumerate(_further(row).values()):
            _outline(ax, np.asarray(further).astype(int), extent, {1: _FURTHER[k % len(_FURTHER)]})
        ax.text(left, top + 0.8 * caption, str(row["subject"]), fontsize=8, va="baseline", ha="left")
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
        ax.contour(x, y, (mask == value).astype(float), levels=[0.5], colors=[line], linewidths=1.3)
