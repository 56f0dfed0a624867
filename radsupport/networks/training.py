"""The one training loop of all networks: early stopping, best weights, and checkpoints that survive a kill.

Devices, seeds, batches, and a cache of features by content.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import pickle
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit
from torch import nn
from tqdm import tqdm

from radsupport.errors import InputError, NotEstimableError
from radsupport.files import written_whole

Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
Model = TypeVar("Model", bound=nn.Module)
#: Seconds of training between two checkpoints: what a kill costs at most.
BETWEEN = 20.0
_MEMORY: Any = torch.utils.deterministic
_UNREADABLE = (
    pickle.UnpicklingError, struct.error, RuntimeError, EOFError, LookupError, TypeError, ValueError, AttributeError,
)  # fmt: skip


def choose_device() -> torch.device:
    """Return the device of all networks: that of the environment variable ``RADSUPPORT_DEVICE`` ("cpu", "cuda:1" ...).

    By default, and for "auto", it is the first CUDA device where there is one, else the CPU.

    Raises
    ------
    InputError
        A name torch does not know, or CUDA asked for where there is none.
    """
    name = os.environ.get("RADSUPPORT_DEVICE", "auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"Unknown device '{name}'. Use 'auto', 'cpu' or 'cuda'.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"Device '{name}' was asked for, but torch sees no CUDA device. Use 'auto' or 'cpu'.")
    return device


def half_precision(device: torch.device, wanted: bool) -> torch.autocast:
    """Return the bfloat16 context of mixed precision; it does nothing on the CPU and on GPUs without bfloat16."""
    able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and able)


def channels_last(model: Model, dimensions: int = 2) -> Model:
    """Lay the weights of a 2-D or 3-D network out by channel: convolutions on CPUs run a third faster so."""
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    model.to(memory_format=layout)  # type: ignore[call-overload]
    return model


def adam(model: nn.Module, rate: float) -> torch.optim.Adam:
    """Return Adam for all weights of a network, in one pass over them where their device can."""
    able = {weight.device.type for weight in model.parameters()} <= {"cpu", "cuda"}
    return torch.optim.Adam(model.parameters(), lr=rate, fused=able)


@contextmanager
def reproducible(seed: int, deterministic: bool = True) -> Iterator[None]:
    """Seed torch inside the block, use deterministic algorithms only, and restore both afterwards.

    Parameters
    ----------
    seed : int
        Seeds weights, dropout and everything else torch draws in the block.
    deterministic : bool
        Forbid algorithms whose result differs from run to run; slower on a GPU.
    """
    # cuBLAS reads this once, when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    benchmark, filled = torch.backends.cudnn.benchmark, _MEMORY.fill_uninitialized_memory
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = False
        # no network here reads memory before it writes it: filling it takes a tenth of the time and changes nothing
        _MEMORY.fill_uninitialized_memory = False
        try:
            yield
        finally:
            _MEMORY.fill_uninitialized_memory = filled
            torch.use_deterministic_algorithms(before)
            torch.backends.cudnn.benchmark = benchmark


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch compute with this many threads inside the block, in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def checkpoint_file(folder: Path | None, name: str, *parts: Any) -> Path | None:
    """Return the file of a training that follows from these parts, or None without a folder."""
    return folder / f"{name}_{content_hash(name, *parts)[:16]}.pt" if folder else None


def content_hash(*parts: Any) -> str:
    """Return a SHA-256 over arrays, tensors, (state) dictionaries and plain settings, and the torch version."""
    digest = hashlib.sha256(torch.__version__.encode())

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            part = part.detach().cpu().numpy()
        if isinstance(part, np.ndarray):
            digest.update(f"array {part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        elif isinstance(part, Mapping):
            for key in sorted(part):
                digest.update(f"key {key}".encode())
                add(part[key])
        else:
            digest.update(json.dumps(part, sort_keys=True, default=str).encode())

    for part in parts:
        add(part)
    return digest.hexdigest()


def read_torch_file(path: Path, what: str) -> Any:
    """Return the tensors and plain values of a file, on the CPU; nothing in it is executed.

    Raises
    ------
    InputError
        It is no file of torch; `what` says what it should have been.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    # the reader has no error of its own: on a foreign file it stumbles over whatever it meets first
    except _UNREADABLE as error:
        raise InputError(f"`{path}` is not a readable {what} ({type(error).__name__}: {error}).") from error


def cached_rows(
    keys: Sequence[str], compute: Callable[[list[int]], Float32Array], folder: Path | None, *, chunk: int = 16
) -> Float32Array:
    """Return one row per key; rows already in `folder` are read, the others are computed and stored.

    Parameters
    ----------
    keys : sequence of str
        Content hash of each row's inputs and settings.
    compute : callable
        Gets the positions of at most `chunk` missing rows, returns their rows.
    folder : Path, optional
        Where rows are kept; None keeps nothing.
    """
    rows: dict[int, Float32Array] = {}
    files = [None if folder is None else folder / f"{key}.npy" for key in keys]
    for i, file in enumerate(files):
        if file is not None and file.exists():
            rows[i] = np.load(file)
    missing = [i for i in range(len(keys)) if i not in rows]
    for start in range(0, len(missing), chunk):
        part = missing[start : start + chunk]
        for i, row in zip(part, compute(part), strict=True):
            rows[i] = row
            file = files[i]
            if file is not None:
                with written_whole(file) as partial:
                    np.save(partial, row)
    return np.stack([rows[i] for i in range(len(keys))]).astype(np.float32)


def shuffled_batches(n: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Return a permutation of range(n) cut into batches; the same for one seed and epoch, resumed or not."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return [order[start : start + batch_size] for start in range(0, n, batch_size)]


def predict_batches(
    function: Callable[[torch.Tensor], torch.Tensor], inputs: NDArray[Any], *, batch_size: int = 16
) -> Float32Array:
    """Apply `function` to float32 batches of `inputs` on the device, without gradients; return one array."""
    outputs, device = [], choose_device()
    with torch.inference_mode():
        for start in range(0, len(inputs), batch_size):
            batch = torch.as_tensor(inputs[start : start + batch_size], dtype=torch.float32, device=device)
            outputs.append(function(batch).float().cpu().numpy())
    return np.concatenate(outputs)


def on_device(model: Model) -> Model:
    """Return the network where it computes, ready to predict."""
    return model.to(choose_device()).eval()


def layers_of(build: Callable[[], nn.Module], size: Sequence[int], channels: int = 1) -> list[dict[str, Any]]:
    """List the parts of a network in the order in which an image passes them.

    An empty image is sent through a network without storage (PyTorch's meta device): the printed size
    of a network costs no more than a small one.

    Returns
    -------
    list of dict
        layer (name), module, output_shape (text, channels last), parameters.
    """
    rows: list[dict[str, Any]] = []
    with torch.device("meta"):
        model, image = build().eval(), torch.empty(1, channels, *size)

    def note(name: str, module: nn.Module, output: torch.Tensor) -> None:
        shape = ", ".join(map(str, (*output.shape[2:], output.shape[1])))
        parameters = sum(parameter.numel() for parameter in module.parameters())
        rows.append({"layer": name, "module": module, "output_shape": shape, "parameters": parameters})

    for name, part in model.named_children():
        part.register_forward_hook(lambda module, _, output, name=name: note(name, module, output))
    with torch.inference_mode():
        model(image)
    return rows


def check_stack(images: NDArray[Any], what: str, channels: int, axes: Sequence[str]) -> Float32Array:
    """Return images as float32 of shape (n, channels, *axes), or say what is wrong with them.

    Parameters
    ----------
    what : str
        What they are called in messages: "Slices".
    axes : sequence of str
        Names of the axes behind the channels; one channel may be left out.
    """
    images = np.asarray(images, dtype=np.float32)
    if channels == 1 and images.ndim == 1 + len(axes):
        images = images[:, None]
    if images.ndim != 2 + len(axes) or images.shape[1] != channels or len(images) == 0:
        shape = ", ".join(["n", str(channels), *axes])
        raise InputError(f"{what} must have the shape ({shape}), theirs is {images.shape}.")
    bad = np.flatnonzero(~np.isfinite(images).all(axis=tuple(range(1, images.ndim))))
    if len(bad):
        raise InputError(f"{what} {bad[:10].tolist()} hold missing or infinite values; exclude these cases.")
    return images


def inner_split(labels: NDArray[np.int64], share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split positions into those to learn from and those that early stopping watches, stratified by class.

    Raises
    ------
    NotEstimableError
        Fewer than two cases of a class.
    """
    counts = np.bincount(labels)
    if len(counts) < 2 or counts.min() < 2:
        raise NotEstimableError(
            f"Training needs at least 2 images of each class; there are {counts.tolist()} of class 0, 1, ..."
        )
    n_watched = max(len(counts), round(len(labels) * share))
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=n_watched, random_state=seed)
    learn, watch = next(splitter.split(np.zeros(len(labels)), labels))
    return np.sort(learn), np.sort(watch)


def check_subjects(subjects: Sequence[Any], n: int) -> list[str]:
    """Return the subjects of n cases as strings, or raise InputError: another number, or one of them twice."""
    names = pd.Series(list(subjects), dtype=object).astype(str)
    if len(names) != n:
        raise InputError(f"There are {len(names)} subjects for {n} cases.")
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise InputError(f"Subjects must be unique; more than once: {', '.join(twice[:10])}.")
    return names.tolist()


def feature_table(subjects: Sequence[Any], features: NDArray[Any], stem: str = "deep") -> pd.DataFrame:
    """Return subject, then deep_0000, deep_0001, ... from features of shape (subjects, c)."""
    names = pd.Series(check_subjects(subjects, len(features)), name="subject", dtype=object)
    columns = [f"{stem}_{i:04d}" for i in range(features.shape[1])]
    return pd.concat([names, pd.DataFrame(features, columns=columns)], axis=1)


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Store tensors and plain values, whole or not at all."""
    with written_whole(path) as partial, partial.open("wb") as stream:  # given a path, torch writes its name inside
        torch.save(dict(state), stream)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return what `save_checkpoint` stored (on the CPU), or None where there is no such file.

    Raises
    ------
    InputError
        The file is there but is no checkpoint.
    """
    if not path.exists():
        return None
    state: dict[str, Any] = read_torch_file(path, "checkpoint; delete it to train anew")
    return state


@dataclass(frozen=True)
class Stopping:
    """When training ends, and by which column of the history the best epoch is chosen."""

    max_epochs: int
    monitor: str
    best: Literal["lowest", "highest"]
    patience: int | None = None

    def best_epoch(self, history: Sequence[Mapping[str, float]]) -> int:
        """Return the position of the best epoch so far; the first one of equals."""
        values = np.array([row[self.monitor] for row in history])
        return int(np.argmax(values) if self.best == "highest" else np.argmin(values))

    def check(self, row: Mapping[str, float]) -> None:
        """Raise NotEstimableError where training has diverged."""
        for name in (self.monitor, "train_loss"):
            if np.isfinite(row.get(name, 0.0)):
                continue
            raise NotEstimableError(
                f"Training diverged: {name} is {row[name]} in epoch {row['epoch']}. "
                "Lower the learning rate, or look for missing values in the images."
            )

    def is_over(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Return whether no further epoch is to be run."""
        if not history or self.patience is None:
            return len(history) >= self.max_epochs
        since_best = len(history) - 1 - self.best_epoch(history)
        return len(history) >= self.max_epochs or since_best >= self.patience


@dataclass(frozen=True)
class Schedule:
    """What every training is told; `mixed_precision` and `deterministic` matter on a GPU only."""

    learning_rate: float = 1e-5
    batch_size: int = 8
    max_epochs: int = 100
    patience: int = 20
    seed: int = 0
    mixed_precision: bool = False
    deterministic: bool = True

    @classmethod
    def of(cls, spec: Any, **more: Any) -> Self:
        """Take what a section of the study file gives under the same names, and `more`."""
        given = {one.name: getattr(spec, one.name) for one in fields(cls) if hasattr(spec, one.name)}
        return cls(**(given | more))


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    run_epoch: Callable[[int], dict[str, float]],
    stopping: Stopping,
    *,
    seed: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    checkpoint: Path | None = None,
    description: str = "training",
) -> pd.DataFrame:
    """Run epochs until `stopping` says so, then put the best epoch's weights into `model`.

    After an epoch everything is stored in `checkpoint`, where `BETWEEN` seconds have passed since the last time or
    training is over; called again after a kill, training goes on from there, with the very numbers it would have had
    (each epoch reseeds torch).
    `run_epoch` trains one epoch, numbered from 0, and returns its row of the history; a monitored
    value that is not finite raises NotEstimableError.

    Returns
    -------
    DataFrame
        One row per epoch: epoch (from 1), learning_rate, what `run_epoch` returned, best (bool).
    """
    history, best_weights = _begin(checkpoint, model, optimizer, scheduler)
    written = time.monotonic()
    with tqdm(total=stopping.max_epochs, initial=len(history), disable=None, desc=description) as bar:
        while not stopping.is_over(history):
            epoch = len(history)
            torch.manual_seed(seed * 1_000_003 + epoch)
            rate = float(optimizer.param_groups[0]["lr"])
            history.append({"epoch": epoch + 1, "learning_rate": rate, **run_epoch(epoch)})
            stopping.check(history[-1])
            if scheduler is not None:
                scheduler.step()
            now_best = stopping.best_epoch(history) == epoch
            if now_best:
                best_weights = _copy(model)
            over = stopping.is_over(history)
            if checkpoint and (over or time.monotonic() - written >= BETWEEN):
                state = {"history": history, "best": best_weights, "finished": over}
                if not state["finished"]:  # a finished training needs no optimiser any more: a third of the size
                    parts = {"optimizer": optimizer, "scheduler": scheduler}
                    state |= {name: part and part.state_dict() for name, part in parts.items()}
                    state["model"] = best_weights if now_best else _copy(model)  # written once where both are one
                save_checkpoint(checkpoint, state)
                written = time.monotonic()
            bar.update()
            bar.set_postfix({stopping.monitor: f"{history[-1][stopping.monitor]:.3f}"})
    model.load_state_dict(best_weights)
    table = pd.DataFrame(history)
    return table.assign(best=np.arange(len(table)) == stopping.best_epoch(history))


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def _begin(
    checkpoint: Path | None, model: nn.Module, optimizer: Any, scheduler: Any
) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """Return the history and the best weights so far, and put model and optimiser where they were."""
    stored = load_checkpoint(checkpoint) if checkpoint else None
    if stored is None:
        return [], _copy(model)
    if not stored["finished"]:
        model.load_state_dict(stored["model"])
        optimizer.load_state_dict(stored["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(stored["scheduler"])
    return stored["history"], stored["best"]


def _keep_memory() -> None:
    """Let the C library (glibc) keep up to 1 GB that was freed, instead of asking for it anew in every batch."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD


@dataclass(frozen=True)
class Lesson:
    """What an epoch is made of.

    Attributes
    ----------
    n : int
        Cases (with their copies), which are shuffled into batches.
    inputs : callable
        Positions to the network's input.
    loss : callable
        Logits and positions to their mean loss.
    watch : callable
        Measures the network in evaluation mode on those who do not train it.
    fewest : int
        Smaller batches are left out.
    """

    n: int
    inputs: Callable[[IntArray], NDArray[Any]]
    loss: Callable[[torch.Tensor, IntArray], torch.Tensor]
    watch: Callable[[], dict[str, float]]
    fewest: int = 1


def fit(
    model: nn.Module, optimizer: torch.optim.Optimizer, lesson: Lesson, settings: Schedule,
    monitor: str = "validation_loss", best: Literal["lowest", "highest"] = "lowest", **options: Any,
) -> pd.DataFrame:  # fmt: skip
    """Teach a network its lesson until early stopping, and return the history: `train` with batches of cases.

    Parameters
    ----------
    monitor, best
        Column of the history, and which of its values is best.
    options
        Of `train`: scheduler, checkpoint, description.
    """

    _keep_memory()

    def run_epoch(epoch: int) -> dict[str, float]:
        model.train()
        total, seen, device = 0.0, 0, choose_device()
        for batch in shuffled_batches(lesson.n, settings.batch_size, settings.seed, epoch):
            if len(batch) < lesson.fewest:
                continue
            optimizer.zero_grad()
            with half_precision(device, settings.mixed_precision):
                logits = model(torch.as_tensor(lesson.inputs(batch), device=device))
            value = lesson.loss(logits.float(), batch)
            value.backward()
            optimizer.step()
            total, seen = total + value.item() * len(batch), seen + len(batch)
        model.eval()
        return {"train_loss": total / seen, **lesson.watch()}

    stopping = Stopping(settings.max_epochs, monitor, best, settings.patience)
    with reproducible(settings.seed, settings.deterministic):
        return train(model, optimizer, run_epoch, stopping, seed=settings.seed, **options)
