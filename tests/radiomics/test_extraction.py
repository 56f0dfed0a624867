"""Chapter 03's tables: classes in words, all pairs of features, and who was outlined twice."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import radiomics as radiomics_steps
from radsupport.radiomics import extract as steps
from radsupport.study import load_study


def test_every_pair_is_correlated_unless_there_are_too_many() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(20, 6)), columns=list("abcdef")).assign(constant=1.0, missing=np.nan)
    table["b"] = -2 * table["a"] + 1
    table.insert(0, "subject", [f"s{i}" for i in range(20)])
    found = steps.correlations(table)
    assert (found.used, found.usable, found.n, len(found.pairs)) == (6, 6, 20, 15)
    assert found.pairs["r"].max() == pytest.approx(1)
    words = radiomics_steps.correlation_words(found)
    assert words.startswith("15 pairs of 6 features that vary and miss no value, in 20 training patients; 7% of the")
    few = steps.correlations(table, most=4)
    assert (few.used, few.usable, len(few.pairs)) == (4, 6, 6)
    assert "6 pairs of 4 features drawn at random from 6 that vary" in radiomics_steps.correlation_words(few)


def test_classes_are_named_in_words() -> None:
    icc = pd.DataFrame(
        {"icc": [0.9, 0.5, np.nan], "feature_class": ["firstorder", "glcm", "glcm"], "image_type": ["LoG"] * 3}
    )
    table = steps.icc_summary(icc, 0.8).set_index("feature_class")
    assert table.loc["first order", ["features", "reproducible", "without_icc"]].tolist() == [1, 1, 0]
    assert table.loc["GLCM", ["features", "reproducible", "without_icc"]].tolist() == [2, 0, 1]
    assert steps.icc_summary(icc, 0.8, "image_type")["image_type"].tolist() == ["LoG"]
    assert set(steps.icc_summary(icc, 0.8).columns) <= set(radiomics_steps.ICC_HEADERS)


def test_those_outlined_twice_are_counted_before_some_are_chosen() -> None:
    study = load_study("gu2023")
    assert study.radiomics is not None
    fewer = study.model_copy(update={"radiomics": study.radiomics.model_copy(update={"icc_subjects": 2})})
    phase = next(name for name, one in study.phases.items() if one.role == "model")
    cases = pd.DataFrame({"subject": ["c", "a", "b", "d", "e"], "phase": phase, "cohort": ["train"] * 4 + ["internal"]})
    cases = cases.assign(exclusion="", source_image="i", source_mask="m", image="x", mask="y")
    cases["source_mask_reader2"] = ["2", "2", "2", "", "2"]
    assert sorted(steps.outlined_twice(fewer, cases)["subject"]) == ["a", "b", "c"]
    chosen = steps.second_reader_cases(fewer, cases)
    assert chosen[["subject", "mask"]].to_numpy().tolist() == [["a", "2"], ["b", "2"]]
    assert steps.second_reader_cases(fewer, cases.drop(columns="source_mask_reader2")).empty
