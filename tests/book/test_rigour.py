"""Rules of rigour: a clean run passes each, and a violation planted in what a run records is caught by its rule."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from radsupport.book import rigour
from radsupport.book.rigour import FAILED, NONE, PASSED, RULES, Evidence, Finding, judge
from radsupport.learning.record import RECORD

STEPS = "imputation one_hot variance univariate z_score"


def record() -> pd.DataFrame:
    rows = [
        ("S", 0, fold, "model", STEPS, 400, 100, f"t{fold}", f"h{fold}", 0, 0, 20, 3, f"f{fold % 2}")
        for fold in range(5)
    ]
    rows.append(("S", 0, float("nan"), "model", STEPS, 500, 0, "t", "h", 0, 0, 20, 3, "f9"))
    return pd.DataFrame(rows, columns=["signature", *RECORD])


def predictions(n: int = 2000) -> pd.DataFrame:
    train = pd.DataFrame({"subject": [f"p{i}" for i in range(n)], "kind": "out_of_fold", "cohort": "train"})
    outside = pd.DataFrame({"subject": ["x", "y"], "kind": "external", "cohort": "external"})
    rows = pd.concat([train, outside], ignore_index=True).assign(signature="S")
    return rows.assign(label=[i % 2 for i in range(len(rows))], risk=0.5)


def number(value: Any, low: float | None = None, high: float | None = None, n: int = 30) -> dict[str, Any]:
    return {"value": value, "n": n, "ci_low": low, "ci_high": high}


def clean(**changes: Any) -> Evidence:
    numbers = {
        "headline_train_predicted": number(0.5), "beside_train_S_Volume alone": number(0.1, 0.0, 0.2),
        "permuted_mean:S": number(0.49, 0.46, 0.52), "null_means_above_half": number(1, n=20),
        "headline_train": number(0.7, 0.6, 0.8),
        "keeps_on_control_images": number(False), "control_images_words": number("0.52 against 0.80"),
    }  # fmt: skip
    given = Evidence(
        record(), predictions(), pd.DataFrame({"cohort": ["train"], "time": [10.0]}), numbers, {"S": 0.4}, {"S": 0.4},
        1, 2, 0.0, "S", ("label",), True, effect=1.0,
    )  # fmt: skip
    more = changes.pop("numbers", {})
    return dataclasses.replace(given, **changes, numbers={**numbers, **more})


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {one.rule: one.verdict for one in judge(evidence)}


def test_a_clean_run_passes_every_rule() -> None:
    assert verdicts(clean()) == dict.fromkeys(RULES, PASSED)


def changed(**columns: Any) -> pd.DataFrame:
    table = record()
    for name, value in columns.items():
        table.loc[table.index[0] if name in ("shared", "strange") else table.index, name] = value
    return table


VIOLATIONS: dict[str, dict[str, Any]] = {
    "Features are selected inside the folds": {"record": changed(features="one global list")},
    "No fitted object was given a held-out patient": {"record": changed(shared=1)},
    "Imputation and harmonisation are fitted inside the folds": {"record": changed(strange=3)},
    "Other cohorts are scored once": {"predictions": pd.concat([predictions(), predictions()[-1:]])},
    "The threshold is locked before other cohorts are judged": {"locked_at": 3},
    "Ten events or more per candidate parameter, shrinkage 0.9 or more": {"record": changed(given=1000)},
    "As many patients as Riley's criteria ask for": {"record": changed(given=1000)},
    "Calibration is shown": {"numbers": {"headline_train_predicted": {}}},
    "Permuted outcomes are not predicted": {"numbers": {"permuted_mean:S": number(0.6, 0.55, 0.65)}},
    "Where nothing is planted, nothing is found": {"numbers": {"null_means_above_half": number(2, n=20)}},
    "Where something is planted, it is found": {"numbers": {"headline_train": number(0.6, 0.49, 0.71)}},
    "Voxels without their places predict less": {"numbers": {"keeps_on_control_images": number(True)}},
    "A second run gives the same": {"apart": 0.01},
}


@pytest.mark.parametrize("rule", VIOLATIONS)
def test_a_planted_violation_is_caught_by_its_rule(rule: str) -> None:
    assert verdicts(clean(**VIOLATIONS[rule]))[rule] == FAILED


def test_no_comparator_and_a_moved_threshold_are_caught() -> None:
    lone = dataclasses.replace(clean(), numbers={})
    assert verdicts(lone)["A comparator stands beside the signature"] == FAILED
    assert verdicts(clean(recomputed={"S": 0.41}))["The threshold is locked before other cohorts are judged"] == FAILED
    assert set(VIOLATIONS) | {"A comparator stands beside the signature"} == set(RULES)


def test_what_can_not_be_judged_says_why() -> None:
    nothing = Evidence(record().head(0), predictions().head(0), pd.DataFrame({"cohort": []}))
    found = {one.rule: one for one in judge(nothing)}
    unjudged = {rule for rule, one in found.items() if one.verdict == NONE}
    assert unjudged == set(RULES) - {"Calibration is shown", "A comparator stands beside the signature"}
    assert all(one.shown for one in found.values())
    assert found["Permuted outcomes are not predicted"].shown == "no control was run"


def test_findings_are_written_read_and_printed(tmp_path: Path) -> None:
    found = [Finding("R", "a | b", FAILED), Finding("Q", "c", PASSED)]
    table = rigour.write(tmp_path, found)
    assert list(table.columns) == ["rule", "shown", "verdict"]
    assert rigour.read(tmp_path) == found
    assert rigour.failures({"mine": tmp_path, "other": tmp_path / "nothing"}) == ["mine: R: failed (a | b)"]
    words = rigour.markdown(found)
    assert "1 passed, 1 failed, 0 not applicable" in "\n".join(words)
    assert rigour.markdown([]) == []


def test_control_images_that_tell_nothing_are_not_judged() -> None:
    untold = clean(numbers={"keeps_on_control_images": number(None)})
    [found] = [one for one in judge(untold) if one.rule == "Voxels without their places predict less"]
    assert (found.shown, found.verdict) == ("0.52 against 0.80", NONE)


def test_predictions_of_other_settings_count_as_a_second_scoring(tmp_path: Path) -> None:
    own, by_hand, other = (tmp_path / name for name in ("mine", "mine@n_folds-5", "mine2"))
    for folder in (own, by_hand, other):
        folder.mkdir()
    rows = predictions(10)
    assert rigour._versions(own, rows) == rigour._versions(own, rows.sample(frac=1, random_state=0)) == 1
    assert rigour._versions(by_hand, rows) == 1
    assert rigour._versions(other, rows.assign(risk=0.1)) == 1
    assert rigour._versions(by_hand, rows.assign(risk=0.6)) == 2
    assert rigour._versions(own, rows) == 2
    assert rigour._versions(own, rows[rows["kind"] != "external"]) == 0
    assert verdicts(clean(versions=2))["Other cohorts are scored once"] == FAILED
