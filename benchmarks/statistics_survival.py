"""Time the survival statistics against the loop over a library call that each one replaces.

    python benchmarks/statistics_survival.py            # everything, about two minutes
    python benchmarks/statistics_survival.py --quick    # without the LASSO

`make bench` puts the table into benchmarks/results.md.

Every ratio is measured in this one run, in CPU seconds of one thread (wall time where the machine is free). A loop of N
calls is timed on a part of them and scaled up; the column `timed` says how many were run. The column `R 4.2` holds, for
orientation only, times of the same tasks in R on a 2-core machine (survival, boot, timeROC, glmnet).
"""

from __future__ import annotations

import argparse
import importlib.util
import time
import timeit
from collections.abc import Callable

import numpy as np
import pandas as pd
from dcurves import dca
from lifelines.utils import concordance_index
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.metrics import cumulative_dynamic_auc
from sksurv.util import Surv
from threadpoolctl import threadpool_limits

from radsupport.stats.concordance import bootstrap_concordance, concordance
from radsupport.stats.lasso import cv_lasso_cox, lasso_cox
from radsupport.stats.time_roc import time_dependent_roc
from radsupport.stats.usefulness import net_benefit_survival

RNG = np.random.default_rng(0)


def seconds(task: Callable[[], object], repeats: int = 5) -> float:
    """Fastest of some runs, after one that warms up."""
    task()
    return min(timeit.repeat(task, timer=time.process_time, repeat=repeats, number=1))


def row(task: str, ours: float, loop: float, what: str, timed: str, r: float | None = None) -> dict[str, object]:
    """One line of the table."""
    values = {"task": task, "ours (s)": ours, "loop (s)": loop, "ratio": loop / ours, "R 4.2 (s)": r}
    return values | {"loop over": what, "timed": timed}


def survival_data(n: int, features: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, times and events; the first five features matter, about a third is censored."""
    x = RNG.normal(size=(n, features))
    event_time = RNG.exponential(np.exp(-0.3 * x[:, :5].sum(axis=1)))
    censored = RNG.exponential(2.5, size=n)
    return x, np.minimum(event_time, censored), (event_time <= censored).astype(int)


def bootstrap() -> dict[str, object]:
    """1 000 bootstrap concordance indices of 300 subjects."""
    x, when, event = survival_data(300)
    risk = x[:, 0]
    draws = RNG.integers(0, 300, (50, 300))
    ours = seconds(lambda: bootstrap_concordance(when, event, {"risk": risk}))
    loop = seconds(lambda: [concordance_index(when[d], -risk[d], event[d]) for d in draws], repeats=1) * 20
    return row("1 000 bootstrap concordances, n = 300", ours, loop, "lifelines concordance_index", "50", 1.56)


def many() -> list[dict[str, object]]:
    """Concordance of 10 000 subjects with its standard error; that of lifelines has none."""
    x, when, event = survival_data(10_000)
    risk, task = x[:, 0], "concordance and its SE, n = 10 000"
    ours = seconds(lambda: concordance(when, event, risk))
    loop = seconds(lambda: concordance_index(when, -risk, event), repeats=2)
    rows = [row(task, ours, loop, "lifelines (without SE)", "all")]
    if importlib.util.find_spec("survival"):  # a port of R's in Rust, no dependency of this package
        from survival import Surv as Response
        from survival.r import concordancefit

        port = seconds(lambda: concordancefit(Response(when, event), risk, reverse=True))
        rows.append(row(task, ours, port, "survival (Rust)", "all"))
    return rows


def decisions() -> dict[str, object]:
    """Decision curve of survival: 99 thresholds, 686 patients."""
    x, when, event = survival_data(686)
    table = pd.DataFrame({"time": when, "event": event, "risk": 1 / (1 + np.exp(-x[:, 0]))})
    marks = np.arange(1, 100) / 100
    ours = seconds(lambda: net_benefit_survival(when, event, table["risk"], 0.5, marks))
    options = {"outcome": "event", "modelnames": ["risk"], "time": 0.5, "time_to_outcome_col": "time"}
    loop = seconds(lambda: dca(data=table, thresholds=marks, **options), repeats=1)
    return row("survival decision curve, 99 thresholds, n = 686", ours, loop, "dcurves", "all")


def time_auc() -> dict[str, object]:
    """Time-dependent AUC of 2 000 subjects at three horizons, with its standard error; sksurv gives none."""
    x, when, event = survival_data(2000)
    horizons = np.quantile(when[event == 1], [0.25, 0.5, 0.75])
    outcome = Surv.from_arrays(event == 1, when)
    ours = seconds(lambda: time_dependent_roc(when, event, x[:, 0], horizons, interval="influence"))
    loop = seconds(lambda: cumulative_dynamic_auc(outcome, outcome, x[:, 0], horizons))
    return row("AUC(t) and its SE at 3 times, n = 2 000", ours, loop, "sksurv (without SE)", "all", 0.037)


def lasso() -> list[dict[str, object]]:
    """LASSO-Cox path of 300 subjects × 1 000 features, 100 penalties, and its cross-validation in 10 folds."""
    x, when, event = survival_data(300, 1000)
    start = time.process_time()
    lasso_cox(x, when, event)
    path = time.process_time() - start
    folds = np.arange(300) % 10
    start = time.process_time()
    cv_lasso_cox(x, when, event, folds)
    ours = time.process_time() - start
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    model = CoxnetSurvivalAnalysis(alpha_min_ratio=0.01, l1_ratio=1.0, tol=1e-7, max_iter=10_000_000)
    start = time.process_time()
    model.fit(scaled, Surv.from_arrays(event == 1, when))
    loop = time.process_time() - start
    what = "sksurv Coxnet (tol 1e-7)"
    return [
        row("LASSO-Cox path, 300 × 1 000", path, loop, what, "1"),
        row("CV of LASSO-Cox, 300 × 1 000, 10 folds", ours, 11 * loop, f"{what} × 11", "1", 25.6),
    ]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="leave out the LASSO")
    quick = parser.parse_known_args()[0].quick  # make bench hands its arguments to all scripts
    with threadpool_limits(limits=1):
        rows = [bootstrap(), *many(), time_auc(), decisions(), *([] if quick else lasso())]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))


if __name__ == "__main__":
    main()
