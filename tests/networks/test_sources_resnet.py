"""Chapter 04 with a ResNet: slices cut as the study says, features that have seen no label, a second reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import torch

from radsupport.errors import InputError
from radsupport.networks import resnet
from radsupport.networks.inputs import Volume
from radsupport.networks.resnet import ResNetFeatures, build_resnet, normalise_images
from radsupport.networks.result import DeepResult
from radsupport.networks.sources import Images, case_images, cut, starting_network
from radsupport.settings.study import Study

PHASES = ["arterial", "venous"]
DEEP = {
    "depth": 18, "input_px": 40, "box_mm": 16.0, "weights": "random", "pretraining_epochs": 2, "patience": 2,
    "batch_size": 4, "icc_subjects": 5, "window": {"level": 100, "width": 400},
}  # fmt: skip


@pytest.fixture(scope="module")
def study(study_with: Callable[..., Study]) -> Study:
    return study_with("yang2023", DEEP)


@pytest.fixture(scope="module")
def scans(narrow_resnet: None, make_scans: Callable[..., Any]) -> Any:
    return make_scans(6, 3, PHASES)


@pytest.fixture(scope="module")
def result(study: Study, scans: Any) -> DeepResult:
    return scans.result(study, "first")


def numbered() -> Volume:
    """Every voxel has a value of its own; the tumour is largest in slice 2, rows 6-11, columns 3-6."""
    image = np.arange(5 * 14 * 16, dtype=np.float32).reshape(5, 14, 16) / 2000
    mask = np.zeros(image.shape, bool)
    mask[2, 6:12, 3:7] = True
    mask[3, 7:9, 4:6] = True
    return Volume(image, mask, mask)


def test_a_box_in_mm_is_cut_in_voxels_around_the_tumour(study_with: Callable[..., Study]) -> None:
    spec = study_with("yang2023", {**DEEP, "input_px": 8, "box_mm": 16.0}).deep
    volume = numbered()
    # centre: row 9, column 5; 16 mm are 8 voxels of 2 mm, so that no pixel is resized
    np.testing.assert_array_equal(cut(volume, spec, 2.0), volume.image[1:4, 5:13, 1:9])
    one = spec.model_copy(update={"slices": 1})
    np.testing.assert_array_equal(cut(volume, one, 2.0), np.repeat(volume.image[2:3, 5:13, 1:9], 3, axis=0))
    masked = spec.model_copy(update={"masked": True})
    inside = (volume.image * volume.mask)[1:4, 5:13, 1:9]
    np.testing.assert_array_equal(cut(volume, masked, 2.0), inside)


def test_the_smallest_square_grows_by_its_margin_in_mm(study_with: Callable[..., Study]) -> None:
    spec = study_with("yang2023", {**DEEP, "input_px": 10, "box_mm": None, "margin_mm": 4.0}).deep
    volume = numbered()
    # the longer side has 6 voxels; 4 mm are 2 voxels of 2 mm on either side
    expected = np.zeros((3, 10, 10), np.float32)
    expected[:, :, :10] = volume.image[1:4, 4:14, 0:10]
    np.testing.assert_array_equal(cut(volume, spec, 2.0), expected)


def test_features_are_the_pooled_maps_of_the_network_on_the_windowed_slices(
    study: Study, scans: Any, result: DeepResult
) -> None:
    net = build_resnet(18, "random", seed=study.seed)
    for subject, phase in (("T02", "venous"), ("E01", "arterial")):
        case = scans.cases.set_index(["subject", "phase"]).loc[(subject, phase)]
        image = sitk.GetArrayFromImage(sitk.ReadImage(case["image"]))
        inside = sitk.GetArrayFromImage(sitk.ReadImage(case["mask"])) > 0
        centre = [int(np.flatnonzero(inside.any(axis=axes))[0]) + 4 for axes in ((0, 2), (0, 1))]
        padded = np.pad(np.clip((image + 100) / 400, 0, 1), ((0, 0), (8, 8), (8, 8)))
        square = padded[0:3, centre[0] : centre[0] + 16, centre[1] : centre[1] + 16].astype(np.float32)
        tensor = torch.nn.functional.interpolate(
            torch.as_tensor(square)[None], size=(40, 40), mode="bilinear", antialias=True
        )
        with torch.inference_mode():
            maps = net.maps(torch.as_tensor(normalise_images(tensor.numpy(), "imagenet"))).numpy()
        assert maps.shape[2:] == (2, 2)  # so that maximum and average differ
        row = result.features.set_index("subject").loc[subject].filter(like=f"{phase}__")
        np.testing.assert_allclose(row, maps[0].max(axis=(1, 2)), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def rotation(study_with: Callable[..., Study]) -> Study:
    return study_with("yang2023", {**DEEP, "weights": "rotation"})


@pytest.fixture(scope="module")
def rotated(rotation: Study, scans: Any) -> DeepResult:
    return scans.result(rotation, "rotated")


def start_of(study: Study, scans: Any, images: dict[str, Images], name: str) -> tuple[ResNetFeatures, pd.DataFrame]:
    return starting_network(study.deep, scans.given(study, name), images)


def test_no_label_reaches_the_features(rotation: Study, scans: Any, rotated: DeepResult) -> None:
    flipped = scans.cohort.assign(label=1 - scans.cohort["label"])
    # a training that knew the labels would not find the first one's checkpoint
    other = scans.result(rotation, "rotated", flipped)
    pd.testing.assert_frame_equal(rotated.features, other.features, check_exact=True)
    assert rotated.by_fold == {}
    assert rotated.folds is None
    assert rotated.weights.startswith("ResNet-18 with self-supervised weights (rotation of 12 training images")
    assert rotated.history["network"].unique().tolist() == ["rotation"]
    assert rotated.history["epoch"].max() == 2
    assert (rotated.trainers, rotated.how) == ({"train": 6}, ", without their outcome")
    assert rotated.facts["epoch kept"] == rotated.history["kept"].iloc[0]


def test_self_supervision_sees_training_patients_only(rotation: Study, scans: Any, rotated: DeepResult) -> None:
    images = case_images(rotation.deep, scans.given(rotation))
    start, _ = start_of(rotation, scans, images, "rotated")
    for found in images.values():
        for subject in scans.labels("external").index:
            found.reader1[subject][:] = 0.5
    same, _ = start_of(rotation, scans, images, "rotated")
    assert torch.equal(start.backbone.conv1.weight, same.backbone.conv1.weight)
    for subject in scans.labels().index:
        images["venous"].reader1[subject] = images["venous"].reader1[subject][:, ::-1]
    other, _ = start_of(rotation, scans, images, "rotated")
    assert not torch.equal(start.backbone.conv1.weight, other.backbone.conv1.weight)


def test_outlines_of_training_patients_alone_teach_the_network(
    study_with: Callable[..., Study], scans: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_with("yang2023", {**DEEP, "weights": "outlines"})
    given = scans.given(study, "outlines")
    images = case_images(study.deep, given)
    taught: list[Any] = []

    def spy(start: Any, stack: Any, outlines: Any, whose: Any, settings: Any, pooling: str, **_: Any) -> None:
        taught.extend([stack, outlines, whose, settings, pooling])
        raise StopIteration

    monkeypatch.setattr(resnet, "pretrain_outlines", spy)
    with pytest.raises(StopIteration):
        starting_network(study.deep, given, images)
    stack, outlines, whose, settings, pooling = taught
    assert set(whose) == set(scans.labels().index)
    assert (len(whose), pooling, settings.max_epochs) == (12, "max", 2)  # two phases
    assert outlines.shape == stack.shape
    # 8 x 8 of 16 x 16 voxels are outlined, in the second and third of the three slices: 20 x 20 of 40 x 40 pixels
    np.testing.assert_allclose(outlines.mean(axis=(0, 2, 3)), [0, 0.25, 0.25], atol=0.01)


def test_a_killed_pretraining_goes_on_where_it_was(
    rotation: Study, scans: Any, rotated: DeepResult, killed: Callable[..., Any]
) -> None:
    images = case_images(rotation.deep, scans.given(rotation))
    (resumed, resumed_history), epochs = killed(lambda: start_of(rotation, scans, images, "killed"), 1)
    assert len(epochs) == 1
    whole, history = start_of(rotation, scans, images, "rotated")
    assert len(epochs) == 1  # read back
    pd.testing.assert_frame_equal(history, resumed_history, check_exact=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_the_seed_fixes_the_weights(study: Study, scans: Any, result: DeepResult) -> None:
    pd.testing.assert_frame_equal(scans.result(study, "again").features, result.features, check_exact=True)
    other = scans.result(study.model_copy(update={"seed": 2}), "other").features
    assert not np.allclose(other.iloc[:, 1:], result.features.iloc[:, 1:])


def test_a_case_without_an_input_is_missing_in_its_phase_and_harms_nobody(
    study: Study, scans: Any, result: DeepResult
) -> None:
    lost = (scans.cases["subject"] == "T01") & (scans.cases["phase"] == "venous")
    cases = scans.cases.assign(exclusion=np.where(lost, "truncated scan", ""))
    found = scans.result(study, "first", cases=cases)
    assert found.failed.to_dict("records") == [
        {"subject": "T01", "phase": "venous", "reason": "Excluded: truncated scan"}
    ]
    expected = result.features.set_index("subject")
    expected.loc["T01", expected.columns.str.startswith("venous__")] = np.nan
    # not to the last bit: a batch of another size is summed in another order
    pd.testing.assert_frame_equal(found.features.set_index("subject"), expected, rtol=1e-5, atol=1e-5)
    assert found.icc["n"].unique().tolist() == [5]  # the sixth training patient takes the lost one's place


def test_nobody_with_an_input_is_said_in_plain_words(study: Study, scans: Any) -> None:
    cases = scans.cases.assign(exclusion=np.where(scans.cases["phase"] == "venous", "no contrast", ""))
    with pytest.raises(InputError, match=r"No patient has an image in the venous phase.*no contrast"):
        scans.result(study, "none", cases=cases)


def test_who_only_trains_a_segmentation_gets_no_features(study: Study, scans: Any) -> None:
    cohort = scans.cohort.set_index("subject")
    cohort.loc["E02", "cohort"] = "segmentation"
    cohort = cohort.reset_index()
    images = case_images(study.deep, scans.given(study, cohort=cohort))
    assert "E02" not in images["arterial"].reader1
    assert len(images["arterial"].reader1) == 8


def icc_2_1(first: np.ndarray, second: np.ndarray) -> float:
    """Shrout & Fleiss 1979, by the sums of squares of their Table 2."""
    x = np.stack([first, second], axis=1)
    n, k = x.shape
    total = ((x - x.mean()) ** 2).sum()
    rows, columns = k * ((x.mean(axis=1) - x.mean()) ** 2).sum(), n * ((x.mean(axis=0) - x.mean()) ** 2).sum()
    bms, jms, ems = rows / (n - 1), columns / (k - 1), (total - rows - columns) / ((n - 1) * (k - 1))
    return float((bms - ems) / (bms + (k - 1) * ems + k * (jms - ems) / n))


def test_the_second_reader_is_judged_by_the_closed_form(study: Study, scans: Any, result: DeepResult) -> None:
    twice = [f"T{i:02d}" for i in range(5)]  # the first five training patients, by `icc_subjects`
    swapped = scans.cases.rename(columns={"mask": "mask_reader2", "mask_reader2": "mask"})
    again = scans.result(study, "first", cases=swapped).features.set_index("subject").loc[twice]
    first = result.features.set_index("subject").loc[twice]
    assert result.icc["feature"].tolist() == first.columns.tolist()
    assert result.icc["n"].unique().tolist() == [5]
    vary = ((first - again).abs() > 1e-3).any().to_numpy()
    assert vary.mean() > 0.5  # the outlines differ by two rows
    own = [icc_2_1(first[name].to_numpy(), again[name].to_numpy()) for name in first.columns[vary]]
    np.testing.assert_allclose(result.icc["icc"][vary], own, rtol=1e-5, atol=1e-5)
    assert result.facts["patients read twice"] == 5


def test_the_same_outline_twice_agrees_perfectly(study: Study, scans: Any) -> None:
    cases = scans.cases.assign(mask_reader2=scans.cases["mask"])
    icc = scans.result(study, "first", cases=cases).icc["icc"].dropna()
    assert len(icc) > 500  # the others are 0 in everybody
    np.testing.assert_allclose(icc, 1, atol=1e-12)


def test_one_reader_gives_no_agreement(study: Study, scans: Any) -> None:
    alone = scans.cases.drop(columns="mask_reader2")
    table = scans.result(study, "first", cases=alone).icc
    assert table.empty
    assert table.columns.tolist() == ["feature", "icc", "ci_low", "ci_high", "n"]
    assert "Fewer than two training patients have a second reading" in table.attrs["empty"]
    # one patient read twice is not enough, nor is a second reading of another phase
    venous = scans.cases["phase"] == "venous"
    half = scans.cases.assign(mask_reader2=np.where(venous, scans.cases["mask_reader2"], None))
    assert all(not found.reader2 for found in case_images(study.deep, scans.given(study, cases=half)).values())
    one = scans.cases.assign(mask_reader2=np.where(scans.cases["subject"] == "T00", scans.cases["mask_reader2"], None))
    found = case_images(study.deep, scans.given(study, cases=one))
    assert [set(part.reader2) for part in found.values()] == [{"T00"}, {"T00"}]
    assert scans.result(study, "first", cases=one).icc.empty


def test_the_phases_window_is_used_where_the_network_has_none(study_with: Callable[..., Study], scans: Any) -> None:
    study = study_with("yang2023", {**DEEP, "window": None, "input_px": 16})
    window = study.phases["venous"].window
    found = case_images(study.deep, scans.given(study))["venous"].reader1["T00"]
    case = scans.cases.set_index(["subject", "phase"]).loc[("T00", "venous")]
    image = sitk.GetArrayFromImage(sitk.ReadImage(case["image"]))
    scaled = np.clip((image - (window.level - window.width / 2)) / window.width, 0, 1)
    values = found[found > 0]
    assert np.isin(np.round(values, 5), np.round(scaled.astype(np.float32), 5)).all()


def test_what_the_page_shows_is_counted(study: Study, scans: Any, result: DeepResult) -> None:
    assert result.facts["patients with features"] == 9
    assert result.facts["features per phase"] == 512
    values = result.features.iloc[:, 1:]
    same = (values == values.iloc[0]).all().sum()
    assert result.facts["features that are the same in everybody"] == same
    assert result.facts["field"] == "square of 16 mm, resized to 40 pixels; surroundings kept"
    assert result.history.empty
    captions = [f"{s}, {phase}" for phase in PHASES for s in ("E00", "E01", "E02", "T00")]
    assert result.inputs["subject"].tolist() == captions
    assert all(image.shape == (40, 40) and 0 <= image.min() < image.max() <= 1 for image in result.inputs["image"])


def test_a_network_describes_an_image_once(
    study: Study, scans: Any, result: DeepResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(*given: Any) -> None:
        raise AssertionError("this image was described before")

    monkeypatch.setattr(ResNetFeatures, "forward", describe)
    again = scans.result(study, "first", cases=scans.cases.drop(columns="mask_reader2"))
    pd.testing.assert_frame_equal(again.features, result.features, check_exact=True)


def test_the_weights_on_the_disk_describe_new_patients(study: Study, scans: Any, result: DeepResult) -> None:
    scans.require_described_again(result, study)
