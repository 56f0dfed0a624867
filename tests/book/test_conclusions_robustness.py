"""Sentences of chapter 09."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import robustness as say

NAMES = {"train": "Hospital A", "external": "Hospital B"}


def row(cohort: str, beside: str, difference: float, low: float, high: float, p: float) -> dict[str, object]:
    return {
        "cohort": cohort, "signature": "Radiomics", "beside": beside, "n": 50, "events": 20, "measure": "AUC",
        "difference": difference, "difference_low": low, "difference_high": high, "p": p, "p_adjusted": min(1, 2 * p),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("limits", "p", "words"),
    [
        ((0.01, 0.2), 0.03, "better"), ((-0.2, -0.01), 0.03, "**worse**"), ((-0.1, 0.2), 0.4, "not shown to be better"),
        ((0.01, 0.2), 0.06, "undecided"), ((-0.01, 0.2), 0.04, "undecided"), ((float("nan"),) * 2, 0.1, "not tested"),
    ],
)  # fmt: skip
def test_a_verdict_needs_p_and_interval(limits: tuple[float, float], p: float, words: str) -> None:
    assert say.verdict(row("train", "V", sum(limits) / 2, *limits, p)).startswith(words)


def test_other_cohorts_come_first_and_every_comparator_has_a_line() -> None:
    table = pd.DataFrame([row("train", "V", 0.1, 0.02, 0.18, 0.01), row("external", "V", 0.05, -0.1, 0.2, 0.5),
                          row("train", "C", 0.0, -0.1, 0.1, 0.9)])  # fmt: skip
    first, second = say.beside(table, "Radiomics", NAMES, ["external"])
    assert first.startswith("Radiomics beside V: not shown to be better or worse in Hospital B (n = 50, 20 events)")
    assert "P = 0.50, pooled over centers; better in Hospital A" in first
    assert second.startswith("Radiomics beside C:")
    short, full = say.in_short(table, "Radiomics", NAMES, ["no volume"])
    assert "**Not compared**: no volume." in short
    assert "3 comparisons on this page: 1 with P < 0.05 (1 in favour of the signature), 1 after Holm" in full


def test_nothing_compared_is_said() -> None:
    table = pd.DataFrame([row("train", "V", 0, 0, 0, 0.5)]).head(0)
    assert "Nothing of this study could be set beside" in say.in_short(table, "Radiomics", NAMES, [])[0]
    words = say.compared([], ["no volume"], "", "Radiomics")
    assert "**Not compared**: no volume." in words
    assert "set beside" not in words


def test_parts_of_the_patients_are_told_by_tests_of_interaction() -> None:
    rows = [
        ("train", "", "all patients", np.nan, np.nan),
        ("train", "sex", "f", 0.01, 0.03),
        ("train", "age", "≤ 60", 0.4, 0.8),
    ]
    rows += [("train", "center", "a", np.nan, np.nan)]
    table = pd.DataFrame(rows, columns=["cohort", "column", "part", "p_interaction", "p_adjusted"])
    labels, names = {"sex": "Sex", "age": "Age", "center": "Center"}, {"train": "Hospital I"}
    words = say.in_parts(table, "Image", labels, names)
    assert words == (
        "2 tests of interaction of Image, 1 with P < 0.05 (0.1 expected by chance); after Holm's adjustment within a "
        "cohort the risk means something else by Sex in Hospital I (Holm P = 0.030). 1 further division could not be "
        "tested: a part is too small."
    )
    calm = say.in_parts(table.assign(p_adjusted=0.4), "Image", labels, names)
    assert "none after Holm's adjustment" in calm
    assert "does not mean that the signature does alike" in calm
    assert "no test of interaction was possible" in say.in_parts(
        table.assign(p_interaction=np.nan), "Image", labels, names
    )


def on_image(control: str, true: tuple[float, ...], value: tuple[float, ...], lost: tuple[float, ...]) -> dict:
    found = {"cohort": "train", "signature": "R", "control": control, "n": 90, "events": 40, "measure": "AUC", "p": 0.5}
    for name, three in {"true": true, "value": value, "lost": lost, "over_volume": (0.01, -0.03, 0.05)}.items():
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), three, strict=True))
    return found


STRONG, CHANCE = (0.80, 0.70, 0.90), (0.52, 0.42, 0.62)
ON_IMAGES = {
    say.KEEPS: on_image("shuffled roi", STRONG, (0.79, 0.69, 0.89), (0.01, -0.04, 0.06)),
    say.FALLS: on_image("shuffled roi", STRONG, CHANCE, (0.28, 0.15, 0.41)),
    say.PART: on_image("randomised roi", STRONG, (0.65, 0.54, 0.76), (0.15, 0.05, 0.25)),
    # an interval that leaves open whether most was lost; true images that do not predict
    say.UNTOLD: on_image("sampled roi", STRONG, (0.72, 0.55, 0.89), (0.08, -0.10, 0.26)),
    "": on_image("shuffled roi", CHANCE, CHANCE, (0.0, -0.1, 0.1)),
}


@pytest.mark.parametrize("verdict", ON_IMAGES)
def test_a_control_image_is_judged_by_its_intervals(verdict: str) -> None:
    row = ON_IMAGES[verdict]
    assert say.on_control(row) == (verdict or say.UNTOLD)
    assert say.on_control(row | {"lost_low": np.nan}) == say.UNTOLD
    keeps, words = say.kept_on_controls(pd.DataFrame([row]))
    assert keeps == {say.KEEPS: True, say.FALLS: False, say.PART: False}.get(verdict)
    assert words.startswith(f"R: {verdict or say.UNTOLD} on voxels {row['control'].split()[0]} (")


def test_words_of_control_images_name_what_is_measured() -> None:
    rows = pd.DataFrame([*ON_IMAGES.values(), ON_IMAGES[say.FALLS] | {"control": "shuffled outside"}])
    keeps, falls, part, untold, _, outside = say.on_controls(rows, {"train": "Training"})
    assert "**keeps its value**, AUC 0.79 (0.69–0.89) against 0.80 (0.70–0.90) on true images" in keeps
    assert keeps.endswith("not shown to be better than volume alone (0.010 (−0.030 to 0.050)): size may be all of it.")
    assert "texture" in falls
    assert "(size and shape)" in part
    assert "can not show it" in untold
    assert "nothing should be lost" in outside
    assert say.kept_on_controls(rows.tail(1)) == (None, "")
    assert say.kept_on_controls(rows.head(0)) == (None, "")
