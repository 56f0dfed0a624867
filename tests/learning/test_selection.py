"""Selection and preparation steps: against R and scipy, by hand, and fitted on training rows only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import survdiff

from radsupport.errors import InputError, NotEstimableError
from radsupport.learning.preparation import Imputer, OneHot, z_score
from radsupport.learning.selection import (
    CorrelationFilter,
    CoxSelector,
    LassoSelector,
    ReproducibilityFilter,
    UnivariateSelector,
    VarianceFilter,
    absolute_correlation,
    cox_score,
    screen_features,
    shapiro_p,
)
from radsupport.stats.groups import feature_tests
from radsupport.stats.lasso import cv_lasso_binomial
from radsupport.stats.outcome import as_target, fold_numbers

GROUP2 = [
    "asah_age_by_outcome", "asah_s100b_by_outcome", "birthwt_bwt_by_smoke", "mtcars_mpg_by_am", "mtcars_qsec_by_vs",
    "no_ties_exact_small", "pima_tr_ped_by_type", "toothgrowth_len_by_supp", "urine_calc_by_r",
]  # fmt: skip


def _noise(n=40, p=20, seed=0, signal=()):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [n - n // 3, n // 3])
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"f{i}" for i in range(p)], index=[f"s{i}" for i in range(n)])
    for name in signal:
        X[name] += 2 * y
    return X, y


@pytest.mark.parametrize("case", GROUP2)
@pytest.mark.parametrize(("rule", "where"), [("t", ("welch", "p")), ("mann_whitney", ("mann_whitney", "p_R_default"))])
def test_feature_tests_equal_r(r_values, r_table, case, rule, where):
    reference = r_values(f"group2__{case}")
    params, values = reference["params"], reference["values"]
    table = r_table(reference["dataset"][0])[[params["numeric"], params["group"]]].dropna()
    y = (table[params["group"]].astype(str) == str(values["group2"])).astype(int)
    X = pd.DataFrame({"value": table[params["numeric"]].astype(float)})
    got = screen_features(X, y, rule).iloc[0]
    assert got["p"] == pytest.approx(values[where[0]][where[1]], rel=1e-8)


def test_shapiro_decides_between_t_and_mann_whitney_feature_by_feature():
    X, y = _noise(60, 80)
    X.iloc[:, 40:] = np.exp(2 * X.iloc[:, 40:])
    X["f5"], X["f50"] = X["f5"].round(), X["f50"].round()
    table = screen_features(X, y, "shapiro").set_index("feature")
    for name, column in X.items():
        one, zero = column[y == 1], column[y == 0]
        if min(stats.shapiro(one).pvalue, stats.shapiro(zero).pvalue) > 0.05:
            expected, test = stats.ttest_ind(one, zero, equal_var=False).pvalue, "welch_t"
        else:
            method = "exact" if column.is_unique else "asymptotic"
            expected, test = stats.mannwhitneyu(one, zero, method=method).pvalue, "mann_whitney"
        assert table.loc[name, "test"] == test
        assert table.loc[name, "p"] == pytest.approx(expected, rel=1e-12)
    assert set(table["test"]) == {"welch_t", "mann_whitney"}


def test_adjustment_equals_r(r_values, r_table):
    reference = r_values("p_adjust__ten")
    p = r_table("data/pvalues_ten.csv").iloc[:, -1].to_numpy()
    assert stats.false_discovery_control(p) == pytest.approx(reference["values"]["BH"], rel=1e-12)
    X, y = _noise()
    table = screen_features(X, y, "t", "bh")
    assert table["p_adjusted"].to_numpy() == pytest.approx(stats.false_discovery_control(table["p"]))


def test_constant_and_nearly_constant_features_are_no_evidence():
    X, y = _noise(p=3)
    X = X.assign(constant=3.0, zero_in_one_class=np.where(y == 1, 0.0, X["f0"]), steps=y * 1.0)
    table = screen_features(X, y, "shapiro").set_index("feature")
    assert table.loc["constant", ["test", "p"]].tolist() == ["constant", 1.0]
    assert table.loc["zero_in_one_class", "test"] == "mann_whitney"
    assert table.loc["steps", "p"] < 1e-6
    assert table["p"].between(0, 1).all()
    by_t = screen_features(X, y, "t").set_index("feature")
    assert by_t.loc["steps", "test"] == "mann_whitney"
    assert by_t["p"].between(0, 1).all()


def test_few_subjects():
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 2.0, 3.0]})
    table = screen_features(X, [0, 0, 0, 1])
    assert table["test"].tolist() == ["mann_whitney"] * 2
    assert table["p"].tolist() == [0.5, 1.0]


def test_screening_refuses_what_it_can_not_test():
    X, y = _noise()
    with pytest.raises(NotEstimableError, match="both 0 and 1"):
        screen_features(X, np.zeros(len(X)))
    with pytest.raises(InputError, match="f3; impute"):
        screen_features(X.assign(f3=np.nan), y)
    with pytest.raises(InputError, match="not numeric: name"):
        screen_features(X.assign(name="x"), y)
    with pytest.raises(InputError, match="Unknown rule"):
        screen_features(X, y, "anova")
    with pytest.raises(InputError, match="DataFrame"):
        screen_features(X.to_numpy(), y)


def test_univariate_selector_keeps_the_planted_features():
    X, y = _noise(90, 300, signal=["f7", "f100", "f222"])
    chosen = UnivariateSelector("t", 0.05, "bh", keep_at_least=1).fit(X, y)
    assert {"f7", "f100", "f222"} <= set(chosen.selected_)
    assert len(chosen.selected_) < 10
    plain = UnivariateSelector("t", 0.05).fit(X, y)
    assert 3 + 5 < len(plain.selected_) < 3 + 30
    row = plain.counts_.iloc[0]
    assert (row["step"], row["n_in"], row["n_out"]) == ("univariate", 300, len(plain.selected_))
    assert row["reasons"] == f"{300 - len(plain.selected_)} with P >= 0.05"


def test_univariate_selector_keeps_the_smallest_where_too_few_pass():
    X, y = _noise(30, 50)
    chosen = UnivariateSelector("t", 1e-9, keep_at_least=10).fit(X, y)
    best = screen_features(X, y, "t").nsmallest(10, "p")["feature"]
    assert set(chosen.selected_) == set(best)
    assert chosen.counts_["reasons"].item() == "0 with P < 1e-09; the 10 smallest kept"
    assert len(UnivariateSelector("t", 1e-9, "bh", keep_at_least=3).fit(X, y).selected_) == 3
    assert UnivariateSelector("t", 1e-9, keep_at_least=99).fit(X, y).selected_ == list(X.columns)
    assert chosen.transform(X).columns.tolist() == chosen.selected_ == list(chosen.get_feature_names_out())


def test_univariate_selector_looks_at_training_rows_only():
    X, y = _noise(60, 40)
    altered = X.copy()
    altered.iloc[::2] = 1e6
    assert (
        UnivariateSelector().fit(X[1::2], y[1::2]).selected_
        == UnivariateSelector().fit(altered[1::2], y[1::2]).selected_
    )


def test_variance_filter():
    X, _ = _noise(p=3)
    X = X.assign(constant=0.1, third=1 / 3, large=1e9, step=[0.0] * 39 + [1e-9], tiny=X["f0"] * 1e-13)
    chosen = VarianceFilter().fit(X)
    assert chosen.selected_ == ["f0", "f1", "f2", "step", "tiny"]
    assert chosen.counts_.iloc[0].tolist() == ["variance", 8, 5, "3 constant"]
    assert VarianceFilter(0.5).fit(X).selected_ == [n for n in ("f0", "f1", "f2") if X[n].var(ddof=0) > 0.5]
    with pytest.raises(InputError, match="kept none of 1 features"):
        VarianceFilter().fit(X[["constant"]])


def test_reproducibility_filter():
    X, _ = _noise(p=4)
    icc = pd.Series({"f0": 0.9, "f1": 0.8, "f2": np.nan, "other": 0.99})
    chosen = ReproducibilityFilter(icc, 0.8).fit(X)
    assert chosen.selected_ == ["f0"]
    assert chosen.counts_["reasons"].item() == "1 with ICC <= 0.8, 2 without ICC"
    assert clone(chosen).fit(X).selected_ == ["f0"]
    with pytest.raises(InputError, match="names of the ICC table do not match"):
        ReproducibilityFilter({"a": 0.9}).fit(X)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_correlation_filter_leaves_no_near_copies_and_drops_only_those(method):
    X, y = _noise(50, 12, seed=2)
    rng = np.random.default_rng(0)
    copies = {f"copy{i}_{k}": X[f"f{i}"] * (-1) ** k + rng.normal(0, 0.1 * k, 50) for i in (0, 3) for k in (1, 2, 3)}
    X = X.assign(**copies)
    chosen = CorrelationFilter(0.8, method).fit(X, y)
    r = X.corr(method=method).abs()
    assert absolute_correlation(X, method) == pytest.approx(r.to_numpy(), abs=1e-12)
    kept = r.loc[chosen.selected_, chosen.selected_].to_numpy()
    assert kept[~np.eye(len(kept), dtype=bool)].max() <= 0.8
    dropped = [name for name in X if name not in chosen.selected_]
    assert len(dropped) == 6
    assert (r.loc[dropped, chosen.selected_].max(axis=1) > 0.8).all()
    # What stands for each of the dropped has the smaller P.
    p = screen_features(X, y, "mann_whitney").set_index("feature")["p"]
    assert all(p[[k for k in chosen.selected_ if r.loc[name, k] > 0.8]].min() <= p[name] for name in dropped)


def test_of_related_features_the_one_that_tells_most_about_the_outcome_is_kept():
    X, y = _noise(80, 4, seed=3, signal=["f0"])
    rng = np.random.default_rng(1)
    blurred = {f"blurred{k}": X["f0"] + rng.normal(0, 0.45, 80) for k in range(5)}
    chosen = CorrelationFilter(0.85).fit(X.assign(**blurred)[[*blurred, *X]], y)
    assert "f0" in chosen.selected_
    assert not {*chosen.selected_} & {*blurred}
    twice = CorrelationFilter(0.9).fit(X.assign(same=X["f0"], constant=1.0), y)
    assert twice.selected_ == ["f0", "f1", "f2", "f3", "constant"]
    with pytest.raises(InputError, match="give the outcome"):
        CorrelationFilter(0.9).fit(X)


@pytest.mark.parametrize("columns", [1, 6])
def test_the_cox_score_test_is_the_log_rank_test_of_two_groups_and_near_walds_of_a_covariate(columns):
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(120, columns)), columns=[f"x{i}" for i in range(columns)])
    X = X.assign(group=rng.permutation(np.repeat([0.0, 1.0], 60)), constant=3.0)
    time = np.ceil(rng.exponential(20 * np.exp(-0.4 * X["x0"])))  # whole months: ties
    target = as_target(pd.DataFrame({"time": time, "event": (rng.random(120) < 0.7).astype(int)}))
    p = pd.Series(cox_score(X, target), X.columns)
    # Of two groups, Efron's score test differs from the log-rank test in the weights of ties alone.
    untied = as_target(pd.DataFrame({"time": 1.0 + rng.permutation(120), "event": target["event"] * 1}))
    _, expected = survdiff(untied["time"], untied["event"].astype(int), X["group"].to_numpy())
    assert cox_score(X[["group"]], untied) == pytest.approx([expected], rel=1e-9)
    for name in X.columns.drop(["constant", "group"]):
        fit = PHReg(target["time"], X[[name]], status=target["event"].astype(int), ties="efron")
        score, information = fit.score([0.0])[0], -fit.hessian(np.zeros(1))[0, 0]
        assert p[name] == pytest.approx(stats.chi2.sf(score**2 / information, 1), rel=1e-6)
    assert p["constant"] == 1.0
    assert cox_score(X * 1e6 - 4, target) == pytest.approx(p.to_numpy(), rel=1e-6)


def test_correlation_of_a_constant_is_zero():
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.1, 0.1, 0.1]})
    assert absolute_correlation(X).tolist() == [[1, 0], [0, 1]]


def test_imputer_learns_from_training_rows_only():
    train = pd.DataFrame(
        {"a": [1.0, 2.0, 9.0, np.nan], "b": [np.nan] * 4, "c": ["x", "y", "y", None], "d": [1, 2, 3, 4]}
    )
    test = pd.DataFrame({"a": [np.nan, 100.0], "b": [1.0, 2.0], "c": [None, "z"], "d": [np.nan, 9.0]})
    step = Imputer().fit(train)
    filled = step.transform(test)
    assert filled.columns.tolist() == ["a", "c", "d"]
    assert filled.to_numpy().tolist() == [[2.0, "y", 2.5], [100.0, "z", 9.0]]
    assert step.counts_.iloc[0].tolist() == ["imputation", 4, 3, "1 without any value, 6 gaps filled"]
    kept = Imputer(["c"]).fit(train).transform(test)
    assert kept["c"].isna().tolist() == [True, False]


def test_categories_coded_by_numbers_stay_categories():
    train = pd.DataFrame(
        {
            "stage": pd.Series([1, 1, 2, None, 3], dtype=object),
            "flag": pd.Series([True, None, False, False, False], dtype=object),
        }
    )
    filled = Imputer().fit(train).transform(train)
    assert filled["stage"].tolist() == [1, 1, 2, 1, 3]
    coded = OneHot().fit(filled).transform(filled)
    assert coded.columns.tolist() == ["stage=2", "stage=3", "flag=True"]
    assert coded.sum().tolist() == [1, 1, 1]


def test_one_hot_codes_unseen_levels_as_the_reference():
    train = pd.DataFrame({"shape": ["round", "round", "lobed", "spiked"], "size": [1, 2, 3, 4], "center": list("aabb")})
    step = OneHot(["center"]).fit(train)
    assert step.levels_ == {"shape": ["lobed", "spiked"]}
    coded = step.transform(pd.DataFrame({"center": ["c", "a"], "size": [5, 6], "shape": ["other", "spiked"]}))
    assert coded.columns.tolist() == ["size", "center", "shape=lobed", "shape=spiked"]
    assert coded.to_numpy().tolist() == [[5, "c", 0.0, 0.0], [6, "a", 0.0, 1.0]]


def test_one_hot_reads_booleans_and_pandas_categories():
    train = pd.DataFrame(
        {"flag": [True, False, False], "grade": pd.Categorical(["G1", "G2", "G2"], ["G1", "G2", "G3"])}
    )
    coded = OneHot().fit(train).transform(train)
    assert coded.columns.tolist() == ["flag=True", "grade=G1"]
    assert coded.to_numpy().tolist() == [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]


def test_z_score_keeps_names_and_training_scale():
    X, _ = _noise()
    scaled = z_score().fit(X[:20]).transform(X)
    assert scaled.columns.tolist() == X.columns.tolist()
    assert scaled[:20].mean().to_numpy() == pytest.approx(np.zeros(20), abs=1e-12)
    assert abs(scaled[20:].mean()).max() > 0.05


def test_tables_are_checked():
    X, y = _noise()
    with pytest.raises(InputError, match="occur twice: f0"):
        VarianceFilter().fit(pd.concat([X, X[["f0"]]], axis=1))
    with pytest.raises(InputError, match="1 column of the fit missing: f3"):
        UnivariateSelector(alpha=1.1).fit(X, y).transform(X.drop(columns="f3"))


def test_lasso_keeps_what_glmnet_keeps_at_the_chosen_penalty():
    X, y = _noise(120, 60, signal=["f3", "f40"])
    chosen = LassoSelector(folds=5, seed=2).fit(X, y)
    folds = fold_numbers(y, 5, 2)
    expected = cv_lasso_binomial(X, y, folds)
    assert chosen.selected_ == expected.selected("min")
    assert {"f3", "f40"} <= set(chosen.selected_)
    assert chosen.coef_.index.tolist() == chosen.selected_
    strict = LassoSelector("lambda_1se", folds=5, seed=2).fit(X, y)
    assert strict.selected_ == expected.selected("1se")
    assert set(strict.selected_) <= set(chosen.selected_)
    assert strict.counts_["reasons"].item() == f"{60 - len(strict.selected_)} with coefficient 0 at lambda_1se"


def test_a_least_error_at_the_end_of_the_short_path_is_followed_to_the_whole_one():
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=list("abc"))
    y = (rng.random(400) < 1 / (1 + np.exp(-X.sum(axis=1) * 1.5))).astype(int).to_numpy()
    strong = LassoSelector(folds=5).fit(X, y)
    assert strong.cv_.lambda_min < 0.02 * strong.cv_.path.lambdas[0]
    weak = LassoSelector(folds=5).fit(X, rng.permutation(y))
    assert len(weak.cv_.path.lambdas) <= 50 < len(strong.cv_.path.lambdas)


def test_lasso_follows_the_path_where_the_rule_keeps_nothing():
    kept = []
    for seed in range(6):
        X, y = _noise(40, 30, seed)
        chosen = LassoSelector("lambda_1se", folds=4).fit(X, y)
        kept.append(chosen.counts_["reasons"].item().endswith("lowered to keep any"))
        entering = chosen.cv_.path.coef.iloc[1]
        if kept[-1]:
            assert chosen.selected_ == entering.index[entering != 0].tolist()
    assert any(kept)
    X, y = _noise(40, 30)
    assert len(LassoSelector("lambda_1se", folds=4, keep_at_least=5).fit(X, y).selected_) >= 5


def test_lasso_cox_finds_the_planted_feature():
    X, _ = _noise(120, 30)
    rng = np.random.default_rng(0)
    time, censor = rng.exponential(20 * np.exp(-1.2 * X["f4"])), rng.uniform(5, 60, 120)
    y = pd.DataFrame({"time": np.minimum(time, censor), "event": (time <= censor).astype(int)}, index=X.index)
    assert "f4" in LassoSelector("lambda_1se", folds=5).fit(X, y).selected_
    with pytest.raises(InputError, match="this endpoint is survival"):
        UnivariateSelector().fit(X, y)
    with pytest.raises(InputError, match="lambda_min or lambda_1se"):
        LassoSelector("best").fit(X, y)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 10, 11, 12, 13, 46, 142, 1000])
def test_equals_scipy_column_by_column(n):
    rng = np.random.default_rng(n)
    values = np.column_stack(
        [rng.normal(1e6, 1e-3, n), rng.exponential(size=n), rng.uniform(size=n), np.exp(3 * rng.normal(size=n)),
         rng.integers(0, 3, n) + np.arange(n) % 2, np.arange(n) == 0]
    ).astype(float)  # fmt: skip
    expected = [stats.shapiro(column).pvalue for column in values.T]
    assert shapiro_p(values) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_does_not_depend_on_unit_or_sign():
    values = np.random.default_rng(0).exponential(size=(20, 30))
    assert shapiro_p(-7e8 * values + 3.0) == pytest.approx(shapiro_p(values), rel=1e-6)


@pytest.mark.parametrize("values", [np.ones((10, 1)), np.ones((2, 1)), np.arange(6000.0)[:, None]])
def test_refuses_what_has_no_test(values):
    with pytest.raises(NotEstimableError, match="Shapiro-Wilk needs"):
        shapiro_p(values)


def test_screening_chooses_the_same_tests_as_scipys_normality():
    rng = np.random.default_rng(3)
    label = np.repeat([0, 1], [46, 10])
    X = pd.DataFrame(np.exp(rng.normal(size=(56, 200)) * rng.uniform(0, 2, 200)))
    X[7], X[8] = 1.0, np.where(label == 1, 1.0, X[8])
    expected = feature_tests(X, label, "shapiro")
    found = screen_features(X, label, "shapiro").drop(index=7)
    assert found["test"].tolist() == expected["test"].drop(index=7).tolist()
    assert found["p"].to_numpy() == pytest.approx(expected["p"].drop(index=7).to_numpy())
    assert found["test"].nunique() == 2


def _veteran(r_table):
    table = r_table("data/veteran.csv")
    y = pd.DataFrame({"time": table["time"].astype(float), "event": table["status"]})
    return table[["trt", "celltype", "karno", "diagtime", "age", "prior"]], y


def test_cox_keeps_what_statsmodels_finds_below_alpha_alone_and_together(r_table):
    X, y = _veteran(r_table)
    coded = OneHot().fit(X).transform(X)

    def p_values(columns):
        fit = PHReg(y["time"], coded[columns].to_numpy(float), y["event"], ties="efron").fit()
        return dict(zip(columns, fit.pvalues, strict=True))

    names = {column: column.split("=")[0] for column in coded}
    together, alone = p_values(list(coded)), {}
    for name in set(names.values()):
        alone |= p_values([column for column in coded if names[column] == name])
    passed = {names[column] for column in coded if together[column] < 0.05 and alone[column] < 0.05}
    assert passed == {"celltype", "karno"}
    chosen = CoxSelector().fit(coded, y)
    assert chosen.selected_ == [column for column in coded if names[column] in passed]
    assert "4 of 6 characteristics" in chosen.counted_[-1]


def test_cox_keeps_the_smallest_p_where_none_passes_and_refuses_a_label(r_table):
    X, y = _veteran(r_table)
    weak = X[["trt", "age", "prior"]].astype(float)
    fit = PHReg(y["time"], weak.to_numpy(), y["event"], ties="efron").fit()
    assert fit.pvalues.min() > 0.05
    assert CoxSelector().fit(weak, y).selected_ == [weak.columns[fit.pvalues.argmin()]]
    with pytest.raises(InputError, match="this endpoint is a label"):
        CoxSelector().fit(weak, y["event"])
