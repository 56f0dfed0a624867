"""Claims about sensitivity, specificity, predictive values and accuracy: which 2x2 tables could give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from radsupport.errors import InputError
from radsupport.published.inputs import as_count
from radsupport.published.proportions import near, printed_share, reachable, share_verdict
from radsupport.published.rounding import Printed, agreement, read_number, show_range
from radsupport.published.verdicts import FAILS, HOLDS, UNDECIDED, Claim, Verdict, decide, form

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
