"""Baseline tables as journals print them: headings, labels, levels below their variable, the test of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.data.open import COX, LOG_RANK
from radsupport.settings.columns import Column
from radsupport.settings.study import Study
from radsupport.stats.table_one import adjust_p, baseline_table
from radsupport.wording import fixed, number

INDENT = "\u2003"
SMALL = 10.0
"""Numbers with a median below this are given with two decimals, others with one."""
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
    LOG_RANK: "log-rank test",
    COX: "Cox regression, likelihood-ratio test",
}
FREEMAN_HALTON = "Fisher's exact test (Freeman–Halton)"
SYMBOLS = {
    "student_t": "t", "welch_t": "t", "mann_whitney": "U", "anova": "F", "welch_anova": "F", "kruskal": "H",
    "chi_square": "χ²", "chi_square_yates": "χ²", "fisher": "odds ratio",
    LOG_RANK: "χ²", COX: "χ²",
}  # fmt: skip


def printed_table(
    table: pd.DataFrame,
    by: str,
    study: Study,
    names: Mapping[str, str],
    tests: Mapping[str, str],
    columns: Sequence[str] | None = None,
    instead: pd.DataFrame | None = None,
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
    instead : DataFrame, optional
        test, statistic, p by column (index): tests of another outcome than membership of a group, such as a time to
        an event (`radsupport.data.open`). They replace those between the groups.

    Returns
    -------
    pandas.DataFrame
        Characteristic, one column per group (with its n), Missing (where any value is), Test, Statistic (such as
        "U = 140"), P (and P_adjusted). The index names the study's column in a variable's first row and is ""
        elsewhere. Statistics follow the order that is shown: groups as in `names`, levels as in the study file
        (`statistic_notes` says how to read them).
    """
    chosen = list(columns if columns is not None else study.columns)
    settings = study.cohort_tables
    adjust = None if settings.adjust == "none" else settings.adjust
    plain = _ordered(table, by, study, names, chosen)
    asked = {name: test for name, test in tests.items() if name in chosen}
    kinds = {name: "continuous" if study.columns[name].kind == "number" else "categorical" for name in chosen}
    options: Any = {"kinds": kinds, "tests": asked, "alpha": settings.normality_alpha}
    found, finer = (baseline_table(plain, by, chosen, decimals=decimals, **options) for decimals in (1, 2))
    small = [name for name in chosen if kinds[name] == "continuous" and plain[name].abs().median() < SMALL]
    found = found.where(~found["variable"].isin(small), finer)
    found = _with_p(found, instead, adjust)
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
    missing = ["Missing"] if result["Missing"].fillna(0).sum() else []
    order = ["Characteristic", *headers.values(), *missing, "Test", "Statistic", "P"]
    result = result.reindex(columns=order if adjust is None else [*order, "P_adjusted"])
    text = ["Characteristic", *headers.values(), "Test", "Statistic"]
    return result.assign(**{name: result[name].fillna("") for name in text})


def _ordered(table: pd.DataFrame, by: str, study: Study, names: Mapping[str, str], chosen: list[str]) -> pd.DataFrame:
    """Return the rows of the groups, with groups and levels as categories in the order in which they are shown."""
    plain = table.assign(**{by: table[by].map(_as_text)})
    plain = plain[plain[by].isin(list(names))]
    ordered = {by: pd.Categorical(plain[by], list(names))}
    for name in chosen:
        column = study.columns[name]
        if column.kind != "number":
            values = plain[name].astype(object).map(str, na_action="ignore")
            others = sorted(set(values.dropna()) - set(column.levels))
            ordered[name] = pd.Categorical(values, [*column.levels, *others])
    return plain.assign(**ordered)


def _with_p(found: pd.DataFrame, instead: pd.DataFrame | None, adjust: str | None) -> pd.DataFrame:
    """Return a baseline table with other tests in place of its own where they are given, and adjusted P-values."""
    result = found.copy()
    if instead is not None:
        rows = result["missing"].notna() & result["variable"].isin(instead.index)
        for name in ("test", "statistic", "p"):
            result.loc[rows, name] = instead.loc[result.loc[rows, "variable"], name].to_numpy()
    return result if adjust is None else result.assign(p_adjusted=adjust_p(result["p"], adjust))


def _as_text(value: object) -> str:
    """Return a group's value as text: 0 and 1 for outcomes stored as floats."""
    return str(int(value)) if isinstance(value, float) and np.isfinite(value) else str(value)


def _variable_rows(
    name: str, column: Column, part: pd.DataFrame, groups: list[str], inside: bool
) -> list[dict[str, object]]:
    """Return one variable: a row for a number, a row and its levels for a category."""
    first, shift = part.iloc[0], INDENT if inside else ""
    label = f"{column.label} ({column.unit})" if column.unit else column.label
    levels = part[part["level"] != "missing"]
    test = {
        "Missing": first["missing"],
        "Test": _test_words(str(first["test"]), len(levels), len(groups)),
        "Statistic": _statistic_words(str(first["test"]), float(first["statistic"])),
        "P": first["p"],
        "P_adjusted": first.get("p_adjusted", np.nan),
    }
    if column.kind == "number":
        words = {"key": name, "Characteristic": f"{shift}{label}, {first['level']}"}
        return [words | {group: first[group] for group in groups} | test]
    rows: list[dict[str, object]] = [{"key": name, "Characteristic": f"{shift}{label}"} | test]
    for row in levels.to_dict("records"):
        line = {"key": "", "Characteristic": f"{shift}{INDENT}{row['level']}"}
        rows.append(line | {group: row[group] for group in groups})
    return rows


def _test_words(test: str, levels: int, groups: int) -> str:
    if test == "fisher" and max(levels, groups) > 2:
        return FREEMAN_HALTON
    return TEST_WORDS.get(test, test)


def _statistic_words(test: str, value: float) -> str:
    """Word a statistic: ratios with three digits, counts of pairs to one half, others with two decimals."""
    if test not in SYMBOLS or np.isnan(value):
        return ""
    if test == "fisher":
        return f"{SYMBOLS[test]} = {number(value)}"
    halves = test == "mann_whitney"
    return f"{SYMBOLS[test]} = {fixed(value, (0 if value % 1 == 0 else 1) if halves else 2)}"
