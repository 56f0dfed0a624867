"""Negative controls of an image: the same outline over voxels that hold no picture any more.

Three kinds in three regions, as the package readii (bhklab) defines them. What a signature keeps on shuffled voxels is
no texture: shuffling leaves size, shape and the grey levels as a whole; randomising leaves size and shape.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from radsupport.errors import InputError
from radsupport.imaging.reading import like
from radsupport.wording import listed

Voxels = npt.NDArray[np.generic]


def _randomised(voxels: Voxels, rng: np.random.Generator) -> Voxels:
    low, high = voxels.min(), voxels.max()
    if np.issubdtype(voxels.dtype, np.integer):
        return rng.integers(low, high, size=voxels.size, dtype=voxels.dtype, endpoint=True)
    return rng.uniform(low, high, voxels.size).astype(voxels.dtype)


KINDS: dict[str, Callable[[Voxels, np.random.Generator], Voxels]] = {
    "shuffled": lambda voxels, rng: rng.permutation(voxels),
    "randomised": _randomised,
    "sampled": lambda voxels, rng: rng.choice(voxels, voxels.size),
}
REGIONS: dict[str, Callable[[npt.NDArray[np.bool_]], npt.NDArray[np.bool_]]] = {
    "roi": lambda inside: inside,
    "outside": np.logical_not,
    "everywhere": np.ones_like,
}
CONTROLS = [f"{kind} {region}" for kind, region in itertools.product(KINDS, REGIONS)]


def control_image(image: sitk.Image, mask: sitk.Image, control: str, seed: int) -> sitk.Image:
    """Return the image with the voxels of a region replaced; voxels elsewhere and the mask stay.

    Parameters
    ----------
    image : SimpleITK.Image
        HU.
    mask : SimpleITK.Image
        On the image's grid, not 0 inside.
    control : str
        Kind and region. Kinds: "shuffled" (the region's voxels in random order), "randomised" (uniform between their
        lowest and highest), "sampled" (drawn from them with replacement). Regions: "roi" (inside the mask), "outside"
        of it, "everywhere".
    seed : int

    Returns
    -------
    SimpleITK.Image
        Of the same type and geometry.

    Raises
    ------
    InputError
        There is no such control.
    """
    if control not in CONTROLS:
        raise InputError(f"There is no control {control!r} of an image; there are {listed(CONTROLS, len(CONTROLS))}.")
    kind, region = control.split()
    voxels = sitk.GetArrayFromImage(image)
    where = REGIONS[region](sitk.GetArrayViewFromImage(mask) != 0)
    if where.any():
        voxels[where] = KINDS[kind](voxels[where], np.random.default_rng(seed))
    return like(voxels, image)
