"""Probabilities from risks: fitted on training out-of-fold risks only, and never on one's own fold."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from helpers.validation_study import rows_of
from lifelines import CoxPHFitter

from radsupport.evaluate import judged, lock, probabilities
from radsupport.evaluate import probability as recalibration
from radsupport.evaluate.predictions import LABEL, SURVIVAL
from radsupport.learning.locked import Translation
from radsupport.stats.survival_curves import kaplan_meier


def test_probabilities_stay_as_they_are(labelled):
    _, _, predictions = labelled
    locked = lock(judged(predictions))
    rows = rows_of(predictions, "external")
    np.testing.assert_array_equal(locked["A"].probability(rows), rows["risk"])
    table = pd.DataFrame([one.row for one in locked.values()])
    assert list(table["rule"]) == [recalibration.AS_GIVEN] * 3
    assert list(table["n"]) == [60] * 3


def test_a_published_output_is_translated_though_it_lies_between_0_and_1(labelled):
    _, _, predictions = labelled
    pushed = predictions.assign(risk=1 - (1 - predictions["risk"]) / 20)
    locked = lock(judged(pushed), published=["A"])
    assert locked["A"].whole.rule == recalibration.LOG_ODDS
    assert locked["B"].whole.rule == recalibration.AS_GIVEN
    train, elsewhere = rows_of(pushed, "train"), rows_of(pushed, "external")
    entered = sm.add_constant(recalibration.log_odds(train["risk"]))
    fit = sm.Logit(train["label"].to_numpy(), entered).fit(disp=0)
    expected = fit.predict(sm.add_constant(recalibration.log_odds(elsewhere["risk"])))
    np.testing.assert_allclose(locked["A"].probability(elsewhere), expected, rtol=1e-5)
    assert locked["A"].probability(train).mean() == pytest.approx(train["label"].mean(), abs=0.05)
    row = locked["A"].row
    assert row["slope"] == pytest.approx(fit.params[1] * entered[:, 1].std(ddof=1), rel=1e-5)


def test_scores_of_a_label_become_probabilities_by_logistic_regression_on_training(labelled):
    _, _, predictions = labelled
    scored = predictions.assign(risk=recalibration.log_odds(predictions["risk"]))
    locked = lock(judged(scored))["A"]
    train, elsewhere = rows_of(scored, "train"), rows_of(scored, "external")
    fit = sm.Logit(train["label"].to_numpy(), sm.add_constant(train["risk"].to_numpy())).fit(disp=0)
    expected = fit.predict(sm.add_constant(elsewhere["risk"].to_numpy()))
    np.testing.assert_allclose(locked.probability(elsewhere), expected, rtol=1e-6)
    assert locked.whole.slope == pytest.approx(fit.params[1], rel=1e-6)
    assert locked.whole.ci_low == pytest.approx(fit.conf_int()[1, 0], rel=1e-5)
    row = pd.Series(locked.row)
    expected = np.array([fit.params[1], *fit.conf_int()[1]]) * np.std(train["risk"], ddof=1)  # per SD
    np.testing.assert_allclose(row[["slope", "slope_low", "slope_high"]].astype(float), expected, rtol=1e-5)


@pytest.mark.parametrize("survival", [False, True])
def test_nobody_s_own_fold_enters_the_own_probability(labelled, followed, survival):
    _, _, predictions = followed if survival else labelled
    if not survival:
        predictions = predictions.assign(risk=recalibration.log_odds(predictions["risk"]))
    times, outcome = ([12.0], SURVIVAL) if survival else (None, LABEL)
    before = lock(judged(predictions, outcome), outcome)["A"]
    fold = predictions["fold"] == 2
    column = "event" if survival else "label"
    changed = predictions.assign(**{column: predictions[column].mask(fold, 1 - predictions[column])})
    after = lock(judged(changed, outcome), outcome)["A"]
    train = rows_of(predictions, "train", "A", outcome)
    first, second = before.probability(train, times), after.probability(train, times)
    own = (train["fold"] == 2).to_numpy()
    np.testing.assert_array_equal(first[own], second[own])
    assert (first[~own] != second[~own]).all()


def test_outcomes_elsewhere_never_enter(followed):
    _, _, predictions = followed
    elsewhere = predictions["cohort"] != "train"
    changed = predictions.assign(event=predictions["event"].mask(elsewhere, 0.0))
    a, b = (lock(judged(p, SURVIVAL), SURVIVAL)["A"] for p in (predictions, changed))
    rows = rows_of(predictions, "external", "A", SURVIVAL)
    np.testing.assert_array_equal(a.probability(rows, [12, 24]), b.probability(rows, [12, 24]))


def test_survival_probabilities_are_those_of_a_cox_model_of_the_risk(followed):
    _, _, predictions = followed
    locked = lock(judged(predictions, SURVIVAL), SURVIVAL)["A"]
    train, elsewhere = rows_of(predictions, "train", "A", SURVIVAL), rows_of(predictions, "external", "A", SURVIVAL)
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
    _, _, predictions = followed
    for risk, rule in ((predictions["risk"] * 0, "NOT_FITTED"), (-predictions["risk"], "BACKWARDS")):
        locked = lock(judged(predictions.assign(risk=risk), SURVIVAL), SURVIVAL)["A"]
        assert locked.whole.rule == getattr(recalibration, rule)
        train = rows_of(predictions, "train", "A", SURVIVAL)
        survival = kaplan_meier(train["time"], train["event"], [12, 24]).at_times["survival"]
        turned = rows_of(predictions.assign(risk=risk), "external", "A", SURVIVAL)
        found = locked.probability(turned, [12, 24])
        np.testing.assert_allclose(found, np.tile(1 - survival, (50, 1)), rtol=1e-12)


def test_a_constant_score_of_a_label_gives_the_share_of_events(labelled):
    _, _, predictions = labelled
    locked = lock(judged(predictions.assign(risk=7.0)))["A"]
    train = rows_of(predictions, "train")
    np.testing.assert_allclose(locked.probability(rows_of(predictions, "internal")), train["label"].mean())


def test_nothing_is_known_beyond_the_follow_up_of_training(followed):
    _, _, predictions = followed
    locked = lock(judged(predictions, SURVIVAL), SURVIVAL)
    late = rows_of(predictions, "train", "A", SURVIVAL)["time"].max() + 1
    for name in ("A", "B"):
        assert np.isnan(locked[name].probability(rows_of(predictions, "external", name, SURVIVAL), [late])).all()


def test_folds_are_drawn_where_the_predictions_do_not_name_them(followed):
    _, _, predictions = followed
    locked = lock(judged(predictions.assign(fold=np.nan), SURVIVAL), SURVIVAL)["A"]
    assert len(locked.by_fold) == 10
    again = lock(judged(predictions.assign(fold=np.nan), SURVIVAL), SURVIVAL)["A"]
    train = rows_of(predictions, "train", "A", SURVIVAL)
    np.testing.assert_array_equal(locked.probability(train, [12]), again.probability(train, [12]))


def test_a_single_event_leaves_no_folds():
    rows = pd.DataFrame(
        {
            "subject": list("abcd"), "cohort": "train", "signature": "A", "kind": "out_of_fold", "fold": np.nan,
            "risk": [0.1, 0.4, 0.2, 0.9], "label": np.nan, "time": [30.0, 40.0, 50.0, 20.0], "event": [0.0, 0, 0, 1],
        }
    )  # fmt: skip
    locked = lock(judged(rows, SURVIVAL), SURVIVAL)["A"]
    assert locked.by_fold == {}
    assert locked.probability(rows, [25]).shape == (4, 1)


def test_log_odds_of_certainty_are_finite():
    assert np.isfinite(recalibration.log_odds([0, 1])).all()
    assert recalibration.log_odds([0.5])[0] == 0


def test_a_horizon_needs_five_events_before_and_five_patients_after():
    part = pd.DataFrame({"time": [1.0, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15], "event": [1.0] * 5 + [0.0] * 6})
    assert recalibration.usable_horizons(part, [4, 5, 10, 11, 50]) == [5, 10]


def test_rows_get_a_probability_by_each_horizon_that_can_be_judged(labelled, followed):
    _, _, predictions = followed
    rows = judged(predictions, SURVIVAL)
    locked = lock(rows, SURVIVAL)
    found = probabilities(rows, {"A": locked["A"]}, [12.0, 24.0, 500.0])
    assert set(found["signature"]) == {"A"}
    assert set(found["horizon"]) == {12.0, 24.0}
    part = rows_of(predictions, "internal", "A", SURVIVAL)
    own = found[(found["cohort"] == "internal") & (found["horizon"] == 12)]
    np.testing.assert_array_equal(own["probability"], locked["A"].probability(part, 12.0)[:, 0])
    assert probabilities(rows, {}, [12.0]).empty
    rows = judged(labelled[2])
    found = probabilities(rows, lock(rows))
    np.testing.assert_array_equal(found["probability"], found["risk"])
    assert "horizon" not in found


def test_patients_beyond_the_follow_up_of_their_model_are_left_out(followed):
    rows = judged(followed[2], SURVIVAL)

    class Short:
        def probability(self, part, times):
            return np.where(np.arange(len(part)) < 10, np.nan, 0.5)[:, None]

    found = probabilities(rows, {"A": Short()}, [12.0])
    assert found.groupby("cohort", observed=True).size().tolist() == [50, 30, 40]


def test_a_translation_of_a_locked_model_serves_its_own_kind_of_outcome_only(labelled):
    _, _, predictions = labelled
    by_label = Translation(rule="the risk itself", as_given=True)
    by_time = Translation(rule="Cox", slope=1.0, times=[6.0], hazard=[0.5], end=12.0)
    given = {name: SimpleNamespace(probability=told, n=9, events=4) for name, told in (("A", by_label), ("B", by_time))}
    rows = judged(predictions)
    assert set(lock(rows, LABEL, given=given)) == {"A"}
    assert set(lock(rows, SURVIVAL, given=given)) == {"B"}
