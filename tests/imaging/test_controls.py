"""Control images: what is drawn is what was there, where it was asked for, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.controls import CONTROLS, REGIONS, control_image

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (6, 9, 10)).astype(np.int16)
INSIDE = np.zeros(VOXELS.shape, np.uint8)
INSIDE[2:5, 2:8, 3:9] = 1


def made(control: str, seed: int = 1, dtype: type = np.int16) -> tuple[np.ndarray, np.ndarray, sitk.Image]:
    image, mask = sitk.GetImageFromArray(VOXELS.astype(dtype)), sitk.GetImageFromArray(INSIDE)
    image.SetSpacing((0.7, 0.7, 5.0))
    found = control_image(image, mask, control, seed)
    assert (sitk.GetArrayFromImage(mask) == INSIDE).all()
    assert (sitk.GetArrayFromImage(image) == VOXELS).all()
    return sitk.GetArrayFromImage(found), REGIONS[control.split()[1]](INSIDE != 0), found


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_only_the_region_changes_and_by_its_own_voxels(control: str, dtype: type) -> None:
    found, where, image = made(control, dtype=dtype)
    assert image.GetSpacing() == (0.7, 0.7, 5.0)
    assert found.dtype == dtype
    assert (found[~where] == VOXELS[~where]).all()
    assert (found[where] != VOXELS[where]).mean() > 0.9
    was, now = VOXELS[where], found[where]
    if control.startswith("shuffled"):
        assert (np.sort(now) == np.sort(was)).all()
    elif control.startswith("sampled"):
        assert set(now) < set(was)
    else:
        assert was.min() <= now.min() < now.max() <= was.max()
        # uniform: mean half-way, SD the width / sqrt(12), within five standard errors
        low, width = float(was.min()), float(was.max()) - float(was.min())
        assert abs(now.mean() - (low + width / 2)) < 5 * width / np.sqrt(12 * now.size)
        assert now.std() == pytest.approx(width / np.sqrt(12), rel=0.15)


def test_the_regions_are_inside_outside_and_all() -> None:
    counts = {region: int(where(INSIDE != 0).sum()) for region, where in REGIONS.items()}
    assert counts == {"roi": 108, "outside": 540 - 108, "everywhere": 540}


def test_a_seed_gives_one_image_and_another_seed_another() -> None:
    first, again, other = (made("shuffled roi", seed)[0] for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_an_unknown_control_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"no control 'blurred roi'.*shuffled roi"):
        made("blurred roi")
