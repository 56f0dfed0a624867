"""Figures of the chapter on the four papers: how many printed values hold, per paper and per kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, VERDICTS
from radsupport.report import style
from radsupport.report.figures.base import figure

LOOK: dict[str, dict[str, Any]] = {
    HOLDS: {"color": style.BLUE},
    FAILS: {"color": style.VERMILLION, "hatch": "///"},
    UNDECIDED: {"color": style.GREY, "hatch": "..."},
}
"""Colours that are told apart under colour-vision deficiencies, and hatches that do without colour."""
NUMBER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}


def _alt(table: pd.DataFrame, **_: Any) -> str:
    rows = []
    for name, part in table.groupby("row", sort=False, observed=True):
        counts = part.set_index("verdict")["claims"]
        rows.append(f"{name}: " + ", ".join(f"{int(counts.get(verdict, 0))} {verdict}" for verdict in VERDICTS))
    return f"Stacked bars, number of claims by verdict. {'; '.join(rows)}."


@figure("row", "verdict", "claims", alt=_alt, size=(7.0, 2.6))
def verdict_bars(table: pd.DataFrame, ax: Axes, *, legend: bool = True) -> None:
    """Draw one stacked bar per row: the number of claims with each verdict.

    Parameters
    ----------
    table : pandas.DataFrame
        ``row`` (label of the bar, from top to bottom), ``verdict``, ``claims``.
    legend : bool
        Whether to explain the colours.
    """
    wide = table.pivot_table(
        index="row", columns="verdict", values="claims", aggfunc="sum", fill_value=0, observed=True
    )
    wide = wide.reindex(index=list(dict.fromkeys(table["row"])), columns=list(VERDICTS), fill_value=0)
    left, longest = [0.0] * len(wide), float(wide.to_numpy().sum(axis=1).max())
    for verdict in VERDICTS:
        widths = wide[verdict].to_numpy(dtype=float)
        bars = ax.barh(wide.index.astype(str), widths, left=left, label=verdict, edgecolor="white", **LOOK[verdict])
        ax.bar_label(bars, labels=_counts(widths, longest), label_type="center", fontsize=8, bbox=NUMBER)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    ax.invert_yaxis()
    ax.set_xlabel("claims")
    ax.tick_params(axis="y", length=0)
    if legend:
        ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(VERDICTS))


def _counts(widths: Any, longest: float) -> list[str]:
    """Return the numbers to write into the bars; none where the bar is too short for them."""
    return [f"{width:.0f}" if width > 0.035 * longest else "" for width in widths]


def save(fig: Figure, name: str, folder: Path) -> list[Path]:
    """Save a figure for print as ``<folder>/figures/<name>`` (SVG and PDF)."""
    return style.save(fig, folder / "figures" / name)


def verdicts_by_paper(per_kind: pd.DataFrame) -> Figure:
    """Draw one bar per paper, from `verdicts_per_kind`."""
    table = per_kind.groupby(["paper", "verdict"], observed=True)["claims"].sum().reset_index()
    fig, (ax,) = style.new_figure(width=7.5, height=2.9)
    verdict_bars(table.rename(columns={"paper": "row"}), ax)
    return fig


def verdicts_by_kind(per_kind: pd.DataFrame) -> Figure:
    """Draw one panel per paper with one bar per kind of claim, from `verdicts_per_kind`."""
    papers = list(per_kind["paper"].cat.categories)
    fig, axes = style.new_figure(2, 2, width=4.9, height=3.4)
    for i, (ax, paper) in enumerate(zip(axes, papers, strict=True)):
        part = per_kind[per_kind["paper"] == paper].rename(columns={"kind": "row"})
        used = part.groupby("row", observed=True)["claims"].transform("sum") > 0
        verdict_bars(part[used], ax, title=paper, legend=False)
        if i == 0:
            handles, labels = ax.get_legend_handles_labels()
            fig.legend(handles, labels, loc="outside upper right", ncols=len(VERDICTS), frameon=False)
    return fig
