"""The controls of chapter 05: permuted outcomes, and outcomes drawn anew with no effect planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.data.synthetic_patients import draw_subjects
from radsupport.errors import StudyError
from radsupport.evaluate.discrimination import discrimination_table
from radsupport.learning.learners import GIVEN
from radsupport.learning.signatures import assemble, run_signatures
from radsupport.settings.study import Study
from radsupport.settings.synthetic import Synthetic
from radsupport.tables import read_table

OUTCOME = ["label", "time", "event"]
LEAST_DRAWS = 5  # fewer give no interval and no verdict: t intervals of two or three draws reach from 0 to 1
SEEN = 0.05  # half the width of the interval for which a number of draws is named
DRAWN = ["draw", "signature", "cohort", "n", "events", "measure", "value", "ci_low", "ci_high", "p_vs_half", "covers"]


def permuted_signature(study: Study) -> str:
    """Return the signature whose outcomes are permuted: the best, or the first that is fitted here at all."""
    best = study.validation.best or study.signatures[0].name
    order = [best, *(s.name for s in study.signatures)]
    return next((name for name in order if _fits(study, name)), best)


def _fits(study: Study, name: str) -> bool:
    signature = study.signature(name)
    return bool(signature.combines) or signature.learner not in GIVEN


def permutation_summary(scores: pd.DataFrame, observed: float, level: float = 0.95) -> dict[str, float]:
    """Join the runs with permuted outcomes.

    Parameters
    ----------
    scores : DataFrame
        `radsupport.learning.signatures.permutation_control`.
    observed : float
        The value with the true outcomes.
    level : float

    Returns
    -------
    dict
        n (runs), mean, ci_low, ci_high (t interval of the mean, cut at 0 and 1; NaN from one run), lowest, highest, and
        p = (1 + number of permuted scores that reach `observed`) / (1 + n): one-sided, never 0.
    """
    values = scores["score"].to_numpy(float)
    joined = _mean_of_draws(values, level)
    found = {"n": float(len(values)), **{key: joined[key] for key in ("mean", "ci_low", "ci_high")}}
    found |= {"lowest": float(values.min()), "highest": float(values.max())}
    return found | {"p": (1 + int((values >= observed).sum())) / (1 + len(values))}


def without_effect(spec: Synthetic) -> Synthetic:
    """Return a generator that plants nothing: neither the latent nor a column acts on the outcome."""
    silent = {"log_hazard": {}, "log_hazard_per_sd": 0.0}
    marginals = {name: marginal.model_copy(update=silent) for name, marginal in spec.marginals.items()}
    return spec.model_copy(update={"effect": 0.0, "survival_effect": 0.0, "marginals": marginals})


def null_cohort(study: Study, cohort: pd.DataFrame, draw: int) -> pd.DataFrame:
    """Return the cohort table with outcomes drawn anew by the study's generator at an effect of 0.

    Images, features and columns stay as they are; each center keeps its number of events. The new outcomes come from
    another seed, so they share nothing with the drawn tumours.

    Raises
    ------
    StudyError
        The study has no generator.
    """
    if study.synthetic is None:
        raise StudyError(f"Study {study.id} is not synthetic: its outcomes can not be drawn anew.")
    drawn = draw_subjects(without_effect(study.synthetic), study.seed + 7919 * (draw + 1)).set_index("subject")
    columns = [column for column in OUTCOME if column in cohort.columns]
    known = cohort[columns].notna()
    fresh = drawn.reindex(cohort["subject"])[columns].set_axis(cohort.index).where(known)
    return cohort.assign(**{column: fresh[column] for column in columns})


def null_table(study: Study, results: Path, folds: pd.Series | None = None, n_jobs: int = 1) -> pd.DataFrame:
    """Run every signature on outcomes without effect, ``modelling.null_draws`` times.

    Returns
    -------
    DataFrame
        draw, signature, cohort, n, events, measure, value, ci_low, ci_high, p_vs_half, covers (whether the interval
        holds 0.5); a row per draw, signature and cohort. Features that were learnt on the true outcomes stay as they
        are.

    Notes
    -----
    Outside the training cohort the expected value is 0.5. Out of fold it lies a little below, which is no leak (a leak
    lifts it): pooled risks compare patients of different folds, who are ranked by different models, and each model is
    fitted without the very patient, so that patients with the event meet the models with least of it (Parker et al.
    2007, BMC Bioinformatics 8:326; Airola et al. 2011, Comput Stat Data Anal 55:1828). In song2021 (56 patients, 10
    events, 10 folds) pairs from different folds show it and pairs of one fold do not: over 24 draws, means over
    signatures, 0.475 pooled (standard error 0.018), 0.512 within folds (0.020), difference -0.036 (0.007); the same
    risks judged by the outcomes of other draws give 0.502 (0.003).
    """
    cohort = read_table("cohort", results)
    once = study.model_copy(update={"modelling": study.modelling.model_copy(update={"repeats": 1})})
    refit = study.modelling.external == "refit"  # else nothing here needs the fit on everyone
    tables = []
    for draw in range(study.modelling.null_draws):
        assembly = assemble(once, results, cohort=null_cohort(study, cohort, draw))
        # Folds that were made for the true outcomes would not be stratified by these.
        given = folds if any(not isinstance(t, pd.DataFrame) for t in assembly.tables.values()) else None
        run = run_signatures(once, assembly, folds=given, n_jobs=n_jobs, refit=refit)
        tables.append(discrimination_table(run.predictions, study).assign(draw=draw + 1))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["value"])
    table["covers"] = (table["ci_low"] <= 0.5) & (table["ci_high"] >= 0.5)
    return table[DRAWN].reset_index(drop=True)


def null_summary(table: pd.DataFrame, level: float = 0.95) -> pd.DataFrame:
    """Join the draws: does effect 0 give 0.5 for each signature in each cohort?

    Outcomes of different draws are independent, so the mean over draws has an ordinary t interval. Within a draw all
    signatures share patients and outcomes: single intervals of one draw miss together.

    Parameters
    ----------
    table : DataFrame
        As `null_table` returns it.
    level : float

    Returns
    -------
    DataFrame
        signature, cohort, draws, n, events_first (of the first draw), measure, mean, lowest, highest, sd (over draws;
        NaN from one), ci_low, ci_high (t interval of the mean, cut at 0 and 1), p_vs_half (t test of the mean; these
        three NaN from fewer than `LEAST_DRAWS` draws), intervals (single-draw intervals that exist), covering (how
        many of them hold 0.5).
    """
    rows = []
    for (signature, cohort), part in table.groupby(["signature", "cohort"], sort=False):
        values, first = part["value"].to_numpy(float), part.iloc[0]
        row: dict[str, object] = {"signature": signature, "cohort": cohort, "draws": len(part), "n": first["n"]}
        row |= {"events_first": first["events"], "measure": first["measure"]}
        joined = _mean_of_draws(values, level)
        few = dict.fromkeys(("ci_low", "ci_high", "p_vs_half"), np.nan) if len(part) < LEAST_DRAWS else {}
        row |= {"mean": joined["mean"], "lowest": values.min(), "highest": values.max()}
        row |= {"sd": values.std(ddof=1) if len(values) > 1 else np.nan, **joined, **few}
        known = part[part["ci_low"].notna()]
        rows.append(row | {"intervals": len(known), "covering": int(known["covers"].sum())})
    return pd.DataFrame(rows)


def _mean_of_draws(values: np.ndarray, level: float) -> dict[str, float]:
    """Return the mean, its t interval and the P of the t test against 0.5; without limits from one draw."""
    n, mean = len(values), float(values.mean())
    if n < 2:
        return {"mean": mean, "ci_low": np.nan, "ci_high": np.nan, "p_vs_half": np.nan}
    se, df = float(values.std(ddof=1) / np.sqrt(n)), n - 1
    half = float(stats.t.ppf(0.5 + level / 2, df)) * se
    away = abs(mean - 0.5)
    p = float(2 * stats.t.sf(away / se, df)) if se > 0 else float(away == 0)  # a constant risk gives 0.5 in every draw
    return {"mean": mean, "ci_low": max(0.0, mean - half), "ci_high": min(1.0, mean + half), "p_vs_half": p}
