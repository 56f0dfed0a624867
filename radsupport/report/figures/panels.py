"""Several figures of one kind side by side: one panel per cohort, horizon or covariate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.flow import sankey, translucent

Panel = tuple[str, pd.DataFrame, Mapping[str, Any]]


def panels(
    draw: Callable[..., Axes], parts: Sequence[Panel], *, columns: int = 2, width: float = 5.2, height: float = 4.2
) -> Figure:
    """Draw one panel per part with a figure function; each panel keeps its own alt text.

    Parameters
    ----------
    draw : callable
        A figure function such as `figures.kaplan_meier`.
    parts : sequence of (title, table, options)
    columns : int
        Panels in a row; fewer parts take fewer.
    width, height : float
        Size of a panel in inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        No parts, or `columns` below 1.
    """
    if not parts or columns < 1:
        raise InputError(f"Panels need at least one part and one column; got {len(parts)} and {columns}.")
    across = min(columns, len(parts))
    rows = -(-len(parts) // across)
    figure, axes = style.new_figure(rows, across, width=width, height=height)
    figure.set_layout_engine("constrained", h_pad=0.16, w_pad=0.12)  # inches
    for ax, (title, table, options) in zip(axes, parts, strict=False):
        draw(table, ax, title=title, **options)
    for ax in axes[len(parts) :]:
        ax.remove()
    return figure


def sankey_panels(tables: Mapping[str, pd.DataFrame], *, height: int = 330) -> go.Figure:
    """Draw one Sankey diagram per part below one another, in one interactive figure.

    Parameters
    ----------
    tables : mapping of title to DataFrame
        As `sankey` takes them: ``source, target, n``.
    height : int
        Of one diagram in pixels.

    Returns
    -------
    plotly.graph_objects.Figure
        Its alt text is in ``layout.meta["alt_text"]``.

    Raises
    ------
    InputError
        No tables, or one that can not be drawn.
    """
    if not tables:
        raise InputError("There is no table of flows to draw.")
    drawn = {title: sankey(table, title=title) for title, table in tables.items()}
    every = pd.concat(list(tables.values()), ignore_index=True)
    names = list(dict.fromkeys([*every["source"], *every["target"]]))
    figure = go.Figure()
    share = 1 / len(drawn)
    for i, (title, one) in enumerate(drawn.items()):
        top = 1 - i * share
        trace = one.data[0]
        _recolour(trace, names)
        trace.domain = {"x": [0, 1], "y": [top - share * 0.84, top - share * 0.1]}
        figure.add_trace(trace)
        figure.add_annotation(text=f"<b>{title}</b>", x=0, y=top, xref="paper", yref="paper", showarrow=False)
    first = next(iter(drawn.values()))
    figure.update_layout(
        first.layout, title=None, height=height * len(drawn), margin={"l": 20, "r": 20, "t": 10, "b": 10}
    )
    figure.update_annotations(xanchor="left", yanchor="top", font={"size": 14})
    figure.update_layout(meta={"alt_text": " ".join(one.layout.meta["alt_text"] for one in drawn.values())})
    return figure


def _recolour(trace: go.Sankey, names: Sequence[str]) -> None:
    """Give each group the same colour in every diagram."""
    colours = [style.colour(names.index(name)) for name in trace.node.label]
    trace.node.color = colours
    trace.link.color = [translucent(colours[i]) for i in trace.link.source]
