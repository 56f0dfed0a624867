"""What all figures share: checking the table, a picture per facet, the alt text, and pieces such as heat maps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, to_rgb
from matplotlib.figure import Figure

from radsupport.errors import InputError, Problem
from radsupport.plots import style

AltText = Callable[..., str]
Size = tuple[float, float] | Callable[[pd.DataFrame], tuple[float, float]]
_KNOWN: dict[str, tuple[AltText, tuple[str, ...], Sequence[str]]] = {}  # alt text, columns, estimates of each figure


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
        remedy = f"see help({kind})"
        problems = [Problem("column is missing", "a tidy table with it", remedy, column=name) for name in missing]
        raise InputError(f"The table given to the figure `{kind}` can not be drawn.", problems)
    if table.empty:
        raise InputError(f"The table given to the figure `{kind}` has no rows; there is nothing to draw.")


def register(kind: str, columns: tuple[str, ...], alt: AltText, estimates: Sequence[str] = ()) -> None:
    """Make the alt text of a figure known under its function's name."""
    _KNOWN[kind] = (alt, columns, estimates)


def alt_text(kind: str, table: pd.DataFrame, *, title: str = "", **options: Any) -> str:
    """Describe a figure in words, from the table it shows.

    Parameters
    ----------
    kind : str
        Name of the figure function, such as ``"roc"``.
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
    if kind not in _KNOWN:
        raise InputError(f"There is no figure `{kind}`. There are: {', '.join(sorted(_KNOWN))}.")
    alt, columns, estimates = _KNOWN[kind]
    table = _with_limits(table, estimates)
    check_table(table, columns, kind)
    text = alt(table, **options)
    return f"{title}. {text}" if title else text


@dataclass(frozen=True)
class Pictures:
    """Pictures of one kind side by side, with the table behind them; none where that table is empty.

    Attributes
    ----------
    figures : list of matplotlib.figure.Figure
        One per value of the facet, each with its own alt text.
    table : pandas.DataFrame
        What they show; where it is empty, its ``attrs["empty"]`` says why.
    columns : int
        Most pictures in a row, 0 for as many as fit on the page.
    """

    figures: list[Figure]
    table: pd.DataFrame
    columns: int = 0


def figure(
    *columns: str, alt: AltText, estimates: Sequence[str] = (), projection: str | None = None, size: Size = (6.0, 4.2)
) -> Callable[[Callable[..., None]], Callable[..., Any]]:
    """Turn a drawing function into a figure function.

    The figure function is called ``(table, ax=None, *, title="", facet=None, names=None, columns=0, size=None,
    **options)``; it checks the table, makes an axes where none is given, draws with the project's look, attaches alt
    text, and returns the axes.

    facet : str or list of str
        Columns whose values give a picture each; returned are `Pictures`. The title of a picture are these values,
        or `title` filled with them and with whatever is the same in the picture's rows: ``"{cohort} (n = {n})"``.
        An option can differ between pictures: a mapping or Series by value of the facet (a tuple for two), a table
        that has the columns of the facet, or a column of the drawn table named like the option.
    names : mapping
        Words for values of the facet, such as the names of the cohorts.
    columns : int
        Most pictures in a row; as many as fit where it is 0.
    size : (float, float)
        Width and height of a picture in inches.

    A table without rows draws nothing: `Pictures` without any are returned.

    Parameters
    ----------
    *columns : str
        Columns the table must have.
    alt : callable
        Returns the alt text from the table and the options.
    estimates : sequence of str
        Columns that may have limits: ``auc`` has ``auc_low, auc_high``, or ``ci_low, ci_high`` for the first one found.
    projection : str, optional
        Projection the axes must have.
    size : (float, float), or callable
        Width and height in inches of the axes that is made where none is given; a callable gives them for a table.
    """
    natural, needed = size, columns

    def wrap(draw: Callable[..., None]) -> Callable[..., Any]:
        kind = draw.__name__
        register(kind, columns, alt, estimates)
        own = [name for name, p in inspect.signature(draw).parameters.items() if p.kind is p.KEYWORD_ONLY]

        def one(table: pd.DataFrame, ax: Axes | None, title: str, size: Any, options: dict[str, Any]) -> Axes:
            table = _with_limits(table, estimates)
            given = {name: table[name].iloc[0] for name in own if name in table.columns} | options
            width, height = size or (natural(table) if callable(natural) else natural)
            axes = ax or style.new_figure(width=width, height=height, projection=projection)[1][0]
            if projection and axes.name != projection:
                raise InputError(f"The figure `{kind}` needs an axes with projection={projection!r}.")
            with style.context():
                draw(table, axes, **given)
                if title:
                    axes.set_title(title)
            describe(axes, alt_text(kind, table, title=title, **given))
            return axes

        @functools.wraps(draw)
        def drawn(
            table: pd.DataFrame,
            ax: Axes | None = None,
            *,
            title: str = "",
            facet: str | Sequence[str] | None = None,
            names: Mapping[Any, str] | None = None,
            columns: int = 0,
            size: tuple[float, float] | None = None,
            **options: Any,
        ) -> Any:
            if isinstance(table, pd.DataFrame) and table.empty:
                return Pictures([], table, columns)
            by = [facet] if isinstance(facet, str) else list(facet or [])
            options |= {
                name: value for name, value in (("columns", columns), ("names", names)) if value and name in own
            }
            check_table(_with_limits(table, estimates), (*needed, *by), kind)
            if not by:
                return one(table, ax, title, size, options)
            if ax is not None:
                raise InputError(f"The figure `{kind}` draws a picture per {', '.join(by)}, or in one axes: not both.")
            parts = facets(table, by)
            every, figures = {key for key, _ in parts}, []
            for key, part in parts:
                words = facet_title(part, by, title, names or {})
                figures += figures_of(one(part, None, words, size, _of_facet(options, by, key, every)))
            return Pictures(figures, table, columns)

        return drawn

    return wrap


def fitting(table: pd.DataFrame, *drawn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the first of several figure functions whose columns a table has; the last one where none fits."""

    def fits(one: Callable[..., Any]) -> bool:
        _, needed, estimates = _KNOWN[one.__name__]
        return isinstance(table, pd.DataFrame) and set(needed) <= set(_with_limits(table, estimates).columns)

    return next(filter(fits, drawn), drawn[-1])


def _with_limits(table: pd.DataFrame, estimates: Sequence[str]) -> pd.DataFrame:
    """Call the limits of the estimate by its name."""
    columns = table.columns if isinstance(table, pd.DataFrame) else []
    main = next((name for name in estimates if name in columns), None)
    if main is None or "ci_low" not in columns:
        return table
    return table.rename(columns={"ci_low": f"{main}_low", "ci_high": f"{main}_high"})


def facets(table: pd.DataFrame, by: list[str]) -> list[tuple[Any, pd.DataFrame]]:
    """Return the rows of each picture, in the order of a category's levels, else of the table."""
    ordered = all(isinstance(table[column].dtype, pd.CategoricalDtype) for column in by)
    parts = table.groupby(by, sort=ordered, observed=True)
    return [(key[0] if len(by) == 1 else key, part) for key, part in parts]


def facet_title(part: pd.DataFrame, by: list[str], title: str, names: Mapping[Any, str]) -> str:
    """Return the title of a picture: the values of its facet, or a given one filled with them."""
    values = dict(part.iloc[0]) | {column: names.get(part[column].iloc[0], part[column].iloc[0]) for column in by}
    if title:
        return title.format_map({str(column): value for column, value in values.items()})
    return ", ".join(str(values[column]) for column in by)


def _of_facet(options: Mapping[str, Any], by: list[str], key: Any, every: set[Any]) -> dict[str, Any]:
    """Return the options of one picture."""
    own: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, pd.DataFrame) and set(by) <= set(value.columns):
            keys = [key] if len(by) == 1 else key
            rows = value[np.logical_and.reduce([value[c] == k for c, k in zip(by, keys, strict=True)])]
            own |= {name: rows} if len(rows) else {}
        elif isinstance(value, Mapping | pd.Series) and every & set(value.keys()):
            own |= {name: value[key]} if key in value else {}
        else:
            own[name] = value
    return own


def describe(axes: Axes, text: str) -> None:
    """Attach alt text to an axes."""
    axes.__dict__["alt_text"] = text


def description(drawn: Figure | Axes | Pictures) -> str:
    """Join the alt texts of all axes of a figure; empty where none was attached."""
    axes = [ax for fig in figures_of(drawn) for ax in fig.axes]
    return " ".join(ax.__dict__["alt_text"] for ax in axes if "alt_text" in ax.__dict__)


def figures_of(drawn: Any) -> list[Figure]:
    """Return the figures of what a figure function returned, or of what matplotlib, seaborn or scikit-learn drew.

    Those give a figure, axes (one or an array of them), a grid such as seaborn's FacetGrid, or a display such as
    scikit-learn's PrecisionRecallDisplay.

    Raises
    ------
    InputError
        It is none.
    """
    if isinstance(drawn, Pictures):
        return drawn.figures
    several = drawn if isinstance(drawn, list | tuple | np.ndarray) else [drawn]
    parts = [one for part in several for one in (part.ravel() if isinstance(part, np.ndarray) else [part])]
    found = [getattr(part, "figure_", None) or getattr(part, "figure", part) for part in parts]
    roots: list[Any] = [one.get_figure(root=True) if isinstance(one, Artist) else one for one in found]
    if not roots or not all(isinstance(one, Figure) for one in roots):
        kinds = ", ".join(dict.fromkeys(type(one).__name__ for one in parts)) or type(drawn).__name__
        raise InputError(f"`fig` must be a matplotlib or seaborn figure, axes or grid, not {kinds}.")
    return list(dict.fromkeys(roots))


def matrix(
    ax: Axes,
    values: npt.NDArray[np.float64],
    rows: Sequence[object],
    columns: Sequence[object],
    labels: npt.NDArray[np.object_] | None,
    colours: Colormap,
    limits: tuple[float, float],
    *,
    fontsize: float = 9,
    bar: Mapping[str, Any] | None = None,
) -> QuadMesh:
    """Draw a matrix with one label per cell, black or white, whichever is readable; NaN cells stay white and empty.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : array, shape (rows, columns)
    rows, columns : sequence
        Tick labels; long column names are slanted. Without any there are no ticks.
    labels : array of str, optional
        Text of each cell.
    colours : matplotlib.colors.Colormap
    limits : (float, float)
        Values at the two ends of the colour scale.
    fontsize : float
        Size of the cell labels in points.
    bar : mapping, optional
        Options of the colour bar, such as its label; none is drawn without them.
    """
    sns.heatmap(
        values, ax=ax, vmin=limits[0], vmax=limits[1], cmap=colours, cbar=bar is not None, annot=labels, fmt="",
        cbar_kws={"shrink": 0.8, "pad": 0.03, **(bar or {})}, annot_kws={"fontsize": fontsize}, rasterized=True,
        xticklabels=list(columns) or False, yticklabels=list(rows) or False,
    )  # fmt: skip
    mesh: Any = ax.collections[0]
    for text, value in zip(ax.texts, values[~np.isnan(values)], strict=False):
        text.set_color(_ink(mesh, float(value)))
    slanted = max((len(str(name)) for name in columns), default=0) * len(columns) > 40
    for tick in ax.get_xticklabels():
        tick.set(
            rotation=40 if slanted else 0,
            ha="right" if slanted else "center",
            rotation_mode="anchor" if slanted else "default",
        )
    ax.tick_params(length=0)
    ax.tick_params(axis="y", labelrotation=0)
    return mesh


def _ink(mesh: Any, value: float) -> str:
    """Return black or white, whichever contrasts more with the cell (WCAG relative luminance; at least 4.58 to 1)."""
    channels: Any = np.array(to_rgb(mesh.cmap(float(mesh.norm(value)))), dtype=float)
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "black" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "white"


def look(position: int) -> dict[str, Any]:
    """Return colour and dash of the series at `position`."""
    return {"color": style.colour(position), "linestyle": style.dash(position)}


def band(ax: Axes, table: pd.DataFrame, x: str, y: str, colour: str, **options: Any) -> None:
    """Draw the interval of an estimate along x as a pale band, where the table has its limits."""
    if {f"{y}_low", f"{y}_high"} <= set(table.columns):
        low, high = table[f"{y}_low"].to_numpy(dtype=float), table[f"{y}_high"].to_numpy(dtype=float)
        ax.fill_between(table[x].to_numpy(dtype=float), low, high, color=colour, alpha=0.15, linewidth=0, **options)


def named_rows(ax: Axes, names: Iterable[object]) -> npt.NDArray[np.int_]:
    """Label rows from top to bottom and return their heights."""
    words = [str(name) for name in names]
    heights = np.arange(len(words))[::-1]
    ax.set_yticks(heights, words)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(words) - 0.4)
    return heights
