"""The controls of chapter 05: permuted outcomes, and outcomes drawn anew with no effect planted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.chapter import Chapter
from radsupport.cohort.phantom_subjects import draw_subjects
from radsupport.contracts import read_table
from radsupport.errors import StudyError
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.opening import assemble
from radsupport.modelling.signatures import run_signatures
from radsupport.report.wording import counted, fixed, listed, p_number
from radsupport.schema_synthetic import Synthetic
from radsupport.study_schema import Study
from radsupport.validation.discrimination import discrimination_table

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
        `radsupport.modelling.signatures.permutation_control`.
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


def control_words(control: dict[str, float], signature: str, observed: float) -> str:
    """Say what the permuted runs gave, whether their mean lies above 0.5, and how small a leak they can not show."""
    n = int(control["n"])
    runs = f"{counted(n, 'run')} of **{signature}** with permuted outcomes"
    return (
        f"{runs} gave a mean of {fixed(control['mean'])} (single runs from {fixed(control['lowest'])} to "
        f"{fixed(control['highest'])}). {_leak_words(control, n)} With the true outcomes it was {fixed(observed)}; the "
        f"share of runs that reach it, counting the true one, is P = {fixed(control['p'])} (permutation test; "
        f"with {counted(n, 'run')} it can not be smaller than 1/{n + 1} = {fixed(1 / (1 + n))})."
    )


def _leak_words(control: dict[str, float], n: int) -> str:
    """Say what the interval of the mean shows: only a mean above 0.5 speaks of a leak."""
    low, high = control["ci_low"], control["ci_high"]
    if np.isnan(low):
        return "One run has no interval: it can not show whether anything leaks."
    interval = f"The 95% interval of the mean (t) reaches from {fixed(low)} to {fixed(high)}"
    if low > 0.5:
        return f"{interval}: **it lies above 0.5, where a leak puts it**."
    lower = " It lies below 0.5, which is no leak: see the note above." if high < 0.5 else ""
    return (
        f"{interval}: it does not lie above 0.5, where a leak would put it.{lower} With this scatter any mean up to "
        f"{fixed(0.5 + (high - low) / 2)} (0.5 plus half the width of the interval) would pass: a smaller leak is not "
        "seen here."
    )


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


def null_shown(summary: pd.DataFrame, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the columns of `null_summary` that are shown: intervals only where there are draws enough for them.

    Returns
    -------
    DataFrame
        signature, cohort (in words by `names`), draws, n, events_first, measure, mean, lowest, highest, and from
        `LEAST_DRAWS` draws ci_low, ci_high, p_t (t test of the mean against 0.5), covering.
    """
    table = summary.replace({"cohort": dict(names or {})}).rename(columns={"p_vs_half": "p_t"})
    columns = ["signature", "cohort", "draws", "n", "events_first", "measure", "mean", "lowest", "highest"]
    enough = bool((table["draws"] >= LEAST_DRAWS).any())
    return table[columns + (["ci_low", "ci_high", "p_t", "covering"] if enough else [])]


def publish_null(chapter: Chapter, summary: pd.DataFrame) -> None:
    """Publish how many single intervals, and how many means over draws, hold 0.5: from `LEAST_DRAWS` draws only."""
    joined = summary[summary["ci_low"].notna()]
    if joined.empty:
        return
    held = (joined["ci_low"] <= 0.5) & (joined["ci_high"] >= 0.5)
    chapter.publish("null_intervals_covering_half", int(joined["covering"].sum()), n=int(joined["intervals"].sum()))
    chapter.publish("null_means_covering_half", int(held.sum()), n=len(joined))


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


def null_words(summary: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """Say what the draws show together, and how little a handful of them can; `names` has the cohorts' in words."""
    draws = int(summary["draws"].max())
    if draws < LEAST_DRAWS:
        return _too_few_words(summary, draws)
    n, covering = int(summary["intervals"].sum()), int(summary["covering"].sum())
    single = (
        f"{covering} of {counted(n, 'interval')} from single draws hold 0.5, of which 95% should. Signatures share "
        "patients and, within a draw, outcomes, so that these intervals miss together."
    )
    if (summary["cohort"] == "train").any():
        single += (
            " Out of fold, values tend to lie a little below 0.5, because patients of different folds are ranked by "
            "different models, and single intervals are somewhat too narrow: they take the predictions as given."
        )
    return f"{_joint_words(summary.replace({'cohort': names or {}}), draws)} {single}"


def _too_few_words(summary: pd.DataFrame, draws: int) -> str:
    """Say that a few draws allow no verdict, and how many would be needed."""
    shown = "its value" if draws == 1 else "mean, lowest and highest value"
    text = (
        f"{counted(draws, 'draw')} of the outcomes {'allows' if draws == 1 else 'allow'} no interval and no "
        f"verdict, neither that something leaks nor that nothing does: the table gives {shown} of each signature. "
        f"An interval is given from {LEAST_DRAWS} draws (`null_draws` in the study file)."
    )
    sd = float(np.sqrt((summary["sd"] ** 2).mean()))
    if not sd > 0:
        return text
    needed = max(LEAST_DRAWS, int(np.ceil((stats.norm.ppf(0.975) * sd / SEEN) ** 2)))
    return (
        f"{text} Here single draws scatter with an SD of about {fixed(sd)}: for an interval that reaches {fixed(SEEN)} "
        f"to either side of a mean, about {counted(needed, 'draw')} would be needed."
    )


def _joint_words(summary: pd.DataFrame, draws: int) -> str:
    """Say which means over draws differ from 0.5, and how large a difference would have been seen at all."""
    summary = summary[summary["ci_low"].notna()]
    rows, away = len(summary), (summary["ci_low"] > 0.5) | (summary["ci_high"] < 0.5)
    p = np.minimum(1.0, rows * summary["p_vs_half"])
    leaks = (p < 0.05) & (summary["mean"] > 0.5)
    verdict = (
        f"**{_rows_named(summary[leaks])} above 0.5, where a leak would put it**"
        if leaks.any()
        else "no mean is found above 0.5, where a leak would put it"
    )
    below = (p < 0.05) & (summary["mean"] < 0.5)
    lower = f"; below 0.5: {_rows_named(summary[below])}" if below.any() else ""
    missed = f" ({_rows_named(summary[away])} not)" if away.any() else ""
    half = float(((summary["ci_high"] - summary["ci_low"]) / 2).median())
    return (
        f"Over {draws} independent draws of the outcomes, {rows - int(away.sum())} of {counted(rows, 'mean')} have a "
        f"95% interval that holds 0.5{missed}; by chance {0.05 * rows:.1f} would not. Adjusted for their number "
        f"(Bonferroni), the smallest P against 0.5 is {p_number(float(p.min()))}: {verdict}{lower}. Half of the "
        f"intervals reach {fixed(half)} or more to either side: {draws} draws can not show a bias that is smaller."
    )


def _rows_named(summary: pd.DataFrame) -> str:
    pairs = zip(summary["signature"], summary["cohort"], summary["mean"], strict=True)
    return listed([f"{signature} ({cohort}, {fixed(mean)})" for signature, cohort, mean in pairs])
