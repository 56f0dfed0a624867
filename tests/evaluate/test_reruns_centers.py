"""With and without ComBat: a planted shift between centers is found and taken out, an unseen center refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.book.conclusions import modelling as say
from radsupport.errors import InputError
from radsupport.evaluate import reruns
from radsupport.settings.learning import Division

DIVISIONS = [Division(train=["a", "b"], test=["c"])]


def _study(small, **signature):
    return small.study([{"name": "R", "sources": ["radiomics"], "learner": "Ridge", **signature}])


@pytest.fixture
def shifted(small, folder):
    """Features of center b are shifted and spread; the label is known to the features within each center."""
    cohort = small.cohort()
    features = small.features(cohort)
    at_b = (cohort["center"] == "b").to_numpy()
    names = features.columns.drop("subject")
    features.loc[at_b, names] = 3 * features.loc[at_b, names] + 20
    return cohort, folder(cohort, radiomics=features)


def test_a_division_names_who_trains_and_who_is_unseen(small, folder):
    assembly = small.assemble(_study(small), folder())
    people = assembly.divided(["a", "c"], ["b"]).cohort
    assert (people["cohort"] == people["center"].map({"a": "train", "c": "train", "b": "external"})).all()
    assert set(assembly.divided(["a"]).cohort["center"]) == {"a"}


def test_a_planted_shift_is_counted_before_and_gone_after(small, shifted):
    _, path = shifted
    table = reruns.center_differences(small.assemble(_study(small), path), "R", DIVISIONS).iloc[0]
    assert table["built_on"] == "a and b"
    assert table["n"] == small.train
    assert table["before"] == table["features"] == 24
    assert table["after"] <= 2


def test_centers_that_are_alike_differ_in_nothing(small, folder):
    table = reruns.center_differences(small.assemble(_study(small), folder()), "R", DIVISIONS).iloc[0]
    assert table["before"] <= 2


def test_each_center_is_judged_without_and_with(small, shifted):
    _, path = shifted
    study = _study(small)
    assembly = small.assemble(study, path)
    table = reruns.harmonised(assembly, "R", DIVISIONS, **small.protocol(study)).set_index("center")
    assert table["judged"].to_dict() == {"a": "out of fold", "b": "out of fold", "c": "unseen"}
    assert table["n"].to_dict() == {"a": 30, "b": 30, "c": 24}
    assert (table["difference"] - (table["with_combat"] - table["without"])).abs().max() < 1e-9
    assert (table["difference_low"] <= table["difference"]).all()
    assert table.loc["a", "with_combat"] > 0.6
    # The value without is that of the plain signature on these centers.
    run = small.run(study, assembly.divided(["a", "b"], ["c"]))
    own = run.predictions[(run.predictions["kind"] == "external")]
    one, zero = (own.loc[own["label"] == k, "risk"].to_numpy() for k in (1, 0))
    assert table.loc["c", "without"] == pytest.approx(np.mean(one[:, None] > zero))
    words = say.centers(reruns.center_differences(assembly, "R", DIVISIONS), table.reset_index(), ["a", "b"])
    assert "of 3 have P < 0.05" in words


def test_an_unseen_center_is_refused(small, shifted):
    _, path = shifted
    assembly = small.assemble(_study(small), path)
    differing = reruns.center_differences(assembly, "R", DIVISIONS)
    assert differing["refused"].tolist() == ["c"]
    harmonised = pd.DataFrame({"difference": [np.nan]})
    answer = say.centers(differing, harmonised, ["a", "b"])
    assert "asked to adjust the patients of c after a fit on a and b, ComBat refuses" in answer
    seen = reruns.center_differences(assembly, "R", [Division(train=["a", "b"])])
    assert seen["refused"].tolist() == [""]
    words = say.centers(seen, harmonised, ["a", "b"])
    assert words == "No difference can be estimated.\n\nNo division here leaves a center unseen."


def test_survival_signatures_are_compared_too(small, folder):
    study = small.study([{"name": "R", "sources": ["radiomics"], "learner": "CoxLasso"}], "survival")
    divisions = [Division(train=["a", "b"])]
    assembly = small.assemble(study, folder())
    table = reruns.harmonised(assembly, "R", divisions, n_bootstrap=20, **small.protocol(study))
    assert table[["without", "with_combat", "difference"]].notna().all(axis=None)


def test_a_study_without_the_comparison(small, folder):
    assembly = small.assemble(_study(small), folder())
    differing, harmonised = reruns.center_differences(assembly, "R", []), reruns.harmonised(assembly, "R", [])
    assert harmonised.empty
    assert differing.empty
    assert "does not compare" in say.centers(differing, harmonised, ["a", "b"])
    assert "All training patients come from a" in say.centers(differing, harmonised, ["a"])


def test_features_learnt_per_fold_are_refused(small, folder):
    path = folder()
    for k in range(4):
        (path / f"features_radiomics_fold{k}.parquet").write_bytes((path / "features_radiomics.parquet").read_bytes())
    with pytest.raises(InputError, match="learns features per fold"):
        reruns.center_differences(small.assemble(_study(small), path), "R", DIVISIONS)
