"""What the networks of chapter 04 are given: windowed volumes and masks of the preprocessed cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.patches import BoolArray, Float32Array, make_inputs
from radsupport.imaging.preprocessing import window
from radsupport.imaging.reading import like, read_image, read_mask
from radsupport.imaging.regions import bounding_box, region
from radsupport.settings.features import Roi, Window

Made = TypeVar("Made")
#: Column of the table `cases` that holds the second reader's outlines.
SECOND = "mask_reader2"


@dataclass(frozen=True)
class Volume:
    """One case: image after windowing (0 to 1), outline, and the region looked at; all (slices, rows, columns)."""

    image: Float32Array
    mask: BoolArray
    roi: BoolArray


@dataclass(frozen=True)
class Given:
    """What every kind of network is given.

    Attributes
    ----------
    cohort, cases : DataFrame
        Tables of chapters 01 and 02.
    windows : mapping of str to Window
        Window of each phase.
    phases : sequence of str
        Those whose features enter models.
    spacing_mm : tuple of float
        Voxels of the preprocessed images along x, y and z.
    folder : Path
        Keeps trained networks, checkpoints and features under the hash of what they follow from.
    folds : int
        Folds of the modelling chapter, for features that are learnt on the label.
    seed : int
    jobs : int
        Networks that are trained at once, in processes of one thread: the values do not depend on it.
    threads : int
        Of a network that is trained or asked alone. Sums in another order differ in their last digits, so that values
        do depend on it, and only a full run takes more than one.
    margin_mm : float or tuple of float
        What preprocessing keeps around an outline; no network looks farther, whatever other outlines a case has.
    kept : dict
        What was read or cut before and is looked at again, by what was asked for.
    also : sequence
        Settings of the compared choices, whose inputs are cut in the same pass over the cases.
    """

    cohort: pd.DataFrame
    cases: pd.DataFrame
    windows: Mapping[str, Window]
    phases: Sequence[str]
    spacing_mm: tuple[float, float, float]
    folder: Path
    folds: int = 5
    seed: int = 0
    jobs: int = 1
    threads: int = 1
    margin_mm: float | tuple[float, ...] = 10.0
    kept: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    also: Sequence[Any] = ()

    @property
    def predicted(self) -> list[str]:
        """Everybody who gets features: all but those who only train a segmentation."""
        return sorted(self.cohort.loc[self.cohort["cohort"] != "segmentation", "subject"])

    def labels(self) -> pd.Series:
        """Return the 0/1 outcome of the training patients that networks may learn from, by subject.

        Raises
        ------
        InputError
            The outcome is no label.
        """
        if "label" not in self.cohort.columns:
            raise InputError("A network can be trained on a label only; this study has none.")
        known = self.cohort[(self.cohort["cohort"] == "train") & self.cohort["label"].notna()]
        return known.set_index("subject")["label"].astype(int).sort_index()

    def inputs(
        self,
        phase: str,
        subjects: Sequence[str],
        view: Window,
        make: Callable[[Volume], Made],
        outline: str = "mask",
        roi: Roi | None = None,
        keep: bool = False,
    ) -> tuple[dict[str, Made], pd.DataFrame]:
        """Make the input of each subject in one phase; who has none is logged.

        Parameters
        ----------
        keep : bool
            Keep the scans as they are read: for small ones that several regions are cut from.

        Returns
        -------
        dict
            Subject to what `make` returned.
        DataFrame
            subject, phase, reason of those who failed.
        """
        found = self.cases[self.cases["phase"] == phase].set_index("subject")

        def make_one(subject: str) -> Made:
            if subject not in found.index:
                raise InputError(f"There is no case in the {phase} phase.")
            case, key = found.loc[subject], (phase, subject, outline)
            read = self.kept[key] if key in self.kept else read_case(case, outline)
            rough = case.get("roi_rough")
            if keep:
                self.kept[key] = read
                if roi is not None and roi.roi == "rough" and isinstance(rough, str) and rough:
                    if rough not in self.kept:
                        self.kept[rough] = read_mask(rough)
                    rough = self.kept[rough]
            return make(volume_of(read, view, roi, rough, self.margin_mm))

        made, log = make_inputs(subjects, make_one)
        failed = log.loc[log["failed"], ["subject", "reason"]]
        return made, failed.assign(phase=phase)[["subject", "phase", "reason"]].reset_index(drop=True)

    def twice(self, most: int | None = None, phases: Sequence[str] | None = None, cohort: str = "train") -> list[str]:
        """Return the subjects of a cohort whom a second reader outlined in all phases: the first `most` by id."""
        phases = self.phases if phases is None else phases
        if SECOND not in self.cases.columns:
            return []
        used = self.cases[(self.cases["cohort"] == cohort) & (self.cases["exclusion"] == "")]
        both = used[used["phase"].isin(phases) & used[SECOND].notna() & (used[SECOND] != "")]
        n = both.groupby("subject")["phase"].nunique()
        return sorted(n.index[n == len(phases)])[:most]


def read_case(case: Any, outline: str = "mask") -> tuple[Float32Array, sitk.Image]:
    """Return image (HU) and outline of one case of the table `cases`.

    Raises
    ------
    InputError
        Chapter 02 excluded the case, or wrote no such outline.
    """
    if case["exclusion"]:
        raise InputError(f"Excluded: {case['exclusion']}")
    if not (isinstance(case["image"], str) and isinstance(case[outline], str)):
        raise InputError(f"There is no preprocessed image and {outline.replace('_', ' ')}.")
    return sitk.GetArrayFromImage(read_image(case["image"])), read_mask(case[outline])


def volume_of(
    read: tuple[Float32Array, sitk.Image], view: Window, roi: Roi | None, rough: Any, margin_mm: float | Sequence[float]
) -> Volume:
    """Return image after windowing, outline and region of a case that was read; 0 beyond the margin around the two."""
    image, drawn = read
    mask = sitk.GetArrayFromImage(drawn) > 0
    inside = mask if roi is None else sitk.GetArrayFromImage(region(roi, drawn, rough)) > 0
    seen = np.zeros(image.shape, np.float32)
    if mask.any() or inside.any():
        box = bounding_box(like((mask | inside).view(np.uint8), drawn), margin_mm).slices
        seen[box] = window(image[box], view.level, view.width)
    return Volume(seen, mask, inside)


def required(made: dict[str, Made], failed: pd.DataFrame, what: str) -> dict[str, Made]:
    """Return what was made, or raise InputError with the commonest reasons where nothing was."""
    if not made:
        counts = failed["reason"].value_counts().head(3)
        reasons = "; ".join(f"{reason} ({n})" for reason, n in counts.items()) or "no case was asked for."
        raise InputError(f"{what}: {reasons}")
    return made


def in_rows(subjects: Sequence[str], parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the contract table: one row per subject, ``<phase>__<feature>`` columns, NaN for who has none.

    Parameters
    ----------
    parts : mapping of phase to DataFrame
        ``subject`` and features.
    """
    pieces = [pd.DataFrame({"subject": list(subjects)}).set_index("subject")]
    for phase, part in parts.items():
        pieces.append(part.set_index("subject").add_prefix(f"{phase}__").reindex(pieces[0].index))
    table = pd.concat(pieces, axis=1)
    return table.astype(np.float64).rename_axis("subject").reset_index()


def complete_folds(folds: pd.Series, subjects: Sequence[str]) -> pd.Series:
    """Give those without an input a fold too, the smallest one each time: other signatures can use them."""
    completed = folds.astype(int).to_dict()
    for subject in sorted(set(subjects) - set(completed)):
        counts = pd.Series(completed).value_counts().sort_index()
        completed[subject] = int(counts.idxmin())
    return pd.Series(completed, name="fold").sort_index()
