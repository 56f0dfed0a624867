"""Figures of predictions: ROC curves, DeLong's tests, confusion matrix, radar, calibration, decision, single risks."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import band, box, figure, hatch, look, matrix, strip
from radsupport.stats.usefulness import gains, least_gain, stretch_words, stretches
from radsupport.wording import counted, estimate, fixed, listed, p_number, p_value

_INSIDE = 5  # more signatures than that have their legend beside the curves


def _roc_alt(table: pd.DataFrame, **_: Any) -> str:
    curves = table.drop_duplicates("signature")
    rows = zip(*(curves[name] for name in ("signature", "auc", "auc_low", "auc_high")), strict=True)
    words = [f"{name} {estimate(*auc)}" for name, *auc in rows]
    sizes = sorted({f"{n:.0f}" for n in curves.get("n", pd.Series(dtype=float)).dropna()}, key=int)
    patients = f" in {' to '.join(sizes[:1] + sizes[1:][-1:])} patients" if sizes else ""
    return f"ROC curves of {counted(len(curves), 'signature')}{patients}; AUC (95% CI): {'; '.join(words)}."


def _roc_size(table: pd.DataFrame) -> tuple[float, float]:
    return (5.2 if table["signature"].nunique() <= _INSIDE else 9.4), 5.2


@figure(
    "signature",
    "specificity",
    "sensitivity",
    "auc",
    "auc_low",
    "auc_high",
    estimates=["auc"],
    alt=_roc_alt,
    size=_roc_size,
)
def roc(table: pd.DataFrame, ax: Axes, *, marks: pd.DataFrame | None = None) -> None:
    """Draw ROC curves with AUC and its 95% CI in the legend.

    Parameters
    ----------
    table : pandas.DataFrame
        What `evaluate.roc` returns. One row per threshold and signature: ``signature, sensitivity, specificity``
        (0 to 1), in the order of the thresholds, and, repeated in each row of a signature, ``auc, auc_low, auc_high``
        and optionally ``n`` (patients). A time point can stand in the place of a signature.
    ax : matplotlib.axes.Axes
    marks : pandas.DataFrame, optional
        ``signature, sensitivity, specificity`` of the thresholds carried over from training; drawn as markers.
    """
    ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.9, linestyle=":")
    names = list(table["signature"].unique())
    for i, name in enumerate(names):
        part = table[table["signature"] == name]
        auc = estimate(*part[["auc", "auc_low", "auc_high"]].iloc[0].to_numpy(dtype=float))
        ax.plot(
            1 - part["specificity"].astype(float), part["sensitivity"].astype(float), **look(i), label=f"{name}: {auc}"
        )
    for row in [] if marks is None else marks[marks["signature"].isin(names)].to_dict("records"):
        i, place = names.index(row["signature"]), (1 - row["specificity"], row["sensitivity"])
        ax.plot(*place, style.marker(i), color=style.colour(i), markeredgecolor="white")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="1 − specificity", ylabel="Sensitivity")
    ax.legend(title="AUC (95% CI)", title_fontsize=9, alignment="left", **_legend_place(table, len(names)))


def _legend_place(table: pd.DataFrame, n: int) -> dict[str, Any]:
    """Return where a legend of n curves hides none: in the corner, below the axes, or beside them."""
    if n > _INSIDE:
        return style.BESIDE
    in_corner = (table["specificity"] < 0.63) & (table["sensitivity"] < 0.1 + 0.06 * n)
    between = in_corner & (table["sensitivity"] > 0) & (table["specificity"] > 0)
    return {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)} if between.any() else {"loc": "lower right"}


def _signatures(table: pd.DataFrame) -> list[Any]:
    return list(pd.unique(table[["signature_a", "signature_b"]].to_numpy().ravel()))


def _delong_alt(table: pd.DataFrame, **_: Any) -> str:
    pairs = table[table["signature_a"] != table["signature_b"]]
    key = [" ".join(sorted(map(str, pair))) for pair in zip(pairs["signature_a"], pairs["signature_b"], strict=True)]
    pairs = pairs[~pd.Series(key, index=pairs.index).duplicated()]
    text = f"Heat map of DeLong p-values between {counted(len(_signatures(table)), 'signature')}; "
    text += f"{int((pairs['p'] < 0.05).sum())} of {counted(len(pairs), 'pair')} below 0.05"
    if pairs["p"].notna().any():
        least = pairs.sort_values("p").iloc[0]
        text += f"; smallest p {p_number(least['p'])}, {least['signature_a']} against {least['signature_b']}"
    return text + "."


def _delong_size(table: pd.DataFrame) -> tuple[float, float]:
    return 3.4 + 0.5 * len(_signatures(table)), 2.6 + 0.5 * len(_signatures(table))


@figure("signature_a", "signature_b", "p", alt=_delong_alt, size=_delong_size)
def delong(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the matrix of DeLong p-values, the AUCs on its diagonal.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per pair: ``signature_a, signature_b, p`` and optionally ``value_a, value_b`` (AUCs); one row per
        unordered pair suffices.
    ax : matplotlib.axes.Axes
    """
    names = _signatures(table)
    values, labels = np.ones((len(names), len(names))), np.full((len(names), len(names)), "", dtype=object)
    for row in table.to_dict("records"):
        i, j = names.index(row["signature_a"]), names.index(row["signature_b"])
        for k, auc in ((i, row.get("value_a", row.get("auc_a"))), (j, row.get("value_b", row.get("auc_b")))):
            labels[k, k] = "" if auc is None else f"AUC\n{fixed(auc)}"
        if i != j:
            values[i, j] = values[j, i] = row["p"]
            labels[i, j] = labels[j, i] = p_number(row["p"])
    shown = -np.log10(np.clip(values, 1e-4, 1.0))
    ticks = {"1": 0, "0.05": -np.log10(0.05), "0.01": 2, "0.001": 3, "≤0.0001": 4}
    bar = {"label": "p (DeLong)", "ticks": list(ticks.values())}
    mesh = matrix(ax, shown, names, names, labels, style.SEQUENTIAL, (0.0, 4.0), bar=bar)
    mesh.colorbar.set_ticklabels(list(ticks))  # type: ignore[union-attr]


def _risks_alt(table: pd.DataFrame, *, classes: tuple[str, str] = ("0", "1"), **_: Any) -> str:
    patients = table.dropna(subset=["risk"]).drop_duplicates("subject")
    sizes = ", ".join(f"{(patients['label'] == value).sum()} {name}" for value, name in enumerate(classes))
    names = listed(list(table["signature"].unique()))
    return f"Pair plot of the risks by {names} in {counted(len(patients), 'patient')} ({sizes})."


def _risks_size(table: pd.DataFrame) -> tuple[float, float]:
    return (2.1 * table["signature"].nunique(),) * 2


@figure("signature", "subject", "risk", "label", alt=_risks_alt, size=_risks_size, grid=True)
def risks(table: pd.DataFrame, size: tuple[float, float], *, classes: tuple[str, str] = ("0", "1")) -> Axes:
    """Draw the risk by each signature against that by each other one, patient by patient, by outcome.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per patient and signature: ``subject, signature, risk, label`` (0/1).
    size : (float, float)
    classes : (str, str)
        Names of the classes 0 and 1.
    """
    table = table.dropna(subset=["risk"])
    names = [str(name) for name in table["signature"].unique()]
    named = table.assign(signature=table["signature"].astype(str), label=table["label"].map(dict(enumerate(classes))))
    wide = named.pivot_table(index=["subject", "label"], columns="signature", values="risk").reset_index()
    grid = sns.pairplot(
        wide, vars=names, hue="label", hue_order=classes, palette=dict(zip(classes, style.PALETTE, strict=False)),
        markers=list(style.MARKERS[:2]), corner=True, height=size[1] / len(names), diag_kind="hist",
        diag_kws={"multiple": "stack", "alpha": 1, "edgecolor": "white", "bins": 20},
        plot_kws={"s": 18, "alpha": 0.8, "style_order": classes},
    )  # fmt: skip
    for ax in grid.diag_axes:
        hatch(ax, style.VERMILLION)
    sns.move_legend(grid, "upper right", title=None)
    main: Axes = grid.axes[-1, 0]
    return main


def _confusion_alt(table: pd.DataFrame, **_: Any) -> str:
    row = table.iloc[0]
    n = row[["tn", "fp", "fn", "tp"]].sum()
    cells = {"tp": "true positive", "fp": "false positive", "fn": "false negative", "tn": "true negative"}
    words = [counted(int(row[cell]), name) for cell, name in cells.items()]
    text = f"Confusion matrix of {counted(int(n), 'patient')}: {', '.join(words)}"
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
    counts = table[["tn", "fp", "fn", "tp"]].to_numpy(dtype=float).reshape(2, 2)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = np.char.add(np.char.mod("%.0f\n(", counts), np.char.mod("%.0f%%)", 100 * shares)).astype(object)
    matrix(ax, shares, classes, classes, labels, style.SEQUENTIAL, (0.0, 1.0), fontsize=12)
    ax.set(xlabel="Predicted", ylabel="True")


def _radar_alt(table: pd.DataFrame, **_: Any) -> str:
    ranges = table.groupby("learner", sort=False, observed=True)["value"].agg(["min", "max"])
    parts = "; ".join(f"{name} {fixed(low)} to {fixed(high)}" for name, low, high in ranges.itertuples())
    spokes = table["spokes"].iloc[0] if "spokes" in table else "metrics"
    return f"Radar of {table['metric'].nunique()} {spokes}, one spoke each; lowest and highest value: {parts}."


@figure("learner", "metric", "value", alt=_radar_alt, projection="polar", size=(6.4, 4.8))
def radar(table: pd.DataFrame, ax: Axes, *, low: float = 0.0, high: float = 1.0) -> None:
    """Draw a radar of learners, one spoke per metric.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per learner and metric: ``learner, metric, value`` (0 to 1, higher is better); at least three
        metrics, each measured for each learner; optionally ``spokes``, what the metrics are, for the alt text.
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
        ax.plot(closed, line, **look(i), marker=style.marker(i), ms=4, label=name)
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


def _calibration_alt(table: pd.DataFrame, *, summary: Any = None, **_: Any) -> str:
    gaps = []
    for kind, part in table.groupby("kind", sort=False, observed=True):
        gap = (part["observed"] - part["predicted"]).abs().to_numpy()
        widest = part.iloc[int(np.argmax(gap))]
        gaps.append(
            f"{_line_name(str(kind), table)}: widest gap from the ideal line at predicted "
            f"{fixed(widest['predicted'])} (observed {fixed(widest['observed'])})"
        )
    numbers = "; ".join(f"{name.replace('_', ' ')} {fixed(value)}" for name, value in _summary(table, summary).items())
    return f"Calibration plot. {'. '.join(gaps)}.{' ' + _capital(numbers) + '.' if numbers else ''}"


def _capital(text: str) -> str:
    """Return a text with a capital first; abbreviations keep theirs, which `str.capitalize` would not leave."""
    return text[:1].upper() + text[1:]


@figure("kind", "predicted", "observed", estimates=["observed"], alt=_calibration_alt, size=(5.2, 5.4))
def calibration(
    table: pd.DataFrame,
    ax: Axes,
    *,
    risks: Any = None,
    summary: Any = None,
    outcome: str = "probability",
) -> None:
    """Draw calibration: apparent, bias-corrected and ideal lines, grouped points, histogram of predicted values.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of ``kind`` (``apparent``, ``corrected`` or ``grouped``), ``predicted``, ``observed`` (0 to 1), and
        optionally ``observed_low, observed_high``: a band for lines, an error bar for groups. Lines in order of
        ``predicted``.
    ax : matplotlib.axes.Axes
    risks : array-like or DataFrame, optional
        Predicted values of the patients (a table's column ``probability``), for the histogram along the lower edge.
    summary : dict or DataFrame, optional
        Numbers written into the lower right corner where nothing else is drawn there, such as ``{"slope": 0.97,
        "Brier": 0.16}``; or one row of a table with some of ``slope, intercept, ici, brier, ratio``.
    outcome : str
        What is predicted; used in the axis labels (``probability of EGFR mutation``, ``3-year survival``).
    """
    ax.plot([0, 1], [0, 1], color=style.GREY, linestyle=":", linewidth=1, label="Ideal")
    for i, kind in enumerate(_CALIBRATION):
        part, label = table[table["kind"] == kind], _line_name(kind, table)
        if part.empty:
            continue
        x, y = part["predicted"].to_numpy(dtype=float), part["observed"].to_numpy(dtype=float)
        limits = part.reindex(columns=["observed_low", "observed_high"]).to_numpy(dtype=float).T
        known = not np.isnan(limits).any()
        if kind == "grouped":
            error = np.abs(limits - y) if known else None
            ax.errorbar(x, y, yerr=error, fmt="o", ms=5, color=style.INK, lw=1, label=label)
            continue
        ax.plot(x, y, **look(i), label=label)
        if known:
            band(ax, part, "predicted", "observed", style.colour(i))
    if risks is not None:
        values = risks["probability"] if isinstance(risks, pd.DataFrame) else risks
        _histogram_below(ax, np.asarray(values, dtype=float))
    numbers = _summary(table, summary)
    if numbers:
        text = "\n".join(f"{_capital(name.replace('_', ' '))} {fixed(value)}" for name, value in numbers.items())
        ax.text(0.97, 0.16, text, transform=ax.transAxes, ha="right", va="bottom", fontsize=9)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"Predicted {outcome}", ylabel=f"Observed {outcome}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2)


_SUMMARY = {"slope": "slope", "intercept": "intercept", "ici": "ICI", "brier": "Brier", "ratio": "observed / expected"}


def _summary(table: pd.DataFrame, given: Any) -> dict[str, float]:
    """Return the numbers for the lower right corner: none where groups or lines are drawn there."""
    if isinstance(given, pd.DataFrame):
        row = given.iloc[0]
        given = {words: float(row[key]) for key, words in _SUMMARY.items() if key in given and pd.notna(row[key])}
    top = 0.18 + 0.045 * len(given or {})  # the numbers stand on 0.16 of the height
    low = table["observed_low"].fillna(table["observed"]) if "observed_low" in table else table["observed"]
    return {} if ((table["predicted"] > 0.55) & (low < top)).any() else dict(given or {})


def _histogram_below(ax: Axes, risks: np.ndarray[Any, Any]) -> None:
    """Draw the distribution of the predicted values as bars standing on the lower edge, a tenth of the height."""
    below = ax.inset_axes((0, 0, 1, 0.1))
    sns.histplot(risks, bins=50, binrange=(0, 1), color=style.GREY, alpha=0.55, linewidth=0, ax=below)
    below.set_xlim(0, 1)
    below.axis("off")


def _decision_alt(table: pd.DataFrame, **_: Any) -> str:
    models = [name for name in table["strategy"].unique() if name not in {"treat_all", "treat_none"}]
    gain = gains(table)
    n = int(table["n"].max()) if "n" in table else 0
    words = [f"{name} {stretch_words(stretches(gain[name], n))}" for name in models]
    return (
        f"Decision curves of {listed(models)} with treat-all and treat-none; thresholds with a net benefit at least "
        f"{least_gain(n):.2g} above both: {'; '.join(words)}."
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
        ``model`` or the name of each signature), ``net_benefit`` (per patient), and optionally ``net_benefit_low,
        net_benefit_high``: a band.
    ax : matplotlib.axes.Axes
    names : dict, optional
        Legend label of a strategy, such as ``{"model": "DLR-V"}``.
    """
    shown = {"treat_all": "Treat all", "treat_none": "Treat none", **(names or {})}
    thin: Any = {"linewidth": 1.2}
    references = {
        "treat_all": thin | {"color": style.GREY, "linestyle": "--"},
        "treat_none": thin | {"color": style.INK},
    }
    models = [name for name in table["strategy"].unique() if name not in references]
    for i, name in enumerate([*models, *references]):
        part = table[table["strategy"] == name].sort_values("threshold")
        if part.empty:
            continue
        drawn = references.get(name) or look(i)
        ax.plot(part["threshold"], part["net_benefit"], label=shown.get(name, name), **drawn)
        band(ax, part, "threshold", "net_benefit", style.colour(i))
    top = float(table["net_benefit"].max())
    ax.set_ylim(-max(0.05, 0.15 * top), top * 1.08 + 1e-3)
    ax.set_xlim(float(table["threshold"].min()), float(table["threshold"].max()))
    ax.set(xlabel="Threshold probability", ylabel="Net benefit per patient")
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f}%")
    ax.legend(**({"loc": "best"} if len(models) <= 3 else style.BESIDE))


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
        fill: Any = {"color": style.BLUE} if value == 0 else {"color": style.VERMILLION, "hatch": "////"}
        words = f"{name} (n = {len(own)})"
        ax.bar(own, heights[own], width=0.85, edgecolor="white", linewidth=0.2, label=words, **fill)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set(xlabel="Patients, sorted by risk", ylabel=ylabel, xlim=(-1, len(ordered)))
    ax.set_xticks([])
    mostly_below = max(heights.max(initial=0.0), 0.0) < 0.4 * max(-heights.min(initial=0.0), 0.0)
    ax.legend(loc="lower right" if mostly_below else "upper left")  # where a rising row of bars leaves room


def _boxplot_alt(table: pd.DataFrame, *, classes: tuple[str, str] = ("0", "1"), **_: Any) -> str:
    words = []
    for cohort, part in table.groupby("cohort", sort=False, observed=True):
        medians = [fixed(part.loc[part["label"] == value, "risk"].dropna().median()) for value in (0, 1)]
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
        P-value, or text, above each cohort; NaN where there is no test.
    ylabel : str
    """
    cohorts, colours = list(table["cohort"].unique()), dict(enumerate(style.PALETTE[:2]))
    axes: Any = {"x": "cohort", "y": "risk", "order": cohorts, "hue": "label", "hue_order": list(colours)}
    axes |= {"palette": colours, "dodge": True}
    box(ax, table, **axes, gap=0.2, saturation=1, linecolor=style.INK, boxprops={"alpha": 0.35})
    for value in colours:
        own = table[table["label"] == value]
        strip(ax, own, **axes, reach=0.2, marker=style.marker(value), size=3, alpha=0.8)
    if p:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.09 * (high - low))  # room for the text
    lines = [textwrap.fill(str(c), 14) if len(cohorts) > 2 else c for c in cohorts]  # three do not fit side by side
    ax.set_xticks(
        range(len(cohorts)), [f"{w}\n(n = {(table['cohort'] == c).sum()})" for w, c in zip(lines, cohorts, strict=True)]
    )
    for i, cohort in enumerate(cohorts):
        found = (p or {}).get(cohort, "")
        text = found if isinstance(found, str) else "no test" if np.isnan(found) else p_value(found)
        ax.annotate(text, (i, 0.99), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=9)
    ax.set(xlim=(-0.6, len(cohorts) - 0.4), xlabel="", ylabel=ylabel)
    ax.legend([Patch(facecolor=colour) for colour in colours.values()], classes, **style.BESIDE)
    hatch(ax, style.VERMILLION)
