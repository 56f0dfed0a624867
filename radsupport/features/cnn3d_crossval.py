"""Cross-validation of the 3-D CNN, and scoring with the ensemble of its folds (Cui 2022, Training)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit

from radsupport.checks import as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.features.cnn3d import CNN3D
from radsupport.features.cnn3d_training import CNN3DSettings, check_patches, train_cnn3d
from radsupport.features.torch_tools import check_subjects, choose_device, content_hash, predict_batches

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CrossValidated:
    """The networks of a cross-validation.

    Attributes
    ----------
    models : tuple of CNN3D
        One per fold.
    predictions : DataFrame
        Two rows per subject: subject, kind ("out_of_fold": by the network that never saw the
        subject; "apparent": mean of those that used it to learn or to stop), fold (in which it was
        held out), label, risk.
    history : DataFrame
        One row per fold and epoch: fold, epoch, learning_rate, train_loss, validation_loss,
        validation_accuracy, best.
    """

    models: tuple[CNN3D, ...]
    predictions: pd.DataFrame
    history: pd.DataFrame


def cross_validate(
    images: NDArray[Any],
    y: NDArray[Any],
    subjects: Sequence[str],
    settings: CNN3DSettings | None = None,
    *,
    train_limit: int | None = None,
    device: str = "auto",
    checkpoints: Path | None = None,
    progress: bool = False,
) -> CrossValidated:
    """Train one network per stratified fold of patients; augmented copies stay on their patient's side.

    Parameters
    ----------
    images : array, shape (n, 1, slices, rows, columns)
        One patch per subject, 0-1.
    y : array of 0/1, shape (n,)
    train_limit : int, optional
        Train each fold on this many of its patients only (stratified): for a learning curve.
    checkpoints : Path, optional
        Folder for one checkpoint per fold, named by data and settings; a killed run resumes in its
        fold and epoch, a finished one is read back.
    """
    settings = settings or CNN3DSettings()
    images, names = check_patches(images), check_subjects(subjects, len(images))
    labels = as_binary(y, "y", len(images))
    key = content_hash("cnn3d", asdict(settings), images, labels, train_limit)[:16] if checkpoints else ""
    models, histories, rows = [], [], []
    for fold, (learn, watch, held) in enumerate(_folds(labels, settings, train_limit)):
        data = (images[learn], labels[learn], images[watch], labels[watch])
        path = checkpoints / f"cnn3d_{key}_fold{fold}.pt" if checkpoints else None
        options: dict[str, Any] = {"device": device, "checkpoint": path, "progress": progress}
        text = f"3-D CNN, fold {fold + 1} of {settings.folds}"
        model, history = train_cnn3d(*data, settings, description=text, **options)
        models.append(model)
        histories.append(history.assign(fold=fold))
        used = np.setdiff1d(np.union1d(learn, watch), held)
        rows.append(_scored(model, images, used, held, device).assign(fold=fold))
    table = _prediction_table(names, labels, pd.concat(rows))
    return CrossValidated(tuple(models), table, pd.concat(histories, ignore_index=True))


def predict_risk(
    model: CNN3D, images: NDArray[Any], *, batch_size: int = 8, device: str = "auto"
) -> NDArray[np.float64]:
    """Return the probability of the event (class 1) of each patch, shape (n,)."""
    images = check_patches(images, model.patch)
    place = choose_device(device)
    model = model.to(place).eval()
    risk = predict_batches(lambda batch: model(batch).softmax(dim=1)[:, 1], images, place, batch_size=batch_size)
    return risk.astype(np.float64)


def ensemble_predictions(
    models: Sequence[CNN3D], images: NDArray[Any], subjects: Sequence[str], *, device: str = "auto"
) -> pd.DataFrame:
    """Score patients outside the training cohort by every fold's network.

    Returns
    -------
    DataFrame
        subject, risk (mean over the networks), risk_fold0, risk_fold1, ...
    """
    if not models:
        raise InputError("An ensemble needs at least one network.")
    names = check_subjects(subjects, len(images))
    table = pd.DataFrame({f"risk_fold{i}": predict_risk(m, images, device=device) for i, m in enumerate(models)})
    mean = table.mean(axis=1)
    table.insert(0, "risk", mean)
    table.insert(0, "subject", names)
    return table


def _scored(model: CNN3D, images: NDArray[Any], used: IntArray, held: IntArray, device: str) -> pd.DataFrame:
    """Score the patients whose labels a network used and those held out: case, kind, risk."""
    parts = {"apparent": used, "out_of_fold": held}
    return pd.concat(
        pd.DataFrame({"case": cases, "kind": kind, "risk": predict_risk(model, images[cases], device=device)})
        for kind, cases in parts.items()
    )


def _prediction_table(names: list[str], labels: IntArray, scored: pd.DataFrame) -> pd.DataFrame:
    """Return both kinds of risk of every subject; missing where no fold used the subject."""
    fold = scored[scored["kind"] == "out_of_fold"].set_index("case")["fold"]
    mean = scored.groupby(["kind", "case"])["risk"].mean()
    tables = []
    for kind in ("out_of_fold", "apparent"):
        table = pd.DataFrame({"subject": names, "kind": kind})
        cases = table.index
        table = table.assign(fold=fold.reindex(cases), label=labels, risk=mean[kind].reindex(cases))
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _folds(
    labels: IntArray, settings: CNN3DSettings, train_limit: int | None
) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield the positions to learn from, to watch and to hold out, for each fold."""
    smallest = int(np.bincount(labels, minlength=2).min())
    if settings.folds < 2 or smallest < settings.folds:
        raise NotEstimableError(
            f"{settings.folds} stratified folds need at least as many patients of each class (and 2 folds); "
            f"the smaller class has {smallest}."
        )
    if settings.stop_on not in ("inner", "fold"):
        raise InputError(f"Unknown `stop_on` '{settings.stop_on}'. Use 'inner' or 'fold'.")
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    for rest, held in splitter.split(np.zeros(len(labels)), labels):
        chosen = rest if train_limit is None else _part(rest, labels, train_limit, settings.seed)
        if settings.stop_on == "fold":
            yield chosen, held, held
        else:
            learn, watch = _inner_split(chosen, labels, settings)
            yield learn, watch, held


def _part(positions: NDArray[np.int64], labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """Draw a stratified part of `size` of the positions."""
    if size == len(positions):
        return positions
    if not 4 <= size <= len(positions) - 2:
        raise InputError(
            f"{size} of {len(positions)} training patients can not be drawn: use 4 to {len(positions) - 2}."
        )
    splitter = StratifiedShuffleSplit(1, train_size=size, random_state=seed)
    chosen, _ = next(splitter.split(positions, labels[positions]))
    return np.sort(positions[chosen])


def _inner_split(
    positions: NDArray[np.int64], labels: NDArray[np.int64], settings: CNN3DSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    watched = max(2, round(len(positions) * settings.inner_share))
    learn = _part(positions, labels, len(positions) - watched, settings.seed)
    return learn, np.setdiff1d(positions, learn)
