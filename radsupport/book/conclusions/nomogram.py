"""What chapter 08 says of its tables: the models, what the nomogram reaches, and where single patients show."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from radsupport.book.conclusions.comparison import with_words
from radsupport.nomogram.parts import CLINICAL, NOMOGRAM, PREOPERATIVE, SIGNATURE
from radsupport.stats.updating import LEVEL, ORIGINAL, SPREAD
from radsupport.wording import counted, estimate, fixed, listed, number, p_value, share

#: Ends the name of a row in which a signature's own risk is judged in every patient, as chapter 06 does.
ALL_PATIENTS = ", all patients"
_ROMAN = ("", "I", "II", "III", "IV", "V")
_MOVED = 0.02  # change of a value from which leaving patients out is pointed out
_SPREAD = 1.5  # ratio of standard deviations from which scales are called different


def model(size: Mapping[str, Any], study: str) -> str:
    """Say how many patients a model rests on, or why it can not be fitted; `size` is that of a model."""
    n, coefficients = size["n"], size["coefficients"]
    if not n:
        return f"The {size['name']} can not be fitted in the training cohort of {study}. {size['note']}"
    text = f"{n} training patients with {size['events']} events and {coefficients} coefficients "
    text += f"({fixed(size['events'] / coefficients, 1)} events per coefficient)"
    return text + (f"; {size['missing']} left out for missing values. " if size["missing"] else ". ") + size["note"]


def scales(spread: pd.DataFrame, ratio: str, names: Mapping[Any, str], per_unit: bool = False) -> str:
    """Say what a standard deviation of each signature's risk is, and where risks spread clearly otherwise.

    Training risks are out of fold; those of other cohorts come from one model or the mean of the folds' models. Where
    the two differ in scale, the coefficients of training do not fit the other cohort.

    Parameters
    ----------
    spread : DataFrame
        cohort, signature, sd.
    ratio : {"hr", "odds_ratio"}
    names : mapping
        Words for cohorts.
    per_unit : bool
        Whether the ratio also stands beside printed ones, which are per unit.
    """
    train = spread[spread["cohort"] == "train"].set_index("signature")["sd"]
    text = f"A signature's {'hazard' if ratio == 'hr' else 'odds'} ratio is for a risk that is one standard deviation "
    text += (
        f"(SD) higher among training patients: {listed([f'{fixed(sd, 3)} of {name}' for name, sd in train.items()])}."
    )
    if per_unit:
        text += " Beside printed values, further down, it is for a risk that rises by 1, as papers print it."
    words = []
    for row in spread[spread["cohort"] != "train"].to_dict("records"):
        share = row["sd"] / train[row["signature"]] if train[row["signature"]] > 0 else 1.0
        if not 1 / _SPREAD < share < _SPREAD:
            where = f"{row['signature']} in {names[row['cohort']]}"
            words.append(f"{where}: SD {fixed(row['sd'], 3)}, {fixed(share)} times training's")
    if not words:
        return text
    return (
        f"{text}\n\n**Risks that spread differently.** Training risks come from models that never saw the patient, "
        f"the others from one of all training patients, or the mean of several: {'; '.join(words)}. Training's "
        "coefficients fit less well there."
    )


def points(example: pd.DataFrame, coefficients: pd.DataFrame, signatures: Mapping[str, str], axes: pd.DataFrame) -> str:
    """Say how axes that turn are read, add up the points of a typical patient, and say which signatures point wrongly.

    Parameters
    ----------
    example : DataFrame
        What `Nomogram.example` returns; no rows where there is no nomogram.
    coefficients : DataFrame
        term, coef and ci_high (of the ratio) of the model.
    signatures : mapping of column to name
    axes : DataFrame
        What `Nomogram.axes` returns.
    """
    if example.empty:
        return "There is no nomogram to draw: the model above has no fit, or nobody is followed to its horizons."
    of = {kind: rows.to_dict("records") for kind, rows in example.groupby("kind")}
    parts = [f"{row['label']} {_plain(row['value'])}: {fixed(row['points'], 1)}" for row in of["predictor"]]
    shares = [f"{100 * row['value']:.0f}%{row['label']}" for row in of["result"]]
    text = f"Points of a patient with the median values and the most frequent levels: {'; '.join(parts)}. "
    text = " ".join(filter(None, [_turning(axes), text]))
    text += (
        f"Together {fixed(of['total'][0]['points'], 1)}, which stands for {of['total'][0]['label']} {listed(shares)}."
    )
    return "\n\n".join(filter(None, [text, wrong_way(coefficients, signatures)]))


def wrong_way(coefficients: pd.DataFrame, signatures: Mapping[str, str]) -> str:
    """Say of which signatures a higher risk takes points away; empty where of none. Parameters as of `points`."""
    own = coefficients[coefficients["term"].isin(list(signatures))] if len(coefficients) else coefficients
    wrong = own[own["coef"] < 0] if len(own) else own
    if wrong.empty:
        return ""
    away = f"A higher risk by {listed(list(wrong['term'].map(dict(signatures))))} takes points away"
    if not (wrong["ci_high"] < 1).any():
        return (
            f"{away}, but the interval of its ratio holds 1: beside the other predictors it can not be told which way "
            "it points."
        )
    return (
        f"**Wrong sign.** {away}: beside the other predictors the risk out of fold goes with fewer events in training, "
        "against what it was built to predict. Read it with the interval of its ratio, and not as a protective factor."
    )


def out_of_order(coefficients: pd.DataFrame, labels: Mapping[str, str], ratio: str = "hr") -> str:
    """Say which variables with numbered levels (stages, grades) neither rise nor fall along them; empty where none.

    Parameters
    ----------
    coefficients : DataFrame
        term, level, `ratio` and p_term (likelihood ratio of the whole variable) of a model, reference levels included.
    labels : mapping of term to words
    ratio : {"hr", "odds_ratio"}
    """
    words = []
    for term, own in coefficients.groupby("term", sort=False) if len(coefficients) else []:
        ranks = [rank for level in own["level"] if (rank := _rank(str(level))) is not None]
        if not 3 <= len(own) == len(ranks) or len({rank[0] for rank in ranks}) > 1:
            continue
        ordered = own.iloc[sorted(range(len(own)), key=lambda place: ranks[place])]
        values, p = ordered[ratio], ordered["p_term"].dropna()
        if values.isna().any() or values.is_monotonic_increasing or values.is_monotonic_decreasing:
            continue
        levels = ", ".join(f"{level} {fixed(one)}" for level, one in zip(ordered["level"], values, strict=True))
        test = f"; {p_value(p.iloc[0], name='likelihood-ratio P')}" if len(p) else ""
        words.append(f"{labels[str(term)]} ({levels}{test})")
    if not words:
        return ""
    return (
        f"**Not in order.** Along the levels of {listed(words)} the ratio, and with it the points of a nomogram, "
        "neither only rises nor only falls: a higher level need not mean a higher risk. That may be chance where P "
        "is large, or the work of what goes with the level."
    )


def _rank(level: str) -> tuple[str, int, str] | None:
    """Return what a numbered level such as IIIa, T2 or 3 is sorted by; None of any other."""
    found = re.fullmatch(r"((?:[A-Za-z]{1,5} ?)??)(\d+|[IV]+)([a-cA-C]?)", level)
    if not found or (not found[2].isdigit() and found[2] not in _ROMAN):
        return None
    return found[1], int(found[2]) if found[2].isdigit() else _ROMAN.index(found[2]), found[3]


def _turning(axes: pd.DataFrame) -> str:
    """Say how axes are read along which points first rise and then fall; empty where there are none.

    Parameters
    ----------
    axes : DataFrame
        What `Nomogram.axes` returns.
    """
    names = list(axes.loc[axes["side"] != "", "axis"].unique()) if len(axes) else []
    if not names:
        return ""
    return (
        f"The {'axis' if len(names) == 1 else 'axes'} of {listed(names)} {'turns' if len(names) == 1 else 'turn'}: "
        "where ticks stand below the line a higher value has more points, where they stand above it fewer."
    )


def _plain(value: float | str) -> str:
    return value if isinstance(value, str) else number(value)


def before_treatment(late: Sequence[str]) -> str:
    """Say which predictors, in words, are known only after the operation."""
    if not late:
        return "Every predictor of this nomogram is known before treatment."
    return (
        f"{listed(late)} {'is' if len(late) == 1 else 'are'} known only after the operation, so the nomogram above can "
        "not guide it. The variant below uses what is known before."
    )


def under_calculator(
    late: Sequence[str],
    coefficients: pd.DataFrame,
    signatures: Mapping[str, str],
    labels: Mapping[str, str],
    ratio: str,
) -> str:
    """Say, as plain text, what misleads in a calculator wherever it stands: late findings, signs, levels out of order.

    Parameters as of `before_treatment`, `points` and `out_of_order`.
    """
    verb = "is" if len(late) == 1 else "are"
    after = f"For use after the operation: {listed(late)} {verb} not known before." if late else ""
    found = [after, wrong_way(coefficients, signatures), out_of_order(coefficients, labels, ratio)]
    return " ".join(filter(None, found)).replace("**", "")


def left_out(table: pd.DataFrame, names: Mapping[str, str], labels: Mapping[str, str]) -> str:
    """Say how many patients of each cohort can not be judged and why; empty where everybody can.

    Parameters
    ----------
    table : DataFrame
        What `nomogram.left_out` returns.
    names, labels : mapping
        Words for cohorts, and for columns.
    """
    words = []
    for cohort, rows in table.groupby("cohort", sort=False):
        reasons = [
            f"{labels[column]} is missing in {n}" if column else f"{n} with a level that no training patient has"
            for column, n in zip(rows["column"], rows["patients"], strict=True)
        ]
        first = rows.iloc[0]
        words.append(f"{first['left_out']} of the {first['n']} patients of {names[str(cohort)]} ({'; '.join(reasons)})")
    if not words:
        return ""
    return (
        f"**Left out:** {listed(words)}. A nomogram can not be read without a value and nothing is filled in here, so "
        "all models of this page are judged in the other patients. The signature itself needs none of these values: "
        "its risk in all patients has a row of its own, which is the one to hold against the chapter on validation."
    )


def corrected(optimism: pd.DataFrame) -> str:
    """Say what is left of the models' training values after the correction; as `nomogram.optimism` returns it."""
    return "\n\n".join(_corrected(row) for row in optimism.to_dict("records"))


def _corrected(row: Mapping[Any, Any]) -> str:
    if not row["resamples"]:
        return f"The {row['model']} can not be refitted often enough to measure its optimism."
    of, lost = f" of {row['asked']}", " (in the others it can not be fitted)"
    of, lost = (of, lost) if row["resamples"] < row["asked"] else ("", "")
    return (
        f"In training the {row['measure']} of the {row['model']} is {fixed(row['apparent'])} (apparent); "
        f"{row['resamples']}{of} bootstrap resamples{lost} put the optimism of fitting its coefficients at "
        f"{fixed(row['optimism'], 3)}, which leaves {fixed(row['corrected'])}. The risks of signatures are out of "
        "fold: their optimism is already taken out."
    )


def few(sizes: pd.DataFrame, fewest: int, *, jumps: bool = False) -> str:
    """Say in which cohorts a label's calibration has no curve, or where a decision curve jumps with single patients.

    Empty where all cohorts are larger. `sizes`: cohort, n.
    """
    if jumps:
        return _single_patients(sizes, fewest)
    own = [f"{row['cohort']} (n = {row['n']})" for row in sizes[sizes["n"] < fewest].to_dict("records")]
    if not own:
        return ""
    return (
        f"{listed(own)}: groups only, and so no corrected curve. A smooth curve through fewer than {fewest} patients "
        "would follow single ones."
    )


def _single_patients(sizes: pd.DataFrame, fewest: int) -> str:
    rows = sizes[sizes["n"] < fewest].to_dict("records")
    if not rows:
        return ""
    worth = listed([f"{row['cohort']} (n = {row['n']}) {fixed(1 / row['n'])}" for row in rows])
    return f"One patient with the event is worth about this much net benefit: {worth}. Jumps there are single patients."


def updating(updates: pd.DataFrame) -> str:
    """Say what of a nomogram or signature has to change in each cohort, and whether there are enough patients to know.

    Parameters
    ----------
    updates : DataFrame
        As `nomogram.updates` or `nomogram.locked_updates` returns it, cohorts in words.
    """
    lines = []
    for (name, cohort), rows in updates.assign(signature=updates.get("signature", "")).groupby(
        ["signature", "cohort"], sort=False
    ):
        whose = f"**{name}** in " if name else "In "
        size = f"{whose}{cohort} (n = {int(rows['n'].iloc[0])}, {int(rows['events'].iloc[0])} events)"
        if rows["note"].notna().any():
            lines.append(f"- {size} no update can be judged: {rows['note'].dropna().iloc[0].rstrip('.')}.")
            continue
        chosen = rows[rows["chosen"].astype(bool)].iloc[0].to_dict()
        short = [row for row in rows.to_dict("records") if row["parameters"] and row["n"] < row["needed"]]
        words = [f"{row['method']} {int(row['needed'])}" for row in short]
        few = f" There are fewer patients than these updates ask for: {listed(words)}." if words else ""
        why = rows["not_refitted"].dropna() if "not_refitted" in rows else rows["note"].dropna()
        without = str(why.iloc[0]).rstrip(".") if len(why) else ""
        told = f" It is not refitted: {without[:1].lower()}{without[1:]}." if without else ""
        lines.append(f"- {size} {_changed(chosen, 'a recalibration' if without else 'a refit', name)}{told}{few}")
    return "\n".join(lines)


def _changed(row: Mapping[Any, Any], largest: str, name: object) -> str:
    """Word the update that the closed test takes."""
    level = f"intercept {estimate(row['intercept'], row['intercept_low'], row['intercept_high'])}"
    if row["method"] == ORIGINAL:
        kept = "the signature" if name and name != "nomogram" else "the nomogram"
        return f"nothing has to change: {largest} is not better than {kept} as it is ({p_value(row['p'])})."
    if row["method"] == LEVEL:
        side = "low" if row["intercept"] > 0 else "high"
        return f"its predictions are too {side} on the whole ({level}); with that mended {largest} is not better."
    if row["method"] == SPREAD:
        slope = f"slope {estimate(row['slope'], row['slope_low'], row['slope_high'])}"
        return f"level and spread of its predictions have to change ({level}, {slope})."
    return "its coefficients do not hold: a refit is better than any recalibration."


def reading(
    scores: pd.DataFrame, optimism: pd.DataFrame, several: bool = False, moved: pd.DataFrame | None = None
) -> tuple[str, str]:
    """Say, in short and per cohort in full, what the nomogram reaches and whether it can be told from its parts.

    Of several centers the value is that of pairs within centers, with the pooled one beside it. Where
    coefficients were fitted to the patients there is no verdict: a larger model is never far below its parts there.

    Parameters
    ----------
    scores : DataFrame
        cohort (in words), signature, measure, n, fitted, value, difference (nomogram minus this), each with limits, p.
    optimism : DataFrame
        What `nomogram.optimism` returns.
    several : bool
        Whether several signatures enter.
    moved : DataFrame, optional
        Reclassification: cohort (in words), old, measure, value, p.
    """
    words = []
    for cohort, here in scores.groupby("cohort", sort=False, observed=True):
        by_model = {row["signature"]: row for row in here.to_dict("records")}
        if NOMOGRAM not in by_model:
            continue
        row = by_model[NOMOGRAM]
        text = f"- Nomogram, {cohort}: {row['measure']} {_value(row)}"
        if row["fitted"]:
            words.append(f"{text}{_apparent(row, optimism)}.")
            continue
        every = next((one for name, one in by_model.items() if name.endswith(ALL_PATIENTS)), None)
        size = f" in {row['n']} of {every['n']} patients" if every else ""
        gaps = [_gap(by_model[name], several) for name in (SIGNATURE, CLINICAL) if name in by_model]
        more = [f"; {listed([gap for gap in gaps if gap])}"] if any(gaps) else []
        more += [_variant(by_model[PREOPERATIVE])] if PREOPERATIVE in by_model else []
        more += [_everybody(every, {} if several else by_model.get(SIGNATURE, {}))] if every else []
        words.append(f"{text}{size}{''.join(more)}.")
    gained = "" if moved is None else _reclassified(moved)
    full = "\n".join([*words, *[gained] * bool(gained)]) if words else "No cohort has a value of the nomogram."
    return (_short(scores, optimism, several) if words else full), full


def _short(scores: pd.DataFrame, optimism: pd.DataFrame, several: bool = False) -> str:
    """Say in a line each what `reading` says cohort by cohort: values, gains over the parts, and what would mislead.

    Parameters as of `reading`. Cohorts that are partly those of the fit are left out.
    """
    values, variants, left, gaps = [], [], [], dict[str, list[str]]()
    for cohort, here in scores.groupby("cohort", sort=False, observed=True):
        by_model = {row["signature"]: row for row in here.to_dict("records")}
        row, every = by_model.get(NOMOGRAM), [one for name, one in by_model.items() if name.endswith(ALL_PATIENTS)]
        if row is None or 0 < row["fitted"] < row["n"]:
            continue
        more = [f"{row['n']} of {one['n']} patients" for one in every]
        more += [_apparent(row, optimism).removeprefix("; ")] * bool(row["fitted"])
        values.append(f"{cohort}, {with_words(_value(row), ', '.join(filter(None, more)))}")
        if row["fitted"]:
            continue
        for name in (name for name in (CLINICAL, SIGNATURE) if name in by_model and _gap(by_model[name], several)):
            verdict, _, size = _gap(by_model[name], several).partition(" (")
            gaps.setdefault(verdict, []).append(f"{cohort} ({size}")
        variants += [f"{_value(by_model[name])} in {cohort}" for name in (PREOPERATIVE,) if name in by_model]
        told = [_everybody(one, {} if several else by_model.get(SIGNATURE, {})) for one in every]
        left += [f"{cohort}: {one.removeprefix('; ')}" for one in told if "leaving out" in one]
    measure = scores["measure"].iloc[0] if len(scores) else ""
    lines = [f"Nomogram, {measure}: {'; '.join(values)}."] * bool(values)
    lines += ["**Nobody outside the training patients is judged.**"] * (len(values) == 1 and not gaps)
    late = f"**Needs what only the operation shows**: the {PREOPERATIVE}, the one that can guide treatment, reaches"
    lines += [f"{late} {listed(variants, 12)}."] * bool(variants) + [f"**Patients left out.** {one}." for one in left]
    lines += ["; ".join(f"{verdict} in {listed(places, 12)}" for verdict, places in gaps.items()) + "."] * bool(gaps)
    return "\n".join(f"{line[0].upper()}{line[1:]}" for line in lines)


def _value(row: Mapping[Any, Any]) -> str:
    if pd.isna(row["value"]):
        return "–"
    value = estimate(row["value"], row["value_low"], row["value_high"])
    if pd.isna(row.get("within")):
        return value
    return f"{estimate(row['within'], row['within_low'], row['within_high'])} within centers, {value} pooled"


def _apparent(row: Mapping[Any, Any], optimism: pd.DataFrame) -> str:
    """Say what a value is worth where the coefficients were fitted to all or some of the patients."""
    if row["fitted"] < row["n"]:
        return f", {row['fitted']} of the {row['n']} patients being those to whom the coefficients were fitted"
    found = {one["model"]: one for one in optimism.to_dict("records") if one["resamples"]}
    kept = [f"corrected for optimism {fixed(found[NOMOGRAM]['corrected'])}"] if NOMOGRAM in found else []
    if PREOPERATIVE in found:
        own = found[PREOPERATIVE]
        kept.append(f"the {PREOPERATIVE} {fixed(own['apparent'])}, corrected {fixed(own['corrected'])}")
    return f"; {'; '.join(kept)}" if kept else ""


def _gap(row: Mapping[Any, Any], several: bool) -> str:
    """Say whether the nomogram is above or below one of its parts, with the difference and its interval."""
    if pd.isna(row["difference"]):
        return ""
    name = f"the {CLINICAL}" if row["signature"] == CLINICAL else f"the signature{'s' * several} alone"
    size = f"{_difference(row)[0]}, 95% CI {_difference(row)[1]}{', pooled' * bool(pd.notna(row.get('within')))}"
    if row["difference_low"] > 0 or row["difference_high"] < 0:
        return f"it is {'above' if row['difference'] > 0 else 'below'} {name} (by {size})"
    return f"it can not be told from {name} (difference {size})"


def _difference(row: Mapping[Any, Any]) -> tuple[str, str]:
    value, low, high = (fixed(row[key], 3) for key in ("difference", "difference_low", "difference_high"))
    return value, f"{low} to {high}"


def _variant(row: Mapping[Any, Any]) -> str:
    """Say what is left without what is known only after the operation."""
    text = f"; the {PREOPERATIVE}, the one that can guide treatment, reaches {_value(row)}"
    if pd.isna(row["difference"]):
        return text
    value, limits = _difference(row)
    p = "" if pd.isna(row["p"]) else f", {p_value(row['p'], name='P')}"
    return f"{text} (nomogram minus variant {value}, 95% CI {limits}{p})"


def _everybody(row: Mapping[Any, Any], judged: Mapping[Any, Any]) -> str:
    """Say what the signature reaches in everybody, and what leaving patients out does to it, and so to the nomogram."""
    name = row["signature"].removesuffix(ALL_PATIENTS)
    text = f"; {name} in all {row['n']} patients: {row['measure']} {_value(row)}"
    change = judged.get("value", float("nan")) - row["value"]
    if pd.isna(change) or abs(change) < _MOVED:
        return text
    return (
        f"{text}; in the {judged['n']} patients of the nomogram it is {fixed(judged['value'])}, so that leaving out "
        f"the other {row['n'] - judged['n']} {'raises' if change > 0 else 'lowers'} it by {fixed(abs(change))}, and "
        "with it what rests on it here"
    )


def _reclassified(moved: pd.DataFrame) -> str:
    """Say which measures of reclassification have P below 0.05, a line per cohort, of how many tests; else empty.

    Parameters
    ----------
    moved : DataFrame
        cohort (in words), old, measure, value, p.
    """
    lines = []
    for cohort, own in moved.dropna(subset=["p"]).groupby("cohort", sort=False) if len(moved) else []:
        words = [
            f"{row['measure']} {fixed(row['value'], 3)} against the {row['old']} ({p_value(row['p'], name='P')})"
            for row in own[own["p"] < 0.05].to_dict("records")
        ]
        tests = f"of {counted(len(own), 'test')}, not adjusted"
        lines += [f"- Reclassification by the nomogram, {cohort}: {listed(words)}, {tests}."] * bool(words)
    return "\n".join(lines)


def locked(scores: pd.DataFrame, numbers: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Say line by line how a locked nomogram ranks the patients of each cohort, and whether its risks are right there.

    Parameters
    ----------
    scores : DataFrame
        `evaluate.discrimination` by cohort and signature.
    numbers : DataFrame
        `evaluate.calibration` by cohort (and horizon: the last one counts).
    names : mapping of cohort to name
    """
    own, nan = scores[scores["signature"] == "nomogram"], float("nan")
    parts = [
        f"{names[str(row['cohort'])]} {row['measure']} "
        f"{estimate(row.get('value', nan), row.get('value_low', nan), row.get('value_high', nan))} "
        f"(n = {row['n']}, {row['events']} events)"
        for row in own.to_dict("records")
    ]
    lines = [f"The locked nomogram, nothing of it fitted here: {listed(parts)}." if parts else "It scores nobody here."]
    for key, part in numbers.groupby("cohort", observed=True) if len(numbers) else ():
        row = part.iloc[-1]
        by = f" by {row['horizon']:g} months" if "horizon" in row else ""
        if "predicted" in row:
            seen = f"mean risk{by} {share(row['predicted'])}, observed {share(row['observed'])}"
            lines.append(f"In {names[str(key)]} its {seen}.")
    return lines
