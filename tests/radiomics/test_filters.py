"""Local binary patterns of known images."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import InputError
from radsupport.imaging.regions import Box
from radsupport.radiomics.filters import icosphere, laplacian_of_gaussian, lbp_2d, lbp_3d


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


@pytest.mark.parametrize("box", [Box((9, 7, 5), (6, 8, 4)), Box((0, 0, 0), (1, 30, 2)), Box((0, 0, 0), (24, 30, 18))])
@pytest.mark.parametrize(("sigma", "spacing"), [(0.8, (1.0, 1.0, 1.0)), (3.0, (0.7, 0.9, 2.5))])
def test_laplacian_of_gaussian_is_itks_filter_cut_to_the_box(
    box: Box, sigma: float, spacing: tuple[float, float, float]
) -> None:
    array = np.random.default_rng(3).integers(-1000, 1000, (18, 30, 24)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    whole = sitk.GetArrayFromImage(sitk.LaplacianRecursiveGaussian(image, sigma, True))
    ours = laplacian_of_gaussian(image, sigma, box)
    np.testing.assert_allclose(ours, whole[box.slices], rtol=0, atol=3e-6 * np.abs(whole).max())
