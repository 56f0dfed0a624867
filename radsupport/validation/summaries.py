"""Chapter 05 and 06, step by step: from the predictions table to the tables that figures and pages show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from radsupport.chapter import Chapter
from radsupport.errors import NotEstimableError
from radsupport.modelling.summaries import publish_scores, score_numbers
from radsupport.study_schema import Study
from radsupport.survival.time_dependent import concordance
from radsupport.validation.calibration import calibration_curve, calibration_summary
from radsupport.validation.decision import net_benefit
from radsupport.validation.roc import auc, confusion, delong_test, roc_curve, youden

#: The kind of prediction that each cohort is judged by: never the apparent one.
HONEST = {"train": "out_of_fold", "internal": "external", "external": "external"}


def honest(predictions: pd.DataFrame, cohort: str) -> pd.DataFrame:
    """Return a cohort's predictions as they are judged: out of fold in training, external elsewhere."""
    return predictions[(predictions["cohort"] == cohort) & (predictions["kind"] == HONEST[cohort])]


def judged(predictions: pd.DataFrame, study: Study) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield cohort, signature and rows for every signature in every cohort, in the study's order."""
    names = [s.name for s in study.signatures] + sorted(
        set(predictions["signature"]) - {s.name for s in study.signatures}
    )
    for cohort in (c for c in study.cohorts if c in HONEST):
        part = honest(predictions, cohort)
        for name in names:
            rows = part[part["signature"] == name]
            if not rows.empty:
                yield cohort, name, rows


def discrimination_table(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return how well each signature ranks patients, per cohort.

    Returns
    -------
    pandas.DataFrame
        cohort, signature, kind, n, events, measure (AUC or C-index), value, ci_low, ci_high, p_vs_half, and
        apparent (the same measure on the model's own training patients, for comparison).
    """
    rows = []
    for cohort, name, part in judged(predictions, study):
        own = predictions[(predictions["signature"] == name) & (predictions["kind"] == "apparent")]
        row = {"cohort": cohort, "signature": name, "kind": part["kind"].iloc[0], "n": len(part)}
        row |= _discrimination(part, study)
        row["apparent"] = _discrimination(own, study)["value"] if cohort == "train" and not own.empty else np.nan
        rows.append(row)
    return pd.DataFrame(rows)


def _discrimination(part: pd.DataFrame, study: Study) -> dict[str, object]:
    if study.endpoint.primary == "label":
        try:
            found = auc(part["label"], part["risk"])
        except NotEstimableError:
            return {"events": int(part["label"].sum()), "measure": "AUC", "value": np.nan}
        limits = {"value": found.auc, "ci_low": found.ci_low, "ci_high": found.ci_high, "p_vs_half": found.p_vs_half}
        return {"events": found.events, "measure": "AUC", **limits}
    c = concordance(part["time"], part["event"], part["risk"])
    limits = {"value": c.concordance, "ci_low": c.ci_low, "ci_high": c.ci_high}
    return {"events": int(part["event"].sum()), "measure": "C-index", **limits}


def roc_table(predictions: pd.DataFrame, study: Study, cohort: str, names: list[str] | None = None) -> pd.DataFrame:
    """Return the ROC curves of a cohort for `figures.roc_curve`."""
    curves = []
    for where, name, part in judged(predictions, study):
        if where == cohort and (names is None or name in names) and part["label"].nunique() == 2:
            area = auc(part["label"], part["risk"])
            curve = roc_curve(part["label"], part["risk"])
            extra = {"signature": name, "auc": area.auc, "ci_low": area.ci_low, "ci_high": area.ci_high, "n": area.n}
            curves.append(curve.assign(**extra))
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame()


def thresholds(predictions: pd.DataFrame, study: Study) -> pd.Series:
    """Return each signature's threshold, fixed on the training cohort's out-of-fold risks.

    ``validation.threshold``: Youden's index, the median, or one half.
    """
    chosen = {}
    for cohort, name, part in judged(predictions, study):
        if cohort == "train":
            rule = study.validation.threshold
            if rule == "youden" and study.endpoint.primary == "label":
                chosen[name] = youden(part["label"], part["risk"]).threshold
            else:
                chosen[name] = 0.5 if rule == "half" else float(part["risk"].median())
    return pd.Series(chosen, name="threshold", dtype=float)


def classification_table(predictions: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return accuracy, sensitivity, specificity and predictive values at the locked threshold.

    Returns
    -------
    pandas.DataFrame
        cohort, signature, n, threshold, tn, fp, fn, tp, accuracy, accuracy_low, accuracy_high,
        no_information_rate, p_vs_nir, sensitivity, specificity, ppv, npv, auc, ci_low, ci_high, p_vs_half.
    """
    locked, rows = thresholds(predictions, study), []
    wanted = (
        "tn", "fp", "fn", "tp", "accuracy", "accuracy_low", "accuracy_high", "no_information_rate", "p_vs_nir",
        "sensitivity", "specificity", "ppv", "npv",
    )  # fmt: skip
    for cohort, name, part in judged(predictions, study):
        found = confusion(part["label"], (part["risk"] > locked[name]).astype(int))
        row = {"cohort": cohort, "signature": name, "n": len(part), "threshold": locked[name]}
        row |= {key: getattr(found, key) for key in wanted}
        area = _discrimination(part, study)
        rows.append(row | {"auc": area["value"], **{key: area.get(key) for key in ("ci_low", "ci_high", "p_vs_half")}})
    return pd.DataFrame(rows)


def paired_tests(predictions: pd.DataFrame, study: Study, cohort: str) -> pd.DataFrame:
    """Return DeLong's test for every pair of signatures of a cohort.

    Only patients with a prediction by both signatures enter a pair.

    Returns
    -------
    pandas.DataFrame
        signature_a, signature_b, n, auc_a, auc_b, difference, ci_low, ci_high, z, p.
    """
    parts = {name: part.set_index("subject") for where, name, part in judged(predictions, study) if where == cohort}
    names, rows = list(parts), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            both = parts[first].join(parts[second]["risk"].rename("other"), how="inner")
            if both["label"].nunique() < 2:
                continue
            found = delong_test(both["label"], both["risk"], both["other"])
            row = {key: getattr(found, key) for key in ("auc_a", "auc_b", "difference", "ci_low", "ci_high", "z", "p")}
            rows.append({"signature_a": first, "signature_b": second, "n": len(both), **row})
    return pd.DataFrame(rows)


def calibration_tables(part: pd.DataFrame, groups: int = 5) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a cohort's calibration for `figures.calibration`, and its intercept, slope and Brier score."""
    p = part["risk"].clip(1e-6, 1 - 1e-6)
    smooth = calibration_curve(part["label"], p, method="loess", span=0.9).assign(kind="apparent")
    grouped = calibration_curve(part["label"], p, groups=groups).assign(kind="grouped")
    found = calibration_summary(part["label"], p)
    numbers = {"slope": found.slope, "intercept": found.intercept_in_the_large, "Brier": found.brier}
    return pd.concat([smooth, grouped], ignore_index=True), {k: v for k, v in numbers.items() if np.isfinite(v)}


def decision_table(predictions: pd.DataFrame, study: Study, cohort: str, names: list[str]) -> pd.DataFrame:
    """Return net benefit of signatures, treat-all and treat-none over the study's range of thresholds."""
    parts = {name: part.set_index("subject") for where, name, part in judged(predictions, study) if where == cohort}
    chosen = {name: parts[name] for name in names if name in parts}
    common = sorted(set.intersection(*(set(part.index) for part in chosen.values())))
    low, high = study.validation.decision_thresholds
    labels = next(iter(chosen.values())).loc[common, "label"]
    risks = {name: part.loc[common, "risk"].clip(0, 1) for name, part in chosen.items()}
    return net_benefit(labels, risks, np.round(np.arange(low, high + 1e-9, 0.01), 4))


__all__ = ["score_numbers"]

HEADERS = {
    "cohort": "Cohort", "signature": "Signature", "kind": "Prediction", "n": "Patients", "events": "Events",
    "measure": "Measure", "value": "Value", "ci_low": "95% CI from", "ci_high": "to", "p_vs_half": "P against 0.5",
    "apparent": "Apparent", "threshold": "Threshold", "accuracy": "Accuracy", "accuracy_low": "Accuracy from",
    "accuracy_high": "Accuracy to", "no_information_rate": "No-information rate", "p_vs_nir": "P against that rate",
    "sensitivity": "Sensitivity", "specificity": "Specificity", "ppv": "PPV", "npv": "NPV", "auc": "AUC",
    "tn": "TN", "fp": "FP", "fn": "FN", "tp": "TP",
}  # fmt: skip


def in_words(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Return a table with cohorts called by their names."""
    names = {key: cohort.name for key, cohort in study.cohorts.items()}
    kinds = {"out_of_fold": "out of fold"}
    shown = table.assign(cohort=table["cohort"].map(names))
    return shown.assign(kind=shown["kind"].replace(kinds)) if "kind" in shown else shown


def judged_cohorts(predictions: pd.DataFrame, study: Study) -> list[str]:
    """Return the cohorts that have honest predictions, in the study's order."""
    return list(dict.fromkeys(cohort for cohort, _, _ in judged(predictions, study)))


def best_signature(study: Study) -> str:
    """Return the signature that the study singles out beforehand; the first one where it does not."""
    return study.validation.best or study.signatures[0].name


def compared_signatures(study: Study, most: int = 5) -> list[str]:
    """Return the signatures of the decision curves: the chosen one and the others, at most `most`."""
    names = [best_signature(study), *(s.name for s in study.signatures)]
    return list(dict.fromkeys(names))[:most]


def published_table(study: Study, numbers: dict[str, dict[str, float]]) -> pd.DataFrame:
    """Return printed values beside those of this build: item, where, published, ours, n."""
    rows = []
    for entry in study.published:
        found = numbers.get(entry.ours)
        ours = "not computed" if found is None else f"{found['value']:.2f} ({found['ci_low']:.2f} to {found['ci_high']:.2f})"
        row = {"item": entry.item, "printed in": entry.where, "published": entry.value, "this build": ours}
        rows.append(row | {"patients here": found["n"] if found else None})
    return pd.DataFrame(rows)


def headline(scores: pd.DataFrame, study: Study) -> dict[str, pd.Series]:
    """Return the chosen signature's row in training and in the (first) other cohort, external before internal."""
    own = scores[scores["signature"] == best_signature(study)].set_index("cohort")
    found = {"headline_train": own.loc["train"]} if "train" in own.index else {}
    other = next((cohort for cohort in ("external", "internal") if cohort in own.index), None)
    return found | ({"headline_external": own.loc[other]} if other else {})


def publish(chapter: Chapter, scores: pd.DataFrame) -> None:
    """Publish every score, and the headline of the landing page with the signature it belongs to."""
    publish_scores(chapter, scores)
    for key, row in headline(scores, chapter.study).items():
        chapter.publish(key, float(row["value"]), n=int(row["n"]), ci=(float(row["ci_low"]), float(row["ci_high"])))
        chapter.publish(f"{key}_signature", f"{best_signature(chapter.study)} ({row['measure']})")
