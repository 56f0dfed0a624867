"""CT findings from images beside the reader's entries: one table per patient, and how well they agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from radsupport.chapter import Chapter
from radsupport.errors import InputError
from radsupport.features.agreement import bland_altman, icc_features, kappa
from radsupport.imaging.ct_findings import MIN_CALCIFICATION_MM3, MIN_CYSTIC_SHARE, PURELY_CYSTIC_SHARE
from radsupport.report.wording import fixed, listed, number, p_value
from radsupport.study_schema import Study

MOVES_ICC = 0.05
"""An ICC that one patient moves by more than this rests on that patient; said below the table."""
_ALPHA = 0.05


def beside(study: Study, cohort: pd.DataFrame, computed: pd.DataFrame) -> pd.DataFrame:
    """Return the reader's entry and the image's value of each measured column, one row per patient.

    Parameters
    ----------
    study : Study
    cohort : pandas.DataFrame
        Table `cohort` with the reader's entries.
    computed : pandas.DataFrame
        As `radsupport.imaging.ct_findings.computed_findings` returns it.

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


def bland_altman_panels(
    study: Study, cohort: pd.DataFrame, computed: pd.DataFrame
) -> list[tuple[str, pd.DataFrame, dict]]:
    """Return (title, table, options) per numeric finding, for `figures.panels(figures.bland_altman, ...)`."""
    limits = numeric_agreement(study, cohort, computed)
    panels = []
    for row in limits.to_dict("records"):
        both = _pairs(study, cohort, computed, "number")[row["column"]]
        table = pd.DataFrame({"mean": both.mean(axis=1), "difference": both["image"] - both["reader"]})
        options = {"bias": row["bias"], "limits": (row["limit_low"], row["limit_high"]), "unit": row["unit"]}
        panels.append((row["finding"], table, options | {"ylabel": "Image minus reader"}))
    return panels


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


def agreement_notes(checks: pd.DataFrame) -> str:
    """Say which ICC rests on one patient, and for which findings constant limits of agreement do not hold."""
    parts = []
    for row in checks[(checks["icc_without"] - checks["icc"]).abs() > MOVES_ICC].to_dict("records"):
        parts.append(
            f"{row['finding']}: the ICC rests on {row['patient']} (mean of both {number(row['mean'])}); "
            f"{fixed(row['icc'], 3)} with this patient, {fixed(row['icc_without'], 3)} without."
        )
    if not parts:
        parts = [f"Leaving out any one patient changes no ICC by more than {MOVES_ICC:g}."]
    for key, words in (("bias", "The difference"), ("spread", "The spread of the differences")):
        met = checks[checks[f"{key}_p"] < _ALPHA].to_dict("records")
        if met:
            named = [
                f"{row['finding']} (Spearman's ρ = {fixed(row[f'{key}_rho'])}, {p_value(row[f'{key}_p'], name='P')})"
                for row in met
            ]
            parts.append(f"{words} depends on the size of the measurement for {listed(named, 12)}.")
    if len(parts) > 1 and (checks[["bias_p", "spread_p"]] < _ALPHA).any(axis=None):
        parts.append(
            "There either the bias changes with the value or one measurement spreads more than the other: limits of "
            "agreement that are the same for small and large values do not hold throughout. Read the panels, not the "
            "limits alone. P-values are not adjusted for the number of findings."
        )
    return "\n".join(f"- {part}" for part in parts)


def publish(chapter: Chapter, numeric: pd.DataFrame, categories: pd.DataFrame) -> None:
    """Publish the agreement as ``icc_<column>`` and ``kappa_<column>``, with CI and n."""
    rows = [("icc", "icc", "icc_low", "icc_high", row) for row in numeric.to_dict("records")]
    rows += [("kappa", "kappa", "ci_low", "ci_high", row) for row in categories.to_dict("records")]
    for kind, value, low, high, row in rows:
        if np.isfinite(row[value]):
            limits = (float(row[low]), float(row[high]))
            chapter.publish(f"{kind}_{row['column']}", float(row[value]), n=int(row["n"]), ci=limits)


def rules_words(study: Study) -> str:
    """Say by which rules the study's columns are measured, or that none is."""
    kinds = {column.measure.what for column in study.columns.values() if column.measure is not None}
    if not kinds:
        return "No variable of this study is one that its images could give."
    rules = {
        "max_diameter": "the **largest diameter** is the largest distance within the outline in any axial plane",
        "diameter_class": "its **class** follows from it",
        "ct_ratio": "the **CT ratio** is the mean HU of the tumour's largest section (without a rim of 1 mm) over that "
        "of the organ's sample in the same plane",
        "enhanced_rate": "the **relatively enhanced rate** is the rise of the tumour's mean HU after contrast over "
        "that of the aorta's sample in the same plane",
        "calcification": f"a tumour is **calcified** where a connected portion of {MIN_CALCIFICATION_MM3:g} mm³ or "
        "more is denser than the threshold, after a median filter over 3 × 3 pixels",
        "cystic_part": f"a **cystic part** is a connected portion below the threshold of {MIN_CYSTIC_SHARE:.1%} or "
        f"more of the tumour in every phase named, after smoothing by 1 mm; from {PURELY_CYSTIC_SHARE:.0%} on the "
        "tumour is called cystic",
    }
    return "The rules: " + "; ".join(words for kind, words in rules.items() if kind in kinds) + "."


NUMERIC_HEADERS = {
    "finding": "Finding", "unit": "Unit", "n": "Patients", "bias": "Bias (image minus reader)",
    "bias_low": "95% CI from", "bias_high": "to", "limit_low": "Limits of agreement from", "limit_high": "to ",
    "icc": "ICC(2,1)", "icc_low": "95% CI from ", "icc_high": "to  ",
}  # fmt: skip
CATEGORY_HEADERS = {
    "finding": "Finding", "n": "Patients", "agree": "Agree", "share": "Share", "kappa": "Kappa",
    "ci_low": "95% CI from", "ci_high": "to", "apart": "Disagreements",
}  # fmt: skip
