"""Figures of the patients: their way into the study, and how long they were followed."""

from __future__ import annotations

import itertools
import textwrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from radsupport.plots import style
from radsupport.plots.base import figure, hatch
from radsupport.wording import counted

_WIDTH, _LINE, _BOX = 8.4, 0.19, 0.62  # inches: figure, text line, main box


def _flow_alt(table: pd.DataFrame, **_: Any) -> str:
    words = []
    for row in table.to_dict("records"):
        left = "; ".join(part for part in str(row.get("excluded") or "").splitlines() if part)
        note = ", ".join(part for part in str(row.get("note") or "").splitlines() if part)
        words.append(f"{row['step']} n = {row['n']:.0f}" + (f" ({note})" if note else ""))
        words += [f"left out: {left}"] if left else []
    return f"Flow diagram of the patients: {'. '.join(words)}."


def _gaps(table: pd.DataFrame) -> list[float]:
    """Return the distance below each main box: room for what was left out, or for an arrow."""
    main = table[table["role"] == "main"]
    lines = [len(_wrapped(str(text), 46)) for text in main["excluded"]]
    return [max(0.55, n * _LINE + 0.45) if text else 0.55 for n, text in zip(lines, main["excluded"], strict=True)]


def _flow_size(table: pd.DataFrame) -> tuple[float, float]:
    notes = [len(_cohort_lines(row, table)) for row in table[table["role"] != "main"].to_dict("records")]
    return _WIDTH, sum(_gaps(table)) + _BOX * (table["role"] == "main").sum() + _LINE * max(notes, default=0) + 0.45


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width, subsequent_indent="   ") or [""]]


def _cohort_lines(row: dict[Any, Any], table: pd.DataFrame) -> list[str]:
    """Return the words of a cohort's box, wrapped to the width that its neighbours leave."""
    boxes = max(int((table["role"] != "main").sum()), 1)
    wide = int(min(34, 92 / boxes))
    return [*_wrapped(str(row["step"]), wide), f"n = {row['n']:,.0f}", *_wrapped(str(row["note"]), wide)]


@figure("role", "step", "n", "excluded", "note", alt=_flow_alt, size=_flow_size)
def flow(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the way of patients into the study: main boxes downwards, who left to the right, cohorts side by side.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per box: ``role`` (main; cohort; aside, a group that did not come this way), ``step`` (text), ``n``
        (patients), ``excluded`` (who left after a main box, one reason per line), ``note`` (text below n).
    ax : matplotlib.axes.Axes
    """
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": style.BLUE, "linewidth": 1.3}
    aside = {**box, "edgecolor": style.GREY, "linewidth": 1.0, "linestyle": "--"}
    rows, x, height = table.to_dict("records"), 0.3 * _WIDTH, _flow_size(table)[1]
    top, drawn = height - 0.1 - _BOX / 2, []
    main = [row for row in rows if row["role"] == "main"]
    for row, gap in zip(main, _gaps(table), strict=True):
        words = f"{row['step']}\nn = {row['n']:,.0f}"
        drawn.append((ax.text(x, top, words, ha="center", va="center", bbox=box, zorder=3), top))
        below = top - _BOX / 2 - gap / 2
        if row["excluded"]:
            ax.annotate("", (x + 1.05, below), (x, below), arrowprops=_arrow(style.GREY), zorder=1)
            text = "Left out\n" + "\n".join(_wrapped(row["excluded"], 46))
            ax.text(x + 1.2, below, text, ha="left", va="center", fontsize=9, bbox=aside, zorder=3)
        top -= _BOX + gap
    for (upper, high), (lower, low) in itertools.pairwise(drawn):
        _connect(ax, (x, high), (x, low), upper, lower)
    _draw_cohorts(ax, table, drawn[-1], top + _BOX / 2, {"cohort": box, "aside": aside})
    ax.set(xlim=(0, _WIDTH), ylim=(0, height))
    ax.axis("off")


def _draw_cohorts(ax: Axes, table: pd.DataFrame, last: tuple[Any, float], top: float, boxes: dict[str, Any]) -> None:
    """Draw the cohorts side by side, each with an arrow from the last main box; those aside have none."""
    rows = table[table["role"] != "main"].to_dict("records")
    for i, row in enumerate(rows):
        x = _WIDTH * (i + 0.5) / len(rows)
        words = "\n".join(_cohort_lines(row, table))
        text = ax.text(x, top, words, ha="center", va="top", fontsize=9, bbox=boxes[row["role"]], zorder=3)
        if row["role"] == "cohort":
            _connect(ax, (last[0].get_position()[0], last[1]), (x, top), last[0], text)


def _arrow(colour: str = style.INK) -> dict[str, Any]:
    return {"arrowstyle": "-|>", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}


def _connect(ax: Axes, start: tuple[float, float], end: tuple[float, float], upper: Any, lower: Any) -> None:
    ends = {"patchA": upper.get_bbox_patch(), "patchB": lower.get_bbox_patch()}
    ax.annotate("", end, start, arrowprops={**_arrow(), **ends}, zorder=4)


def _follow_up_alt(table: pd.DataFrame, *, marks: tuple[float, ...] = (), **_: Any) -> str:
    parts = []
    for cohort, rows in table.groupby("cohort", sort=False, observed=True):
        events = int(rows["event"].sum())
        parts.append(
            f"{cohort}: {counted(len(rows), 'patient')}, {counted(events, 'event')}, follow-up from "
            f"{rows['time'].min():.0f} to {rows['time'].max():.0f} months (median {rows['time'].median():.0f})"
        )
    lines = f"; lines at {', '.join(f'{mark:g}' for mark in marks)} months" if marks else ""
    return f"Histograms of months of follow-up by event. {'; '.join(parts)}{lines}."


@figure("cohort", "time", "event", alt=_follow_up_alt, size=(5.4, 2.9))
def follow_up(
    table: pd.DataFrame,
    ax: Axes,
    *,
    marks: tuple[float, ...] = (),
    bin_months: float = 6.0,
    until: float | None = None,
) -> None:
    """Draw how long patients were followed, patients with and without the event stacked; mostly with a facet.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``cohort`` (name), ``time`` (months), ``event`` (0 or 1).
    ax : matplotlib.axes.Axes
    marks : tuple of float
        Horizons (months), drawn as dashed lines.
    bin_months : float
        Width of a bar.
    until : float, optional
        Right end of the time axis, the same in several pictures; by default the longest follow-up.
    """
    colours = {"no event (censored)": style.SKY, "event": style.VERMILLION}
    named = table.assign(outcome=table["event"].astype(int).map(dict(enumerate(colours))))
    end = bin_months * max(np.ceil((until or table["time"].max()) / bin_months), 1)
    sns.histplot(
        named, x="time", hue="outcome", hue_order=list(colours), palette=colours, multiple="stack", alpha=1,
        binwidth=bin_months, binrange=(0, end), edgecolor="white", ax=ax,
    )  # fmt: skip
    for mark in marks:
        ax.axvline(mark, color=style.INK, linestyle="--", linewidth=1.0)
    sns.move_legend(ax, "upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, title=None)
    hatch(ax, style.VERMILLION)
    ax.set(xlabel="Follow-up (months)", ylabel=f"Patients (n = {len(table)})", xlim=(0, end))
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))


_PATTERNS = 12  # patterns of gaps that are drawn, the most frequent ones


def _missing_alt(table: pd.DataFrame, **_: Any) -> str:
    columns, words = table.columns.drop(["n", "gaps"]), []
    for row in table.head(_PATTERNS).to_dict("records"):
        lacking = [str(name) for name in columns if row[name]]
        words.append(
            f"{counted(int(row['n']), 'patient')} {'without ' + ', '.join(lacking) if lacking else 'complete'}"
        )
    return f"Patterns of missing values: {'; '.join(words)}."


def _missing_size(table: pd.DataFrame) -> tuple[float, float]:
    return 2.6 + 0.62 * (table.shape[1] - 2), 1.9 + 0.32 * min(len(table), _PATTERNS)


@figure("n", "gaps", alt=_missing_alt, size=_missing_size)
def missing(table: pd.DataFrame, ax: Axes) -> None:
    """Draw which values are missing together: a row per pattern with its patients, a cross for a value that is missing.

    Parameters
    ----------
    table : pandas.DataFrame
        What `stats.imputation.missing_patterns` returns: ``n, gaps`` and a column per variable. The twelve most
        frequent patterns are drawn.
    ax : matplotlib.axes.Axes
    """
    shown = table.head(_PATTERNS)
    grid = shown.drop(columns=["n", "gaps"]).astype(int)
    marks = grid.replace({0: "", 1: "×"})
    colours = sns.color_palette([style.PALE, style.VERMILLION])
    options = {"annot": marks, "fmt": "", "cbar": False, "vmin": 0, "vmax": 1, "linewidths": 1.2, "linecolor": "white"}
    sns.heatmap(grid, ax=ax, cmap=colours, **options)
    left = int(table["n"].iloc[_PATTERNS:].sum())
    ax.set_yticklabels([f"{n:,}" for n in shown["n"]], rotation=0)
    ax.set_xticklabels([textwrap.fill(str(name), 22) for name in grid.columns], rotation=40, ha="right")
    ax.set(ylabel="Patients", xlabel=f"{counted(left, 'patient')} with other patterns are not drawn" if left else "")
    ax.tick_params(length=0)
