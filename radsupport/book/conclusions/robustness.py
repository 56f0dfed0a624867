"""Chapter 09 in words: whether a signature is better than size and the clinic, and whether it survives its controls."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import cohorts_in_order
from radsupport.wording import counted, estimate, listed, p_value, tick

Row = Mapping[Any, Any]


def compared(others: Sequence[str], lacking: Sequence[str], source: str, best: str) -> str:
    """Say with what signatures of images are compared, where the volume comes from, and what is lacking."""
    lines = [f"The signature of this page's short answer is {best}."]
    lines += [f"Signatures are set beside {listed(others)}."] if others else []
    lines += [f"The volume is that of {source}."] if source else []
    missing = "; ".join(lacking)
    lines += [f"**Not compared**: {missing}."] if missing else []
    return " ".join(lines)


def verdict(row: Row) -> str:
    """Say whether a signature is better than another one: by P and by the interval, which have to agree."""
    p, low, high = (float(row.get(key, np.nan)) for key in ("p", "difference_low", "difference_high"))
    if not np.isfinite([p, low, high]).all():
        return "not tested"
    if (p < 0.05) == (low <= 0 <= high):
        return "undecided, as P and interval disagree"
    if p < 0.05:
        return "better" if row["difference"] > 0 else "**worse**"
    return "not shown to be better or worse"


def beside(table: pd.DataFrame, best: str, names: Mapping[str, str], pooled: Collection[str] = ()) -> list[str]:
    """Word the comparisons of one signature, a line for each of the others, other cohorts than training first.

    Parameters
    ----------
    table : DataFrame
        `evaluate.comparators.beside`.
    best : str
    names : mapping of cohort to name
    pooled : collection of str
        Cohorts of several centers.
    """
    own = table[table["signature"] == best].astype({"cohort": str})
    order = [key for key in cohorts_in_order(own["cohort"]) if key != "train"] + ["train"]
    lines = []
    for other, part in own.groupby("beside", sort=False):
        rows = {row["cohort"]: row for row in part.to_dict("records")}
        words = [_one(rows[key], names, key in pooled) for key in order if key in rows]
        lines.append(f"{best} beside {other}: {'; '.join(words)}.")
    return lines


def _one(row: Row, names: Mapping[str, str], pooled: bool) -> str:
    where = f"{names[str(row['cohort'])]} (n = {row['n']}, {counted(int(row['events']), 'event')})"
    limits = (float(row[f"difference{end}"]) for end in ("", "_low", "_high"))
    numbers = f"{estimate(*limits, 3)}, {p_value(row['p'], name='P')}{', pooled over centers' * pooled}"
    return f"{verdict(row)} in {where}, {row['measure']} difference {numbers}"


def tests(table: pd.DataFrame) -> str:
    """Count the comparisons and those below 0.05, and say how many chance alone would give."""
    tested = table.dropna(subset=["p"])
    if tested.empty:
        return ""
    small, kept = (int((tested[key].astype(float) < 0.05).sum()) for key in ("p", "p_adjusted"))
    better = int((tested["difference"][tested["p"].astype(float) < 0.05] > 0).sum())
    return (
        f"{counted(len(tested), 'comparison')} on this page: {small} with P < 0.05 ({better} in favour of the "
        f"signature), {kept} after Holm's adjustment within a cohort; {tick(0.05 * len(tested))} would be expected if "
        "nothing differed. A large P does not show that two are equal."
    )


def in_parts(table: pd.DataFrame, best: str, labels: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Say whether a signature does alike in parts of the patients, and how many tests stand behind it.

    Parameters
    ----------
    table : DataFrame
        What `evaluate.subgroups.in_parts` returns.
    best : str
        The signature.
    labels : mapping of column to words
    names : mapping of cohort to name
    """
    divisions = table[table["column"] != ""].drop_duplicates(["cohort", "column"])
    tested = divisions.dropna(subset=["p_interaction"])
    untested = len(divisions) - len(tested)
    rest = f" {counted(untested, 'further division')} could not be tested: a part is too small." if untested else ""
    if tested.empty:
        return f"Nothing can be said of {best} in parts of the patients: no test of interaction was possible.{rest}"
    kept = tested[tested["p_adjusted"] < 0.05]
    where = [f"{labels[r['column']]} in {names[r['cohort']]} ({p_value(r['p_adjusted'], name='Holm P')})"
             for r in kept.to_dict("records")]  # fmt: skip
    small = int((tested["p_interaction"] < 0.05).sum())
    head = f"{counted(len(tested), 'test')} of interaction of {best}, {small} with P < 0.05"
    head += f" ({tick(0.05 * len(tested))} expected by chance)"
    if where:
        return (
            f"{head}; after Holm's adjustment within a cohort the risk means something else by {listed(where)}.{rest}"
        )
    return (
        f"{head}, none after Holm's adjustment within a cohort. Parts are small: that no difference is shown does not "
        f"mean that the signature does alike in all of them.{rest}"
    )


def in_short(table: pd.DataFrame, best: str, names: Mapping[str, str], lacking: Sequence[str]) -> tuple[str, str]:
    """Return the short answer and all that was found about size and the clinic."""
    lines = beside(table, best, names)
    missing = [f"**Not compared**: {'; '.join(lacking)}."] if lacking else []
    lines = lines or ["Nothing of this study could be set beside size or the clinic."]
    short, full = ([*own, *missing, tests(table)] for own in (lines[:2], lines))
    return "\n".join(filter(None, short)), "\n".join(filter(None, full))
