"""Heat map of features by risk group: one column per patient."""

from __future__ import annotations

from itertools import pairwise
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from radsupport.report import style
from radsupport.report.figures.base import figure
from radsupport.report.wording import counted, fixed

_NAME = 42  # letters of a feature's name that fit on a line
_LINE = 0.27  # height of a feature's row in inches, 0.13 more for each further line of its name


def _heat_alt(table: pd.DataFrame, **_: Any) -> str:
    first = table.drop_duplicates("subject")
    sizes = ", ".join(f"{n} {group}" for group, n in first["group"].value_counts(sort=False).items() if n)
    means = table.groupby(["feature", "group"], observed=True, sort=False)["value"].mean().unstack("group")  # noqa: PD010
    gap = (means.iloc[:, -1] - means.iloc[:, 0]).dropna() if means.shape[1] > 1 else pd.Series(dtype=float)
    text = f"Heat map of {counted(table['feature'].nunique(), 'feature')} in {counted(len(first), 'patient')} ({sizes})"
    if gap.empty:
        return text + "."
    widest = gap.abs().idxmax()
    return f"{text}; widest difference of group means: {widest}, {fixed(float(gap[widest]), 1)} SD."


def _heat_size(table: pd.DataFrame) -> tuple[float, float]:
    lines = max(_wrapped(str(name)).count("\n") for name in table["feature"].unique())
    return 9.4, 1.3 + (_LINE + 0.13 * lines) * table["feature"].nunique()


@figure("feature", "subject", "group", "value", alt=_heat_alt, size=_heat_size)
def feature_heat_map(table: pd.DataFrame, ax: Axes, *, limit: float = 3.0) -> None:
    """Draw features as rows and patients as columns, patients in the order of the table, groups marked above.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per feature and patient: ``feature, subject, group, value`` (SD from the training mean).
    ax : matplotlib.axes.Axes
    limit : float
        Values beyond it get the darkest colour.
    """
    patients = table.drop_duplicates("subject")
    features = list(table["feature"].unique())
    wide = table.pivot_table(index="feature", columns="subject", values="value", dropna=False, observed=True)
    values = wide.reindex(index=features, columns=patients["subject"]).to_numpy(dtype=float)
    ground = style.DIVERGING.with_extremes(bad=style.PALE)
    image = ax.imshow(values, cmap=ground, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    ax.set_yticks(range(len(features)), [_wrapped(str(name)) for name in features])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for i, (group, where) in enumerate(_runs(patients["group"].astype(str).to_numpy())):
        ax.plot([where[0] - 0.5, where[1] + 0.5], [-0.8, -0.8], color=style.colour(i), linewidth=5, clip_on=False)
        ax.text(sum(where) / 2, -1.15, group, ha="center", va="bottom", fontsize=9, color=style.INK, clip_on=False)
    ax.set_ylim(len(features) - 0.5, -1.0)
    ax.set_xlabel(f"{len(patients)} patients, in order of risk")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, pad=0.02, extend="both").set_label("SD from the training mean")


def _wrapped(name: str) -> str:
    """Break a long name into lines, between words and, where a word itself is too long, inside it."""
    return "\n".join(wrap(name, _NAME, break_on_hyphens=False)) or name


def _runs(groups: np.ndarray[Any, Any]) -> list[tuple[str, tuple[int, int]]]:
    """Return each run of equal groups with its first and last place."""
    starts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1), len(groups)]
    return [(str(groups[a]), (int(a), int(b) - 1)) for a, b in pairwise(starts)]
