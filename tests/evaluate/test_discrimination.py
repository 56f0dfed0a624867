"""AUC and C-index per cohort, and their differences."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from radsupport import evaluate
from radsupport.errors import NotEstimableError
from radsupport.evaluate import judged, measure
from radsupport.evaluate.predictions import LABEL, SURVIVAL, judged_part
from radsupport.stats.bootstrap import bootstrap_auc
from radsupport.stats.concordance import concordance, uno_concordance
from radsupport.stats.roc import auc, delong_test, delong_unpaired, roc_curve

discrimination = import_module("radsupport.evaluate.discrimination")


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**20))
def test_the_null_p_is_that_of_the_mann_whitney_test_without_ties(events, others, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.4, 1, events), rng.normal(size=others)
    test = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    area = test.statistic / (events * others)
    assert discrimination.null_se_p(area, events, others) == pytest.approx(test.pvalue, rel=1e-9)


def test_the_null_p_reproduces_printed_values():
    # Song et al. 2021, Tables 1 to 4: Hospital I has 10 events among 56, Hospital II 9 among 18.
    assert round(discrimination.null_se_p(62 / 81, 9, 9), 3) == 0.058
    assert round(discrimination.null_se_p(0.80, 10, 46), 3) == 0.003
    assert round(discrimination.null_se_p(0.75, 10, 46), 3) in (0.014, 0.015)
    assert np.isnan(discrimination.null_se_p(0.7, 0, 9))


def test_label_scores_are_delong_s(labelled):
    study, _, predictions = labelled
    table = discrimination.discrimination_table(predictions, study).set_index(["cohort", "signature"])
    part = judged_part(predictions, study, "external", "A")
    expected = auc(part["label"], part["risk"])
    row = table.loc[("external", "A")]
    assert (row["value"], row["ci_low"], row["p_vs_half"]) == (expected.auc, expected.ci_low, expected.p_vs_half)
    assert (row["n"], row["events"], row["measure"]) == (50, int(part["label"].sum()), "AUC")
    assert table["apparent"].notna().tolist() == [True] * 3 + [False] * 6
    apparent = predictions.query("signature == 'A' and kind == 'apparent'")
    assert table.loc[("train", "A"), "apparent"] == auc(apparent["label"], apparent["risk"]).auc


def test_survival_scores_are_harrell_s(followed):
    study, _, predictions = followed
    table = discrimination.discrimination_table(predictions, study).set_index(["cohort", "signature"])
    part = judged_part(predictions, study, "internal", "A")
    expected = concordance(part["time"], part["event"], part["risk"])
    row = table.loc[("internal", "A")]
    assert (row["value"], row["ci_high"], row["measure"]) == (expected.concordance, expected.ci_high, "C-index")
    z = (expected.concordance - 0.5) / expected.se
    assert row["p_vs_half"] == pytest.approx(2 * stats.norm.sf(abs(z)))


def test_what_does_not_exist_is_missing(labelled, followed):
    for (study, _, predictions), column in ((labelled, "label"), (followed, "event")):
        alone = predictions.assign(**{column: 0.0})
        table = discrimination.discrimination_table(alone, study)
        assert table[["value", "ci_low", "p_vs_half"]].isna().all(axis=None)
        assert (table["events"] == 0).all()
        extra = discrimination.with_resampling(table, alone, study)
        assert extra[["boot_low", "boot_high"]].isna().all(axis=None)
        assert discrimination.paired_tests(alone, study, "train").empty
        assert discrimination.between_cohorts(alone, study).empty
    assert discrimination.roc_table(labelled[2].assign(label=0.0), labelled[0], "train").empty


def test_a_constant_risk_is_chance_without_a_test(labelled, followed):
    for study, _, predictions in (labelled, followed):
        row = discrimination.discrimination_table(predictions.assign(risk=0.3), study).iloc[0]
        assert row["value"] == 0.5
        assert np.isnan(row["p_vs_half"])


def test_resampling_surrounds_the_estimate_and_repeats_by_seed(labelled, followed):
    for study, _, predictions in (labelled, followed):
        scores = discrimination.discrimination_table(predictions, study)
        found = discrimination.with_resampling(scores, predictions, study)
        assert (found["boot_low"] <= found["value"]).all()
        assert (found["value"] <= found["boot_high"]).all()
        pd.testing.assert_frame_equal(found, discrimination.with_resampling(scores, predictions, study))
    assert found["uno"].between(0, 1).all()


def test_the_null_p_is_shown_where_the_study_asks_for_it(labelled, make_study):
    _, _, predictions = labelled
    study = make_study(validation={"null_se": True})
    found = discrimination.with_resampling(discrimination.discrimination_table(predictions, study), predictions, study)
    row = found.iloc[0]
    assert row["p_null_se"] == discrimination.null_se_p(row["value"], row["events"], row["n"] - row["events"])
    assert "p_null_se" not in discrimination.with_resampling(found.drop(columns="p_null_se"), predictions, make_study())


def test_roc_curves_come_in_the_order_asked_for_and_carry_their_auc(labelled):
    study, _, predictions = labelled
    curves = discrimination.roc_table(predictions, study, "internal", ["A", "B"])
    assert list(curves["signature"].unique()) == ["A", "B"]
    assert curves["n"].unique() == [40]
    apparent = discrimination.apparent_curves(predictions, ["B", "A"])
    assert list(apparent["signature"].unique()) == ["B", "A"]
    assert discrimination.apparent_curves(predictions[predictions["kind"] != "apparent"], ["A"]).empty


def test_pairs_are_tested_on_common_patients_and_adjusted(labelled):
    study, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    pairs = discrimination.paired_tests(lost, study, "internal", ["A", "B"])
    part = lost[(lost["cohort"] == "internal") & (lost["subject"] != "internal_003")]
    a, b = (part[part["signature"] == name].sort_values("subject") for name in ("A", "B"))
    expected = delong_test(a["label"], a["risk"].to_numpy(), b["risk"].to_numpy())
    assert pairs.loc[0, ["n", "p", "difference"]].tolist() == pytest.approx([39, expected.p, expected.difference])
    three = discrimination.paired_tests(predictions, study, "internal")
    assert len(three) == 3
    assert (three["p_adjusted"] >= three["p"]).all()
    assert three["p_adjusted"].min() == pytest.approx(min(1, 3 * three["p"].min()))


def test_survival_pairs_agree_with_the_two_indices(followed):
    study, _, predictions = followed
    row = discrimination.paired_tests(predictions, study, "external", ["A", "B"]).iloc[0]
    parts = [judged_part(predictions, study, "external", name) for name in ("A", "B")]
    found = [concordance(p["time"], p["event"], p["risk"]).concordance for p in parts]
    assert [row["auc_a"], row["auc_b"]] == pytest.approx(found)
    assert row["difference"] == pytest.approx(found[0] - found[1])
    assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_signatures_that_rank_alike_differ_by_exactly_nothing(labelled):
    study, _, predictions = labelled
    twin = predictions[predictions["signature"] == "A"].assign(signature="B", risk=lambda t: t["risk"] ** 3)
    both = pd.concat([predictions[predictions["signature"] == "A"], twin])
    row = discrimination.paired_tests(both, study, "train").iloc[0]
    assert (row["difference"], row["z"], row["p"]) == (0.0, 0.0, 1.0)


def test_all_pairs_name_comparison_and_cohort(labelled, make_study):
    _, _, predictions = labelled
    comparisons = [{"name": "two", "signatures": ["A", "B"]}, {"name": "all", "signatures": ["A", "B", "A + B"]}]
    pairs = discrimination.all_pairs(predictions, make_study(validation={"comparisons": comparisons}))
    assert set(pairs["family"]) == {"all"}
    assert pairs.groupby("cohort", sort=False).size().to_dict() == {"train": 3, "internal": 3, "external": 3}
    alone = discrimination.all_pairs(predictions[predictions["signature"] == "A"], make_study())
    assert alone.empty
    assert {"family", "cohort", "p"} <= set(alone.columns)


def test_the_test_of_equality_needs_three_signatures_and_a_label(labelled, followed):
    study, _, predictions = labelled
    found = discrimination.equality_test(predictions, study, "train", ["A", "B", "A + B"])
    assert found["n"] == 60
    assert found["df"] == 2
    assert found["p"] == pytest.approx(stats.chi2.sf(found["chi2"], 2))
    assert discrimination.equality_test(predictions, study, "train", ["A", "B"]) == {}
    assert discrimination.equality_test(followed[2], followed[0], "train", ["A", "B", "A + B"]) == {}


def test_cohorts_are_compared_unpaired(labelled, followed):
    study, _, predictions = labelled
    table = discrimination.between_cohorts(predictions, study)
    assert len(table) == 9
    row = table.query("signature == 'A' and cohort_a == 'train' and cohort_b == 'external'").iloc[0]
    a, b = (judged_part(predictions, study, cohort, "A") for cohort in ("train", "external"))
    expected = delong_unpaired(a["label"], a["risk"], b["label"], b["risk"])
    assert (row["n_a"], row["n_b"]) == (60, 50)
    assert [row["difference"], row["p"]] == [expected.difference, expected.p]
    study, _, predictions = followed
    row = discrimination.between_cohorts(predictions, study).query("signature == 'A'").iloc[0]
    first, second = (
        concordance(p["time"], p["event"], p["risk"])
        for p in (judged_part(predictions, study, c, "A") for c in ("train", "internal"))
    )
    se = np.sqrt(first.se**2 + second.se**2)
    assert row["statistic"] == pytest.approx((first.concordance - second.concordance) / se)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.959964 * se, rel=1e-6)


def test_a_label_is_judged_by_delong_and_by_its_standard_error_under_chance(labelled):
    _, _, predictions = labelled
    rows = judged(predictions)
    table = measure(rows, evaluate.discrimination, n_bootstrap=50, seed=1).set_index(["cohort", "signature"])
    part = rows[(rows["cohort"] == "external") & (rows["signature"] == "A")]
    expected, row = auc(part["label"], part["risk"]), table.loc[("external", "A")]
    assert [row["value"], row["value_low"], row["p"]] == [expected.auc, expected.ci_low, expected.p_vs_half]
    assert (row["n"], row["events"], row["measure"]) == (50, int(part["label"].sum()), "AUC")
    assert row["p_chance"] == discrimination.null_se_p(expected.auc, expected.events, 50 - expected.events)
    drawn = bootstrap_auc(part["label"], part["risk"], 50, 1)
    assert (row["boot_low"], row["boot_high"]) == (drawn.ci_low, drawn.ci_high)


def test_survival_is_judged_by_harrell_s_c_and_uno_s(followed):
    _, _, predictions = followed
    rows = judged(predictions, SURVIVAL)
    table = measure(rows, evaluate.discrimination, outcome=SURVIVAL, n_bootstrap=50, seed=1, until=24)
    row = table.query("cohort == 'internal' and signature == 'A'").iloc[0]
    part = rows[(rows["cohort"] == "internal") & (rows["signature"] == "A")]
    expected = concordance(part["time"], part["event"], part["risk"])
    assert (row["value"], row["value_high"], row["measure"]) == (expected.concordance, expected.ci_high, "C-index")
    z = (expected.concordance - 0.5) / expected.se
    assert row["p"] == row["p_chance"] == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert row["boot_low"] < row["value"] < row["boot_high"]
    assert row["uno"] == uno_concordance(part["time"], part["event"], part["risk"], tau=24).concordance


def test_one_outcome_only_is_missing_with_a_note_and_a_constant_risk_is_chance(labelled, followed):
    for (_, _, predictions), outcome in ((labelled, LABEL), (followed, SURVIVAL)):
        alone = judged(predictions.assign(**{outcome[-1]: 0.0}), outcome)
        table = measure(alone, evaluate.discrimination, outcome=outcome, n_bootstrap=5)
        assert table[["value", "value_low", "p", "p_chance", "boot_low", "boot_high"]].isna().all(axis=None)
        assert (table["note"] != "").all()
        assert (table["events"] == 0).all()
        assert measure(alone, evaluate.pairs, ("cohort",), outcome=outcome).empty
        assert evaluate.between(alone, outcome=outcome).empty
        constant = evaluate.discrimination(judged(predictions.assign(risk=0.3), outcome, ["A"]), outcome)
        assert constant["value"] == 0.5
        assert np.isnan(constant["p"])
    assert evaluate.roc(judged(labelled[2].assign(label=0.0))).empty


def test_tied_risks_count_one_half():
    part = pd.DataFrame({"label": [1.0, 0.0, 1.0, 0.0], "risk": [0.5, 0.5, 0.9, 0.1]})
    assert evaluate.discrimination(part)["value"] == 0.875


def test_curves_carry_their_area_and_keep_the_order_of_cohorts(labelled):
    rows = judged(labelled[2], signatures=["B", "A"], apparent=True)
    curves = evaluate.roc(rows)
    assert list(curves["cohort"].unique()) == ["apparent", "train", "internal", "external"]
    assert list(curves["signature"].unique()) == ["B", "A"]
    part = rows[(rows["cohort"] == "internal") & (rows["signature"] == "A")]
    own = curves.query("cohort == 'internal' and signature == 'A'")
    pd.testing.assert_frame_equal(
        own[["threshold", "sensitivity", "specificity"]].reset_index(drop=True), roc_curve(part["label"], part["risk"])
    )
    assert own["auc"].unique() == auc(part["label"], part["risk"]).auc
    assert own["n"].unique() == [40]


def test_pairs_of_a_cohort_equal_delong_s_test(labelled):
    _, _, predictions = labelled
    lost = predictions[~((predictions["signature"] == "B") & (predictions["subject"] == "internal_003"))]
    table = measure(judged(lost, signatures=["A", "B"]), evaluate.pairs, ("cohort",))
    row = table.set_index("cohort").loc["internal"]
    part = lost[(lost["cohort"] == "internal") & (lost["subject"] != "internal_003")]
    a, b = (part[part["signature"] == name].sort_values("subject") for name in ("A", "B"))
    expected = delong_test(a["label"], a["risk"].to_numpy(), b["risk"].to_numpy())
    assert row[["n", "p", "difference", "difference_low"]].tolist() == pytest.approx(
        [39, expected.p, expected.difference, expected.ci_low]
    )
    three = evaluate.pairs(judged(predictions, cohorts=["train"]))
    assert list(three["signature_a"] + " " + three["signature_b"]) == ["A B", "A A + B", "B A + B"]
    assert three["p_adjusted"].min() == pytest.approx(min(1, 3 * three["p"].min()))


def test_equality_of_all_areas_needs_three_signatures(labelled):
    rows = judged(labelled[2], cohorts=["train"])
    found = evaluate.equality(rows)
    assert (found["n"], found["df"]) == (60, 2)
    assert found["p"] == pytest.approx(stats.chi2.sf(found["chi2"], 2))
    with pytest.raises(NotEstimableError):
        evaluate.equality(rows[rows["signature"] != "B"])


def test_groups_without_a_common_patient_are_compared_unpaired(labelled, followed):
    rows = judged(labelled[2])
    table = evaluate.between(rows)
    assert len(table) == 9
    row = table.query("signature == 'A' and cohort_a == 'train' and cohort_b == 'external'").iloc[0]
    a, b = (rows[(rows["cohort"] == cohort) & (rows["signature"] == "A")] for cohort in ("train", "external"))
    expected = delong_unpaired(a["label"], a["risk"], b["label"], b["risk"])
    assert [row["difference"], row["difference_high"], row["p"]] == [expected.difference, expected.ci_high, expected.p]
    rows = judged(followed[2], SURVIVAL)
    row = evaluate.between(rows, outcome=SURVIVAL).iloc[0]
    parts = [rows[(rows["cohort"] == cohort) & (rows["signature"] == "A")] for cohort in ("train", "internal")]
    one, two = (concordance(p["time"], p["event"], p["risk"]) for p in parts)
    assert row["statistic"] == pytest.approx((one.concordance - two.concordance) / np.hypot(one.se, two.se))
