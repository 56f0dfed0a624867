"""Sentences of chapter 08, from tables as its notebook makes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import nomogram as say
from radsupport.stats.updating import METHODS

NAMES = {"train": "Hospital A", "external": "Hospital B"}
SIGNATURES = {"signature_1": "Image"}
NO_AXES = pd.DataFrame()


def size(**changes: Any) -> dict[str, Any]:
    return {"name": "nomogram", "n": 100, "events": 51, "coefficients": 4, "missing": 3, "note": "Note."} | changes


def test_a_model_rests_on_patients_or_has_none() -> None:
    assert say.model(size(), "small") == (
        "100 training patients with 51 events and 4 coefficients (12.8 events per coefficient); "
        "3 left out for missing values. Note."
    )
    assert "left out" not in say.model(size(missing=0), "small")
    assert say.model(size(n=0, note="It can not be fitted: one class."), "small") == (
        "The nomogram can not be fitted in the training cohort of small. It can not be fitted: one class."
    )


def spread(train: float, external: float) -> pd.DataFrame:
    return pd.DataFrame({"cohort": ["train", "external"], "signature": "Image", "sd": [train, external]})


def test_scales_are_said_and_another_scale_is_pointed_out() -> None:
    words = say.scales(spread(0.2, 0.25), "odds_ratio", NAMES)
    assert words.startswith("A signature's odds ratio is for a risk that is one standard deviation (SD) higher")
    assert "0.200 of Image" in words
    assert "spread differently" not in words
    assert "Image in Hospital B: SD 0.020, 0.10 times training's" in say.scales(spread(0.2, 0.02), "hr", NAMES)
    assert "hazard ratio" in say.scales(spread(0.2, 0.02), "hr", NAMES)
    assert "spread differently" not in say.scales(spread(0.0, 0.2), "hr", NAMES)


def test_a_printed_ratio_per_unit_is_announced() -> None:
    assert "Beside printed values" not in say.scales(spread(0.2, 0.2), "hr", NAMES)
    assert "rises by 1, as papers print it" in say.scales(spread(0.2, 0.2), "hr", NAMES, per_unit=True)


def example(*results: tuple[str, float]) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = [("predictor", "Age (years)", 61.5, 20.4), ("predictor", "Stage", "II", 30.0)]
    rows += [("total", "survival of", "", 50.4), *(("result", label, value, np.nan) for label, value in results)]
    return pd.DataFrame(rows, columns=["kind", "label", "value", "points"])


def test_points_add_up_and_a_wrong_sign_is_said() -> None:
    rows = pd.DataFrame({"term": ["signature_1", "age"], "coef": [0.5, -0.1], "ci_high": 0.9})
    words = say.points(example((" at 12 months", 0.81), (" at 24 months", 0.6)), rows, SIGNATURES, NO_AXES)
    assert words == (
        "Points of a patient with the median values and the most frequent levels: Age (years) 61.5: 20.4; "
        "Stage II: 30.0. Together 50.4, which stands for survival of 81% at 12 months and 60% at 24 months."
    )
    wrong = say.points(example(("", 0.3)), rows.assign(coef=-1.0), SIGNATURES, NO_AXES)
    assert "**Wrong sign.** A higher risk by Image takes points away: beside" in wrong
    unclear = say.points(example(("", 0.3)), rows.assign(coef=-1.0, ci_high=1.4), SIGNATURES, NO_AXES)
    assert unclear.endswith(
        "takes points away, but the interval of its ratio holds 1: beside the other predictors it can not "
        "be told which way it points."
    )
    assert "There is no nomogram to draw" in say.points(pd.DataFrame(), rows, SIGNATURES, NO_AXES)


def test_what_is_known_only_after_the_operation() -> None:
    assert say.before_treatment([]) == "Every predictor of this nomogram is known before treatment."
    assert say.before_treatment(["Invasion"]).startswith("Invasion is known only after the operation")
    assert "Invasion and Grade are known" in say.before_treatment(["Invasion", "Grade"])


def test_who_is_left_out_is_said() -> None:
    table = pd.DataFrame({"cohort": "external", "n": 60, "left_out": 3, "column": ["age", ""], "patients": [2, 1]})
    assert (
        "3 of the 60 patients of Hospital B (Age (years) is missing in 2; 1 with a level that no training patient has)"
        in say.left_out(table, NAMES, {"age": "Age (years)"})
    )
    assert say.left_out(table.iloc[:0], NAMES, {}) == ""


def optimism(*models: str) -> pd.DataFrame:
    row = {"measure": "AUC", "apparent": 0.8, "optimism": 0.1, "corrected": 0.7, "resamples": 8, "asked": 8}
    return pd.DataFrame([{"model": model} | row for model in models])


def test_optimism_is_said_in_words() -> None:
    words = say.corrected(optimism("nomogram"))
    assert words.startswith("In training the AUC of the nomogram is 0.80 (apparent); 8 bootstrap resamples")
    assert "at 0.100, which leaves 0.70" in words
    fewer = say.corrected(optimism("nomogram").assign(asked=10))
    assert "8 of 10 bootstrap resamples (in the others it can not be fitted) put the optimism" in fewer
    none = optimism("preoperative variant").assign(resamples=0)
    assert say.corrected(none).startswith("The preoperative variant can not be refitted")


def test_few_patients_are_named() -> None:
    sizes = pd.DataFrame({"cohort": ["Hospital A", "Hospital B"], "n": [100, 10]})
    assert say.few(sizes, 40).startswith("Hospital B (n = 10): groups only")
    assert "Hospital B (n = 10) 0.10" in say.few(sizes, 40, jumps=True)
    assert say.few(sizes, 5) == say.few(sizes, 5, jumps=True) == ""


def scores() -> pd.DataFrame:
    models = ["nomogram", "signature, refitted", "clinical columns alone"]
    return pd.DataFrame({
        "cohort": "B", "signature": models, "measure": "AUC", "n": 60, "fitted": 0, "value": 0.7, "value_low": 0.6,
        "value_high": 0.8, "difference": [np.nan, -0.1, 0.05], "difference_low": [np.nan, -0.15, -0.01],
        "difference_high": [np.nan, -0.05, 0.1], "p": [np.nan, 0.01, 0.2],
    })  # fmt: skip


def reading(*given: Any, **more: Any) -> str:
    return say.reading(*given, **more)[1]


def test_a_difference_is_above_below_or_neither() -> None:
    assert reading(scores(), optimism()) == (
        "- Nomogram, B: AUC 0.70 (0.60–0.80); it is below the signature alone (by −0.100, 95% CI −0.150 to −0.050) and "
        "it can not be told from the clinical columns alone (difference 0.050, 95% CI −0.010 to 0.100)."
    )
    assert "the signatures alone" in reading(scores(), optimism(), several=True)
    assert reading(scores().iloc[:0], optimism()) == "No cohort has a value of the nomogram."


def test_the_variant_and_the_signature_in_all_patients_are_said() -> None:
    names = ["nomogram", "preoperative variant", "Image, all patients"]
    table = scores().assign(signature=names, n=[58, 58, 60])
    assert reading(table, optimism()) == (
        "- Nomogram, B: AUC 0.70 (0.60–0.80) in 58 of 60 patients; the preoperative variant, the one that can guide "
        "treatment, reaches 0.70 (0.60–0.80) (nomogram minus variant −0.100, 95% CI −0.150 to −0.050, P = 0.010); "
        "Image in all 60 patients: AUC 0.70 (0.60–0.80)."
    )


def test_leaving_patients_out_and_reclassification_are_said() -> None:
    every = scores().head(1).assign(signature="Image, all patients", n=64, value=0.58)
    table = pd.concat([scores(), every], ignore_index=True)
    words = (
        "; in the 60 patients of the nomogram it is 0.70, so that leaving out the other 4 raises it by 0.12, and with "
        "it what rests on it here."
    )
    assert reading(table, optimism()).endswith(words)
    assert "raises" not in reading(table, optimism(), several=True)
    assert "leaving out" not in reading(table.replace({"value": {0.58: 0.69}}), optimism())
    moved = pd.DataFrame({"cohort": "B", "old": "clinical columns alone", "measure": ["continuous NRI", "IDI", "x"]})
    moved = moved.assign(value=[0.4, 0.321, 0.1], p=[0.2, 0.01, np.nan])
    found = "IDI 0.321 against the clinical columns alone (P = 0.010), of 2 tests, not adjusted."
    assert reading(scores(), optimism(), moved=moved).endswith(f"- Reclassification by the nomogram, B: {found}")
    assert "Reclassification" not in reading(scores(), optimism(), moved=moved.assign(p=0.3))


def test_of_several_centers_the_value_is_that_within_them() -> None:
    table = scores().assign(within=0.55, within_low=0.4, within_high=0.7)
    words = reading(table, optimism())
    assert words.startswith("- Nomogram, B: AUC 0.55 (0.40–0.70) within centers, 0.70 (0.60–0.80) pooled; it is below")
    assert "(by −0.100, 95% CI −0.150 to −0.050, pooled)" in words


def test_there_is_no_verdict_where_coefficients_were_fitted() -> None:
    table = pd.concat([scores().assign(cohort="A, apparent", fitted=60), scores().assign(cohort="Both", fitted=40)])
    train, both = reading(table, optimism("nomogram", "preoperative variant")).split("\n")
    assert train == (
        "- Nomogram, A, apparent: AUC 0.70 (0.60–0.80); corrected for optimism 0.70; the preoperative variant 0.80, "
        "corrected 0.70."
    )
    assert both == (
        "- Nomogram, Both: AUC 0.70 (0.60–0.80), 40 of the 60 patients being those to whom the coefficients were "
        "fitted."
    )
    lost = optimism("nomogram").assign(resamples=0)
    assert reading(table, lost).startswith("- Nomogram, A, apparent: AUC 0.70 (0.60–0.80).\n")


@pytest.mark.parametrize(
    ("levels", "values", "said"),
    [
        (["I", "II", "IIIa", "IIIb"], [1.0, 0.74, 1.1, 0.98], True),
        (["I", "II", "IIIa", "IIIb"], [1.0, 1.1, 1.2, 1.3], False),
        (["T2", "T1", "T3"], [1.0, 0.5, 1.5], False),  # the reference comes first, the order is that of the numbers
        (["T2", "T1", "T3"], [1.0, 1.2, 1.5], True),
        (["body", "cardia", "antrum"], [1.0, 0.7, 1.2], False),
        (["NET G1", "NET G2", "NEC"], [1.0, 0.7, 1.2], False),
        (["M0", "M1"], [1.0, 0.7], False),
    ],
)
def test_points_that_do_not_follow_an_order_are_said(levels: list[str], values: list[float], said: bool) -> None:
    table = pd.DataFrame({"term": "stage", "level": levels, "hr": values, "p_term": 0.4})
    words = say.out_of_order(table, {"stage": "Stage"})
    assert bool(words) is said
    if levels[0] == "I" and said:
        assert "levels of Stage (I 1.00, II 0.74, IIIa 1.10, IIIb 0.98; likelihood-ratio P = 0.40) the ratio" in words


def test_axes_that_turn_are_named() -> None:
    axes = pd.DataFrame({"axis": ["Age", "Age", "Size"], "side": ["above", "below", ""]})
    text = "The axis of Age turns: where ticks stand below the line a higher value has more points"
    assert say._turning(axes).startswith(text)
    assert say._turning(axes.assign(side="")) == ""
    assert say._turning(pd.DataFrame()) == ""


def updated(chosen: str, **values: object) -> pd.DataFrame:
    rows = [{"method": name, "parameters": n, "chosen": name == chosen} for n, name in enumerate(METHODS)]
    common = {"cohort": "Hospital II", "n": 50, "events": 20, "needed": 40.0, "note": None, "p": 0.2}
    limits = {"intercept": -0.5, "intercept_low": -0.9, "intercept_high": -0.1}
    spread = {"slope": 0.4, "slope_low": 0.1, "slope_high": 0.7}
    return pd.DataFrame(rows).assign(**common, **limits, **spread).assign(**values)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("as it is", "nothing has to change: a refit is not better than the nomogram as it is (P = 0.20)"),
        ("in the large", "its predictions are too high on the whole (intercept -0.50 (-0.90 to -0.10))"),
        ("recalibrated", "level and spread of its predictions have to change"),
        ("refitted", "its coefficients do not hold"),
    ],
)
def test_the_update_that_is_enough_is_worded(chosen: str, said: str) -> None:
    text = say.updating(updated(chosen)).replace("\N{MINUS SIGN}", "-").replace("\N{EN DASH}", "-")
    assert text.startswith("- In Hospital II (n = 50, 20 events)")
    assert said in text
    assert "fewer patients" not in text


def test_too_few_patients_for_an_update_are_said() -> None:
    table = updated("as it is", needed=[0.0, 300.0, 310.0, 900.0])
    assert (
        "There are fewer patients than these updates ask for: in the large 300, recalibrated 310 and refitted 900."
        in (say.updating(table))
    )
    nothing = table.head(1).assign(note="separated")
    assert say.updating(nothing) == "- In Hospital II (n = 50, 20 events) no update can be judged: separated."


def test_a_signature_that_is_not_refitted_says_why() -> None:
    table = updated("as it is").head(3).assign(signature="Image", not_refitted="It is no sum.")
    said = say.updating(table)
    assert said.startswith(
        "- **Image** in Hospital II (n = 50, 20 events) nothing has to change: a recalibration is not"
    )
    assert "It is not refitted: it is no sum." in said


def test_the_short_answer_has_values_gains_and_what_misleads() -> None:
    every = scores().head(1).assign(signature="Image, all patients", n=64, value=0.58)
    variant = scores().head(1).assign(signature="preoperative variant", value=0.65)
    train = scores().assign(cohort="A, apparent", fitted=60)
    words = say.reading(pd.concat([train, scores(), every, variant]), optimism("nomogram"))[0].splitlines()
    assert words[0] == (
        "Nomogram, AUC: A, apparent, 0.70 (0.60–0.80; corrected for optimism 0.70); B, 0.70 (0.60–0.80; 60 of 64 "
        "patients)."
    )
    assert words[1].startswith("**Needs what only the operation shows**: the preoperative variant")
    assert words[1].endswith("reaches 0.65 (0.60–0.80) in B.")
    assert words[2].startswith("**Patients left out.** B: Image in all 64 patients")
    assert words[3] == (
        "It can not be told from the clinical columns alone in B (difference 0.050, 95% CI −0.010 to 0.100); it is "
        "below the signature alone in B (by −0.100, 95% CI −0.150 to −0.050)."
    )
    alone = say.reading(train, optimism("nomogram"))[0].splitlines()
    assert alone[1:] == ["**Nobody outside the training patients is judged.**"]


def test_what_misleads_stands_under_a_calculator() -> None:
    row = {"term": "signature_1", "level": "", "coef": -0.2, "ci_high": 1.4, "hr": 0.8, "p_term": np.nan}
    note = say.under_calculator(["Grade"], pd.DataFrame([row]), SIGNATURES, {}, "hr")
    assert note.startswith(
        "For use after the operation: Grade is not known before. A higher risk by Image takes points"
    )
    assert say.under_calculator([], pd.DataFrame([row | {"coef": 0.2}]), SIGNATURES, {}, "hr") == ""
