"""How many printed values hold: stacked bars of verdicts."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from radsupport.plots import style
from radsupport.plots.base import figure

#: Colours that are told apart under colour-vision deficiencies, and hatches that do without colour, in this order.
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": style.BLUE},
    {"color": style.VERMILLION, "hatch": "///"},
    {"color": style.GREY, "hatch": "..."},
)
NUMBER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}


def _alt(table: pd.DataFrame, **_: Any) -> str:
    verdicts, rows = table["verdict"].cat.categories, []
    for name, part in table.groupby("row", sort=False, observed=True):
        counts = part.set_index("verdict")["claims"]
        if counts.sum() > 0:
            rows.append(f"{name}: " + ", ".join(f"{int(counts.get(verdict, 0))} {verdict}" for verdict in verdicts))
    return f"Stacked bars, number of claims by verdict. {'; '.join(rows)}."


@figure("row", "verdict", "claims", alt=_alt, size=(7.0, 2.9))
def verdicts(table: pd.DataFrame, ax: Axes) -> None:
    """Draw one stacked bar per row: the number of claims with each verdict.

    Parameters
    ----------
    table : pandas.DataFrame
        row (label of the bar, from top to bottom), verdict (categorical, the order of the stack), claims. Rows without
        any claim are left out.
    """
    wide = table.pivot_table(
        index="row", columns="verdict", values="claims", aggfunc="sum", fill_value=0, observed=False
    )
    wide = wide.reindex(list(dict.fromkeys(table["row"])))
    wide = wide[wide.sum(axis=1) > 0]
    left, longest = [0.0] * len(wide), float(wide.to_numpy().sum(axis=1).max())
    for verdict, look in zip(wide.columns, LOOKS, strict=True):
        widths = wide[verdict].to_numpy(dtype=float)
        bars = ax.barh(wide.index.astype(str), widths, left=left, label=verdict, edgecolor="white", **look)
        numbers = [f"{width:.0f}" if width > 0.035 * longest else "" for width in widths]
        ax.bar_label(bars, labels=numbers, label_type="center", fontsize=8, bbox=NUMBER)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    ax.invert_yaxis()
    ax.set_xlabel("claims")
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(LOOKS))
