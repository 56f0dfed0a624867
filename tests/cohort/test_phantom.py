"""The synthetic cohort: published numbers, determinism, geometry, and that the effect is what is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import stats

from radsupport.cohort import phantom, phantom_shapes
from radsupport.cohort.phantom_subjects import draw_subjects
from radsupport.errors import StudyError
from radsupport.study import load_study
from radsupport.study_schema import Study


@pytest.fixture(scope="module")
def song(root: Path) -> Study:
    return load_study("song2021", folder=root / "studies")


def with_synthetic(study: Study, **changes: object) -> Study:
    assert study.synthetic is not None
    return study.model_copy(update={"synthetic": study.synthetic.model_copy(update=changes)})


def test_numbers_of_patients_and_events_are_those_of_the_paper(song: Study) -> None:
    subjects = draw_subjects(song.synthetic, song.seed)
    followed = subjects.dropna(subset=["label"])
    counts = followed.groupby("center")["label"].agg(["size", "sum"])
    assert counts.loc["hospital_1"].tolist() == [56, 10]
    assert counts.loc["hospital_2"].tolist() == [18, 9]
    assert (subjects["center"] == "segmentation").sum() == 58
    assert subjects["subject"].is_unique


@pytest.mark.parametrize("column", ["size_class", "symptom", "shape", "duct", "location", "property"])
def test_categories_follow_table_s2_exactly_in_hospital_1(song: Study, column: str) -> None:
    subjects = draw_subjects(song.synthetic, song.seed)
    own = subjects[subjects["center"] == "hospital_1"]
    for level, (free, recurrence) in song.synthetic.marginals[column].counts.items():
        assert ((own[column] == level) & (own["label"] == 0)).sum() == free
        assert ((own[column] == level) & (own["label"] == 1)).sum() == recurrence


def test_four_symptoms_are_missing_in_hospital_2(song: Study) -> None:
    subjects = draw_subjects(song.synthetic, song.seed)
    assert subjects.loc[subjects["center"] == "hospital_2", "symptom"].isna().sum() == 4


def test_same_seed_same_patients_other_seed_other_patients(song: Study) -> None:
    first, again = (draw_subjects(song.synthetic, 5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["latent"], draw_subjects(song.synthetic, 6)["latent"])


@pytest.mark.parametrize(("effect", "low", "high"), [(0.0, 0.44, 0.56), (3.0, 0.88, 1.0)])
def test_effect_decides_how_far_the_latent_tells_the_outcome(song: Study, effect: float, low: float, high: float) -> None:
    aucs = []
    for seed in range(30):
        subjects = draw_subjects(with_synthetic(song, effect=effect).synthetic, seed).dropna(subset=["label"])
        own = subjects[subjects["center"] == "hospital_1"]
        event, free = (own.loc[own["label"] == value, "latent"] for value in (1, 0))
        aucs.append(stats.mannwhitneyu(event, free).statistic / (len(event) * len(free)))
    assert low < np.mean(aucs) < high


def test_effect_zero_breaks_the_link_of_every_category(song: Study) -> None:
    p_values = []
    for seed in range(40):
        subjects = draw_subjects(with_synthetic(song, effect=0.0).synthetic, seed)
        own = subjects[subjects["center"] == "hospital_1"]
        p_values.append(stats.fisher_exact(pd.crosstab(own["size_class"], own["label"])).pvalue)
    assert np.mean(np.array(p_values) < 0.05) < 0.15


def test_hazard_outcome_has_the_planted_hazard_ratio(root: Path) -> None:
    study = load_study("yang2023", folder=root / "studies")
    centers = {name: c.model_copy(update={"n": 3000}) for name, c in study.synthetic.centers.items()}
    plain = {name: m.model_copy(update={"log_hazard": {}, "log_hazard_per_sd": 0.0}) for name, m in study.synthetic.marginals.items()}
    table = draw_subjects(with_synthetic(study, centers=centers, marginals=plain, effect=0.7).synthetic, 1)
    # exponential times: events per month of follow-up estimate the rate in each half of the latent
    high, low = table[table["latent"] > 0.9], table[table["latent"] < -0.9]
    rate = [group["event"].sum() / group["time"].sum() for group in (high, low)]
    expected = 0.7 * (high["latent"].mean() - low["latent"].mean())
    assert np.log(rate[0] / rate[1]) == pytest.approx(expected, abs=0.25)


@pytest.mark.parametrize("diameter", [10.0, 25.0, 40.0])
def test_drawn_tumour_has_the_diameter_asked_for(diameter: float) -> None:
    grid = phantom_shapes.Grid((40, 80, 80), (1.5, 1.0, 1.0))
    distance = phantom_shapes.tumour_distance(grid, grid.centre, diameter, 0.1, np.random.default_rng(0))
    measured = phantom_shapes.max_axial_diameter(distance < 0, grid.spacing)
    assert measured == pytest.approx(diameter, abs=2.0)


def test_a_case_has_every_role_on_one_grid(song: Study) -> None:
    subjects = draw_subjects(song.synthetic, song.seed)
    patient = next(p for p in phantom._patients(subjects, song.synthetic, song.seed, ["hospital_1"]) if p.second_reader)
    scanner = song.synthetic.centers[patient.center].scanner
    drawn = phantom.render(patient, "arterial", song.synthetic.anatomy, scanner)
    assert set(drawn) == {"image", "mask", "mask_reader2", "roi_rough", "samples"}
    assert {array.shape for array in drawn.values()} == {drawn["image"].shape}
    mask, second, rough = (drawn[role] for role in ("mask", "mask_reader2", "roi_rough"))
    assert 0.7 < 2 * (mask & second).sum() / (mask.sum() + second.sum()) < 1
    filled = np.flatnonzero(rough.any(axis=(1, 2)))
    assert len(filled) == 3
    assert (mask & ~rough)[filled].sum() == 0
    assert drawn["image"][drawn["samples"] == 2].mean() == pytest.approx(290, rel=0.25)


def test_files_are_written_once_and_identically(song: Study, tmp_path: Path) -> None:
    centers = {"hospital_1": song.synthetic.centers["hospital_1"].model_copy(update={"n": 2, "events": 1})}
    small = with_synthetic(song, centers=centers, second_reader_subjects=1)
    manifest = phantom.generate(small, tmp_path / "a", progress=False)
    phantom.generate(small, tmp_path / "b", progress=False)
    assert set(manifest["role"]) == {"image", "mask", "mask_reader2", "roi_rough", "samples"}
    for path in manifest["path"]:
        first, second = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / x / path))) for x in "ab")
        assert np.array_equal(first, second)
    assert "latent" not in pd.read_csv(tmp_path / "a" / "clinical.csv")


def test_a_real_study_has_nothing_to_generate(song: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="synthetic"):
        phantom.generate(song.model_copy(update={"synthetic": None}), tmp_path)
