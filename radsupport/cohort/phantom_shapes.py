"""Shapes of a synthetic case on a voxel grid: tumour, readers' masks, rough quadrilaterals.

All arrays are indexed (z, y, x); lengths are in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path as Polygon
from scipy import ndimage

FloatVolume = np.ndarray


@dataclass(frozen=True)
class Grid:
    """A voxel grid with its origin in the corner.

    Parameters
    ----------
    shape : tuple of int
        Voxels along z, y, x.
    spacing : tuple of float
        Voxel edge along z, y, x (mm).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @property
    def centre(self) -> np.ndarray:
        """Middle of the grid (mm)."""
        return (np.array(self.shape) - 1) * np.array(self.spacing) / 2

    def axes(self) -> list[np.ndarray]:
        """Coordinates (mm) along z, y, x, shaped so that they broadcast to the grid."""
        return [
            (np.arange(n) * step).reshape([-1 if i == axis else 1 for i in range(3)])
            for axis, (n, step) in enumerate(zip(self.shape, self.spacing, strict=True))
        ]

    def distance(self, centre: np.ndarray, radii: np.ndarray) -> FloatVolume:
        """Approximate signed distance (mm) from an ellipsoid's surface, negative inside."""
        scaled = sum(((axis - c) / r) ** 2 for axis, c, r in zip(self.axes(), centre, radii, strict=True))
        return (np.sqrt(scaled) - 1) * float(np.min(radii))

    def field(self, length_mm: float, rng: np.random.Generator) -> FloatVolume:
        """Return a smooth Gaussian random field with unit variance and the given correlation length."""
        sigma = [max(length_mm / step, 0.01) for step in self.spacing]
        white = rng.standard_normal(self.shape, dtype=np.float32)
        noise = ndimage.gaussian_filter(white, sigma, mode="wrap", truncate=3)
        return (noise - noise.mean()) / max(float(noise.std()), 1e-9)


def tumour_distance(
    grid: Grid, centre: np.ndarray, diameter_mm: float, lobulation: float, rng: np.random.Generator
) -> FloatVolume:
    """Signed distance (mm) from a lobulated tumour; zero is its outline.

    The surface of an ellipsoid is moved in and out by a smooth random field, `lobulation` being the
    SD of that movement as a share of the radius; the result is scaled so that the largest axial
    diameter comes out as asked for.
    """
    radius = diameter_mm / 2
    radii = radius * np.array([rng.uniform(0.75, 1.05), rng.uniform(0.8, 1.0), 1.0])
    bumps = grid.field(0.45 * radius, rng)
    distance = grid.distance(centre, radii) - lobulation * radius * bumps
    for _ in range(3):
        excess = max_axial_diameter(largest_component(distance < 0), grid.spacing) - diameter_mm
        distance = distance + excess / 2
        if abs(excess) < 0.5 * grid.spacing[1]:
            break
    inside = largest_component(distance < 0)
    return np.where((distance < 0) & ~inside, 0.5, distance)


def calcifications(grid: Grid, distance: FloatVolume, rng: np.random.Generator) -> np.ndarray:
    """Return three calcifications of 1.2 to 2.2 mm radius, deep inside the tumour (distance negative inside)."""
    deep = np.argwhere(distance < max(-2.5, 0.6 * float(distance.min())))
    drawn = np.zeros(grid.shape, dtype=bool)
    for centre in deep[rng.choice(len(deep), 3)] * np.array(grid.spacing):
        drawn |= grid.distance(centre, np.full(3, rng.uniform(1.2, 2.2))) < 0
    return drawn


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest connected part of a mask (the mask itself if it is empty)."""
    labels, n = ndimage.label(mask)
    if n < 2:
        return mask
    return labels == (np.argmax(np.bincount(labels.ravel())[1:]) + 1)


def max_axial_diameter(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Largest distance (mm) between two voxel centres of one axial slice, plus one pixel."""
    best = 0.0
    for plane in mask[mask.any(axis=(1, 2))]:
        edge = plane & ~ndimage.binary_erosion(plane)
        points = np.argwhere(edge) * np.array(spacing[1:])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)
        best = max(best, float(gaps.max()) + spacing[1])
    return best


def second_reader(grid: Grid, distance: FloatVolume, rng: np.random.Generator) -> np.ndarray:
    """Return the outline another reader would draw: off by a bias of 0.3 mm and waves of 0.5 mm SD."""
    waves = 0.5 * grid.field(5.0, rng) + rng.normal(0, 0.3)
    mask = largest_component(distance + waves < 0)
    return mask if mask.any() else distance < 0


def rough_roi(mask: np.ndarray, spacing: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Return quadrilaterals around the tumour on its top, largest and bottom slice, all else empty.

    Song 2021, Methods, "DLR": the reader draws a quadrilateral that contains the tumour area, without
    strict criteria; here each corner lies 1 to 5 mm outside the section's bounding box.
    """
    areas = mask.sum(axis=(1, 2))
    filled = np.flatnonzero(areas)
    drawn = np.zeros_like(mask)
    for z in {int(filled[0]), int(np.argmax(areas)), int(filled[-1])}:
        rows, columns = np.flatnonzero(mask[z].any(axis=1)), np.flatnonzero(mask[z].any(axis=0))
        box = np.array([[rows[0], columns[0]], [rows[0], columns[-1]], [rows[-1], columns[-1]], [rows[-1], columns[0]]])
        outward = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        corners = box + outward * rng.uniform(1.0, 5.0, size=(4, 2)) / np.array(spacing[1:])
        inside = Polygon(corners).contains_points(np.argwhere(np.ones(mask.shape[1:], dtype=bool)))
        drawn[z] = inside.reshape(mask.shape[1:]) | mask[z]
    return drawn
