"""Chapter 08: predictors, models, the preoperative variant, and regression tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import nomogram as nomogram_steps
from radsupport.book.conclusions import nomogram as steps_regression
from radsupport.errors import InputError
from radsupport.evaluate import probability as steps
from radsupport.settings.study import Published, Study
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival
from radsupport.stats.logistic import fit_logistic


def test_signature_enters_as_its_honest_risk(table: pd.DataFrame, predictions: pd.DataFrame) -> None:
    own = predictions[(predictions["signature"] == "Image") & (predictions["kind"] != "apparent")]
    merged = table.merge(own[["subject", "risk"]], on="subject")
    assert len(table) == 160
    assert (merged["signature_1"] == merged["risk"]).all()


def test_patients_without_a_risk_or_outcome_are_left_out(
    study: Study, cox_study: Study, cohort: pd.DataFrame, predictions: pd.DataFrame
) -> None:
    fewer = predictions[~((predictions["subject"] == "s001") & (predictions["signature"] == "Second"))]
    cohort.loc[cohort["subject"] == "s002", "time"] = np.nan
    assert "s001" in set(steps.predictor_table(study, cohort, fewer)["subject"])
    left = set(steps.predictor_table(cox_study, cohort, fewer)["subject"])
    assert not {"s001", "s002"} & left
    assert len(left) == 158


def test_models_are_the_nomogram_its_variant_and_its_parts(study: Study, table: pd.DataFrame) -> None:
    models = steps.models(study, table)
    assert {name: m.columns for name, m in models.items()} == {
        "nomogram": ["signature_1", "age", "invasion"],
        "preoperative variant": ["signature_1", "age"],
        "signature, refitted": ["signature_1"],
        "clinical columns alone": ["age", "invasion"],
    }
    train = table[table["cohort"] == "train"]
    expected = fit_logistic(train, "label", ["signature_1", "age", "invasion"])
    fit = models["nomogram"].fit
    assert fit is not None
    np.testing.assert_allclose(fit.coef, expected.coef)
    assert fit.n == 100


def test_variant_can_name_its_own_columns(study: Study, table: pd.DataFrame) -> None:
    nomogram = study.nomogram.model_copy(update={"preoperative_columns": ["stage"]})
    models = steps.models(study.model_copy(update={"nomogram": nomogram}), table)
    assert models["preoperative variant"].columns == ["signature_1", "stage"]
    assert "Invasion is known only after" in steps.postoperative_words(study)


def test_nothing_postoperative_means_no_variant(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    assert steps.postoperative_words(cox_study) == ""
    assert "preoperative variant" not in steps.models(cox_study, cox_rows)


def test_separation_gets_firth(study: Study, table: pd.DataFrame) -> None:
    separated = table.assign(invasion=pd.Categorical(np.where(table["label"] == 1, "yes", "no"), ["no", "yes"]))
    model = steps.models(study, separated)["nomogram"]
    assert model.fit is not None
    assert model.fit.penalty == "firth"
    assert "Firth" in nomogram_steps.model_words(study, model)
    assert steps.nomogram_of(study, model) is not None


def test_a_constant_predictor_is_left_out_and_said(study: Study, table: pd.DataFrame) -> None:
    model = steps.models(study, table.assign(signature_1=0.5))["nomogram"]
    assert model.columns == ["age", "invasion"]
    assert model.note == "Left out because it does not vary: Image (risk). "
    alone = steps.models(study, table.assign(signature_1=0.5))["signature, refitted"]
    assert alone.fit is None
    assert "Nothing is left" in alone.note


def test_one_class_has_no_model_but_a_reason(study: Study, table: pd.DataFrame) -> None:
    model = steps.models(study, table.assign(label=1.0))["nomogram"]
    assert model.fit is None
    assert steps.nomogram_of(study, model) is None
    assert "can not be fitted" in nomogram_steps.model_words(study, model)


def test_risk_is_the_models_probability(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    model = steps.models(cox_study, cox_rows)["nomogram"]
    assert isinstance(model.fit, CoxFit)
    risk = steps.event_risk(model, cox_rows, 12.0)
    train = cox_rows[cox_rows["cohort"] == "train"]
    fit = fit_cox(train, "time", "event", ["signature_1", "signature_2", "age"])
    np.testing.assert_allclose(risk, 1 - predict_survival(fit, cox_rows, [12.0]).to_numpy()[:, 0])
    with pytest.raises(InputError, match="horizon"):
        steps.event_risk(model, cox_rows)


def test_horizons_outside_the_follow_up_are_left_out(cox_study: Study, cox_rows: pd.DataFrame) -> None:
    nomogram = cox_study.nomogram.model_copy(update={"horizons_months": [12.0, 500.0]})
    study = cox_study.model_copy(update={"nomogram": nomogram})
    model = steps.models(study, cox_rows)["nomogram"]
    drawn = steps.nomogram_of(study, model)
    assert drawn is not None
    assert drawn.horizons == (12.0,)
    never = study.model_copy(update={"nomogram": nomogram.model_copy(update={"horizons_months": [500.0]})})
    assert steps.nomogram_of(never, model) is None


def test_example_adds_up(study: Study, table: pd.DataFrame) -> None:
    drawn = steps.nomogram_of(study, steps.models(study, table)["nomogram"])
    assert drawn is not None
    row = {axis.name: axis.typical for axis in drawn.predictors}
    words = nomogram_steps.example_words(drawn)
    assert f"Together {drawn.points(row).total:.0f}" in words
    assert f"{100 * float(drawn.predict(row).iloc[0]):.0f}%" in words


def test_levels_that_training_lacks_can_not_be_predicted(study: Study, table: pd.DataFrame) -> None:
    odd = table.copy()
    odd["invasion"] = odd["invasion"].astype(object)
    odd.loc[odd["subject"] == "s150", "invasion"] = "perhaps"
    odd.loc[odd["subject"] == "s151", "age"] = np.nan
    model = steps.models(study, odd)["nomogram"]
    assert len(steps.known_rows(model, odd)) == 158


def test_regression_table_has_candidates_alone_only(study: Study, table: pd.DataFrame) -> None:
    model = steps.models(study, table)["nomogram"]
    alone = steps_regression.univariable(study, table)
    together = steps_regression.multivariable(study, table, model)
    shown = steps_regression.steps_regression_shown(study, table, alone, together)
    assert shown["characteristic"].tolist()[0] == "Image (risk, per SD)"
    stage = shown[shown["characteristic"].str.startswith("Stage")]
    assert len(stage) == 3
    assert stage["odds_ratio_together"].eq("–").all()


def test_a_signatures_ratio_is_per_standard_deviation(study: Study, table: pd.DataFrame) -> None:
    model = steps.models(study, table)["nomogram"]
    alone, together = steps_regression.univariable(study, table), steps_regression.multivariable(study, table, model)
    shown = steps_regression.steps_regression_shown(study, table, alone, together)
    train = table[table["cohort"] == "train"]
    sd = train["signature_1"].std()
    scaled = fit_logistic(train.assign(signature_1=train["signature_1"] / sd), "label", ["signature_1"])
    row = scaled.table[scaled.table["covariate"] == "signature_1"].iloc[0]
    expected = f"{row['odds_ratio']:.2f} ({row['ci_low']:.2f}–{row['ci_high']:.2f})"
    assert shown.loc[0, "odds_ratio_alone"] == expected
    assert f"{sd:.3f} of Image" in steps_regression.scale_words(study, table)


def test_the_variants_table_has_only_its_predictors(study: Study, table: pd.DataFrame) -> None:
    model = steps.models(study, table)["preoperative variant"]
    together = steps_regression.multivariable(study, table, model)
    shown = steps_regression.steps_regression_shown(
        study, table, steps_regression.univariable(study, table), together, model
    )
    assert shown["characteristic"].tolist() == ["Image (risk, per SD)", "Age (years)"]
    assert shown["odds_ratio_together"].ne("–").all()


def test_a_printed_ratio_per_unit_is_announced(study: Study, table: pd.DataFrame) -> None:
    assert "Beside printed values" not in steps_regression.scale_words(study, table)
    entry = Published(chapter="08", item="OR", value="2", where="Table", ours="or_alone_Image")
    printed = study.model_copy(update={"published": [entry]})
    assert "rises by 1, as papers print it" in steps_regression.scale_words(printed, table)


def test_risks_on_another_scale_are_pointed_out(study: Study, table: pd.DataFrame) -> None:
    assert steps_regression.spread_words(study, table) == ""
    shrunk = table.assign(
        signature_1=table["signature_1"].where(table["cohort"] == "train", 0.1 * table["signature_1"])
    )
    assert "Image in Hospital B" in steps_regression.spread_words(study, shrunk)
    constant = table.assign(signature_1=table["signature_1"].where(table["cohort"] != "train", 0.5))
    assert steps_regression.spread_words(study, constant) == ""


def test_a_signature_with_the_wrong_sign_is_said(study: Study, table: pd.DataFrame) -> None:
    assert nomogram_steps.reversed_words(study, steps.models(study, table)["nomogram"]) == ""
    turned = table.assign(signature_1=-table["signature_1"])
    assert "A higher risk by Image takes points away" in nomogram_steps.reversed_words(
        study, steps.models(study, turned)["nomogram"]
    )
