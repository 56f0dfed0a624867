"""The 3-D CNN of Cui 2022 as a source: patches of both sampling schemes, honest risks, and a second reader's outlines.

The network gives a risk, not features. Fold k's table holds everybody's risk by the network that never saw fold k;
chapter 05 takes a training patient's out-of-fold risk from it and averages the networks for other cohorts. The table
of everybody holds, for training patients, the mean of the networks that learnt from them (apparent).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from radsupport.checks import cohorts_in_order
from radsupport.errors import InputError
from radsupport.imaging.patches import (
    Float32Array,
    Patch,
    Sampling,
    covered_voxels,
    margin_voxels,
    patch_table,
    sampled_patch,
    tumour_field,
)
from radsupport.networks import cnn3d
from radsupport.networks.inputs import SECOND, Given, Volume, complete_folds, required
from radsupport.networks.result import ACCURACY, DeepResult, Tables, finish, kept_epoch, nothing, sheet, tidy_history
from radsupport.networks.training import threads
from radsupport.settings.features import Cnn3d
from radsupport.stats.agreement import bland_altman, icc
from radsupport.stats.roc import auc, delong_test
from radsupport.wording import fixed

#: What papers call the two ways of cutting patches.
SCHEMES: dict[Sampling, str] = {"segmentation": "SS", "box": "NSS"}
READERS = ("reader 1", "reader 2")
#: How `by_sample_size` names the networks of the study in all their held-out patients.
ALL_FOLDS = "all folds"
#: Who the validation part is.
_WATCHED = {
    "inner": "a part of these patients is the validation part",
    "held_out": "that one is the validation part too and chooses the epoch, which flatters its predictions",
    "last": "that one is the validation part too, which chooses nothing: the last epoch is kept",
}


@dataclass(frozen=True)
class Scheme:
    """One sampling scheme in one phase: everybody's patches, the networks, and who has no patch.

    Attributes
    ----------
    given : Given
        What it was made from.
    """

    spec: Cnn3d
    given: Given
    phase: str
    sampling: Sampling
    patches: dict[str, Patch]
    trained: cnn3d.CrossValidated
    failed: pd.DataFrame

    @property
    def feature(self) -> str:
        """Name of its column in the feature table, without the phase."""
        return f"risk_{self.sampling}"

    @property
    def name(self) -> str:
        """Name in figures: SS or NSS."""
        return SCHEMES[self.sampling]

    @property
    def covered_mm(self) -> tuple[int, int, int]:
        """What a patch covers along slices, rows and columns, in whole mm."""
        if self.spec.field_mm is not None:
            return self.spec.field_mm
        x, y, z = self.given.spacing_mm
        slices, rows, columns = self.spec.patch
        return round(slices * z), round(rows * y), round(columns * x)

    def images(self, subjects: Sequence[str]) -> Float32Array:
        """Return the patches of some subjects, shape (n, 1, slices, rows, columns)."""
        return np.stack([self.patches[subject].image for subject in subjects])[:, None]

    def masks(self, subjects: Sequence[str]) -> np.ndarray:
        """Return the tumour inside these patches, shape (n, slices, rows, columns)."""
        return np.stack([self.patches[subject].mask for subject in subjects])


def learn_cnn3d(spec: Cnn3d, given: Given) -> DeepResult:
    """Train on both samplings, fold by fold, and return everybody's risks."""
    schemes = train_schemes(spec, given)
    risks = [scheme_risks(scheme) for scheme in schemes]
    tables: dict[int | None, Tables] = {}
    for fold in (None, *range(len(schemes[0].trained.models))):
        column = "everybody" if fold is None else f"fold{fold}"
        tables[fold] = {
            phase: pd.DataFrame(
                {s.feature: table[column] for s, table in zip(schemes, risks, strict=True) if s.phase == phase}
            ).reset_index()
            for phase in given.phases
        }
    several = len(given.phases) > 1
    curves = [
        tidy_history(part, f"{f'{s.phase}, ' if several else ''}{s.name}, fold {k}", ACCURACY)
        for s in schemes
        for k, part in s.trained.history.groupby("fold")
    ]
    layers = cnn3d.layer_table(spec.patch, spec.width)
    middle = spec.patch[0] // 2
    shown = [(subject, s, s.patches[subject]) for subject in list(schemes[0].patches)[:4] for s in schemes]
    return finish(
        given, tables, _facts(spec, schemes, int(layers["parameters"].sum())), [s.failed for s in schemes],
        weights="random weights (initialisation of Glorot and Bengio), trained on the labels of this study alone",
        history=pd.concat(curves, ignore_index=True), layers=layers,
        inputs=sheet((f"{name}, {s.name}", patch.image[middle], patch.mask[middle]) for name, s, patch in shown),
        trainers={"train": max(len(s.trained.predictions) for s in schemes)},
        how=f", each on all folds but the one it predicts; {_WATCHED[spec.stop_on]}",
        folds=shared_folds(schemes, list(given.labels().index)), schemes=tuple(schemes), ranges=risk_ranges(schemes),
        nets={f"{s.phase}/{s.feature}/{k}": net for s in schemes for k, net in enumerate(s.trained.models)},
    )  # fmt: skip


def new_risks(spec: Cnn3d, given: Given, nets: Mapping[str, cnn3d.CNN3D]) -> dict[int | None, Tables]:
    """Return the risks of new patients by each fold's network, and (None) by their mean."""
    count = len({name.rpartition("/")[2] for name in nets})
    tables: dict[int | None, Tables] = {fold: {} for fold in (None, *range(count))}
    for phase in given.phases:
        parts: dict[int | None, list[pd.Series]] = {fold: [] for fold in tables}
        for sampling in spec.sampling:
            patches, failed = case_patches(spec, given, phase, sampling, given.predicted)
            required(patches, failed, f"No patient has a patch in the {phase} phase")
            models = [nets[f"{phase}/risk_{sampling}/{k}"] for k in range(count)]
            images = np.stack([patch.image for patch in patches.values()])[:, None]
            risks = cnn3d.fold_risks(models, images, list(patches))
            parts[None].append(risks.mean(axis=1).rename(f"risk_{sampling}"))
            for k in range(count):
                parts[k].append(risks[f"fold{k}"].rename(f"risk_{sampling}"))
        for fold, columns in parts.items():
            tables[fold][phase] = pd.concat(columns, axis=1).rename_axis("subject").reset_index()
    return tables


def case_patches(
    spec: Cnn3d, given: Given, phase: str, sampling: Sampling, subjects: Sequence[str], outline: str = "mask"
) -> tuple[dict[str, Patch], pd.DataFrame]:
    """Cut each subject's patch, by the outline of one reader; subject, phase, reason of those who have none.

    A scan is read once: what a patch covers of it is kept for the other sampling schemes and the compared choices.
    """
    size = covered_voxels(spec.patch, spec.field_mm, given.spacing_mm)

    def make(volume: Volume) -> Patch:
        return tumour_field(volume.image, volume.mask, size, spec.centre)

    view = (spec.centre, spec.window.level, spec.window.width)
    key = ("cnn3d", phase, outline, size, *view, tuple(subjects))
    if key not in given.kept:
        given.kept[key] = given.inputs(phase, subjects, spec.window, make, outline)
    fields, failed = given.kept[key]
    margin = margin_voxels(spec.box_margin_mm, given.spacing_mm)
    return {one: sampled_patch(field, sampling, spec.patch, margin) for one, field in fields.items()}, failed


def train_schemes(spec: Cnn3d, given: Given) -> list[Scheme]:
    """Cut the patches and cross-validate the network for each phase and sampling scheme."""
    schemes = []
    for phase in given.phases:
        for sampling in spec.sampling:
            patches, failed = case_patches(spec, given, phase, sampling, given.predicted)
            known = {s: patches[s].image for s in given.labels().index if s in patches}
            required(known, failed, f"No training patient has a patch in the {phase} phase")
            trained = _cross_validated(spec, given, patches)
            schemes.append(Scheme(spec, given, phase, sampling, patches, trained, failed))
    return schemes


def _cross_validated(
    spec: Cnn3d, given: Given, patches: Mapping[str, Patch], first: int | None = None
) -> cnn3d.CrossValidated:
    """Cross-validate the network on the training patients who have a patch, in all folds or the first ones."""
    labels = given.labels()
    labels = labels[labels.index.isin(patches)]
    images = np.stack([patches[subject].image for subject in labels.index])[:, None]
    settings = cnn3d.CNN3DSettings.of(spec, seed=given.seed)
    with threads(given.threads):
        return cnn3d.cross_validate(
            images, labels.to_numpy(), list(labels.index), settings, checkpoints=given.folder / "cnn3d", first=first
        )


def by_sample_size(schemes: Sequence[Scheme]) -> pd.DataFrame:
    """Judge every scheme by networks that learn from fewer patients, in the same held-out patients at every size.

    Networks of the first `learning_folds` folds learn from each of the `learning_sizes`, drawn by outcome, in the
    study's own epochs; the last size is that of the networks of the study. Where these folds are not all, the study's
    own networks are judged in all folds beside it: few held-out patients give another value, and another P.

    Returns
    -------
    DataFrame
        signature (scheme), judged (in which folds), n (patients that a network learns from), held (patients judged),
        events, value (AUC out of fold), value_low, value_high (DeLong, 95%), p (DeLong's paired test of the first two
        schemes at this size).
    """
    columns = ["signature", "judged", "n", "held", "events", "value", "value_low", "value_high", "p"]
    if not schemes or not schemes[0].spec.learning_sizes:
        return nothing("This study asks for no networks that learn from fewer patients.", columns)
    spec = schemes[0].spec
    first, rows = min(spec.learning_folds, spec.folds), []
    whole = min(part["learnt"].iloc[0] for _, part in schemes[0].trained.history.groupby("fold"))
    asked = [(n, first) for n in sorted(one for one in spec.learning_sizes if one < whole)]
    for n, judged in dict.fromkeys([*asked, (whole, first), (whole, spec.folds)]):
        few, risks = spec.model_copy(update={"train_limit": n}), {}
        for scheme in schemes:
            trained = scheme.trained if n == whole else _cross_validated(few, scheme.given, scheme.patches, first)
            held = trained.predictions[trained.predictions["fold"] < judged]
            risks[f"{scheme.phase}, {scheme.name}" if len(scheme.given.phases) > 1 else scheme.name] = held
        tables = list(risks.values())
        y, pair = tables[0]["label"].to_numpy(), [table["out_of_fold"].to_numpy() for table in tables[:2]]
        p = delong_test(y, pair[0], pair[1]).p if len(pair) == 2 and tables[0].index.equals(tables[1].index) else np.nan
        for name, held in risks.items():
            area = auc(held["label"].to_numpy(), held["out_of_fold"].to_numpy())
            where = f"first {judged} of {spec.folds} folds" if judged < spec.folds else ALL_FOLDS
            rows.append((name, where, n, len(held), int(held["label"].sum()), area.auc, area.ci_low, area.ci_high, p))
    return pd.DataFrame(rows, columns=columns)


def scheme_risks(scheme: Scheme) -> pd.DataFrame:
    """Return everybody's risk: subject (index), fold0 … by each fold's network, and everybody.

    The last column is the mean of the networks; for training patients of those alone that learnt from them.
    """
    subjects = list(scheme.patches)
    table = cnn3d.fold_risks(scheme.trained.models, scheme.images(subjects), subjects)
    apparent = scheme.trained.predictions["apparent"].reindex(table.index)
    return table.assign(everybody=apparent.fillna(table.mean(axis=1)))


def shared_folds(schemes: Sequence[Scheme], subjects: Sequence[str]) -> pd.Series:
    """Return each training patient's fold; the schemes share their folds where they share their patients.

    Raises
    ------
    InputError
        The schemes lost different patients, so that their folds differ.
    """
    given = [s.trained.predictions["fold"] for s in schemes]
    if any(not fold.equals(given[0]) for fold in given[1:]):
        raise InputError(
            "The sampling schemes can not use the same patients, so that their folds differ. Exclude in chapter 02 the "
            "cases that only one of them can use."
        )
    return complete_folds(given[0], subjects)


def _facts(spec: Cnn3d, schemes: Sequence[Scheme], parameters: int) -> dict[str, object]:
    first = schemes[0]
    share = patch_table(first.patches)
    facts: dict[str, object] = {
        "patients with a patch": len(first.patches),
        "patch (slices, rows, columns)": " × ".join(map(str, spec.patch)),
        "covered (mm)": " × ".join(map(str, first.covered_mm)),
        "parameters": parameters,
        "share of the tumour inside its patch, median": f"{share['share_inside'].median():.0%}",
        "patients whose tumour is cut": f"{int(share['cut'].sum())} of {len(share)}",
    }
    for s in schemes:
        kept = [kept_epoch(part) for _, part in s.trained.history.groupby("fold")]
        facts[f"epochs kept, {s.name}"] = ", ".join(map(str, kept))
    ranges = risk_ranges(schemes).set_index("scheme")
    return facts | {
        f"out-of-fold risks, {name}": f"{fixed(low, 3)} to {fixed(high, 3)}"
        for name, low, high in ranges[["lowest", "highest"]].itertuples()
    }


def risk_ranges(schemes: Sequence[Scheme]) -> pd.DataFrame:
    """Return the least and the largest out-of-fold risk: scheme, lowest, highest."""
    rows = []
    for scheme in schemes:
        risk = scheme.trained.predictions["out_of_fold"]
        rows.append({"scheme": scheme.name, "lowest": float(risk.min()), "highest": float(risk.max())})
    return pd.DataFrame(rows, columns=["scheme", "lowest", "highest"])


@dataclass(frozen=True)
class SecondReader:
    """The patients outside training, scored by the outlines of both readers: `rescored` and what follows from it."""

    scores: pd.DataFrame
    agreement: pd.DataFrame
    discrimination: pd.DataFrame
    points: pd.DataFrame


def second_reader(schemes: Sequence[Scheme]) -> SecondReader:
    """Ask what a second reader's outlines of the test cohorts change, without training again."""
    scores = rescored(schemes)
    agreement = score_agreement(scores)
    return SecondReader(scores, agreement, discrimination_by_reader(scores), differences(scores, agreement))


def rescored(schemes: Sequence[Scheme]) -> pd.DataFrame:
    """Score the patients outside training by the outlines of both readers, with the mean of the folds' networks.

    Returns
    -------
    DataFrame
        subject, scheme, reader 1, reader 2 (risks), label; no rows where nobody outlined these patients again.
    """
    tables = []
    for scheme in schemes:
        given, phase = scheme.given, scheme.phase
        others = [name for name in cohorts_in_order(given.cases["cohort"]) if name != "train"]
        twice = [one for name in others for one in given.twice(phases=[phase], cohort=name)]
        again, _ = case_patches(scheme.spec, given, phase, scheme.sampling, twice, SECOND)
        both = [subject for subject in twice if subject in again and subject in scheme.patches]
        if len(both) < 2:
            continue
        by_reader = (scheme.images(both), np.stack([again[subject].image for subject in both])[:, None])
        risks = [cnn3d.fold_risks(scheme.trained.models, images, both).mean(axis=1) for images in by_reader]
        row = dict(zip(READERS, (risk.to_numpy() for risk in risks), strict=True))
        labels = given.cohort.set_index("subject").loc[both, "label"].to_numpy()
        tables.append(pd.DataFrame({"subject": both, "scheme": scheme.name, **row, "label": labels}))
    if tables:
        return pd.concat(tables, ignore_index=True)
    return nothing(
        "No second reader outlined a test cohort for a network that gives risks.",
        ["subject", "scheme", *READERS, "label"],
    )


def score_agreement(scores: pd.DataFrame, kind: str = "ICC(2,1)") -> pd.DataFrame:
    """Say how far the risks by both readers agree, per scheme.

    Returns
    -------
    DataFrame
        scheme, n, icc, icc_low, icc_high, bias (reader 1 minus reader 2), bias_low, bias_high, limit_low, limit_high
        (95% limits of agreement).
    """
    rows = []
    for name, part in scores.groupby("scheme", sort=False):
        found = icc(part[list(READERS)].to_numpy()).set_index("kind").loc[kind]
        limits = bland_altman(part["reader 1"].to_numpy(), part["reader 2"].to_numpy()).iloc[0]
        row = {"scheme": name, "n": len(part), "icc": found["icc"]}
        row |= {"icc_low": found["ci_low"], "icc_high": found["ci_high"]}
        rows.append(row | {key: limits[key] for key in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")})
    return pd.DataFrame(rows) if rows else nothing(scores.attrs.get("empty", ""))


def discrimination_by_reader(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the AUC by each reader's outlines, and DeLong's paired test of the two.

    Returns
    -------
    DataFrame
        scheme, n, events, auc_1, auc_1_low, auc_1_high, auc_2, auc_2_low, auc_2_high, difference, p; schemes whose
        patients are all of one outcome are left out.
    """
    rows = []
    for name, part in scores.dropna(subset=["label"]).groupby("scheme", sort=False):
        y = part["label"].astype(int).to_numpy()
        if len(np.unique(y)) < 2:
            continue
        row: dict[str, object] = {"scheme": name, "n": len(y), "events": int(y.sum())}
        for i, reader in enumerate(READERS, start=1):
            area = auc(y, part[reader].to_numpy())
            row |= {f"auc_{i}": area.auc, f"auc_{i}_low": area.ci_low, f"auc_{i}_high": area.ci_high}
        test = delong_test(y, part["reader 1"].to_numpy(), part["reader 2"].to_numpy())
        rows.append(row | {"difference": test.difference, "p": test.p})
    return pd.DataFrame(rows) if rows else nothing("")


def differences(scores: pd.DataFrame, agreement: pd.DataFrame) -> pd.DataFrame:
    """Return the points of a Bland-Altman plot per scheme.

    Returns
    -------
    DataFrame
        scheme, mean and difference (reader 1 minus reader 2) of the two risks of each patient, and of all patients
        n, bias, limit_low and limit_high, from `score_agreement`.
    """
    if agreement.empty:
        return nothing("")
    limits = agreement[["scheme", "n", "bias", "limit_low", "limit_high"]]
    first, second = (scores[reader] for reader in READERS)
    points = pd.DataFrame({"scheme": scores["scheme"], "mean": (first + second) / 2, "difference": first - second})
    return points.merge(limits, on="scheme")
