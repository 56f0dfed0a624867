"""Probabilities from risks: fitted on training out-of-fold risks only, and never on one's own fold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from lifelines import CoxPHFitter

from radsupport.evaluate import probability as recalibration
from radsupport.evaluate.predictions import honest
from radsupport.stats.survival_curves import kaplan_meier


def rows_of(predictions, cohort, name="A"):
    part = honest(predictions, cohort)
    return part[part["signature"] == name]


def test_probabilities_stay_as_they_are(labelled):
    study, _, predictions = labelled
    locked = recalibration.locked_recalibrations(predictions, study)
    rows = rows_of(predictions, "external")
    np.testing.assert_array_equal(locked["A"].probability(rows), rows["risk"])
    table = recalibration.recalibration_table(locked)
    assert list(table["rule"]) == [recalibration.AS_GIVEN] * 3
    assert list(table["n"]) == [60] * 3


def test_a_published_output_is_translated_though_it_lies_between_0_and_1(labelled, make_study):
    _, _, predictions = labelled
    given = {"name": "A", "sources": ["deep_published"], "learner": "published"}
    study = make_study(signatures=[given, {"name": "B", "sources": ["radiomics"]}])
    pushed = predictions.assign(risk=1 - (1 - predictions["risk"]) / 20)
    locked = recalibration.locked_recalibrations(pushed, study)
    assert locked["A"].whole.rule == recalibration.LOG_ODDS
    assert locked["B"].whole.rule == recalibration.AS_GIVEN
    train, elsewhere = rows_of(pushed, "train"), rows_of(pushed, "external")
    entered = sm.add_constant(recalibration.log_odds(train["risk"]))
    fit = sm.Logit(train["label"].to_numpy(), entered).fit(disp=0)
    expected = fit.predict(sm.add_constant(recalibration.log_odds(elsewhere["risk"])))
    np.testing.assert_allclose(locked["A"].probability(elsewhere), expected, rtol=1e-5)
    assert locked["A"].probability(train).mean() == pytest.approx(train["label"].mean(), abs=0.05)
    row = recalibration.recalibration_table(locked).iloc[0]
    assert row["slope"] == pytest.approx(fit.params[1] * entered[:, 1].std(ddof=1), rel=1e-5)


def test_scores_of_a_label_become_probabilities_by_logistic_regression_on_training(labelled):
    study, _, predictions = labelled
    scored = predictions.assign(risk=recalibration.log_odds(predictions["risk"]))
    locked = recalibration.locked_recalibrations(scored, study)["A"]
    train, elsewhere = rows_of(scored, "train"), rows_of(scored, "external")
    fit = sm.Logit(train["label"].to_numpy(), sm.add_constant(train["risk"].to_numpy())).fit(disp=0)
    expected = fit.predict(sm.add_constant(elsewhere["risk"].to_numpy()))
    np.testing.assert_allclose(locked.probability(elsewhere), expected, rtol=1e-6)
    assert locked.whole.slope == pytest.approx(fit.params[1], rel=1e-6)
    assert locked.whole.ci_low == pytest.approx(fit.conf_int()[1, 0], rel=1e-5)
    row = recalibration.recalibration_table({"A": locked}).iloc[0]
    expected = np.array([fit.params[1], *fit.conf_int()[1]]) * np.std(train["risk"], ddof=1)  # per SD
    np.testing.assert_allclose(row[["slope", "slope_low", "slope_high"]].astype(float), expected, rtol=1e-5)


@pytest.mark.parametrize("survival", [False, True])
def test_nobody_s_own_fold_enters_the_own_probability(labelled, followed, survival):
    study, _, predictions = followed if survival else labelled
    if not survival:
        predictions = predictions.assign(risk=recalibration.log_odds(predictions["risk"]))
    times = [12.0] if survival else None
    before = recalibration.locked_recalibrations(predictions, study)["A"]
    fold = predictions["fold"] == 2
    column = "event" if survival else "label"
    changed = predictions.assign(**{column: predictions[column].mask(fold, 1 - predictions[column])})
    after = recalibration.locked_recalibrations(changed, study)["A"]
    train = rows_of(predictions, "train")
    first, second = before.probability(train, times), after.probability(train, times)
    own = (train["fold"] == 2).to_numpy()
    np.testing.assert_array_equal(first[own], second[own])
    assert (first[~own] != second[~own]).all()


def test_outcomes_elsewhere_never_enter(followed):
    study, _, predictions = followed
    elsewhere = predictions["cohort"] != "train"
    changed = predictions.assign(event=predictions["event"].mask(elsewhere, 0.0))
    a, b = (recalibration.locked_recalibrations(p, study)["A"] for p in (predictions, changed))
    rows = rows_of(predictions, "external")
    np.testing.assert_array_equal(a.probability(rows, [12, 24]), b.probability(rows, [12, 24]))


def test_survival_probabilities_are_those_of_a_cox_model_of_the_risk(followed):
    study, _, predictions = followed
    locked = recalibration.locked_recalibrations(predictions, study)["A"]
    train, elsewhere = rows_of(predictions, "train"), rows_of(predictions, "external")
    fit = CoxPHFitter().fit(train[["time", "event", "risk"]], "time", "event")
    found = locked.probability(elsewhere, [12, 24])
    assert locked.whole.slope == pytest.approx(fit.params_["risk"], rel=1e-4)
    # lifelines interpolates Breslow's baseline between event times: about, not exactly
    expected = 1 - fit.predict_survival_function(elsewhere, times=[12, 24]).to_numpy().T
    np.testing.assert_allclose(found, expected, atol=0.03)
    assert (found[:, 1] >= found[:, 0]).all()
    order = np.argsort(elsewhere["risk"].to_numpy())
    assert (np.diff(found[order, 0]) >= 0).all()


def test_a_constant_or_reversed_risk_gives_everybody_the_kaplan_meier_probability(followed):
    study, _, predictions = followed
    for risk, rule in ((predictions["risk"] * 0, "NOT_FITTED"), (-predictions["risk"], "BACKWARDS")):
        locked = recalibration.locked_recalibrations(predictions.assign(risk=risk), study)["A"]
        assert locked.whole.rule == getattr(recalibration, rule)
        train, elsewhere = rows_of(predictions, "train"), rows_of(predictions, "external")
        survival = kaplan_meier(train["time"], train["event"], [12, 24]).at_times["survival"]
        found = locked.probability(elsewhere.assign(risk=risk.loc[elsewhere.index]), [12, 24])
        np.testing.assert_allclose(found, np.tile(1 - survival, (50, 1)), rtol=1e-12)


def test_a_constant_score_of_a_label_gives_the_share_of_events(labelled):
    study, _, predictions = labelled
    locked = recalibration.locked_recalibrations(predictions.assign(risk=7.0), study)["A"]
    train = rows_of(predictions, "train")
    np.testing.assert_allclose(locked.probability(rows_of(predictions, "internal")), train["label"].mean())


def test_nothing_is_known_beyond_the_follow_up_of_training(followed):
    study, _, predictions = followed
    locked = recalibration.locked_recalibrations(predictions, study)
    late = rows_of(predictions, "train")["time"].max() + 1
    for name in ("A", "B"):
        assert np.isnan(locked[name].probability(rows_of(predictions, "external", name), [late])).all()


def test_folds_are_drawn_where_the_predictions_do_not_name_them(followed):
    study, _, predictions = followed
    locked = recalibration.locked_recalibrations(predictions.assign(fold=np.nan), study)["A"]
    assert len(locked.by_fold) == 10
    again = recalibration.locked_recalibrations(predictions.assign(fold=np.nan), study)["A"]
    train = rows_of(predictions, "train")
    np.testing.assert_array_equal(locked.probability(train, [12]), again.probability(train, [12]))


def test_a_single_event_leaves_no_folds(make_study):
    rows = pd.DataFrame(
        {
            "subject": list("abcd"), "cohort": "train", "signature": "A", "kind": "out_of_fold", "fold": np.nan,
            "risk": [0.1, 0.4, 0.2, 0.9], "label": np.nan, "time": [30.0, 40.0, 50.0, 20.0], "event": [0.0, 0, 0, 1],
        }
    )  # fmt: skip
    locked = recalibration.locked_recalibrations(rows, make_study(survival=True))["A"]
    assert locked.by_fold == {}
    assert locked.probability(rows, [25]).shape == (4, 1)


def test_log_odds_of_certainty_are_finite():
    assert np.isfinite(recalibration.log_odds([0, 1])).all()
    assert recalibration.log_odds([0.5])[0] == 0
