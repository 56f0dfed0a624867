"""Choices of the earlier chapters compared: each variant of a feature table judged by its signature's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.errors import ContractError, Problem
from radsupport.modelling.opening import assemble
from radsupport.modelling.signatures import run_signatures
from radsupport.report.wording import counted, fixed
from radsupport.schema_modelling import Signature
from radsupport.study_schema import Study
from radsupport.validation.discrimination import discrimination_of, paired_tests
from radsupport.validation.predicted import honest, judged_cohorts

COLUMNS = ["variant", "table", "source", "signature", "group", "description"]
AS_CHOSEN = "as the study has it"


def read_variants(study: Study, results: Path) -> pd.DataFrame:
    """Return every row of ``variants_<chapter>.csv``, checked.

    Returns
    -------
    DataFrame
        variant, table (file stem of a feature table), source (that it replaces), signature (whose protocol judges it),
        group, description; empty where no chapter wrote variants.

    Raises
    ------
    ContractError
        Columns or tables are missing, or a signature is unknown or does not use the source; all problems at once.
    """
    paths = sorted(results.glob("variants_*.csv"))
    tables = [pd.read_csv(path, dtype=str, keep_default_na=False).assign(file=path.name) for path in paths]
    problems = [
        Problem(f"the column `{column}` is missing", ", ".join(COLUMNS), "run the chapter again", file=path.name)
        for path, table in zip(paths, tables, strict=True)
        for column in COLUMNS
        if column not in table
    ]
    rows = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*COLUMNS, "file"])
    problems += [] if problems else [found for row in rows.to_dict("records") for found in _check(row, study, results)]
    if problems:
        raise ContractError(f"The variants of {study.id} can not be judged.", problems)
    return rows[COLUMNS]


def _check(row: Mapping[Any, Any], study: Study, results: Path) -> list[Problem]:
    found = []
    if not (results / f"{row['table']}.parquet").is_file():
        found.append(
            Problem("no such feature table", remedy="run the chapter again", file=row["file"], value=row["table"])
        )
    signature = next((s for s in study.signatures if s.name == row["signature"]), None)
    if signature is None or row["source"] not in signature.sources:
        what = f"no signature of this name learns from {row['source']!r}"
        found.append(Problem(what, file=row["file"], column="signature", value=row["signature"]))
    return found


def evaluate_variants(
    study: Study,
    results: Path,
    variants: pd.DataFrame,
    predictions: pd.DataFrame,
    folds: pd.Series | None = None,
    n_jobs: int = 1,
) -> pd.DataFrame:
    """Judge every variant as its signature is judged: same folds, selection, learner and seed.

    Parameters
    ----------
    variants : DataFrame
        `read_variants`.
    predictions : DataFrame
        Those of the study's own signatures, to compare with.

    Returns
    -------
    DataFrame
        group, signature, variant, description, n, events, out_of_fold, ci_low, ci_high, difference (variant minus the
        study's choice, out of fold, on the patients of both), diff_low, diff_high, p, and one column per other cohort.
        The first row of a signature within a group is the study's own choice.
    """
    rows = []
    for (group, name), part in variants.groupby(["group", "signature"], sort=False):
        own = predictions[predictions["signature"] == name]
        rows.append({"group": group, "signature": name, "variant": AS_CHOSEN, "description": "", **_judged(own, study)})
        for variant in part.to_dict("records"):
            found = _predictions_of(study, results, variant, folds, n_jobs)
            row = {
                "group": group,
                "signature": name,
                "variant": variant["variant"],
                "description": variant["description"],
            }
            rows.append(row | _judged(found, study) | _difference(own, found, study))
    return pd.DataFrame(rows)


def _predictions_of(
    study: Study, results: Path, variant: Mapping[Any, Any], folds: pd.Series | None, n_jobs: int
) -> pd.DataFrame:
    """Return the predictions of one variant under a name of its own."""
    base: Signature = study.signature(variant["signature"])
    stem = variant["table"].removeprefix("features_")
    assembly = assemble(study, results, [base], stems={variant["source"]: stem})
    once = study.model_copy(update={"modelling": study.modelling.model_copy(update={"repeats": 1})})
    found = run_signatures(once, assembly, folds=folds, n_jobs=n_jobs).predictions
    return found.assign(signature=f"{base.name}: {variant['variant']}")


def _judged(own: pd.DataFrame, study: Study) -> dict[str, object]:
    train = honest(own, "train")
    found = discrimination_of(train, study)
    row = {"n": len(train), "events": found["events"], "out_of_fold": found["value"]}
    row |= {"ci_low": found["ci_low"], "ci_high": found["ci_high"]}
    others = [c for c in judged_cohorts(own, study) if c != "train"]
    return row | {cohort: discrimination_of(honest(own, cohort), study)["value"] for cohort in others}


def _difference(own: pd.DataFrame, found: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return variant minus the study's choice with its interval and P; zero where both rank alike."""
    names = [found["signature"].iloc[0], own["signature"].iloc[0]]
    pairs = paired_tests(pd.concat([own, found], ignore_index=True), study, "train", names)
    if pairs.empty:
        return {}
    row = pairs.iloc[0]
    return {"difference": row["difference"], "diff_low": row["ci_low"], "diff_high": row["ci_high"], "p": row["p"]}


def group_words(table: pd.DataFrame, group: str) -> str:
    """Say what one group of choices shows: the range, and how many differ from the study's choice."""
    part = table[table["group"] == group]
    others = part[part["variant"] != AS_CHOSEN]
    judged = others[others["p"].notna()] if "p" in others else others.iloc[:0]
    small = int((judged["p"] < 0.05).sum()) if len(judged) else 0
    low, high = part["out_of_fold"].min(), part["out_of_fold"].max()
    return (
        f"Group **{group}**: {counted(len(others), 'choice')} beside the study's own; out of fold from {fixed(low)} to "
        f"{fixed(high)}. {small} of {len(judged)} differ from the study's choice at P < 0.05 before adjustment (about "
        f"{0.05 * len(judged):.1f} would by chance). The highest of these values is not an estimate of what that "
        "choice is worth: it was picked after looking."
    )
