"""What chapters 03 and 04 say about the ICC: its form, whether models use it, how many features reach a threshold."""

from __future__ import annotations

import pandas as pd

from radsupport.features.icc import known_kind
from radsupport.report.wording import listed
from radsupport.study_schema import Resnet, Study

DEFAULT_KIND = "ICC(2,1)"
#: What the forms of Shrout & Fleiss 1979 take the readers for, and what they ask of them.
FORMS = {
    "1": "one-way random effects",
    "2": "two-way random effects, absolute agreement",
    "3": "two-way mixed effects, consistency",
}


def selecting_signatures(study: Study, source: str) -> list[str]:
    """Return the signatures of a feature source that select its features by their ICC between readers."""
    return [one.name for one in study.signatures if source in one.sources and one.selection.icc]


def icc_kind(study: Study, source: str) -> str:
    """Return the form of the ICC between readers of a source's features."""
    if source == "radiomics" and study.radiomics:
        return study.radiomics.icc_kind
    return study.deep.icc_kind if source == "deep" and isinstance(study.deep, Resnet) else DEFAULT_KIND


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
