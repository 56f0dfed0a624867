"""With and without ComBat: a planted shift between centers is found and taken out, an unseen center refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as modelling_center_effects
from radsupport.errors import InputError
from radsupport.evaluate import centers as center_effects
from radsupport.learning.signatures import assemble, run_signatures
from radsupport.settings.learning import Division

DIVISIONS = [{"train": ["a", "b"], "test": ["c"]}]


def _study(small, divisions=DIVISIONS, **signature):
    base = {"name": "R", "sources": ["radiomics"], "learner": "Ridge", **signature}
    return small.study([base], modelling={"harmonisation": {"signature": "R", "divisions": divisions}})


@pytest.fixture
def shifted(small, folder):
    """Features of center b are shifted and spread; the label is known to the features within each center."""
    cohort = small.cohort()
    features = small.features(cohort)
    at_b = (cohort["center"] == "b").to_numpy()
    names = features.columns.drop("subject")
    features.loc[at_b, names] = 3 * features.loc[at_b, names] + 20
    return cohort, folder(cohort, radiomics=features)


def test_a_division_names_who_trains_and_who_is_unseen(small):
    cohort = small.cohort()
    people = center_effects.divided_cohort(cohort, Division(train=["a", "c"], test=["b"]))
    assert (people["cohort"] == people["center"].map({"a": "train", "c": "train", "b": "external"})).all()
    alone = center_effects.divided_cohort(cohort, Division(train=["a"]))
    assert set(alone["center"]) == {"a"}


def test_a_planted_shift_is_counted_before_and_gone_after(small, shifted):
    _, path = shifted
    table = center_effects.center_differences(_study(small), path).iloc[0]
    assert table["built_on"] == "a and b"
    assert table["n"] == small.train
    assert table["before"] == table["features"] == 24
    assert table["after"] <= 2


def test_centers_that_are_alike_differ_in_nothing(small, folder):
    table = center_effects.center_differences(_study(small), folder()).iloc[0]
    assert table["before"] <= 2


def test_each_center_is_judged_without_and_with(small, shifted):
    cohort, path = shifted
    study = _study(small)
    table = center_effects.harmonisation_table(study, path).set_index("center")
    assert table["judged"].to_dict() == {"a": "out of fold", "b": "out of fold", "c": "unseen"}
    assert table["n"].to_dict() == {"a": 30, "b": 30, "c": 24}
    assert (table["difference"] - (table["with_combat"] - table["without"])).abs().max() < 1e-9
    assert (table["ci_low"] <= table["difference"]).all()
    assert table.loc["a", "with_combat"] > 0.6
    # The value without is that of the plain signature on these centers.
    people = center_effects.divided_cohort(cohort, Division(train=["a", "b"], test=["c"]))
    run = run_signatures(study, assemble(study, path, cohort=people))
    own = run.predictions[(run.predictions["kind"] == "external")]
    one, zero = (own.loc[own["label"] == k, "risk"].to_numpy() for k in (1, 0))
    assert table.loc["c", "without"] == pytest.approx(np.mean(one[:, None] > zero))
    words = modelling_center_effects.harmonisation_words(table.reset_index())
    assert "of 3 have P < 0.05" in words


def test_an_unseen_center_is_refused(small, shifted):
    _, path = shifted
    answer = center_effects.refusal(_study(small), path)
    assert "asked to adjust the patients of c after a fit on a and b, it refuses" in answer
    assert not set("[]=\n") & set(answer)
    assert center_effects.refusal(_study(small, [{"train": ["a", "b"]}]), path) == ""


def test_survival_signatures_are_compared_too(small, folder):
    base = {"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}
    modelling = {"harmonisation": {"signature": "R", "divisions": [{"train": ["a", "b"]}]}}
    study = small.study([base], "survival", modelling=modelling, validation={"bootstrap": 20})
    table = center_effects.harmonisation_table(study, folder())
    assert table[["without", "with_combat", "difference"]].notna().all(axis=None)


def test_a_study_without_the_comparison(small, folder):
    study = small.study([small.radiomics])
    assert center_effects.harmonisation_table(study, folder()).empty
    assert center_effects.center_differences(study, folder()).empty
    assert center_effects.refusal(study, folder()) == ""
    assert "does not compare" in modelling_center_effects.unused_words(study)
    assert "No difference" in modelling_center_effects.harmonisation_words(pd.DataFrame({"difference": [np.nan]}))


def test_features_learnt_per_fold_are_refused(small, folder):
    path = folder()
    for k in range(4):
        (path / f"features_radiomics_fold{k}.parquet").write_bytes((path / "features_radiomics.parquet").read_bytes())
    with pytest.raises(InputError, match="learns features per fold"):
        center_effects.center_differences(_study(small), path)
