"""CT findings from images beside the reader's entries: one table per patient, and how well they agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.errors import InputError
from radsupport.settings.study import Study
from radsupport.stats.agreement import bland_altman, icc_features, kappa

MOVES_ICC = 0.05
"""An ICC that one patient moves by more than this rests on that patient; said below the table."""


def beside(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Return the reader's entry and the image's value of each measured column, one row per patient.

    Parameters
    ----------
    study : Study
    cohort : pandas.DataFrame
        Table `cohort` with the reader's entries.
    computed : pandas.DataFrame
        As `radsupport.imaging.findings.computed_findings` returns it.

    Returns
    -------
    pandas.DataFrame
        Patient, then "<label>, reader" and "<label>, image" for each column.
    """
    entries = cohort.set_index("subject")
    subjects = [subject for subject in entries.index if subject in computed.index]
    table = pd.DataFrame({"Patient": subjects})
    for name in computed.columns:
        column = study.columns[name]
        unit = f" ({column.unit})" if column.unit and column.kind == "number" else ""
        for words, values in (("reader", entries[name]), ("image", computed[name])):
            found = values.reindex(subjects)
            table[f"{column.label}{unit}, {words}"] = (
                found.to_numpy(dtype=float) if column.kind == "number" else found.astype(object).to_numpy()
            )
    return table


def _pairs(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame, kind: str) -> dict[str, pd.DataFrame]:
    """Return reader and image of each column of one kind, complete pairs only."""
    entries = cohort.set_index("subject")
    pairs = {}
    for name in computed.columns:
        if study.columns[name].kind == kind:
            both = pd.DataFrame({"reader": entries[name], "image": computed[name]}).dropna()
            if len(both) > 1:
                pairs[name] = both.astype(float if kind == "number" else str)
    return pairs


def numeric_agreement(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Return bias, limits of agreement and ICC of the findings that are numbers.

    Returns
    -------
    pandas.DataFrame
        column, finding, unit, n, bias (image minus reader), bias_low, bias_high, limit_low, limit_high, icc, icc_low,
        icc_high (ICC(2,1), absolute agreement).
    """
    rows = []
    for name, both in _pairs(study, cohort, computed, "number").items():
        reader, image = both[["reader"]].set_axis([name], axis=1), both[["image"]].set_axis([name], axis=1)
        limits = bland_altman(image, reader).iloc[0]
        icc = icc_features(image, reader).iloc[0]
        row = {"column": name, "finding": study.columns[name].label, "unit": study.columns[name].unit, "n": len(both)}
        row |= {key: limits[key] for key in ("bias", "bias_low", "bias_high", "limit_low", "limit_high")}
        rows.append(row | {"icc": icc["icc"], "icc_low": icc["ci_low"], "icc_high": icc["ci_high"]})
    return pd.DataFrame(rows)


def category_agreement(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Return exact agreement and Cohen's kappa of the findings that are categories.

    Returns
    -------
    pandas.DataFrame
        column, finding, n, agree (number), share (0 to 1), kappa, ci_low, ci_high, apart (disagreements in words).
    """
    rows = []
    for name, both in _pairs(study, cohort, computed, "category").items():
        try:
            found = kappa(both["reader"], both["image"])
        except InputError:  # fewer than two categories in use
            continue
        same = both["reader"] == both["image"]
        pairs = [f"reader {row['reader']}, image {row['image']}" for row in both[~same].to_dict("records")]
        words = "; ".join(f"{pair}: {n}" for pair, n in pd.Series(pairs, dtype=object).value_counts().items())
        row = {"column": name, "finding": study.columns[name].label, "n": len(both), "agree": int(same.sum())}
        row |= {
            "share": float(same.mean()),
            "kappa": found.kappa,
            "ci_low": found.ci_low,
            "ci_high": min(found.ci_high, 1.0),
        }
        rows.append(row | {"apart": words or "none"})
    return pd.DataFrame(rows)


def agreement_checks(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Return what a reader should know before trusting ICC and limits of agreement.

    Returns
    -------
    pandas.DataFrame
        finding, patient (the one without whom the ICC changes most), mean (of both measurements of that patient), icc,
        icc_without; bias_rho, bias_p (Spearman, differences against means), spread_rho, spread_p (Spearman, size of
        the residuals of a line through the differences against the means); NaN where nothing varies.

    Notes
    -----
    Limits of agreement assume that neither the bias nor the spread of the differences depends on the size of the
    measurement (Bland & Altman 1999, Stat Methods Med Res 8:135, who fit lines to differences and absolute residuals;
    ranks keep one outlying patient from deciding).
    """
    rows = []
    for name, both in _pairs(study, cohort, computed, "number").items():
        rows.append({"finding": study.columns[name].label, **_influence(both), **_dependence(both)})
    return pd.DataFrame(rows)


def _influence(both: pd.DataFrame) -> dict[str, object]:
    """Return the patient without whom the ICC changes most."""
    without = pd.Series({subject: _icc(both.drop(index=subject)) for subject in both.index})
    icc = _icc(both)
    shift = (without - icc).abs()
    if not shift.notna().any():
        return {"patient": "", "mean": np.nan, "icc": icc, "icc_without": np.nan}
    patient = shift.idxmax()
    mean = float(both.loc[patient].mean())
    return {"patient": str(patient), "mean": mean, "icc": icc, "icc_without": float(without[patient])}


def _icc(both: pd.DataFrame) -> float:
    if len(both) < 2:
        return float("nan")
    image, reader = (both[[side]].set_axis(["value"], axis=1) for side in ("image", "reader"))
    return float(icc_features(image, reader).iloc[0]["icc"])


def _dependence(both: pd.DataFrame) -> dict[str, float]:
    """Return Spearman's rho and P of differences, and of the size of their residuals, against the means."""
    mean, difference = both.mean(axis=1).to_numpy(), (both["image"] - both["reader"]).to_numpy()
    found = dict.fromkeys(("bias_rho", "bias_p", "spread_rho", "spread_p"), float("nan"))
    # differences that are constant up to rounding depend on nothing
    if len(both) < 4 or np.ptp(mean) == 0 or np.ptp(difference) <= 1e-9 * np.abs(mean).max():
        return found
    slope, intercept = np.polyfit(mean, difference, 1)
    residuals = np.abs(difference - intercept - slope * mean)
    for key, values in (("bias", difference), ("spread", residuals)):
        test = stats.spearmanr(mean, values)
        found |= {f"{key}_rho": float(test.statistic), f"{key}_p": float(test.pvalue)}
    return found
