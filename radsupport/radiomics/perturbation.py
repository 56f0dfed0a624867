"""Robustness where there is no second reader: the same case measured again after small, realistic changes.

Zwanenburg et al., Sci Rep 2019;9:614: features that survive translation, noise and a changed outline of one scan
are those that survive a test-retest scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from radsupport.errors import NotEstimableError
from radsupport.imaging.preprocessing import noise_hu
from radsupport.imaging.reading import like
from radsupport.imaging.regions import enlarge_roi
from radsupport.radiomics.grid import Grid


@dataclass(frozen=True)
class Perturbation:
    """One small change of a case.

    Attributes
    ----------
    name : str
        Names the change in tables.
    shift_voxels : (x, y, z)
        Translation of the voxel grid on which features are computed, in its voxels; below one voxel.
    noise : float
        SD of added Gaussian noise as a multiple of the image's own noise (`noise_hu`).
    margin_mm : float
        Growth (positive) or shrinkage (negative) of the outline.
    seed : int
        Of the noise.
    """

    name: str
    shift_voxels: tuple[float, float, float] = (0.0, 0.0, 0.0)
    noise: float = 0.0
    margin_mm: float = 0.0
    seed: int = 0

    def change_mask(self, mask: sitk.Image) -> sitk.Image:
        """Return the grown or shrunk mask."""
        return enlarge_roi(mask, self.margin_mm) if self.margin_mm else mask

    def change_grid(self, grid: Grid) -> Grid:
        """Return the translated grid; where nothing was to be resampled, the image is interpolated by B-spline."""
        if not any(self.shift_voxels):
            return grid
        first = grid.first + np.asarray(self.shift_voxels) / grid.ratio
        return replace(grid, first=first, interpolator=grid.interpolator or sitk.sitkBSpline)

    def change_image(self, image: sitk.Image) -> sitk.Image:
        """Return the image with noise added.

        Raises
        ------
        NotEstimableError
            The image has too little soft tissue to estimate its noise.
        """
        if not self.noise:
            return image
        sd = noise_hu(image)
        if not np.isfinite(sd):
            raise NotEstimableError("The image has too little soft tissue to estimate its noise, so none can be added.")
        array = sitk.GetArrayFromImage(image).astype(np.float32)
        rng = np.random.default_rng(self.seed)
        array += np.float32(self.noise * sd) * rng.standard_normal(array.shape, dtype=np.float32)
        return like(array, image)


def standard_perturbations(seed: int = 0) -> list[Perturbation]:
    """Return a small set: unchanged, four half-voxel shifts, noise as large as the scan's own, outline -1 and +1 mm."""
    shifts = [(0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.5), (0.5, 0.5, 0.5)]
    names = ["shift x", "shift y", "shift z", "shift xyz"]
    return [
        Perturbation("unchanged"),
        *(Perturbation(name, shift_voxels=shift) for name, shift in zip(names, shifts, strict=True)),
        Perturbation("noise", noise=1.0, seed=seed),
        Perturbation("outline -1 mm", margin_mm=-1.0),
        Perturbation("outline +1 mm", margin_mm=1.0),
    ]
