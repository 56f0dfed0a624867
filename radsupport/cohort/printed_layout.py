"""Baseline tables as journals print them: headings, labels, levels below their variable, the test of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from radsupport.cohort.tables import baseline_table
from radsupport.study_schema import Column, Study

INDENT = "\u2003"
TEST_WORDS = {
    "student_t": "Student's t test",
    "welch_t": "Welch's t test",
    "mann_whitney": "Mann–Whitney U test",
    "anova": "analysis of variance",
    "welch_anova": "Welch's analysis of variance",
    "kruskal": "Kruskal–Wallis test",
    "chi_square": "Pearson's chi-square test",
    "chi_square_yates": "chi-square test with Yates' correction",
    "fisher": "Fisher's exact test",
}
FREEMAN_HALTON = "Fisher's exact test (Freeman–Halton)"


def printed_table(
    table: pd.DataFrame,
    by: str,
    study: Study,
    names: Mapping[str, str],
    tests: Mapping[str, str],
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return a baseline table in the layout of the papers.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of the table `cohort`.
    by : str
        Column of the groups.
    study : Study
        Labels, units, headings and levels of its columns, and `cohort_tables`.
    names : mapping
        Values of `by` (as text) to the words of the header, in their order.
    tests : mapping
        Column to the test that the paper names; others are chosen from the data.
    columns : sequence of str, optional
        What to describe; every column of the study by default.

    Returns
    -------
    pandas.DataFrame
        Characteristic, one column per group (with its n), Missing, Test, Statistic, P (and P adjusted). The index
        names the study's column in a variable's first row and is "" elsewhere.
    """
    chosen = list(columns if columns is not None else study.columns)
    settings = study.cohort_tables
    adjust = None if settings.adjust == "none" else settings.adjust
    plain = table.assign(**{by: table[by].map(_as_text)})
    plain = plain[plain[by].isin(list(names))]
    asked = {name: test for name, test in tests.items() if name in chosen}
    kinds = {name: "continuous" if study.columns[name].kind == "number" else "categorical" for name in chosen}
    found = baseline_table(plain, by, chosen, kinds=kinds, tests=asked, adjust=adjust, alpha=settings.normality_alpha)
    groups = [name for name in names if name in found]
    sizes = found.iloc[0]
    headers = {name: f"{names[name]} (n = {sizes[name]})" for name in groups}
    rows: list[dict[str, object]] = []
    heading = ""
    for name in chosen:
        column, part = study.columns[name], found[found["variable"] == name]
        if column.group and column.group != heading:
            rows.append({"key": "", "Characteristic": column.group})
        heading = column.group
        rows += _variable_rows(name, column, part, groups, bool(column.group))
    result = pd.DataFrame(rows).rename(columns=headers).set_index("key")
    order = ["Characteristic", *headers.values(), "Missing", "Test", "Statistic", "P", "P_adjusted"]
    return _blank_text(result.reindex(columns=order[:-1] if adjust is None else order))


def _as_text(value: object) -> str:
    """Return a group's value as text: 0 and 1 for outcomes stored as floats."""
    return str(int(value)) if isinstance(value, float) and np.isfinite(value) else str(value)


def _variable_rows(
    name: str, column: Column, part: pd.DataFrame, groups: list[str], inside: bool
) -> list[dict[str, object]]:
    """Return one variable: a row for a number, a row and its levels for a category."""
    first, shift = part.iloc[0], INDENT if inside else ""
    label = f"{column.label} ({column.unit})" if column.unit else column.label
    adjusted = next((first[c] for c in part.columns if str(c).startswith("p_")), np.nan)
    levels = part[part["level"] != "missing"]
    test = {
        "Missing": first["missing"],
        "Test": _test_words(str(first["test"]), len(levels), len(groups)),
        "Statistic": first["statistic"],
        "P": first["p"],
        "P_adjusted": adjusted,
    }
    if column.kind == "number":
        words = {"key": name, "Characteristic": f"{shift}{label}, {first['level']}"}
        return [words | {group: first[group] for group in groups} | test]
    rows: list[dict[str, object]] = [{"key": name, "Characteristic": f"{shift}{label}"} | test]
    order = {level: i for i, level in enumerate(column.levels)}
    for row in sorted(levels.to_dict("records"), key=lambda row: order.get(row["level"], len(order))):
        line = {"key": "", "Characteristic": f"{shift}{INDENT}{row['level']}"}
        rows.append(line | {group: row[group] for group in groups})
    return rows


def _test_words(test: str, levels: int, groups: int) -> str:
    if test == "fisher" and max(levels, groups) > 2:
        return FREEMAN_HALTON
    return TEST_WORDS.get(test, test)


def _blank_text(table: pd.DataFrame) -> pd.DataFrame:
    """Leave text cells empty where a row has none, such as under a heading."""
    text = [name for name in table.columns if name not in ("Missing", "Statistic", "P", "P_adjusted")]
    table[text] = table[text].fillna("")
    return table.astype({"Missing": object})
