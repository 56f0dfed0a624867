"""What a network is shown depends on the scan and the outline it looks at, not on what other outlines there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from radsupport.imaging.preprocessing import preprocess
from radsupport.networks.inputs import Given, Volume
from radsupport.settings.features import Roi, Window

SHAPE = (24, 60, 70)
SPACING = (1.3, 0.9, 2.1)
VIEW = Window(level=40, width=400)


def drawn(*slices: slice) -> np.ndarray:
    """Return an outline as an array."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[slices] = 1
    return mask


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Write a noisy scan, its outline, a second one that reaches farther, and a rough one beside it."""
    parts = {
        "image": np.random.default_rng(3).normal(40, 60, SHAPE).astype(np.int16),
        "mask": drawn(slice(9, 14), slice(22, 41), slice(31, 39)),
        "mask_reader2": drawn(slice(7, 14), slice(23, 40), slice(29, 41)),
        "roi_rough": drawn(slice(8, 15), slice(14, 45), slice(22, 47)),
    }
    paths = {}
    for name, array in parts.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING)
        image.SetOrigin((-31.7, 12.3, 101.9))
        paths[name] = str(tmp_path / f"{name}.nii.gz")
        sitk.WriteImage(image, paths[name])
    return paths


def seen(
    files: dict[str, str], folder: Path, margin_mm: float, outline: str = "mask", roi: Roi | None = None
) -> Volume:
    """Preprocess a case and return what a network is given of it."""
    cases = preprocess(
        pd.DataFrame([{"subject": "a", "phase": "venous", **files}]), folder, spacing_mm=(1.0, 1.0, 1.5),
        margin_mm=margin_mm, progress=False,
    )  # fmt: skip
    given = Given(pd.DataFrame(), cases, {}, ["venous"], (1.0, 1.0, 1.5), folder, margin_mm=margin_mm)
    made, failed = given.inputs("venous", ["a"], VIEW, lambda volume: volume, outline, roi)
    assert failed.empty
    return made["a"]


def around(volume: Volume, of: np.ndarray) -> np.ndarray:
    """Return the block of 41 voxels a side around a region, 0 beyond the volume, as networks cut their input."""
    middle = [int(np.round(index.mean())) for index in np.nonzero(of)]
    return np.pad(volume.image, 41)[tuple(slice(m + 21, m + 62) for m in middle)]


@pytest.mark.parametrize("margin_mm", [3.0, 10.0])
@pytest.mark.parametrize("others", [["mask_reader2"], ["roi_rough"], ["mask_reader2", "roi_rough"]])
def test_other_outlines_change_nothing_of_what_a_network_sees(
    files: dict[str, str], tmp_path: Path, others: list[str], margin_mm: float
) -> None:
    alone = seen({name: files[name] for name in ("image", "mask")}, tmp_path / "alone", margin_mm)
    more = seen({name: files[name] for name in ("image", "mask", *others)}, tmp_path / "more", margin_mm)
    assert alone.mask.sum() == more.mask.sum()
    first, second = around(alone, alone.mask), around(more, more.mask)
    assert first.max() > 0.5
    np.testing.assert_allclose(first, second, rtol=0, atol=2e-6)
    assert not first[:, 0].any()  # beyond the margin there is nothing
    assert not second[:, 0].any()


def test_the_second_readers_outline_brings_its_own_margin(files: dict[str, str], tmp_path: Path) -> None:
    alone = {"image": files["image"], "mask": files["mask_reader2"]}
    first, second = seen(alone, tmp_path / "alone", 5.0), seen(files, tmp_path / "all", 5.0, "mask_reader2")
    np.testing.assert_allclose(around(first, first.mask), around(second, second.mask), rtol=0, atol=2e-6)


def test_a_rough_region_is_seen_whole(files: dict[str, str], tmp_path: Path) -> None:
    volume = seen(files, tmp_path, 1.0, roi=Roi(roi="rough"))
    assert (volume.image[volume.roi] != 0).mean() > 0.6  # half of the noise lies above the window's lower edge
    assert volume.roi.sum() > 3 * volume.mask.sum()


def test_voxels_lie_where_those_of_the_whole_image_lie(files: dict[str, str], tmp_path: Path) -> None:
    case = pd.DataFrame([{"subject": "a", "phase": "venous", **files}])
    cases = preprocess(case, tmp_path, spacing_mm=(1.0, 1.0, 1.5), progress=False)
    image, whole = sitk.ReadImage(cases.loc[0, "image"]), sitk.ReadImage(files["image"])
    corner = np.asarray(whole.GetOrigin()) - np.asarray(SPACING) / 2
    steps = (np.asarray(image.GetOrigin()) - corner) / np.asarray(image.GetSpacing()) - 0.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
