"""Regression results as papers print them: each characteristic alone and together with the others, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsupport.report.wording import fixed, number

#: Words for the columns of `regression_table`; LR is the likelihood-ratio test of the whole characteristic.
HEADERS = {
    "hr_alone": "HR alone (95% CI)", "hr_together": "HR together (95% CI)", "odds_ratio_alone": "OR alone (95% CI)",
    "odds_ratio_together": "OR together (95% CI)", "p_alone": "P Wald", "p_lr_alone": "P LR", "p_together": "P Wald",
    "p_lr_together": "P LR",
}  # fmt: skip

_LARGEST, _SMALLEST = 9999, 0.005


def ratio_words(row: Mapping[Any, Any], ratio: str) -> str:
    """Word a ratio with its interval: ``1.24 (0.52–2.93)``, ``1 (reference)``, or a dash where there is none."""
    if row["reference"]:
        return "1 (reference)"
    values = [float(row[key]) for key in (ratio, "ci_low", "ci_high")]
    if not np.isfinite(values[0]):
        return "–"
    value, low, high = (_worded(x) for x in values)
    return f"{value} ({low}–{high})"


def _worded(value: float) -> str:
    """Word a ratio; what is too large or too small to be read is only bounded."""
    if value > _LARGEST:
        return f">{_LARGEST}"
    if value < _SMALLEST:
        return f"<{_SMALLEST}"
    return fixed(value) if value < 100 else number(value, 3)


def regression_table(
    alone: pd.DataFrame, together: pd.DataFrame | None, labels: Mapping[str, str], ratio: str = "hr"
) -> pd.DataFrame:
    """Lay out univariable and multivariable regressions side by side.

    Parameters
    ----------
    alone : DataFrame
        What `univariable_table` returns.
    together : DataFrame, optional
        What `multivariable_table` returns; its terms may be fewer.
    labels : mapping
        Words for terms.
    ratio : {"hr", "odds_ratio"}

    Returns
    -------
    DataFrame
        characteristic, n, events, then ``<ratio>_<part>`` (with 95% CI), ``p_<part>`` (Wald, of the level) and
        ``p_lr_<part>`` (likelihood ratio, in a term's first row) for the parts alone and together; note where one is
        not empty. `HEADERS` words them.
    """
    first = ~alone["term"].duplicated()
    shown = pd.DataFrame({"characteristic": [_name(row, labels) for row in alone.to_dict("records")]})
    shown["n"], shown["events"] = alone["n"].to_numpy(), alone["n_events"].to_numpy()
    shown = shown.join(_columns(alone.reset_index(drop=True), ratio, "alone", first.to_numpy()))
    if together is not None:
        own = together.set_index(["term", "level"])
        matched = own.reindex(pd.MultiIndex.from_frame(alone[["term", "level"]])).reset_index()
        matched["reference"] = matched["reference"].eq(True)
        shown = shown.join(_columns(matched, ratio, "together", first.to_numpy()))
    notes = alone["note"].fillna("").to_numpy()
    return shown.assign(note=notes) if (notes != "").any() else shown


def _columns(rows: pd.DataFrame, ratio: str, part: str, first: Any) -> pd.DataFrame:
    words = [ratio_words(row, ratio) for row in rows.to_dict("records")]
    return pd.DataFrame(
        {
            f"{ratio}_{part}": words,
            f"p_{part}": rows["p"].to_numpy(dtype=float),
            f"p_lr_{part}": np.where(first, rows["p_term"].to_numpy(dtype=float), np.nan),
        }
    )


def _name(row: Mapping[Any, Any], labels: Mapping[str, str]) -> str:
    label = labels.get(row["term"], row["term"])
    return f"{label}: {row['level']}" if row["level"] else label
