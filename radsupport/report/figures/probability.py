"""Figures of predicted probabilities: calibration and decision curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import fixed, listed
from radsupport.validation.stretches import LEAST_GAIN, gains, stretch_words, stretches

_CALIBRATION = {"apparent": "Apparent", "corrected": "Bias-corrected", "grouped": "Observed, by group"}


def _line_name(kind: str, table: pd.DataFrame) -> str:
    """Name a line; one that nothing corrects is the smoothed outcome and no apparent value."""
    alone = kind == "apparent" and not (table["kind"] == "corrected").any()
    return "Observed, smoothed" if alone else _CALIBRATION.get(kind, kind)


def _calibration_alt(table: pd.DataFrame, *, summary: dict[str, float] | None = None, **_: Any) -> str:
    gaps = []
    for kind, part in table.groupby("kind", sort=False):
        gap = (part["observed"] - part["predicted"]).abs().to_numpy()
        widest = part.iloc[int(np.argmax(gap))]
        gaps.append(
            f"{_line_name(str(kind), table)}: widest gap from the ideal line at predicted "
            f"{fixed(widest['predicted'])} (observed {fixed(widest['observed'])})"
        )
    numbers = "; ".join(f"{name.replace('_', ' ')} {fixed(value)}" for name, value in (summary or {}).items())
    return f"Calibration plot. {'. '.join(gaps)}.{' ' + _capital(numbers) + '.' if numbers else ''}"


def _capital(text: str) -> str:
    """Return a text with a capital first; abbreviations keep theirs, which `str.capitalize` would not leave."""
    return text[:1].upper() + text[1:]


@figure("kind", "predicted", "observed", alt=_calibration_alt, size=(5.2, 5.4))
def calibration(
    table: pd.DataFrame,
    ax: Axes,
    *,
    risks: Any = None,
    summary: dict[str, float] | None = None,
    outcome: str = "probability",
) -> None:
    """Draw calibration: apparent, bias-corrected and ideal lines, grouped points, histogram of predicted values.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``kind`` (``apparent``, ``corrected`` or ``grouped``), ``predicted``, ``observed`` (0 to 1), and
        optionally ``ci_low, ci_high``: a band for lines, an error bar for groups. Lines in order of ``predicted``.
    ax : matplotlib.axes.Axes
    risks : array-like, optional
        Predicted values of the patients, for the histogram along the lower edge.
    summary : dict, optional
        Numbers written into the plot, such as ``{"slope": 0.97, "intercept": -0.02, "brier": 0.16}``.
    outcome : str
        What is predicted; used in the axis labels (``probability of EGFR mutation``, ``3-year survival``).
    """
    ax.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1, label="Ideal")
    for i, kind in enumerate(["apparent", "corrected", "grouped"]):
        part = table[table["kind"] == kind]
        if part.empty:
            continue
        x, y = part["predicted"].to_numpy(dtype=float), part["observed"].to_numpy(dtype=float)
        with_band = "ci_low" in part and part["ci_low"].notna().all()
        band = part[["ci_low", "ci_high"]].to_numpy(dtype=float).T if with_band else None
        if kind == "grouped":
            error = None if band is None else np.abs(band - y)
            ax.errorbar(x, y, yerr=error, fmt="o", ms=5, color=style.INK, lw=1, label=_line_name(kind, table))
            continue
        ax.plot(x, y, color=style.colour(i), linestyle=style.dash(i), label=_line_name(kind, table))
        if band is not None:
            ax.fill_between(x, *band, color=style.colour(i), alpha=0.15, linewidth=0)
    if risks is not None:
        _histogram_below(ax, np.asarray(risks, dtype=float))
    if summary:
        text = "\n".join(f"{_capital(name.replace('_', ' '))} {fixed(value)}" for name, value in summary.items())
        ax.text(0.97, 0.16, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=9)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"Predicted {outcome}", ylabel=f"Observed {outcome}")
    ax.legend(loc="upper left")


def _histogram_below(ax: Axes, risks: np.ndarray[Any, Any]) -> None:
    """Draw the distribution of the predicted values as bars standing on the lower edge, a tenth of the height."""
    counts, edges = np.histogram(risks, bins=50, range=(0, 1))
    heights = 0.1 * counts / max(counts.max(), 1)
    ax.bar(edges[:-1], heights, width=np.diff(edges), align="edge", color=style.GREY, alpha=0.55, linewidth=0)


def _decision_alt(table: pd.DataFrame, **_: Any) -> str:
    models = [name for name in table["strategy"].unique() if name not in {"treat_all", "treat_none"}]
    gain = gains(table)
    words = [f"{name} {stretch_words(stretches(gain[name]))}" for name in models]
    return (
        f"Decision curves of {listed(models)} with treat-all and treat-none; thresholds with a net benefit at least "
        f"{LEAST_GAIN:g} above both: {'; '.join(words)}."
    )


def _decision_size(table: pd.DataFrame) -> tuple[float, float]:
    return (6.0 if table["strategy"].nunique() <= 5 else 8.2), 4.2


@figure("threshold", "strategy", "net_benefit", alt=_decision_alt, size=_decision_size)
def decision_curve(table: pd.DataFrame, ax: Axes, *, names: dict[str, str] | None = None) -> None:
    """Draw decision curves with treat-all and treat-none.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per threshold and strategy: ``threshold`` (0 to 1), ``strategy`` (``treat_all``, ``treat_none``, and
        ``model`` or the name of each signature), ``net_benefit`` (per patient).
    ax : matplotlib.axes.Axes
    names : dict, optional
        Legend label of a strategy, such as ``{"model": "DLR-V"}``.
    """
    shown = {"treat_all": "Treat all", "treat_none": "Treat none", **(names or {})}
    models = [name for name in table["strategy"].unique() if name not in {"treat_all", "treat_none"}]
    for i, name in enumerate([*models, "treat_all", "treat_none"]):
        part = table[table["strategy"] == name].sort_values("threshold")
        if part.empty:
            continue
        look = {
            "treat_all": {"color": style.GREY, "linestyle": "--", "linewidth": 1.2},
            "treat_none": {"color": style.INK, "linestyle": "-", "linewidth": 1.2},
        }.get(name, {"color": style.colour(i), "linestyle": style.dash(i)})
        ax.plot(part["threshold"], part["net_benefit"], label=shown.get(name, name), **look)
    top = float(table["net_benefit"].max())
    ax.set_ylim(-max(0.05, 0.15 * top), top * 1.08 + 1e-3)
    ax.set_xlim(float(table["threshold"].min()), float(table["threshold"].max()))
    ax.set(xlabel="Threshold probability", ylabel="Net benefit per patient")
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    ax.legend(**({"loc": "best"} if len(models) <= 3 else {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}))
