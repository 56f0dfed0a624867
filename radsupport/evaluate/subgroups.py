"""Whether a signature means the same in all parts of the patients, such as those of a subgroup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate.discrimination import difference
from radsupport.evaluate.predictions import LABEL, enough, measure, too_few
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.parts import Column
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.outcome import log_odds


def parts(
    rows: pd.DataFrame,
    cohort: pd.DataFrame,
    subgroups: Sequence[Subgroup],
    columns: Mapping[str, Column],
    outcome: Sequence[str] = LABEL,
) -> tuple[list[pd.DataFrame], pd.DataFrame]:
    """Return the rows with the part that each patient belongs to, for each way of dividing them, and tests of it.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    cohort : DataFrame
        cohort.parquet: subject and the columns that divide the patients.
    subgroups : sequence of Subgroup
        A column with its levels, or with the value at which a number is cut: up to it, and above it.
    columns : mapping of name to Column
    outcome : sequence of str

    Returns
    -------
    divided : list of DataFrame
        The rows with column and part (ordered categories; missing where the patient belongs to none); without any
        subgroups, or patients, one table without rows.
    tests : DataFrame
        cohort, signature, column, and what `interaction` says of them.
    """
    known = cohort.set_index("subject")
    divided = [_divided(rows, one, columns[one.column], known[one.column]) for one in subgroups if len(cohort)]
    divided = divided or [rows.iloc[:0].assign(column="", part="")]
    tests = [measure(own, interaction, ["cohort", "signature", "column"], outcome=outcome) for own in divided]
    return divided, pd.concat(tests)


def _divided(rows: pd.DataFrame, subgroup: Subgroup, column: Column, values: pd.Series) -> pd.DataFrame:
    if subgroup.cut is None:
        part = values.astype(pd.CategoricalDtype(subgroup.levels or column.levels, ordered=True))
    else:
        words = [f"{sign} {subgroup.cut:.10g} {column.unit}".strip() for sign in ("≤", ">")]
        part = pd.cut(values.astype(float), [-np.inf, subgroup.cut, np.inf], labels=words)
    own = pd.Categorical(rows["subject"].map(part.astype(object)), part.cat.categories, ordered=True)
    return rows.assign(column=subgroup.column, part=own)


def interaction(patients: pd.DataFrame, outcome: Sequence[str] = LABEL) -> dict[str, Any]:
    """Return whether the risk of a signature means the same in all parts of the patients, and whether it ranks alike.

    Parameters
    ----------
    patients : DataFrame
        risk, part (ordered categories), and the outcome; those without a part are left out.
    outcome : sequence of str

    Returns
    -------
    dict
        n, chi2, df, p_interaction (likelihood-ratio test of risk x part in a logistic regression on the log odds of
        the risk, or in a Cox regression on the risk), difference with limits, p_difference (of the AUC or C-index
        between two parts, unpaired), note (why something is missing). No test uses a part that is too small (`enough`).
    """
    known = patients.dropna(subset=["part"])
    names = [str(name) for name in known["part"].drop_duplicates().sort_values()]
    parts = {name: known[known["part"].astype(str) == name] for name in names}
    small = [name for name, part in parts.items() if not enough(part, outcome)]
    row: dict[str, Any] = {"n": len(known)} | dict.fromkeys(("chi2", "df", "p_interaction"), np.nan)
    row |= dict.fromkeys(("difference", "difference_low", "difference_high", "p_difference"), np.nan) | {"note": ""}
    if len(parts) < 2:
        return row | {"note": "all patients belong to one part"}
    if small:
        return row | {"note": f"{too_few(outcome)} in: {', '.join(small)}"}
    try:
        row |= _risk_by_part(known, outcome)
    except NotEstimableError:
        row["note"] = "too few patients or events in a part"
    return row | (_apart(list(parts.values()), outcome) if len(parts) == 2 else {})


def _risk_by_part(known: pd.DataFrame, outcome: Sequence[str]) -> dict[str, float]:
    inside = tuple(outcome) == LABEL and known["risk"].between(0, 1).all()
    table = known[list(outcome)].assign(risk=log_odds(known["risk"]) if inside else known["risk"]).astype(float)
    main, product = ["risk"], []
    for i, name in enumerate(list(known["part"].astype(str).drop_duplicates())[1:]):
        table[f"part_{i}"] = (known["part"].astype(str) == name).astype(float)
        table[f"risk_by_part_{i}"] = table["risk"] * table[f"part_{i}"]
        main.append(f"part_{i}")
        product.append(f"risk_by_part_{i}")
    without, full = (_log_likelihood(table[[*terms, *outcome]], terms, outcome) for terms in (main, main + product))
    chi2 = max(2 * (full - without), 0.0)
    return {"chi2": chi2, "df": len(product), "p_interaction": float(stats.chi2.sf(chi2, len(product)))}


def _log_likelihood(table: pd.DataFrame, terms: list[str], outcome: Sequence[str]) -> float:
    if tuple(outcome) == LABEL:
        return fit_logistic(table, "label", terms).log_likelihood
    return fit_cox(table, outcome[0], outcome[1], terms).log_likelihood


def _apart(parts: list[pd.DataFrame], outcome: Sequence[str]) -> dict[str, float]:
    try:
        found = difference(parts[0], parts[1], outcome)
    except NotEstimableError:
        return {}
    kept = {key: found[key] for key in ("difference", "difference_low", "difference_high")}
    return kept | {"p_difference": found["p"]}
