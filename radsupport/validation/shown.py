"""How tables of chapter 06 look on the page: words for columns and cohorts, limits beside their estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.report.display import show_table, show_text
from radsupport.report.table_html import is_p
from radsupport.report.wording import fixed
from radsupport.study_schema import Study
from radsupport.validation.predicted import is_published

HEADERS = {
    "cohort": "Cohort", "signature": "Signature", "kind": "Prediction", "n": "Patients", "events": "Events",
    "measure": "Measure", "value": "Value", "ci_low": "95% CI from", "ci_high": "to", "p_vs_half": "P against 0.5",
    "apparent": "Apparent", "threshold": "Threshold", "accuracy": "Accuracy", "accuracy_low": "Accuracy from",
    "accuracy_high": "Accuracy to", "no_information_rate": "No-information rate", "p_vs_nir": "P against that rate",
    "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "auc": "AUC",
    "tn": "TN", "fp": "FP", "fn": "FN", "tp": "TP", "boot_ci": "95% CI, bootstrap", "p_null_se": "P, null SE",
    "uno": "Uno's C", "signature_a": "Signature A", "signature_b": "Signature B", "auc_a": "A", "auc_b": "B",
    "difference": "A − B", "z": "z", "p": "P", "p_adjusted": "P, Holm", "cohort_a": "Cohort A",
    "cohort_b": "Cohort B", "n_a": "Patients A", "n_b": "Patients B", "value_a": "A", "value_b": "B",
    "statistic": "Statistic", "rule": "Rule", "predicted": "Predicted", "observed": "Observed", "slope": "Slope",
    "intercept_in_the_large": "Intercept", "ici": "ICI", "brier": "Brier", "brier_scaled": "Scaled Brier",
    "hl_groups": "H–L groups", "hl_chi2": "H–L χ²", "hl_df": "df", "hl_p": "H–L P", "horizon": "Months",
    "ratio": "Observed / expected", "null": "Kaplan–Meier", "scaled": "Scaled", "until": "Until (months)",
    "integrated_brier": "Integrated Brier", "share": "Share of range", "better_at": "Better at thresholds",
    "largest_gain": "Largest gain", "at": "At threshold", "thresholds": "Thresholds",
    "column": "Column", "part": "Part", "chi2": "χ²", "df": "df", "p_interaction": "P of interaction",
    "p_difference": "P of A − B", "note": "Note", "center": "Center", "center_a": "Center A", "center_b": "Center B",
    "rho": "Spearman's ρ", "p_rho": "P of ρ", "found": "Found", "p_chance": "P against chance", "code": "Code",
    "feature": "Feature",
    "of_fits": "Share of fits", "item": "Item", "printed in": "Printed in", "published": "Published",
    "this build": "This build", "patients here": "Patients here",
}  # fmt: skip

#: Limits of each estimate that page tables show in one cell beside it: column -> (lower, upper).
_LIMITS = {
    "value": ("ci_low", "ci_high"), "difference": ("ci_low", "ci_high"), "boot": ("boot_low", "boot_high"),
    "slope": ("slope_low", "slope_high"), "ratio": ("ratio_low", "ratio_high"),
    "intercept_in_the_large": ("in_the_large_low", "in_the_large_high"), "rho": ("rho_low", "rho_high"),
    "brier": ("brier_low", "brier_high"), "integrated_brier": ("ci_low", "ci_high"),
}  # fmt: skip
#: Estimates on scales where two decimals would be too few, so that three are written even where one is beyond 1.
_FINE = ("value", "difference")


def intervals_joined(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with each pair of limits in one cell, ``0.80 to 0.90``, right of its estimate.

    Limits have the decimals of their estimate. Where a table of numbers would show fewer than three for a value or a
    difference (an NRI beyond 1 beside an IDI of 0.004), the estimate is written as text.
    """
    shown = table.copy()
    for column, (low, high) in _LIMITS.items():
        beside = column if column in shown else low
        if low not in shown or (column != "boot" and column not in shown):
            continue
        decimals = 3 if column in (*_FINE, "boot") else decimals_of(shown[column])
        if column in _FINE and decimals_of(shown[column]) != decimals:
            shown[column] = ["–" if np.isnan(value) else fixed(value, decimals) for value in shown[column]]
        text = [_range(a, b, decimals) for a, b in zip(shown[low], shown[high], strict=True)]
        shown.insert(list(shown.columns).index(beside) + 1, f"{column}_ci", text)
        shown = shown.drop(columns=[low, high])
    return shown


def _range(low: float, high: float, decimals: int) -> str:
    return "–" if np.isnan(low) and np.isnan(high) else unbroken(f"{fixed(low, decimals)} to {fixed(high, decimals)}")


def unbroken(text: str) -> str:
    """Return a text that no table breaks into lines."""
    return text.replace(" ", "\u00a0").replace("–", "\u2060–\u2060").replace("-", "\u2011")


def decimals_of(column: pd.Series) -> int:
    """Return the decimals that a page table gives to a column of numbers: by its largest size, three up to 1."""
    largest = column.abs().max()
    return next((decimals for decimals, limit in ((3, 1.0), (2, 100.0), (1, 1e4)) if not largest > limit), 0)


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with numbers rounded as they are shown, so that 4.6e-05 in a column of 0.02 is 0.000.

    P-values stay as they are; columns of texts that are all empty are dropped.
    """
    shown = table.copy()
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_float_dtype(column) and not is_p(name) and column.notna().any():
            shown[name] = column.round(decimals_of(column)) + 0.0  # no minus before a zero
        elif column.dtype == object and (column == "").all():
            shown = shown.drop(columns=name)
    return shown


def header_words(table: pd.DataFrame) -> dict[str, str]:
    """Return the words for a page table's columns."""
    return HEADERS | {str(c): "95% CI" for c in table.columns if str(c).endswith("_ci") and c != "boot_ci"}


def in_words(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table as a page shows it: cohorts and columns called by their names, limits in one cell."""
    names = study.cohort_names
    shown = settled(intervals_joined(table))
    for column in {"cohort", "cohort_a", "cohort_b"} & set(table.columns):
        shown[column] = table[column].map(names)
    if "kind" in shown:
        shown["kind"] = shown["kind"].replace({"out_of_fold": "out of fold", "external": "finished model"})
        if "signature" in shown:
            given = [s.name for s in study.signatures if is_published(study, s.name)]
            shown["kind"] = shown["kind"].mask(shown["signature"].isin(given), "published output")
    if "column" in shown:
        shown["column"] = [study.columns[key].label if key in study.columns else key for key in shown["column"]]
    return shown


def show(table: pd.DataFrame, caption: str, why_empty: str = "", *, study: Study) -> None:
    """Show a table of this chapter as a page shows it, or say in one line why there is none.

    Parameters
    ----------
    table : DataFrame
    caption : str
    why_empty : str
        Said where the table has no rows.
    study : Study
    """
    if table.empty:
        show_text(f"Not used: {why_empty}.")
        return
    words = in_words(table, study)
    show_table(words, caption, sortable=len(words) > 3, headers=header_words(words))
