"""What chapter 07 concludes from its tables."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import survival as say
from radsupport.evaluate.regression import COVARIATES, GLOBAL, SIGNATURE, CoxData
from radsupport.settings.parts import Label

LABELS = {"age": "Age (years)", "stage": "Stage", "sex": "Sex"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((12.34, 8.0, 20.0), "12.3 (8.0–20.0)"),
        ((12.34, 8.0, np.inf), "12.3 (8.0–not reached)"),
        ((12.34, 8.0, np.nan), "12.3 (8.0–not estimable)"),
        ((np.inf, 8.0, np.inf), "not reached (from 8.0)"),
        ((np.inf, np.inf, np.inf), "not reached"),
        ((np.nan, 8.0, np.inf, 4.0), "not estimable, 4 at risk (from 8.0)"),
        ((np.nan, np.nan, np.nan), "not estimable"),
        ((12.34, np.inf, np.inf), "12.3 (no interval)"),
        ((1.2, -3.0, 5.0), "1.2 (\u22123.0 to 5.0)"),
        ((np.nan, np.nan, np.nan, np.nan, "–"), "–"),
    ],
)
def test_times_and_their_open_ends_in_words(values: Any, words: str) -> None:
    assert say.time_cell(*values) == words


def test_a_searched_cut_off_shows_its_raw_p_and_the_one_that_allows_for_the_search() -> None:
    assert say.rule_cell(20.0, 10.0, 0.0123, np.nan) == "20 / 10, P = 0.012"
    assert say.rule_cell(20.0, 10.0, 0.0123, 0.2) == "20 / 10, P = 0.012 (0.20 with the search allowed for)"
    assert say.search_allowed(np.nan) == ""
    table = say.worded(rules(rule="max_logrank", p=0.0123, p_search=0.2), "max_logrank", "Hospital A")
    assert table.attrs["said"].startswith("From here on the cut-off is that of this page's rule, maximally selected")
    assert table["in_words"].tolist() == ["maximally selected log-rank"] * 2
    assert table["cell"].tolist()[0] == "45 / 45, P = 0.012 (0.20 with the search allowed for)"
    assert table["searched"].tolist() == ["0.20 with the search allowed for", ""]


def rules(**changes: Any) -> pd.DataFrame:
    row = {"signature": "Image", "cohort": "Hospital A", "n": 90, "rule": "median", "used": True, "cut_off": 0.5}
    row |= {"by_outcome": "no" if changes.get("rule", "median") == "median" else "yes"}
    own = row | {"low": 45, "high": 45, "p_search": np.nan} | changes
    return pd.DataFrame([own, own | {"cohort": "Hospital B", "n": 40, "low": 30, "high": 10, "p_search": np.nan}])


def test_cut_offs_are_named_with_their_rule() -> None:
    words = say.cut_offs(rules(), "median", "Hospital A")
    assert words == "From here on the cut-off is that of this page's rule, median: **Image** 0.500."


def test_searched_cut_offs_say_that_their_p_is_too_small() -> None:
    searched = rules(rule="max_logrank", p_search=0.0123)
    words = say.cut_offs(searched, "max_logrank", "Hospital A")
    assert "In Hospital A the cut-off was chosen by the outcome" in words
    assert "allows for the search: **Image** 0.012." in words
    youden = say.cut_offs(rules(rule="youden"), "youden", "Hospital A")
    assert "chosen by the outcome" in youden
    assert "allows for the search" not in youden
    assert "chosen by the outcome" not in say.cut_offs(rules(), "median", "Hospital A")
    own = say.cut_offs(rules(rule="the function f", by_outcome="perhaps"), "the function f", "Hospital A")
    assert "this page's rule, the function f" in own
    assert "may have been chosen by the outcome, so the P-values of its groups may be too small" in own


def test_a_rule_that_finds_nothing_and_one_group_are_said() -> None:
    lost = pd.DataFrame([{"signature": "Image", "rule": "max_logrank", "used": False, "cut_off": np.nan}])
    words = say.cut_offs(pd.concat([lost, rules()]), "max_logrank", "Hospital A")
    assert "finds no cut-off for Image; there the median stands in." in words
    alone = say.cut_offs(rules(low=90, high=0), "median", "Hospital A")
    assert "**Only one group.** The cut-off of Image puts all 90 patients of Hospital A at low risk: there" in alone


def test_end_of_the_curves_and_pooling() -> None:
    times = pd.DataFrame({"signature": "Image", "cohort": "Hospital A", "group": ["low risk", "high risk"]})
    sets = pd.DataFrame({"cohort": ["all cohorts, pooled"], "n": [130], "training": [90]})
    words = say.curves(times.assign(end=[51.4, 20.0]), sets)
    assert words.startswith("Of the groups of **Image**, fewer than 5 patients are at risk after these months: ")
    assert "Hospital A: low risk 51.4, high risk 20.0." in words
    assert "90 of the 130 patients of all cohorts are those on whom" in words
    assert "Pooling" not in say.curves(times.assign(end=1.0), sets.assign(training=0))


def test_incidence_says_by_how_much_kaplan_meier_overstates() -> None:
    groups = {"group": ["low risk", "high risk"] * 2, "time": [12.0, 12, 24, 24], "n": [70, 72] * 2}
    values = {
        "incidence": [0.1, 0.3, 0.2, 0.5],
        "one_minus_km": [0.1, 0.3, 0.212, 0.554],
        "competing_events": [8, 6] * 2,
    }
    table = pd.DataFrame({"cohort": "training"} | groups | values)
    table = table.assign(incidence_low=0.4, incidence_high=0.6, overstated=table["one_minus_km"] - table["incidence"])
    assert say.incidence(table, "recurrence", "death without recurrence") == (
        "At 24 months 1 − KM overstates the incidence of recurrence by 1.2 to 5.4 percentage points, by group, most in "
        "high risk of training, where death without recurrence ended the follow-up of 6 of 72 patients: 55% by 1 − KM, "
        "50% (95% CI 40% to 60%) by the cumulative incidence."
    )
    unknown = table.assign(incidence=table["incidence"].mask(table["time"] > 12))  # nobody is followed to 24 months
    assert say.incidence(unknown, "recurrence", "death").startswith("By 12 months 1 − KM and the cumulative incidence")
    assert say.incidence(pd.DataFrame(), "recurrence", "death") == ""


def test_ratios_that_needed_more_than_a_plain_fit() -> None:
    table = pd.DataFrame({"signature": "Image", "cohort": "Hospital A", "contrast": "per SD", "note": ["", "odd"]})
    assert say.hazard_ratios(table).endswith("have none – Image in Hospital A, per SD: odd.")
    assert say.hazard_ratios(table.head(1)) == ""


def data(**changes: Any) -> CoxData:
    table = pd.DataFrame({"age": [60.0, 61.0], "stage": pd.Categorical(["I", "II"])})
    merges = pd.DataFrame(columns=["column", "level", "n", "merged"])
    given: dict[str, Any] = {"covariates": ["age", "stage"], "constant": [], "merges": merges, "names": {}} | changes
    return CoxData(table=table, **given)


def test_the_model_says_what_it_rests_on() -> None:
    fit: Any = SimpleNamespace(coef=pd.Series([1.0, 2.0]), n=90, n_events=30, n_missing=2)
    alone = pd.DataFrame({"term": ["age", SIGNATURE], "hr": [0.5, 1.5]})
    words = say.model(data(), fit, "", alone, LABELS, "Image")
    assert "2 coefficients for 30 events in 90 patients (15.0 events per coefficient)" in words
    fewer: Any = SimpleNamespace(coef=pd.Series([1.0, 2.0]), n=90, n_events=19, n_missing=2)
    unstable = say.model(data(), fewer, "", alone, LABELS, "Image")
    assert "(9.5 events per coefficient; with fewer than about 10 the ratios are unstable)" in unstable
    assert ", 2 left out for missing values." in words
    assert words.endswith("Every level has events, so no levels are merged and no penalty is needed.")
    assert "It needed Firth's penalty" in say.model(data(), fit, "Firth's penalty", alone, LABELS, "Image")
    merges = pd.DataFrame([{"column": "stage", "level": "II", "n": 9, "merged": "I or II"}])
    merged = say.model(data(merges=merges, constant=["age"]), fit, "", alone, LABELS, "Image")
    assert merged.startswith(
        "Stage: none of the 9 patients with II had the event, so I or II is one level. Age (years) is"
    )
    assert "Every level has events" not in merged
    assert "can not be fitted: no event." in say.model(data(), None, "no event", alone, LABELS, "Image")


def test_a_signature_used_backwards_is_said() -> None:
    alone = pd.DataFrame({"term": ["age", SIGNATURE], "hr": [0.5, 0.62], "ci_low": 0.4, "ci_high": 0.95})
    words = say.model(data(), None, "none", alone, LABELS, "Image")
    assert "**Used backwards.**" in words
    assert "hazard ratio 0.62 (0.40–0.95) per SD" in words
    for hr in (1.5, np.nan):
        assert "backwards" not in say.model(data(), None, "none", alone.assign(hr=hr), LABELS, "Image")
    open_ended = say.model(data(), None, "none", alone.assign(hr=0.87, ci_high=1.92), LABELS, "Image")
    assert "backwards" not in open_ended
    assert open_ended.endswith(
        "Which way Image points can not be told among these patients (hazard ratio 0.87 (0.40–1.92) per SD)."
    )


def test_selection_says_what_was_kept_and_what_the_signature_is_tested_against() -> None:
    kept: Any = SimpleNamespace(terms=["age"], path=[0, 1])
    assert say.selection(kept, LABELS, "Image").startswith("Backward selection keeps Age (years). P-values")
    only: Any = SimpleNamespace(terms=["age"], path=[0])
    words = "There is one characteristic, Age (years): AIC is lower with it than without, so it stays."
    assert say.selection(only, LABELS, "Image") == words
    none: Any = SimpleNamespace(terms=[], path=[0, 1])
    words = "Backward selection keeps none.\n\nNo characteristic is kept, so Image is tested against"
    assert say.selection(none, LABELS, "Image").startswith(words)
    assert "There is no model of the characteristics, so Image" in say.selection(None, LABELS, "Image")


RATIO = {"hr": 1.5, "hr_low": 1.1, "hr_high": 2.1}
GAIN = RATIO | {"model": "covariates + Image", "n": 76, "events": 35, "chi2": 5.256, "df": 1}


def test_what_a_signature_adds_is_said_with_its_test() -> None:
    gain = pd.DataFrame([{"model": "covariates", "n": 76, "events": 35, "p_lr": np.nan}, GAIN | {"p_lr": 0.0219}])
    assert say.added_value(gain, "Image") == (
        "In training, Image adds to the characteristics kept (chosen on the same patients): likelihood-ratio χ² 5.26 "
        "on 1 df, P = 0.022 (35 events in 76 patients); hazard ratio per SD 1.50 (1.10–2.10)."
    )
    assert "is not shown to add to" in say.added_value(gain.assign(p_lr=[np.nan, 0.14]), "Image")
    turned = say.added_value(gain.assign(hr=0.5), "Image")
    assert "adds to the characteristics kept (chosen on the same patients), but pointing against" in turned
    assert "pointing" not in say.added_value(gain.assign(hr=0.9, p_lr=[np.nan, 0.5]), "Image")
    assert "adds to a model without any predictor: " in say.added_value(gain.tail(1).assign(model="Image"), "Image")
    assert say.added_value(gain.head(1), "Image") == say.added_value(pd.DataFrame(), "Image") == ""
    assert say.selection(None, {}, "Image", gain).endswith(f"\n\n{say.added_value(gain, 'Image')}")
    assert say.selection(None, {}, "Image", gain.head(1)) == say.selection(None, {}, "Image")


def test_only_patients_whose_outcome_is_known_can_be_called_wrong() -> None:
    table = pd.DataFrame({"label": [1, 1, 0, 0, 0], "time": [5.0, 70, 60, 59, 80], "cohort": "Hospital A"})
    table["group"] = ["low risk", "high risk", "high risk", "high risk", "low risk"]
    label = Label(column="label", name="recurrence", positive="event", negative="free", horizon_months=60)
    words = say.wrong_groups(table, label, "")
    assert words.startswith(
        "Whom the groups get wrong – Hospital A: 1 of 2 “event” called low risk and 1 of 2 “free” called high risk. "
        "1 of the 3 patients labelled “free” are not counted: their follow-up ended before 60 months"
    )
    at_once = say.wrong_groups(table, label.model_copy(update={"horizon_months": None, "known": "at_once"}), "")
    assert at_once.endswith("1 of 2 “event” called low risk and 2 of 3 “free” called high risk.")
    later = say.wrong_groups(table, label.model_copy(update={"horizon_months": None, "known": "during_follow_up"}), "")
    assert "“free” called" not in later
    assert "3 of the 3 patients labelled “free” are not counted: their follow-up ended, so" in later
    assert say.wrong_groups(table, None, "no death seen").startswith('"No death seen" may only mean that')


def test_hazards_words_follow_the_p_values() -> None:
    def table(*p: float) -> pd.DataFrame:
        chi2 = stats.chi2.isf(p, 1)
        return pd.DataFrame({"covariate": [*["age", "sex"][: len(p) - 1], GLOBAL], "p": p, "chi2": chi2, "df": 1})

    assert "effect of Age (years) (P = 0.010) seems to change" in say.hazards(table(0.01, 0.2), LABELS)
    assert "effects of Age (years) (P = 0.010) and Sex (P = 0.010) seem" in say.hazards(table(0.01, 0.01, 0.2), LABELS)
    assert "No covariate has P below 0.05" in say.hazards(table(0.2, 0.2), LABELS)
    assert "all together do" in say.hazards(table(0.2, 0.01), LABELS)
    assert "There is no model" in say.hazards(pd.DataFrame(), LABELS)
    related = table(0.04, 0.2, 0.001).assign(chi2=[4.2, 1.6, 13.8], df=[1, 1, 2])
    words = say.hazards(related, LABELS)
    assert (
        "The global χ² (13.8 on 2 df) is more than the single ones add up to (5.8): the covariates are related" in words
    )
    assert "add up" not in say.hazards(related.assign(chi2=[4.2, 8.0, 13.8]), LABELS)


def test_the_parametric_model_that_fits_best_is_set_against_the_cox_model() -> None:
    families = pd.DataFrame({"model": ["Weibull", "log-normal", "c"], "aic": [301.26, 300.0, np.nan], "note": ""})
    judged = pd.DataFrame(
        {
            "cohort": ["training", "training", "training", "external"],
            "signature": ["log-normal", COVARIATES, COVARIATES, COVARIATES],
            "horizon": [24.0, 24.0, 12.0, 24.0],
            "predicted": [0.452, 0.44, 0.2, 0.3],
            "observed": [0.43, 0.43, 0.2, 0.3],
            "most_apart": [0.117, 0.0, 0.0, 0.0],
            "n": 44,
            "of": 44,
            "c_index": 0.8,
        }
    )
    assert say.parametric(families, judged) == (
        "By AIC the log-normal model fits best (300.0), 1.3 below the Weibull model; a difference below 2 hardly tells "
        "them apart.\n\nIts mean predicted probability of the event – training, 24 months: 45% against 44% by the Cox "
        "model, 43% observed (Kaplan–Meier); single patients differ by up to 12 percentage points."
    )
    fewer = judged.assign(of=[56, 56, 44, 44])
    words = say.parametric(families, fewer, apparent=0.781)
    assert "models predict: 44 of 56 in training of those whom the Cox model predicts." in words
    assert "in training reaches 0.80, above the apparent one of 0.78: that is chance and other patients, for" in words
    assert "Out of fold" not in say.parametric(families, fewer, apparent=0.81)
    worse = say.parametric(families, judged.assign(c_index=0.402, c_index_low=0.32, c_index_high=0.484))
    assert "**Worse than chance**: " in worse
    assert " in training 0.40 (0.32–0.48)" in worse
    far = families.assign(aic=[310.0, 300.0, np.nan])
    assert say.parametric(far, judged.head(0)) == (
        "By AIC the log-normal model fits best (300.0), 10.0 below the Weibull model."
    )
    assert say.parametric(families.assign(aic=np.nan), judged).startswith("None of the parametric models can be fitted")
    assert say.parametric(families.head(0), judged) == ""


def test_horizons_below_chance_and_out_of_reach() -> None:
    areas = pd.DataFrame({"signature": "Image", "cohort": "Hospital A", "time": [12.0, 24.0], "auc_high": [0.8, 0.4]})
    missing = pd.DataFrame({"cohort": "Hospital B", "time": [12.0, 24.0]})
    words = say.horizons(areas, missing)
    assert "for Image in Hospital A at 24 months:" in words
    assert "2 intervals were looked at" in words
    need = "fewer than 5 patients had the event by then, or are followed beyond"
    assert words.endswith(f"Not shown: 12 and 24 months in Hospital B ({need}).")
    assert say.horizons(areas.head(1), missing.head(0)) == ""
    assert say.horizons(pd.DataFrame(), pd.DataFrame()) == ""


def test_curves_of_the_error_rest_on_common_patients() -> None:
    table = pd.DataFrame({"cohort": ["Hospital A", "Hospital B"], "n": [90, 38], "most": [90, 40]})
    assert "(38 of 40 in Hospital B)" in say.common_patients(table)
    assert say.common_patients(table.head(1)) == ""


def reading(table: pd.DataFrame, **given: Any) -> str:
    return say.reading(table, **given)[1]


def test_reading_names_every_cohort() -> None:
    row = {"signature": "Image", "n": 90, "events": 30, "c_index": 0.7, "c_index_low": 0.6, "c_index_high": 0.8}
    table = pd.DataFrame([row | {"cohort": "Hospital A"}, row | {"cohort": "Hospital B", "c_index_low": 0.4}])
    words = reading(table.assign(p_groups=0.01), searched=True)
    assert "- Hospital A, Image: 30 events in 90 patients; C-index 0.70 (0.60–0.80), which does not cover 0.5" in words
    assert "0.70 (0.40–0.80), which covers 0.5; log-rank P of the groups = 0.010." in words
    near = reading(table.assign(p_groups=0.01, c_index_low=[0.504, 0.496]), searched=True)
    assert "0.700 (0.504–0.800), which does not cover 0.5" in near
    assert "0.700 (0.496–0.800), which covers 0.5" in near
    assert words.count("searched here") == 1
    assert "- The cut-off was chosen in Hospital A; Hospital B is the test." in words
    third = pd.concat([table, table.tail(1).assign(cohort="Hospital C")]).assign(p_groups=0.01)
    assert "Hospital B and Hospital C are the test." in reading(third, searched=True)
    alone = reading(table.head(1).assign(p_groups=0.01), searched=False)
    assert "searched here" not in alone
    assert "Nobody outside the training cohort" in alone
    several = table.assign(p_groups=0.01, within=[0.61, np.nan], within_low=[0.5, np.nan], within_high=[0.7, np.nan])
    assert "30 events in 90 patients (death); C-index" in reading(several, searched=False, event="death")
    words = reading(several, searched=False)
    assert "C-index 0.610 (0.500–0.700) within centers, 0.70 pooled; log-rank" in words
    few = table.assign(c_index_low=np.nan, c_index_high=np.nan, p_groups=np.nan, note="no event in low risk")
    words = reading(few, searched=False)
    assert "C-index 0.70 without an interval; the groups are not compared (no event in low risk)." in words
    assert "NA" not in words


def test_the_short_answer_has_a_line_a_question() -> None:
    row = {"signature": "Image", "n": 90, "events": 30, "c_index": 0.7, "c_index_low": 0.6, "c_index_high": 0.8}
    low = {"cohort": "Hospital B", "c_index_low": 0.4, "p_groups": 0.2}
    table = pd.DataFrame([row | {"cohort": "Hospital A", "p_groups": 0.01}, row | low])
    first, groups = say.reading(table, searched=True, event="death")[0].splitlines()
    assert first == (
        "C-index of Image (death), whose 95% interval leaves out 0.5 in Hospital A, 0.70 (0.60–0.80; 30 events in 90 "
        "patients); covers 0.5 in Hospital B, 0.70 (0.40–0.80; 30 events in 90 patients)."
    )
    assert groups == (
        "Log-rank P of its risk groups: 0.010 in Hospital A (too small: the cut-off was searched there) and 0.20 in "
        "Hospital B."
    )
    under = say.reading(table.head(1).assign(c_index=0.4, c_index_low=0.3, c_index_high=0.496), searched=False)[0]
    assert "**lies below 0.5** in Hospital A, 0.400 (0.300–0.496; 30" in under.replace("0.40 (0.30–0.50", "")
    assert under.splitlines()[-1].startswith("**Nobody outside the training cohort is followed**")
    none = table.assign(note="no event", c_index=np.nan, c_index_low=np.nan, c_index_high=np.nan, p_groups=np.nan)
    assert "nan" not in say.reading(none, searched=False)[0]
    assert say.reading(table.head(0), searched=False)[0] == ""
    gain = pd.DataFrame([{"model": "covariates + Both", "n": 90, "events": 30, "p_lr": 0.01, "chi2": 6.6, "df": 1}])
    gain = gain.assign(hr=1.5, hr_low=1.1, hr_high=2.0)
    adds = say.reading(table, searched=True, gain=gain, added="Both", parts=["R", "age"])[0].splitlines()[-1]
    assert adds.startswith("In training, Both (made of R and age; not Image, which divides the groups) adds to the")
