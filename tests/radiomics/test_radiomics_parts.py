"""Parts of the extraction by themselves: surface mesh, extreme value, LBP, names, perturbation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from radiomics import cShape
from scipy import ndimage

from radsupport.errors import InputError, NotEstimableError
from radsupport.imaging.regions import Box, shift_roi
from radsupport.radiomics.case import features_of
from radsupport.radiomics.classes import LARGE_MESH, FastShape, mesh_measures
from radsupport.radiomics.extract import extract_perturbed
from radsupport.radiomics.filters import icosphere, lbp_2d, lbp_3d
from radsupport.radiomics.grid import extreme_value, grid_image, plan_grid
from radsupport.radiomics.names import describe_features, feature_codes, surviving_features
from radsupport.radiomics.perturbation import Perturbation, standard_perturbations
from radsupport.radiomics.settings import load_settings

SHAPE_ONLY = {"featureClass": {"shape": []}}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 2.5), st.tuples(*[st.floats(0.3, 5)] * 3))
def test_mesh_measures_equal_pyradiomics_c_function(
    seed: int, smoothness: float, spacing: tuple[float, float, float]
) -> None:
    noise = np.random.default_rng(seed).normal(size=(9, 12, 11))
    mask = np.pad(ndimage.gaussian_filter(noise, smoothness) > 0, 1)
    area, volume, diameters = cShape.calculate_coefficients(mask, np.array(spacing))
    ours = mesh_measures(mask, spacing)
    assert ours[0] == pytest.approx(area, rel=1e-11)
    assert ours[1] == pytest.approx(volume, rel=1e-11, abs=1e-9)
    assert ours[2] == pytest.approx(diameters, rel=1e-12)


def test_shape_of_a_large_ball_approaches_the_ball() -> None:
    radius, spacing = 30.0, (1.0, 0.8, 1.25)
    z, y, x = np.ogrid[-26:27, -40:41, -32:33]
    ball = ((z * 1.25) ** 2 + (y * 0.8) ** 2 + (x * 1.0) ** 2 <= radius**2).astype(np.uint8)
    image = sitk.GetImageFromArray(ball)
    image.SetSpacing(spacing)
    assert sum(np.count_nonzero(np.diff(np.pad(ball, 1).astype(int), axis=a)) for a in range(3)) > LARGE_MESH
    found = features_of(sitk.Cast(image, sitk.sitkFloat32), image, load_settings(SHAPE_ONLY)).values
    assert found["original_shape_MeshVolume"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.01)
    assert found["original_shape_Maximum3DDiameter"] == pytest.approx(2 * radius, rel=0.03)
    assert found["original_shape_Sphericity"] == pytest.approx(0.91, abs=0.01)  # steps of voxels add area
    assert found["original_shape_MajorAxisLength"] == pytest.approx(4 * radius / np.sqrt(5), rel=0.01)
    assert found["original_shape_Flatness"] == pytest.approx(1, abs=0.01)


def test_large_and_small_regions_take_ways_that_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    mask = sitk.GetImageFromArray((ndimage.gaussian_filter(rng.normal(size=(14, 16, 15)), 1.5) > 0).astype(np.uint8))
    small = FastShape(mask, mask, label=1).execute()
    monkeypatch.setattr("radsupport.radiomics.classes.LARGE_MESH", 1)
    large = FastShape(mask, mask, label=1).execute()
    assert {k: float(v) for k, v in large.items()} == pytest.approx({k: float(v) for k, v in small.items()}, rel=1e-11)


@pytest.mark.parametrize("interpolator", ["sitkBSpline", "sitkLinear", "sitkNearestNeighbor"])
@pytest.mark.parametrize("spacing", [[1, 1, 1], [2.2, 2.2, 2.2], [0.5, 0.5, 0]])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_the_extreme_value_of_the_resampled_image_is_itks(interpolator: str, spacing: list[float], dtype: type) -> None:
    array = np.random.default_rng(2).normal(-100, 300, (11, 24, 26)).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.8, 0.9, 2.0))
    mask = sitk.GetImageFromArray(np.ones(array.shape, np.uint8))
    mask.CopyInformation(image)
    grid = plan_grid(mask, spacing, interpolator)
    whole = sitk.GetArrayFromImage(grid_image(image, grid, Box((0, 0, 0), grid.size)))  # type: ignore[arg-type]
    assert extreme_value(image, grid) == whole.ravel()[np.argmax(np.abs(whole))]


def test_lbp_of_known_patterns() -> None:
    flat = np.full((1, 7, 7), 5.0)
    assert lbp_2d(flat)[0, 3, 3] == 8  # every neighbour equals the centre, so is not below it
    peak = np.zeros((1, 7, 7))
    peak[0, 3, 3] = 1
    assert lbp_2d(peak)[0, 3, 3] == 0
    edge = np.zeros((1, 7, 7))
    edge[0, :, 4:] = 1
    assert lbp_2d(edge)[0, 3, 4] == 5  # all but the three neighbours to the left reach 1
    assert lbp_2d(edge, method="default")[0, 3, 3] == 255
    with pytest.raises(InputError, match="LBP2D knows"):
        lbp_2d(edge, method="ror")


def test_lbp_2d_is_unchanged_by_any_increasing_change_of_grey_values() -> None:
    plane = np.random.default_rng(0).normal(size=(2, 20, 20))
    np.testing.assert_array_equal(lbp_2d(plane, samples=4), lbp_2d(3 * plane + 0, samples=4))
    inner = slice(None), slice(1, -1), slice(1, -1)  # beyond the border everything counts as 0
    np.testing.assert_array_equal(lbp_2d(plane, samples=4)[inner], lbp_2d(np.exp(plane), samples=4)[inner])


def test_lbp_3d_of_a_rotated_volume_is_the_rotated_kurtosis() -> None:
    volume = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(15, 15, 15)), 1.0)
    mask = np.zeros(volume.shape)
    mask[5:10, 5:10, 5:10] = 1
    *_, kurtosis = lbp_3d(volume, mask)
    *_, turned = lbp_3d(volume[::-1, ::-1, ::-1], mask)
    np.testing.assert_allclose(turned[::-1, ::-1, ::-1], kurtosis, rtol=1e-6, atol=1e-9)
    assert (kurtosis[mask == 0] == 0).all()


@pytest.mark.parametrize(("subdivision", "vertices"), [(0, 12), (1, 42), (2, 162)])
def test_icosphere_has_eulers_number_of_vertices_on_the_sphere(subdivision: int, vertices: int) -> None:
    points = icosphere(subdivision, 2.5)
    assert points.shape == (vertices, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 2.5)
    np.testing.assert_allclose(points.sum(axis=0), 0, atol=1e-12)


def test_names_are_split_and_coded() -> None:
    names = [
        "arterial__original_shape_Sphericity",
        "venous__log-sigma-3-0-mm-3D_glcm_SumSquares",
        "ct__wavelet2-HHL_gldm_SmallDependenceEmphasis",
        "lbp-3D-k_firstorder_TotalEnergy",
    ]
    table = describe_features(names)
    assert list(table["phase"]) == ["arterial", "venous", "ct", ""]
    assert list(table["filter"]) == ["original", "LoG", "wavelet", "LBP"]
    assert list(table["ibsi_code"]) == ["QCFX", "UR99", "SODN", ""]
    assert list(table["name"]) == names
    with pytest.raises(InputError, match="age"):
        describe_features(["age", *names])


def test_every_feature_of_pyradiomics_has_a_line_in_the_table_of_codes() -> None:
    table = feature_codes()
    every = load_settings({}).feature_classes
    assert {(c, f) for c, features in every.items() for f in features} == set(
        zip(table["class"], table["feature"], strict=True)
    )
    coded = table[table["ibsi_code"] != ""]
    assert len(coded) == 102
    assert coded["ibsi_code"].is_unique
    assert coded["ibsi_code"].str.fullmatch("[0-9A-Z]{4}").all()


def test_surviving_features_are_counted_by_class_and_filter() -> None:
    names = [f"a__{i}_{c}" for i in ("original", "wavelet-LLL") for c in ("glcm_Contrast", "firstorder_Mean")]
    agreement = pd.DataFrame({"feature": names, "icc": [0.9, 0.7, 0.85, np.nan]})
    by_class = surviving_features(agreement, [0.0, 0.8]).set_index(["class", "threshold"])
    assert by_class.loc[("glcm", 0.8), ["n", "kept", "share"]].tolist() == [2, 2, 1]
    assert by_class.loc[("firstorder", 0.8), ["n", "kept"]].tolist() == [2, 0]
    assert by_class.loc[("firstorder", 0.0), ["n", "kept"]].tolist() == [2, 1]
    by_filter = surviving_features(agreement, [0.8], by="filter").set_index("filter")
    assert by_filter["kept"].to_dict() == {"original": 1, "wavelet": 1}
    with pytest.raises(InputError, match="grouped by"):
        surviving_features(agreement, [0.8], by="sex")
    with pytest.raises(InputError, match="columns"):
        surviving_features(agreement.rename(columns={"icc": "ICC"}), [0.8])


@pytest.fixture
def case() -> tuple[sitk.Image, sitk.Image]:
    rng = np.random.default_rng(8)
    array = 50 + ndimage.gaussian_filter(rng.normal(size=(16, 44, 46)), 2) * 150 + rng.normal(0, 6, (16, 44, 46))
    drawn = np.zeros(array.shape, np.uint8)
    drawn[5:11, 14:26, 15:28] = 1
    image, mask = sitk.GetImageFromArray(array.astype(np.float32)), sitk.GetImageFromArray(drawn)
    for one in (image, mask):
        one.SetSpacing((1.0, 1.0, 2.0))
    return image, mask


SMALL: dict[str, Any] = {"featureClass": {"firstorder": ["Mean", "Variance"], "shape": ["VoxelVolume"]}}


def test_no_change_changes_nothing_and_each_change_changes_what_it_should(case: tuple[sitk.Image, sitk.Image]) -> None:
    setting = load_settings(SMALL)
    plain = features_of(*case, setting).values
    unchanged, *_ = standard_perturbations()
    assert features_of(*case, setting, unchanged).values == plain
    noisy = features_of(*case, setting, Perturbation("noise", noise=1.0, seed=3)).values
    assert noisy["original_shape_VoxelVolume"] == plain["original_shape_VoxelVolume"]
    assert noisy["original_firstorder_Variance"] > plain["original_firstorder_Variance"] + 15
    assert features_of(*case, setting, Perturbation("noise", noise=1.0, seed=3)).values == noisy
    assert features_of(*case, setting, Perturbation("noise", noise=1.0, seed=4)).values != noisy
    grown = features_of(*case, setting, Perturbation("grown", margin_mm=1.0)).values
    shrunk = features_of(*case, setting, Perturbation("shrunk", margin_mm=-1.0)).values
    volume = "original_shape_VoxelVolume"
    assert shrunk[volume] < plain[volume] < grown[volume]


@pytest.mark.parametrize("spacing", [None, [1.0, 1.0, 1.0]])
def test_a_shift_by_whole_voxels_of_grid_and_mask_is_no_change(
    case: tuple[sitk.Image, sitk.Image], spacing: list[float] | None
) -> None:
    setting = load_settings({**SMALL, "setting": {"resampledPixelSpacing": spacing} if spacing else {}})
    plain = features_of(*case, setting).values
    whole = features_of(*case, setting, Perturbation("one voxel", shift_voxels=(1.0, 0.0, 0.0))).values
    assert whole == pytest.approx(plain, rel=1e-4)
    half = features_of(*case, setting, Perturbation("half", shift_voxels=(0.5, 0.5, 0.0))).values
    assert half["original_firstorder_Mean"] == pytest.approx(plain["original_firstorder_Mean"], rel=0.03)
    assert half["original_firstorder_Variance"] != plain["original_firstorder_Variance"]


def test_noise_can_not_be_added_where_it_can_not_be_estimated(case: tuple[sitk.Image, sitk.Image]) -> None:
    with pytest.raises(NotEstimableError, match="soft tissue"):
        features_of(case[0] - 2000, case[1], load_settings(SMALL), Perturbation("noise", noise=1.0))


def test_perturbed_tables_have_one_block_per_change(case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
    sitk.WriteImage(case[0], str(tmp_path / "i.nii.gz"))
    sitk.WriteImage(case[1], str(tmp_path / "m.nii.gz"))
    sitk.WriteImage(shift_roi(case[1], (2, 0, 0)), str(tmp_path / "m2.nii.gz"))
    paths = {"image": str(tmp_path / "i.nii.gz"), "phase": "ct"}
    table = pd.DataFrame(
        [{"subject": s, "mask": str(tmp_path / m), **paths} for s, m in (("a", "m.nii.gz"), ("b", "m2.nii.gz"))]
    )
    features, log = extract_perturbed(table, SMALL, cache=tmp_path / "cache", progress=False)
    names = [one.name for one in standard_perturbations()]
    assert list(features["perturbation"]) == [name for name in names for _ in range(2)]
    assert features.filter(like="ct__").notna().all(axis=None)
    assert (log["status"] != "failed").all()
    again, log = extract_perturbed(table, SMALL, cache=tmp_path / "cache", progress=False)
    assert log["cached"].all()
    pd.testing.assert_frame_equal(features, again, check_exact=True)
    with pytest.raises(InputError, match="names of their own"):
        extract_perturbed(table, SMALL, [Perturbation("a"), Perturbation("a", noise=1.0)])
