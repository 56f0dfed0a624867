"""What the networks of chapter 04 are given: windowed volumes and masks of the preprocessed cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.patches import BoolArray, Float32Array, make_inputs
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import read_image, read_mask
from radsupport.settings.features import Window
from radsupport.settings.study import Study

Made = TypeVar("Made")
OUTLINES = {"reader 1": "mask", "reader 2": "mask_reader2"}


@dataclass(frozen=True)
class Volume:
    """One case: image after windowing (0 to 1) and outline, both (slices, rows, columns)."""

    image: Float32Array
    mask: BoolArray


def model_phases(study: Study) -> list[str]:
    """Return the phases whose features enter models."""
    return [name for name, phase in study.phases.items() if phase.role == "model"]


def predicted_subjects(cohort: pd.DataFrame) -> list[str]:
    """Return everybody who gets features: all but those who only train a segmentation."""
    return sorted(cohort.loc[cohort["cohort"] != "segmentation", "subject"])


def read_volume(case: Any, view: Window, outline: str = "mask") -> Volume:
    """Return image and outline of one case of the table `cases`.

    Raises
    ------
    InputError
        Chapter 02 excluded the case, or wrote no such outline.
    """
    if case["exclusion"]:
        raise InputError(f"Excluded: {case['exclusion']}")
    if not (isinstance(case["image"], str) and isinstance(case[outline], str)):
        raise InputError(f"There is no preprocessed image and {outline.replace('_', ' ')}.")
    image = sitk.GetArrayFromImage(read_image(case["image"]))
    mask = sitk.GetArrayFromImage(read_mask(case[outline])) > 0
    return Volume(window(image, view.level, view.width), mask)


def case_inputs(
    cases: pd.DataFrame,
    phase: str,
    subjects: Sequence[str],
    view: Window,
    make: Callable[[Volume], Made],
    outline: str = "mask",
    progress: bool = False,
) -> tuple[dict[str, Made], pd.DataFrame]:
    """Make the input of each subject in one phase; who has none is logged.

    Returns
    -------
    dict
        Subject to what `make` returned.
    DataFrame
        subject, phase, reason of those who failed.
    """
    found = cases[cases["phase"] == phase].set_index("subject")

    def make_one(subject: str) -> Made:
        if subject not in found.index:
            raise InputError(f"There is no case in the {phase} phase.")
        return make(read_volume(found.loc[subject], view, outline))

    made, log = make_inputs(subjects, make_one, progress=progress, description=f"{phase} inputs")
    failed = log.loc[log["failed"], ["subject", "reason"]]
    return made, failed.assign(phase=phase)[["subject", "phase", "reason"]].reset_index(drop=True)


def reasons_of(failed: pd.DataFrame, most: int = 3) -> str:
    """Say in one line why cases have no input: the commonest reasons and how many cases each of them concerns."""
    counts = failed["reason"].value_counts().head(most)
    return "; ".join(f"{reason} ({n})" for reason, n in counts.items()) or "no case was asked for."


def twice_read(cases: pd.DataFrame, phases: Sequence[str], most: int, cohort: str = "train") -> list[str]:
    """Return the subjects of a cohort whom a second reader outlined in all phases: the first `most` by id."""
    if "mask_reader2" not in cases.columns:
        return []
    used = cases[(cases["cohort"] == cohort) & (cases["exclusion"] == "") & cases["phase"].isin(phases)]
    both = used[used["mask_reader2"].notna() & (used["mask_reader2"] != "")]
    n = both.groupby("subject")["phase"].nunique()
    return sorted(n.index[n == len(phases)])[:most]


def in_rows(subjects: Sequence[str], parts: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the contract table: one row per subject, ``<phase>__<feature>`` columns, NaN for who has none.

    Parameters
    ----------
    parts : dict of phase to DataFrame
        ``subject`` and features.
    """
    pieces = [pd.DataFrame({"subject": list(subjects)}).set_index("subject")]
    for phase, part in parts.items():
        pieces.append(part.set_index("subject").add_prefix(f"{phase}__").reindex(pieces[0].index))
    table = pd.concat(pieces, axis=1)
    return table.astype(np.float64).rename_axis("subject").reset_index()


def labels_of(study: Study, cohort: pd.DataFrame) -> pd.Series:
    """Return the 0/1 outcome of the training patients that networks may learn from, by subject.

    Raises
    ------
    InputError
        The study's endpoint is no label.
    """
    if study.endpoint.label is None or "label" not in cohort.columns:
        raise InputError(f"A network can be trained on a label only; study {study.id} has none.")
    known = cohort[(cohort["cohort"] == "train") & cohort["label"].notna()]
    return known.set_index("subject")["label"].astype(int).sort_index()


def complete_folds(folds: pd.Series, subjects: Sequence[str]) -> pd.Series:
    """Give those without an input a fold too, the smallest one each time: other signatures can use them."""
    completed = folds.astype(int).to_dict()
    for subject in sorted(set(subjects) - set(completed)):
        counts = pd.Series(completed).value_counts().sort_index()
        completed[subject] = int(counts.idxmin())
    return pd.Series(completed, name="fold").sort_index()
