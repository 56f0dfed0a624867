"""What chapter 08 says of its tables: the models, what the nomogram reaches, and where single patients show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.calibration import groups_for
from radsupport.evaluate.predictions import outcome, slug
from radsupport.evaluate.probability import usable_horizons
from radsupport.nomogram.parts import CLINICAL, NOMOGRAM, PREOPERATIVE, SIGNATURE, Model, predictable
from radsupport.plots.tidy import calibration_table
from radsupport.settings.study import Study
from radsupport.stats.calibration import (
    CalibrationSummary,
    calibration_curve,
    calibration_curve_survival,
    calibration_summary,
    hosmer_lemeshow,
)
from radsupport.stats.calibration_corrected import corrected_calibration, corrected_calibration_survival
from radsupport.stats.cox import CoxFit
from radsupport.stats.decision import net_benefit, net_benefit_survival
from radsupport.stats.reclassification import nri_idi, nri_idi_survival
from radsupport.wording import estimate, fixed, listed, number, p_number

#: Ends the name of a row in which a signature's own risk is judged in every patient, as chapter 06 does.
ALL_PATIENTS = ", all patients"
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

    Training risks are out of fold, from many models; those of other cohorts come from one. Where the two differ in
    scale, the coefficients of training do not fit the other cohort.

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
            words.append(f"{where}: SD {fixed(row['sd'], 3)}, {fixed(share)} of training's")
    if not words:
        return text
    return (
        f"{text}\n\n**Risks on another scale.** Training risks come from the models of the folds, the others from one "
        f"model. They spread differently – {'; '.join(words)} – so training's coefficients fit less well there."
    )


def points(example: pd.DataFrame | None, coefficients: pd.DataFrame, signatures: Mapping[str, str]) -> str:
    """Add up the points of a typical patient, and say which signatures have the wrong sign.

    Parameters
    ----------
    example : DataFrame
        What `Nomogram.example` returns; None where there is no nomogram.
    coefficients : DataFrame
        term and coef of the model.
    signatures : mapping of column to name
    """
    if example is None:
        return "There is no nomogram to draw: the model above has no fit, or nobody is followed to its horizons."
    of = {kind: rows.to_dict("records") for kind, rows in example.groupby("kind")}
    parts = [f"{row['label']} {_plain(row['value'])}: {fixed(row['points'], 0)}" for row in of["predictor"]]
    shares = [f"{100 * row['value']:.0f}%{row['label']}" for row in of["result"]]
    text = f"Points of a patient with the median values and the most frequent levels: {'; '.join(parts)}. "
    text += (
        f"Together {fixed(of['total'][0]['points'], 0)}, which stands for {of['total'][0]['label']} {listed(shares)}."
    )
    own = coefficients[coefficients["term"].isin(list(signatures))]
    wrong = own.loc[own["coef"] < 0, "term"].map(dict(signatures))
    if wrong.empty:
        return text
    return (
        f"{text}\n\n**Wrong sign.** A higher risk by {listed(list(wrong))} takes points away: beside the other "
        "predictors the risk out of fold goes with fewer events in training, against what it was built to predict. "
        "Read it with its interval above, and not as a protective factor."
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
    return (
        f"In training the {row['measure']} of the {row['model']} is {fixed(row['apparent'])} (apparent); "
        f"{row['resamples']} bootstrap resamples put the optimism of fitting its coefficients at "
        f"{fixed(row['optimism'], 3)}, which leaves {fixed(row['corrected'])}. The risks of signatures are out of "
        "fold: their optimism is already taken out."
    )


def few(sizes: pd.DataFrame, fewest: int) -> str:
    """Say in which cohorts a label's calibration has no curve; empty where all have one. `sizes`: cohort, n."""
    own = [f"{row['cohort']} (n = {row['n']})" for row in sizes[sizes["n"] < fewest].to_dict("records")]
    if not own:
        return ""
    return (
        f"{listed(own)}: groups only, and so no corrected curve. A smooth curve through fewer than {fewest} patients "
        "would follow single ones."
    )


def single_patients(sizes: pd.DataFrame, fewest: int) -> str:
    """Say where the jumps of a decision curve are single patients; empty where cohorts are larger."""
    rows = sizes[sizes["n"] < fewest].to_dict("records")
    if not rows:
        return ""
    worth = listed([f"{row['cohort']} (n = {row['n']}) {fixed(1 / row['n'])}" for row in rows])
    return f"One patient with the event is worth about this much net benefit: {worth}. Jumps there are single patients."


def reading(scores: pd.DataFrame, optimism: pd.DataFrame, several: bool = False) -> str:
    """Say per cohort what the nomogram reaches and whether it can be told from its parts and from its variant.

    Where coefficients were fitted to the patients there is no verdict: a larger model is never far below its parts
    there.

    Parameters
    ----------
    scores : DataFrame
        cohort (in words), signature, measure, n, fitted, value, difference (nomogram minus this), each with limits, p.
    optimism : DataFrame
        What `nomogram.optimism` returns.
    several : bool
        Whether several signatures enter.
    """
    words = []
    for cohort, here in scores.groupby("cohort", sort=False, observed=True):
        by_model = {row["signature"]: row for row in here.to_dict("records")}
        if NOMOGRAM not in by_model:
            continue
        row = by_model[NOMOGRAM]
        text = f"- {cohort}: {row['measure']} {_value(row)}"
        if row["fitted"]:
            words.append(f"{text}{_apparent(row, optimism)}.")
            continue
        every = next((one for name, one in by_model.items() if name.endswith(ALL_PATIENTS)), None)
        size = f" in {row['n']} of {every['n']} patients" if every else ""
        gaps = [_gap(by_model[name], several) for name in (SIGNATURE, CLINICAL) if name in by_model]
        more = [f"; {listed([gap for gap in gaps if gap])}"] if any(gaps) else []
        more += [_variant(by_model[PREOPERATIVE])] if PREOPERATIVE in by_model else []
        more += [_everybody(every)] if every else []
        words.append(f"{text}{size}{''.join(more)}.")
    return "\n".join(words) if words else "No cohort has a value of the nomogram."


def _value(row: Mapping[Any, Any]) -> str:
    return "–" if pd.isna(row["value"]) else estimate(row["value"], row["value_low"], row["value_high"])


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
    size = f"{_difference(row)[0]}, 95% CI {_difference(row)[1]}"
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
    p = "" if pd.isna(row["p"]) else f", P {p_number(row['p'])}"
    return f"{text} (nomogram minus variant {value}, 95% CI {limits}{p})"


def _everybody(row: Mapping[Any, Any]) -> str:
    name = row["signature"].removesuffix(ALL_PATIENTS)
    return f"; {name} in all {row['n']} patients: {row['measure']} {_value(row)}"


def places(study: Study, table: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return key, name and patients of every cohort, and of the named sets of cohorts of `survival.pooled`.

    Coefficients were fitted to the training patients: the names of places with such patients say "apparent".
    """
    found = []
    for key in study.cohorts:
        mark = ", apparent" if key == "train" else ""
        found.append((str(key), f"{study.cohort_names[key]}{mark}", table[table["cohort"] == key]))
    for name, members in study.survival.pooled.items():
        mark = ", partly apparent" if "train" in members else ""
        found.append((slug(name), f"{name}, pooled{mark}", table[table["cohort"].isin(list(members))]))
    return [(key, name, part) for key, name, part in found if len(part)]


def n_fitted(rows: pd.DataFrame) -> int:
    """Return how many of these patients the coefficients were fitted to."""
    return int((rows["cohort"] == "train").sum())


def common_rows(found: dict[str, Model], part: pd.DataFrame) -> pd.DataFrame:
    """Return the patients that every fitted model can predict."""
    return predictable(found, part)


Panel = tuple[str, pd.DataFrame, dict[str, Any]]
#: Groups of risk at most in the calibration of survival: each has to hold events.
GROUPS = 5
#: Patients from which a smooth calibration curve is drawn and calibration is tested; fewer are shown in groups only.
SMOOTH = 40
HOSMER_LEMESHOW = ("groups", "chi2 (Hosmer–Lemeshow)", "df", "P (Hosmer–Lemeshow)")
_SMALL = 1e-6  # calibration on the log-odds scale needs probabilities inside 0 to 1


def calibration_panels(study: Study, model: Model, table: pd.DataFrame) -> list[Panel]:
    """Return title, calibration and options of a panel per cohort (and per horizon for survival).

    The training cohort has its curve corrected for optimism beside the apparent one. Fewer than `SMOOTH` patients are
    shown in groups only; a cohort in which calibration can not be drawn is left out.
    """
    found = []
    for key, name, part in places(study, table):
        rows = model.known(part)
        for horizon in horizons(study, model, rows):
            try:
                drawn = _survival(study, model, rows, key, horizon) if horizon else _binary(study, model, rows, key)
            except (NotEstimableError, InputError):
                continue
            where = f"{name} and corrected" if (drawn["kind"] == "corrected").any() else name
            title = f"{where}, {horizon:g} months" if horizon else where
            risk = _p(model, rows, horizon)
            options = {"outcome": _outcome_words(study, horizon), "risks": risk}
            found.append((f"{title} (n = {len(rows)})", drawn, options))
    return found


def horizons(study: Study, model: Model, rows: pd.DataFrame) -> list[float | None]:
    """Return the horizons at which a Cox nomogram can be judged in these patients; [None] for a yes/no outcome."""
    if not isinstance(model.fit, CoxFit):
        return [None] if model.fit is not None and len(rows) else []
    return list(usable_horizons(rows, model.within(study.nomogram.horizons_months or outcome(study).horizons_months)))


def _outcome_words(study: Study, horizon: float | None) -> str:
    label = study.endpoint.label
    if horizon:
        return f"risk of {outcome(study).event_name} by {horizon:g} months"
    return f"probability of {label.name}" if label else "probability"


def _binary(study: Study, model: Model, rows: pd.DataFrame, key: str) -> pd.DataFrame:
    grouped = calibration_curve(rows["label"], model.probability(rows), groups=groups_for(len(rows)))
    if len(rows) < SMOOTH:
        return calibration_table(None, grouped)
    if key != "train":
        smooth = calibration_curve(rows["label"], model.probability(rows), method="loess", span=0.9)
        return calibration_table(smooth, grouped)
    corrected = corrected_calibration(
        rows, "label", model.refit, Model.probability, study.nomogram.bootstrap, study.seed
    )
    return calibration_table(corrected, grouped)


def _survival(study: Study, model: Model, rows: pd.DataFrame, key: str, horizon: float) -> pd.DataFrame:
    groups = min(GROUPS, max(2, int(rows["event"].sum()) // 10))
    grouped = calibration_curve_survival(rows["time"], rows["event"], _p(model, rows, horizon), horizon, groups)
    if key != "train":
        return calibration_table(None, grouped)
    corrected = corrected_calibration_survival(
        rows, "time", "event", horizon, model.refit,
        lambda again, some: again.probability(some, horizon)[:, 0], groups, study.nomogram.bootstrap, study.seed,
    )  # fmt: skip
    return calibration_table(corrected[["predicted", "apparent", "corrected"]], grouped)


def calibration_numbers(study: Study, model: Model, table: pd.DataFrame) -> pd.DataFrame:
    """Return calibration in numbers per cohort, for a yes/no outcome.

    Returns
    -------
    DataFrame
        cohort, n, events, slope and intercept (in the large; both in words, with 95% CI), Brier score, scaled, and
        groups, chi2, df, P of Hosmer-Lemeshow (missing for fewer than `SMOOTH` patients, and where only some of them
        are those of the fit, so that neither number of degrees of freedom is right; without any such columns where no
        cohort has the test). Empty for survival, whose calibration is in the figure.
    """
    rows = []
    for _, name, part in places(study, table):
        known = model.known(part)
        if isinstance(model.fit, CoxFit) or model.fit is None or known["label"].nunique() < 2:
            continue
        risk = np.clip(model.probability(known), _SMALL, 1 - _SMALL)
        found = calibration_summary(known["label"], risk)
        row = {"cohort": name, "n": len(known), "events": found.events} | _slope_words(found, model, known)
        row |= {"Brier score": found.brier, "scaled": found.brier_scaled}
        rows.append(row | _hosmer_lemeshow(known, risk))
    numbers = pd.DataFrame(rows)
    empty = bool(rows) and numbers[HOSMER_LEMESHOW[-1]].isna().all()
    return numbers.drop(columns=list(HOSMER_LEMESHOW)) if empty else numbers


def _slope_words(found: CalibrationSummary, model: Model, rows: pd.DataFrame) -> dict[str, str]:
    """Word slope and intercept; a maximum-likelihood fit makes them 1 and 0 in its own patients."""
    titles = "slope (95% CI)", "intercept (95% CI)"
    if n_fitted(rows) == len(rows) and model.fit is not None and model.fit.penalty == "none":
        return dict(zip(titles, ("1 by construction", "0 by construction"), strict=True))
    slope = found.slope, found.slope_low, found.slope_high
    intercept = found.intercept_in_the_large, found.in_the_large_low, found.in_the_large_high
    return {titles[0]: _worded(*slope), titles[1]: _worded(*intercept)}


def _hosmer_lemeshow(rows: pd.DataFrame, risk: Any) -> dict[str, float]:
    fitted, found = n_fitted(rows), dict.fromkeys(HOSMER_LEMESHOW, float("nan"))
    if len(rows) < SMOOTH or fitted not in (0, len(rows)):
        return found
    try:
        test = hosmer_lemeshow(rows["label"], risk, groups_for(len(rows)), external=not fitted)
    except NotEstimableError:
        return found
    return dict(zip(HOSMER_LEMESHOW, (test.groups, test.chi2, test.df, test.p), strict=True))


def decision_panels(study: Study, found: dict[str, Model], table: pd.DataFrame) -> list[Panel]:
    """Return title, net benefit and options of a panel per cohort: every model against treating all and none.

    A Cox nomogram is judged at its last horizon that the cohort reaches.
    """
    panels: list[Panel] = []
    low, high = study.validation.decision_thresholds
    marks = np.round(np.arange(low, high + 1e-9, 0.01), 4)
    for _, name, part in places(study, table):
        rows = common_rows(found, part)
        usable = horizons(study, found[NOMOGRAM], rows)
        if not usable:
            continue
        horizon = usable[-1]
        risks = {m.name: _p(m, rows, horizon) for m in found.values() if m.fit is not None}
        try:
            if horizon:
                curves = net_benefit_survival(rows["time"], rows["event"], risks, horizon, marks)
            else:
                curves = net_benefit(rows["label"], risks, marks)
        except NotEstimableError:
            continue
        title = f"{name}, {horizon:g} months" if horizon else name
        panels.append((f"{title} (n = {len(rows)})", curves.dropna(subset=["net_benefit"]), {}))
    return panels


def reclassification(study: Study, found: dict[str, Model], table: pd.DataFrame) -> pd.DataFrame:
    """Return NRI and IDI of the nomogram against the signature alone and the clinical columns alone, per cohort.

    Returns
    -------
    DataFrame
        cohort, old, n, events, (month), nri, nri_low, nri_high, nri_events, nri_nonevents, idi, idi_low, idi_high and,
        for a yes/no outcome, p_nri, p_idi (missing where coefficients were fitted to these patients: the tests hold
        for other patients only). Any change of risk counts (continuous NRI).
    """
    new, rows = found.get(NOMOGRAM), []
    if new is None or new.fit is None:
        return pd.DataFrame()
    for _, name, part in places(study, table):
        usable = common_rows(found, part)
        for old in found.values():
            if old.fit is not None and old.name not in (NOMOGRAM, PREOPERATIVE) and len(usable):
                row = _reclassified(study, old, new, usable)
                rows += [{"cohort": name, "old": old.name, "n": len(usable)} | row] if row else []
    return pd.DataFrame(rows)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Return `reclassification` as a page shows it: each improvement with its interval in one cell."""
    kept = [c for c in ("cohort", "old", "n", "events", "month") if c in table]
    result = table[kept].rename(columns={"old": "nomogram instead of"})
    for name in ("nri", "idi"):
        limits = table[[name, f"{name}_low", f"{name}_high"]].to_numpy().round(2) + 0.0
        result[f"{name.upper()} (95% CI)"] = [estimate(value, low, high) for value, low, high in limits]
        if f"p_{name}" in table:
            result[f"P ({name.upper()})"] = table[f"p_{name}"]
    for name in ("events", "nonevents"):
        result[f"NRI, {name.replace('non', 'non-')}"] = [fixed(value) for value in table[f"nri_{name}"]]
    return result


def _reclassified(study: Study, old: Model, new: Model, rows: pd.DataFrame) -> dict[str, Any]:
    keys = ["nri", "nri_low", "nri_high", "nri_events", "nri_nonevents", "idi", "idi_low", "idi_high"]
    try:
        if isinstance(new.fit, CoxFit):
            month = last_horizon(study, new, rows)
            risks = _p(old, rows, month), _p(new, rows, month)
            s = nri_idi_survival(
                rows["time"], rows["event"], *risks, month, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {"events": s.n_events, "month": month, **{key: getattr(s, key) for key in keys}}
        found = nri_idi(rows["label"], old.probability(rows), new.probability(rows))
        tests = {key: float("nan") if n_fitted(rows) else getattr(found, key) for key in ("p_nri", "p_idi")}
        return {"events": found.n_events, **{key: getattr(found, key) for key in keys}, **tests}
    except NotEstimableError:
        return {}


def last_horizon(study: Study, model: Model, rows: pd.DataFrame) -> float:
    """Return the last of the nomogram's horizons that these patients reach.

    Raises
    ------
    NotEstimableError
        They reach none.
    """
    times = (
        usable_horizons(rows, model.within(study.nomogram.horizons_months or outcome(study).horizons_months))
        if isinstance(model.fit, CoxFit)
        else []
    )
    if not times:
        raise NotEstimableError("Too few of these patients are followed to a horizon of the nomogram.")
    return times[-1]


def _worded(value: float, low: float, high: float, decimals: int = 2) -> str:
    return "–" if np.isnan(value) else estimate(value, low, high, decimals)


def _p(model: Model, rows: pd.DataFrame, horizon: float | None) -> Any:
    found = model.probability(rows, horizon)
    return found if found.ndim == 1 else found[:, 0]
