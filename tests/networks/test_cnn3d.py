"""The 3-D CNN: Supplementary Table S2 layer by layer, Keras' padding, training, folds and resuming."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from radsupport.errors import InputError, NotEstimableError
from radsupport.networks import cnn3d
from radsupport.networks.cnn3d import (
    CNN3D,
    OPERATIONS,
    CNN3DSettings,
    SameConvolution,
    SameMaxPooling,
    build_cnn3d,
    class_weights,
    cross_validate,
    deterministic_max_pool,
    fold_risks,
    layer_table,
    predict_risk,
    train_cnn3d,
)

# Cui 2022, Supplementary Table S2: layer, kernels or units, kernel size, output shape
TABLE_S2 = [
    ("convolution1", 32, "3, 3, 3", "10, 150, 150, 32"),
    ("max_pooling1", 0, "3, 3, 3", "5, 75, 75, 32"),
    ("convolution2", 64, "3, 3, 3", "5, 75, 75, 64"),
    ("max_pooling2", 0, "3, 3, 3", "3, 38, 38, 64"),
    ("convolution3", 128, "3, 3, 3", "3, 38, 38, 128"),
    ("convolution4", 128, "3, 3, 3", "3, 38, 38, 128"),
    ("max_pooling3", 0, "3, 3, 3", "2, 19, 19, 128"),
    ("convolution5", 256, "2, 3, 3", "2, 19, 19, 256"),
    ("convolution6", 256, "2, 3, 3", "2, 19, 19, 256"),
    ("max_pooling4", 0, "2, 3, 3", "1, 10, 10, 256"),
    ("flatten", 0, "", "25600"),
    ("dense1", 512, "", "512"),
    ("dropout1", 0, "", "512"),
    ("dense2", 256, "", "256"),
    ("dropout2", 0, "", "256"),
    ("dense3", 128, "", "128"),
    ("dropout3", 0, "", "128"),
    ("dense4", 2, "", "2"),
]

QUICK = CNN3DSettings(
    width=0.1, learning_rate=2e-3, batch_size=8, max_epochs=3, patience=3, folds=2, max_shift=1, seed=2
)


def patches(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise patches of 4 x 12 x 12; every second one has a bright core."""
    rng = np.random.default_rng(seed)
    stack = rng.uniform(0, 0.5, size=(n, 1, 4, 12, 12)).astype(np.float32)
    labels = np.arange(n) % 2
    stack[labels == 1, :, 1:3, 4:8, 4:8] += 0.5
    return stack, labels


def test_network_is_supplementary_table_s2() -> None:
    table = layer_table()
    found = list(table[["layer", "kernel", "kernel_size", "output_shape"]].itertuples(index=False, name=None))
    assert found == TABLE_S2
    strides = dict(zip(table["layer"], table["strides"], strict=True))
    assert {strides[name] for name in strides if name.startswith("conv")} == {"1, 1, 1"}
    assert {strides[name] for name in strides if name.startswith("max")} == {"2, 2, 2"}
    assert table["parameters"].sum() == 15_762_242
    assert all(module.p == 0.5 for module in CNN3D().modules() if isinstance(module, torch.nn.Dropout))


def naive_same(x: np.ndarray, kernel: tuple[int, ...], stride: int) -> list[list[np.ndarray]]:
    """Windows of Keras' "same": pad_before = floor(total / 2), per output voxel the values and kernel positions."""
    out_shape = [ceil(n / stride) for n in x.shape]
    before = [max((o - 1) * stride + k - n, 0) // 2 for o, k, n in zip(out_shape, kernel, x.shape, strict=True)]
    windows = []
    for at in product(*map(range, out_shape)):
        window = []
        for offset in product(*map(range, kernel)):
            where = [a * stride - b + o for a, b, o in zip(at, before, offset, strict=True)]
            if all(0 <= w < n for w, n in zip(where, x.shape, strict=True)):
                window.append((offset, x[tuple(where)]))
        windows.append(window)
    return windows


@pytest.mark.parametrize("shape", [(10, 7, 6), (5, 8, 9), (3, 4, 5), (1, 2, 3)])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 3)])
def test_pooling_pads_like_keras(shape: tuple[int, int, int], kernel: tuple[int, int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    pooled = SameMaxPooling(kernel)(torch.as_tensor(x)[None, None])[0, 0].numpy()
    expected = [max(value for _, value in window) for window in naive_same(x, kernel, 2)]
    assert pooled.shape == tuple(ceil(n / 2) for n in shape)
    np.testing.assert_array_equal(pooled.ravel(), expected)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 3)])
def test_convolution_pads_like_keras(kernel: tuple[int, int, int]) -> None:
    x = np.random.default_rng(1).normal(size=(3, 4, 5))
    layer = SameConvolution(1, 1, kernel).double()
    weight = layer.convolution.weight.detach().numpy()[0, 0]
    found = layer(torch.as_tensor(x)[None, None])[0, 0].detach().numpy().ravel()
    sums = [sum(weight[offset] * value for offset, value in window) for window in naive_same(x, kernel, 1)]
    np.testing.assert_allclose(found, np.maximum(sums, 0), atol=1e-12)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (2, 3, 3)])
def test_deterministic_pooling_equals_torchs_even_in_ties(kernel: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(3)
    x = torch.tensor(rng.integers(0, 3, size=(2, 3, 7, 9, 8)).astype(float), requires_grad=True)
    results = []
    for pool in (lambda t: functional.max_pool3d(t, kernel, stride=2), lambda t: deterministic_max_pool(t, kernel)):
        x.grad = None
        y = pool(x)
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        assert x.grad is not None
        results.append((y.detach().numpy(), x.grad.numpy().copy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_smaller_networks_of_the_same_class() -> None:
    model = build_cnn3d((6, 40, 40), width=0.25, seed=1)
    table = layer_table((6, 40, 40), width=0.25).set_index("layer")
    assert table.loc["convolution6", "output_shape"] == "1, 5, 5, 64"
    assert table.loc["dense1", "kernel"] == 128
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    again = build_cnn3d((6, 40, 40), width=0.25, seed=1)
    assert torch.equal(model.dense1.weight, again.dense1.weight)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Not a network"):
        CNN3D((0, 40, 40))


def test_class_weights_make_both_classes_equal() -> None:
    y = np.array([1] * 73 + [0] * 105)
    np.testing.assert_allclose(class_weights(y), [178 / 210, 178 / 146], rtol=1e-6)
    assert np.bincount(y) @ class_weights(y) == pytest.approx(178)


def test_loss_weighs_like_keras() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    weights = torch.tensor([0.5, 3.0])
    loss = cnn3d._weighted_loss(logits, np.array([0, 1]), weights)
    assert loss.item() == pytest.approx((0.5 * np.log(2) + 3 * np.log(1 + np.exp(-2))) / 2, rel=1e-6)
    alone = cnn3d._weighted_loss(logits[:1], np.array([0]), weights)
    assert alone.item() == pytest.approx(0.5 * np.log(2), rel=1e-6)  # does not cancel in a batch of one class


def test_augmented_copies_are_trained_on_and_only_those(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, str]] = []
    real = cnn3d.augmented

    def record(images: np.ndarray, moved: np.ndarray, cases: np.ndarray, operations: np.ndarray) -> np.ndarray:
        seen.extend((float(images[c].max()), OPERATIONS[o]) for c, o in zip(cases, operations, strict=True))
        return real(images, moved, cases, operations)

    monkeypatch.setattr(cnn3d, "augmented", record)
    images, y = patches(8)
    images *= np.arange(1, 9, dtype=np.float32).reshape(8, 1, 1, 1, 1)
    one_epoch = dataclasses.replace(QUICK, max_epochs=1)
    train_cnn3d(images[:6], y[:6], images[6:], y[6:], one_epoch)
    assert len(seen) == 6 * 7
    assert len(set(seen)) == 6 * 7
    assert {peak for peak, _ in seen} == {float(image.max()) for image in images[:6]}
    seen.clear()
    train_cnn3d(images[:6], y[:6], images[6:], y[6:], dataclasses.replace(one_epoch, augment=False))
    assert {operation for _, operation in seen} == {"original"}


def test_inputs_are_standardised_by_the_training_patches_only() -> None:
    images, y = patches(12)
    images[:, :, 0] = 0  # what sampling set to 0 is no part of what is shown
    one_epoch = dataclasses.replace(QUICK, max_epochs=1)
    watched = 5 * images[8:] + 7
    model, _ = train_cnn3d(images[:8], y[:8], watched, y[8:], one_epoch)
    shown = images[:8][images[:8] > 0]
    assert 0.5 < shown.size / images[:8].size < 1
    assert model.centre.item() == pytest.approx(shown.mean(), rel=1e-5)
    assert model.spread.item() == pytest.approx(shown.std(), rel=1e-5)
    seen: list[torch.Tensor] = []
    model.convolution1.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    predict_risk(model, np.concatenate([images[:1], images[1:2] * 100]))
    wanted = (np.concatenate([images[:1], images[1:2] * 100]) - shown.mean()) / shown.std()
    np.testing.assert_allclose(seen[0].numpy(), wanted.clip(-3, 3), atol=1e-4)
    plain, _ = train_cnn3d(images[:8], y[:8], watched, y[8:], dataclasses.replace(one_epoch, standardise=False))
    assert (plain.centre.item(), plain.spread.item()) == (0, 1)


def test_the_kept_epoch_and_the_learners_follow_from_the_stopping() -> None:
    images, y = patches(20)
    one = dataclasses.replace(QUICK, augment=False, max_epochs=3, schedule="cosine")
    ways = [dataclasses.replace(one, stop_on=way) for way in ("inner", "held_out", "last")]  # type: ignore[arg-type]
    splits = {settings.stop_on: list(cnn3d.fold_positions(y, settings)) for settings in ways}
    for way, folds in splits.items():
        for learn, watch, held in folds:
            assert not set(learn) & set(held)
            assert np.array_equal(watch, held) == (way != "inner")
            assert len(learn) + len(held) == (20 if way != "inner" else 20 - len(watch))
    few = list(cnn3d.fold_positions(y, dataclasses.replace(one, stop_on="last", train_limit=6)))
    assert [len(learn) for learn, _, _ in few] == [6, 6]
    assert all(y[learn].sum() == 3 for learn, _, _ in few)
    done = cross_validate(images, y, range(20), dataclasses.replace(one, stop_on="last"), first=1)  # type: ignore[arg-type]
    assert done.history["best"].tolist() == [False, False, True]
    rate = one.learning_rate * (1 + np.cos(np.pi * np.arange(3) / 3)) / 2
    np.testing.assert_allclose(done.history["learning_rate"], rate)
    assert done.predictions.groupby("fold")["out_of_fold"].count().tolist() == [10, 0]


def test_finds_a_planted_difference_out_of_fold() -> None:
    images, y = patches(40)
    subjects = [f"S{i:02d}" for i in range(40)]
    done = cross_validate(images, y, subjects, dataclasses.replace(QUICK, width=0.2, max_epochs=8, patience=8))
    assert roc_auc_score(y, done.predictions.loc[subjects, "out_of_fold"]) > 0.9
    test_images, test_y = patches(20, seed=7)
    table = fold_risks(done.models, test_images, [f"T{i}" for i in range(20)])
    assert table.columns.tolist() == ["fold0", "fold1"]
    assert roc_auc_score(test_y, table.mean(axis=1)) > 0.9
    np.testing.assert_array_equal(table["fold1"], predict_risk(done.models[1], test_images))
    assert done.history.groupby("fold")["best"].sum().tolist() == [1, 1]
    assert {"train_loss", "validation_loss", "validation_accuracy"} <= set(done.history.columns)


def test_each_kind_of_prediction_comes_from_the_right_networks() -> None:
    images, y = patches(16)
    settings = dataclasses.replace(QUICK, max_epochs=1, folds=4, augment=False)
    done = cross_validate(images, y, range(16), settings)  # type: ignore[arg-type]
    risks = np.array([predict_risk(model, images) for model in done.models])
    out = done.predictions.reset_index()
    assert out["subject"].tolist() == [str(i) for i in range(16)]
    np.testing.assert_allclose(out["out_of_fold"], risks[out["fold"], np.arange(16)])
    assert out["label"].tolist() == y.tolist()
    splits = list(cnn3d.fold_positions(y, settings))
    for case in range(16):
        others = [fold for fold in range(4) if case not in splits[fold][2]]
        assert sorted([*others, out.loc[case, "fold"]]) == [0, 1, 2, 3]
        assert out.loc[case, "apparent"] == pytest.approx(risks[others, case].mean())
    for learn, watch, held in splits:
        assert not set(learn) & (set(watch) | set(held))
        assert not set(watch) & set(held)
        assert len(set(learn) | set(watch) | set(held)) == 16


def test_held_out_labels_do_not_reach_their_own_predictions() -> None:
    images, y = patches(16)
    settings = dataclasses.replace(QUICK, max_epochs=1, augment=False)
    learn, watch, held = next(iter(cnn3d.fold_positions(y, settings)))
    data = (images[learn], y[learn], images[watch], y[watch])
    model, _ = train_cnn3d(*data, settings)
    done = cross_validate(images, y, range(16), settings)  # type: ignore[arg-type]
    own = done.predictions.query("fold == 0")["out_of_fold"].to_numpy()
    np.testing.assert_array_equal(own, predict_risk(model, images[held]))


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {helpers!r}]
from test_cnn3d import QUICK, patches
from radsupport.networks import training
from radsupport.networks.cnn3d import cross_validate
save, written = training.save_checkpoint, 0
def save_and_die(path, state):
    global written
    save(path, state)
    written += 1
    if written == 5:
        os.kill(os.getpid(), signal.SIGKILL)
training.save_checkpoint, training.BETWEEN = save_and_die, 0
images, y = patches(16)
cross_validate(images, y, range(16), QUICK, checkpoints=Path({folder!r}))
"""


def test_a_killed_run_resumes_in_its_fold_and_epoch(tmp_path: Path) -> None:
    script = KILLED.format(
        tests=str(Path(__file__).parent), helpers=str(Path(__file__).parents[1]), folder=str(tmp_path)
    )
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    stored = {path.name[-8:-3]: torch.load(path) for path in tmp_path.glob("*.pt")}
    # three epochs of fold 0 were finished and two of fold 1 were written when it died
    assert {name: (len(state["history"]), state["finished"]) for name, state in stored.items()} == {
        "fold0": (3, True),
        "fold1": (2, False),
    }
    images, y = patches(16)
    resumed = cross_validate(images, y, range(16), QUICK, checkpoints=tmp_path)  # type: ignore[arg-type]
    whole = cross_validate(images, y, range(16), QUICK)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    pd.testing.assert_frame_equal(resumed.predictions, whole.predictions)


def test_bad_input_is_named() -> None:
    images, y = patches(8)
    with pytest.raises(NotEstimableError, match="the smaller class has 4"):
        cross_validate(images, y, range(8), CNN3DSettings())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="more than once: a"):
        cross_validate(images, y, list("aabcdefg"), QUICK)
    with pytest.raises(InputError, match="theirs is"):
        cross_validate(images[:, 0, 0], y, range(8), QUICK)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="was made for patches"):
        predict_risk(build_cnn3d((4, 10, 10), 0.1), images)
    with pytest.raises(InputError, match="at least one network"):
        fold_risks([], images, range(8))  # type: ignore[arg-type]
