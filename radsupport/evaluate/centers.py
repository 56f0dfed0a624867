"""With and without ComBat: does taking out center differences change what a signature finds?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import InputError
from radsupport.evaluate.discrimination import discrimination_of, paired_tests
from radsupport.learning.harmonisation import ComBat
from radsupport.learning.preparation import Imputer
from radsupport.learning.signatures import CENTER, Assembly, assemble, run_signatures, training_data
from radsupport.settings.learning import Division, Signature
from radsupport.settings.study import Study
from radsupport.tables import read_table
from radsupport.wording import listed

WITHOUT, WITH = "without", "with ComBat"


def divided_cohort(cohort: pd.DataFrame, division: Division) -> pd.DataFrame:
    """Return the cohort table with a division's centers as training and external cohort, everybody else left out."""
    role = cohort[CENTER].map(dict.fromkeys(division.train, "train") | dict.fromkeys(division.test, "external"))
    kept = role.notna() & (cohort["cohort"] != "segmentation")
    return cohort[kept].assign(cohort=role[kept])


def pair_of(signature: Signature) -> list[Signature]:
    """Return a signature without and with harmonisation."""
    plain = signature.model_copy(update={"name": WITHOUT, "harmonise": False})
    return [plain, signature.model_copy(update={"name": WITH, "harmonise": True})]


def harmonisation_table(study: Study, results: Path, n_jobs: int = 1) -> pd.DataFrame:
    """Build the signature of ``modelling.harmonisation`` on each division of the centers, without and with ComBat.

    ComBat is fitted in the training part of every fold, on its centers, without the outcome. A center that was not in
    training is left as it is, on the pooled scale.

    Returns
    -------
    DataFrame
        built_on, center, judged (out of fold / unseen), n, events, without, with_combat, difference (with minus
        without), ci_low, ci_high, p. Centers are judged one by one: pooled over centers a signature is also
        rewarded for telling centers with many events from those with few.
    """
    settings = study.modelling.harmonisation
    if settings is None:
        return pd.DataFrame()
    cohort, signature = read_table("cohort", results), study.signature(settings.signature)
    pooled = study.modelling.model_copy(update={"unseen_center": "pooled", "repeats": 1})
    study = study.model_copy(update={"modelling": pooled})
    rows = []
    for division in settings.divisions:
        people = divided_cohort(cohort, division)
        assembly = assemble(study, results, pair_of(signature), cohort=people)
        predictions = run_signatures(study, assembly, n_jobs=n_jobs).predictions
        centers = people.set_index("subject")[CENTER]
        for center in (*division.train, *division.test):
            part = predictions[predictions["subject"].map(centers) == center]
            rows.append({"built_on": listed(division.train), "center": center} | _compared(part, study))
    return pd.DataFrame(rows)


def _compared(part: pd.DataFrame, study: Study) -> dict[str, object]:
    unseen = bool((part["kind"] == "external").any())
    kind, cohort = ("external", "external") if unseen else ("out_of_fold", "train")
    rows = part[part["kind"] == kind]
    values = {name: discrimination_of(rows[rows["signature"] == name], study) for name in (WITHOUT, WITH)}
    row: dict[str, object] = {"judged": "unseen" if unseen else "out of fold"}
    row |= {"n": int((rows["signature"] == WITH).sum()), "events": values[WITH]["events"]}
    row |= {"without": values[WITHOUT]["value"], "with_combat": values[WITH]["value"]}
    pairs = paired_tests(rows, study, cohort, [WITH, WITHOUT])
    names = ("difference", "ci_low", "ci_high", "p")
    return row | ({key: pairs[key].iloc[0] for key in names} if len(pairs) else dict.fromkeys(names, np.nan))


def center_differences(study: Study, results: Path) -> pd.DataFrame:
    """Count the features that differ between the training centers of each division, before and after ComBat.

    Kruskal-Wallis per feature with Benjamini-Hochberg's adjustment, among the patients without the event and among
    those with it apart, so that an unequal share of events is not taken for a difference between scanners. ComBat is
    fitted on the very patients that are counted: this describes what it does, it proves nothing.

    Returns
    -------
    DataFrame
        built_on, n, features, before, after (features with adjusted P < 0.05 in either outcome group).
    """
    settings = study.modelling.harmonisation
    if settings is None:
        return pd.DataFrame()
    cohort, signature = read_table("cohort", results), study.signature(settings.signature)
    rows = []
    for division in settings.divisions:
        people = divided_cohort(cohort, division)
        assembly = assemble(study, results, pair_of(signature), cohort=people)
        table, _, _ = training_data(study, assembly, WITH)
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"`{signature.name}` learns features per fold; harmonise one of fixed features.")
        full = Imputer([CENTER]).fit(table).transform(table)
        group = people.set_index("subject").loc[full.index, "label" if "label" in people else "event"].to_numpy()
        centers, plain = full[CENTER].to_numpy(), full.drop(columns=CENTER)
        adjusted = ComBat(CENTER).fit(full).transform(full)
        row = {"built_on": listed(division.train), "n": len(full), "features": plain.shape[1]}
        rows.append(row | {"before": differing(plain, centers, group), "after": differing(adjusted, centers, group)})
    return pd.DataFrame(rows)


def differing(table: pd.DataFrame, centers: np.ndarray, group: np.ndarray, alpha: float = 0.05) -> int:
    """Return how many features differ between centers within an outcome group (Kruskal-Wallis, Benjamini-Hochberg)."""
    found = np.zeros(table.shape[1], dtype=bool)
    for value in (0, 1):
        rows = group == value
        parts = [table.to_numpy(float)[rows & (centers == c)] for c in sorted(set(centers[rows]))]
        if len(parts) < 2 or min(map(len, parts)) < 2:
            continue
        varies = np.ptp(np.concatenate(parts), axis=0) > 0
        p = np.ones(table.shape[1])
        p[varies] = stats.kruskal(*[part[:, varies] for part in parts], axis=0).pvalue
        found |= stats.false_discovery_control(p, method="bh") < alpha
    return int(found.sum())


def refusal(study: Study, results: Path) -> str:
    """Try ComBat on a center that it was not fitted on, and say what happened; empty where no division has one."""
    settings = study.modelling.harmonisation
    division = next((d for d in settings.divisions if d.test), None) if settings is not None else None
    if settings is None or division is None:
        return ""
    people = divided_cohort(read_table("cohort", results), division)
    assembly: Assembly = assemble(study, results, pair_of(study.signature(settings.signature)), cohort=people)
    table = assembly.table(WITH)
    columns = table if isinstance(table, pd.DataFrame) else table.refit
    full = Imputer([CENTER]).fit(columns).transform(columns.dropna(how="all", subset=columns.columns.drop(CENTER)))
    combat = ComBat(CENTER).fit(full[full[CENTER].isin(division.train)])
    asked = f"asked to adjust the patients of {listed(division.test)} after a fit on {listed(division.train)}"
    try:
        combat.transform(full[full[CENTER].isin(division.test)])
    except InputError:
        return (
            "ComBat knows the shift and scale of the centers that it was fitted on, and of no other. Tried here: "
            f"{asked}, it refuses, as it should: their own shift can not be told from what they differ in as patients. "
            "The table above leaves their features as they are."
        )
    return ""
