"""Figures of model coefficients: forest plot, coefficient bars, coefficient path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, estimate, listed, number, p_number

_RATIOS = {"hr": "Hazard ratio", "odds_ratio": "Odds ratio"}
_RATIO_AT, _P_AT = 10, 150  # points right of the axes, where a forest plot prints its numbers


def _ratio_column(table: pd.DataFrame) -> str:
    found = [column for column in _RATIOS if column in table.columns]
    if len(found) != 1:
        raise InputError(f"A forest plot needs one column of ratios, {' or '.join(_RATIOS)}; found {found or 'none'}.")
    return found[0]


def _forest_alt(table: pd.DataFrame, **_: Any) -> str:
    ratio = _ratio_column(table)
    words = []
    for row in table[table[ratio].notna()].to_dict("records"):
        p = f", p {p_number(row['p'])}" if "p" in row else ""
        words.append(f"{row['covariate']} {estimate(row[ratio], row['ci_low'], row['ci_high'])}{p}")
    return f"Forest plot of {counted(len(words), _RATIOS[ratio].lower())} (95% CI): {'; '.join(words)}."


def _forest_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the intervals their room beside long names."""
    longest = int(table["covariate"].astype(str).str.len().max())
    return 7.6 + 0.07 * max(longest - 20, 0), 1.5 + 0.42 * len(table)


@figure("covariate", "ci_low", "ci_high", alt=_forest_alt, size=_forest_size)
def forest(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a forest plot: ratio with interval on a log axis, the numbers printed beside it.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per covariate (or factor level): ``covariate``, ``hr`` or ``odds_ratio``, ``ci_low, ci_high``,
        and optionally ``p``. A row without a ratio (NaN) is a heading or a reference level.
    ax : matplotlib.axes.Axes
    """
    ratio = _ratio_column(table)
    heights = np.arange(len(table))[::-1]
    ends = table[["ci_low", "ci_high"]].to_numpy(dtype=float)
    finite = ends[np.isfinite(ends) & (ends > 0)]
    low, high = min(finite.min(initial=1.0), 0.8), max(finite.max(initial=1.0), 1.25)
    ax.axvline(1, color=style.GREY, linestyle=":", linewidth=1)
    for y, row in zip(heights, table.to_dict("records"), strict=True):
        if not np.isfinite(row[ratio]):
            _beside(ax, _RATIO_AT, y, "reference")
            continue
        left, right = np.clip([row["ci_low"], row["ci_high"]], low / 2, high * 2)
        ax.plot([left, right], [y, y], color=style.BLUE, linewidth=1.6)
        ax.plot(row[ratio], y, "s", color=style.BLUE, ms=6.5)
        _beside(ax, _RATIO_AT, y, estimate(row[ratio], row["ci_low"], row["ci_high"]))
        if "p" in row:
            _beside(ax, _P_AT, y, p_number(row["p"]))
    _beside(ax, _RATIO_AT, len(table) - 0.2, f"{_RATIOS[ratio]} (95% CI)", bold=True)
    if "p" in table:
        _beside(ax, _P_AT, len(table) - 0.2, "p", bold=True)
    ax.set_xscale("log")
    ax.set(xlim=(low / 1.15, high * 1.15), ylim=(-0.6, len(table) + 0.1), xlabel=f"{_RATIOS[ratio]} (log scale)")
    plain_log_ticks(ax, low, high)
    ax.set_yticks(heights, table["covariate"].astype(str))
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _beside(ax: Axes, points: float, y: float, text: str, *, bold: bool = False) -> None:
    """Write beside the axes, so many points right of them: columns keep their distance whatever room the axes have."""
    ax.annotate(
        text, (1, y), (points, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center",
        fontsize=9, fontweight="bold" if bold else "normal", annotation_clip=False,
    )  # fmt: skip


def plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """Label a log axis with plain numbers, few enough that they do not touch."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = np.array([decade * step for decade in decades for step in steps])
        ticks = ticks[(ticks >= low / 1.15) & (ticks <= high * 1.15)]
        if len(ticks) <= 7:
            break
    if len(ticks) < 3:
        ticks = np.unique(np.round([low, 1.0, high], 2))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def _bars_alt(table: pd.DataFrame, **_: Any) -> str:
    order = table.loc[table["coefficient"].abs().sort_values(ascending=False).index]
    words = [f"{row['feature']} {number(row['coefficient'], 2)}" for row in order.head(6).to_dict("records")]
    return f"Bar chart of {counted(len(table), 'coefficient')}; the largest: {', '.join(words)}."


def _bars_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the bars their room beside long names."""
    return 4.4 + 0.075 * int(table["feature"].astype(str).str.len().max()), 1.4 + 0.4 * len(table)


@figure("feature", "coefficient", alt=_bars_alt, size=_bars_size)
def coefficient_bars(table: pd.DataFrame, ax: Axes, *, xlabel: str = "Coefficient (standardised feature)") -> None:
    """Draw the coefficients of a signature as bars, largest on top.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per kept feature: ``feature, coefficient``.
    ax : matplotlib.axes.Axes
    xlabel : str
    """
    ordered = table.sort_values("coefficient")
    values = ordered["coefficient"].to_numpy(dtype=float)
    colours = [style.VERMILLION if value > 0 else style.BLUE for value in values]
    ax.barh(np.arange(len(values)), values, color=colours, height=0.7)
    ax.axvline(0, color=style.INK, linewidth=0.8)
    ax.set_yticks(np.arange(len(values)), ordered["feature"].astype(str))
    ax.tick_params(axis="y", length=0)
    room = 0.24 * float(np.abs(values).max() or 1.0)
    for y, value in enumerate(values):
        text, ha, shift = number(value, 2), "left" if value >= 0 else "right", 4 if value >= 0 else -4
        ax.annotate(text, (value, y), (shift, 0), textcoords="offset points", ha=ha, va="center", fontsize=8)
    ax.set_xlim(min(values.min(), 0) - room, max(values.max(), 0) + room)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(xlabel)


def _path_alt(
    table: pd.DataFrame, *, chosen: dict[str, float] | None = None, named: Sequence[str] = (), **_: Any
) -> str:
    lambdas = table["lambda"]
    text = f"Coefficient paths of {counted(table['feature'].nunique(), 'feature')} for λ from "
    text += f"{number(lambdas.max(), 2)} to {number(lambdas.min(), 2)}"
    for name, value in (chosen or {}).items():
        nearest = lambdas.iloc[(np.log(lambdas) - np.log(value)).abs().argmin()]
        text += f"; {name} {number(value, 2)}"
        if np.isclose(nearest, value, rtol=1e-6):  # between two steps of the path it can not say
            kept = int((table.loc[lambdas == nearest, "coefficient"] != 0).sum())
            text += f" keeps {counted(kept, 'feature')}"
    return text + (f"; named: {listed(named, limit=10)}." if named else ".")


def _path_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the paths their room beside the legend's names."""
    return 6.0 + 0.07 * int(table["feature"].astype(str).str.len().max()), 4.2


@figure("feature", "lambda", "coefficient", alt=_path_alt, size=_path_size)
def coefficient_path(
    table: pd.DataFrame,
    ax: Axes,
    *,
    chosen: dict[str, float] | None = None,
    named: Sequence[str] | None = None,
    label_largest: int = 5,
) -> None:
    """Draw the coefficients along the penalty λ, strongest penalty on the left.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature and penalty: ``feature, lambda`` (> 0), ``coefficient``.
    ax : matplotlib.axes.Axes
    chosen : dict, optional
        Penalties to mark, such as ``{"λ min": 0.012, "λ 1se": 0.034}``.
    named : sequence of str, optional
        Features that are named, such as those with a coefficient at the penalty that is used.
    label_largest : int
        Without `named`: how many features are named, the largest at the right end.
    """
    wide = table.pivot_table(index="lambda", columns="feature", values="coefficient", sort=True)
    if named is None:
        at_end = wide.iloc[0].abs().sort_values(ascending=False).head(label_largest)
        named = at_end.index[at_end > 0].tolist()
    for name in wide.columns:
        known = list(named).index(name) if name in named else None
        look: Any = {"color": style.PALE, "linewidth": 1, "zorder": 1}
        if known is not None:
            look = {"color": style.colour(known), "linestyle": style.dash(known), "zorder": 2, "label": str(name)}
        ax.plot(wide.index, wide[name], **look)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlim(wide.index.max() * 1.05, wide.index.min() / 1.05)
    plain_log_ticks(ax, float(wide.index.min()), float(wide.index.max()))
    for name, value in (chosen or {}).items():
        ax.axvline(value, color=style.GREY, linestyle="--", linewidth=1)
        ax.annotate(
            name, (value, 1), (-3, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, ha="right", va="top", fontsize=8,
        )  # fmt: skip
    ax.set(xlabel="Penalty λ (log scale, weaker to the right)", ylabel="Coefficient")
    if len(named):
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
