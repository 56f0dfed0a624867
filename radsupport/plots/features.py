"""Figures of features: correlations, histogram, ICC and agreement, selection funnel, heat map by risk group."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import clustered_map, figure, fitting, look, matrix, named_rows
from radsupport.plots.patients import flow
from radsupport.plots.prediction import delong, risks
from radsupport.wording import counted, fixed, number, p_number


def _names(table: pd.DataFrame) -> list[Any]:
    return list(pd.unique(table[["feature_a", "feature_b"]].to_numpy().ravel()))


def _long_names(names: Sequence[object]) -> bool:
    """Whether names are too long to stand below the columns: these are numbered then."""
    return max(len(str(name)) for name in names) > 16


def _triangle_alt(table: pd.DataFrame, *, overlap: int = 0, sets: Sequence[str] = (), **_: Any) -> str:
    if sets:
        block = f"; the framed block holds the {overlap} features of both" if overlap else ""
        n, m = table["feature_a"].nunique(), table["feature_b"].nunique()
        median = fixed(float(table["r"].abs().median()))
        return f"Heat map of |r| between {n} {sets[0]} and {m} {sets[1]} features, median {median}{block}."
    pairs = table[table["feature_a"] != table["feature_b"]]
    top = pairs.iloc[int(np.argmax(pairs["r"].abs().to_numpy()))]
    text = f"Triangle of correlations between {counted(len(_names(table)), 'feature')}; r from "
    text += f"{fixed(pairs['r'].min())} to {fixed(pairs['r'].max())}; strongest {top['feature_a']} with "
    return text + f"{top['feature_b']} ({fixed(top['r'])})."


def _triangle_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves each name its line."""
    names, side = _names(table), min(3.0 + 0.5 * table["feature_a"].nunique(), 12.0)
    if len(table) > 1 and len(table) == table["feature_a"].nunique() * table["feature_b"].nunique():
        return 5.6, 4.6  # every feature of one set with every feature of another
    if not _long_names(names):
        return side + 0.8, side
    side = 1.6 + 0.5 * len(names)
    return side + 1.2 + 0.075 * max(map(len, names)), side


@figure("feature_a", "feature_b", "r", alt=_triangle_alt, size=_triangle_size)
def correlations(
    table: pd.DataFrame, ax: Axes, *, method: str = "Pearson", sets: Sequence[str] = (), overlap: int = 0
) -> None:
    """Draw the lower triangle of a correlation matrix, or \\|r\\| between two sets of features.

    Values are printed for up to 14 features. Long names stand in the rows only, numbered, and the columns carry the
    numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per pair: ``feature_a, feature_b, r`` (−1 to 1); one row per unordered pair suffices.
    ax : matplotlib.axes.Axes
    method : str
        Name of the coefficient.
    sets : (str, str)
        Names of two sets: ``feature_a`` is of the first, ``feature_b`` of the second.
    overlap : int
        How many features at the start of both sets are the same; they are framed.
    """
    if sets:
        wide = table.pivot_table(index="feature_a", columns="feature_b", values="r", sort=False).abs()
        matrix(ax, wide.to_numpy(dtype=float), [], [], None, style.SEQUENTIAL, (0, 1), bar={"label": "|r|"})
        ax.add_patch(Rectangle((0, 0), overlap, overlap, fill=False, edgecolor=style.VERMILLION, linewidth=1.6))
        ax.set(xlabel=f"{sets[1]} ({wide.shape[1]} features)", ylabel=f"{sets[0]} ({len(wide)} features)")
        return
    every, wide = _names(table), _square(table)
    values = np.where(np.tril(np.ones(wide.shape, dtype=bool), k=-1), wide.to_numpy(dtype=float), np.nan)
    rows, columns = [str(name) for name in every[1:]], [str(name) for name in every[:-1]]
    if _long_names(every):
        rows = [f"{name}  {i}" for i, name in enumerate(every, start=1)]
        columns = [str(i) for i in range(1, len(every) + 1)]
    else:
        values = values[1:, :-1]
    labels = np.array([["" if np.isnan(x) else fixed(x) for x in row] for row in values], dtype=object)
    bar = {"label": f"{method} r", "shrink": 0.7}
    matrix(
        ax, values, rows, columns, labels if len(every) <= 14 else None, style.DIVERGING, (-1, 1), fontsize=8, bar=bar
    )


def _square(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of pairs as a square, whichever way each pair is given."""
    both = pd.concat([table, table.rename(columns={"feature_a": "feature_b", "feature_b": "feature_a"})])
    every = _names(table)
    return both.pivot_table(index="feature_a", columns="feature_b", values="r").reindex(index=every, columns=every)


def _clustered_alt(table: pd.DataFrame, **_: Any) -> str:
    return _triangle_alt(table).replace("Triangle of correlations", "Clustered map of the correlations", 1)


@figure("feature_a", "feature_b", "r", alt=_clustered_alt, size=_triangle_size, grid=True)
def clustered(table: pd.DataFrame, size: tuple[float, float], *, method: str = "Pearson") -> Axes:
    """Draw a correlation matrix with features that behave alike beside one another.

    Values are printed for up to 14 features; names stand in the rows only, numbered, and the columns carry the numbers.

    Parameters
    ----------
    table : pandas.DataFrame
        As of `correlations`.
    size : (float, float)
    method : str
        Name of the coefficient.
    """
    values = _square(table)
    np.fill_diagonal(values.to_numpy(), 1.0)
    labels = values.map(fixed).to_numpy() if len(values) <= 14 else None
    ax = clustered_map(
        values, size, (-1, 1), {"label": f"{method} r"}, annot=labels, fmt="", annot_kws={"fontsize": 8},
        xticklabels=False, yticklabels=True, bar_below=0.5,
    )  # fmt: skip
    numbers = [str(i) for i in range(1, len(values) + 1)]
    ax.set_xticks(np.arange(len(values)) + 0.5, numbers)
    ax.set_yticklabels([f"{i}  {row.get_text()}" for i, row in zip(numbers, ax.get_yticklabels(), strict=True)])
    return ax


def _histogram_alt(
    table: pd.DataFrame, *, column: str, xlabel: str = "", ylabel: str = "Features", mark: float | None = None, **_: Any
) -> str:
    values = table[column].dropna()
    word = p_number if column == "p" else functools.partial(number, digits=2)
    low, mid, high = (word(value) for value in values.quantile([0, 0.5, 1]))
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
    bars: Any = {"color": style.SKY, "alpha": 1, "edgecolor": "white", "linewidth": 0.4}
    counts, edges = np.histogram(table[column].dropna(), bins, limits)  # seaborn looks at millions of pairs one by one
    sns.histplot(x=(edges[:-1] + edges[1:]) / 2, weights=counts, bins=edges.tolist(), ax=ax, **bars)
    if mark is not None:
        ax.axvline(mark, color=style.VERMILLION, linestyle="--", linewidth=1.2, label=f"{mark:g}")
        ax.legend(loc="upper right")
    ax.set(xlabel=xlabel or column, ylabel=ylabel)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _funnel_alt(table: pd.DataFrame, **_: Any) -> str:
    words = [f"{row.step} {row.n_features}" for row in table.itertuples()]
    return f"Funnel of feature selection, features left after each step: {', '.join(words)}."


@figure("step", "n_features", alt=_funnel_alt, size=lambda table: (6.4, 1.0 + 0.52 * len(table)))
def funnel(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how many features each selection step leaves, widths on a log scale.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per step, in order: ``step, n_features``.
    ax : matplotlib.axes.Axes
    """
    counts = table["n_features"].to_numpy(dtype=float)
    widths = np.log10(counts + 1) / np.log10(max(counts.max(), 1) + 1)
    heights = named_rows(ax, table["step"])
    ax.barh(heights, widths, left=-widths / 2, height=0.78, color=style.BLUE, alpha=0.85)
    for y, width, count in zip(heights, widths, counts, strict=True):
        inside = width > 0.2
        x, ha, ink = (0, "center", "white") if inside else (width / 2 + 0.02, "left", style.INK)
        ax.text(x, y, f"{count:,.0f}", ha=ha, va="center", color=ink, fontweight="bold")
    ax.set(xlim=(-0.56, 0.56), xticks=[])
    ax.spines[:].set_visible(False)
    ax.set_xlabel("Features left (width on a log scale)")


def _bland_altman_alt(
    table: pd.DataFrame, *, bias: float, limit_low: float, limit_high: float, unit: str = "", **_: Any
) -> str:
    outside = int(((table["difference"] < limit_low) | (table["difference"] > limit_high)).sum())
    unit = f" {unit}" if unit else ""
    return (
        f"Bland-Altman plot of {counted(len(table), 'patient')}: bias {number(bias)}{unit}, limits of agreement "
        f"{number(limit_low)} to {number(limit_high)}{unit}, {outside} outside."
    )


@figure("mean", "difference", alt=_bland_altman_alt, size=(4.6, 3.4))
def bland_altman(
    table: pd.DataFrame,
    ax: Axes,
    *,
    bias: float,
    limit_low: float,
    limit_high: float,
    unit: str = "",
    ylabel: str = "First minus second",
    xlabel: str = "Mean of both",
) -> None:
    """Draw differences of two measurements against their means, with bias and limits of agreement.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``mean`` and ``difference`` of the two measurements; bias, limits and unit can be columns.
    ax : matplotlib.axes.Axes
    bias : float
        Mean difference.
    limit_low, limit_high : float
        Limits of agreement.
    unit, ylabel, xlabel : str
    """
    ax.plot(table["mean"], table["difference"], "o", color=style.BLUE, markersize=4, alpha=0.7, markeredgewidth=0)
    ax.axhline(0, color=style.PALE, linewidth=1.0, zorder=0)
    ax.axhline(bias, color=style.INK, linewidth=1.2)
    for limit in (limit_low, limit_high):
        ax.axhline(limit, color=style.VERMILLION, linewidth=1.0, linestyle="--")
    reach = 1.15 * max(abs(limit_low), abs(limit_high), float(table["difference"].abs().max()), 1e-9)
    suffix = f" ({unit})" if unit else ""
    ax.set(xlabel=f"{xlabel}{suffix}", ylabel=f"{ylabel}{suffix}", ylim=(-reach, reach))


def _icc_alt(table: pd.DataFrame, *, threshold: float = 0.75, by: str = "class", **_: Any) -> str:
    if "share" in table:
        words = []
        for name, part in table.groupby("feature_class", sort=False, observed=True):
            kept = part[part["icc"] >= threshold]
            words.append(f"{name} " + (f"{kept['share'].iloc[0]:.0%}" if len(kept) else "none"))
        return f"Share of features with at least a given ICC, by {by}; at {fixed(threshold)}: {', '.join(words)}."
    known = table["icc"].dropna()
    sure = int((table["icc_low"] >= threshold).sum())
    return (
        f"ICC of {counted(len(known), 'feature')} in ascending order, from {fixed(known.min())} to "
        f"{fixed(known.max())}; {int((known >= threshold).sum())} reach {fixed(threshold)}, of {sure} the whole "
        "interval does."
    )


def _icc_size(table: pd.DataFrame) -> tuple[float, float]:
    return (6.0, 4.2) if "share" in table else (6.4, 3.6)


@figure("icc", estimates=["icc"], alt=_icc_alt, size=_icc_size)
def icc(table: pd.DataFrame, ax: Axes, *, threshold: float = 0.75, by: str = "class") -> None:
    """Draw the ICC of many features: each with its interval, or which share of a class reaches an ICC or more.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature: ``icc, icc_low, icc_high``, drawn from the least to the most reproducible feature;
        features without an ICC are left out. Or rows in order of ``icc``: ``feature_class, icc, share`` (share of the
        class with this ICC or more, 0 to 1) and optionally ``n`` (features in the class).
    ax : matplotlib.axes.Axes
    threshold : float
        Least ICC of a feature that is kept, drawn as a dashed line.
    by : str
        What ``feature_class`` holds, for the alt text: class or filter.
    """
    if "share" in table:
        for i, (name, part) in enumerate(table.groupby("feature_class", sort=False, observed=True)):
            label = f"{name} (n = {part['n'].iloc[0]:.0f})" if "n" in part else str(name)
            ax.step(part["icc"], part["share"], where="pre", **look(i), label=label)
        ax.axvline(threshold, color=style.GREY, linestyle="--", linewidth=1)
        left = max(-0.02, float(table["icc"].min()) - 0.02)
        ax.set(xlim=(left, 1.005), ylim=(0, 1.03), xlabel="ICC", ylabel="Share of features with this ICC or more")
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
        ax.legend(loc="lower left")
        return
    known = table.dropna(subset=["icc"]).sort_values("icc", ignore_index=True)
    rank = known.index + 1
    ax.vlines(rank, known["icc_low"], known["icc_high"], color=style.SKY, linewidth=0.7, alpha=0.5, label="95% CI")
    ax.plot(rank, known["icc"], color=style.BLUE, linewidth=1.6, label="ICC")
    ax.axhline(threshold, color=style.VERMILLION, linestyle="--", linewidth=1.2, label=f"threshold {threshold:g}")
    ax.set(xlabel="Features, from the least to the most reproducible", ylabel="ICC", xlim=(0, len(known) + 1))
    ax.legend(loc="lower right")


_NAME = 42  # letters of a feature's name that fit on a line
_LINE = 0.27  # height of a feature's row in inches, 0.13 more for each further line of its name


def _heat_alt(table: pd.DataFrame, **_: Any) -> str:
    first = table.drop_duplicates("subject")
    sizes = ", ".join(f"{n} {group}" for group, n in first["group"].value_counts(sort=False).items() if n)
    means = table.groupby(["feature", "group"], observed=True, sort=False)["value"].mean().unstack("group")  # noqa: PD010
    gap = (means.iloc[:, -1] - means.iloc[:, 0]).dropna() if means.shape[1] > 1 else pd.Series(dtype=float)
    text = f"Heat map of {counted(table['feature'].nunique(), 'feature')} in {counted(len(first), 'patient')} ({sizes})"
    if gap.empty:
        return text + "."
    widest = gap.abs().idxmax()
    return f"{text}; widest difference of group means: {widest}, {fixed(float(gap[widest]), 1)} SD."


def _heat_size(table: pd.DataFrame) -> tuple[float, float]:
    lines = max(_wrapped(str(name)).count("\n") for name in table["feature"].unique())
    return 9.4, 1.3 + (_LINE + 0.13 * lines) * table["feature"].nunique()


@figure("feature", "subject", "group", "value", alt=_heat_alt, size=_heat_size, grid=True)
def heat_map(table: pd.DataFrame, size: tuple[float, float], *, limit: float = 3.0) -> Axes:
    """Draw features as clustered rows, patients as columns in the order of the table, groups marked above.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature and patient: ``feature, subject, group, value`` (SD from the training mean).
    size : (float, float)
    limit : float
        Values beyond it get the darkest colour.
    """
    patients = table.drop_duplicates("subject")
    wide = table.pivot_table(index="feature", columns="subject", values="value", dropna=False, observed=True)
    wide = wide.reindex(index=table["feature"].unique(), columns=patients["subject"])
    names = patients["group"].astype(str)
    colours = dict(zip(names.unique(), style.PALETTE, strict=False))
    cells = clustered_map(
        wide.rename(index=lambda name: _wrapped(str(name))), size, (-limit, limit),
        {"label": "SD from the training mean", "extend": "both"},
        columns=False, col_colors=[colours[name] for name in names], xticklabels=False,
    )  # fmt: skip
    runs = _runs(names.to_numpy())
    for i, (group, (first, last)) in enumerate(runs):  # outermost names lean inwards: short runs leave no room
        ha = "center" if len(runs) == 1 or 0 < i < len(runs) - 1 else "right" if i else "left"
        x = {"left": first, "right": last + 1}.get(ha, (first + last + 1) / 2)
        cells.annotate(
            group, (x, 1), (0, 15), xycoords=("data", "axes fraction"), textcoords="offset points", ha=ha,
            fontsize=9, color=colours[group], fontweight="bold", annotation_clip=False,
        )  # fmt: skip
    cells.set_xlabel(f"{len(patients)} patients, in order of risk", loc="left")
    return cells


def _wrapped(name: str) -> str:
    """Break a long name into lines, between words and, where a word itself is too long, inside it."""
    return "\n".join(wrap(name, _NAME, break_on_hyphens=False)) or name


def _runs(groups: np.ndarray[Any, Any]) -> list[tuple[str, tuple[int, int]]]:
    """Return each run of equal groups with its first and last place."""
    starts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1), len(groups)]
    return [(str(groups[a]), (int(a), int(b) - 1)) for a, b in pairwise(starts)]


def pairs(table: pd.DataFrame, ax: Axes | None = None, *, cluster: bool = False, **options: Any) -> Any:
    """Draw pairs: correlation of features (`correlations`, or `clustered`), P between signatures (`delong`), or risks.

    Risks of each signature are drawn against those of each other one, patient by patient (`risks`).
    """
    return fitting(table, clustered if cluster else correlations, risks, delong)(table, ax, **options)


def steps(table: pd.DataFrame, ax: Axes | None = None, **options: Any) -> Any:
    """Draw how many are left after each step: patients of a study (`flow`) or features of a signature (`funnel`)."""
    return fitting(table, flow, funnel)(table, ax, **options)
