"""Patients between groups (Sankey)."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from radsupport.report import style
from radsupport.report.figures.base import alt_text, check_table, register
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
