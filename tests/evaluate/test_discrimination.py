"""AUC and C-index per cohort, and their differences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from radsupport import evaluate
from radsupport.evaluate import judged, measure
from radsupport.evaluate.discrimination import _by_comparison, discrimination, null_se_p, pairs, roc
from radsupport.evaluate.predictions import LABEL, SURVIVAL, ranked
from radsupport.stats.bootstrap import bootstrap_auc, resample_counts
from radsupport.stats.concordance import concordance
from radsupport.stats.roc import auc, delong_test, delong_unpaired, roc_curve
from radsupport.stats.table_one import compare_groups


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**20))
def test_the_null_p_is_that_of_the_mann_whitney_test_without_ties(events, others, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.4, 1, events), rng.normal(size=others)
    test = stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    area = test.statistic / (events * others)
    assert null_se_p(area, events, others) == pytest.approx(test.pvalue, rel=1e-9)


def test_the_null_p_reproduces_printed_values():
    # Song et al. 2021, Tables 1 to 4: Hospital I has 10 events among 56, Hospital II 9 among 18.
    assert round(null_se_p(62 / 81, 9, 9), 3) == 0.058
    assert round(null_se_p(0.80, 10, 46), 3) == 0.003
    assert round(null_se_p(0.75, 10, 46), 3) in (0.014, 0.015)
    assert np.isnan(null_se_p(0.7, 0, 9))


def test_a_label_is_judged_by_delong_and_by_its_standard_error_under_chance(labelled):
    _, _, predictions = labelled
    rows = judged(predictions)
    table = measure(rows, evaluate.discrimination, n_bootstrap=50, seed=1).set_index(["cohort", "signature"])
    part = rows[(rows["cohort"] == "external") & (rows["signature"] == "A")]
    expected, row = auc(part["label"], part["risk"]), table.loc[("external", "A")]
    assert [row["value"], row["value_low"], row["p"]] == [expected.auc, expected.ci_low, expected.p_vs_half]
    assert (row["n"], row["events"], row["measure"]) == (50, int(part["label"].sum()), "AUC")
    assert row["p_chance"] == null_se_p(expected.auc, expected.events, 50 - expected.events)
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
    data = (part["time"], part["event"], part["risk"])
    assert row["uno"] == concordance(*data, tau=24, weight="n/G2").concordance


def test_one_outcome_only_is_missing_with_a_note_and_a_constant_risk_is_chance(labelled, followed):
    for (_, _, predictions), outcome in ((labelled, LABEL), (followed, SURVIVAL)):
        alone = judged(predictions.assign(**{outcome[-1]: 0.0}), outcome)
        table = measure(alone, evaluate.discrimination, outcome=outcome, n_bootstrap=5)
        assert table[["value", "value_low", "p", "p_chance", "boot_low", "boot_high"]].isna().all(axis=None)
        assert (table["note"] != "").all()
        assert (table["events"] == 0).all()
        for untested in (
            measure(alone, pairs, ("cohort",), outcome=outcome),
            evaluate.comparisons(alone, {"all": ["A", "B"]}, outcome),
            evaluate.between(alone, outcome=outcome),
        ):
            assert len(untested)
            assert untested[["difference", "difference_low", "p"]].isna().all(axis=None)
            assert untested["note"].str.contains("fewer than 5").all()
        constant = evaluate.discrimination(judged(predictions.assign(risk=0.3), outcome, ["A"]), outcome)
        assert constant["value"] == 0.5
        assert np.isnan([constant["p"], constant["value_low"], constant["p_chance"]]).all()
        assert "everybody has the same risk" in constant["note"]
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
    table = measure(judged(lost, signatures=["A", "B"]), pairs, ("cohort",))
    row = table.set_index("cohort").loc["internal"]
    part = lost[(lost["cohort"] == "internal") & (lost["subject"] != "internal_003")]
    a, b = (part[part["signature"] == name].sort_values("subject") for name in ("A", "B"))
    expected = delong_test(a["label"], a["risk"].to_numpy(), b["risk"].to_numpy())
    assert row[["n", "p", "difference", "difference_low"]].tolist() == pytest.approx(
        [39, expected.p, expected.difference, expected.ci_low]
    )
    three = pairs(judged(predictions, cohorts=["train"]))
    assert list(three["signature_a"] + " " + three["signature_b"]) == ["A B", "A A + B", "B A + B"]
    assert three["p_adjusted"].min() == pytest.approx(min(1, 3 * three["p"].min()))


def test_comparisons_within_a_larger_one_are_tested_there_with_a_test_that_all_are_equal(labelled):
    rows = judged(labelled[2])
    table = evaluate.comparisons(rows, {"two": ["A", "B"], "all": ["A", "B", "A + B"]})
    assert set(table["family"]) == {"all"}
    assert table.groupby("cohort", sort=False).size().to_dict() == {"train": 3, "internal": 3, "external": 3}
    assert table["df"].unique() == [2]
    assert table["p_equal"].iloc[0] == pytest.approx(stats.chi2.sf(table["chi2"].iloc[0], 2))
    two = evaluate.comparisons(rows, {"two": ["A", "B"]})
    assert two["chi2"].isna().all()
    alone = evaluate.comparisons(rows, {})
    assert alone.empty
    assert {"family", "cohort", "p"} <= set(alone.columns)


def test_signatures_that_rank_alike_differ_by_exactly_nothing(labelled):
    own = labelled[2][labelled[2]["signature"] == "A"]
    both = pd.concat([own, own.assign(signature="B", risk=own["risk"] ** 3)])
    row = pairs(judged(both, cohorts=["train"])).iloc[0]
    assert row["difference"] == 0.0
    assert row[["z", "p", "difference_low", "difference_high"]].isna().all()
    assert "rank everybody alike" in row["note"]


def test_survival_pairs_agree_with_the_two_indices(followed):
    rows = judged(followed[2], SURVIVAL, ["A", "B"], ["external"])
    row = pairs(rows, SURVIVAL, n_bootstrap=50, seed=1).iloc[0]
    parts = [rows[rows["signature"] == name] for name in ("A", "B")]
    found = [concordance(p["time"], p["event"], p["risk"]).concordance for p in parts]
    assert [row["value_a"], row["value_b"]] == pytest.approx(found)
    assert row["difference"] == pytest.approx(found[0] - found[1])
    assert row["difference_low"] < row["difference"] < row["difference_high"]


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


def test_signatures_are_repeated_in_each_comparison():
    rows = pd.DataFrame({"signature": ["A", "A", "B", "C"], "risk": 0.5})
    assert _by_comparison(rows, {})["comparison"].tolist() == ["All signatures"] * 4
    both = _by_comparison(rows, {"two": ["A", "B", "Z"], "one": ["C", "Z"]})
    assert both.groupby("comparison", observed=True)["signature"].agg(list).to_dict() == {
        "two": ["A", "A", "B"], "Others": ["C"],
    }  # fmt: skip
    assert list(both["comparison"].cat.categories) == ["two", "Others"]
    assert set(_by_comparison(rows, {"large": ["A", "B", "C"]}, most=2)["comparison"]) == {"All signatures"}
    assert _by_comparison(rows.iloc[:0], {}).empty


def test_risks_with_and_without_the_label_are_compared_by_ranks(labelled):
    part = judged(labelled[2], signatures=["A"], cohorts=["external"])
    expected = compare_groups(part["risk"], part["label"], test="mann_whitney").p
    assert evaluate.discrimination(part, ranks=True)["p_ranks"] == expected
    assert np.isnan(evaluate.discrimination(part.assign(label=1.0), ranks=True)["p_ranks"])
    assert "p_ranks" not in evaluate.discrimination(part)


def test_lost_resamples_stand_in_the_note_of_a_c_index_and_of_a_pair():
    rng = np.random.default_rng(9)
    part = pd.DataFrame({"subject": [f"s{i:02d}" for i in range(20)], "cohort": "train", "time": np.arange(1.0, 21)})
    part = part.assign(event=(np.arange(20) % 4 == 0).astype(int), signature="A", risk=rng.normal(size=20))
    both = pd.concat([part, part.assign(signature="B", risk=rng.normal(size=20))], ignore_index=True)
    options = {"outcome": ("time", "event"), "n_bootstrap": 2000, "seed": 0}
    counts = np.concatenate(list(resample_counts(20, 2000, 0)))
    usable = sum(any(c[i] and c[i + 1 :].any() for i in range(0, 20, 4)) for c in counts)
    assert usable < 2000
    words = f"the bootstrap has a value in {usable} of 2000 resamples"
    row = evaluate.discrimination(part, **options)
    assert row["note"] == words
    assert row["boot_low"] < row["value"] < row["boot_high"]
    assert pairs(both, **options)["note"].tolist() == [words]
    assert "note" not in evaluate.discrimination(part.assign(event=1), **options)


def test_a_score_ranks_and_the_risk_stays_for_everything_else():
    rng = np.random.default_rng(3)
    fold = np.repeat(np.arange(4), 15)
    label = rng.permutation(np.repeat([0, 1], 30))
    score = label + rng.normal(size=60)
    rows = pd.DataFrame({"subject": range(60), "cohort": "train", "signature": "R", "fold": fold, "label": label})
    rows = rows.assign(score=score, risk=1 / (1 + np.exp(-(score + 3 * fold))))  # each fold's model has its own offset
    found = discrimination(rows)
    assert found["value"] == pytest.approx(roc_auc_score(label, score))
    raw = discrimination(rows.drop(columns="score"))
    assert raw["value"] == pytest.approx(roc_auc_score(label, rows["risk"]))
    pairs_of = [(len(p) - p["label"].sum()) * p["label"].sum() for _, p in rows.groupby("fold")]
    areas = [roc_auc_score(p["label"], p["risk"]) for _, p in rows.groupby("fold")]
    assert found["within_folds"] == pytest.approx(np.average(areas, weights=pairs_of))
    assert raw["within_folds"] == pytest.approx(found["within_folds"])
    assert roc(rows)["auc"].iloc[0] == pytest.approx(found["value"])
    other = rows.assign(signature="external", score=np.nan, fold=np.nan)  # judged by one model: its risks
    both = pairs(pd.concat([rows, other]))
    assert both[["value_a", "value_b"]].iloc[0].tolist() == pytest.approx([found["value"], raw["value"]])
    assert np.isnan(discrimination(other)["within_folds"])
    half = rows.assign(score=rows["score"].where(rows["fold"] > 0))
    assert ranked(half)["risk"].tolist() == rows["risk"].tolist(), "part of the patients has no score"
