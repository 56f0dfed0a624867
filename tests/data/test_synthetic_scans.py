"""The synthetic cohort: published numbers, determinism, geometry, and that the effect is what is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy import ndimage, stats

from radsupport.data import synthetic_scans as phantom
from radsupport.data import synthetic_scans as phantom_shapes
from radsupport.data.manifest import read_manifest
from radsupport.data.synthetic_patients import draw_subjects, status_codes
from radsupport.data.synthetic_scans import read_tissue
from radsupport.errors import StudyError
from radsupport.settings.study import Study
from radsupport.study import load_study


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


@pytest.mark.parametrize(("name", "size"), [("song2021", "max_diameter"), ("gu2023", "size_mm")])
def test_a_reader_s_diameter_never_contradicts_the_reader_s_class(root: Path, name: str, size: str) -> None:
    study = load_study(name, folder=root / "studies")
    for seed in (study.seed, 7):
        table = draw_subjects(study.synthetic, seed)
        small, large = study.columns["size_class"].levels
        border = study.columns["size_class"].measure.threshold
        assert table.loc[table["size_class"] == small, size].max() < border
        assert table.loc[table["size_class"] == large, size].min() > border
        assert (table[size] - table["diameter_mm"]).abs().median() == pytest.approx(0.67, abs=0.15)


@pytest.mark.parametrize("name", ["gu2023", "yang2023", "cui2022"])
def test_printed_counts_of_every_cohort_hold_exactly(root: Path, name: str) -> None:
    study = load_study(name, folder=root / "studies")
    table = draw_subjects(study.synthetic, study.seed)
    place = (table["center"] + "/" + table["split"]).str.rstrip("/")
    for column, marginal in study.synthetic.marginals.items():
        for where, counts in marginal.center_counts.items():
            found = table.loc[place == where, column].value_counts()
            assert found.reindex(list(counts), fill_value=0).to_dict() == counts, (column, where)
        for where, (mean, _) in marginal.center_mean_sd.items():
            assert table.loc[place == where, column].mean() == pytest.approx(mean, rel=0.02)


def test_a_column_without_counts_for_a_center_is_refused(root: Path) -> None:
    study = load_study("yang2023", folder=root / "studies")
    centers = {name: c.model_copy(update={"split": {}}) for name, c in study.synthetic.centers.items()}
    with pytest.raises(StudyError, match=r"sex.*center_1"):
        draw_subjects(with_synthetic(study, centers=centers).synthetic, 1)


def test_own_counts_of_a_center_keep_the_odds_ratio_of_the_outcome(root: Path) -> None:
    study = load_study("gu2023", folder=root / "studies")
    table = draw_subjects(study.synthetic, study.seed)
    own = table[table["center"] == "center_2"]
    drawn = pd.crosstab(own["vascular_invasion"], own["label"]).to_numpy()
    printed = np.array([[110, 36], [13, 77]])
    log_ratios = [np.log(t[0, 0] * t[1, 1] / (t[0, 1] * t[1, 0])) for t in (drawn, printed)]
    assert log_ratios[0] == pytest.approx(log_ratios[1], abs=0.25)


def test_four_symptoms_are_missing_in_hospital_2(song: Study) -> None:
    subjects = draw_subjects(song.synthetic, song.seed)
    assert subjects.loc[subjects["center"] == "hospital_2", "symptom"].isna().sum() == 4


def test_same_seed_same_patients_other_seed_other_patients(song: Study) -> None:
    first, again = (draw_subjects(song.synthetic, 5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["latent"], draw_subjects(song.synthetic, 6)["latent"])


@pytest.mark.parametrize(("effect", "low", "high"), [(0.0, 0.44, 0.56), (3.0, 0.88, 1.0)])
def test_effect_decides_how_far_the_latent_tells_the_outcome(
    song: Study, effect: float, low: float, high: float
) -> None:
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
    centers = {name: c.model_copy(update={"n": 3000, "split": {}}) for name, c in study.synthetic.centers.items()}
    table = draw_subjects(with_synthetic(study, centers=centers, marginals={}, effect=0.7).synthetic, 1)
    # exponential times: events per month of follow-up estimate the rate in each half of the latent
    high, low = table[table["latent"] > 0.9], table[table["latent"] < -0.9]
    rate = [group["event"].sum() / group["time"].sum() for group in (high, low)]
    expected = 0.7 * (high["latent"].mean() - low["latent"].mean())
    assert np.log(rate[0] / rate[1]) == pytest.approx(expected, abs=0.25)


def test_competing_events_replace_censored_ends_at_random_and_change_nothing_else(root: Path) -> None:
    study = load_study("gu2023", folder=root / "studies")
    spec, survival = study.synthetic, study.endpoint.survival
    subjects = draw_subjects(spec, study.seed)
    codes = status_codes(subjects, spec, survival, study.seed)
    assert ((codes == 1) == (subjects["event"] == 1)).all()
    censored = subjects["event"] == 0
    assert (codes == "2").sum() == round(0.2 * censored.sum())
    assert codes[censored].isin([0, "2"]).all()
    assert (codes == status_codes(subjects, spec, survival, study.seed)).all()
    none = status_codes(subjects, spec.model_copy(update={"competing_share": 0.0}), survival, study.seed)
    assert (none == subjects["event"]).all()
    # whatever the tumour: over many draws the latent of those who died is that of all censored patients
    draws = [subjects["latent"][status_codes(subjects, spec, survival, seed) == "2"].mean() for seed in range(200)]
    own = subjects["latent"][censored]
    assert abs(np.mean(draws) - own.mean()) < 4 * own.std() / np.sqrt(200 * (codes == "2").sum())


def test_a_field_that_was_drawn_before_is_the_same_and_leaves_the_stream_where_it_was() -> None:
    grid = phantom_shapes.Grid((6, 20, 20), (2.0, 1.0, 1.0))
    first, again, own = (np.random.default_rng(3) for _ in range(3))
    for rng in (first, again):
        rng.random(dtype=np.float32)  # half a step of the stream
    fields = [grid.field(3.0, rng) for rng in (first, again)]
    own.random(dtype=np.float32)
    smooth = ndimage.gaussian_filter(
        own.standard_normal(grid.shape, dtype=np.float32), [1.5, 3, 3], mode="wrap", truncate=3
    )
    for field in fields:
        np.testing.assert_array_equal(field, (smooth - smooth.mean()) / float(smooth.std()))
    assert first.random(dtype=np.float32) == again.random(dtype=np.float32) == own.random(dtype=np.float32)


def test_a_tissue_mixed_in_near_its_edge_only_is_the_one_mixed_in_everywhere() -> None:
    grid = phantom_shapes.Grid((9, 90, 80), (2.0, 0.8, 0.8))
    where, width = (np.array([9.0, 20.0, 60.0]), np.array([30.0, 4.0, 7.0])), 0.5
    outside = np.random.default_rng(0).normal(50, 20, grid.shape)
    everywhere = outside + 0.5 * (1 - np.tanh(grid.distance(*where) / width)) * (120.0 - outside)
    box = grid.around(*where, phantom.REACH * width)
    phantom._mix(outside[box], 120.0, grid.distance(*where, box), width)
    np.testing.assert_array_equal(outside, everywhere)
    assert outside[box].size < outside.size / 2


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
    rendered = phantom.render(patient, "arterial", song.synthetic.anatomy, scanner)
    drawn = rendered.volumes
    assert set(drawn) == {"image", "mask", "mask_reader2", "roi_rough", "samples"}
    assert {array.shape for array in drawn.values()} == {drawn["image"].shape}
    mask, second, rough = (drawn[role] for role in ("mask", "mask_reader2", "roi_rough"))
    assert 0.7 < 2 * (mask & second).sum() / (mask.sum() + second.sum()) < 1
    filled = np.flatnonzero(rough.any(axis=(1, 2)))
    assert len(filled) == 3
    assert (mask & ~rough)[filled].sum() == 0
    aorta = drawn["image"][drawn["samples"] == 2].mean()
    assert aorta == pytest.approx(290, rel=0.25)
    assert rendered.tissue["aorta"] == pytest.approx(aorta, abs=5)


def test_files_are_written_once_and_identically(song: Study, tmp_path: Path) -> None:
    centers = {"hospital_1": song.synthetic.centers["hospital_1"].model_copy(update={"n": 2, "events": 1})}
    small = with_synthetic(song, centers=centers, second_reader_subjects=1)
    manifest = phantom.generate(small, tmp_path / "a")
    phantom.generate(small, tmp_path / "b")
    assert set(manifest["role"]) == {"image", "mask", "mask_reader2", "roi_rough", "samples", "screened"}
    assert manifest["role"].eq("screened").sum() == sum(centers["hospital_1"].screened_out.values())
    assert read_manifest(tmp_path / "a" / "manifest.csv")["exclusion"].ne("").sum() == 49
    for path in manifest["path"][manifest["path"] != ""]:
        first, second = (sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / x / path))) for x in "ab")
        assert np.array_equal(first, second)
    assert "latent" not in pd.read_csv(tmp_path / "a" / "clinical.csv")


def test_fixed_splits_have_the_printed_sizes_and_events(root: Path) -> None:
    gu, yang = (load_study(name, folder=root / "studies") for name in ("gu2023", "yang2023"))
    table = draw_subjects(gu.synthetic, gu.seed)
    counts = table.groupby("split")["label"].agg(["size", "sum"])
    assert counts.loc[["train", "internal", ""]].to_numpy().tolist() == [[142, 67], [94, 46], [84, 27]]
    assert draw_subjects(yang.synthetic, yang.seed)["split"].value_counts().to_dict() == {
        "train": 76,
        "": 54,
        "internal": 32,
    }


@pytest.mark.parametrize(("study", "n"), [("gu2023", 1002 - 320), ("cui2022", 735 - 220)])
def test_screened_out_patients_are_as_many_as_printed(root: Path, study: str, n: int) -> None:
    rows = phantom.screened_out(load_study(study, folder=root / "studies").synthetic)
    assert len(rows) == n
    assert len({row["subject"] for row in rows}) == n
    assert all(row["exclusion"] for row in rows)


def test_a_reader_reads_the_drawn_tissue_with_a_small_error(song: Study) -> None:
    names = ["ct_ratio_arterial", "enhanced_rate_venous"]
    subjects = pd.DataFrame({"subject": [f"s{i}" for i in range(400)], **dict.fromkeys(names, 0.0)})
    subjects.loc[0, names[0]] = np.nan
    hu = {"unenhanced": (40, 42, 42), "arterial": (126, 105, 290), "venous": (100, 95, 150)}
    tissue = pd.DataFrame(
        [
            {"subject": subject, "phase": phase, "tumour": t, "organ": o, "aorta": a}
            for subject in subjects["subject"]
            for phase, (t, o, a) in hu.items()
        ]
    )
    read_tissue(subjects, song, tissue)
    assert np.isnan(subjects.loc[0, names[0]])
    for name, true in zip(names, (126 / 105, 60 / 108), strict=True):
        assert subjects[name].mean() == pytest.approx(true, rel=0.01)
        assert subjects[name].std() == pytest.approx(0.04 * true, rel=0.15)


def test_a_reading_without_a_measure_is_refused(song: Study) -> None:
    column = song.columns["ct_ratio_arterial"].model_copy(update={"measure": None})
    wrong = song.model_copy(update={"columns": {**song.columns, "ct_ratio_arterial": column}})
    subjects = pd.DataFrame({"subject": ["a"], "ct_ratio_arterial": [0.0]})
    tissue = pd.DataFrame({"subject": ["a"], "phase": ["arterial"], "tumour": [1.0], "organ": [1.0], "aorta": [1.0]})
    with pytest.raises(StudyError, match="ct_ratio_arterial"):
        read_tissue(subjects, wrong, tissue)


def test_a_cystic_tumour_is_fluid_but_for_its_wall(song: Study) -> None:
    def share_of_fluid(core: int) -> float:
        patient = phantom.Patient("a", "hospital_1", 0.0, 30.0, core, 0, (1, 2), False)
        drawn = phantom.render(
            patient, "arterial", song.synthetic.anatomy, song.synthetic.centers["hospital_1"].scanner
        )
        return float((drawn.volumes["image"][drawn.volumes["mask"]] < 30).mean())

    solid, mixed, cystic = (share_of_fluid(core) for core in range(3))
    assert solid < 0.01 < 0.03 < mixed < 0.2 < 0.4 < cystic


def test_a_real_study_has_nothing_to_generate(song: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="synthetic"):
        phantom.generate(song.model_copy(update={"synthetic": None}), tmp_path)


def test_slices_may_overlap(song: Study) -> None:
    """Song 2021, Hospital II: slices of 2 mm, 1 mm apart."""
    spec = song.synthetic
    patient = phantom._patients(phantom.draw_subjects(spec, 1).head(1), spec, 1, ["hospital_1"])[0]
    scanner = spec.centers["hospital_2"].scanner
    apart = scanner.model_copy(update={"interval_mm": scanner.thickness_mm / 2})
    side, over = (phantom.grid_of(patient, spec.anatomy, one) for one in (scanner, apart))
    assert side.spacing[0] == 2.0
    assert over.spacing[0] == 1.0
    assert over.shape[0] == pytest.approx(2 * side.shape[0], abs=1)
    plane = np.zeros((41, 9, 9))
    plane[20] = 5000.0
    quiet = {"noise_hu": 0.0, "kernel_mm": 0.1, "offset_hu": 0.0}
    drawn = [
        phantom._scan(
            plane, phantom.Grid(plane.shape, grid.spacing), one.model_copy(update=quiet), np.random.default_rng(0)
        )
        for grid, one in ((side, scanner), (over, apart))
    ]
    away = np.abs(np.arange(41) - 20)
    widths = [np.sqrt(np.average(away**2, weights=one[:, 4, 4])) for one in drawn]
    assert widths[1] * over.spacing[0] == pytest.approx(2.0 / 2.355, rel=0.05)  # a profile of 2 mm at half its height
    assert widths[1] > 1.8 * widths[0]  # in slices
