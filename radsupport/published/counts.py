"""Claims about counts: totals, splits, lists, stages of selection, duplicated rows, order of labels."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import numpy as np

from radsupport.errors import InputError
from radsupport.published.inputs import as_count, as_counts, as_levels, as_table
from radsupport.published.rounding import numbers_in
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, Claim, Verdict, decide, form
from radsupport.report.wording import counted

COINCIDENCE_DIGITS = 8
"""Rows that share this many printed digits are taken as copied: by chance about once in 10 to the power of this."""


def _printed_counts(claim: Claim, n: int) -> list[int]:
    """Return the first `n` whole numbers printed; explanations in round brackets are left out."""
    found = [int(each.value) for each in numbers_in(re.sub(r"\([^)]*\)", " ", claim.published_value))]
    if len(found) < n:
        raise InputError(f"published_value {claim.published_value!r} must give {counted(n, 'whole number')}.")
    return found[:n]


def _compare(claim: Claim, totals: list[int], what: str) -> Verdict:
    printed = _printed_counts(claim, len(totals))
    shown = "/".join(str(each) for each in totals)
    reason = f"{what} give {shown}; printed {'/'.join(str(each) for each in printed)}."
    values = {f"{name}{i}": t for name, row in (("total", totals), ("printed", printed)) for i, t in enumerate(row)}
    return Verdict(decide(totals == printed), reason, shown, "sum", values)


@form("count_total", "counts")
def total_of_counts(claim: Claim) -> Verdict:
    """Compare the sum of a list of counts, or the column sums of a table of counts, with what is printed."""
    counts = claim.inputs["counts"]
    if isinstance(counts, list) and counts and isinstance(counts[0], list):
        sums = as_table(counts, "counts").sum(axis=0).tolist()
        return _compare(claim, sums, "The column sums")
    return _compare(claim, [sum(as_counts(counts, "counts"))], "The counts")


@form("count_total", "levels")
def column_totals(claim: Claim) -> Verdict:
    """Compare the column sums of named levels with the printed group sizes."""
    _, table = as_levels(claim.inputs["levels"])
    return _compare(claim, table.sum(axis=0).tolist(), "The column sums")


@form("count_total", "subgroups")
def subgroups_make_the_whole(claim: Claim) -> Verdict:
    """Compare, level by level, the sum over subgroups with the counts printed for the whole."""
    table = as_table(claim.inputs["subgroups"], "subgroups")
    return _compare(claim, table.sum(axis=1).tolist(), "The subgroups, summed level by level,")


@form("count_total", "addends")
def named_addends(claim: Claim) -> Verdict:
    """Compare the sum of named parts with the printed total."""
    addends = claim.inputs["addends"]
    if not isinstance(addends, dict) or not addends:
        raise InputError(f"`addends` must map names to whole numbers, it is {addends!r}.")
    parts = {str(name): as_count(value, "addends") for name, value in addends.items()}
    return _compare(claim, [sum(parts.values())], " + ".join(f"{n} {v}" for n, v in parts.items()))


@form("count_total", "addends", "ratio")
def divisible_in_ratio(claim: Claim) -> Verdict:
    """Ask whether the sum of the parts can be divided in the printed whole-number ratio without a remainder."""
    ratio = as_counts(claim.inputs["ratio"], "ratio", minimum=1)
    total = sum(as_count(value, "addends") for value in dict(claim.inputs["addends"]).values())
    share, rest = divmod(total, sum(ratio))
    split = " + ".join(str(share * part) for part in ratio)
    reason = f"{total} cases divided {':'.join(map(str, ratio))} are {split}{f', remainder {rest}' if rest else ''}."
    return Verdict(decide(rest == 0), reason, split, "division", {"total": total})


@form("count_total", "sums", optional=("split",))
def printed_sums(claim: Claim) -> Verdict:
    """Check printed additions and, where one is printed, the split of a cohort in whole-number shares.

    ``sums`` is `[[total, [part, part]], …]`, ``split`` `[[parts], [shares]]`.
    """
    problems, shown = [], []
    for total, parts in claim.inputs["sums"]:
        numbers = as_counts(parts, "sums")
        shown.append(f"{' + '.join(map(str, numbers))} = {sum(numbers)}")
        if sum(numbers) != as_count(total, "sums"):
            problems.append(f"{total} is printed for {shown[-1]}")
    if "split" in claim.inputs:
        parts, shares = (as_counts(each, "split") for each in claim.inputs["split"])
        expected = np.array(shares) / sum(shares) * sum(parts)
        shown.append(f"{':'.join(map(str, shares))} of {sum(parts)} is {' : '.join(f'{e:.1f}' for e in expected)}")
        if np.abs(expected - parts).max() >= 1:
            problems.append(f"{':'.join(map(str, parts))} is not the split: {shown[-1]}")
    reason = "; ".join(problems or shown) + "."
    return Verdict(decide(not problems), reason, "; ".join(shown), "sum")


@form("count_total", "stages")
def shrinking_stages(claim: Claim) -> Verdict:
    """Ask whether each stage of a selection keeps no more than the stage before."""
    stages = as_counts(claim.inputs["stages"], "stages")
    ok = all(later <= earlier for earlier, later in pairwise(stages))
    kept = ", ".join(f"{100 * b / a:.0f}%" for a, b in pairwise(stages) if a)
    reason = f"{'No' if ok else 'Some'} stage keeps more than the one before ({kept} kept)."
    return Verdict(decide(ok), reason, kept, "order")


@form("count_total", "listed", optional=("original_counted",))
def length_of_list(claim: Claim) -> Verdict:
    """Compare the printed number with how many things are listed, the original counted as one where asked for."""
    listed = len(claim.inputs["listed"])
    printed = _printed_counts(claim, 1)[0]
    with_original = listed + 1 if claim.inputs.get("original_counted") else listed
    if printed == listed:
        return Verdict(HOLDS, f"{listed} are listed.", str(listed), "count", {"listed": listed})
    if printed == with_original:
        reason = f"{listed} are listed, which with the original makes {with_original}."
        return Verdict(HOLDS, reason, str(with_original), "count with the original", {"listed": listed})
    return Verdict(FAILS, f"{listed} are listed, {printed} are printed.", str(listed), "count", {"listed": listed})


def _flat(value: Any) -> list[str]:
    """Return all numbers of a row of printed fields in order; of a table of counts sorted, as levels may be swapped."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return sorted(str(number) for row in value for number in row)
    fields = value if isinstance(value, list) else [value]
    return [str(number) for each in fields for number in numbers_in(str(each))]


@form("duplicate_row", "rows")
def rows_are_different(claim: Claim) -> Verdict:
    """Ask whether two rows for different quantities carry the same figures.

    The claim that both rows are genuine does not hold when they share at least
    `COINCIDENCE_DIGITS` printed digits, and can not be decided when they share fewer.
    """
    rows = claim.inputs["rows"]
    if not isinstance(rows, dict) or len(rows) != 2:
        raise InputError(f"`rows` must map two row names to their printed fields, it is {rows!r}.")
    (first, a), (second, b) = ((name, _flat(value)) for name, value in rows.items())
    shared = [x for x, y in zip(a, b, strict=False) if x == y]
    digits = sum(len(re.sub(r"\D", "", each).strip("0")) for each in shared)
    same = f"{len(shared)} of {max(len(a), len(b))} figures ({digits} digits) are the same in “{first}” and “{second}”"
    values = {"shared": len(shared), "figures": max(len(a), len(b)), "digits": digits}
    if not shared:
        return Verdict(HOLDS, "No figure is the same in both rows.", "0", "digits in common", values)
    if digits >= COINCIDENCE_DIGITS:
        chance = "too many for a coincidence: at least one row is a copy of the other"
        return Verdict(FAILS, f"{same}, {chance}.", f"{digits} digits", "digits in common", values)
    return Verdict(UNDECIDED, f"{same}, which can be a coincidence.", f"{digits} digits", "digits in common", values)


@form("label_order", "labels")
def order_of_labels(claim: Claim) -> Verdict:
    """Show what two labels would mean if they were exchanged; no test depends on their order."""
    labels = claim.inputs["labels"]
    if not isinstance(labels, dict) or len(labels) != 2:
        raise InputError(f"`labels` must map two labels to their counts, it is {labels!r}.")
    (first, a), (second, b) = ((name, as_counts(value, "labels")) for name, value in labels.items())
    n = sum(a) + sum(b)
    as_is, swapped = 100 * sum(a) / n, 100 * sum(b) / n
    reason = (
        f"As printed, {as_is:.0f}% are “{first}”; with “{first}” and “{second}” exchanged, {swapped:.0f}%. "
        "Totals and P values are the same either way, so the printed figures can not tell."
    )
    return Verdict(UNDECIDED, reason, f"{as_is:.0f}% or {swapped:.0f}%", "", {"printed": as_is, "exchanged": swapped})
