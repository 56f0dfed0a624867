"""Figure of prediction error over time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import fixed, number


def _error_alt(table: pd.DataFrame, *, time_unit: str = "months", **_: Any) -> str:
    words = []
    for name, part in table.groupby("model", sort=False):
        last = part.iloc[-1]
        words.append(f"{name} {fixed(last['brier'], 3)}")
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
    models = [name for name in table["model"].unique() if name != reference]
    null = table[table["model"] == reference]
    if len(null):
        ax.plot(null["time"], null["brier"], color=style.GREY, linestyle="--", linewidth=1.4, label=reference)
    for i, name in enumerate(models):
        part = table[table["model"] == name]
        ax.plot(part["time"], part["brier"], color=style.colour(i), linestyle=style.dash(i), label=name)
    ax.set(xlim=(0, float(table["time"].max())), ylim=(0, max(0.27, 1.1 * float(table["brier"].max()))))
    ax.set(xlabel=f"Time ({time_unit})", ylabel="Brier score")
    ax.legend(loc="lower right")
