"""Figures of features: correlation triangle and blocks, histogram, ICC curves, selection funnel.

Agreement of two measurements of one quantity: the Bland-Altman plot, and the ICC of many features.

Heat map of features by risk group: one column per patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import figure, matrix
from radsupport.wording import counted, fixed, number


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
def correlations(table: pd.DataFrame, ax: Axes, *, method: str = "Pearson") -> None:
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
    image = matrix(ax, values, rows, columns, shown, style.DIVERGING, (-1, 1), 8)
    image.set_cmap(style.DIVERGING.with_extremes(bad="white"))
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03)
    bar.set_label(f"{method} r")


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
def icc_shares(table: pd.DataFrame, ax: Axes, *, threshold: float = 0.75, by: str = "class") -> None:
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


def _alt(table: pd.DataFrame, *, bias: float, limits: tuple[float, float], unit: str = "", **_: Any) -> str:
    low, high = limits
    outside = int(((table["difference"] < low) | (table["difference"] > high)).sum())
    unit = f" {unit}" if unit else ""
    return (
        f"Bland-Altman plot of {counted(len(table), 'patient')}: bias {number(bias)}{unit}, limits of agreement "
        f"{number(low)} to {number(high)}{unit}, {outside} outside."
    )


@figure("mean", "difference", alt=_alt, size=(4.6, 3.4))
def bland_altman(
    table: pd.DataFrame,
    ax: Axes,
    *,
    bias: float,
    limits: tuple[float, float],
    unit: str = "",
    ylabel: str = "First minus second",
    xlabel: str = "Mean of both",
) -> None:
    """Draw differences of two measurements against their means, with bias and limits of agreement.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``mean`` and ``difference`` of the two measurements.
    ax : matplotlib.axes.Axes
    bias : float
        Mean difference.
    limits : (float, float)
        Limits of agreement.
    unit, ylabel, xlabel : str
    """
    ax.plot(table["mean"], table["difference"], "o", color=style.BLUE, markersize=4, alpha=0.7, markeredgewidth=0)
    ax.axhline(0, color=style.PALE, linewidth=1.0, zorder=0)
    ax.axhline(bias, color=style.INK, linewidth=1.2)
    for limit in limits:
        ax.axhline(limit, color=style.VERMILLION, linewidth=1.0, linestyle="--")
    reach = 1.15 * max(abs(limits[0]), abs(limits[1]), float(table["difference"].abs().max()), 1e-9)
    suffix = f" ({unit})" if unit else ""
    ax.set(xlabel=f"{xlabel}{suffix}", ylabel=f"{ylabel}{suffix}", ylim=(-reach, reach))


def _ranked_alt(table: pd.DataFrame, *, threshold: float, **_: Any) -> str:
    known = table["icc"].dropna()
    sure = int((table["ci_low"] >= threshold).sum())
    return (
        f"ICC of {counted(len(known), 'feature')} in ascending order, from {fixed(known.min())} to "
        f"{fixed(known.max())}; {int((known >= threshold).sum())} reach {fixed(threshold)}, of {sure} the whole "
        "interval does."
    )


@figure("icc", "ci_low", "ci_high", alt=_ranked_alt, size=(6.4, 3.6))
def icc(table: pd.DataFrame, ax: Axes, *, threshold: float) -> None:
    """Draw every feature's ICC with its interval, from the least to the most reproducible feature.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature: ``icc, ci_low, ci_high``; features without an ICC are left out.
    ax : matplotlib.axes.Axes
    threshold : float
        Least ICC of a feature that is kept, drawn as a dashed line.
    """
    known = table.dropna(subset=["icc"]).sort_values("icc", ignore_index=True)
    rank = known.index + 1
    ax.vlines(rank, known["ci_low"], known["ci_high"], color=style.SKY, linewidth=0.7, alpha=0.5, label="95% CI")
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


@figure("feature", "subject", "group", "value", alt=_heat_alt, size=_heat_size)
def heat_map(table: pd.DataFrame, ax: Axes, *, limit: float = 3.0) -> None:
    """Draw features as rows and patients as columns, patients in the order of the table, groups marked above.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature and patient: ``feature, subject, group, value`` (SD from the training mean).
    ax : matplotlib.axes.Axes
    limit : float
        Values beyond it get the darkest colour.
    """
    patients = table.drop_duplicates("subject")
    features = list(table["feature"].unique())
    wide = table.pivot_table(index="feature", columns="subject", values="value", dropna=False, observed=True)
    values = wide.reindex(index=features, columns=patients["subject"]).to_numpy(dtype=float)
    ground = style.DIVERGING.with_extremes(bad=style.PALE)
    image = ax.imshow(values, cmap=ground, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(features)), [_wrapped(str(name)) for name in features])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for i, (group, where) in enumerate(_runs(patients["group"].astype(str).to_numpy())):
        ax.plot([where[0] - 0.5, where[1] + 0.5], [-0.8, -0.8], color=style.colour(i), linewidth=5, clip_on=False)
        ax.text(sum(where) / 2, -1.15, group, ha="center", va="bottom", fontsize=9, color=style.INK, clip_on=False)
    ax.set_ylim(len(features) - 0.5, -1.0)
    ax.set_xlabel(f"{len(patients)} patients, in order of risk")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, extend="both").set_label("SD from the training mean")


def _wrapped(name: str) -> str:
    """Break a long name into lines, between words and, where a word itself is too long, inside it."""
    return "\n".join(wrap(name, _NAME, break_on_hyphens=False)) or name


def _runs(groups: np.ndarray[Any, Any]) -> list[tuple[str, tuple[int, int]]]:
    """Return each run of equal groups with its first and last place."""
    starts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1), len(groups)]
    return [(str(groups[a]), (int(a), int(b) - 1)) for a, b in pairwise(starts)]
