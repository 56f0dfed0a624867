"""The four tables between chapters, the chapter files, and the tables of choices that are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import ContractError, InputError
from radsupport.settings.learning import Signature
from radsupport.tables import (
    COLUMNS,
    Variant,
    compared_signatures,
    read_chapter_json,
    read_table,
    validate_table,
    variant_table,
    write_chapter_json,
    write_fold_tables,
    write_table,
    write_variants,
)


def cohort() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": ["a", "b", "c"],
            "center": ["X", "X", "Y"],
            "cohort": ["train", "train", "segmentation"],
            "label": [0, 1, np.nan],
            "time": [12.0, 3.5, np.nan],
            "event": [0, 1, np.nan],
            "grade": pd.Categorical(["Low", "High", None], ["Low", "High"]),
        }
    )


def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": ["a", "b"],
            "cohort": "train",
            "signature": "Radiomics",
            "kind": "out_of_fold",
            "fold": [1, 2],
            "risk": [0.1, 0.9],
            "label": [0, 1],
        }
    )


def cases() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "subject": ["a", "a"],
            "phase": ["arterial", "venous"],
            "image": ["i.nii.gz", None],
            "mask": ["m.nii.gz", None],
            "voxels": [812, np.nan],
            "spacing_x_mm": [1.0, np.nan],
            "hu_mean": [61.0, np.nan],
            "exclusion": ["", "the mask is empty"],
        }
    )


def features() -> pd.DataFrame:
    return pd.DataFrame({"subject": ["a", "b"], "ct__volume": [3, 4], "ct__mean": [0.5, np.nan]})


TABLES = {"cohort": cohort, "cases": cases, "features_radiomics": features, "predictions": predictions}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_written_is_read_again(name: str, tmp_path: Path) -> None:
    table = TABLES[name]()
    path = write_table(table, name, tmp_path / "results")
    again = read_table(name, tmp_path / "results")
    pd.testing.assert_frame_equal(again, table, check_dtype=False)
    assert [p.name for p in path.parent.iterdir()] == [f"{name}.parquet"]


def test_files_of_cases_are_written_relative_to_their_project(tmp_path: Path) -> None:
    old, new = tmp_path / "old place", tmp_path / "neuer Ort"
    elsewhere = tmp_path / "archive" / "s.nii.gz"
    table = cases().assign(
        image=[str(old / "results" / "ü" / "i.nii.gz"), None], source_mask=[str(elsewhere), ""], noise_hu=[7.5, np.nan]
    )
    write_table(table, "cases", old / "results" / "mine", old)
    kept = read_table("cases", old / "results" / "mine")
    assert list(kept["image"]) == ["results/ü/i.nii.gz", None]
    assert list(kept["source_mask"]) == [str(elsewhere), ""]
    pd.testing.assert_frame_equal(read_table("cases", old / "results" / "mine", old), table.assign(
        mask=[str(old / "m.nii.gz"), None]), check_dtype=False)  # fmt: skip
    old.rename(new)
    moved = read_table("cases", new / "results" / "mine", new)
    assert moved["image"][0] == str(new / "results" / "ü" / "i.nii.gz")
    assert moved["source_mask"][0] == str(elsewhere)


def test_types_are_those_of_the_contract() -> None:
    assert validate_table(features(), "features_deep").dtypes["ct__volume"] == "float64"
    assert validate_table(cohort(), "cohort").dtypes["label"] == "float64"


def test_all_problems_of_a_cohort_are_listed_at_once() -> None:
    table = cohort().assign(
        subject=["a", "a", "c"], cohort=["train", "test", "train"], label=[0, 2, np.nan], time=[12.0, -1.0, np.nan]
    )
    with pytest.raises(ContractError) as caught:
        validate_table(table.drop(columns="center"), "cohort", "cohort.parquet")
    text = str(caught.value)
    for part in (
        "column center] this column is missing",
        "row 2, 3, column subject, value a] the same subject twice",
        "row 3, column cohort, value test] a cohort other than",
        "row 3, column label, value 2.0] a value other than 0 and 1",
        "row 3, column time, value -1.0] a negative follow-up",
        "row 4] a subject without label and without time and event",
    ):
        assert part in text
    assert len(caught.value.problems) == 6
    assert all(problem.file == "cohort.parquet" for problem in caught.value.problems)


def test_time_without_event_is_refused() -> None:
    with pytest.raises(ContractError, match="time without event"):
        validate_table(cohort().assign(event=[0, np.nan, np.nan]), "cohort")


@pytest.mark.parametrize(
    ("name", "table", "part"),
    [
        ("cohort", cohort().assign(event=[1.0, 0.0, np.nan], competing=[1.0, 1.0, np.nan]), "a competing event (1) be"),
        ("cohort", cohort().assign(competing=2.0), "column competing, value 2.0] a value other than 0 and 1"),
        ("features_x", features().assign(age=[60, 61]), "column age] this column does not belong here"),
        ("features_x", features().assign(ct__mean=[0.5, np.inf]), "column ct__mean, value inf] an infinite value"),
        ("features_x", features().assign(ct__mean=["0.5", "x"]), "not of type 'float64'"),
        ("features_x", features().assign(subject=["a", "a"]), "the same subject twice"),
        ("features_x", features().assign(subject=["a", ""]), "an empty text"),
        ("features_x", features().drop(columns="subject"), "subject"),
        ("cases", cases().assign(phase="arterial"), "the same key twice"),
        ("cases", cases().assign(spacing_x_mm=[0.0, 1.0]), "a spacing that is not positive"),
        ("predictions", predictions().assign(risk=[0.1, np.nan]), "column risk] a missing value"),
        ("predictions", predictions().assign(kind="train"), "a kind other than"),
        ("predictions", predictions().assign(subject="a"), "the same key twice"),
    ],
)
def test_each_rule_is_kept(name: str, table: pd.DataFrame, part: str) -> None:
    with pytest.raises(ContractError) as caught:
        validate_table(table, name)
    assert part in str(caught.value)


def test_a_refused_table_leaves_the_old_file(tmp_path: Path) -> None:
    write_table(predictions(), "predictions", tmp_path)
    before = (tmp_path / "predictions.parquet").read_bytes()
    with pytest.raises(ContractError):
        write_table(predictions().drop(columns="risk"), "predictions", tmp_path)
    assert (tmp_path / "predictions.parquet").read_bytes() == before


def test_missing_or_foreign_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="run the chapter that writes it"):
        read_table("cohort", tmp_path)
    with pytest.raises(ContractError, match=r"features_<source>"):
        read_table("cohorts", tmp_path)
    (tmp_path / "cohort.parquet").write_text("no parquet", encoding="utf-8")
    with pytest.raises(ContractError, match="can not be read"):
        read_table("cohort", tmp_path)


@settings(max_examples=40, deadline=None)  # pandera is slow on a busy machine
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 500), st.sampled_from([0.0, 1.0])), min_size=1, max_size=20
    )
)
def test_every_complete_outcome_is_a_valid_cohort(outcomes: list[tuple[float, float, float]]) -> None:
    table = pd.DataFrame(outcomes, columns=["label", "time", "event"])
    table.insert(0, "subject", [f"s{i}" for i in range(len(table))])
    table = table.assign(center="X", cohort="train")
    pd.testing.assert_frame_equal(validate_table(table, "cohort"), table)


def test_chapter_file_keeps_numbers_seed_versions_and_hashes(tmp_path: Path) -> None:
    source = tmp_path / "predictions.parquet"
    write_table(predictions(), "predictions", tmp_path)
    values = {
        "auc": {"value": np.float64(0.81), "n": np.int64(74), "ci_low": 0.7, "ci_high": np.nan},
        "names": ("a", np.bool_(True)),
    }
    path = write_chapter_json(tmp_path, "06_validation", values, seed=7, inputs=[source])
    content = read_chapter_json(tmp_path, "06_validation")
    assert content["numbers"]["auc"] == {"value": 0.81, "n": 74, "ci_low": 0.7, "ci_high": None}
    assert content["numbers"]["names"] == ["a", True]
    assert (content["seed"], content["chapter"]) == (7, "06_validation")
    assert content["versions"]["numpy"] == np.__version__
    assert len(content["inputs"]["predictions.parquet"]) == 64
    before = path.read_bytes()
    write_chapter_json(tmp_path, "06_validation", values, seed=7, inputs=[source])
    assert path.read_bytes() == before


def test_chapter_file_refuses_what_json_can_not_hold(tmp_path: Path) -> None:
    with pytest.raises(ContractError) as caught:
        write_chapter_json(tmp_path, "x", {"a": [1, {2}], "b": pd.Series([1])}, inputs=[tmp_path / "none.csv"])
    assert {problem.column for problem in caught.value.problems} == {"", "a[1]", "b"}
    assert not list(tmp_path.iterdir())


def test_chapter_file_that_is_missing_or_broken(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="run the chapter"):
        read_chapter_json(tmp_path, "01_cohort")
    (tmp_path / "01_cohort.json").write_text("{", encoding="utf-8")
    with pytest.raises(ContractError, match="no valid JSON"):
        read_chapter_json(tmp_path, "01_cohort")
    (tmp_path / "01_cohort.json").write_text(json.dumps({"chapter": 1}), encoding="utf-8")
    with pytest.raises(ContractError, match="keys are missing"):
        read_chapter_json(tmp_path, "01_cohort")


def features_of(value: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"subject": ["a", "b"], "ct__mean": [value, float("nan")]})


def variant(name: str = "rough box", group: str = "roi", **others: Any) -> Variant:
    given = {"description": "d", "source": "radiomics", "signatures": ("R",), "features": features_of()}
    return Variant(name, group, **{**given, **others})


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_table_is_named_by_source_group_and_name() -> None:
    assert variant(group="ROI", name="A & B", source="deep").table == "features_deep_roi_a_b"


def test_signatures_compared_are_those_wanted_or_the_first_on_the_source_alone() -> None:
    signatures = [
        Signature(name="both", sources=["radiomics", "clinical"]),
        Signature(name="stack", sources=["radiomics"], combines=["both"]),
        Signature(name="first", sources=["radiomics"]),
        Signature(name="second", sources=["radiomics"]),
    ]
    assert compared_signatures(signatures, "radiomics", []) == ("first",)
    assert compared_signatures(signatures, "radiomics", ["second", "both"]) == ("second", "both")
    assert compared_signatures(signatures, "deep", []) == ()


def test_one_row_per_choice_and_signature_by_group_in_the_order_given() -> None:
    table = variant_table(
        [
            variant(),
            variant("mean", "aggregation"),
            variant("shifted", signatures=("R", "S")),
            variant("unused", signatures=()),
        ]
    )
    assert list(table.columns) == COLUMNS
    rows = table[["group", "variant", "signature"]].to_numpy().tolist()
    assert rows == [
        ["aggregation", "mean", "R"],
        ["roi", "rough box", "R"],
        ["roi", "shifted", "R"],
        ["roi", "shifted", "S"],
    ]
    assert table["table"].iloc[1] == "features_radiomics_roi_rough_box"
    empty = variant_table([])
    assert list(empty.columns) == COLUMNS
    assert empty.empty


@pytest.mark.parametrize("names", [("rough box", "rough box"), ("-1 mm", "+1 mm"), ("A&V", "a v")])
def test_choices_that_would_overwrite_each_other_are_refused_before_anything_is_removed(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    write_variants(tmp_path, "03_radiomics", [variant("kept")])
    before = names_in(tmp_path)
    with pytest.raises(InputError, match="one file"):
        write_variants(tmp_path, "03_radiomics", [variant(name) for name in names])
    assert names_in(tmp_path) == before
    # the same name in two groups is two files
    assert len(write_variants(tmp_path, "03_radiomics", [variant(names[0]), variant(names[0], "scanner")])) == 2


def test_what_is_written_is_read_back_and_failed_cases_stay(tmp_path: Path) -> None:
    icc = pd.DataFrame({"feature": ["ct__mean"], "icc": [0.9]})
    one = variant(by_fold={0: features_of(2), 1: features_of(3)}, icc=icc)
    listed = write_variants(tmp_path, "03_radiomics", [one])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "variants_03_radiomics.csv"), listed)
    pd.testing.assert_frame_equal(read_table(one.table, tmp_path), features_of())
    assert read_table(f"{one.table}_fold1", tmp_path)["ct__mean"].iloc[0] == 3
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "icc_radiomics_roi_rough_box.csv"), icc)


def test_nothing_of_an_earlier_run_is_left_and_nothing_else_is_touched(tmp_path: Path) -> None:
    icc = pd.DataFrame({"feature": ["ct__mean"], "icc": [0.9]})
    for name in ("features_radiomics.parquet", "icc_radiomics.csv", "features_radiomics_roi_rough_boxes.parquet"):
        (tmp_path / name).touch()
    others = names_in(tmp_path)
    write_variants(tmp_path, "04_deep_features", [variant("other", source="deep")])
    elsewhere = names_in(tmp_path) - others
    write_variants(tmp_path, "03_radiomics", [variant(by_fold={0: features_of()}, icc=icc), variant("shifted")])
    assert len(names_in(tmp_path)) == 3 + 2 + 5
    write_variants(tmp_path, "03_radiomics", [variant("shifted")])
    left = {"variants_03_radiomics.csv", "features_radiomics_roi_shifted.parquet"}
    assert names_in(tmp_path) == others | elsewhere | left
    assert write_variants(tmp_path, "03_radiomics", []).empty
    assert names_in(tmp_path) == others | elsewhere


def test_a_choice_that_no_signature_is_judged_on_leaves_no_file_that_nobody_would_remove(tmp_path: Path) -> None:
    write_variants(tmp_path, "03_radiomics", [variant(signatures=())])
    assert names_in(tmp_path) == set()


def test_tables_of_folds_that_are_no_more_are_removed(tmp_path: Path) -> None:
    write_fold_tables(tmp_path, "features_deep", {k: features_of(k) for k in range(3)})
    write_fold_tables(tmp_path, "features_other", {2: features_of()})
    write_fold_tables(tmp_path, "features_deep", {0: features_of(9)})
    assert names_in(tmp_path) == {"features_deep_fold0.parquet", "features_other_fold2.parquet"}
    assert read_table("features_deep_fold0", tmp_path)["ct__mean"].iloc[0] == 9
