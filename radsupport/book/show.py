"""What the notebooks call to show a figure, a table or a sentence: the same in JupyterLab and in the book.

Figures are shown as HTML with the image inside. MyST-NB passes only width and height from an output's metadata to
the image it makes, and takes alt text from the cell's metadata alone, which can not be computed; an ``<img alt>``
of our own is rendered by both. Nothing shown here asks anything of the network.
"""

from __future__ import annotations

import base64
import functools
import gzip
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import plotly.graph_objects as go
from IPython.display import HTML, Markdown, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from plotly.offline import get_plotlyjs

from radsupport.book import text
from radsupport.book.live import explore_html, slider_table
from radsupport.book.tables import asset, filterable_table, table_html
from radsupport.errors import InputError
from radsupport.files import slug, written_whole
from radsupport.plots import style
from radsupport.plots.base import Pictures, description, figures_of, table_of

_DPI = 144  # shown at 96 per inch, so that it stays sharp on dense screens
_ROWS = 20_000  # of a table that is saved with its figure; more are in results/
_LEAST, _EASY, _GAP = 0.68, 0.85, "0.6rem"  # pictures side by side: how far they may shrink, and the room between them


class _Page:
    """What the running notebook set: where its figures are also saved for print, and words for values in tables."""

    folder: Path | None = None
    chapter = ""
    count = 0
    words: Mapping[str, Mapping[Any, str]] = {}


def save_figures_to(folder: Path | None, chapter: str = "") -> None:
    """Save every figure shown from now on as SVG: ``<folder>/<chapter>_<number>_<title>``; None stops it.

    The table behind a figure is saved beside it as CSV. What the chapter saved before is removed.

    Where the environment has ``RADSUPPORT_PRINT`` (`make publish`), as PDF as well, which takes longer to draw than all
    else: its fonts are cut to the letters that a figure has.
    """
    _Page.folder, _Page.chapter, _Page.count = folder, chapter, 0
    for old in Path(folder).glob(f"{chapter}_[0-9][0-9]*_*") if folder and chapter else ():
        old.unlink()


def word_values(words: Mapping[str, Mapping[Any, str]]) -> None:
    """Show values of these columns in these words from now on, such as the keys of the cohorts by their names."""
    _Page.words = words


def _drawn(figures: Sequence[Figure]) -> list[dict[str, bytes]]:
    """Draw figures once for the page and, where they are saved, for print."""
    for found in figures:
        _number_patients(found)
    printed = [] if _Page.folder is None else ["svg", *["pdf"] * bool(os.environ.get("RADSUPPORT_PRINT"))]
    return [style.drawn(found, "png", *printed, dpi=_DPI) for found in figures]


def _number_patients(fig: Figure) -> None:
    """Put numbers in the place of the ids of real patients in every text of a figure, whoever drew it."""
    if not text.hides():
        return
    for axis in (axis for ax in fig.axes for axis in ax._axis_map.values()):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        if (short := list(map(text.nameless, labels))) != labels:
            axis.set_ticks(axis.get_ticklocs(), labels=short)
    for words in fig.findobj(Text):
        words.set_text(text.nameless(words.get_text()))


def _save_for_print(figures: Sequence[Figure], drawn: Sequence[Mapping[str, bytes]]) -> list[str]:
    """Write the files of figures that are saved; return their names without ending."""
    names = []
    for found, files in zip(figures, drawn, strict=True) if _Page.folder is not None else []:
        _Page.count += 1
        title = found.get_suptitle() or next((ax.get_title(loc="left") or ax.get_title() for ax in found.axes), "")
        names.append(f"{_Page.chapter}_{_Page.count:02d}_{slug(title)[:60] or 'figure'}")
        vector = {kind: file for kind, file in files.items() if kind != "png"}
        style.write(vector, Path(_Page.folder or "") / names[-1])
    return names


def _save_table(table: pd.DataFrame | None, name: str) -> None:
    """Write the table behind a figure beside it, without pictures; not one of too many rows or that is withheld."""
    if table is None or len(table) > _ROWS or not table.columns.is_unique or text.withheld(table):
        return
    plain = [name for name, cells in table.items() if cells.dtype != object or all(map(pd.api.types.is_scalar, cells))]
    told = text.shown(table[plain])
    if plain:
        with written_whole(Path(_Page.folder or "") / f"{name}.csv") as partial:
            told.to_csv(partial, index=False, float_format="%.10g")


def show_figure(
    fig: Figure | Axes | Pictures | go.Figure, alt: str = "", caption: str = "", *, empty: str | None = None
) -> None:
    """Show a figure with its alt text; in a notebook of the book, also save it for print.

    Parameters
    ----------
    fig : matplotlib.figure.Figure, Axes, Pictures or plotly.graph_objects.Figure
        What a figure function returned, or what matplotlib, seaborn or scikit-learn drew (`plots.base.figures_of`).
        `Pictures` stand side by side, as many as the page has room for (one on a phone), and are saved one by one. A
        plotly figure is interactive, and not saved for print.
    alt : str
        Words for those who do not see it; by default what the figure functions attached (`plots.description`).
    caption : str
        Shown below; plain text.
    empty : str, optional
        Said where nothing was drawn, for the table has no rows; by default its ``attrs["empty"]``.

    Raises
    ------
    InputError
        Nothing describes the figure, or it is no figure.
    """
    alt, caption = text.relative(alt), text.relative(caption)
    if isinstance(fig, Pictures) and not fig.figures:
        show_text(_why_empty(fig.table, empty) or "")
        return
    if isinstance(fig, go.Figure):
        display({"text/html": plotly_html(fig, alt, caption), "text/plain": _plotly_alt(fig, alt)}, raw=True)
        return
    figures = figures_of(fig)
    for found in figures:
        plt.close(found)  # or Jupyter shows a figure of pyplot again below the cell, without its alt text
    drawn = _drawn(figures)
    html = figure_html(fig, alt, caption, drawn)
    if saved := _save_for_print(figures, drawn):
        _save_table(table_of(fig), saved[0])
        html = html.replace("<figure ", f'<figure data-saved="{" ".join(saved)}" ', 1)
    display(HTML(html))


def _why_empty(table: pd.DataFrame, given: str | None) -> str | None:
    """Return what is said in the place of an empty table; None where nobody knows."""
    found = table.attrs.get("empty") if given is None else given
    return None if found is None else str(found)


def figure_html(
    fig: Figure | Axes | Pictures, alt: str = "", caption: str = "", drawn: Sequence[Mapping[str, bytes]] | None = None
) -> str:
    """Return what `show_figure` shows: a ``figure`` element with the images inside, which may be drawn already."""
    figures = figures_of(fig)
    words = [_words(found, alt) for found in figures]
    drawn = _drawn(figures) if drawn is None else drawn
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    pictures = [_image(files["png"], said) for files, said in zip(drawn, words, strict=True)]
    look = "margin:0 0 1rem"
    if isinstance(fig, Pictures):
        images, note, look = _side_by_side(pictures, fig.columns, note), "", f"{look};max-width:none"
    else:
        images = "".join(image for image, _ in pictures)
    return f'<figure class="rad-figure" style="{look}">{images}{note}{explore_html(fig, caption)}</figure>'


def _side_by_side(pictures: Sequence[tuple[str, float]], columns: int, note: str) -> str:
    """Return pictures in a grid of as many columns as fit, at most so many, and their caption.

    None is shrunk below `_LEAST`. Where so many columns would leave the last row uneven, there are as many as fit with
    words that are easy to read, and the caption fills the place that stays free.
    """
    uneven = bool(columns) and len(pictures) > columns and len(pictures) % columns > 0
    widest = max(width for _, width in pictures)
    least = f"{(_EASY if uneven else _LEAST) * widest:.0f}px"
    if columns and not uneven:
        least = f"max({least},{100 / columns:.4f}% - {_GAP})"
    grid = f"display:grid;gap:{_GAP};grid-template-columns:repeat(auto-fit,minmax(min(100%,{least}),1fr))"
    images, inside, below = "".join(image for image, _ in pictures), *((note, "") if uneven else ("", note))
    return f'<div style="{grid}">{images}{inside}</div>{below}'


def _words(fig: Figure, alt: str) -> str:
    """Return the alt text of a figure, which must have one."""
    words = text.relative(alt.strip() or description(fig))
    if not words:
        raise InputError(
            "The figure has no alt text. Draw it with radsupport.plots, or say what it shows to those who do not see "
            'it: `book.show_figure(fig, alt="Precision over recall of …", caption=…)`.'
        )
    return words


def _image(png: bytes, words: str) -> tuple[str, float]:
    """Return an image with its alt text, and its width in pixels."""
    width = int.from_bytes(png[16:20], "big") * 96 / _DPI
    source = base64.b64encode(png).decode("ascii")
    look = f"width:{width:.0f}px;max-width:100%;height:auto;background:#fff"
    return f'<img alt="{escape(words, quote=True)}" src="data:image/png;base64,{source}" style="{look}">', width


def show_table(
    table: pd.DataFrame,
    caption: str,
    sortable: bool | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    empty: str | None = None,
    max_rows: int = 200,
    filters: Sequence[str] = (),
    wide: str | None = None,
    folded: bool | None = None,
    **slider: Any,
) -> None:
    """Show a table as `tables.table_html` words it: columns, estimates with intervals, rounding, p-values.

    Parameters
    ----------
    table : pandas.DataFrame
        Its index is not shown.
    caption : str
    sortable : bool, optional
        Whether a click (or Enter) on a header sorts; by default where there are more than three rows.
    headers : mapping, optional
        Other words for columns of this table than those of `tables.WORDS`.
    empty : str, optional
        Said in place of a table without rows; by default its ``attrs["empty"]``. Empty words show nothing.
    max_rows : int
        Longer tables are cut, and say so; not those with filters.
    filters : sequence of str
        Columns of texts that get a list of their values to choose from, above the table, beside a search.
    wide : str, optional
        With `filters`: the column of long texts.
    folded : bool, optional
        Whether only the first rows are seen until all are asked for; by default where there are more than 15.
    **slider
        `along` and the other options of `live.slider_table`: rows are seen at one value of a column.

    Raises
    ------
    InputError
        Not a DataFrame, or no caption.
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"`table` must be a DataFrame, not {type(table).__name__}.")
    if not caption.strip():
        raise InputError("A table needs a caption that says what it shows, of which cohort and signature.")
    caption = text.relative(caption)
    reason = _why_empty(table, empty) if table.empty else None
    if reason is not None:
        show_text(reason)
        return
    for column in _Page.words.keys() & set(table.columns):
        words = _Page.words[column]
        table = table.assign(**{column: [words.get(value, value) for value in table[column]]})
    table = text.shown(table)
    if filters:
        show_html(filterable_table(table, caption, filters, headers, wide))
        return
    if slider:
        show_html(slider_table(table, caption, **slider, headers=headers))
        return
    sortable = len(table) > 3 if sortable is None else sortable
    display(HTML(table_html(table, caption, sortable=sortable, headers=headers, max_rows=max_rows, folded=folded)))


def show_text(markdown: str) -> None:
    """Show Markdown whose numbers were computed, so that none is typed by hand; nothing where there are no words."""
    if markdown.strip():
        display(Markdown(text.sentence(markdown)))


def show_html(html: str) -> None:
    """Show HTML as it is, such as a nomogram's calculator; nothing where there is none."""
    if html:
        display(HTML(text.nameless(html)))


def plotly_html(fig: go.Figure, alt: str = "", caption: str = "") -> str:
    """Return an interactive figure that works offline, wherever the page is opened: data, plotly.js, the script.

    It carries plotly.js itself, compressed (2 MB instead of 5) and unpacked by the browser: so it is drawn in
    JupyterLab, in the book on a web host or opened from a folder, and in a notebook that was mailed, without a file
    beside it. The plotly form of output (``application/vnd.plotly.v1+json``) is left out: MyST-NB warns of it, and the
    book is built with warnings as errors.
    """
    words = escape(text.relative(_plotly_alt(fig, alt)), quote=True)
    data = escape(text.nameless(fig.to_json()), quote=True)
    note = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    height = int(fig.layout.height or 450)
    return (
        f'<figure class="rad-figure" style="margin:0 0 1rem"><div role="group" aria-label="{words}" '
        f'style="min-height:{height}px;background:#fff;color:#1a1a1a" data-plotly="{data}">{words}</div>{note}'
        f'<script type="text/plain" data-plotly-library>{plotly_library()}</script>'
        f"<script>{asset('plotly.js')}</script></figure>"
    )


@functools.cache
def plotly_library() -> str:
    """Return plotly.js of the installed package, compressed, as text."""
    packed = gzip.compress(get_plotlyjs().encode("utf-8"), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def _plotly_alt(fig: go.Figure, alt: str) -> str:
    meta = fig.layout.meta or {}
    words = alt.strip() or (meta.get("alt_text", "") if isinstance(meta, Mapping) else "")
    if not words:
        raise InputError("The figure has no alt text. Give `alt`, or put it into fig.layout.meta['alt_text'].")
    return str(words)
