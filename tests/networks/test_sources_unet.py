"""Chapter 04 with a U-Net: who trains it, which box it sees, and from slices to patients without losing anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from helpers.scans import given_of

from radsupport.book.conclusions.deep_features import network, training
from radsupport.book.conclusions.deep_features import own_outlines as own_words
from radsupport.errors import InputError, StudyError
from radsupport.imaging.patches import SliceStack, fit_planes, unfit_planes
from radsupport.imaging.preprocessing import window
from radsupport.networks import inputs, outlines, sources, unet
from radsupport.networks.inputs import in_rows
from radsupport.networks.result import DeepResult
from radsupport.networks.unet import UNet2D, dice_per_slice
from radsupport.settings.features import Unet, Window
from radsupport.settings.study import Study
from radsupport.study import load_study
from radsupport.wording import counted

SHAPE = (8, 20, 22)
SEGMENTATION, TRAIN, EXTERNAL = 4, 6, 2
SIZE = 32
TINY = {"base_channels": 2, "input_px": SIZE, "max_epochs": 1, "sampled_training_cases": 3, "validation_share": 0.25}


@pytest.fixture(scope="session")
def song(root: Path) -> Study:
    return changed(load_study("song2021", folder=root / "studies"), **TINY, compare=[], reader_seconds={})


def changed(study: Study, **deep: Any) -> Study:
    """Return the study with other settings of its network."""
    given = study.deep.model_dump() | deep
    return study.model_copy(update={"deep": Unet.model_validate(given)})


def a_cohort() -> pd.DataFrame:
    sizes = {"segmentation": SEGMENTATION, "train": TRAIN, "external": EXTERNAL}
    rows = [{"subject": f"{name[0]}{i}", "cohort": name} for name, n in sizes.items() for i in range(n)]
    return pd.DataFrame(rows).assign(center="x", label=[np.nan] * SEGMENTATION + [0.0, 1.0] * 4)


def written(array: np.ndarray, path: Path) -> str:
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return str(path)


def a_case(folder: Path, subject: str, phase: str, seed: list[int]) -> dict[str, Any]:
    """Write a bright ball on slices 2 to 6, and quadrilaterals on slices 2, 4 and 6 that jut out of it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    mask = (((z - 4) / 2.4) ** 2 + ((y - 9) / 4) ** 2 + ((x - 10 - seed[0] % 2) / 5) ** 2 <= 1).astype(np.uint8)
    image = (90 + 15 * rng.standard_normal(SHAPE) + rng.uniform(20, 120) * mask).astype(np.float32)
    rough = np.zeros(SHAPE, np.uint8)
    rough[2, 8:11, 9:12], rough[4, 3:14, 6:15], rough[6, 7:12, 4:12] = 1, 1, 1
    stem = folder / f"{subject}_{phase}"
    row = {"subject": subject, "phase": phase, "exclusion": "", "image": written(image, Path(f"{stem}_i.nii"))}
    row |= {"mask": written(mask, Path(f"{stem}_m.nii")), "roi_rough": written(rough, Path(f"{stem}_r.nii"))}
    return row | {"mask_reader2": written(mask, Path(f"{stem}_2.nii"))}


@pytest.fixture
def cases(tmp_path: Path) -> pd.DataFrame:
    (tmp_path / "scans").mkdir()
    cohort, phases = a_cohort(), ("arterial", "venous")
    rows = [
        a_case(tmp_path / "scans", subject, phase, [i, p])
        for i, subject in enumerate(cohort["subject"])
        for p, phase in enumerate(phases)
    ]
    return pd.DataFrame(rows).merge(cohort[["subject", "cohort"]], on="subject")


def run(study: Study, cases: pd.DataFrame, folder: Path) -> DeepResult:
    return sources.compute(study.deep, given_of(study, a_cohort(), cases, folder))


def row(cases: pd.DataFrame, subject: str, phase: str) -> int:
    return int(cases.index[(cases["subject"] == subject) & (cases["phase"] == phase)][0])


# who trains


def test_left_out_means_that_nobody_who_is_predicted_trains(song: Study) -> None:
    cohort = a_cohort()
    who = sources.segmenters(song.deep, cohort)
    assert who == ["s0", "s1", "s2", "s3"]
    predicted = given_of(song, cohort, cohort, Path()).predicted
    assert not set(who) & set(predicted)
    assert set(predicted) | set(who) == set(cohort["subject"])
    assert "None of them is predicted later" in network(song.deep, sources.trainers(song.deep, cohort))


def test_as_published_samples_training_patients_and_says_so(song: Study) -> None:
    study, cohort = changed(song, sampled_cases="as_published"), a_cohort()
    who = sources.segmenters(study.deep, cohort, study.seed)
    sampled = [subject for subject in who if subject.startswith("t")]
    assert len(who) == len(set(who)) == SEGMENTATION + 3
    assert len(sampled) == 3
    assert sources.segmenters(study.deep, cohort.sample(frac=1, random_state=1), study.seed) == who
    others = {tuple(sources.segmenters(study.deep, cohort, seed)) for seed in range(5)}
    assert len(others) > 1
    assert "**3 of them are cross-validated later, as published" in network(
        study.deep, sources.trainers(study.deep, cohort, study.seed)
    )
    everybody = changed(song, sampled_cases="as_published", sampled_training_cases=50)
    assert len(sources.segmenters(everybody.deep, cohort)) == SEGMENTATION + TRAIN


def test_too_few_to_train_on_and_another_network_are_said(song: Study) -> None:
    with pytest.raises(InputError, match="1 patient"):
        sources.segmenters(song.deep, a_cohort().iloc[SEGMENTATION - 1 :])
    with pytest.raises(StudyError, match="names no network"):
        sources.compute(None, given_of(song, a_cohort(), a_cohort(), Path()))


def spoil(cases: pd.DataFrame, subject: str) -> None:
    """Draw another outline and another image for one patient, in the files."""
    for phase in ("arterial", "venous"):
        own = cases.loc[row(cases, subject, phase)]
        other = np.zeros(SHAPE, np.uint8)
        other[2:7, 4:7, 5:15] = 1
        written(other, Path(own["mask"]))
        written(np.full(SHAPE, 200, np.float32), Path(own["image"]))


def changed_by_a_sampled_patient(study: Study, cases: pd.DataFrame, folder: Path) -> pd.Series:
    """Return who gets other features when the scans of one patient whom the paper samples are changed."""
    published = changed(study, sampled_cases="as_published")
    sampled = next(s for s in sources.segmenters(published.deep, a_cohort(), published.seed) if s.startswith("t"))
    before = run(study, cases, folder / "a").features.set_index("subject")
    spoil(cases, sampled)
    after = run(study, cases, folder / "b").features.set_index("subject")
    return (before != after).any(axis=1).drop(sampled)


def test_left_out_patients_do_not_reach_the_network(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    assert not changed_by_a_sampled_patient(song, cases, tmp_path).any()


def test_as_published_they_do(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    study = changed(song, sampled_cases="as_published")
    assert changed_by_a_sampled_patient(study, cases, tmp_path).all()


def test_a_patient_trains_or_validates_but_not_both(song: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = np.repeat([f"s{i}" for i in range(8)], 3)
    images = np.repeat(np.arange(8), 3)[:, None, None, None] * np.ones((1, 1, 16, 16))
    stack = SliceStack(images, np.ones((24, 16, 16), bool), pd.DataFrame({"subject": subjects}))
    seen: list[set[float]] = []

    def spy(images: np.ndarray, masks: Any, validation: np.ndarray, *_: Any, **__: Any) -> None:
        seen.extend([set(np.unique(images)), set(np.unique(validation))])

    monkeypatch.setattr(unet, "train_unet", spy)
    # the last two have no slices: they may not fill the validation part
    sources.train_on(song.deep, stack, ["s0", "s1", "s2", "s3", "x1", "x2"], song.seed)
    training, validation = seen
    assert (len(training), len(validation)) == (3, 1)
    assert training | validation == {0, 1, 2, 3}
    for seed in range(6):
        sources.train_on(song.deep, stack, ["s0", "x1", "x2", "x3", "x4", "s5"], seed)
    assert all(seen)


# what it sees


def cut(study: Study, cases: pd.DataFrame) -> tuple[SliceStack, pd.DataFrame]:
    return sources.case_slices(study.deep, given_of(study, a_cohort(), cases, Path()), "arterial", ["t0", "t1"])


def test_the_box_encloses_the_three_quadrilaterals_and_every_slice_between(song: Study, cases: pd.DataFrame) -> None:
    stack, failed = cut(song, cases)
    assert failed.empty
    own = (stack.table["subject"] == "t0").to_numpy()
    assert stack.table.loc[own, "slice"].tolist() == [2, 3, 4, 5, 6]
    case = cases.loc[row(cases, "t0", "arterial")]
    image, mask = (sitk.GetArrayFromImage(sitk.ReadImage(case[role])) for role in ("image", "mask"))
    # rows 3 to 13, columns 4 to 14 of the volume, the middle of the box in the middle of the input
    box = (slice(2, 7), slice(3, 14), slice(4, 15))
    inside = (slice(None), slice(SIZE // 2 - 5, SIZE // 2 + 6), slice(SIZE // 2 - 5, SIZE // 2 + 6))
    np.testing.assert_array_equal(stack.images[own, 0][inside], window(image[box], 130, 310))
    np.testing.assert_array_equal(stack.masks[own][inside], mask[box] > 0)
    assert stack.images[own].sum() == pytest.approx(stack.images[own, 0][inside].sum())
    assert stack.table.loc[own, "area"].tolist() == (mask[box] > 0).sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize(
    ("deep", "slices", "side"),
    [
        ({"roi": "rough"}, [2, 3, 4, 5, 6], (11, 11)),
        ({"roi": "rough", "enlarge_mm": 1}, [1, 2, 3, 4, 5, 6, 7], (13, 13)),
        ({"roi": "rough", "shift_mm": [0, 0, 1]}, [3, 4, 5, 6, 7], (11, 11)),
        ({"roi": "accurate"}, [2, 3, 4, 5, 6], (9, 11)),
    ],
)
def test_the_region_is_the_one_that_the_study_names(
    song: Study, cases: pd.DataFrame, deep: dict[str, Any], slices: list[int], side: tuple[int, int]
) -> None:
    wide = song.phases["arterial"].model_copy(update={"window": Window(level=0, width=2000)})  # only padding is 0
    stack, _ = cut(changed(song, **deep).model_copy(update={"phases": {"arterial": wide}}), cases)
    own = stack.table["subject"] == "t0"
    assert stack.table.loc[own, "slice"].tolist() == slices
    filled = stack.images[own.to_numpy()][0, 0] > 0
    assert (int(filled.any(axis=1).sum()), int(filled.any(axis=0).sum())) == side


def test_without_quadrilaterals_the_box_is_that_of_the_outline(song: Study, cases: pd.DataFrame) -> None:
    accurate, _ = cut(changed(song, roi="accurate"), cases)
    for other in (cases.drop(columns="roi_rough"), cases.assign(roi_rough=None)):
        stack, failed = cut(song, other)
        assert failed.empty
        np.testing.assert_array_equal(stack.images, accurate.images)


@pytest.mark.parametrize(
    ("n", "most", "expected"), [(10, 3, [1, 5, 8]), (2, 5, [0, 1]), (7, 1, [3]), (4, 4, [0, 1, 2, 3])]
)
def test_slices_are_spread_evenly(n: int, most: int, expected: list[int]) -> None:
    assert sources.spread(n, most).tolist() == expected


def test_thinning_keeps_every_patient(song: Study, cases: pd.DataFrame) -> None:
    stack, _ = cut(song, cases)
    assert sources.thinned(stack, None) is stack
    thin = sources.thinned(stack, 2)
    assert thin.table["subject"].tolist() == ["t0", "t0", "t1", "t1"]
    assert thin.table["slice"].tolist() == [3, 5, 3, 5]
    np.testing.assert_array_equal(thin.images, stack.images[[1, 3, 6, 8]])
    np.testing.assert_array_equal(thin.masks, stack.masks[[1, 3, 6, 8]])


# from slices to patients


def test_a_patient_is_the_larger_cluster_of_slices_and_nobody_is_dropped(song: Study) -> None:
    rng = np.random.default_rng(0)
    few, many = (centre + 0.01 * rng.standard_normal((n, 2)) for centre, n in ((9.0, 2), (1.0, 5)))
    table = pd.DataFrame({"subject": ["t1"] * 7 + ["t0"], "slice": range(8), "area": [99, 98, 1, 1, 1, 1, 1, 3]})
    slices = np.r_[few, many, [[4.0, 5.0]]]

    def patients(how: Any) -> pd.DataFrame:
        return unet.aggregate_slices(slices, table, how)

    found = patients(song.deep.aggregation)
    features = in_rows(["e0", "t0", "t1"], {"arterial": found, "venous": found})
    assert features["subject"].tolist() == ["e0", "t0", "t1"]
    assert list(features.columns[1:]) == [f"{p}__deep_{k:04d}" for p in ("arterial", "venous") for k in range(2)]
    values = features.set_index("subject").to_numpy()
    assert np.isnan(values[0]).all()
    np.testing.assert_allclose(values[1], [4, 5, 4, 5])
    np.testing.assert_allclose(values[2], np.tile(many.mean(axis=0), 2))
    mean = in_rows(["t1"], {"arterial": patients("mean")})
    np.testing.assert_allclose(mean.to_numpy()[0, 1:].astype(float), np.r_[few, many].mean(axis=0))


def test_a_case_that_fails_is_a_row_without_values_and_a_reason(
    song: Study, cases: pd.DataFrame, tmp_path: Path
) -> None:
    cases.loc[row(cases, "t0", "venous"), "exclusion"] = "no tumour"
    cases.loc[row(cases, "t1", "venous"), "mask"] = None
    Path(cases.loc[row(cases, "e0", "arterial"), "image"]).write_text("no image")
    cases.loc[row(cases, "s1", "arterial"), "exclusion"] = "motion"
    found = run(song, cases.drop(index=row(cases, "e1", "venous")), tmp_path)
    reasons = found.failed.set_index(["subject", "phase"])["reason"]
    expected = {("t0", "venous"): "no tumour", ("t1", "venous"): "no preprocessed", ("e0", "arterial"): "e0_arterial"}
    expected |= {("e1", "venous"): "no case in the venous", ("s1", "arterial"): "motion"}
    assert set(reasons.index) == set(expected)
    assert all(text in reasons[place] for place, text in expected.items())
    values = found.features.set_index("subject")
    assert list(values.index) == [*(f"e{i}" for i in range(EXTERNAL)), *(f"t{i}" for i in range(TRAIN))]
    for phase in ("arterial", "venous"):
        lost = [subject for subject, where in expected if where == phase and subject[0] != "s"]
        part = values.filter(like=f"{phase}__")
        assert part.loc[lost].isna().all(axis=None)
        assert part.drop(index=lost).notna().all(axis=None)
    assert found.facts["patients who trained the network"] == SEGMENTATION - 1
    watched = round((SEGMENTATION - 1) * TINY["validation_share"])  # at least one
    assert found.facts["Dice on the validation part"].endswith(
        f" (mean over the slices of {counted(watched, 'patient')})"
    )
    assert found.facts["patients with features"] == TRAIN + EXTERNAL
    assert found.facts["features per phase"] == part.shape[1] == 32


def test_nobody_with_slices_is_said_with_a_reason(song: Study, cases: pd.DataFrame) -> None:
    given = given_of(song, a_cohort(), cases.assign(exclusion="motion"), Path())
    with pytest.raises(InputError, match=r"No patient has slices in the venous phase.*motion"):
        sources.case_slices(song.deep, given, "venous", ["t0"])


def test_a_second_run_reads_what_the_first_one_kept(
    song: Study, cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(song, cases, tmp_path)

    def not_again(*_: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(unet, "bottleneck_features", not_again)
    again = run(song, cases, tmp_path)
    pd.testing.assert_frame_equal(first.features, again.features, check_exact=True)
    assert not list(tmp_path.rglob(".partial*"))
    Path(cases.loc[row(cases, "e0", "venous"), "image"]).unlink()
    with pytest.raises(AssertionError, match="computed again"):
        run(song, cases, tmp_path)


def test_second_reading_where_the_region_follows_an_outline(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    assert run(song, cases, tmp_path / "rough").icc.empty
    found = run(changed(song, roi="accurate"), cases, tmp_path / "accurate")
    varying = found.features.drop(columns="subject").std() > 0
    icc = found.icc.set_index("feature")["icc"]
    assert (icc[varying[varying].index] > 1 - 1e-9).all()  # both readers drew the same
    assert set(found.icc["n"]) == {TRAIN}
    for place in cases.index[(cases["phase"] == "arterial") & (cases["cohort"] == "train")][:3]:
        second = np.zeros(SHAPE, np.uint8)
        second[3:5, 2:18, 2:6] = 1
        written(second, Path(cases.loc[place, "mask_reader2"]))
    worse = run(changed(song, roi="accurate"), cases, tmp_path / "worse").icc.set_index("feature")["icc"]
    arterial = icc.filter(like="arterial__").dropna().index
    assert (worse[arterial] < icc[arterial]).all()
    assert worse.filter(like="venous__").equals(icc.filter(like="venous__"))


def test_history_and_inputs_are_ready_for_the_figures(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    found = run(changed(song, max_epochs=2), cases, tmp_path)
    assert set(found.history["metric"]) == {"loss", "Dice"}
    assert found.history["epoch"].nunique() == 2
    assert found.inputs["subject"].tolist() == [f"s{i}" for i in range(SEGMENTATION)]
    stack, _ = sources.case_slices(song.deep, given_of(song, a_cohort(), cases, tmp_path), "arterial", ["s0"])
    largest = int(stack.masks.sum(axis=(1, 2)).argmax())
    np.testing.assert_array_equal(found.inputs["mask"].iloc[0], stack.masks[largest])
    np.testing.assert_array_equal(found.inputs["image"].iloc[0], stack.images[largest, 0])


def test_layers_and_who_trained_are_handed_on(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    found = run(song, cases, tmp_path)
    assert found.layers["parameters"].sum() == sum(p.numel() for p in UNet2D(TINY["base_channels"]).parameters())
    assert found.layers["output_shape"].iloc[4] == "2, 2, 32"  # 32 pixels halved four times, 16 times 2 channels
    who = 'trained on 4 patients of the cohort "segmentation only", 25% of whom form the validation part'
    words = training(found.history, found.trainers, found.how, song.cohort_names)
    assert who in words
    assert words.startswith("Loss and Dice per epoch of 1 network trained")
    leaking = changed(song, sampled_cases="as_published").deep
    assert sources.trainers(leaking, a_cohort(), song.seed) == {"segmentation": 4, "train": 3}


def test_compared_choices_read_each_scan_once_and_train_once_for_each_region(
    song: Study, cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets: list[dict[str, Any]] = [{"aggregation": "mean"}, {"aggregation": "max"}, {"shift_mm": [1, 0, 0]}]
    alone = [run(changed(song, **one), cases, tmp_path / str(i)).features for i, one in enumerate(sets)]
    compared = [{"group": "g", "name": f"n{i}", "set": one} for i, one in enumerate(sets)]
    read: list[str] = []
    trained: list[int] = []
    own_read, own_train = inputs.read_case, unet.train_unet
    monkeypatch.setattr(inputs, "read_case", lambda case, *a: (read.append(case["image"]), own_read(case, *a))[1])
    monkeypatch.setattr(unet, "train_unet", lambda *a, **k: (trained.append(1), own_train(*a, **k))[1])
    together = sources.compute(
        changed(song, compare=compared).deep, given_of(song, a_cohort(), cases, tmp_path / "together")
    )
    assert len(read) == len(set(read))
    assert len(trained) == 2
    for variant, features in zip(together.variants, alone, strict=True):
        pd.testing.assert_frame_equal(variant.features, features, check_exact=True)


@pytest.fixture
def truth_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network finds in its slices exactly what the reader drew."""
    cut, last = outlines.case_slices, []

    def noted(*arguments: Any, **options: Any) -> Any:
        last[:] = [cut(*arguments, **options)]
        return last[0]

    monkeypatch.setattr(outlines, "case_slices", noted)
    monkeypatch.setattr(unet, "predict_masks", lambda model, images: last[0][0].masks)


@pytest.mark.usefixtures("truth_found")
def test_own_outlines_stand_for_the_readers(song: Study, cases: pd.DataFrame, tmp_path: Path) -> None:
    given = given_of(song, a_cohort(), cases.assign(source_mask=cases["mask"]), folder=tmp_path / "net")
    trained = sources.compute(song.deep, given)
    own = outlines.own_outlines(song.deep, given, trained)
    assert set(own.cases["subject"]) == set(given.predicted)  # nobody who taught the network
    assert len(own.dice) == len(own.cases) == 2 * (TRAIN + EXTERNAL)
    z, y, x = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    shown = (z >= 2) & (z <= 6) & (y >= 3) & (y < 14) & (x >= 4) & (x < 15)  # the cuboid around the quadrilaterals
    for row in own.cases.merge(own.dice, on=["subject", "phase"], validate="1:1").to_dict("records"):
        readers = cases.set_index(["subject", "phase"]).loc[(row["subject"], row["phase"]), "mask"]
        true = sitk.GetArrayFromImage(sitk.ReadImage(readers)) > 0
        found = sitk.GetArrayFromImage(sitk.ReadImage(row["source_mask"])) > 0
        np.testing.assert_array_equal(found, true & shown)
        assert row["dice"] == pytest.approx(2 * found.sum() / (found.sum() + true.sum()))
    accurate = changed(song, roi="accurate")
    around = cases.assign(mask=own.cases.set_index(["subject", "phase"])["source_mask"].reindex(
        pd.MultiIndex.from_frame(cases[["subject", "phase"]])).fillna(pd.Series(cases["mask"].to_numpy(),
        index=pd.MultiIndex.from_frame(cases[["subject", "phase"]]))).to_numpy())  # fmt: skip
    again = given_of(song, a_cohort(), around, folder=tmp_path / "net2")
    wanted, _ = sources.bottleneck_tables(accurate.deep, again, trained.nets["unet"], given.predicted, None)
    pd.testing.assert_frame_equal(own.features, in_rows(given.predicted, wanted))


def test_who_taught_the_network_and_where_it_finds_nothing(
    song: Study, cases: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = given_of(song, a_cohort(), cases.assign(source_mask=cases["mask"]), folder=tmp_path / "net")
    published = changed(song, sampled_cases="as_published")
    trained = sources.compute(published.deep, given)
    monkeypatch.setattr(unet, "predict_masks", lambda model, images: np.zeros(images[:, 0].shape, bool))
    own = outlines.own_outlines(published.deep, given, trained)
    taught = set(sources.segmenters(published.deep, given.cohort, given.seed))
    assert set(own.cases["subject"]) == set(given.predicted) - taught
    assert len(taught & set(given.predicted)) == 3
    assert (own.cases["exclusion"] == "the network outlined nothing").all()
    assert own.dice["dice"].eq(0).all()
    assert own.features.columns.tolist() == ["subject"]
    assert own_words(own.dice, {"train": "training"}).startswith(
        "Overlap with the reader's outline, median (quartiles): "
    )
    assert own_words(own.dice, {}).endswith(f"{len(own.dice)} outlines missed the tumour altogether.")


@pytest.mark.parametrize("sides", [(7, 9), (16, 16), (5, 12), (12, 5)])
def test_planes_come_back_as_they_were(sides: tuple[int, int]) -> None:
    planes = np.random.default_rng(0).random((3, *sides)) > 0.5
    np.testing.assert_array_equal(unfit_planes(fit_planes(planes, 16), sides), planes)
    large = np.zeros((2, 40, 24), bool)
    large[:, 10:30, 8:20] = True
    assert dice_per_slice(unfit_planes(fit_planes(large, 20), (40, 24)), large).min() > 0.95
