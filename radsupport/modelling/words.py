"""Chapter 05 in words: headers of its tables, names of learners and selection steps."""

from __future__ import annotations

from radsupport.modelling.learners import GIVEN
from radsupport.schema_modelling import Selection, Signature

HEADERS = {
    "signature": "Signature", "inputs": "Learns from", "phases": "Phases", "selection": "Selection in each fold",
    "learner": "Learner", "n": "Patients", "events": "Events", "measure": "Measure", "out_of_fold": "Out of fold",
    "ci_low": "95% CI from", "ci_high": "to", "p_vs_half": "P against 0.5", "apparent": "Apparent",
    "inner_score": "Inner folds", "optimism": "Optimism", "divisions": "Divisions", "mean": "Mean", "sd": "SD",
    "lowest": "Lowest", "highest": "Highest", "first": "First division", "step": "Step", "features_in": "Features in",
    "features_left": "Features left", "fewest": "Fewest in a fold", "most": "Most in a fold",
    "refit": "All training patients", "feature": "Feature", "times_selected": "Times chosen", "fits": "Fits",
    "share": "Share", "coefficient": "Coefficient per SD", "odds_ratio": "Odds ratio per SD",
    "hazard_ratio": "Hazard ratio per SD", "source": "Source", "external": "External", "internal": "Internal",
    "difference": "Difference", "cohort": "Cohort", "covers": "Covers 0.5", "variant": "Choice", "p": "P",
    "built_on": "Built on", "center": "Center", "judged": "Judged", "without": "Without", "with_combat": "With ComBat",
    "features": "Features", "before": "Differ before", "after": "Differ after", "value": "Value", "draws": "Draws",
    "intervals": "Single intervals", "covering": "Hold 0.5", "share_low": "95% CI of share from", "share_high": "to",
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
