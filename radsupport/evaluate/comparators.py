"""What a signature has to be better than: the tumour's volume alone, and what is known without an image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.evaluate.discrimination import pairs
from radsupport.evaluate.features import leaves
from radsupport.evaluate.predictions import LABEL
from radsupport.learning.assembly import assemble, fixed_folds, indexed
from radsupport.learning.crossval import External
from radsupport.learning.signatures import PREDICTION_COLUMNS, run_signatures
from radsupport.settings.learning import Signature
from radsupport.settings.parts import Column
from radsupport.stats.outcome import as_target, discrimination, fold_numbers, strata
from radsupport.stats.table_one import adjust_p
from radsupport.tables import read_table

#: Names of the two comparators that no study file lists.
VOLUME, CLINICAL = "Volume alone", "Clinical columns"
#: A volume by its name, best first: of an image, then in a sheet; ratios and densities of volumes are none.
_VOLUMES = (
    r"shape_VoxelVolume$", r"shape_MeshVolume$", r"shape_Volume$",
    r"(^|__)((lesion|tumou?r|gross|total|gtv|mask)_)*volume(_(alone|mm3|cm3|ml|cc|voxel|mesh))*$",
)  # fmt: skip
_NO_VOLUME = "no volume of the tumour is among these data"
_NO_COLUMN = "no clinical column known before treatment is among these data"
#: Columns of `beside`.
BESIDE = [
    "cohort", "signature", "beside", "n", "events", "measure", "value", "value_beside", "difference", "difference_low",
    "difference_high", "p", "p_adjusted", "note",
]  # fmt: skip


def image_based(signatures: Sequence[Signature]) -> list[str]:
    """Return the signatures that learn from an image, themselves or by a part: radiomics or networks."""
    images = {"radiomics", "deep", "deep_published"}
    made = {one.name: leaves(signatures, one.name) for one in signatures}
    return [name for name, parts in made.items() if any(images & set(part.sources) for part in parts)]


def without_image(signatures: Sequence[Signature]) -> list[str]:
    """Return the signatures that need no image features: clinical variables, and what a reader measures or finds."""
    return [one.name for one in signatures if one.name not in image_based(signatures)]


def chosen(signatures: Sequence[Signature], best: str = "") -> str:
    """Return the best signature where it learns from images, else the first that does, else the first of all."""
    found = image_based(signatures)
    return best if best in found else next(iter(found), signatures[0].name)


def volumes(results: Path, cohort: pd.DataFrame) -> pd.Series:
    """Return the volume of each patient's tumour where one is known: of the mask, else of a table.

    Parameters
    ----------
    results : Path
        Folder with cases.parquet (its volume_mm3 is the mask's as scanned, the mean over a patient's phases), or with
        features_radiomics.parquet, of which a column is taken that is called a volume (mean over phases).
    cohort : DataFrame
        cohort.parquet, whose columns are looked at last.

    Returns
    -------
    Series, indexed by subject
        Volumes in the unit of their table (z-scores where it holds such), none of 0; ``name`` is where they come from,
        empty where there are none.
    """
    if (results / "cases.parquet").is_file():
        cases = read_table("cases", results)
        found = cases.groupby("subject")["volume_mm3"].mean()
        return found[found > 0].rename("the outlines")
    tables = [("the radiomics table", results / "features_radiomics.parquet")]
    known = [(name, indexed(read_table(path.stem, results))) for name, path in tables if path.is_file()]
    for name, table in [*known, ("the clinical table", indexed(cohort))]:
        for wanted in _VOLUMES:
            columns = [one for one in table if re.search(wanted, str(one), re.IGNORECASE)]
            values = table[columns].apply(pd.to_numeric, errors="coerce").mean(axis=1)
            # a published table may hold z-scores
            values = values.dropna() if (values < 0).any() else values[values > 0]
            if len(set(values)) > 1:
                return values.rename(name)
    return pd.Series(dtype=float, name="")


def ranked_by(
    values: pd.Series, cohort: pd.DataFrame, outcome: Sequence[str], folds: int | pd.Series, seed: int, name: str
) -> pd.DataFrame:
    """Return predictions that rank patients by one value; what is learnt is whether more of it is worse.

    Parameters
    ----------
    values : Series, indexed by subject
    cohort : DataFrame
        cohort.parquet.
    outcome : sequence of str
    folds, seed : int or Series, int
        As of `run_signatures`: the direction that a training patient is ranked by comes from the other folds.
    name : str
        Of the signature.

    Returns
    -------
    DataFrame
        As `run_signatures` predicts, without apparent rows. Where the folds do not agree on a direction, training does
        not tell it, and more is taken to be worse: pooled risks of opposite directions would rank below chance, which
        flatters whatever is compared with them.
    """
    table = indexed(cohort).assign(value=values)
    table = table[table["value"].notna() & (table["cohort"] != "segmentation")]
    train = table[table["cohort"] == "train"].dropna(subset=list(outcome))
    target = as_target(train["label"] if tuple(outcome) == LABEL else train[list(outcome)])
    if isinstance(folds, pd.Series):
        number = folds.reindex(train.index).fillna(-1).to_numpy(int)
    else:
        number = fold_numbers(target, min(folds, int(np.bincount(strata(target), minlength=2).min())), seed)
    x = train["value"].to_numpy(float)
    signs = {k: _direction(target[number != k], x[number != k]) for k in np.unique(number)}
    agreed = set(signs.values()).pop() if len(set(signs.values())) == 1 else 1.0
    inside = train.assign(kind="out_of_fold", fold=number.astype(float), risk=agreed * x)
    others = table[table["cohort"] != "train"]
    outside = others.assign(kind="external", fold=np.nan, risk=agreed * others["value"])
    rows = pd.concat([inside, outside]).assign(signature=name).rename_axis("subject").reset_index()
    return rows.reindex(columns=PREDICTION_COLUMNS)


def _direction(target: Any, x: Any) -> float:
    return -1.0 if discrimination(target, x) < 0.5 else 1.0


def added(
    predictions: pd.DataFrame,
    results: Path,
    signatures: Sequence[Signature],
    columns: Mapping[str, Column],
    cohort: pd.DataFrame,
    *,
    outcome: Sequence[str] = LABEL,
    folds: int = 10,
    inner_folds: int = 5,
    external: External = "mean_of_folds",
    seed: int = 0,
) -> pd.DataFrame:
    """Add predictions by volume alone and, where no signature learns from clinical columns, by all of these.

    Parameters
    ----------
    predictions : DataFrame
        predictions.parquet.
    results : Path
    signatures, columns, cohort
        Of the study. The clinical model learns from all columns of the clinical table that are known before treatment
        (penalised logistic regression, or Cox regression), by the study's protocol.
    outcome : sequence of str
    folds, inner_folds, external, seed
        Of `run_signatures`.

    Returns
    -------
    DataFrame
        With the rows of the comparators; ``attrs["lacking"]`` lists what could not be compared with, and why, and
        ``attrs["volume"]`` says where the volume comes from.
    """
    number, lacking, found = fixed_folds(results, folds), [], []
    size = volumes(results, cohort)
    try:
        found += [ranked_by(size, cohort, outcome, number, seed, VOLUME)] if len(size) else []
        lacking += [] if len(size) else [_NO_VOLUME]
    except NotEstimableError as error:
        lacking.append(f"{VOLUME}: {error.message}")
    in_training = cohort[cohort["cohort"] == "train"]
    known = [
        key for key, one in columns.items()
        if one.source == "clinical" and one.time_of_knowledge == "preoperative"
        and key in cohort and len(set(in_training[key].dropna())) > 1
    ]  # fmt: skip
    if not any(one.columns for one in signatures if one.name in without_image(signatures)):
        lacking += [] if known else [_NO_COLUMN]
        learner = "Ridge" if tuple(outcome) == LABEL else "Cox"
        for own in [Signature(name=CLINICAL, columns=known, learner=learner)] if known else []:
            pooling = "standardised" if "score" in predictions else "raw"
            assembly = assemble(
                results, [own], columns, cohort, outcome=tuple(outcome), folds=folds, pooling=pooling
            )  # fmt: skip
            options: dict[str, Any] = {"inner_folds": inner_folds, "external": external, "seed": seed}
            found.append(run_signatures(assembly, folds=number, refit=external == "refit", **options).predictions)
    table = pd.concat([predictions, *found], ignore_index=True)
    table.attrs |= {"lacking": lacking, "volume": str(size.name or "")}
    return table


def beside(
    rows: pd.DataFrame, signatures: Iterable[str], others: Iterable[str], outcome: Sequence[str] = LABEL, **options: Any
) -> pd.DataFrame:
    """Return each signature minus each of the others, on the patients of both, in every cohort.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    signatures, others : iterable of str
        Those with a name that has no row are left out.
    outcome : sequence of str
    **options
        Of `pairs`: n_bootstrap, seed.

    Returns
    -------
    DataFrame
        `BESIDE`: DeLong's paired test of AUCs, the joint jackknife's of C-indices with the paired bootstrap's interval;
        p_adjusted is Holm's over all pairs of a cohort. Values pool the centers of a cohort.
    """
    found, others = [], list(others)
    for cohort, part in rows.groupby("cohort", observed=True, sort=False):
        present = set(part["signature"])
        for name in (one for one in signatures if one in present):
            for other in (one for one in others if one in present and one != name):
                two = part[part["signature"].isin([name, other])]
                two = two.assign(signature=pd.Categorical(two["signature"], [name, other], ordered=True))
                for row in pairs(two, outcome, **options).to_dict("records"):
                    found.append({"cohort": cohort, "signature": name, "beside": other} | row)
    table = pd.DataFrame(found).rename(columns={"value_a": "value", "value_b": "value_beside"})
    table["measure"] = "AUC" if tuple(outcome) == LABEL else "C-index"
    table = table.reindex(columns=BESIDE)
    by = table.groupby("cohort", sort=False)["p"] if len(table) else table["p"]
    table["p_adjusted"] = by.transform(adjust_p, method="holm") if len(table) else table["p"]
    table.attrs["empty"] = "" if len(table) else "There is nothing to compare a signature of images with."
    return table
