"""Table 1: a cohort described by group, with missing counts and a named test in each row.

Own layout because tableone formats neither mean ± SD nor median (IQR) as journals print them, chooses
Kruskal-Wallis for two groups, and leaves Fisher's test to 2 x 2 tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from radsupport.checks import FloatArray
from radsupport.cohort.comparison import (
    NUMERIC_TESTS,
    TESTS,
    GroupComparison,
    choose_numeric,
    compare_groups,
    is_categorical,
)
from radsupport.cohort.paired import PairedComparison, compare_paired
from radsupport.errors import InputError, NotEstimableError
from radsupport.report.wording import counted, estimate, fixed

__all__ = [
    "NUMERIC_TESTS",
    "TESTS",
    "GroupComparison",
    "PairedComparison",
    "adjust_p",
    "baseline_table",
    "compare_groups",
    "compare_paired",
]

_BY_MEAN = ("student_t", "welch_t", "anova", "welch_anova")
_ADJUSTMENTS = {
    "bh": "fdr_bh",
    "fdr": "fdr_bh",
    "by": "fdr_by",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "hommel": "hommel",
    "bonferroni": "bonferroni",
}


def adjust_p(p: Any, method: str = "bh") -> FloatArray:
    """Adjust p-values for multiple testing.

    Parameters
    ----------
    p : array-like, shape (n,)
        NaN stays NaN and does not count as a test.
    method : str
        bh (Benjamini-Hochberg; also fdr), by, holm, hochberg, hommel, bonferroni or none; upper case is accepted.

    Returns
    -------
    ndarray, shape (n,)
        Adjusted p-values, as R's p.adjust (statsmodels).

    Raises
    ------
    InputError
        Unknown method, or a value outside 0-1.
    """
    name = method.lower()
    if name not in (*_ADJUSTMENTS, "none"):
        raise InputError(f"`method` is {method!r}; expected one of {', '.join([*_ADJUSTMENTS, 'none'])}.")
    values = np.atleast_1d(np.asarray(p, dtype=float))
    if values.ndim != 1 or ((values < 0) | (values > 1)).any():
        raise InputError("`p` must be one-dimensional, with values between 0 and 1 or NaN.")
    adjusted, known = values.copy(), ~np.isnan(values)
    if name != "none" and known.any():
        adjusted[known] = multipletests(values[known], method=_ADJUSTMENTS[name])[1]
    return adjusted


def baseline_table(
    table: pd.DataFrame,
    by: str,
    columns: Sequence[str],
    kinds: Mapping[str, str] | None = None,
    tests: Mapping[str, str] | None = None,
    adjust: str | None = None,
    decimals: int = 1,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Describe columns by group: Table 1 by cohort, by outcome, or by any other grouping.

    Parameters
    ----------
    table : DataFrame
        One row per subject.
    by : str
        Column of the groups; subjects without a group are left out.
    columns : sequence of str
        What to describe, in this order.
    kinds : mapping of column to {"continuous", "categorical"}, optional
        Default: numbers with more than two distinct values are continuous.
    tests : mapping of column to test name, optional
        Overrides the automatic choice of `compare_groups`.
    adjust : str, optional
        Method of `adjust_p`; adds the column `p_<method>`, over all rows with a p-value.
    decimals : int
        Of means, medians and percentages.
    alpha : float
        Level of the normality test that chooses mean ± SD or median (IQR), and the test. A test that was asked for
        decides: mean ± SD with tests of means, median (IQR) with rank tests.

    Returns
    -------
    DataFrame
        `variable, level, overall, <one column per group>, missing, test, statistic, p` (and `p_<method>`), with text in
        the cells: "mean ± SD", "median (Q1–Q3)" or "count (percent)" of those with a value. `level` says which, or
        names the category; a level "missing" follows where values are missing. The first row counts subjects. Test
        columns are filled in a variable's first row only; where no test exists, `test` says why and p is NaN.

    Raises
    ------
    InputError
        Columns that do not exist or are named like an output column, unknown kinds or tests, all listed at once.
    NotEstimableError
        Fewer than two groups.
    """
    _check(table, by, columns, dict(kinds or {}), dict(tests or {}))
    grouped = table[table[by].notna()]
    group = grouped[by].astype("category").cat.remove_unused_categories()
    if group.nunique() < 2:
        raise NotEstimableError(
            f"The column {by} holds {counted(group.nunique(), 'group')}; a comparison needs at least two."
        )
    members = {"overall": np.ones(len(grouped), dtype=bool)}
    members |= {str(level): (group == level).to_numpy() for level in group.cat.categories}
    parts = [pd.DataFrame([{"variable": "n", "level": ""} | {name: str(int(m.sum())) for name, m in members.items()}])]
    for column in columns:
        kind = (kinds or {}).get(column) or ("categorical" if is_categorical(grouped[column]) else "continuous")
        asked = (tests or {}).get(column, "auto")
        normal = asked in _BY_MEAN if asked in NUMERIC_TESTS else None
        rows = _rows(grouped[column], group, members, kind, decimals, alpha, normal)
        rows.insert(0, "variable", column)
        for name, value in _tested(grouped[column], group, asked, kind, alpha).items():
            rows[name] = pd.Series([value], index=[0])
        rows["missing"] = pd.Series([int(grouped[column].isna().sum())], index=[0], dtype="Int64")
        parts.append(rows)
    result = pd.concat(parts, ignore_index=True)
    result = result[["variable", "level", *members, "missing", "test", "statistic", "p"]]
    result["test"] = result["test"].fillna("")
    if adjust is not None:
        result[f"p_{adjust.lower()}"] = adjust_p(result["p"], adjust)
    return result


def _check(table: pd.DataFrame, by: str, columns: Sequence[str], kinds: dict[str, str], tests: dict[str, str]) -> None:
    problems = [f"no column {name}" for name in (by, *columns) if name not in table.columns]
    problems += [
        f"kind {kind!r} of {name}" for name, kind in kinds.items() if kind not in ("continuous", "categorical")
    ]
    problems += [f"test {test!r} of {name}" for name, test in tests.items() if test not in ("auto", *TESTS)]
    text = [name for name in columns if name in table.columns and not pd.api.types.is_numeric_dtype(table[name])]
    problems += [f"{name} is text, not continuous" for name in text if kinds.get(name) == "continuous"]
    reserved = {"variable", "level", "overall", "missing", "test", "statistic", "p"}
    levels = set(table[by].dropna().astype(str)) if by in table.columns else set()
    problems += [f"group named {name} like an output column" for name in sorted(levels & reserved)]
    if problems:
        raise InputError(f"The baseline table can not be made: {'; '.join(problems)}.")


def _tested(values: pd.Series, group: pd.Series, test: str, kind: str, alpha: float) -> dict[str, Any]:
    try:
        found = compare_groups(values, group, test, kind, alpha)
    except NotEstimableError as error:
        return {"test": f"not estimable: {error}", "statistic": np.nan, "p": np.nan}
    return {"test": found.test, "statistic": found.statistic, "p": found.p}


def _rows(
    values: pd.Series,
    group: pd.Series,
    members: dict[str, Any],
    kind: str,
    decimals: int,
    alpha: float,
    normal: bool | None,
) -> pd.DataFrame:
    """Cells of one variable: a line, or one line per level, and a line of missing counts where any is missing."""
    if kind == "continuous":
        number = values.to_numpy(dtype=float, na_value=np.nan)
        if normal is None:
            normal = _all_normal(number, [m for name, m in members.items() if name != "overall"], alpha)
        cells = {name: _spread(number[m], normal, decimals) for name, m in members.items()}
        rows = [{"level": "mean ± SD" if normal else "median (Q1–Q3)"} | cells]
    else:
        levels = values.astype("category").cat.remove_unused_categories().cat.categories
        known = {name: m & values.notna().to_numpy() for name, m in members.items()}
        rows = [
            {"level": str(level)}
            | {name: _share((values == level).to_numpy()[m].sum(), m.sum(), decimals) for name, m in known.items()}
            for level in levels
        ]
    absent = values.isna().to_numpy()
    if absent.any() or not rows:
        rows.append(
            {"level": "missing"} | {name: _share(absent[m].sum(), m.sum(), decimals) for name, m in members.items()}
        )
    return pd.DataFrame(rows)


def _all_normal(number: FloatArray, groups: list[Any], alpha: float) -> bool:
    samples = [number[m & np.isfinite(number)] for m in groups]
    return choose_numeric(samples, alpha)[0] in ("welch_t", "anova")


def _spread(values: FloatArray, normal: bool, decimals: int) -> str:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "–"
    if normal:
        return f"{fixed(known.mean(), decimals)} ± {fixed(known.std(ddof=1), decimals)}"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return estimate(middle, low, high, decimals)


def _share(count: Any, total: Any, decimals: int) -> str:
    return f"{int(count)} ({100 * count / total:.{decimals}f})" if total else "0 (–)"
