"""Whom each fitted object was given: kept by the objects, compared with whom they are judged on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport import learning
from radsupport.learning.record import again, fold_record, hashed
from radsupport.settings.learning import Selection, Signature


@pytest.fixture(scope="module")
def assembly() -> learning.Assembly:
    draw = np.random.default_rng(1)
    people = [f"p{i:02d}" for i in range(40)]
    table = pd.DataFrame(draw.normal(size=(40, 12)), index=people, columns=[f"ct__f{i}" for i in range(12)])
    label = (table["ct__f0"] + draw.normal(size=40) > 0).astype(int)
    table.iloc[3, 2] = np.nan
    cohort = pd.DataFrame({"subject": people, "center": "A", "cohort": "train", "label": label.to_numpy()})
    chosen = Selection(test="mann_whitney", keep_at_least=2)
    signatures = [
        Signature(name="R", sources=["radiomics"], selection=chosen, learner="Ridge"),
        Signature(name="Both", combines=["R"], learner="Logistic"),
    ]
    return learning.Assembly(signatures, {"radiomics": table.rename_axis("subject")}, cohort, folds=4)


def test_objects_record_the_training_part_of_their_fold(assembly: learning.Assembly) -> None:
    run = learning.run_signatures(assembly, folds=4, inner_folds=2, seed=5)
    record = run.record()
    own = record[(record["signature"] == "R") & record["fold"].notna()]
    assert (own["n_fitted"] + own["n_held_out"]).tolist() == [40] * 4
    assert record[["shared", "strange"]].to_numpy().sum() == 0
    folds = run.results["R"].risks.groupby("fold")["subject"]
    people = set(assembly.cohort.index)
    for (_, held_out), row in zip(folds, own.to_dict("records"), strict=True):
        assert row["held_out"] == hashed(held_out)
        assert row["fitted"] == hashed(people - set(held_out))
    assert set(record.loc[record["signature"] == "Both", "object"]) == {"R", "model"}
    assert record.loc[record["fold"].isna(), "n_fitted"].tolist() == [40, 40, 40]
    assert not any(name in record.to_csv() for name in people)  # hashes name nobody


def test_an_object_that_met_a_held_out_patient_says_so(assembly: learning.Assembly) -> None:
    result = learning.run_signatures(assembly, ["R"], folds=4, inner_folds=2, seed=5).results["R"]
    result.models[0][0] = result.refit  # fitted on everybody, held-out patients included
    leaking = fold_record(result)
    assert leaking.loc[leaking["fold"] == 0, "shared"].item() == leaking.loc[leaking["fold"] == 0, "n_held_out"].item()
    assert leaking.loc[leaking["fold"] == 1, "shared"].item() == 0


def test_a_fold_fitted_again_gives_the_same_risks(assembly: learning.Assembly) -> None:
    run = learning.run_signatures(assembly, folds=4, inner_folds=2, seed=5)
    for name in ("R", "Both"):
        assert again(assembly, name, run.predictions, inner_folds=2, seed=5) == 0
    moved = run.predictions.assign(risk=run.predictions["risk"] + 0.25)
    assert again(assembly, "R", moved, inner_folds=2, seed=5) == pytest.approx(0.25)
    assert again(assembly, "R", run.predictions, inner_folds=2, seed=6) == np.inf
