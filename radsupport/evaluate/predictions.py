"""Who is judged by which prediction: rows of the predictions table, and a measure of each group of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import ContractError, InputError, NotEstimableError, Problem
from radsupport.settings.endpoint import Survival
from radsupport.settings.evaluation import Comparison
from radsupport.settings.study import Study

LOW, HIGH = "low risk", "high risk"
#: The kind of prediction that each cohort is judged by: never the apparent one.
HONEST = {"train": "out_of_fold", "internal": "external", "external": "external"}

#: Outcomes that predictions are judged by: a label, or a time with whether the event was seen.
LABEL, SURVIVAL = ("label",), ("time", "event")
#: The training patients as the fitted models see them: a cohort of its own, for comparison only.
APPARENT = "apparent"


def judged(
    predictions: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    signatures: Sequence[str] | None = None,
    cohorts: Sequence[str] | None = None,
    *,
    apparent: bool = False,
) -> pd.DataFrame:
    """Return the predictions that each cohort is judged by: out of fold in training, external elsewhere.

    Parameters
    ----------
    predictions : DataFrame
        predictions.parquet: subject, cohort, signature, kind, fold, risk, and the outcome.
    outcome : sequence of str
        ("label",) or ("time", "event"); patients without it are left out.
    signatures, cohorts : sequence of str, optional
        Which ones, in this order; by default all signatures as they come, and training before the other cohorts.
    apparent : bool
        Whether the predictions for the models' own training patients come first, as a cohort called "apparent".

    Returns
    -------
    DataFrame
        The rows; `cohort` and `signature` are ordered categories, so that groups come in their order.

    Raises
    ------
    InputError
        `signatures` are named, and none of them has a prediction of a patient with the outcome.
    """
    names, order = list(signatures or dict.fromkeys(predictions["signature"])), list(cohorts or HONEST)
    rows = predictions[predictions["kind"] == predictions["cohort"].map(HONEST)]
    if apparent:
        own, order = predictions[predictions["kind"] == "apparent"], [APPARENT, *order]
        rows = pd.concat([own.assign(cohort=APPARENT), rows])
    rows = rows[rows["signature"].isin(names) & rows["cohort"].isin(order)].dropna(subset=list(outcome))
    if rows.empty and signatures:
        raise InputError(f"No patient with {' and '.join(outcome)} has a prediction of {', '.join(signatures)}.")
    for column, wanted in (("cohort", order), ("signature", names)):
        present = set(rows[column])
        known = pd.CategoricalDtype([name for name in wanted if name in present], ordered=True)
        rows = rows.assign(**{column: rows[column].astype(known)})
    return rows.sort_values(["signature", "cohort"], kind="stable", ignore_index=True)


def measure(
    rows: pd.DataFrame,
    function: Callable[..., Mapping[str, Any] | pd.DataFrame],
    by: Sequence[str] = ("cohort", "signature"),
    **options: Any,
) -> pd.DataFrame:
    """Return what a function says of each group of patients, in one tidy table.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    function : callable
        Takes the rows of a group and `options`; returns one row (a mapping) or several (a table, which may be empty).
    by : sequence of str
        Columns that make the groups; rows where one of them is missing belong to none.

    Returns
    -------
    DataFrame
        The keys, n (rows of the group, unless the function says), and what the function returns; where that can not be
        estimated the values are missing and `note` says why.
    """
    found: list[dict[str, Any]] = []
    for keys, part in rows.groupby(list(by), observed=True):
        place = dict(zip(by, keys, strict=True)) | {"n": len(part)}
        try:
            values = function(part, **options)
        except NotEstimableError as error:
            values = {"note": error.problems[0].what if error.problems else error.message}
        several = values.to_dict("records") if isinstance(values, pd.DataFrame) else [values]
        found += [place | {str(key): value for key, value in row.items()} for row in several]
    table = pd.DataFrame(found)
    if "note" in table:
        table = table.assign(note=table.pop("note").fillna(""))
    return table


def common(
    rows: pd.DataFrame, outcome: Sequence[str] = LABEL, value: str = "risk"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients whom every signature among these rows (of one cohort) predicts.

    Parameters
    ----------
    rows : DataFrame
        subject, signature, the outcome and `value`.
    outcome : sequence of str
    value : str
        The column that is compared: risk, or probability.

    Returns
    -------
    outcome : DataFrame, indexed by subject
    values : DataFrame, indexed by subject
        One column per signature, in their order; subjects sorted.
    """
    names = [str(name) for name in _order(rows["signature"])]
    long = rows.astype({"signature": str}).set_index(["subject", "signature"])[value]
    wide: pd.DataFrame = long.unstack().reindex(columns=names).dropna()  # noqa: PD010 - each pair occurs once
    known = rows.drop_duplicates("subject").set_index("subject")[list(outcome)]
    return known.reindex(wide.index), wide.rename_axis(columns=None)


def _order(column: pd.Series) -> list[Any]:
    """Return the distinct values: in the order of their categories, else as they come."""
    present = column.drop_duplicates()
    return list(present.sort_values() if isinstance(column.dtype, pd.CategoricalDtype) else present)


POOLED = "pooled"


def outcome(study: Study) -> Survival:
    """Return the study's time-to-event endpoint.

    Raises
    ------
    InputError
        It has none.
    """
    if study.endpoint.survival is None:
        raise InputError(f"Study {study.id} has no `endpoint.survival`: there is no follow-up to analyse.")
    return study.endpoint.survival


def main_signature(study: Study) -> str:
    """Return the signature that the page is about: the first one of the study's list, fixed beforehand."""
    return (study.survival.signatures or [study.validation.best or study.signatures[0].name])[0]


def followed(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return the honest risks of every followed patient: out of fold in training, external elsewhere.

    Parameters
    ----------
    predictions : DataFrame
        predictions.parquet.
    study : Study
        `survival.signatures` says which signatures; without it the main one.

    Returns
    -------
    DataFrame
        subject, cohort, signature, risk, time (months), event, label, kind, fold; cohorts and signatures in the study's
        order.

    Raises
    ------
    InputError
        None of the signatures has a prediction of a followed patient.
    """
    names = study.survival.signatures or [main_signature(study)]
    honest = predictions["kind"] == predictions["cohort"].map(HONEST)
    rows = predictions[honest & predictions["signature"].isin(names)].dropna(subset=["time", "event"])
    if rows.empty:
        raise InputError(f"predictions.parquet has no followed patient with a risk of {', '.join(names)}.")
    order = {name: i for i, name in enumerate([*study.cohorts, *names])}
    rows = rows.assign(label=rows.get("label", np.nan))
    rows = rows.sort_values(["signature", "cohort"], key=lambda column: column.map(order), kind="stable")
    columns = ["subject", "cohort", "signature", "risk", "time", "event", "label", "kind", "fold"]
    return rows[columns].reset_index(drop=True)


def parts(groups: pd.DataFrame, study: Study) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the sets of cohorts that are shown together.

    `survival.pooled` names the sets; without it all cohorts together are `POOLED`.
    """
    keys = [key for key in study.cohorts if (groups["cohort"] == key).any()]
    found = [(str(key), study.cohort_names[key], groups[groups["cohort"] == key]) for key in keys]
    sets = study.survival.pooled or ({"all cohorts": keys} if len(keys) > 1 else {})
    for name, members in sets.items():
        key = slug(name) if study.survival.pooled else POOLED
        found.append((key, f"{name}, pooled", groups[groups["cohort"].isin(list(members))]))
    return found


def slug(name: str) -> str:
    """Return a name as part of a key: ``Center 1`` becomes ``center_1``."""
    return "_".join(name.lower().split())


def of_signature(groups: pd.DataFrame, names: str | Sequence[str]) -> pd.DataFrame:
    """Return the rows of one signature, or of several."""
    return groups[groups["signature"].isin([names] if isinstance(names, str) else list(names))]


def label_of(study: Study, column: str) -> str:
    """Return a column in words, with its unit where it has one."""
    spec = study.columns[column]
    return f"{spec.label} ({spec.unit})" if spec.unit else spec.label


def honest(predictions: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Return a cohort's predictions as they are judged: out of fold in training, external elsewhere."""
    return predictions[(predictions["cohort"] == cohort) & (predictions["kind"] == HONEST[cohort])]


def check_outcomes(predictions: pd.DataFrame, cohort: pd.DataFrame, study: Study) -> None:
    """Check that predictions and cohort table agree on who the patients are and what became of them.

    Raises
    ------
    ContractError
        Predicted subjects whom the cohort table does not have, or outcomes and cohorts that differ: the predictions
        were made from other data.
    """
    columns = ["cohort", *(column for column in outcome_columns(study) if column in cohort)]
    known = cohort.set_index("subject")[columns]
    rows = predictions.drop_duplicates("subject").set_index("subject")[columns]
    strangers = rows.index.difference(known.index)
    problems = []
    if len(strangers):
        problems.append(Problem("predicted subjects who are not in the cohort table", value=_few(strangers)))
    rows = rows.drop(index=strangers)
    for column in columns:
        a, b = rows[column], known.loc[rows.index, column]
        same = (a == b) | a.isna() | b.isna()
        if column == "time":
            same |= np.isclose(a, b)
        if not same.all():
            problems.append(
                Problem("predictions and cohort table differ", column=column, value=_few(rows.index[~same]))
            )
    if problems:
        remedy = "run the modelling chapter again, or bring predictions that belong to this cohort table"
        raise ContractError(f"The predictions of {study.id} were made from other data; {remedy}.", problems)


def _few(subjects: Iterable[object], most: int = 5) -> str:
    names = [str(name) for name in subjects]
    return ", ".join(names[:most]) + (f" … ({len(names)} in all)" if len(names) > most else "")


def is_label(study: Study) -> bool:
    """Whether the models are trained on a yes/no outcome."""
    return study.endpoint.primary == "label"


def outcome_columns(study: Study) -> list[str]:
    """Return the outcome columns of the predictions table that the models are judged by."""
    return ["label"] if is_label(study) else ["time", "event"]


def judged_of(predictions: pd.DataFrame, study: Study) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield cohort, signature and rows for every signature in every cohort, in the study's order.

    Patients without the outcome are left out; signatures that the study does not name come last.
    """
    known = [s.name for s in study.signatures]
    names = known + sorted(set(predictions["signature"]) - set(known))
    for cohort in (c for c in study.cohorts if c in HONEST):
        part = honest(predictions, cohort).dropna(subset=outcome_columns(study))
        for name in names:
            rows = part[part["signature"] == name]
            if not rows.empty:
                yield cohort, name, rows


def judged_part(predictions: pd.DataFrame, study: Study, cohort: str, signature: str) -> pd.DataFrame:
    """Return the rows by which one signature is judged in one cohort; empty where there are none."""
    part = honest(predictions, cohort).dropna(subset=outcome_columns(study))
    return part[part["signature"] == signature]


def judged_cohorts(predictions: pd.DataFrame, study: Study) -> list[str]:
    """Return the cohorts that have honest predictions, in the study's order."""
    return list(dict.fromkeys(cohort for cohort, _, _ in judged_of(predictions, study)))


def common_patients(
    predictions: pd.DataFrame, study: Study, cohort: str, names: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients of a cohort whom every one of these signatures predicts.

    Signatures without any prediction in the cohort are left out.

    Returns
    -------
    outcome : DataFrame, indexed by subject
        label, or time and event.
    risks : DataFrame, indexed by subject
        One column per signature.
    """
    part = honest(predictions, cohort).dropna(subset=outcome_columns(study))
    part = part[part["signature"].isin(names)]
    wide = part.set_index(["subject", "signature"])["risk"].unstack()  # noqa: PD010 - each pair occurs once
    wide = wide.reindex(columns=[name for name in names if name in wide.columns]).dropna()
    outcome = part.drop_duplicates("subject").set_index("subject")[outcome_columns(study)]
    return outcome.reindex(wide.index), wide.rename_axis(columns=None)


def is_published(study: Study, name: str) -> bool:
    """Whether a signature is an output that others published: nothing of it was fitted to these patients here."""
    return any(signature.name == name and signature.learner == "published" for signature in study.signatures)


def best_signature(study: Study) -> str:
    """Return the signature that the study singles out beforehand; the first one where it does not."""
    return study.validation.best or study.signatures[0].name


def shown_signatures(predictions: pd.DataFrame, study: Study) -> list[str]:
    """Return the signatures that are looked at one by one: the best, and the one it is compared with."""
    names = list(dict.fromkeys([best_signature(study), study.validation.comparator]))
    return [name for name in names if name and (predictions["signature"] == name).any()]


def compared_signatures(study: Study, most: int = 4) -> list[str]:
    """Return the signatures of the decision curves, at most `most`.

    The best, its comparator, those of the comparisons that the best is part of, then the others of the study.
    """
    best, given = best_signature(study), study.validation.comparisons
    beside = [name for group in given if best in group.signatures for name in group.signatures]
    names = [best, study.validation.comparator, *beside, *(s.name for s in study.signatures)]
    return [name for name in dict.fromkeys(names) if name][:most]


def families(predictions: pd.DataFrame, study: Study) -> list[Comparison]:
    """Return the groups of signatures that are drawn and tested together, without those that were not predicted.

    ``validation.comparisons``, or one group of all signatures. A group of which fewer than two are left is dropped.
    """
    present = set(predictions["signature"])
    everything = [s.name for s in study.signatures]
    given = study.validation.comparisons
    if not given and len(everything) > 1:
        given = [Comparison(name="All signatures", signatures=everything)]
    kept = [(c.name, [name for name in c.signatures if name in present]) for c in given]
    return [Comparison(name=name, signatures=names) for name, names in kept if len(names) > 1]


def largest_families(groups: Sequence[Comparison]) -> list[Comparison]:
    """Return the groups that are no part of another one: each pair of signatures is tested in one of these."""
    kept: list[Comparison] = []
    for group in groups:
        own = set(group.signatures)
        within = any(own < set(other.signatures) for other in groups)
        twice = any(own == set(other.signatures) for other in kept)
        if not (within or twice):
            kept.append(group)
    return kept


def in_study_order(names: Iterable[str], study: Study) -> list[str]:
    """Return names of signatures in the order of the study file."""
    wanted = set(names)
    return [s.name for s in study.signatures if s.name in wanted]


def missing_predictions(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return where predictions are lacking: cohort, signature, patients (with an outcome), without a prediction.

    Patients are those whom at least one signature of the study predicts; a cohort without any has no row.
    """
    rows = []
    for cohort in judged_cohorts(predictions, study):
        part = honest(predictions, cohort).dropna(subset=outcome_columns(study))
        everyone = part["subject"].nunique()
        for signature in study.signatures:
            lacking = everyone - int((part["signature"] == signature.name).sum())
            if lacking:
                rows.append({"cohort": cohort, "signature": signature.name, "n": everyone, "without": lacking})
    return pd.DataFrame(rows, columns=["cohort", "signature", "n", "without"])
