"""Chapter 07: how probable the event is by a time; for training patients from fits without their own fold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from radsupport.checks import FloatArray
from radsupport.errors import InputError, NotEstimableError
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, predict_survival
from radsupport.survival.steps_cox_data import OUTCOME, CoxData, recoded
from radsupport.survival.steps_ratios import with_firth
from radsupport.validation.recalibration import Locked, locked_recalibrations

COVARIATES = "covariates (Cox)"


class Judged(NamedTuple):
    """One model in one cohort.

    Attributes
    ----------
    cohort, name : str
    rows : DataFrame
        Its patients with outcome; none whom it can not predict.
    probability : callable
        Rows and times (months) to the probability of the event by each time, shape (n, m).
    end : float
        The last time (months) it can say something about.
    """

    cohort: str
    name: str
    rows: pd.DataFrame
    probability: Callable[[pd.DataFrame, Any], FloatArray]
    end: float


@dataclass(frozen=True, eq=False)
class CrossFitted:
    """A Cox model of the covariates, and the same model fitted without each fold of the training cohort.

    Attributes
    ----------
    whole : CoxFit
    without : dict of fold to CoxFit
    folds : Series
        Fold of each training patient, by subject.
    """

    whole: CoxFit
    without: dict[float, CoxFit]
    folds: pd.Series

    @property
    def end(self) -> float:
        """The last time (months) that every one of the fits can say something about."""
        return min(float(fit.data[fit.time].max()) for fit in (self.whole, *self.without.values()))

    def fit_for(self, rows: pd.DataFrame) -> list[tuple[CoxFit | None, pd.Series]]:
        """Return each fit with the rows (boolean) it predicts; None where a fold has no fit of the others."""
        fold = rows["subject"].map(self.folds)
        inside = [(self.without.get(number), fold == number) for number in fold.dropna().unique()]
        return [*inside, (self.whole, fold.isna())]

    def probability(self, rows: pd.DataFrame, times: Any) -> FloatArray:
        """Return the probability of the event by each time, shape (n, m)."""
        found = np.full((len(rows), len(times)), np.nan)
        for fit, own in self.fit_for(rows):
            if fit is not None and own.any():
                found[own.to_numpy()] = 1 - predict_survival(fit, rows[own], times).to_numpy()
        return found


def judged_models(
    groups: pd.DataFrame, covariates: CoxFit | None, data: CoxData, cohort: pd.DataFrame, study: Study
) -> list[Judged]:
    """Return every signature, and the Cox model of the covariates, in every cohort.

    Parameters
    ----------
    groups : DataFrame
        As `steps_groups.followed` returns it.
    covariates : CoxFit or None
        Fitted on the training cohort; None leaves it out.
    data : CoxData
        What it was fitted on.
    cohort : DataFrame
        cohort.parquet.
    study : Study
    """
    locked = locked_recalibrations(groups, study, OUTCOME)
    clinical = None if covariates is None else cross_fitted(covariates, data, _joined_folds(locked))
    found = []
    for key, part in groups.groupby("cohort", sort=False):
        for name, own in part.groupby("signature", sort=False):
            if name in locked:
                found.append(Judged(str(key), str(name), own, locked[str(name)].probability, locked[str(name)].end))
        if clinical is not None:
            own = part.drop_duplicates("subject")[["subject", *OUTCOME]]
            rows = own.merge(cohort[["subject", *clinical.whole.design.sources]], on="subject", how="left")
            rows = _predictable(rows, clinical, data)
            if len(rows):
                found.append(Judged(str(key), COVARIATES, rows, clinical.probability, clinical.end))
    return found


def _joined_folds(locked: dict[str, Locked]) -> pd.Series:
    """Return the fold of every training patient whom a signature predicts: signatures share their folds."""
    folds = pd.Series(dtype=float)
    for own in locked.values():
        folds = own.folds.astype(float) if folds.empty else folds.combine_first(own.folds.astype(float))
    return folds


def cross_fitted(whole: CoxFit, data: CoxData, folds: pd.Series) -> CrossFitted:
    """Fit the covariates once more without each fold; Firth's penalty where a coefficient would be infinite.

    Levels that were merged for want of events stay merged as in the whole training cohort. A fold whose complement
    can not be fitted has none.
    """
    own, without = data.table["subject"].map(folds), {}
    for number in folds.dropna().unique():
        try:
            others = data.table[own != number]
            without[float(number)] = with_firth(others, data.covariates, reference=data.reference)[0]
        except (NotEstimableError, InputError):
            continue
    return CrossFitted(whole, without, folds)


def _predictable(rows: pd.DataFrame, model: CrossFitted, data: CoxData) -> pd.DataFrame:
    """Give categories the merged names of training, and leave out patients the model can not predict."""
    for column, names in data.names.items():
        rows = rows.assign(**{column: recoded(rows[column], names)}) if column in rows else rows
    usable = pd.Series(False, index=rows.index)
    for fit, own in model.fit_for(rows):
        if fit is not None:
            usable |= own & _known(rows, fit)
    return rows[usable]


def _known(rows: pd.DataFrame, fit: CoxFit) -> Any:
    known = rows[fit.design.sources].notna().all(axis=1)
    for predictor in fit.design.predictors:
        if predictor.kind == "factor":
            known &= rows[predictor.source].isin(predictor.levels)
    return known
