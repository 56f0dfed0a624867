"""What is printed elsewhere: values beside ours, what to keep in mind, and baseline tables as journals lay them out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsupport.settings.parts import Column
from radsupport.settings.study import Study
from radsupport.stats.table_one import COX, LOG_RANK, baseline_table
from radsupport.wording import estimate, fixed, number, p_number, until_reached


def printed_beside(study: Study, chapter: str, numbers: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return what the paper printed for one chapter, beside the values of this build.

    Parameters
    ----------
    study : Study
        Its `published` entries name the chapter and, as `ours`, a number of this build.
    chapter : str
        Number of the chapter, such as "01".
    numbers : mapping
        What chapters published: value, n, ci_low, ci_high by key.

    Returns
    -------
    pandas.DataFrame
        item, printed in, published, this build, patients here; no rows where nothing was printed.
    """
    rows = []
    for entry in study.published:
        if entry.chapter == chapter:
            found = numbers.get(entry.ours)
            row: dict[str, Any] = {"item": entry.item, "printed in": entry.where, "published": _digits(entry.value)}
            ours = number_words(entry.ours, found, places(entry.value))
            rows.append(row | {"this build": ours, "patients here": (found or {}).get("n")})
    return pd.DataFrame(rows, columns=["item", "printed in", "published", "this build", "patients here"])


def _digits(printed: str) -> str:
    """Return a printed value with numbers of more than four decimals rounded to four."""
    return re.sub(r"\d+\.\d{5,}", lambda found: fixed(float(found[0]), 4), printed)


def places(printed: str) -> int:
    """Return how many decimals a value has that stands beside a printed one: as many, but two or three."""
    found = re.search(r"\d*\.(\d+)", printed)
    return min(max(len(found[1]), 2), 3) if found else 2


def number_words(key: str, found: Mapping[str, Any] | None, decimals: int = 2) -> str:
    """Word one number of this build: a p-value by its key (``p_…``, ``…_p_…``, ``…_p``), else with its interval."""
    if found is None:
        return "not computed"
    value, low, high = found["value"], found.get("ci_low"), found.get("ci_high")
    if isinstance(value, str):
        return value
    if value is None or math.isnan(value):
        return "not estimable"
    if key.startswith("p_") or key.endswith("_p") or "_p_" in key:
        return p_number(float(value))
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        return estimate(float(value), float(low), float(high), decimals)
    if key.startswith("median_") and low is not None and math.isfinite(low):
        if high is not None and math.isinf(high):  # the curve's band stays above one half
            return until_reached(estimate(float(value), float(low), math.inf, decimals))
        return f"{fixed(float(value), decimals)} (from {fixed(float(low), decimals)})"
    return number(float(value)) if float(value).is_integer() else fixed(float(value), decimals)


def cautions_of(study: Study, chapter: str) -> list[str]:
    """Return what a reader of one chapter must know: its own limits and contradictions in print.

    Those of no chapter are of the study as a whole: they stand on its page, and after chapter 01's own.
    """
    own = [caution.text for caution in study.cautions if chapter in caution.chapters]
    return [*own, *(caution.text for caution in study.cautions if chapter == "01" and not caution.chapters)]


def cautions_words(study: Study, chapter: str) -> str:
    """Return the cautions of one chapter as a Markdown list, or that the study file has none."""
    found = cautions_of(study, chapter)
    return "\n".join(f"- {text}" for text in found) if found else "The study file names no caution for this page."


def printed_words(study: Study, chapter: str = "", *, laid_out: bool = False) -> str:
    """Say what printed values can and can not show for this study, or that a chapter has none, laid out or listed.

    Empty of a study that quotes none at all.
    """
    if not study.published:
        return ""
    if chapter and not laid_out and not any(entry.chapter == chapter for entry in study.published):
        return "The study file quotes no printed value for this chapter."
    if study.is_synthetic:
        return (
            "What the paper printed, beside the same quantity of this build. The patients here are synthetic: "
            "agreement shows nothing about the paper, and disagreement nothing against it. The table shows which of "
            "the printed numbers this page recomputes."
        )
    return "What was printed for these data, beside the same quantity of this build."


INDENT = "\u2003"
SMALL = 10.0
"""Numbers with a median below this are given with two decimals, others with one."""
TESTS = {
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
ADJUSTED = "P (Benjamini–Hochberg)"
FREEMAN_HALTON = "Fisher's exact test (Freeman–Halton)"
SYMBOLS = {
    "student_t": "t", "welch_t": "t", "mann_whitney": "U", "anova": "F", "welch_anova": "F", "kruskal": "H",
    "chi_square": "χ²", "chi_square_yates": "χ²", "fisher": "odds ratio",
    LOG_RANK: "χ²", COX: "χ²",
}  # fmt: skip


def printed_baseline(
    table: pd.DataFrame,
    by: str,
    columns: Mapping[str, Column],
    groups: Mapping[str, str],
    tests: Mapping[str, str] | None = None,
    *,
    alpha: float = 0.05,
    adjust: str = "none",
    survival: tuple[str, str] | None = None,
) -> pd.DataFrame:
    """Return a baseline table in the layout of the papers.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of the table `cohort`.
    by : str
        Column of the groups.
    columns : mapping
        What to describe: columns of the study with their labels, units, headings and levels.
    groups : mapping
        Values of `by` (as text) to the words of the header, in their order.
    tests : mapping, optional
        Column to the test that the paper names; others are chosen from the data.
    alpha : float
        Level of the normality test that chooses between means and medians.
    adjust : {"none", "bh"}
        Whether a column of adjusted P-values is added.
    survival : tuple of str, optional
        Columns of time and event: tests that the paper does not name are then those of the time
        (`radsupport.stats.table_one.baseline_table`).

    Returns
    -------
    pandas.DataFrame
        Characteristic, one column per group (with its n), Missing (where any value is), Test, Statistic (such as
        "U = 140"), P and, where adjusted, P (Benjamini-Hochberg), all as text. ``attrs["p"]`` holds P as
        numbers by column, ``attrs["cells"]`` what `radsupport.stats.table_one.baseline_table` made. Statistics follow
        the order that is shown: groups as in `groups`, levels as in the study file
        (`radsupport.book.conclusions.cohort.directions` says how to read them). No rows where there is nothing to
        describe, or one group.
    """
    plain = _ordered(table, by, columns, groups)
    if not columns or plain[by].nunique() < 2:
        return pd.DataFrame()
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    found = baseline_table(
        plain, by, list(columns),
        {name: "continuous" if name in numbers else "categorical" for name in columns},
        {name: test for name, test in (tests or {}).items() if name in columns},
        adjust=adjust, alpha=alpha, survival=survival,
        decimals={name: 2 for name in numbers if plain[name].abs().median() < SMALL},
    )  # fmt: skip
    sizes = {name: found[name].iloc[0] for name in groups if name in found}
    headers = {name: f"{groups[name]} (n = {n})" for name, n in sizes.items()}
    rows: list[dict[str, object]] = []
    heading = ""
    for name, column in columns.items():
        part = found[found["variable"] == name].rename(columns={f"p_{adjust}": "p_adjusted"})
        if column.group and column.group != heading:
            rows.append({"Characteristic": column.group})
        heading = column.group
        rows += _variable_rows(column, part, list(sizes))
    shown = pd.DataFrame(rows).rename(columns=headers)
    order = ["Characteristic", *headers.values(), "Missing", "Test", "Statistic", "P", ADJUSTED]
    left = [] if found["missing"].fillna(0).any() else ["Missing"]
    left += [] if adjust != "none" else [ADJUSTED]
    shown = shown.reindex(columns=[name for name in order if name not in left]).fillna("")
    shown.attrs["p"] = found.dropna(subset=["p"]).set_index("variable")["p"].to_dict()
    shown.attrs["cells"] = found.to_dict("list")
    return shown


def _ordered(table: pd.DataFrame, by: str, columns: Mapping[str, Column], groups: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of the groups, with groups and levels as categories in the order in which they are shown."""
    plain = table.assign(**{by: table[by].map(_as_text)})
    plain = plain[plain[by].isin(list(groups))]
    ordered = {by: pd.Categorical(plain[by], list(groups))}
    for name, column in columns.items():
        if column.kind != "number":
            values = plain[name].astype(object).map(_as_text, na_action="ignore")
            if not set(values) & set(column.levels):  # codes of an outcome, which reading leaves as they are
                values = values.replace(column.recode)
            others = sorted(set(values.dropna()) - set(column.levels))
            ordered[name] = pd.Categorical(values, [*column.levels, *others])
    return plain.assign(**ordered)


def _as_text(value: object) -> str:
    """Return a group's value as text: 0 and 1 for outcomes stored as floats."""
    return str(int(value)) if isinstance(value, float) and np.isfinite(value) else str(value)


def _variable_rows(column: Column, part: pd.DataFrame, groups: list[str]) -> list[dict[str, object]]:
    """Return one variable: a row for a number, a row and its levels for a category."""
    first, shift = part.iloc[0], INDENT if column.group else ""
    label = f"{column.label} ({column.unit})" if column.unit else column.label
    levels = part[part["level"] != "missing"]
    test = str(first["test"])
    words: dict[str, object] = {
        "Characteristic": f"{shift}{label}",
        "Missing": str(first["missing"]),
        "Test": FREEMAN_HALTON if test == "fisher" and max(len(levels), len(groups)) > 2 else TESTS.get(test, test),
        "Statistic": _statistic_words(test, float(first["statistic"])),
        "P": _p_words(first["p"]),
        ADJUSTED: _p_words(first.get("p_adjusted", np.nan)),
    }
    if column.kind == "number":
        named = f"{shift}{label}, {first['level']}"
        return [words | {"Characteristic": named} | {group: first[group] for group in groups}]
    lines = [{"Characteristic": f"{shift}{INDENT}{row['level']}"} | row for row in levels.to_dict("records")]
    return [words, *({key: line[key] for key in ("Characteristic", *groups)} for line in lines)]


def _p_words(p: float) -> str:
    return "" if pd.isna(p) else p_number(p)


def _statistic_words(test: str, value: float) -> str:
    """Word a statistic: ratios with three digits, counts of pairs to one half, others with two decimals."""
    if test not in SYMBOLS or np.isnan(value):
        return ""
    if test == "fisher":
        return f"{SYMBOLS[test]} = {number(value)}"
    halves = test == "mann_whitney"
    return f"{SYMBOLS[test]} = {fixed(value, (0 if value % 1 == 0 else 1) if halves else 2)}"
