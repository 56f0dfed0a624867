"""Figures of single patients' risks: waterfall, box plot by cohort."""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, fixed


def _waterfall_alt(
    table: pd.DataFrame, *, cut_off: float = 0.0, classes: tuple[str, str] = ("0", "1"), **_: Any
) -> str:
    above = table["risk"] > cut_off
    words = [
        f"{name}: {int((above & (table['label'] == value)).sum())} of {int((table['label'] == value).sum())} above"
        for value, name in enumerate(classes)
    ]
    text = f"Waterfall of the risk of {counted(len(table), 'patient')} around the cut-off {fixed(cut_off)}"
    return f"{text}; {', '.join(words)}."


@figure("risk", "label", alt=_waterfall_alt, size=(7.0, 3.6))
def waterfall(
    table: pd.DataFrame,
    ax: Axes,
    *,
    cut_off: float = 0.0,
    classes: tuple[str, str] = ("0", "1"),
    ylabel: str = "Risk minus cut-off",
) -> None:
    """Draw one bar per patient, sorted, standing on the cut-off, coloured by the true class.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``risk``, ``label`` (0/1).
    ax : matplotlib.axes.Axes
    cut_off : float
        Threshold carried over from training.
    classes : (str, str)
        Names of the classes 0 and 1.
    ylabel : str
    """
    ordered = table.sort_values("risk", ignore_index=True)
    heights = ordered["risk"].to_numpy(dtype=float) - cut_off
    for value, name in enumerate(classes):
        own = np.flatnonzero(ordered["label"].to_numpy() == value)
        look: Any = {"color": style.BLUE} if value == 0 else {"color": style.VERMILLION, "hatch": "////"}
        ax.bar(
            own, heights[own], width=0.85, edgecolor="white", linewidth=0.2, label=f"{name} (n = {len(own)})", **look
        )
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set(xlabel="Patients, sorted by risk", ylabel=ylabel, xlim=(-1, len(ordered)))
    ax.set_xticks([])
    mostly_below = max(heights.max(initial=0.0), 0.0) < 0.4 * max(-heights.min(initial=0.0), 0.0)
    ax.legend(loc="lower right" if mostly_below else "upper left")  # where a rising row of bars leaves room


def _boxplot_alt(table: pd.DataFrame, *, classes: tuple[str, str] = ("0", "1"), **_: Any) -> str:
    words = []
    for cohort, part in table.groupby("cohort", sort=False):
        medians = [fixed(part.loc[part["label"] == value, "risk"].median()) for value in (0, 1)]
        words.append(f"{cohort} (n = {len(part)}): median {medians[0]} in {classes[0]}, {medians[1]} in {classes[1]}")
    return f"Box plots of risk by cohort and outcome; {'; '.join(words)}."


@figure("cohort", "risk", "label", alt=_boxplot_alt)
def risk_boxplot(
    table: pd.DataFrame,
    ax: Axes,
    *,
    classes: tuple[str, str] = ("0", "1"),
    p: dict[str, str] | None = None,
    ylabel: str = "Risk",
) -> None:
    """Draw box plots of risk by cohort and outcome, each patient as a point.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient: ``cohort, risk, label`` (0/1).
    ax : matplotlib.axes.Axes
    classes : (str, str)
        Names of the classes 0 and 1.
    p : dict, optional
        Text above each cohort, such as ``{"train": "p < 0.001 (Mann-Whitney)"}``.
    ylabel : str
    """
    cohorts = list(table["cohort"].unique())
    rng = np.random.default_rng(0)  # places points side by side; changes no value
    for value, name in enumerate(classes):
        groups = [table.loc[(table["cohort"] == c) & (table["label"] == value), "risk"].dropna() for c in cohorts]
        centres = np.arange(len(cohorts)) + (-0.2 if value == 0 else 0.2)
        colour = style.BLUE if value == 0 else style.VERMILLION
        boxes = ax.boxplot(
            [group.to_numpy() for group in groups], positions=centres, widths=0.3, showfliers=False, patch_artist=True,
            medianprops={"color": style.INK, "linewidth": 1.6}, boxprops={"facecolor": colour, "alpha": 0.35},
        )  # fmt: skip
        boxes["boxes"][0].set_label(name)
        for centre, group in zip(centres, groups, strict=True):
            x = centre + rng.uniform(-0.09, 0.09, len(group))
            ax.plot(x, group, style.marker(value), ms=3, color=colour, alpha=0.7, mew=0)
    if p:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.09 * (high - low))  # room for the text
    sizes = [int((table["cohort"] == cohort).sum()) for cohort in cohorts]
    lines = [fill(str(c), 14) if len(cohorts) > 2 else c for c in cohorts]  # three long names do not fit side by side
    ax.set_xticks(range(len(cohorts)), [f"{c}\n(n = {n})" for c, n in zip(lines, sizes, strict=True)])
    for i, cohort in enumerate(cohorts):
        text = (p or {}).get(cohort, "")
        ax.annotate(text, (i, 0.99), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.6, len(cohorts) - 0.4), ylabel=ylabel)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
