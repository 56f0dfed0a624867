"""Choices compared: names of files, one row per signature, and nothing left of an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from radsupport.errors import InputError
from radsupport.settings.learning import Signature
from radsupport.tables import (
    COLUMNS,
    Variant,
    compared_signatures,
    read_table,
    slug,
    variant_table,
    write_fold_tables,
    write_variants,
)


def features(value: float = 1.0) -> pd.DataFrame:
    return pd.DataFrame({"subject": ["a", "b"], "ct__mean": [value, float("nan")]})


def variant(name: str = "rough box", group: str = "roi", **others: Any) -> Variant:
    given = {"description": "d", "source": "radiomics", "signatures": ("R",), "features": features()}
    return Variant(name, group, **{**given, **others})


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("rough box", "rough_box"), ("A&V", "a_v"), ("  Shifted, 3 mm ", "shifted_3_mm"), ("+1", "1"), ("ROI", "roi")],
)
def test_slug_is_safe_in_a_file_name(text: str, expected: str) -> None:
    assert slug(text) == expected
    assert slug(expected) == expected


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
    one = variant(by_fold={0: features(2), 1: features(3)}, icc=icc)
    listed = write_variants(tmp_path, "03_radiomics", [one])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "variants_03_radiomics.csv"), listed)
    pd.testing.assert_frame_equal(read_table(one.table, tmp_path), features())
    assert read_table(f"{one.table}_fold1", tmp_path)["ct__mean"].iloc[0] == 3
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "icc_radiomics_roi_rough_box.csv"), icc)


def test_nothing_of_an_earlier_run_is_left_and_nothing_else_is_touched(tmp_path: Path) -> None:
    icc = pd.DataFrame({"feature": ["ct__mean"], "icc": [0.9]})
    for name in ("features_radiomics.parquet", "icc_radiomics.csv", "features_radiomics_roi_rough_boxes.parquet"):
        (tmp_path / name).touch()
    others = names_in(tmp_path)
    write_variants(tmp_path, "04_deep_features", [variant("other", source="deep")])
    elsewhere = names_in(tmp_path) - others
    write_variants(tmp_path, "03_radiomics", [variant(by_fold={0: features()}, icc=icc), variant("shifted")])
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
    write_fold_tables(tmp_path, "features_deep", {k: features(k) for k in range(3)})
    write_fold_tables(tmp_path, "features_other", {2: features()})
    write_fold_tables(tmp_path, "features_deep", {0: features(9)})
    assert names_in(tmp_path) == {"features_deep_fold0.parquet", "features_other_fold2.parquet"}
    assert read_table("features_deep_fold0", tmp_path)["ct__mean"].iloc[0] == 9
