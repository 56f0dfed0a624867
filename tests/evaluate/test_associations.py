"""What a signature goes together with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.evaluate import associations
from radsupport.evaluate.associations import LATENT
from radsupport.tables import write_table

NOTHING = pd.DataFrame()


def test_risks_of_a_cohort_side_by_side(labelled):
    study, _, predictions = labelled
    table = associations.risk_table(predictions[predictions["signature"] != "B"], study, "internal")
    assert list(table.columns) == ["A", "A + B"]
    assert len(table) == 40


def test_the_numbers_that_follow_the_best_signature_come_first(labelled, make_study):
    _, cohort, predictions = labelled
    extra = {f"x{i}": {"source": "clinical", "kind": "number", "label": f"X{i}"} for i in range(8)}
    study = make_study(columns=extra)
    rng = np.random.default_rng(77)
    wide = cohort.assign(**{f"x{i}": rng.normal(size=len(cohort)) for i in range(8)})
    wide["x5"] = cohort["latent"]
    wide["x6"] = 1.0
    found = associations.related_numbers(predictions, study, wide)
    assert found[0] == "x5"
    assert len(found) == 3
    assert "x6" not in found
    assert associations.related_numbers(predictions, make_study(), cohort) == ["age"]
    assert associations.related_numbers(predictions.assign(risk=0.5), make_study(), cohort) == ["age"]


def test_every_pair_is_correlated_by_rank(labelled):
    study, cohort, predictions = labelled
    risks = associations.risk_table(predictions, study, "train")
    latent = cohort.set_index("subject")["latent"]
    pairs = associations.association_pairs(risks, study, cohort, ["age"], NOTHING, latent)
    assert len(pairs) == 10
    row = pairs.query("feature_a == 'A' and feature_b == @LATENT").iloc[0]
    assert row["r"] == pytest.approx(risks["A"].corr(latent.reindex(risks.index), method="spearman"))
    assert row["n"] == 60
    assert LATENT == "planted latent"
    constant = risks.assign(B=0.5)
    names = associations.association_pairs(constant, study, None, [], NOTHING, pd.Series(dtype=float))
    assert set(names["feature_a"]) | set(names["feature_b"]) == {"A", "A + B"}
    assert associations.association_pairs(risks[["A"]], study, None, [], NOTHING, pd.Series(dtype=float)).empty


def test_features_chosen_most_often_get_codes_by_source(make_study, make_cohort, tmp_path):
    study, cohort = make_study(validation={"best": "A + B"}), make_cohort()
    assert associations.chosen_features(study, tmp_path)[0].empty
    rng = np.random.default_rng(77)
    features = pd.DataFrame({f"ct__f{i}": rng.normal(size=len(cohort)) for i in range(8)})
    write_table(features.assign(subject=cohort["subject"]), "features_radiomics", tmp_path)
    rows = [("A", f"ct__f{i}", 1 - i / 10) for i in range(7)] + [("B", "ct__f7", 0.4), ("B", "ct__gone", 0.9)]
    stability = pd.DataFrame(rows, columns=["signature", "feature", "share"])
    stability.to_csv(tmp_path / "stability.csv", index=False)
    named, values = associations.chosen_features(study, tmp_path)
    assert list(named["code"]) == ["R1", "R2", "R3", "R4"]
    assert list(named["feature"]) == ["ct__f0", "ct__f1", "ct__f2", "ct__f7"]
    assert list(values.columns) == list(named["code"])
    np.testing.assert_array_equal(values["R4"].to_numpy(), features["ct__f7"])
