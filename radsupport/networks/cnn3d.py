"""The 3-D CNN of Cui 2022, layer by layer as in Supplementary Table S2.

All convolutions and poolings pad as Keras' "same": an output has ceil(n / stride) voxels, and where
the padding is odd the extra voxel comes after, not before. timm pads poolings so in two dimensions
only; hence the layers here.

The seven-fold augmentation of training patches (Cui 2022, Data pre-processing), training with class
weights, and cross-validation (Cui 2022, Training).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.nn import functional

from radsupport.checks import as_binary
from radsupport.errors import InputError, NotEstimableError
from radsupport.networks import training
from radsupport.networks.training import Float32Array, IntArray, Lesson, Schedule

Shape3D = tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """One row of the table: filters of a convolution, or 0 for a pooling; kernel in slices, rows, columns."""

    name: str
    filters: int
    kernel: Shape3D


LAYERS = (
    Layer("convolution1", 32, (3, 3, 3)),
    Layer("max_pooling1", 0, (3, 3, 3)),
    Layer("convolution2", 64, (3, 3, 3)),
    Layer("max_pooling2", 0, (3, 3, 3)),
    Layer("convolution3", 128, (3, 3, 3)),
    Layer("convolution4", 128, (3, 3, 3)),
    Layer("max_pooling3", 0, (3, 3, 3)),
    Layer("convolution5", 256, (2, 3, 3)),
    Layer("convolution6", 256, (2, 3, 3)),
    Layer("max_pooling4", 0, (2, 3, 3)),
)
DENSE_UNITS = (512, 256, 128)


def same_padding(size: Sequence[int], kernel: Sequence[int], stride: int) -> list[int]:
    """Return Keras' "same" padding in the order of `torch.nn.functional.pad`: last axis first, before and after."""
    pads: list[int] = []
    for n, k in zip(reversed(size), reversed(kernel), strict=True):
        total = max((ceil(n / stride) - 1) * stride + k - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


class SameConvolution(nn.Module):
    """Convolution with stride 1, "same" padding and ReLU; Keras' initial weights (Glorot uniform, bias 0)."""

    def __init__(self, channels_in: int, filters: int, kernel: Shape3D) -> None:
        super().__init__()
        self.kernel = kernel
        # the even part of the padding is the convolution's own, which copies nothing; the odd voxel comes after
        self.after = [part for k in reversed(kernel) for part in (0, (k - 1) % 2)]
        slices, rows, columns = ((k - 1) // 2 for k in kernel)
        self.convolution = nn.Conv3d(channels_in, filters, kernel, padding=(slices, rows, columns))
        self.relu = nn.ReLU(inplace=True)
        nn.init.xavier_uniform_(self.convolution.weight)
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of the same slices, rows and columns."""
        return self.relu(self.convolution(functional.pad(x, self.after) if any(self.after) else x))


class SameMaxPooling(nn.Module):
    """Maximum over overlapping windows with stride 2 and "same" padding, which never wins the maximum."""

    def __init__(self, kernel: Shape3D) -> None:
        super().__init__()
        self.kernel = kernel

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps of half the slices, rows and columns, rounded up."""
        pads = same_padding(x.shape[2:], self.kernel, 2)
        if x.is_cuda and torch.are_deterministic_algorithms_enabled():
            return deterministic_max_pool(functional.pad(x, pads, value=float("-inf")), self.kernel)
        # rounded up, the last window holds the voxel by which the padding after exceeds the one before
        return functional.max_pool3d(x, self.kernel, stride=2, padding=pads[-2::-2], ceil_mode=True)


def deterministic_max_pool(x: torch.Tensor, kernel: Shape3D) -> torch.Tensor:
    """Equal `max_pool3d` with stride 2, values and gradients, where CUDA has no deterministic backward of it.

    The maximum is taken axis by axis, columns first, and of equals the first one wins: that is the
    voxel which the pooling's own scan finds first.
    """
    for axis, k in ((4, kernel[2]), (3, kernel[1]), (2, kernel[0])):
        last = x.shape[axis] - k
        best = _every_second(x, axis, 0, last)
        for offset in range(1, k):
            value = _every_second(x, axis, offset, last)
            best = torch.where(value > best, value, best)
        x = best
    return x


def _every_second(x: torch.Tensor, axis: int, first: int, last: int) -> torch.Tensor:
    window = [slice(None)] * x.ndim
    window[axis] = slice(first, first + last + 1, 2)
    return x[tuple(window)]


STRIDES = {SameConvolution: "1, 1, 1", SameMaxPooling: "2, 2, 2"}


class CNN3D(nn.Module):
    """The network of Supplementary Table S2, for any patch and, scaled down, any width.

    Parameters
    ----------
    patch : tuple of int
        Slices, rows, columns of the input; 10 x 150 x 150 in the paper.
    width : float
        Factor on all filters and dense units; 1 in the paper, less in the demo profile.
    dropout : float
        Share of the dense units dropped in training; 0.5 in the paper.
    """

    def __init__(self, patch: Shape3D = (10, 150, 150), width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        if min(patch) < 1 or not width > 0 or not 0 <= dropout < 1:
            raise InputError(f"Not a network: patch {patch}, width {width}, dropout {dropout}.")
        self.patch, self.width = patch, width
        self.centre: torch.Tensor
        self.spread: torch.Tensor
        self.most: torch.Tensor
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("spread", torch.ones(()))
        self.register_buffer("most", torch.full((), torch.inf))
        channels = 1
        for layer in LAYERS:
            if layer.filters:
                filters = _scaled(layer.filters, width)
                self.add_module(layer.name, SameConvolution(channels, filters, layer.kernel))
                channels = filters
            else:
                self.add_module(layer.name, SameMaxPooling(layer.kernel))
                patch = _halved(patch)
        self.flatten = nn.Flatten()
        units = channels * patch[0] * patch[1] * patch[2]
        for i, wanted in enumerate((*(_scaled(n, width) for n in DENSE_UNITS), 2), start=1):
            dense = nn.Linear(units, wanted)
            nn.init.xavier_uniform_(dense.weight)
            nn.init.zeros_(dense.bias)
            self.add_module(f"dense{i}", dense)
            if i <= len(DENSE_UNITS):
                self.add_module(f"relu{i}", nn.ReLU())
                self.add_module(f"dropout{i}", nn.Dropout(dropout))
            units = wanted

    def standardise_by(self, images: Float32Array) -> None:
        """From now on shift and scale every input by the mean and SD of what these (training) patches show.

        What sampling or window set to 0 does not count, as nnU-Net counts the foreground alone (Isensee 2021): else the
        silhouette of a tumour drowns its inside. Values end at 3 SD.
        """
        shown = images[images > 0]
        spread = float(shown.std()) if shown.size else 0.0
        self.centre.fill_(float(shown.mean()) if shown.size else 0.0)
        self.spread.fill_(spread if spread > 0 else 1.0)
        self.most.fill_(3.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of no event and event, shape (n, 2); the table's softmax is left to the loss."""
        x = ((x - self.centre) / self.spread).clamp(-self.most, self.most)
        for module in self.children():
            x = module(x)
        return x


def build_cnn3d(patch: Shape3D = (10, 150, 150), width: float = 1.0, dropout: float = 0.5, seed: int = 0) -> CNN3D:
    """Return the network with seeded weights."""
    with training.reproducible(seed):
        return CNN3D(patch, width, dropout)


def layer_table(patch: Shape3D = (10, 150, 150), width: float = 1.0) -> pd.DataFrame:
    """List the network as Supplementary Table S2 does.

    Returns
    -------
    DataFrame
        layer, kernel (filters or units; 0 where there is none), kernel_size, strides, output_shape
        (channels last, as printed), parameters.
    """
    passed = training.layers_of(lambda: CNN3D(patch, width), patch)
    rows = [row for row in passed if not row["layer"].startswith("relu")]
    for row in rows:
        module = row.pop("module")
        weighted = isinstance(module, SameConvolution | nn.Linear)
        row["kernel"] = int(row["output_shape"].rsplit(", ")[-1]) if weighted else 0
        row["kernel_size"] = ", ".join(map(str, getattr(module, "kernel", ())))
        row["strides"] = STRIDES.get(type(module), "")
    return pd.DataFrame(rows)[["layer", "kernel", "kernel_size", "strides", "output_shape", "parameters"]]


def _scaled(n: int, width: float) -> int:
    return max(1, round(n * width))


def _halved(shape: Shape3D) -> Shape3D:
    slices, rows, columns = (ceil(n / 2) for n in shape)
    return slices, rows, columns


Operation = Literal["original", "flip_up_down", "flip_left_right", "translate", "rotate_90", "rotate_180", "rotate_270"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)


def draw_shift(seed: int, case: int, max_shift: int = 10) -> tuple[int, int]:
    """Draw the in-plane shift (rows, columns) of one case, in voxels from -max_shift to max_shift.

    The paper expands its data set once, so a case keeps its shift in all epochs.
    """
    rows, columns = np.random.default_rng([seed, case]).integers(-max_shift, max_shift + 1, size=2)
    return int(rows), int(columns)


def augment(patch: NDArray[Any], operation: Operation, shift: tuple[int, int] = (0, 0)) -> NDArray[Any]:
    """Return `patch` after one operation on its last two axes (rows, columns).

    Parameters
    ----------
    patch : array, shape (..., rows, columns)
        Image or mask; rotations need rows == columns.
    operation : str
        One of `OPERATIONS`; rotations are counter-clockwise.
    shift : tuple of int
        Voxels by which "translate" moves the content down and to the right; zeros move in.

    Raises
    ------
    InputError
    """
    if operation not in OPERATIONS:
        raise InputError(f"Unknown operation '{operation}'. Use one of {', '.join(OPERATIONS)}.")
    if operation in ("rotate_90", "rotate_270") and patch.shape[-2] != patch.shape[-1]:
        raise InputError(f"A patch of {patch.shape[-2]} x {patch.shape[-1]} can not be rotated by 90°: make it square.")
    if operation == "flip_up_down":
        patch = np.flip(patch, axis=-2)
    elif operation == "flip_left_right":
        patch = np.flip(patch, axis=-1)
    elif operation == "translate":
        patch = _translate(patch, shift)
    elif operation != "original":
        patch = np.rot90(patch, k=int(operation.removeprefix("rotate_")) // 90, axes=(-2, -1))
    return np.ascontiguousarray(patch)


def augmented(images: Float32Array, moved: Float32Array, cases: IntArray, operations: IntArray) -> Float32Array:
    """Return a batch of augmented patches, all that share an operation at once; `moved` holds the translated ones."""
    batch = np.empty((len(cases), *images.shape[1:]), dtype=images.dtype)
    for number in np.unique(operations):
        rows, name = operations == number, OPERATIONS[number]
        batch[rows] = moved[cases[rows]] if name == "translate" else augment(images[cases[rows]], name)
    return batch


def _translate(patch: NDArray[Any], shift: tuple[int, int]) -> NDArray[Any]:
    """Move without wrapping round: what leaves on one side does not come back on the other."""
    pads = [(0, 0)] * (patch.ndim - 2) + [(max(by, 0), max(-by, 0)) for by in shift]
    rows, columns = (slice(max(-by, 0), max(-by, 0) + n) for by, n in zip(shift, patch.shape[-2:], strict=True))
    return np.pad(patch, pads)[..., rows, columns]


@dataclass(frozen=True)
class CNN3DSettings(Schedule):
    """How the 3-D CNN is trained.

    Learning rate, Adam without decay, dropout, class weights, five folds and the seven-fold augmentation are the
    paper's; epochs, batch size and the range of the translation are not printed.

    Attributes
    ----------
    standardise : bool
        Shift and scale all inputs by mean and SD of what the training patches show (not printed).
    schedule : "constant" or "cosine"
        The learning rate stays (printed), or falls to 0 along a cosine over the epochs.
    stop_on : "inner", "held_out" or "last"
        Early stopping watches a stratified part of the training patients (`inner_share`) or, the usual reading of the
        paper, the fold that is predicted: that chooses the epoch which suits it best and so flatters its predictions.
        With "last" nothing is chosen: all other folds learn (80% of five, as printed) and the last epoch is kept.
    train_limit : int, optional
        Most patients that a network learns from, drawn by outcome: what more of them are worth.
    """

    width: float = 1.0
    dropout: float = 0.5
    patience: int = 15
    folds: int = 5
    augment: bool = True
    max_shift: int = 10
    standardise: bool = True
    schedule: Literal["constant", "cosine"] = "constant"
    stop_on: Literal["inner", "held_out", "last"] = "inner"
    inner_share: float = 0.2
    train_limit: int | None = None
    mixed_precision: bool = True


def class_weights(y: NDArray[Any]) -> Float32Array:
    """Return n / (2 n_class) for classes 0 and 1, so that both weigh the same in the loss."""
    counts = np.bincount(as_binary(y), minlength=2)
    return (counts.sum() / (2 * counts)).astype(np.float32)


def check_patches(images: NDArray[Any], patch: Shape3D | None = None) -> Float32Array:
    """Return patches as a float32 array of shape (n, 1, slices, rows, columns), or say what is wrong with them."""
    images = training.check_stack(images, "Patches", 1, ("slices", "rows", "columns"))
    if patch is not None and images.shape[2:] != patch:
        raise InputError(f"The network was made for patches of {patch}, these are {images.shape[2:]}.")
    return images


def train_cnn3d(
    images: NDArray[Any],
    y: NDArray[Any],
    watched_images: NDArray[Any],
    watched_y: NDArray[Any],
    settings: CNN3DSettings | None = None,
    *,
    checkpoint: Path | None = None,
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
    model = build_cnn3d(patch, settings.width, settings.dropout, settings.seed)
    if settings.standardise:
        model.standardise_by(images)
    model = training.channels_last(model.to(training.choose_device()), dimensions=3)
    optimizer = training.adam(model, settings.learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.max_epochs)
    lesson = _lesson(model, (images, labels), (watched_images, watched), settings)
    history = training.fit(
        model, optimizer, lesson, settings, *(("epoch", "highest") if settings.stop_on == "last" else ()),
        scheduler=cosine if settings.schedule == "cosine" else None, checkpoint=checkpoint, description=description,
    )  # fmt: skip
    return model.eval(), history


Pair = tuple[Float32Array, IntArray]


def _lesson(model: CNN3D, learnt: Pair, watched: Pair, settings: CNN3DSettings) -> Lesson:
    """Return an epoch over all copies of all patients, after which the others are watched."""
    (images, labels), place = learnt, training.choose_device()
    weights = torch.as_tensor(class_weights(labels), device=place)
    shifts = [draw_shift(settings.seed, case, settings.max_shift) for case in range(len(images))]
    moved = np.stack([augment(one, "translate", by) for one, by in zip(images, shifts, strict=True)])
    copies = len(OPERATIONS) if settings.augment else 1

    def batch_of(positions: IntArray) -> Float32Array:
        return augmented(images, moved, *np.divmod(positions, copies))

    def loss_of(logits: torch.Tensor, positions: IntArray) -> torch.Tensor:
        return _weighted_loss(logits, labels[positions // copies], weights)

    def watch() -> dict[str, float]:
        others, truth = watched
        logits = torch.as_tensor(training.predict_batches(model, others, batch_size=16), device=place)
        correct = logits.argmax(dim=1).cpu().numpy() == truth
        loss = _weighted_loss(logits, truth, weights).item()
        return {"validation_loss": loss, "validation_accuracy": float(correct.mean())}

    return Lesson(len(images) * copies, batch_of, loss_of, watch)


def _weighted_loss(logits: torch.Tensor, labels: IntArray, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum over n patients divided by n, as Keras does.

    Torch's own mean divides by the sum of weights, so that they cancel in a batch of one class.
    """
    truth = torch.as_tensor(labels, device=logits.device)
    return functional.cross_entropy(logits, truth, weight=weights, reduction="sum") / len(labels)


@dataclass(frozen=True)
class CrossValidated:
    """The networks of a cross-validation.

    Attributes
    ----------
    models : tuple of CNN3D
        One per fold.
    predictions : DataFrame
        One row per subject (index): fold (in which it was held out), label, out_of_fold (risk by the
        network that never saw the subject), apparent (mean risk by those that used it to learn or to
        stop).
    history : DataFrame
        One row per fold and epoch: fold, learnt (patients), epoch, learning_rate, train_loss,
        validation_loss, validation_accuracy, best.
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
    checkpoints: Path | None = None,
    first: int | None = None,
) -> CrossValidated:
    """Train one network per stratified fold of patients; augmented copies stay on their patient's side.

    Parameters
    ----------
    images : array, shape (n, 1, slices, rows, columns)
        One patch per subject, 0-1.
    y : array of 0/1, shape (n,)
    checkpoints : Path, optional
        Folder for one checkpoint per fold, named by data and settings; a killed run resumes in its
        fold and epoch, a finished one is read back.
    first : int, optional
        Train the networks of the first folds only; patients of the others have no risk out of fold.
    """
    settings = settings or CNN3DSettings()
    images, names = check_patches(images), training.check_subjects(subjects, len(images))
    labels = as_binary(y, "y", len(images))
    key = training.content_hash("cnn3d", asdict(settings), images, labels)[:16] if checkpoints else ""
    models, histories, fold_of = [], [], np.empty(len(labels), int)
    risks = np.full((settings.folds, len(labels)), np.nan)
    for fold, (learn, watch, held) in enumerate(fold_positions(labels, settings)):
        fold_of[held] = fold
        if first is not None and fold >= first:
            continue
        model, history = train_cnn3d(
            images[learn], labels[learn], images[watch], labels[watch], settings,
            checkpoint=checkpoints / f"cnn3d_{key}_fold{fold}.pt" if checkpoints else None,
            description=f"3-D CNN, fold {fold + 1} of {settings.folds}",
        )  # fmt: skip
        models.append(model)
        histories.append(history.assign(fold=fold, learnt=len(learn)))
        for cases in (np.setdiff1d(np.arange(len(labels)), held), held):
            risks[fold, cases] = predict_risk(model, images[cases])
    table = pd.DataFrame({"fold": fold_of, "label": labels}, index=pd.Index(names, name="subject"))
    own = np.arange(settings.folds)[:, None] == fold_of
    apparent = pd.DataFrame(np.where(own, np.nan, risks)).melt(ignore_index=False)
    table["out_of_fold"] = risks[fold_of, np.arange(len(labels))]
    table["apparent"] = apparent.groupby("variable")["value"].mean().to_numpy()
    return CrossValidated(tuple(models), table, pd.concat(histories, ignore_index=True))


def predict_risk(model: CNN3D, images: NDArray[Any]) -> NDArray[np.float64]:
    """Return the probability of the event (class 1) of each patch, shape (n,)."""
    images, model = check_patches(images, model.patch), training.on_device(model)
    risk = training.predict_batches(lambda batch: model(batch).softmax(dim=1)[:, 1], images, batch_size=16)
    return risk.astype(np.float64)


def fold_risks(models: Sequence[CNN3D], images: NDArray[Any], subjects: Sequence[str]) -> pd.DataFrame:
    """Score patients by every fold's network; the mean of a row is the ensemble's risk.

    Returns
    -------
    DataFrame
        fold0, fold1, ... with subject as index.
    """
    if not models:
        raise InputError("An ensemble needs at least one network.")
    index = pd.Index(training.check_subjects(subjects, len(images)), name="subject")
    return pd.DataFrame({f"fold{i}": predict_risk(m, images) for i, m in enumerate(models)}, index=index)


def fold_positions(labels: IntArray, settings: CNN3DSettings) -> Iterator[tuple[IntArray, IntArray, IntArray]]:
    """Yield the positions to learn from, to watch and to hold out, for each fold."""
    smallest = int(np.bincount(labels, minlength=2).min())
    if settings.folds < 2 or smallest < settings.folds:
        raise NotEstimableError(
            f"{settings.folds} stratified folds need at least as many patients of each class (and 2 folds); "
            f"the smaller class has {smallest}."
        )
    splitter = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    for rest, held in splitter.split(np.zeros(len(labels)), labels):
        learn, watch = rest, held
        if settings.stop_on == "inner":
            inner, outer = training.inner_split(labels[rest], settings.inner_share, settings.seed)
            learn, watch = rest[inner], rest[outer]
        if settings.train_limit is not None and settings.train_limit < len(learn):
            left_out = (len(learn) - settings.train_limit) / len(learn)
            learn = learn[training.inner_split(labels[learn], left_out, settings.seed)[0]]
        yield learn, watch, held
