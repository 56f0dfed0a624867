"""What all figures share: checking the table, a picture per facet, the alt text, and pieces such as heat maps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from radsupport.errors import InputError, Problem
from radsupport.plots import style

AltText = Callable[..., str]
Size = tuple[float, float] | Callable[[pd.DataFrame], tuple[float, float]]


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
    if kind not in KINDS:
        raise InputError(f"There is no figure `{kind}`. There are: {', '.join(sorted(KINDS))}.")
    known = KINDS[kind]
    table = _with_limits(table, known.estimates)
    check_table(table, known.columns, kind)
    text = known.alt(table, **options)
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
    kind, by : str, tuple of str
        Name of the figure function, and the columns of the facet.
    """

    figures: list[Figure]
    table: pd.DataFrame
    columns: int = 0
    kind: str = ""
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """One kind of figure: how it is drawn and described, and what its table needs.

    Attributes
    ----------
    draw, alt : callable
        The drawing function, and the one that words its alt text.
    columns, estimates, projection, size, grid
        As of `figure`.
    """

    draw: Callable[..., Any]
    alt: AltText
    columns: tuple[str, ...]
    estimates: Sequence[str] = ()
    projection: str | None = None
    size: Size = (6.0, 4.2)
    grid: bool = False

    @property
    def name(self) -> str:
        """Name of the figure function."""
        return self.draw.__name__

    @functools.cached_property
    def options(self) -> list[str]:
        """Names of the drawing function's own options."""
        parameters = inspect.signature(self.draw).parameters.values()
        return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

    def picture(
        self, table: pd.DataFrame, ax: Axes | None, title: str, size: tuple[float, float] | None, given: dict[str, Any]
    ) -> Axes:
        """Draw one picture with its title and alt text; a column of the table can give an option."""
        table = _with_limits(table, self.estimates)
        known = {name: table[name].dropna() for name in self.options if name in table.columns}
        given = {name: found.iloc[0] if len(found) else table[name].iloc[0] for name, found in known.items()} | given
        width, height = size or (self.size(table) if callable(self.size) else self.size)
        before = set(ax.findobj(Text)) if ax is not None else set()
        with style.context():
            if self.grid:
                axes = self._grid(table, (width, height), title, given)
            else:
                axes = ax or style.new_figure(width=width, height=height, projection=self.projection)[1][0]
                if self.projection and axes.name != self.projection:
                    raise InputError(f"The figure `{self.name}` needs an axes with projection={self.projection!r}.")
                self.draw(table, axes, **given)
                if title:
                    axes.set_title(title)
        _write_dollars(figures_of(axes)[0] if ax is None else axes, before)
        describe(axes, alt_text(self.name, table, title=title, **given))
        axes.__dict__["table"] = table
        return axes

    def _grid(self, table: pd.DataFrame, size: tuple[float, float], title: str, given: dict[str, Any]) -> Axes:
        """Draw a figure of several axes that seaborn makes and lays out itself, in pyplot, which then forgets it."""
        with mpl.rc_context({"figure.constrained_layout.use": False}):
            axes: Axes = self.draw(table, size, **given)
        made = figures_of(axes)[0]
        plt.close(made)
        FigureCanvasAgg(made)
        if title:
            above = 1 + 0.22 / made.get_figheight()
            made.suptitle(title, x=0.01, y=above, ha="left", va="bottom", fontsize=11, fontweight="bold")
        return axes

    def check(self, table: pd.DataFrame, ax: Axes | None, by: list[str]) -> None:
        """Refuse a table without the columns of the figure and its facets, and an axes where several are drawn."""
        check_table(_with_limits(table, self.estimates), (*self.columns, *by), self.name)
        if ax is not None and (by or self.grid):
            pictures = f"a picture per {', '.join(by)}, or in one axes: not both" if by else "in axes of its own"
            raise InputError(f"The figure `{self.name}` draws {pictures}.")

    def pictures(
        self, table: pd.DataFrame, by: list[str], title: str, names: Mapping[Any, str], size: Any, given: dict[str, Any]
    ) -> list[Figure]:
        """Draw a picture per facet."""
        parts = facets(table, by)
        every, figures = {key for key, _ in parts}, []
        for key, part in parts:
            words = facet_title(part, by, title, names)
            figures += figures_of(self.picture(part, None, words, size, _of_facet(given, by, key, every)))
        return figures


class LABELS:
    """What figures show of a table's texts: the book sets it, so that no label is the id of a real patient."""

    shown: Callable[[pd.DataFrame], pd.DataFrame] = staticmethod(lambda table: table)


KINDS: dict[str, Kind] = {}  #: all figures by the names of their functions


def figure(
    *columns: str,
    alt: AltText,
    estimates: Sequence[str] = (),
    projection: str | None = None,
    size: Size = (6.0, 4.2),
    grid: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
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
    grid : bool
        Whether the drawing function makes several axes itself, by seaborn: it is called with a size, not an axes, and
        returns the main one.
    """

    def wrap(draw: Callable[..., Any]) -> Callable[..., Any]:
        kind = _registered(Kind(draw, alt, columns, estimates, projection, size, grid))

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
            **given: Any,
        ) -> Any:
            if isinstance(table, pd.DataFrame) and table.empty:
                return Pictures([], table, columns)
            if isinstance(table, pd.DataFrame) and "subject" in table:
                table = LABELS.shown(table)
            by = [facet] if isinstance(facet, str) else list(facet or [])
            given |= {name: value for name, value in (("columns", columns), ("names", names))
                      if value and name in kind.options}  # fmt: skip
            kind.check(table, ax, by)
            if not by:
                return kind.picture(table, ax, title, size, given)
            drawn = kind.pictures(table, by, title, names or {}, size, given)
            return Pictures(drawn, table, columns, kind.name, tuple(by))

        return drawn

    return wrap


def _registered(kind: Kind) -> Kind:
    """Keep a kind of figure under its name, which no other module may have taken."""
    known = KINDS.get(kind.name)
    if known is not None and known.draw.__module__ != kind.draw.__module__:
        raise InputError(f"There is a figure `{kind.name}` in {known.draw.__module__}: give yours another name.")
    KINDS[kind.name] = kind
    return kind


def _write_dollars(drawn: Figure | Axes, before: set[Any]) -> None:
    """Show a ``$`` in names as it is: it begins no formula, except in what labels an axis of numbers by itself."""
    axes = drawn.axes if isinstance(drawn, Figure) else [drawn]
    computed = set()
    for axis in (axis for one in axes for axis in one._axis_map.values()):
        if not isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter | StrCategoryFormatter):
            computed |= {label for tick in axis.get_major_ticks() for label in (tick.label1, tick.label2)}
        computed |= {label for tick in axis.get_minor_ticks() for label in (tick.label1, tick.label2)}
        computed.add(axis.get_offset_text())
    for words in set(drawn.findobj(Text)) - before - computed:
        words.set_parse_math(False)


def fitting(table: pd.DataFrame, *drawn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the first of several figure functions whose columns a table has; the last one where none fits."""

    def fits(one: Callable[..., Any]) -> bool:
        kind = KINDS[one.__name__]
        return isinstance(table, pd.DataFrame) and set(kind.columns) <= set(_with_limits(table, kind.estimates).columns)

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
        elif name != "names" and isinstance(value, Mapping | pd.Series) and every & set(value.keys()):
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


def table_of(drawn: Any) -> pd.DataFrame | None:
    """Return the table behind what a figure function returned; None where somebody else drew it."""
    if isinstance(drawn, Pictures):
        return drawn.table
    axes = [ax for fig in figures_of(drawn) for ax in fig.axes]
    return next((ax.__dict__["table"] for ax in axes if "table" in ax.__dict__), None)


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
    drawn_by = figures_of(ax)[0].canvas
    _Undrawn(drawn_by.figure)
    sns.heatmap(
        values, ax=ax, vmin=limits[0], vmax=limits[1], cmap=colours, cbar=bar is not None, annot=labels, fmt="",
        cbar_kws={"shrink": 0.8, "pad": 0.03, **(bar or {})}, annot_kws={"fontsize": fontsize}, rasterized=True,
        xticklabels=list(columns) or False, yticklabels=list(rows) or False,
    )  # fmt: skip
    drawn_by.figure.set_canvas(drawn_by)
    mesh = _ink_cells(ax)
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


class _Undrawn(FigureCanvasAgg):
    """Have seaborn not draw a figure to see whether its labels overlap: how they are turned is said afterwards."""

    def draw(self) -> None:
        """Draw nothing."""
        self.figure.stale = False


def clustered_map(
    values: pd.DataFrame,
    size: tuple[float, float],
    limits: tuple[float, float],
    bar: Mapping[str, Any],
    *,
    columns: bool = True,
    bar_below: float = 0.3,
    **options: Any,
) -> Axes:
    """Draw a matrix with its rows (and columns) clustered by seaborn; cells without a value are pale.

    Parameters
    ----------
    values : pandas.DataFrame
        Without a value a row counts as its middle, 0, when it is clustered.
    size : (float, float)
        Of the figure in inches.
    limits : (float, float)
        Values at the two ends of the colour scale.
    bar : mapping
        Options of the colour bar.
    columns : bool
        Whether columns are clustered as well.
    bar_below : float
        How far the colour bar stands below the cells, in inches.
    **options
        Of `seaborn.clustermap`.

    Returns
    -------
    matplotlib.axes.Axes
        That of the cells.
    """
    width, height = max(size[0], 2.0), max(size[1], 2.0)  # seaborn can not lay out smaller ones
    tree = 0.6 / width, 0.6 / height if columns else 0.01  # inches, as everything beside the cells
    grid = sns.clustermap(
        values.fillna(0.0), mask=values.isna(), figsize=(width, height), dendrogram_ratio=tree,
        colors_ratio=0.16 / height, vmin=limits[0], vmax=limits[1], cmap=style.DIVERGING, rasterized=True,
        cbar_pos=None, row_cluster=len(values.drop_duplicates()) > 1, col_cluster=columns, **options,
    )  # fmt: skip
    cells = grid.ax_heatmap
    mesh = _ink_cells(cells)
    cells.set_facecolor(style.PALE)
    cells.tick_params(length=0)
    cells.tick_params(axis="y", labelrotation=0)
    cells.set(xlabel="", ylabel="")
    place = cells.get_position()
    bar_at = (place.x1 - 2.2 / width, place.y0 - bar_below / height, 2.2 / width, 0.12 / height)
    grid.figure.colorbar(mesh, cax=grid.figure.add_axes(bar_at), orientation="horizontal", **bar)
    return cells


def _ink_cells(ax: Axes) -> QuadMesh:
    """Write the labels of a heat map in black or white, whichever is readable on the cell."""
    mesh: Any = ax.collections[0]
    for text, value in zip(ax.texts, np.ma.masked_invalid(mesh.get_array()).compressed(), strict=False):
        text.set_color(_ink(mesh, float(value)))
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


def box(ax: Axes, table: pd.DataFrame, **options: Any) -> None:
    """Draw upright boxes by seaborn, without single points beyond them."""
    # told both ways how boxes stand: seaborn 0.13 says `vert`, which matplotlib 3.11 deprecates (mwaskom/seaborn#3804)
    sns.boxplot(table, ax=ax, vert=None, orientation="vertical", showfliers=False, legend=False, **options)


def strip(
    ax: Axes, table: pd.DataFrame, *, reach: float = 0.64, orient: str = "x", label: str = "", **options: Any
) -> None:
    """Draw a point per row by seaborn, spread by rank and not at random, so that two builds draw the same picture.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    table : pandas.DataFrame
    reach : float
        Width of the spread; categories are 1 apart.
    orient : {"x", "y"}
        Axis of the categories.
    label : str
        For the legend.
    **options
        Of `seaborn.stripplot`.
    """
    before = len(ax.collections)
    sns.stripplot(table, ax=ax, orient=orient, jitter=False, legend=False, **({"linewidth": 0} | options))
    for points in ax.collections[before:]:
        places = np.array(points.get_offsets(), dtype=float)
        places[:, "xy".index(orient)] += reach * ((np.arange(len(places)) * 0.618) % 1 - 0.5)
        points.set(offsets=places, label="")
    if label and len(ax.collections) > before:
        ax.collections[before].set_label(label)


def hatch(ax: Axes, colour: str) -> None:
    """Hatch bars and boxes of a colour, also in the legend, so that they are told apart without it."""
    legend = ax.get_legend()
    for patch in [*ax.patches, *(legend.get_patches() if legend else [])]:
        if to_hex(patch.get_facecolor()) == colour.lower():
            patch.set(hatch="////", edgecolor="white")


def named_rows(ax: Axes, names: Iterable[object]) -> npt.NDArray[np.int_]:
    """Label rows from top to bottom and return their heights."""
    words = [str(name) for name in names]
    heights = np.arange(len(words))[::-1]
    ax.set_yticks(heights, words)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(words) - 0.4)
    return heights
