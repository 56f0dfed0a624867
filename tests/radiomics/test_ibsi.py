"""IBSI's digital phantom and CT phantom against the reference values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.radiomics.ibsi import CONFIGURATIONS, compliance, ibsi_interpolation, local_phantom


@pytest.fixture(scope="module")
def table(shared: Path) -> pd.DataFrame:
    return compliance(shared / "real" / "ibsi1_ct_phantom" / "nifti")


def test_the_digital_phantom_is_compared_without_further_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RADSUPPORT_DATA", raising=False)
    found = compliance()
    assert set(found["configuration"]) == {"digital phantom"}
    assert found["status"].value_counts().to_dict() == {"within tolerance": 99, "documented difference": 3}
    values = found.set_index(["class", "feature"])["value"]
    assert values["shape", "MeshVolume"] == pytest.approx(556.3333333)
    assert values["first order", "Kurtosis"] - 3 == pytest.approx(-0.355, abs=5e-4)
    # 74 voxels: the covariance divided by N - 1 instead of N
    assert values["shape", "MinorAxisLength"] * np.sqrt(74 / 73) == pytest.approx(9.31, abs=0.06)
    assert values["shape", "LeastAxisLength"] * np.sqrt(74 / 73) == pytest.approx(8.54, abs=0.05)


def test_the_scan_may_be_left_out(table: pd.DataFrame, shared: Path) -> None:
    alone = compliance(shared / "real" / "ibsi1_ct_phantom" / "nifti", scan=False)
    pd.testing.assert_frame_equal(alone, table[table["configuration"] == "digital phantom"])


def test_every_difference_has_its_reason(table: pd.DataFrame) -> None:
    assert table.groupby("configuration").size().to_dict() == dict.fromkeys(CONFIGURATIONS, 102)
    assert not (table["status"] == "difference").any()
    documented = table[table["status"] == "documented difference"]
    assert documented["reason"].str.len().gt(20).all()
    counts = documented.groupby("configuration").size().to_dict()
    assert counts == {"digital phantom": 3, "A": 1, "B": 1, "C": 23, "D": 1}


def test_the_reasons_explain_the_differences_in_numbers(table: pd.DataFrame) -> None:
    kurtosis = table[table["feature"] == "Kurtosis"]
    assert ((kurtosis["value"] - 3 - kurtosis["reference"]).abs() <= kurtosis["tolerance"] + 6e-4).all()
    c = table[table["configuration"] == "C"].set_index(["class", "feature"])
    average, autocorrelation = c.loc[("GLCM", "JointAverage"), "value"], c.loc[("GLCM", "Autocorrelation"), "value"]
    shift = 2  # bins of 25 HU between -1000 HU and the lowest bin that occurs
    for feature, value in (
        ("JointAverage", average + shift),
        ("SumAverage", 2 * (average + shift)),
        ("Autocorrelation", autocorrelation + 2 * shift * average + shift**2),
    ):
        row = c.loc[("GLCM", feature)]
        assert abs(value - row["reference"]) <= row["tolerance"], feature


def test_reference_values_are_those_of_the_published_tables(shared: Path, root: Path) -> None:
    shipped = pd.read_csv(root / "radsupport" / "radiomics" / "data" / "ibsi" / "reference_values.csv")
    folder = shared / "reference" / "ibsi_reference_values" / "ibsi1"
    files = {"digital phantom": "dig_phantom", **{c: f"chest_config_{c.lower()}" for c in "ABCD"}}
    for name, stem in files.items():
        with (folder / f"ibsi_1_{stem}.csv").open() as stream:
            published = {row["tag"]: row for row in csv.DictReader(stream, delimiter=";")}
        rows = shipped[shipped["configuration"] == name]
        assert len(rows) == 102
        for row in rows.itertuples():
            assert row.reference == float(published[row.source_tag]["reference value"])
            assert row.tolerance == float(published[row.source_tag]["tolerance"])


def test_configurations_are_described_and_classes_named(table: pd.DataFrame) -> None:
    described = table.groupby("configuration", sort=False)["processing"].unique()
    assert list(described.index) == list(CONFIGURATIONS)
    assert [one[0] for one in described] == [one.description for one in CONFIGURATIONS.values()]
    assert {"first order", "GLCM", "shape"} <= set(table["class"])
    assert table["class"].notna().all()


def test_the_local_folder_of_public_data_is_found(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RADSUPPORT_DATA", str(shared / "real"))
    assert local_phantom() == shared / "real" / "ibsi1_ct_phantom" / "nifti"
    monkeypatch.setenv("RADSUPPORT_DATA", str(shared))
    assert local_phantom() is None


def test_a_folder_without_the_phantom_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"image.phantom.nii.gz"):
        compliance(tmp_path)


def test_interpolation_follows_ibsis_grid() -> None:
    array = np.arange(4 * 5 * 7, dtype=np.float32).reshape(4, 5, 7)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    mask = sitk.GetImageFromArray(np.ones(array.shape, np.uint8))
    mask.CopyInformation(image)
    moved, kept = ibsi_interpolation(image, mask, (2, 2, 0))
    assert moved.GetSize() == (4, 3, 4)
    middle = [(n - 1) / 2 for n in image.GetSize()]
    new_middle = [(n - 1) / 2 for n in moved.GetSize()]
    assert moved.TransformContinuousIndexToPhysicalPoint(new_middle) == pytest.approx(
        image.TransformContinuousIndexToPhysicalPoint(middle)
    )
    values = sitk.GetArrayFromImage(moved)
    np.testing.assert_array_equal(values, np.round(values))
    assert sitk.GetArrayFromImage(kept).all()
