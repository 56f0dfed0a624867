"""Figures of chapter 05: values with their intervals, spread over divisions, learning curves, error of a penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.figures.effects import plain_log_ticks
from radsupport.report.wording import counted, estimate, fixed, number


def _intervals_alt(table: pd.DataFrame, *, measure: str = "AUC", **_: Any) -> str:
    words = [f"{r['signature']} {estimate(r['value'], r['ci_low'], r['ci_high'])}" for r in table.to_dict("records")]
    return f"{measure} (95% CI) of {counted(len(table), 'signature')}: {'; '.join(words)}."


@figure(
    "signature", "value", "ci_low", "ci_high", alt=_intervals_alt, size=lambda table: (7.2, 1.3 + 0.42 * len(table))
)
def score_intervals(table: pd.DataFrame, ax: Axes, *, measure: str = "AUC") -> None:
    """Draw one value with its interval per row, chance as a line, the apparent value as a hollow mark.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per signature: ``signature, value, ci_low, ci_high`` and optionally ``apparent``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    """
    heights = np.arange(len(table))[::-1]
    ax.axvline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    for y, row in zip(heights, table.to_dict("records"), strict=True):
        ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=style.BLUE, linewidth=1.6)
        ax.annotate(
            estimate(row["value"], row["ci_low"], row["ci_high"]), (1.02, y),
            xycoords=ax.get_yaxis_transform(), va="center", fontsize=9,
        )  # fmt: skip
    ax.plot(table["value"], heights, "o", color=style.BLUE, ms=6, label="out of fold (95% CI)")
    if "apparent" in table and table["apparent"].notna().any():
        ax.plot(table["apparent"], heights, "D", mfc="white", mec=style.VERMILLION, ms=5.5, label="apparent")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, borderaxespad=0.2)
    low = float(np.nanmin(table["ci_low"].to_numpy(dtype=float), initial=0.45))
    ax.set(xlim=(max(0.0, low - 0.03), 1.01), ylim=(-0.6, len(table) - 0.4), xlabel=measure)
    ax.set_yticks(heights, table["signature"].astype(str))
    ax.tick_params(axis="y", length=0)


def _spread_alt(table: pd.DataFrame, *, measure: str = "AUC", **_: Any) -> str:
    by = table.groupby("signature", sort=False)["score"].agg(["min", "max", "size"])
    words = [f"{name} {fixed(low)} to {fixed(high)}" for name, low, high, _ in by.itertuples()]
    return f"{measure} of {counted(len(by), 'signature')} in up to {by['size'].max()} divisions: {'; '.join(words)}."


@figure(
    "signature",
    "repeat",
    "score",
    alt=_spread_alt,
    size=lambda table: (7.0, 1.3 + 0.38 * table["signature"].nunique()),
)
def score_spread(table: pd.DataFrame, ax: Axes, *, measure: str = "AUC") -> None:
    """Draw the value of each division into folds as a dot, the first division filled, the mean as a bar.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per signature and division: ``signature, repeat`` (0 is the first), ``score``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    """
    names = list(table["signature"].unique())
    ax.axvline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    for y, name in enumerate(reversed(names)):
        part = table[table["signature"] == name].sort_values("repeat")
        values = part["score"].to_numpy(dtype=float)
        shift = 0.24 * np.sin(2.4 * np.arange(len(values)))  # apart, and the same every time
        ax.plot([values.mean()] * 2, [y - 0.34, y + 0.34], color=style.INK, linewidth=1.4, zorder=2)
        ax.scatter(values[1:], y + shift[1:], s=26, facecolor="white", edgecolor=style.BLUE, linewidth=1.1, zorder=3)
        ax.scatter(values[:1], [y], s=36, color=style.VERMILLION, zorder=4)
    handles = [
        ax.scatter([], [], s=36, color=style.VERMILLION, label="first division"),
        ax.scatter([], [], s=26, facecolor="white", edgecolor=style.BLUE, label="further divisions"),
        *ax.plot([], [], color=style.INK, linewidth=1.4, label="mean"),
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, borderaxespad=0.2)
    ax.set_yticks(range(len(names)), list(reversed(names)))
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(-0.6, len(names) - 0.4), xlabel=f"Out-of-fold {measure}")


def _learning_alt(table: pd.DataFrame, *, measure: str = "AUC", **_: Any) -> str:
    words = []
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False):
        rows = part.sort_values("n")
        ends = f"{fixed(rows['value'].iloc[0])} at {rows['n'].iloc[0]:.0f} to {fixed(rows['value'].iloc[-1])}"
        words.append(f"{name} ({judged}) {ends} at {rows['n'].iloc[-1]:.0f}")
    return f"{measure} by number of training patients: {'; '.join(words)}."


@figure("signature", "judged", "n", "value", "low", "high", alt=_learning_alt, size=(8.2, 4.2))
def learning_curve(table: pd.DataFrame, ax: Axes, *, measure: str = "AUC") -> None:
    """Draw the value over the number of training patients, one line per signature and way of judging.

    Signatures differ in colour, ways of judging in dashes, and every line has a marker of its own.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per point: ``signature, judged`` (such as out of fold), ``n`` (training patients), ``value, low, high``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    """
    names, ways = list(table["signature"].unique()), list(table["judged"].unique())
    ax.axhline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False):
        rows, i, j = part.sort_values("n"), names.index(name), ways.index(judged)
        line: Any = {"color": style.colour(i), "linestyle": style.dash(j), "marker": style.marker(i + j * len(names))}
        line |= {"ms": 6, "markerfacecolor": "white" if j else style.colour(i)}
        beside = rows["n"] * (1 + 0.012 * i)  # so that the bars of signatures do not hide one another
        ax.plot(beside, rows["value"], **line, label=f"{name}, {judged}")
        ax.vlines(beside, rows["low"], rows["high"], color=style.colour(i), linewidth=1, alpha=0.6)
    ax.set(xlabel="Training patients per fit", ylabel=measure)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=4.5)  # dashes need the length to be seen


def _error_alt(table: pd.DataFrame, *, chosen: dict[str, float] | None = None, **_: Any) -> str:
    smallest, at = float(table["mean"].min()), float(table["lambda"].iloc[int(table["mean"].argmin())])
    text = f"Cross-validated deviance of {len(table)} penalties, smallest {number(smallest)} at {number(at)}"
    return text + "".join(f"; {name} {number(value)}" for name, value in (chosen or {}).items()) + "."


@figure("lambda", "mean", "sd", "n_nonzero", alt=_error_alt)
def penalty_error(table: pd.DataFrame, ax: Axes, *, chosen: dict[str, float] | None = None) -> None:
    """Draw the cross-validated error along the penalty λ with its standard error, strongest penalty on the left.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per penalty: ``lambda`` (> 0), ``mean, sd`` (of the error), ``n_nonzero`` (features with a coefficient).
    ax : matplotlib.axes.Axes
    chosen : dict, optional
        Penalties to mark.
    """
    ax.errorbar(table["lambda"], table["mean"], yerr=table["sd"], fmt="o", ms=3, color=style.BLUE, ecolor=style.PALE)
    ax.set_xscale("log")
    ax.set_xlim(table["lambda"].max() * 1.1, table["lambda"].min() / 1.1)
    plain_log_ticks(ax, float(table["lambda"].min()), float(table["lambda"].max()))
    for i, (name, value) in enumerate((chosen or {}).items()):
        look: Any = {"color": style.VERMILLION if i == 0 else style.GREY, "linestyle": style.dash(i + 1)}
        ax.axvline(value, linewidth=1.2, label=name, **look)
    top = ax.secondary_xaxis("top")
    shown = table.iloc[:: max(1, len(table) // 8)]
    top.set_xticks(shown["lambda"], [f"{n:.0f}" for n in shown["n_nonzero"]])
    top.minorticks_off()
    top.set_xlabel("Features with a coefficient", fontsize=9)
    ax.set(xlabel="Penalty λ (log scale, weaker to the right)", ylabel="Cross-validated deviance")
    if chosen:
        ax.legend(loc="best")
