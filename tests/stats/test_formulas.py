"""Formulas: what is read, what is refused, and that nothing but the listed functions can be called."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from scipy.interpolate import BSpline

from radsupport import stats
from radsupport.errors import InputError, NotEstimableError
from radsupport.stats.cox import CoxFit, fit_cox
from radsupport.stats.formulas import formula_columns, formula_terms, formula_words, read_terms

COLUMNS = ["age", "sex", "size", "stage", "my col"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    age, size = rng.normal(60, 10, 240), rng.lognormal(1, 0.5, 240)
    table = pd.DataFrame({"age": age, "size": size, "sex": rng.choice(["female", "male"], 240)})
    table["stage"] = pd.Categorical(rng.choice(["I", "II", "III"], 240), ["I", "II", "III"])
    hazard = np.exp(0.002 * (age - 60) ** 2 + 0.4 * (table["sex"] == "male") + 0.3 * np.log(size))
    table["time"], table["event"] = rng.exponential(20 / hazard), (rng.random(240) < 0.8).astype(int)
    table["label"] = (rng.random(240) < 1 / (1 + np.exp(2 - 0.8 * hazard))).astype(int)
    return table


def test_terms_are_read_as_r_reads_them() -> None:
    assert formula_terms("bs(age,df=3) + sex*size", COLUMNS) == ["bs(age, df=3)", "sex", "size", "sex:size"]
    assert formula_terms(["age:sex", "size", "`my col`"], COLUMNS) == ["size", "my col", "age:sex"]
    assert formula_terms("(age + sex)**2", COLUMNS) == ["age", "sex", "age:sex"]
    assert formula_terms(["log(size)"], ["log(size)", "size"]) == ["log(size)"]
    assert formula_columns("log(size)", ["log(size)", "size"]) == ["log(size)"]
    assert formula_columns(["I(age / size)", "cr(age, df=4):sex"], COLUMNS) == ["age", "size", "sex"]
    assert formula_terms([], COLUMNS) == []


def test_terms_have_words() -> None:
    words = formula_words("bs(age, df=3) * sex + log(size + 1)", {"age": "Age (years)", "sex": "Sex", "size": "Size"})
    assert words["bs(age, df=3)"] == "Age (years), spline"
    assert words["bs(age, df=3):sex"] == "Age (years), spline × Sex"
    assert (words["log(size + 1)"], words["sex"]) == ("log(Size + 1)", "Sex")


@pytest.mark.parametrize(
    ("formula", "remedy"),
    [
        ("agee", "`age`"),
        ("lgo(size)", "`log`"),
        ("bs(agee, df=3)", "`age`"),
        ("ns(age, df=3)", "`cr`"),
        ("np.log(size)", "`log`"),
        ("Factor(stage)", "`factor`"),
        ("bs(age, dg=3)", "`df`"),
        ("age + sexx:size", "`sex`"),
    ],
)
def test_the_nearest_valid_name_is_offered(formula: str, remedy: str) -> None:
    _, problems = read_terms(formula, COLUMNS)
    assert len(problems) == 1
    assert remedy in problems[0].remedy


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('true')",
        "log(__import__('os').getpid())",
        "log(age.__class__)",
        "I([c for c in age])",
        "I((lambda: age)())",
        "exec(age)",
        "eval('age')",
        "I(open('/etc/passwd'))",
        "I('text')",
        "I(age if sex else size)",
        "I(9**9**9)",
        "bs(age, df=10**9)",
        "bs(age, df=1000000)",
        "bs(age, knots=size)",
        "poly(age, degree=10**9)",
        "(age + sex + size)**9**9",
        "{__import__('os')}",
        "age.values",
        "age[0]",
        "f'{age}'",
        "log(*age)",
        "log(age, **size)",
        "log(" * 300 + "age" + ")" * 300,
        "age + " * 400 + "sex",
        "age ~ sex",
        "age | sex",
        "0 + age",
        "age - 1",
        "2 * age",
        "age +",
        ".",
        "log(3)",
        "log()",
        "bs(age, df=2)",
        "cr(age)",
        "bs(age, df=3, knots=[60])",
        "bs(age, knots=[70, 60])",
        "log(bs(age, df=3))",
        "factor(log(size))",
    ],
)
def test_whatever_is_no_term_is_refused(formula: str) -> None:
    with pytest.raises(InputError, match="formula"):
        formula_terms(formula, COLUMNS)


def test_a_formula_gives_the_columns_of_formulaic_and_of_splines(table: pd.DataFrame) -> None:
    fit = stats.cox(table, "time", "event", "bs(age, df=5) + cr(size, df=3) + sex")
    assert fit.design.columns[:2] == ["bs(age, df=5)1", "bs(age, df=5)2"]
    assert fit.design.columns[-1] == "sexmale"
    new = pd.DataFrame({"age": [20.0, 55.0, 70.0, 110.0], "size": [0.01, 2, 3, 90], "sex": ["male"] * 4})
    own = fit.design.transform(new)
    spec = model_matrix("cr(size, df=3, constraints='center')", table).model_spec
    np.testing.assert_allclose(own[:, 5:8], np.asarray(spec.get_model_matrix(new))[:, 1:], atol=1e-12)
    low, high = table["age"].min(), table["age"].max()
    knots = np.r_[[low] * 4, np.quantile(table["age"], [1 / 3, 2 / 3]), [high] * 4]
    expected = BSpline(knots, np.eye(6), 3, extrapolate=True)(new["age"])[:, 1:]  # R's bs goes on in the same way
    np.testing.assert_allclose(own[:, :5], expected, atol=1e-9)


def test_knots_are_those_of_training(table: pd.DataFrame) -> None:
    fit = fit_cox(table, "time", "event", "bs(age, df=4) + scale(size)")
    assert isinstance(fit, CoxFit)
    few = table.head(3)
    np.testing.assert_allclose(fit.linear_predictor(few), fit.linear_predictor(table)[:3], atol=1e-12)


def test_a_polynomial_does_not_depend_on_its_basis(table: pd.DataFrame) -> None:
    fits = [stats.logistic(table, "label", f) for f in ("poly(age, 2)", "age + I(age**2)", "bs(age, df=2, degree=2)")]
    for fit in fits[1:]:
        np.testing.assert_allclose(fit.predict(table), fits[0].predict(table), atol=1e-8)
        assert fit.log_likelihood == pytest.approx(fits[0].log_likelihood, abs=1e-8)


def test_interactions_are_coded_as_products(table: pd.DataFrame) -> None:
    fit = stats.cox(table, "time", "event", "age*sex + sex:stage")
    named = dict(zip(fit.design.columns, fit.design.transform(table).T, strict=True))
    male = (table["sex"] == "male").to_numpy(dtype=float)
    np.testing.assert_allclose(named["age:sexmale"], table["age"] * male)
    np.testing.assert_allclose(named["sexmale:stageII"], male * (table["stage"] == "II"))
    np.testing.assert_allclose(named["sexfemale:stageII"], (1 - male) * (table["stage"] == "II"))
    assert fit.design.removable() == ["age:sex", "sex:stage"]
    assert fit.design.with_interactions("sex") == ["sex", "age:sex", "sex:stage"]


def test_a_reference_level_can_stand_in_the_formula(table: pd.DataFrame) -> None:
    fit = stats.cox(table, "time", "event", "factor(stage, ref='II')")
    assert fit.design.predictors[0].reference == "II"
    with pytest.raises(InputError, match="did you mean `II`"):
        stats.cox(table, "time", "event", "factor(stage, ref='II ')")


def test_what_can_not_be_estimated_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(NotEstimableError, match="2 distinct values can not carry `bs\\(old, df=3\\)`"):
        stats.cox(table.assign(old=table["age"] > 60), "time", "event", "bs(old, df=3)")
    with pytest.raises(NotEstimableError, match="can not carry `cr\\(grade, df=6\\)`"):
        stats.cox(table.assign(grade=np.arange(len(table)) % 3), "time", "event", "cr(grade, df=6) + sex")
    with pytest.raises(NotEstimableError, match="linear combination"):
        stats.cox(table, "time", "event", "bs(age, df=3) + age")
    with pytest.raises(NotEstimableError, match="knot of `bs"):
        stats.cox(table, "time", "event", "bs(age, knots=[200])")
    with pytest.raises(InputError, match="not numeric"):
        stats.cox(table, "time", "event", "bs(sex, df=3)")
    empty = table.assign(event=table["event"].where(~((table["sex"] == "male") & (table["stage"] == "III")), 0))
    with pytest.raises(NotEstimableError, match="sexmale:stageIII"):
        stats.cox(empty, "time", "event", "sex*stage")


def test_rows_that_can_not_be_coded_are_told_apart(table: pd.DataFrame) -> None:
    design = stats.cox(table, "time", "event", "log(size) + stage").design
    rows = pd.DataFrame({"size": [1.0, 0.0, np.nan, 2.0], "stage": ["I", "I", "I", "IV"]})
    assert design.known(rows).tolist() == [True, False, False, False]
    with pytest.raises(InputError, match="did you mean `I`"):
        design.transform(rows.iloc[[3]])
    with pytest.raises(InputError, match="name of a function"):
        stats.cox(table.assign(log=1 + table["age"]), "time", "event", "log(size) + log")
