"""Figures of time to an event: Kaplan-Meier, AUC and Brier score over time, Schoenfeld residuals, flows of patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import (
    KINDS,
    Kind,
    Pictures,
    alt_text,
    band,
    check_table,
    facet_title,
    facets,
    figure,
    fitting,
    look,
)
from radsupport.wording import counted, fixed, number, p_value, reached
from radsupport.wording import tick as tick_text

_SANKEY = ("source", "target", "n")


def _sankey_alt(table: pd.DataFrame, **_: Any) -> str:
    moves = table.sort_values("n", ascending=False)
    words = [f"{row.source} to {row.target} {row.n:.0f}" for row in moves.head(8).itertuples()]
    rest = f" and {len(moves) - 8} smaller flows" if len(moves) > 8 else ""
    return f"Sankey diagram of {counted(len(moves), 'flow')} of patients: {', '.join(words)}{rest}."


def sankey(
    table: pd.DataFrame,
    *,
    facet: str | None = None,
    names: Mapping[Any, str] | None = None,
    title: str = "",
    height: int = 330,
) -> go.Figure | Pictures:
    """Draw how patients move between groups, one diagram per facet below one another, in one interactive figure.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per flow: ``source, target`` (names of groups; a group that occurs on two levels needs two names,
        such as ``low (model)`` and ``low (biopsy)``) and ``n`` (patients).
    facet, names, title
        As of the other figures.
    height : int
        Of one diagram in pixels.

    Returns
    -------
    plotly.graph_objects.Figure
        Its alt text is in ``layout.meta["alt_text"]``. No pictures where the table has no rows.

    Raises
    ------
    InputError
        Columns missing.
    """
    if isinstance(table, pd.DataFrame) and table.empty:
        return Pictures([], table)
    by = [] if facet is None else [facet]
    check_table(table, (*_SANKEY, *by), "sankey")
    parts = facets(table, by) if by else [(None, table)]
    groups = list(pd.unique(table[["source", "target"]].to_numpy().ravel()))
    fig, share, words = go.Figure(), 1 / len(parts), []
    for i, (_, part) in enumerate(parts):
        head = facet_title(part, by, title, names or {}) if by else title
        top = 1 - i * share
        domain = {"x": [0, 1], "y": [top - share * (0.84 if by or title else 1), top - share * 0.1 * bool(by or title)]}
        fig.add_trace(go.Sankey(**_flows(part, groups), domain=domain, valueformat=".0f", valuesuffix=" patients"))
        place: Any = {"x": 0, "y": top, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top"}
        fig.add_annotation(text=f"<b>{escape(head, quote=False)}</b>", **place, showarrow=False, font={"size": 14})
        words.append(alt_text("sankey", part, title=head))
    fig.update_layout(
        height=height * len(parts), paper_bgcolor="white", margin={"l": 20, "r": 20, "t": 10, "b": 10},
        font={"family": "DejaVu Sans, Arial, sans-serif", "size": 13, "color": style.INK},
        meta={"alt_text": " ".join(words)},
    )  # fmt: skip
    return fig


KINDS["sankey"] = Kind(sankey, _sankey_alt, _SANKEY)


def _flows(table: pd.DataFrame, groups: Sequence[str]) -> dict[str, Any]:
    """Return nodes and links of one diagram; a group has the same colour in every diagram."""
    names = list(pd.unique(table[["source", "target"]].to_numpy().ravel()))
    colours = [style.colour(groups.index(name)) for name in names]
    sources = [names.index(name) for name in table["source"]]
    labels = [escape(str(name), quote=False) for name in names]  # plotly reads tags in texts
    nodes = {"label": labels, "color": colours, "pad": 18, "thickness": 18, "line": {"width": 0}}
    links = {
        "source": sources,
        "target": [names.index(name) for name in table["target"]],
        "value": [float(n) for n in table["n"]],
        "color": [translucent(colours[i]) for i in sources],
        "hovertemplate": "%{source.label} → %{target.label}: %{value:.0f} patients<extra></extra>",
    }
    return {"node": nodes, "link": links}


def translucent(colour: str) -> str:
    """Return a colour such as ``#0072B2`` as one that shows what lies below."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"


def _error_alt(table: pd.DataFrame, *, time_unit: str = "months", **_: Any) -> str:
    words = [f"{name} {fixed(part['brier'].iloc[-1], 3)}" for name, part in table.groupby("model", sort=False)]
    end = number(float(table["time"].max()))
    return f"Brier score over time, lower is better; at {end} {time_unit}: {'; '.join(words)}."


@figure("model", "time", "brier", alt=_error_alt)
def prediction_error(
    table: pd.DataFrame, ax: Axes, *, reference: str = "Kaplan–Meier", time_unit: str = "months"
) -> None:
    """Draw the Brier score over time.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per time and model, in order of time: ``model, time, brier``.
    ax : matplotlib.axes.Axes
    reference : str
        Model that is drawn as the grey line to beat: the same survival curve for everybody.
    time_unit : str
    """
    parts = dict(iter(table.groupby("model", sort=False)))
    grey: Any = {"color": style.GREY, "linestyle": "--", "linewidth": 1.4}
    models = [name for name in parts if name != reference]
    for name in sorted(parts, key=lambda name: name != reference):
        drawn = grey if name == reference else look(models.index(name))
        ax.plot(parts[name]["time"], parts[name]["brier"], **drawn, label=name)
    ax.set(xlim=(0, float(table["time"].max())), ylim=(0, max(0.27, 1.1 * float(table["brier"].max()))))
    ax.set(xlabel=f"Time ({time_unit})", ylabel="Brier score")
    ax.legend(loc="lower right")


_START = {"survival": 1.0, "survival_low": 1.0, "survival_high": 1.0, "n_censor": 0}  # of a Kaplan-Meier curve
_BANDS = 2  # curves that can have bands on one axes and still be told apart


def _km_alt(table: pd.DataFrame, *, p: float | None = None, note: str = "", time_unit: str = "months", **_: Any) -> str:
    words = []
    for name, part in table.groupby("group", sort=False):
        last = part.iloc[-1]
        words.append(
            f"{name}: {part['n_risk'].max():.0f} patients{_median_words(part, time_unit)}, "
            f"survival {fixed(last['survival'])} at {number(last['time'])} {time_unit}"
        )
    test = "" if p is None or np.isnan(p) else f" Log-rank {p_value(p)}{f', {note}' if note else ''}."
    return f"Kaplan-Meier curves of {counted(len(words), 'group')} with numbers at risk. {'; '.join(words)}.{test}"


def _median_words(part: pd.DataFrame, time_unit: str) -> str:
    """Word a curve's median where the table has it; a figure computes none."""
    if "median" not in part:
        return ""
    middle, at_risk = (float(part[name].iloc[0]) if name in part else np.nan for name in ("median", "median_at_risk"))
    return f", median {number(middle)} {time_unit}" if np.isfinite(middle) else f", median {reached(middle, at_risk)}"


@figure("group", "time", "survival", "n_risk", estimates=["survival"], alt=_km_alt, size=(5.6, 4.6))
def kaplan_meier(
    table: pd.DataFrame,
    ax: Axes,
    *,
    p: float | None = None,
    test: str = "Log-rank",
    note: str = "",
    order: Sequence[str] = (),
    time_unit: str = "months",
    outcome: str = "Survival probability",
    at: Any = None,
    max_time: float | None = None,
) -> None:
    """Draw Kaplan-Meier curves with bands, censoring ticks, p-value and a risk table aligned with the time axis.

    Parameters
    ----------
    table : pandas.DataFrame
        The curves of `survival.kaplan_meier`, one after the other: one row per group and time at which someone had
        an event or was censored, in order of time: ``group, time, survival`` (just after the time), ``n_risk``
        (just before it), and optionally ``survival_low, survival_high``, ``n_censor`` (number censored at that
        time), ``median`` and ``median_at_risk`` (of the group, as `radsupport.wording.reached` takes them, for the alt
        text).
    ax : matplotlib.axes.Axes
    p : float, optional
        p-value of the comparison, and `test`, its name.
    note : str
        What else there is to say of the p-value, such as another one that allows for a search.
    order : sequence of str, optional
        All groups that there can be; a group's place in it gives its colour and dash, so that it looks the same where
        another group has no patients. By default the order of the table.
    time_unit, outcome : str
        Words for the axes.
    at : array-like, optional
        Times at which the numbers at risk are printed; by default those of the time axis's ticks.
    max_time : float, optional
        Right end of the time axis; by default the last time of the table.
    """
    groups = list(table["group"].unique())
    parts = [_from_time_zero(table[table["group"] == name]) for name in groups]
    looks = [list(order).index(str(name)) if str(name) in order else i for i, name in enumerate(groups)]
    for i, name, part in zip(looks, groups, parts, strict=True):
        _km_curve(ax, part, str(name), i)
    end = float(max_time if max_time is not None else table["time"].max())
    ax.set(xlim=(0, end), ylim=(0, 1.03), ylabel=outcome)
    ticks = np.asarray(at, dtype=float) if at is not None else _ticks_within(ax, end)
    ax.set_xticks(ticks, [tick_text(tick) for tick in ticks])
    words = None if p is None or np.isnan(p) else f"{test} {p_value(p)}" + (f"\n({note})" if note else "")
    ax.legend(loc="best", title=words, alignment="left")
    _risk_table(ax, [str(name) for name in groups], parts, ticks, time_unit, looks)


def _from_time_zero(part: pd.DataFrame, start: Mapping[str, float] = _START) -> pd.DataFrame:
    """Start curves at time 0 with the values of `start`, by default survival 1."""
    if float(part["time"].iloc[0]) <= 0:
        return part
    first = part.iloc[[0]].assign(time=0.0, **{name: start[name] for name in start if name in part})
    return pd.concat([first, part], ignore_index=True)


def _km_curve(ax: Axes, part: pd.DataFrame, name: str, i: int) -> None:
    ax.step(part["time"], part["survival"], where="post", **look(i), label=name)
    band(ax, part.ffill(), "time", "survival", style.colour(i), step="post")
    if "n_censor" in part:
        gone = part[part["n_censor"] > 0]
        ax.plot(gone["time"], gone["survival"], "|", color=style.colour(i), ms=7, mew=1.1)


def _ticks_within(ax: Axes, end: float) -> np.ndarray[Any, Any]:
    ticks = np.asarray(ax.get_xticks(), dtype=float)
    return ticks[(ticks >= 0) & (ticks <= end * (1 + 1e-9))]


def at_risk(part: pd.DataFrame, times: Any) -> list[int]:
    """Look up the number at risk just before each time: that of the first row at or after it, 0 past the last row."""
    rows = np.searchsorted(part["time"].to_numpy(dtype=float), np.asarray(times, dtype=float), side="left")
    numbers = np.append(part["n_risk"].to_numpy(dtype=float), 0.0)
    return [int(value) for value in numbers[rows]]


def _risk_table(
    ax: Axes, names: list[str], parts: list[pd.DataFrame], ticks: Any, time_unit: str, looks: list[int]
) -> None:
    """Print the numbers at risk under the axes, each number under its tick."""
    size = ax.get_window_extent()
    dpi = ax.figure.dpi
    line = 15 / (size.height * 72 / dpi)
    height = line * (len(names) + 1)
    below = ax.inset_axes((0.0, -height - 2.9 * line, 1.0, height), sharex=ax)
    below.set_ylim(len(names) - 0.4, -1.4)
    below.axis("off")
    below.text(0, -1, "Number at risk", fontsize=9, ha="left", va="center", fontweight="bold")
    for i, (name, part) in enumerate(zip(names, parts, strict=True)):
        below.annotate(
            name, (0, i), (-18, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center", fontsize=9, color=style.colour(looks[i]), annotation_clip=False,
        )  # fmt: skip
        for tick, value in zip(ticks, at_risk(part, ticks), strict=True):
            below.text(tick, i, str(value), ha="center", va="center", fontsize=9, clip_on=False)
    ax.set_xlabel(f"Time ({time_unit})")


def _incidence_alt(table: pd.DataFrame, *, time_unit: str = "months", **_: Any) -> str:
    words = []
    for name, part in table.groupby("group", sort=False):
        last = part.iloc[-1]
        words.append(
            f"{name} {fixed(last['incidence'])} at {number(last['time'])} {time_unit} "
            f"(1 minus Kaplan-Meier {fixed(last['one_minus_km'])}, competing event {fixed(last['competing'])})"
        )
    return f"Cumulative incidence of {counted(len(words), 'group')} with numbers at risk. {'; '.join(words)}."


@figure(
    "group",
    "time",
    "incidence",
    "one_minus_km",
    "competing",
    "n_risk",
    estimates=["incidence"],
    alt=_incidence_alt,
    size=(5.6, 4.6),
)
def incidence(
    table: pd.DataFrame,
    ax: Axes,
    *,
    order: Sequence[str] = (),
    time_unit: str = "months",
    event: str = "event",
    competing_name: str = "competing event",
) -> None:
    """Draw cumulative incidences with bands, 1 − Kaplan–Meier as a thin line beside them, and the competing event.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per group and time, in order of time: ``group, time, incidence, one_minus_km, competing, n_risk``, and
        optionally ``incidence_low, incidence_high``.
    ax : matplotlib.axes.Axes
    order : sequence of str, optional
        All groups that there can be, as in `kaplan_meier`.
    time_unit, event, competing_name : str
        Words for the axes and the legend.
    """
    curves = {"incidence": 0.0, "incidence_low": 0.0, "incidence_high": 0.0, "one_minus_km": 0.0, "competing": 0.0}
    groups = [str(name) for name in table["group"].unique()]
    parts = [_from_time_zero(table[table["group"] == name], curves) for name in groups]
    looks = [list(order).index(name) if name in order else i for i, name in enumerate(groups)]
    for i, name, part in zip(looks, groups, parts, strict=True):
        drawn: Any = {"where": "post", "color": style.colour(i)}
        ax.step(part["time"], part["incidence"], **drawn, linestyle="-", label=f"{name}: {event}")
        ax.step(part["time"], part["one_minus_km"], **drawn, linestyle="--", linewidth=0.9, label=f"{name}: 1 − KM")
        ax.step(part["time"], part["competing"], **drawn, linestyle=":", label=f"{name}: {competing_name}")
        band(ax, part, "time", "incidence", style.colour(i), step="post")
    end = float(table["time"].max())
    highest = float(table[["incidence", "one_minus_km", "competing"]].max().max())
    ax.set(xlim=(0, end), ylim=(0, min(1.03, max(0.25, 1.35 * highest))), ylabel="Cumulative incidence")
    ticks = _ticks_within(ax, end)
    ax.set_xticks(ticks, [tick_text(tick) for tick in ticks])
    ax.legend(loc="upper left", fontsize=8)
    _risk_table(ax, groups, parts, ticks, time_unit, looks)


def _over_time_alt(table: pd.DataFrame, *, time_unit: str = "months", **_: Any) -> str:
    words = []
    for name, part in _by_signature(table):
        first, last = part.iloc[0], part.iloc[-1]
        words.append(
            f"{name} {fixed(first['auc'])} at {number(first['time'])} to {fixed(last['auc'])} "
            f"at {number(last['time'])} {time_unit}"
        )
    return f"Time-dependent AUC over time: {'; '.join(words)}."


def _by_signature(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    if "signature" not in table:
        return [("AUC", table)]
    return [(str(name), part) for name, part in table.groupby("signature", sort=False)]


@figure("time", "auc", estimates=["auc"], alt=_over_time_alt)
def auc_over_time(table: pd.DataFrame, ax: Axes, *, time_unit: str = "months") -> None:
    """Draw the time-dependent AUC over the prediction horizon, with a legend below the axes.

    With more than two signatures only the first one has its band: three bands on one another can not be told apart.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per time and signature, in order of time: ``time, auc``, optionally ``signature, auc_low, auc_high``.
    ax : matplotlib.axes.Axes
    time_unit : str
    """
    ax.axhline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    parts, lowest = _by_signature(table), float(table["auc"].min())
    banded = len(parts) if len(parts) <= _BANDS else 1
    for i, (name, part) in enumerate(parts):
        label = f"{name} (band: 95% CI)" if i < banded < len(parts) else name
        ax.plot(part["time"], part["auc"], **look(i), marker=style.marker(i), ms=4, label=label)
        if i < banded and "auc_low" in part:
            band(ax, part, "time", "auc", style.colour(i))
            lowest = min(lowest, float(part["auc_low"].min()))
    ax.set(ylim=(min(0.4, max(0.0, lowest - 0.03)), 1.01), xlabel=f"Time ({time_unit})", ylabel="AUC(t)")
    if "signature" in table:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=min(3, len(parts)))


def _schoenfeld_alt(table: pd.DataFrame, *, p: float | None = None, **_: Any) -> str:
    name = table["covariate"].iloc[0]
    test = "" if p is None else f"; test of proportional hazards {p_value(p)}"
    return f"Scaled Schoenfeld residuals of {name} at {counted(len(table), 'event')} over time{test}."


@figure("covariate", "time", "residual", estimates=["smooth"], alt=_schoenfeld_alt, size=(4.8, 4.2))
def schoenfeld(
    table: pd.DataFrame,
    ax: Axes,
    *,
    p: float | None = None,
    coefficient: float | None = None,
    time_unit: str = "months",
) -> None:
    """Draw scaled Schoenfeld residuals of one covariate over time with their smooth curve.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per event of one covariate, in order of time: ``covariate, time, residual`` and optionally
        ``smooth, smooth_low, smooth_high`` (curve and band at the same times).
    ax : matplotlib.axes.Axes
    p : float, optional
        p-value of the test of proportional hazards.
    coefficient : float, optional
        Fitted coefficient; drawn as the level that proportional hazards imply.
    time_unit : str
    """
    names = table["covariate"].unique()
    if len(names) != 1:
        raise InputError(f"One axes shows the residuals of one covariate; the table has {len(names)}. Filter it.")
    ax.plot(table["time"], table["residual"], "o", ms=4, color=style.GREY, alpha=0.7, mew=0)
    if coefficient is not None:
        ax.axhline(coefficient, color=style.VERMILLION, linestyle="--", linewidth=1.2, label="Constant effect")
    if "smooth" in table:
        ax.plot(table["time"], table["smooth"], color=style.BLUE, label="Smoothed effect")
        band(ax, table, "time", "smooth", style.BLUE)
    ax.set(xlabel=f"Time ({time_unit})", ylabel=f"Effect of {names[0]} over time, β(t)")
    if p is not None or coefficient is not None or "smooth" in table:
        ax.legend(loc="best", title=None if p is None else f"Proportional hazards {p_value(p)}", alignment="left")


def over_time(table: pd.DataFrame, ax: Axes | None = None, **options: Any) -> Any:
    """Draw over the follow-up what predictions are worth: AUC (`auc_over_time`) or Brier score (`prediction_error`)."""
    return fitting(table, auc_over_time, prediction_error)(table, ax, **options)
