"""Cox models of covariates: levels without events, selection, added value, optimism, hazards, and out of fold."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.evaluate import judged, lock, regression
from radsupport.evaluate.predictions import SURVIVAL
from radsupport.stats.concordance import concordance
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival
from radsupport.stats.proportional_hazards import schoenfeld_test
from radsupport.stats.subdistribution import fine_gray

COVARIATES = ["age", "stage"]


@pytest.fixture
def rows(small_predictions: pd.DataFrame) -> pd.DataFrame:
    return judged(small_predictions, SURVIVAL, ["Image"])


def data_of(rows: pd.DataFrame, cohort: pd.DataFrame, *, merge: bool = True) -> regression.CoxData:
    return regression.cox_data(rows, cohort, COVARIATES, merge=merge)


def without_events_in(rows: pd.DataFrame, cohort: pd.DataFrame, level: str) -> pd.DataFrame:
    spared = set(cohort.loc[cohort["stage"] == level, "subject"])
    return rows.assign(event=np.where(rows["subject"].isin(spared), 0.0, rows["event"]))


def test_data_are_the_training_patients_with_the_risk_per_sd(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows, small_cohort)
    assert len(data.table) == 90
    assert data.table[regression.SIGNATURE].std() == pytest.approx(1.0)
    assert data.table[regression.SIGNATURE].mean() == pytest.approx(0.0, abs=1e-12)
    assert (data.covariates, data.reference, data.constant) == (COVARIATES, {"stage": "I"}, [])
    assert data.merges.empty


def test_a_level_without_events_is_merged_and_said(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(without_events_in(rows, small_cohort, "II"), small_cohort)
    assert list(data.table["stage"].cat.categories) == ["I or II", "III"]
    assert data.names == {"stage": {"I": "I or II", "II": "I or II", "III": "III"}}
    n = int((data_of(rows, small_cohort).table["stage"] == "II").sum())
    assert data.merges.to_dict("records") == [{"column": "stage", "level": "II", "n": n, "merged": "I or II"}]
    fit, note = regression.multivariable(data)
    assert note == ""
    assert fit is not None
    assert "stageIII" in fit.coef.index


def test_first_level_without_events_joins_the_next() -> None:
    values = pd.Series(pd.Categorical(["a", "b", "c", "c"], ["a", "b", "c"]))
    names, steps = regression.merge_empty_levels(values, pd.Series([0, 1, 1, 0]))
    assert names == {"a": "a or b", "b": "a or b", "c": "c"}
    assert steps == [{"level": "a", "n": 1, "merged": "a or b"}]


def test_no_event_at_all_leaves_one_level() -> None:
    values = pd.Series(pd.Categorical(["a", "b", "c"], ["a", "b", "c"]))
    names, steps = regression.merge_empty_levels(values, pd.Series([0, 0, 0]))
    assert set(names.values()) == {"a or b or c"}
    assert len(steps) == 2


def test_firth_keeps_levels_and_the_plain_model_merges_them(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(without_events_in(rows, small_cohort, "II"), small_cohort, merge=False)
    fit, note = regression.multivariable(data)
    assert note == "Firth's penalty"
    assert fit is not None
    assert np.isfinite(fit.table["hr"]).all()
    alone = regression.univariable(data)
    assert alone.loc[alone["term"] == "stage", "note"].eq("Firth's penalty").all()
    assert alone.loc[alone["term"] == "age", "note"].eq("").all()
    plain_data, plain = regression.plain_model(data, fit)
    assert plain is not None
    assert plain.penalty == "none"
    assert list(plain_data.table["stage"].cat.categories) == ["I or II", "III"]


def test_constant_covariates_are_left_out(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows, small_cohort.assign(age=60.0))
    assert (data.covariates, data.constant) == (["stage"], ["age"])


def test_no_event_leaves_no_model_but_reasons(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows.assign(event=0.0), small_cohort)
    fit, note = regression.multivariable(data)
    assert fit is None
    assert note != ""
    assert data.constant == ["stage"]
    alone = regression.univariable(data)
    assert alone["hr"].isna().all()
    assert alone["note"].str.contains("censored").all()
    assert regression.multivariable_rows(data, fit).empty
    kept = regression.selected(fit)
    assert kept is None
    assert regression.path(kept, {}).columns.tolist() == ["step", "left out", "AIC", "terms left"]
    assert regression.path(kept, {}).empty
    assert regression.kept_ratios(kept, {}).empty
    added = regression.added_value(data, None, "Image")
    assert added.empty
    assert added.attrs["empty"] == "Neither model can be fitted to so few events."
    assert regression.optimism_table(data, fit, "Image", 6, 7).empty
    assert regression.hazards_test(fit).empty
    assert regression.residuals(fit, regression.hazards_test(fit)).empty


def test_selection_reports_its_path(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    fit, _ = regression.multivariable(data_of(rows, small_cohort))
    found = regression.selected(fit)
    assert found is not None
    assert found.path["change"].iloc[0] == ""
    assert found.path["aic"].is_monotonic_decreasing
    assert found.path["aic"].iloc[-1] == pytest.approx(found.fit.aic)
    shown = regression.path(found, {"age": "Age (years)", "stage": "Stage"})
    assert shown["AIC"].tolist() == found.path["aic"].tolist()
    assert shown["left out"].iloc[0] == "start"
    assert set(shown["left out"].iloc[1:]) <= {"Age (years)", "Stage"}
    assert len(regression.kept_ratios(found, {})) >= len(found.terms)


def test_added_value_is_the_likelihood_ratio_of_the_signature(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows, small_cohort)
    fit, _ = regression.multivariable(data)
    table = regression.added_value(data, fit, "Image").set_index("model")
    base = fit_cox(data.table, *SURVIVAL, data.covariates)
    more = fit_cox(data.table, *SURVIVAL, [*data.covariates, regression.SIGNATURE])
    gain = 2 * (more.log_likelihood - base.log_likelihood)
    assert table.loc["covariates + Image", "p_lr"] == pytest.approx(stats.chi2.sf(gain, 1), rel=1e-6)
    assert table.loc["covariates + Image", "p_lr"] < 0.01
    row = table.loc["covariates + Image"]
    own = more.table.set_index("term").loc[regression.SIGNATURE]
    assert [row["chi2"], row["df"]] == pytest.approx([gain, 1], rel=1e-6)
    assert row[["hr", "hr_low", "hr_high"]].tolist() == pytest.approx(own[["hr", "ci_low", "ci_high"]].tolist())
    assert table.loc["covariates", ["hr", "chi2", "p_lr"]].isna().all()


def emptied(data: regression.CoxData) -> CoxFit:
    """Return the model from which everything was left out."""
    fit = fit_cox(data.table, "time", "event", ["age"])
    return fit.refit(fit.design.select([]))


def test_without_characteristics_the_signature_is_tested_against_no_predictor(
    rows: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    data = data_of(rows, small_cohort)
    table = regression.added_value(data, emptied(data), "Image")
    fit = fit_cox(data.table, "time", "event", [regression.SIGNATURE])
    assert table["model"].tolist() == ["Image"]
    assert table["p_lr"].item() == pytest.approx(fit.lr_p, rel=1e-6)


def test_a_selection_that_keeps_nothing_has_no_optimism(
    rows: pd.DataFrame, small_cohort: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of(rows, small_cohort)
    monkeypatch.setattr(regression, "backward_aic", lambda fit: SimpleNamespace(fit=emptied(data), terms=[]))
    table = regression.optimism_table(data, regression.multivariable(data)[0], "Image", 6, 7)
    assert table["model"].tolist() == ["all covariates", "all covariates + Image"]


def test_optimism_is_taken_off(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows, small_cohort)
    fit, _ = regression.multivariable(data)
    table = regression.optimism_table(data, fit, "Image", 6, 7).set_index("model")
    assert fit is not None
    apparent = concordance(data.table["time"], data.table["event"], fit.linear_predictor(data.table)).concordance
    assert table.loc["all covariates", "apparent"] == pytest.approx(apparent)
    np.testing.assert_allclose(table["corrected"], table["apparent"] - table["optimism"])
    assert (table["resamples"] > 0).all()
    assert table[["n", "events"]].to_numpy().tolist() == [[fit.n, fit.n_events]] * 3


def test_hazards_are_tested_per_characteristic(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    fit, _ = regression.multivariable(data_of(rows, small_cohort))
    assert fit is not None
    test = regression.hazards_test(fit)
    np.testing.assert_allclose(test["p"], schoenfeld_test(fit)["p"])
    assert test["covariate"].tolist() == ["age", "stage", regression.GLOBAL]
    residuals = regression.residuals(fit, test).groupby("covariate", sort=False).first()
    assert list(residuals.index) == ["age", "stage"]
    assert residuals.loc["age", "coefficient"] == pytest.approx(fit.coef["age"])
    assert residuals.loc["stage", "coefficient"] == 1.0
    assert residuals["p"].tolist() == test["p"].tolist()[:2]


def test_a_constant_signature_keeps_its_row_with_the_reason(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    alone = regression.univariable(data_of(rows.assign(risk=0.5), small_cohort)).set_index("term")
    assert np.isnan(alone.loc[regression.SIGNATURE, "hr"])
    assert alone.loc[regression.SIGNATURE, "note"] != ""
    assert np.isfinite(alone.loc["age", "hr"])


def crossed(rows: pd.DataFrame, cohort: pd.DataFrame) -> tuple[regression.CrossFitted, pd.DataFrame]:
    """Return the covariates fitted without each of five folds, and the rows that they predict."""
    folded = rows.assign(fold=rows["subject"].str[1:].astype(int) % 5)
    data = data_of(folded, cohort)
    fit, _ = regression.multivariable(data)
    both, models = regression.with_covariates(folded, lock(folded, SURVIVAL), data, fit, cohort)
    return models[regression.COVARIATES], both[both["signature"] == regression.COVARIATES]


def test_without_a_model_there_is_nothing_to_add(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    same, models = regression.with_covariates(rows, {}, data_of(rows, small_cohort), None, small_cohort)
    assert same is rows
    assert models == {}


def test_covariates_are_one_more_signature_of_those_whom_they_can_predict(
    rows: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    small_cohort.loc[small_cohort["subject"] == "s100", "age"] = np.nan
    _, found = crossed(without_events_in(rows, small_cohort, "II"), small_cohort)
    assert found["signature"].unique().tolist() == [regression.COVARIATES]
    outside = found[found["cohort"] == "external"]
    assert "s100" not in set(outside["subject"])
    assert len(outside) == 39
    assert set(outside["stage"]) == {"I or II", "III"}


def test_training_patients_are_predicted_by_fits_without_their_fold(
    rows: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    model, found = crossed(rows, small_cohort)
    table, times = found[found["cohort"] == "train"], [12.0, 24.0]
    held = table["subject"].map(model.folds) == 3
    clinical = fit_cox(table[~held], "time", "event", COVARIATES, reference={"stage": "I"})
    expected = 1 - predict_survival(clinical, table[held], times)
    np.testing.assert_allclose(model.probability(table[held], times), expected)


def test_who_is_the_only_one_of_a_level_is_not_predicted_by_the_others(
    rows: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    train = small_cohort["cohort"] == "train"
    lone = small_cohort.index[train & (small_cohort["stage"] == "III") & (small_cohort["event"] == 1)][0]
    others = train & (small_cohort["stage"] == "III") & (small_cohort.index != lone)
    small_cohort.loc[others, "stage"] = "II"
    model, found = crossed(rows, small_cohort)
    judged_rows = found[found["cohort"] == "train"]
    assert set(small_cohort.loc[train, "subject"]) - set(judged_rows["subject"]) == {small_cohort.loc[lone, "subject"]}
    assert np.isfinite(model.probability(judged_rows, [12.0])).all()


def test_covariates_beside_a_competing_event_have_three_ratios(rows: pd.DataFrame, small_cohort: pd.DataFrame) -> None:
    data = data_of(rows, small_cohort)
    rng = np.random.default_rng(3)
    died = data.table.assign(competing=np.where(data.table["event"] == 0, rng.integers(0, 2, len(data.table)), 0))
    cohort = small_cohort.merge(died[["subject", "competing"]], on="subject", how="left")
    found = data.beside_competing(cohort, {"age": "Age (years)", regression.SIGNATURE: "Image (per SD)"})
    assert found["covariate"].tolist() == ["Age (years)", "stage: II", "stage: III", "Image (per SD)"]
    assert found["competing_events"].eq(died["competing"].sum()).all()
    terms = [*data.covariates, regression.SIGNATURE]
    for kind, event in (("event", "event"), ("competing", "competing")):
        expected = fit_cox(died, "time", event, terms, reference=data.reference).table
        assert found[f"hr_{kind}"].tolist() == pytest.approx(expected["hr"].tolist())
    expected = fine_gray(died, "time", "event", "competing", terms, reference=data.reference)
    assert found["hr_share"].tolist() == pytest.approx(expected["hr"].tolist())
    assert found["hr_share_low"].tolist() == pytest.approx(expected["ci_low"].tolist())


def test_a_model_beside_a_competing_event_that_has_no_fit_leaves_its_reason(
    rows: pd.DataFrame, small_cohort: pd.DataFrame
) -> None:
    data = data_of(rows, small_cohort)
    found = data.beside_competing(small_cohort.assign(competing=0.0), {})
    assert "hr_competing" not in found
    assert found["hr_event"].notna().all()
    assert found["note"].str.startswith("competing: ").all()
    without = data.beside_competing(small_cohort, {})
    assert len(without) == 0
    assert without.attrs["empty"].startswith("No event that competes")
