"""What every network of chapter 04 hands to the notebook, and how it is written for the later chapters.

The settings of a network in words and units: those that this study uses, whatever else the study file may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from radsupport.tables import Variant

FOLDS = "folds.csv"
NO_HISTORY = ["network", "epoch", "set", "metric", "value", "kept"]


@dataclass(frozen=True)
class DeepResult:
    """What a network gave.

    Attributes
    ----------
    features : DataFrame
        Contract table `features_deep`.
    history : DataFrame
        network, epoch, set (train or validation), metric, value, kept (the epoch whose weights are used); empty
        where nothing was trained.
    facts : dict
        Counted for the reader: what, value.
    weights : str
        Where the weights come from, in a sentence.
    failed : DataFrame
        subject, phase, reason: cases without an input.
    inputs : DataFrame
        What the network sees, for `figures.contact_sheet`: subject, image (0 to 1), mask.
    layers : DataFrame
        The network layer by layer; empty where the library's own network is used.
    icc : DataFrame
        feature, icc, ci_low, ci_high, n between two readers; empty without a second reader.
    by_fold : dict of int to DataFrame
        The feature table per fold, where features were learnt per fold.
    folds : Series or None
        Fold of each training subject, where features were learnt per fold.
    variants : tuple of Variant
        Other choices, to be judged beside this one by chapter 05.
    trained_on : str
        Whom the networks of `history` were trained on, for captions: "58 patients of …".
    schemes : tuple of `deep_cnn3d.Scheme`
        The sampling schemes of a 3-D CNN with their patches and networks; empty with other networks.
    """

    features: pd.DataFrame
    facts: dict[str, object]
    weights: str
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=NO_HISTORY))
    failed: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["subject", "phase", "reason"]))
    inputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)
    icc: pd.DataFrame = field(default_factory=pd.DataFrame)
    by_fold: dict[int, pd.DataFrame] = field(default_factory=dict)
    folds: pd.Series | None = None
    variants: tuple[Variant, ...] = ()
    trained_on: str = ""
    schemes: tuple[Any, ...] = ()

    def with_variants(self, variants: tuple[Variant, ...]) -> DeepResult:
        """Return the same result with other choices beside it."""
        return replace(self, variants=variants)

    @property
    def summary(self) -> pd.DataFrame:
        """The facts as a table: what, value."""
        return pd.DataFrame({"what": list(self.facts), "value": [str(value) for value in self.facts.values()]})


def tidy_history(history: pd.DataFrame, network: str, metrics: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """Return a training history as one row per epoch, set and metric.

    Parameters
    ----------
    history : DataFrame
        epoch, best (bool: the weights of the last True are kept) and the columns named in `metrics`.
    network : str
        Name of the network in figures.
    metrics : sequence of (column, set, metric)

    Returns
    -------
    DataFrame
        network, epoch, set, metric, value, kept.
    """
    kept = kept_epoch(history)
    rows = [
        history[["epoch"]].assign(network=network, set=which, metric=metric, value=history[column], kept=kept)
        for column, which, metric in metrics
    ]
    return pd.concat(rows, ignore_index=True)[NO_HISTORY]


def kept_epoch(history: pd.DataFrame) -> int:
    """Return the epoch whose weights were kept."""
    return int(history.loc[history["best"], "epoch"].iloc[-1])


#: How the slices of a patient become one row.
AGGREGATION_WORDS = {
    "kmeans_largest": "mean of the larger of two clusters of slices (K-means)",
    "mean": "mean of all slices",
    "max": "largest value over all slices",
    "median": "median of all slices",
    "largest_slice": "the slice of largest area alone",
}
_REGIONS = {"rough": "cuboid around the rough quadrilaterals", "accurate": "cuboid around the reader's outline"}
_SAMPLED = {"leave_out": "none", "as_published": "sampled, as published"}
_SLICES = {1: "the largest section in all three channels", 3: "three around the largest section, one per channel"}
_POOLING = {"max": "maximum over the whole map", "average": "mean over the whole map"}
_NORMALISATION = {
    "imagenet": "ImageNet's means and SDs of the channels",
    "image": "mean 0 and SD 1 in each image",
    "none": "none",
}
_WEIGHTS = {
    "random": "random, not trained on any image",
    "rotation": "self-supervised: quarter turns of the training images told apart",
    "imagenet": "ImageNet",
}
_FINE_TUNING = {
    "no": "none",
    "out_of_fold": "on the outcome, anew in each fold",
    "as_published": "on the outcome of all training patients, as published",
}
_SAMPLING = {"segmentation": "the tumour alone (SS)", "box": "with its surroundings (NSS)"}


@dataclass(frozen=True)
class Row:
    """One setting: its key in the study file, its name, how its value is said, and with which settings it is used."""

    key: str
    name: str
    say: Callable[[Any], str]
    used: Callable[[Any], bool] = lambda spec: True


def _plain(value: float) -> str:
    """Word a number without exponent: 0.00001."""
    return f"{value:.10f}".rstrip("0").rstrip(".")


def _times(sizes: Sequence[float], unit: str) -> str:
    return f"{' × '.join(f'{size:g}' for size in sizes)} {unit}"


def _shift(mm: Sequence[float]) -> str:
    return f"{', '.join(f'{part:g}' for part in mm)} mm"


def _window(window: Any) -> str:
    return f"level {window.level:g} HU, width {window.width:g} HU" if window else "that of the phase"


def _learns(spec: Any) -> bool:
    return bool(spec.fine_tune != "no" or spec.weights == "rotation")


_STOPPING = "Epochs without improvement after which training stops"
_UNET = (
    Row("network", "Network", lambda s: "2-D U-Net"),
    Row("train_phase", "Phase that trains it", lambda s: s.train_phase),
    Row("base_channels", "Channels of the first level", lambda s: str(s.base_channels)),
    Row("input_px", "Input", lambda s: f"{s.input_px} × {s.input_px} pixels"),
    Row("roi", "Region", lambda s: _REGIONS[s.roi]),
    Row("shift_mm", "Region moved by (x, y, z)", lambda s: _shift(s.shift_mm), lambda s: any(s.shift_mm)),
    Row("enlarge_mm", "Region grown on all sides by", lambda s: f"{s.enlarge_mm:g} mm", lambda s: s.enlarge_mm > 0),
    Row("slices_per_case", "Slices per patient in training", lambda s: str(s.slices_per_case or "all")),
    Row("sampled_cases", "Patients who train it and are predicted later", lambda s: _SAMPLED[s.sampled_cases]),
    Row(
        "sampled_training_cases", "Number of patients sampled to train it", lambda s: str(s.sampled_training_cases),
        lambda s: s.sampled_cases == "as_published",
    ),
    Row("validation_share", "Validation part", lambda s: f"{s.validation_share:.0%} of those who train it"),
    Row("learning_rate", "Learning rate (Adam)", lambda s: _plain(s.learning_rate)),
    Row("batch_size", "Batch", lambda s: f"{s.batch_size} slices"),
    Row("max_epochs", "Most epochs", lambda s: str(s.max_epochs)),
    Row("patience", _STOPPING, lambda s: str(s.patience)),
    Row("aggregation", "From slices to patient", lambda s: AGGREGATION_WORDS[s.aggregation]),
)  # fmt: skip
_RESNET = (
    Row("network", "Network", lambda s: "ResNet"),
    Row("depth", "Layers with weights", lambda s: str(s.depth)),
    Row("input_px", "Input", lambda s: f"{s.input_px} × {s.input_px} pixels"),
    Row("slices", "Slices", lambda s: _SLICES[s.slices]),
    Row("box_mm", "Field", lambda s: f"square of {s.box_mm:g} mm" if s.box_mm else "smallest square with the tumour"),
    Row("margin_mm", "Margin around that square", lambda s: f"{s.margin_mm:g} mm", lambda s: s.box_mm is None),
    Row("masked", "Tissue outside the outline", lambda s: "set to 0" if s.masked else "kept"),
    Row("window", "Window", lambda s: _window(s.window)),
    Row("normalisation", "Normalisation of the input", lambda s: _NORMALISATION[s.normalisation]),
    Row("pooling", "Pooling of the last maps", lambda s: _POOLING[s.pooling]),
    Row("weights", "Weights at the start", lambda s: _WEIGHTS.get(s.weights, f"file {Path(s.weights).name}")),
    Row(
        "rotation_epochs",
        "Epochs on quarter turns",
        lambda s: str(s.rotation_epochs),
        lambda s: s.weights == "rotation",
    ),
    Row("fine_tune", "Fine-tuning", lambda s: _FINE_TUNING[s.fine_tune]),
    Row("epochs", "Most epochs of fine-tuning", lambda s: str(s.epochs), lambda s: s.fine_tune != "no"),
    Row("patience", _STOPPING, lambda s: str(s.patience), _learns),
    Row("learning_rate", "Learning rate at the start (SGD)", lambda s: _plain(s.learning_rate), _learns),
    Row("batch_size", "Batch", lambda s: f"{s.batch_size} images", _learns),
    Row("icc_subjects", "Most patients for the ICC between readers", lambda s: str(s.icc_subjects)),
    Row("icc_kind", "Form of the ICC", lambda s: f"{s.icc_kind}, Shrout & Fleiss"),
)
_CNN3D = (
    Row("network", "Network", lambda s: "3-D CNN"),
    Row("patch", "Patch (slices, rows, columns)", lambda s: _times(s.patch, "voxels")),
    Row(
        "field_mm", "What a patch covers (slices, rows, columns)",
        lambda s: _times(s.field_mm, "mm") if s.field_mm else "as many voxels of the preprocessed scan",
    ),
    Row("width", "Filters and units, relative to the printed network", lambda s: _plain(s.width)),
    Row("sampling", "Patches", lambda s: "; ".join(_SAMPLING[name] for name in s.sampling)),
    Row("window", "Window", lambda s: _window(s.window)),
    Row("dropout", "Dropout", lambda s: f"{s.dropout:.0%} of the units"),
    Row("learning_rate", "Learning rate (Adam)", lambda s: _plain(s.learning_rate)),
    Row("batch_size", "Batch", lambda s: f"{s.batch_size} patches"),
    Row("max_epochs", "Most epochs", lambda s: str(s.max_epochs)),
    Row("patience", _STOPPING, lambda s: str(s.patience)),
    Row("folds", "Folds", lambda s: str(s.folds)),
    Row("augment", "Augmented copies in training", lambda s: "yes" if s.augment else "no"),
    Row("max_shift", "Largest random translation", lambda s: f"{s.max_shift} voxels", lambda s: s.augment),
    Row("cam_layer", "Layer of the heat maps (Grad-CAM)", lambda s: s.cam_layer),
    Row("neighbour_mm", "Tissue counted as next to the tumour", lambda s: f"up to {s.neighbour_mm:g} mm away"),
    Row("cam_patients", "Patients pictured and checked by occlusion", lambda s: str(s.cam_patients)),
    Row("occlusion", "Block covered in that check (slices, rows, columns)", lambda s: _times(s.occlusion, "voxels")),
)  # fmt: skip
ROWS = {"unet": _UNET, "resnet": _RESNET, "cnn3d": _CNN3D}
