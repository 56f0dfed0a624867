"""Compare a quantity or a category between groups, choosing and naming the test as the papers do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.checks import FloatArray, as_finite
from radsupport.cohort.contingency import TableTest, chi_square, cross_table, expected_counts, fisher_exact
from radsupport.cohort.group_tests import mann_whitney, normality_p
from radsupport.errors import InputError, NotEstimableError
from radsupport.report.wording import counted

NUMERIC_TESTS = ("student_t", "welch_t", "mann_whitney", "anova", "welch_anova", "kruskal")
CATEGORICAL_TESTS = ("chi_square", "chi_square_yates", "fisher")
TESTS = NUMERIC_TESTS + CATEGORICAL_TESTS

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
            return ("mann_whitney" if two else "kruskal"), f"a group is not normal (p = {p:.2g})"
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
