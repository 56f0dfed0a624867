"""What the numbers of chapter 06 can and cannot mean: the list at its end, computed from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import ContractError
from radsupport.report.guide import cautions_of
from radsupport.report.wording import counted, estimate, fixed, listed, p_value
from radsupport.study_schema import Study
from radsupport.validation.discrimination import above_chance, chance_p, equality_table, paired_tests
from radsupport.validation.predicted import best_signature, honest, is_label, is_published, outcome_columns

CHAPTER = "06"
#: Key under which chapter 05 publishes the mean over divisions into folds of a signature, with lowest and highest.
DIVISIONS = "mean_over_divisions:"
#: Standard deviation of a probability in training below which a signature is said to tell patients hardly apart.
_FLAT = 0.01


def guide_words(
    predictions: pd.DataFrame, scores: pd.DataFrame, pairs: pd.DataFrame, study: Study, modelling: Mapping[str, Any]
) -> str:
    """Return what these numbers can and cannot mean, as a list computed from them.

    Parameters
    ----------
    predictions : DataFrame
    scores : DataFrame
        `discrimination_table`.
    pairs : DataFrame
        `all_pairs`: every paired test of the page.
    study : Study
    modelling : mapping
        `modelling_numbers`.
    """
    own = scores[scores["signature"] == best_signature(study)].to_dict("records")
    lines = [_best_line(row, study) for row in own]
    lines += _main_lines(predictions, scores, pairs, study)
    lines += _equality_lines(predictions, pairs, study)
    lines += [_flat_line(name, sd) for name, sd in flat_signatures(predictions, study).items()]
    told = (_optimism_line(own, study, modelling), _division_line(scores, study, modelling))
    lines += [words for words in told if words]
    lines += _pair_lines(pairs)
    if set(scores["cohort"]) == {"train"}:
        lines.append("There is one cohort only: nothing here says how a signature does in another hospital.")
    if study.is_synthetic:
        lines.append("The patients are synthetic: agreement or disagreement with a paper says nothing about the paper.")
    lines += cautions_of(study, CHAPTER)
    return "\n".join(f"- {line}" for line in lines)


def modelling_numbers(chapter: Chapter) -> dict[str, Any]:
    """Return the numbers that chapter 05 published; none where somebody entered the book with predictions."""
    try:
        return chapter.published("05_modelling")
    except ContractError:
        return {}


def least_detectable(n: int, events: int) -> float:
    """Return the AUC from which the two-sided null-SE test against 0.5 would give P < 0.05.

    0.5 + 1.96 sqrt((n + 1) / (12 events (n - events))); NaN without both classes, at most 1.
    """
    others = n - events
    if not events or not others:
        return math.nan
    return min(1.0, 0.5 + 1.959963984540054 * math.sqrt((n + 1) / (12 * events * others)))


def _best_line(row: Mapping[Any, Any], study: Study) -> str:
    where = study.cohorts[row["cohort"]].name
    if np.isnan(row["value"]):
        return f"{where}: the {row['measure']} of {row['signature']} does not exist there."
    text = estimate(row["value"], row["ci_low"], row["ci_high"])
    p = chance_p(row)
    verdict = "chance is not excluded"
    if p < 0.05:
        verdict = "better than chance" if above_chance(row) else "it ranks the wrong way"
    test = "standard error under chance" if row["measure"] == "AUC" else "jackknife"
    least = least_detectable(int(row["n"]), int(row["events"]))
    power = (
        f" With {row['events']} events in {counted(row['n'], 'patient')}, an AUC below {fixed(least)} can not be told "
        "from chance."
        if is_label(study)
        else ""
    )
    against = f"{p_value(p, name='P')} against 0.5 by the {test}" if test != "jackknife" else p_value(p, name="P")
    return f"{where}, {row['signature']}: {row['measure']} {text}, {against}: {verdict}.{power}"


def _main_lines(predictions: pd.DataFrame, scores: pd.DataFrame, pairs: pd.DataFrame, study: Study) -> list[str]:
    """Word, for each cohort, the chosen signature minus the study's comparator and minus the highest of the others."""
    lines = []
    flat = set(flat_signatures(predictions, study))
    for cohort, part in scores.dropna(subset=["value"]).groupby("cohort", sort=False):
        roles = _rivals(part.set_index("signature")["value"], study)
        for other, role in roles.items():
            row = _comparison(predictions, pairs, study, str(cohort), other)
            if cohort == "train" and is_published(study, other):
                role += "; a published output, which may be flattered here"
            if row:
                lines.append(_main_line(row, study.cohort_names[str(cohort)], role, study, flat))
    return lines


def _rivals(values: pd.Series, study: Study) -> dict[str, str]:
    """Return the signatures that the chosen one is measured against in a cohort, and why these."""
    best, comparator = best_signature(study), study.validation.comparator
    others = values.drop(index=best, errors="ignore")
    if best not in values.index or others.empty:
        return {}
    highest = str(others.idxmax())
    words = {comparator: "the study's comparator"} if comparator in others.index else {}
    if highest == comparator:
        return {comparator: "the study's comparator and the highest of the others"}
    return words | {highest: "the highest of the others, picked after looking"}


def _comparison(
    predictions: pd.DataFrame, pairs: pd.DataFrame, study: Study, cohort: str, other: str
) -> dict[str, Any]:
    """Return the paired test of the chosen signature against another one: as on the page, or made for the two."""
    best = best_signature(study)
    own = pairs[pairs["cohort"] == cohort] if len(pairs) else pairs
    for table in (own, paired_tests(predictions, study, cohort, [best, other])):
        for row in table.to_dict("records"):
            if [row["signature_a"], row["signature_b"]] == [best, other]:
                return {str(key): value for key, value in row.items()}
            if [row["signature_a"], row["signature_b"]] == [other, best]:
                turned = {"difference": -row["difference"], "ci_low": -row["ci_high"], "ci_high": -row["ci_low"]}
                swapped = {"auc_a": row["auc_b"], "auc_b": row["auc_a"], "signature_a": best, "signature_b": other}
                return {**{str(key): value for key, value in row.items()}, **turned, **swapped}
    return {}


def _main_line(row: Mapping[str, Any], where: str, role: str, study: Study, flat: set[str]) -> str:
    a, b = row["signature_a"], row["signature_b"]
    text = estimate(row["difference"], row["ci_low"], row["ci_high"], 3)
    test = "DeLong, paired" if is_label(study) else "jackknife, paired"
    if flat & {a, b}:
        verdict = f"no finding, because the risks of {listed(sorted(flat & {a, b}))} hardly vary"
    elif row["p"] < 0.05:
        verdict = f"**{a} does worse than {b}**" if row["difference"] < 0 else f"{a} does better"
    else:
        verdict = "no difference is shown, and any inside the interval is possible"
    if "picked" in role and row["p"] < 0.05:
        verdict += " (a rival picked after looking makes P too small)"
    measure = "AUC" if is_label(study) else "C-index"
    return (
        f"{where}: {a} ({measure} {fixed(row['auc_a'], 3)}) minus {b} ({fixed(row['auc_b'], 3)}; {role}): {text}, "
        f"{p_value(row['p'], name='P')} ({test}, n = {row['n']:.0f}): {verdict}."
    )


def _equality_lines(predictions: pd.DataFrame, pairs: pd.DataFrame, study: Study) -> list[str]:
    lines = []
    for row in equality_table(predictions, study, pairs):
        if row["p"] < 0.05:
            own = pairs[(pairs["family"] == row["family"]) & (pairs["cohort"] == row["cohort"])]
            told = bool((own["p_adjusted"] < 0.05).any())
            which = "the pairs say which differ" if told else "but no single pair differs after Holm's adjustment"
            lines.append(
                f"{study.cohort_names[row['cohort']]}: the AUCs of the group {row['family']} are not all equal "
                f"({p_value(row['p'], name='P')}, DeLong's χ² with {row['df']:.0f} df); {which}."
            )
    return lines


def flat_signatures(predictions: pd.DataFrame, study: Study) -> dict[str, float]:
    """Return the signatures of a label whose out-of-fold probabilities hardly vary, with their standard deviation.

    Only risks between 0 and 1 have a scale on which 0.01 is little.
    """
    if not is_label(study):
        return {}
    train = honest(predictions, "train").dropna(subset=outcome_columns(study))
    spread = {str(name): rows["risk"] for name, rows in train.groupby("signature", sort=False)}
    return {
        name: float(risk.std())
        for name, risk in spread.items()
        if risk.between(0, 1).all() and len(risk) > 1 and risk.std() < _FLAT
    }


def _flat_line(name: str, sd: float) -> str:
    return (
        f"{name}: its risks hardly vary between the training patients (standard deviation {sd:.2g}): as built "
        "here it learnt next to nothing and can not be judged; a difference from it is no finding about another one."
    )


def _optimism_line(own: list[dict[Any, Any]], study: Study, modelling: Mapping[str, Any]) -> str:
    """Word how far the chosen signature's value on its own patients lies above the one of patients it did not see.

    That is the mean over divisions into folds where there were several, as in chapter 05: one is luck.
    """
    row = next((row for row in own if row["cohort"] == "train"), None)
    if row is None or is_published(study, row["signature"]) or np.isnan(row["apparent"] - row["value"]):
        return ""
    name, entry = row["signature"], modelling.get(f"{DIVISIONS}{row['signature']}")
    honest_value, which = row["value"], "out-of-fold"
    if isinstance(entry, Mapping) and _divided(entry):
        honest_value, which = entry["value"], "mean out-of-fold"
    gap = row["apparent"] - honest_value
    if gap <= 0:
        return f"The apparent {row['measure']} of {name} is not above the {which} one: no optimism is seen."
    return (
        f"The apparent {row['measure']} of {name} ({fixed(row['apparent'], 3)}) is {fixed(gap, 3)} above the "
        f"{which} one: that much is optimism."
    )


def _division_line(scores: pd.DataFrame, study: Study, modelling: Mapping[str, Any]) -> str:
    """Say what other divisions of the training patients into folds gave, where chapter 05 published it."""
    train = scores[scores["cohort"] == "train"]
    first = {str(row["signature"]): float(row["value"]) for row in train.to_dict("records")}
    names = dict.fromkeys([best_signature(study), study.validation.comparator])
    entries = {name: modelling.get(f"{DIVISIONS}{name}") for name in names if name in first}
    known = {name: entry for name, entry in entries.items() if isinstance(entry, Mapping) and _divided(entry)}
    if not known:
        return ""
    parts = [
        f"{name} {fixed(entry['value'], 3)} ({fixed(entry['ci_low'], 3)} to {fixed(entry['ci_high'], 3)}; in the first "
        f"{fixed(first[name], 3)})"
        for name, entry in known.items()
    ]
    count = max(int(entry["n"]) for entry in known.values())
    means, firsts = [float(entry["value"]) for entry in known.values()], [first[name] for name in known]
    turned = len(known) > 1 and (means[0] - means[1]) * (firsts[0] - firsts[1]) < 0
    other_way = " On average the two stand the other way round than in the first division." if turned else ""
    return (
        f"Training is judged by the first of {count} divisions into folds; over all of them the "
        f"{train['measure'].iloc[0]} was on average (lowest to highest): {listed(parts)}.{other_way}"
    )


def _divided(entry: Mapping[str, Any]) -> bool:
    """Whether there were several divisions, and all their numbers are there."""
    numbers = [entry.get(key) for key in ("value", "n", "ci_low", "ci_high")]
    return None not in numbers and int(entry["n"]) > 1


def _pair_lines(pairs: pd.DataFrame) -> list[str]:
    if pairs.empty:
        return []
    small, chance = int((pairs["p"] < 0.05).sum()), 0.05 * len(pairs)
    were = "was" if len(pairs) == 1 else "were"
    return [
        f"{counted(len(pairs), 'pair')} of signatures {were} compared; {small} had P < 0.05 before adjustment, "
        f"{chance:.2g} would be expected if no two differed. A large P does not show that two signatures are equal."
    ]
