"""Robustness without a second reader: no change costs nothing, a larger one costs more, and no case is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from scipy import ndimage

from radsupport.book.conclusions import radiomics as radiomics_robustness
from radsupport.errors import InputError
from radsupport.radiomics import robustness
from radsupport.radiomics.extract import extract_perturbed
from radsupport.radiomics.perturbation import Perturbation, standard_perturbations
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "studies" / "radiomics"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(SETTINGS))
    return tmp_path


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
    return robustness.by_perturbation(features, threshold).set_index("perturbation")


def test_a_change_of_size_zero_gives_icc_1_in_every_feature(cases: pd.DataFrame) -> None:
    nothing = Perturbation("nothing", shift_voxels=(0.0, 0.0, 0.0), noise=0.0, margin_mm=0.0, seed=8)
    used = cases[cases["phase"] == "arterial"].assign(image=cases["source_image"], mask=cases["source_mask"])
    # outlines differ in size, so that the volume has an ICC at all
    used.loc[used.index[0], "mask"] = cases["source_roi_rough"].iloc[1]
    features, _ = extract_perturbed(used, SETTINGS, [Perturbation("unchanged"), nothing], progress=False)
    found = robustness.perturbed_agreement(features)
    assert len(found) == 8
    assert (found["icc"] == 1).all()
    assert (found["n"] == 6).all()
    row = robustness.by_perturbation(features, threshold=1.0).iloc[0]
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
    found, expected = robustness.perturbed_agreement(features).iloc[0], icc(ratings).set_index("kind").loc["ICC(2,1)"]
    assert found[["icc", "ci_low", "ci_high"]].tolist() == pytest.approx(
        expected[["icc", "ci_low", "ci_high"]].tolist()
    )
    assert (found["feature"], found["feature_class"], found["image_type"]) == (f"ct__{MEAN}", "firstorder", "original")
    other = robustness.perturbed_agreement(features, "ICC(3,1)").iloc[0]["icc"]
    assert other == pytest.approx(icc(ratings).set_index("kind").loc["ICC(3,1)", "icc"])
    pairs = robustness.by_perturbation(features, 0.8).set_index("perturbation")["median_icc"]
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
    found = robustness.by_perturbation(features, 0.8).set_index("perturbation")
    assert found["patients"].to_dict() == {"noise": 5, "grown": 4}
    # a feature without an ICC counts, and not as reproducible
    assert (found["features"] == 2).all()
    assert (found["share"] == 0.5).all()
    assert robustness.perturbed_agreement(features)["n"].tolist() == [4, 0]
    with pytest.raises(InputError, match="unchanged"):
        robustness.by_perturbation(features[features["perturbation"] == "noise"], 0.8)


def test_perturbed_draws_training_patients_and_keeps_who_fails(cases: pd.DataFrame, root: Path) -> None:
    cases.loc[cases["subject"] == "s0", "cohort"] = "external"
    cases.loc[cases["subject"] == "s1", "exclusion"] = "no tumour"
    Path(cases.loc[(cases["subject"] == "s2") & (cases["phase"] == "venous"), "source_image"].iloc[0]).write_text("x")
    found = robustness.perturbed(a_study(perturb=2), cases, root / "cache", root)
    assert sorted(found["subject"].unique()) == ["s2", "s5"]  # drawn with the seed, of s2 to s5
    assert radiomics_robustness.drawn_words(a_study(perturb=2), cases, found) == (
        "2 of 4 training patients of study small, drawn at random (seed 3)"
    )
    again = robustness.perturbed(a_study(perturb=2), cases.sample(frac=1, random_state=0), root / "cache", root)
    assert set(again["subject"]) == {"s2", "s5"}
    assert list(found["perturbation"].unique()) == [one.name for one in standard_perturbations()]
    values = found.set_index("subject").drop(columns="perturbation")
    assert values.filter(like="arterial__").notna().all(axis=None)
    assert values.loc["s2"].filter(like="venous__").isna().all(axis=None)
    assert values.loc["s5"].notna().all(axis=None)
    volume = found.set_index(["subject", "perturbation"])[f"arterial__{VOLUME}"]["s5"]
    assert volume["outline -1 mm"] < volume["unchanged"] == volume["noise"] < volume["outline +1 mm"]


@pytest.mark.parametrize("study", [a_study(), a_study().model_copy(update={"radiomics": None})])
def test_nothing_is_perturbed_where_the_study_does_not_ask_for_it(
    study: Study, cases: pd.DataFrame, root: Path
) -> None:
    found = robustness.perturbed(study, cases, root / "cache", root)
    assert (list(found.columns), len(found)) == (["subject", "perturbation"], 0)
    variants, counts = robustness.region_variants(study, cases, root / "cache", root)
    assert (variants, list(counts.columns), len(counts)) == ([], ["group", "variant", "cases", "failed"], 0)


COMPARE = [
    {"group": "roi", "name": "rough box", "set": {"roi": "rough"}},
    {"group": "roi", "name": "shifted", "set": {"shift_mm": [3, 0, 0]}},
    {"group": "roi", "name": "enlarged", "set": {"enlarge_mm": 2}},
]


def test_each_region_is_measured_in_the_phases_of_the_signatures_compared(cases: pd.DataFrame, root: Path) -> None:
    study = a_study(compare=COMPARE)
    variants, counts = robustness.region_variants(study, cases, root / "cache", root)
    assert [one.name for one in variants] == ["rough box", "shifted", "enlarged"]
    assert {one.signatures for one in variants} == {("R",)}
    assert counts[["cases", "failed"]].to_numpy().tolist() == [[6, 0]] * 3
    assert all(name.startswith(("subject", "arterial__")) for one in variants for name in one.features.columns)
    rough, shifted, enlarged = (one.features.set_index("subject") for one in variants)
    # slices 3 to 11, rows 8 to 21, columns from 9 or 10 to 23: the box around the three quadrilaterals, filled
    assert rough[f"arterial__{VOLUME}"].tolist() == [9 * 14 * (15 - i % 2) for i in range(6)]
    mask = sitk.GetArrayFromImage(sitk.ReadImage(cases["source_mask"].iloc[0])) > 0
    image = sitk.GetArrayFromImage(sitk.ReadImage(cases["source_image"].iloc[0]))
    moved = np.roll(mask, 3, axis=2)
    assert shifted.loc["s0", f"arterial__{MEAN}"] == pytest.approx(image[moved].mean(), rel=1e-5)
    assert shifted.loc["s0", f"arterial__{VOLUME}"] == mask.sum()
    near = ndimage.distance_transform_edt(~mask) <= 2
    assert enlarged.loc["s0", f"arterial__{VOLUME}"] == near.sum()
    both = robustness.region_variants(a_study(compare=COMPARE[:1], compare_on=["B"]), cases, root / "cache", root)
    assert both[1]["cases"].tolist() == [12]


def test_a_region_that_can_not_be_made_is_a_failed_case_and_stops_nobody(cases: pd.DataFrame, root: Path) -> None:
    compare = [{"group": "roi", "name": "far", "set": {"shift_mm": [8, 0, 0]}}]
    moved = written(np.roll(np.asarray(_mask(cases, 0)), 2, axis=2), root / "moved.nii.gz")
    empty = written(np.zeros(SHAPE, np.uint8), root / "empty.nii.gz")
    arterial = cases.index[cases["phase"] == "arterial"]
    cases.loc[arterial[0], "source_mask"] = moved
    cases.loc[arterial[1], "source_mask"] = empty
    cases.loc[arterial[2], "exclusion"] = "no tumour"
    (variant,), counts = robustness.region_variants(a_study(compare=compare), cases, root / "cache", root)
    values = variant.features.set_index("subject")
    assert list(values.index) == [f"s{i}" for i in range(6)]
    assert values.isna().all(axis=1).tolist() == [True, True, True, False, False, False]
    assert counts.iloc[0][["cases", "failed"]].tolist() == [6, 3]


def _mask(cases: pd.DataFrame, row: int) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(cases["source_mask"].iloc[row]))
