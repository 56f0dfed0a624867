"""What chapters 03 and 04 say of features: what the ICC is, how many features reach it, how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from radsupport.radiomics.agreement import Correlations
from radsupport.stats.agreement import known_kind
from radsupport.wording import STRONG, counted, listed, number, share

#: What the forms of Shrout & Fleiss 1979 take the readers for, and what they ask of them.
FORMS = {
    "1": "one-way random effects",
    "2": "two-way random effects, absolute agreement",
    "3": "two-way mixed effects, consistency",
}


def form(kind: str) -> str:
    """Say which form of the ICC is meant: name, model, and whether of one reading or of the mean of all."""
    kind = known_kind(kind)
    number, _, unit = kind.removeprefix("ICC(").removesuffix(")").partition(",")
    rated = "of a single measurement" if unit == "1" else "of the mean of all measurements"
    return f"of the form {kind} of Shrout & Fleiss ({FORMS[number]}, {rated})"


def use(kind: str, users: Sequence[str], threshold: float, study: str) -> str:
    """Say in one sentence which ICC this is, and which signatures of a study (its id) select by it, if any."""
    words = f"The ICC is {form(kind)}."
    if not users:
        return (
            f"{words} No signature of study {study} selects features by it: it describes them here, and the threshold "
            f"of {threshold:g} only orients the reader."
        )
    who = f"signature {users[0]}" if len(users) == 1 else f"signatures {listed(users)}"
    return f"{words} In study {study}, the {who} may select only features with an ICC above {threshold:g}."


def counts(features: pd.DataFrame, failed: int) -> str:
    """Say how many features (a column each) were measured in how many patients, and how many cases failed."""
    found = f"{features.shape[1] - 1:,} features, of all phases together, in {counted(len(features), 'patient')}"
    return f"{found}; {counted(failed, 'case')} failed."


def standard(compliance: pd.DataFrame) -> str:
    """Say how many of IBSI's reference values the features meet, and how many differ for a known reason."""
    counts = compliance["status"].value_counts()
    met, known, odd = (int(counts.get(one, 0)) for one in ("within tolerance", "documented difference", "difference"))
    phantoms = compliance["configuration"].nunique()
    of = "the digital phantom" if phantoms == 1 else f"{phantoms} configurations of two phantoms"
    verb = {True: "differs", False: "differ"}
    rest = f"{odd} {verb[odd == 1]} without a known reason" if odd else "none is unexplained"
    convention = f"{known} {verb[known == 1]} by a documented convention of pyradiomics"
    return f"Of the {len(compliance)} reference values for {of}, {met} are met within tolerance, {convention}, {rest}."


def differing(compliance: pd.DataFrame) -> str:
    """List why values differ from IBSI's, in which configurations, and how far; one line a reason, the most first.

    Parameters
    ----------
    compliance : DataFrame
        What `radiomics.compliance` returns.
    """
    odd = compliance[compliance["status"] != "within tolerance"]
    of: dict[Any, int] = compliance.groupby("configuration").size().to_dict()
    lines = []
    for reason, own in sorted(odd.groupby(odd["reason"].astype(str), sort=False), key=lambda group: -len(group[1])):
        counts = own["configuration"].astype(str).value_counts(sort=False).to_dict()
        where = [name if name == "digital phantom" else f"configuration {name}" for name in counts]
        if len(set(counts.values())) > 1 or len(counts) == 1:
            where = [f"{n} of {of[key]} in {name}" for name, (key, n) in zip(where, counts.items(), strict=True)]
        else:
            where[0] = f"{next(iter(counts.values()))} each in {where[0]}"
        gaps, apart = (own["difference"] / own["reference"].abs()).abs(), own["difference"]
        ends = list(dict.fromkeys([share(gaps.min()), share(gaps.max())]))
        far = " to ".join(ends) + f" of the reference (median {share(gaps.median())})" * (len(ends) > 1)
        if len(own) > 1 and apart.max() - apart.min() <= 0.01 * apart.abs().max():
            far = number(apart.median())
        lines.append(f"- Differing values: {listed(where)}, by {far}: {reason or 'no reason is known'}.")
    return "\n".join(lines)


def reach(icc: pd.DataFrame, threshold: float) -> str:
    """Say how many of the features that have an ICC reach a threshold, and how many have none."""
    known = icc["icc"].dropna()
    reached, none = int((known >= threshold).sum()), len(icc) - len(known)
    words = f"{reached:,} of {len(known):,} features with an ICC reach {threshold:g}"
    if none:
        reason = "the same value in every measurement, or measured in fewer than two patients"
        words += f"; {none:,} more {'has' if none == 1 else 'have'} none ({reason})"
    return words


def twice(used: int, outlined: int, study: str) -> str:
    """Say in how many patients the readers are compared, and how these were chosen where more were outlined twice."""
    if used == outlined:
        return f"{used} training patients of study {study} outlined by two readers"
    some = f"{used} of the {outlined} training patients"
    return f"{some} of study {study} outlined by two readers, the first by identifier"


def drawn(n: int, usable: int, study: str, seed: int) -> str:
    """Say which patients were measured again: how many, and how they were chosen."""
    if n == usable:
        return f"all {n} training patients of study {study} with an outline"
    return f"{n} of {usable} training patients of study {study}, drawn at random (seed {seed})"


def correlated(found: Correlations) -> str:
    """Say how many pairs of which features there are, and which share of them is strongly correlated."""
    if found.pairs.empty:
        return str(found.pairs.attrs.get("empty", "no pair of features"))
    which = f"{found.used:,} features that vary and miss no value"
    if found.used < found.usable:
        which = f"{found.used:,} features drawn at random from {found.usable:,} that vary and miss no value"
    strong = share(float((found.pairs["r"] > STRONG).mean()))
    pairs = f"{len(found.pairs):,} pairs of {which}, in {found.n} training patients"
    return f"{pairs}; {strong} of the pairs have |r| above {STRONG:g}"
