"""One judge for all chapters: the same calls on a study with labels, on lung1 (survival only), and on one with both.

The references are counted here, pair by pair: AUC and C-index, counts at a threshold, patients per risk group.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport import data, evaluate
from radsupport.evaluate.discrimination import pairs
from radsupport.evaluate.predictions import HIGH, LABEL, SURVIVAL
from radsupport.study import load_study


def made(seed: int, kinds: tuple[str, ...]) -> pd.DataFrame:
    """Predictions of two signatures, some risks tied, in training and an external cohort; `kinds` of outcome."""
    rng = np.random.default_rng(seed)
    n = 90
    cohort = np.where(np.arange(n) < 60, "train", "external")
    latent = rng.normal(size=n)
    outcome = pd.DataFrame(index=range(n))
    outcome["label"] = (latent + rng.normal(size=n) > 0).astype(float) if "label" in kinds else np.nan
    outcome["time"] = np.ceil(rng.exponential(np.exp(-latent)) * 10) if "survival" in kinds else np.nan
    outcome["event"] = (rng.random(n) < 0.6).astype(float) if "survival" in kinds else np.nan
    tables = []
    for name, noise in (("A", 0.5), ("B", 2.0)):
        risk = np.round(latent + noise * rng.normal(size=n), 1)
        for kind in ("out_of_fold", "external", "apparent"):
            mine = (cohort == "external") == (kind == "external")
            worse = risk if kind != "apparent" else latent
            table = outcome.assign(risk=worse, cohort=cohort, signature=name, kind=kind, fold=0)
            tables.append(table.assign(subject=[f"s{i:02d}" for i in range(n)])[mine])
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def lung1(root: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Two risks of lung1's real patients that need no fit: age, and the time-less noise of a seed."""
    project = tmp_path_factory.mktemp("project")
    (project / "data_manifest.csv").write_bytes((root / "data_manifest.csv").read_bytes())
    (project / "data").mkdir()
    (project / "data" / "lung1").symlink_to(shared / "real")
    cohort = data.open_cohort(load_study("lung1", folder=root / "studies"), project).cohort
    rng = np.random.default_rng(1)
    risks = {"A": cohort["age"].round(), "B": pd.Series(rng.normal(size=len(cohort)).round(1), cohort.index)}
    kind = np.where(cohort["cohort"] == "train", "out_of_fold", "external")
    tables = [cohort[["subject", "cohort", "time", "event"]].assign(risk=risk, signature=name, kind=kind, fold=0)
              for name, risk in risks.items()]  # fmt: skip
    return pd.concat(tables, ignore_index=True).assign(label=np.nan).dropna(subset="risk")


@pytest.fixture(params=["label", "lung1", "both by label", "both by time"])
def case(request: pytest.FixtureRequest) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if request.param == "lung1":
        return request.getfixturevalue("lung1"), SURVIVAL
    kinds = ("label",) if request.param == "label" else ("label", "survival")
    return made(5, kinds), SURVIVAL if request.param == "both by time" else LABEL


def counted(part: pd.DataFrame, outcome: tuple[str, ...]) -> float:
    """Share of comparable pairs in which the one with the (earlier) event has the higher risk, ties counting half."""
    risk = part["risk"].to_numpy()
    gap = risk[:, None] - risk[None, :]
    won = np.where(gap > 0, 1.0, np.where(gap == 0, 0.5, 0.0))
    if outcome == LABEL:
        label = part["label"].to_numpy()
        pairs = (label[:, None] == 1) & (label[None, :] == 0)
    else:
        time, event = part["time"].to_numpy(), part["event"].to_numpy()
        later = (time[None, :] > time[:, None]) | ((time[None, :] == time[:, None]) & (event[None, :] == 0))
        pairs = (event[:, None] == 1) & later
    return float(won[pairs].mean())


def test_each_cohort_is_judged_by_predictions_of_patients_unseen(case: tuple[pd.DataFrame, tuple[str, ...]]) -> None:
    predictions, outcome = case
    rows = evaluate.judged(predictions, outcome)
    assert (rows["kind"] == rows["cohort"].astype(str).map({"train": "out_of_fold"}).fillna("external")).all()
    assert not rows.duplicated(["subject", "signature"]).any()
    last = str(rows["cohort"].max())
    only = evaluate.judged(predictions, outcome, signatures=["B"], cohorts=[last])
    assert (set(only["signature"]), set(only["cohort"])) == ({"B"}, {last})


def test_discrimination_is_the_share_of_pairs(case: tuple[pd.DataFrame, tuple[str, ...]]) -> None:
    predictions, outcome = case
    rows = evaluate.judged(predictions, outcome)
    scores = evaluate.measure(rows, evaluate.discrimination, outcome=outcome)
    assert len(scores) == 2 * rows["cohort"].nunique()
    for row in scores.to_dict("records"):
        part = rows[(rows["cohort"] == row["cohort"]) & (rows["signature"] == row["signature"])]
        assert row["n"] == len(part)
        assert row["value"] == pytest.approx(counted(part, outcome), abs=1e-12)
        assert row["value_low"] < row["value"] < row["value_high"]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("median", lambda part: part["risk"].median()),
        (0.25, lambda _: 0.25),
        (lambda part: part["risk"].quantile(0.75), lambda part: part["risk"].quantile(0.75)),
    ],
    ids=["name", "number", "function"],
)
def test_a_threshold_comes_from_training_alone_and_cuts_every_cohort(
    case: tuple[pd.DataFrame, tuple[str, ...]], rule: object, wanted: Callable[[pd.DataFrame], float]
) -> None:
    predictions, outcome = case
    rows = evaluate.judged(predictions, outcome)
    cut = evaluate.threshold(rows, rule, outcome)
    parts = evaluate.groups(rows, cut)
    for name, own in rows.groupby(rows["signature"].astype(str)):
        assert cut[name] == pytest.approx(wanted(own[own["cohort"] == "train"]), abs=1e-12)
        assert ((parts[parts["signature"] == name]["group"] == HIGH).sum()) == (own["risk"] > cut[name]).sum()
    moved = rows.assign(risk=rows["risk"].where(rows["cohort"] == "train", rows["risk"] + 100))
    assert evaluate.threshold(moved, rule, outcome).equals(cut)


def test_youden_needs_labels_and_the_log_rank_needs_times(case: tuple[pd.DataFrame, tuple[str, ...]]) -> None:
    predictions, outcome = case
    rows = evaluate.judged(predictions, outcome)
    median = evaluate.threshold(rows, "median", outcome)
    if outcome == SURVIVAL:
        assert evaluate.threshold(rows, "youden", outcome).equals(median)
        assert set(evaluate.threshold(rows, "max_logrank", outcome).index) == {"A", "B"}
    else:
        cut = evaluate.threshold(rows, "youden", outcome)
        for name, own in rows[rows["cohort"] == "train"].groupby(rows["signature"].astype(str)):
            sums = [_sensitivity_and_specificity(own, value) for value in [-np.inf, *sorted(set(own["risk"]))]]
            assert _sensitivity_and_specificity(own, cut[name]) == pytest.approx(max(sums), abs=1e-12)


def _sensitivity_and_specificity(part: pd.DataFrame, cut: float) -> float:
    high = part["risk"] > cut
    return float(high[part["label"] == 1].mean() + (~high)[part["label"] == 0].mean())


def test_pairs_of_signatures_are_compared_on_the_same_patients(case: tuple[pd.DataFrame, tuple[str, ...]]) -> None:
    predictions, outcome = case
    rows = evaluate.judged(predictions, outcome)
    rows = rows.drop(rows.index[(rows["signature"] == "A")][:7])
    found = evaluate.measure(rows, pairs, by=("cohort",), outcome=outcome, n_bootstrap=50, seed=1)
    for row in found.to_dict("records"):
        part = rows[rows["cohort"] == row["cohort"]]
        both = part[part.groupby("subject")["signature"].transform("nunique") == 2]
        a, b = (counted(both[both["signature"] == row[f"signature_{x}"]], outcome) for x in "ab")
        assert row["n"] == both["subject"].nunique()
        assert row["difference"] == pytest.approx(a - b, abs=1e-12)
