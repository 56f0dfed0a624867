"""What a reader would measure in the drawn tissue of a synthetic case: true HU, with an error of reading."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.errors import StudyError
from radsupport.study_schema import Measure, Study

READING_SD = 0.04


def read_tissue(subjects: pd.DataFrame, study: Study, tissue: pd.DataFrame) -> None:
    """Fill the columns that a reader measures in the drawn tissue: the true value, off by 4% (SD).

    Parameters
    ----------
    subjects : DataFrame
        As `draw_subjects` returns it; changed in place. A value that is missing there stays missing.
    study : Study
        Its marginals with `reads_tissue`; the columns' `measure` says what is read.
    tissue : DataFrame
        subject, phase, tumour, organ, aorta: true mean HU of each case in the plane of its largest section.

    Raises
    ------
    StudyError
        A column with `reads_tissue` has no measure of HU.
    """
    marginals = {} if study.synthetic is None else study.synthetic.marginals
    wanted = [name for name, marginal in marginals.items() if marginal.reads_tissue and name in subjects]
    hu = tissue.pivot_table(index="subject", columns="phase", dropna=False).reindex(subjects["subject"])
    for i, name in enumerate(wanted):
        true = _true_value(name, study.columns[name].measure, hu)
        error = 1 + READING_SD * np.random.default_rng([study.seed, 6, i]).standard_normal(len(subjects))
        given = subjects[name].notna().to_numpy()
        subjects[name] = np.where(given, np.round(true * error, 2), np.nan)


def _true_value(name: str, measure: Measure | None, hu: pd.DataFrame) -> np.ndarray:
    """Return one measure of every subject; NaN where a phase or a tissue is missing."""
    if measure is None or measure.what not in ("ct_ratio", "enhanced_rate"):
        what = "no `measure:`" if measure is None else f"the measure {measure.what}"
        raise StudyError(f"The column {name} reads the tissue, but has {what}; expected ct_ratio or enhanced_rate.")
    phase = measure.phases[0]
    if measure.what == "ct_ratio":
        return (hu["tumour", phase] / hu["organ", phase]).to_numpy()
    tumour, aorta = (hu[tissue, phase] - hu[tissue, measure.before] for tissue in ("tumour", "aorta"))
    return (tumour / aorta).to_numpy()
