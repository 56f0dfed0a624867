"""Agreement of readers and changes: no change costs nothing, a larger one costs more, and no case is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.outlines import SMALL
from scipy import ndimage

from radsupport.data.scans import compared_regions, model_cases
from radsupport.errors import InputError
from radsupport.imaging.regions import shift_roi
from radsupport.radiomics.agreement import (
    agreement,
    by_perturbation,
    correlations,
    count_features,
    extract_perturbed,
    icc_shares,
    icc_summary,
    perturbed,
    standard_perturbations,
)
from radsupport.radiomics.case import Perturbation
from radsupport.radiomics.extract import extract
from radsupport.settings.features import ToolkitFamily
from radsupport.settings.study import Study
from radsupport.stats.agreement import icc

SHAPE = (14, 30, 32)
SETTINGS = {
    "imageType": {"Original": {}},
    "featureClass": {
        "firstorder": ["Mean", "Variance", "Skewness", "10Percentile", "Uniformity"],
        "shape": ["VoxelVolume"],
        "glcm": ["Contrast", "Correlation"],
    },
}
VOLUME, MEAN = "original_shape_VoxelVolume", "original_firstorder_Mean"


def written(array: np.ndarray, path: Path) -> str:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return str(path)


def a_case(folder: Path, i: int, phase: str) -> dict[str, Any]:
    """Return a textured tumour, its careful outline, and rough quadrilaterals on three slices that follow it badly."""
    rng = np.random.default_rng([i, len(phase)])
    smooth = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1.2)
    image = (60 + 6 * i + (12 + 4 * (i % 3)) * smooth / smooth.std() + rng.normal(0, 5, SHAPE)).astype(np.float32)
    mask, rough = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    mask[((z - 7) / 4) ** 2 + ((y - 15) / 6) ** 2 + ((x - 16) / 7) ** 2 <= 1] = 1
    rough[3, 12:18, 13:19], rough[7, 8:22, 9 + i % 2 : 24], rough[11, 13:17, 14:18] = 1, 1, 1
    stem = f"s{i}_{phase}"
    image_path = written(image, folder / f"{stem}.nii.gz")
    mask_path = written(mask, folder / f"{stem}_mask.nii.gz")
    rough_path = written(rough, folder / f"{stem}_rough.nii.gz")
    row = {
        "subject": f"s{i}",
        "phase": phase,
        "cohort": "train",
        "exclusion": "",
        "image": "preprocessed",
        "mask": "no",
    }
    return row | {"source_image": image_path, "source_mask": mask_path, "source_roi_rough": rough_path}


@pytest.fixture
def cases(tmp_path: Path) -> pd.DataFrame:
    return pd.DataFrame([a_case(tmp_path, i, phase) for i in range(6) for phase in ("arterial", "venous")])


def a_study(**radiomics: Any) -> Study:
    phase = {"name": "n", "short": "s", "window": {"level": 40, "width": 400}}
    given = {
        "id": "small", "title": "t", "question": "q", "seed": 3, "data": {"kind": "real"},
        "endpoint": {"primary": "label", "label": {"column": "label", "name": "n", "positive": "p", "negative": "n"}},
        "cohorts": {"train": {"name": "A", "centers": ["a"]}},
        "phases": {"arterial": phase, "venous": phase},
        "signatures": [{"name": "R", "sources": ["radiomics"], "phases": ["arterial"]},
                       {"name": "B", "sources": ["radiomics"]}],
        "radiomics": {"settings": "tiny.yaml", **radiomics},
    }  # fmt: skip
    return Study.model_validate(given)


def survival(cases: pd.DataFrame, changes: list[Perturbation], threshold: float = 0.9) -> pd.DataFrame:
    used = cases[cases["phase"] == "arterial"].assign(image=cases["source_image"], mask=cases["source_mask"])
    features, _ = extract_perturbed(used, SETTINGS, [Perturbation("unchanged"), *changes], progress=False)
    return by_perturbation(features, threshold).set_index("perturbation")


def test_a_change_of_size_zero_gives_icc_1_in_every_feature(cases: pd.DataFrame) -> None:
    nothing = Perturbation("nothing", shift_voxels=(0.0, 0.0, 0.0), noise=0.0, margin_mm=0.0, seed=8)
    used = cases[cases["phase"] == "arterial"].assign(image=cases["source_image"], mask=cases["source_mask"])
    # outlines differ in size, so that the volume has an ICC at all
    used.loc[used.index[0], "mask"] = cases["source_roi_rough"].iloc[1]
    features, _ = extract_perturbed(used, SETTINGS, [Perturbation("unchanged"), nothing], progress=False)
    found = agreement(features)
    assert len(found) == 8
    assert (found["icc"] == 1).all()
    assert (found["n"] == 6).all()
    row = by_perturbation(features, threshold=1.0).iloc[0]
    assert (row["perturbation"], row["patients"], row["features"], row["reproducible"]) == ("nothing", 6, 8, 8)
    assert (row["share"], row["median_icc"]) == (1, 1)


@pytest.mark.parametrize(
    "changes",
    [
        [Perturbation(f"noise {sd}", noise=sd, seed=1) for sd in (0.2, 1.5, 12.0)],
        [Perturbation(f"grown {mm}", margin_mm=mm) for mm in (1.0, 3.0, 6.0)],
        [Perturbation(f"shift {by}", shift_voxels=(by, by, by)) for by in (0.02, 0.2, 0.5)],
    ],
    ids=["noise", "growth", "shift"],
)
def test_a_larger_change_leaves_fewer_features(cases: pd.DataFrame, changes: list[Perturbation]) -> None:
    found = survival(cases, changes, threshold=0.97)
    assert found["share"].is_monotonic_decreasing
    assert found["share"].iloc[0] > found["share"].iloc[-1]
    assert found["median_icc"].iloc[0] > found["median_icc"].iloc[-1]
    assert (found["share"] == found["reproducible"] / 8).all()


def test_each_change_is_a_reader_of_the_icc() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.normal(size=(7, 1)) + 0.4 * rng.normal(size=(7, 3))
    names = ["unchanged", "noise", "grown"]
    rows = [
        {"subject": f"s{i}", "perturbation": name, f"ct__{MEAN}": ratings[i, k]}
        for k, name in enumerate(names)
        for i in rng.permutation(7)
    ]
    features = pd.DataFrame(rows)
    found, expected = agreement(features).iloc[0], icc(ratings).set_index("kind").loc["ICC(2,1)"]
    assert found[["icc", "ci_low", "ci_high"]].tolist() == pytest.approx(
        expected[["icc", "ci_low", "ci_high"]].tolist()
    )
    assert (found["feature"], found["feature_class"], found["image_type"]) == (f"ct__{MEAN}", "firstorder", "original")
    other = agreement(features, kind="ICC(3,1)").iloc[0]["icc"]
    assert other == pytest.approx(icc(ratings).set_index("kind").loc["ICC(3,1)", "icc"])
    pairs = by_perturbation(features, 0.8).set_index("perturbation")["median_icc"]
    assert list(pairs.index) == ["noise", "grown"]
    for k, name in enumerate(names[1:], start=1):
        both = icc(ratings[:, [0, k]]).set_index("kind").loc["ICC(2,1)", "icc"]
        assert pairs[name] == pytest.approx(both)


def test_a_case_that_fails_after_one_change_is_missing_there_alone() -> None:
    rows = [
        {"subject": f"s{i}", "perturbation": name, f"ct__{MEAN}": float(i), f"ct__{VOLUME}": np.nan}
        for name in ("unchanged", "noise", "grown")
        for i in range(5)
    ]
    features = pd.DataFrame(rows)
    features.loc[(features["perturbation"] == "grown") & (features["subject"] == "s4"), f"ct__{MEAN}"] = np.nan
    found = by_perturbation(features, 0.8).set_index("perturbation")
    assert found["patients"].to_dict() == {"noise": 5, "grown": 4}
    # a feature without an ICC counts, and not as reproducible
    assert (found["features"] == 2).all()
    assert (found["share"] == 0.5).all()
    assert agreement(features)["n"].tolist() == [4, 0]
    with pytest.raises(InputError, match="unchanged"):
        by_perturbation(features[features["perturbation"] == "noise"], 0.8)


def test_perturbed_draws_training_patients_and_keeps_who_fails(cases: pd.DataFrame, tmp_path: Path) -> None:
    cases.loc[cases["subject"] == "s0", "cohort"] = "external"
    cases.loc[cases["subject"] == "s1", "exclusion"] = "no tumour"
    Path(cases.loc[(cases["subject"] == "s2") & (cases["phase"] == "venous"), "source_image"].iloc[0]).write_text("x")
    study, options = a_study(), {"cache": tmp_path / "cache", "progress": False}
    found = perturbed(model_cases(study, cases, ("train",)), SETTINGS, patients=2, seed=3, **options)
    assert sorted(found["subject"].unique()) == ["s2", "s5"]  # drawn with the seed, of s2 to s5
    mixed = model_cases(study, cases.sample(frac=1, random_state=0), ("train",))
    again = perturbed(mixed, SETTINGS, patients=2, seed=3, **options)
    assert set(again["subject"]) == {"s2", "s5"}
    assert list(found["perturbation"].unique()) == [one.name for one in standard_perturbations()]
    values = found.set_index("subject").drop(columns="perturbation")
    assert values.filter(like="arterial__").notna().all(axis=None)
    assert values.loc["s2"].filter(like="venous__").isna().all(axis=None)
    assert values.loc["s5"].notna().all(axis=None)
    volume = found.set_index(["subject", "perturbation"])[f"arterial__{VOLUME}"]["s5"]
    assert volume["outline -1 mm"] < volume["unchanged"] == volume["noise"] < volume["outline +1 mm"]


def test_nothing_is_perturbed_where_nobody_is_asked_for(cases: pd.DataFrame) -> None:
    found = perturbed(cases, SETTINGS, patients=0, seed=3)
    assert (list(found.columns), len(found)) == (["subject", "perturbation"], 0)
    assert perturbed(cases.assign(mask=None), SETTINGS, patients=2, seed=3).empty


COMPARE = [
    {"group": "roi", "name": "rough box", "set": {"roi": "rough"}},
    {"group": "roi", "name": "shifted", "set": {"shift_mm": [3, 0, 0]}},
    {"group": "roi", "name": "enlarged", "set": {"enlarge_mm": 2}},
]


def test_each_region_is_measured_in_the_phases_of_the_signatures_compared(cases: pd.DataFrame, tmp_path: Path) -> None:
    study = a_study(compare=COMPARE)
    found = list(compared_regions(study, cases, tmp_path / "regions"))
    assert [variant.name for variant, _, _ in found] == ["rough box", "shifted", "enlarged"]
    assert {(variant.signatures, file) for variant, file, _ in found} == {(("R",), "tiny.yaml")}
    measured = [extract(drawn, SETTINGS, progress=False) for _, _, drawn in found]
    assert [(len(log), set(log["status"])) for _, log in measured] == [(6, {"ok"})] * 3
    assert all(name.startswith(("subject", "arterial__")) for table, _ in measured for name in table.columns)
    rough, shifted, enlarged = (table.set_index("subject") for table, _ in measured)
    # slices 3 to 11, rows 8 to 21, columns from 9 or 10 to 23: the box around the three quadrilaterals, filled
    assert rough[f"arterial__{VOLUME}"].tolist() == [9 * 14 * (15 - i % 2) for i in range(6)]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(cases["source_mask"].iloc[0])) > 0
    image = sitk.GetArrayFromImage(sitk.ReadImage(cases["source_image"].iloc[0]))
    moved = np.roll(mask, 3, axis=2)
    assert shifted.loc["s0", f"arterial__{MEAN}"] == pytest.approx(image[moved].mean(), rel=1e-5)
    assert shifted.loc["s0", f"arterial__{VOLUME}"] == mask.sum()
    near = ndimage.distance_transform_edt(~mask) <= 2
    assert enlarged.loc["s0", f"arterial__{VOLUME}"] == near.sum()
    ((_, _, both),) = compared_regions(a_study(compare=COMPARE[:1], compare_on=["B"]), cases, tmp_path / "regions")
    assert len(both) == 12
    assert list(compared_regions(a_study(), cases, tmp_path)) == []
    assert list(compared_regions(a_study().model_copy(update={"radiomics": None}), cases, tmp_path)) == []


def test_a_region_that_can_not_be_made_is_a_failed_case_and_stops_nobody(cases: pd.DataFrame, tmp_path: Path) -> None:
    compare = [{"group": "roi", "name": "far", "set": {"shift_mm": [8, 0, 0]}}]
    moved = written(np.roll(np.asarray(_mask(cases, 0)), 2, axis=2), tmp_path / "moved.nii.gz")
    empty = written(np.zeros(SHAPE, np.uint8), tmp_path / "empty.nii.gz")
    arterial = cases.index[cases["phase"] == "arterial"]
    cases.loc[arterial[0], "source_mask"] = moved
    cases.loc[arterial[1], "source_mask"] = empty
    cases.loc[arterial[2], "exclusion"] = "no tumour"
    ((_, _, drawn),) = compared_regions(a_study(compare=compare), cases, tmp_path / "regions")
    features, log = extract(drawn, SETTINGS, progress=False)
    values = features.set_index("subject")
    assert list(values.index) == [f"s{i}" for i in range(6)]
    assert values.isna().all(axis=1).tolist() == [True, True, True, False, False, False]
    assert log["status"].value_counts().to_dict() == {"failed": 3, "ok": 3}


def _mask(cases: pd.DataFrame, row: int) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(cases["source_mask"].iloc[row]))


def test_perturbed_tables_have_one_block_per_change(scan: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
    sitk.WriteImage(scan[0], str(tmp_path / "i.nii.gz"))
    sitk.WriteImage(scan[1], str(tmp_path / "m.nii.gz"))
    sitk.WriteImage(shift_roi(scan[1], (2, 0, 0)), str(tmp_path / "m2.nii.gz"))
    paths = {"image": str(tmp_path / "i.nii.gz"), "phase": "ct"}
    table = pd.DataFrame(
        [{"subject": s, "mask": str(tmp_path / m), **paths} for s, m in (("a", "m.nii.gz"), ("b", "m2.nii.gz"))]
    )
    features, log = extract_perturbed(table, SMALL, standard_perturbations(), cache=tmp_path / "cache", progress=False)
    names = [one.name for one in standard_perturbations()]
    assert list(features["perturbation"]) == [name for name in names for _ in range(2)]
    assert features.filter(like="ct__").notna().all(axis=None)
    assert (log["status"] != "failed").all()
    again, log = extract_perturbed(table, SMALL, standard_perturbations(), cache=tmp_path / "cache", progress=False)
    assert log["cached"].all()
    pd.testing.assert_frame_equal(features, again, check_exact=True)
    with pytest.raises(InputError, match="names of their own"):
        extract_perturbed(table, SMALL, [Perturbation("a"), Perturbation("a", noise=1.0)])


def test_shares_are_counted_by_class_and_filter() -> None:
    names = [f"a__{i}_{c}" for i in ("original", "wavelet-LLL") for c in ("glcm_Contrast", "firstorder_Mean")]
    table = pd.DataFrame({"feature": names, "icc": [0.9, 0.7, 0.85, np.nan]})
    found = icc_shares(table, [0.0, 0.8])
    by_class = found[found["by"] == "class"].set_index(["feature_class", "icc"])
    assert by_class.loc[("GLCM", 0.8), ["n", "share"]].tolist() == [2, 1]
    assert by_class.loc[("first order", 0.8), ["n", "share"]].tolist() == [2, 0]
    assert by_class.loc[("first order", 0.0), ["n", "share"]].tolist() == [2, 0.5]
    by_filter = found[(found["by"] == "filter") & (found["icc"] == 0.8)].set_index("feature_class")
    assert by_filter["share"].to_dict() == {"original": 0.5, "wavelet": 0.5}
    assert len(icc_shares(table)) == 4 * 101
    with pytest.raises(InputError, match="columns"):
        icc_shares(table.rename(columns={"icc": "ICC"}))


def test_two_readers_are_compared_feature_by_feature() -> None:
    rng = np.random.default_rng(5)
    ratings = rng.normal(size=(8, 1)) + 0.3 * rng.normal(size=(8, 2))
    first, second = (pd.DataFrame({"subject": list("abcdefgh"), f"ct__{MEAN}": ratings[:, k]}) for k in (0, 1))
    row = agreement(first, second.iloc[::-1], "ICC(3,1)").iloc[0]
    assert row["icc"] == pytest.approx(icc(ratings).set_index("kind").loc["ICC(3,1)", "icc"])
    assert (row["feature_class"], row["image_type"], row["n"]) == ("firstorder", "original", 8)


def test_features_are_counted_once_whatever_the_phase() -> None:
    names = [
        f"{phase}__{name}" for phase in ("arterial", "venous") for name in (MEAN, VOLUME, f"wavelet-LLL_{MEAN[9:]}")
    ]
    features = pd.DataFrame(columns=["subject", *names])
    table = count_features(features).set_index("filter")
    assert table["first order"].to_dict() == {"original": 1, "wavelet": 1, "all": 2}
    assert table.loc["all", "all"] == 3
    given = [ToolkitFamily(family="histogram", published=40, classes=["firstorder"])]
    beside = count_features(features, given)
    assert beside[["family", "published", "unfiltered", "all images"]].to_numpy().tolist() == [
        ["histogram", 40, 1, 2],
        ["all", 40, 1, 2],
    ]
    assert count_features(features, []).empty


def test_classes_are_named_in_words() -> None:
    icc = pd.DataFrame(
        {"icc": [0.9, 0.5, np.nan], "feature_class": ["firstorder", "glcm", "glcm"], "image_type": ["LoG"] * 3}
    )
    table = icc_summary(icc, 0.8).set_index("feature_class")
    assert table.loc["first order", ["features", "reproducible", "without_icc"]].tolist() == [1, 1, 0]
    assert table.loc["GLCM", ["features", "reproducible", "without_icc"]].tolist() == [2, 0, 1]


def test_every_pair_is_correlated_unless_there_are_too_many() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(20, 6)), columns=list("abcdef")).assign(constant=1.0, missing=np.nan)
    table["b"] = -2 * table["a"] + 1
    table.insert(0, "subject", [f"s{i}" for i in range(20)])
    found = correlations(table)
    assert (found.used, found.usable, found.n, len(found.pairs)) == (6, 6, 20, 15)
    assert found.pairs["r"].max() == pytest.approx(1)
    few = correlations(table, most=4)
    assert (few.used, few.usable, len(few.pairs)) == (4, 6, 6)


def test_a_case_that_failed_in_one_phase_costs_its_patient_and_no_feature() -> None:
    rng = np.random.default_rng(5)
    names = [f"{phase}__{name}" for phase in ("a", "b") for name in ("x", "y", "z")]
    table = pd.DataFrame(rng.normal(size=(12, 6)), columns=names)
    table.insert(0, "subject", [f"s{i}" for i in range(12)])
    gone = table.copy()
    gone.loc[3, [name for name in names if name.startswith("b")]] = np.nan
    found, right = correlations(gone), correlations(table.drop(index=3))
    assert (found.used, found.n) == (6, 11)
    pd.testing.assert_frame_equal(found.pairs, right.pairs)
    nobody = table.assign(**{name: np.nan for name in names if name.startswith("b")})
    assert (correlations(nobody).used, correlations(nobody).n) == (3, 12)
    assert correlations(table[["subject"]]).pairs.empty


def test_a_feature_that_is_one_but_for_rounding_is_not_correlated() -> None:
    rng = np.random.default_rng(6)
    table = pd.DataFrame(rng.normal(size=(25, 3)), columns=["a__x", "a__y", "a__z"]).assign(subject=range(25))
    noise = 1 + np.tile([0, 2.2e-16, 0, 0, -1.1e-16], 5)  # GLCM's MCC of a constant region, and the like
    assert correlations(table.assign(a__one=noise)).usable == correlations(table).usable == 3
