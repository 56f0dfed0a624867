"""Figures of features: correlation triangle and blocks, histogram, ICC curves, selection funnel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.figures.grid import heat_map
from radsupport.report.wording import counted, fixed, number


def _square(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Turn pairs into a symmetric matrix in the order of first mention."""
    names = list(pd.unique(table[["feature_a", "feature_b"]].to_numpy().ravel()))
    wide = pd.DataFrame(np.nan, index=names, columns=names)
    for a, b, x in zip(table["feature_a"], table["feature_b"], table[value], strict=True):
        wide.loc[a, b] = wide.loc[b, a] = float(x)
    return wide


def _square_size(table: pd.DataFrame, column: str, cell: float) -> tuple[float, float]:
    """Return the size of a matrix figure that leaves each name its line."""
    side = min(3.0 + cell * table[column].nunique(), 12.0)
    return side + 0.8, side


def _triangle_alt(table: pd.DataFrame, **_: Any) -> str:
    pairs = table[table["feature_a"] != table["feature_b"]]
    top = pairs.iloc[int(np.argmax(pairs["r"].abs().to_numpy()))]
    n = len(pd.unique(table[["feature_a", "feature_b"]].to_numpy().ravel()))
    text = f"Triangle of correlations between {counted(n, 'feature')}; r from {fixed(pairs['r'].min())} to "
    return (
        text + f"{fixed(pairs['r'].max())}; strongest {top['feature_a']} with {top['feature_b']} ({fixed(top['r'])})."
    )


def _long_names(names: Sequence[str]) -> bool:
    """Whether names are too long to stand below the columns: these are numbered then."""
    return max(map(len, names)) > 16


def _triangle_size(table: pd.DataFrame) -> tuple[float, float]:
    width, height = _square_size(table, "feature_a", 0.5)
    names = [str(name) for name in pd.unique(table[["feature_a", "feature_b"]].to_numpy().ravel())]
    if not _long_names(names):
        return width, height
    side = 1.6 + 0.5 * len(names)
    return side + 1.2 + 0.075 * max(map(len, names)), side


@figure("feature_a", "feature_b", "r", alt=_triangle_alt, size=_triangle_size)
def correlation_triangle(table: pd.DataFrame, ax: Axes, *, method: str = "Pearson") -> None:
    """Draw the lower triangle of a correlation matrix; values are printed for up to 14 features.

    Long names stand in the rows only, numbered, and the columns carry the numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per pair: ``feature_a, feature_b, r`` (−1 to 1); one row per unordered pair suffices.
    ax : matplotlib.axes.Axes
    method : str
        Name of the coefficient.
    """
    wide = _square(table, "r")
    values = np.where(np.tril(np.ones(wide.shape, dtype=bool), k=-1), wide.to_numpy(), np.nan)
    rows, columns = list(wide.index[1:]), list(wide.columns[:-1])
    if _long_names([str(name) for name in wide.index]):
        rows = [f"{name}  {i}" for i, name in enumerate(wide.index, start=1)]
        columns = [str(i) for i in range(1, len(wide) + 1)]
    else:
        values = values[1:, :-1]
    labels = np.array([["" if np.isnan(x) else fixed(x) for x in row] for row in values], dtype=object)
    shown = labels if len(wide) <= 14 else None
    image = heat_map(ax, values, rows, columns, shown, style.DIVERGING, (-1, 1), 8)
    image.set_cmap(style.DIVERGING.with_extremes(bad="white"))
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03)
    bar.set_label(f"{method} r")


def _blocks_alt(table: pd.DataFrame, *, blocks: dict[str, str] | None = None, **_: Any) -> str:
    pairs = table[table["feature_a"] != table["feature_b"]]
    sizes = pd.Series(blocks or {}).value_counts(sort=False)
    parts = ", ".join(f"{name} ({n})" for name, n in sizes.items())
    n = len(pd.unique(table[["feature_a", "feature_b"]].to_numpy().ravel()))
    text = f"Heat map of |r| between {counted(n, 'feature')}{' in blocks ' + parts if parts else ''}"
    return f"{text}; median |r| {fixed(pairs['r'].abs().median())}, {(pairs['r'].abs() > 0.9).mean():.0%} above 0.9."


@figure("feature_a", "feature_b", "r", alt=_blocks_alt, size=(6.0, 5.0))
def correlation_blocks(table: pd.DataFrame, ax: Axes, *, blocks: dict[str, str] | None = None) -> None:
    """Draw \\|r\\| between many features as a heat map, features grouped into named blocks.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per pair: ``feature_a, feature_b, r``; one row per unordered pair suffices.
    ax : matplotlib.axes.Axes
    blocks : dict, optional
        Block of each feature (feature class, cluster); features are drawn block by block.
    """
    wide = _square(table, "r").abs()
    np.fill_diagonal(values := wide.to_numpy(copy=True), 1.0)
    block = pd.Series([(blocks or {}).get(name, "other") for name in wide.index])
    codes, names = pd.factorize(block)
    order = np.argsort(codes, kind="stable")
    image = ax.imshow(values[np.ix_(order, order)], cmap=style.SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.set_xticks([])
    ax.set_yticks([])
    if blocks:
        ends = np.cumsum(np.bincount(codes))
        starts = np.concatenate([[0], ends[:-1]])
        for start, end in zip(starts, ends, strict=True):
            corner, side = start - 0.5, end - start
            ax.add_patch(Rectangle((corner, corner), side, side, fill=False, edgecolor=style.VERMILLION, linewidth=1.2))
        ax.set_yticks((starts + ends - 1) / 2, [f"{name} ({n})" for name, n in zip(names, ends - starts, strict=True)])
        ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.03).set_label("|r|")
    ax.set_xlabel(f"{len(wide)} features")


def _histogram_alt(
    table: pd.DataFrame,
    *,
    column: str,
    xlabel: str = "",
    ylabel: str = "Features",
    mark: float | None = None,
    **_: Any,
) -> str:
    values = table[column].dropna()
    low, mid, high = (number(value, 2) for value in values.quantile([0, 0.5, 1]))
    counted_things = f"{ylabel[:1].lower()}{ylabel[1:]}"
    text = f"Histogram of {xlabel or column}: {len(values):,} {counted_things}; from {low} to {high}, median {mid}"
    return text + (f"; {(values < mark).mean():.0%} below {mark:g}." if mark is not None else ".")


@figure(alt=_histogram_alt)
def histogram(
    table: pd.DataFrame,
    ax: Axes,
    *,
    column: str,
    xlabel: str = "",
    ylabel: str = "Features",
    mark: float | None = None,
    bins: int = 40,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw the distribution of one column, such as r or p over features.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature, with the column named by `column`.
    ax : matplotlib.axes.Axes
    column, xlabel, ylabel : str
    mark : float, optional
        Threshold drawn as a dashed line.
    bins : int
    limits : (float, float), optional
        Range of the bins, such as ``(0, 1)`` for p-values.
    """
    if column not in table or table[column].notna().sum() == 0:
        raise InputError(f"The table has no values in a column `{column}`.")
    ax.hist(table[column].dropna(), bins=bins, range=limits, color=style.SKY, edgecolor="white", linewidth=0.4)
    if mark is not None:
        ax.axvline(mark, color=style.VERMILLION, linestyle="--", linewidth=1.2, label=f"{mark:g}")
        ax.legend(loc="upper right")
    ax.set(xlabel=xlabel or column, ylabel=ylabel)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _icc_alt(table: pd.DataFrame, *, threshold: float = 0.75, by: str = "class", **_: Any) -> str:
    words = []
    for name, part in table.groupby("feature_class", sort=False):
        kept = part[part["icc"] >= threshold]
        share = f"{kept['share'].iloc[0]:.0%}" if len(kept) else "none"
        words.append(f"{name} {share}")
    return f"Share of features with at least a given ICC, by {by}; at {fixed(threshold)}: {', '.join(words)}."


@figure("feature_class", "icc", "share", alt=_icc_alt)
def icc_survival(table: pd.DataFrame, ax: Axes, *, threshold: float = 0.75, by: str = "class") -> None:
    """Draw which share of the features of each class, or filter, reaches an ICC or more.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows in order of ``icc``: ``feature_class, icc, share`` (share of the class with this ICC or more, 0 to 1)
        and optionally ``n`` (features in the class).
    ax : matplotlib.axes.Axes
    threshold : float
        Threshold of reproducibility, drawn as a dashed line.
    by : str
        What ``feature_class`` holds, for the alt text: class or filter.
    """
    for i, (name, part) in enumerate(table.groupby("feature_class", sort=False)):
        label = f"{name} (n = {part['n'].iloc[0]:.0f})" if "n" in part else str(name)
        ax.step(part["icc"], part["share"], where="pre", color=style.colour(i), linestyle=style.dash(i), label=label)
    ax.axvline(threshold, color=style.GREY, linestyle="--", linewidth=1)
    left = max(-0.02, float(table["icc"].min()) - 0.02)
    ax.set(xlim=(left, 1.005), ylim=(0, 1.03), xlabel="ICC", ylabel="Share of features with this ICC or more")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    ax.legend(loc="lower left")


def _funnel_alt(table: pd.DataFrame, **_: Any) -> str:
    words = [f"{row.step} {row.n_features}" for row in table.itertuples()]
    return f"Funnel of feature selection, features left after each step: {', '.join(words)}."


@figure("step", "n_features", alt=_funnel_alt, size=lambda table: (6.4, 1.0 + 0.52 * len(table)))
def selection_funnel(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how many features each selection step leaves, widths on a log scale.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per step, in order: ``step, n_features``.
    ax : matplotlib.axes.Axes
    """
    counts = table["n_features"].to_numpy(dtype=float)
    widths = np.log10(counts + 1) / np.log10(max(counts.max(), 1) + 1)
    heights = np.arange(len(counts))[::-1]
    ax.barh(heights, widths, left=-widths / 2, height=0.78, color=style.BLUE, alpha=0.85)
    for y, width, count in zip(heights, widths, counts, strict=True):
        inside = width > 0.2
        x, ha, ink = (0, "center", "white") if inside else (width / 2 + 0.02, "left", style.INK)
        ax.text(x, y, f"{count:,.0f}", ha=ha, va="center", color=ink, fontweight="bold")
    ax.set_yticks(heights, table["step"].astype(str))
    ax.tick_params(length=0)
    ax.set(xlim=(-0.56, 0.56), xticks=[])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Features left (width on a log scale)")
