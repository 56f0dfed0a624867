"""Contours in any planes become voxels, and keep their volume."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from radsupport.errors import GeometryError
from radsupport.imaging.contours import XOR, Contour, draw


@settings(deadline=None)
@given(st.floats(0.3, 2.5), st.floats(0.3, 2.5), st.floats(20, 30), st.floats(20, 30), st.floats(2.0, 5.0))
def test_a_disc_holds_the_pixels_whose_centres_lie_inside(
    dx: float, dy: float, cx: float, cy: float, radius: float
) -> None:
    image = sitk.Image([50, 50, 1], sitk.sitkInt16)
    image.SetSpacing([dx, dy, 1.0])
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    polygon = np.column_stack([cx * dx + radius * np.cos(angle), cy * dy + radius * np.sin(angle), 0 * angle])
    mask = draw([Contour(polygon)], image).mask[0]
    y, x = np.mgrid[:50, :50]
    distance = np.hypot((x - cx) * dx, (y - cy) * dy)
    assert mask[distance < radius - 1e-4 * radius].all()
    assert not mask[distance > radius + 1e-9].any()


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=3, max_size=8, unique=True),
    st.integers(0, 12),
)
def test_two_halves_of_a_square_share_no_pixel_and_leave_none_out(corners: list[tuple[int, int]], cut: int) -> None:
    image = sitk.Image([13, 13, 1], sitk.sitkInt16)
    left, right, whole = (
        np.array([[a, 0, 0], [b, 0, 0], [b, 12, 0], [a, 12, 0]], float) for a, b in ((0, cut), (cut, 12), (0, 12))
    )
    masks = [draw([Contour(one)], image).mask for one in (left, right, whole)]
    np.testing.assert_array_equal(masks[0] + masks[1], masks[2])
    polygon = Contour(np.array([[x, y, 0.0] for x, y in corners]))
    np.testing.assert_array_equal(draw([polygon, polygon], image).mask, draw([polygon], image).mask)


def grid(n: int = 12, thickness: float = 3.0, origin: float = 0.0) -> sitk.Image:
    image = sitk.Image([40, 40, n], sitk.sitkInt16)
    image.SetSpacing([1.0, 1.0, thickness])
    image.SetOrigin([0.0, 0.0, origin])
    return image


def disc(z: float, radius: float = 8.0, x: float = 19.6, y: float = 20.3, kind: str = "CLOSED_PLANAR") -> Contour:
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    points = [x + radius * np.cos(angle), y + radius * np.sin(angle), np.full(angle.size, z)]
    return Contour(np.column_stack(points), kind)


def square(z: float, low: tuple[float, float], high: tuple[float, float], kind: str = "CLOSED_PLANAR") -> Contour:
    (x0, y0), (x1, y1) = low, high
    return Contour(np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]]), kind)


@settings(max_examples=40)
@given(st.floats(1, 5), st.floats(1, 5), st.floats(10, 15), st.floats(0, 1), st.floats(0, 1))
def test_a_region_keeps_its_volume_on_any_slices(
    thickness: float, step: float, radius: float, shift: float, start: float
) -> None:
    image = grid(int(60 / thickness), thickness, -30 + shift * thickness)
    heights = np.arange(-radius + start * step, radius, step)
    heights = heights[np.abs(heights) < radius - 0.05]
    ball = draw([disc(z, np.sqrt(radius**2 - z**2)) for z in heights], image)
    assert ball.drawn_mm3 == pytest.approx(np.pi * step * (radius**2 - heights**2).sum(), rel=0.01)
    ends = np.pi * (radius**2 - heights[[0, -1]] ** 2).sum() * thickness / 2  # an end lies anywhere in its slice
    assert abs(ball.mask.sum() * thickness - ball.drawn_mm3) <= ends + 0.05 * ball.drawn_mm3
    drum, section = draw([disc(z, radius) for z in heights], image), np.pi * radius**2
    assert drum.drawn_mm3 == pytest.approx(len(heights) * step * section, rel=0.01)
    assert abs(drum.mask.sum() * thickness - drum.drawn_mm3) <= section * thickness + 0.03 * drum.drawn_mm3


@pytest.mark.parametrize(
    ("heights", "slices"),
    [
        (7.5 + 3 * np.arange(8), 8),  # half-way between slices
        (6.0 + 3 * np.arange(8), 8),  # on them
        (6.0 + 6 * np.arange(4), 8),  # on every other one
        (6.75 + 1.5 * np.arange(8), 4),  # twice as dense
        (6.0 + 1.0 * np.arange(12), 4),
        ([7.5], 1),
    ],
)
def test_a_drum_fills_as_many_slices_as_it_is_high(heights: np.ndarray, slices: int) -> None:
    found = draw([disc(z) for z in heights], grid())
    counts = found.mask.sum(axis=(1, 2))
    assert sorted(set(counts)) == [0, draw([disc(6.0)], grid()).mask.sum()]
    assert np.count_nonzero(counts) == slices == np.ptp(np.flatnonzero(counts)) + 1
    assert found.drawn_mm3 == pytest.approx(slices * 3.0 * np.pi * 64, rel=0.01)


def test_a_gap_is_left_as_drawn_and_named() -> None:
    found = draw([disc(z) for z in (6.0, 9.0, 12.0, 21.0, 24.0)], grid())
    assert np.flatnonzero(found.mask.any(axis=(1, 2))).tolist() == [2, 3, 4, 7, 8]
    assert found.notes == ("no contour between 12 and 21 mm: left empty, as drawn",)


def test_parts_that_do_not_overlap_are_not_joined_across() -> None:
    found = draw([disc(6.0, 3, x=10), disc(12.0, 3, x=30)], grid())
    assert np.count_nonzero(found.mask.any(axis=(1, 2))) == 4
    assert not found.mask[:, :, 15:25].any()


def test_contours_of_one_plane_are_united_and_inner_ones_are_holes() -> None:
    whole, inner, island = (square(6, (a, a), (b, b)) for a, b in ((5.5, 25.5), (10.5, 20.5), (13.5, 15.5)))

    def n(*contours: Contour) -> int:
        return int(draw(contours, grid()).mask.sum())

    assert n(whole) == 400
    assert n(whole, inner) == n(inner, whole) == 300
    backwards = Contour(inner.points[::-1])
    assert n(whole, backwards) == 300
    assert n(whole, inner, island) == n(island, whole, inner) == 304
    assert n(whole, whole, inner, inner) == 300
    shifted = Contour(np.roll(whole.points, 2, axis=0) + 0.01 * np.eye(3)[0])
    assert n(whole, shifted) == 400
    beside = square(6, (15.5, 5.5), (35.5, 25.5))
    assert n(whole, beside) == 600
    assert n(Contour(whole.points, XOR), Contour(beside.points, XOR)) == 400
    assert n(Contour(whole.points, XOR), Contour(inner.points, XOR)) == 300
    ring = np.vstack([whole.points, whole.points[:1], inner.points[:1], inner.points[::-1]])
    assert n(Contour(ring)) == 300  # a keyhole
    tie = Contour(whole.points[[0, 2, 1, 3]])
    assert n(tie) == 200
    assert draw([tie], grid()).drawn_mm3 == pytest.approx(600, rel=0.001)
    assert n(Contour(np.vstack([whole.points, whole.points]))) == 400  # walked twice
    assert draw([whole, inner], grid()).drawn_mm3 == pytest.approx(900)
    assert draw([whole, beside], grid()).drawn_mm3 == pytest.approx(1800)


def test_what_was_decided_is_said() -> None:
    one, beside = square(6, (5.5, 5.5), (25.5, 25.5)), square(6, (15.5, 5.5), (35.5, 25.5))
    between = draw([disc(7.0), disc(10.0)], grid())
    assert between.notes == ("contour planes every 3 mm and up to 1 mm off the slices brought to slices every 3 mm",)
    assert draw([one, one], grid()).notes == ("1 contour stored twice: used once",)
    assert draw([one, beside], grid()).notes == ("contours of one plane overlap in part: united (at 6 mm)",)
    assert draw([one, Contour(one.points[:2])], grid()).notes == (
        "1 contour of fewer than three points left out: no area",
    )
    thin = draw([disc(z) for z in (6.0, 7.0, 8.0, 9.0)], grid())
    assert thin.notes == ("contour planes every 1 mm and up to 1 mm off the slices brought to slices every 3 mm",)
    cut = draw([square(6, (-10.5, 5.5), (29.5, 25.5))], grid())
    assert cut.mask.sum() == 600
    assert cut.notes == ("25.0% of the region lies outside the image and is cut off",)
    assert draw([], grid()).mask.sum() == 0


def test_contours_that_do_not_fit_are_counted_and_placed() -> None:
    tilted = disc(6.0)
    tilted.points[:, 2] += 0.1 * tilted.points[:, 0]
    with pytest.raises(GeometryError) as caught:
        draw([disc(6.0), tilted, disc(-9.0), disc(50.0), disc(9.0, x=90.0)], grid(), "rs.dcm")
    said = [f"{problem.what}, {problem.value}" for problem in caught.value.problems]
    assert said == [
        "1 contour not parallel to the slices, 7.96 mm",
        "2 contours above or below the image, -9, 50 mm",
        "1 contour wholly outside the image, beside it, 9 mm",
    ]
    with pytest.raises(GeometryError, match="75% of the region lies outside"):
        draw([square(6, (-30.5, 5.5), (9.5, 25.5))], grid())


@settings(max_examples=15)
@given(st.tuples(*[st.floats(-3, 3)] * 3), st.floats(0, 3))
def test_a_turned_scan_gives_the_same_voxels(angles: tuple[float, float, float], start: float) -> None:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    straight, turned = grid(), grid()
    turned.SetDirection(turn.GetMatrix())
    drawn = [disc(6.0 + start + 2 * k, 5 + k) for k in range(4)]
    moved = [Contour(contour.points @ np.reshape(turn.GetMatrix(), (3, 3)).T) for contour in drawn]
    differs = draw(drawn, straight).mask != draw(moved, turned).mask
    assert differs.sum() <= 4  # a centre on an edge may fall to either side
