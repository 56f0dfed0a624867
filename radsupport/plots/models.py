"""Figures of models: forest plot, values with intervals, coefficients, paths, learning curves."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from radsupport.errors import InputError
from radsupport.plots import style
from radsupport.plots.base import figure, fitting, look, named_rows, strip
from radsupport.plots.images import training
from radsupport.wording import counted, estimate, fixed, listed, number, p_number

_RATIOS = {"hr": "Hazard ratio", "odds_ratio": "Odds ratio"}
_RATIO_AT, _P_AT = 10, 150  # points right of the axes, where a forest plot prints its numbers


def _ratio_column(table: pd.DataFrame) -> str:
    found = [column for column in _RATIOS if column in table.columns]
    if len(found) != 1:
        raise InputError(f"A forest plot needs one column of ratios, {' or '.join(_RATIOS)}; found {found or 'none'}.")
    return found[0]


def _forest_alt(table: pd.DataFrame, **_: Any) -> str:
    ratio = _ratio_column(table)
    words = []
    for row in table[table[ratio].notna()].to_dict("records"):
        p = f", p {p_number(row['p'])}" if "p" in row else ""
        words.append(f"{row['covariate']} {estimate(row[ratio], row[f'{ratio}_low'], row[f'{ratio}_high'])}{p}")
    return f"Forest plot of {counted(len(words), _RATIOS[ratio].lower())} (95% CI): {'; '.join(words)}."


def _forest_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the intervals their room beside long names."""
    longest = int(table["covariate"].astype(str).str.len().max())
    return 7.6 + 0.07 * max(longest - 20, 0), 1.5 + 0.42 * len(table)


@figure("covariate", estimates=list(_RATIOS), alt=_forest_alt, size=_forest_size)
def forest(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a forest plot: ratio with interval on a log axis, the numbers printed beside it.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per covariate (or factor level): ``covariate``, ``hr`` or ``odds_ratio`` with its ``…_low, …_high``,
        and optionally ``p``. A row without a ratio (NaN) is a heading or a reference level.
    ax : matplotlib.axes.Axes
    """
    ratio = _ratio_column(table)
    limits = [f"{ratio}_low", f"{ratio}_high"]
    ends = table[limits].to_numpy(dtype=float)
    finite = ends[np.isfinite(ends) & (ends > 0)]
    low, high = min(finite.min(initial=1.0), 0.8), max(finite.max(initial=1.0), 1.25)
    ax.axvline(1, color=style.GREY, linestyle=":", linewidth=1)
    for y, row in zip(named_rows(ax, table["covariate"]), table.to_dict("records"), strict=True):
        if not np.isfinite(row[ratio]):
            _beside(ax, _RATIO_AT, y, "reference")
            continue
        left, right = (row[limit] for limit in limits)
        ax.plot(np.clip([left, right], low / 2, high * 2), [y, y], color=style.BLUE, linewidth=1.6)
        ax.plot(row[ratio], y, "s", color=style.BLUE, ms=6.5)
        _beside(ax, _RATIO_AT, y, estimate(row[ratio], left, right))
        if "p" in row:
            _beside(ax, _P_AT, y, p_number(row["p"]))
    _beside(ax, _RATIO_AT, len(table) - 0.2, f"{_RATIOS[ratio]} (95% CI)", bold=True)
    if "p" in table:
        _beside(ax, _P_AT, len(table) - 0.2, "p", bold=True)
    ax.set_xscale("log")
    ax.set(xlim=(low / 1.15, high * 1.15), ylim=(-0.6, len(table) + 0.1), xlabel=f"{_RATIOS[ratio]} (log scale)")
    plain_log_ticks(ax, low, high)
    ax.spines["left"].set_visible(False)


def _beside(ax: Axes, points: float, y: float, text: str, *, bold: bool = False) -> None:
    """Write beside the axes, so many points right of them: columns keep their distance whatever room the axes have."""
    ax.annotate(
        text, (1, y), (points, 0), xycoords=ax.get_yaxis_transform(), textcoords="offset points", va="center",
        fontsize=9, fontweight="bold" if bold else "normal", annotation_clip=False,
    )  # fmt: skip


def plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """Label a log axis with plain numbers, few enough that they do not touch."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 2)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = np.array([decade * step for decade in decades for step in steps])
        ticks = ticks[(ticks >= low / 1.15) & (ticks <= high * 1.15)]
        if len(ticks) <= 7:
            break
    if len(ticks) < 3:
        ticks = np.unique(np.round([low, 1.0, high], 2))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def _bars_alt(table: pd.DataFrame, **_: Any) -> str:
    order = table.loc[table["coefficient"].abs().sort_values(ascending=False).index]
    words = [f"{row['feature']} {number(row['coefficient'], 2)}" for row in order.head(6).to_dict("records")]
    return f"Bar chart of {counted(len(table), 'coefficient')}; the largest: {', '.join(words)}."


def _bars_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the bars their room beside long names."""
    return 4.4 + 0.075 * int(table["feature"].astype(str).str.len().max()), 1.4 + 0.4 * len(table)


@figure("feature", "coefficient", alt=_bars_alt, size=_bars_size)
def coefficients(table: pd.DataFrame, ax: Axes, *, xlabel: str = "Coefficient (standardised feature)") -> None:
    """Draw the coefficients of a signature as bars, largest on top.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per kept feature: ``feature, coefficient``.
    ax : matplotlib.axes.Axes
    xlabel : str
    """
    ordered = table.sort_values("coefficient", ascending=False)
    values, heights = ordered["coefficient"].to_numpy(dtype=float), named_rows(ax, ordered["feature"])
    ax.barh(heights, values, color=np.where(values > 0, style.VERMILLION, style.BLUE), height=0.7)
    ax.axvline(0, color=style.INK, linewidth=0.8)
    room = 0.24 * float(np.abs(values).max() or 1.0)
    for y, value in zip(heights, values, strict=True):
        text, ha, shift = number(value, 2), "left" if value >= 0 else "right", 4 if value >= 0 else -4
        ax.annotate(text, (value, y), (shift, 0), textcoords="offset points", ha=ha, va="center", fontsize=8)
    ax.set_xlim(min(values.min(), 0) - room, max(values.max(), 0) + room)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(xlabel)


def _path_alt(
    table: pd.DataFrame, *, chosen: dict[str, float] | None = None, named: Sequence[str] = (), **_: Any
) -> str:
    lambdas = table["lambda"]
    text = f"Coefficient paths of {counted(table['feature'].nunique(), 'feature')} for λ from "
    text += f"{number(lambdas.max(), 2)} to {number(lambdas.min(), 2)}"
    for name, value in (chosen or {}).items():
        nearest = lambdas.iloc[(np.log(lambdas) - np.log(value)).abs().argmin()]
        text += f"; {name} {number(value, 2)}"
        if np.isclose(nearest, value, rtol=1e-6):  # between two steps of the path it can not say
            kept = int((table.loc[lambdas == nearest, "coefficient"] != 0).sum())
            text += f" keeps {counted(kept, 'feature')}"
    return text + (f"; named: {listed(named, limit=10)}." if named else ".")


def _path_size(table: pd.DataFrame) -> tuple[float, float]:
    """Return a size that leaves the paths their room beside the legend's names."""
    return 6.0 + 0.07 * int(table["feature"].astype(str).str.len().max()), 4.2


@figure("feature", "lambda", "coefficient", alt=_path_alt, size=_path_size)
def lasso_path(
    table: pd.DataFrame,
    ax: Axes,
    *,
    chosen: dict[str, float] | None = None,
    named: Sequence[str] | None = None,
    label_largest: int = 5,
) -> None:
    """Draw the coefficients along the penalty λ, strongest penalty on the left.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature and penalty: ``feature, lambda`` (> 0), ``coefficient``.
    ax : matplotlib.axes.Axes
    chosen : dict, optional
        Penalties to mark, such as ``{"λ min": 0.012, "λ 1se": 0.034}``.
    named : sequence of str, optional
        Features that are named, such as those with a coefficient at the penalty that is used.
    label_largest : int
        Without `named`: how many features are named, the largest at the right end.
    """
    wide = table.pivot_table(index="lambda", columns="feature", values="coefficient", sort=True)
    if named is None:
        at_end = wide.iloc[0].abs().sort_values(ascending=False).head(label_largest)
        named = at_end.index[at_end > 0].tolist()
    for name in wide.columns:
        drawn: Any = {"color": style.PALE, "linewidth": 1, "zorder": 1}
        if name in named:
            drawn = look(list(named).index(name)) | {"zorder": 2, "label": str(name)}
        ax.plot(wide.index, wide[name], **drawn)
    ax.axhline(0, color=style.INK, linewidth=0.8)
    ax.set_xscale("log")
    ax.set_xlim(wide.index.max() * 1.05, wide.index.min() / 1.05)
    plain_log_ticks(ax, float(wide.index.min()), float(wide.index.max()))
    for name, value in (chosen or {}).items():
        ax.axvline(value, color=style.GREY, linestyle="--", linewidth=1)
        ax.annotate(
            name, (value, 1), (-3, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, ha="right", va="top", fontsize=8,
        )  # fmt: skip
    ax.set(xlabel="Penalty λ (log scale, weaker to the right)", ylabel="Coefficient")
    if len(named):
        ax.legend(**style.BESIDE)


_ABOVE: Any = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}  # a legend opposite the title


def _intervals_alt(table: pd.DataFrame, *, measure: str = "AUC", **_: Any) -> str:
    rows = zip(*(table[name] for name in ("signature", "value", "value_low", "value_high")), strict=True)
    words = [f"{name} {estimate(*values)}" for name, *values in rows]
    return f"{measure} (95% CI) of {counted(len(table), 'signature')}: {'; '.join(words)}."


def _intervals_size(table: pd.DataFrame) -> tuple[float, float]:
    return 7.2, 1.3 + 0.42 * len(table)


@figure("signature", "value", "value_low", "value_high", estimates=["value"], alt=_intervals_alt, size=_intervals_size)
def intervals(table: pd.DataFrame, ax: Axes, *, measure: str = "AUC", chance: float = 0.5) -> None:
    """Draw one value with its interval per row, chance as a line, the apparent value as a hollow mark.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per signature: ``signature, value, value_low, value_high`` and optionally ``apparent``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    chance : float
        Where nothing is found: 0 for differences.
    """
    limits, heights = table[["value_low", "value_high"]].to_numpy(dtype=float), named_rows(ax, table["signature"])
    ax.axvline(chance, color=style.GREY, linestyle=":", linewidth=1)
    for y, value, (low, high) in zip(heights, table["value"], limits, strict=True):
        ax.plot([low, high], [y, y], color=style.BLUE, linewidth=1.6)
        _beside(ax, _RATIO_AT, y, estimate(value, low, high))
    ax.plot(table["value"], heights, "o", color=style.BLUE, ms=6, label="out of fold (95% CI)")
    if "apparent" in table and table["apparent"].notna().any():
        ax.plot(table["apparent"], heights, "D", mfc="white", mec=style.VERMILLION, ms=5.5, label="apparent")
        ax.legend(**_ABOVE, ncols=2)
    if chance == 0.5:
        ax.set(xlim=(max(0.0, float(np.nanmin(limits[:, 0], initial=0.45)) - 0.03), 1.01), xlabel=measure)
    else:
        half = float(np.nanmax(np.abs(limits - chance), initial=0.1)) + 0.02
        ax.set(xlim=(chance - half, chance + half), xlabel=measure)


def _spread_alt(table: pd.DataFrame, *, measure: str = "AUC", **_: Any) -> str:
    by = table.groupby("signature", sort=False, observed=True)["score"].agg(["min", "max", "size"])
    words = [f"{name} {fixed(low)} to {fixed(high)}" for name, low, high, _ in by.itertuples()]
    return f"{measure} of {counted(len(by), 'signature')} in up to {by['size'].max()} divisions: {'; '.join(words)}."


def _spread_size(table: pd.DataFrame) -> tuple[float, float]:
    return 7.0, 1.3 + 0.38 * table["signature"].nunique()


@figure("signature", "repeat", "score", alt=_spread_alt, size=_spread_size)
def spread(table: pd.DataFrame, ax: Axes, *, measure: str = "AUC") -> None:
    """Draw the value of each division into folds as a dot, the first division filled, the mean as a bar.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per signature and division: ``signature, repeat`` (0 is the first), ``score``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    """
    ax.axvline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    names = list(table["signature"].unique())
    axes: Any = {"x": "score", "y": "signature", "order": names, "orient": "y"}
    hollow: Any = {"color": "white", "edgecolor": style.BLUE, "linewidth": 1.1}
    first = table["repeat"] == 0
    strip(ax, table[first], **axes, reach=0, size=6, color=style.VERMILLION, zorder=4, label="first division")
    strip(ax, table[~first], **axes, reach=0.5, size=5, **hollow, zorder=3, label="further divisions")
    mean: Any = {"errorbar": None, "linestyle": "none", "marker": "|", "markersize": 22, "color": style.INK}
    sns.pointplot(table, **axes, **mean, ax=ax, label="mean")
    ax.legend(**_ABOVE, ncols=3)
    ax.set(xlabel=f"Out-of-fold {measure}", ylabel="")


_PATIENTS = "Training patients per fit"


def _learning_alt(table: pd.DataFrame, *, measure: str = "AUC", xlabel: str = _PATIENTS, **_: Any) -> str:
    by, words = "number of training patients" if xlabel == _PATIENTS else xlabel[:1].lower() + xlabel[1:], []
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False, observed=True):
        rows = part.sort_values("n")
        ends = f"{fixed(rows['value'].iloc[0])} at {rows['n'].iloc[0]:.0f} to {fixed(rows['value'].iloc[-1])}"
        words.append(f"{name} ({judged}) {ends} at {rows['n'].iloc[-1]:.0f}")
    return f"{measure} by {by}: {'; '.join(words)}."


@figure("signature", "judged", "n", "value", alt=_learning_alt, size=(8.2, 4.2))
def learning_curve(
    table: pd.DataFrame, ax: Axes, *, measure: str = "AUC", xlabel: str = _PATIENTS, log: bool = False
) -> None:
    """Draw the value over the number of training patients, one line per signature and way of judging.

    Signatures differ in colour, ways of judging in dashes, and every line has a marker of its own.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per point: ``signature, judged`` (such as out of fold), ``n`` (training patients), ``value``, and
        its range ``value_low, value_high``.
    ax : matplotlib.axes.Axes
    measure : str
        Name of the value.
    xlabel : str
        What is counted in place of patients: what a value costs.
    log : bool
        Whether its axis is logarithmic.
    """
    names, ways = list(table["signature"].unique()), list(table["judged"].unique())
    ax.axhline(0.5, color=style.GREY, linestyle=":", linewidth=1)
    for (name, judged), part in table.groupby(["signature", "judged"], sort=False, observed=True):
        rows, i, j = part.sort_values("n"), names.index(name), ways.index(judged)
        line: Any = look(i) | {"linestyle": style.dash(j), "marker": style.marker(i + j * len(names)), "ms": 6}
        beside = rows["n"] * (1 + 0.012 * i)  # so that the bars of signatures do not hide one another
        ax.plot(beside, rows["value"], **line, mfc="white" if j else style.colour(i), label=f"{name}, {judged}")
        low, high = ("low", "high") if "low" in rows else ("value_low", "value_high")
        ax.vlines(beside, rows[low], rows[high], color=style.colour(i), linewidth=1, alpha=0.6)
    ax.set(xlabel=xlabel, ylabel=measure)
    if log:
        ax.set_xscale("log")
        plain_log_ticks(ax, float(table["n"].min()), float(table["n"].max()))
    ax.legend(**style.BESIDE, handlelength=4.5)  # dashes need the length to be seen


def _error_alt(table: pd.DataFrame, *, chosen: dict[str, float] | None = None, **_: Any) -> str:
    smallest, at = float(table["mean"].min()), float(table["lambda"].iloc[int(table["mean"].argmin())])
    text = f"Cross-validated deviance of {len(table)} penalties, smallest {number(smallest)} at {number(at)}"
    return text + "".join(f"; {name} {number(value)}" for name, value in (chosen or {}).items()) + "."


@figure("lambda", "mean", "sd", "n_nonzero", alt=_error_alt)
def penalty_error(table: pd.DataFrame, ax: Axes, *, chosen: dict[str, float] | None = None) -> None:
    """Draw the cross-validated error along the penalty λ with its standard error, strongest penalty on the left.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per penalty: ``lambda`` (> 0), ``mean, sd`` (of the error), ``n_nonzero`` (features with a coefficient).
    ax : matplotlib.axes.Axes
    chosen : dict, optional
        Penalties to mark.
    """
    ax.errorbar(table["lambda"], table["mean"], yerr=table["sd"], fmt="o", ms=3, color=style.BLUE, ecolor=style.PALE)
    ax.set_xscale("log")
    ax.set_xlim(table["lambda"].max() * 1.1, table["lambda"].min() / 1.1)
    plain_log_ticks(ax, float(table["lambda"].min()), float(table["lambda"].max()))
    for i, (name, value) in enumerate((chosen or {}).items()):
        colour = style.VERMILLION if i == 0 else style.GREY
        ax.axvline(value, color=colour, linestyle=style.dash(i + 1), linewidth=1.2, label=name)
    top = ax.secondary_xaxis("top")
    shown = table.iloc[:: max(1, len(table) // 8)]
    top.set_xticks(shown["lambda"], [f"{n:.0f}" for n in shown["n_nonzero"]])
    top.minorticks_off()
    top.set_xlabel("Features with a coefficient", fontsize=9)
    ax.set(xlabel="Penalty λ (log scale, weaker to the right)", ylabel="Cross-validated deviance")
    if chosen:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


_TICK = 0.1  # length of a tick, in units of the distance between axes
_FONT = 8.5
_CHARACTER = 0.62 * _FONT  # width of a digit in points, generous
_NAME = 5.9  # width of a letter of an axis name in points, generous


def _nomogram_alt(table: pd.DataFrame, **_: Any) -> str:
    predictors = list(table.loc[table["kind"] == "predictor", "axis"].unique())
    results = list(table.loc[table["kind"] == "result", "axis"].unique())
    text = f"Nomogram with a points axis from 0 to 100, {counted(len(predictors), 'predictor axis', 'predictor axes')} "
    text += f"({listed(predictors, 12)}), a total points axis and {listed(results)}"
    reach = table.loc[table["kind"] == "predictor"].groupby("axis")["position"].agg(np.ptp)
    return f"{text}; the longest predictor axis is {reach.idxmax()}."


def _size(table: pd.DataFrame) -> tuple[float, float]:
    return 9.0, 0.8 + 0.55 * table["axis"].nunique()


@figure("axis", "kind", "label", "position", alt=_nomogram_alt, size=_size)
def nomogram(table: pd.DataFrame, ax: Axes) -> None:
    """Draw a nomogram: Points 0–100 on top, one axis per predictor, Total Points, then the axes of the result.

    Parameters
    ----------
    table : pandas.DataFrame
        What `Nomogram.axes` returns, one row per tick, axes from top to bottom: ``axis`` (its name), ``kind``
        (``points``, ``predictor``, ``total`` or ``result``), ``label`` (text of the tick), ``position`` (0 to 1);
        perhaps ``side``: an axis that turns has ticks "below" where it rises with the value, "above" where it falls.
    ax : matplotlib.axes.Axes
    """
    names = {name: textwrap.fill(str(name), 26) for name in table["axis"].unique()}
    longest = max(len(line) for words in names.values() for line in words.splitlines())
    full = ax.get_window_extent().width * 72 / ax.figure.dpi
    width = full - longest * _NAME - 26
    left = -(full - width) / width
    ax.set(xlim=(left, 1.02), ylim=(-len(names) + 0.35, 0.7))
    ax.axis("off")
    for line, (name, words) in enumerate(names.items()):
        part = table[(table["axis"] == name) & table["position"].between(-1e-9, 1 + 1e-9)]
        part = part.sort_values("position", kind="stable")
        if part.empty:
            continue
        y, x = -float(line), part["position"].to_numpy(dtype=float)
        kind = str(part["kind"].iloc[0])
        colour = {"predictor": style.BLUE, "result": style.VERMILLION}.get(kind, style.INK)
        ax.plot([x.min(), x.max()], [y, y], color=colour, linewidth=1.3, solid_capstyle="butt")
        side = part["side"].to_numpy(dtype=str) if "side" in part else np.full(len(x), "")
        ax.vlines(x, y, y + np.where(side == "above", _TICK, -_TICK), color=colour, linewidth=1)
        ax.text(left, y, words, ha="left", va="center", fontweight="bold" if kind != "predictor" else "normal")
        rows = ("below",) if kind in {"points", "total"} or len(x) > 10 else ("below", "above")
        places = np.full(len(x), None)
        for one in np.unique(side):
            texts = [str(label) for label in part["label"][side == one]]
            places[side == one] = label_rows(x[side == one] * width, texts, (one,) if one else rows)
        over = 1.5 if (side != "").any() else 0.6  # in ticks; clear of those that stand on the line
        for position, label, place in zip(x, part["label"], places, strict=True):
            shift, va = {"below": (-1.5 * _TICK, "top"), "above": (over * _TICK, "bottom")}.get(str(place), (0, ""))
            if place is not None:
                ax.text(position, y + shift, str(label), ha="center", va=va, fontsize=_FONT)


def label_rows(positions: Any, labels: list[str], rows: Sequence[str]) -> list[str | None]:
    """Place each tick label in the first row where it touches no other, and nowhere where all are taken.

    Parameters
    ----------
    positions : array-like, shape (n,)
        In points, ascending.
    labels : list of str
    rows : sequence of {"below", "above"}
        Where labels may stand; ticks of dense numeric axes are read without each label.

    Returns
    -------
    list of {"below", "above", None}
    """
    end = {"below": -np.inf, "above": -np.inf}
    placed: list[str | None] = []
    for position, label in zip(positions, labels, strict=True):
        half = 0.5 * _CHARACTER * len(label)
        free = [row for row in rows if position - half > end[row] + 3]
        placed.append(free[0] if free else None)
        if free:
            end[free[0]] = position + half
    return placed


def scores(table: pd.DataFrame, ax: Axes | None = None, **options: Any) -> Any:
    """Draw a row per signature: its value with interval (`intervals`), or the value of each division (`spread`)."""
    return fitting(table, intervals, spread)(table, ax, **options)


def penalty(table: pd.DataFrame, ax: Axes | None = None, **options: Any) -> Any:
    """Draw what lies along a LASSO's penalty: coefficients (`lasso_path`) or error (`penalty_error`)."""
    return fitting(table, lasso_path, penalty_error)(table, ax, **options)


def learning(table: pd.DataFrame, ax: Axes | None = None, **options: Any) -> Any:
    """Draw a measure over the epochs of a network (`training`) or over the number of patients (`learning_curve`)."""
    return fitting(table, training, learning_curve)(table, ax, **options)
