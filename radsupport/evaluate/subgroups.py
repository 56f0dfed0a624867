"""Whether a signature means the same in all parts of the patients, such as those of a subgroup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.evaluate.comparators import volumes
from radsupport.evaluate.discrimination import difference, discrimination
from radsupport.evaluate.predictions import FEWEST, LABEL, enough, measure, too_few
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.parts import Column
from radsupport.stats.cox import fit_cox
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.outcome import log_odds
from radsupport.stats.table_one import adjust_p
from radsupport.tables import read_table


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


def usual(
    cohort: pd.DataFrame,
    columns: Mapping[str, Column],
    given: Sequence[Subgroup],
    results: Path,
    names: Mapping[str, str],
) -> tuple[pd.DataFrame, dict[str, Column], list[Subgroup]]:
    """Return how patients are usually divided, where it is known: as the study says, sex, age, center, size, scanner.

    Parameters
    ----------
    cohort : DataFrame
        cohort.parquet.
    columns : mapping of name to Column
    given : sequence of Subgroup
        Of the study file; they come first, and what they divide is not divided again.
    results : Path
        Folder with the chapters' tables: the outlines' volumes and the scans' slice intervals are read from there.
    names : mapping of center to name

    Returns
    -------
    cohort, columns, subgroups
        As `parts` takes them, with columns for what is not in the cohort's table. Numbers are cut at the median of the
        training patients, which knows no outcome.
    """
    added, train = cohort.set_index("subject"), cohort.set_index("subject")["cohort"] == "train"
    known, divisions = dict(columns), list(given)
    measured = {**_size(volumes(results, cohort)), **_scanner(results)}
    for key, (values, label, unit) in measured.items():
        added[key] = values.reindex(added.index)
        known[key] = Column(source="clinical", kind="number", label=label, unit=unit)
    added["center"] = added["center"].map(lambda key: names.get(key, key))
    levels = list(dict.fromkeys(added["center"]))
    known["center"] = Column(
        source="clinical", kind="category", label="Center", levels=[*levels, ""][: max(len(levels), 2)]
    )
    taken = {one.column for one in given}
    for key in [*_named(columns, "sex", "gender"), *_named(columns, "age"), "center", *measured]:
        if key in taken or added[key].nunique() < 2:
            continue
        if known[key].kind == "category":
            divisions.append(Subgroup(column=key))
            continue
        cut = float(f"{added.loc[train, key].median():.3g}")
        low = (added[key].dropna() <= cut).mean()
        divisions += [Subgroup(column=key, cut=cut)] * bool(0 < low < 1)
    return added.reset_index(), known, divisions


def _named(columns: Mapping[str, Column], *names: str) -> list[str]:
    """Return the first column that is called so, by its key or label."""
    return [key for key, one in columns.items() if {key.casefold(), one.label.casefold()} & set(names)][:1]


def _size(found: pd.Series) -> dict[str, tuple[pd.Series, str, str]]:
    """Return the volumes in ml where they are the outlines', else in the unit of their table."""
    outlined = found.name == "the outlines"
    return {"volume": (found / 1000 if outlined else found, "Tumour volume", "ml" if outlined else "")}


def _scanner(results: Path) -> dict[str, tuple[pd.Series, str, str]]:
    """Return the slice interval of each patient's scans, the one setting of a scanner that every image holds."""
    if not (results / "cases.parquet").is_file():
        return {}
    cases = read_table("cases", results)
    return {"slice_mm": (cases.groupby("subject")["spacing_z_mm"].mean().round(3), "Slice interval", "mm")}


def in_parts(divided: Sequence[pd.DataFrame], tests: pd.DataFrame, outcome: Sequence[str] = LABEL) -> pd.DataFrame:
    """Return the discrimination of one signature in all patients and in each part, with the tests of interaction.

    Parameters
    ----------
    divided : sequence of DataFrame
        Rows of one signature, as `parts` returns them.
    tests : DataFrame
        What it says of them.
    outcome : sequence of str

    Returns
    -------
    DataFrame
        cohort, column, part ("all patients" first; nothing of a cohort whose patients are all in one), n, events, value
        with limits, p_interaction (of the division), p_adjusted (Holm's over the divisions of the cohort), note (why a
        part, or the test, has no value).
    """
    everybody = measure(divided[0], discrimination, ["cohort"], outcome=outcome, fewest=FEWEST)
    found = [everybody.assign(column="", part="all patients")]
    for own in divided:
        by_part = own.dropna(subset=["part"])
        by_part = by_part[by_part.groupby("cohort", observed=True)["part"].transform("nunique") > 1]
        found.append(measure(by_part, discrimination, ["cohort", "column", "part"], outcome=outcome, fewest=FEWEST))
    table = pd.concat(found, ignore_index=True).astype({"part": str, "cohort": str, "column": str})
    tested = tests.astype({"cohort": str, "column": str})[["cohort", "column", "p_interaction", "note"]]
    tested["p_adjusted"] = tested.groupby("cohort", sort=False)["p_interaction"].transform(
        lambda p: adjust_p(p, "holm")
    )
    table = table.drop(columns="note", errors="ignore").merge(tested, on=["cohort", "column"], how="left")
    columns = [
        "cohort",
        "column",
        "part",
        "n",
        "events",
        "value",
        "value_low",
        "value_high",
        "p_interaction",
        "p_adjusted",
    ]
    return table.reindex(columns=[*columns, "note"]).fillna({"note": ""})


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
