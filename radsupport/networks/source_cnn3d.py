"""Chapter 04 with the 3-D CNN, step by step: patches of both sampling schemes, training, and honest risks.

The network gives a risk, not features. Fold k's table holds everybody's risk by the network that never saw fold k;
chapter 05 takes a training patient's out-of-fold risk from it and averages the networks for other cohorts. The refit
table holds, for training patients, the mean of the networks that learnt from them (apparent).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radsupport.errors import InputError
from radsupport.imaging.patches import Float32Array, Patch, Sampling, covered_voxels, patch_table, tumour_patch
from radsupport.networks.cnn3d import CNN3D, build_cnn3d, layer_table
from radsupport.networks.cnn3d_training import CNN3DSettings, CrossValidated, cross_validate, predict_risk
from radsupport.networks.inputs import (
    Volume,
    case_inputs,
    complete_folds,
    in_rows,
    labels_of,
    model_phases,
    predicted_subjects,
    reasons_of,
)
from radsupport.networks.result import DeepResult, kept_epoch, tidy_history
from radsupport.settings.features import Cnn3d
from radsupport.settings.study import Study
from radsupport.study import StudyPaths
from radsupport.wording import counted, fixed

#: What papers call the two ways of cutting patches.
SCHEMES: dict[Sampling, str] = {"segmentation": "SS", "box": "NSS"}
#: Risks that lie closer together than this tell nobody apart.
FLAT = 0.05
METRICS = (
    ("train_loss", "train", "loss"),
    ("validation_loss", "validation", "loss"),
    ("validation_accuracy", "validation", "accuracy"),
)


@dataclass(frozen=True)
class Scheme:
    """One sampling scheme in one phase: everybody's patches, the networks, and who has no patch."""

    phase: str
    sampling: Sampling
    patches: dict[str, Patch]
    trained: CrossValidated
    failed: pd.DataFrame

    @property
    def feature(self) -> str:
        """Name of its column in the feature table, without the phase."""
        return f"risk_{self.sampling}"

    @property
    def name(self) -> str:
        """Name in figures: SS or NSS."""
        return SCHEMES[self.sampling]

    def images(self, subjects: list[str]) -> Float32Array:
        """Return the patches of some subjects, shape (n, 1, slices, rows, columns)."""
        return np.stack([self.patches[subject].image for subject in subjects])[:, None]

    def masks(self, subjects: list[str]) -> np.ndarray:
        """Return the tumour inside these patches, shape (n, slices, rows, columns)."""
        return np.stack([self.patches[subject].mask for subject in subjects])


def spec_of(study: Study) -> Cnn3d:
    """Return the study's 3-D CNN settings.

    Raises
    ------
    InputError
        The study's network is another one.
    """
    if not isinstance(study.deep, Cnn3d):
        raise InputError(f"Study {study.id} does not use the 3-D CNN.")
    return study.deep


def settings_of(study: Study) -> CNN3DSettings:
    """Return how the networks are trained."""
    spec = spec_of(study)
    return CNN3DSettings(
        width=spec.width, dropout=spec.dropout, learning_rate=spec.learning_rate, batch_size=spec.batch_size,
        max_epochs=spec.max_epochs, patience=spec.patience, folds=spec.folds, augment=spec.augment,
        max_shift=spec.max_shift, seed=study.seed,
    )  # fmt: skip


def case_patches(
    study: Study, cases: pd.DataFrame, phase: str, sampling: Sampling, subjects: list[str], outline: str = "mask"
) -> tuple[dict[str, Patch], pd.DataFrame]:
    """Cut each subject's patch, by the outline of one reader; subject, phase, reason of those who have none."""
    spec = spec_of(study)
    field = covered_voxels(spec.patch, spec.field_mm, study.preprocessing.spacing_mm)

    def make(volume: Volume) -> Patch:
        return tumour_patch(volume.image, volume.mask, sampling=sampling, shape=spec.patch, field=field)

    return case_inputs(cases, phase, subjects, spec.window, make, outline)


def covered_mm(study: Study) -> tuple[int, int, int]:
    """Return what a patch covers along slices, rows and columns, in whole mm."""
    spec = spec_of(study)
    if spec.field_mm is not None:
        return spec.field_mm
    x, y, z = study.preprocessing.spacing_mm
    slices, rows, columns = spec.patch
    return round(slices * z), round(rows * y), round(columns * x)


def train_schemes(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, cache: Path, progress: bool) -> list[Scheme]:
    """Cut the patches and cross-validate the network for each phase and sampling scheme."""
    labels, schemes = labels_of(study, cohort), []
    for phase in model_phases(study):
        for sampling in spec_of(study).sampling:
            patches, failed = case_patches(study, cases, phase, sampling, predicted_subjects(cohort))
            known = [subject for subject in labels.index if subject in patches]
            if not known:
                raise InputError(f"No training patient has a patch in the {phase} phase: {reasons_of(failed)}")
            shown = np.stack([patches[subject].image for subject in known])[:, None]
            answers = labels.loc[known].to_numpy()
            trained = cross_validate(
                shown, answers, known, settings_of(study), checkpoints=cache / "cnn3d", progress=progress
            )
            schemes.append(Scheme(phase, sampling, patches, trained, failed))
    return schemes


def run(study: Study, cohort: pd.DataFrame, cases: pd.DataFrame, paths: StudyPaths, progress: bool) -> DeepResult:
    """Train on both samplings, fold by fold, and return everybody's risks."""
    schemes = train_schemes(study, cohort, cases, paths.cache, progress)
    subjects = predicted_subjects(cohort)
    tables = [_risks(scheme, list(scheme.patches)) for scheme in schemes]
    numbers = range(len(schemes[0].trained.models))
    by_fold = {k: _joined(study, schemes, [table[f"fold{k}"] for table in tables], subjects) for k in numbers}
    refit = _joined(study, schemes, [table["refit"] for table in tables], subjects)
    several = len(model_phases(study)) > 1
    curves = [
        tidy_history(part, f"{f'{s.phase}, ' if several else ''}{s.name}, fold {k}", METRICS)
        for s in schemes
        for k, part in s.trained.history.groupby("fold")
    ]
    return DeepResult(
        refit, _facts(study, schemes),
        "random weights (initialisation of Glorot and Bengio), trained on the labels of this study alone",
        pd.concat(curves, ignore_index=True),
        failed=pd.concat([scheme.failed for scheme in schemes]).drop_duplicates(ignore_index=True),
        inputs=shown_inputs(schemes), layers=layer_table(_network(study)), by_fold=by_fold,
        trained_on=_trainers(study, schemes), folds=_folds(schemes, list(labels_of(study, cohort).index)),
        schemes=tuple(schemes),
    )  # fmt: skip


def _trainers(study: Study, schemes: list[Scheme]) -> str:
    n = max(s.trained.predictions["subject"].nunique() for s in schemes)
    return (
        f'{counted(n, "patient")} of the cohort "{study.cohort_names["train"]}", each on all folds but the one it '
        "predicts; a part of these patients is the validation part"
    )


def _network(study: Study) -> CNN3D:
    spec = spec_of(study)
    return build_cnn3d(spec.patch, spec.width, spec.dropout, study.seed)


def _risks(scheme: Scheme, subjects: list[str]) -> pd.DataFrame:
    """Return everybody's risk by each fold's network and by the refit: subject (index), fold0 …, refit."""
    images = scheme.images(subjects)
    risks = {f"fold{k}": predict_risk(model, images) for k, model in enumerate(scheme.trained.models)}
    table = pd.DataFrame(risks, index=pd.Index(subjects, name="subject"))
    given = scheme.trained.predictions
    apparent = given[given["kind"] == "apparent"].set_index("subject")["risk"]
    return table.assign(refit=apparent.reindex(table.index).fillna(table.mean(axis=1)))


def _joined(study: Study, schemes: list[Scheme], risks: list[pd.Series], subjects: list[str]) -> pd.DataFrame:
    """Return one contract table from the risks of all schemes."""
    parts = {}
    for phase in model_phases(study):
        own = {s.feature: risk for s, risk in zip(schemes, risks, strict=True) if s.phase == phase}
        parts[phase] = pd.DataFrame(own).rename_axis("subject").reset_index()
    return in_rows(subjects, parts)


def _folds(schemes: list[Scheme], subjects: list[str]) -> pd.Series:
    """Return each training patient's fold; the schemes share their folds where they share their patients.

    Raises
    ------
    InputError
        The schemes lost different patients, so that their folds differ.
    """
    given = [s.trained.predictions.drop_duplicates("subject").set_index("subject")["fold"] for s in schemes]
    if any(not fold.equals(given[0]) for fold in given[1:]):
        raise InputError(
            "The sampling schemes can not use the same patients, so that their folds differ. Exclude in chapter 02 the "
            "cases that only one of them can use."
        )
    return complete_folds(given[0], subjects)


def _facts(study: Study, schemes: list[Scheme]) -> dict[str, object]:
    spec, first = spec_of(study), schemes[0]
    share = patch_table(first.patches)
    return {
        "patients with a patch": len(first.patches),
        "patch (slices, rows, columns)": " × ".join(map(str, spec.patch)),
        "covered (mm)": " × ".join(map(str, covered_mm(study))),
        "parameters": int(layer_table(_network(study))["parameters"].sum()),
        "share of the tumour inside its patch, median": f"{share['share_inside'].median():.0%}",
        "patients whose tumour is cut": f"{int(share['cut'].sum())} of {len(share)}",
        **{f"epochs kept, {s.name}": ", ".join(map(str, _kept(s))) for s in schemes},
        **{f"out-of-fold risks, {s.name}": " to ".join(fixed(risk, 3) for risk in _span(s)) for s in schemes},
    }


def _span(scheme: Scheme) -> tuple[float, float]:
    """Return the least and the largest out-of-fold risk."""
    given = scheme.trained.predictions
    risk = given.loc[given["kind"] == "out_of_fold", "risk"]
    return float(risk.min()), float(risk.max())


def _kept(scheme: Scheme) -> list[int]:
    history = scheme.trained.history
    return [kept_epoch(part) for _, part in history.groupby("fold")]


def shown_inputs(schemes: list[Scheme], most: int = 4) -> pd.DataFrame:
    """Return the middle slice of the first patients in every scheme: subject (a caption), image, mask."""
    rows = []
    for subject in list(schemes[0].patches)[:most]:
        for scheme in schemes:
            patch = scheme.patches[subject]
            middle = patch.image.shape[0] // 2
            caption = f"{subject}, {scheme.name}"
            rows.append({"subject": caption, "image": patch.image[middle], "mask": patch.mask[middle]})
    return pd.DataFrame(rows)


def share_inside(schemes: list[Scheme]) -> pd.DataFrame:
    """Return what share of each tumour its patch holds: subject, voxels, share_inside, cut."""
    return patch_table(schemes[0].patches)
