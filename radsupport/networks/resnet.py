"""Features of a 2-D ResNet without its last layer (Yang 2023, Appendix 1; Gu 2023, Deep learning features).

The network is MONAI's, built so that it equals torchvision's layer by layer; weights in
torchvision's format fit without renaming. Yang 2023 used the ImageNet weights that Keras ships;
those of torchvision are another training of the same architecture.

Fine-tuning a ResNet on a label with cosine annealing (Gu 2023), and self-supervised weights.
"""

from __future__ import annotations

import copy
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pooch
import torch
import yaml
from monai.networks.nets import resnet18, resnet34, resnet50, resnet101
from numpy.typing import NDArray
from scipy import ndimage
from torch import nn
from torch.nn import functional

from radsupport.errors import FetchError, InputError, Problem
from radsupport.files import mirror_folder, sha256, written_whole
from radsupport.networks import convolution, training
from radsupport.networks.training import Float32Array, IntArray, Lesson, Schedule
from radsupport.networks.unet import split_subjects

Pooling = Literal["max", "average"]
Normalisation = Literal["imagenet", "image", "none"]
BUILDERS = {18: resnet18, 34: resnet34, 50: resnet50, 101: resnet101}
#: Parts of MONAI's network that are no residual blocks: name and make in tables.
PARTS = {
    "conv1": ("convolution", "7 × 7 convolution with batch normalisation and ReLU, every second pixel"),
    "maxpool": ("max pooling", "3 × 3 max pooling, every second pixel"),
    "avgpool": ("features", "one number per map: its mean or its maximum"),
}
#: Learning rate of `pretrain_outlines` at its start, with Adam.
OUTLINE_RATE = 1e-3
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class WeightsFile:
    """A published file of weights; the name carries the first 8 digits of the checksum."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.url.rsplit("/", 1)[1]


IMAGENET_WEIGHTS = {
    depth: WeightsFile(**file)
    for depth, file in yaml.safe_load(Path(__file__).with_name("weights.yaml").read_text(encoding="utf-8")).items()
}


class ResNetFeatures(nn.Module):
    """A ResNet up to its last convolution, and a sentence on where its weights come from.

    Attributes
    ----------
    weights_description : str
        To be shown wherever results of this network are shown.
    n_features : int
        512 for ResNet-18 and 34, 2 048 for ResNet-50 and 101.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        if depth not in BUILDERS:
            raise InputError(f"There is no ResNet-{depth} here. Use one of {', '.join(map(str, BUILDERS))}.")
        self.backbone = BUILDERS[depth](
            spatial_dims=2, n_input_channels=3, feed_forward=False, conv1_t_stride=2, bias_downsample=False
        )
        convolution.for_small_maps(self.backbone)
        self.depth = depth
        self.pooling: Pooling = "average"
        self.n_features = 512 if depth < 50 else 2048
        self.weights_description = f"ResNet-{depth} with unnamed weights"

    def maps(self, images: torch.Tensor) -> torch.Tensor:
        """Return the last feature maps, shape (n, n_features, rows/32, columns/32)."""
        net = self.backbone
        for part in (net.conv1, net.bn1, net.act, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
            images = part(images)
        return images

    def forward(self, images: torch.Tensor, pooling: Pooling | None = None) -> torch.Tensor:
        """Return pooled features, shape (n, n_features); pooled as in training where nothing is said."""
        maps = self.maps(images)
        return maps.amax(dim=(2, 3)) if (pooling or self.pooling) == "max" else maps.mean(dim=(2, 3))


@functools.cache
def layer_table(depth: int = 50, size: int = 224) -> pd.DataFrame:
    """List a ResNet without its last layer, for an input of three channels of `size` x `size` pixels.

    Returns
    -------
    DataFrame
        layer, made_of, output_shape (rows, columns, channels), parameters.
    """
    rows: list[dict[str, Any]] = []
    for row in training.layers_of(lambda: ResNetFeatures(depth).backbone, (size, size), channels=3):
        name, module = row["layer"], row.pop("module")
        if name in ("bn1", "act"):  # they belong to the convolution before them
            rows[-1]["parameters"] += row["parameters"]
            continue
        layer, made_of = PARTS.get(name, (f"residual blocks {name[-1]}", ""))
        if isinstance(module, nn.Sequential):
            convolutions = "three convolutions (1 × 1, 3 × 3, 1 × 1)" if depth >= 50 else "two 3 × 3 convolutions"
            made_of = f"{len(module)} blocks of {convolutions} with batch normalisation, added to the block's input"
        rows.append(row | {"layer": layer, "made_of": made_of})
    return pd.DataFrame(rows)[["layer", "made_of", "output_shape", "parameters"]]


def build_resnet(
    depth: int = 50, weights: str = "random", *, seed: int = 0, folder: Path | None = None
) -> ResNetFeatures:
    """Return a ResNet with the weights asked for.

    Parameters
    ----------
    depth : int
        18, 34, 50 or 101.
    weights : str
        "random": He-normal weights of `seed`, trained on nothing. "imagenet": torchvision's file, its SHA-256
        verified (`imagenet_file`; nothing is downloaded). Anything else is the path of a local file in
        torchvision's format.
    folder : Path, optional
        Where downloaded weights are kept; the user's cache folder by default.

    Raises
    ------
    InputError, FetchError
    """
    with training.reproducible(seed):
        net = ResNetFeatures(depth)
    if weights == "random":
        net.weights_description = f"ResNet-{depth} with random weights (seed {seed}), not trained on any image"
        return net.eval()
    path = weights_file(depth, weights, folder)
    load_torchvision_weights(net, path)
    net.weights_description = describe_file(depth, path)
    return net.eval()


def weights_file(depth: int, weights: str, folder: Path | None = None) -> Path:
    """Return the file of weights that are learnt nowhere here: "imagenet" or a path (`build_resnet`).

    Raises
    ------
    FetchError
        The ImageNet weights are not on this machine.
    InputError
        There is no such file.
    """
    path = imagenet_file(depth, folder) if weights == "imagenet" else Path(weights)
    if path is None:
        raise FetchError(
            f"The ImageNet weights of ResNet-{depth} ({imagenet_source(depth).name}) are not on this machine, and a "
            "book is built without the network. Run `radsupport fetch weights` where there is internet, set "
            "RADSUPPORT_DATA to a folder that holds the file, give its path as `weights:`, or use `weights: outlines`."
        )
    if not path.is_file():
        raise InputError(f"There is no file of weights at `{path}`. Use a path, 'imagenet' or 'random'.")
    return path


def imagenet_file(depth: int, folder: Path | None = None, mirror: Path | None = None) -> Path | None:
    """Return torchvision's ImageNet weights of one depth where they are on this machine, else None.

    They are looked for in `folder` (the user's cache by default), then in `mirror` (the folder that
    ``RADSUPPORT_DATA`` names by default) and in ``weights`` in it. A file with another checksum does not count.
    """
    if depth not in IMAGENET_WEIGHTS:
        return None
    source, local = imagenet_source(depth), mirror_folder(mirror)
    folders = [folder or Path(pooch.os_cache("pooch")), *([local, local / "weights"] if local else [])]
    found = (place / source.name for place in folders)
    return next((path for path in found if path.is_file() and sha256(path) == source.sha256), None)


def imagenet_source(depth: int) -> WeightsFile:
    """Return where the ImageNet weights of one depth come from.

    Raises
    ------
    InputError
        None are known.
    """
    if depth not in IMAGENET_WEIGHTS:
        raise InputError(f"No checksum is known for ImageNet weights of ResNet-{depth}. Give the path of a file.")
    return IMAGENET_WEIGHTS[depth]


def fetch_imagenet(depth: int, folder: Path | None = None, mirror: Path | None = None) -> Path:
    """Return torchvision's ImageNet weights of one depth in `folder`, brought once, with its SHA-256 verified.

    Raises
    ------
    FetchError
        No connection, another checksum, or a `mirror` (or ``RADSUPPORT_DATA``) that lacks them: nothing is
        downloaded then.
    """
    source, here, local = imagenet_source(depth), imagenet_file(depth, folder, mirror), mirror_folder(mirror)
    target = (folder or Path(pooch.os_cache("pooch"))) / source.name
    if here is not None and here != target:
        with written_whole(target) as partial:
            shutil.copyfile(here, partial)
    if here is not None:
        return target
    try:
        if local is not None:
            raise OSError(
                f"the folder {local} has no {source.name} of this checksum, and with it nothing is downloaded"
            )
        return Path(pooch.retrieve(source.url, f"sha256:{source.sha256}", fname=source.name, path=folder))
    except (OSError, ValueError) as error:
        raise FetchError(
            f"ImageNet weights of ResNet-{depth} could not be fetched from {source.url} ({error}). "
            f"Put a copy of {source.name} into {folder or pooch.os_cache('pooch')}, or use `weights: outlines`."
        ) from error


def describe_file(depth: int, path: Path) -> str:
    """Say which weights a file holds, by its checksum rather than its name."""
    digest = sha256(path)
    known = IMAGENET_WEIGHTS.get(depth)
    if known is not None and digest == known.sha256:
        return f"ResNet-{depth} with ImageNet weights of torchvision ({known.name}, SHA-256 verified)"
    return f"ResNet-{depth} with weights of the file {path.name} (SHA-256 {digest[:12]}…)"


def load_torchvision_weights(net: ResNetFeatures, path: Path) -> None:
    """Load a state dictionary of torchvision's layout from a local file.

    The classifier (`fc.`) is dropped; a prefix `module.` and a wrapping `state_dict` are taken off.

    Raises
    ------
    InputError
        No such file, no state dictionary, or one of another network: all differences are listed.
    """
    stored = training.read_torch_file(path, "file of torch weights")
    if not isinstance(stored, Mapping):
        raise InputError(f"`{path}` holds a {type(stored).__name__}, not a state dictionary.")
    stored = stored.get("state_dict", stored)
    weights = {str(name).removeprefix("module."): value for name, value in stored.items()}
    weights = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    problems = _differences(net.backbone.state_dict(), weights, str(path))
    if problems:
        raise InputError(f"`{path}` does not hold weights of ResNet-{net.depth}.", problems)
    # files of torchvision before 0.5 have no counters of batches; inference does not use them
    net.backbone.load_state_dict(weights, strict=False)


def _differences(wanted: Mapping[str, Any], found: Mapping[str, Any], file: str) -> list[Problem]:
    needed = {name for name in wanted if not name.endswith("num_batches_tracked")}
    problems = [Problem("Missing.", file=file, column=name) for name in sorted(needed - set(found))]
    problems += [Problem("Not in this network.", file=file, column=name) for name in sorted(set(found) - set(wanted))]
    for name in sorted(needed & set(found)):
        shape = tuple(getattr(found[name], "shape", ()))
        if shape != tuple(wanted[name].shape):
            problems.append(Problem(f"Shape {shape}.", expected=str(tuple(wanted[name].shape)), file=file, column=name))
    return problems


def normalise_images(images: NDArray[Any], how: Normalisation = "imagenet") -> Float32Array:
    """Scale images (n, 3, rows, columns) of range 0-1 to what the network expects.

    Parameters
    ----------
    how : str
        "imagenet": subtract ImageNet's channel means and divide by its SDs, as torchvision's weights
        were trained. "image": mean 0 and SD 1 of each image (Gu 2023). "none": as it is.
    """
    images = training.check_stack(images, "Images", 3, ("rows", "columns"))
    if how == "none":
        return images
    if how == "image":
        mean = images.mean(axis=(1, 2, 3), keepdims=True)
        sd = images.std(axis=(1, 2, 3), keepdims=True)
        return (images - mean) / np.where(sd > 0, sd, 1)
    if how != "imagenet":
        raise InputError(f"Unknown normalisation '{how}'. Use 'imagenet', 'image' or 'none'.")
    mean, sd = (np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_SD))
    return (images - mean) / sd


def resnet_features(
    net: ResNetFeatures,
    images: NDArray[Any],
    subjects: Sequence[str],
    *,
    pooling: Pooling = "max",
    normalisation: Normalisation = "imagenet",
    batch_size: int = 32,
    cache: Path | None = None,
) -> pd.DataFrame:
    """Return the pooled features of one image per subject.

    Parameters
    ----------
    images : array, shape (n, 3, rows, columns)
        Windowed slices as channels, 0-1.
    pooling : "max" or "average"
        Global maximum (Yang 2023) or global average.
    cache : Path, optional
        Folder that keeps each image's features under the hash of image, weights and settings.

    Returns
    -------
    DataFrame
        subject, deep_0000 ... deep_2047 (deep_0511 for ResNet-18 and 34).
    """
    if pooling not in ("max", "average"):
        raise InputError(f"Unknown pooling '{pooling}'. Use 'max' or 'average'.")
    inputs = normalise_images(images, normalisation)
    subjects = training.check_subjects(subjects, len(inputs))
    net = training.on_device(net)
    weights = training.content_hash(net.state_dict()) if cache else ""
    net = training.channels_last(convolution.fused(net))
    keys = [
        training.content_hash("resnet, fused", pooling, weights, image) if cache else str(i)
        for i, image in enumerate(inputs)
    ]

    def compute(positions: list[int]) -> Float32Array:
        return training.predict_batches(lambda batch: net(batch, pooling), inputs[positions], batch_size=batch_size)

    rows = training.cached_rows(keys, compute, cache, chunk=batch_size)
    return training.feature_table(subjects, rows)


@dataclass(frozen=True)
class FineTuneSettings(Schedule):
    """How a ResNet is fine-tuned.

    Cosine annealing is the paper's; SGD with momentum, its rate, epochs, batch size and the inner
    20 % of the training images that early stopping watches are not printed.
    """

    learning_rate: float = 0.01
    momentum: float = 0.9
    batch_size: int = 16
    max_epochs: int = 50
    patience: int = 10
    validation_share: float = 0.2
    normalisation: Normalisation = "image"


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network and its history.

    Attributes
    ----------
    net : ResNetFeatures
        Its `weights_description` says on how many labels it was tuned.
    head : nn.Module
        Features to one logit per class, or to what is read off an outline.
    history : DataFrame
        One row per epoch: epoch, learning_rate, train_loss, validation_loss, validation_accuracy, best.
    """

    net: ResNetFeatures
    head: nn.Module
    history: pd.DataFrame


def fine_tune(
    net: ResNetFeatures,
    images: NDArray[Any],
    labels: NDArray[Any],
    settings: FineTuneSettings | None = None,
    *,
    pooling: Pooling = "average",
    checkpoints: Path | None = None,
    description: str = "fine-tuning",
) -> FineTuned:
    """Train a copy of `net` and a new linear head on class labels; keep the epoch of lowest validation loss.

    Parameters
    ----------
    images : array, shape (n, 3, rows, columns)
        Windowed slices as channels, 0-1.
    labels : array of int, shape (n,)
        Classes 0, 1, ...; two of them for an endpoint.
    pooling : "max" or "average"
        As the features are pooled later.
    checkpoints : Path, optional
        Folder for a checkpoint named by data, weights and settings; a killed training resumes.
    """
    settings = settings or FineTuneSettings()
    inputs = normalise_images(images, settings.normalisation)
    labels = np.asarray(labels, dtype=np.int64)
    if labels.shape != (len(inputs),) or labels.min() < 0:
        raise InputError(f"`labels` must give a class 0, 1, ... to each of the {len(inputs)} images.")
    inner, watched = training.inner_split(labels, settings.validation_share, settings.seed)
    truth = torch.as_tensor(labels[watched])

    def loss_of(logits: torch.Tensor, positions: IntArray) -> torch.Tensor:
        return functional.cross_entropy(logits, torch.as_tensor(labels[inner[positions]], device=logits.device))

    def watch(model: nn.Module) -> dict[str, float]:
        logits = torch.as_tensor(training.predict_batches(model, inputs[watched]))
        accuracy = float((logits.argmax(dim=1) == truth).float().mean())
        return {"validation_loss": functional.cross_entropy(logits, truth).item(), "validation_accuracy": accuracy}

    # batch normalisation can not measure the spread of one image
    lesson = Lesson(len(inner), lambda b: inputs[inner[b]], loss_of, lambda: {}, fewest=2)
    path = training.checkpoint_file(checkpoints, "resnet", asdict(settings), pooling, net.state_dict(), inputs, labels)
    tuned = _taught(
        net, lambda: nn.Linear(net.n_features, int(labels.max()) + 1), lesson, watch, settings, pooling,
        checkpoint=path, description=description,
    )  # fmt: skip
    tuned.net.weights_description = f"{net.weights_description}, fine-tuned on {len(labels)} labelled images"
    return tuned


def _taught(
    net: ResNetFeatures, head: Callable[[], nn.Module], lesson: Lesson, watch: Callable[[nn.Module], dict[str, float]],
    settings: FineTuneSettings, pooling: Pooling, rate: float | None = None, **options: Any,
) -> FineTuned:  # fmt: skip
    """Teach a copy of `net` and a new head a lesson, with cosine annealing; Adam where a `rate` is given, else SGD."""
    with training.reproducible(settings.seed):
        tuned, end = copy.deepcopy(net), head()
    tuned.pooling = pooling
    model = training.channels_last(nn.Sequential(tuned, end).to(training.choose_device()))
    if rate is None:
        optimizer: torch.optim.Optimizer = torch.optim.SGD(
            model.parameters(), lr=settings.learning_rate, momentum=settings.momentum
        )
    else:
        optimizer = training.adam(model, rate)
    options["scheduler"] = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.max_epochs)
    history = training.fit(model, optimizer, replace(lesson, watch=lambda: watch(model)), settings, **options)
    return FineTuned(tuned.eval(), end, history)


def outline_measures(images: NDArray[Any], outlines: NDArray[Any]) -> Float32Array:
    """Measure what an outline shows in its slices: what a network can learn without any outcome.

    Parameters
    ----------
    images : array, shape (n, 3, rows, columns)
        Windowed slices, 0-1.
    outlines : bool array of the same shape

    Returns
    -------
    float32 array, shape (n, 6)
        Log area; mean and SD inside; mean step between neighbours inside; mean inside minus mean of a rim of three
        pixels outside; log of perimeter² / area. Each with mean 0 and SD 1 over the images.
    """
    inside = np.asarray(outlines) > 0
    plane = np.zeros((3, 3, 3), bool)
    plane[1] = True
    flat = inside.reshape(-1, *inside.shape[2:])
    rim = (ndimage.binary_dilation(flat, plane, iterations=3) & ~flat).reshape(inside.shape)
    edge = (flat & ~ndimage.binary_erosion(flat, plane)).reshape(inside.shape)
    steps = [
        (np.abs(np.diff(images, axis=axis)), np.delete(inside, 0, axis) & np.delete(inside, -1, axis))
        for axis in (2, 3)
    ]

    def mean(values: NDArray[Any], where: NDArray[Any]) -> NDArray[Any]:
        return (values * where).sum(axis=(1, 2, 3)) / np.maximum(where.sum(axis=(1, 2, 3)), 1)

    area, level = inside.sum(axis=(1, 2, 3)), mean(images, inside)
    spread = np.sqrt(mean((images - level[:, None, None, None]) ** 2, inside))
    step = sum(mean(*one) for one in steps)
    shape = np.log(np.maximum(edge.sum(axis=(1, 2, 3)), 1) ** 2 / np.maximum(area, 1))
    found = np.stack([np.log1p(area), level, spread, step, level - mean(images, rim), shape], axis=1)
    return ((found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-9)).astype(np.float32)


def pretrain_outlines(
    net: ResNetFeatures, images: NDArray[Any], outlines: NDArray[Any], subjects: Sequence[str],
    settings: FineTuneSettings | None = None, pooling: Pooling = "average", **options: Any,
) -> FineTuned:  # fmt: skip
    """Train a network to read `outline_measures` off images alone: weights that have seen outlines, but no outcome.

    Every image is shown in its eight orientations. A share of the subjects is set aside to watch the training. Give it
    training images only.

    Parameters
    ----------
    subjects : sequence of str
        Whose image each is.
    pooling : "max" or "average"
        As the features are pooled later.
    """
    settings = settings or FineTuneSettings()
    inputs, n = normalise_images(images, settings.normalisation), len(images)
    targets = outline_measures(images, outlines)
    aside = set(split_subjects(list(subjects), settings.validation_share, settings.seed)[1])
    watched = np.array([subject in aside for subject in subjects])
    inner, truth = np.flatnonzero(~watched), torch.as_tensor(targets[watched])

    def turned(positions: IntArray) -> NDArray[Any]:
        copies = [(inputs[inner[p % len(inner)]], p // len(inner)) for p in positions]
        return np.stack([np.rot90(image if k < 4 else image[:, ::-1], k % 4, axes=(1, 2)) for image, k in copies])

    def loss_of(found: torch.Tensor, positions: IntArray) -> torch.Tensor:
        wanted = torch.as_tensor(targets[inner[positions % len(inner)]], device=found.device)
        return functional.mse_loss(found, wanted)

    def watch(model: nn.Module) -> dict[str, float]:
        found = torch.as_tensor(training.predict_batches(model, inputs[watched]))
        return {"validation_loss": functional.mse_loss(found, truth).item()}

    checkpoints = options.pop("checkpoints", None)
    parts = (asdict(settings), pooling, net.state_dict(), inputs, targets, list(subjects))
    path = training.checkpoint_file(checkpoints, "outlines", *parts)
    lesson = Lesson(8 * len(inner), turned, loss_of, lambda: {}, fewest=2)

    def head() -> nn.Module:  # features of one scale each, as the models standardise them later
        return nn.Sequential(nn.BatchNorm1d(net.n_features), nn.Linear(net.n_features, targets.shape[1]))

    options |= {"checkpoint": path, "description": "outlines"}
    tuned = _taught(net, head, lesson, watch, settings, pooling, OUTLINE_RATE, **options)
    tuned.net.weights_description = (
        f"ResNet-{net.depth} with weights trained to read size, brightness, texture and shape of the outlined tumour "
        f"off {n} training images (seed {settings.seed}), not trained on ImageNet or on any outcome"
    )
    return tuned


def pretrain_rotation(
    net: ResNetFeatures, images: NDArray[Any], settings: FineTuneSettings | None = None, **options: Any
) -> FineTuned:
    """Train a network to tell by how many quarter turns an image was rotated: weights without any label.

    A self-supervised start for machines without the ImageNet file (Gidaris 2018, rotation
    prediction). Give it training images only.
    """
    settings = settings or FineTuneSettings()
    turns = np.arange(len(images)) % 4
    turned = np.stack([np.rot90(image, int(k), axes=(1, 2)) for image, k in zip(images, turns, strict=True)])
    tuned = fine_tune(net, turned, turns, settings, **options)
    tuned.net.weights_description = (
        f"ResNet-{net.depth} with self-supervised weights (rotation of {len(images)} training images, "
        f"seed {settings.seed}), not trained on ImageNet or on any label"
    )
    return tuned
