"""The one training loop of all networks: early stopping, best weights, and checkpoints that survive a kill."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from radsupport.errors import NotEstimableError
from radsupport.features.torch_tools import half_precision, read_torch_file
from radsupport.files import written_whole


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
        if not np.isfinite(row[self.monitor]):
            raise NotEstimableError(
                f"Training diverged: {self.monitor} is {row[self.monitor]} in epoch {row['epoch']}. "
                "Lower the learning rate, or look for missing values in the images."
            )

    def is_over(self, history: Sequence[Mapping[str, float]]) -> bool:
        """Return whether no further epoch is to be run."""
        if not history or self.patience is None:
            return len(history) >= self.max_epochs
        since_best = len(history) - 1 - self.best_epoch(history)
        return len(history) >= self.max_epochs or since_best >= self.patience


def fit_batches(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[NDArray[np.int64]],
    inputs: Callable[[NDArray[np.int64]], NDArray[Any]],
    loss: Callable[[torch.Tensor, NDArray[np.int64]], torch.Tensor],
    device: torch.device,
    mixed_precision: bool,
) -> float:
    """Take one optimiser step per batch of positions; return the mean loss per position.

    Parameters
    ----------
    inputs : callable
        Positions to the network's input.
    loss : callable
        Logits and positions to their mean loss.
    """
    model.train()
    total, n = 0.0, 0
    for batch in batches:
        optimizer.zero_grad()
        with half_precision(device, mixed_precision):
            logits = model(torch.as_tensor(inputs(batch), device=device))
        value = loss(logits.float(), batch)
        value.backward()
        optimizer.step()
        total, n = total + value.item() * len(batch), n + len(batch)
    return total / n


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    run_epoch: Callable[[int], dict[str, float]],
    stopping: Stopping,
    *,
    seed: int,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    checkpoint: Path | None = None,
    progress: bool = False,
    description: str = "training",
) -> pd.DataFrame:
    """Run epochs until `stopping` says so, then put the best epoch's weights into `model`.

    After each epoch everything is stored in `checkpoint`; called again after a kill, training
    goes on where it was, with the very numbers it would have had (each epoch reseeds torch).
    `run_epoch` trains one epoch, numbered from 0, and returns its row of the history; a monitored
    value that is not finite raises NotEstimableError.

    Returns
    -------
    DataFrame
        One row per epoch: epoch (from 1), learning_rate, what `run_epoch` returned, best (bool).
    """
    history, best_weights = _begin(checkpoint, model, optimizer, scheduler)
    with tqdm(total=stopping.max_epochs, initial=len(history), disable=not progress, desc=description) as bar:
        while not stopping.is_over(history):
            epoch = len(history)
            torch.manual_seed(seed * 1_000_003 + epoch)
            rate = float(optimizer.param_groups[0]["lr"])
            history.append({"epoch": epoch + 1, "learning_rate": rate, **run_epoch(epoch)})
            stopping.check(history[-1])
            if scheduler is not None:
                scheduler.step()
            if stopping.best_epoch(history) == epoch:
                best_weights = _copy(model)
            if checkpoint:
                _store(checkpoint, model, optimizer, scheduler, history, best_weights, stopping.is_over(history))
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


def _store(
    path: Path,
    model: nn.Module,
    optimizer: Any,
    scheduler: Any,
    history: list[dict[str, float]],
    best: dict[str, torch.Tensor],
    finished: bool,
) -> None:
    state: dict[str, Any] = {"history": history, "best": best, "finished": finished}
    if not finished:  # a finished training needs no optimiser any more: a third of the size
        state |= {"model": _copy(model), "optimizer": optimizer.state_dict()}
        state["scheduler"] = None if scheduler is None else scheduler.state_dict()
    save_checkpoint(path, state)
