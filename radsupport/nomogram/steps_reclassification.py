"""Chapter 08: whom the nomogram moves to a better risk, against the signature and the clinical columns alone."""

from __future__ import annotations

from typing import Any

import pandas as pd

from radsupport.errors import NotEstimableError
from radsupport.nomogram.steps_model import NOMOGRAM, PREOPERATIVE, Model, event_risk, usable_horizons
from radsupport.nomogram.steps_scores import common_rows, n_fitted, places
from radsupport.report.wording import estimate, fixed
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit
from radsupport.survival.steps_horizons import usable_times
from radsupport.validation.reclassification import nri_idi
from radsupport.validation.reclassification_survival import nri_idi_survival


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
            risks = event_risk(old, rows, month), event_risk(new, rows, month)
            s = nri_idi_survival(
                rows["time"], rows["event"], *risks, month, n_resamples=study.survival.bootstrap, seed=study.seed
            )
            return {"events": s.n_events, "month": month, **{key: getattr(s, key) for key in keys}}
        found = nri_idi(rows["label"], event_risk(old, rows), event_risk(new, rows))
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
    times = usable_times(rows, usable_horizons(study, model.fit)) if isinstance(model.fit, CoxFit) else []
    if not times:
        raise NotEstimableError("Too few of these patients are followed to a horizon of the nomogram.")
    return times[-1]
