"""Claims about counts, about proportions, and about the measures of a 2 x 2 table.

Totals, splits, lists, stages of selection, duplicated rows and the order of labels; percentages of counted patients;
and which 2 x 2 tables could give a printed sensitivity, specificity, predictive value or accuracy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np

from radsupport.claims.numbers import Printed, numbers_in, read_number
from radsupport.claims.verdicts import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Claim,
    Verdict,
    agreement,
    as_count,
    as_counts,
    as_levels,
    as_table,
    decide,
    form,
    show_range,
)
from radsupport.errors import InputError
from radsupport.wording import counted, listed

COINCIDENCE_DIGITS = 8
"""Rows that share this many printed digits are taken as copied: by chance about once in 10 to the power of this."""


def _printed_counts(claim: Claim, n: int) -> list[int]:
    """Return the first `n` whole numbers printed; explanations in round brackets are left out."""
    found = [int(each.value) for each in numbers_in(re.sub(r"\([^)]*\)", " ", claim.published_value), whole=True)]
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


SLACK = 1e-6
"""Slack, in counts, for floating-point noise at the edge of a rounding interval."""
MOST_COUNTS = 200
"""Counts that are listed for one printed proportion; in larger cohorts they are spread over its rounding interval."""


def printed_share(claim: Claim) -> tuple[Printed, float]:
    """Return the printed proportion or percentage and its scale (1 or 100).

    A number before a percent sign is a percentage; else the only decimal number is taken,
    as a percentage where it exceeds 1.
    """
    text = claim.published_value
    if "%" in text:
        return numbers_in(text[: text.index("%")])[-1], 100.0
    decimals = [each for each in claim.numbers() if each.decimals]
    number = decimals[-1] if decimals else claim.number()
    return number, 100.0 if number.value > 1 else 1.0


def reachable(printed: Printed, n: int, scale: float = 1.0) -> list[int]:
    """Return every count k of n whose proportion rounds to what is printed (the GRIM test for a proportion)."""
    first = math.ceil(max(printed.low, 0.0) * n / scale - SLACK)
    last = math.floor(min(printed.high, scale) * n / scale + SLACK)
    return [k for k in _spread(first, last) if printed.meets(scale * k / n)]


def _spread(first: int, last: int) -> list[int]:
    """Return all whole numbers of a range, or, where there are very many, some of them evenly spread with both ends."""
    if last - first < MOST_COUNTS:
        return list(range(first, last + 1))
    return sorted({round(each) for each in np.linspace(first, last, MOST_COUNTS)})


def near(printed: Printed, n: int, scale: float = 1.0) -> list[int]:
    """Return the reachable counts, or, where there is none, the two counts next to the printed proportion."""
    found = reachable(printed, n, scale)
    below = int(np.clip(np.floor(printed.value / scale * n), 0, n))
    return found or sorted({below, min(below + 1, n)})


def share_verdict(k: int, n: int, printed: Printed, scale: float) -> Verdict:
    """Compare k/n with the printed proportion."""
    if n == 0:
        raise InputError("a proportion of 0 patients does not exist; `n` must be at least 1.")
    value, unit = scale * k / n, "%" if scale == 100 else ""
    how = agreement(value, printed)
    ok = how in {"rounded", "rounded twice"}
    shown = f"{value:.{printed.decimals + 2}f}{unit}"
    note = {"rounded twice": " (rounded twice)", "cut off": " (cut off instead of rounded)"}.get(how, "")
    slip, values = ("", {}) if ok or how == "cut off" else _slip(k, n, printed, scale)
    reason = f"{k}/{n} is {shown}; printed {printed}{unit}{note}.{slip}"
    return Verdict(decide(ok), reason, shown, how or "rounded", {"share": value} | values)


def _slip(k: int, n: int, printed: Printed, scale: float) -> tuple[str, dict[str, float]]:
    """Say which other denominator gives what is printed for `k` patients: those without the event, or the only one.

    A denominator counts only if the quotient rounds to what is printed or, for patients with the event divided by
    those without, would be so printed with the last digit cut off.
    """
    unit, digits = "%" if scale == 100 else "", printed.decimals + 2
    way = agreement(scale * k / (n - k), printed) if 0 < k < n else ""
    if way:
        ratio = scale * k / (n - k)
        cut = ", with the last digit cut off" if way == "cut off" else ""
        text = f" It is {k}/{n - k} = {ratio:.{digits}f}{unit}, patients with the event divided by those without{cut}."
        return text, {"without": n - k, "ratio": ratio, "cut_off": float(way == "cut off")}
    fitting = denominators(printed, k, scale)
    if len(fitting) != 1:
        return "", {}
    return f" {k} would be {printed}{unit} of {fitting[0]} patients and of no other number.", {"fitting_n": fitting[0]}


def denominators(printed: Printed, k: int, scale: float = 1.0) -> list[int]:
    """Return every number of patients of whom `k` are a share that rounds to what is printed."""
    if k == 0 or printed.low <= 0:
        return []
    first, last = math.ceil(scale * k / printed.high - SLACK), math.floor(scale * k / printed.low + SLACK)
    return [n for n in _spread(max(first, k), last) if printed.meets(scale * k / n)]


@form("proportion", "k", "n", optional=("claimed",))
def one_share(claim: Claim) -> Verdict:
    """Compare the share of patients with the printed proportion, or with the majority that the text speaks of."""
    k, n = as_count(claim.inputs["k"], "k"), as_count(claim.inputs["n"], "n", 1)
    if k > n:
        raise InputError(f"`k` ({k}) exceeds `n` ({n}).")
    if claim.inputs.get("claimed") == "majority":
        reason = f"{k} of {n} is {100 * k / n:.1f}%, {'more' if 2 * k > n else 'not more'} than half."
        return Verdict(decide(2 * k > n), reason, f"{100 * k / n:.1f}%", "more than half", {"share": 100 * k / n})
    counts = [int(each.value) for each in claim.numbers() if not each.decimals]
    decimals = any(each.decimals for each in claim.numbers())
    if "%" not in claim.published_value and len(counts) > 1 and not decimals:
        shown = f"{k} of {n}"
        return Verdict(decide(counts == [k, n]), f"The table gives {shown}.", shown, "count", {"share": k / n})
    printed, scale = printed_share(claim)
    return share_verdict(k, n, printed, scale)


def _pairs(levels: Any) -> list[tuple[str, list[tuple[int, Printed]]]]:
    """Read `[["Female", [["23", "30.3"], …]], …]`."""
    rows = []
    for each in levels if isinstance(levels, list) else []:
        if not isinstance(each, list) or len(each) < 2:
            raise InputError(f"`levels` must be a list of [level, [count, percentage], …], found {each!r}.")
        cells = each[1] if len(each) == 2 and isinstance(each[1][0], list) else each[1:]
        rows.append((str(each[0]), [(as_count(k, "levels"), read_number(p, "levels")) for k, p in cells]))
    if not rows or len({len(cells) for _, cells in rows}) != 1:
        raise InputError("`levels` must have the same number of [count, percentage] pairs in every level.")
    return rows


@form("proportion", "levels", optional=("denominators",))
def percentages_of_levels(claim: Claim) -> Verdict:
    """Compare every count/total with the percentage beside it, column by column."""
    rows = _pairs(claim.inputs["levels"])
    columns = len(rows[0][1])
    totals = [sum(cells[i][0] for _, cells in rows) for i in range(columns)]
    if "denominators" in claim.inputs:
        totals = as_counts(claim.inputs["denominators"], "denominators", columns, minimum=1)
    wrong, forced = [], []
    for i, n in enumerate(totals):
        bad = [
            f"{name} {k}/{n} is {100 * k / n:.2f}%, printed {printed}"
            for name, cells in rows
            for k, printed in [cells[i]]
            if n and not printed.meets(100 * k / n)
        ]
        wrong += bad
        if bad and abs(sum(cells[i][1].value for _, cells in rows) - 100) < 1e-6:
            forced.append(i + 1)
    checked = f"{columns * len(rows)} percentages of {'/'.join(map(str, totals))} patients"
    if not wrong:
        return Verdict(HOLDS, f"All {checked} agree.", "all agree", "rounded")
    differ = "differs" if len(wrong) == 1 else "differ"
    whose = f"Column {listed(forced)} adds" if len(forced) == 1 else f"Columns {listed(forced)} add"
    exactly = f" {whose} up to exactly 100 as printed." if forced else ""
    reason = f"{len(wrong)} of {checked} {differ}: {'; '.join(wrong)}.{exactly}"
    return Verdict(FAILS, reason, f"{len(wrong)} {differ}", "rounded", {"wrong": len(wrong)})


Table2x2 = tuple[int, int, int, int]
"""True positives, false negatives, true negatives, false positives."""
MEASURES_TO_SEARCH = 4
"""Printed measures from which on a mix-up that fits them all is no coincidence."""
METRICS = ("sensitivity", "specificity", "ppv", "npv", "accuracy")
ALIASES = {"sen": "sensitivity", "spc": "specificity", "spe": "specificity", "acc": "accuracy"}


def shares(table: Table2x2) -> dict[str, tuple[int, int]]:
    """Return numerator and denominator of each of the five measures."""
    tp, fn, tn, fp = table
    return {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, tp + fn + tn + fp),
    }


def metric_of(claim: Claim) -> str:
    """Return which measure the claim's item names.

    Raises
    ------
    InputError
        It names none.
    """
    words = claim.item.lower().replace("(%)", " ").replace(":", " ").split()
    for word in reversed(words):
        if ALIASES.get(word, word) in METRICS:
            return ALIASES.get(word, word)
    raise InputError(f"item {claim.item!r} must end with one of {', '.join(METRICS)}.")


@form("proportion", "TP", "FN", "TN", "FP")
def measure_of_table(claim: Claim) -> Verdict:
    """Compute one measure from a 2x2 table."""
    table = tuple(as_count(claim.inputs[name], name) for name in ("TP", "FN", "TN", "FP"))
    k, n = shares(table)[metric_of(claim)]  # type: ignore[arg-type]
    printed, scale = printed_share(claim)
    return share_verdict(k, n, printed, scale)


def _grim(name: str, printed: Printed, n: int) -> tuple[str, bool]:
    found = reachable(printed, n)
    if found:
        return f"{name} {printed} is {' or '.join(f'{k}/{n}' for k in found)}", True
    low, high = near(printed, n)
    cut = [k for k in (low, high) if agreement(k / n, printed) == "cut off"]
    note = f"; {cut[0]}/{n} would be so printed only if cut off instead of rounded" if cut else ""
    return f"{name} {printed} is impossible: {low}/{n} = {low / n:.4f}, {high}/{n} = {high / n:.4f}{note}", False


@form("proportion", "n_pos", "n_neg")
def attainable_pair(claim: Claim) -> Verdict:
    """Ask whether a printed `sensitivity/specificity` pair can come from this many positives and negatives."""
    n_pos, n_neg = (as_count(claim.inputs[name], name, 1) for name in ("n_pos", "n_neg"))
    printed = claim.numbers()
    if len(printed) != 2:
        raise InputError(f"published_value must read sensitivity/specificity, it is {claim.published_value!r}.")
    texts = [_grim("sensitivity", printed[0], n_pos), _grim("specificity", printed[1], n_neg)]
    reason = "; ".join(text for text, _ in texts).capitalize() + "."
    nearest = f"{near(printed[0], n_pos)[-1]}/{n_pos}, {near(printed[1], n_neg)[-1]}/{n_neg}"
    return Verdict(decide(all(ok for _, ok in texts)), reason, nearest, "rounded")


@form("proportion", "sen", "spc", "n_pos", "n_neg")
def accuracy_of_pair(claim: Claim) -> Verdict:
    """Ask whether the printed accuracy follows from any table with the printed sensitivity and specificity."""
    n_pos, n_neg = (as_count(claim.inputs[name], name, 1) for name in ("n_pos", "n_neg"))
    sen, spc = (read_number(claim.inputs[name], name) for name in ("sen", "spc"))
    tables = [(tp, tn) for tp in near(sen, n_pos) for tn in near(spc, n_neg)]
    n = n_pos + n_neg
    how = {(tp, tn): agreement((tp + tn) / n, claim.number()) for tp, tn in tables}
    fits = [table for table, way in how.items() if way in {"rounded", "rounded twice"}]
    cut = [table for table, way in how.items() if way == "cut off"]
    shown = " or ".join(f"({tp} + {tn})/{n} = {(tp + tn) / n:.4f}" for tp, tn in fits or tables)
    if fits:
        return Verdict(HOLDS, f"{shown}.", shown, how[fits[0]], {"accuracy": sum(fits[0]) / n})
    note = f" ({sum(cut[0])}/{n} cut off instead of rounded)" if cut else ""
    return Verdict(FAILS, f"{shown}; printed {claim.number()}{note}.", shown, "cut off" if cut else "rounded")


def _candidates(n_pos: int, n_neg: int, tps: Iterable[int], tns: Iterable[int]) -> Iterator[Table2x2]:
    tns = list(tns)
    return ((tp, n_pos - tp, tn, n_neg - tn) for tp in tps for tn in tns)


def _meets(table: Table2x2, printed: dict[str, Printed]) -> bool:
    made = shares(table)
    return all(made[name][1] > 0 and number.meets(made[name][0] / made[name][1]) for name, number in printed.items())


def rearrangement(n_pos: int, n_neg: int, printed: dict[str, Printed]) -> str:
    """Say which mix-up of rows, columns or classes would give all printed measures; empty if none does.

    Tried: the other class taken as positive; predicted and reference exchanged
    (sensitivity <-> PPV, specificity <-> NPV); both.
    """
    swap = {"sensitivity": "ppv", "ppv": "sensitivity", "specificity": "npv", "npv": "specificity"}
    exchanged = {swap.get(name, name): number for name, number in printed.items()}
    tries = {
        "the other class is taken as positive": (n_neg, n_pos, printed),
        "predicted and reference are exchanged": (n_pos, n_neg, exchanged),
        "the other class is taken as positive and predicted and reference are exchanged": (n_neg, n_pos, exchanged),
    }
    for words, (p, n, numbers) in tries.items():
        tps, tns = reachable(numbers["sensitivity"], p), reachable(numbers["specificity"], n)
        found = [t for t in _candidates(p, n, tps, tns) if _meets(t, numbers)]
        if found:
            tp, fn, tn, fp = found[0]
            return f"All printed measures fit if {words} (table {tp}, {fn}, {tn}, {fp})"
    return ""


@form("proportion", "n_pos", "n_neg", "printed")
def one_of_five(claim: Claim) -> Verdict:
    """Judge one measure by the 2x2 tables that agree with the printed sensitivity and specificity.

    Sensitivity and specificity are judged by their own denominators; the other three by the
    tables whose sensitivity and specificity are as printed, or next to it where impossible.
    """
    n_pos, n_neg = (as_count(claim.inputs[name], name, 1) for name in ("n_pos", "n_neg"))
    if not isinstance(claim.inputs["printed"], dict):
        raise InputError("`printed` must map the measures to their printed values.")
    printed = {ALIASES.get(k.lower(), k.lower()): read_number(v, k) for k, v in claim.inputs["printed"].items()}
    missing = [name for name in ("sensitivity", "specificity") if name not in printed]
    if missing:
        raise InputError(f"`printed` must name {' and '.join(missing)}.")
    name, value = metric_of(claim), claim.number()
    if name in {"sensitivity", "specificity"}:
        return _own_denominator(name, value, n_pos, n_neg, printed)
    return _conditional(name, value, n_pos, n_neg, printed)


def _own_denominator(name: str, value: Printed, n_pos: int, n_neg: int, printed: dict[str, Printed]) -> Verdict:
    """Judge sensitivity or specificity by its number of patients alone."""
    n = n_pos if name == "sensitivity" else n_neg
    text, ok = _grim(name, value, n)
    none = "No exchange of classes, or of prediction and reference, makes all printed measures fit"
    enough = not ok and len(printed) >= MEASURES_TO_SEARCH
    mix_up = (rearrangement(n_pos, n_neg, printed) or none) if enough else ""
    counts = near(value, n)
    reason = f"{text.capitalize()}.{f' {mix_up}.' if mix_up else ''}"
    values = {"low": counts[0], "high": counts[-1], "n": n, "low_share": counts[0] / n, "high_share": counts[-1] / n}
    values["prevalence"] = n_pos / (n_pos + n_neg)
    return Verdict(decide(ok), reason, f"{' or '.join(map(str, counts))} of {n}", "rounded", values)


def _conditional(name: str, value: Printed, n_pos: int, n_neg: int, printed: dict[str, Printed]) -> Verdict:
    """Judge PPV, NPV or accuracy given the printed sensitivity and specificity."""
    tps, tns = near(printed["sensitivity"], n_pos), near(printed["specificity"], n_neg)
    made = {t: shares(t)[name] for t in _candidates(n_pos, n_neg, tps, tns)}
    made = {t: share for t, share in made.items() if share[1] > 0}
    if not made:
        return Verdict(UNDECIDED, "No patient has this prediction, so the measure does not exist.")
    fits = {t: share for t, share in made.items() if value.meets(share[0] / share[1])}
    given = f"with sensitivity {printed['sensitivity']} of {n_pos} and specificity {printed['specificity']} of {n_neg}"
    if fits:
        (tp, fn, tn, fp), (k, n) = next(iter(fits.items()))
        reason = f"{k}/{n} = {k / n:.4f} {given} (TP {tp}, FN {fn}, TN {tn}, FP {fp})."
        return Verdict(HOLDS, reason, f"{k / n:.4f}", "rounded", {"value": k / n})
    values = [k / n for k, n in made.values()]
    shown = show_range(min(values), max(values), 3)
    reason = f"{name.upper() if len(name) == 3 else name.capitalize()} is {shown} {given}; printed {value}."
    return Verdict(FAILS, reason, shown, "rounded", {"low": min(values), "high": max(values)})


@form("proportion", "sen", "spc", "ppv", "acc")
def implied_prevalence(claim: Claim) -> Verdict:
    """Compare the prevalence that Bayes' rule gives from the PPV, and that the accuracy gives, with the printed one."""
    numbers = {name: read_number(claim.inputs[name], name) for name in ("sen", "spc", "ppv", "acc")}
    sen, spc, ppv, acc = ((max(p.low, 1e-9), min(p.high, 1 - 1e-9)) for p in numbers.values())
    from_ppv, from_acc = [], []
    for se, sp in product(sen, spc):
        from_ppv += [(1 - sp) * p / (se * (1 - p) + (1 - sp) * p) for p in ppv]
        from_acc += [(a - sp) / (se - sp) for a in acc if se != sp]
    if sen[0] <= spc[1] and spc[0] <= sen[1]:
        from_acc = [0.0, 1.0]  # equal sensitivity and specificity: accuracy says nothing about prevalence
    stated = claim.numbers()[-1]
    ok = stated.meets(min(from_ppv), max(from_ppv)) and stated.meets(min(from_acc), max(from_acc))
    shown = f"{show_range(min(from_ppv), max(from_ppv), 2)} (PPV), "
    shown += f"{show_range(min(from_acc), max(from_acc), 2)} (accuracy)"
    reason = f"The prevalence implied by sensitivity and specificity is {shown}; printed {stated}."
    return Verdict(decide(ok), reason, shown, "Bayes' rule", {"ppv": min(from_ppv), "accuracy": min(from_acc)})
