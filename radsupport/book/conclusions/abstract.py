"""A study in three sentences: how well it tells patients apart, what it adds, whether its risks are right and useful.

They speak of patients whom the model had not seen, of another hospital where there are some.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from radsupport.book.conclusions.comparison import UNDECIDED, against_chance, over_divisions
from radsupport.stats.usefulness import NOWHERE
from radsupport.wording import counted, estimate, fixed, happened, share

#: A number with ``value``, ``n``, ``ci_low`` and ``ci_high``, as chapters publish them.
Entry = Mapping[str, Any]
_OUT_OF_FOLD = "each predicted by a model that was fitted without them"


def answer(
    numbers: Mapping[str, Entry],
    event: str,
    names: Mapping[str, str],
    given: bool = False,
    several: Collection[str] = (),
) -> list[str]:
    """Return the sentences that the numbers of chapters 06 and 08 allow; none where nothing was judged.

    Parameters
    ----------
    numbers : mapping
        What `Chapter.publish_headline` and chapter 08 published.
    event : str
        What is predicted.
    names : mapping of cohort to name
    given : bool
        Whether the signature is a published output, which no fold leaves anybody out of.
    several : collection of str
        Cohorts of several centers, of which chapter 06 publishes pooled values.

    Returns
    -------
    list of str
        Discrimination; the paired differences; calibration and use.
    """
    keys = headlines(numbers, train=False) or headlines(numbers)
    if not keys:
        return []
    outside = keys != ["headline_train"]
    others = [_before(numbers, given), *_elsewhere(numbers, keys, names, several)] if outside else []
    told = [_told_apart(numbers, key, event, names, given, others * (key == keys[-1])) for key in keys]
    where = [f"In {names.get(one, one)}" * (len(keys) > 1) for one in (_cohort(numbers, key) for key in keys)]
    added = [_added(numbers, key, place) for key, place in zip(keys, where, strict=True)]
    right = [_right(numbers, key, event, place) for key, place in zip(keys, where, strict=True)]
    return [" ".join(filter(None, parts)) for parts in (told, added, right) if any(parts)]


def headlines(numbers: Mapping[str, Entry], *, train: bool = True) -> list[str]:
    """Return the keys of the values that a study is known by: in training, in the first cohort beside it, and others'.

    Chapter 06 publishes them (`Chapter.publish_headline`).
    """
    keys = [key.removesuffix("_cohort") for key in numbers if key.startswith("headline_") and key.endswith("_cohort")]
    first = ["headline_train"] * train + ["headline_external"]
    order = [*first, *(key for key in keys if key not in ("headline_train", "headline_external"))]
    return [key for key in order if _value(numbers, key) is not None]


def _cohort(numbers: Mapping[str, Entry], key: str) -> str:
    return str(_value(numbers, f"{key}_cohort") or key.removeprefix("headline_"))


def _value(numbers: Mapping[str, Entry], key: str) -> Any:
    return numbers.get(key, {}).get("value")


def _told_apart(
    numbers: Mapping[str, Entry],
    key: str,
    event: str,
    names: Mapping[str, str],
    given: bool,
    others: Sequence[str],
) -> str:
    cohort, n = _cohort(numbers, key), int(numbers[key]["n"])
    events = _value(numbers, f"{key}_events")
    of_whom = "" if events is None else f" ({happened(int(events), event)})"
    signature, _, measure = str(_value(numbers, f"{key}_signature")).removesuffix(")").rpartition(" (")
    where = f"In {counted(n, 'patient')} of {names.get(cohort, cohort)}{of_whom}"
    if cohort == "train":
        how = "" if given else f", {_OUT_OF_FOLD}"
        where = f"In {counted(n, 'training patient')}{of_whom}{how}; nobody outside was judged"
    verdict = _against_chance(numbers[key], _value(numbers, f"{key}_p"))
    beside = "; ".join(filter(None, others))
    within = " within centers" * bool(_value(numbers, f"{key}_pooled"))
    value = f"{_interval(numbers[key])}{within}"
    if cohort == "train":
        value = _out_of_fold(numbers, signature, value, given)
    return f"{where}: {signature} {verdict}, {measure} {value}{f' ({beside})' * bool(beside)}."


def _elsewhere(
    numbers: Mapping[str, Entry], keys: Sequence[str], names: Mapping[str, str], several: Collection[str]
) -> list[str]:
    """Give the values of the same signature in every other cohort, so that none stands alone for being the best."""
    signature, _, measure = str(_value(numbers, f"{keys[0]}_signature")).removesuffix(")").rpartition(" (")
    prefix = measure.lower().replace("-", "_")
    judged = {"train", *(str(_value(numbers, f"{key}_cohort")) for key in keys)}
    found = {cohort: f"{prefix}_{cohort}_{signature}" for cohort in names if cohort not in judged}
    return [
        f"{names[cohort]}{', pooled over centers' * (cohort in several)}: {_interval(numbers[number])}"
        for cohort, number in found.items()
        if _value(numbers, number) is not None
    ]


_BETTER = "told patients apart better than chance"
#: `comparison.against_chance` as a sentence goes on.
_VERDICTS = {
    "better than chance": _BETTER,
    "it ranks the wrong way": "ranked patients the wrong way round",
    "chance is not excluded": "was not shown to be better than chance",
    UNDECIDED: "may or may not be better than chance (P and interval disagree)",
}


def _against_chance(entry: Entry, p: float | None) -> str:
    if p is None:
        return "could not be tested against chance"
    limits = (math.nan if entry.get(f"ci_{end}") is None else entry[f"ci_{end}"] for end in ("low", "high"))
    return _VERDICTS[against_chance(dict(zip(_ROW, (entry["value"], p, *limits), strict=True)))]


_ROW = ("value", "p_chance", "value_low", "value_high")


def _before(numbers: Mapping[str, Entry], given: bool) -> str:
    if _value(numbers, "headline_train") is None:
        return ""
    signature = str(_value(numbers, "headline_train_signature")).rpartition(" (")[0]
    value = _out_of_fold(numbers, signature, _interval(numbers["headline_train"]), given)
    return f"training{'' if given else ', out of fold'}: {value}"


def _out_of_fold(numbers: Mapping[str, Entry], signature: str, value: str, given: bool) -> str:
    """Word a training value so that the mean over divisions, where there were several, comes before the first one."""
    before, beside = ("", "") if given else over_divisions(numbers, signature)
    return f"{before}{value}{f', {beside}' * bool(beside)}"


def _interval(entry: Entry, decimals: int = 2) -> str:
    low, high = entry.get("ci_low"), entry.get("ci_high")
    if low is None or high is None:
        return fixed(entry["value"], decimals)
    return estimate(entry["value"], low, high, decimals)


def _added(numbers: Mapping[str, Entry], key: str, where: str = "") -> str:
    """Word the paired differences from the study's comparator, and of the nomogram from clinical columns alone."""
    cohort = _value(numbers, f"{key}_cohort")
    parts: list[str] = []
    for one in (f"{key}_rival", f"{key}_simple"):
        if _value(numbers, one) is not None:
            name, start = _value(numbers, f"{one}_name"), "it" if parts else f"{where or 'There'} it"
            parts.append(f"{start} {_difference(numbers[one], name, _value(numbers, f'{one}_p'))}")
    parts += _beside(numbers, key, bool(parts))
    gain = f"gain_over_clinical_{cohort}"
    if _value(numbers, gain) is not None:
        late, variant = "", f"preoperative_{cohort}"
        if _value(numbers, variant) is not None:
            late = (
                " (which needs findings of the operation and so can not help to plan it; its preoperative variant: "
                f"{_interval(numbers[variant])})"
            )
        parts.append(
            f"{'the' if parts else f'{where} the' if where else 'The'} nomogram{late} "
            f"{_difference(numbers[gain], 'the clinical columns alone', _value(numbers, f'{gain}_p'))}"
        )
    pooled = ", pooled over centers" if parts and _value(numbers, f"{key}_pooled") else ""
    return f"{'; '.join(parts)}{pooled}." if parts else ""


#: The comparators of chapter 09 that no study file names.
_COMPARATORS = {"Volume alone": "tumour volume alone", "Clinical columns": "all clinical columns together"}


def _beside(numbers: Mapping[str, Entry], key: str, begun: bool) -> list[str]:
    """Word the best signature of images against volume and the clinic, as far as no other clause does."""
    judged, told = str(_value(numbers, f"{key}_signature")).rpartition(" (")[0], [f"{key}_rival", f"{key}_simple"]
    known: set[Any] = {_value(numbers, f"{one}_name") for one in told}
    parts: list[str] = []
    for one in (f"{key}_volume", f"{key}_clinical"):
        name, who = _value(numbers, f"{one}_name"), _value(numbers, f"{one}_signature")
        if name is not None and not (name in known and who == judged):
            subject = "it" if who == judged else str(who)
            start = subject if begun or parts else f"There {subject}"
            other = _COMPARATORS.get(str(name), str(name))
            parts.append(f"{start} {_difference(numbers[one], other, _value(numbers, f'{one}_p'))}")
    missing = "tumour volume is not among these data, so that size alone could not be set beside it"
    return parts + [missing] * bool(_value(numbers, "no_volume") and (begun or parts))


def _difference(entry: Entry, other: str, p: float | None) -> str:
    low, high = entry.get("ci_low"), entry.get("ci_high")
    words = f"(difference {_interval(entry, 3)})"
    if (
        low is None or high is None or (p is not None and (p < 0.05) == (low <= 0 <= high))
    ):  # computed in two ways that disagree
        return f"could not be told to be better or worse than {other} {words}"
    if low <= 0 <= high:
        return f"was not shown to be better or worse than {other} {words}"
    return f"was {'better' if entry['value'] > 0 else 'worse'} than {other} {words}"


def _right(numbers: Mapping[str, Entry], key: str, event: str, place: str = "") -> str:
    """Word mean risk against what was seen, and the thresholds at which acting on it gains."""
    parts, months = [], _value(numbers, f"{key}_horizon")
    by = "" if months is None else f" by {months:g} months"
    mean, seen = _value(numbers, f"{key}_predicted"), _value(numbers, f"{key}_observed")
    if mean is not None and seen is not None:
        its = f"{place} its" if place else "Its"
        parts.append(f"{its} mean risk of {event}{by} was {share(mean)}, the share observed {share(seen)}")
    useful = _value(numbers, f"{key}_useful")
    if useful is not None:
        somewhere = useful not in ("", NOWHERE)
        where = f"at thresholds of {useful}" if somewhere else "at no threshold that was looked at"
        if somewhere and _against_chance(numbers[key], _value(numbers, f"{key}_p")) != _BETTER:
            where += ", which may be chance as well"
        start = "acting on it" if parts else f"{f'{place} acting' if place else 'Acting'} on its risk{by}"
        parts.append(f"{start} does better than treating everybody and treating nobody {where}")
    return f"{'; '.join(parts)}." if parts else ""
