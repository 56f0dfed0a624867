"""The one look of all figures: colours, type, sizes, and how a figure is saved.

The colours are those of Okabe and Ito (Color Universal Design, 2008), told apart under the
three common colour-vision deficiencies; lines also differ in dash, so that no figure depends
on colour alone. Figures keep an opaque white ground: they read the same on a light and a
dark page, in JupyterLab and in print.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from radsupport.errors import InputError
from radsupport.files import written_whole

BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, INK, GREY, PALE = "#E69F00", "#56B4E9", "#1A1A1A", "#6B6B6B", "#D9D9D9"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (8, 2)), (0, (3, 3)))
BESIDE: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}  #: place of a legend beside the axes
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

DIVERGING = LinearSegmentedColormap.from_list("blue_white_vermillion", [BLUE, "#FFFFFF", VERMILLION])
SEQUENTIAL = LinearSegmentedColormap.from_list("white_blue", ["#FFFFFF", "#9CC9E3", BLUE, "#003A5D"])

_RC: Any = dict(mpl.rc_params_from_file(Path(__file__).with_name("house.mplstyle"), use_default_template=False))


@contextmanager
def context() -> Iterator[None]:
    """Draw with this look inside the ``with`` block, whatever the settings outside of it are."""
    with mpl.rc_context(_RC), mock.patch.object(Text, "_get_layout", _laid_out_once):
        yield


_LAYOUTS: dict[Any, Any] = {}
_lay_out: Any = Text._get_layout  # type: ignore[attr-defined]


def _laid_out_once(text: Any, renderer: Any) -> Any:
    """Lay out equal texts once: matplotlib, which has no public place to keep this, does so some twelve times a text.

    It depends on nothing else than what is in the key, and on no place; settings are the same wherever this is used.
    """
    if text.get_wrap():
        return _lay_out(text, renderer)
    drawn_by = type(getattr(renderer, "_renderer", renderer)), getattr(renderer, "dpi", 0)
    placed = text.get_rotation(), text.get_rotation_mode(), text.get_ha(), text.get_va(), text._get_multialignment()
    words = text.get_text(), text.get_usetex(), text.get_parse_math(), text._linespacing
    size = hash(text.get_fontproperties()), text.get_figure(root=True).dpi
    key = drawn_by, placed, words, size
    if key not in _LAYOUTS:
        if len(_LAYOUTS) > 20_000:
            _LAYOUTS.clear()
        _LAYOUTS[key] = _lay_out(text, renderer)
    return _LAYOUTS[key]


def apply() -> None:
    """Make this look the default of the running session (for figures an analyst draws by hand)."""
    mpl.rcParams.update(_RC)


def colour(position: int) -> str:
    """Colour of the series at `position` (0, 1, …); the palette repeats after seven."""
    return PALETTE[position % len(PALETTE)]


def dash(position: int) -> Any:
    """Dash pattern of the series at `position`, so that lines are told apart without colour."""
    return DASHES[position % len(DASHES)]


def marker(position: int) -> str:
    """Marker of the series at `position`."""
    return MARKERS[position % len(MARKERS)]


def new_figure(
    rows: int = 1, columns: int = 1, *, width: float = 6.0, height: float = 4.2, projection: str | None = None
) -> tuple[Figure, list[Axes]]:
    """Make a figure outside pyplot, so that a notebook shows it once, where `show_figure` is called.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    width, height : float
        Size of one axes in inches.
    projection : str, optional
        ``"polar"`` for a radar.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : list of Axes
        Row by row.
    """
    with context():
        figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, squeeze=False, subplot_kw={"projection": projection})
    return figure, list(grid.ravel())


#: How files of each format are written; versions and dates are left out, so that the same figure gives the same bytes.
_WRITTEN: dict[str, dict[str, Any]] = {
    "png": {"format": "raw"},  # packed by `_packed`
    "jpeg": {"pil_kwargs": {"quality": 80}},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None, "ModDate": None}},
}


def drawn(fig: Figure, *formats: str, dpi: float = 160) -> dict[str, bytes]:
    """Draw a figure, laid out once for all formats and cut to what is on it; the same figure gives the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    *formats : {"png", "jpeg", "svg", "pdf"}
    dpi : float
        Dots per inch of what is drawn in dots.

    Returns
    -------
    dict of str to bytes
        A file of each format. A PNG has the 256 colours that are nearest: the mean difference is 0.01 to 0.1 of 255
        grey levels, for a third of the bytes.
    """
    before, files = fig.dpi, {}
    with context(), mpl.rc_context({"figure.constrained_layout.use": False}):
        fig.dpi, engine = dpi, fig.get_layout_engine()
        try:
            if engine is None:
                fig.draw_without_rendering()
            else:
                engine.execute(fig)
                fig.set_layout_engine(None)  # or every `savefig` lays it out again, and draws it twice for that
            around = fig.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
            for kind in formats:
                buffer = _Pixels() if kind == "png" else io.BytesIO()
                fig.savefig(buffer, dpi=dpi, bbox_inches=around, **({"format": kind} | _WRITTEN[kind]))
                files[kind] = _packed(buffer.pixels) if isinstance(buffer, _Pixels) else buffer.getvalue()
        finally:
            fig.dpi = before
            fig.set_layout_engine(engine)
    return files


class _Pixels(io.BytesIO):
    """Takes what matplotlib drew before it is packed: an array (rows, columns, 4)."""

    pixels: Any = None

    def write(self, drawn: Any) -> int:
        self.pixels = np.array(drawn)
        return int(self.pixels.size)


def _packed(pixels: Any, most: int = 256) -> bytes:
    """Return a PNG of opaque pixels with a palette.

    The colours are counted first and Pillow chooses among them, each repeated as often as it is met: to cut all pixels
    takes it three times as long, and to pack them in full colour seven times.
    """
    known = pixels.view("<u4")[..., 0] & 0xFFFFFF
    colours, counts = np.unique(known, return_counts=True)
    times = 1 + counts * 20_000 // known.size
    sample = np.repeat(colours.view(np.uint8).reshape(-1, 4)[:, :3], times, axis=0)
    few = Image.fromarray(sample[None]).quantize(most, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    place = np.empty(1 << 24, np.uint8)  # only the places of colours that are there are ever touched
    place[colours] = np.asarray(few)[0, np.cumsum(times) - times]
    picture = Image.fromarray(place[known])
    picture.putpalette(few.getpalette() or [])
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


def save(fig: Figure, path: str | Path, *formats: str) -> list[Path]:
    """Save a figure for print; the same figure gives the same bytes.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path : str or pathlib.Path
        Where to; a suffix is replaced, parent folders are made.
    *formats : {"svg", "pdf", "png"}
        SVG and PDF where none is named.

    Returns
    -------
    list of pathlib.Path
        One per format.

    Raises
    ------
    InputError
        `fig` is no matplotlib figure or holds no axes.
    """
    if not isinstance(fig, Figure) or not fig.axes:
        raise InputError("`fig` must be a matplotlib figure with at least one axes; nothing was saved.")
    target = Path(path)
    base = target.with_suffix("") if target.suffix.lower() in {".svg", ".pdf", ".png"} else target
    return write(drawn(fig, *(formats or ("svg", "pdf"))), base)


def write(files: Mapping[str, bytes], base: Path) -> list[Path]:
    """Write what `drawn` returned beside each other: ``<base>.<format>``."""
    paths = [base.parent / f"{base.name}.{kind}" for kind in files]
    for path, content in zip(paths, files.values(), strict=True):
        with written_whole(path) as partial:
            partial.write_bytes(content)
    return paths
