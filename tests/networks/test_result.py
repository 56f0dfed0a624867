"""Settings in words: every key has a row, values carry units, and what is not used is not shown."""

from __future__ import annotations

import pandas as pd
import pytest

from radsupport.networks import resnet
from radsupport.networks.resnet import OUTLINE_RATE
from radsupport.networks.result import NO_HISTORY, ROWS, DeepResult, settings_table
from radsupport.networks.sources import layers
from radsupport.settings.features import Cnn3d, Resnet, Unet
from radsupport.study import load_study


def shown(study_id: str, **deep: object) -> dict[str, str]:
    study = load_study(study_id, overrides={"deep": deep} if deep else None)
    return settings_table(study.deep).set_index("setting")["value"].to_dict()


@pytest.mark.parametrize(("name", "model"), [("unet", Unet), ("resnet", Resnet), ("cnn3d", Cnn3d)])
def test_every_key_of_the_study_file_has_a_row(name: str, model: type) -> None:
    assert set(ROWS[name]) == set(model.model_fields) - {"compare", "compare_on", "reader_seconds"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("study_id", ["song2021", "yang2023", "gu2023", "cui2022"])
def test_no_key_or_value_is_raw(study_id: str) -> None:
    table = shown(study_id)
    assert not any("_" in text for pair in table.items() for text in pair)
    assert not any(setting.islower() for setting in table)


def test_what_an_untrained_network_does_not_use_is_shown_for_the_choice_that_uses_it() -> None:
    table = shown("yang2023", weights="imagenet", compare=[])
    assert not any("epoch" in name.lower() or name.startswith(("Learning", "Batch", "Margin")) for name in table)
    table = shown("yang2023", weights="imagenet")
    assert table["Learning rate at the start (SGD) (only for the compared choice: self-supervised)"] == "0.01"
    assert table["Margin around that square (only for the compared choice: smallest square)"] == "5 mm"
    assert "Learning rate at the start (SGD)" not in table
    table = shown("yang2023")
    assert table["Epochs of that training"] == "3"
    assert "Learning rate at the start (SGD)" not in table  # learning from outlines has a rate of its own


def test_settings_of_a_full_run_stand_beside_those_of_the_demonstration() -> None:
    song, full = load_study("song2021"), load_study("song2021", "paper")
    table = settings_table(song.deep, full.deep).set_index("setting")
    assert table.loc["Learning rate (Adam; loss: cross-entropy)"].tolist() == ["0.002", "0.00001"]
    assert table.loc["Channels of the first level"].tolist() == ["8", "64"]
    assert table["value"].to_dict() == shown("song2021")
    yang = settings_table(load_study("yang2023").deep, load_study("yang2023", "paper").deep).set_index("setting")
    assert yang.loc["Layers with weights"].tolist() == ["18", "50"]
    assert yang.loc["Epochs of that training", "full_run"].startswith("20 (only for the compared choice")
    plain = settings_table(
        load_study("yang2023").deep, load_study("yang2023", "paper").deep.model_copy(update={"compare": []})
    )
    assert plain.set_index("setting").loc["Epochs of that training", "full_run"] == "not used"
    assert list(settings_table(full.deep, full.deep)) == ["setting", "value"]


def test_sampled_patients_are_none_unless_the_study_samples_them() -> None:
    table = shown("song2021")
    assert table["Patients who train it and are predicted later"] == "none"
    assert "Number of patients sampled to train it" not in table
    assert table["Number of patients sampled to train it (only for the compared choice: as published)"] == "22"
    assert shown("song2021", sampled_cases="as_published")["Number of patients sampled to train it"] == "22"
    assert "Region moved by (x, y, z)" not in table
    assert shown("song2021", shift_mm=[3, 3, 0])["Region moved by (x, y, z)"] == "3, 3, 0 mm"


def test_the_rate_that_outlines_are_learnt_at_is_the_one_that_is_said() -> None:
    assert f"learning rate {OUTLINE_RATE:g} at the start" in ROWS["resnet"]["weights"]["words"]["outlines"]


def test_values_carry_their_units() -> None:
    table = shown("cui2022")
    assert table["Patch (slices, rows, columns)"] == "5 × 24 × 24 voxels"
    assert table["Learning rate (Adam; loss: cross-entropy, both outcomes of equal weight)"] == "0.001"
    assert shown("song2021", learning_rate=1e-5)["Learning rate (Adam; loss: cross-entropy)"] == "0.00001"
    assert table["Window"] == "level 100 HU, width 200 HU"


def test_layers_of_a_full_run_are_those_printed() -> None:
    song = layers(load_study("song2021", "paper").deep)
    assert song["parameters"].sum() == 31_100_354
    assert song["output_shape"].iloc[4] == "16, 16, 1024"  # the printed bottleneck
    assert layers(load_study("cui2022", "paper").deep)["parameters"].sum() == 15_762_242  # printed


@pytest.mark.parametrize(
    ("depth", "parameters", "blocks"),
    [(18, 11_689_512, "2222"), (50, 25_557_032, "3463"), (101, 44_549_160, "3 4 23 3")],
)
def test_a_resnet_has_the_layers_of_the_library(depth: int, parameters: int, blocks: str) -> None:
    table = resnet.layer_table(depth, 224).set_index("layer")
    width = 512 if depth < 50 else 2048
    assert table["parameters"].sum() == parameters - 1000 * (width + 1)  # torchvision's count without its last layer
    counts = [text.split()[0] for text in table.filter(like="residual", axis=0)["made_of"]]
    assert counts == (blocks.split() if " " in blocks else list(blocks))
    assert table.loc["residual blocks 4", "output_shape"] == f"7, 7, {width}"
    assert table.loc["features", "output_shape"] == f"1, 1, {width}"


def test_networks_of_a_scheme_share_a_picture() -> None:
    names = ["SS, fold 0", "SS, fold 1", "NSS, fold 0", "fold 2"]
    history = pd.DataFrame({"network": names, "metric": "loss", "value": range(4)})
    curves = result_with(history).curves
    assert curves["of"].tolist() == ["SS", "SS", "NSS", ""]
    assert curves["network"].tolist() == ["fold 0", "fold 1", "fold 0", "fold 2"]
    nothing = result_with(pd.DataFrame(columns=NO_HISTORY)).curves
    assert nothing.attrs["empty"] == "No network was trained in this study."


def result_with(history: pd.DataFrame) -> DeepResult:
    empty = pd.DataFrame()
    return DeepResult(empty, {}, "", history, empty, empty, empty, empty)
