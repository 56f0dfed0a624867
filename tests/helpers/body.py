"""A trunk in air, made of tissues by their HU, with one lesion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

#: Mean and SD of each kind of lesion, and the tissue around it.
LESIONS = {
    "soft tissue": (40, 12, "muscle"), "enhancing": (160, 25, "muscle"), "fat": (-95, 12, "muscle"),
    "fluid": (8, 10, "muscle"), "bone": (450, 150, "muscle"), "dense bone": (1000, 150, "muscle"),
    "metal": (2600, 300, "muscle"), "lung": (30, 20, "lung"), "ground glass": (-600, 60, "lung"),
}  # fmt: skip
_TISSUES = {"air": (-1000, 10), "fat": (-100, 12), "muscle": (55, 12), "lung": (-850, 30), "bone": (700, 200)}


def body_phantom(lesion: str = "soft tissue", seed: int = 1) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return whole HU (z, y, x) and the lesion's mask: fat, muscle, a lung, a spine, and air around."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((20, 56, 64)).astype(float)

    def ellipse(cy: float, cx: float, ry: float, rx: float) -> npt.NDArray[np.bool_]:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1

    kind = np.full(z.shape, "air", object)
    for name, where in {
        "fat": ellipse(28, 32, 22, 26), "muscle": ellipse(28, 32, 19, 23), "lung": ellipse(24, 45, 12, 9),
        "bone": ellipse(41, 30, 4, 4),
    }.items():  # fmt: skip
        kind[where] = name
    hu = np.zeros(z.shape)
    for name, (mean, sd) in _TISSUES.items():
        hu[kind == name] = rng.normal(mean, sd, int((kind == name).sum()))
    mean, sd, place = LESIONS[lesion]
    column = 45 if place == "lung" else 22
    inside = ((z - 10) / 5) ** 2 + ((y - 25) / 6) ** 2 + ((x - column) / 6) ** 2 < 1
    hu[inside] = rng.normal(mean, sd, int(inside.sum()))
    return np.clip(hu, -1024, 3071).round(), inside
