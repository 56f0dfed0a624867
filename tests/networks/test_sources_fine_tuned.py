"""Chapter 04 with a ResNet fine-tuned on the outcome: per fold without the patient's label, or as published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from radsupport.errors import InputError
from radsupport.networks.resnet import FineTuneSettings, build_resnet, fine_tune, resnet_features
from radsupport.networks.result import DeepResult
from radsupport.networks.sources import EVERYONE, case_images
from radsupport.settings.study import Study
from radsupport.stats.outcome import assign_folds

FOLDS = 2
DEEP = {
    "depth": 18, "input_px": 32, "box_mm": 16.0, "weights": "random", "epochs": 2, "patience": 2, "batch_size": 4,
    "learning_rate": 0.02, "normalisation": "image", "fine_tune": "out_of_fold",
    "window": {"level": 100, "width": 400},
}  # fmt: skip


@pytest.fixture(scope="module")
def study(study_with: Callable[..., Study]) -> Study:
    return study_with("gu2023", DEEP, modelling={"folds": FOLDS})


@pytest.fixture(scope="module")
def published(study_with: Callable[..., Study]) -> Study:
    return study_with("gu2023", {**DEEP, "fine_tune": "as_published"}, modelling={"folds": FOLDS})


@pytest.fixture(scope="module")
def scans(narrow_resnet: None, make_scans: Callable[..., Any]) -> Any:
    return make_scans(14, 3)


@pytest.fixture(scope="module")
def result(study: Study, scans: Any) -> DeepResult:
    return scans.result(study, "first")


def of(table: pd.DataFrame, subjects: Any) -> np.ndarray:
    """Return the features of some subjects, shape (n, 512)."""
    values: np.ndarray = table.set_index("subject").loc[list(subjects)].to_numpy()
    return values


@pytest.fixture(scope="module")
def pair(study: Study, scans: Any, swappable: Callable[..., tuple[str, str]]) -> tuple[str, str]:
    """Two patients of one fold whose labels can be exchanged without another change of the folds."""
    return swappable(scans.labels(), lambda labels: assign_folds(labels, FOLDS, study.seed))


@pytest.fixture(scope="module")
def relabelled(study: Study, scans: Any, pair: tuple[str, str]) -> DeepResult:
    return scans.result(study, "relabelled", scans.relabelled(**dict(zip(pair, (1, 0), strict=True))))


def test_out_of_fold_features_do_not_know_the_label_of_their_patient(
    scans: Any, result: DeepResult, relabelled: DeepResult, pair: tuple[str, str]
) -> None:
    assert result.folds is not None
    assert relabelled.folds is not None
    pd.testing.assert_series_equal(result.folds, relabelled.folds)
    own = int(result.folds[pair[0]])
    assert own == result.folds[pair[1]]
    # the network of their fold is the same one, for these two and for everybody
    pd.testing.assert_frame_equal(result.by_fold[own], relabelled.by_fold[own], check_exact=True)
    curves = [run.history[run.history["network"] == f"fold {own}"] for run in (result, relabelled)]
    pd.testing.assert_frame_equal(*curves, check_exact=True)
    # all other networks did learn from these labels
    other = 1 - own
    assert not np.allclose(of(result.by_fold[other], pair), of(relabelled.by_fold[other], pair))
    assert not np.allclose(of(result.features, pair), of(relabelled.features, pair))


def test_folds_are_those_of_the_modelling_chapter(study: Study, scans: Any, result: DeepResult) -> None:
    assert result.folds is not None
    assert set(result.by_fold) == set(range(FOLDS))
    pd.testing.assert_series_equal(result.folds, assign_folds(scans.labels().sort_index(), FOLDS, study.seed))


@pytest.mark.parametrize("fold", [None, 0, 1])
def test_each_table_is_by_the_network_tuned_on_the_others(
    fold: int | None, study: Study, scans: Any, result: DeepResult
) -> None:
    images = case_images(study.deep, scans.given(study))["arterial"].reader1
    labels = scans.labels()
    assert result.folds is not None
    learnt = [s for s in labels.index if fold is None or result.folds[s] != fold]
    settings = FineTuneSettings(
        learning_rate=0.02, batch_size=4, max_epochs=2, patience=2, normalisation="image", seed=study.seed
    )
    stack = np.stack([images[s] for s in learnt])
    tuned = fine_tune(build_resnet(18, "random", seed=study.seed), stack, labels[learnt].to_numpy(), settings)
    expected = resnet_features(
        tuned.net, np.stack(list(images.values())), list(images), pooling="average", normalisation="image"
    )
    table = result.features if fold is None else result.by_fold[fold]
    assert table.columns[1] == "arterial__deep_0000"
    np.testing.assert_allclose(of(table, images), of(expected, images), rtol=1e-5, atol=1e-6)


def test_as_published_the_features_carry_the_patients_own_label(
    published: Study, scans: Any, result: DeepResult, relabelled: DeepResult, pair: tuple[str, str]
) -> None:
    # the folders hold the checkpoint of the network tuned on everybody, which is the same one
    found = scans.result(published, "first")
    assert found.by_fold == {}
    assert found.folds is None
    assert found.history["network"].unique().tolist() == [EVERYONE]
    pd.testing.assert_frame_equal(found.features, result.features, check_exact=True)
    assert found.facts["fine-tuning"] == "on everybody, as published"
    assert not np.allclose(of(found.features, pair), of(relabelled.features, pair))


def test_the_seed_fixes_everything(study: Study, published: Study, scans: Any, result: DeepResult) -> None:
    scans.require_same(result, scans.result(study, "again"))
    other = scans.result(published.model_copy(update={"seed": 2}), "other")
    assert not np.allclose(of(other.features, ["E00"]), of(result.features, ["E00"]))


@pytest.mark.parametrize("written", [1, 4])
def test_a_killed_training_goes_on_where_it_was(
    written: int, study: Study, scans: Any, result: DeepResult, killed: Callable[..., Any]
) -> None:
    whole, epochs = killed(lambda: scans.result(study, f"killed {written}"), written)
    scans.require_same(result, whole)
    assert len(epochs) == (FOLDS + 1) * 2 - written  # networks x epochs, none of them run twice


def test_a_case_without_an_input_is_missing_with_its_reason_and_harms_nobody(
    study: Study, scans: Any, result: DeepResult
) -> None:
    lost = scans.result(study, "first", cases=scans.excluded("E01", reason="spacing unknown"))
    assert lost.failed.to_dict("records") == [
        {"subject": "E01", "phase": "arterial", "reason": "Excluded: spacing unknown"}
    ]
    tables = [(lost.features, result.features), *((lost.by_fold[k], result.by_fold[k]) for k in range(FOLDS))]
    for table, whole in tables:
        expected = whole.set_index("subject")
        expected.loc["E01"] = np.nan
        # not to the last bit: a batch of another size is summed in another order
        pd.testing.assert_frame_equal(table.set_index("subject"), expected, rtol=1e-5, atol=1e-5)


def test_a_training_patient_without_an_input_trains_nothing_and_keeps_its_fold(
    study: Study, scans: Any, result: DeepResult
) -> None:
    lost = scans.result(study, "first", cases=scans.excluded("T03"))
    assert lost.folds is not None
    assert result.folds is not None
    pd.testing.assert_series_equal(lost.folds, result.folds)
    own = int(result.folds["T03"])
    expected = result.by_fold[own].set_index("subject")
    expected.loc["T03"] = np.nan  # its own network never saw it, so that nobody else's features change
    pd.testing.assert_frame_equal(lost.by_fold[own].set_index("subject"), expected, rtol=1e-5, atol=1e-5)
    rest = [name for name in scans.cohort["subject"] if name != "T03"]
    assert np.isfinite(of(lost.features, rest)).all()
    assert lost.facts["training patients whose label was learnt"] == 13
    assert "the labels of 13 training patients" in lost.weights


def test_patients_of_unknown_outcome_are_described_but_not_learnt(study: Study, scans: Any) -> None:
    cohort = scans.cohort.astype({"label": float}).set_index("subject")
    cohort.loc["T05", "label"] = np.nan
    found = scans.result(study, "unknown", cohort.reset_index())
    assert found.folds is not None
    assert "T05" not in found.folds.index
    assert np.isfinite(of(found.features, ["T05"])).all()
    assert found.facts["training patients whose label was learnt"] == 13


def test_the_page_names_each_network_and_its_kept_epoch(result: DeepResult) -> None:
    assert result.history["network"].unique().tolist() == ["fold 0", "fold 1", EVERYONE]
    watched = result.history[(result.history["set"] == "validation") & (result.history["metric"] == "loss")]
    kept = [
        int(part["epoch"].iloc[part["value"].to_numpy().argmin()]) for _, part in watched.groupby("network", sort=False)
    ]
    assert result.facts["epochs kept"] == ", ".join(map(str, kept))
    assert result.facts["fine-tuning"] == "out of fold: 2 networks and one on everybody"
    assert result.facts["training patients whose label was learnt"] == 14
    assert result.weights == (
        "ResNet-18 with random weights (seed 1), not trained on any image, "
        "then fine-tuned on the labels of 14 training patients"
    )


def test_each_phase_has_its_own_network(published: Study, make_scans: Callable[..., Any]) -> None:
    phases = dict.fromkeys(("arterial", "venous"), published.phases["arterial"])
    two = make_scans(8, 1, list(phases))
    both = two.result(published.model_copy(update={"phases": phases}), "phases")
    assert both.history["network"].unique().tolist() == [f"arterial, {EVERYONE}", f"venous, {EVERYONE}"]
    alone = published.model_copy(update={"phases": {"venous": phases["venous"]}})
    venous = two.result(alone, "phases").features
    assert venous.shape == (9, 1 + 512)
    pd.testing.assert_frame_equal(both.features[venous.columns], venous)


def test_nobody_to_learn_from_is_said_in_plain_words(study: Study, published: Study, scans: Any) -> None:
    trained = scans.labels().index
    with pytest.raises(InputError, match=r"No training patient has an image in the arterial phase.*mask is empty"):
        scans.result(published, "none", cases=scans.excluded(*trained))
    with pytest.raises(InputError, match="trained on a label only"):
        scans.result(study, "none", scans.cohort.drop(columns="label"))


def test_the_caption_says_whom_the_networks_saw(result: DeepResult) -> None:
    assert result.trainers == {"train": 14}
    assert result.how == (
        ", in 2 folds each on the patients of the other folds and once on all; "
        "a part of these patients is the validation part"
    )


def test_the_weights_on_the_disk_describe_new_patients(study: Study, scans: Any, result: DeepResult) -> None:
    scans.require_described_again(result, study)
