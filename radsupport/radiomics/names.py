"""What a feature's name says: phase, filter, class, and the IBSI code of its definition."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from importlib import resources

import pandas as pd

from radsupport.errors import InputError, Problem

CLASS_NAMES = {
    "shape": "shape",
    "shape2D": "shape (2-D)",
    "firstorder": "first order",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldm": "GLDM",
    "ngtdm": "NGTDM",
}
FILTER_NAMES = {
    "original": "original",
    "log": "LoG",
    "wavelet": "wavelet",
    "square": "square",
    "squareroot": "square root",
    "logarithm": "logarithm",
    "exponential": "exponential",
    "gradient": "gradient",
    "lbp": "LBP",
}


@lru_cache(maxsize=1)
def _codes() -> pd.DataFrame:
    source = resources.files("radsupport.radiomics") / "data" / "ibsi" / "features.csv"
    with source.open(encoding="utf-8") as stream:
        return pd.read_csv(stream, keep_default_na=False)


def feature_codes() -> pd.DataFrame:
    """Return pyradiomics' features with the IBSI definition each one follows.

    Returns
    -------
    DataFrame
        ``class``, ``feature`` (pyradiomics), ``ibsi_name``, ``ibsi_code`` (four characters) and ``tag`` (of the
        reference values); the last three are "" where IBSI defines no such feature.

    Notes
    -----
    Zwanenburg et al., Radiology 2020;295:328, and the IBSI reference manual (arXiv:1612.07003). pyradiomics' GLDM is
    IBSI's NGLDM, its "small/large area" is IBSI's "small/large zone", its SumSquares is IBSI's joint variance.
    """
    return _codes().copy()


def describe_features(names: Iterable[str]) -> pd.DataFrame:
    """Split feature names into their parts and look up the IBSI code.

    Parameters
    ----------
    names : iterable of str
        ``<phase>__<image>_<class>_<feature>``, or the same without phase.

    Returns
    -------
    DataFrame
        ``name``, ``phase`` ("" where there is none), ``image`` (log-sigma-1-0-mm-3D …), ``filter`` (LoG …),
        ``class``, ``feature``, ``ibsi_code``.

    Raises
    ------
    InputError
        Names that are none of pyradiomics'.
    """
    rows, bad = [], []
    for name in names:
        phase, _, rest = name.rpartition("__")
        parts = rest.split("_")
        filter_name = FILTER_NAMES.get(parts[0].split("-")[0].rstrip("23456789"))
        if len(parts) != 3 or parts[1] not in CLASS_NAMES or filter_name is None:
            bad.append(name)
            continue
        rows.append((name, phase, parts[0], filter_name, parts[1], parts[2]))
    if bad:
        raise InputError(
            "These are no names of pyradiomics features.",
            [Problem("unknown name", "<phase>__<image>_<class>_<feature>", value=name) for name in bad],
        )
    table = pd.DataFrame(rows, columns=["name", "phase", "image", "filter", "class", "feature"])
    codes = _codes()[["class", "feature", "ibsi_code"]]
    return table.merge(codes, on=["class", "feature"], how="left").fillna({"ibsi_code": ""})


def surviving_features(agreement: pd.DataFrame, thresholds: Iterable[float], by: str = "class") -> pd.DataFrame:
    """Count how many features reach each threshold of agreement, by class or by filter.

    Parameters
    ----------
    agreement : DataFrame
        ``feature`` (name) and ``icc`` (or its lower confidence limit under that name).
    thresholds : iterable of float
        Cuts of the ICC.
    by : {"class", "filter", "image", "phase"}

    Returns
    -------
    DataFrame
        ``by``, ``threshold``, ``n`` (features in the group), ``kept`` (with icc >= threshold), ``share``. A feature
        without ICC (NaN) is counted in ``n`` and never kept.

    Raises
    ------
    InputError
        Columns missing or an unknown grouping.
    """
    if not {"feature", "icc"} <= set(agreement.columns):
        raise InputError("The table of agreement needs the columns `feature` and `icc`.")
    if by not in ("class", "filter", "image", "phase"):
        raise InputError(f"Features can be grouped by class, filter, image or phase, not by {by!r}.")
    groups = describe_features(agreement["feature"])[by].to_numpy()
    rows = []
    for threshold in thresholds:
        kept = (agreement["icc"] >= threshold).to_numpy()
        counts = pd.DataFrame({by: groups, "kept": kept}).groupby(by, sort=False)["kept"].agg(["size", "sum"])
        rows += [(group, threshold, int(row["size"]), int(row["sum"])) for group, row in counts.iterrows()]
    table = pd.DataFrame(rows, columns=[by, "threshold", "n", "kept"])
    return table.assign(share=table["kept"] / table["n"])
