"""ROC statistics against pROC and caret, closed forms, and laws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from radsupport.errors import InputError, NotEstimableError
from radsupport.stats import bootstrap as bootstrap_roc
from radsupport.stats import roc

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
SPECIAL = {"NaN": np.nan, "Inf": np.inf, "-Inf": -np.inf, None: np.nan}


def stems(kind: str) -> list[str]:
    files = sorted(GOLDEN.glob("roc__*.json"))
    return [f.stem for f in files if json.loads(f.read_text())["params"]["kind"] == kind]


def number(value):
    return SPECIAL.get(value, value) if value is None or isinstance(value, str) else value


def numbers(values):
    return [number(v) for v in (values if isinstance(values, list) else [values])]


def scored(r_table, reference, score, direction="<", group=None):
    """Outcome and score as the reference used them: complete rows, higher score worse."""
    params = reference["params"]
    table = r_table(reference["dataset"][0])
    if group is not None:
        table = table[table[params["group"]] == group]
    names = [params[k] for k in ("score", "score1", "score2") if k in params] + params.get("scores", [])
    table = table.dropna(subset=[params["outcome"], *names])
    sign = 1 if direction == "<" else -1
    return table[params["outcome"]].to_numpy(), sign * table[score].to_numpy(dtype=float)


@pytest.mark.parametrize("stem", stems("single"))
def test_auc_equals_proc(stem, r_values, r_table):
    reference = r_values(stem)
    expected = reference["values"]
    y, risk = scored(r_table, reference, reference["params"]["score"], reference["params"]["direction"])
    found = roc.auc(y, risk)
    assert (found.n, found.events) == (expected["n_used"], expected["n_cases"])
    assert found.auc == pytest.approx(expected["auc"], rel=1e-12)
    assert found.se == pytest.approx(expected["delong_se"], rel=1e-9, abs=1e-15)
    assert [found.ci_low, found.ci_high] == pytest.approx(expected["delong_ci95"], rel=1e-9)
    p = number(expected["delong_p_two_sided_vs_0.5"])
    assert found.p_vs_half == pytest.approx(p, rel=1e-8, nan_ok=True)
    at_90 = roc.auc(y, risk, level=0.90)
    assert [at_90.ci_low, at_90.ci_high] == pytest.approx(expected["delong_ci90"], rel=1e-9)


@pytest.mark.parametrize("stem", stems("single"))
def test_curve_and_youden_equal_proc(stem, r_values, r_table):
    reference = r_values(stem)
    expected, direction = reference["values"], reference["params"]["direction"]
    sign = 1 if direction == "<" else -1
    y, risk = scored(r_table, reference, reference["params"]["score"], direction)
    curve, points = roc.roc_curve(y, risk), expected["roc_points"]
    assert len(curve) == expected["n_distinct_scores"] + 1
    if points is not None:  # left out by the reference for long curves
        assert sign * curve["threshold"].to_numpy() == pytest.approx(np.array(numbers(points["threshold"])), rel=1e-12)
        for column in ("sensitivity", "specificity"):
            assert curve[column].to_numpy() == pytest.approx(np.array(points[column]), rel=1e-12)
    best, rows = roc.youden(y, risk), expected["youden"]["rows"]
    assert [sign * t for t in best.tied_thresholds] == pytest.approx(numbers(rows["threshold"]), rel=1e-12)
    assert sign * best.threshold == pytest.approx(numbers(rows["threshold"])[0], rel=1e-12)
    assert best.sensitivity == pytest.approx(rows["sensitivity"][0], rel=1e-12)
    assert best.specificity == pytest.approx(rows["specificity"][0], rel=1e-12)
    assert best.j == pytest.approx(rows["youden_J"][0], rel=1e-9, abs=1e-15)
    table = roc.confusion(y, risk > best.threshold)
    assert [table.tp, table.tn, table.fp, table.fn] == [rows[k][0] for k in ("tp", "tn", "fp", "fn")]


@pytest.mark.parametrize("stem", stems("paired"))
def test_paired_delong_equals_proc(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    y, a = scored(r_table, reference, params["score1"], params["direction1"])
    _, b = scored(r_table, reference, params["score2"], params["direction2"])
    found = roc.delong_test(y, a, b)
    assert [found.auc_a, found.auc_b] == pytest.approx([expected["auc1"], expected["auc2"]], rel=1e-12)
    assert found.difference == pytest.approx(expected["auc_difference"], rel=1e-9)
    assert found.se == pytest.approx(expected["se_difference"], rel=1e-9)
    assert found.z == pytest.approx(expected["z"], rel=1e-9)
    assert found.p == pytest.approx(expected["p_two_sided"], rel=1e-8)
    assert [found.ci_low, found.ci_high] == pytest.approx(expected["ci95_difference_wald"], rel=1e-9)


@pytest.mark.parametrize("stem", stems("unpaired_by_group"))
def test_unpaired_delong_equals_proc(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    first = scored(r_table, reference, params["score"], params["direction"], params["group1"])
    second = scored(r_table, reference, params["score"], params["direction"], params["group2"])
    found = roc.delong_unpaired(*first, *second)
    assert [found.auc_a, found.auc_b] == pytest.approx([expected["auc1"], expected["auc2"]], rel=1e-12)
    assert found.t == pytest.approx(expected["D"], rel=1e-9)
    assert found.df == pytest.approx(expected["df"], rel=1e-9)
    assert found.p == pytest.approx(expected["p_two_sided_t_dist"], rel=1e-8)
    assert found.ci_low < found.difference < found.ci_high


@pytest.mark.parametrize("stem", stems("covariance"))
def test_matrix_equals_proc(stem, r_values, r_table):
    reference = r_values(stem)
    params, expected = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])
    risks = {name: table[name].to_numpy() for name in params["scores"]}
    found = roc.delong_matrix(table[params["outcome"]], risks)
    areas = {name: roc.auc(table[params["outcome"]], risk).auc for name, risk in risks.items()}
    assert areas == pytest.approx(expected["auc"], rel=1e-12)
    covariance = roc._covariance([roc.placements(table[params["outcome"]], risk) for risk in risks.values()])
    assert covariance == pytest.approx(np.array(expected["delong_covariance"]["matrix"]), rel=1e-9)
    assert found.chi2 == pytest.approx(expected["overall_equality_chi2_by_formula"], rel=1e-9)
    assert found.df == expected["df"]
    assert found.p_overall == pytest.approx(expected["p"], rel=1e-8)
    single = roc.delong_test(table[params["outcome"]], risks["s100b"], risks["wfns"])
    assert len(found.pairs) == 3
    row = found.pairs.set_index(["signature_a", "signature_b"]).loc[("s100b", "wfns")]
    assert row.to_dict() == {name: getattr(single, name) for name in row.index}


RULES = {
    "all_predicted_positive": lambda t: t["lwt"] > 0,
    "asah_s100b_gt_0.205": lambda t: t["s100b"] > 0.205,
    "asah_wfns_ge_4": lambda t: t["wfns"] >= 4,
    "birthwt_pfull_ge_0.5": lambda t: t["p_full"] >= 0.5,
    "mtcars_small_perfect": lambda t: (t["gear"] >= 4) & (t["wt"] < 3.9) & (t["am"] == 1),
    "no_predicted_positives": lambda t: t["s100b"] > 99,
    "pima_te_pfull_ge_0.3": lambda t: t["p_full"] >= 0.3,
    "pima_te_pfull_ge_0.5": lambda t: t["p_full"] >= 0.5,
}


def test_confusions_at_many_thresholds_are_each_the_one_at_it():
    rng = np.random.default_rng(5)
    y, risk = rng.integers(0, 2, 60), rng.integers(0, 12, 60) / 10
    marks = [-np.inf, 0.0, 0.05, 0.5, 1.1, np.inf]  # nobody is called negative, or positive; ties on a threshold
    found = roc.confusions(y, risk, marks)
    for row, mark in zip(found.to_dict("records"), marks, strict=True):
        alone = vars(roc.confusion(y, (risk > mark).astype(int)))
        assert row.pop("threshold") == mark
        assert row == pytest.approx({key: alone[key] for key in row}, nan_ok=True, rel=1e-15)
    one = roc.confusions([1, 1], [0.2, 0.3], [0.25]).iloc[0]  # one class: what needs the other is missing
    assert np.isnan(one["specificity_low"])
    assert one["sensitivity_low"] == pytest.approx(1 - 0.975**0.5)  # Clopper and Pearson's lower limit of 1 of 2


def test_every_confusion_file_has_a_rule():
    assert {f.stem.removeprefix("confusion__") for f in GOLDEN.glob("confusion__*.json")} == set(RULES)


@pytest.mark.parametrize("case", sorted(RULES))
def test_confusion_equals_caret(case, r_values, r_table):
    reference = r_values(f"confusion__{case}")
    expected = reference["values"]
    table = r_table(reference["dataset"][0])
    found = roc.confusion(table[reference["params"]["outcome"]], RULES[case](table))
    assert {k: getattr(found, k) for k in ("tp", "fp", "fn", "tn")} == expected["counts"]
    overall = expected["overall"]
    assert found.accuracy == pytest.approx(overall["accuracy"], rel=1e-12)
    assert found.kappa == pytest.approx(overall["kappa"], rel=1e-9, abs=1e-15)
    assert found.accuracy_low == pytest.approx(overall["accuracy_ci95_lower_clopper_pearson"], rel=1e-9)
    assert found.accuracy_high == pytest.approx(overall["accuracy_ci95_upper_clopper_pearson"], rel=1e-9)
    assert found.no_information_rate == pytest.approx(overall["no_information_rate"], rel=1e-12)
    assert found.p_vs_nir == pytest.approx(overall["p_accuracy_greater_than_nir"], rel=1e-8)
    names = {
        "sensitivity": "sensitivity",
        "specificity": "specificity",
        "ppv": "pos_pred_value",
        "npv": "neg_pred_value",
    }
    for name, key in names.items():
        rate = number(expected["by_class"][key])
        assert getattr(found, name) == pytest.approx(rate, rel=1e-12, nan_ok=True)
        limits = numbers(expected["clopper_pearson_ci95"][name])
        pair = [getattr(found, f"{name}_low"), getattr(found, f"{name}_high")]
        assert pair == pytest.approx(limits, rel=1e-9, abs=1e-15, nan_ok=True)


def test_one_class_is_refused_by_the_auc_and_documented_in_the_confusion_matrix():
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        roc.auc([1, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(NotEstimableError):
        bootstrap_roc.bootstrap_auc([0, 0], [0.1, 0.2], 10, seed=1)
    found = roc.confusion([1, 1, 1], [1, 0, 1])
    assert found.sensitivity == pytest.approx(2 / 3)
    assert np.isnan([found.specificity, found.specificity_low, found.specificity_high]).all()
    assert found.no_information_rate == 1
    assert found.p_vs_nir == 1
    assert np.isnan(roc.confusion([0, 0], [0, 0]).kappa)


@pytest.mark.parametrize(
    "bad", [[0.1, np.nan, 0.3, 0.2], [0.1, np.inf, 0.3, 0.2], [0.1, 0.2, 0.3], ["a", "b", "c", "d"]]
)
def test_bad_risk_is_refused(bad):
    y = [0, 1, 0, 1]
    for call in (
        lambda: roc.auc(y, bad),
        lambda: roc.delong_test(y, [1, 2, 3, 4], bad),
        lambda: roc.youden(y, bad),
        lambda: bootstrap_roc.bootstrap_auc(y, bad, 10, seed=0),
        lambda: roc.delong_matrix(y, {"a": bad}),
        lambda: roc.delong_unpaired(y, bad, y, [1, 2, 3, 4]),
    ):
        with pytest.raises(InputError, match="risk"):
            call()


def test_bad_labels_levels_and_counts_are_refused():
    with pytest.raises(InputError, match="0 and 1 only"):
        roc.auc([1, 2, 1, 2], [1, 2, 3, 4])
    with pytest.raises(InputError, match="level"):
        roc.auc([0, 1], [1, 2], level=95)
    with pytest.raises(InputError, match="level"):
        roc.confusion([0, 1], [0, 1], level=95)
    with pytest.raises(InputError, match="n_resamples"):
        bootstrap_roc.bootstrap_auc([0, 1], [1, 2], 0, seed=0)
    with pytest.raises(InputError, match="no signature"):
        roc.delong_matrix([0, 1], {})


def test_three_subjects_have_an_area_but_no_variance():
    found = roc.auc([0, 1, 1], [1.0, 2.0, 0.5])
    assert found.auc == 0.5
    assert np.isnan([found.se, found.ci_low, found.ci_high, found.p_vs_half]).all()
    assert np.isnan(roc.delong_test([0, 1, 1], [1, 2, 3], [3, 2, 1]).p)
    many = roc.delong_matrix([0, 1, 1], {"a": [1, 2, 3], "b": [3, 2, 1]})
    assert np.isnan([many.chi2, many.p_overall, many.pairs["p"].item()]).all()
    assert np.isnan(roc.delong_unpaired([0, 1, 1], [1, 2, 3], [0, 0, 1, 1], [1, 3, 2, 4]).p)


def test_scores_that_rank_alike_do_not_differ():
    y, risk = [0, 1, 0, 1, 1, 0], np.array([1.0, 2.0, 2.0, 4.0, 1.5, 0.1])
    found = roc.delong_test(y, risk, np.exp(risk))
    assert (found.z, found.p, found.difference, found.se) == (0, 1, 0, 0)
    many = roc.delong_matrix(y, {"a": risk, "b": 2 * risk})
    assert (many.df, many.chi2) == (0, pytest.approx(0, abs=1e-20))
    assert np.isnan(many.p_overall)
    third = roc.delong_matrix(y, {"a": risk, "b": 2 * risk, "c": [3, 1, 4, 1, 5, 9]})
    pair = roc.delong_test(y, risk, [3, 1, 4, 1, 5, 9])
    assert third.df == 1
    assert third.chi2 == pytest.approx(pair.z**2, rel=1e-9)


def test_perfect_against_constant_differs_without_variance():
    found = roc.delong_test([0, 0, 1, 1], [1, 2, 3, 4], [7, 7, 7, 7])
    assert (found.z, found.p, found.difference) == (np.inf, 0, 0.5)
    unpaired = roc.delong_unpaired([0, 0, 1, 1], [1, 2, 3, 4], [0, 0, 1, 1], [7, 7, 7, 7])
    assert (unpaired.t, unpaired.p) == (np.inf, 0)
    assert np.isnan(roc.delong_unpaired([0, 0, 1, 1], [1, 2, 3, 4], [0, 0, 1, 1], [1, 2, 3, 4]).p)


def test_threshold_separates_neighbouring_floats():
    low = 0.3
    high = np.nextafter(low, 1)
    best = roc.youden([0, 0, 1, 1], [low, low, high, high])
    assert best.j == 1
    assert roc.confusion([0, 0, 1, 1], np.array([low, low, high, high]) > best.threshold).accuracy == 1


def by_definition(y, risk):
    """AUC and DeLong variance from the kernel matrix, without ranks."""
    case, control = risk[y == 1], risk[y == 0]
    kernel = np.sign(case[:, None] - control[None, :]) / 2 + 0.5
    variance = kernel.mean(axis=1).var(ddof=1) / case.size + kernel.mean(axis=0).var(ddof=1) / control.size
    return kernel.mean(), variance


SCORES = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=6, max_size=40).filter(
    lambda rows: 2 <= sum(case for case, _ in rows) <= len(rows) - 2
)


@given(SCORES)
@settings(max_examples=60, deadline=None)
def test_laws_of_the_auc(rows):
    y = np.array([int(case) for case, _ in rows])
    risk = np.array([float(score) for _, score in rows])
    found, mirrored = roc.auc(y, risk), roc.auc(y, -risk)
    area, variance = by_definition(y, risk)
    assert found.auc == pytest.approx(area, rel=1e-12, abs=1e-12)
    assert found.se**2 == pytest.approx(variance, rel=1e-9, abs=1e-15)
    assert found.auc == pytest.approx(roc_auc_score(y, risk), rel=1e-12, abs=1e-12)
    assert found.auc + mirrored.auc == pytest.approx(1)
    assert found.se == pytest.approx(mirrored.se, abs=1e-12)
    assert roc.auc(1 - y, risk).auc == pytest.approx(mirrored.auc)
    assert roc.auc(y, risk**3 + 5).auc == found.auc
    curve = roc.roc_curve(y, risk)
    assert np.trapezoid(curve["sensitivity"], curve["specificity"]) == pytest.approx(found.auc)
    assert roc.youden(y, risk).j == pytest.approx((curve["sensitivity"] + curve["specificity"]).max() - 1, abs=1e-12)


def test_bootstrap_equals_a_naive_loop():
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], [30, 20])
    risk = np.round(rng.normal(y, 1), 1)
    areas = bootstrap_roc.resampled_aucs(y, risk, 40, seed=3)
    events, others = risk[y == 1], risk[y == 0]
    redraw = np.random.default_rng(3)
    rows_events = redraw.integers(0, events.size, (40, events.size))
    rows_others = redraw.integers(0, others.size, (40, others.size))
    naive = [
        roc_auc_score(np.repeat([1, 0], [20, 30]), np.concatenate([events[i], others[j]]))
        for i, j in zip(rows_events, rows_others, strict=True)
    ]
    assert areas == pytest.approx(np.array(naive), rel=1e-12)


def test_bootstrap_agrees_with_delong_and_is_deterministic():
    rng = np.random.default_rng(6)
    y = rng.integers(0, 2, 400)
    risk = rng.normal(0.8 * y, 1)
    found, closed = bootstrap_roc.bootstrap_auc(y, risk, 4000, seed=11), roc.auc(y, risk)
    assert found.auc == closed.auc
    assert found.se == pytest.approx(closed.se, rel=0.05)
    assert [found.ci_low, found.ci_high] == pytest.approx([closed.ci_low, closed.ci_high], abs=0.006)
    assert found == bootstrap_roc.bootstrap_auc(y, risk, 4000, seed=11)
    assert found.ci_low != bootstrap_roc.bootstrap_auc(y, risk, 4000, seed=12).ci_low
    narrow = bootstrap_roc.bootstrap_auc(y, risk, 4000, seed=11, level=0.5)
    assert found.ci_low < narrow.ci_low < narrow.ci_high < found.ci_high


def test_bootstrap_of_perfect_and_constant_risk_is_a_point():
    y = [0, 0, 1, 1]
    perfect, constant = (
        bootstrap_roc.bootstrap_auc(y, [1, 2, 3, 4], 50, seed=0),
        bootstrap_roc.bootstrap_auc(y, [1, 1, 1, 1], 50, seed=0),
    )
    assert (perfect.ci_low, perfect.ci_high) == (1, 1)
    assert (constant.ci_low, constant.ci_high) == (0.5, 0.5)


def test_signatures_may_come_as_a_frame():
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [2.0, 1, 4, 3]})
    found = roc.delong_matrix([0, 1, 0, 1], frame)
    assert found.pairs[["signature_a", "signature_b"]].to_numpy().tolist() == [["a", "b"]]
    assert roc.delong_matrix([0, 1, 0, 1], {"a": [1, 2, 3, 4]}).pairs.empty
