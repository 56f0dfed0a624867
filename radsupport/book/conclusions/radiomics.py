"""TODO."""

from __future__ import annotations

import pandas as pd

from radsupport.book.printed import FORMS, icc_kind, selecting_signatures
from radsupport.radiomics.extract import Correlations
from radsupport.radiomics.robustness import _usable
from radsupport.settings.study import Study
from radsupport.stats.agreement import known_kind
from radsupport.wording import STRONG, listed

LISTED_HEADERS = {"ibsi_code": "IBSI code", "feature": "Feature (pyradiomics)"}


def drawn_words(study: Study, cases: pd.DataFrame, changed: pd.DataFrame) -> str:
    """Say which patients were measured again: how many, and how they were chosen."""
    n, usable = changed["subject"].nunique(), len(_usable(study, cases))
    if n == usable:
        return f"all {n} training patients of study {study.id} with an outline"
    return f"{n} of {usable} training patients of study {study.id}, drawn at random (seed {study.seed})"


PERTURBATION_HEADERS = {
    "perturbation": "Change", "patients": "Patients", "features": "Features", "reproducible": "Reproducible",
    "share": "Share reproducible", "median_icc": "Median ICC",
}  # fmt: skip


def form_words(kind: str) -> str:
    """Say which form of the ICC is meant: name, model, and whether of one reading or of the mean of all."""
    kind = known_kind(kind)
    number, _, unit = kind.removeprefix("ICC(").removesuffix(")").partition(",")
    rated = "of a single measurement" if unit == "1" else "of the mean of all measurements"
    return f"of the form {kind} of Shrout & Fleiss ({FORMS[number]}, {rated})"


def use_words(study: Study, source: str, threshold: float) -> str:
    """Say in one sentence which ICC this is, and whether a model of the study selects by it."""
    form, users = form_words(icc_kind(study, source)), selecting_signatures(study, source)
    if not users:
        return (
            f"The ICC is {form}. No signature of study {study.id} selects features by it: it describes them here, and "
            f"the threshold of {threshold:g} only orients the reader."
        )
    who = f"signature {users[0]}" if len(users) == 1 else f"signatures {listed(users)}"
    said = f"In study {study.id}, the {who} may select only features with an ICC above {threshold:g}."
    return f"The ICC is {form}. {said}"


def reach_words(icc: pd.DataFrame, threshold: float) -> str:
    """Say how many of the features that have an ICC reach a threshold, and how many have none.

    Parameters
    ----------
    icc : DataFrame
        feature, icc.
    """
    known = icc["icc"].dropna()
    reached, none = int((known >= threshold).sum()), len(icc) - len(known)
    words = f"{reached:,} of {len(known):,} features with an ICC reach {threshold:g}"
    if none:
        reason = "the same value in every measurement, or measured in fewer than two patients"
        words += f"; {none:,} more {'has' if none == 1 else 'have'} none ({reason})"
    return words


def twice_words(used: int, outlined: int, study: Study) -> str:
    """Say in how many patients the readers are compared, and how these were chosen where more were outlined twice."""
    if used < outlined:
        return (
            f"{used} of the {outlined} training patients of study {study.id} outlined by two readers, the first by "
            "identifier"
        )
    return f"{used} training patients of study {study.id} outlined by two readers"


def share_words(share: float) -> str:
    """Word a share as whole percent: ``33%``, ``<1%`` where it would round to 0 and is not, ``>99%`` likewise."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"


LOG_HEADERS = {
    "phase": "Phase", "cases": "Cases", "failed": "Failed", "with_warning": "With warning",
    "median_seconds": "Seconds per case", "peak_memory_mb": "Peak memory (MB)", "median_voxels": "Voxels (median)",
}  # fmt: skip

ICC_HEADERS = {
    "feature_class": "Class", "image_type": "Filter", "features": "Features", "median_icc": "Median ICC",
    "without_icc": "Without an ICC", "reproducible": "Reproducible", "share": "Share reproducible",
}  # fmt: skip


def correlation_words(found: Correlations) -> str:
    """Say how many pairs of which features there are, and which share of them is strongly correlated."""
    which = f"{found.used:,} features that vary and miss no value"
    if found.used < found.usable:
        which = f"{found.used:,} features drawn at random from {found.usable:,} that vary and miss no value"
    strong = share_words(float((found.pairs["r"] > STRONG).mean()))
    pairs = f"{len(found.pairs):,} pairs of {which}, in {found.n} training patients"
    return f"{pairs}; {strong} of the pairs have |r| above {STRONG:g}"
