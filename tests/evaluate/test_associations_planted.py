"""The control of synthetic studies."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from radsupport.book.conclusions import validation as validation_planted
from radsupport.evaluate import associations as planted
from radsupport.evaluate.discrimination import null_se_p
from radsupport.evaluate.predictions import judged_part
from radsupport.settings.study import Study
from radsupport.stats.roc import auc

SYNTHETIC = {
    "data": {"kind": "synthetic"},
    "synthetic": {
        "effect": 1.5,
        "centers": {
            "N": {"n": 9, "events": 3, "scanner": {"thickness_mm": 1, "pixel_mm": 1, "noise_hu": 1, "kernel_mm": 1}}
        },
        "anatomy": {"organ": {}, "tumour": {}, "aorta": {}, "vein": {}},
    },
}


@pytest.fixture
def study(make_study) -> Study:
    return make_study(**SYNTHETIC)


def test_the_latent_is_read_of_synthetic_studies_only(study, make_study, tmp_path):
    assert planted.read_planted(study, tmp_path).empty
    pd.DataFrame({"subject": ["007", "x"], "latent": [0.5, -1]}).to_csv(tmp_path / "planted.csv", index=False)
    assert planted.read_planted(study, tmp_path).to_dict() == {"007": 0.5, "x": -1.0}
    assert planted.read_planted(make_study(), tmp_path).empty


def test_agreement_with_the_latent_and_its_ceiling(study, labelled):
    _, cohort, predictions = labelled
    latent = cohort.set_index("subject")["latent"]
    table = planted.planted_table(predictions, study, latent)
    assert len(table) == 3 * 4
    part = judged_part(predictions, study, "train", "A")
    row = table.query("cohort == 'train' and signature == 'A'").iloc[0]
    expected = stats.spearmanr(part["risk"], part["subject"].map(latent))
    assert [row["rho"], row["p_rho"]] == pytest.approx([expected.statistic, expected.pvalue])
    z = np.arctanh([row["rho_low"], row["rho_high"]])
    assert z.mean() == pytest.approx(np.arctanh(row["rho"]))
    assert np.diff(z)[0] == pytest.approx(2 * 1.959964 * np.sqrt((1 + row["rho"] ** 2 / 2) / 57), rel=1e-6)
    top = table.query("cohort == 'train'").iloc[0]
    assert top["signature"] == planted.LATENT
    assert top["value"] == auc(part["label"], part["subject"].map(latent)).auc
    noise = table.query("signature == 'B'")
    assert not noise["found"].any()
    assert table.query("signature == 'A'")["found"].all()
    assert (table["found"] == ((table["p_chance"] < 0.05) & (table["value"] > 0.5))).all()
    assert row["p_chance"] == null_se_p(row["value"], row["events"], row["n"] - row["events"])


def test_fisher_s_limits_cover_in_about_95_of_100_samples():
    rng, true, hits = np.random.default_rng(5), 6 / np.pi * np.arcsin(0.25), 0
    for _ in range(300):
        x, noise = rng.normal(size=(2, 60))
        part = pd.DataFrame({"subject": np.arange(60).astype(str), "risk": 0.5 * x + np.sqrt(0.75) * noise})
        found = planted._agreement(part, pd.Series(x, part["subject"]))
        hits += found["rho_low"] <= true <= found["rho_high"]
    assert 0.91 < hits / 300 < 0.985


def test_a_constant_risk_follows_nothing(study, labelled):
    _, cohort, predictions = labelled
    table = planted.planted_table(predictions.assign(risk=0.5), study, cohort.set_index("subject")["latent"])
    own = table[table["signature"] != planted.LATENT]
    assert own["rho"].isna().all()
    assert not own["found"].any()


def test_the_verdict_is_said_plainly(study, labelled):
    _, cohort, predictions = labelled
    latent = cohort.set_index("subject")["latent"]
    text = validation_planted.planted_words(planted.planted_table(predictions, study, latent), study)
    assert "North: found by A" in text
    assert "not found by B" in text
    assert '"Found" means above 0.5 with P < 0.05 by its standard error under chance.' in text
    assert "the latent itself reaches" in text
    nothing = validation_planted.planted_words(
        planted.planted_table(predictions.assign(risk=0.5), study, latent), study
    )
    assert nothing.count("**found by no signature**") == 3
    zero = study.model_copy(update={"synthetic": study.synthetic.model_copy(update={"effect": 0.0})})
    assert "Nothing was planted" in validation_planted.planted_words(
        planted.planted_table(predictions, zero, latent), zero
    )
