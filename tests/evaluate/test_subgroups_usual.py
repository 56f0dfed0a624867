"""Usual divisions of the patients, and one signature in their parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import comparators, judged, subgroups
from radsupport.evaluate.subgroups import in_parts, parts, usual
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.parts import Column
from radsupport.stats.roc import auc
from radsupport.stats.table_one import adjust_p

COLUMNS = {
    "sex": Column(source="clinical", kind="category", label="Sex", levels=["f", "m"]),
    "years": Column(source="clinical", kind="number", label="Age", unit="years"),
    "grade": Column(source="clinical", kind="category", label="Grade", levels=["1", "2"]),
}


@pytest.fixture
def cohort() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "subject": [f"s{i:03d}" for i in range(n)],
            "cohort": np.repeat(["train", "external"], 100),
            "center": np.repeat(["a", "b", "c"], [100, 50, 50]),
            "label": rng.integers(0, 2, n),
            "sex": rng.choice(["f", "m"], n),
            "years": rng.integers(40, 80, n).astype(float),
            "grade": rng.choice(["1", "2"], n),
        }
    )


def rows_of(cohort: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    risk = 1 / (1 + np.exp(-(1.5 * cohort["label"] + rng.standard_normal(len(cohort)))))
    kind = np.where(cohort["cohort"] == "train", "out_of_fold", "external")
    table = cohort[["subject", "cohort", "label"]].assign(signature="Image", kind=kind, fold=0.0, risk=risk)
    return judged(table.assign(time=np.nan, event=np.nan), ("label",), ["Image"], ["train", "external"])


def test_patients_are_divided_by_what_is_known_of_them(cohort: pd.DataFrame, tmp_path: Path) -> None:
    given = [Subgroup(column="grade")]
    people, known, found = usual(cohort, COLUMNS, given, tmp_path, {"a": "Center A"})
    assert [one.column for one in found] == ["grade", "sex", "years", "center"]  # no image: neither volume nor scanner
    assert found[2].cut == float(f"{cohort.loc[cohort['cohort'] == 'train', 'years'].median():.3g}")
    assert known["center"].levels == ["Center A", "b", "c"]
    assert people["center"].unique().tolist() == ["Center A", "b", "c"]
    *_, found = usual(cohort, COLUMNS, [Subgroup(column="years", cut=65)], tmp_path, {})
    assert (found[0].column, found[0].cut) == ("years", 65)
    assert [one.column for one in found].count("years") == 1


def test_size_and_slices_come_from_the_scans(
    cohort: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    scans = cohort[["subject"]].assign(
        volume_mm3=rng.uniform(1e3, 9e4, len(cohort)), spacing_z_mm=rng.choice([1, 5], 200)
    )
    (tmp_path / "cases.parquet").touch()
    for module in (comparators, subgroups):  # the whole table of cases has thirty columns
        monkeypatch.setattr(module, "read_table", lambda *_: scans)
    people, known, found = usual(cohort, COLUMNS, [], tmp_path, {})
    assert [one.column for one in found] == ["sex", "years", "center", "volume", "slice_mm"]
    assert people["volume"].tolist() == pytest.approx((scans["volume_mm3"] / 1000).tolist())
    assert (known["volume"].unit, known["slice_mm"].unit) == ("ml", "mm")


def test_one_signature_in_parts_with_holms_adjustment(cohort: pd.DataFrame, tmp_path: Path) -> None:
    rows = rows_of(cohort)
    people, known, divisions = usual(cohort, COLUMNS, [], tmp_path, {})
    divided, tests = parts(rows, people, divisions, known)
    table = in_parts(divided, tests)
    first = table[(table["cohort"] == "train") & (table["part"] == "all patients")].iloc[0]
    train = rows[rows["cohort"] == "train"]
    assert first["value"] == pytest.approx(auc(train["label"].to_numpy(int), train["risk"].to_numpy()).auc)
    women = rows[(rows["cohort"] == "external") & rows["subject"].isin(cohort.loc[cohort["sex"] == "f", "subject"])]
    own = table[(table["cohort"] == "external") & (table["part"] == "f")].iloc[0]
    assert own["value"] == pytest.approx(auc(women["label"].to_numpy(int), women["risk"].to_numpy()).auc)
    assert (own["n"], own["events"]) == (len(women), women["label"].sum())
    assert not ((table["cohort"] == "train") & (table["column"] == "center")).any()  # one center only
    outside = table[(table["cohort"] == "external") & (table["column"] != "")].drop_duplicates("column")
    assert outside["p_adjusted"].tolist() == pytest.approx(list(adjust_p(outside["p_interaction"], "holm")))
