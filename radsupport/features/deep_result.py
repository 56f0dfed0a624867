"""What every network of chapter 04 hands to the notebook, and how it is written for the later chapters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from radsupport.chapter import Chapter
from radsupport.features.variants import Variant, write_fold_tables, write_variants
from radsupport.files import write_csv
from radsupport.report.wording import counted

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


def write(chapter: Chapter, result: DeepResult) -> None:
    """Write the feature tables, the folds they were learnt with, the ICC, and the variants.

    Tables of an earlier run with more folds, or with other variants, are removed: chapter 05 reads what it finds.
    """
    results = chapter.paths.results
    chapter.write(result.features, "features_deep")
    write_fold_tables(results, "features_deep", result.by_fold)
    folds = pd.DataFrame() if result.folds is None else result.folds.rename_axis("subject").reset_index()
    for name, table in ((FOLDS, folds), ("icc_deep.csv", result.icc)):
        if len(table):
            write_csv(table, results / name)
        else:
            (results / name).unlink(missing_ok=True)
    write_csv(result.failed.assign(status="failed"), results / "features_deep_log.csv")
    write_variants(results, chapter.name, result.variants)


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


def curve_panels(history: pd.DataFrame, metric: str) -> list[tuple[str, pd.DataFrame, dict[str, str]]]:
    """Return the training curves of a metric as panels, one for the networks of a phase or sampling scheme.

    Parameters
    ----------
    history : DataFrame
        What `tidy_history` returns for several networks, named ``SS, fold 0`` or ``fold 0``.
    metric : str

    Returns
    -------
    list of (title, table, options)
        For `figures.panels` with `networks.fold_curves`.
    """
    own = history[history["metric"] == metric]
    parts = own["network"].astype(str).str.rpartition(", ")
    own = own.assign(network=parts[2])
    return [(str(name), part, {"metric": metric}) for name, part in own.groupby(parts[0], sort=False)]


def curve_caption(result: DeepResult, metric: str, study_id: str) -> str:
    """Say what the training curves of a metric show: how many networks, and whom they were trained on."""
    networks = counted(result.history["network"].nunique(), "network")
    return f"{metric[:1].upper()}{metric[1:]} per epoch of {networks} trained on {result.trained_on}; study {study_id}."
