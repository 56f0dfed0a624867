"""Nomograms against rms::nomogram (R 4.2.2, rms 6.5.0), and where rms has nothing to compare with."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from scipy.special import expit

from radsupport.errors import InputError, NotEstimableError
from radsupport.nomogram.axes import pretty
from radsupport.nomogram.calculator import calculator
from radsupport.nomogram.nomogram import Nomogram
from radsupport.plots import nomogram as drawn_nomogram
from radsupport.plots.base import description
from radsupport.stats.cox import fit_cox, predict_survival
from radsupport.stats.logistic import fit_logistic

GOLDEN = Path(__file__).parents[1] / "golden" / "statistics"
CASES = sorted(path.stem for path in GOLDEN.glob("nomogram__*.json"))


def fitted(reference: dict[str, Any], table: pd.DataFrame) -> Any:
    params = reference["params"]
    factors = params["factors"] or ()
    if params["model"] == "logistic":
        return fit_logistic(table, params["outcome"], params["terms"], factors=factors)
    return fit_cox(table, params["time"], params["status"], params["terms"], factors=factors)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, r_values: Any, r_table: Any) -> tuple[Nomogram, dict[str, Any], Any]:
    reference = r_values(request.param)
    fit = fitted(reference, r_table(reference["dataset"][0]))
    if fit.kind == "logistic":
        return Nomogram.from_logistic(fit), reference["values"], fit
    return Nomogram.from_cox(fit, reference["params"]["horizons"], time_unit="days"), reference["values"], fit


def test_there_are_golden_files() -> None:
    assert len(CASES) >= 5


def test_points_equal_rms(case: Any) -> None:
    nomogram, values, _ = case
    table = nomogram.table()
    assert list(table["predictor"].unique()) == list(values["predictor_axes"])
    for name, axis in values["predictor_axes"].items():
        own = table[table["predictor"] == name]
        if isinstance(axis["axis_values"][0], str):
            assert list(own["value"]) == axis["axis_values"]
        else:
            np.testing.assert_allclose(own["value"].astype(float), axis["axis_values"], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(own["x_beta"], axis["x_beta"], rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(own["points"], axis["points"], rtol=1e-6, atol=1e-6)
    assert nomogram.points_per_unit == pytest.approx(values["points_per_unit_lp"], rel=1e-6)
    assert nomogram.lp_at_zero_points == pytest.approx(values["lp_at_zero_points"], rel=1e-6)


def test_total_points_and_linear_predictor_axes_equal_rms(case: Any) -> None:
    nomogram, values, _ = case
    assert nomogram.total_ticks == values["total_points_axis"]
    axes = nomogram.axes(linear_predictor=True)
    lp = axes[axes["axis"] == "Linear predictor"]
    np.testing.assert_allclose(lp["value"].astype(float), values["lp_axis"]["lp"], atol=1e-12)
    np.testing.assert_allclose(lp["points"], values["lp_axis"]["total_points"], rtol=1e-6)


def test_result_axes_equal_rms(case: Any) -> None:
    nomogram, values, _ = case
    names = list(nomogram.axes().query("kind == 'result'")["axis"].unique())
    assert len(names) == len(values["function_axes"])
    for name, reference in zip(names, values["function_axes"].values(), strict=True):
        axes = nomogram.axes(at=reference["axis_value"])
        own = axes[axes["axis"] == name]
        np.testing.assert_allclose(own["value"].astype(float), reference["axis_value"])
        np.testing.assert_allclose(own["points"], reference["total_points"], rtol=1e-6)


def risk_at(nomogram: Nomogram, total_points: Any) -> Any:
    """Return the probability, or survival at each horizon, that total points stand for, shape (n, m)."""
    lp = nomogram.lp_at_zero_points + np.asarray(total_points, dtype=float) / nomogram.points_per_unit
    return expit(lp)[:, None] if nomogram.kind == "logistic" else nomogram.survival(lp, nomogram.horizons)


def test_total_points_to_risk_equals_rms(case: Any) -> None:
    nomogram, values, _ = case
    key, atol = (
        ("total_points_to_probability", 1e-9) if nomogram.kind == "logistic" else ("total_points_to_survival", 1e-4)
    )
    reference = values[key]
    columns = [f"survival_at_{time:g}" for time in nomogram.horizons] or ["probability"]
    found = dict(zip(columns, risk_at(nomogram, reference["total_points"]).T, strict=True))
    for column in set(reference) - {"total_points", "linear_predictor"}:
        np.testing.assert_allclose(found[column], reference[column], atol=atol)


def test_first_subjects_equal_rms(case: Any) -> None:
    nomogram, values, fit = case
    rows = fit.data.head(5)
    lp = values["first5_subjects"]["linear_predictor"]
    np.testing.assert_allclose(nomogram.linear_predictor(rows), lp, rtol=1e-6, atol=1e-8)
    totals = [nomogram.points(row).total for _, row in rows.iterrows()]
    np.testing.assert_allclose(totals, values["first5_subjects"]["total_points_by_formula"], rtol=1e-6)


def test_prediction_is_that_of_the_fit_and_of_the_points(case: Any) -> None:
    nomogram, _, fit = case
    rows = fit.data.head(40)
    predicted = nomogram.predict(rows)
    assert list(predicted.index) == list(rows.index)
    np.testing.assert_allclose(nomogram.linear_predictor(rows), fit.linear_predictor(rows), rtol=0, atol=1e-12)
    totals = [nomogram.points(row).total for _, row in rows.iterrows()]
    by_points = risk_at(nomogram, totals)
    np.testing.assert_allclose(np.asarray(predicted).reshape(len(rows), -1), by_points, atol=1e-12)
    if nomogram.kind == "logistic":
        np.testing.assert_allclose(predicted, fit.predict(rows), atol=1e-12)


def test_survival_is_a_step_function_of_the_baseline(r_table: Any) -> None:
    table = r_table("data/veteran.csv")
    fit = fit_cox(table, "time", "status", "karno+celltype+age")
    nomogram = Nomogram.from_cox(fit, [90.0])
    row = table.iloc[7]
    risk = math.exp(float(nomogram.linear_predictor(row)[0]))
    hazard = fit.baseline.set_index("time")["cumulative_hazard"]
    for time in (0.5, 1.0, 90.0, 99.9, 100.0, 999.0):
        expected = math.exp(-risk * hazard[hazard.index <= time].max()) if time >= 1 else 1.0
        assert nomogram.predict(row, horizons=[time]).iloc[0, 0] == pytest.approx(expected, abs=1e-12)


def test_round_trip_through_json(case: Any) -> None:
    nomogram, _, fit = case
    again = Nomogram.from_dict(json.loads(json.dumps(nomogram.to_dict(), allow_nan=False)))
    rows = fit.data.head(10)
    pd.testing.assert_frame_equal(again.table(), nomogram.table(), check_exact=True)
    pd.testing.assert_frame_equal(again.axes(), nomogram.axes(), check_exact=True)
    assert np.array_equal(np.asarray(again.predict(rows)), np.asarray(nomogram.predict(rows)))
    assert calculator(again) == calculator(nomogram)
    assert again.to_dict() == nomogram.to_dict()


def test_from_dict_lists_wrong_keys(case: Any) -> None:
    plain = case[0].to_dict()
    del plain["intercept"]
    plain["extra"] = 1
    plain["predictors"][0] = {k: v for k, v in plain["predictors"][0].items() if k != "coef"}
    with pytest.raises(InputError) as caught:
        Nomogram.from_dict(plain)
    assert {problem.column for problem in caught.value.problems} == {"intercept", "extra", "coef"}


def simulated(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    x, z = rng.normal(size=n), rng.choice(["a", "b", "c"], n)
    y = (rng.uniform(size=n) < 1 / (1 + np.exp(-(0.8 * x + (z == "b"))))).astype(int)
    time = rng.exponential(np.exp(-0.5 * x))
    return pd.DataFrame({"x": x, "z": z, "size": np.exp(x), "y": y, "time": time, "event": rng.integers(0, 2, n)})


def test_single_predictor_has_a_hundred_total_points() -> None:
    """rms: the Total Points axis ends at maxscale where there is one predictor."""
    nomogram = Nomogram.from_logistic(fit_logistic(simulated(), "y", "x"))
    assert nomogram.total_ticks == [10.0 * i for i in range(11)]
    assert nomogram.table()["points"].max() == pytest.approx(100)


def test_factor_only_and_reference_level() -> None:
    table = simulated()
    nomogram = Nomogram.from_logistic(fit_logistic(table, "y", "z", reference={"z": "b"}))
    points = nomogram.table().set_index("value")["points"]
    rates = table.groupby("z")["y"].mean()
    assert list(points.index) == ["a", "b", "c"]
    assert points["b"] == pytest.approx(100)
    assert points.idxmin() == rates.idxmin()
    predicted = nomogram.predict(pd.DataFrame({"z": ["a", "b", "c"]}))
    np.testing.assert_allclose(predicted, rates, atol=1e-9)  # a saturated model fits the rates


def test_negative_coefficient_gives_points_to_low_values() -> None:
    table = simulated().assign(x=lambda t: -t["x"])
    nomogram = Nomogram.from_logistic(fit_logistic(table, "y", "x+z"))
    own = nomogram.table().query("predictor == 'x'")
    assert own["points"].is_monotonic_decreasing
    assert own["points"].min() == 0
    assert nomogram.table()["points"].max() == pytest.approx(100)


def test_coefficient_of_zero_gives_no_points_and_all_zero_is_an_error() -> None:
    plain = Nomogram.from_logistic(fit_logistic(simulated(), "y", "x+z")).to_dict()
    plain["predictors"][1]["coef"] = [0.0, 0.0, 0.0]
    nomogram = Nomogram.from_dict(plain)
    assert set(nomogram.table().query("predictor == 'z'")["points"]) == {0.0}
    assert nomogram.points({"x": 0.3, "z": "b"})["z"] == 0.0
    assert isinstance(drawn_nomogram(nomogram.axes()), Axes)
    plain["predictors"][0]["coef"] = [0.0]
    with pytest.raises(NotEstimableError, match="All coefficients are zero"):
        Nomogram.from_dict(plain)


def test_constant_predictor_is_an_error() -> None:
    plain = Nomogram.from_logistic(fit_logistic(simulated(), "y", "x+z")).to_dict()
    plain["predictors"][0]["ticks"] = [1.0]
    with pytest.raises(InputError, match=r"column x.* constant"):
        Nomogram.from_dict(plain)
    with pytest.raises(NotEstimableError, match="same value in every row"):
        fit_logistic(simulated().assign(x=1.0), "y", "x+z")


def test_what_has_no_axis_is_refused_with_the_reason() -> None:
    table = simulated()
    with pytest.raises(InputError, match="without predictors"):
        Nomogram.from_logistic(fit_logistic(table, "y", []))
    for formula in ("x*size", "I(x / size)"):
        with pytest.raises(InputError, match="tie x and size together"):
            Nomogram.from_logistic(fit_logistic(table, "y", formula))
    table["part"] = np.arange(len(table)) % 7
    with pytest.raises(InputError, match="21 axes"):
        Nomogram.from_logistic(fit_logistic(table, "y", "factor(part)*z*x", penalty="firth"))


FORMULAS = ["bs(x, df=5) + z", "cr(x, df=4) + size", "poly(x, 2)", "x + I(x**2) + z", "bs(log(size), df=4)"]
FORMULAS += [
    "size + log(size)",
    "bs(x, df=3)*z",
    "z*g + x",
    "x*z + x:g + size",
    "scale(x) + sqrt(size)",
    "log(size + 1)",
]


@pytest.fixture(scope="module")
def curved() -> tuple[pd.DataFrame, dict[str, tuple[Nomogram, Any]]]:
    table = simulated(300).assign(g=lambda t: np.where(np.arange(len(t)) % 3, "u", "v"))
    fits = {formula: fit_cox(table, "time", "event", formula) for formula in FORMULAS}
    return table, {formula: (Nomogram.from_cox(fit, [0.5, 1.0]), fit) for formula, fit in fits.items()}


@given(
    st.sampled_from(FORMULAS),
    st.floats(-2.5, 2.5),
    st.floats(0.1, 9.0),
    st.sampled_from("abc"),
    st.sampled_from("uv"),
)
@settings(max_examples=60, deadline=None)
def test_points_of_any_formula_stand_for_the_models_prediction(
    curved: Any, formula: str, x: float, size: float, z: str, g: str
) -> None:
    nomogram, fit = curved[1][formula]
    row = {"x": x, "size": size, "z": z, "g": g}
    points = nomogram.points(row)
    assert points.total == pytest.approx(sum(points.values()))
    expected = predict_survival(fit, pd.DataFrame([row]), [0.5, 1.0])
    exact = formula not in ("size + log(size)", "log(size + 1)")
    np.testing.assert_allclose(risk_at(nomogram, [points.total]), expected, atol=1e-9 if exact else 1e-5)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_value_on_an_axis_has_negative_points_and_json_keeps_all(curved: Any, formula: str) -> None:
    table, models = curved
    nomogram, _ = models[formula]
    points = nomogram.table()["points"]
    assert points.min() > -1e-9
    assert points.max() <= 100 + 1e-9
    again = Nomogram.from_dict(json.loads(json.dumps(nomogram.to_dict(), allow_nan=False)))
    assert again.to_dict() == nomogram.to_dict()
    pd.testing.assert_frame_equal(again.axes(), nomogram.axes(), check_exact=True)
    assert np.array_equal(again.linear_predictor(table), nomogram.linear_predictor(table))


def test_an_axis_that_turns_has_ticks_on_two_sides(curved: Any) -> None:
    table, models = curved
    parted = table.assign(time=np.exp(-(table["x"] ** 2)) * np.random.default_rng(2).exponential(size=len(table)))
    nomogram = Nomogram.from_cox(fit_cox(parted, "time", "event", "poly(x, 2)"), [0.1])
    axes = nomogram.axes()
    own = axes[axes["axis"] == "x"].astype({"value": float})
    turn = own.loc[own["points"].idxmin(), "value"]
    assert set(own.loc[own["value"] < turn - 0.5, "side"]) == {"above"}
    assert set(own.loc[own["value"] > turn + 0.5, "side"]) == {"below"}
    assert (own["value"].iloc[0], own["value"].iloc[-1]) == (table["x"].min(), table["x"].max())
    assert isinstance(drawn_nomogram(axes), Axes)
    assert set(models["x*z + x:g + size"][0].axes()["side"]) == {""}  # straight axes do not turn


def test_interactions_have_an_axis_for_each_level(curved: Any) -> None:
    nomogram, fit = curved[1]["bs(x, df=3)*z"]
    assert [axis.key for axis in nomogram.predictors] == ["x (z=a)", "x (z=b)", "x (z=c)"]
    assert [axis.name for axis in nomogram.conditions] == ["z"]
    shown = nomogram.example().query("kind == 'predictor'")
    typical = fit.data["z"].mode()[0]
    assert shown["label"].tolist() == [f"x, {typical}"]
    with pytest.raises(InputError, match=r"column z.*predictor is missing"):
        nomogram.points({"x": 1.0})
    with pytest.raises(InputError, match="one of a, b, c"):
        nomogram.points({"x": 1.0, "z": "d"})


def test_transformed_predictor_keeps_its_own_scale() -> None:
    table = simulated()
    nomogram = Nomogram.from_logistic(fit_logistic(table, "y", "log(size)+z"))
    axis = nomogram.predictors[0]
    assert axis.name == "size"
    assert axis.ticks[0] == table["size"].min()  # pretty would start at 0, where log has no value
    assert np.isfinite(nomogram.table()["points"]).all()
    again = Nomogram.from_logistic(fit_logistic(table.assign(size=np.log(table["size"])), "y", "size+z"))
    logs = table.assign(size=np.log(table["size"]))
    np.testing.assert_allclose(nomogram.predict(table), again.predict(logs), atol=1e-12)


def test_bad_rows_are_refused_with_the_reason() -> None:
    nomogram = Nomogram.from_logistic(fit_logistic(simulated(), "y", "x+z"))
    with pytest.raises(InputError, match=r"column z.*predictor is missing"):
        nomogram.points({"x": 1.0})
    with pytest.raises(InputError, match=r"value d.*one of a, b, c"):
        nomogram.points({"x": 1.0, "z": "d"})
    for bad in (np.nan, "many", np.inf):
        with pytest.raises(InputError, match="column x"):
            nomogram.predict({"x": bad, "z": "a"})
    with pytest.raises(InputError, match="not list"):
        nomogram.predict([1.0, "a"])  # type: ignore[arg-type]


def test_horizons_must_lie_within_follow_up() -> None:
    table = simulated()
    fit = fit_cox(table, "time", "event", "x+z")
    last = table["time"].max()
    for wrong in ([], [last + 1], [-1.0], [1e-9], [np.nan]):
        with pytest.raises(InputError, match="follow-up"):
            Nomogram.from_cox(fit, wrong)
    nomogram = Nomogram.from_cox(fit, [0.5])
    with pytest.raises(InputError, match="Survival exists"):
        nomogram.predict(table.head(1), horizons=[last + 1])
    with pytest.raises(InputError, match="from_logistic"):
        Nomogram.from_cox(fit_logistic(table, "y", "x"), [1.0])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="from_cox"):
        Nomogram.from_logistic(fit)  # type: ignore[arg-type]


def test_probabilities_to_mark_must_be_probabilities() -> None:
    nomogram = Nomogram.from_logistic(fit_logistic(simulated(), "y", "x"))
    with pytest.raises(InputError, match="between 0 and 1"):
        nomogram.axes(at=[0.2, 1.0])


def test_plot_has_the_axes_of_rms_and_alt_text(case: Any) -> None:
    nomogram, values, _ = case
    ax = drawn_nomogram(nomogram.axes(), title="Nomogram of the test")
    texts = [text.get_text() for text in ax.texts]
    order = ["Points", *values["predictor_axes"], "Total points"]
    places = [texts.index(name) for name in order]
    heights = [ax.texts[place].get_position()[1] for place in places]
    assert heights == sorted(heights, reverse=True)
    assert texts.count("100") >= 1
    assert "longest predictor axis" in description(ax.figure)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("low", "high", "n", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 10, 5, [0, 2, 4, 6, 8, 10]),
        (14, 45, 10, [10, 15, 20, 25, 30, 35, 40, 45]),  # birthwt age in rms
        (0.085, 2.288, 10, [0.2 * i for i in range(13)]),  # Pima ped in rms
        (10, 99, 10, [10.0 * i for i in range(1, 11)]),  # veteran karno in rms
        (21, 44, 10, [2.0 * i for i in range(10, 23)]),  # infert age in rms
        (1, 3, 5, [1, 1.5, 2, 2.5, 3]),
        (0, 97, 5, [0, 20, 40, 60, 80, 100]),
    ],
)
def test_pretty_equals_r(low: float, high: float, n: int, expected: list[float]) -> None:
    np.testing.assert_allclose(pretty(low, high, n), expected, atol=1e-12)


@given(
    st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-3),
    st.floats(1e-3, 1e6),
    st.integers(2, 20),
)
@settings(max_examples=300, deadline=None)
def test_pretty_covers_the_range_with_round_steps(low: float, width: float, n: int) -> None:
    ticks = pretty(low, low + width, n)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-9 * step
    assert ticks[-1] >= low + width - 1e-9 * step
    assert n // 3 <= len(ticks) - 1 <= 2 * n + 2
    digits = step / 10 ** math.floor(math.log10(step) + 1e-6)
    assert min(abs(digits - round_) for round_ in (1, 2, 5)) < 1e-5
    np.testing.assert_allclose(np.diff(ticks), step, rtol=1e-5)


def test_pretty_refuses_an_empty_range() -> None:
    for low, high, n in ((1, 1, 5), (2, 1, 5), (0, np.inf, 5), (0, 1, 0)):
        with pytest.raises(InputError, match="low < high"):
            pretty(low, high, n)
