"""RTSTRUCT and SEG on the grid of their CT."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from helpers.dicom_files import SERIES, box, refer, write_ct, write_rtstruct, write_seg
from pydicom.uid import generate_uid

from radsupport.errors import GeometryError, InputError, MaskError, RadsupportError
from radsupport.imaging.dicom import Series, read_series
from radsupport.imaging.outlines import read_outline


def region_names(path: Path, series: Series) -> list[str]:
    """Return the names that an error offers."""
    with pytest.raises(InputError) as caught:
        read_outline(path, series, "no such name")
    return caught.value.problems[0].expected.removeprefix("one of ").split(", ")


def test_contours_are_filled_by_the_pixel_centre_rule(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    hole = box(8.0, (-8.8, -8.2), (23.0, 25.0))
    path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": [box(8.0), hole, box(11.0)], "Lung": [box(8.0)]})
    mask = sitk.GetArrayFromImage(read_outline(path, series, "GTV").mask)
    expected = np.zeros((6, 5, 4), np.uint8)
    expected[1:3, 1:4, 1:3] = 1  # centres at x -8.5, -7; y 22, 24, 26
    expected[1, 2, 1] = 0
    np.testing.assert_array_equal(mask, expected)
    assert region_names(path, series) == ["GTV", "Lung"]


def test_regions_that_can_not_be_drawn_are_explained(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    path = write_rtstruct(tmp_path / "a.dcm", {"GTV-1": [box(8.0)], "Lung": [box(8.0)]})
    expected = r"no region 'GTV1' Expected: one of GTV-1, Lung\. Remedy: did you mean 'GTV-1'"
    with pytest.raises(InputError, match=expected):
        read_outline(path, series, "GTV1")
    with pytest.raises(InputError, match="2 regions and none named"):
        read_outline(path, series)
    outside = write_rtstruct(tmp_path / "b.dcm", {"GTV": [box(8.0), box(50.0)]})
    with pytest.raises(GeometryError, match="1 contour above or below the image"):
        read_outline(outside, series)
    tilted = box(8.0)
    tilted[0, 2] = 12.0
    with pytest.raises(GeometryError, match="not parallel"):
        read_outline(write_rtstruct(tmp_path / "c.dcm", {"GTV": [tilted]}), series)
    with pytest.raises(GeometryError, match="another frame of reference"):
        read_outline(write_rtstruct(tmp_path / "d.dcm", {"GTV": [box(8.0)]}, frame=generate_uid()), series)
    with pytest.raises(InputError, match="1 contour of type POINT"):
        read_outline(write_rtstruct(tmp_path / "e.dcm", {"GTV": [box(8.0)]}, kind="POINT"), series)
    with pytest.raises(InputError, match="no contours"):
        read_outline(write_rtstruct(tmp_path / "f.dcm", {"GTV": []}), series)
    with pytest.raises(MaskError, match="no voxel centre"):
        read_outline(write_rtstruct(tmp_path / "g.dcm", {"GTV": [box(8.0, (-9.9, -9.8))]}), series)
    with pytest.raises(InputError, match="modality CT"):
        read_outline(next((tmp_path / "ct").iterdir()), series)
    with pytest.raises(InputError, match="no such file"):
        read_outline(tmp_path / "none.dcm", series)


def test_the_liver_segment_equals_its_nrrd(shared: Path) -> None:
    source = shared / "real" / "dcmqi_ct_seg"
    series = read_series(source / "ct-3slice")
    mask = read_outline(source / "liver.dcm", series).mask
    theirs = sitk.ReadImage(str(source / "liver_seg.nrrd"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), sitk.GetArrayFromImage(theirs))
    assert mask.GetOrigin() == series.image.GetOrigin()


def test_overlapping_segments_are_chosen_by_name(shared: Path) -> None:
    source = shared / "real" / "dcmqi_ct_seg"
    series, path = read_series(source / "ct-3slice"), source / "partial_overlaps.dcm"
    assert region_names(path, series) == ["GREEN", "ORANGE", "PURPLE", "LIGHT_BLUE", "DARK_BLUE"]
    assert sitk.GetArrayFromImage(read_outline(path, series, "ORANGE").mask).sum() == 11888
    with pytest.raises(InputError, match="5 regions and none named"):
        read_outline(path, series)
    with pytest.raises(InputError, match="did you mean 'GREEN'"):
        read_outline(path, series, "GREN")
    with pytest.raises(InputError, match="modality CT"):
        read_outline(source / "ct-3slice" / "01.dcm", series)


def names_of(data: pydicom.Dataset, before: tuple[tuple[str, int], ...] = ()) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield the way to every element of a data set, at every level."""
    for element in data:
        yield (*before, (element.keyword, 0))
        if element.VR == "SQ":
            for i, item in enumerate(element.value):
                yield from names_of(item, (*before, (element.keyword, i)))


def without(data: pydicom.Dataset, way: tuple[tuple[str, int], ...], value: object = ...) -> pydicom.Dataset:
    """Return a copy in which one element is missing, or empty."""
    found = inner = copy.deepcopy(data)
    for keyword, i in way[:-1]:
        inner = inner[keyword].value[i]
    del inner[way[-1][0]]
    if value is not ...:
        setattr(inner, way[-1][0], value)
    return found


def valid(folder: Path) -> tuple[Path, str]:
    drawn = {"GTV": [box(8.0), box(11.0)], "Lung": [box(5.0)]}
    return write_rtstruct(folder / "rs.dcm", drawn, edit=lambda data: refer(data, SERIES)), "GTV"


def valid_seg(kind: str, folder: Path) -> tuple[Path, str]:
    drawn = 60 * BLOCK if kind == "FRACTIONAL" else BLOCK
    frames = [(1, 1, drawn), (2, 2, 0 * BLOCK), (1, 2, drawn)]
    return write_seg(folder / "seg.dcm", frames, ("tumour", "organ"), kind), "tumour"


BLOCK = np.zeros((5, 4), np.uint8)
BLOCK[1:4, 1:3] = 1


@pytest.mark.parametrize("write", [valid, partial(valid_seg, "BINARY"), partial(valid_seg, "FRACTIONAL")])
def test_a_file_that_lacks_anything_gives_the_same_mask_or_a_reason(
    write: Callable[[Path], tuple[Path, str]], tmp_path: Path
) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    path, region = write(tmp_path)
    right = sitk.GetArrayFromImage(read_outline(path, series, region).mask)
    assert right.sum() == 12
    data, refused = pydicom.dcmread(path), 0
    for way in list(names_of(data)):
        for value in (..., None):
            try:
                without(data, way, value).save_as(tmp_path / "less.dcm")
            except Exception:  # noqa: BLE001 - a file that can not be written can not be met
                continue
            try:
                mask = sitk.GetArrayFromImage(read_outline(tmp_path / "less.dcm", series, region).mask)
            except RadsupportError as error:
                refused += "less.dcm" in str(error)
                continue
            np.testing.assert_array_equal(mask, right, err_msg=str(way))
    assert refused > 10


def test_a_slice_without_its_place_is_refused(tmp_path: Path) -> None:
    for keyword in (
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "PixelSpacing",
        "SeriesInstanceUID",
        "SOPInstanceUID",
    ):

        def lose(data: pydicom.Dataset, k: int, keyword: str = keyword) -> None:
            if k == 3:
                delattr(data, keyword)

        write_ct(tmp_path / keyword, edit=lose)
        if keyword == "SOPInstanceUID":
            assert read_series(tmp_path / keyword).n_slices == 6
            continue
        with pytest.raises(InputError, match=keyword if keyword != "SeriesInstanceUID" else "Which series"):
            read_series(tmp_path / keyword)


def test_names_that_are_missing_doubled_or_typed_otherwise(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")

    def rename(*names: str | None) -> Callable[[pydicom.Dataset], None]:
        def edit(data: pydicom.Dataset) -> None:
            for item, name in zip(data.StructureSetROISequence, names, strict=True):
                item.ROIName = name

        return edit

    drawn = {"a": [box(8.0)], "b": [box(5.0), box(8.0)]}
    twice = write_rtstruct(tmp_path / "a.dcm", drawn, edit=rename("GTV", "GTV"))
    for asked in ("GTV", None):
        with pytest.raises(InputError, match=r"used twice: GTV \(1\), GTV \(2\) are told apart"):
            read_outline(twice, series, asked)
    assert read_outline(twice, series, "GTV (2)").mm3 == 108.0
    nameless = write_rtstruct(tmp_path / "b.dcm", drawn, edit=rename(None, "Lung "))
    assert region_names(nameless, series) == ["number 1", "Lung"]
    assert read_outline(nameless, series, " Lung").name == "Lung"
    with pytest.raises(InputError, match="did you mean 'Lung'"):
        read_outline(nameless, series, "lung")
    confusing = write_rtstruct(tmp_path / "c.dcm", {**drawn, "c": [box(8.0)]}, edit=rename("X", "X", "X (2)"))
    assert len(set(region_names(confusing, series))) == 3


def test_an_outline_of_another_series_is_refused_with_both_names(tmp_path: Path) -> None:
    other = generate_uid()

    def call(data: pydicom.Dataset, k: int) -> None:
        data.SeriesDescription = "arterial" if data.SeriesInstanceUID == SERIES else "venous"

    write_ct(tmp_path / "a", edit=call)
    write_ct(tmp_path / "v", edit=call, series=other)
    series, venous = read_series(tmp_path, SERIES), read_series(tmp_path, other)

    def image(data: pydicom.Dataset) -> None:
        item = data.ROIContourSequence[0].ContourSequence[0]
        item.ContourImageSequence = [pydicom.Dataset()]
        item.ContourImageSequence[0].ReferencedSOPInstanceUID = sorted(venous.instances)[0]

    for edit in (lambda data: refer(data, other), image):
        path = write_rtstruct(tmp_path / "rs.dcm", {"GTV": [box(8.0)]}, edit=edit)
        with pytest.raises(InputError) as caught:
            read_outline(path, series)
        assert f"{other} (venous)" in str(caught.value)
        assert f"{SERIES} (arterial)" in str(caught.value)
        assert read_outline(path, venous).mm3 == 54.0
    named = pydicom.Dataset()
    named.SeriesInstanceUID = other
    seg = write_seg(
        tmp_path / "seg.dcm", [(1, 1, BLOCK)], edit=lambda data: setattr(data, "ReferencedSeriesSequence", [named])
    )
    with pytest.raises(InputError, match="venous"):
        read_outline(seg, series)
    assert read_outline(write_rtstruct(tmp_path / "rs.dcm", {"GTV": [box(8.0)]}), series).mm3 == 54.0


def test_segments_are_placed_frame_by_frame(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 2, (6, 5, 4)).astype(np.uint8)

    def drawn(
        frames: list[tuple[int, int, np.ndarray]], kind: str = "BINARY", segment: str | None = None
    ) -> np.ndarray:
        path = write_seg(tmp_path / "seg.dcm", frames, ("a", "b")[: max(n for n, _, _ in frames)], kind)
        return sitk.GetArrayFromImage(read_outline(path, series, segment).mask)

    np.testing.assert_array_equal(drawn([(1, k, planes[k]) for k in (4, 0, 2, 5, 1, 3)]), planes)
    single = drawn([(1, 3, planes[3])])
    np.testing.assert_array_equal(single[3], planes[3])
    assert single.sum() == planes[3].sum()
    sparse = drawn([(1, 5, planes[5]), (1, 1, planes[1])])
    np.testing.assert_array_equal(sparse[[1, 5]], planes[[1, 5]])
    assert not sparse[[0, 2, 3, 4]].any()
    both = [(n, k, planes[k] if n == 1 else 1 - planes[k] // 2) for k in range(6) for n in (1, 2)]
    np.testing.assert_array_equal(drawn(both, segment="a"), planes)
    assert drawn(both, segment="b").all()
    shares = rng.integers(0, 101, (6, 5, 4)).astype(np.uint8)
    found = drawn([(1, k, shares[k]) for k in range(6)], "FRACTIONAL")
    np.testing.assert_array_equal(found, shares >= 50)
    np.testing.assert_array_equal(
        drawn([(1, k, 2 * planes[k]) for k in range(6)] + [(2, 0, 0 * planes[0])], "LABELMAP", "b"), planes
    )


def test_segments_off_the_grid_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    series = read_series(tmp_path / "ct")

    def move(way: str, value: list[float]) -> Callable[[pydicom.Dataset], None]:
        def edit(data: pydicom.Dataset) -> None:
            frame = data.PerFrameFunctionalGroupsSequence[1]
            if way == "position":
                frame.PlanePositionSequence[0].ImagePositionPatient = value
            else:
                frame.PlaneOrientationSequence = [pydicom.Dataset()]
                frame.PlaneOrientationSequence[0].ImageOrientationPatient = value

        return edit

    frames = [(1, 1, BLOCK), (1, 2, BLOCK)]
    for way, value, text in (
        ("position", [-10, 20, 9.5], "not 3 mm apart"),
        ("position", [-9, 20, 11], "not 3 mm apart"),
        ("position", [-10, 20, 1e9 + 2], "outside the image"),
        ("orientation", [0, 1, 0, 1, 0, 0], "frames of different orientation"),
        ("orientation", [0, 0, 0, 1, 0, 0], "no two axes"),
    ):
        path = write_seg(tmp_path / "seg.dcm", frames, edit=move(way, value))
        with pytest.raises((GeometryError, InputError), match=text):
            read_outline(path, series)
