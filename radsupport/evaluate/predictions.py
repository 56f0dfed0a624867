"""Who is judged by which prediction: rows of the predictions table, and a measure of each group of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.checks import cohorts_in_order, tied
from radsupport.errors import ContractError, InputError, NotEstimableError, Problem

LOW, HIGH = "low risk", "high risk"

#: Fewest patients on either side of whatever is tested or gets an interval: with and without the event, or in each
#: risk group. As in Cochran's rule for chi-squared tests: below it the standard errors of DeLong, of the jackknife and
#: of the log-rank test rest on one or two patients, and no exact test of two such groups gives a P below 0.01 (four
#: against four: 2/70). A group that is compared over time needs one event besides: without any its curve has no
#: variance.
FEWEST = 5

#: Outcomes that predictions are judged by: a label, or a time with whether the event was seen.
LABEL, SURVIVAL = ("label",), ("time", "event")
#: The training patients as the fitted models see them: a cohort of its own, for comparison only.
APPARENT = "apparent"


def honest(cohort: pd.Series) -> pd.Series:
    """Return the kind of prediction that a patient's cohort is judged by: never the apparent one."""
    return cohort.map({"train": "out_of_fold", "segmentation": ""}).fillna("external")


def judged(
    predictions: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    signatures: Sequence[str] | None = None,
    cohorts: Sequence[str] | None = None,
    *,
    apparent: bool = False,
    cohort: pd.DataFrame | None = None,
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
    cohort : DataFrame, optional
        cohort.parquet, with which the predictions must agree (`check_outcomes`) if it has rows; its column center,
        where it has one, is taken over, so that discrimination can be judged within centers.

    Returns
    -------
    DataFrame
        The rows; `cohort` and `signature` are ordered categories, so that groups come in their order.

    Raises
    ------
    InputError
        `signatures` are named, and none of them has a prediction of a patient with the outcome.
    ContractError
        Predictions and `cohort` differ in who the patients are, or in what became of them.
    """
    if cohort is not None and len(cohort):
        check_outcomes(predictions, cohort, outcome)
    names = list(signatures or dict.fromkeys(predictions["signature"]))
    order = list(cohorts or cohorts_in_order(predictions["cohort"]))
    rows = predictions[predictions["kind"] == honest(predictions["cohort"])]
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
    if cohort is not None and "center" in cohort and len(cohort):
        rows = rows.assign(center=rows["subject"].map(cohort.set_index("subject")["center"]))
    rows = rows.sort_values(["signature", "cohort"], kind="stable", ignore_index=True)
    by = rows.groupby(["signature", "cohort"], observed=True)
    return rows.assign(
        **{
            column: by[column].transform(lambda values: tied(values.to_numpy(dtype=float)))
            for column in ("risk", "score") if column in rows
        }
    )  # fmt: skip


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows whose `risk` is what ranks patients: the score, where the fold models were put on one scale.

    A score is no probability: what calibrates, classifies or weighs benefit takes the risk itself.

    Parameters
    ----------
    rows : DataFrame
        risk and, where there is one, score; a group of cohort and signature in which somebody has no score keeps its
        risks.
    """
    if "score" not in rows:
        return rows
    keys = [rows[key].astype(str) for key in ("cohort", "signature") if key in rows]
    lacking = rows["score"].isna()
    lacking |= lacking.groupby(keys).transform("any") if keys else bool(lacking.any())
    return rows.assign(risk=rows["score"].mask(lacking, rows["risk"]))


def enough(part: pd.DataFrame, outcome: Sequence[str] = LABEL, fewest: int = FEWEST) -> bool:
    """Whether there are so many patients with, and without, the event that discrimination among them says anything.

    Survival ranks by time even where everybody had the event: it needs so many events among twice as many patients.
    """
    events = int(part[outcome[-1]].sum())
    if tuple(outcome) == LABEL:
        return min(events, len(part) - events) >= fewest
    return events >= fewest and len(part) >= 2 * fewest


def too_few(outcome: Sequence[str] = LABEL, fewest: int = FEWEST) -> str:
    """Say what patients lack who are not `enough`."""
    if tuple(outcome) == LABEL:
        return f"fewer than {fewest} patients with, or without, the event"
    return f"fewer than {fewest} events or {2 * fewest} patients"


def too_small(
    part: pd.DataFrame, event: str = "event", column: str = "group", *, each: bool = True, least: int = 1
) -> str:
    """Say which groups can not be compared, for want of `FEWEST` patients or `least` events; empty where all can.

    A hazard ratio needs `FEWEST` events in each group: the variance of its logarithm is about the sum of one over the
    events of each. Without `each`, a group may have no event where the groups together have `FEWEST`: a log-rank test
    compares observed with expected events, and none where several were expected is what it finds.
    """
    if part[column].dropna().nunique() < 2:
        return "one group only"
    found = part.groupby(column, observed=True)[event].agg(["size", "sum"])
    words = [f"{n} in {name}" for name, n in found["size"].items() if n < FEWEST]
    why = [f"fewer than {FEWEST} patients ({', '.join(words)})"] * bool(words)
    if each:
        few = {name: int(events) for name, events in found["sum"].items() if events < least}
        why += [f"no event in {name}" for name, events in few.items() if not events]
        why += [f"fewer than {least} events in {name} ({events})" for name, events in few.items() if events]
    elif (events := int(found["sum"].sum())) < FEWEST:
        why.append(f"{events} events, fewer than {FEWEST}")
    return "; ".join(why)


#: Said of an estimate whose limits coincide.
NO_VARIANCE = "no interval: the estimate has no variance here"


def with_variance(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of estimates without limits that coincide, and without the P that rests on them; a note says why.

    The limits of a median are steps of a curve, which may coincide.
    """
    ends = [str(key).removesuffix("_low") for key in row if str(key).endswith("_low")]
    flat = [key for key in ends if not key.startswith("median") and _coincide(row, key)]
    if not flat:
        return dict(row)
    lost = [f"{key}{end}" for key in flat for end in ("_low", "_high")]
    lost += [f"p_{key}" if f"p_{key}" in row else "p" for key in flat]
    note = "; ".join(filter(None, [row.get("note"), NO_VARIANCE]))
    return {**row, **{key: np.nan for key in lost if key in row}, "note": note}


def _coincide(row: Mapping[str, Any], key: str) -> bool:
    low, high = row[f"{key}_low"], row.get(f"{key}_high")
    return isinstance(low, float) and isinstance(high, float) and abs(high - low) < 1e-12


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
        Columns that make the groups, in the order of their categories, else as they come; rows where one of them is
        missing belong to none.

    Returns
    -------
    DataFrame
        The keys, n (rows of the group, unless the function says), and what the function returns; where that can not be
        estimated the values are missing and `note` says why, and so it does of intervals without width
        (`with_variance`).
    """
    found: list[dict[str, Any]] = []
    ordered = any(isinstance(rows[column].dtype, pd.CategoricalDtype) for column in by)
    for keys, part in rows.groupby(list(by), observed=True, sort=ordered):
        place = dict(zip(by, keys, strict=True)) | {"n": len(part)}
        try:
            values = function(part, **options)
        except NotEstimableError as error:
            values = {"note": error.problems[0].what if error.problems else error.message}
        several = values.to_dict("records") if isinstance(values, pd.DataFrame) else [values]
        found += [place | with_variance({str(key): value for key, value in row.items()}) for row in several]
    table = pd.DataFrame(found, columns=None if found else [*by, "n"])
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


def check_outcomes(predictions: pd.DataFrame, cohort: pd.DataFrame, outcome: Sequence[str] = LABEL) -> None:
    """Check that predictions and cohort table agree on who the patients are and what became of them.

    Parameters
    ----------
    predictions, cohort : DataFrame
        predictions.parquet and cohort.parquet.
    outcome : sequence of str
        Columns that are compared, besides the cohort.

    Raises
    ------
    ContractError
        Predicted subjects whom the cohort table does not have, or outcomes and cohorts that differ: the predictions
        were made from other data.
    """
    columns = ["cohort", *(column for column in outcome if column in cohort)]
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
        raise ContractError(f"The predictions were made from other data; {remedy}.", problems)


def _few(subjects: Iterable[object], most: int = 5) -> str:
    names = [str(name) for name in subjects]
    return ", ".join(names[:most]) + (f" … ({len(names)} in all)" if len(names) > most else "")


def missing_predictions(
    rows: pd.DataFrame,
    signatures: Sequence[str] | None = None,
    cohort: pd.DataFrame | None = None,
    outcome: Sequence[str] = LABEL,
) -> pd.DataFrame:
    """Return where predictions are lacking.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    signatures : sequence of str, optional
        Those that should predict everybody; by default all that predict anybody.
    cohort : DataFrame, optional
        cohort.parquet: its patients with the outcome are everybody. Without it (or its rows) nobody can be missed whom
        no signature predicts.
    outcome : sequence of str

    Returns
    -------
    DataFrame
        cohort, signature, n (patients), without (a prediction).
    """
    everybody = rows if cohort is None or cohort.empty else cohort.dropna(subset=list(outcome))
    everybody = everybody[everybody["cohort"] != "segmentation"]
    sizes = everybody.groupby(everybody["cohort"].astype(str), sort=False)["subject"].nunique()
    counts = rows.groupby([rows["cohort"].astype(str), rows["signature"].astype(str)])["subject"].nunique()
    found = [
        {"cohort": key, "signature": name, "n": n, "without": n - int(counts.get((key, name), 0))}
        for key, n in sizes.items()
        for name in signatures or list(rows["signature"].cat.categories)
    ]
    table = pd.DataFrame(found, columns=["cohort", "signature", "n", "without"])
    order = {key: i for i, key in enumerate(cohorts_in_order(everybody["cohort"]))}
    lacking = table[table["without"] > 0].sort_values("cohort", key=lambda keys: keys.map(order), kind="stable")
    return lacking.reset_index(drop=True)


def largest(families: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return the groups of signatures that are no part of another one; each pair is tested in one of these."""
    kept: dict[str, list[str]] = {}
    for name, own in families.items():
        within = any(set(own) < set(other) for other in families.values())
        if not within and not any(set(own) == set(other) for other in kept.values()):
            kept[name] = list(own)
    return kept
