"""Chapter 08: discrimination, reclassification, calibration and usefulness of the nomogram."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import nomogram as steps
from radsupport.book.conclusions import nomogram as steps_calibration
from radsupport.book.conclusions import nomogram as steps_reading
from radsupport.book.conclusions import nomogram as steps_reclassification
from radsupport.evaluate import probability as steps_model
from radsupport.settings.study import Study
from radsupport.stats.bootstrap import Optimism
from radsupport.stats.calibration import calibration_summary, hosmer_lemeshow
from radsupport.stats.concordance import concordance, concordance_difference
from radsupport.stats.reclassification import nri_idi
from radsupport.stats.roc import auc, delong_test
from radsupport.wording import estimate, p_number


def test_scores_are_on_the_same_patients_in_every_cohort_and_pool(study: Study, table: pd.DataFrame) -> None:
    table.loc[table["subject"] == "s120", "age"] = np.nan
    models = steps_model.models(study, table)
    scores = steps.scores(study, models, table)
    common = scores[~scores["model"].str.endswith(steps.ALL_PATIENTS)]
    assert common.groupby("key", sort=False)["n"].agg(["min", "max"]).to_numpy().tolist() == [
        [100, 100],
        [59, 59],
        [159, 159],
    ]
    external = table[(table["cohort"] == "external") & table["age"].notna()]
    fits = {name: m.fit for name, m in models.items()}
    risk = {name: fit.linear_predictor(external) for name, fit in fits.items() if fit is not None}
    own = scores[scores["key"] == "external"].set_index("model")
    assert own.loc["nomogram", "value"] == pytest.approx(auc(external["label"], risk["nomogram"]).auc)
    paired = delong_test(external["label"], risk["nomogram"], risk["signature, refitted"])
    assert own.loc["signature, refitted", "difference"] == pytest.approx(paired.difference)
    assert own.loc["signature, refitted", "p"] == pytest.approx(paired.p)
    assert np.isnan(own.loc["nomogram", "difference"])


def test_who_is_left_out_is_said_and_the_signature_is_judged_in_all(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    assert steps_reading.left_out_words(study, models, table) == ""
    assert not steps.scores(study, models, table)["model"].str.endswith(steps.ALL_PATIENTS).any()
    table.loc[table["subject"].isin(["s120", "s121"]), "age"] = np.nan
    words = steps_reading.left_out_words(study, models, table)
    assert "2 of the 60 patients of Hospital B (Age (years) is missing in 2)" in words
    scores = steps.scores(study, models, table)
    row = scores[(scores["key"] == "external") & (scores["model"] == "Image, all patients")].iloc[0]
    external = table[table["cohort"] == "external"]
    assert (row["n"], row["value"]) == (60, auc(external["label"], external["signature_1"]).auc)
    text = steps_reading.reading_words(study, scores, {})
    assert "in 58 of 60 patients" in text
    assert f"Image in all 60 patients: AUC {row['value']:.2f}" in text


def test_an_unseen_level_is_a_reason_too(study: Study, table: pd.DataFrame) -> None:
    odd = table.assign(invasion=table["invasion"].astype(object))
    odd.loc[odd["subject"] == "s150", "invasion"] = "perhaps"
    words = steps_reading.left_out_words(study, steps_model.models(study, odd), odd)
    assert "1 of the 60 patients of Hospital B (1 with a level that no training patient has)" in words


def test_patients_of_the_fit_are_called_apparent_and_have_no_p(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    scores = steps.scores(study, models, table).set_index("key")
    assert scores.loc["train", "cohort"].eq("Hospital A, apparent").all()
    assert scores.loc["both", "cohort"].eq("Both, pooled, partly apparent").all()
    assert scores.loc[["train", "both"], "p"].isna().all()
    assert scores.loc["external", "p"].notna().sum() == 3
    assert scores.loc["both", "fitted"].eq(100).all()
    moved = steps_reclassification.reclassification(study, models, table).set_index("cohort")
    assert (
        moved.loc[["Hospital A, apparent", "Both, pooled, partly apparent"], ["p_nri", "p_idi"]].isna().all(axis=None)
    )
    assert moved.loc["Hospital B", ["p_nri", "p_idi"]].notna().all(axis=None)


def test_signature_alone_ranks_as_its_risk(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    one = cox_study.model_copy(update={"nomogram": cox_study.nomogram.model_copy(update={"further_signatures": []})})
    scores = steps.scores(one, steps_model.models(one, cox_rows), cox_rows)
    row = scores[(scores["key"] == "external") & (scores["model"] == "signature, refitted")].iloc[0]
    part = cox_rows[cox_rows["cohort"] == "external"]
    assert row["value"] == pytest.approx(concordance(part["time"], part["event"], part["signature_1"]).concordance)
    assert row["measure"] == "C-index"
    rival = steps.linear_predictor(steps_model.models(one, cox_rows)["nomogram"], part)
    paired = concordance_difference(part["time"], part["event"], rival, part["signature_1"], n_resamples=30, seed=7)
    assert row["p"] == pytest.approx(paired.p)  # by the jackknife, as in chapter 06


def test_one_class_in_a_cohort_is_nan(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    one = table.assign(label=np.where(table["cohort"] == "external", 1.0, table["label"]))
    scores = steps.scores(study, models, one)
    assert scores.loc[scores["key"] == "external", "value"].isna().all()
    assert "–" in set(steps.scores_shown(scores)["AUC (95% CI)"])
    moved = steps_reclassification.reclassification(study, models, one)
    assert "Hospital B" not in set(moved["cohort"])
    assert [title for title, _, _ in steps_calibration.calibration_panels(study, models["nomogram"], one)] == [
        "Hospital A, apparent and corrected (n = 100)",
        "Both, pooled, partly apparent (n = 160)",
    ]
    assert len(steps_calibration.decision_panels(study, models, one)) == 2


def test_optimism_is_said_in_words(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    found = steps.corrected(study, model, table)
    assert found is not None
    assert found.apparent == pytest.approx(steps.scores(study, {"nomogram": model}, table)["value"].iloc[0])
    assert f"{found.n_resamples} bootstrap" in steps_reading.corrected_words(study, found)
    assert "The preoperative variant can not be refitted" in steps_reading.corrected_words(
        study, None, "preoperative variant"
    )


def test_reclassification_is_against_signature_and_columns(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    moved = steps_reclassification.reclassification(study, models, table)
    assert moved["old"].unique().tolist() == ["signature, refitted", "clinical columns alone"]
    part = table[table["cohort"] == "external"]
    risks = [steps_model.event_risk(models[name], part) for name in ("signature, refitted", "nomogram")]
    expected = nri_idi(part["label"], *risks)
    row = moved[(moved["cohort"] == "Hospital B") & (moved["old"] == "signature, refitted")].iloc[0]
    assert (row["nri"], row["idi"]) == (expected.nri, expected.idi)
    shown = steps_reclassification.shown(moved)
    assert "P (NRI)" in shown
    assert shown["NRI, events"].str.fullmatch(r"−?\d\.\d\d").all()


def test_survival_is_reclassified_at_the_last_horizon(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    moved = steps_reclassification.reclassification(cox_study, steps_model.models(cox_study, cox_rows), cox_rows)
    assert (moved["month"] == 24.0).all()
    assert moved["nri"].between(-2, 2).all()
    assert "P (NRI)" not in steps_reclassification.shown(moved)


def test_calibration_is_corrected_in_training_only(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    panels = {title: drawn for title, drawn, _ in steps_calibration.calibration_panels(study, model, table)}
    assert set(panels["Hospital A, apparent and corrected (n = 100)"]["kind"]) == {"apparent", "corrected", "grouped"}
    assert set(panels["Hospital B (n = 60)"]["kind"]) == {"apparent", "grouped"}
    few = table[(table["cohort"] == "train") | (table["subject"] < "s115")]
    small = steps_calibration.calibration_panels(study, model, few)
    assert set(small[1][1]["kind"]) == {"grouped"}
    assert len(small[1][1]) == 3  # groups of 15 patients, by the rule of chapter 06
    assert steps_calibration.curve_words(study, model, table) == ""
    assert steps_calibration.curve_words(study, model, few).startswith("Hospital B (n = 15): groups only")


def test_calibration_numbers_are_perfect_on_average_in_training(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    numbers = steps_calibration.calibration_numbers(study, model, table).set_index("cohort")
    train, outside = numbers.loc["Hospital A, apparent"], numbers.loc["Hospital B"]
    assert train["slope (95% CI)"] == "1 by construction"
    part = table[table["cohort"] == "external"]
    risk = steps_model.event_risk(model, part)
    summary = calibration_summary(part["label"], risk)
    assert outside["slope (95% CI)"] == estimate(summary.slope, summary.slope_low, summary.slope_high)
    expected = hosmer_lemeshow(part["label"], risk, groups=6, external=True)
    assert outside["df"] == 6  # 60 patients, and nothing was fitted to them
    assert train["df"] == 8
    assert outside["P (Hosmer–Lemeshow)"] == pytest.approx(expected.p)
    assert numbers.loc["Both, pooled, partly apparent", ["df", "P (Hosmer–Lemeshow)"]].isna().all()


def test_training_has_slope_one_and_firths_fit_shows_its_own(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    train = table[table["cohort"] == "train"]
    summary = calibration_summary(train["label"], steps_model.event_risk(model, train))
    assert (summary.slope, summary.intercept_in_the_large) == (pytest.approx(1, abs=1e-6), pytest.approx(0, abs=1e-6))
    separated = table.assign(invasion=pd.Categorical(np.where(table["label"] == 1, "yes", "no"), ["no", "yes"]))
    firth = steps_model.models(study, separated)["nomogram"]
    shown = steps_calibration.calibration_numbers(study, firth, separated)
    assert "by construction" not in shown["slope (95% CI)"].iloc[0]


def test_few_patients_have_no_hosmer_lemeshow(study: Study, table: pd.DataFrame) -> None:
    model = steps_model.models(study, table)["nomogram"]
    few = table[(table["cohort"] == "train") | (table["subject"] < "s115")]
    numbers = steps_calibration.calibration_numbers(study, model, few).set_index("cohort")
    assert np.isnan(numbers.loc["Hospital B", "P (Hosmer–Lemeshow)"])
    alone = steps_calibration.calibration_numbers(study, model, few[few["cohort"] == "external"])
    assert "df" not in alone


def test_cox_calibration_has_a_panel_per_horizon(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    model = steps_model.models(cox_study, cox_rows)["nomogram"]
    panels = steps_calibration.calibration_panels(cox_study, model, cox_rows)
    assert [title for title, _, _ in panels][:2] == [
        "Hospital A, apparent and corrected, 12 months (n = 100)",
        "Hospital A, apparent and corrected, 24 months (n = 100)",
    ]
    assert "corrected" in set(panels[0][1]["kind"])
    assert set(panels[2][1]["kind"]) == {"grouped"}
    assert steps_calibration.calibration_numbers(cox_study, model, cox_rows).empty


def test_decision_curves_compare_all_models(
    study: Study, cox_study: Study, table: pd.DataFrame, cox_rows: pd.DataFrame
) -> None:
    curves = steps_calibration.decision_panels(study, steps_model.models(study, table), table)[0][1]
    assert set(curves["strategy"]) == {
        "nomogram", "preoperative variant", "signature, refitted", "clinical columns alone", "treat_all", "treat_none",
    }  # fmt: skip
    timed = steps_calibration.decision_panels(cox_study, steps_model.models(cox_study, cox_rows), cox_rows)
    assert timed[1][0] == "Hospital B, 24 months (n = 60)"


def test_single_patients_behind_jumps_are_named(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table)
    assert steps_calibration.single_words(study, models, table) == ""
    few = table[(table["cohort"] == "train") | (table["subject"] < "s110")]
    assert "Hospital B (n = 10) 0.10" in steps_calibration.single_words(study, models, few)


def test_no_fit_leaves_the_page_without_panels(study: Study, table: pd.DataFrame) -> None:
    models = steps_model.models(study, table.assign(label=1.0))
    assert steps.scores(study, models, table).empty
    nothing = steps.scores(study, models, table)
    steps_reading.publish(SimpleNamespace(), nothing, {"nomogram": None})  # type: ignore[arg-type]
    assert steps_reading.reading_words(study, nothing, {}) == "No cohort has a value of the nomogram."
    assert steps_reading.left_out_words(study, models, table) == ""
    assert steps_reclassification.reclassification(study, models, table).empty
    assert steps_calibration.calibration_panels(study, models["nomogram"], table) == []
    assert steps_calibration.calibration_numbers(study, models["nomogram"], table).empty
    assert steps_calibration.decision_panels(study, models, table) == []
    assert steps.corrected(study, models["nomogram"], table) is None


def test_scores_are_published(study: Study, table: pd.DataFrame) -> None:
    table.loc[table["subject"] == "s120", "age"] = np.nan
    models = steps_model.models(study, table)
    found: dict[str, Any] = {}
    chapter: Any = SimpleNamespace(publish=lambda key, value, n, ci=None: found.update({key: (value, n, ci)}))
    corrections = {"nomogram": Optimism(0.8, 0.1, 0.7, 8), "preoperative variant": None}
    steps_reading.publish(chapter, steps.scores(study, models, table), corrections)
    assert {"nomogram_train", "signature_external", "preoperative_both", "clinical_train"} <= set(found)
    assert found["signature_all_external"][1] == 60
    assert found["nomogram_corrected_train"] == (0.7, 100, None)
    assert "preoperative_corrected_train" not in found


def test_there_is_no_verdict_where_coefficients_were_fitted(study: Study, table: pd.DataFrame) -> None:
    scores = steps.scores(study, steps_model.models(study, table), table)
    corrections = {"nomogram": Optimism(0.8, 0.1, 0.7, 8), "preoperative variant": Optimism(0.75, 0.05, 0.7, 8)}
    train, outside, both = steps_reading.reading_words(study, scores, corrections).split("\n")
    assert train.startswith("- Hospital A, apparent: AUC 0.")
    assert train.endswith("; corrected for optimism 0.70; the preoperative variant 0.75, corrected 0.70.")
    assert both.endswith("100 of the 160 patients being those to whom the coefficients were fitted.")
    assert not any(word in f"{train}{both}" for word in ("above", "below", "told from"))
    assert "the signature alone" in outside
    variant = scores[(scores["key"] == "external") & (scores["model"] == "preoperative variant")].iloc[0]
    assert f"can guide treatment, reaches {variant['value']:.2f} (" in outside
    assert f"P {p_number(variant['p'])})" in outside


def test_a_difference_is_above_below_or_neither(study: Study) -> None:
    table = pd.DataFrame({
        "cohort": "B", "key": "external", "model": ["nomogram", "signature, refitted", "clinical columns alone"],
        "measure": "AUC", "n": 60, "fitted": 0, "value": 0.7, "ci_low": 0.6, "ci_high": 0.8,
        "difference": [np.nan, -0.1, 0.05], "diff_low": [np.nan, -0.15, -0.01], "diff_high": [np.nan, -0.05, 0.1],
    })  # fmt: skip
    assert steps_reading.reading_words(study, table, {}) == (
        "- B: AUC 0.70 (0.60–0.80); it is below the signature alone (by −0.100, 95% CI −0.150 to −0.050) and "
        "it can not be told from the clinical columns alone (difference 0.050, 95% CI −0.010 to 0.100)."
    )
