"""The controls of chapter 05: permuted outcomes, and outcomes drawn anew with no effect planted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsupport.cohort.phantom_subjects import draw_subjects
from radsupport.contracts import read_table
from radsupport.errors import StudyError
from radsupport.modelling.learners import GIVEN
from radsupport.modelling.opening import assemble
from radsupport.modelling.signatures import run_signatures
from radsupport.report.wording import counted, fixed, p_number
from radsupport.schema_synthetic import Synthetic
from radsupport.study_schema import Study
from radsupport.validation.discrimination import discrimination_table

OUTCOME = ["label", "time", "event"]


def permuted_signature(study: Study) -> str:
    """Return the signature whose outcomes are permuted: the best, or the first that is fitted here at all."""
    best = study.validation.best or study.signatures[0].name
    order = [best, *(s.name for s in study.signatures)]
    return next((name for name in order if _fits(study, name)), best)


def _fits(study: Study, name: str) -> bool:
    signature = study.signature(name)
    return bool(signature.combines) or signature.learner not in GIVEN


def control_words(control: dict[str, float], signature: str, observed: float) -> str:
    """Say what the permuted runs gave, and whether they cover 0.5."""
    covers = control["ci_low"] <= 0.5 <= control["ci_high"]
    verdict = "it covers 0.5, so this control finds no leak" if covers else "**it does not cover 0.5: something leaks**"
    return (
        f"{control['n']:.0f} runs of **{signature}** with permuted outcomes gave a mean of {fixed(control['mean'])} "
        f"(central 95% from {fixed(control['ci_low'])} to {fixed(control['ci_high'])}); {verdict}. With the true "
        f"outcomes it was {fixed(observed)}; the share of runs that reach it, counting the true one, is P = "
        f"{fixed(control['p'])} (with so few runs it can not be smaller than {fixed(1 / (1 + control['n']))})."
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
        holds 0.5); a row per signature and cohort. Features that were learnt on the true outcomes stay as they are.
    """
    cohort = read_table("cohort", results)
    once = study.model_copy(update={"modelling": study.modelling.model_copy(update={"repeats": 1})})
    tables = []
    for draw in range(study.modelling.null_draws):
        assembly = assemble(once, results, cohort=null_cohort(study, cohort, draw))
        # Folds that were made for the true outcomes would not be stratified by these.
        given = folds if any(not isinstance(t, pd.DataFrame) for t in assembly.tables.values()) else None
        predictions = run_signatures(once, assembly, folds=given, n_jobs=n_jobs).predictions
        tables.append(discrimination_table(predictions, study).assign(draw=draw + 1))
    table = pd.concat(tables, ignore_index=True).dropna(subset=["value"])
    table["covers"] = (table["ci_low"] <= 0.5) & (table["ci_high"] >= 0.5)
    wanted = [
        "draw",
        "signature",
        "cohort",
        "n",
        "events",
        "measure",
        "value",
        "ci_low",
        "ci_high",
        "p_vs_half",
        "covers",
    ]
    return table[wanted].reset_index(drop=True)


def null_words(table: pd.DataFrame) -> str:
    """Say how many intervals cover 0.5, how many would miss it by chance, and whether any points to a leak."""
    n, missed = len(table), table[~table["covers"]]
    above = int((missed["value"] > 0.5).sum())
    least = min(1.0, n * float(table["p_vs_half"].min()))
    verdict = (
        "none lies above 0.5, where a leak would put it"
        if not above
        else f"{above} of them above 0.5, where a leak would put it"
    )
    differs = (
        "**some signature differs from chance**" if least < 0.05 else "no signature is found to differ from chance"
    )
    return (
        f"{n - len(missed)} of {counted(n, 'interval')} cover 0.5. {len(missed)} do not, {verdict}; at 95%, "
        f"{0.05 * n:.1f} of {n} are expected to miss. Adjusted for their number (Bonferroni), the smallest P against "
        f"0.5 is {p_number(least)}: {differs}. Signatures share patients and features, so their intervals tend to miss "
        "together. An interval around an out-of-fold value takes the predictions as given and leaves out that the "
        "folds share training patients: it is somewhat too narrow, and misses more often than it says."
    )
