"""Training the 3-D CNN with class weights and seven-fold augmentation (Cui 2022, Training).

Cross-validation of the 3-D CNN, and scoring with the ensemble of its folds (Cui 2022, Training).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from torch.nn import functional

from radsupport.checks import as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.networks.cnn3d import CNN3D, OPERATIONS, Shape3D, augment, build_cnn3d, draw_shift
from radsupport.networks.training import (
    Float32Array,
    Stopping,
    channels_last,
    check_subjects,
    choose_device,
    content_hash,
    fit_batches,
    predict_batches,
    reproducible,
    shuffled_batches,
    train,
)


@dataclass(frozen=True)
class CNN3DSettings:
    """How the 3-D CNN is trained.

    Learning rate, Adam without decay, dropout, class weights, five folds and the seven-fold
    augmentation are the paper's; epochs, batch size, patience and the range of the translation are
    not printed. `mixed_precision` and `deterministic` matter on a GPU only.

    Attributes
    ----------
    standardise : bool
        Shift and scale all inputs by mean and SD of the training patches (not printed). Without it a
        network given whole boxes, in which all patients look nearly alike, stays at its start for
        tens of epochs.
    stop_on : "inner" or "fold"
        Which patients early stopping watches: a stratified part of the training patients
        (`inner_share`), or the held-out fold itself. The latter, the usual reading of the paper,
        chooses the epoch that suits the held-out patients best and so flatters their predictions.
    """

    width: float = 1.0
    dropout: float = 0.5
    learning_rate: float = 1e-5
    batch_size: int = 8
    max_epochs: int = 100
    patience: int = 15
    folds: int = 5
    augment: bool = True
    max_shift: int = 10
    standardise: bool = True
    stop_on: Literal["inner", "fold"] = "inner"
    inner_share: float = 0.2
    seed: int = 0
    mixed_precision: bool = True
    deterministic: bool = True


def class_weights(y: NDArray[Any]) -> Float32Array:
    """Return n / (2 n_class) for classes 0 and 1, so that both weigh the same in the loss."""
    counts = np.bincount(as_binary(y), minlength=2)
    return (counts.sum() / (2 * counts)).astype(np.float32)


def check_patches(images: NDArray[Any], patch: Shape3D | None = None) -> Float32Array:
    """Return patches as a float32 array of shape (n, 1, slices, rows, columns), or say what is wrong with them."""
    images = np.asarray(images, dtype=np.float32)
    if images.ndim == 4:
        images = images[:, None]
    if images.ndim != 5 or images.shape[1] != 1 or len(images) == 0:
        raise InputError(f"Patches must have the shape (n, 1, slices, rows, columns), theirs is {images.shape}.")
    if patch is not None and images.shape[2:] != patch:
        raise InputError(f"The network was made for patches of {patch}, these are {images.shape[2:]}.")
    if not np.isfinite(images).all():
        raise InputError("Patches hold missing or infinite values; exclude these cases.")
    return images


def train_cnn3d(
    images: NDArray[Any],
    y: NDArray[Any],
    watched_images: NDArray[Any],
    watched_y: NDArray[Any],
    settings: CNN3DSettings | None = None,
    *,
    device: str = "auto",
    checkpoint: Path | None = None,
    progress: bool = False,
    description: str = "3-D CNN",
) -> tuple[CNN3D, pd.DataFrame]:
    """Train one network and keep the epoch of the lowest loss on the watched patients, who are not augmented.

    Parameters
    ----------
    images, watched_images : array, shape (n, 1, slices, rows, columns)
        Patches, 0-1.
    y, watched_y : array of 0/1
    checkpoint : Path, optional
        File from which a killed training resumes.

    Returns
    -------
    CNN3D, DataFrame
        The network, and one row per epoch.
    """
    settings = settings or CNN3DSettings()
    images = check_patches(images)
    patch = (images.shape[2], images.shape[3], images.shape[4])
    watched_images = check_patches(watched_images, patch)
    labels = as_binary(y, "y", len(images))
    watched = as_binary(watched_y, "watched_y", len(watched_images), both_classes=False)
    place = choose_device(device)
    with reproducible(settings.seed, settings.deterministic):
        model = build_cnn3d(patch, settings.width, settings.dropout, settings.seed)
        if settings.standardise:
            model.standardise_by(images)
        model = channels_last(model.to(place), dimensions=3)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
        run_epoch = _epoch(model, optimizer, (images, labels), (watched_images, watched), settings, place)
        stopping = Stopping(settings.max_epochs, "validation_loss", "lowest", settings.patience)
        options: dict[str, Any] = {"checkpoint": checkpoint, "progress": progress, "description": description}
        history = train(model, optimizer, run_epoch, stopping, seed=settings.seed, **options)
    return model.eval(), history


Pair = tuple[Float32Array, NDArray[np.int64]]


def _epoch(
    model: CNN3D,
    optimizer: torch.optim.Optimizer,
    training: Pair,
    watched: Pair,
    settings: CNN3DSettings,
    place: torch.device,
) -> Callable[[int], dict[str, float]]:
    """Return the function that trains one epoch, over all copies of all patients, and watches the others."""
    images, labels = training
    weights = torch.as_tensor(class_weights(labels), device=place)
    shifts = [draw_shift(settings.seed, case, settings.max_shift) for case in range(len(images))]
    copies = len(OPERATIONS) if settings.augment else 1

    def batch_of(positions: NDArray[np.int64]) -> Float32Array:
        cases, operations = np.divmod(positions, copies)
        return np.stack([augment(images[c], OPERATIONS[o], shifts[c]) for c, o in zip(cases, operations, strict=True)])

    def loss_of(logits: torch.Tensor, positions: NDArray[np.int64]) -> torch.Tensor:
        return _weighted_loss(logits, labels[positions // copies], weights)

    def run(epoch: int) -> dict[str, float]:
        batches = shuffled_batches(len(images) * copies, settings.batch_size, settings.seed, epoch)
        loss = fit_batches(model, optimizer, batches, batch_of, loss_of, place, settings.mixed_precision)
        return {"train_loss": loss, **_watch(model, watched, weights, place)}

    return run


def _weighted_loss(logits: torch.Tensor, labels: NDArray[np.int64], weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum over n patients divided by n, as Keras does.

    Torch's own mean divides by the sum of weights, so that they cancel in a batch of one class.
    """
    truth = torch.as_tensor(labels, device=logits.device)
    return functional.cross_entropy(logits, truth, weight=weights, reduction="sum") / len(labels)


def _watch(model: CNN3D, watched: Pair, weights: torch.Tensor, place: torch.device) -> dict[str, float]:
    model.eval()
    images, labels = watched
    logits = torch.as_tensor(predict_batches(model, images, place, batch_size=8), device=place)
    correct = logits.argmax(dim=1).cpu().numpy() == labels
    loss = _weighted_loss(logits, labels, weights).item()
    return {"validation_loss": loss, "validation_accuracy": float(correct.mean())}


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
