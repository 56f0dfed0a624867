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
import yaml
from scipy import stats

from radsupport.checks import varies
from radsupport.errors import NotEstimableError
from radsupport.files import write_csv
from radsupport.networks.inputs import Given, in_rows
from radsupport.networks.training import save_checkpoint
from radsupport.settings.features import PRETRAINED, Cnn3d, Resnet, Unet
from radsupport.stats.agreement import icc_features
from radsupport.tables import Variant, write_fold_tables, write_variants

FOLDS = "folds.csv"
#: Weights of the networks that describe new patients.
NETWORKS = "networks.pt"
NO_HISTORY = ["network", "epoch", "set", "metric", "value", "kept"]
NO_ICC = ["feature", "icc", "ci_low", "ci_high", "n"]
ALPHA = 0.05
UNREAD = "Fewer than two training patients have a second reading of the regions that this network uses."
ONLY_RISKS = (
    "This network gives risks, not features that could be chosen by their agreement: what a second reader's outlines "
    "of other cohorts change in the risks is shown below, where there are any."
)
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
    nets : dict of str to Module
        The networks that describe patients, by what `sources.describe` asks for; of those learnt per fold also
        ``<name>@<fold>``.
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
    nets: dict[str, Any] = field(default_factory=dict)

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

    def write(self, folder: Path, chapter: str, external: str = "mean_of_folds") -> None:
        """Write what stands beside the table of features: folds, their tables, ICC, log, variants, and weights.

        Tables of an earlier run with more folds, or with other variants, are removed: chapter 05 reads what it finds.
        Weights are those that new patients need: of networks of single folds only where `external` is their mean.
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
        kept = {name: net.state_dict() for name, net in self.nets.items() if external != "refit" or "@" not in name}
        save_checkpoint(folder / NETWORKS, kept)


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
        Table by a second reader's outlines, for each feature's ICC in those whom both read in all phases; not given
        where the network has risks instead of features.
    rest
        Further attributes of the result.
    """
    made = {fold: in_rows(given.predicted, parts) for fold, parts in tables.items()}
    features = made.pop(None)
    values, icc = features.drop(columns="subject"), nothing(UNREAD if again is not None else ONLY_RISKS, NO_ICC)
    counts = (
        values.notna().any(axis=1).sum(),
        values.shape[1] // len(given.phases),
        (~varies(values[values.notna().any(axis=1)])).sum(),
    )
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


#: The settings of each network: key, name, and how a value is said.
ROWS: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("settings.yaml").read_text(encoding="utf-8")
)
#: With which others a setting is used, where not with all.
_USED: dict[str, Callable[[Any], bool]] = {
    "shift_mm": lambda s: any(s.shift_mm),
    "enlarge_mm": lambda s: s.enlarge_mm > 0,
    "sampled_training_cases": lambda s: s.sampled_cases == "as_published",
    "margin_mm": lambda s: s.box_mm is None,
    "pretraining_epochs": lambda s: s.weights in PRETRAINED,
    "epochs": lambda s: s.fine_tune != "no",
    "max_shift": lambda s: s.augment,
    "box_margin_mm": lambda s: "box" in s.sampling,
    "inner_share": lambda s: s.stop_on == "inner",
    "learning_sizes": lambda s: bool(s.learning_sizes),
    "learning_folds": lambda s: bool(s.learning_sizes),
}


def _used(spec: Any, key: str) -> bool:
    """Return whether a setting matters beside the others; a ResNet that is not trained needs none of training."""
    if spec.network == "resnet" and key == "learning_rate" and spec.weights == "outlines":
        return bool(spec.fine_tune != "no")  # that training has a rate of its own
    if spec.network == "resnet" and key in ("patience", "learning_rate", "batch_size"):
        return bool(spec.fine_tune != "no" or spec.weights in PRETRAINED)
    if spec.network == "cnn3d" and key == "patience":
        return bool(spec.stop_on != "last")
    return key not in _USED or _USED[key](spec)


def said(spec: Any, key: str) -> str:
    """Return the value of one setting in words and units."""
    row, value = ROWS[spec.network][key], getattr(spec, key)
    words = row.get("words", {})
    if isinstance(value, list) and words:
        return "; ".join(words[one] for one in value)
    if isinstance(value, str | int | float | None) and value in words:
        return str(words[value])
    sizes = [f"{part:g}" for part in value] if isinstance(value, tuple | list) else []
    plain = f"{value:.10f}".rstrip("0").rstrip(".") if isinstance(value, float) else ""
    forms = {"times": " × ".join(sizes), "listed": ", ".join(sizes), "plain": plain, "file": Path(str(value)).name}
    return str(row.get("say", "{0}").format(value, **forms))


def settings_table(own: Unet | Resnet | Cnn3d, full: Unet | Resnet | Cnn3d | None = None) -> pd.DataFrame:
    """Return the network's settings as the study file and the profile give them.

    Parameters
    ----------
    full : Unet, Resnet or Cnn3d, optional
        The settings of a full run, to stand beside them.

    Returns
    -------
    DataFrame
        setting, value, and where a full run has others full_run: those that this study's network uses, and those that
        only a compared choice uses, which is named then. What a choice itself changes stands in the table of choices
        and not here.
    """
    here, there = _given(own), _given(own if full is None else full)
    nothing = ("", "not used")
    rows = []
    for key in (key for key in ROWS[own.network] if key in here or key in there):
        (only, value), (only_there, value_there) = here.get(key, nothing), there.get(key, nothing)
        only = only if key in here else only_there
        rows.append((ROWS[own.network][key]["name"] + only, value, value_there + only_there * (only_there != only)))
    table = pd.DataFrame(rows, columns=["setting", "value", "full_run"])
    return table.drop(columns="full_run") if table["value"].equals(table["full_run"]) else table


def _given(spec: Unet | Resnet | Cnn3d) -> dict[str, tuple[str, str]]:
    """Return by key, of the settings in use, whether only a compared choice uses one, in words, and its value."""
    choices, found = [(one, spec.chosen(one)) for one in spec.compare], {}
    for key in ROWS[spec.network]:
        others = [(one.name, chosen) for one, chosen in choices if _used(chosen, key) and key not in one.set]
        if _used(spec, key):
            found[key] = ("", said(spec, key))
        elif others:
            names = ", ".join(name for name, _ in others)
            found[key] = (f" (only for the compared choice: {names})", said(others[0][1], key))
    return found


#: Kinds of layers in drawings, by how the name of a layer begins.
_KINDS = {
    "encoder": "pooling, convolutions", "bottleneck": "the features' maps", "output": "output",
    "decoder": "enlarging, joining, convolutions", "convolution": "convolution", "max_pooling": "max pooling",
    "max pooling": "max pooling", "residual": "residual blocks", "features": "the features", "flatten": "vector",
    "dense": "fully connected",
}  # fmt: skip


def blocks(networks: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return what `plots.architecture` draws of networks that are listed layer by layer.

    Parameters
    ----------
    networks : mapping
        Name of each network to its `layers`; of networks with equal layers the first is drawn.

    Returns
    -------
    DataFrame
        of (the network), block, kind, side (rows of the maps, 1 for a vector), channels (or units), shape (text), joins
        (the encoder's level that a skip connection comes from, or ""). Dropout has no maps of its own and is left out.
    """
    rows: list[dict[str, Any]] = []
    seen: list[pd.DataFrame] = []
    for of, table in networks.items():
        if any(table.equals(other) for other in seen):
            continue
        seen.append(table)
        for name, shape in zip(table["layer"], table["output_shape"], strict=True):
            sides, kind = [int(n) for n in shape.split(", ")], next((k for k in _KINDS if name.startswith(k)), "")
            if kind:
                side, joins = sides[-2] if len(sides) > 1 else 1, name.replace("decoder", "encoder")
                row = {"of": of, "block": name.split(", ")[0].split(":")[0].replace("_", " "), "kind": _KINDS[kind]}
                row |= {"side": side, "channels": sides[-1], "shape": " × ".join(map(str, sides))}
                rows.append(row | {"joins": joins if kind == "decoder" else ""})
    return pd.DataFrame(rows)


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
    # of a survival outcome this asks who was seen to have the event, though some were followed briefly
    classes = "the outcomes" if "label" in train.columns else "patients whose event was seen and others"
    briefly = "" if "label" in train.columns else ", however long they were followed"
    criterion = f"that differ between {classes} (Mann-Whitney, P < {ALPHA:g}{briefly})"
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
    return part.loc[:, varies(part)]


def _differing(part: pd.DataFrame, event: np.ndarray) -> list[str]:
    if event.all() or not event.any():
        return []
    p = stats.mannwhitneyu(part[event], part[~event], axis=0).pvalue
    return part.columns[np.asarray(p) < ALPHA].tolist()
