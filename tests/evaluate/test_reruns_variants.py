"""Choices compared: the same table differs by nothing, a table without signal by a lot."""

from __future__ import annotations

import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as say
from radsupport.errors import ContractError
from radsupport.evaluate import reruns


def _rows(*rows):
    return pd.DataFrame(rows, columns=reruns.VARIANT_COLUMNS)


@pytest.fixture
def compared(small, folder):
    cohort = small.cohort()
    good, noise = small.features(cohort), small.features(cohort, 0.0, seed=5)
    path = folder(cohort, radiomics=good, radiomics_group_same=good, radiomics_group_noise=noise)
    _rows(["same", "features_radiomics_group_same", "radiomics", "Radiomics", "outline", "the same outline"],
          ["noise", "features_radiomics_group_noise", "radiomics", "Radiomics", "outline", "nothing in it"],
          ).to_csv(path / "variants_03_radiomics.csv", index=False)  # fmt: skip
    return small.study([small.radiomics, small.clinical]), path


def test_each_choice_is_judged_by_the_signatures_protocol(compared, small):
    study, path = compared
    assembly = small.assemble(study, path)
    predictions = small.run(study, assembly).predictions
    table = reruns.variants(path, assembly, predictions, **small.protocol(study)).set_index("variant")
    assert list(table.index) == [reruns.AS_CHOSEN, "same", "noise"]
    own, same, noise = (table.loc[name] for name in table.index)
    assert same["out_of_fold"] == own["out_of_fold"]
    assert same["external"] == own["external"]
    assert same["difference"] == 0
    assert noise["difference"] == pytest.approx(noise["out_of_fold"] - own["out_of_fold"])
    assert noise["difference"] < -0.2
    assert noise["difference_low"] < noise["difference"] < noise["difference_high"] < 0
    assert noise["p"] < 0.05
    assert pd.isna(own["difference"])
    words = say.variants(table.reset_index())
    assert "2 choices beside the study's own; out of fold, with that one, from" in words
    assert "1 of 1 differs from the study's choice at P < 0.05" in words


def test_no_variants_no_rows(small, folder):
    study, path = small.study([small.radiomics]), folder()
    assert reruns.read_variants(path, study.signatures).empty
    table = reruns.variants(path, small.assemble(study, path), pd.DataFrame(), **small.protocol(study))
    assert table.attrs["empty"] == "There is one version of the features: no earlier chapter made them in a second way."


def test_every_fault_of_the_list_is_named(compared):
    study, path = compared
    _rows(["a", "features_absent", "radiomics", "Radiomics", "g", ""],
          ["b", "features_radiomics", "radiomics", "Clinical", "g", ""],
          ["c", "features_radiomics", "radiomics", "Nobody", "g", ""],
          ).to_csv(path / "variants_04_deep_features.csv", index=False)  # fmt: skip
    with pytest.raises(ContractError, match=r"(?s)features_absent.*Clinical.*Nobody"):
        reruns.read_variants(path, study.signatures)
    pd.DataFrame({"variant": ["x"]}).to_csv(path / "variants_04_deep_features.csv", index=False)
    with pytest.raises(ContractError, match="the column `table` is missing"):
        reruns.read_variants(path, study.signatures)


def test_survival_choices_have_a_difference_too(small, folder):
    cohort = small.cohort()
    features = small.features(cohort)
    path = folder(cohort, radiomics=features, radiomics_g_noise=small.features(cohort, 0.0, seed=5))
    signature = {"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}
    study = small.study([signature], "survival", validation={"bootstrap": 20})
    assembly = small.assemble(study, path)
    predictions = small.run(study, assembly).predictions
    rows = _rows(["noise", "features_radiomics_g_noise", "radiomics", "R", "g", ""])
    rows.to_csv(path / "variants_03_radiomics.csv", index=False)
    table = reruns.variants(path, assembly, predictions, n_bootstrap=20, **small.protocol(study))
    assert table["difference"].iloc[1] == pytest.approx(table["out_of_fold"].diff().iloc[1])
