"""Contact sheets of a whole cohort: small pictures, folded away until they are wanted.

A slider through the slices of patients with heat over them: one piece of HTML, nothing from the network.

Patient, slice and layers are chosen with native form controls, so that everything works by keyboard; the slice's
number stands in a live region, which screen readers announce. The script finds its slider by a data attribute, not by
an id, so that any number of them can stand on one page. Without JavaScript the first picture is shown.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion

from radsupport.book import text
from radsupport.book.tables import asset
from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import alt_text
from radsupport.plots.images import contact_sheet

_COLUMNS, _ROWS, _TILE = 8, 6, 1.15  # tiles across and down, inches
_DPI = 130
_CENTRE, _WIDTH = 0.5, 1.0  # the pictures are windowed already


def folded_sheets(sections: pd.DataFrame, summary: str) -> str:
    """Return every section as contact sheets inside one element that opens on a click.

    Parameters
    ----------
    sections : pandas.DataFrame
        As `radsupport.imaging.previews.sheet` returns it: ``image`` 0 to 1, ``subject`` the words above.
    summary : str
        Words that are always seen.

    Returns
    -------
    str
        HTML for `book.show_html`: JPEG, as CT noise takes ten times as much room in PNG.
    """
    sections = text.shown(sections)
    per_sheet = _COLUMNS * _ROWS
    pictures = []
    for first in range(0, len(sections), per_sheet):
        part = sections.iloc[first : first + per_sheet]
        words = f"Sections {first + 1} to {first + len(part)} of {len(sections)}."
        pictures.append(f'<figure class="rad-figure">{_picture(part)}<figcaption>{words}</figcaption></figure>')
    return f'<details class="rad-sheets"><summary>{escape(summary)}</summary>{"".join(pictures)}</details>'


def _picture(part: pd.DataFrame) -> str:
    rows = math.ceil(len(part) / _COLUMNS)
    figure, (ax,) = style.new_figure(width=_COLUMNS * _TILE, height=rows * _TILE * 1.15)
    contact_sheet(part, ax, columns=_COLUMNS, centre=_CENTRE, width=_WIDTH)
    for words in ax.texts:
        words.set_fontsize(6)
    for collection in ax.collections:
        collection.set_linewidth(0.8)
    source = base64.b64encode(style.drawn(figure, "jpeg", dpi=_DPI)["jpeg"]).decode("ascii")
    said = escape(alt_text("contact_sheet", part, centre=_CENTRE, width=_WIDTH), quote=True)
    return f'<img alt="{said}" src="data:image/jpeg;base64,{source}" style="width:100%;background:#fff">'


LEVELS = 16
OUTLINE = (86, 180, 233)
GAP = 2
COLUMNS = ("subject", "panel", "image", "heat", "mask", "words")


def slider_html(table: pd.DataFrame, title: str, caption: str = "") -> str:
    """Return the slider as HTML.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient and panel: ``subject, panel`` (name of the picture beside others), ``image`` and ``heat``
        (0 to 1), ``mask``: arrays (slices, rows, columns) of one shape; ``words`` said of the patient.
    title : str
        Heading.
    caption : str
        Shown below; plain text.

    Returns
    -------
    str
        A single ``div``.

    Raises
    ------
    InputError
        No rows, missing columns, single planes, or patients with different panels or shapes.
    """
    panels = _checked(table)
    table = text.shown(table)
    patients = [_patient(str(name), part) for name, part in table.groupby("subject", sort=False)]
    first = patients[0]["frames"][len(patients[0]["frames"]) // 2]["layers"]
    options = "".join(f'<option value="{i}">{escape(p["name"])}</option>' for i, p in enumerate(patients))
    names = "".join(f"<span>{escape(panel)}</span>" for panel in panels)
    n = len(patients[0]["frames"])
    layers = "".join(f'<img src="{source}" alt="">' for source in first[1:])
    alt = escape(f"{patients[0]['name']}, middle slice. {patients[0]['words']}", quote=True)
    note = f"<p>{escape(caption)}</p>" if caption else ""
    return (
        f'<div class="slice-slider" role="group" aria-label="{escape(title, quote=True)}" '
        f'data-slice-slider="{escape(json.dumps(patients), quote=True)}"><style>{asset("slider.css")}</style>'
        f'<p><strong>{escape(title)}</strong></p><div class="ss-rows">'
        f"<label>Patient <select>{options}</select></label>"
        f'<label>Slice <input type="range" min="1" max="{n}" step="1" value="{n // 2 + 1}"></label>'
        '<label><input type="checkbox" checked> heat</label>'
        '<label><input type="checkbox" checked> outline</label></div>'
        f'<div class="ss-view"><img src="{first[0]}" alt="{alt}">{layers}</div><div class="ss-names">{names}</div>'
        f'<output aria-live="polite"></output>{note}<script>{asset("slider.js")}</script></div>'
    )


def _checked(table: pd.DataFrame) -> list[str]:
    """Return the names of the panels."""
    if table.empty:
        raise InputError("A slider needs at least one patient.")
    lacking = [name for name in COLUMNS if name not in table.columns]
    if lacking:
        raise InputError(f"The table of a slider lacks {', '.join(lacking)}; it needs {', '.join(COLUMNS)}.")
    shapes = {np.asarray(value).shape for name in ("image", "heat", "mask") for value in table[name]}
    panels = [list(part["panel"]) for _, part in table.groupby("subject", sort=False)]
    if len(shapes) > 1 or any(names != panels[0] for names in panels):
        raise InputError(
            f"All patients of a slider need the same panels and one shape; there are {panels} and {shapes}."
        )
    if len(next(iter(shapes))) != 3:
        raise InputError(f"The arrays of a slider have the axes slices, rows, columns; theirs are {shapes}.")
    return [str(name) for name in panels[0]]


def _patient(name: str, part: pd.DataFrame) -> dict[str, Any]:
    rows = part.to_dict("records")
    frames = []
    for z in range(np.asarray(rows[0]["image"]).shape[0]):
        image, heat, mask = (_beside([np.asarray(row[key])[z] for row in rows]) for key in ("image", "heat", "mask"))
        frames.append({"layers": [_jpeg(image), _heat_png(heat), _outline_png(mask)]})
    return {"name": name, "words": str(rows[0]["words"]), "frames": frames}


def _beside(planes: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """Put planes side by side with a gap of 0 between them."""
    gap = np.zeros((planes[0].shape[0], GAP))
    parts: list[NDArray[np.float64]] = []
    for plane in planes:
        parts += [gap, plane.astype(np.float64)] if parts else [plane.astype(np.float64)]
    return np.concatenate(parts, axis=1)


def _jpeg(image: NDArray[np.float64]) -> str:
    return _uri(Image.fromarray(np.round(255 * image.clip(0, 1)).astype(np.uint8)), "jpeg", quality=82)


def _heat_png(heat: NDArray[np.float64]) -> str:
    """Return heat in few levels, from transparent to vermillion."""
    picture = Image.fromarray(np.round((LEVELS - 1) * heat.clip(0, 1)).astype(np.uint8), mode="P")
    part = np.linspace(0, 1, LEVELS)
    colours = np.stack([230 - 18 * part, 140 - 80 * part, 0 * part], axis=1).round().astype(int)
    picture.putpalette(colours.ravel().tolist())
    return _uri(picture, "png", transparency=bytes(np.round(200 * part).astype(np.uint8)), optimize=True)


def _outline_png(mask: NDArray[np.float64]) -> str:
    inside = mask > 0.5
    edge = inside & ~binary_erosion(inside)
    picture = Image.fromarray(edge.astype(np.uint8), mode="P")
    picture.putpalette([0, 0, 0, *OUTLINE])
    return _uri(picture, "png", transparency=bytes([0, 255]), optimize=True)


def _uri(picture: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
