"""From the feature vectors of a tumour's slices to the one vector of the patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.cluster import KMeans

from radsupport.checks import FloatArray, as_finite
from radsupport.errors import InputError


def aggregate_slices(matrix: Any, how: str = "kmeans_largest", areas: Any = None) -> FloatArray:
    """Return one feature vector for a patient from those of the slices.

    Parameters
    ----------
    matrix : array-like, shape (n_slices, n_features)
        One row per slice that shows the tumour.
    how : str
        A key of `AGGREGATIONS`: ``kmeans_largest`` (K-means with k = 2, mean of the larger cluster; ties go
        to the cluster that holds the slice of largest area), ``mean``, ``max``, ``median``, ``largest_slice``
        or ``area_weighted_mean``.
    areas : array-like, shape (n_slices,), optional
        Area of the tumour in each slice (mm² or pixels). Needed by ``largest_slice`` and
        ``area_weighted_mean``, and by ``kmeans_largest`` where the clusters tie.

    Returns
    -------
    array, shape (n_features,)
        The slice itself where there is only one.

    Raises
    ------
    InputError
        No slice, NaN, an unknown rule, or areas that are missing or do not fit.

    Source: Song 2021, Methods (K-means over n x 1024 slice features); n_init 10 and random_state 0 are ours.
    """
    slices = np.asarray(matrix, dtype=float)
    if slices.ndim != 2 or 0 in slices.shape or not np.isfinite(slices).all():
        raise InputError(
            f"`matrix` must be slices x features, not empty and without NaN or infinity; its shape is {slices.shape}."
        )
    if how not in AGGREGATIONS:
        raise InputError(f"Unknown aggregation {how!r}; use one of {', '.join(AGGREGATIONS)}.")
    sizes = None if areas is None else as_finite(areas, "areas", len(slices))
    if sizes is not None and ((sizes < 0).any() or sizes.sum() == 0):
        raise InputError("`areas` must not be negative nor all zero.")
    return slices[0] if len(slices) == 1 else AGGREGATIONS[how](slices, sizes)


def _needed(areas: FloatArray | None, how: str) -> FloatArray:
    if areas is None:
        raise InputError(f"`areas` is needed by the aggregation {how!r}: give the tumour's area in each slice.")
    return areas


def _kmeans_largest(slices: FloatArray, areas: FloatArray | None) -> FloatArray:
    if (slices == slices[0]).all():
        return slices[0]
    cluster = KMeans(n_clusters=2, n_init=10, random_state=0).fit_predict(slices)
    counts = np.bincount(cluster, minlength=2)
    if counts[0] == counts[1]:
        kept = cluster[int(np.argmax(_needed(areas, "kmeans_largest (two clusters of one size)")))]
    else:
        kept = int(np.argmax(counts))
    return slices[cluster == kept].mean(axis=0)


def _largest_slice(slices: FloatArray, areas: FloatArray | None) -> FloatArray:
    return slices[int(np.argmax(_needed(areas, "largest_slice")))]


def _area_weighted_mean(slices: FloatArray, areas: FloatArray | None) -> FloatArray:
    return np.average(slices, axis=0, weights=_needed(areas, "area_weighted_mean"))


AGGREGATIONS: dict[str, Callable[[FloatArray, FloatArray | None], FloatArray]] = {
    "kmeans_largest": _kmeans_largest,
    "mean": lambda slices, areas: slices.mean(axis=0),
    "max": lambda slices, areas: slices.max(axis=0),
    "median": lambda slices, areas: np.median(slices, axis=0),
    "largest_slice": _largest_slice,
    "area_weighted_mean": _area_weighted_mean,
}
