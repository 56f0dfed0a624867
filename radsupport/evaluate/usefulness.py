"""Whether acting on a signature would help: decision curves, and reclassification against a comparator.

Chapter 08: whom the nomogram moves to a better risk, against the signature and the clinical columns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.evaluate.calibration import usable_horizons
from radsupport.evaluate.predictions import best_signature, is_label, judged_cohorts, judged_part, outcome_columns
from radsupport.evaluate.probability import Locked
from radsupport.settings.study import Study
from radsupport.stats.decision import gains, net_benefit, net_benefit_survival, stretch_words, stretches
from radsupport.stats.reclassification import nri_idi, nri_idi_survival


def common_probabilities(
    predictions: pd.DataFrame,
    study: Study,
    locked: dict[str, Locked],
    cohort: str,
    names: Sequence[str],
    horizon: float | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return outcome and probabilities (one column per signature) of the patients who have all of them.

    Signatures without predictions in the cohort are left out.
    """
    columns, outcomes = {}, []
    for name in names:
        part = judged_part(predictions, study, cohort, name)
        if part.empty or name not in locked:
            continue
        found = locked[name].probability(part, horizon)
        columns[name] = pd.Series(found if found.ndim == 1 else found[:, 0], part["subject"])
        outcomes.append(part.set_index("subject")[outcome_columns(study)])
    if not columns:
        return pd.DataFrame(columns=outcome_columns(study)), pd.DataFrame()
    table = pd.DataFrame(columns).dropna().clip(0, 1)
    outcome = pd.concat(outcomes)
    return outcome[~outcome.index.duplicated()].loc[table.index], table


def decision_table(
    predictions: pd.DataFrame,
    study: Study,
    locked: dict[str, Locked],
    cohort: str,
    names: Sequence[str],
    horizon: float | None = None,
) -> pd.DataFrame:
    """Return net benefit of signatures, treat-all and treat-none over the study's range of thresholds.

    Parameters
    ----------
    horizon : float, optional
        Months; for survival.

    Returns
    -------
    DataFrame
        threshold, strategy, net_benefit, interventions_avoided (per patient, against treating all); empty where
        nothing can be computed. ``attrs``: n and events (by the horizon).
    """
    outcome, risks = common_probabilities(predictions, study, locked, cohort, names, horizon)
    if risks.empty:
        return pd.DataFrame()
    low, high = study.validation.decision_thresholds
    marks = np.round(np.arange(low, high + 1e-9, 0.01), 4)
    models = {str(name): risk for name, risk in risks.items()}
    try:
        if is_label(study):
            found, events = net_benefit(outcome["label"], models, marks), outcome["label"].sum()
        elif horizon is not None and usable_horizons(outcome, [horizon]):
            found = net_benefit_survival(outcome["time"], outcome["event"], models, horizon, marks)
            events = ((outcome["time"] <= horizon) & (outcome["event"] == 1)).sum()
        else:
            return pd.DataFrame()
    except NotEstimableError:
        return pd.DataFrame()
    found.attrs = {"n": len(outcome), "events": int(events)}
    return found


def useful_range(curves: pd.DataFrame) -> pd.DataFrame:
    """Return where each signature gains at least `stretches.LEAST_GAIN` over both treating all and treating none.

    Returns
    -------
    DataFrame
        signature, share (of the thresholds, at which it does), better_at (these thresholds as separate stretches, in
        words), largest_gain (net benefit per patient above the better reference), at (the threshold of that gain, in
        words); the last two missing where no gain is that large.
    """
    rows = []
    for name, gain in gains(curves).items():
        found = stretches(gain)
        inside = sum(int(gain.loc[low:high].size) for low, high in found)
        most = (float(gain.max()), f"{gain.idxmax():.0%}") if found else (np.nan, "")
        row = {"signature": name, "share": inside / len(gain), "better_at": stretch_words(found)}
        rows.append(row | {"largest_gain": most[0], "at": most[1] or None})
    return pd.DataFrame(rows)


def useful_table(
    predictions: pd.DataFrame,
    study: Study,
    locked: dict[str, Locked],
    names: Sequence[str],
    horizons: Sequence[float | None],
) -> pd.DataFrame:
    """Return `useful_range` of every cohort and horizon (months): cohort, horizon (survival only), n, events, …"""
    tables = []
    for horizon in horizons:
        for cohort in judged_cohorts(predictions, study):
            curves = decision_table(predictions, study, locked, cohort, names, horizon)
            if len(curves):
                found = useful_range(curves)
                found.insert(0, "cohort", cohort)
                for place, key in enumerate(("n", "events"), start=1):
                    found.insert(place, key, curves.attrs[key])
                if horizon is not None:
                    found.insert(1, "horizon", horizon)
                tables.append(found)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def reclassification_table(
    predictions: pd.DataFrame, study: Study, locked: dict[str, Locked], horizons: Sequence[float | None] = (None,)
) -> pd.DataFrame:
    """Return how the best signature moves patients against the study's comparator, per cohort.

    Parameters
    ----------
    horizons : sequence of float
        Months, for survival; (None,) for a label.

    Returns
    -------
    DataFrame
        cohort, horizon (survival only), n, events, measure (continuous NRI, NRI over ``validation.risk_categories``,
        IDI), value, ci_low, ci_high, p (label only); empty without a comparator, or where nothing exists.
    """
    best, other = best_signature(study), study.validation.comparator
    if not other or other == best:
        return pd.DataFrame()
    rows = []
    for horizon in horizons:
        for cohort in judged_cohorts(predictions, study):
            outcome, p = common_probabilities(predictions, study, locked, cohort, [best, other], horizon)
            if p.shape[1] < 2:
                continue
            moves = _moves(study, outcome, p) if horizon is None else _moves_by(study, outcome, p, horizon)
            when = {} if horizon is None else {"horizon": horizon}
            rows += [{"cohort": cohort, **when, "n": len(p), **row} for row in moves]
    return pd.DataFrame(rows)


def _moves_by(study: Study, outcome: pd.DataFrame, p: pd.DataFrame, horizon: float) -> list[dict[str, object]]:
    """Return NRI and IDI at a horizon, weighted for censoring; none where the horizon can not be judged."""
    if not usable_horizons(outcome, [horizon]):
        return []
    options: dict[str, Any] = {"n_resamples": study.validation.bootstrap, "seed": study.seed}
    found = nri_idi_survival(outcome["time"], outcome["event"], p.iloc[:, 1], p.iloc[:, 0], horizon, **options)
    measures = {"continuous NRI": "nri", "IDI": "idi"}
    return [
        {
            "events": found.n_events, "measure": words, "value": getattr(found, key),
            "ci_low": getattr(found, f"{key}_low"), "ci_high": getattr(found, f"{key}_high"),
        }
        for words, key in measures.items()
    ]  # fmt: skip


def _moves(study: Study, outcome: pd.DataFrame, p: pd.DataFrame) -> list[dict[str, object]]:
    """Return NRI and IDI of a label; none where there is one outcome only."""
    if outcome["label"].drop_duplicates().size < 2:
        return []
    old, new, cuts = p.iloc[:, 1], p.iloc[:, 0], study.validation.risk_categories
    found = {"continuous NRI": (nri_idi(outcome["label"], old, new), "nri")}
    if cuts:
        by_class = f"NRI over the limits {', '.join(f'{cut:.0%}' for cut in cuts)}"
        found[by_class] = (nri_idi(outcome["label"], old, new, cuts), "nri")
    found["IDI"] = (found["continuous NRI"][0], "idi")
    return [
        {
            "events": one.n_events, "measure": words, "value": getattr(one, key), "ci_low": getattr(one, f"{key}_low"),
            "ci_high": getattr(one, f"{key}_high"), "p": getattr(one, f"p_{key}"),
        }
        for words, (one, key) in found.items()
    ]  # fmt: skip
