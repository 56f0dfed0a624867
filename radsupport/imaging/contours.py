"""Closed contours in parallel planes become voxels, whatever planes they were drawn in.

Contours that lie on the slices are filled slice by slice. Others stand for a slab as thick as the distance of their
planes; between two planes the shape is interpolated, and a voxel belongs to the region where at least half of its
height does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from radsupport.errors import GeometryError, Problem
from radsupport.wording import counted

CLOSED, XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
#: Distance from a slice, and between two contours of one plane, that counts as rounding, in slices.
ON_SLICE, SAME_PLANE = 0.1, 0.02
FLAT_MM = 0.2
#: Two planes belong together up to this many times the usual distance, and up to this many mm.
JOINED, JOINED_MM = 1.5, 10.0
#: Boundaries that stay this close, in pixels, are one contour stored twice.
SAME_PIXELS = 0.5
#: Heights at which a slice is looked through; odd, so that a region that covers exactly half has a side.
HEIGHTS = 11
AREA_LINES = 64
MOSTLY_OUTSIDE = 0.5


@dataclass(frozen=True)
class Contour:
    """One closed polygon: points (n, 3) in patient coordinates (LPS, mm), and DICOM's geometric type."""

    points: npt.NDArray[np.float64]
    kind: str = CLOSED


@dataclass(frozen=True)
class Drawn:
    """A region on the grid of an image.

    Attributes
    ----------
    mask : array, shape (z, y, x)
        0 and 1.
    drawn_mm3 : float
        What the contours enclose: area times distance of the planes.
    notes : tuple of str
        What was decided on the way; empty where every contour lies on its slice and inside the image.
    """

    mask: npt.NDArray[np.uint8]
    drawn_mm3: float
    notes: tuple[str, ...] = ()


@dataclass
class _Plane:
    """The contours of one plane filled on the canvas; `level` and `height` in slices, the first on its slice."""

    level: float
    height: float
    filled: npt.NDArray[np.bool_]
    area: float
    twice: int = 0
    overlap: bool = False
    depth: npt.NDArray[np.float64] | None = None

    def inside(self, pixel: Sequence[float]) -> npt.NDArray[np.float64]:
        """Return the signed distance from the boundary in mm, positive inside."""
        if self.depth is None:
            near = [ndimage.distance_transform_edt(part, pixel) for part in (self.filled, ~self.filled)]
            self.depth = near[0] - near[1]
        return self.depth


def draw(contours: Sequence[Contour], image: sitk.Image, name: str = "") -> Drawn:
    """Fill closed planar contours.

    Parameters
    ----------
    contours : sequence of Contour
        Of one region, in planes parallel to the slices.
    image : SimpleITK.Image
        Its grid is filled.
    name : str
        For messages.

    Returns
    -------
    Drawn

    Raises
    ------
    GeometryError
        Contours that are not parallel to the slices or lie wholly outside the image, or a region with its larger part
        outside; heights are named.

    Notes
    -----
    In one plane CLOSED_PLANAR contours are united; one that lies inside another is a hole, one inside a hole an island
    again. CLOSEDPLANAR_XOR contours are combined by exclusive or. Between two planes the mean of the signed distances,
    weighted by nearness, is cut where the area is the weighted mean of both areas, so that the volume is that of area
    times distance; contours that do not overlap are not joined, the nearer one counts.
    """
    to_index = np.linalg.inv(np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing()))
    single = [Contour(_once(contour.points), contour.kind) for contour in contours]
    kept = [contour for contour in single if len(contour.points) > 2]
    indices = [(contour.points - np.asarray(image.GetOrigin())) @ to_index.T for contour in kept]
    _refuse_misfits(indices, image, name)
    low, high = _canvas(indices, image)
    if not kept:
        return Drawn(np.zeros(image.GetSize()[::-1], np.uint8), 0.0, _ignored(contours, kept))
    raw = [float(index[:, 2].mean()) for index in indices]
    levels, planes = _levels(raw), []
    for level in sorted(set(levels)):
        height = float(np.mean([own for own, at in zip(raw, levels, strict=True) if at == level]))
        polygons = [index[:, :2] - low for index, own in zip(indices, levels, strict=True) if own == level]
        kinds = [contour.kind for contour, own in zip(kept, levels, strict=True) if own == level]
        planes.append(_plane(level, height, polygons, kinds, tuple((high - low)[::-1])))
    spacing, notes = image.GetSpacing(), list(_ignored(contours, kept))
    step, runs = _runs(planes, spacing[2])
    notes += _notes(planes, runs, step, image)
    whole = _voxels(planes, runs, step, spacing)
    mask, share = _cut(whole, low, image)
    if share > MOSTLY_OUTSIDE:
        what = f"{share:.0%} of the region lies outside the image"
        raise GeometryError("The contours do not fit the image.", [Problem(what, remedy="pair them anew", file=name)])
    notes += [f"{share:.1%} of the region lies outside the image and is cut off"] if share else []
    thickness = sum(plane.area * height for run in runs for plane, height in _heights(run, step))
    return Drawn(mask, thickness * float(np.prod(spacing)), tuple(notes))


def _once(points: npt.NDArray) -> npt.NDArray:
    """Return a polygon without its first point at the end, and once where it was walked twice."""
    closed = len(points) > 1 and np.allclose(points[0], points[-1])
    points = points[:-1] if closed else points
    half = len(points) // 2
    return points[:half] if half > 2 and len(points) % 2 == 0 and np.allclose(points[:half], points[half:]) else points


def _ignored(contours: Sequence[Contour], kept: Sequence[Contour]) -> tuple[str, ...]:
    n = len(contours) - len(kept)
    return (f"{counted(n, 'contour')} of fewer than three points left out: no area",) if n else ()


def heights_of(levels: Sequence[float], image: sitk.Image) -> str:
    """Return positions along the normal of the slices (mm, patient coordinates) as words, the first eight."""
    direction = np.reshape(image.GetDirection(), (3, 3))[:, 2]
    zero = float(np.asarray(image.GetOrigin()) @ direction)
    shown = [f"{zero + level * image.GetSpacing()[2]:.4g}" for level in sorted(set(levels))]
    return ", ".join(shown[:8]) + (" …" if len(shown) > 8 else "") + " mm"


def _refuse_misfits(indices: Sequence[npt.NDArray], image: sitk.Image, name: str) -> None:
    """Refuse contours that are tilted, above, below or wholly beside the image, all at once."""
    size, thickness = np.asarray(image.GetSize()), image.GetSpacing()[2]
    flat = max(0.1, FLAT_MM / thickness)
    lows, highs = ([bound(index, axis=0) for index in indices] for bound in (np.min, np.max))
    tilted = [index for index in indices if np.ptp(index[:, 2]) > flat]
    beyond, beside = [], []
    for index, low, high in zip(indices, lows, highs, strict=True):
        if np.ptp(index[:, 2]) > flat:
            continue
        if not -0.5 - ON_SLICE <= index[:, 2].mean() <= size[2] - 0.5 + ON_SLICE:
            beyond.append(index)
        elif (low[:2] > size[:2] - 0.5).any() or (high[:2] < -0.5).any():
            beside.append(index)
    faults = {
        "not parallel to the slices": (tilted, "export them on the planes of this series"),
        "above or below the image": (beyond, "pair them with their own series"),
        "wholly outside the image, beside it": (beside, "pair them with their own series"),
    }
    problems = []
    for what, (found, remedy) in faults.items():
        if found:
            at = heights_of([float(index[:, 2].mean()) for index in found], image)
            problems.append(Problem(f"{counted(len(found), 'contour')} {what}", remedy=remedy, file=name, value=at))
    if problems:
        raise GeometryError("The contours do not fit the image.", problems)


def _canvas(indices: Sequence[npt.NDArray], image: sitk.Image) -> tuple[npt.NDArray, npt.NDArray]:
    """Return first and last pixel (x, y) that the contours need, at most one image beyond the image."""
    size = np.asarray(image.GetSize()[:2])
    if not indices:
        return np.zeros(2, int), size
    points = np.concatenate(indices)[:, :2]
    low, high = np.floor(points.min(axis=0)) - 1, np.ceil(points.max(axis=0)) + 2
    return np.maximum(low, -size).astype(int), np.minimum(high, 2 * size).astype(int)


def _levels(raw: Sequence[float]) -> list[float]:
    """Return the plane of each contour, in slices; planes that differ by rounding are one."""
    order, found = np.argsort(raw, kind="stable"), np.zeros(len(raw))
    ordered = np.asarray(raw)[order]
    groups = np.cumsum(np.diff(ordered, prepend=ordered[0]) > SAME_PLANE)
    for group in range(groups[-1] + 1):
        found[order[groups == group]] = ordered[groups == group].mean()
    near = np.rint(found)
    return (near if (np.abs(found - near) <= ON_SLICE).all() else found).tolist()


def _plane(
    level: float, height: float, polygons: Sequence[npt.NDArray], kinds: Sequence[str], shape: tuple[int, ...]
) -> _Plane:
    """Fill the contours of one plane and combine them; see `draw`."""
    closed = [polygon for polygon, kind in zip(polygons, kinds, strict=True) if kind != XOR]
    single = [p for i, p in enumerate(closed) if not any(_same(p, other) for other in closed[:i])]
    fills = [fill(polygon, shape) for polygon in single]
    sizes = [int(filled.sum()) for filled in fills]
    holds = [[a < b and not (small & ~big).any() for b, big in zip(sizes, fills, strict=True)]
             for a, small in zip(sizes, fills, strict=True)]  # fmt: skip
    plane, area, overlap = np.zeros(shape, bool), 0.0, False
    for i in np.argsort(sizes, kind="stable")[::-1]:
        is_hole = sum(holds[i]) % 2 == 1
        area += -_area(single[i]) if is_hole else _area(single[i])
        plane = plane & ~fills[i] if is_hole else plane | fills[i]
        met = [(fills[i] & fills[j]).any() and not holds[i][j] and not holds[j][i] for j in range(i)]
        overlap |= any(met)
    exclusive = [polygon for polygon, kind in zip(polygons, kinds, strict=True) if kind == XOR]
    for polygon in exclusive:
        plane = plane ^ fill(polygon, shape)
    alone = len(exclusive) == 1 and not single
    counted_area = _area(exclusive[0]) if alone else float(plane.sum())
    return _Plane(
        level, height, plane, counted_area if exclusive or overlap else area, len(closed) - len(single), overlap
    )


def _same(one: npt.NDArray, other: npt.NDArray) -> bool:
    """Return whether two polygons are one drawn twice: no point of either is far from the other's boundary."""
    corners = [np.concatenate([p.min(axis=0), p.max(axis=0)]) for p in (one, other)]
    if np.abs(corners[0] - corners[1]).max() > SAME_PIXELS:
        return False
    return max(_far(one, other), _far(other, one)) <= SAME_PIXELS


def _far(points: npt.NDArray, polygon: npt.NDArray) -> float:
    """Return the largest distance of points (n, 2) from the boundary of a polygon."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    away = points[:, None] - polygon
    along = (away * edges).sum(-1) / np.maximum((edges**2).sum(-1), 1e-12)
    return float(np.linalg.norm(away - np.clip(along, 0, 1)[..., None] * edges, axis=-1).min(axis=1).max())


def _area(polygon: npt.NDArray) -> float:
    """Return the area of a polygon in pixels by the even-odd rule, from the lengths of scan lines through it."""
    low, high = polygon[:, 1].min(), polygon[:, 1].max()
    step = (high - low) / AREA_LINES
    lengths = (np.diff(_crossings(polygon, y))[::2].sum() for y in low + (np.arange(AREA_LINES) + 0.5) * step)
    return float(sum(lengths)) * step


def _crossings(polygon: npt.NDArray, y: float) -> npt.NDArray[np.float64]:
    """Return where a line of constant y crosses the boundary, from left to right."""
    x_next, y_next = np.roll(polygon, -1, axis=0).T
    cut = (polygon[:, 1] <= y) != (y_next <= y)
    (x, low), x_next, y_next = polygon[cut].T, x_next[cut], y_next[cut]
    return np.sort(x + (y - low) / (y_next - low) * (x_next - x))


def fill(polygon: npt.NDArray, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return the pixels whose centres lie inside a polygon (even-odd rule, so a keyhole leaves its hole), row by row.

    A centre exactly on an edge counts as inside on the left and not on the right (half-open spans), so two
    polygons that share an edge never share a pixel.
    """
    plane, y = np.zeros(shape, bool), polygon[:, 1]
    for row in range(max(int(np.ceil(y.min())), 0), min(int(np.ceil(y.max())), plane.shape[0])):
        crossings = _crossings(polygon, row)
        for left, right in zip(crossings[::2], crossings[1::2], strict=True):
            start, stop = max(int(np.ceil(left)), 0), max(int(np.ceil(right)), 0)
            plane[row, start:stop] ^= True
    return plane


def _runs(planes: list[_Plane], thickness: float) -> tuple[float, list[list[_Plane]]]:
    """Return the usual distance of planes in slices, and the planes that belong together."""
    gaps, limit = np.diff([plane.level for plane in planes]), max(JOINED_MM / thickness, JOINED)
    step = float(np.median(gaps[gaps <= limit])) if (gaps <= limit).any() else 1.0
    cuts = [*(np.flatnonzero(gaps > min(JOINED * step, limit)) + 1), len(planes)]
    return step, [planes[start:stop] for start, stop in zip([0, *cuts[:-1]], cuts, strict=True)]


def _heights(run: Sequence[_Plane], step: float) -> Iterator[tuple[_Plane, float]]:
    """Yield each plane with the height it stands for, in slices."""
    at = [plane.height for plane in run]
    usual = float(np.median(np.diff(at))) if len(run) > 1 else step
    ends = [at[0] - usual, *at, at[-1] + usual]
    for i, plane in enumerate(run, start=1):
        yield plane, (ends[i + 1] - ends[i - 1]) / 2


def _on_slices(planes: Sequence[_Plane], step: float) -> bool:
    return step == 1 and all(plane.level == round(plane.level) for plane in planes)


def _voxels(
    planes: Sequence[_Plane], runs: Sequence[list[_Plane]], step: float, spacing: Sequence[float]
) -> dict[int, npt.NDArray[np.bool_]]:
    """Return the pixels of the canvas that belong to the region, by slice."""
    if _on_slices(planes, step):
        return {round(plane.level): plane.filled for plane in planes}
    offsets = (np.arange(HEIGHTS) - HEIGHTS // 2) / HEIGHTS + 1e-4  # off the planes, the same way at both ends
    first, last = (round(planes[i].level + sign * (step + 1)) for i, sign in ((0, -1), (-1, 1)))
    found = {}
    for level in range(first, last + 1):
        count = np.zeros(planes[0].filled.shape, np.uint8)
        for height in level + offsets:
            for run in runs:
                if run[0].level - step / 2 <= height < run[-1].level + step / 2:
                    count += _between(run, float(height), spacing)
        if (2 * count > HEIGHTS).any():
            found[level] = 2 * count > HEIGHTS
    return found


def _between(run: Sequence[_Plane], height: float, spacing: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return the region at a height, interpolated between the planes below and above it."""
    above = int(np.searchsorted([plane.level for plane in run], height))
    if above in (0, len(run)):
        return run[min(above, len(run) - 1)].filled
    low, high = run[above - 1], run[above]
    part = (height - low.level) / (high.level - low.level)
    if not (low.filled & high.filled).any():
        return (low if part < 0.5 else high).filled
    pixel = spacing[1::-1]
    depth = (1 - part) * low.inside(pixel) + part * high.inside(pixel)
    wanted = round((1 - part) * low.filled.sum() + part * high.filled.sum())
    edge = np.partition(depth.ravel(), -wanted)[-wanted]
    with_ties, without = depth >= edge, depth > edge
    return with_ties if with_ties.sum() - wanted <= wanted - without.sum() else without


def _cut(
    whole: dict[int, npt.NDArray[np.bool_]], low: npt.NDArray, image: sitk.Image
) -> tuple[npt.NDArray[np.uint8], float]:
    """Return the part of the canvas that lies in the image, and the share of the region that does not."""
    mask = np.zeros(image.GetSize()[::-1], np.uint8)
    total = sum(int(filled.sum()) for filled in whole.values())
    for level, filled in whole.items():
        if 0 <= level < len(mask):
            rows, columns = np.nonzero(filled)
            y, x = rows + low[1], columns + low[0]
            inside = (y >= 0) & (y < mask.shape[1]) & (x >= 0) & (x < mask.shape[2])
            mask[level, y[inside], x[inside]] = 1
    return mask, 1 - int(mask.sum()) / total if total else 0.0


def _notes(planes: Sequence[_Plane], runs: Sequence[list[_Plane]], step: float, image: sitk.Image) -> Iterator[str]:
    """Yield what a reader should know about how the planes were joined."""
    thickness = image.GetSpacing()[2]
    if not _on_slices(planes, step):
        off = max(abs(plane.level - round(plane.level)) for plane in planes) * thickness
        apart = f" and up to {off:.2g} mm off the slices" if off else ""
        yield f"contour planes every {step * thickness:.3g} mm{apart} brought to slices every {thickness:.3g} mm"
    for below, above in itertools.pairwise(runs):
        at = heights_of([below[-1].level, above[0].level], image).replace(", ", " and ")
        yield f"no contour between {at}: left empty, as drawn"
    twice = sum(plane.twice for plane in planes)
    if twice:
        yield f"{counted(twice, 'contour')} stored twice: used once"
    overlap = [plane.level for plane in planes if plane.overlap]
    if overlap:
        yield f"contours of one plane overlap in part: united (at {heights_of(overlap, image)})"
