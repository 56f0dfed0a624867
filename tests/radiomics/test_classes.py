"""Shape features of large regions: pyradiomics' values, faster."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from radiomics import cShape
from scipy import ndimage

from radsupport.radiomics.case import features_of
from radsupport.radiomics.classes import LARGE_MESH, FastShape, mesh_measures
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
