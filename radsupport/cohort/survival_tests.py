"""Compare a time to an event between the levels of a category, or along a number: one test per variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.study_schema import Study
from radsupport.survival.cox_features import univariable_cox_features
from radsupport.survival.logrank import log_rank

LOG_RANK, COX = "log_rank", "cox_likelihood_ratio"


def survival_tests(table: pd.DataFrame, study: Study, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Test each variable of a study against the time to the event.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of the table `cohort`, with time (months) and event (0 or 1); patients without either are left out, and
        for each variable those without a value.
    study : Study
    columns : sequence of str, optional
        What to test; every column of the study by default.

    Returns
    -------
    pandas.DataFrame
        test (log_rank for categories; cox_likelihood_ratio for numbers, Efron's ties; or why there is none),
        statistic (chi-square), p; by column (index).
    """
    chosen = list(columns if columns is not None else study.columns)
    known = table.dropna(subset=["time", "event"])
    rows = [_tested(known.dropna(subset=[name]), name, study.columns[name].kind == "number") for name in chosen]
    return pd.DataFrame(rows, index=pd.Index(chosen), columns=["test", "statistic", "p"])


def _tested(known: pd.DataFrame, name: str, is_number: bool) -> dict[str, Any]:
    """Return the test of one variable on its complete rows."""
    try:
        if known.empty:
            raise NotEstimableError("no patient has a value")
        if not is_number:
            found = log_rank(known["time"], known["event"], known[name])
            return {"test": LOG_RANK, "statistic": found.chi2, "p": found.p}
        fit = univariable_cox_features(known[[name]].astype(float), known["time"], known["event"]).iloc[0]
    except NotEstimableError as error:
        return {"test": f"not estimable: {error}", "statistic": float("nan"), "p": float("nan")}
    test = f"not estimable: {fit['note']}" if fit["note"] else COX
    return {"test": test, "statistic": float(fit["lr_chi2"]), "p": float(fit["p_lr"])}
