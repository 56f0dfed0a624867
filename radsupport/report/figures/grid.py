"""Matrix drawing shared by the heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, to_rgb
from matplotlib.image import AxesImage

from radsupport.report import style


def heat_map(
    ax: Axes,
    values: npt.NDArray[np.float64],
    rows: Sequence[object],
    columns: Sequence[object],
    labels: npt.NDArray[np.object_] | None,
    colours: Colormap,
    limits: tuple[float, float],
    fontsize: float = 9,
) -> AxesImage:
    """Draw a matrix with one label per cell, black or white, whichever is readable; NaN cells stay pale.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : array, shape (rows, columns)
    rows, columns : sequence
        Tick labels; long column names are slanted.
    labels : array of str, optional
        Text of each cell.
    colours : matplotlib.colors.Colormap
    limits : (float, float)
        Values at the two ends of the colour scale.
    fontsize : float
        Size of the cell labels in points.
    """
    ground = colours.with_extremes(bad="#F0F0F0")
    image = ax.imshow(values, cmap=ground, vmin=limits[0], vmax=limits[1], aspect="auto")
    slanted = max((len(str(name)) for name in columns), default=0) * len(columns) > 40
    ax.set_xticks(range(len(columns)), [str(name) for name in columns])
    if slanted:
        ax.tick_params(axis="x", labelrotation=40)
        for tick in ax.get_xticklabels():
            tick.set(ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [str(name) for name in rows])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    texts = np.full(values.shape, "", dtype=object) if labels is None else labels
    for i, j in np.ndindex(*values.shape):
        ink = _ink(image, float(values[i, j]))
        ax.text(j, i, str(texts[i, j]), ha="center", va="center", fontsize=fontsize, color=ink)
    return image


def _ink(image: AxesImage, value: float) -> str:
    """Return black or white, whichever contrasts more with the cell (WCAG relative luminance; at least 4.58 to 1)."""
    if np.isnan(value):
        return style.INK
    norm: Any = image.norm
    channels: Any = np.array(to_rgb(image.cmap(float(norm(value)))), dtype=float)
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"
