"""Figures of flow: patients between groups (Sankey), patients into the study (cohort flow)."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import alt_text, check_table, figure, register
from radsupport.report.wording import counted

_SANKEY = ("source", "target", "n")


def _sankey_alt(table: pd.DataFrame, **_: Any) -> str:
    moves = table.sort_values("n", ascending=False)
    words = [f"{row.source} to {row.target} {row.n:.0f}" for row in moves.head(8).itertuples()]
    rest = f" and {len(moves) - 8} smaller flows" if len(moves) > 8 else ""
    return f"Sankey diagram of {counted(len(moves), 'flow')} of patients: {', '.join(words)}{rest}."


def sankey(table: pd.DataFrame, *, title: str = "", height: int = 420) -> go.Figure:
    """Draw how patients move between groups.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per flow: ``source, target`` (names of groups; a group that occurs on two levels needs two names,
        such as ``low (model)`` and ``low (biopsy)``) and ``n`` (patients).
    title : str
    height : int
        Height in pixels.

    Returns
    -------
    plotly.graph_objects.Figure
        Its alt text is in ``layout.meta["alt_text"]``.

    Raises
    ------
    InputError
        Columns missing or no rows.
    """
    check_table(table, _SANKEY, "sankey")
    names = list(pd.unique(table[["source", "target"]].to_numpy().ravel()))
    colours = [style.colour(i) for i in range(len(names))]
    sources = [names.index(name) for name in table["source"]]
    nodes = {"label": names, "color": colours, "pad": 18, "thickness": 18, "line": {"width": 0}}
    links = {
        "source": sources,
        "target": [names.index(name) for name in table["target"]],
        "value": [float(n) for n in table["n"]],
        "color": [translucent(colours[i]) for i in sources],
        "hovertemplate": "%{source.label} → %{target.label}: %{value:.0f} patients<extra></extra>",
    }
    fig = go.Figure(go.Sankey(node=nodes, link=links, valueformat=".0f", valuesuffix=" patients"))
    fig.update_layout(
        title={"text": title, "font": {"size": 15}}, height=height, paper_bgcolor="white",
        font={"family": "DejaVu Sans, Arial, sans-serif", "size": 13, "color": style.INK},
        margin={"l": 20, "r": 20, "t": 50 if title else 20, "b": 20},
        meta={"alt_text": alt_text("sankey", table, title=title)},
    )  # fmt: skip
    return fig


register("sankey", _SANKEY, _sankey_alt)


def translucent(colour: str) -> str:
    """Return a colour such as ``#0072B2`` as one that shows what lies below."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def _flow_alt(table: pd.DataFrame, **_: Any) -> str:
    words = []
    for row in table.to_dict("records"):
        reason = row.get("excluded", "")
        left = f" ({_one_line(reason)})" if isinstance(reason, str) and reason else ""
        words.append(f"{row['step']} n = {row['n']:.0f}{left}")
    return f"Flow diagram of the cohort: {'; '.join(words)}."


def _one_line(text: str) -> str:
    return "excluded: " + ", ".join(part.strip() for part in text.splitlines() if part.strip())


@figure("step", "n", alt=_flow_alt, size=lambda table: (7.2, 0.8 + 1.35 * len(table)))
def cohort_flow(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the flow of patients into the study: boxes downwards, exclusions to the right.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per box, in order: ``step`` (text), ``n`` (patients left), and optionally ``excluded`` (text of what
        left after this box, one reason per line, with its number; empty for none).
    ax : matplotlib.axes.Axes
    """
    box = {"boxstyle": "round,pad=0.55", "facecolor": "white", "edgecolor": style.BLUE, "linewidth": 1.3}
    aside = {**box, "edgecolor": style.GREY, "linewidth": 1.0, "linestyle": "--"}
    arrow = {"arrowstyle": "-|>", "color": style.INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    rows = table.to_dict("records")
    boxes = [
        ax.text(0.28, -i, f"{row['step']}\nn = {row['n']:,.0f}", ha="center", va="center", bbox=box, zorder=3)
        for i, row in enumerate(rows)
    ]
    for i, row in enumerate(rows[:-1]):
        y = -float(i)
        ends = {"patchA": boxes[i].get_bbox_patch(), "patchB": boxes[i + 1].get_bbox_patch()}
        ax.annotate("", (0.28, y - 1), (0.28, y), arrowprops={**arrow, **ends}, zorder=4)
        reason = row.get("excluded", "")
        if isinstance(reason, str) and reason:
            ax.annotate("", (0.6, y - 0.49), (0.28, y - 0.49), arrowprops={**arrow, "color": style.GREY}, zorder=1)
            ax.text(0.63, y - 0.49, reason, ha="left", va="center", fontsize=9, bbox=aside, zorder=3)
    ax.set(xlim=(0, 1.15), ylim=(-len(rows) + 0.45, 0.45))
    ax.axis("off")
