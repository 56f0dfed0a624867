"""What is said of the ICC is what the study does with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions.radiomics import form_words, reach_words, twice_words, use_words
from radsupport.book.printed import selecting_signatures
from radsupport.errors import InputError
from radsupport.study import load_study


def test_a_study_that_selects_by_icc_says_at_which_threshold_and_for_whom() -> None:
    study = load_study("gu2023")
    assert selecting_signatures(study, "radiomics")[0] == "Radiomics"
    words = use_words(study, "radiomics", 0.8)
    assert "ICC(2,1) of Shrout & Fleiss (two-way random effects, absolute agreement, of a single measurement)" in words
    assert "may select only features with an ICC above 0.8" in words


def test_a_study_without_selection_by_icc_says_that_it_describes() -> None:
    study = load_study("song2021")
    assert study.radiomics is not None
    assert study.radiomics.icc_threshold is None
    words = use_words(study, "radiomics", 0.8)
    assert "No signature of study song2021 selects features by it: it describes them here" in words


def test_other_forms_are_said_and_unknown_ones_refused() -> None:
    assert form_words("ICC(C,k)") == (
        "of the form ICC(3,k) of Shrout & Fleiss (two-way mixed effects, consistency, of the mean of all measurements)"
    )
    with pytest.raises(InputError):
        form_words("ICC(4,1)")


def test_features_without_an_icc_are_not_counted_among_those_that_could_reach_it() -> None:
    icc = pd.DataFrame({"icc": [0.9, 0.8, 0.1, np.nan, np.nan]})
    words = reach_words(icc, 0.8)
    assert words.startswith("2 of 3 features with an ICC reach 0.8; 2 more have none")
    assert reach_words(icc.dropna(), 0.8) == "2 of 3 features with an ICC reach 0.8"


def test_the_choice_of_patients_is_said_where_there_was_one() -> None:
    study = load_study("gu2023")
    assert twice_words(30, 44, study) == (
        "30 of the 44 training patients of study gu2023 outlined by two readers, the first by identifier"
    )
    assert twice_words(30, 30, study) == "30 training patients of study gu2023 outlined by two readers"
