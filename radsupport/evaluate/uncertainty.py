"""How sure a prediction is: what it would have been had other patients trained the model, and sets that hold the truth.

`refits` repeats the whole development of a signature (selection, tuning, learner) in bootstrap samples; `sets` says for
each patient which outcomes their risk does not rule out (conformal prediction), for survival at each horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from radsupport.checks import FloatArray, held_out
from radsupport.errors import InputError, NotEstimableError
from radsupport.evaluate.calibration import calibration
from radsupport.evaluate.predictions import FEWEST, LABEL, measure
from radsupport.evaluate.probability import lock, recalibrate, usable_horizons
from radsupport.evaluate.thresholds import threshold
from radsupport.evaluate.usefulness import decisions
from radsupport.learning.assembly import Assembly, select_rows, whole_table
from radsupport.learning.crossval import CrossValidation
from radsupport.learning.learners import fits
from radsupport.parallel import one_thread
from radsupport.stats.conformal import BOTH, NEITHER, ONLY_EVENT, ONLY_NONE, class_p, set_words
from radsupport.stats.instability import benefit_optimism, prediction_instability
from radsupport.stats.outcome import risk_of
from radsupport.stats.time_roc import horizon_weights
from radsupport.stats.usefulness import counted_benefit


def refits(
    assembly: Assembly, fitted: CrossValidation, name: str, *, repeats: int, inner_folds: int, seed: int,
    horizons: Sequence[float] = (),
) -> pd.DataFrame:  # fmt: skip
    """Develop a signature again in bootstrap samples of the training patients, every step of it.

    Parameters
    ----------
    assembly : Assembly
    fitted : CrossValidation
        The fits of the signature: its fit on all patients is the one that the repeats are compared with.
    name : str
        The signature.
    repeats : int
        Bootstrap samples; one to which the signature can not be fitted is left out.
    inner_folds, seed : int
        Of its tuning, as in `run_signatures`; a patient who was drawn twice is in one inner fold.
    horizons : sequence of float
        Months, for survival: the last one that can be judged is taken.

    Returns
    -------
    DataFrame
        One row per repeat and training patient: repeat (0: the signature itself, fitted on all), subject, cohort,
        signature, drawn (how often the sample had the patient), risk, probability (a survival risk, or one that is no
        probability, is translated by a regression on the sample's own inner out-of-fold risks), the outcome and, for
        survival, horizon. Features that were learnt per fold (networks) are those learnt on all training patients and
        are not learnt again. Empty where nothing is fitted; ``attrs["empty"]`` says so.
    """
    table, outcome, _ = assembly.training(name)
    X, people = whole_table(table), outcome.to_frame("label") if isinstance(outcome, pd.Series) else outcome
    usable = usable_horizons(people, horizons) if horizons else []
    if not fits(assembly.by_name[name]) or (horizons and not usable):
        why = "no horizon can be judged" if horizons and not usable else "nothing of it is fitted here"
        return _nothing(f"**{name}** is not developed again: {why}.")
    horizon, n, rng = max(usable, default=None), len(X), np.random.default_rng([seed, len(X)])
    found = []
    for repeat, rows in enumerate([np.arange(n), *rng.integers(0, n, (repeats, n))]):
        try:
            model = fitted.refit if repeat == 0 and horizon is None else None
            model = model or assembly.estimator(name, inner_folds, seed)
            risk, probability = _refitted(model, X, outcome, rows, horizon)
        except (NotEstimableError, InputError):
            if repeat == 0:
                raise
            continue  # a sample with too few events; the number of repeats that are left is said
        own = people.assign(repeat=repeat, drawn=np.bincount(rows, minlength=n), risk=risk, probability=probability)
        found.append(own if horizon is None else own.assign(horizon=horizon))
    whole = pd.concat(found).rename_axis("subject").reset_index()
    return whole.assign(cohort="train", signature=name)


def _nothing(why: str) -> pd.DataFrame:
    columns = ["repeat", "subject", "cohort", "signature", "drawn", "risk", "probability", "horizon", "outcome", "says"]
    table = pd.DataFrame(columns=columns)
    table.attrs["empty"] = why
    return table


def _refitted(model: Any, X: pd.DataFrame, outcome: Any, rows: Any, horizon: float | None) -> tuple[Any, FloatArray]:
    """Fit a signature on drawn rows, unless it is; return the risk and the probability of all patients."""
    with one_thread():
        if not hasattr(model, "features_"):
            model = model.fit(X.iloc[rows], outcome.iloc[rows])
        risk = risk_of(model, X)
        given = horizon is None and bool(((risk >= 0) & (risk <= 1)).all())
    if given:
        return risk, risk
    drawn = outcome.iloc[rows].reset_index(drop=True)
    drawn = drawn.to_frame("label") if isinstance(drawn, pd.Series) else drawn
    translation = recalibrate(drawn.assign(risk=model.inner_risk_))
    probability = translation.probability(risk, None if horizon is None else [horizon]).reshape(len(risk))
    if not np.isfinite(probability).all():
        raise NotEstimableError("The sample is not followed to the horizon.")
    return risk, np.clip(probability, 0, 1)


def _by_repeat(refitted: pd.DataFrame, column: str) -> tuple[pd.Series, FloatArray]:
    """Return a column of the signature itself by patient, and of the repeats, shape (repeats, patients)."""
    wide = refitted.pivot_table(index="repeat", columns="subject", values=column, sort=False)
    return wide.T[0], wide.drop(index=0).to_numpy(float)


def limit(rows: pd.DataFrame, refitted: pd.DataFrame, rule: Any, outcome: Sequence[str] = LABEL) -> float:
    """Return the locked threshold of a signature as a probability (by the horizon of `refits`); NaN where it has none.

    Parameters
    ----------
    rows : DataFrame
        Rows of the signature such as `judged` returns them.
    refitted : DataFrame
        What `refits` returns.
    rule : str
        As of `threshold`.
    outcome : sequence of str
    """
    cut, locked = threshold(rows, rule=rule, outcome=outcome), lock(rows, outcome)
    if refitted.empty or cut.empty or not np.isfinite(cut.iloc[0]):
        return np.nan
    times = refitted["horizon"].iloc[:1] if "horizon" in refitted else None
    return float(np.ravel(locked[str(cut.index[0])].whole.probability(cut.to_numpy(), times))[0])


def instability(refitted: pd.DataFrame, at: float = np.nan) -> pd.DataFrame:
    """Return how far each training patient's probability moves over the repeats, the most unstable first.

    Parameters
    ----------
    refitted : DataFrame
        What `refits` returns.
    at : float
        Probability above which a patient counts as high risk; NaN for none.

    Returns
    -------
    DataFrame
        subject, probability, low, high (percentiles of the repeats), mape, changed (`prediction_instability`), repeats;
        empty where there is no repeat.
    """
    if refitted["repeat"].nunique() < 2:
        return pd.DataFrame(columns=["subject", "probability", "mape", "changed", "repeats"])
    own, others = _by_repeat(refitted, "probability")
    found = prediction_instability(own, others, at)
    found = found.assign(subject=own.index, probability=own.to_numpy(), repeats=len(others))
    columns = ["subject", "probability", "low", "high", "mape", "changed", "repeats"]
    return found.sort_values("mape", ascending=False, kind="stable", ignore_index=True)[columns]


_POINTS, _BENEFIT = {"predicted": "x", "observed": "y"}, {"threshold": "x", "net_benefit": "y", "strategy": "strategy"}
REFERENCES = {"treat_all": "treat all", "treat_none": "treat none"}
PREDICTIONS, CALIBRATION, DECISIONS = "Predictions", "Calibration", "Decision curves"


def pictures(refitted: pd.DataFrame, low: float = 0.05, high: float = 0.6) -> pd.DataFrame:
    """Return predictions, calibration and decision curves of every repeat in the original patients.

    Parameters
    ----------
    refitted : DataFrame
        What `refits` returns.
    low, high : float
        First and last threshold of the decision curves.

    Returns
    -------
    DataFrame
        picture, of (own, repeat, or a reference), repeat, x, y, for `plots.repeats`; empty where there is no repeat.
    """
    if refitted["repeat"].nunique() < 2:
        return pd.DataFrame(columns=["picture", "of", "repeat", "x", "y"])
    own = refitted[refitted["repeat"] == 0].set_index("subject")["probability"]
    moved = refitted[refitted["repeat"] > 0]
    predicted = moved.assign(picture=PREDICTIONS, x=moved["subject"].map(own), y=moved["probability"])
    curves = measure(refitted, calibration, ["repeat"], points=True).reindex(columns=["repeat", "kind", *_POINTS])
    smooth = curves["kind"].eq("apparent")
    curves = curves[smooth if smooth.any() else curves["kind"].notna()].rename(columns=_POINTS)
    benefit = measure(refitted, decisions, ["repeat"], low=low, high=high).reindex(columns=["repeat", *_BENEFIT])
    benefit = benefit.rename(columns=_BENEFIT)
    reference = benefit["strategy"].isin(REFERENCES)
    benefit = benefit[~reference | (benefit["repeat"] == 0)]
    parts = [predicted, curves.assign(picture=CALIBRATION), benefit.assign(picture=DECISIONS)]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    table["of"] = np.where(table["repeat"] == 0, "own", "repeat")
    named = table["strategy"].isin(list(REFERENCES))
    table.loc[named, "of"] = table["strategy"].map(REFERENCES)
    return table[["picture", "of", "repeat", "x", "y"]]


def corrected_benefit(refitted: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Return net benefit in training at some thresholds, corrected for the optimism of the whole development.

    Returns
    -------
    DataFrame
        threshold, n, events (by the horizon), treat_all, apparent, optimism, corrected, repeats; empty where there is
        no repeat.
    """
    if refitted["repeat"].nunique() < 2:
        return pd.DataFrame(columns=["threshold", "treat_all", "apparent", "optimism", "corrected"])
    people = refitted[refitted["repeat"] == 0].set_index("subject")
    horizon = float(people["horizon"].iloc[0]) if "horizon" in people else None
    own, others = _by_repeat(refitted, "probability")
    counts, marks = _by_repeat(refitted, "drawn")[1], [float(one) for one in thresholds]
    people, once = people.loc[own.index], np.ones((1, len(own)))
    lost = benefit_optimism(people, others, counts, marks, horizon)
    benefit = {
        key: counted_benefit(people, risk, marks, once, horizon)[0]
        for key, risk in {"treat_all": np.ones(len(own)), "apparent": own}.items()
    }
    event = people["label"] if horizon is None else people["event"] * (people["time"] <= horizon)
    row = {"n": len(people), "events": int(event.sum())}
    table = pd.DataFrame({"threshold": marks, **row, **benefit, "optimism": lost})
    return table.assign(corrected=table["apparent"] - table["optimism"], repeats=len(others))


def sets(
    assembly: Assembly, result: CrossValidation, name: str, *, alpha: float = 0.1, horizons: Sequence[float] = ()
) -> pd.DataFrame:
    """Return for each patient which outcomes the signature does not rule out.

    Training patients are judged among the out-of-fold risks of the other folds, all others by the models of all folds,
    each against the patients that it had left out (CV+). Only the order of risks matters, so none is translated.

    Parameters
    ----------
    assembly : Assembly
    result : CrossValidation
        The fits of the signature; those of the first division are used.
    name : str
    alpha : float
        Of each outcome's patients at most this share misses it in their set.
    horizons : sequence of float
        Months, for survival: sets say "event by then". Patients censored before teach nothing but through the weights
        of the others (1 / G).

    Returns
    -------
    DataFrame
        subject, cohort, horizon (for survival), p_none, p_event (conformal), says (neither, no event, event, both),
        outcome (1, 0, NaN where it is not known). Empty where fewer than `FEWEST` patients had, or had not, the event;
        ``attrs["empty"]`` says so.
    """
    first = result.risks[result.risks["repeat"] == 0].set_index("subject")
    failed = assembly.training(name)[2]["subject"]
    elsewhere = assembly.cohort.index[held_out(assembly.cohort["cohort"])].difference(pd.Index(failed), sort=False)
    outside = result.fold_risks(select_rows(assembly.table(name), elsewhere)) if len(elsewhere) else pd.DataFrame()
    outside = outside.reindex(columns=sorted(outside.columns))
    found, people = [], assembly.cohort.loc[[*first.index, *outside.index]]
    wanted: list[float | None] = list(horizons) or [None]
    for horizon in wanted:
        known, weights = _known(people, horizon)
        inside = known.loc[first.index]
        if min((inside == 1).sum(), (inside == 0).sum()) < FEWEST:
            continue
        given = (first["risk"], inside.fillna(0), first["fold"])
        options = {"weights": (weights * known.notna()).loc[first.index]}
        p = [class_p(*given, **options), *([class_p(*given, outside, **options)] if len(outside) else [])]
        table = pd.DataFrame(np.vstack(p), people.index, ["p_none", "p_event"])
        table = table.assign(says=set_words(table, alpha), outcome=known, cohort=people["cohort"])
        found.append(table if horizon is None else table.assign(horizon=float(horizon)))
    if not found:
        return _nothing(f"Fewer than {FEWEST} training patients are known to have, or not to have, the event.")
    return pd.concat(found).rename_axis("subject").reset_index()


def _known(people: pd.DataFrame, horizon: float | None) -> tuple[pd.Series, pd.Series]:
    """Return who had the event (by the horizon; NaN where unknown), and for how many patients each one stands."""
    if horizon is None:
        return people[LABEL[0]].astype(float), pd.Series(1.0, people.index)
    known, weights = pd.Series(np.nan, people.index), pd.Series(0.0, people.index)
    for cohort in people["cohort"].unique():
        own = people[(people["cohort"] == cohort) & people[["time", "event"]].notna().all(axis=1)]
        if own.empty:
            continue
        at = horizon_weights(own["time"].to_numpy(float), own["event"].to_numpy(np.int64), float(horizon))
        known[own.index] = np.where(at.case, 1.0, np.where(at.control, 0.0, np.nan))
        weights[own.index] = at.case_weight + at.control_weight
    return known, weights


def patients(refitted: pd.DataFrame, moved: pd.DataFrame, says: pd.DataFrame) -> pd.DataFrame:
    """Return what is uncertain about each training patient: `instability`, and the set at that horizon (``says``)."""
    if "horizon" in says and len(refitted):
        says = says[says["horizon"] == refitted["horizon"].iloc[0]]
    return moved.merge(says[["subject", "says"]], on="subject", how="left").drop(columns="repeats", errors="ignore")


def most_wrong(rows: pd.DataFrame, says: pd.DataFrame, most: int = 8) -> pd.DataFrame:
    """Return the patients whom a signature had most wrong: of each outcome those of the most extreme rank.

    Parameters
    ----------
    rows : DataFrame
        Rows of the signature such as `judged` returns them.
    says : DataFrame
        What `sets` returns; of several horizons the last one counts.
    most : int
        Patients, half of them with and half without the event.

    Returns
    -------
    DataFrame
        subject, cohort, outcome (1, 0), rank (of the risk within the cohort, 0 lowest to 1 highest), p (how few of that
        outcome's patients were as odd); the most odd first.
    """
    if says.empty:
        return pd.DataFrame(columns=["subject", "cohort", "outcome", "rank", "p"])
    last = says[says["horizon"] == says["horizon"].max()] if "horizon" in says else says
    last = last[last["outcome"].notna()]
    ranks = rows.groupby("cohort", observed=True)["risk"].rank(pct=True)
    table = last.assign(
        rank=last["subject"].map(pd.Series(ranks.to_numpy(), rows["subject"].to_numpy())),
        p=np.where(last["outcome"] == 1, last["p_event"], last["p_none"]),
    ).sort_values("p", kind="stable")
    table = table.groupby("outcome", sort=False).head(most // 2)
    return table[["subject", "cohort", "outcome", "rank", "p"]].reset_index(drop=True)


def coverage(part: pd.DataFrame) -> dict[str, Any]:
    """Return how often the sets of some patients hold what became of them.

    Parameters
    ----------
    part : DataFrame
        Rows of `sets`, such as those of one cohort.

    Returns
    -------
    dict
        n (patients whose outcome is known), events, covered, covered_event and covered_none (shares with exact
        (Clopper-Pearson) limits; of all, of those with and of those without the event), one, both, neither (patients
        whose set holds so many outcomes) and right (share of the sets with one outcome that hold the right one, with
        limits).
    """
    part = part[part["outcome"].notna()]
    event, says = part["outcome"] == 1, part["says"]
    held = ((says == BOTH) | (says == np.where(event, ONLY_EVENT, ONLY_NONE))).astype(bool)
    single = says.isin([ONLY_EVENT, ONLY_NONE])
    row: dict[str, Any] = {"n": len(part), "events": int(event.sum())}
    groups = {"covered": held, "covered_event": held[event], "covered_none": held[~event], "right": held[single]}
    for key, own in groups.items():
        low, high = proportion_confint(own.sum(), len(own), method="beta") if len(own) else (np.nan, np.nan)
        row |= {key: own.mean() if len(own) else np.nan, f"{key}_low": low, f"{key}_high": high}
    return row | {"one": int(single.sum()), "both": int((says == BOTH).sum()), "neither": int((says == NEITHER).sum())}
