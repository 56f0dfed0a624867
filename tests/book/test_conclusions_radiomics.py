"""What chapter 03 says, from small tables: what is said of the ICC is what the study does with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import radiomics as say
from radsupport.errors import InputError
from radsupport.radiomics.agreement import Correlations


def test_a_study_that_selects_by_icc_says_at_which_threshold_and_for_whom() -> None:
    words = say.use("ICC(2,1)", ["Radiomics"], 0.8, "gu2023")
    assert "ICC(2,1) of Shrout & Fleiss (two-way random effects, absolute agreement, of a single measurement)" in words
    assert "In study gu2023, the signature Radiomics may select only features with an ICC above 0.8." in words
    assert "the signatures A and B may" in say.use("ICC(2,1)", ["A", "B"], 0.8, "gu2023")


def test_a_study_without_selection_by_icc_says_that_it_describes() -> None:
    words = say.use("ICC(2,1)", [], 0.8, "song2021")
    assert "No signature of study song2021 selects features by it: it describes them here" in words


def test_other_forms_are_said_and_unknown_ones_refused() -> None:
    assert say.form("ICC(C,k)") == (
        "of the form ICC(3,k) of Shrout & Fleiss (two-way mixed effects, consistency, of the mean of all measurements)"
    )
    with pytest.raises(InputError):
        say.form("ICC(4,1)")


def test_features_without_an_icc_are_not_counted_among_those_that_could_reach_it() -> None:
    icc = pd.DataFrame({"icc": [0.9, 0.8, 0.1, np.nan, np.nan]})
    words = say.reach(icc, 0.8)
    assert words.startswith("2 of 3 features with an ICC reach 0.8; 2 more have none")
    assert say.reach(icc.dropna(), 0.8) == "2 of 3 features with an ICC reach 0.8"


def test_the_choice_of_patients_is_said_where_there_was_one() -> None:
    assert say.twice(30, 44, "gu2023") == (
        "30 of the 44 training patients of study gu2023 outlined by two readers, the first by identifier"
    )
    assert say.twice(30, 30, "gu2023") == "30 training patients of study gu2023 outlined by two readers"
    assert say.drawn(2, 4, "small", 3) == "2 of 4 training patients of study small, drawn at random (seed 3)"
    assert say.drawn(4, 4, "small", 3) == "all 4 training patients of study small with an outline"


def test_pairs_are_counted_with_the_share_that_is_strong() -> None:
    pairs = pd.DataFrame({"r": [1.0, *[0.1] * 14]})
    words = say.correlated(Correlations(pairs, 6, 6, 20))
    assert words.startswith("15 pairs of 6 features that vary and miss no value, in 20 training patients; 7% of the")
    assert "15 pairs of 6 features drawn at random from 9 that vary" in say.correlated(Correlations(pairs, 6, 9, 20))


def test_the_standard_is_met_or_what_differs_is_counted() -> None:
    status = ["within tolerance"] * 4 + ["documented difference"]
    table = pd.DataFrame({"configuration": "digital phantom", "status": status})
    assert say.standard(table) == (
        "Of the 5 reference values for the digital phantom, 4 are met within tolerance, 1 differs by a documented "
        "convention of pyradiomics, none is unexplained."
    )
    several = table.assign(configuration=list("AABBC"), status=["difference", *status[1:]])
    assert "for 3 configurations of two phantoms, 3 are met" in say.standard(several)
    assert say.standard(several).endswith("1 differs without a known reason.")


def test_what_differs_from_the_standard_is_said_with_how_far_and_why() -> None:
    rows = [("A", 6.0, 3.0, "excess"), ("C", 4.0, 3.0, "excess"), ("C", 100.0, -5.0, "bins"), ("C", 10.0, 5.0, "bins")]
    rows += [("C", 50.0, -5.0, "bins"), ("D", 50.0, -5.0, "")]
    table = pd.DataFrame(rows, columns=["configuration", "reference", "difference", "reason"]).assign(
        status="difference"
    )
    within = table.assign(status="within tolerance", difference=0.0, reason="")
    assert say.differing(pd.concat([table, within])).splitlines() == [
        "- Differing values: 3 of 8 in configuration C, by 5% to 50% of the reference (median 10%): bins.",
        "- Differing values: 1 each in configuration A and configuration C, by 3: excess.",
        "- Differing values: 1 of 2 in configuration D, by 10%: no reason is known.",
    ]
    assert say.differing(within) == ""


def test_features_are_counted_without_the_column_of_patients() -> None:
    features = pd.DataFrame({"subject": ["a", "b"], "x": [1.0, 2.0], "y": [3.0, 4.0]})
    assert say.counts(features, 1) == "2 features, of all phases together, in 2 patients; 1 case failed."
