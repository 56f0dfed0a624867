"""Chapter 06 in words: who was judged, and what the numbers can and can not mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.book.conclusions.comparison import (
    DIVISIONS,
    Row,
    against,
    against_chance,
    answer,
    below_chance,
    counted_pairs,
    divided,
    equalities,
    flattered,
    in_centers,
    minus_rivals,
    place,
    pooled_cohorts,
    reclassified,
    seen_by,
    tested,
)
from radsupport.evaluate.associations import LATENT
from radsupport.evaluate.discrimination import headline
from radsupport.evaluate.features import made_of
from radsupport.evaluate.predictions import FEWEST, missing_predictions
from radsupport.evaluate.probability import AS_GIVEN
from radsupport.evaluate.summary import flat_signatures, least_detectable
from radsupport.settings.learning import Signature
from radsupport.settings.parts import Cohort
from radsupport.stats.shift import on_another_scale
from radsupport.stats.usefulness import LEAST_GAIN
from radsupport.wording import counted, estimate, fixed, listed, number, p_value, source_words

#: Begins the key under which chapter 05 publishes, by cohort, source and signature, that used features are on another
#: scale there.
SCALE = "another_scale:"


def titles(names: Mapping[str, str], signatures: Sequence[str], published: Collection[str] = ()) -> dict[str, str]:
    """Return the cohorts' names for a picture, with how these signatures are judged in training.

    Parameters
    ----------
    names : mapping of cohort to name
    signatures : sequence of str
        Those in the picture.
    published : collection of str
        Signatures that are published outputs.
    """
    if "train" not in names:
        return dict(names)
    given = [name for name in signatures if name in published]
    how = f", out of fold{f'; {listed(given)} as published' if given else ''}"
    if given and len(given) == len(signatures):
        how = ", published output"
    return {**names, "train": f"{names['train']}{how}", "apparent": f"{names['train']}, apparent"}


def judged(
    rows: pd.DataFrame,
    signatures: Sequence[str],
    names: Mapping[str, str],
    combinations: Mapping[str, Sequence[str]],
    event: str = "label",
    cohort: pd.DataFrame | None = None,
    external: str = "",
) -> str:
    """Say who is judged by which prediction, which signatures are published outputs, and where predictions lack.

    Parameters
    ----------
    rows : DataFrame
        `evaluate.judged`.
    signatures : sequence of str
        Those that should predict everybody.
    names : mapping of cohort to name
    combinations : mapping of published output to the signatures that contain it
    event : str
        The column that says who had the event.
    cohort : DataFrame, optional
        cohort.parquet, against which patients are counted.
    external : {"", "mean_of_folds", "refit"}
        How chapter 05 scored the other cohorts; "" where it did not.
    """
    lines = []
    for key, predicted in rows.groupby("cohort", observed=True):
        part, each = predicted.drop_duplicates("subject"), predicted.groupby("signature", observed=True)["subject"]
        given = [name for name in combinations if name in each.groups]
        how = "out-of-fold predictions" if key == "train" else SCORED[external]
        how += f"; {listed(given)} as published" if given else ""
        how = "published output" if given and len(given) == len(each) else how
        size = f"{counted(len(part), 'patient')}, {int(part[event].sum())} with the event"
        lines.append(f"- {names[str(key)]}: {'up to ' * bool(each.nunique().min() < len(part))}{size}, {how}")
    for name, holding in combinations.items() if (rows["cohort"] == "train").any() else ():
        also = f", and so may those of {listed(holding)}, which contains it" if holding else ""
        lines.append(
            f"- {name} in {names['train']}: published output; its own training patients may be among them, so that its "
            f"values there may flatter it{also}"
        )
    outcome, known = ("label",) if event == "label" else ("time", event), cohort is not None and len(cohort) > 0
    return "\n".join(lines) + "\n\n" + _missing(missing_predictions(rows, signatures, cohort, outcome), names, known)


#: How patients outside the training cohort are scored, by the study's `modelling.external`.
SCORED = {
    "": "external predictions",
    "mean_of_folds": "scored with the mean of the models of the folds",
    "refit": "scored with the model fitted on all training patients",
}


def _missing(table: pd.DataFrame, names: Mapping[str, str], known: bool) -> str:
    if table.empty and not known:
        return (
            "Every signature predicts the same patients. Whether these are all patients of the study is not known: "
            "there is no cohort table here."
        )
    if table.empty:
        return "Every signature has a prediction for every patient of the cohort table with an outcome."
    parts = [
        f"{row['signature']} in {names[row['cohort']]} ({row['without']} of {row['n']})"
        for row in table.to_dict("records")
    ]
    return (
        f"Without a prediction: {listed(parts, 12)}. Comparisons use the patients whom all compared signatures predict."
    )


def probabilities(locked: Mapping[str, Any], given_by: Mapping[str, Any] | None = None) -> str:
    """Say how many signatures give probabilities, how many were translated, and why published outputs are.

    `given_by` are the signatures of a locked model, whose translations are taken as they are.
    """
    if given_by:
        lacking = [name for name in given_by if name not in locked]
        told = [f"Probabilities are those of the model's file: {listed(list(locked))}."] if locked else []
        if lacking:
            told.append(
                f"The file says nothing that turns the risk of {listed(lacking)} into a probability (of a printed "
                "formula, the baseline): it ranks patients, and there is no calibration and no use to judge."
            )
        return " ".join([*told, "Nothing was fitted to these patients."])
    given = sum(one.whole.rule == AS_GIVEN for one in locked.values())
    if not locked:
        return "There are no out-of-fold risks in a training cohort, so nothing can be translated or calibrated."
    words = f"Probabilities as they are: {given} of {counted(len(locked), 'signature')}."
    if given == len(locked):
        return words
    parts = [
        f"{name} is a published output, translated like a score because it was fitted by others: as it "
        f"is, its mean in training is {fixed(own.whole.rows['risk'].mean())}, where "
        f"{fixed(own.whole.rows['label'].mean())} had the event."
        for name, own in locked.items()
        if own.whole.on_log_odds
    ]
    return " ".join([words, "The others were translated as the table says.", *parts])


def pooling(scores: pd.DataFrame, centers: pd.DataFrame | None, names: Mapping[str, str]) -> str:
    """Say where a cohort of several centers looks better, or worse, pooled than its patients are told apart in them.

    Parameters
    ----------
    scores : DataFrame
        `evaluate.discrimination` by cohort and signature.
    centers : DataFrame, optional
        The same by cohort, signature and center.
    names : mapping of cohort to name

    Returns
    -------
    str
        A line for each cohort and signature; empty where no cohort has several centers. The two values disagree where
        the pooled one lies above or below that of every center, or outside the interval of the value within centers.
    """
    lines = []
    centers = scores.iloc[:0] if centers is None else centers
    for row in scores.dropna(subset=["within"]).to_dict("records") if "within" in scores else []:
        own = centers[(centers["cohort"] == row["cohort"]) & (centers["signature"] == row["signature"])][
            "value"
        ].dropna()
        pooled, where = row["value"], f"{names[str(row['cohort'])]}, {row['signature']}"
        beyond = [f"above every center ({fixed(own.min(), 3)} to {fixed(own.max(), 3)})"] * bool((pooled > own).all())
        beyond += [f"below every center ({fixed(own.min(), 3)} to {fixed(own.max(), 3)})"] * bool((pooled < own).all())
        beyond = beyond if len(own) else []
        outside = not row["within_low"] <= pooled <= row["within_high"] and not np.isnan(row["within_low"])
        beyond += ["outside the interval of the value within centers"] * outside
        value = estimate(row["within"], row["within_low"], row["within_high"])
        text = f"- {where}: {row['measure']} {value} within {row['centers']:.0f} centers, {fixed(pooled, 3)} pooled"
        if beyond:
            text += (
                f". **The pooled value lies {listed(beyond)}**: pairs of patients of two centers are ordered "
                f"{'better' if pooled > row['within'] else 'worse'} than pairs of one, so it also measures how the "
                "centers differ. Read the value within centers"
            )
        lines.append(f"{text}.")
    return "\n".join(lines)


def distrusted(
    modelling: Mapping[str, Any],
    signatures: Sequence[Signature],
    shown: Sequence[str],
    names: Mapping[str, str],
    cohorts: Mapping[Any, Cohort] | None = None,
) -> str:
    """Repeat, beside values, which signatures are on another scale in a cohort, or have met its patients before.

    Parameters
    ----------
    modelling : mapping
        Numbers that chapter 05 published.
    signatures : sequence of Signature
        All of the study.
    shown : sequence of str
        Those whose values are shown.
    names : mapping of cohort to name
    cohorts : mapping of key to Cohort, optional
        Those of the study file: where a published output was fitted to their centers, the text says so.
    """
    parts = {name: made_of(signatures, name) for name in shown}
    odd: dict[str, dict[str, list[str]]] = {}
    for key in (key for key in modelling if key.startswith(SCALE)):
        cohort, source, signature = key.removeprefix(SCALE).split(":", 2)
        odd.setdefault(cohort, {}).setdefault(signature, []).append(source_words(source))
    words = []
    for cohort, found in odd.items():
        own = [name for name in shown if parts[name] & set(found)]
        which = dict.fromkeys(one for name in own for part in parts[name] & set(found) for one in found[part])
        scale = f"(features on another scale: {listed(sorted(which))})"
        words += [f"{listed(own, 12)} in {names[cohort]} {scale}"] * bool(own)
    odd_ones = f"**Not to be trusted**, as the chapter on modelling says: {'; '.join(words)}." if words else ""
    return "\n\n".join(filter(None, [odd_ones, flattered(signatures, cohorts or {}, shown, names)]))


def shift(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Say which risks and features of a cohort lie on another scale than in training.

    Parameters
    ----------
    table : DataFrame
        `evaluate.features.on_scale`.
    names : mapping of cohort to name
    """
    lines, moved = [], on_another_scale(table[table["of"] == "feature"]) if len(table) else {}
    for cohort, part in table.groupby("cohort", sort=False):
        words = []
        for of, own in part.groupby("of", sort=False):
            odd = own[own["alarm"].astype(bool)]
            which = f" ({listed([_moved(row) for row in odd.to_dict('records')], 4)})" if len(odd) else ""
            words.append(f"{len(odd)} of {counted(len(own), str(of))} on another scale{which}")
        text = f"- {names[str(cohort)]}: {'; '.join(words)}."
        if cohort in moved:
            text += (
                " **The features of this cohort do not look like those of training** (other units, standardised "
                "against raw, another zero, or another way to measure): what this page says of the cohort is worth "
                "nothing until that is explained."
            )
        lines.append(text)
    return "\n".join(lines)


def _moved(row: Row) -> str:
    numbers = f"{row['outside']:.0%} outside the training range, standardised difference {number(row['smd'], 2)}"
    return f"{row['column']}: {numbers}, spread × {number(row['spread'], 2)}"


def influence(table: pd.DataFrame, names: Mapping[str, str]) -> str:
    """Name the patients who make a slope of `evaluate.calibration`, one line each; empty without any."""
    found = table.dropna(subset=["slope_without"]) if "slope_without" in table else table.iloc[:0]
    lines = [
        f"- {names[row['cohort']]}, {row['signature']}: one of {counted(row['n'], 'patient')} "
        f"(patient {row['subject']}, predicted risk {number(row['risk'], 2)}) makes the slope {fixed(row['slope'])}; "
        f"without this patient it is {fixed(row['slope_without'])}."
        for row in found.to_dict("records")
    ]
    head = (
        "Slopes that change by more than half the width of their 95% interval when one patient is left out (nobody was "
        "left out of the tables):\n\n"
    )
    return head + "\n".join(lines) if lines else ""


def planted(table: pd.DataFrame, names: Mapping[str, str], effect: float) -> str:
    """Say for each cohort which signatures found the planted effect, and which did not.

    Parameters
    ----------
    table : DataFrame
        `evaluate.planted`.
    names : mapping of cohort to name
    effect : float
        Per SD of the latent.
    """
    if table.empty:
        return ""
    lines = []
    for cohort, part in table.groupby("cohort", sort=False):
        latent, own = part[part["signature"] == LATENT].iloc[0], part[part["signature"] != LATENT]
        told = own["p_chance"].notna() | (own["value"] == 0.5)
        yes, no = own.loc[told & own["found"], "signature"], own.loc[told & ~own["found"], "signature"]
        if not told.any():
            lines.append(f"- {names[str(cohort)]}: not judged, for too few patients or risks that do not vary.")
            continue
        limits = f"({latent['value_low']:.2f} to {latent['value_high']:.2f})"
        verdict = f"found by {listed(list(yes), 12)}" if len(yes) else "**found by no signature**"
        verdict += f"; not found by {listed(list(no), 12)}" if len(no) and len(yes) else ""
        lines.append(f"- {names[str(cohort)]}: {verdict}; the latent itself reaches {latent['value']:.2f} {limits}.")
    planted = f"Planted: {effect:g} per SD of the latent (log odds, or log hazard). "
    nothing = "Nothing was planted, so whatever is found is chance. " if effect == 0 else ""
    is_auc = (table["measure"] == "AUC").any()
    test = "its standard error under chance" if is_auc else "the infinitesimal jackknife"
    return f'{planted}{nothing}"Found" means above 0.5 with P < 0.05 by {test}.\n\n' + "\n".join(lines)


def meaning(
    rows: pd.DataFrame,
    scores: pd.DataFrame,
    pairs: pd.DataFrame,
    rivals: pd.DataFrame,
    modelling: Mapping[str, Any],
    *,
    best: str,
    comparator: str,
    published: Collection[str],
    names: Mapping[str, str],
    signatures: Sequence[Signature] = (),
    cohorts: Mapping[Any, Cohort] | None = None,
    centers: pd.DataFrame | None = None,
    calibration: pd.DataFrame | None = None,
    useful: pd.DataFrame | None = None,
    moved: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    synthetic: bool = False,
) -> tuple[str, str, str]:
    """Return what the numbers of the page mean, in short, in full, and what else they can and cannot mean.

    Parameters
    ----------
    rows : DataFrame
        `evaluate.judged`.
    scores : DataFrame
        `evaluate.discrimination` by cohort and signature, with apparent.
    pairs : DataFrame
        `evaluate.comparisons`: every paired test of the page.
    rivals : DataFrame
        `evaluate.rivals` of the chosen signature.
    modelling : mapping
        Numbers that chapter 05 published.
    best, comparator : str
    published : collection of str
        Signatures that are published outputs.
    names : mapping of cohort to name
    signatures : sequence of Signature
        All of the study.
    cohorts : mapping of key to Cohort, optional
        Those of the study file.
    centers : DataFrame, optional
        `evaluate.discrimination` by cohort, signature and center.
    calibration, useful : DataFrame, optional
        `evaluate.calibration` and `evaluate.usefulness` by cohort (and horizon) and signature.
    moved : DataFrame, optional
        `evaluate.reclassification` of best against comparator: cohort (and horizon), measure, value, p.
    notes : sequence of str
        What else a reader must know.
    synthetic : bool
        Whether the patients were generated by a program.

    Returns
    -------
    tuple of str
        The answer in lines, the most important first, of comparisons and use in other cohorts, where there are some; as
        a list, the chosen signature in every cohort, against the study's comparator, its calibration and its use; all
        else, as a list.
    """
    flat = flat_signatures(rows) if (scores["measure"] == "AUC").any() else {}
    shown = headline(scores)
    own, others = shown[shown["signature"] == best].to_dict("records"), shown[shown["signature"] != best]
    seen = seen_by(signatures, cohorts or {}) if signatures else {name: {"train": []} for name in published}
    low, where = below_chance(shown[shown["signature"] == best], names), tested(scores, names, cohorts or {})
    apart, told = in_centers(centers, best, names), _on_the_whole(calibration, best, names)
    spread = _divisions(scores, best, comparator, modelling)
    turned = spread * (_TURNED in spread)
    short = [
        answer(own, names, cohorts or {}, published, modelling),
        low,
        *apart,
        *[f"**{one}" for one in where.split("**", 1)[1:]],
    ]
    short += [against(rivals, rows, scores, names), turned, told.partition(" Whether they")[0] * told.startswith("**")]
    short.append(_useful(_last_elsewhere(useful), best, names))
    full = [*(_value(row, names) for row in own), low, where, *apart]
    full += [*minus_rivals(rivals, rows, scores, seen, names), turned, told, _useful(useful, best, names)]
    lines = [below_chance(others, names), *equalities(pairs, names, pooled_cohorts(scores)), *_hardly_varying(flat)]
    lines += ["" if best in published else _optimism(own, modelling, names)]
    lines += [spread * (_TURNED not in spread), counted_pairs(pairs), _calibrated(calibration, best, names)]
    lines += [_slope(calibration, best, names), reclassified(moved, best, comparator, names)]
    alike = "The patients are synthetic: agreement or disagreement with a paper says nothing about the paper."
    return _listed(short), _listed(full), _listed([*lines, alike * synthetic, *notes])


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines if line)


def _hardly_varying(flat: Mapping[str, float]) -> list[str]:
    """Return a line on each signature of `flat_signatures`."""
    return [
        f"{name}: its risks hardly vary between the training patients (standard deviation {number(sd, 2)}): as built "
        "here it learnt next to nothing and can not be judged; a difference from it is no finding about another one."
        for name, sd in flat.items()
    ]


def _last_elsewhere(table: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return the rows of cohorts that were not trained on, where there are some, at each one's last horizon."""
    if table is None or "cohort" not in table:
        return table
    others = table[table["cohort"] != "train"] if (table["cohort"] != "train").any() else table
    keys = [key for key in ("cohort", "signature") if key in others]
    return others.groupby(keys, sort=False, observed=True).tail(1) if "horizon" in others else others


def _value(row: Row, names: Mapping[str, str]) -> str:
    where, is_auc, p = names[row["cohort"]], row["measure"] == "AUC", row["p_chance"]
    if np.isnan(row["value"]):
        return f"{where}: the {row['measure']} of {row['signature']} does not exist there."
    if np.isnan(p):
        return (
            f"{where}, {row['signature']}: {row['measure']} {fixed(row['value'])}; {row.get('note') or 'not tested'}."
        )
    verdict, several = against_chance(row), row.get("pooled", np.nan) >= 0
    test = " against 0.5 by the standard error under chance" if is_auc and not several else ""
    within = f" within centers (pooled {fixed(row['pooled'])})" if several else ""
    least = least_detectable(int(row["n"]), int(row["events"]))
    power = (
        f" With {row['events']} events in {counted(row['n'], 'patient')}, an AUC below {fixed(least)} can not be told "
        "from chance."
    )
    value = (
        estimate(row["value"], row["value_low"], row["value_high"]) if row["value_low"] >= 0 else fixed(row["value"])
    )
    text = f"{row['measure']} {value}{within}, {p_value(p, name='P')}"
    return f"{where}, {row['signature']}: {text}{test}: {verdict}.{power if is_auc else ''}"


_TURNED = "On average the two stand the other way round than in the first division"


def _optimism(own: Sequence[Row], modelling: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Word how far the chosen signature's value on its own patients lies above the one of patients it did not see.

    That is the mean over divisions into folds where there were several, as in chapter 05: one is luck. Values of
    several centers are pooled, as apparent ones are. What does not fall elsewhere is not called optimism, nor is what
    an unseen value lies below 0.5: nobody expects less than chance of other patients.
    """
    row = next((row for row in own if row["cohort"] == "train"), None)
    if row is None or np.isnan(row["apparent"] - row["value"]):
        return ""
    name, entry = row["signature"], modelling.get(f"{DIVISIONS}{row['signature']}")
    pooled = {one["cohort"]: one["pooled"] if one.get("pooled", np.nan) >= 0 else one["value"] for one in own}
    value, which = pooled.pop("train"), "out-of-fold"
    if isinstance(entry, Mapping) and divided(entry):
        value, which = entry["value"], "mean out-of-fold"
    gap = row["apparent"] - value
    if gap <= 0:
        return f"The apparent {row['measure']} of {name} is not above the {which} one: no optimism is seen."
    above = [f"{names[key]} ({fixed(one, 3)})" for key, one in pooled.items() if one > value]
    elsewhere = f"in {listed(above)} the value lies above the {which} one, too"
    if value < 0.5:
        most = fixed(max(row["apparent"] - 0.5, 0), 3)
        verdict = f"; at most {most} of this, what lies above 0.5, is optimism{f'; {elsewhere}' * bool(above)}"
    else:
        verdict = f", as optimism makes it; but {elsewhere}" if above else ": that much is optimism"
    return (
        f"The apparent {row['measure']} of {name} ({fixed(row['apparent'], 3)}) is {fixed(gap, 3)} above the "
        f"{which} one{verdict}."
    )


def _divisions(scores: pd.DataFrame, best: str, comparator: str, modelling: Mapping[str, Any]) -> str:
    """Say what other divisions of the training patients into folds gave, where chapter 05 published it."""
    train = scores[scores["cohort"] == "train"]
    first = dict(zip(train["signature"].astype(str), train["value"].astype(float), strict=True))
    entries = {name: modelling.get(f"{DIVISIONS}{name}") for name in dict.fromkeys([best, comparator]) if name in first}
    known: dict[str, Any] = {name: entry for name, entry in entries.items() if divided(entry)}
    if not known:
        return ""
    parts = [
        f"{name} {fixed(entry['value'], 3)} ({fixed(entry['ci_low'], 3)} to {fixed(entry['ci_high'], 3)}; in the first "
        f"{fixed(first[name], 3)})"
        for name, entry in known.items()
    ]
    means, firsts = [float(entry["value"]) for entry in known.values()], [first[name] for name in known]
    turned = len(known) > 1 and (means[0] - means[1]) * (firsts[0] - firsts[1]) < 0
    other_way = f" {_TURNED}." if turned else ""
    count = max(int(entry["n"]) for entry in known.values())
    return (
        f"Training is judged by the first of {count} divisions into folds; over all of them the "
        f"{train['measure'].iloc[0]} was on average (lowest to highest): {listed(parts)}.{other_way}"
    )


def _calibrated(table: pd.DataFrame | None, best: str, names: Mapping[str, str]) -> str:
    """Say what the chosen signature predicts outside the training cohort on average, and what was observed there."""
    if table is None or not {"predicted", "observed"} <= set(table):
        return ""
    own = table[(table["signature"] == best) & (table["cohort"] != "train")].dropna(subset=["predicted", "observed"])
    parts = []
    for row in own.to_dict("records"):
        slope = [row.get(f"slope{end}", np.nan) for end in ("", "_low", "_high")]
        words = "" if np.isnan(slope).any() else f", slope {estimate(*slope)}"
        parts.append(f"{place(row, names)} {fixed(row['predicted'])} and {fixed(row['observed'])}{words}")
    return f"Mean risk by {best}, predicted and observed (ideal slope: 1): {listed(parts, 12)}." if parts else ""


def _on_the_whole(table: pd.DataFrame | None, best: str, names: Mapping[str, str]) -> str:
    """Say where risks are too low or too high on the whole, by an interval that leaves out what it should hold.

    Of a yes/no outcome that is the intercept (0), of survival observed over expected (1).
    """
    key, ideal, what = ("ratio", 1.0, "observed / expected") if table is not None and "ratio" in table else _INTERCEPT
    if table is None or f"{key}_low" not in table:
        return ""
    wrong, few = [], []
    for row in table[table["signature"] == best].to_dict("records"):
        value, low, high = (row[f"{key}{end}"] for end in ("", "_low", "_high"))
        where, size = place(row, names), f"{row['events']} events in {counted(row['n'], 'patient')}"
        few += [f"{where} ({size})"] * bool(row["events"] < FEWEST or np.isnan(low))
        if row["events"] >= FEWEST and (low > ideal or high < ideal):
            how = f"too {'low' if low > ideal else 'high'}{', out of fold' * (row['cohort'] == 'train')}"
            means = f"mean {fixed(row['predicted'])}, observed {fixed(row['observed'])}"
            wrong.append(f"{where} {how} ({means}; {what} {estimate(value, low, high)}; {size})")
    parts = [f"**On the whole the risks by {best} are not right**: {listed(wrong, 12)}"] * bool(wrong)
    parts += [f"Whether they are right on the whole, too few tell: {listed(few, 12)}"] * bool(few)
    return " ".join(f"{part}." for part in parts)


_INTERCEPT = ("intercept", 0.0, "intercept")


def _slope(table: pd.DataFrame | None, best: str, names: Mapping[str, str]) -> str:
    """Say whether risks are too extreme, not enough so, or tell nothing, where the slope leaves out 1."""
    if table is None or "slope" not in table:
        return ""
    own = table[table["signature"] == best].dropna(subset=["slope_low", "slope_high"])
    no_rise = "so much too extreme that, by the slope alone, nothing of their spread need be real"
    parts = [
        f"{place(row, names)}{', out of fold,' * (row['cohort'] == 'train')} "
        f"{estimate(row['slope'], row['slope_low'], row['slope_high'])}: "
        f"{'not extreme enough' if row['slope'] > 1 else 'too extreme' if row['slope_low'] > 0 else no_rise}"
        for row in own.to_dict("records")
        if not row["slope_low"] <= 1 <= row["slope_high"]
    ]
    return f"The slope of the risks of {best} leaves out 1, {'; '.join(parts)}." if parts else ""


def _useful(table: pd.DataFrame | None, best: str, names: Mapping[str, str]) -> str:
    """Say where acting by the chosen signature gains over treating everybody and nobody."""
    if table is None or "share" not in table:
        return ""
    own = table[table["signature"] == best].dropna(subset=["share"]).to_dict("records")
    least = {place(row, names): row.get("least", LEAST_GAIN) for row in own}
    single = {where: f" ({fixed(gain, 3)} or more, one patient)" for where, gain in least.items() if gain > LEAST_GAIN}
    found = [
        f"{place(row, names)}{single.get(place(row, names), '')} at thresholds of {row['better_at']}"
        for row in own
        if row["share"] > 0
    ]
    never = [place(row, names) for row in own if not row["share"] > 0]
    parts = [listed(found, 12)] * bool(found) + [f"nowhere in {listed(never, 12)}"] * bool(never)
    gain = f"Acting by {best} has a net benefit of {LEAST_GAIN:g} or more above treating everybody and treating nobody"
    return f"{gain}: {'; '.join(parts)}." if parts else ""
