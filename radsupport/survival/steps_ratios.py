"""Chapter 07: hazard ratios and concordance of each signature in each cohort, and their differences."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from radsupport.errors import InputError, NotEstimableError
from radsupport.report.wording import estimate
from radsupport.study_schema import Study
from radsupport.survival.cox import CoxFit, fit_cox
from radsupport.survival.steps_groups import HIGH, of_signature, parts
from radsupport.survival.time_dependent import bootstrap_concordance, concordance, concordance_difference

DIFFERENCE_HEADERS = {
    "signature_a": "Signature", "signature_b": "against", "c_a": "C-index", "c_b": "of the other",
    "p": "P (jackknife)",
}  # fmt: skip
#: Ratio of the limits of a hazard ratio beyond which the data say nothing about it.
WIDEST = 1e4
_NAN = float("nan")


def training_sd(groups: pd.DataFrame) -> pd.Series:
    """Return the standard deviation of each signature's training risks: the unit of "per SD" in every cohort."""
    return groups[groups["cohort"] == "train"].groupby("signature", sort=False)["risk"].std()


def hazard_ratios(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return Cox hazard ratios of high against low risk and per SD, per signature and cohort (or pooled set).

    Returns
    -------
    DataFrame
        signature, key, cohort, contrast ("high against low" or "per SD"), n, events, hr, ci_low, ci_high, p (Wald),
        note. A group without events gets Firth's penalty; what can not be estimated, or only within a factor of more
        than `WIDEST`, keeps its row and says why.
    """
    sd, rows = training_sd(groups), []
    for name in groups["signature"].unique():
        for key, cohort, part in parts(of_signature(groups, name), study):
            table = part[["time", "event"]].assign(
                high=(part["group"] == HIGH).astype(int), scaled=part["risk"] / sd[name]
            )
            for contrast, column in (("high against low", "high"), ("per SD", "scaled")):
                row = {"signature": name, "key": key, "cohort": cohort, "contrast": contrast}
                rows.append(row | {"n": len(part), "events": int(part["event"].sum())} | _ratio(table, column))
    return pd.DataFrame(rows)


def _ratio(table: pd.DataFrame, column: str) -> dict[str, Any]:
    nothing = {"hr": _NAN, "ci_low": _NAN, "ci_high": _NAN, "p": _NAN}
    if table[column].nunique() < 2 or not np.isfinite(table[column]).all():
        return nothing | {"note": "all patients alike"}
    try:
        fit, note = with_firth(table, [column])
    except NotEstimableError as error:
        return nothing | {"note": error.problems[0].what if error.problems else error.message}
    row = fit.table.iloc[0]
    if row["ci_high"] > WIDEST * row["ci_low"]:
        return nothing | {"note": f"its 95% CI spans more than a factor of {WIDEST:.0f}"}
    return {key: float(row[key]) for key in nothing} | {"note": note}


def with_firth(table: pd.DataFrame, covariates: list[str], **options: Any) -> tuple[CoxFit, str]:
    """Return the Cox fit of `time` and `event`, under Firth's penalty where a coefficient would be infinite.

    Returns
    -------
    fit : CoxFit
    note : str
        "Firth's penalty", or empty.

    Raises
    ------
    NotEstimableError
        Not even the penalised fit exists.
    """
    try:
        return fit_cox(table, "time", "event", covariates, **options), ""
    except NotEstimableError:
        return fit_cox(table, "time", "event", covariates, penalty="firth", **options), "Firth's penalty"


def concordances(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return Harrell's C of each signature in each cohort with its bootstrap interval.

    Returns
    -------
    DataFrame
        signature, key, cohort, n, events, c_index, ci_low, ci_high (percentile bootstrap over patients), se
        (infinitesimal jackknife). NaN where no two patients can be compared.
    """
    rows = []
    for (name, key), part in groups.groupby(["signature", "cohort"], sort=False):
        row: dict[str, Any] = {"signature": name, "key": key, "cohort": study.cohort_names[key], "n": len(part)}
        row["events"] = int(part["event"].sum())
        rows.append(row | _c_index(part, study))
    return pd.DataFrame(rows)


def _c_index(part: pd.DataFrame, study: Study) -> dict[str, float]:
    outcome = part["time"], part["event"]
    try:
        found = concordance(*outcome, part["risk"])
    except NotEstimableError:
        return {"c_index": _NAN, "ci_low": _NAN, "ci_high": _NAN, "se": _NAN}
    drawn = bootstrap_concordance(*outcome, {"c": part["risk"]}, n_resamples=study.survival.bootstrap, seed=study.seed)
    low, high = np.nanquantile(drawn["c"], [0.025, 0.975])
    return {"c_index": found.concordance, "ci_low": float(low), "ci_high": float(high), "se": found.se}


def compared_pairs(groups: pd.DataFrame, study: Study) -> list[tuple[str, str]]:
    """Return the pairs of signatures to compare: each with the baseline, or every pair where there is none."""
    names, baseline = list(groups["signature"].unique()), study.survival.baseline
    if baseline in names:
        others = [name for name in names if name != baseline]
        return [(name, baseline) for name in others] + list(combinations(others, 2))
    return list(combinations(names, 2))


def c_differences(groups: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return paired differences of Harrell's C between signatures, on the patients that both have a risk for.

    Returns
    -------
    DataFrame
        cohort, signature_a, signature_b, n, c_a, c_b, difference, ci_low, ci_high (percentile bootstrap), p
        (infinitesimal jackknife, as in chapter 06). Empty with one signature; cohorts in which no two patients can be
        compared are left out.
    """
    rows = []
    for key, part in groups.groupby("cohort", sort=False):
        risks = {name: own.set_index("subject") for name, own in part.groupby("signature", sort=False)}
        for a, b in compared_pairs(part, study):
            both = risks[a].join(risks[b]["risk"].rename("other"), how="inner")
            row = {"cohort": study.cohort_names[key], "signature_a": a, "signature_b": b, "n": len(both)}
            rows += [row | found] if (found := _c_difference(both, study)) else []
    return pd.DataFrame(rows)


def _c_difference(both: pd.DataFrame, study: Study) -> dict[str, float]:
    columns, n = [both[name] for name in ("time", "event", "risk", "other")], study.survival.bootstrap
    try:
        found = concordance_difference(*columns, n_resamples=n, seed=study.seed)
    except (NotEstimableError, InputError):
        return {}
    return {
        "c_a": found.concordance_a, "c_b": found.concordance_b, "difference": found.difference,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "p": found.p,
    }  # fmt: skip


def performance_shown(c_index: pd.DataFrame, ratios: pd.DataFrame) -> pd.DataFrame:
    """Return C-index and hazard ratios side by side, one row per signature and cohort, as papers print them."""
    shown = c_index[["signature", "cohort", "n", "events"]].copy()
    limits = c_index[["c_index", "ci_low", "ci_high"]].to_numpy()
    shown["C-index (95% CI)"] = [_worded(*row) for row in limits]
    for contrast, title in (("high against low", "HR, high against low (95% CI)"), ("per SD", "HR per SD (95% CI)")):
        own = ratios[ratios["contrast"] == contrast].set_index(["signature", "key"])
        place = [own.loc[key] for key in zip(c_index["signature"], c_index["key"], strict=True)]
        shown[title] = [_worded(row["hr"], row["ci_low"], row["ci_high"]) for row in place]
        shown[f"P ({'groups' if contrast != 'per SD' else 'per SD'})"] = [row["p"] for row in place]
    return shown


def _worded(value: float, low: float, high: float) -> str:
    return "–" if np.isnan(value) else estimate(value, low, high)


def ratio_forest(ratios: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """Return the hazard ratios of one contrast for `figures.forest`, a row per signature and cohort."""
    own = ratios[(ratios["contrast"] == contrast) & ratios["hr"].notna()]
    return own.assign(covariate=own["signature"] + ", " + own["cohort"])[["covariate", "hr", "ci_low", "ci_high", "p"]]


def firth_words(ratios: pd.DataFrame) -> str:
    """Say which hazard ratios needed Firth's penalty or could not be estimated; empty where none."""
    odd = ratios[ratios["note"] != ""]
    words = [
        f"{row['signature']} in {row['cohort']}, {row['contrast']}: {row['note']}" for row in odd.to_dict("records")
    ]
    return f"Hazard ratios that needed more than a plain fit, or have none – {'; '.join(words)}." if words else ""
