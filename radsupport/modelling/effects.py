"""Tables of effects for a paper: reference levels shown, one model per covariate or all together, tests per term.

They serve Cox and logistic fits alike; `radsupport.survival.cox` and `radsupport.modelling.regression` call them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.modelling.fitted import INTERCEPT, FittedModel


def drop_one(fit: FittedModel) -> pd.DataFrame:
    """Likelihood-ratio test of leaving out each term (R's ``drop1(fit, test="LRT")``), penalised for Firth fits.

    Returns
    -------
    DataFrame
        term, df, chi2, p, aic (of the model without the term).
    """
    rows = []
    for name in fit.design.names:
        smaller = fit.refit(fit.design.select([term for term in fit.design.names if term != name]))
        df = len(fit.design[name].columns)
        chi2 = fit.drop_chi2(name)
        rows.append((name, df, chi2, float(stats.chi2.sf(chi2, df)), smaller.aic))
    return pd.DataFrame(rows, columns=["term", "df", "chi2", "p", "aic"])


def with_references(fit: FittedModel, ratio: str) -> pd.DataFrame:
    """The fit's table without intercept, and with a row for each reference level (ratio 1, no limits).

    Returns
    -------
    DataFrame
        covariate, coef, `ratio`, ci_low, ci_high, se, z, p, term, level, reference, n, n_events; n and n_events are
        those of the level for factors, of all rows otherwise.
    """
    table = fit.table[fit.table["covariate"] != INTERCEPT].assign(reference=False)
    rows = []
    for predictor in fit.design.predictors:
        own = table[table["term"] == predictor.name]
        if predictor.kind == "factor":
            base = {"covariate": f"{predictor.name}{predictor.reference}", "coef": 0.0, ratio: 1.0}
            place = {"term": predictor.name, "level": predictor.reference, "reference": True}
            gaps = dict.fromkeys(["ci_low", "ci_high", "se", "z", "p"], np.nan)
            first = pd.DataFrame([base | gaps | place], columns=table.columns).astype(own.dtypes.to_dict())
            own = pd.concat([first, own], ignore_index=True)
        rows.append(_with_counts(fit, own, predictor.source if predictor.kind == "factor" else ""))
    return pd.concat(rows, ignore_index=True) if rows else table.assign(n=fit.n, n_events=fit.n_events)


def _with_counts(fit: FittedModel, rows: pd.DataFrame, source: str) -> pd.DataFrame:
    if not source:
        return rows.assign(n=fit.n, n_events=fit.n_events)
    coded = fit.design.select([rows["term"].iloc[0]])
    dummies = coded.transform(fit.data)
    first = 1.0 - dummies.sum(axis=1)
    member = np.column_stack([first, dummies])
    by_level = dict(zip([coded.predictors[0].reference, *coded.predictors[0].coded_levels], member.T, strict=True))
    event = fit.events()
    n = [int(by_level[level].sum()) for level in rows["level"]]
    return rows.assign(n=n, n_events=[int(by_level[level] @ event) for level in rows["level"]])


def multivariable(fit: FittedModel, ratio: str) -> pd.DataFrame:
    """`with_references` plus ``p_term``: the likelihood-ratio p of each term, given the others."""
    tests = drop_one(fit).set_index("term")["p"]
    return with_references(fit, ratio).assign(p_term=lambda rows: rows["term"].map(tests))


def univariable(terms: Sequence[str], fit_one: Callable[[str], FittedModel], ratio: str) -> pd.DataFrame:
    """Fit one model per term, each on its own complete rows, and stack the tables.

    Returns
    -------
    DataFrame
        As `with_references`, plus p_term (likelihood-ratio test of the term), concordance and note. A term that can not
        be estimated keeps its row, with NaN and the reason in ``note``.
    """
    tables = []
    for term in terms:
        try:
            fit = fit_one(term)
        except NotEstimableError as error:
            tables.append(_not_estimable(term, ratio, error))
            continue
        rows = with_references(fit, ratio)
        tables.append(rows.assign(p_term=fit.lr_p, concordance=fit.concordance, note=""))
    return pd.concat(tables, ignore_index=True)


def _not_estimable(term: str, ratio: str, error: NotEstimableError) -> pd.DataFrame:
    reason = error.problems[0].what if error.problems else error.message
    gaps = dict.fromkeys(["coef", ratio, "ci_low", "ci_high", "se", "z", "p", "p_term", "concordance"], np.nan)
    row = {"covariate": term, **gaps, "term": term, "level": "", "reference": False, "n": 0, "n_events": 0}
    return pd.DataFrame([row | {"note": reason}])
