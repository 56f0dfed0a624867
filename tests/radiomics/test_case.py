"""Crop-first extraction gives the values of plain pyradiomics on the whole image."""

from __future__ import annotations

import copy
import sys
import types
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import yaml
from helpers.outlines import SMALL
from radiomics import imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy import ndimage, special

from radsupport.errors import NotEstimableError
from radsupport.imaging.reading import like, read_pair
from radsupport.radiomics.case import Perturbation, extract_case, feature_names, features_of
from radsupport.radiomics.filters import icosphere
from radsupport.radiomics.settings import RadiomicsSettings, load_settings, quiet_pyradiomics

POINTWISE = {"Square": {}, "SquareRoot": {}, "Logarithm": {}, "Exponential": {}}
COVERS_ALL = 10_000
CLASSES = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")


def plain(image: sitk.Image, mask: sitk.Image, raw: dict[str, Any], **setting: Any) -> dict[str, float]:
    """Plain pyradiomics on the whole image."""
    raw = copy.deepcopy(raw)
    raw["setting"] = {**raw.get("setting", {}), **setting}
    with quiet_pyradiomics():
        extractor = RadiomicsFeatureExtractor(raw)
        extractor.addProvenance(False)
        return {name: float(np.real(value)) for name, value in extractor.execute(image, mask).items()}


def assert_equal(
    ours: dict[str, float], theirs: dict[str, float], log_tolerance: float = 1e-4, tolerance: float = 1e-10
) -> None:
    """Equal to rounding, LoG to one in ten thousand."""
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        rel = log_tolerance if name.startswith("log-sigma") else 1e-10 if "_shape_" in name else tolerance
        assert ours[name] == pytest.approx(value, rel=rel, abs=1e-9 if rel else 0, nan_ok=True), name


def volume(
    shape: tuple[int, int, int], centre: tuple[float, ...], radii: tuple[float, ...], spacing: tuple[float, ...]
) -> tuple[sitk.Image, sitk.Image]:
    """CT-like volume with an ellipsoid; HU with edges, noise and a bright spot far from the region."""
    rng = np.random.default_rng(7)
    texture = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) * 200
    grid = np.meshgrid(*[np.arange(n, dtype=float) for n in shape], indexing="ij")
    inside = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii, strict=True)) < 1
    array = 40 + texture + rng.normal(0, 8, shape) + 60 * inside
    array[:, :4] = -1000
    array[2:4, -5:-3, -5:-3] = 1900
    image = sitk.GetImageFromArray(array.astype(np.float32))
    mask = sitk.GetImageFromArray(inside.astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing(spacing)
        one.SetOrigin((-31.7, 12.3, 105.1))
    return image, mask


@pytest.fixture(scope="module")
def case() -> tuple[sitk.Image, sitk.Image]:
    return volume((33, 46, 51), (16, 25, 22), (4, 5, 6), (0.9, 0.9, 1.7))


def as_pyradiomics(raw: dict[str, Any]) -> RadiomicsSettings:
    """Settings that keep what plain pyradiomics does with fractions of HU."""
    return load_settings({**raw, "setting": {**raw.get("setting", {}), "roundHU": False}})


def compare(
    case: tuple[sitk.Image, sitk.Image], raw: dict[str, Any], tolerance: float = 1e-10, **plainly: Any
) -> dict[str, float]:
    ours = features_of(*case, as_pyradiomics(raw)).values
    assert_equal(ours, plain(*case, raw, **plainly), tolerance=tolerance)
    assert list(ours) == feature_names(load_settings(raw))
    return ours


def test_original_gradient_and_pointwise_filters_are_equal(case: tuple[sitk.Image, sitk.Image]) -> None:
    compare(case, {"imageType": {"Original": {}, "Gradient": {}, **POINTWISE}})


def test_nobody_holds_the_whole_scan_while_its_region_is_measured(
    case: tuple[sitk.Image, sitk.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{name}.nii.gz" for name in ("image", "mask")]
    for one, path in zip(case, paths, strict=True):
        sitk.WriteImage(one, str(path))
    held: list[weakref.ref] = []

    def reading(*given: Any) -> tuple[sitk.Image, Any]:
        image, report = read_pair(*given)
        held.extend(weakref.ref(one) for one in (image, report.mask))
        return image, report

    def measuring(region: Any, settings: RadiomicsSettings) -> dict[str, float]:
        assert len(held) == 2
        assert not any(one() for one in held)
        return {}

    monkeypatch.setattr("radsupport.radiomics.case.read_pair", reading)
    monkeypatch.setattr("radsupport.radiomics.case._measure", measuring)
    raw = {"imageType": {"Original": {}}, "featureClass": {"firstorder": ["Mean"]}}
    assert extract_case(*paths, load_settings(raw)).values == {}


def test_the_whole_images_maximum_matters(case: tuple[sitk.Image, sitk.Image]) -> None:
    image, mask = case
    small = slice(8, 42), slice(10, 40), slice(6, 28)
    raw = {"imageType": {"Square": {}}, "featureClass": {"firstorder": ["Mean"]}}
    whole = features_of(image, mask, load_settings(raw)).values
    assert features_of(image[small], mask[small], load_settings(raw)).values != whole


@pytest.mark.parametrize("own", [{}, {"level": 2}, {"start_level": 1}, {"wavelet": "db4"}, {"wavelet": "haar"}])
def test_wavelets_are_equal(case: tuple[sitk.Image, sitk.Image], own: dict[str, Any]) -> None:
    compare(case, {"imageType": {"Wavelet": own}, "featureClass": {"firstorder": [], "glcm": ["Contrast"]}})


@pytest.mark.parametrize("centre", [(4, 25, 22), (28, 25, 22), (16, 6, 45), (16, 40, 7)])
def test_wavelets_wrap_round_the_whole_image_at_its_border(centre: tuple[int, int, int]) -> None:
    near = volume((33, 46, 51), centre, (4, 5, 6), (0.9, 0.9, 1.7))
    compare(near, {"imageType": {"Original": {}, "Wavelet": {}, "Square": {}}, "featureClass": {"firstorder": []}})


def test_log_agrees_to_one_in_ten_thousand() -> None:
    case = volume((60, 70, 72), (30, 36, 34), (4, 6, 6), (0.9, 0.9, 1.7))
    raw = {"imageType": {"LoG": {"sigma": [1.0, 2.0, 3]}}}
    ours = compare(case, raw)
    assert any(name.startswith("log-sigma-3-mm-3D") for name in ours)  # pyradiomics names it as the file writes it


@pytest.mark.parametrize("cast", [sitk.sitkFloat32, sitk.sitkFloat64, sitk.sitkInt16])
@pytest.mark.parametrize("spacing", [[1, 1, 1], [2, 2, 0], [0, 0, 0.85]])
def test_resampling_uncut_equals_pyradiomics_with_padding_that_covers_the_image(
    case: tuple[sitk.Image, sitk.Image], cast: int, spacing: list[float]
) -> None:
    image, mask = case
    raw = {
        "setting": {"resampledPixelSpacing": spacing},
        "imageType": {"Original": {}, "Wavelet": {}, "Gradient": {}, "LoG": {"sigma": [1.0]}, **POINTWISE},
        "featureClass": {"firstorder": [], "glcm": ["Contrast", "JointEntropy"], "shape": []},
    }
    # interpolated doubles differ in their last digits; stored as float32 or integer they do not
    exact = 1e-10 if cast != sitk.sitkFloat64 else 1e-9
    compare((sitk.Cast(image, cast), mask), raw, exact, padDistance=COVERS_ALL)


@pytest.mark.parametrize("interpolator", ["sitkLinear", "sitkNearestNeighbor", "sitkGaussian"])
def test_other_interpolators(case: tuple[sitk.Image, sitk.Image], interpolator: str) -> None:
    raw = {
        "setting": {"resampledPixelSpacing": [1.3, 1.3, 1.3], "interpolator": interpolator},
        "imageType": {"Original": {}, "Wavelet": {}, **POINTWISE},
        "featureClass": {"firstorder": []},
    }
    compare(case, raw, padDistance=COVERS_ALL)


WHOLE: dict[str, Any] = {
    "imageType": {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.0]}, "LBP3D": {"lbp3DIcosphereSubdivision": 0}},
    "featureClass": {"firstorder": [], "glcm": ["Contrast", "JointEntropy"], "glszm": ["ZoneEntropy"]},
}


@pytest.mark.parametrize("interpolator", ["sitkBSpline", "sitkLinear"])
@pytest.mark.parametrize("setting", [{"resampledPixelSpacing": [1, 1, 1]}, {}, {"resampledPixelSpacing": [2, 2, 0]}])
def test_a_scan_has_the_same_features_whatever_type_it_is_stored_in(
    case: tuple[sitk.Image, sitk.Image], setting: dict[str, Any], interpolator: str
) -> None:
    image, mask = sitk.Round(case[0]), case[1]
    raw = {**WHOLE, "setting": {**setting, "interpolator": interpolator}}
    kinds = (sitk.sitkInt16, sitk.sitkInt32, sitk.sitkFloat32, sitk.sitkFloat64)
    first, *others = [features_of(sitk.Cast(image, kind), mask, load_settings(raw)).values for kind in kinds]
    for other in others:
        np.testing.assert_array_equal(list(other.values()), list(first.values()))


@pytest.mark.parametrize("cast", [sitk.sitkInt16, sitk.sitkFloat32])
@pytest.mark.parametrize("cut", [{}, {"padDistance": 5}])
def test_resampled_hu_are_the_nearest_whole_numbers(
    case: tuple[sitk.Image, sitk.Image], cast: int, cut: dict[str, int]
) -> None:
    # right: interpolated in double precision by ITK, rounded by numpy, then measured by plain pyradiomics
    image, mask = sitk.Cast(sitk.Round(case[0]), cast), case[1]
    raw = {
        "setting": {"resampledPixelSpacing": [1, 1, 1.2]},
        "imageType": {"Original": {}},
        "featureClass": {"firstorder": [], "glcm": ["Contrast"]},
    }
    ours = features_of(image, mask, load_settings({**raw, "setting": {**raw["setting"], **cut}})).values
    options = {"resampledPixelSpacing": [1, 1, 1.2], "interpolator": "sitkBSpline", "padDistance": COVERS_ALL}
    fine, drawn = imageoperations.resampleImage(
        sitk.Cast(image, sitk.sitkFloat64), sitk.Cast(mask, sitk.sitkUInt32), **options
    )
    whole = like(np.rint(sitk.GetArrayFromImage(fine)), fine)
    assert_equal(ours, plain(whole, drawn, {**raw, "setting": {}}), tolerance=1e-12)


@pytest.mark.parametrize("spacing", [[1, 1, 1], [0.9, 0.9, 1.7]])
def test_naming_the_padding_reproduces_the_published_cut(
    case: tuple[sitk.Image, sitk.Image], spacing: list[float]
) -> None:
    raw = {
        "setting": {"resampledPixelSpacing": spacing, "padDistance": 5},
        "imageType": {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.0, 4.0]}, **POINTWISE},
        "featureClass": {"firstorder": [], "glszm": []},
    }
    ours = features_of(*case, as_pyradiomics(raw)).values
    without = copy.deepcopy(raw)
    del without["setting"]["padDistance"]
    assert_equal(ours, plain(*case, without))
    uncut = features_of(*case, as_pyradiomics(without)).values
    coarse = "log-sigma-4-0-mm-3D_firstorder_Mean"
    assert abs(uncut[coarse] / ours[coarse] - 1) > 0.01  # the edge of the cut shows


@pytest.mark.parametrize(
    "setting",
    [
        {"normalize": True, "normalizeScale": 100, "removeOutliers": 3},
        {"resegmentRange": [0, 150]},
        {"resegmentRange": [-2, 2], "resegmentMode": "sigma", "resegmentShape": True},
        {"binCount": 16},
        {"force2D": True, "force2Ddimension": 0},
        {"preCrop": True, "padDistance": 7},
        {"distances": [1, 2], "weightingNorm": "euclidean", "symmetricalGLCM": False, "gldm_a": 1},
        {"voxelArrayShift": 1000, "label": 1},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_mean_what_they_mean_in_pyradiomics(
    case: tuple[sitk.Image, sitk.Image], setting: dict[str, Any]
) -> None:
    classes: dict[str, list[str]] = {name: [] for name in CLASSES}
    raw = {"setting": setting, "imageType": {"Original": {}, "Wavelet": {}}, "featureClass": classes}
    compare(case, raw)


def test_a_single_slice_and_a_region_that_fills_the_image() -> None:
    image, mask = volume((20, 40, 40), (9, 20, 20), (0.9, 6, 7), (0.9, 0.9, 3.0))
    assert np.flatnonzero(sitk.GetArrayFromImage(mask).any(axis=(1, 2))).tolist() == [9]
    raw = {
        "setting": {"resampledPixelSpacing": [1, 1, 1]},
        "imageType": {"Original": {}, "Wavelet": {}, **POINTWISE},
        "featureClass": {"firstorder": [], "shape": [], "glcm": ["Contrast"]},
    }
    compare((image, mask), raw, padDistance=COVERS_ALL)
    raw["setting"] = {}
    full = mask * 0 + 1
    full[0, 0, 0] = 0  # pyradiomics refuses a mask without background
    compare((image, full), raw)


def reference_lbp(plane: np.ndarray, P: int, R: float, method: str) -> np.ndarray:
    """scikit-image's definition, pixel by pixel."""
    assert method == "uniform"
    rows, columns = plane.shape
    angles = 2 * np.pi * np.arange(P) / P
    steps = list(zip(np.round(-R * np.sin(angles), 5), np.round(R * np.cos(angles), 5), strict=True))

    def at(r: int, c: int) -> float:
        return float(plane[r, c]) if 0 <= r < rows and 0 <= c < columns else 0.0

    def bilinear(r: float, c: float) -> float:
        r0, r1, c0, c1 = int(np.floor(r)), int(np.ceil(r)), int(np.floor(c)), int(np.ceil(c))
        dr, dc = r - r0, c - c0
        top = (1 - dc) * at(r0, c0) + dc * at(r0, c1)
        bottom = (1 - dc) * at(r1, c0) + dc * at(r1, c1)
        return (1 - dr) * top + dr * bottom

    out = np.zeros(plane.shape)
    for r in range(rows):
        for c in range(columns):
            above = [bilinear(r + dr, c + dc) - at(r, c) >= 0 for dr, dc in steps]
            changes = sum(a != b for a, b in zip(above[1:], above[:-1], strict=True))
            out[r, c] = sum(above) if changes <= 2 else P + 1
    return out


@pytest.fixture
def lbp_in_pyradiomics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give pyradiomics what its LBP filters import: scikit-image, trimesh, and the function scipy has removed."""
    skimage = types.SimpleNamespace(local_binary_pattern=reference_lbp)
    sphere = types.SimpleNamespace(icosphere=lambda n, r: types.SimpleNamespace(vertices=icosphere(n, r)))
    monkeypatch.setitem(sys.modules, "skimage", types.SimpleNamespace(feature=skimage))
    monkeypatch.setitem(sys.modules, "skimage.feature", skimage)
    monkeypatch.setitem(sys.modules, "trimesh", types.SimpleNamespace(creation=sphere))
    monkeypatch.setitem(sys.modules, "trimesh.creation", sphere)
    old = lambda m, n, azimuth, polar: special.sph_harm_y(n, m, polar, azimuth)  # noqa: E731
    monkeypatch.setattr(special, "sph_harm", old, raising=False)


@pytest.mark.usefixtures("lbp_in_pyradiomics")
@pytest.mark.parametrize("cast", [sitk.sitkFloat32, sitk.sitkInt16])
@pytest.mark.parametrize(
    "own",
    [{"LBP2D": {"binWidth": 1}}, {"LBP2D": {"lbp2DRadius": 2.5, "force2Ddimension": 2}}, {"LBP3D": {}}],
    ids=["LBP2D", "LBP2D sagittal", "LBP3D"],
)
def test_lbp_is_bit_equal(own: dict[str, Any], cast: int) -> None:
    # LBP3D looks 49 voxels far, so only a wide volume is cropped at all
    shape, centre = ((14, 60, 62), (7, 24, 34)) if "LBP2D" in own else ((14, 150, 156), (7, 75, 80))
    image, mask = volume(shape, centre, (2, 4, 4), (0.9, 0.9, 1.7))
    image = sitk.Cast(sitk.Round(image / 20) * 20, cast)  # many ties, so that rounding decides
    raw = {"setting": {"binWidth": 1}, "imageType": own, "featureClass": {"firstorder": [], "glcm": ["Contrast"]}}
    with warnings.catch_warnings():
        # pyradiomics imports map_coordinates from a namespace that scipy has deprecated
        warnings.filterwarnings("ignore", "Please import `map_coordinates`", DeprecationWarning)
        compare((image, mask), raw)


@pytest.mark.parametrize("padding", [None, 5])
def test_gu2023_on_a_real_scan(shared: Path, root: Path, padding: int | None) -> None:
    folder = shared / "real" / "sts_ct" / "STS_003"
    image, mask = (sitk.ReadImage(str(folder / f"CT_{what}.nii.gz")) for what in ("image", "mask"))
    raw = yaml.safe_load((root / "studies" / "radiomics" / "gu2023.yaml").read_text())
    del raw["imageType"]["LBP2D"]  # pyradiomics needs scikit-image for it; compared above
    raw["setting"]["resampledPixelSpacing"] = [2, 2, 2]  # as 1 mm, in a tenth of the time
    if padding is not None:
        raw["setting"]["padDistance"] = padding
        ours = features_of(image, mask, as_pyradiomics(raw)).values
        assert_equal(ours, plain(image, mask, raw))
    else:
        compare((image, mask), raw, padDistance=COVERS_ALL)


def test_default_settings_on_the_ibsi_phantom(shared: Path) -> None:
    folder = shared / "real" / "ibsi1_ct_phantom" / "nifti"
    image, mask = (
        sitk.ReadImage(str(folder / what / name))
        for what, name in (("image", "phantom.nii.gz"), ("mask", "mask.nii.gz"))
    )
    classes: dict[str, list[str]] = {"shape": [], "firstorder": [], "ngtdm": []}
    compare((image, mask), {"imageType": {"Original": {}, "Gradient": {}, **POINTWISE}, "featureClass": classes})


def test_no_change_changes_nothing_and_each_change_changes_what_it_should(
    scan: tuple[sitk.Image, sitk.Image],
) -> None:
    setting = load_settings(SMALL)
    plain = features_of(*scan, setting).values
    unchanged, *_ = [Perturbation("unchanged")]
    assert features_of(*scan, setting, unchanged).values == plain
    noisy = features_of(*scan, setting, Perturbation("noise", noise=1.0, seed=3)).values
    assert noisy["original_shape_VoxelVolume"] == plain["original_shape_VoxelVolume"]
    assert noisy["original_firstorder_Variance"] > plain["original_firstorder_Variance"] + 15
    assert features_of(*scan, setting, Perturbation("noise", noise=1.0, seed=3)).values == noisy
    assert features_of(*scan, setting, Perturbation("noise", noise=1.0, seed=4)).values != noisy
    grown = features_of(*scan, setting, Perturbation("grown", margin_mm=1.0)).values
    shrunk = features_of(*scan, setting, Perturbation("shrunk", margin_mm=-1.0)).values
    volume = "original_shape_VoxelVolume"
    assert shrunk[volume] < plain[volume] < grown[volume]


@pytest.mark.parametrize("spacing", [None, [1.0, 1.0, 1.0]])
def test_a_shift_by_whole_voxels_of_grid_and_mask_is_no_change(
    scan: tuple[sitk.Image, sitk.Image], spacing: list[float] | None
) -> None:
    setting = load_settings({**SMALL, "setting": {"resampledPixelSpacing": spacing} if spacing else {}})
    scan = (sitk.Round(scan[0]), scan[1])  # whole HU, as a scanner writes them and as resampling gives them
    plain = features_of(*scan, setting).values
    whole = features_of(*scan, setting, Perturbation("one voxel", shift_voxels=(1.0, 0.0, 0.0))).values
    assert whole == pytest.approx(plain, rel=1e-4)
    half = features_of(*scan, setting, Perturbation("half", shift_voxels=(0.5, 0.5, 0.0))).values
    assert half["original_firstorder_Mean"] == pytest.approx(plain["original_firstorder_Mean"], rel=0.03)
    assert half["original_firstorder_Variance"] != plain["original_firstorder_Variance"]


def test_noise_can_not_be_added_where_it_can_not_be_estimated(scan: tuple[sitk.Image, sitk.Image]) -> None:
    with pytest.raises(NotEstimableError, match="soft tissue"):
        features_of(scan[0] - 2000, scan[1], load_settings(SMALL), Perturbation("noise", noise=1.0))
