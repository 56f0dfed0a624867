"""Chapter 07: Cox models, levels without events, selection, added value, optimism, proportional hazards."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import survival as survival_steps_added
from radsupport.book.conclusions import survival as survival_steps_cox
from radsupport.book.conclusions import survival as survival_steps_hazards
from radsupport.evaluate import predictions as steps_groups
from radsupport.evaluate import regression as steps
from radsupport.evaluate import regression as steps_added
from radsupport.evaluate import regression as steps_cox
from radsupport.evaluate import survival as steps_hazards
from radsupport.settings.study import Study
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox
from radsupport.stats.proportional_hazards import schoenfeld_test


@pytest.fixture
def rows(small_predictions: pd.DataFrame, small_study: Study) -> pd.DataFrame:
    return steps_groups.followed(small_predictions, small_study)


def without_events_in(rows: pd.DataFrame, cohort: pd.DataFrame, level: str) -> pd.DataFrame:
    spared = set(cohort.loc[cohort["stage"] == level, "subject"])
    return rows.assign(event=np.where(rows["subject"].isin(spared), 0.0, rows["event"]))


def keeping(study: Study, rule: str) -> Study:
    return study.model_copy(update={"survival": study.survival.model_copy(update={"no_event_levels": rule})})


def test_data_are_the_training_patients_with_the_risk_per_sd(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    assert len(data.table) == 90
    assert data.table[steps.SIGNATURE].std() == pytest.approx(1.0)
    assert data.table[steps.SIGNATURE].mean() == pytest.approx(0.0, abs=1e-12)
    assert (data.covariates, data.reference, data.notes) == (["age", "stage"], {"stage": "I"}, [])


def test_a_level_without_events_is_merged_and_said(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(without_events_in(rows, small_cohort, "II"), small_cohort, small_study)
    assert list(data.table["stage"].cat.categories) == ["I or II", "III"]
    assert data.names == {"stage": {"I": "I or II", "II": "I or II", "III": "III"}}
    assert data.notes[0].startswith("Stage: none of the ")
    fit, note = steps_cox.multivariable(data)
    assert "Every level has events" not in survival_steps_cox.model_words(data, fit, note)
    whole = steps.cox_data(rows, small_cohort, small_study)
    assert "Every level has events" in survival_steps_cox.model_words(whole, *steps_cox.multivariable(whole))
    assert note == ""
    assert fit is not None
    assert "stageIII" in fit.coef.index


def test_first_level_without_events_joins_the_next() -> None:
    values = pd.Series(pd.Categorical(["a", "b", "c", "c"], ["a", "b", "c"]))
    names, words = steps.merge_empty_levels(values, pd.Series([0, 1, 1, 0]))
    assert names == {"a": "a or b", "b": "a or b", "c": "c"}
    assert words == ["none of the 1 patients with a had the event, so a or b is one level"]


def test_no_event_at_all_leaves_one_level() -> None:
    values = pd.Series(pd.Categorical(["a", "b", "c"], ["a", "b", "c"]))
    names, words = steps.merge_empty_levels(values, pd.Series([0, 0, 0]))
    assert set(names.values()) == {"a or b or c"}
    assert len(words) == 2


def test_firth_keeps_levels_and_the_plain_model_merges_them(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    study = keeping(small_study, "firth")
    spared = without_events_in(rows, small_cohort, "II")
    data = steps.cox_data(spared, small_cohort, study)
    fit, note = steps_cox.multivariable(data)
    assert note == "Firth's penalty"
    assert fit is not None
    assert np.isfinite(fit.table["hr"]).all()
    alone = steps_cox.univariable(data)
    assert alone.loc[alone["term"] == "stage", "note"].eq("Firth's penalty").all()
    assert alone.loc[alone["term"] == "age", "note"].eq("").all()
    plain_data, plain = steps_cox.plain_model(data, fit, spared, small_cohort, study)
    assert plain is not None
    assert plain.penalty == "none"
    assert list(plain_data.table["stage"].cat.categories) == ["I or II", "III"]
    assert "Firth's penalty" in survival_steps_cox.model_words(data, fit, note)


def test_constant_covariates_are_left_out(rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study) -> None:
    data = steps.cox_data(rows, small_cohort.assign(age=60.0), small_study)
    assert data.covariates == ["stage"]
    assert data.notes == ["Age is left out: it does not vary here"]


def test_no_event_leaves_no_model_but_reasons(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows.assign(event=0.0), small_cohort, small_study)
    fit, note = steps_cox.multivariable(data)
    assert fit is None
    assert "can not be fitted" in survival_steps_cox.model_words(data, fit, note)
    alone = steps_cox.univariable(data)
    assert alone["hr"].isna().all()
    shown = survival_steps_cox.table_shown(data, alone, fit, small_study)
    assert shown["note"].str.contains("censored").all()
    assert steps_added.reduced(data, fit, small_study) is None
    assert steps_added.added_value(data, None, small_study).empty
    assert steps_added.optimism_table(data, fit, small_study).empty
    assert steps_hazards.hazards_test(fit, {}).empty


def test_table_shows_both_models_side_by_side(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    fit, _ = steps_cox.multivariable(data)
    shown = survival_steps_cox.table_shown(data, steps_cox.univariable(data), fit, small_study)
    assert shown["characteristic"].tolist() == [
        "Age (years)",
        "Stage: I",
        "Stage: II",
        "Stage: III",
        "Image (per SD)",
    ]
    assert shown["hr_together"].tolist()[1] == "1 (reference)"
    assert shown["hr_together"].tolist()[-1] == "–"
    assert fit is not None
    assert shown["p_together"].iloc[0] == fit.p["age"]


def test_selection_reports_its_path(rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    fit, _ = steps_cox.multivariable(data)
    found = steps_added.reduced(data, fit, small_study)
    assert found is not None
    assert found.path["left out"].iloc[0] == "start"
    assert found.path["AIC"].is_monotonic_decreasing
    assert found.path["AIC"].iloc[-1] == pytest.approx(found.fit.aic)
    assert "Backward selection keeps" in survival_steps_added.reduced_words(found, data, small_study)


def test_added_value_is_the_likelihood_ratio_of_the_signature(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    fit, _ = steps_cox.multivariable(data)
    table = steps_added.added_value(data, fit, small_study).set_index("model")
    outcome = ("time", "event")
    base = fit_cox(data.table, *outcome, data.covariates)
    more = fit_cox(data.table, *outcome, [*data.covariates, steps.SIGNATURE])
    gain = 2 * (more.log_likelihood - base.log_likelihood)
    from scipy import stats

    expected = stats.chi2.sf(gain, 1)
    assert table.loc["covariates + Image", "P (likelihood ratio)"] == pytest.approx(expected, rel=1e-6)
    assert table.loc["covariates + Image", "P (likelihood ratio)"] < 0.01


def emptied(data: steps.CoxData) -> CoxFit:
    """Return the model from which everything was left out."""
    fit = fit_cox(data.table, "time", "event", ["age"])
    return fit.refit(fit.design.select([]))


def test_without_characteristics_the_signature_is_tested_against_no_predictor(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    table = steps_added.added_value(data, emptied(data), small_study)
    fit = fit_cox(data.table, "time", "event", [steps.SIGNATURE])
    assert table["model"].tolist() == ["Image"]
    assert table["P (likelihood ratio)"].item() == pytest.approx(fit.lr_p, rel=1e-6)
    assert "No characteristic is kept, so Image is tested against" in survival_steps_added.added_words(
        data, emptied(data)
    )
    assert survival_steps_added.added_words(data, None).startswith("There is no model of the characteristics")
    assert survival_steps_added.added_words(data, steps_cox.multivariable(data)[0]) == ""
    path = pd.DataFrame({"step": [0], "left out": ["start"], "AIC": [1.0], "terms left": [0]})
    words = survival_steps_added.reduced_words(steps_added.Reduced(emptied(data), path), data, small_study)
    assert words == "Backward selection keeps none."


def test_a_selection_that_keeps_nothing_has_no_optimism(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    monkeypatch.setattr(steps_added, "backward_aic", lambda fit: SimpleNamespace(fit=emptied(data)))
    table = steps_added.optimism_table(data, steps_cox.multivariable(data)[0], small_study)
    assert table["model"].tolist() == ["all covariates", "all covariates + Image"]


def test_a_signature_used_backwards_is_said(rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    assert survival_steps_cox.backwards_words(data, steps_cox.univariable(data)) == ""
    turned = steps.cox_data(rows.assign(risk=-rows["risk"]), small_cohort, small_study)
    alone = steps_cox.univariable(turned)
    ratio = alone.loc[alone["term"] == steps.SIGNATURE, "hr"].item()
    assert f"hazard ratio {ratio:.2f} per SD" in survival_steps_cox.backwards_words(turned, alone)
    constant = steps.cox_data(rows.assign(risk=0.5), small_cohort, small_study)
    assert survival_steps_cox.backwards_words(constant, steps_cox.univariable(constant)) == ""


def test_optimism_is_taken_off(rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    fit, _ = steps_cox.multivariable(data)
    table = steps_added.optimism_table(data, fit, small_study).set_index("model")
    assert fit is not None
    apparent = concordance(data.table["time"], data.table["event"], fit.linear_predictor(data.table)).concordance
    assert table.loc["all covariates", "apparent"] == pytest.approx(apparent)
    np.testing.assert_allclose(table["corrected"], table["apparent"] - table["optimism"])
    assert (table["resamples"] > 0).all()
    assert table[["n", "events"]].to_numpy().tolist() == [[fit.n, fit.n_events]] * 3


def test_hazards_are_tested_per_characteristic(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows, small_cohort, small_study)
    fit, _ = steps_cox.multivariable(data)
    assert fit is not None
    labels = steps_cox.labels(data, small_study)
    test = steps_hazards.hazards_test(fit, labels)
    np.testing.assert_allclose(test["p"], schoenfeld_test(fit)["p"])
    assert test["covariate"].tolist() == ["Age (years)", "Stage", "all together (global)"]
    panels = survival_steps_hazards.residual_panels(fit, test, labels)
    assert [title for title, _, _ in panels] == ["Age (years)", "Stage"]
    assert panels[0][2]["coefficient"] == pytest.approx(fit.coef["age"])
    assert panels[1][2]["coefficient"] == 1.0


def test_hazards_words_follow_the_p_values() -> None:
    def table(p: list[float]) -> pd.DataFrame:
        return pd.DataFrame({"covariate": ["Age", "all"], "term": ["age", steps_hazards.GLOBAL], "p": p})

    assert "Age (P 0.010)" in survival_steps_hazards.hazards_words(table([0.01, 0.2]))
    both = table([0.01, 0.2]).assign(covariate="Sex", term="sex").iloc[:1]
    assert "seems to change" in survival_steps_hazards.hazards_words(table([0.01, 0.2]))
    words = survival_steps_hazards.hazards_words(pd.concat([table([0.01, 0.2]), both]))
    assert "effects of Age (P 0.010) and Sex (P 0.010) seem" in words
    assert "No covariate has P below 0.05" in survival_steps_hazards.hazards_words(table([0.2, 0.2]))
    assert "all together do" in survival_steps_hazards.hazards_words(table([0.2, 0.01]))
    assert "There is no model" in survival_steps_hazards.hazards_words(pd.DataFrame())


def test_a_constant_signature_keeps_its_row_with_the_reason(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, small_study: Study
) -> None:
    data = steps.cox_data(rows.assign(risk=0.5), small_cohort, small_study)
    alone = steps_cox.univariable(data).set_index("term")
    assert np.isnan(alone.loc[steps.SIGNATURE, "hr"])
    assert alone.loc[steps.SIGNATURE, "note"] != ""
    assert np.isfinite(alone.loc["age", "hr"])
