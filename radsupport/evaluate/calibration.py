"""Whether probabilities are right: calibration, one patient's weight in it, optimism, and prediction error over time.

All functions take rows as `judged` and `probabilities` return them: subject, cohort, signature, probability, and label,
or time, event and the horizon (months) that the probability is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from radsupport.checks import FloatArray, IntArray
from radsupport.errors import NotEstimableError
from radsupport.evaluate.predictions import LABEL, enough, measure, too_few
from radsupport.evaluate.probability import usable_horizons
from radsupport.stats.brier import brier_difference, brier_score
from radsupport.stats.brier import integrated_brier as integrated
from radsupport.stats.calibration import (
    calibration_curve,
    calibration_curve_survival,
    calibration_summary,
    hosmer_lemeshow,
    recalibration_fit,
)
from radsupport.stats.calibration_corrected import (
    corrected_benefit,
    corrected_calibration,
    corrected_calibration_survival,
)
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.logistic import LogisticFit, fit_logistic
from radsupport.stats.outcome import log_odds
from radsupport.stats.survival_curves import integration_times, kaplan_meier
from radsupport.stats.usefulness import per_cent
from radsupport.wording import fixed

_BY = ("cohort", "signature", "horizon")
#: Fewest patients through whose outcomes a smooth curve is drawn, or measured (ICI): it would follow single patients.
FEWEST_SMOOTHED = 40
#: A slope is not given where the probabilities' standard deviation is below the first, or its 95% interval wider than
#: the second: probabilities that hardly vary leave nothing to be sloped.
_FLAT, _WIDEST = 0.01, 100.0
#: Groups of the optimism-corrected calibration of survival: each has to hold events in most resamples.
_SURVIVAL_GROUPS = 3
#: How many patients the slope is refitted without: these of the largest one-step change, and of the largest leverage.
_REFITTED = 5
_Z = 1.959963984540054


def groups_for(n: int) -> int:
    """Return into how many groups of risk `n` patients are divided: about ten patients each, three to ten groups."""
    return int(np.clip(n // 10, 3, 10))


def calibration(part: pd.DataFrame, *, points: bool = False) -> dict[str, Any] | pd.DataFrame:
    """Return the calibration of some patients in numbers, or the points to draw.

    Parameters
    ----------
    part : DataFrame
        probability, and label, or time, event and horizon (months).
    points : bool
        Whether to return `calibration_points` instead.

    Returns
    -------
    dict
        events (by the horizon), predicted (mean), observed (share, or 1 - Kaplan-Meier), slope with limits, note (why
        there is no slope, or only the share: patients who are not `enough`). Of a label also intercept (in the large)
        with limits, ici, brier, brier_scaled, hl_groups, hl_chi2, hl_df, hl_p (Hosmer-Lemeshow: as many degrees of
        freedom as groups, two fewer where all are apparent by their `kind`, missing where some are, and for fewer than
        `FEWEST_SMOOTHED` patients), and where one
        patient makes the slope (`most_influential`) subject, risk, slope_without; of survival ratio (observed /
        predicted) with limits. A slope of survival is the Cox coefficient of log(-log(1 - probability)), follow-up cut
        at the horizon (McLernon et al. 2023, Ann Intern Med
        176:105). The ICI needs `FEWEST_SMOOTHED` patients, a slope probabilities that vary.

    Raises
    ------
    NotEstimableError
        One outcome only.
    """
    if points:
        return calibration_points(part)
    if "horizon" in part:
        row = _of_survival(part)
    elif not enough(part):
        found = {"events": int(part["label"].sum()), "predicted": part["probability"].mean()}
        return found | {"observed": found["events"] / len(part), "note": too_few()}
    else:
        fitted = part["kind"].eq("apparent") if "kind" in part else pd.Series(False, part.index)
        row = _of_label(part["label"], part["probability"], fitted)
        one = most_influential(part["label"], part["probability"])
        who = {"subject": part["subject"].iloc[int(one["place"])]} if one else {}
        row |= who | {key: one[key] for key in ("risk", "slope_without") if one}
    why = "no slope: the probabilities hardly vary, or separate the outcomes" if np.isnan(row["slope"]) else ""
    return row | {"note": why}


def _of_label(label: Any, p: Any, fitted: pd.Series) -> dict[str, Any]:
    found, events = calibration_summary(label, p), int(np.sum(label))
    row: dict[str, Any] = {"events": events, "predicted": float(np.mean(p)), "observed": events / len(p)}
    slope = {"slope": found.slope, "slope_low": found.slope_low, "slope_high": found.slope_high}
    row |= dict.fromkeys(slope, np.nan) if flat(p, found.slope_low, found.slope_high) else slope
    row |= {"intercept": found.intercept_in_the_large, "intercept_low": found.in_the_large_low}
    row |= {"intercept_high": found.in_the_large_high, "ici": found.ici if found.n >= FEWEST_SMOOTHED else np.nan}
    row |= {"brier": found.brier, "brier_scaled": found.brier_scaled}
    if found.n < FEWEST_SMOOTHED or (fitted.any() and not fitted.all()):  # neither number of df is right
        return row | dict.fromkeys(("hl_groups", "hl_chi2", "hl_df", "hl_p"), np.nan)
    test = hosmer_lemeshow(label, p, groups_for(len(p)), external=not fitted.all())
    return row | {"hl_groups": test.groups, "hl_chi2": test.chi2, "hl_df": test.df, "hl_p": test.p}


def _of_survival(part: pd.DataFrame) -> dict[str, Any]:
    horizon = float(part["horizon"].iloc[0])
    by_then = (part["time"] <= horizon) & (part["event"] == 1)
    km = kaplan_meier(part["time"], part["event"], horizon).at_times.iloc[0]
    expected = float(part["probability"].mean())
    ratio, low, high = ((1 - km[key]) / expected for key in ("survival", "ci_high", "ci_low"))
    row: dict[str, Any] = {"events": int(by_then.sum()), "predicted": expected, "observed": 1 - km["survival"]}
    return row | {"ratio": ratio, "ratio_low": low, "ratio_high": high} | _survival_slope(part, horizon)


def _survival_slope(part: pd.DataFrame, horizon: float) -> dict[str, float]:
    nothing = {"slope": np.nan, "slope_low": np.nan, "slope_high": np.nan}
    p = part["probability"].clip(1e-6, 1 - 1e-6)
    cut = pd.DataFrame({"time": part["time"].clip(upper=horizon), "log_hazard": np.log(-np.log1p(-p))})
    cut["event"] = (part["event"] == 1) & (part["time"] <= horizon)
    try:
        fit = fit_cox(cut.astype(float), "time", "event", ["log_hazard"])
    except NotEstimableError:
        return nothing
    slope, half = float(fit.coef.iloc[0]), _Z * float(fit.table["se"].iloc[0])
    if flat(part["probability"], slope - half, slope + half):
        return nothing
    return {"slope": slope, "slope_low": slope - half, "slope_high": slope + half}


def flat(p: Any, low: float, high: float) -> bool:
    """Whether probabilities hardly vary (standard deviation below 0.01), or their slope's limits lie 100 apart."""
    return bool(np.std(np.asarray(p, dtype=float), ddof=1) < _FLAT or high - low > _WIDEST)


def calibration_points(part: pd.DataFrame) -> pd.DataFrame:
    """Return what was observed against what was predicted, for `plots.calibration`.

    Parameters
    ----------
    part : DataFrame
        probability, and label, or time, event and horizon (months).

    Returns
    -------
    DataFrame
        kind (grouped; of a label also apparent: a loess through the predictions, from the 5th smallest to the 5th
        largest as rms::calibrate, for `FEWEST_SMOOTHED` patients and five different probabilities or more), predicted,
        observed with limits; empty for one outcome only.
    """
    if "horizon" in part:
        when, groups = float(part["horizon"].iloc[0]), max(2, groups_for(len(part)) // 2)
        grouped = calibration_curve_survival(part["time"], part["event"], part["probability"], when, groups)
        return _points([grouped.assign(kind="grouped")])
    if not enough(part):
        return pd.DataFrame()
    p = part["probability"].clip(1e-6, 1 - 1e-6)
    found = [calibration_curve(part["label"], p, groups=groups_for(len(part))).assign(kind="grouped")]
    if p.drop_duplicates().size >= 5 and len(p) >= FEWEST_SMOOTHED:
        smooth = calibration_curve(part["label"], p, method="loess", span=0.9)
        inside = smooth["predicted"].between(*np.sort(p.to_numpy())[[4, -5]])
        found = [smooth[inside].assign(kind="apparent"), *found] if inside.sum() > 1 else found
    return _points(found)


def _points(found: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return curves and groups below one another, as the figure takes them."""
    names = {"ci_low": "observed_low", "ci_high": "observed_high"}
    table = pd.concat(found, ignore_index=True).rename(columns=names).dropna(subset=["predicted", "observed"])
    return table[["kind", "predicted", "observed", *names.values()]]


def most_influential(label: Any, p: Any) -> dict[str, float]:
    """Return the patient without whom the recalibration slope differs by more than half its interval's width.

    Parameters
    ----------
    label : array-like of 0/1, shape (n,)
    p : array-like of probabilities, shape (n,)
        Those of exactly 0 or 1 are left out, as in `calibration_summary`.

    Returns
    -------
    dict
        place (in `p`), risk, slope, slope_without; empty where nobody changes it that much, or there is no slope.

    Notes
    -----
    The slope is refitted without those patients only whom the one-step change of the coefficients (Pregibon 1981, Ann
    Stat 9:705) or their leverage makes suspect.
    """
    risk = np.asarray(p, dtype=float)
    inside = np.flatnonzero((risk > 0) & (risk < 1))
    y, logit = np.asarray(label)[inside].astype(np.int64), special.logit(risk[inside])
    intercept, slope, _, se = recalibration_fit(y, logit)
    if not np.isfinite(slope) or flat(risk, slope - _Z * se, slope + _Z * se):
        return {}
    without = {i: _slope_without(y, logit, i) for i in _suspects(y, logit, intercept, slope)}
    changes = {i: abs(value - slope) for i, value in without.items() if np.isfinite(value)}
    first = max(changes, key=lambda i: changes[i], default=None)
    if first is None or changes[first] <= _Z * se:
        return {}
    place = int(inside[first])
    return {"place": place, "risk": float(risk[place]), "slope": slope, "slope_without": without[first]}


def _suspects(y: IntArray, logit: FloatArray, intercept: float, slope: float) -> list[int]:
    """Return the patients of the largest one-step changes of the slope, and of the largest leverages."""
    share = special.expit(intercept + slope * logit)
    weight = share * (1 - share)
    design = np.column_stack([np.ones(logit.size), logit])
    covariance = np.linalg.pinv(design.T @ (design * weight[:, None]))
    leverage = weight * np.einsum("ij,jk,ik->i", design, covariance, design)
    change = np.abs((design @ covariance)[:, 1] * (y - share) / np.clip(1 - leverage, 1e-9, None))
    order = [*np.argsort(-change, kind="stable")[:_REFITTED], *np.argsort(-leverage, kind="stable")[:_REFITTED]]
    return [int(i) for i in dict.fromkeys(order)]


def _slope_without(y: IntArray, logit: FloatArray, i: int) -> float:
    y, logit = np.delete(y, i), np.delete(logit, i)
    return recalibration_fit(y, logit)[1] if np.ptp(logit) > 0 else float("nan")


def last_step(
    rows: pd.DataFrame,
    parts: Sequence[str],
    columns: pd.DataFrame | None = None,
    outcome: Sequence[str] = LABEL,
) -> tuple[pd.DataFrame, list[str]]:
    """Return what the last step of a signature is fitted on: training risks of its parts, and clinical columns.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    parts : sequence of str
        Signatures that the last step combines; one that combines none is its own only part.
    columns : DataFrame, optional
        subject, and the clinical columns that the last step uses.
    outcome : sequence of str

    Returns
    -------
    table : DataFrame
        The outcome and one column per term; risks between 0 and 1 of a label as log odds. Patients with missing values
        are left out.
    terms : list of str
    """
    train = rows[rows["cohort"] == "train"]
    table = train.drop_duplicates("subject").set_index("subject")[list(outcome)]
    terms = [f"part_{i}" for i in range(len(parts))]
    for term, name in zip(terms, parts, strict=True):
        risk = train[train["signature"] == name].set_index("subject")["risk"]
        inside = tuple(outcome) == LABEL and risk.between(0, 1).all()
        table[term] = pd.Series(log_odds(risk), risk.index) if inside else risk
    if columns is not None:
        table = table.join(columns.set_index("subject"))
        terms += [str(name) for name in columns if name != "subject"]
    return table.dropna().reset_index(drop=True), terms


def corrected(
    table: pd.DataFrame,
    terms: Any,
    n_bootstrap: int = 200,
    seed: int = 0,
    horizon: float | None = None,
    groups: int = _SURVIVAL_GROUPS,
) -> pd.DataFrame:
    """Return apparent and optimism-corrected calibration of a regression, refitted in every resample.

    Parameters
    ----------
    table, terms
        Such as `last_step` returns them; or the rows that a model was fitted to, and the model with ``refit(rows)`` and
        ``probability(rows, times)``, such as those of a nomogram. Out-of-fold risks carry no optimism themselves.
    n_bootstrap, seed : int
    horizon : float, optional
        Months; a Cox regression instead of a logistic one.
    groups : int
        Of survival: each has to hold events in most resamples.

    Returns
    -------
    DataFrame
        kind (apparent, corrected; for survival grouped instead of apparent), predicted, observed, n, resamples (that
        could be fitted).

    Raises
    ------
    NotEstimableError
        Too few patients or events (a smooth curve, of a label, needs `FEWEST_SMOOTHED` patients), nothing that varies,
        or a single risk that ranks backwards: the refitted step would turn it round and look calibrated.
    """
    fit, predict = (terms.refit, _predicted(horizon)) if hasattr(terms, "refit") else regression(table, terms, horizon)
    if horizon is None:
        if len(table) < FEWEST_SMOOTHED:
            raise NotEstimableError(
                f"{len(table)} patients are too few for a smooth curve, which needs {FEWEST_SMOOTHED} or more."
            )
        found = corrected_calibration(table, "label", fit, predict, n_bootstrap, seed)
    else:
        options: dict[str, Any] = {"groups": groups, "n_resamples": n_bootstrap, "seed": seed}
        found = corrected_calibration_survival(table, "time", "event", horizon, fit, predict, **options)
    kinds = [
        found[["predicted"]].assign(kind=kind, observed=found[kind])
        for kind in ("apparent", "corrected") if kind in found
    ]  # fmt: skip
    points = pd.concat(kinds, ignore_index=True).dropna(subset=["predicted", "observed"])
    return points.assign(n=len(table), resamples=int(found["n_resamples"].max()))


def regression(table: pd.DataFrame, terms: list[str], horizon: float | None) -> tuple[Any, Any]:
    """Return how to fit and how to predict with a plain regression on terms.

    Raises
    ------
    NotEstimableError
        A single term ranks the training patients backwards.
    """
    if horizon is None:
        fit: Callable[[pd.DataFrame], Any] = partial(fit_logistic, label="label", covariates=terms)
        predict: Callable[[Any, pd.DataFrame], Any] = LogisticFit.predict
    else:
        fit, predict = partial(fit_cox, time="time", event="event", covariates=terms), _event_by(horizon)
    _refuse_backwards(fit, table, terms)
    return fit, predict


def _predicted(horizon: float | None) -> Callable[[Any, pd.DataFrame], Any]:
    def predict(model: Any, rows: pd.DataFrame) -> Any:
        risk = model.probability(rows, horizon).reshape(len(rows))
        if np.isnan(risk).any():
            raise NotEstimableError(f"A resample is not followed to the horizon {horizon:g}.")
        return risk

    return predict


def corrections(
    rows: pd.DataFrame,
    steps: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    cohort: pd.DataFrame,
    outcome: Sequence[str] = LABEL,
    horizons: Sequence[float] | None = None,
    n_bootstrap: int = 200,
    seed: int = 0,
    *,
    between: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return `corrected` for the last step of some signatures in the training cohort, or their corrected net benefit.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    steps : mapping of signature to (signatures, columns)
        What the last step of each combines; one that combines nothing is its own only part.
    cohort : DataFrame
        cohort.parquet.
    outcome : sequence of str
    horizons : sequence of float, optional
        Months, for survival.
    n_bootstrap, seed : int
    between : (float, float), optional
        First and last threshold: net benefit in the place of calibration, by the same resamples.

    Returns
    -------
    DataFrame
        signature, horizon (for survival), and what `corrected` returns, or threshold, apparent, optimism and
        net_benefit (apparent minus optimism); or one row with a note that says why not.
    """
    found: list[pd.DataFrame] = []
    wanted: list[float | None] = list(horizons) if horizons else [None]
    for name, (parts, columns) in steps.items():
        known = cohort[["subject", *columns]] if columns and len(cohort) else None
        table, terms = last_step(rows, parts, known, outcome)
        for horizon in wanted:
            place = {"signature": name} | ({} if horizon is None else {"horizon": horizon})
            try:
                if between is None:
                    own = corrected(table, terms, n_bootstrap, seed, horizon)
                else:
                    given = regression(table, terms, horizon), per_cent(*between), horizon, n_bootstrap, seed
                    own = corrected_benefit(table, *given).rename(columns={"corrected": "net_benefit"})
                found.append(own.assign(**place, note=""))
            except NotEstimableError as error:
                note = "; ".join(problem.what for problem in error.problems) or error.message
                lost = {"note": note, "predicted": np.nan, "n": len(table), "resamples": 0}
                found.append(pd.DataFrame([place | lost]))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["signature", "predicted", "note"])


def _refuse_backwards(fit: Callable[[pd.DataFrame], Any], table: pd.DataFrame, terms: list[str]) -> None:
    """Raise where the only term of the last step ranks the training patients backwards."""
    slope = float(fit(table).coef.iloc[0]) if len(terms) == 1 else 1.0
    if slope <= 0:
        raise NotEstimableError(
            f"in training a higher risk did not mean more events (slope {fixed(slope)}); a refit would turn it round."
        )


def _event_by(horizon: float) -> Callable[[Any, pd.DataFrame], Any]:
    def predict(model: Any, rows: pd.DataFrame) -> Any:
        risk = 1 - predict_survival(model, rows, horizon).to_numpy()[:, 0]
        if np.isnan(risk).any():
            raise NotEstimableError(f"A resample is not followed to the horizon {horizon:g}.")
        return risk

    return predict


def brier(
    rows: pd.DataFrame,
    against: str = "",
    n_bootstrap: int = 1000,
    seed: int = 0,
    *,
    models: Mapping[str, Any] | None = None,
    until: Sequence[float] | Callable[[pd.DataFrame], float] = (),
) -> pd.DataFrame:
    """Return the prediction error at each horizon, weighted for censoring, or averaged over time.

    Parameters
    ----------
    rows : DataFrame
        Such as `probabilities` returns them at horizons.
    against : str
        A signature that the others are compared with, on the patients whom both predict.
    n_bootstrap, seed : int
    models, until
        Of `integrated_brier`, which is returned where `models` are given; the rows are those of `judged` then.

    Returns
    -------
    DataFrame
        cohort, signature, horizon (months), n, brier with limits (bootstrap), null (Kaplan-Meier of the same patients:
        an estimate that knows their outcomes), scaled (1 - brier / null); with `against` also difference with limits
        (influence function) and p (missing for itself). Empty without a horizon; ``attrs["empty"]`` says why.
    """
    if models is not None:
        return integrated_brier(rows, models, until)
    if "horizon" not in rows:
        nothing = pd.DataFrame(columns=list(_BY))
        nothing.attrs["empty"] = "Not used: the Brier score of a yes/no outcome stands in the table above."
        return nothing
    table = measure(rows, _brier, _BY, n_bootstrap=n_bootstrap, seed=seed)
    table.attrs["empty"] = "Not used: no horizon can be judged."
    if table.empty or against not in set(rows["signature"]):
        return table
    compared = brier_differences(rows, against)
    if compared.empty:
        return table.assign(difference=np.nan, p=np.nan)
    return table.merge(
        compared[[*_BY, "difference", "difference_low", "difference_high", "p"]], on=list(_BY), how="left"
    )


def _brier(part: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[str, float]:
    given = part["time"], part["event"], part["probability"], float(part["horizon"].iloc[0])
    found = brier_score(*given, n_resamples=n_bootstrap, seed=seed).iloc[0]
    row = {"brier": found["brier"], "brier_low": found["ci_low"], "brier_high": found["ci_high"]}
    return row | {"null": found["null"], "scaled": found["scaled"]}


def brier_differences(rows: pd.DataFrame, against: str) -> pd.DataFrame:
    """Return how the error of each signature differs from that of another one, on the patients whom both predict.

    Returns
    -------
    DataFrame
        cohort, signature, horizon (months), n, brier_a, brier_b, difference with limits (influence function), p; only
        where the common patients can be judged at the horizon (`usable_horizons`).
    """
    found = []
    for (cohort, when), part in rows.groupby(["cohort", "horizon"], observed=True):
        horizon = float(part["horizon"].iloc[0])
        other = part.loc[part["signature"] == against, ["subject", "probability"]]
        for name, own in part[part["signature"] != against].groupby("signature", observed=True):
            both = own.merge(other, on="subject")
            if not usable_horizons(both, [horizon]):
                continue
            risks = both["probability_x"], both["probability_y"]
            values = brier_difference(both["time"], both["event"], *risks, horizon).iloc[0]
            names = {"ci_low": "difference_low", "ci_high": "difference_high"}
            place = {"cohort": cohort, "signature": name, "horizon": when, "n": len(both)}
            found.append(place | values.drop(["time", "se", "z"]).rename(names).to_dict())
    return pd.DataFrame(found)


def integrated_brier(
    rows: pd.DataFrame, models: Mapping[str, Any], until: Sequence[float] | Callable[[pd.DataFrame], float]
) -> pd.DataFrame:
    """Return the prediction error averaged over time.

    Parameters
    ----------
    rows : DataFrame
        Such as `judged` returns them.
    models : mapping of signature to model
        As `probabilities` takes it.
    until : sequence of float, or callable
        Horizons (months), of which the last usable one ends the average; or what takes the rows of a signature in a
        cohort and returns the last time, 0 where there is none.

    Returns
    -------
    DataFrame
        cohort, signature, n, until, integrated_brier with limits (Wald, influence function), null (Kaplan-Meier of the
        same patients), scaled.
    """

    def of_part(part: pd.DataFrame) -> pd.DataFrame:
        if str(part["signature"].iloc[0]) not in models:
            return pd.DataFrame()
        last = until(part) if callable(until) else max(usable_horizons(part, until), default=0.0)
        if not last:
            return pd.DataFrame()
        times = integration_times(part["time"], part["event"], last)
        risk = models[str(part["signature"].iloc[0])].probability(part, times)
        known = ~np.isnan(risk).any(axis=1)
        kept = part[known]
        if len(kept) < len(part) and not usable_horizons(kept, [last]):
            return pd.DataFrame()
        found = integrated(kept["time"], kept["event"], risk[known], times, interval="influence")
        row = {"n": len(kept), "until": last, "integrated_brier": found.integrated_brier}
        row |= {"integrated_brier_low": found.ci_low, "integrated_brier_high": found.ci_high}
        return pd.DataFrame([row | {"null": found.null, "scaled": found.scaled}])

    return measure(rows, of_part)
