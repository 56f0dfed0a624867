"""The tables that the four papers printed, in their own layout, each value with this build's below it.

Nothing is computed here: ``claims/data/printed_tables.csv`` holds every printed cell with the key of the number that a
chapter of this build has for it, or with the reason why there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import pandas as pd

from radsupport.book.printed import number_words, places
from radsupport.settings.study import Study

BLANK = "–"
"""A cell that the paper leaves empty."""
NOT_HERE = "not in this run"
"""This build's value could not be estimated here, as a hazard ratio without an event in a group."""
PER_CENT = "%"


@cache
def printed_cells() -> pd.DataFrame:
    """Return every cell of the printed tables, in the order of print.

    Returns
    -------
    pandas.DataFrame
        study, chapter (that shows it, such as "06"), table (as the paper calls it), note (whose values these are, with
        their numbers of patients), row and column (as printed), printed (the text), and either ours (key of a number
        of that chapter) or reason (why this build has none; "reference" of a reference level).
    """
    with (resources.files("radsupport.claims") / "data" / "printed_tables.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def cells_of(study: Study, chapter: str = "") -> pd.DataFrame:
    """Return the printed cells of one study, or of one of its chapters."""
    cells = printed_cells()
    return cells[(cells["study"] == study.id) & (cells["chapter"].eq(chapter) | (not chapter))]


def printed_tables(study: Study, chapter: str, numbers: Mapping[str, Mapping[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the paper's tables that belong to one chapter, by caption.

    Parameters
    ----------
    study : Study
    chapter : str
        Number of the chapter, such as "06".
    numbers : mapping
        value, n, ci_low, ci_high by key, as chapters publish them.

    Returns
    -------
    dict of str to pandas.DataFrame
        Two rows for each printed one, "printed" and "here", in the columns of print, and the patients here; no tables
        of a study or chapter that quotes none.
    """
    found = {}
    who = "synthetic patients of study" if study.is_synthetic else "study"
    for (table, note), cells in cells_of(study, chapter).groupby(["table", "note"], sort=False):
        found[f"{table} of the paper, as printed and here ({who} {study.id}): {note}"] = laid_out(cells, numbers)
    return found


def laid_out(cells: pd.DataFrame, numbers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return one printed table with this build's values, two rows for each printed one; no cell is empty."""
    blank, rows = dict.fromkeys(cells["column"], BLANK), []
    for row, part in cells.groupby("row", sort=False):
        here = [cell["reason"] or words_here(cell, numbers.get(cell["ours"])) for _, cell in part.iterrows()]
        sizes = dict.fromkeys(str(numbers[key]["n"]) for key in part["ours"] if numbers.get(key, {}).get("n"))
        first, second = ({"row": row, "whose": whose} | blank for whose in ("printed", "here"))
        rows.append(first | dict(zip(part["column"], part["printed"], strict=True)) | {"patients here": BLANK})
        patients = ", ".join(sizes) or BLANK
        rows.append(second | dict(zip(part["column"], here, strict=True)) | {"patients here": patients})
    return pd.DataFrame(rows)


def words_here(cell: Mapping[str, str] | pd.Series, found: Mapping[str, Any] | None) -> str:
    """Word this build's value of one cell like the printed one: with as many decimals, in per cent where that is."""
    if found is None:
        return NOT_HERE
    if not cell["printed"].endswith(PER_CENT) or not isinstance(found["value"], float):
        return number_words(cell["ours"], found, places(cell["printed"]))
    hundredfold = {key: 100 * found[key] for key in ("value", "ci_low", "ci_high") if found.get(key) is not None}
    return number_words(cell["ours"], {**found, **hundredfold}, 1) + PER_CENT
