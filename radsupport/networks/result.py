"""What every network of chapter 04 hands to the notebook, how it is written, and how alike two phases are.

The settings of a network in words and units: those that this study uses, whatever else the study file may hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import NotEstimableError
from radsupport.files import write_csv
from radsupport.networks.inputs import Given, in_rows
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.stats.agreement import icc_features
from radsupport.tables import Variant, write_fold_tables, write_variants

FOLDS = "folds.csv"
NO_HISTORY = ["network", "epoch", "set", "metric", "value", "kept"]
NO_ICC = ["feature", "icc", "ci_low", "ci_high", "n"]
ALPHA = 0.05
UNREAD = "There is no second reading of the regions that this network uses."
LOSSES = (("train_loss", "train", "loss"), ("validation_loss", "validation", "loss"))
DICE = (*LOSSES, ("validation_dsc", "validation", "Dice"))
ACCURACY = (*LOSSES, ("validation_accuracy", "validation", "accuracy"))
#: What `finish` counts in the table of features, where a source names it among its facts.
COUNTED = ("patients with features", "features per phase", "features that are the same in everybody")
Tables = dict[str, pd.DataFrame]


def nothing(reason: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Return a table without rows that says why it has none."""
    table = pd.DataFrame(columns=list(columns))
    table.attrs["empty"] = reason
    return table


def sheet(rows: Any) -> pd.DataFrame:
    """Return what the network sees of some patients: subject (a caption), image, mask."""
    return pd.DataFrame([dict(zip(("subject", "image", "mask"), row, strict=True)) for row in rows])


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
        What the network sees, for `plots.contact_sheet`: subject, image (0 to 1), mask.
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
    trainers : dict
        Cohort to number of patients that the networks of `history` were trained on.
    how : str
        How these were used, as the end of a sentence.
    schemes : tuple of `schemes.Scheme`
        The sampling schemes of a 3-D CNN with their patches and networks; empty with other networks.
    ranges : DataFrame
        scheme, lowest, highest out-of-fold risk of each of them.
    """

    features: pd.DataFrame
    facts: dict[str, object]
    weights: str
    history: pd.DataFrame
    failed: pd.DataFrame
    inputs: pd.DataFrame
    layers: pd.DataFrame
    icc: pd.DataFrame
    by_fold: dict[int, pd.DataFrame] = field(default_factory=dict)
    folds: pd.Series | None = None
    variants: tuple[Variant, ...] = ()
    trainers: dict[str, int] = field(default_factory=dict)
    how: str = ""
    schemes: tuple[Any, ...] = ()
    ranges: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["scheme", "lowest", "highest"]))

    @property
    def summary(self) -> pd.DataFrame:
        """The facts as a table: what, value."""
        return pd.DataFrame({"what": list(self.facts), "value": [str(value) for value in self.facts.values()]})

    @property
    def curves(self) -> pd.DataFrame:
        """The history with the networks of one phase or sampling scheme together: `of` and `network` apart."""
        if self.history.empty:
            return nothing("No network was trained in this study.", [*NO_HISTORY, "of"])
        parts = self.history["network"].astype(str).str.rpartition(", ")
        return self.history.assign(of=parts[0], network=parts[2])

    @property
    def choices(self) -> pd.DataFrame:
        """What is compared with the study's own network: group, variant, description, signature (all of them)."""
        rows = [(one.group, one.name, one.description, ", ".join(one.signatures)) for one in self.variants]
        table = pd.DataFrame(rows, columns=["group", "variant", "description", "signature"])
        table = table[table["signature"] != ""].sort_values("group", kind="stable", ignore_index=True)
        table.attrs["empty"] = "This study compares no other choices for its network."
        return table

    def write(self, folder: Path, chapter: str) -> None:
        """Write what stands beside the table of features: folds, their tables, ICC, log, and the variants.

        Tables of an earlier run with more folds, or with other variants, are removed: chapter 05 reads what it finds.
        """
        write_fold_tables(folder, "features_deep", self.by_fold)
        folds = pd.DataFrame() if self.folds is None else self.folds.rename_axis("subject").reset_index()
        for name, table in ((FOLDS, folds), ("icc_deep.csv", self.icc)):
            if len(table):
                write_csv(table, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        write_csv(self.failed.assign(status="failed"), folder / "features_deep_log.csv")
        write_variants(folder, chapter, self.variants)


def finish(
    given: Given,
    tables: Mapping[int | None, Tables],
    facts: dict[str, Any],
    failed: Sequence[pd.DataFrame],
    again: Tables | None = None,
    icc_kind: str = "ICC(2,1)",
    **rest: Any,
) -> DeepResult:
    """Make the result of a source from what it says of everybody.

    Parameters
    ----------
    tables : mapping
        Fold (None: by the networks that serve everybody) to phase to a table: subject, features.
    facts : dict
        What the page says in numbers; those of `COUNTED` are filled in.
    failed : sequence of DataFrame
        subject, phase, reason of cases without an input.
    again : dict of phase to DataFrame, optional
        Table by a second reader's outlines, for each feature's ICC in those whom both read in all phases.
    rest
        Further attributes of the result.
    """
    made = {fold: in_rows(given.predicted, parts) for fold, parts in tables.items()}
    features = made.pop(None)
    values, icc = features.drop(columns="subject"), nothing(UNREAD, NO_ICC)
    counts = (values.notna().any(axis=1).sum(), values.shape[1] // len(given.phases), (values.std() == 0).sum())
    facts |= {what: int(n) for what, n in zip(COUNTED, counts, strict=True) if what in facts}
    twice = sorted(set.intersection(*(set(part["subject"]) for part in again.values()))) if again else []
    if again and len(twice) > 1:
        icc = icc_features(
            features.set_index("subject").loc[twice], in_rows(twice, again).set_index("subject"), icc_kind
        )
    failures = pd.concat(failed).drop_duplicates(ignore_index=True)
    by_fold = {fold: table for fold, table in made.items() if fold is not None}
    return DeepResult(features, facts, failed=failures, icc=icc, by_fold=by_fold, **rest)


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


def _turned(spec: Any) -> bool:
    return bool(spec.weights == "rotation")


def _learns(spec: Any) -> bool:
    return spec.fine_tune != "no" or _turned(spec)


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
    Row("rotation_epochs", "Epochs on quarter turns", lambda s: str(s.rotation_epochs), _turned),
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


def settings_table(own: Unet | Resnet | Cnn3d) -> pd.DataFrame:
    """Return the network's settings as the study file and the profile give them.

    Returns
    -------
    DataFrame
        setting, value: those that this study's network uses, and those that only a compared choice uses, which is
        named then. What a choice itself changes stands in the table of choices and not here.
    """
    choices = [(one, own.chosen(one)) for one in own.compare]
    rows = []
    for row in ROWS[own.network]:
        if row.used(own):
            rows.append((row.name, row.say(own)))
            continue
        others = [(one.name, spec) for one, spec in choices if row.used(spec) and row.key not in one.set]
        if others:
            names = ", ".join(name for name, _ in others)
            rows.append((f"{row.name} (only for the compared choice: {names})", row.say(others[0][1])))
    return pd.DataFrame(rows, columns=["setting", "value"])


@dataclass(frozen=True)
class Collinearity:
    """Correlations between the features of two phases in the training cohort.

    Attributes
    ----------
    pairs : DataFrame
        Every feature of the first phase with every one of the second: r, p (two-sided t-test of Pearson's r).
    matrix : DataFrame
        |r| of the features that differ between the outcomes: rows of the first phase, columns of the second, the
        features that differ in both phases first and in one order.
    overlap : int
        How many differ in both phases: the block at the top left.
    phases : (str, str)
    n : int
        Patients.
    criterion : str
        Which features are in the matrix.
    """

    pairs: pd.DataFrame
    matrix: pd.DataFrame
    overlap: int
    phases: tuple[str, str]
    n: int
    criterion: str

    @property
    def block(self) -> pd.DataFrame:
        """The matrix as `plots.correlations` draws it: feature_a, feature_b, r."""
        if self.matrix.empty:
            return self.matrix
        rows, columns = self.matrix.index, self.matrix.columns
        names = {"feature_a": np.repeat(rows, len(columns)), "feature_b": np.tile(columns, len(rows))}
        return pd.DataFrame(names | {"r": self.matrix.to_numpy().ravel()})


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Pearson's r of every column of `a` with every column of `b`, which all vary."""
    za, zb = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (a, b))
    return np.clip(za.T @ zb / len(a), -1, 1)


def p_of_correlation(r: np.ndarray, n: int) -> np.ndarray:
    """Return the two-sided P of Pearson's r in n patients: t with n - 2 degrees of freedom."""
    with np.errstate(divide="ignore"):  # r of exactly 1 has an infinite t and P 0
        t = np.abs(r) * np.sqrt((n - 2) / (1 - r**2))
    return 2 * stats.t.sf(t, n - 2)


def between_phases(features: pd.DataFrame, cohort: pd.DataFrame, phases: Sequence[str]) -> Collinearity:
    """Correlate the features of the first two phases, in the training patients.

    The features of the matrix are those that differ between patients with and without the event (Mann-Whitney,
    P < 0.05, unadjusted): a description, which no model uses. Where none differs in one of the phases, all are taken.

    Returns
    -------
    Collinearity
        Without pairs where there is one phase only, or risks instead of features.

    Raises
    ------
    NotEstimableError
        Fewer than three patients with all features of both phases, or nothing that varies.
    """
    own = [name for name in features.columns if name.startswith(tuple(f"{phase}__deep_" for phase in phases[:2]))]
    if len(phases) < 2 or not own:
        reason = "One phase, or risks instead of features: there is nothing to correlate."
        return Collinearity(pd.DataFrame(columns=["r", "p"]), nothing(reason), 0, ("", ""), 0, "")
    first, second = phases[:2]
    train = cohort[cohort["cohort"] == "train"].set_index("subject")
    values = features.set_index("subject").reindex(train.index)[own].dropna(how="any")
    a, b = (_varying(values, phase) for phase in (first, second))
    if len(values) < 3 or a.empty or b.empty:
        raise NotEstimableError(f"{len(values)} patients with features of both phases are too few to correlate them.")
    r = correlation(a.to_numpy(), b.to_numpy())
    pairs = pd.DataFrame({"r": r.ravel(), "p": p_of_correlation(r, len(values)).ravel()})
    outcome = train.loc[values.index, "label" if "label" in train.columns else "event"].dropna()
    chosen = [_differing(part.loc[outcome.index], outcome.to_numpy() == 1) for part in (a, b)]
    criterion = f"that differ between the outcomes (Mann-Whitney, P < {ALPHA:g})"
    if not all(len(names) for names in chosen):
        chosen, criterion = [list(a.columns), list(b.columns)], "that vary"
    both = [name for name in chosen[0] if name in chosen[1]]
    order = [[*both, *(name for name in names if name not in both)] for names in chosen]
    table = pd.DataFrame(np.abs(r), index=a.columns, columns=b.columns).loc[order[0], order[1]]
    return Collinearity(pairs, table, len(both), (first, second), len(values), criterion)


def _varying(values: pd.DataFrame, phase: str) -> pd.DataFrame:
    """Return one phase's features under their names without the phase, those that vary."""
    prefix = f"{phase}__"
    part = values[[name for name in values.columns if name.startswith(prefix)]]
    part = part.rename(columns=lambda name: name.removeprefix(prefix)).astype(float)
    return part.loc[:, part.std() > 1e-12 * part.abs().max()]


def _differing(part: pd.DataFrame, event: np.ndarray) -> list[str]:
    if event.all() or not event.any():
        return []
    p = stats.mannwhitneyu(part[event], part[~event], axis=0).pvalue
    return part.columns[np.asarray(p) < ALPHA].tolist()
