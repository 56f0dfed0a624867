"""Figures of discrimination: ROC curves, DeLong p-values, confusion matrix, radar of learners."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.errors import InputError
from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.figures.grid import heat_map
from radsupport.report.wording import counted, estimate, fixed, listed, p_number

_INSIDE = 5  # more signatures than that have their legend beside the curves


def _roc_alt(table: pd.DataFrame, **_: Any) -> str:
    curves = table.drop_duplicates("signature")
    words = [
        f"{row['signature']} {estimate(row['auc'], row['ci_low'], row['ci_high'])}" for row in curves.to_dict("records")
    ]
    patients = f" in {curves['n'].iloc[0]:.0f} patients" if "n" in curves else ""
    return f"ROC curves of {counted(len(curves), 'signature')}{patients}; AUC (95% CI): {'; '.join(words)}."


def _roc_size(table: pd.DataFrame) -> tuple[float, float]:
    return (5.2 if table["signature"].nunique() <= _INSIDE else 9.4), 5.2


@figure("signature", "specificity", "sensitivity", "auc", "ci_low", "ci_high", alt=_roc_alt, size=_roc_size)
def roc_curve(table: pd.DataFrame, ax: Axes, *, operating_points: pd.DataFrame | None = None) -> None:
    """Draw ROC curves with AUC and its 95% CI in the legend.

    Parameters
    ----------
    table : pandas.DataFrame
        What `tidy.roc_table` returns. One row per threshold and signature: ``signature, sensitivity, specificity``
        (0 to 1), in the order of the thresholds, and, repeated in each row of a signature, ``auc, ci_low, ci_high``
        and optionally ``n`` (patients). A time point can stand in the place of a signature.
    ax : matplotlib.axes.Axes
    operating_points : pandas.DataFrame, optional
        ``signature, sensitivity, specificity`` of the thresholds carried over from training; drawn as markers.
    """
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.9, linestyle=":")
    names = list(table["signature"].unique())
    for i, name in enumerate(names):
        part = table[table["signature"] == name]
        auc = estimate(*part[["auc", "ci_low", "ci_high"]].iloc[0].to_numpy(dtype=float))
        x, y = 1 - part["specificity"].to_numpy(dtype=float), part["sensitivity"].to_numpy(dtype=float)
        ax.plot(x, y, color=style.colour(i), linestyle=style.dash(i), label=f"{name}: {auc}")
    for row in [] if operating_points is None else operating_points.to_dict("records"):
        i = names.index(row["signature"])
        ax.plot(
            1 - row["specificity"], row["sensitivity"], style.marker(i), color=style.colour(i), markeredgecolor="white"
        )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set(xlabel="1 \u2212 specificity", ylabel="Sensitivity")
    ax.legend(title="AUC (95% CI)", title_fontsize=9, alignment="left", **_legend_place(table, len(names)))


def _legend_place(table: pd.DataFrame, n: int) -> dict[str, Any]:
    """Return where a legend of n curves hides none: in the corner, below the axes, or beside them."""
    if n > _INSIDE:
        return {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    in_corner = (table["specificity"] < 0.63) & (table["sensitivity"] < 0.1 + 0.06 * n)
    between = in_corner & (table["sensitivity"] > 0) & (table["specificity"] > 0)
    return {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)} if between.any() else {"loc": "lower right"}


def _signatures(table: pd.DataFrame) -> int:
    return len(pd.unique(table[["signature_a", "signature_b"]].to_numpy().ravel()))


def _delong_alt(table: pd.DataFrame, **_: Any) -> str:
    pairs = table[table["signature_a"] != table["signature_b"]]
    key = [" ".join(sorted(map(str, pair))) for pair in zip(pairs["signature_a"], pairs["signature_b"], strict=True)]
    pairs = pairs[~pd.Series(key, index=pairs.index).duplicated()]
    least = pairs.sort_values("p").iloc[0] if pairs["p"].notna().any() else None
    names = pd.unique(table[["signature_a", "signature_b"]].to_numpy().ravel())
    text = f"Heat map of DeLong p-values between {counted(len(names), 'signature')}; "
    text += f"{int((pairs['p'] < 0.05).sum())} of {counted(len(pairs), 'pair')} below 0.05"
    if least is not None:
        text += f"; smallest p {p_number(least['p'])}, {least['signature_a']} against {least['signature_b']}"
    return text + "."


@figure(
    "signature_a",
    "signature_b",
    "p",
    alt=_delong_alt,
    size=lambda table: (3.4 + 0.5 * _signatures(table), 2.6 + 0.5 * _signatures(table)),
)
def delong_heatmap(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the matrix of DeLong p-values, the AUCs on its diagonal.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per pair: ``signature_a, signature_b, p`` and optionally ``auc_a, auc_b``; one row per
        unordered pair suffices.
    ax : matplotlib.axes.Axes
    """
    names = list(pd.unique(table[["signature_a", "signature_b"]].to_numpy().ravel()))
    values, labels = np.full((len(names), len(names)), np.nan), np.full((len(names), len(names)), "", dtype=object)
    for row in table.to_dict("records"):
        i, j = names.index(row["signature_a"]), names.index(row["signature_b"])
        if "auc_a" in table:
            labels[i, i], labels[j, j] = f"AUC\n{fixed(row['auc_a'])}", f"AUC\n{fixed(row['auc_b'])}"
        if i != j:
            values[i, j] = values[j, i] = row["p"]
            labels[i, j] = labels[j, i] = p_number(row["p"])
    shown = np.where(np.isnan(values), np.nan, -np.log10(np.clip(values, 1e-4, 1.0)))
    image = heat_map(ax, shown, names, names, labels, style.SEQUENTIAL, (0.0, 4.0))
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.03, ticks=[0, -np.log10(0.05), 2, 3, 4])
    bar.ax.set_yticklabels(["1", "0.05", "0.01", "0.001", "≤0.0001"])
    bar.set_label("p (DeLong)")


def _confusion_alt(table: pd.DataFrame, **_: Any) -> str:
    row = table.iloc[0]
    n = row[["tn", "fp", "fn", "tp"]].sum()
    text = f"Confusion matrix of {n:.0f} patients: {row['tp']:.0f} true positives, {row['fp']:.0f} false positives, "
    text += f"{row['fn']:.0f} false negatives, {row['tn']:.0f} true negatives"
    return text + (f"; accuracy {fixed(row['accuracy'])}." if "accuracy" in row else ".")


@figure("tn", "fp", "fn", "tp", alt=_confusion_alt, size=(4.2, 3.8))
def confusion_matrix(table: pd.DataFrame, ax: Axes, *, classes: tuple[str, str] = ("no event", "event")) -> None:
    """Draw one confusion matrix, counts with the share of their row (the true class).

    Parameters
    ----------
    table : pandas.DataFrame
        One row with ``tn, fp, fn, tp`` (patients).
    ax : matplotlib.axes.Axes
    classes : (str, str)
        Names of the classes 0 and 1.
    """
    if len(table) != 1:
        raise InputError(f"A confusion matrix shows one row of counts; the table has {len(table)}. Pick one.")
    row = table.iloc[0]
    counts = np.array([[row["tn"], row["fp"]], [row["fn"], row["tp"]]], dtype=float)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    labels = np.array(
        [
            [f"{c:.0f}\n({100 * s:.0f}%)" for c, s in zip(*pair, strict=True)]
            for pair in zip(counts, shares, strict=True)
        ],
        dtype=object,
    )
    heat_map(ax, shares, list(classes), list(classes), labels, style.SEQUENTIAL, (0.0, 1.0), fontsize=12)
    ax.set(xlabel="Predicted", ylabel="True")


def _radar_alt(table: pd.DataFrame, **_: Any) -> str:
    metrics, learners = table["metric"].unique(), table["learner"].unique()
    best = [part.sort_values("value").iloc[-1] for _, part in table.groupby("metric", sort=False)]
    words = [f"{row['metric']} {row['learner']} ({fixed(row['value'])})" for row in best]
    text = f"Radar chart of {counted(len(learners), 'learner')} ({listed(list(learners))}) on {len(metrics)} metrics"
    return f"{text}; highest by metric: {'; '.join(words)}."


@figure("learner", "metric", "value", alt=_radar_alt, projection="polar", size=(6.4, 4.8))
def radar(table: pd.DataFrame, ax: Axes, *, low: float = 0.0, high: float = 1.0) -> None:
    """Draw a radar of learners, one spoke per metric.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per learner and metric: ``learner, metric, value`` (0 to 1, higher is better); at least three
        metrics, each measured for each learner.
    ax : matplotlib.projections.polar.PolarAxes
    low, high : float
        Values at the centre and at the rim.
    """
    grid = table.pivot_table(index="learner", columns="metric", values="value", sort=False)
    if grid.shape[1] < 3 or grid.isna().any().any():
        raise InputError("A radar needs at least three metrics, and each of them for each learner.")
    angles = np.linspace(0, 2 * np.pi, grid.shape[1], endpoint=False)
    closed = np.append(angles, angles[0])
    for i, (name, values) in enumerate(grid.iterrows()):
        line = np.append(values.to_numpy(dtype=float), values.iloc[0])
        ax.plot(closed, line, color=style.colour(i), linestyle=style.dash(i), marker=style.marker(i), ms=4, label=name)
        ax.fill(closed, line, color=style.colour(i), alpha=0.06)
    ax.set_xticks(angles, [str(metric) for metric in grid.columns])
    ax.tick_params(axis="x", pad=10)
    ax.set_ylim(low, high)
    ax.set_yticks(np.linspace(low, high, 6)[1:-1])
    ax.set_rlabel_position(180 / grid.shape[1])  # type: ignore[attr-defined]  # a polar axes
    ax.tick_params(axis="y", labelsize=8, labelcolor=style.GREY)
    for label in ax.get_yticklabels():
        label.set(zorder=5, bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5})
    ax.grid(color=style.PALE, linewidth=0.8)
    ax.spines["polar"].set_color(style.PALE)
    ax.legend(loc="center left", bbox_to_anchor=(1.18, 0.5))
