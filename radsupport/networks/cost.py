"""What the networks of a study file will take: one batch of each is timed on this machine, all others are counted.

A row is a `Cost`: what a unit takes, and how many there will be at least and at most. Early stopping decides about
epochs: at least as many as its patience and one, at most those of the study file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from radsupport.checks import held_out
from radsupport.networks import cnn3d, resnet, training, unet
from radsupport.networks.inputs import Given
from radsupport.networks.sources import look, segmenters, training_name
from radsupport.settings.features import PRETRAINED, Cnn3d, Resnet, Unet
from radsupport.wording import counted

Spec = TypeVar("Spec", Unet, Resnet, Cnn3d)
#: A timing is repeated until it has taken this many seconds, and its fastest run counts.
ENOUGH = 0.5


@dataclass(frozen=True)
class Cost:
    """What one step takes.

    Attributes
    ----------
    seconds : float
        Of one unit; missing where it was not timed.
    least, most : float
        How many units there will be.
    at_once : int
        How many of them are worked on at the same time.
    """

    step: str
    unit: str
    seconds: float
    least: float
    most: float
    at_once: int = 1


def costs(spec: Unet | Resnet | Cnn3d, given: Given, slices: float) -> list[Cost]:
    """Return what chapter 04 will take for a network, its compared choices, and what it is asked afterwards.

    Parameters
    ----------
    spec : Unet, Resnet or Cnn3d
        Section `deep` of a study file.
    given : Given
        Patients and their cases; no scan of them is read.
    slices : float
        Slices of a patient that a U-Net sees, on average.
    """
    with training.threads(given.threads), training.reproducible(0):
        if isinstance(spec, Unet):
            return list(_unet(spec, given, slices))
        return list(_resnet(spec, given) if isinstance(spec, Resnet) else _cnn3d(spec, given))


def fastest(task: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some runs of a task: one of a slow task, several of a quick one.

    On the CPU they are the seconds of the processor, which other work on the machine hardly lengthens; what a graphics
    card does is not seen by the processor, so there a clock is read.
    """
    clock, runs = (time.process_time if training.choose_device().type == "cpu" else time.perf_counter), [0.0]
    while sum(runs) < ENOUGH:
        start = clock()
        task()
        runs.append(clock() - start)
    return min(runs[1:])


def _of_batch(task: Callable[[], object]) -> float:
    """Return the seconds of a batch on all threads in use, from those of one thread.

    Threads that wait for one another on a busy machine use the processor as if they worked: two of them took almost
    three times the seconds of one.
    """
    n = torch.get_num_threads() if training.choose_device().type == "cpu" else 1
    with training.threads(1):
        return fastest(task) / n


def _batch(model: nn.Module, shape: Sequence[int], learn: bool) -> float:
    """Return the seconds of one batch of noise: a step of training, or a prediction."""
    images = np.random.default_rng(0).uniform(size=shape).astype(np.float32)
    if not learn:
        model.eval()
        return _of_batch(lambda: training.predict_batches(model, images, batch_size=len(images)))
    model, optimizer = model.train(), training.adam(model, 1e-5)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.as_tensor(images, device=training.choose_device())).square().mean().backward()
        optimizer.step()

    return _of_batch(step)


def _epochs(spec: Unet | Cnn3d | Resnet, most: int) -> tuple[int, int]:
    last = getattr(spec, "stop_on", "") == "last"
    return (most if last else min(spec.patience + 1, most)), most


def _choices(spec: Spec) -> list[tuple[str, Spec]]:
    return [("own", spec), *((one.name, spec.chosen(one)) for one in spec.compare)]


def _size(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


@lru_cache
def _unet_batch(channels: int, px: int, n: int, learn: bool) -> float:
    model = training.channels_last(training.on_device(unet.build_unet(channels)))
    return _batch(model if learn else _Bottleneck(model), (n, 1, px, px), learn)


class _Bottleneck(nn.Module):
    """A U-Net up to the layer that describes a slice."""

    def __init__(self, net: unet.UNet2D) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the description of each slice."""
        return self.net.bottleneck(images).mean(dim=(2, 3))


def _unet(spec: Unet, given: Given, slices: float) -> Iterator[Cost]:
    apart = {training_name(one): (name, one) for name, one in reversed(_choices(spec))}
    at_once = min(given.jobs, len(apart))
    for name, one in reversed(apart.values()):
        who = unet.split_subjects(segmenters(one, given.cohort, given.seed), one.validation_share)
        learnt, watched = (ceil(len(part) * min(slices, one.slices_per_case or slices)) for part in who)
        batches, n = ceil(learnt / one.batch_size), one.batch_size
        step = _unet_batch(one.base_channels, one.input_px, n, True)
        seen = _unet_batch(one.base_channels, one.input_px, n, False) / n * 2  # the decoder costs as much again
        unit = f"epoch: {batches} batches of {n} slices, {_size((one.input_px,) * 2)}"
        seconds = (batches * step + watched * seen) * (given.threads if at_once > 1 else 1)  # side by side: a core each
        yield Cost(f"U-Net, {name}", unit, seconds, *_epochs(one, one.max_epochs), at_once)
    looks = {(training_name(one), one.roi, one.shift_mm, one.enlarge_mm) for _, one in _choices(spec)}
    seen = _unet_batch(spec.base_channels, spec.input_px, spec.batch_size, False) / spec.batch_size
    n = ceil(len(given.predicted) * len(given.phases) * slices) * len(looks)
    yield Cost("U-Net, description of everybody", "slice", seen, n, n)


@lru_cache
def _cnn3d_batch(patch: tuple[int, int, int], width: float, dropout: float, n: int, learn: bool) -> float:
    model = training.on_device(cnn3d.build_cnn3d(patch, width, dropout))
    return _batch(training.channels_last(model, dimensions=3), (n, 1, *patch), learn)


def _cnn3d(spec: Cnn3d, given: Given) -> Iterator[Cost]:
    labels = given.labels().to_numpy()
    fewer = [(f"learning from {n}", spec.model_copy(update={"train_limit": n})) for n in spec.learning_sizes]
    schemes = 0
    for name, one in [*_choices(spec), *fewer]:
        settings = cnn3d.CNN3DSettings.of(one, seed=given.seed)
        folds = [(len(learn), len(watch)) for learn, watch, _ in cnn3d.fold_positions(labels, settings)]
        folds = folds[: spec.learning_folds] if (name, one) in fewer else folds
        learnt, watched = (round(float(np.mean(part))) for part in zip(*folds, strict=True))
        networks, network = len(folds) * len(one.sampling) * len(given.phases), (one.patch, one.width, one.dropout)
        batches = ceil(learnt * (len(cnn3d.OPERATIONS) if one.augment else 1) / one.batch_size)
        seconds = batches * _cnn3d_batch(*network, one.batch_size, True)
        seconds += watched * _cnn3d_batch(*network, 1, False)
        least, most = (networks * n for n in _epochs(one, one.max_epochs))
        unit = f"epoch: {batches} batches of {one.batch_size} patches, {_size(one.patch)}"
        yield Cost(f"3-D CNN, {name} ({counted(networks, 'network')})", unit, seconds, least, most)
        schemes += len(one.sampling) * len(given.phases) * ((name, one) not in fewer)
    seen, own = _cnn3d_batch(*network, 1, False), len(spec.sampling) * len(given.phases) * spec.folds
    n = len(given.predicted) * schemes * spec.folds
    yield Cost("3-D CNN, risks of everybody", "patch", seen, n, n)
    tested = int((held_out(given.cohort["cohort"])).sum())
    heat = _cnn3d_batch(*network, 1, True)
    yield Cost("3-D CNN, Grad-CAM", "patch, forth and back", heat, tested * own, tested * own)
    covers = prod(ceil(n / min(b, n)) for n, b in zip(spec.patch, spec.occlusion, strict=True)) + 1
    n = spec.cam_patients * covers * own
    yield Cost("3-D CNN, occlusion", "patch", seen, n, n)


@lru_cache
def _resnet_batch(depth: int, px: int, n: int, learn: bool) -> float:
    model = training.channels_last(training.on_device(resnet.build_resnet(depth)))
    return _batch(model, (n, 3, px, px), learn)


def _resnet(spec: Resnet, given: Given) -> Iterator[Cost]:
    train = int((given.cohort["cohort"] == "train").sum())
    starts, described = set(), {}
    for name, one in _choices(spec):
        step = _resnet_batch(one.depth, one.input_px, one.batch_size, True)
        start = (one.weights, one.depth, one.pooling, one.normalisation)
        if one.weights in PRETRAINED and start not in starts:
            images = train * len(given.phases) * (8 if one.weights == "outlines" else 1)
            batches = ceil(0.8 * images / one.batch_size)
            unit = f"epoch: {batches} batches of {one.batch_size} images, {_size((one.input_px,) * 2)}"
            yield Cost(f"ResNet, {name}: {one.weights}", unit, batches * step, *_epochs(one, one.pretraining_epochs))
        starts.add(start)
        networks = {"no": 0, "as_published": 1, "out_of_fold": given.folds + 1}[one.fine_tune] * len(given.phases)
        if networks:
            batches = ceil(0.8 * len(given.labels()) / one.batch_size)
            unit = f"epoch: {batches} batches of {one.batch_size} images, {_size((one.input_px,) * 2)}"
            least, most = (networks * n for n in _epochs(one, one.epochs))
            at_once = min(given.jobs, networks)
            seconds = batches * step * (given.threads if at_once > 1 else 1)
            yield Cost(f"ResNet, {name} ({counted(networks, 'network')})", unit, seconds, least, most, at_once)
        key = (look(one), start, one.fine_tune)
        described[key] = (one, max(networks, len(given.phases)) * len(given.predicted))
    n = sum(images for _, images in described.values())
    seen = _resnet_batch(spec.depth, spec.input_px, 16, False) / 16
    yield Cost("ResNet, description of everybody", "image", seen, n, n)
