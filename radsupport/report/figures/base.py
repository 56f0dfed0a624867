"""What all figures share: checking the table, the look, the title, and the alt text."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radsupport.errors import InputError, Problem
from radsupport.report import style

AltText = Callable[..., str]
Size = tuple[float, float] | Callable[[pd.DataFrame], tuple[float, float]]
_ALT: dict[str, AltText] = {}
_COLUMNS: dict[str, tuple[str, ...]] = {}


def check_table(table: Any, columns: tuple[str, ...], kind: str) -> None:
    """Require a DataFrame with rows and with all of `columns`.

    Raises
    ------
    InputError
        Not a DataFrame, no rows, or columns missing (all of them are listed).
    """
    if not isinstance(table, pd.DataFrame):
        raise InputError(f"The figure `{kind}` takes a DataFrame, not {type(table).__name__}.")
    missing = [column for column in columns if column not in table.columns]
    if missing:
        problems = [
            Problem("column is missing", "a tidy table with this column", f"see help({kind})", column=name)
            for name in missing
        ]
        raise InputError(f"The table given to the figure `{kind}` can not be drawn.", problems)
    if table.empty:
        raise InputError(f"The table given to the figure `{kind}` has no rows; there is nothing to draw.")


def register(kind: str, columns: tuple[str, ...], alt: AltText) -> None:
    """Make the alt text of a figure known under its function's name."""
    _ALT[kind], _COLUMNS[kind] = alt, columns


def alt_text(kind: str, table: pd.DataFrame, *, title: str = "", **options: Any) -> str:
    """Describe a figure in words, from the table it shows.

    Parameters
    ----------
    kind : str
        Name of the figure function, such as ``"roc_curve"``.
    table : pandas.DataFrame
        What the figure is drawn from.
    title : str
        Title of the figure; put in front.
    **options
        Further arguments of the figure function.

    Returns
    -------
    str

    Raises
    ------
    InputError
        No such figure, or a table it can not be drawn from.
    """
    if kind not in _ALT:
        raise InputError(f"There is no figure `{kind}`. There are: {', '.join(sorted(_ALT))}.")
    check_table(table, _COLUMNS[kind], kind)
    text = _ALT[kind](table, **options)
    return f"{title}. {text}" if title else text


def figure(
    *columns: str,
    alt: AltText,
    projection: str | None = None,
    size: Size = (6.0, 4.2),
) -> Callable[[Callable[..., None]], Callable[..., Axes]]:
    """Turn a drawing function into a figure function.

    The figure function takes ``(table, ax=None, *, title="", **options)``, checks the table, makes an
    axes where none is given, draws with the project's look, attaches the alt text and returns the axes.

    Parameters
    ----------
    *columns : str
        Columns the table must have.
    alt : callable
        Returns the alt text from the table and the options.
    projection : str, optional
        Projection the axes must have.
    size : (float, float), or callable
        Width and height in inches of the axes that is made where none is given; a callable gives them for a table.
    """

    def wrap(draw: Callable[..., None]) -> Callable[..., Axes]:
        kind = draw.__name__
        register(kind, columns, alt)

        @functools.wraps(draw)
        def drawn(table: pd.DataFrame, ax: Axes | None = None, *, title: str = "", **options: Any) -> Axes:
            check_table(table, columns, kind)
            width, height = size(table) if callable(size) else size
            axes = ax or style.new_figure(width=width, height=height, projection=projection)[1][0]
            if projection and axes.name != projection:
                raise InputError(f"The figure `{kind}` needs an axes with projection={projection!r}.")
            with style.context():
                draw(table, axes, **options)
                if title:
                    axes.set_title(title)
            describe(axes, alt_text(kind, table, title=title, **options))
            return axes

        return drawn

    return wrap


def describe(axes: Axes, text: str) -> None:
    """Attach alt text to an axes."""
    axes.__dict__["alt_text"] = text


def description(fig: Figure) -> str:
    """Join the alt texts of all axes of a figure; empty where none was attached."""
    return " ".join(axes.__dict__["alt_text"] for axes in fig.axes if "alt_text" in axes.__dict__)
