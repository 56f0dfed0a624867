"""Chapter 05 in words: headers of its tables, names of learners and selection steps."""

from __future__ import annotations

from radsupport.modelling.learners import GIVEN
from radsupport.schema_modelling import Selection, Signature

HEADERS = {
    "signature": "Signature", "inputs": "Learns from", "phases": "Phases", "selection": "Selection in each fold",
    "learner": "Learner", "n": "Patients", "events": "Events", "measure": "Measure", "out_of_fold": "Out of fold",
    "ci_low": "95% CI from", "ci_high": "to", "p_null_se": "P against 0.5 (null SE)",
    "p_wald": "P against 0.5 (Wald, jackknife)", "p_t": "P against 0.5 (t test over draws)", "apparent": "Apparent",
    "inner_score": "Inner folds", "optimism": "Optimism", "divisions": "Divisions", "mean": "Mean", "sd": "SD",
    "lowest": "Lowest", "highest": "Highest", "first": "First division", "step": "Step",
    "divisions_mean": "Mean over divisions", "divisions_range": "Lowest–highest", "kind": "What the value is",
    "features_in": "Features in", "features_left": "Features left", "fewest": "Fewest in a fold",
    "most": "Most in a fold", "refit": "All training patients", "feature": "Feature", "times_selected": "Times chosen",
    "fits": "Fits", "share": "Share of fits", "coefficient": "Coefficient per SD", "odds_ratio": "Odds ratio per SD",
    "hazard_ratio": "Hazard ratio per SD", "source": "Source", "external": "External", "internal": "Internal",
    "difference": "Difference", "cohort": "Cohort", "variant": "Choice", "built_on": "Built on", "center": "Center",
    "judged": "Judged", "without": "Without", "with_combat": "With ComBat", "features": "Features",
    "before": "Differ before", "after": "Differ after", "value": "Value", "draws": "Draws",
    "events_first": "Events (first draw)", "covering": "Draws whose own 95% CI holds 0.5",
    "diff_low": "Difference from", "diff_high": "to", "rule": "Chosen by",
    "description": "What it is", "reason": "Reason", "subject": "Patient",
}  # fmt: skip

LEARNER_WORDS = {
    "SVM": "support vector machine", "GBM": "gradient boosting", "Enet": "elastic net", "glmBoost": "glmBoost",
    "plsRglm": "PLS logistic regression", "LDA": "linear discriminant", "Ridge": "ridge logistic regression",
    "NaiveBayes": "naive Bayes", "LASSO": "LASSO logistic regression", "Logistic": "logistic regression",
    "Cox": "Cox regression", "CoxLasso": "LASSO Cox regression", "RSF": "random survival forest",
    "GBCox": "gradient-boosted Cox regression", "published": "none: a published output",
    "Network": "none: a network's output",
}  # fmt: skip

_TESTS = {
    "shapiro": "t or Mann–Whitney test (by Shapiro–Wilk)",
    "t": "Welch's t test",
    "mann_whitney": "Mann–Whitney test",
}
_RULES = {"lambda_min": "smallest deviance", "lambda_1se": "one-standard-error rule"}
STEP_WORDS = {
    "imputation": "imputed", "variance": "that vary", "reproducibility": "reproducible",
    "univariate": "univariate test", "correlation": "not redundant", "lasso": "LASSO",
}  # fmt: skip


def paired_headers(label: bool) -> dict[str, str]:
    """Return `HEADERS` with the name of the test behind the P of a paired difference, for an AUC or a C-index."""
    return HEADERS | {"p": "P (paired DeLong test)" if label else "P (paired test, jackknife)"}


def selection_words(signature: Signature) -> str:
    """Say how a signature selects its features, step by step."""
    if signature.learner in GIVEN:
        return "none: nothing is fitted here"
    rule = signature.selection
    parts = ["centers harmonised (ComBat)"] if signature.harmonise else []
    return "; ".join([*parts, *_selection_steps(rule)]) or "none"


def _selection_steps(rule: Selection) -> list[str]:
    steps = ["two readers agree"] if rule.icc else []
    if rule.test != "none":
        adjusted = ", Benjamini–Hochberg" if rule.adjust == "bh" else ""
        steps.append(f"{_TESTS[rule.test]}, P < {rule.alpha:g}{adjusted}")
    if rule.max_correlation is not None:
        steps.append(f"|r| at most {rule.max_correlation:g}")
    return steps + ([f"LASSO, {_RULES[rule.lasso_rule]}"] if rule.lasso else [])
