"""What a signature goes together with, and the control of synthetic studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from helpers.validation_study import rows_of
from scipy import stats

from radsupport.evaluate import associations, judged, planted
from radsupport.evaluate.associations import LATENT, _rank_correlation
from radsupport.evaluate.discrimination import null_se_p
from radsupport.evaluate.features import made_of, stable
from radsupport.settings.learning import Signature
from radsupport.stats.roc import auc
from radsupport.tables import write_table


def test_every_pair_is_correlated_by_rank(labelled):
    _, cohort, predictions = labelled
    part, known = judged(predictions, cohorts=["train"]), cohort.set_index("subject")
    latent = known["latent"].rename(LATENT)
    pairs = associations(part, [known[["age"]], latent, pd.DataFrame()])
    assert len(pairs) == 10
    row = pairs.query("feature_a == 'A' and feature_b == @LATENT").iloc[0]
    risk = part[part["signature"] == "A"].set_index("subject")["risk"]
    assert row["r"] == pytest.approx(risk.corr(latent.reindex(risk.index), method="spearman"))
    assert row["n"] == 60
    names = associations(part.assign(risk=part["risk"].mask(part["signature"] == "B", 0.5)))
    assert set(names["feature_a"]) | set(names["feature_b"]) == {"A", "A + B"}
    assert associations(part[part["signature"] == "A"]).empty


def test_features_chosen_most_often_get_codes_by_source(make_study, make_cohort, tmp_path):
    signatures, cohort = make_study().signatures, make_cohort()
    assert stable(tmp_path, signatures, "A + B")[0].empty
    rng = np.random.default_rng(77)
    features = pd.DataFrame({f"ct__f{i}": rng.normal(size=len(cohort)) for i in range(8)})
    write_table(features.assign(subject=cohort["subject"]), "features_radiomics", tmp_path)
    rows = [("A", f"ct__f{i}", 1 - i / 10) for i in range(7)] + [("B", "ct__f7", 0.4), ("B", "ct__gone", 0.9)]
    stability = pd.DataFrame(rows, columns=["signature", "feature", "share"])
    stability.to_csv(tmp_path / "stability.csv", index=False)
    named, values = stable(tmp_path, signatures, "A + B")
    assert list(named["code"]) == ["R1", "R2", "R3", "R4"]
    assert list(named["feature"]) == ["ct__f0", "ct__f1", "ct__f2", "ct__f7"]
    assert list(values.columns) == list(named["code"])
    np.testing.assert_array_equal(values["R4"].to_numpy(), features["ct__f7"])
    weights = [("A", "ct__f5", -2.0), ("A", "ct__f0", 0.0), ("A", "ct__f3", 0.5), ("B", "ct__f7", None)]
    weights = pd.DataFrame(weights, columns=["signature", "feature", "coefficient"])
    weights.to_csv(tmp_path / "chosen_features.csv", index=False)
    assert list(stable(tmp_path, signatures, "A + B")[0]["feature"]) == ["ct__f5", "ct__f3", "ct__f7"]


def test_a_combination_is_made_of_its_parts_and_theirs():
    given = [Signature(name=name, sources=["radiomics"]) for name in "RD"]
    given += [Signature(name="R + D", combines=["R", "D"]), Signature(name="all", combines=["R + D"], columns=["age"])]
    assert made_of(given, "all") == {"all", "R + D", "R", "D"}
    assert made_of(given, "R") == {"R"}


def test_agreement_with_the_latent_and_its_ceiling(labelled):
    _, cohort, predictions = labelled
    latent = cohort.set_index("subject")["latent"]
    table = planted(judged(predictions), latent)
    assert len(table) == 3 * 4
    part = rows_of(predictions, "train")
    row = table.query("cohort == 'train' and signature == 'A'").iloc[0]
    expected = stats.spearmanr(part["risk"], part["subject"].map(latent))
    assert [row["rho"], row["p_rho"]] == pytest.approx([expected.statistic, expected.pvalue])
    z = np.arctanh([row["rho_low"], row["rho_high"]])
    assert z.mean() == pytest.approx(np.arctanh(row["rho"]))
    assert np.diff(z)[0] == pytest.approx(2 * 1.959964 * np.sqrt((1 + row["rho"] ** 2 / 2) / 57), rel=1e-6)
    top = table.query("cohort == 'train'").iloc[0]
    assert top["signature"] == LATENT
    assert top["value"] == auc(part["label"], part["subject"].map(latent)).auc
    assert not table.query("signature == 'B'")["found"].any()
    assert table.query("signature == 'A'")["found"].all()
    assert (table["found"] == ((table["p_chance"] < 0.05) & (table["value"] > 0.5))).all()
    assert row["p_chance"] == null_se_p(row["value"], row["events"], row["n"] - row["events"])


def test_fisher_s_limits_cover_in_about_95_of_100_samples():
    rng, true, hits = np.random.default_rng(5), 6 / np.pi * np.arcsin(0.25), 0
    for _ in range(300):
        x, noise = rng.normal(size=(2, 60))
        found = _rank_correlation(pd.Series(0.5 * x + np.sqrt(0.75) * noise), pd.Series(x))
        hits += found["rho_low"] <= true <= found["rho_high"]
    assert 0.91 < hits / 300 < 0.985


def test_a_constant_risk_follows_nothing(labelled):
    _, cohort, predictions = labelled
    table = planted(judged(predictions.assign(risk=0.5)), cohort.set_index("subject")["latent"])
    own = table[table["signature"] != LATENT]
    assert own["rho"].isna().all()
    assert not own["found"].any()
