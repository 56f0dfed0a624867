"""Figure of network training: loss or Dice per epoch."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import number


def _training_alt(table: pd.DataFrame, *, metric: str = "loss", chosen_epoch: int | None = None, **_: Any) -> str:
    own = table[table["metric"] == metric]
    words = [
        f"{name} from {number(part['value'].iloc[0])} to {number(part['value'].iloc[-1])}"
        for name, part in own.groupby("set", sort=False)
    ]
    kept = "" if chosen_epoch is None else f"; weights of epoch {chosen_epoch} kept"
    return f"Training curve of {metric} over {own['epoch'].nunique()} epochs: {', '.join(words)}{kept}."


@figure("epoch", "set", "metric", "value", alt=_training_alt)
def training_curve(table: pd.DataFrame, ax: Axes, *, metric: str = "loss", chosen_epoch: int | None = None) -> None:
    """Draw one metric per epoch, for the training and the validation set.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per epoch, set and metric: ``epoch, set`` (train / validation), ``metric`` (loss / Dice), ``value``.
    ax : matplotlib.axes.Axes
    metric : str
        The metric that is drawn.
    chosen_epoch : int, optional
        Epoch whose weights were kept; drawn as a dashed line.
    """
    own = table[table["metric"] == metric]
    if own.empty:
        known = ", ".join(map(str, table["metric"].unique()))
        raise InputError(f"The table has no rows of the metric `{metric}`; it has {known}.")
    for i, (name, part) in enumerate(own.groupby("set", sort=False)):
        few = style.marker(i) if len(part) <= 30 else ""
        ax.plot(
            part["epoch"], part["value"], color=style.colour(i), linestyle=style.dash(i), marker=few, ms=4, label=name
        )
    if chosen_epoch is not None:
        ax.axvline(chosen_epoch, color=style.GREY, linestyle="--", linewidth=1, label=f"Kept epoch {chosen_epoch}")
    ax.set(xlabel="Epoch", ylabel=metric[:1].upper() + metric[1:])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(loc="best")
