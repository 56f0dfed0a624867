"""The matrices of one pass are those of pyradiomics' functions; features do not depend on which of the two is there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from radiomics import cMatrices
from radiomics.firstorder import RadiomicsFirstOrder
from scipy import ndimage

from radsupport.errors import InputError
from radsupport.imaging.regions import bounding_box
from radsupport.radiomics import texture
from radsupport.radiomics.case import features_of
from radsupport.radiomics.classes import first_order
from radsupport.radiomics.settings import load_settings, quiet_pyradiomics
from radsupport.radiomics.texture import Discretised, discretised

built = pytest.mark.skipif(texture._texture is None, reason="the C function is not built")


def region(seed: int, smooth: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A region with holes and islands, cut to its box, and values in it."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=rng.integers(1, 10, 3)), smooth)
    inside = noise > rng.choice([-1, 0.0, 0.02, 0.2])
    inside.flat[0] = inside.flat[-1] = True
    box = bounding_box(sitk.GetImageFromArray(inside.astype(np.uint8))).slices
    values = ndimage.gaussian_filter(rng.normal(size=inside.shape) * scale, smooth)
    return values[box], inside[box].copy()


def by_pyradiomics(shared: Discretised, inside: np.ndarray) -> dict[str, np.ndarray]:
    """The same matrices by pyradiomics' functions, rows of grey levels that do not occur left out."""
    flat = shared.settings["force2D"], shared.settings["force2Ddimension"]
    bins, n, row = shared.bins.copy(), int(shared.levels[-1]), shared.levels - 1
    one = np.array([1])
    return {
        "glcm": cMatrices.calculate_glcm(bins, inside, one, n, *flat)[0][0][row][:, row],
        "glrlm": cMatrices.calculate_glrlm(bins, inside, n, max(bins.shape), *flat)[0][0][row],
        "gldm": cMatrices.calculate_gldm(bins, inside, one, n, shared.settings["gldm_a"], *flat)[0][row],
        "ngtdm": cMatrices.calculate_ngtdm(bins, inside, one, n, *flat)[0][row],
        "glszm": cMatrices.calculate_glszm(bins, inside.copy(), n, int(inside.sum()), *flat)[0][row],
    }


@built
@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.floats(0, 2), st.sampled_from([20, 200, 2000]), st.integers(0, 2),
    st.sampled_from([(False, 0), (True, 0), (True, 1), (True, 2)]),
)  # fmt: skip
def test_every_matrix_equals_pyradiomics_to_the_last_bit(
    seed: int, smooth: float, scale: float, alpha: int, flat: tuple[bool, int]
) -> None:
    values, inside = region(seed, smooth, scale)
    setting = {"binWidth": 25, "gldm_a": alpha, "force2D": flat[0], "force2Ddimension": flat[1]}
    shared = discretised(values, inside, setting)
    if shared.matrices is None:
        return
    ours, theirs = shared.matrices, by_pyradiomics(shared, inside)
    columns = ours.gldm.shape[1]
    assert not theirs["gldm"][:, columns:].any()
    theirs["gldm"], theirs["ngtdm"] = theirs["gldm"][:, :columns], theirs["ngtdm"][:, :2]
    theirs["glszm"] = theirs["glszm"][:, theirs["glszm"].any(axis=0)]
    for name, expected in theirs.items():
        np.testing.assert_array_equal(getattr(ours, name), expected, name)


@built
def test_zones_of_known_sizes_and_what_pyradiomics_has_to_fill() -> None:
    bins = np.array([[[0, 30, 30], [60, 0, 30], [60, 60, 0]]])
    shared = discretised(bins, np.ones(bins.shape, bool), {"binWidth": 25})
    assert shared.matrices is not None
    np.testing.assert_array_equal(shared.levels, [1, 2, 3])
    np.testing.assert_array_equal(shared.matrices.sizes, [3])
    np.testing.assert_array_equal(shared.matrices.glszm, [[1], [1], [1]])  # the diagonal of zeros is one zone
    for setting in ({"distances": [1, 2]}, {"weightingNorm": "euclidean"}):
        assert discretised(bins, np.ones(bins.shape, bool), {"binWidth": 25, **setting}).matrices is None
    apart = np.array([[[True, False, True]]])  # in line, and no neighbours
    assert discretised(bins[:, :1], apart, {"binWidth": 25}).matrices is None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("setting", [{}, {"binCount": 8}, {"symmetricalGLCM": False}, {"force2D": True}])
def test_features_do_not_depend_on_whether_the_function_is_built(
    monkeypatch: pytest.MonkeyPatch, seed: int, setting: dict[str, Any]
) -> None:
    values, inside = region(seed + 10, 0.8, 300.0)
    values = np.full_like(values, 60.0) if seed == 3 else values
    image = sitk.GetImageFromArray(np.pad(values, 3).astype(np.float32))
    mask = sitk.GetImageFromArray(np.pad(inside, 3).astype(np.uint8))
    raw = {"setting": setting, "imageType": {"Original": {}, "Wavelet": {}, "Square": {}}}
    with_it = features_of(image, mask, load_settings(raw))
    monkeypatch.setattr(texture, "_texture", None)
    without = features_of(image, mask, load_settings(raw))
    assert with_it.messages == without.messages
    assert list(with_it.values) == list(without.values)
    np.testing.assert_allclose(list(with_it.values.values()), list(without.values.values()), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["noise", "flat", "one voxel"])
def test_first_order_equals_pyradiomics(kind: str) -> None:
    rng = np.random.default_rng(5)
    values = np.full((4, 5, 6), 37.0) if kind == "flat" else rng.gamma(2, 60, (4, 5, 6)) - 100
    inside = rng.random(values.shape) < 0.7
    if kind == "one voxel":
        inside = np.arange(inside.size).reshape(inside.shape) == 7
    image, mask = sitk.GetImageFromArray(values), sitk.GetImageFromArray(inside.astype(np.uint8))
    image.SetSpacing((0.5, 0.7, 3.0))
    setting = {"binWidth": 25, "voxelArrayShift": 300}
    ours = first_order(discretised(values, inside, setting), 0.5 * 0.7 * 3.0)
    with quiet_pyradiomics():
        theirs = RadiomicsFirstOrder(image, mask, label=1, **setting).execute()
    assert {name: float(value) for name, value in theirs.items()} == pytest.approx(
        {name: float(value) for name, value in ours.items()}, rel=1e-12, abs=1e-12
    )


def test_too_many_grey_levels_are_refused() -> None:
    with pytest.raises(InputError, match="grey levels"):
        discretised(np.array([[[0.0, 1e6]]]), np.ones((1, 1, 2), bool), {"binWidth": 25})
