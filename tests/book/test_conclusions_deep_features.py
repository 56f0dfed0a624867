"""What chapter 04 says of its networks: from plain values and small tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from radsupport.book.conclusions.deep_features import counts, heat, learnt, network, phases, sizes, training
from radsupport.settings.features import Cnn3d, Resnet, Unet

WINDOW = {"level": 100, "width": 400}


def test_the_network_is_named_with_those_who_trained_it() -> None:
    unet = Unet(network="unet")
    words = network(unet, {"segmentation": 4})
    assert words.startswith("A 2-D U-Net learns to outline the tumour in the arterial phase of 4 patients. None of")
    assert "**3 of them are cross-validated later, as published" in network(unet, {"segmentation": 4, "train": 3})
    assert "of 7 patients" in network(unet, {"segmentation": 4, "train": 3})
    cnn = Cnn3d.model_validate({"network": "cnn3d", "window": WINDOW, "folds": 4})
    assert "of the 60 training patients, in 4 folds" in network(cnn, {"train": 60})
    said = {how: network(Resnet(network="resnet", fine_tune=how), {"train": 60}) for how in ("no", "as_published")}
    assert said["no"].endswith("No network is trained on the outcome.")
    assert "all 60 training patients, as published" in said["as_published"]
    honest = network(Resnet(network="resnet", depth=101, fine_tune="out_of_fold"), {"train": 60})
    assert honest.startswith("A ResNet-101 describes the largest section and its two neighbours.")
    assert "never saw that patient's outcome" in honest


def test_the_caption_of_the_curves_counts_networks_and_patients() -> None:
    history = pd.DataFrame({"network": ["U-Net"] * 2, "metric": ["loss", "Dice"]})
    names = {"segmentation": "segmentation only", "train": "Hospital I"}
    words = training(history, {"segmentation": 4, "train": 1}, ", a share of whom", names)
    assert words == (
        'Loss and Dice per epoch of 1 network trained on 4 patients of the cohort "segmentation only" and 1 patient of '
        'the cohort "Hospital I", a share of whom'
    )


def test_networks_that_give_everybody_the_same_risk_are_named() -> None:
    ranges = pd.DataFrame({"scheme": ["SS", "NSS"], "lowest": [0.2, 0.495], "highest": [0.7, 0.497]})
    assert learnt(ranges.iloc[:1]) == ""
    assert learnt(ranges.iloc[:0]) == ""
    words = learnt(ranges)
    assert "risks of NSS are nearly the same" in words
    assert "SS and NSS" not in words


def of(pairs: pd.DataFrame, names: tuple[str, str] = ("arterial", "venous")) -> str:
    return phases(pairs, pd.DataFrame(np.zeros((2, 3))), 1, names, 40, "that vary")


def test_words_on_two_phases_count_what_the_table_holds() -> None:
    words = of(pd.DataFrame({"r": [0.9, -0.85, 0.3, 0.0], "p": [0.001, 0.002, 0.04, 0.9]}))
    assert "Of 4 pairs of one arterial and one venous feature that vary, 75% are correlated at P < 0.05" in words
    assert "(unadjusted) in the 40 training patients" in words
    assert "50% with |r| above 0.8" in words
    assert "2 in the arterial and 3 in the venous phase, 1 of them the same channel" in words
    assert of(pd.DataFrame(columns=["r", "p"])) == ""


def test_a_small_share_is_not_said_to_be_none() -> None:
    words = of(pd.DataFrame({"r": [0.95] + [0.1] * 3999, "p": [0.001] + [0.5] * 3999}), ("a", "b"))
    assert "Of 4,000 pairs" in words
    assert "<1% with |r| above 0.8" in words


def test_a_resnet_describes_as_many_slices_as_its_settings_say() -> None:
    said = {n: network(Resnet(network="resnet", slices=n), {"train": 60}) for n in (1, 3)}
    assert said[1].startswith("A ResNet-50 describes the largest section. ")
    assert said[3].startswith("A ResNet-50 describes the largest section and its two neighbours. ")


def test_values_of_some_folds_are_said_to_be_of_some_folds() -> None:
    columns = ["signature", "judged", "n", "held", "events", "value", "p"]
    rows = [(n, "first 2 of 5 folds", size, 72, 30, v, p) for size, p in ((36, 0.2), (142, 0.003)) for n, v in
            (("SS", 0.783), ("NSS", 0.901))]  # fmt: skip
    table = pd.DataFrame([*rows, ("SS", "all folds", 142, 178, 73, 0.746, 0.089)], columns=columns)
    table = pd.concat([table, table.tail(1).assign(signature="NSS", value=0.79)], ignore_index=True)
    words = sizes(table)
    assert words.startswith(
        "The sizes are compared in the 72 patients (30 with the event) of the first 2 of 5 folds only."
    )
    assert "SS 0.783 and NSS 0.901; P = 0.003 of their difference in these" in words
    assert "SS 0.746 and NSS 0.790; P = 0.089 of their difference in all 178, whom chapter 06 judges." in words
    assert "is no finding" in words
    assert "no finding" not in sizes(table.assign(p=0.01))
    assert sizes(table[table["judged"] == "all folds"]) == sizes(table.iloc[:0]) == ""
    assert "difference" not in sizes(table.assign(p=np.nan))


def test_maps_that_contradict_occlusion_are_said_to_tell_nothing() -> None:
    table = pd.DataFrame({"scheme": ["SS", "SS", "NSS", "NSS"], "spearman": [-0.33, -0.77, -0.4, np.nan]})
    words = heat(table)
    assert "SS −0.77 to −0.33 in 2 patients and NSS −0.40 to −0.40 in 1 patient." in words
    assert "**None of 3 maps agrees (above" in words
    assert "**Only 1 of 3 maps agrees (above" in heat(table.assign(spearman=[0.9, 0.1, 0.4, np.nan]))
    assert "2 of 3 maps: the two agree for the most part" in heat(table.assign(spearman=[0.9, 0.6, 0.4, np.nan]))
    assert heat(table.assign(spearman=np.nan)) == heat(table.iloc[:0]) == ""


def test_patients_without_any_deep_feature_do_not_count() -> None:
    features = pd.DataFrame({"subject": ["a", "b"], "x": [1.0, None], "y": [None, None]})
    assert counts(features, 0) == "2 columns of features or risks, in 1 patient; 0 cases failed."
