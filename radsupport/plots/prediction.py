"""Figures of discrimination: ROC curves, DeLong p-values, confusion matrix, radar of learners.

Figures of predicted probabilities: calibration and decision curves.

Figures of single patients' risks: waterfall, box plot by cohort.
"""

from __future__ import annotations

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import figure, matrix
from radsupport.stats.decision import LEAST_GAIN, gains, stretch_words, stretches
from radsupport.wording import counted, estimate, fixed, listed, p_number, p_value

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
def roc(table: pd.DataFrame, ax: Axes, *, operating_points: pd.DataFrame | None = None) -> None:
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
def delong(table: pd.DataFrame, ax: Axes) -> None:
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
    image = matrix(ax, shown, names, names, labels, style.SEQUENTIAL, (0.0, 4.0))
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
def confusion(table: pd.DataFrame, ax: Axes, *, classes: tuple[str, str] = ("no event", "event")) -> None:
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
    matrix(ax, shares, list(classes), list(classes), labels, style.SEQUENTIAL, (0.0, 1.0), fontsize=12)
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
def decision(table: pd.DataFrame, ax: Axes, *, names: dict[str, str] | None = None) -> None:
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
def boxes(
    table: pd.DataFrame,
    ax: Axes,
    *,
    classes: tuple[str, str] = ("0", "1"),
    p: dict[str, str | float] | None = None,
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
        P-value, or text, above each cohort.
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
        found = (p or {}).get(cohort, "")
        text = found if isinstance(found, str) else p_value(found)
        ax.annotate(text, (i, 0.99), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.6, len(cohorts) - 0.4), ylabel=ylabel)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
