"""The U-Net: the printed shapes, learning, resuming, and aggregation of slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from radsupport.errors import InputError
from radsupport.networks import training as network_training
from radsupport.networks.unet import (
    AGGREGATIONS,
    UNetSettings,
    aggregate_slices,
    bottleneck_features,
    build_unet,
    dice_per_slice,
    predict_masks,
    split_subjects,
    train_unet,
)


def discs(n: int, size: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright discs on a noisy background, and their masks."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centres, radii = rng.uniform(0.3, 0.7, size=(n, 2)) * size, rng.uniform(0.12, 0.25, size=n) * size
    masks = np.stack([(rows - y) ** 2 + (columns - x) ** 2 < r**2 for (y, x), r in zip(centres, radii, strict=True)])
    images = 0.35 + 0.25 * masks + 0.08 * rng.normal(size=masks.shape)
    return images.clip(0, 1)[:, None].astype(np.float32), masks


QUICK = UNetSettings(base_channels=4, learning_rate=2e-3, batch_size=8, max_epochs=4, patience=3, seed=1)


def test_printed_bottleneck_is_16_by_16_by_1024() -> None:
    model = build_unet(base_channels=64).eval()
    with torch.inference_mode():
        bottleneck = model.bottleneck(torch.zeros(1, 1, 256, 256))
    assert tuple(bottleneck.shape) == (1, 1024, 16, 16)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(nn.MaxPool2d) == 4
    assert kinds.count(nn.ConvTranspose2d) == 4
    assert kinds.count(nn.ELU) == 18  # two per level: 5 in the encoder, 4 in the decoder
    assert not any(isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d) for module in model.modules())


def test_features_are_the_global_average_of_what_the_decoder_gets() -> None:
    model = build_unet(base_channels=2, seed=3).eval()
    images = discs(5)[0]
    seen: list[torch.Tensor] = []
    handle = model.upcat_4.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.inference_mode():
        logits = model(torch.as_tensor(images))
    handle.remove()
    features = bottleneck_features(model, images)
    assert logits.shape == (5, 2, 32, 32)
    assert features.shape == (5, 32)
    np.testing.assert_allclose(features, seen[0].mean(dim=(2, 3)).numpy(), rtol=1e-4, atol=1e-6)
    assert features.min() > -1  # after ELU


def test_seed_fixes_the_weights() -> None:
    one, two, other = (build_unet(2, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_learns_to_segment_bright_discs() -> None:
    images, masks = discs(96)
    test_images, test_masks = discs(24, seed=99)
    trained = train_unet(images[:80], masks[:80], images[80:], masks[80:], QUICK)
    untrained = dice_per_slice(predict_masks(build_unet(4, 1), test_images), test_masks).mean()
    dice = dice_per_slice(predict_masks(trained.model, test_images), test_masks).mean()
    assert dice > 0.8
    assert untrained < 0.5
    columns = ["epoch", "learning_rate", "train_loss", "validation_loss", "validation_dsc", "best"]
    assert trained.history.columns.tolist() == columns
    best = trained.history.loc[trained.history["best"], "validation_dsc"].item()
    assert best == trained.history["validation_dsc"].max()
    again = dice_per_slice(predict_masks(trained.model, images[80:]), masks[80:]).mean()
    assert again == pytest.approx(best, abs=1e-9)  # the best epoch's weights are the ones returned


def test_killed_training_resumes_and_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = discs(20)
    data = (images[:16], masks[:16], images[16:], masks[16:])
    expected = train_unet(*data, QUICK)
    save = network_training.save_checkpoint

    def save_then_die(path: Path, state: dict[str, Any]) -> None:
        save(path, state)
        if len(state["history"]) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(network_training, "save_checkpoint", save_then_die)
        with pytest.raises(KeyboardInterrupt):
            train_unet(*data, QUICK, checkpoints=tmp_path)
    resumed = train_unet(*data, QUICK, checkpoints=tmp_path)
    pd.testing.assert_frame_equal(resumed.history, expected.history)
    weights = resumed.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in expected.model.state_dict().items())
    assert len(list(tmp_path.iterdir())) == 1


def test_dice_against_counted_values() -> None:
    true = np.zeros((4, 2, 2), dtype=bool)
    predicted = true.copy()
    true[0, 0], predicted[0, 0, 0] = True, True  # 2 * 1 / (1 + 2)
    true[1], predicted[1] = True, True
    predicted[2, 0, 0] = True
    np.testing.assert_allclose(dice_per_slice(predicted, true), [2 / 3, 1, 0, 1])


def test_split_is_by_subject_and_one_to_nine() -> None:
    slices = np.repeat([f"S{i:02d}" for i in range(80)], 6)
    training, validation = split_subjects(slices, 0.1, seed=4)
    assert len(training) == 72
    assert len(validation) == 8
    assert set(training) | set(validation) == set(slices)
    assert (training, validation) == split_subjects(slices, 0.1, seed=4)
    assert validation != split_subjects(slices, 0.1, seed=5)[1]
    assert [len(part) for part in split_subjects(["a", "b"], 0.1)] == [1, 1]
    with pytest.raises(InputError, match="at least 2 subjects"):
        split_subjects(["a", "a"])


def clusters() -> tuple[np.ndarray, pd.DataFrame]:
    """Subject A: three slices near 0, two near 10; B: two near 0, two near 10, the largest near 10; C: one slice."""
    features = np.array([[0.0, 1], [0.2, 1], [0.1, 1], [10, 3], [10, 5], [0, 0], [0, 2], [10, 0], [10, 2], [7, 8]])
    table = pd.DataFrame({"subject": [*"AAAAABBBBC"], "area": [5, 6, 7, 9, 8, 1, 2, 9, 4, 3]})
    return features, table


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("kmeans_largest", [[0.1, 1], [10, 1], [7, 8]]),
        ("mean", [[4.06, 2.2], [5, 1], [7, 8]]),
        ("max", [[10, 5], [10, 2], [7, 8]]),
        ("median", [[0.2, 1], [5, 1], [7, 8]]),
        ("largest_slice", [[10, 3], [10, 0], [7, 8]]),
    ],
)
def test_aggregation(how: str, expected: list[list[float]]) -> None:
    done = aggregate_slices(*clusters(), how=how)
    assert done["subject"].tolist() == ["A", "B", "C"]
    np.testing.assert_allclose(done[["deep_0000", "deep_0001"]], expected)


def test_aggregation_of_identical_slices_and_of_two() -> None:
    table = pd.DataFrame({"subject": [*"AAABB"], "area": [1, 1, 1, 2, 5]})
    features = np.array([[1.0], [1], [1], [3], [9]])
    done = aggregate_slices(features, table)
    assert done["deep_0000"].tolist() == [1, 9]  # two slices tie: the larger one's cluster
    assert set(AGGREGATIONS) == {"kmeans_largest", "mean", "max", "median", "largest_slice"}
    with pytest.raises(InputError, match="Unknown aggregation 'attention'"):
        aggregate_slices(features, table, "attention")
    with pytest.raises(InputError, match="5 slices are described"):
        aggregate_slices(features[:3], table)


def test_bad_slices_and_masks_are_named() -> None:
    images, masks = discs(4)
    with pytest.raises(InputError, match="multiples of 16"):
        bottleneck_features(build_unet(2), images[..., :30])
    with pytest.raises(InputError, match="missing or infinite"):
        bottleneck_features(build_unet(2), np.full_like(images, np.nan))
    with pytest.raises(InputError, match="validation masks are all empty"):
        train_unet(images, masks, images, np.zeros_like(masks), QUICK)
    with pytest.raises(InputError, match="training images are"):
        train_unet(images, masks[:2], images, masks, QUICK)
    with pytest.raises(InputError, match="base_channels"):
        build_unet(0)


def test_leaving_out_empty_padding_changes_no_value() -> None:
    model = build_unet(2, seed=1)
    images = torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = model(images)
        for up in (model.upcat_1, model.upcat_2, model.upcat_3, model.upcat_4):
            up.is_pad = True
        assert torch.equal(found, model(images))
