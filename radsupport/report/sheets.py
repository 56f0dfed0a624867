"""Contact sheets of a whole cohort: small pictures, folded away until they are wanted."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import pandas as pd

from radsupport.report import style
from radsupport.report.figures.base import alt_text
from radsupport.report.figures.slices import contact_sheet

_COLUMNS, _ROWS, _TILE = 8, 6, 1.15  # tiles across and down, inches
_DPI = 130
_CENTRE, _WIDTH = 0.5, 1.0  # the pictures are windowed already


def folded_sheets(sections: pd.DataFrame, summary: str) -> str:
    """Return every section as contact sheets inside one element that opens on a click.

    Parameters
    ----------
    sections : pandas.DataFrame
        As `radsupport.imaging.mask_checks.sheet_table` returns it: ``image`` 0 to 1, ``subject`` the words above.
    summary : str
        Words that are always seen.

    Returns
    -------
    str
        HTML for `display.show_html`: JPEG, as CT noise takes ten times as much room in PNG.
    """
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
    for text in ax.texts:
        text.set_fontsize(6)
    for collection in ax.collections:
        collection.set_linewidth(0.8)
    buffer = io.BytesIO()
    with style.context():
        figure.savefig(buffer, format="jpeg", dpi=_DPI, pil_kwargs={"quality": 80})
    source = base64.b64encode(buffer.getvalue()).decode("ascii")
    words = escape(alt_text("contact_sheet", part, centre=_CENTRE, width=_WIDTH), quote=True)
    return f'<img alt="{words}" src="data:image/jpeg;base64,{source}" style="width:100%;background:#fff">'
