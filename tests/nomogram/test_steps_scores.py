"""Chapter 08: discrimination, reclassification, calibration and usefulness of the nomogram."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.nomogram import steps_calibration, steps_model, steps_reclassification
from radsupport.nomogram import steps_scores as steps
from radsupport.study_schema import Study
from radsupport.survival.time_dependent import concordance
from radsupport.validation.calibration import hosmer_lemeshow
from radsupport.validation.reclassification import nri_idi
from radsupport.validation.roc import auc, delong_test


def test_scores_are_on_the_same_patients_in_every_cohort_and_pool(study: Study, table: pd.DataFrame) -> None:
    table.loc[table["subject"] == "s120", "age"] = np.nan
    models = steps_model.models(study, table)
    scores = steps.scores(study, models, table)
    assert scores.groupby("key", sort=False)["n"].agg(["min", "max"]).to_numpy().tolist() == [
        [100, 100],
        [59, 59],
        [159, 159],
    ]
    external = table[(table["cohort"] == "external") & table["age"].notna()]
    fits = {name: m.fit for name, m in models.items()}
    risk = {name: fit.linear_predictor(external) for name, fit in fits.items() if fit is not None}
    own = scores[scores["key"] == "external"].set_index("model")
    assert own.loc["nomogram", "value"] == pytest.approx(auc(external["label"], risk["nomogram"]).auc)
    paired = delong_test(external["label"], risk["nomogram"], risk["signature alone"])
    assert own.loc["signature alone", "difference"] == pytest.approx(paired.difference)
    assert own.loc["signature alone", "p"] == pytest.approx(paired.p)
    assert np.isnan(own.loc["nomogram", "difference"])


def test_signature_alone_ranks_as_its_risk(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    one = cox_study.model_copy(update={"nomogram": cox_study.nomogram.model_copy(update={"further_signatures": []})})
    scores = steps.scores(one, steps_model.models(one, cox_rows), cox_rows)
    row = scores[(scores["key"] == "external") & (scores["model"] == "signature alone")].iloc[0]
    part = cox_rows[cox_rows["cohort"] == "external"]
    assert row["value"] == pytest.approx(concordance(part["time"], part["event"], part["signature_1"]).concordance)
    assert row["measure"] == "C-index"
    assert np.isfinite(row["p"])


def test_one_class_in_a_cohort_is_nan(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    one = table.assign(label=np.where(table["cohort"] == "external", 1.0, table["label"]))
    scores = steps.scores(study, models, one)
    assert scores.loc[scores["key"] == "external", "value"].isna().all()
    assert "–" in set(steps.scores_shown(scores)["AUC (95% CI)"])
    moved = steps_reclassification.reclassification(study, models, one)
    assert "Hospital B" not in set(moved["cohort"])
    assert [title for title, _, _ in steps_calibration.calibration_panels(study, models["nomogram"], one)] == [
        "Hospital A (n = 100)",
        "Both, pooled (n = 160)",
    ]
    assert len(steps_calibration.decision_panels(study, models, one)) == 2


def test_optimism_is_said_in_words(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    found = steps.corrected(study, model, table)
    assert found is not None
    assert found.apparent == pytest.approx(steps.scores(study, {"nomogram": model}, table)["value"].iloc[0])
    assert f"{found.n_resamples} bootstrap" in steps.corrected_words(study, found)
    assert "can not be refitted" in steps.corrected_words(study, None)


def test_reclassification_is_against_signature_and_columns(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    moved = steps_reclassification.reclassification(study, models, table)
    assert moved["old"].unique().tolist() == ["signature alone", "clinical columns alone"]
    part = table[table["cohort"] == "external"]
    risks = [steps_model.event_risk(models[name], part) for name in ("signature alone", "nomogram")]
    expected = nri_idi(part["label"], *risks)
    row = moved[(moved["cohort"] == "Hospital B") & (moved["old"] == "signature alone")].iloc[0]
    assert (row["nri"], row["idi"]) == (expected.nri, expected.idi)
    shown = steps_reclassification.shown(moved)
    assert "P (NRI)" in shown
    assert not (shown["NRI, events"].astype(str) == "-0.0").any()


def test_survival_is_reclassified_at_the_last_horizon(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    moved = steps_reclassification.reclassification(cox_study, steps_model.models(cox_study, cox_rows), cox_rows)
    assert (moved["month"] == 24.0).all()
    assert moved["nri"].between(-2, 2).all()
    assert "P (NRI)" not in steps_reclassification.shown(moved)


def test_calibration_is_corrected_in_training_only(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    panels = {title: drawn for title, drawn, _ in steps_calibration.calibration_panels(study, model, table)}
    assert set(panels["Hospital A (n = 100)"]["kind"]) == {"apparent", "corrected", "grouped"}
    assert set(panels["Hospital B (n = 60)"]["kind"]) == {"apparent", "grouped"}
    few = table[(table["cohort"] == "train") | (table["subject"] < "s115")]
    small = steps_calibration.calibration_panels(study, model, few)
    assert set(small[1][1]["kind"]) == {"grouped"}


def test_calibration_numbers_are_perfect_on_average_in_training(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    numbers = steps_calibration.calibration_numbers(study, model, table).set_index("cohort")
    assert numbers.loc["Hospital A", "slope"] == pytest.approx(1.0, abs=1e-6)
    assert numbers.loc["Hospital A", "intercept"] == pytest.approx(0.0, abs=1e-6)
    part = table[table["cohort"] == "external"]
    expected = hosmer_lemeshow(part["label"], steps_model.event_risk(model, part), groups=6, external=True)
    assert numbers.loc["Hospital B", "df"] == 6  # 60 patients, and nothing was fitted to them
    assert numbers.loc["Hospital A", "df"] == 8
    assert numbers.loc["Hospital B", "P (Hosmer–Lemeshow)"] == pytest.approx(expected.p)


def test_cox_calibration_has_a_panel_per_horizon(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    model = steps_model.models(cox_study, cox_rows)["nomogram"]
    panels = steps_calibration.calibration_panels(cox_study, model, cox_rows)
    assert [title for title, _, _ in panels][:2] == [
        "Hospital A, 12 months (n = 100)",
        "Hospital A, 24 months (n = 100)",
    ]
    assert "corrected" in set(panels[0][1]["kind"])
    assert set(panels[2][1]["kind"]) == {"grouped"}
    assert steps_calibration.calibration_numbers(cox_study, model, cox_rows).empty


def test_decision_curves_compare_all_models(
    study: Study, cox_study: Study, table: pd.DataFrame, cox_rows: pd.DataFrame
) -> None:
    curves = steps_calibration.decision_panels(study, steps_model.models(study, table), table)[0][1]
    assert set(curves["strategy"]) == {
        "nomogram", "preoperative variant", "signature alone", "clinical columns alone", "treat_all", "treat_none",
    }  # fmt: skip
    timed = steps_calibration.decision_panels(cox_study, steps_model.models(cox_study, cox_rows), cox_rows)
    assert timed[1][0] == "Hospital B, 24 months (n = 60)"


def test_no_fit_leaves_the_page_without_panels(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table.assign(label=1.0))
    assert steps.scores(study, models, table).empty
    steps.publish(SimpleNamespace(), steps.scores(study, models, table))  # type: ignore[arg-type]
    assert steps.reading_words(study, steps.scores(study, models, table)) == "No cohort has a value of the nomogram."
    assert steps_reclassification.reclassification(study, models, table).empty
    assert steps_calibration.calibration_panels(study, models["nomogram"], table) == []
    assert steps_calibration.calibration_numbers(study, models["nomogram"], table).empty
    assert steps_calibration.decision_panels(study, models, table) == []
    assert steps.corrected(study, models["nomogram"], table) is None


def test_scores_are_published_and_read(study: Study, table: pd.DataFrame) -> None:
    scores = steps.scores(study, steps_model.models(study, table), table)
    found: dict[str, Any] = {}
    chapter: Any = SimpleNamespace(publish=lambda key, value, n, ci: found.update({key: (value, n, ci)}))
    steps.publish(chapter, scores)
    assert {"nomogram_train", "signature_external", "preoperative_both", "clinical_train"} <= set(found)
    words = steps.reading_words(study, scores)
    assert words.startswith("- Hospital A: AUC 0.")
    assert "the signature alone" in words
    table = pd.DataFrame({
        "cohort": "B", "key": "external", "model": ["nomogram", "signature alone", "clinical columns alone"],
        "measure": "AUC", "value": 0.7, "ci_low": 0.6, "ci_high": 0.8, "difference": [np.nan, -0.1, 0.05],
        "diff_low": [np.nan, -0.15, -0.01], "diff_high": [np.nan, -0.05, 0.1],
    })  # fmt: skip
    assert steps.reading_words(study, table) == (
        "- B: AUC 0.70 (0.60–0.80); it is below the signature alone (by −0.100, 95% CI −0.150 to −0.050) and "
        "it can not be told from the clinical columns alone (difference 0.050, 95% CI −0.010 to 0.100)."
    )
