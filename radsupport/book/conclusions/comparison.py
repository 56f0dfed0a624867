"""Chapter 06 in words: signatures compared with chance, with one another, and with what they have met before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.evaluate.summary import flat_signatures, least_detectable
from radsupport.settings.learning import Signature
from radsupport.settings.parts import Cohort
from radsupport.wording import center_words, counted, estimate, fixed, listed, p_value, tick

Row = Mapping[Any, Any]
#: Key under which chapter 05 publishes the mean over divisions into folds of a signature, with lowest and highest.
DIVISIONS = "mean_over_divisions:"
#: Said where P and an interval, by two methods, do not agree.
UNDECIDED = "undecided, because only one of P and the interval, which are computed in two ways, leaves out chance"
#: An AUC or C-index below which a ranking is named although its interval covers 0.5.
_BELOW = 0.45
_ROLES = {
    "comparator": "the study's comparator",
    "highest": "the highest of the others, picked after looking",
    "both": "the study's comparator and the highest of the others",
    "simple": "a simple predictor, without image features",
}


def place(row: Row, names: Mapping[str, str]) -> str:
    """Return the cohort of a row in words, with its horizon where it has one."""
    return names[str(row["cohort"])] + (f" by {row['horizon']:g} months" if row.get("horizon", 0) > 0 else "")


def divided(entry: Any) -> bool:
    """Whether there were several divisions, and all their numbers are there."""
    found = [entry.get(key) for key in ("value", "n", "ci_low", "ci_high")] if isinstance(entry, Mapping) else [None]
    return None not in found and int(entry["n"]) > 1


def over_divisions(numbers: Mapping[str, Any], signature: str, decimals: int = 2) -> tuple[str, str]:
    """Return what stands before a value out of fold, and what beside it, so that no single division is a headline.

    Returns
    -------
    before : str
        The mean over divisions with its range, as ``0.80 on average of 3 divisions (0.76–0.87), the first ``; empty
        with one.
    beside : str
        ``one division``; empty with several.
    """
    entry = numbers.get(f"{DIVISIONS}{signature}") or {}
    if not divided(entry):
        return "", "one division"
    mean, low, high = (fixed(entry[key], decimals) for key in ("value", "ci_low", "ci_high"))
    return f"{mean} on average of {entry['n']} divisions ({low}–{high}), the first ", ""


#: Begins the key under which chapter 05 publishes, by cohort and signature, why patients there have no value.
NOT_SCORED = "not_scored:"


def against_chance(row: Row) -> str:
    """Say whether a value differs from 0.5: by its P and by its interval, which has to agree."""
    low, high, p = row["value_low"], row["value_high"], row["p_chance"]
    if np.isfinite(low) and (p < 0.05) == (low <= 0.5 <= high):
        return UNDECIDED
    if p < 0.05:
        return "better than chance" if row["value"] > 0.5 else "it ranks the wrong way"
    return "chance is not excluded"


def in_centers(table: pd.DataFrame | None, best: str, names: Mapping[str, str]) -> list[str]:
    """Name the centers of a cohort in which the chosen signature alone is not shown to be better than chance."""
    if table is None or "p_chance" not in table:  # every cohort comes from one center
        return []
    own = table[table["signature"] == best].dropna(subset=["p_chance"])
    lines: dict[str, list[str]] = {}
    for row in own.to_dict("records"):
        if (verdict := against_chance(row)) != "better than chance":
            size = f"{row['events']} events in {counted(row['n'], 'patient')}"
            value = estimate(row["value"], row["value_low"], row["value_high"])
            value = f"{center_words(row['center'])} {value}"
            words = f"{value}, {size}, {p_value(row['p_chance'], name='P')}: {verdict} there"
            lines.setdefault(names[row["cohort"]], []).append(words)
    return [f"**One center alone**, {where}, {best}: {'; '.join(words)}." for where, words in lines.items()]


def below_chance(table: pd.DataFrame, names: Mapping[str, str], value: str = "value") -> str:
    """Say which signatures rank patients whom they have not seen worse than chance, and what that means.

    That is an interval below 0.5; a value below 0.45 whose interval covers 0.5 is named, too, but not called worse. Of
    a row without an interval nothing is said.

    Parameters
    ----------
    table : DataFrame
        signature, cohort (train without it), and `value` with limits.
    names : mapping of cohort to name
    value : str
    """
    known = table.dropna(subset=[f"{value}_high"]) if f"{value}_high" in table else pd.DataFrame()
    parts: dict[str, list[str]] = {"**Worse than chance**": [], "**Below 0.5, though the interval covers it**": []}
    sure, unsure = parts.values()
    for row in known.to_dict("records"):
        limits = (row[f"{value}{end}"] for end in ("", "_low", "_high"))
        if row[f"{value}_high"] < 0.5 or row[value] < _BELOW:
            where = names[str(row.get("cohort", "train"))]
            (sure if row[f"{value}_high"] < 0.5 else unsure).append(
                f"{row['signature']} in {where} {estimate(*limits)}"
            )
    why = (
        "Most likely an unstable fit, of which each fold's model leans another way, or chance; no finding turned round."
    )
    found = [f"{start}: {listed(own, 12)}." for start, own in parts.items() if own]
    return " ".join([*found, why]) if found else ""


def seen_by(signatures: Sequence[Signature], cohorts: Mapping[Any, Cohort]) -> dict[str, dict[str, list[str]]]:
    """Return, by published output and cohort, the centers whose patients its authors fitted it to.

    Of an output whose study file names none (`seen`) that is not known: the training cohort stands there without any.
    """
    found = {}
    for one in (one for one in signatures if one.learner == "published"):
        seen = {str(key): [name for name in one.seen if name in cohort.centers] for key, cohort in cohorts.items()}
        met = {key: [center_words(name) for name in centers] for key, centers in seen.items()}
        found[one.name] = {key: centers for key, centers in met.items() if centers} if one.seen else {"train": []}
    return found


def flattered(
    signatures: Sequence[Signature], cohorts: Mapping[Any, Cohort], shown: Collection[str], names: Mapping[str, str]
) -> str:
    """Say which published outputs, and what learns from them, meet patients again that their authors fitted them to."""
    words = []
    for name, where in seen_by(signatures, cohorts).items():
        parts = [f"{names[key]} ({listed(centers)})" for key, centers in where.items() if centers]
        known = [name, *(one.name for one in signatures if name in one.combines)]
        own = [one for one in known if one in shown]
        if parts and own:
            words.append(f"**Flattered:** {name} was trained or tuned on patients of {listed(parts)}; values there of "
                         f"{listed(own)} are no validation.")  # fmt: skip
    return " ".join(words)


def minus_rivals(
    rivals: pd.DataFrame,
    rows: pd.DataFrame,
    scores: pd.DataFrame,
    seen: Mapping[str, Mapping[str, Sequence[str]]],
    names: Mapping[str, str],
) -> list[str]:
    """Say of each row of `evaluate.rivals` whether the two signatures differ; `seen` as `seen_by` returns it."""
    flat = flat_signatures(rows) if (scores["measure"] == "AUC").any() else {}
    return [_rival(row, names, seen, set(flat), pooled_cohorts(scores)) for row in rivals.to_dict("records")]


def pooled_cohorts(scores: pd.DataFrame) -> set[str]:
    """Return the cohorts of several centers, whose values of everybody are pooled."""
    return set(scores.dropna(subset=["within"])["cohort"]) if "within" in scores else set()


def _rival(
    row: Row,
    names: Mapping[str, str],
    seen: Mapping[str, Mapping[str, Sequence[str]]],
    flat: set[str],
    pooled: set[str],
) -> str:
    a, b, role = row["signature_a"], row["signature_b"], _ROLES[row["role"]]
    if row["cohort"] in seen.get(b, {}):
        met = seen[b][row["cohort"]]
        how = f"flattered here, for it has met patients of {listed(met)}" if met else "which may be flattered here"
        role += f"; a published output, {how}"
    if np.isnan(row["p"]):
        return f"{names[row['cohort']]}: {a} and {b} ({role}): {row['note'] or 'not tested'}."
    verdict = _verdict(row, flat)
    if row["role"] == "highest" and row["p"] < 0.05:
        verdict += " (a rival picked after looking makes P too small)"
    measure, test = ("AUC", "DeLong") if row["measure"] == "AUC" else ("C-index", "jackknife")
    text = estimate(row["difference"], row["difference_low"], row["difference_high"], 3)
    return (
        f"{names[row['cohort']]}: {a} ({measure} {fixed(row['value_a'], 3)}) minus {b} ({fixed(row['value_b'], 3)}; "
        f"{role}): {text}, {p_value(row['p'], name='P')} ({test}, paired, n = {row['n']:.0f}"
        f"{', pooled over centers' * (row['cohort'] in pooled)}): {verdict}."
    )


def _verdict(row: Row, flat: Collection[str]) -> str:
    """Say whether two signatures differ, by P and by the interval, which have to agree."""
    a, b = row["signature_a"], row["signature_b"]
    if still := [name for name in sorted((a, b)) if name in flat]:
        return f"no finding, because the risks of {listed(still)} hardly vary"
    if np.isfinite(row["difference_low"]) and (row["p"] < 0.05) == (
        row["difference_low"] <= 0 <= row["difference_high"]
    ):
        return UNDECIDED
    if row["p"] < 0.05:
        return f"**{a} does worse than {b}**" if row["difference"] < 0 else f"{a} does better"
    return f"no difference is shown{f', so {b} alone may do as well' * (row['role'] == 'simple')}"


def against(rivals: pd.DataFrame, rows: pd.DataFrame, scores: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Say in one line how the chosen signature compares with each rival, as `minus_rivals` does in a line per cohort.

    Of cohorts that were not trained on, where there are some, and wherever it does worse.
    """
    flat, pooled = flat_signatures(rows) if (scores["measure"] == "AUC").any() else {}, pooled_cohorts(scores)
    kept = rivals[rivals["role"] != "highest"].dropna(subset=["p"]) if len(rivals) else rivals
    outside = kept["cohort"].ne("train") if len(kept) else pd.Series(dtype=bool)
    kept = kept[outside | (kept["p"].lt(0.05) & kept["difference"].lt(0))] if outside.any() else kept
    lines = []
    for name, own in kept.groupby("signature_b", sort=False) if len(kept) else []:
        found: dict[str, list[str]] = {}
        for row in own.to_dict("records"):
            value, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
            more = f"{p_value(row['p'], name='P')}{', pooled over centers' * (row['cohort'] in pooled)}"
            words = f"{names[row['cohort']]}, {with_words(estimate(value, low, high, 3), more)}"
            found.setdefault(_SHORT.get(verdict := _verdict(row, flat), verdict), []).append(words)
        role = _ROLES["simple"] if (own["role"] == "simple").any() else _ROLES["comparator"]
        said = "; ".join(f"{verdict}: {listed(places, 12)}" for verdict, places in found.items())
        lines.append(f"Difference from {name} ({role}): {said}.")
    return " ".join(lines)


def with_words(value: str, more: str) -> str:
    """Add words, where there are any, to an estimate: inside the parentheses of its interval where it has one."""
    if not more:
        return value
    return f"{value[:-1]}; {more})" if value.endswith(")") else f"{value} ({more})"


def answer(
    own: Sequence[Row],
    names: Mapping[str, str],
    cohorts: Mapping[Any, Cohort],
    published: Collection[str] = (),
    modelling: Mapping[str, Any] | None = None,
) -> str:
    """Say in one line what a signature reaches in every cohort, in the order of its verdicts against chance.

    Parameters
    ----------
    own : sequence of mapping
        Its rows of `evaluate.discrimination.headline`.
    names : mapping of cohort to name
    cohorts : mapping of key to Cohort
        Those of the study file, which say what kind of validation a cohort is.
    published : collection of str
        Signatures that are published outputs.
    modelling : mapping, optional
        Numbers that chapter 05 published: with them the training value is the mean over divisions first.
    """
    found: dict[str, list[str]] = {}
    for row in own:
        key, size = str(row["cohort"]), f"{row['events']} events in {counted(row['n'], 'patient')}"
        kind = "published output" if row["signature"] in published else "out of fold"
        kind = kind if key == "train" else _KINDS.get(getattr(cohorts.get(key), "validation", ""), "")
        fitted = key == "train" and row["signature"] not in published and bool(modelling)
        before, beside = over_divisions(modelling or {}, row["signature"]) if fitted else ("", "")
        more = [beside] if beside else []
        more += ["within centers", f"pooled {fixed(row['pooled'])}"] if row.get("pooled", np.nan) >= 0 else []
        verdict = "not tested" if np.isnan(row["p_chance"]) else against_chance(row)
        if verdict == "chance is not excluded" and row["measure"] == "AUC":
            more.append(f"below {fixed(least_detectable(int(row['n']), int(row['events'])))} none can be told from it")
        value = "no value" if np.isnan(row["value"]) else fixed(row["value"])
        if row["value_low"] >= 0:
            value = estimate(row["value"], row["value_low"], row["value_high"])
        words = f"{names[key]}, {before}{with_words(value, ', '.join(filter(None, [kind, *more, size])))}"
        found.setdefault(_SHORT.get(verdict, verdict), []).append(words)
    said = "; ".join(f"{verdict} in {listed(places, 12)}" for verdict, places in found.items())
    return f"{own[0]['signature']}, {own[0]['measure']}: {said}." if found else ""


#: What the patients of a cohort are to those of training, by the words of the TRIPOD statement.
VALIDATIONS = {
    "random split": "a random split, patients of the hospitals that trained",
    "temporal": "a temporal validation, other years of the hospitals that trained",
    "geographic": "a geographic validation, other hospitals",
}


def tested(scores: pd.DataFrame, names: Mapping[str, str], cohorts: Mapping[Any, Cohort]) -> str:
    """Say what kind of validation each cohort is, as far as the study file says, and whether any is of elsewhere."""
    judged = [str(key) for key in dict.fromkeys(scores["cohort"]) if key != "train"]
    if not judged:
        return "**Nobody outside the training cohort is judged**: nothing here says how a signature does elsewhere."
    kinds = {key: cohorts[key].validation for key in judged if key in cohorts and cohorts[key].validation}
    words = "; ".join(f"{names[key]} is {VALIDATIONS[kind]}" for key, kind in kinds.items())
    own = len(kinds) == len(judged) and "geographic" not in kinds.values()
    return " ".join([f"{words}."] * bool(words) + [_NOWHERE] * own)


_NOWHERE = "**No other hospital is judged**: nothing here says how a signature does there."


#: The same in a few words.
_KINDS = {"random split": "a random split", "temporal": "other years", "geographic": "other hospitals"}
_SHORT = {UNDECIDED: "undecided, as P and interval disagree", "it ranks the wrong way": "**ranked the wrong way**"}


def equalities(pairs: pd.DataFrame, names: Mapping[str, str], pooled: set[str]) -> list[str]:
    """Say in which groups of signatures the AUCs are not all equal."""
    lines = []
    for (family, cohort), own in pairs.groupby(["family", "cohort"], sort=False):
        p, told = own.iloc[0].get("p_equal", np.nan), bool((own["p_adjusted"] < 0.05).any())
        if p < 0.05:
            before = "" if (own["p"] < 0.05).any() else ", nor before it"
            none = f"but no single pair differs after Holm's adjustment{before}"
            which = "the pairs say which differ" if told else none
            lines.append(
                f"{names[str(cohort)]}: the AUCs of the group {family}"
                f"{' (pooled over centers)' * (cohort in pooled)} are not all equal "
                f"({p_value(p, name='P')}, DeLong's χ² with {own['df'].iloc[0]:.0f} df); {which}."
            )
    return lines


def reclassified(table: pd.DataFrame | None, best: str, comparator: str, names: Mapping[str, str]) -> str:
    """Say which measures of reclassification have P below 0.05, in whose favour, of how many tests."""
    if table is None or "p" not in table:
        return ""
    tested = table.dropna(subset=["p"])
    parts = [
        f"{place(row, names)} {row['measure']} {fixed(row['value'], 3)} ({p_value(row['p'], name='P')}) in favour of "
        f"{best if row['value'] > 0 else comparator}"
        for row in tested[tested["p"] < 0.05].to_dict("records")
    ]
    many = f"{listed(parts, 12)}, of {counted(len(tested), 'test')}, not adjusted"
    return f"Reclassification by {best} against {comparator}: {many}." if parts else ""


def counted_pairs(pairs: pd.DataFrame) -> str:
    """Say how many pairs were tested, and how many small P chance alone would give."""
    if pairs.empty:
        return ""
    pairs = pairs.dropna(subset=["p"])
    if pairs.empty:
        return "No pair of signatures could be compared."
    small, chance = int((pairs["p"] < 0.05).sum()), 0.05 * len(pairs)
    each = [frozenset(pair) for pair in zip(pairs["signature_a"], pairs["signature_b"], strict=True)]
    were, where = "was" if len(set(each)) == 1 else "were", ""
    if len(each) > len(set(each)):
        where = f" in {counted(pairs['cohort'].nunique(), 'cohort')} ({counted(len(each), 'test')})"
    return (
        f"{counted(len(set(each)), 'pair')} of signatures {were} compared{where}; {small} had P < 0.05 before "
        f"adjustment, {tick(chance)} would be expected if no two differed. A large P does not show that two signatures "
        "are equal."
    )


def folds_together(table: pd.DataFrame, pooling: str) -> str:
    """Say how patients of different folds came to be ranked together, and how far that lies from pairs of one fold.

    Parameters
    ----------
    table : DataFrame
        signature, out_of_fold and, where there is one, within_folds (pairs of patients whom one model ranks).
    pooling : {"raw", "standardised"}
    """
    how = {
        "raw": "Patients of different folds are ranked by the risks that the models of their folds gave, as they are",
        "standardised": "Before patients of different folds were ranked together, the models of the folds were put on "
        "one scale: log-odds (or log hazards) minus the mean, over the SD, of the model's own inner out-of-fold ones. "
        "This changes ranks between folds and no risk: thresholds, calibration and net benefit use the risks as they "
        "are",
    }[pooling]
    known = table.dropna(subset=["within_folds", "out_of_fold"]) if "within_folds" in table else table.iloc[:0]
    if known.empty:
        return f"{how}."
    gap = (known["out_of_fold"] - known["within_folds"]).set_axis(known["signature"].astype(str))
    name = str(gap.abs().idxmax())
    side = "above" if gap[name] > 0 else "below"
    most = f"{'farthest for' if len(gap) > 1 else 'for'} **{name}**: {fixed(abs(gap[name]), 3)} {side} it"
    return f"{how}. Pairs within one fold depend on none of this; the pooled value lies {most}."
