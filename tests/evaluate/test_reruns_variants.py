"""Choices compared: the same table differs by nothing, a table without signal by a lot."""

from __future__ import annotations

import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as modelling_variants
from radsupport.errors import ContractError
from radsupport.evaluate import reruns as variants
from radsupport.learning.signatures import assemble, run_signatures


def _rows(*rows):
    return pd.DataFrame(rows, columns=variants.VARIANT_COLUMNS)


@pytest.fixture
def compared(small, folder):
    cohort = small.cohort()
    good, noise = small.features(cohort), small.features(cohort, 0.0, seed=5)
    path = folder(cohort, radiomics=good, radiomics_group_same=good, radiomics_group_noise=noise)
    _rows(["same", "features_radiomics_group_same", "radiomics", "Radiomics", "outline", "the same outline"],
          ["noise", "features_radiomics_group_noise", "radiomics", "Radiomics", "outline", "nothing in it"],
          ).to_csv(path / "variants_03_radiomics.csv", index=False)  # fmt: skip
    return small.study([small.radiomics, small.clinical]), path


def test_each_choice_is_judged_by_the_signatures_protocol(compared):
    study, path = compared
    predictions = run_signatures(study, assemble(study, path)).predictions
    rows = variants.read_variants(study, path)
    table = variants.evaluate_variants(study, path, rows, predictions).set_index("variant")
    assert list(table.index) == [variants.AS_CHOSEN, "same", "noise"]
    own, same, noise = (table.loc[name] for name in table.index)
    assert same["out_of_fold"] == own["out_of_fold"]
    assert same["external"] == own["external"]
    assert same["difference"] == 0
    assert noise["difference"] == pytest.approx(noise["out_of_fold"] - own["out_of_fold"])
    assert noise["difference"] < -0.2
    assert noise["diff_low"] < noise["difference"] < noise["diff_high"] < 0
    assert noise["p"] < 0.05
    assert pd.isna(own["difference"])
    words = modelling_variants.group_words(table.reset_index(), "outline")
    assert "2 choices beside the study's own" in words


def test_no_variants_no_rows(small, folder):
    assert variants.read_variants(small.study([small.radiomics]), folder()).empty


def test_every_fault_of_the_list_is_named(compared):
    study, path = compared
    _rows(["a", "features_absent", "radiomics", "Radiomics", "g", ""],
          ["b", "features_radiomics", "radiomics", "Clinical", "g", ""],
          ["c", "features_radiomics", "radiomics", "Nobody", "g", ""],
          ).to_csv(path / "variants_04_deep_features.csv", index=False)  # fmt: skip
    with pytest.raises(ContractError, match=r"(?s)features_absent.*Clinical.*Nobody"):
        variants.read_variants(study, path)
    pd.DataFrame({"variant": ["x"]}).to_csv(path / "variants_04_deep_features.csv", index=False)
    with pytest.raises(ContractError, match="the column `table` is missing"):
        variants.read_variants(study, path)


def test_survival_choices_have_a_difference_too(small, folder):
    cohort = small.cohort()
    features = small.features(cohort)
    path = folder(cohort, radiomics=features, radiomics_g_noise=small.features(cohort, 0.0, seed=5))
    signature = {"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}
    study = small.study([signature], "survival", validation={"bootstrap": 20})
    predictions = run_signatures(study, assemble(study, path)).predictions
    rows = _rows(["noise", "features_radiomics_g_noise", "radiomics", "R", "g", ""])
    table = variants.evaluate_variants(study, path, rows, predictions)
    assert table["difference"].iloc[1] == pytest.approx(table["out_of_fold"].diff().iloc[1])
