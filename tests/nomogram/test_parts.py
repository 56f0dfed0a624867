"""The regressions behind a nomogram: predictors, models, the variant, and what they predict as signatures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.nomogram_study import LABELS, ONE, SURVIVAL, TWO, cox_models, label_models

from radsupport.book.conclusions.validation import pooling
from radsupport.errors import InputError
from radsupport.evaluate.discrimination import discrimination, pairs
from radsupport.evaluate.predictions import judged, measure
from radsupport.nomogram.calculator import calculator
from radsupport.nomogram.parts import _of_outcome, alone, as_signatures, left_out, models, optimism, predictors
from radsupport.stats.concordance import concordance, concordance_difference
from radsupport.stats.cox import CoxFit, fit_cox, predict_survival
from radsupport.stats.logistic import fit_logistic
from radsupport.stats.roc import auc, delong_test

WORDS = {"labels": LABELS, "outcome": "metastasis"}


def test_signature_enters_as_its_honest_risk(table: pd.DataFrame, predictions: pd.DataFrame) -> None:
    own = predictions[(predictions["signature"] == "Image") & (predictions["kind"] != "apparent")]
    merged = table.merge(own[["subject", "risk"]], on="subject")
    assert len(table) == 160
    assert (merged["signature_1"] == merged["risk"]).all()
    assert list(table["cohort"].cat.categories) == ["train", "external"]


def test_patients_without_a_risk_or_outcome_are_left_out(cohort: pd.DataFrame, predictions: pd.DataFrame) -> None:
    fewer = predictions[~((predictions["subject"] == "s001") & (predictions["signature"] == "Second"))]
    cohort.loc[cohort["subject"] == "s002", "time"] = np.nan
    assert "s001" in set(predictors(cohort, judged(fewer, ()), ONE)["subject"])
    left = set(predictors(cohort, judged(fewer, ()), TWO, SURVIVAL)["subject"])
    assert not {"s001", "s002"} & left
    assert len(left) == 158


def test_models_are_the_nomogram_its_variant_and_its_parts(table: pd.DataFrame) -> None:
    found = label_models(table)
    assert {name: m.columns for name, m in found.items()} == {
        "nomogram": ["signature_1", "age", "invasion"],
        "preoperative variant": ["signature_1", "age"],
        "signature, refitted": ["signature_1"],
        "clinical columns alone": ["age", "invasion"],
    }
    train = table[table["cohort"] == "train"]
    expected = fit_logistic(train, "label", ["signature_1", "age", "invasion"])
    fit = found["nomogram"].fit
    assert fit is not None
    np.testing.assert_allclose(fit.coef, expected.coef)
    assert found["nomogram"].size == {
        "name": "nomogram", "n": 100, "events": int(train["label"].sum()), "coefficients": 3, "missing": 0, "note": "",
    }  # fmt: skip


def test_the_variant_has_columns_of_its_own_or_is_not_there(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    found = models(table, list(ONE), ["age", "invasion"], late=["invasion"], early=["stage"])
    assert found["preoperative variant"].columns == ["signature_1", "stage"]
    assert "preoperative variant" not in cox_models(cox_rows)


def test_separation_gets_firth(table: pd.DataFrame) -> None:
    separated = table.assign(invasion=pd.Categorical(np.where(table["label"] == 1, "yes", "no"), ["no", "yes"]))
    model = label_models(separated)["nomogram"]
    assert model.fit is not None
    assert model.fit.penalty == "firth"
    assert "Firth" in model.note
    assert model.nomogram(**WORDS) is not None
    rows = alone(separated, ["age", "invasion"]).set_index("term")
    assert rows.loc["invasion", "note"].eq("Firth's penalty").all()
    assert rows.loc["age", "note"] == ""


def test_a_constant_predictor_is_left_out_and_said(table: pd.DataFrame) -> None:
    found = label_models(table.assign(signature_1=0.5))
    assert found["nomogram"].columns == ["age", "invasion"]
    assert found["nomogram"].note == "Left out because it does not vary: Image (risk). "
    assert found["signature, refitted"].fit is None
    assert "Nothing is left" in found["signature, refitted"].note


def test_one_class_has_no_model_but_a_reason(table: pd.DataFrame) -> None:
    found = label_models(table.assign(label=1.0))
    model = found["nomogram"]
    assert model.fit is None
    assert model.nomogram(**WORDS) is None
    assert calculator(model.nomogram(**WORDS)) == ""
    assert model.axes(**WORDS).empty
    assert model.example(**WORDS).empty
    assert model.size["n"] == 0
    assert "can not be fitted" in model.note
    assert model.table().empty
    assert as_signatures(found, table).empty
    assert left_out(found, table).empty
    with pytest.raises(InputError, match="has no fit"):
        model.risk(table)


def test_probabilities_are_the_models(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    model = cox_models(cox_rows)["nomogram"]
    assert isinstance(model.fit, CoxFit)
    train = cox_rows[cox_rows["cohort"] == "train"]
    fit = fit_cox(train, "time", "event", ["signature_1", "signature_2", "age"])
    found = model.probability(cox_rows, [12.0, 24.0])
    np.testing.assert_allclose(found, 1 - predict_survival(fit, cox_rows, [12.0, 24.0]).to_numpy())
    with pytest.raises(InputError, match="horizon"):
        model.probability(cox_rows)
    own = label_models(table)["nomogram"]
    assert own.fit is not None
    np.testing.assert_allclose(own.probability(table), own.fit.predict(table))


def test_horizons_outside_the_follow_up_are_left_out(cox_rows: pd.DataFrame) -> None:
    model = cox_models(cox_rows)["nomogram"]
    drawn = model.nomogram(LABELS, outcome="survival", horizons=[12, 500])
    assert drawn is not None
    assert drawn.horizons == (12.0,)
    assert model.nomogram(LABELS, outcome="survival", horizons=[500]) is None


def test_example_adds_up(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    drawn = label_models(table)["nomogram"].nomogram(**WORDS)
    assert drawn is not None
    row = {axis.name: axis.typical for axis in drawn.predictors}
    pd.testing.assert_frame_equal(label_models(table)["nomogram"].axes(**WORDS), drawn.axes())
    example = label_models(table)["nomogram"].example(**WORDS).set_index("kind")
    assert example.loc["total", "points"] == pytest.approx(drawn.points(row).total)
    assert example.loc["predictor", "points"].sum() == pytest.approx(drawn.points(row).total)
    assert example.loc["result", "value"] == pytest.approx(float(drawn.predict(row).iloc[0]))
    timed = cox_models(cox_rows)["nomogram"].nomogram(LABELS, outcome="survival", horizons=[12, 24])
    assert timed is not None
    assert timed.example().query("kind == 'result'")["label"].tolist() == [" at 12 months", " at 24 months"]


def test_who_can_not_be_predicted_is_counted(table: pd.DataFrame) -> None:
    odd = table.assign(invasion=table["invasion"].astype(object))
    odd.loc[odd["subject"] == "s150", "invasion"] = "perhaps"
    odd.loc[odd["subject"].isin(["s151", "s152"]), "age"] = np.nan
    found = label_models(odd)
    assert len(found["nomogram"].known(odd)) == 157
    assert set(as_signatures(found, odd).groupby("signature", observed=True).size()) == {157}
    assert left_out(found, odd).to_dict("records") == [
        {"cohort": "external", "n": 60, "left_out": 3, "column": "age", "patients": 2},
        {"cohort": "external", "n": 60, "left_out": 3, "column": "", "patients": 1},
    ]
    assert left_out(label_models(table), table).empty


def test_a_nomogram_is_judged_as_any_signature(table: pd.DataFrame) -> None:
    found = label_models(table)
    rows = as_signatures(found, table)
    assert rows.groupby("kind", observed=True).size().to_dict() == {"apparent": 400, "external": 240}
    scores = measure(rows, discrimination).set_index(["cohort", "signature"])
    external = table[table["cohort"] == "external"]
    fits = {name: m.fit for name, m in found.items()}
    risk = {name: fit.linear_predictor(external) for name, fit in fits.items() if fit is not None}
    assert scores.loc[("external", "nomogram"), "value"] == pytest.approx(auc(external["label"], risk["nomogram"]).auc)
    gaps = measure(rows, pairs, by=("cohort",)).query("cohort == 'external' and signature_a == 'nomogram'")
    paired = delong_test(external["label"], risk["nomogram"], risk["signature, refitted"])
    own = gaps.set_index("signature_b").loc["signature, refitted"]
    assert own["difference"] == pytest.approx(paired.difference)
    assert own["p"] == pytest.approx(paired.p)


def test_signature_alone_ranks_as_its_risk(cox_rows: pd.DataFrame) -> None:
    found = cox_models(cox_rows, ONE)
    rows = as_signatures(found, cox_rows)
    scores = measure(rows, discrimination, outcome=SURVIVAL).set_index(["cohort", "signature"])
    part = cox_rows[cox_rows["cohort"] == "external"]
    row = scores.loc[("external", "signature, refitted")]
    assert row["value"] == pytest.approx(concordance(part["time"], part["event"], part["signature_1"]).concordance)
    assert row["measure"] == "C-index"
    gaps = measure(rows, pairs, by=("cohort",), outcome=SURVIVAL, n_bootstrap=30, seed=7)
    own = gaps.query("cohort == 'external' and signature_a == 'nomogram'").set_index("signature_b")
    rival = found["nomogram"].risk(part)
    paired = concordance_difference(part["time"], part["event"], rival, part["signature_1"], n_resamples=30, seed=7)
    assert own.loc["signature, refitted", "p"] == pytest.approx(paired.p)  # by the jackknife, as in chapter 06


def test_one_class_in_a_cohort_is_missing(table: pd.DataFrame) -> None:
    found = label_models(table)
    one = table.assign(label=np.where(table["cohort"] == "external", 1.0, table["label"]))
    scores = measure(as_signatures(found, one), discrimination)
    assert scores.loc[scores["cohort"] == "external", "value"].isna().all()
    assert scores.loc[scores["cohort"] == "train", "value"].notna().all()


def test_optimism_is_measured_in_training(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    found = label_models(table)
    nothing = label_models(table.assign(label=1.0))["nomogram"]
    rows = optimism([found["nomogram"], nothing], table, 8, 7)
    train = measure(as_signatures(found, table), discrimination).set_index(["cohort", "signature"])
    assert rows.loc[0, "apparent"] == pytest.approx(train.loc[("train", "nomogram"), "value"])
    assert rows.loc[0, "corrected"] == pytest.approx(rows.loc[0, "apparent"] - rows.loc[0, "optimism"])
    assert rows["resamples"].tolist() == [8, 0]
    assert optimism([cox_models(cox_rows)["nomogram"]], cox_rows, 4)["measure"].tolist() == ["C-index"]


def test_a_refit_keeps_the_reference_level(table: pd.DataFrame) -> None:
    model = label_models(table)["nomogram"]
    train = table[table["cohort"] == "train"]
    again = model.refit(train)
    np.testing.assert_allclose(again.probability(train), model.probability(train))
    assert again.reference == {"invasion": "no"}


def test_ratios_per_standard_deviation(table: pd.DataFrame) -> None:
    train = table[table["cohort"] == "train"]
    sd = train[["signature_1"]].std()
    scaled = fit_logistic(train.assign(signature_1=train["signature_1"] / sd["signature_1"]), "label", ["signature_1"])
    row = scaled.table[scaled.table["covariate"] == "signature_1"].iloc[0]
    found = alone(table, ["signature_1", "age"], sd=sd).set_index("term")
    keys = ["odds_ratio", "ci_low", "ci_high"]
    np.testing.assert_allclose(found.loc["signature_1", keys].astype(float), row[keys].astype(float), rtol=1e-6)
    assert found.loc["age", "odds_ratio"] == alone(table, ["age"]).loc[0, "odds_ratio"]


def test_the_models_table_tests_each_predictor(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    rows = label_models(table)["nomogram"].table()
    assert rows["term"].tolist() == ["signature_1", "age", "invasion", "invasion"]
    assert rows["reference"].tolist() == [False, False, True, False]
    assert rows["p_term"].notna().all()
    assert "hr" in cox_models(cox_rows)["nomogram"].table()


def test_a_nomogram_is_judged_within_the_centers_of_a_cohort(table: pd.DataFrame) -> None:
    """As chapter 08 does it: a center whose risks all lie higher moves the pooled value alone."""
    rows = as_signatures(label_models(table), table)
    rows = rows.assign(center=np.where(rows["label"] == 1, "a", "b"))
    mixed = rows["subject"].str[1:].astype(int) % 3 == 0
    rows["center"] = rows["center"].mask(mixed, np.where(rows["center"] == "a", "b", "a"))
    rows["risk"] += 5.0 * (rows["center"] == "a")
    scores = measure(rows, discrimination)
    row = scores.query("cohort == 'external' and signature == 'nomogram'").iloc[0]
    own = rows.query("cohort == 'external' and signature == 'nomogram'")
    wins = []
    for _, part in own.groupby("center"):
        ill, well = part.loc[part["label"] == 1, "risk"].to_numpy(), part.loc[part["label"] == 0, "risk"].to_numpy()
        wins += [*((np.sign(ill[:, None] - well) + 1) / 2).ravel()]
    assert row["within"] == pytest.approx(np.mean(wins))
    assert row["value"] == pytest.approx(auc(own["label"], own["risk"]).auc)
    assert row["centers"] == 2
    assert row["within_low"] < row["within"] < row["within_high"]
    assert abs(row["within"] - row["value"]) > 0.01
    centers = measure(rows, discrimination, ["cohort", "signature", "center"], fewest=5)
    words = pooling(scores, centers, {"train": "A", "external": "B"})
    assert f"- B, nomogram: AUC {row['within']:.2f} (" in words
    assert f"within 2 centers, {row['value']:.3f} pooled" in words


def test_gaps_are_filled_several_times_and_pooled(table: pd.DataFrame, cox_rows: pd.DataFrame) -> None:
    rng = np.random.default_rng(2)
    for outcome, found, ratio in ((("label",), label_models, "odds_ratio"), (SURVIVAL, cox_models, "hr")):
        rows = table if outcome == ("label",) else cox_rows
        holed = rows.assign(age=rows["age"].mask(rng.random(len(rows)) < 0.3))
        model = found(holed)["nomogram"]
        several = model.imputed(holed, LABELS, draws=5)
        train = holed[holed["cohort"] == "train"]
        assert several["n"].unique().tolist() == [len(train)]
        assert several["complete"].unique().tolist() == [len(train) - train["age"].isna().sum()]
        assert several[ratio].tolist() == pytest.approx(np.exp(model.fit.coef).tolist())
        assert several["missing"].between(0, 1).all()
        again = model.imputed(holed, LABELS, draws=5)
        pd.testing.assert_frame_equal(again, several)
        assert "No value" in model.imputed(rows, LABELS).attrs["empty"]


def test_what_fills_gaps_knows_the_cumulative_hazard() -> None:
    rows = pd.DataFrame({"time": [1.0, 2.0, 2.0, 5.0], "event": [1, 1, 0, 1]})
    found = _of_outcome(rows, SURVIVAL)
    assert found["hazard"].tolist() == pytest.approx([1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1])
    assert found["outcome"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("outcome", [("label",), ("time", "event")])
def test_a_ratio_per_sd_is_that_of_a_scaled_column_however_small_its_unit(outcome: tuple[str, ...]) -> None:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"subject": [str(i) for i in range(80)], "cohort": "train", "x": rng.normal(size=80)})
    frame["time"], frame["event"] = rng.exponential(np.exp(-frame["x"])), 1
    frame["label"] = (rng.random(80) < 1 / (1 + np.exp(-frame["x"]))).astype(int)
    sd, ratio = float(frame["x"].std()), "hr" if len(outcome) == 2 else "odds_ratio"
    scaled = alone(frame.assign(x=frame["x"] / sd), ["x"], outcome)
    tiny = alone(frame.assign(x=frame["x"] * 1e-5), ["x"], outcome, sd={"x": sd * 1e-5})
    for column in (ratio, "ci_low", "ci_high"):
        assert tiny[column].iloc[0] == pytest.approx(scaled[column].iloc[0], rel=1e-6)
