"""Time the validation statistics: growth with n, and against the loop over a library call that each one replaces.

Run `python benchmarks/statistics_validation.py`. Every ratio is measured in this one run, on one thread. The column
`R 4.2` holds, for orientation only, times of the same tasks in R on a 2-core machine (pROC, boot, wilcox.test, psych).
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

import numpy as np
import pandas as pd
import pingouin as pg
from scipy import stats
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from radsupport.stats import bootstrap as bootstrap_roc
from radsupport.stats import groups as group_tests
from radsupport.stats import roc
from radsupport.stats.agreement import icc_features

RNG = np.random.default_rng(0)


def seconds(task: Callable[[], object], repeats: int = 5) -> float:
    """Fastest of some runs, after one that warms up."""
    task()
    return min(timeit.repeat(task, repeat=repeats, number=1))


def row(task: str, ours: float, naive: float, loop: str, r: float | None = None) -> dict[str, object]:
    """One line of the table."""
    return {"task": task, "ours (s)": ours, "loop (s)": naive, "ratio": naive / ours, "R 4.2 (s)": r, "loop over": loop}


def outcome(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and a score that tells them apart a little."""
    y = RNG.integers(0, 2, n)
    return y, RNG.normal(y, 1.5)


def delong_growth() -> pd.DataFrame:
    """Time per n log n stays level where the growth is n log n."""
    rows = []
    for n in (2_000, 20_000, 200_000, 2_000_000):
        y, risk = outcome(n)
        spent = seconds(lambda y=y, risk=risk: roc.auc(y, risk), repeats=3)
        r = 0.022 if n == 20_000 else None
        rows.append({"n": n, "ours (s)": spent, "ns per n log2 n": 1e9 * spent / (n * np.log2(n)), "R 4.2 (s)": r})
    return pd.DataFrame(rows)


def bootstrap() -> dict[str, object]:
    """Stratified percentile interval against resampling by index."""
    y, risk = outcome(300)
    events, others = np.flatnonzero(y == 1), np.flatnonzero(y == 0)

    def loop() -> None:
        for _ in range(200):
            rows = np.concatenate([RNG.choice(events, events.size), RNG.choice(others, others.size)])
            roc_auc_score(y[rows], risk[rows])

    ours = seconds(lambda: bootstrap_roc.bootstrap_auc(y, risk, 2000, seed=1))
    return row("2000 bootstrap AUCs, n = 300", ours, 10 * seconds(loop, 1), "roc_auc_score (200, scaled)", 0.58)


def features(n: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that differ a little between the classes, and the classes."""
    y = RNG.integers(0, 2, n)
    return RNG.normal(size=(n, count)) + 0.3 * y[:, None], y


def feature_tests() -> list[dict[str, object]]:
    """Feature-wise tests against scipy, feature by feature."""
    X, y = features(300, 1000)
    rounded, a, b = X.round(1), y == 0, y == 1
    small, y_small = features(60, 1000)
    a_small, b_small = y_small == 0, y_small == 1

    def welch() -> None:
        for column in X.T:
            stats.ttest_ind(column[a], column[b], equal_var=False)

    def ranks(values: np.ndarray, first: np.ndarray, second: np.ndarray, method: str) -> None:
        for column in values.T:
            stats.mannwhitneyu(column[first], column[second], method=method)

    def chosen() -> None:
        for column in X.T:
            if min(stats.shapiro(column[a]).pvalue, stats.shapiro(column[b]).pvalue) > 0.05:
                stats.ttest_ind(column[a], column[b], equal_var=False)
            else:
                stats.mannwhitneyu(column[a], column[b], method="asymptotic")

    def ours(values: np.ndarray, labels: np.ndarray, rule: str) -> float:
        return seconds(lambda: group_tests.feature_tests(values, labels, rule))

    return [
        row("1000 Welch t, n = 300", ours(X, y, "t"), seconds(welch, 1), "ttest_ind"),
        row(
            "1000 Mann-Whitney, n = 300, tied",
            ours(rounded, y, "mann_whitney"),
            seconds(lambda: ranks(rounded, a, b, "asymptotic"), 1),
            "mannwhitneyu",
            0.88,
        ),
        row(
            "1000 Mann-Whitney, n = 60, exact",
            ours(small, y_small, "mann_whitney"),
            seconds(lambda: ranks(small, a_small, b_small, "exact"), 1),
            "mannwhitneyu",
        ),
        row("1000 Shapiro, then t or U, n = 300", ours(X, y, "shapiro"), seconds(chosen, 1), "shapiro, t or U"),
    ]


def agreement() -> list[dict[str, object]]:
    """Agreement of two readers against pingouin, feature by feature."""
    first = RNG.normal(size=(60, 200))
    second = first + RNG.normal(size=first.shape)
    subjects, readers = np.tile(np.arange(60), 2), np.repeat([0, 1], 60)

    def loop() -> None:
        for j in range(20):
            values = np.concatenate([first[:, j], second[:, j]])
            long = pd.DataFrame({"subject": subjects, "reader": readers, "value": values})
            pg.intraclass_corr(long, targets="subject", raters="reader", ratings="value")

    ours = seconds(lambda: icc_features(first, second))
    return [row("200 ICCs with CI, 60 x 2", ours, 10 * seconds(loop, 1), "pingouin (20, scaled)", 0.41)]


def main() -> None:
    """Print both tables."""
    with threadpool_limits(1), pd.option_context("display.width", 140, "display.float_format", "{:.4g}".format):
        print("DeLong: AUC with variance")
        print(delong_growth().to_string(index=False, na_rep=""))
        print("\nAgainst loops")
        print(pd.DataFrame([bootstrap(), *feature_tests(), *agreement()]).to_string(index=False, na_rep=""))


if __name__ == "__main__":
    main()
