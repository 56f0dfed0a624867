"""pyradiomics' feature classes, sharing what each of them would otherwise compute again."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import radiomics
import SimpleITK as sitk
from radiomics.base import RadiomicsFeaturesBase

from radsupport.features.radiomics_shape import FastShape

BINS = "shared_bins"
"""Key of the settings under which the classes of one image share their discretised image."""


class SharedBins(RadiomicsFeaturesBase):
    """Discretises an image once instead of once per class; the bins are pyradiomics' own."""

    def _applyBinning(self, matrix: npt.NDArray) -> npt.NDArray:
        shared: dict[str, Any] = self.settings[BINS]
        if not shared:
            shared["matrix"] = super()._applyBinning(matrix)
            shared["coefficients"] = dict(self.coefficients)
        self.coefficients.update(shared["coefficients"])
        return np.copy(shared["matrix"])


def _classes() -> dict[str, type[RadiomicsFeaturesBase]]:
    own = radiomics.getFeatureClasses()
    shared = {name: type(cls.__name__, (SharedBins, cls), {"__module__": cls.__module__}) for name, cls in own.items()}
    return {**shared, "shape": FastShape, "shape2D": own["shape2D"]}


CLASSES = _classes()
"""Feature class by pyradiomics' name."""


def class_values(
    classes: dict[str, list[str]], image_name: str, image: sitk.Image, mask: sitk.Image, setting: dict[str, Any]
) -> dict[str, float]:
    """Return the features of some classes on one image under pyradiomics' names.

    Parameters
    ----------
    classes : dict
        Class -> features.
    image_name : str
        pyradiomics' name of the filtered image.
    image, mask : SimpleITK.Image
        Cut to the region's own box.
    setting : dict
        pyradiomics' settings for this image.
    """
    values: dict[str, float] = {}
    setting = {**setting, BINS: {}}
    for class_name, features in classes.items():
        measure = CLASSES[class_name](image, mask, **setting)
        for feature in features:
            measure.enableFeatureByName(feature)
        for feature, value in measure.execute().items():
            values[f"{image_name}_{class_name}_{feature}"] = float(np.real(value))
    return values
