"""What the figures of chapter 06 are drawn from: one (title, table, options) per panel, for `figures.panels`.

Chapter 06 under one name, for notebooks; and the numbers that it publishes.

The steps live in modules of their own: `predicted` (who is judged), `discrimination`, `classification`,
`recalibration` (risks to probabilities), `calibration_steps`, `horizon_steps` (survival), `usefulness`, `subgroups`,
`planted` and `reading` (words).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.chapter import Chapter
from radsupport.book.printed import cautions_of
from radsupport.book.tables import unbroken
from radsupport.errors import ContractError, NotEstimableError
from radsupport.evaluate.associations import LATENT
from radsupport.evaluate.calibration import (
    at_horizon,
    bootstrap_corrected,
    calibration_tables,
    horizons_of,
    survival_calibration,
    usable_horizons,
)
from radsupport.evaluate.discrimination import (
    above_chance,
    apparent_curves,
    chance_p,
    equality_table,
    paired_tests,
    roc_table,
)
from radsupport.evaluate.predictions import (
    best_signature,
    families,
    is_label,
    is_published,
    judged_cohorts,
    judged_part,
)
from radsupport.evaluate.probability import AS_GIVEN, Locked
from radsupport.evaluate.subgroups import subgroup_curves
from radsupport.evaluate.summary import CHAPTER, DIVISIONS, flat_signatures, least_detectable, score_numbers
from radsupport.evaluate.thresholds import COUNTS, RATES, RULE_WORDS, classification_table, operating_points, rule_of
from radsupport.evaluate.usefulness import decision_table
from radsupport.settings.evaluation import Subgroup
from radsupport.settings.study import Study
from radsupport.stats.table_one import compare_groups
from radsupport.wording import counted, estimate, fixed, listed, number, p_value


def influence_words(table: pd.DataFrame, study: Study) -> str:
    """Name the patients of `influential_patients`, one line each; empty without any."""
    names = study.cohort_names
    lines = [
        f"- {names[row['cohort']]}, {row['signature']}: one of {counted(row['n'], 'patient')} ({row['subject']}, "
        f"predicted risk {number(row['risk'], 2)}) makes the slope {fixed(row['slope'])}; without this patient it is "
        f"{fixed(row['slope_without'])}."
        for row in table.to_dict("records")
    ]
    head = (
        "Slopes that change by more than half the width of their 95% interval when one patient is left out (nobody was "
        "left out of the tables):\n\n"
    )
    return head + "\n".join(lines) if lines else ""


def counts_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return threshold, counts and accuracy of `classification_table`, as a page shows them."""
    shown = table[["cohort", "signature", "n", "events", "threshold", "tp", "fn", "tn", "fp"]].copy()
    shown["threshold"] = [fixed(value, 3) for value in table["threshold"]]
    shown["accuracy"] = _with_interval(table, "accuracy", "accuracy")
    return shown.assign(no_information_rate=table["no_information_rate"], p_vs_nir=table["p_vs_nir"])


def rates_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return AUC, accuracy, sensitivity, specificity and predictive values, as a page shows them."""
    shown = table[["cohort", "signature"]].copy()
    shown["auc"] = _with_interval(table, "auc", "ci")
    for rate in RATES:
        shown[rate] = _with_interval(table, rate, rate)
    return shown


def _with_interval(table: pd.DataFrame, value: str, limits: str) -> list[str]:
    columns = table[[value, f"{limits}_low", f"{limits}_high"]].to_numpy(dtype=float)
    return ["not defined" if np.isnan(row[0]) else unbroken(estimate(*row)) for row in columns]


def rules_shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `threshold_rules` as a page shows it."""
    shown = table[["cohort", "n"]].assign(rule=table["rule"].map(RULE_WORDS))
    shown["threshold"] = [fixed(value, 3) for value in table["threshold"]]
    for rate in ("accuracy", "sensitivity", "specificity"):
        shown[rate] = _with_interval(table, rate, rate)
    return shown.assign(p_vs_nir=table["p_vs_nir"])


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


Panel = tuple[str, pd.DataFrame, dict[str, Any]]
_MOST_CURVES, _MOST_BARS = 5, 150


def title_of(study: Study, cohort: str, rows: int | None = None, names: Sequence[str] = ()) -> str:
    """Return a panel's title: the cohort's name, how these signatures are judged in it, and how many patients."""
    how = ""
    if cohort == "train":
        given = [name for name in names if is_published(study, name)]
        among = f"; {listed(given)} as published" if given else ""
        how = ", published output" if given and len(given) == len(names) else f", out of fold{among}"
    return f"{study.cohort_names[cohort]}{how}" + (f" (n = {rows})" if rows is not None else "")


def classes_of(study: Study) -> tuple[str, str]:
    """Return the names of the classes 0 and 1."""
    label = study.endpoint.label
    return (label.negative, label.positive) if label and is_label(study) else ("no event seen", "event")


def roc_panels(predictions: pd.DataFrame, study: Study, names: Sequence[str], classified: pd.DataFrame) -> list[Panel]:
    """Return ROC curves: training apparent, training out of fold, the other cohorts; with the locked thresholds."""
    parts: list[Panel] = []
    apparent = apparent_curves(predictions, names)
    if len(apparent):
        size = int(apparent["n"].max())
        parts.append((f"{study.cohorts['train'].name}, apparent (n = {size})", apparent, {}))
    for cohort in judged_cohorts(predictions, study):
        curves = roc_table(predictions, study, cohort, names)
        if len(curves):
            own = list(curves["signature"].unique())
            marks = operating_points(classified, cohort, own)
            title = title_of(study, cohort, int(curves["n"].max()), own)
            parts.append((title, curves, {"marks": marks if len(marks) else None}))
    return parts


def roc_groups(predictions: pd.DataFrame, study: Study) -> list[tuple[str, list[str]]]:
    """Return name and signatures of the groups whose curves are drawn together.

    The comparisons of up to five signatures (of a larger one the curves could not be told apart), else whatever there
    is: the one comparison, or the best signature alone.
    """
    groups = [(family.name, family.signatures) for family in families(predictions, study)]
    small = [group for group in groups if len(group[1]) <= _MOST_CURVES]
    return small or groups or [("the only signature", [best_signature(study)])]


def roc_layout(names: Sequence[str]) -> dict[str, Any]:
    """Return columns, width and height of `figures.panels` for so many curves: the legend of many stands beside."""
    many = len(names) > _MOST_CURVES
    return {"columns": 1 if many else 2, "width": 9.4 if many else 5.4, "height": 5.2}


def matrix_layout(pairs: pd.DataFrame) -> dict[str, float]:
    """Return width and height of `figures.panels` for a matrix of these pairs."""
    side = 3.6 + 0.5 * (1 + pairs["signature_b"].drop_duplicates().size)
    return {"width": side, "height": side - 0.8}


def matrix_panels(pairs: pd.DataFrame, study: Study) -> list[Panel]:
    """Return the matrix of paired tests of each cohort; none for a single pair."""
    if pairs["signature_b"].drop_duplicates().size < 2:
        return []
    return [
        (title_of(study, str(key), int(rows["n"].iloc[0]), names_of(rows)), rows, {})
        for key, rows in pairs.groupby("cohort", sort=False)
    ]


def names_of(pairs: pd.DataFrame) -> list[str]:
    """Return the signatures of paired tests."""
    return list(dict.fromkeys([*pairs["signature_a"], *pairs["signature_b"]]))


def confusion_panels(classified: pd.DataFrame, study: Study, signature: str) -> list[Panel]:
    """Return the confusion matrix of each cohort."""
    own = classified[classified["signature"] == signature]
    return [
        (
            title_of(study, row["cohort"], row["n"], [signature]),
            pd.DataFrame([{key: row[key] for key in (*COUNTS, "accuracy")}]),
            {"classes": classes_of(study)},
        )
        for row in own.to_dict("records")
    ]


def confusion_figures(
    predictions: pd.DataFrame, study: Study, classified: pd.DataFrame, names: Sequence[str]
) -> list[tuple[str, tuple[str, pd.DataFrame]]]:
    """Return signature, rule in words and `classification_table` of each figure: the locked threshold, and one half."""
    if not is_label(study):
        return []
    tables = {study.validation.threshold: classified, "half": classification_table(predictions, study, "half")}
    known = set(classified["signature"])
    return [(name, (RULE_WORDS[rule], table)) for name in names if name in known for rule, table in tables.items()]


def calibration_panels(
    predictions: pd.DataFrame, study: Study, locked: dict[str, Locked], signature: str, horizons: Sequence[float]
) -> list[Panel]:
    """Return honest calibration of one signature: a panel per cohort, and per horizon (months) for survival."""
    cohorts = judged_cohorts(predictions, study) if signature in locked else []
    parts: list[Panel] = []
    for horizon in [None] if is_label(study) else horizons:
        for cohort in cohorts:
            rows = judged_part(predictions, study, cohort, signature)
            found = _calibration(rows, locked[signature], horizon)
            if found is not None:
                table, numbers, p = found
                place = {"risks": p, "summary": numbers if _corner_is_free(table, len(numbers)) else None}
                title = title_of(study, cohort, len(p), [signature])
                parts.append((title, table, {**place, "outcome": outcome_words(study, horizon)}))
    return parts


def _calibration(
    rows: pd.DataFrame, locked: Locked, horizon: float | None
) -> tuple[pd.DataFrame, dict[str, float], pd.Series] | None:
    """Return curve and groups, numbers and probabilities; None where calibration can not be judged."""
    if horizon is not None:
        rows = at_horizon(rows, locked, horizon)
        return (*survival_calibration(rows, horizon), rows["probability"]) if usable_horizons(rows, [horizon]) else None
    if rows["label"].drop_duplicates().size < 2:
        return None
    rows = rows.assign(probability=locked.probability(rows))
    return (*calibration_tables(rows), rows["probability"])


def _corner_is_free(table: pd.DataFrame, lines: int) -> bool:
    """Whether nothing is drawn in the lower right corner, where the figure writes its numbers in some lines."""
    top = 0.18 + 0.045 * lines  # the numbers stand on 0.16 of the height
    low = table["ci_low"].fillna(table["observed"]) if "ci_low" in table else table["observed"]
    return not ((table["predicted"] > 0.55) & (low < top)).any()


def by_words(horizon: float | None) -> str:
    """Return a horizon in words, empty without one."""
    return f" at {horizon:g} months" if horizon is not None else ""


def outcome_words(study: Study, horizon: float | None = None) -> str:
    """Return what a probability is of: the label's event, or an event of the survival endpoint by a horizon."""
    if horizon is None or study.endpoint.survival is None:
        return f"probability of {study.endpoint.label.name}" if study.endpoint.label else "probability"
    return f"probability of an event by {horizon:g} months"


def corrected_panels(
    predictions: pd.DataFrame, study: Study, signatures: Sequence[str], cohort: pd.DataFrame | None
) -> tuple[list[Panel], str]:
    """Return apparent and optimism-corrected calibration of the last step of signatures, and why a panel is missing."""
    horizons: list[float | None] = [None] if is_label(study) else list(horizons_of(study))
    parts: list[Panel] = []
    notes = []
    for name in signatures:
        for horizon in horizons:
            try:
                table = bootstrap_corrected(predictions, study, name, cohort, horizon or 0.0)
            except NotEstimableError as error:
                reason = "; ".join(problem.what for problem in error.problems) or error.message
                notes.append(f"{name}{by_words(horizon)}: {reason[0].lower()}{reason[1:].rstrip('.')}.")
                continue
            usable = f"{table.attrs['resamples']} of {table.attrs['drawn']} resamples usable"
            title = f"{name} (n = {table.attrs['n']}, {usable})"
            parts.append((title, table, {"outcome": outcome_words(study, horizon)}))
    return parts, " ".join(dict.fromkeys(notes))


def decision_panels(
    predictions: pd.DataFrame,
    study: Study,
    locked: dict[str, Locked],
    names: Sequence[str],
    horizon: float | None = None,
) -> list[Panel]:
    """Return decision curves in every cohort where they exist."""
    parts: list[Panel] = []
    for cohort in judged_cohorts(predictions, study):
        table = decision_table(predictions, study, locked, cohort, names, horizon)
        if len(table):
            size = f"n = {table.attrs['n']}, {table.attrs['events']} events"
            own = [name for name in names if name in set(table["strategy"])]
            parts.append((f"{title_of(study, cohort, names=own)} ({size})", table, {}))
    return parts


def subgroup_panels(
    predictions: pd.DataFrame, study: Study, cohort: pd.DataFrame, subgroup: Subgroup, signature: str
) -> list[Panel]:
    """Return the ROC curves of the parts of a division, one panel per cohort."""
    curves = subgroup_curves(predictions, study, cohort, subgroup, signature)
    return [(title_of(study, key, names=[signature]), table, {}) for key, table in curves.items()]


def risk_boxes(predictions: pd.DataFrame, study: Study, signature: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return honest risks by cohort and outcome for `figures.boxes`, and the Mann-Whitney P of each cohort.

    For survival the outcome is whether the event was seen during follow-up. It has no P: a patient without an event may
    only have been followed briefly, which that test does not know.
    """
    event = "label" if is_label(study) else "event"
    rows, p = [], {}
    for cohort in judged_cohorts(predictions, study):
        part = judged_part(predictions, study, cohort, signature)
        name = title_of(study, cohort, names=[signature])
        rows.append(pd.DataFrame({"cohort": name, "risk": part["risk"], "label": part[event].astype(int)}))
        if event == "event":
            continue
        try:
            p[name] = p_value(compare_groups(part["risk"], part[event], "mann_whitney").p)
        except NotEstimableError:
            p[name] = "no test"
    return pd.concat(rows, ignore_index=True), p


def waterfall_panels(predictions: pd.DataFrame, study: Study, signature: str, threshold: float) -> list[Panel]:
    """Return honest risks around the locked threshold, one panel per cohort; none where the threshold is infinite.

    A cohort of more than 150 patients is left out: its bars would be too thin to see.
    """
    event = "label" if is_label(study) else "event"
    parts: list[Panel] = []
    for cohort in judged_cohorts(predictions, study) if np.isfinite(threshold) else []:
        part = judged_part(predictions, study, cohort, signature)
        if 0 < len(part) <= _MOST_BARS:
            table = pd.DataFrame({"risk": part["risk"], "label": part[event].astype(int)})
            look = {"cut_off": threshold, "classes": classes_of(study), "ylabel": "Risk minus threshold"}
            parts.append((title_of(study, cohort, len(part), [signature]), table, look))
    return parts


def boxes_caption(study: Study, signature: str) -> str:
    """Return the caption of `risk_boxes`."""
    if is_label(study):
        return f"Risk by {signature}, {study.id}; P of the Mann–Whitney test."
    why = "a patient without an event may only have been followed briefly, so the two groups are not tested"
    return f"Risk by {signature}, {study.id}, by whether the event was seen: {why}."


def waterfall_caption(study: Study, signature: str, threshold: float) -> str:
    """Return the caption of `waterfall_panels`, which names the rule of the threshold."""
    locked = f"threshold {fixed(threshold, 3)}, locked in training ({RULE_WORDS[rule_of(study)]})"
    other = " The chapter on survival cuts by its own rule." if study.endpoint.survival else ""
    return f"Risk by {signature} around the {locked}, {study.id}.{other}"


def calibration_caption(study: Study, signature: str) -> str:
    """Return the caption of `calibration_panels`: whose predictions these are."""
    whose = "the published output, translated in training" if is_published(study, signature) else ""
    return f"Calibration of {signature}, {study.id}: {whose or 'predictions for patients the model had not seen'}."


def planted_words(table: pd.DataFrame, study: Study) -> str:
    """Say for each cohort which signatures found the planted effect, and which did not."""
    lines = []
    effect = study.synthetic.effect if study.synthetic else 0.0
    names = study.cohort_names
    for cohort, part in table.groupby("cohort", sort=False):
        latent, own = part[part["signature"] == LATENT].iloc[0], part[part["signature"] != LATENT]
        yes, no = own.loc[own["found"], "signature"], own.loc[~own["found"], "signature"]
        ceiling = f"the latent itself reaches {latent['value']:.2f} ({latent['ci_low']:.2f} to {latent['ci_high']:.2f})"
        verdict = f"found by {listed(list(yes), 12)}" if len(yes) else "**found by no signature**"
        verdict += f"; not found by {listed(list(no), 12)}" if len(no) and len(yes) else ""
        lines.append(f"- {names[str(cohort)]}: {verdict}; {ceiling}.")
    planted = f"Planted: {effect:g} per SD of the latent (log odds, or log hazard). "
    nothing = "Nothing was planted, so whatever is found is chance. " if effect == 0 else ""
    test = "its standard error under chance" if is_label(study) else "the infinitesimal jackknife"
    rule = f'"Found" means above 0.5 with P < 0.05 by {test}.'
    return f"{planted}{nothing}{rule}\n\n" + "\n".join(lines)


def judged_words(predictions: pd.DataFrame, study: Study) -> str:
    """Say who is judged by which prediction, cohort by cohort, and which signatures are published outputs."""
    event = "label" if is_label(study) else "event"
    names = study.cohort_names
    lines = []
    cohorts = judged_cohorts(predictions, study)
    for cohort in cohorts:
        every = predictions[predictions["cohort"] == cohort].drop_duplicates("subject").dropna(subset=[event])
        how = "out-of-fold predictions" if cohort == "train" else "scored with the finished model"
        size = f"{counted(len(every), 'patient')}, {int(every[event].sum())} with the event"
        lines.append(f"- {names[cohort]}: {size}, {how}")
    given = [s.name for s in study.signatures if is_published(study, s.name)] if "train" in cohorts else []
    for name in given:
        holding = [s.name for s in study.signatures if name in s.combines]
        also = f", and so may those of {listed(holding)}, which contains it" if holding else ""
        lines.append(
            f"- {name} in {names['train']}: published output; its own training patients may be among them, so that its "
            f"values there may flatter it{also}"
        )
    return "\n".join(lines)


def recalibration_words(locked: Mapping[str, Locked]) -> str:
    """Say how many signatures give probabilities, how many were translated, and why published outputs are."""
    given = sum(one.whole.rule == AS_GIVEN for one in locked.values())
    if not locked:
        return "There are no out-of-fold risks in a training cohort, so nothing can be translated or calibrated."
    words = f"Probabilities as they are: {given} of {counted(len(locked), 'signature')}."
    if given == len(locked):
        return words
    parts = [_published_words(name, own) for name, own in locked.items() if own.whole.on_log_odds]
    return " ".join([words, "The others were translated as the table says.", *parts])


def _published_words(name: str, own: Locked) -> str:
    rows = own.whole.rows
    return (
        f"{name} is a published output, translated like a score because it was never fitted to these patients: as it "
        f"is, its mean in training is {fixed(rows['risk'].mean())}, where {fixed(rows['label'].mean())} had the event."
    )


def positive_words(study: Study) -> str:
    """Say which class counts as positive."""
    label = study.endpoint.label
    return f"positive: {label.positive}, negative: {label.negative}" if label else ""


def equality_words(test: Mapping[str, float], where: str) -> str:
    """Word DeLong's test that all AUCs of a group are equal; empty where there is none."""
    if not test:
        return ""
    p = p_value(test["p"], name="P")
    chi2 = f"χ² = {test['chi2']:.1f} with {test['df']:.0f} df"
    return f"{where}: test that all AUCs are equal (DeLong): {chi2}, {p} (n = {test['n']:.0f})."


def missing_words(table: pd.DataFrame, study: Study) -> str:
    """Say which signatures lack predictions, and for how many patients."""
    if table.empty:
        return "Every signature has a prediction for every patient with an outcome."
    names = study.cohort_names
    parts = [
        f"{row['signature']} in {names[row['cohort']]} ({row['without']} of {row['n']})"
        for row in table.to_dict("records")
    ]
    return (
        f"Without a prediction: {listed(parts, 12)}. Comparisons use the patients whom all compared signatures predict."
    )


def headline(scores: pd.DataFrame, study: Study) -> dict[str, pd.Series]:
    """Return the chosen signature's row in training and in the (first) other cohort, external before internal."""
    own = scores[scores["signature"] == best_signature(study)].drop_duplicates("cohort").set_index("cohort", drop=False)
    rows = {str(cohort): own.iloc[i] for i, cohort in enumerate(own.index)}
    found = {"headline_train": rows["train"]} if "train" in rows else {}
    other = next((cohort for cohort in ("external", "internal") if cohort in rows), None)
    return found | ({"headline_external": rows[other]} if other else {})


def publish(chapter: Chapter, scores: pd.DataFrame, numbers: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Publish every score, the headline of the landing page, and what is compared with published values.

    Parameters
    ----------
    scores : DataFrame
        `discrimination_table`.
    numbers : mapping, optional
        `reading.numbers_of`; those that the study file names and those of single centers are published.
    """
    publish_scores(chapter, scores)
    for key, row in headline(scores, chapter.study).items():
        if pd.notna(row["value"]):
            chapter.publish(key, float(row["value"]), n=int(row["n"]), ci=(float(row["ci_low"]), float(row["ci_high"])))
            chapter.publish(f"{key}_signature", f"{best_signature(chapter.study)} ({row['measure']})")
    named = {entry.ours for entry in chapter.study.published}
    for key, entry in (numbers or {}).items():
        if key not in chapter.numbers and (key in named or key.startswith("center_")) and pd.notna(entry["value"]):
            ci = (float(entry["ci_low"]), float(entry["ci_high"])) if "ci_low" in entry else None
            chapter.publish(key, float(entry["value"]), n=int(entry["n"]), ci=ci)


def publish_scores(chapter: Chapter, scores: pd.DataFrame) -> None:
    """Publish every signature's discrimination as ``auc_<cohort>_<signature>`` or ``c_index_...``."""
    for key, entry in score_numbers(scores).items():
        chapter.publish(key, entry["value"], n=entry["n"], ci=(entry["ci_low"], entry["ci_high"]))
