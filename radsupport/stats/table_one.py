"""Table 1: a cohort described by group, with missing counts and a test in each row, chosen and named as papers do.

Own layout because tableone formats neither mean ± SD nor median (IQR) as journals print them, chooses
Kruskal-Wallis for two groups, and leaves Fisher's test to 2 x 2 tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_finite
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import fit_cox
from radsupport.stats.groups import (
    TableTest,
    chi_square,
    cross_table,
    expected_counts,
    fisher_exact,
    mann_whitney,
    normality_p,
)
from radsupport.stats.logrank import log_rank
from radsupport.wording import counted, estimate, fixed, p_value

NUMERIC_TESTS = ("student_t", "welch_t", "mann_whitney", "anova", "welch_anova", "kruskal")
CATEGORICAL_TESTS = ("chi_square", "chi_square_yates", "fisher")
TESTS = NUMERIC_TESTS + CATEGORICAL_TESTS
LOG_RANK, COX = "log_rank", "cox_likelihood_ratio"

_NAN = float("nan")


@dataclass(frozen=True)
class GroupComparison:
    """Result of a group comparison.

    Attributes
    ----------
    test : str
        One of `TESTS`.
    statistic : float
        t or U of the first group (the first minus the second), F, chi-square, or for a 2 x 2 Fisher test the
        conditional odds ratio: of the second value against the first, in the second group against the first (NaN
        beyond 2 x 2). Values and groups are in the order of their pandas categories, sorted otherwise.
    df : float
        Degrees of freedom; of the numerator for F; NaN for U and Fisher.
    p : float
        Two-sided.
    df2 : float
        Degrees of freedom of the denominator of F, else NaN.
    n, n_missing : int
        Subjects used, and left out because the value or the group is missing.
    reason : str
        Why this test was chosen.
    """

    test: str
    statistic: float
    df: float
    p: float
    df2: float
    n: int
    n_missing: int
    reason: str


@dataclass(frozen=True)
class _Statistic:
    statistic: float
    p: float
    df: float = _NAN
    df2: float = _NAN


def is_categorical(values: pd.Series) -> bool:
    """Whether a column counts categories: text, booleans, pandas categories, or numbers of at most two values."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return True
    return bool(values.nunique() <= 2)


def _complete(values: Any, groups: Any) -> tuple[pd.Series, pd.Series, int]:
    """Rows with both a value and a group, categories without members dropped, and how many rows were left out."""
    value = pd.Series(values).reset_index(drop=True)
    group = pd.Series(groups).reset_index(drop=True)
    if len(value) != len(group) or value.empty:
        raise InputError(f"`values` has {len(value)} and `groups` {len(group)} entries; equal numbers are needed.")
    known = value.notna() & group.notna()
    value, group = value[known], group[known]
    if isinstance(group.dtype, pd.CategoricalDtype):
        group = group.cat.remove_unused_categories()
    if group.nunique() < 2:
        raise NotEstimableError(
            f"After leaving out {counted(int((~known).sum()), 'incomplete row')}, the number of groups is "
            f"{group.nunique()}; a comparison needs at least two."
        )
    return value, group, int((~known).sum())


def _samples(value: pd.Series, group: pd.Series) -> list[FloatArray]:
    """Values of each group, groups sorted (or in the order of their categories)."""
    if not pd.api.types.is_numeric_dtype(value):
        raise InputError("`values` is not numeric; use chi_square or fisher for categories.")
    ordered = group.astype("category")
    return [as_finite(value[ordered == level], f"values of group {level}") for level in ordered.cat.categories]


def _two(samples: list[FloatArray], test: str) -> tuple[FloatArray, FloatArray]:
    if len(samples) != 2:
        raise InputError(f"{test} compares two groups, {len(samples)} were given; use anova or kruskal.")
    return samples[0], samples[1]


def _t_test(samples: list[FloatArray], equal_var: bool) -> _Statistic:
    a, b = _two(samples, "student_t" if equal_var else "welch_t")
    if min(a.size, b.size) < 2:
        raise NotEstimableError(
            f"The groups have {a.size} and {counted(b.size, 'member')}; a t test needs two in each."
        )
    means, variances, sizes = [x.mean() for x in (a, b)], [x.var(ddof=1) for x in (a, b)], (a.size, b.size)
    of_means = [v / n for v, n in zip(variances, sizes, strict=True)]
    # R's rule for data that are constant up to rounding.
    if np.sqrt(sum(of_means)) <= 10 * np.finfo(float).eps * max(np.abs(means)):
        raise NotEstimableError("The values are constant within both groups; a t test needs variation.")
    # From means and SDs, because scipy's ttest_ind warns about values that are close together, however exact.
    found = stats.ttest_ind_from_stats(
        means[0], np.sqrt(variances[0]), a.size, means[1], np.sqrt(variances[1]), b.size, equal_var=equal_var
    )
    slack = sum(v**2 / (n - 1) for v, n in zip(of_means, sizes, strict=True))
    df = sum(sizes) - 2 if equal_var else sum(of_means) ** 2 / slack
    return _Statistic(float(found.statistic), float(found.pvalue), float(df))


def _rank_test(samples: list[FloatArray]) -> _Statistic:
    return _Statistic(*mann_whitney(*_two(samples, "mann_whitney")))


def _anova(samples: list[FloatArray], equal_var: bool) -> _Statistic:
    n, k = sum(x.size for x in samples), len(samples)
    if n <= k or all(np.ptp(x) == 0 for x in samples):
        raise NotEstimableError("The values do not vary within any group; an analysis of variance needs variation.")
    if equal_var:
        found = stats.f_oneway(*samples)
        return _Statistic(float(found.statistic), float(found.pvalue), k - 1, n - k)
    if any(x.size < 2 or np.ptp(x) == 0 for x in samples):
        raise NotEstimableError("Welch's analysis of variance needs variation within every group.")
    weight = np.array([x.size / x.var(ddof=1) for x in samples])
    slack = sum((1 - w / weight.sum()) ** 2 / (x.size - 1) for w, x in zip(weight, samples, strict=True))
    found = stats.f_oneway(*samples, equal_var=False)
    return _Statistic(float(found.statistic), float(found.pvalue), k - 1, (k**2 - 1) / (3 * slack))


def _kruskal(samples: list[FloatArray]) -> _Statistic:
    if np.ptp(np.concatenate(samples)) == 0:
        raise NotEstimableError("All values are equal; there is nothing to rank.")
    found = stats.kruskal(*samples)
    return _Statistic(float(found.statistic), float(found.pvalue), len(samples) - 1)


_NUMERIC: dict[str, Callable[[list[FloatArray]], _Statistic]] = {
    "student_t": lambda samples: _t_test(samples, equal_var=True),
    "welch_t": lambda samples: _t_test(samples, equal_var=False),
    "mann_whitney": _rank_test,
    "anova": lambda samples: _anova(samples, equal_var=True),
    "welch_anova": lambda samples: _anova(samples, equal_var=False),
    "kruskal": _kruskal,
}
_CATEGORICAL: dict[str, Callable[[Any], TableTest]] = {
    "chi_square": chi_square,
    "chi_square_yates": lambda counts: chi_square(counts, yates=True),
    "fisher": fisher_exact,
}


def choose_numeric(samples: list[FloatArray], alpha: float = 0.05) -> tuple[str, str]:
    """Parametric or rank test, by normality in every group, and the reason."""
    two = len(samples) == 2
    for sample in samples:
        if sample.size < 3 or np.ptp(sample) == 0:
            reason = "a group is too small or constant for a normality test"
            return ("mann_whitney" if two else "kruskal"), reason
        p = normality_p(sample)
        if p <= alpha:
            return ("mann_whitney" if two else "kruskal"), f"a group is not normal ({p_value(p)})"
    return ("welch_t" if two else "anova"), "all groups are compatible with a normal distribution"


def choose_categorical(counts: Any) -> tuple[str, str]:
    """Chi-square or Fisher, by the expected counts, and the reason.

    2 x 2: Fisher if an expected count is below 5. Larger: Fisher if one is below 1 or more than a fifth are below 5
    (Cochran 1954, Biometrics 10:417).
    """
    expected = expected_counts(counts)
    least, share = float(expected.min()), float((expected < 5).mean())
    rare = least < 5 if expected.shape == (2, 2) else least < 1 or share > 0.2
    reason = f"smallest expected count {least:.3g}, {share:.0%} below 5"
    return ("fisher" if rare else "chi_square"), reason


def _compare_categories(counts: Any, test: str) -> tuple[str, TableTest, str]:
    if test != "auto":
        return test, _CATEGORICAL[test](counts), "asked for"
    chosen, reason = choose_categorical(counts)
    if chosen == "fisher":
        try:
            return chosen, fisher_exact(counts), reason
        except NotEstimableError:
            # The margins are known to be valid here, so only the size of the exact sum can be the obstacle.
            chosen, reason = "chi_square", f"{reason}; too many tables for an exact test"
    return chosen, _CATEGORICAL[chosen](counts), reason


def compare_groups(
    values: Any, groups: Any, test: str = "auto", kind: str = "auto", alpha: float = 0.05
) -> GroupComparison:
    """Compare values between groups.

    Parameters
    ----------
    values : array-like, shape (n,)
        Numbers or categories.
    groups : array-like, shape (n,)
        Two or more groups.
    test : str
        "auto", or one of student_t, welch_t, mann_whitney, anova, welch_anova, kruskal (numbers), chi_square,
        chi_square_yates, fisher (categories).
    kind : {"auto", "continuous", "categorical"}
        For "auto" tests: what the values are; by default numbers with more than two distinct values are continuous.
    alpha : float
        Level of the Shapiro-Wilk test in the choice.

    Returns
    -------
    GroupComparison
        `test, statistic, df, p, df2, n, n_missing, reason`. Rows where the value or the group is missing are left out
        and counted.

    Raises
    ------
    InputError
        Unknown test or kind, infinite or not numeric values for a numeric test, a two-group test with more groups.
    NotEstimableError
        Fewer than two groups or categories, or no variation: no test exists.

    Notes
    -----
    Values equal R's t.test, wilcox.test (exact below 50 without ties, else with continuity correction), oneway.test,
    aov, kruskal.test, chisq.test and fisher.test. "auto" takes Welch's t test or an analysis of variance where
    Shapiro-Wilk rejects normality in no group, else Mann-Whitney or Kruskal-Wallis; and chi-square or Fisher by the
    expected counts (`choose_categorical`).
    """
    if test not in ("auto", *TESTS):
        raise InputError(f"`test` is {test!r}; expected auto or one of {', '.join(TESTS)}.")
    if kind not in ("auto", "continuous", "categorical"):
        raise InputError(f"`kind` is {kind!r}; expected auto, continuous or categorical.")
    value, group, n_missing = _complete(values, groups)
    categorical = test in CATEGORICAL_TESTS
    if test == "auto":
        categorical = kind == "categorical" or (kind == "auto" and is_categorical(value))
    if categorical:
        name, table, reason = _compare_categories(cross_table(value, group), test)
        return GroupComparison(name, table.statistic, table.df, table.p, _NAN, len(value), n_missing, reason)
    samples = _samples(value, group)
    name, reason = choose_numeric(samples, alpha) if test == "auto" else (test, "asked for")
    found = _NUMERIC[name](samples)
    return GroupComparison(name, found.statistic, found.df, found.p, found.df2, len(value), n_missing, reason)


_BY_MEAN = ("student_t", "welch_t", "anova", "welch_anova")
_ADJUSTMENTS = ("bh", "holm", "none")


def adjust_p(p: Any, method: str = "bh") -> FloatArray:
    """Adjust p-values for multiple testing.

    Parameters
    ----------
    p : array-like, shape (n,)
        NaN stays NaN and does not count as a test.
    method : str
        bh (Benjamini-Hochberg), holm or none; upper case is accepted.

    Returns
    -------
    ndarray, shape (n,)
        Adjusted p-values, as R's p.adjust. Not by statsmodels' ``multipletests``, which has Python search all of its
        memory for garbage: a third of a second a call.

    Raises
    ------
    InputError
        Unknown method, or a value outside 0-1.
    """
    name = method.lower()
    if name not in _ADJUSTMENTS:
        raise InputError(f"`method` is {method!r}; expected one of {', '.join(_ADJUSTMENTS)}.")
    values = np.atleast_1d(np.asarray(p, dtype=float))
    if values.ndim != 1 or ((values < 0) | (values > 1)).any():
        raise InputError("`p` must be one-dimensional, with values between 0 and 1 or NaN.")
    adjusted, known = values.copy(), ~np.isnan(values)
    if name == "bh" and known.any():
        adjusted[known] = stats.false_discovery_control(values[known])
    elif name == "holm":
        order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]
        adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(order), 0, -1) * values[order]), 1.0)
    return adjusted


def baseline_table(
    table: pd.DataFrame,
    by: str,
    columns: Sequence[str],
    kinds: Mapping[str, str] | None = None,
    tests: Mapping[str, str] | None = None,
    adjust: str | None = None,
    decimals: int | Mapping[str, int] = 1,
    alpha: float = 0.05,
    survival: tuple[str, str] | None = None,
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
    decimals : int or mapping of column to int
        Of means, medians and percentages; 1 for columns that a mapping does not name.
    alpha : float
        Level of the normality test that chooses mean ± SD or median (IQR), and the test. A test that was asked for
        decides: mean ± SD with tests of means, median (IQR) with rank tests.
    survival : tuple of str, optional
        Columns of a follow-up time and of its event (0 or 1), where the groups are those with and without that event:
        columns without a test in `tests` are then tested against the time (`survival_test`), because patients are not
        of one group or the other, they were followed for longer or shorter.

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
    kinds, tests = dict(kinds or {}), dict(tests or {})
    _check(table, by, columns, kinds, tests)
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
        values, asked = grouped[column], tests.get(column, "auto")
        kind = kinds.get(column) or ("categorical" if is_categorical(values) else "continuous")
        digits = decimals if isinstance(decimals, int) else decimals.get(column, 1)
        if kind == "continuous":
            rows = [_quantity(values, members, asked, digits, alpha)]
        else:
            rows = _levels(values, members, digits)
        rows += _missing(values, members, digits, alone=not rows)
        if survival is not None and column not in tests:
            found = survival_test(values, grouped[survival[0]], grouped[survival[1]], kind == "continuous")
        else:
            found = _tested(values, group, asked, kind, alpha)
        rows[0] |= found | {"missing": int(values.isna().sum())}
        parts.append(pd.DataFrame(rows).assign(variable=column))
    result = pd.concat(parts, ignore_index=True).astype({"missing": "Int64"})
    result = result[["variable", "level", *members, "missing", "test", "statistic", "p"]]
    result["test"] = result["test"].fillna("")
    return result if adjust is None else result.assign(**{f"p_{adjust.lower()}": adjust_p(result["p"], adjust)})


def survival_test(values: pd.Series, time: pd.Series, event: pd.Series, is_number: bool) -> dict[str, Any]:
    """Test one variable against a time to an event, on the rows that know all three.

    Returns
    -------
    dict
        test (log_rank for categories; cox_likelihood_ratio for numbers, Efron's ties; or why there is none), statistic
        (chi-square), p.
    """
    known = pd.DataFrame({"value": values, "time": time, "event": event}).dropna()
    try:
        if known.empty or (is_number and not np.isfinite(known["value"].astype(float)).all()):
            raise NotEstimableError("no patient has a value" if known.empty else "infinite values")
        if is_number:
            fit = fit_cox(known.astype({"value": float}), "time", "event", ["value"])
            return {"test": COX, "statistic": fit.lr_chi2, "p": fit.lr_p}
        found = log_rank(known["time"], known["event"], known["value"])
        return {"test": LOG_RANK, "statistic": found.chi2, "p": found.p}
    except NotEstimableError as error:
        why = error.problems[0].what if error.problems else error
        return {"test": f"not estimable: {why}", "statistic": np.nan, "p": np.nan}


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


def _quantity(values: pd.Series, members: dict[str, Any], asked: str, decimals: int, alpha: float) -> dict[str, Any]:
    """Return the cells of a number: means where the test asked for compares means, else by normality in all groups."""
    number = values.to_numpy(dtype=float, na_value=np.nan)
    normal = asked in _BY_MEAN
    if asked not in NUMERIC_TESTS:
        samples = [number[m & np.isfinite(number)] for name, m in members.items() if name != "overall"]
        normal = choose_numeric(samples, alpha)[0] in _BY_MEAN
    cells = {name: _spread(number[m], normal, decimals) for name, m in members.items()}
    return {"level": "mean ± SD" if normal else "median (Q1–Q3)"} | cells


def _levels(values: pd.Series, members: dict[str, Any], decimals: int) -> list[dict[str, Any]]:
    """Return the cells of a category, one row per level in use."""
    levels = values.astype("category").cat.remove_unused_categories().cat.categories
    known = {name: m & values.notna().to_numpy() for name, m in members.items()}
    return [{"level": str(level)} | _shares((values == level).to_numpy(), known, decimals) for level in levels]


def _missing(values: pd.Series, members: dict[str, Any], decimals: int, alone: bool) -> list[dict[str, Any]]:
    """Return a row of missing counts where any value is missing, or where a variable has no other row."""
    absent = values.isna().to_numpy()
    return [{"level": "missing"} | _shares(absent, members, decimals)] if absent.any() or alone else []


def _spread(values: FloatArray, normal: bool, decimals: int) -> str:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return "–"
    if normal:
        return f"{fixed(known.mean(), decimals)} ± {fixed(known.std(ddof=1), decimals)}"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    return estimate(middle, low, high, decimals)


def _shares(counted_in: Any, members: dict[str, Any], decimals: int) -> dict[str, str]:
    """Return "count (percent)" of each group."""
    counts = {name: (int(counted_in[m].sum()), int(m.sum())) for name, m in members.items()}
    return {name: f"{n} ({100 * n / all_:.{decimals}f})" if all_ else "0 (–)" for name, (n, all_) in counts.items()}
