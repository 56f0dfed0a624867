"""A study in three sentences: of the patients outside where there are some, with what each verdict needs."""

from __future__ import annotations

from typing import Any

import pytest

from radsupport.book.conclusions.abstract import answer, headlines

NAMES = {"train": "training", "external": "Hospital II"}


def entry(value: Any, low: float | None = None, high: float | None = None, n: int | None = 84) -> dict[str, Any]:
    return {"value": value, "n": n, "ci_low": low, "ci_high": high}


def judged(cohort: str, p: float, value: tuple[float, ...], **more: Any) -> dict[str, dict[str, Any]]:
    key = "headline_train" if cohort == "train" else "headline_external"
    found = {"cohort": cohort, "signature": "RDPs (AUC)", "pooled": False, "events": 27, "p": p} | more
    return {key: entry(*value)} | {f"{key}_{name}": entry(one) for name, one in found.items()}


FULL = (
    judged("train", 0.001, (0.72, 0.64, 0.81))
    | judged("external", 0.001, (0.82, 0.73, 0.91), rival_name="Size", rival_p=0.36, predicted=0.426, observed=0.321)
    | {"headline_external_useful": entry("14% to 63%"), "headline_external_rival": entry(-0.018, -0.055, 0.02)}
    | {"gain_over_clinical_external": entry(0.06, 0.018, 0.101), "gain_over_clinical_external_p": entry(0.004)}
)


def test_patients_outside_are_spoken_of_where_there_are_some() -> None:
    assert answer(FULL, "metastasis", NAMES) == [
        "In 84 patients of Hospital II (27 with metastasis): RDPs told patients apart better than chance, "
        "AUC 0.82 (0.73–0.91) (training, out of fold: 0.72 (0.64–0.81), one division).",
        "There it was not shown to be better or worse than Size (difference −0.018 (−0.055 to 0.020)); the nomogram "
        "was better than the clinical columns alone (difference 0.060 (0.018–0.101)).",
        "Its mean risk of metastasis was 43%, the share observed 32%; acting on it does better than treating everybody "
        "and treating nobody at thresholds of 14% to 63%.",
    ]


def test_other_cohorts_and_what_comes_too_late_are_said() -> None:
    names = NAMES | {"internal": "Hospital III", "drawn": "outlines only"}
    numbers = FULL | {"auc_internal_RDPs": entry(0.49, 0.35, 0.64), "preoperative_external": entry(0.85, 0.77, 0.93)}
    first, second, _ = answer(numbers, "metastasis", names)
    assert first.endswith("(training, out of fold: 0.72 (0.64–0.81), one division; Hospital III: 0.49 (0.35–0.64)).")
    assert "; Hospital III, pooled over centers: 0.49 (" in answer(numbers, "death", names, several=["internal"])[0]
    late = "the nomogram (which needs findings of the operation and so can not help to plan it; its preoperative "
    assert f"{late}variant: 0.85 (0.77–0.93)) was better than the clinical columns alone" in second


def test_a_gain_beside_chance_is_called_chance() -> None:
    words = answer(judged("train", 0.13, (0.69, 0.46, 0.93), useful="20% to 31%"), "metastasis", NAMES)
    assert words[-1].endswith("at thresholds of 20% to 31%, which may be chance as well.")
    assert answer(judged("train", 0.01, (0.69, 0.56, 0.83), useful="nowhere"), "metastasis", NAMES)[-1].endswith(
        "treating nobody at no threshold that was looked at."
    )


def test_without_patients_outside_it_says_so() -> None:
    numbers = judged("train", 0.2, (0.55, 0.45, 0.65), useful="", horizon=36.0)
    first, last = answer(numbers, "death", NAMES)
    assert "In 84 training patients (27 deaths), each predicted by a model that was fitted without them" in first
    assert (
        "nobody outside was judged: RDPs was not shown to be better than chance, AUC 0.55 (0.45–0.65), one division."
        in first
    )
    assert last == (
        "Acting on its risk by 36 months does better than treating everybody and treating nobody at no threshold that "
        "was looked at."
    )
    assert "fitted without" not in answer(numbers, "death", NAMES, given=True)[0]


@pytest.mark.parametrize(
    ("p", "value", "words"),
    [
        (0.03, (0.3, 0.2, 0.4), "ranked patients the wrong way round"),
        (0.03, (0.56, 0.49, 0.63), "may or may not be better than chance (P and interval disagree)"),
        (0.03, (0.9, None, None), "told patients apart better than chance, AUC 0.90"),
        (None, (0.7, None, None), "could not be tested against chance, AUC 0.70"),
    ],
)
def test_verdict_follows_from_p_and_side(p: float | None, value: tuple[Any, ...], words: str) -> None:
    assert words in answer(judged("external", p, value), "death", NAMES)[0]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("p", "limits", "words"),
    [
        (0.04, (-0.1, -0.01), "was worse than Size"),
        (0.2, (-0.1, -0.01), "could not be told to be better or worse than Size"),  # interval and P disagree
        (0.04, (-0.1, 0.01), "could not be told to be better or worse than Size"),
    ],
)
def test_a_difference_needs_both_p_and_interval(p: float, limits: tuple[float, float], words: str) -> None:
    numbers = judged("external", 0.01, (0.7, 0.6, 0.8), rival_name="Size", rival_p=p)
    numbers["headline_external_rival"] = entry(-0.05, *limits)
    assert words in answer(numbers, "death", NAMES)[1]


def test_a_simple_predictor_that_is_as_good_is_named() -> None:
    numbers = judged("train", 0.01, (0.7, 0.6, 0.8), simple_name="Diameter", simple_p=0.4)
    numbers["headline_train_simple"] = entry(0.01, -0.04, 0.06)
    words = "There it was not shown to be better or worse than Diameter (difference 0.010 (−0.040 to 0.060))."
    assert answer(numbers, "death", NAMES)[1] == words


def test_nothing_is_said_where_nothing_was_judged() -> None:
    assert answer({}, "death", NAMES) == []
    assert answer({"headline_train": entry(None)}, "death", NAMES) == []


def test_values_within_centers_are_called_so() -> None:
    numbers = judged("external", 0.01, (0.7, 0.6, 0.8), pooled=True, rival_name="Size", rival_p=0.5)
    numbers["headline_external_rival"] = entry(0.01, -0.05, 0.06)
    first, second = answer(numbers, "death", NAMES)
    assert "AUC 0.70 (0.60–0.80) within centers" in first
    assert second.endswith(", pooled over centers.")


def test_a_value_out_of_fold_is_never_the_first_division_alone() -> None:
    spread = {"mean_over_divisions:RDPs": entry(0.703, 0.64, 0.76, 5)}
    words = "0.70 on average of 5 divisions (0.64–0.76), the first 0.72 (0.64–0.81)"
    assert f"(training, out of fold: {words})." in answer(FULL | spread, "death", NAMES)[0]
    alone = judged("train", 0.01, (0.72, 0.64, 0.81)) | spread
    assert f"better than chance, AUC {words}." in answer(alone, "death", NAMES)[0]
    assert "average" not in answer(alone, "death", NAMES, given=True)[0]


def test_size_and_the_clinic_stand_in_the_second_sentence() -> None:
    more = {"volume_name": "Volume alone", "volume_signature": "RDPs", "volume_p": 0.02, "clinical_name": "Size"}
    more |= {"clinical_signature": "RDPs", "clinical_p": 0.4}
    numbers = FULL | {f"headline_external_{key}": entry(value) for key, value in more.items()}
    numbers |= {
        "headline_external_volume": entry(0.1, 0.02, 0.18),
        "headline_external_clinical": entry(-0.02, -0.1, 0.1),
    }
    sentences = answer(numbers, "death", NAMES)
    assert len(sentences) == 3
    assert "; it was better than tumour volume alone (difference 0.100 (0.020–0.180)); the nomogram" in sentences[1]
    assert sentences[1].count("Size") == 1  # the study's comparator is the clinical model
    other = numbers | {"headline_external_volume_signature": entry("Deep"), "no_volume": entry(True)}
    assert "; Deep was better than tumour volume alone" in answer(other, "death", NAMES)[1]
    assert "tumour volume is not among these data" in answer(other, "death", NAMES)[1]


def test_every_external_cohort_is_named_with_its_own_verdict() -> None:
    names = {"train": "training", "external_a": "Hospital A", "external_b": "Hospital B"}
    first = judged("external", 0.001, (0.82, 0.73, 0.91), predicted=0.4, observed=0.3, useful="14% to 63%")
    first["headline_external_cohort"] = entry("external_a")
    second = judged("external", 0.4, (0.55, 0.45, 0.65), predicted=0.2, observed=0.5, useful="nowhere")
    more = {key.replace("headline_external", "headline_external_b"): one for key, one in second.items()}
    more["headline_external_b_cohort"] = entry("external_b")
    numbers = judged("train", 0.001, (0.72, 0.64, 0.81)) | first | more
    assert headlines(numbers) == ["headline_train", "headline_external", "headline_external_b"]
    told, right = answer(numbers, "death", names)
    assert "In 84 patients of Hospital A (27 deaths): RDPs told patients apart better than chance, AUC 0.82" in told
    assert "In 84 patients of Hospital B (27 deaths): RDPs was not shown to be better than chance, AUC 0.55" in told
    assert "In Hospital A its mean risk of death was 40%, the share observed 30%; acting on it does better" in right
    assert "In Hospital B its mean risk of death was 20%, the share observed 50%; acting on it does better" in right
