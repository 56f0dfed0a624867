"""Controls: what is fitted is permuted, and outcomes drawn anew share nothing with the patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radsupport.cohort.phantom_subjects import draw_subjects
from radsupport.errors import StudyError
from radsupport.modelling import controls
from radsupport.study import load_study


@pytest.mark.parametrize("name", ["song2021", "gu2023", "cui2022", "yang2023"])
def test_outcomes_drawn_anew_keep_each_centers_size_and_events(root, name):
    study = load_study(name, folder=root / "studies")
    cohort = draw_subjects(study.synthetic, study.seed).assign(cohort="train")
    null = controls.null_cohort(study, cohort, 0)
    assert null.drop(columns=controls.OUTCOME).equals(cohort.drop(columns=controls.OUTCOME))
    for column in controls.OUTCOME:
        assert (null[column].isna() == cohort[column].isna()).all()
    assert not null["time"].dropna().equals(cohort["time"].dropna())
    if study.endpoint.primary == "label":
        assert null.groupby("center")["label"].sum().to_dict() == cohort.groupby("center")["label"].sum().to_dict()
    assert controls.null_cohort(study, cohort, 0).equals(null)
    assert not controls.null_cohort(study, cohort, 1)["time"].equals(null["time"])


def test_nothing_is_planted_in_them(root):
    study = load_study("yang2023", folder=root / "studies")
    silent = controls.without_effect(study.synthetic)
    rows = pd.concat([draw_subjects(silent, seed) for seed in range(12)])
    followed = rows[rows["event"] == 1]
    assert abs(np.corrcoef(rows["latent"], rows["event"])[0, 1]) < 0.06
    assert abs(np.corrcoef(followed["latent"], followed["time"])[0, 1]) < 0.08
    assert abs(rows["event"].groupby(rows["m_stage"]).mean().diff().iloc[-1]) < 0.08
    planted = pd.concat([draw_subjects(study.synthetic, seed) for seed in range(12)])
    assert np.corrcoef(planted["latent"], planted["time"])[0, 1] < -0.2


def test_labels_do_not_follow_the_latent_of_the_drawn_images(root):
    study = load_study("gu2023", folder=root / "studies")
    cohort = draw_subjects(study.synthetic, study.seed)
    r = [np.corrcoef(cohort["latent"], controls.null_cohort(study, cohort, i)["label"])[0, 1] for i in range(8)]
    assert abs(np.mean(r)) < 0.06
    assert np.corrcoef(cohort["latent"], cohort["label"])[0, 1] > 0.4


def test_real_patients_can_not_be_drawn_anew(small):
    with pytest.raises(StudyError, match="not synthetic"):
        controls.null_cohort(small.study([small.radiomics]), small.cohort(), 0)


def test_every_signature_is_built_on_outcomes_without_effect(small, folder, root):
    spec = load_study("gu2023", folder=root / "studies").synthetic
    center = next(iter(spec.centers.values()))
    sizes = {"a": 30, "b": 30, "c": 24}
    centers = {k: center.model_copy(update={"n": n, "events": n // 3, "split": {}}) for k, n in sizes.items()}
    study = small.study([small.radiomics, small.clinical], modelling={"null_draws": 6})
    study = study.model_copy(update={"synthetic": spec.model_copy(update={"centers": centers, "marginals": {}})})
    cohort = small.cohort()
    cohort["subject"] = [f"{c}_{i + 1:03d}" for c in "abc" for i in range(sizes[c])]
    cohort["center"] = [c for c in "abc" for _ in range(sizes[c])]
    table = controls.null_table(study, folder(cohort, radiomics=small.features(cohort)))
    assert len(table) == 6 * 2 * 2
    assert set(table["events"]) == {20, 8}
    assert (table["covers"] == ((table["ci_low"] <= 0.5) & (table["ci_high"] >= 0.5))).all()
    # An interval of an out-of-fold value is too narrow (30 draws: 87 to 97% cover), so the mean is what must be a half.
    assert table["covers"].mean() > 0.7
    assert table.groupby("signature")["value"].mean().to_numpy() == pytest.approx([0.5, 0.5], abs=0.08)


def test_words_of_the_null_draws():
    table = pd.DataFrame({"value": [0.5, 0.6, 0.3], "p_vs_half": [0.9, 0.3, 0.04], "covers": [True, True, False]})
    words = controls.null_words(table)
    assert "2 of 3 intervals cover 0.5. 1 do not, none lies above 0.5" in words
    assert "no signature is found to differ from chance" in words
    leak = controls.null_words(table.assign(value=[0.5, 0.6, 0.9], p_vs_half=[0.9, 0.3, 0.001]))
    assert "1 of them above 0.5" in leak
    assert "**some signature differs from chance**" in leak


def test_permuted_is_the_best_that_is_fitted(small):
    given = {"name": "CNN", "sources": ["deep_published"], "learner": "published"}
    both = {"name": "Both", "combines": ["CNN", "Clinical"], "learner": "Logistic"}
    study = small.study([given, small.clinical, both], validation={"best": "CNN"})
    assert controls.permuted_signature(study) == "Clinical"
    assert (
        controls.permuted_signature(small.study([given, small.clinical, both], validation={"best": "Both"})) == "Both"
    )
    assert controls.permuted_signature(small.study([given])) == "CNN"


def test_words_of_the_permutations():
    control = {"n": 20.0, "mean": 0.49, "ci_low": 0.4, "ci_high": 0.58, "p": 1 / 21}
    words = controls.control_words(control, "R", 0.8)
    assert "covers 0.5" in words
    assert "P = 0.05 (with so few runs it can not be smaller than 0.05)" in words
    assert "something leaks" in controls.control_words(control | {"ci_low": 0.6, "ci_high": 0.7}, "R", 0.8)
