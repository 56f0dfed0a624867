"""Chapter 04 with the 3-D CNN: patches in mm, risks by networks that did not see the label, resuming, lost cases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from sklearn.model_selection import StratifiedKFold

from radsupport.book.conclusions.deep_features import training
from radsupport.errors import InputError
from radsupport.imaging.patches import Sampling, covered_voxels
from radsupport.networks import schemes as network_schemes
from radsupport.networks.cnn3d import CNN3DSettings
from radsupport.networks.inputs import Given
from radsupport.networks.result import ONLY_RISKS, DeepResult
from radsupport.networks.schemes import Scheme, case_patches
from radsupport.settings.study import Study

DEEP = {
    "patch": [4, 12, 12], "width": 0.03, "learning_rate": 2e-3, "max_epochs": 2, "patience": 2, "batch_size": 4,
    "folds": 2, "augment": False, "max_shift": 1, "window": {"level": 100, "width": 400},
    "field_mm": None, "centre": "largest_section", "box_margin_mm": None, "schedule": "constant",
    "stop_on": "inner", "learning_sizes": [],
}  # fmt: skip
SS, NSS = "arterial__risk_segmentation", "arterial__risk_box"
RISKS = [SS, NSS]


@pytest.fixture(scope="module")
def study(study_with: Callable[..., Study]) -> Study:
    return study_with("cui2022", DEEP)


@pytest.fixture(scope="module")
def scans(make_scans: Callable[..., Any]) -> Any:
    return make_scans(14, 4)


@pytest.fixture(scope="module")
def result(study: Study, scans: Any) -> DeepResult:
    return scans.result(study, "first")


def of(table: pd.DataFrame, subjects: Any) -> np.ndarray:
    """Return the risks of some subjects, shape (n, 2)."""
    values: np.ndarray = table.set_index("subject").loc[list(subjects), RISKS].to_numpy()
    return values


def test_an_out_of_fold_risk_does_not_know_the_label_of_its_patient(
    study: Study, scans: Any, result: DeepResult, swappable: Callable[..., tuple[str, str]]
) -> None:
    def fold_of(labels: pd.Series) -> pd.Series:
        folds = pd.Series(-1, index=labels.index)
        splitter = StratifiedKFold(2, shuffle=True, random_state=study.seed)
        for k, (_, held) in enumerate(splitter.split(labels.to_frame(), labels)):
            folds.iloc[held] = k
        return folds

    labels = scans.labels()
    assert result.folds is not None
    assert result.folds.to_dict() == fold_of(labels).to_dict()
    one, two = swappable(labels, fold_of)
    other = scans.result(study, "relabelled", scans.relabelled(**{one: 1, two: 0}))
    assert other.folds is not None
    own = result.folds[one]
    assert other.folds.to_dict() == result.folds.to_dict()
    # the network of their fold is the same one, for these two and for everybody
    pd.testing.assert_frame_equal(result.by_fold[own], other.by_fold[own], check_exact=True)
    for name in (f"SS, fold {own}", f"NSS, fold {own}"):  # nor did their labels choose its epoch
        curves = [run.history[run.history["network"] == name] for run in (result, other)]
        pd.testing.assert_frame_equal(*curves, check_exact=True)
    # the other network, and hence the apparent risk, did learn from them
    assert not np.allclose(of(result.by_fold[1 - own], labels.index), of(other.by_fold[1 - own], labels.index))
    assert not np.allclose(of(result.features, [one, two]), of(other.features, [one, two]))


def test_outside_training_the_risk_is_the_mean_of_the_folds_networks(result: DeepResult, scans: Any) -> None:
    outside = scans.labels("external").index
    folds = np.stack([of(result.by_fold[k], outside) for k in (0, 1)])
    np.testing.assert_allclose(of(result.features, outside), folds.mean(axis=0), rtol=1e-12)
    assert np.ptp(folds, axis=0).max() > 1e-4  # the networks differ, so that their mean is not just one of them


def test_the_apparent_risk_of_a_training_patient_is_by_the_networks_that_learnt_from_it(
    result: DeepResult, scans: Any
) -> None:
    assert result.folds is not None
    for subject in scans.labels().index:
        other = 1 - result.folds[subject]
        np.testing.assert_allclose(of(result.features, [subject]), of(result.by_fold[other], [subject]), rtol=1e-6)


def test_a_planted_effect_is_found_in_patients_outside_training(study: Study, scans: Any) -> None:
    assert study.deep is not None
    longer = study.model_copy(update={"deep": study.deep.model_copy(update={"max_epochs": 12, "width": 0.1})})
    found = scans.result(longer, "longer").features
    outside = scans.labels("external")
    for risk in of(found, outside.index).T:
        assert risk[outside == 1].min() > risk[outside == 0].max()


def test_the_seed_fixes_everything(study: Study, scans: Any, result: DeepResult) -> None:
    scans.require_same(result, scans.result(study, "again"))
    other = scans.result(study.model_copy(update={"seed": 2}), "other seed")
    assert not np.allclose(of(other.features, scans.cohort["subject"]), of(result.features, scans.cohort["subject"]))


@pytest.mark.parametrize("written", [1, 6])
def test_a_killed_training_goes_on_where_it_was(
    written: int, study: Study, scans: Any, result: DeepResult, killed: Callable[..., Any]
) -> None:
    whole, epochs = killed(lambda: scans.result(study, f"killed {written}"), written)
    scans.require_same(result, whole)
    assert len(epochs) == 2 * 2 * 2 - written  # schemes x folds x epochs, none of them run twice


def test_a_case_without_an_input_is_missing_with_its_reason_and_harms_nobody(
    study: Study, scans: Any, result: DeepResult
) -> None:
    cases = scans.excluded("E01")
    cases = cases[cases["subject"] != "E02"]
    lost = scans.result(study, "first", cases=cases)
    expected = pd.DataFrame(
        {
            "subject": ["E01", "E02"],
            "phase": "arterial",
            "reason": ["Excluded: mask is empty", "There is no case in the arterial phase."],
        }
    )
    pd.testing.assert_frame_equal(lost.failed, expected)
    others = scans.cohort.loc[~scans.cohort["subject"].isin(["E01", "E02"]), "subject"]
    for table, whole in [(lost.features, result.features), *((lost.by_fold[k], result.by_fold[k]) for k in (0, 1))]:
        assert table["subject"].tolist() == sorted(scans.cohort["subject"])
        assert np.isnan(of(table, ["E01", "E02"])).all()
        np.testing.assert_allclose(of(table, others), of(whole, others), rtol=1e-6)  # other patients share their batch


def test_a_training_patient_without_an_input_keeps_a_fold_but_trains_nothing(study: Study, scans: Any) -> None:
    lost = scans.result(study, "no T03", cases=scans.excluded("T03"))
    assert lost.folds is not None
    assert lost.folds.index.tolist() == scans.labels().index.tolist()
    assert lost.folds.value_counts().to_dict() == {0: 7, 1: 7}
    assert all(len(scheme.trained.predictions) == 13 for scheme in lost.schemes)
    assert np.isnan(of(lost.features, ["T03"])).all()
    rest = [name for name in scans.cohort["subject"] if name != "T03"]
    assert np.isfinite(of(lost.features, rest)).all()


def test_nobody_with_an_input_is_said_in_plain_words(study: Study, scans: Any) -> None:
    with pytest.raises(InputError, match=r"No training patient has a patch in the arterial phase.*mask is empty"):
        scans.result(study, "none", cases=scans.excluded(*scans.cohort["subject"]))


def test_schemes_that_lost_different_patients_are_refused(
    study: Study, scans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = case_patches

    def cut_but_one(spec: Any, given: Any, phase: str, sampling: Sampling, *rest: Any) -> Any:
        patches, failed = cut(spec, given, phase, sampling, *rest)
        return {one: patch for one, patch in patches.items() if sampling != "box" or one != "T04"}, failed

    monkeypatch.setattr(network_schemes, "case_patches", cut_but_one)
    with pytest.raises(InputError, match="can not use the same patients"):
        scans.result(study, "different")


def test_patches_are_the_windowed_image_around_the_largest_section(study: Study, scans: Any) -> None:
    case = scans.cases.iloc[0]
    image = sitk.GetArrayFromImage(sitk.ReadImage(case["image"]))
    inside = sitk.GetArrayFromImage(sitk.ReadImage(case["mask"])) > 0
    row, column = (int(np.flatnonzero(inside.any(axis=axes))[0]) for axes in ((0, 2), (0, 1)))
    # all four sections are equal, so that the first of them, slice 1, lies at position 2 of 4: slices -1 to 2
    expected = np.zeros((4, 12, 12))
    rows, columns = slice(row - 2, row + 10), slice(column - 2, column + 10)
    expected[1:] = np.clip((image[:3, rows, columns] + 100) / 400, 0, 1)
    box, _ = case_patches(study.deep, scans.given(study), "arterial", "box", [case["subject"]])
    np.testing.assert_allclose(box[case["subject"]].image, expected, atol=1e-6)
    cut, _ = case_patches(study.deep, scans.given(study), "arterial", "segmentation", [case["subject"]])
    inside_patch = np.zeros((4, 12, 12), bool)
    inside_patch[2:, 2:10, 2:10] = True
    np.testing.assert_array_equal(cut[case["subject"]].mask, inside_patch)
    np.testing.assert_allclose(cut[case["subject"]].image, expected * inside_patch, atol=1e-6)
    assert cut[case["subject"]].share_inside == 0.5


def test_a_box_keeps_the_background_of_its_margin_and_the_scan_is_read_once(
    study: Study, scans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, given = scans.cases.iloc[0], scans.given(study)
    inside = sitk.GetArrayFromImage(sitk.ReadImage(case["mask"])) > 0
    first = [int(found.min()) for found in np.nonzero(inside)]
    cut = {"centre": "tumour", "patch": (4, 16, 16)}
    specs = [study.deep.model_copy(update=cut | {"box_margin_mm": mm}) for mm in (None, 0.0, 2.0)]
    whole, tight, wide = (case_patches(spec, given, "arterial", "box", ["T00"])[0]["T00"] for spec in specs)
    image = np.clip((sitk.GetArrayFromImage(sitk.ReadImage(case["image"])) + 100) / 400, 0, 1)
    # the lesion has 4 x 8 x 8 voxels of 1 mm and is centred: it fills the slices and lies 4 voxels from the sides
    np.testing.assert_allclose(whole.image, np.pad(image, 8)[
        first[0] + 8 : first[0] + 12, first[1] + 4 : first[1] + 20, first[2] + 4 : first[2] + 20
    ], atol=1e-6)  # fmt: skip
    for patch, edge in ((tight, 4), (wide, 2)):
        kept = np.zeros((4, 16, 16), bool)
        kept[:, edge : 16 - edge, edge : 16 - edge] = True
        np.testing.assert_array_equal(patch.image, whole.image * kept)
        assert patch.share_inside == 1
    monkeypatch.setattr(Given, "inputs", None)
    again, _ = case_patches(study.deep.model_copy(update=cut), given, "arterial", "segmentation", ["T00"])
    np.testing.assert_array_equal(again["T00"].image, whole.image * whole.mask)


def test_fewer_patients_teach_and_the_same_ones_are_judged(study: Study, scans: Any) -> None:
    spec = study.deep.model_copy(update={"learning_sizes": [4, 99], "learning_folds": 1, "stop_on": "last"})
    found = scans.result(study.model_copy(update={"deep": spec}), "sizes")
    sizes = network_schemes.by_sample_size(found.schemes)
    assert sizes["signature"].tolist() == ["SS", "NSS"] * 3
    assert found.icc.attrs["empty"] == ONLY_RISKS  # whoever read twice: risks are judged, not chosen
    assert sizes[["n", "held"]].to_numpy().tolist() == [[4, 7]] * 2 + [[7, 7]] * 2 + [[7, 14]] * 2
    assert sizes["judged"].tolist() == ["first 1 of 2 folds"] * 4 + ["all folds"] * 2
    predicted = found.schemes[0].trained.predictions
    assert (
        sizes["events"].tolist() == [predicted.query("fold == 0")["label"].sum()] * 4 + [predicted["label"].sum()] * 2
    )
    assert sizes["p"].between(0, 1).all()
    # the last size is the study's own networks in the same patients
    own = found.schemes[1].trained.predictions.query("fold == 0")
    y, risk = own["label"].to_numpy(), own["out_of_fold"].to_numpy()
    pairs = np.sign(risk[y == 1][:, None] - risk[y == 0])
    assert sizes["value"].iloc[3] == pytest.approx((pairs.mean() + 1) / 2)
    assert "fewer patients" in network_schemes.by_sample_size(()).attrs["empty"]


def test_the_field_is_turned_from_mm_into_voxels_axis_by_axis(study_with: Callable[..., Study]) -> None:
    spacing = {"spacing_mm": (0.5, 2.0, 3.0)}  # x, y, z; the field is given as slices, rows, columns
    study = study_with("cui2022", {**DEEP, "field_mm": [30, 40, 50]}, preprocessing=spacing)
    assert covered_voxels(study.deep.patch, study.deep.field_mm, spacing["spacing_mm"]) == (10, 20, 100)
    assert covered_voxels(study.deep.patch, None, spacing["spacing_mm"]) == tuple(DEEP["patch"])


def test_settings_of_the_study_reach_the_training(study: Study) -> None:
    settings = dataclasses.asdict(CNN3DSettings.of(study.deep, seed=study.seed))
    shared = set(DEEP) & set(settings)
    assert {"width", "learning_rate", "max_epochs", "patience", "batch_size", "folds", "augment"} < shared
    assert {"max_shift", "schedule", "stop_on"} < shared
    assert {name: settings[name] for name in shared} == {name: DEEP[name] for name in shared}
    assert settings["seed"] == study.seed


def test_a_study_without_label_is_refused(study: Study, scans: Any) -> None:
    with pytest.raises(InputError, match="trained on a label only"):
        scans.result(study, "unlabelled", scans.cohort.drop(columns="label"))


def test_what_the_page_shows_is_counted(study: Study, scans: Any, result: DeepResult) -> None:
    assert [scheme.name for scheme in result.schemes] == ["SS", "NSS"]
    names = [f"{name}, fold {k}" for name in ("SS", "NSS") for k in (0, 1)]
    assert result.history["network"].unique().tolist() == names
    assert result.history.groupby(["network", "set", "metric"]).size().unique().tolist() == [2]
    losses = result.history[(result.history["set"] == "validation") & (result.history["metric"] == "loss")]
    for name, part in losses.groupby("network"):
        assert part["kept"].unique().tolist() == [part["epoch"].iloc[part["value"].to_numpy().argmin()]], name
    assert result.facts["patients with a patch"] == 18
    assert result.facts["covered (mm)"] == "4 × 12 × 12"
    assert result.facts["share of the tumour inside its patch, median"] == "50%"
    assert result.facts["patients whose tumour is cut"] == "18 of 18"
    assert result.facts["parameters"] == sum(p.numel() for p in result.schemes[0].trained.models[0].parameters())
    assert result.inputs["subject"].tolist()[:3] == ["E00, SS", "E00, NSS", "E01, SS"]
    assert (result.inputs["image"][0][~result.inputs["mask"][0]] == 0).all()
    assert (result.inputs["image"][1][~result.inputs["mask"][1]] > 0).any()


def test_a_scheme_stacks_patches_in_the_order_asked_for(result: DeepResult) -> None:
    scheme: Scheme = result.schemes[0]
    images, masks = scheme.images(["T01", "E00"]), scheme.masks(["T01", "E00"])
    assert images.shape == (2, 1, 4, 12, 12)
    np.testing.assert_array_equal(images[0, 0], scheme.patches["T01"].image)
    np.testing.assert_array_equal(masks[1], scheme.patches["E00"].mask)
    assert (scheme.feature, result.schemes[1].feature) == ("risk_segmentation", "risk_box")


def test_risks_out_of_fold_span_what_is_said_of_them(result: DeepResult) -> None:
    assert result.ranges["scheme"].tolist() == ["SS", "NSS"]
    for scheme, row in zip(result.schemes, result.ranges.to_dict("records"), strict=True):
        risk = scheme.trained.predictions["out_of_fold"]
        assert (row["lowest"], row["highest"]) == (risk.min(), risk.max())
        assert result.facts[f"out-of-fold risks, {scheme.name}"] == f"{risk.min():.3f} to {risk.max():.3f}"


def test_the_caption_says_whom_each_network_saw(result: DeepResult) -> None:
    words = training(result.history, result.trainers, result.how, {"train": "training"})
    said = 'Loss and accuracy per epoch of 4 networks trained on 14 patients of the cohort "training", each on all'
    assert words.startswith(said)
    assert words.endswith("folds but the one it predicts; a part of these patients is the validation part")


def test_the_weights_on_the_disk_describe_new_patients(study: Study, scans: Any, result: DeepResult) -> None:
    scans.require_described_again(result, study)
