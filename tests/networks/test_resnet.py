"""ResNet features: torchvision's layout, what the weights are called, pooling, caching and fine-tuning."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from radsupport.errors import FetchError, InputError, NotEstimableError
from radsupport.files import MIRROR
from radsupport.networks import resnet
from radsupport.networks.resnet import (
    FineTuneSettings,
    ResNetFeatures,
    WeightsFile,
    build_resnet,
    fine_tune,
    normalise_images,
    outline_measures,
    pretrain_outlines,
    pretrain_rotation,
    resnet_features,
)

QUICK = FineTuneSettings(learning_rate=0.02, batch_size=8, max_epochs=2, normalisation="none", seed=1)


@pytest.fixture(scope="module")
def net() -> ResNetFeatures:
    return build_resnet(18, seed=3)


def images(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise, every second image with a bright square; and which ones."""
    rng = np.random.default_rng(seed)
    stack = rng.uniform(0, 0.6, size=(n, 3, 32, 32)).astype(np.float32)
    labels = np.arange(n) % 2
    stack[labels == 1, :, 10:20, 10:20] += 0.4
    return stack, labels


def formula_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that anyone can compute: sines of the position in the tensor, scaled by kind."""
    weights = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        size = int(np.prod(shape, dtype=int))
        wave = torch.sin(torch.arange(size, dtype=torch.float64) * 0.37 + number).reshape(shape)
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(0)
        elif name.endswith("running_var"):
            weights[name] = 1 + 0.5 * wave**2
        elif len(shape) > 1:
            weights[name] = wave * (2 / np.prod(shape[1:])) ** 0.5
        else:
            weights[name] = (1 if name.endswith("weight") else 0) + 0.1 * wave
    return weights


@pytest.fixture(scope="module")
def torchvision(golden: Path) -> dict[str, Any]:
    """Names, shapes and features that torchvision 0.26 gave for `formula_weights`."""
    values: dict[str, Any] = json.loads((golden / "torchvision_resnet.json").read_text())
    return values


def layout(torchvision: dict[str, Any], depth: int) -> dict[str, tuple[int, ...]]:
    return {name: tuple(shape) for name, shape in torchvision[f"resnet{depth}"]["shapes"].items()}


@pytest.mark.parametrize("depth", [18, 50])
def test_equals_torchvision_with_the_same_weights(depth: int, torchvision: dict[str, Any], tmp_path: Path) -> None:
    weights = formula_weights(layout(torchvision, depth))
    torch.save(weights, tmp_path / "weights.pth")
    net = ResNetFeatures(depth)
    resnet.load_torchvision_weights(net, tmp_path / "weights.pth")
    net = net.double().eval()  # weights of single precision, as in a published file, in double arithmetic
    size = torchvision["size"]
    image = torch.cos(torch.arange(2 * 3 * size * size, dtype=torch.float64) * 0.01).reshape(2, 3, size, size)
    with torch.inference_mode():
        average, maximum = net(image, "average").numpy(), net(image, "max").numpy()
    expected = torchvision[f"resnet{depth}"]
    np.testing.assert_allclose(average[:, ::32], expected["average"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(maximum[:, ::32], expected["max"], rtol=1e-9, atol=1e-12)


def test_the_deepest_network_has_torchvisions_names_and_shapes(torchvision: dict[str, Any]) -> None:
    net = ResNetFeatures(101)
    expected = {name: shape for name, shape in layout(torchvision, 101).items() if not name.startswith("fc.")}
    assert {name: tuple(value.shape) for name, value in net.backbone.state_dict().items()} == expected
    assert net.n_features == 2048
    assert layout(torchvision, 18)["fc.weight"] == (1000, 512)


def test_local_file_in_torchvisions_format(torchvision: dict[str, Any], tmp_path: Path) -> None:
    weights = {name: value.float() for name, value in formula_weights(layout(torchvision, 18)).items()}
    path = tmp_path / "mine.pth"
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}}, path)
    net = build_resnet(18, str(path))
    assert torch.equal(net.backbone.layer4[1].conv2.weight, weights["layer4.1.conv2.weight"])
    assert torch.equal(net.backbone.bn1.running_var, weights["bn1.running_var"])
    digest = resnet.pooch.file_hash(str(path))
    assert net.weights_description == f"ResNet-18 with weights of the file mine.pth (SHA-256 {digest[:12]}…)"


def test_imagenet_is_recognised_by_checksum_and_a_wrong_file_refused(
    torchvision: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "resnet18-test.pth"
    torch.save({name: value.float() for name, value in formula_weights(layout(torchvision, 18)).items()}, path)
    # a port nobody listens on: whatever is fetched has to come from the folder
    url = "http://127.0.0.1:9/resnet18-test.pth"
    known = WeightsFile(url, resnet.pooch.file_hash(str(path)))
    monkeypatch.setitem(resnet.IMAGENET_WEIGHTS, 18, known)
    monkeypatch.delenv(MIRROR, raising=False)
    net = build_resnet(18, "imagenet", folder=tmp_path)
    assert net.weights_description == (
        "ResNet-18 with ImageNet weights of torchvision (resnet18-test.pth, SHA-256 verified)"
    )
    monkeypatch.setitem(resnet.IMAGENET_WEIGHTS, 18, dataclasses.replace(known, sha256="0" * 64))
    with pytest.raises(FetchError, match=r"not on this machine.*radsupport fetch weights"):
        build_resnet(18, "imagenet", folder=tmp_path)
    with pytest.raises(FetchError, match="could not be fetched"):
        resnet.fetch_imagenet(18, tmp_path)
    for weights in resnet.IMAGENET_WEIGHTS.values():
        assert weights.url == url or weights.sha256[:8] in weights.url
    with pytest.raises(InputError, match="No checksum is known for ImageNet weights of ResNet-34"):
        build_resnet(34, "imagenet", folder=tmp_path)


def test_weights_are_fetched_once_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "resnet50-test.pth").write_bytes(b"not really weights")
    digest = hashlib.sha256(b"not really weights").hexdigest()
    monkeypatch.delenv(MIRROR, raising=False)
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(quiet, directory=str(tmp_path / "web"))) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/resnet50-test.pth"
        monkeypatch.setitem(resnet.IMAGENET_WEIGHTS, 50, WeightsFile(url, digest))
        got = resnet.fetch_imagenet(50, tmp_path / "cache")
        monkeypatch.setitem(resnet.IMAGENET_WEIGHTS, 18, WeightsFile(url, "0" * 64))
        with pytest.raises(FetchError, match="hash"):
            resnet.fetch_imagenet(18, tmp_path / "other")
        server.shutdown()
    assert got == tmp_path / "cache" / "resnet50-test.pth"
    assert got.read_bytes() == b"not really weights"
    assert resnet.fetch_imagenet(50, tmp_path / "cache") == got  # the server is gone
    assert resnet.imagenet_file(50, tmp_path / "none") is None
    assert resnet.imagenet_file(50, tmp_path / "none", tmp_path / "web") == tmp_path / "web" / "resnet50-test.pth"
    with pytest.raises(FetchError, match="nothing is downloaded"):
        resnet.fetch_imagenet(50, tmp_path / "none", tmp_path / "other")


def test_other_files_are_refused_with_every_difference(torchvision: dict[str, Any], tmp_path: Path) -> None:
    weights = {name: value.float() for name, value in formula_weights(layout(torchvision, 18)).items()}
    del weights["layer1.0.conv1.weight"]
    weights["bn1.bias"] = torch.zeros(3)
    weights["attention"] = torch.zeros(1)
    torch.save(weights, tmp_path / "odd.pth")
    with pytest.raises(InputError, match="does not hold weights of ResNet-18") as error:
        build_resnet(18, str(tmp_path / "odd.pth"))
    assert [problem.column for problem in error.value.problems] == ["layer1.0.conv1.weight", "attention", "bn1.bias"]
    with pytest.raises(InputError, match="no file of weights"):
        build_resnet(18, str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="not a readable file of torch weights"):
        build_resnet(18, str(tmp_path / "text.pth"))
    with pytest.raises(InputError, match="There is no ResNet-19"):
        build_resnet(19)


def test_random_weights_are_seeded_and_named(net: ResNetFeatures) -> None:
    again, other = build_resnet(18, seed=3), build_resnet(18, seed=4)
    assert torch.equal(net.backbone.conv1.weight, again.backbone.conv1.weight)
    assert not torch.equal(net.backbone.conv1.weight, other.backbone.conv1.weight)
    assert net.weights_description == "ResNet-18 with random weights (seed 3), not trained on any image"


def test_features_are_pooled_maps_one_row_per_subject(net: ResNetFeatures, tmp_path: Path) -> None:
    stack, _ = images(5)
    subjects = [f"S{i}" for i in range(5)]
    table = resnet_features(net, stack, subjects, pooling="max", batch_size=2, cache=tmp_path)
    with torch.inference_mode():
        maps = net.maps(torch.as_tensor(normalise_images(stack))).numpy()
    assert table.columns[0] == "subject"
    assert table["subject"].tolist() == subjects
    assert table.shape == (5, 513)
    np.testing.assert_allclose(table.iloc[:, 1:], maps.max(axis=(2, 3)), rtol=1e-4, atol=1e-5)
    average = resnet_features(net, stack, subjects, pooling="average", cache=tmp_path)
    np.testing.assert_allclose(average.iloc[:, 1:], maps.mean(axis=(2, 3)), rtol=1e-4, atol=1e-5)
    assert len(list(tmp_path.iterdir())) == 10
    again = resnet_features(net, stack[::-1], subjects[::-1], cache=tmp_path)
    pd.testing.assert_frame_equal(again.iloc[::-1].reset_index(drop=True), table)
    with pytest.raises(InputError, match="more than once: S1"):
        resnet_features(net, stack, ["S0", "S1", "S1", "S2", "S3"])
    with pytest.raises(InputError, match="Unknown pooling"):
        resnet_features(net, stack, subjects, pooling="median")  # type: ignore[arg-type]


def test_normalisation() -> None:
    stack, _ = images(3)
    scaled = normalise_images(stack, "image")
    np.testing.assert_allclose(scaled.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(1, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(normalise_images(stack)[:, 1], (stack[:, 1] - 0.456) / 0.224, rtol=1e-5)
    assert np.isfinite(normalise_images(np.ones((1, 3, 8, 8)), "image")).all()
    with pytest.raises(InputError, match=r"Images \[1\] hold missing"):
        normalise_images(np.where(np.arange(3).reshape(3, 1, 1, 1) == 1, np.nan, stack))
    with pytest.raises(InputError, match="Unknown normalisation"):
        normalise_images(stack, "caffe")  # type: ignore[arg-type]


def test_fine_tuning_learns_and_anneals(net: ResNetFeatures) -> None:
    stack, labels = images(48)
    settings = dataclasses.replace(QUICK, max_epochs=4)
    tuned = fine_tune(net, stack, labels, settings)
    test_stack, test_labels = images(20, seed=9)
    with torch.inference_mode():
        logits = tuned.head(tuned.net.eval()(torch.as_tensor(normalise_images(test_stack, "none"))))
    risk = logits.softmax(dim=1)[:, 1].numpy()
    assert roc_auc_score(test_labels, risk) > 0.9
    np.testing.assert_allclose(tuned.history["learning_rate"], 0.01 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-6)
    assert tuned.net.weights_description.endswith("not trained on any image, fine-tuned on 48 labelled images")
    assert "fine-tuned" not in net.weights_description
    with pytest.raises(NotEstimableError, match="at least 2 images of each class"):
        fine_tune(net, stack, np.zeros(48), settings)


def test_fine_tuning_reads_a_finished_training_back(net: ResNetFeatures, tmp_path: Path) -> None:
    stack, labels = images(12)
    first = fine_tune(net, stack, labels, QUICK, checkpoints=tmp_path)
    again = fine_tune(net, stack, labels, QUICK, checkpoints=tmp_path)
    pd.testing.assert_frame_equal(first.history, again.history)
    assert torch.equal(first.head.weight, again.head.weight)
    fine_tune(net, stack, 1 - labels, QUICK, checkpoints=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_self_supervised_weights_name_themselves(net: ResNetFeatures) -> None:
    stack, _ = images(16)
    tuned = pretrain_rotation(net, stack, QUICK)
    assert tuned.net.weights_description == (
        "ResNet-18 with self-supervised weights (rotation of 16 training images, seed 1), "
        "not trained on ImageNet or on any label"
    )
    assert tuned.head.out_features == 4
    assert not torch.equal(tuned.net.backbone.conv1.weight, net.backbone.conv1.weight)


def test_an_outline_is_measured_by_hand() -> None:
    stack, outlines = np.zeros((2, 3, 12, 12)), np.zeros((2, 3, 12, 12), bool)
    outlines[0, :, 4:8, 4:8], outlines[1, :, 5:7, 2:10] = True, True
    stack[0, :, 4:8, 4:8] = np.arange(4)  # columns 0 1 2 3: steps of 1 along rows, of 0 along columns
    stack[1, :, 5:7, 2:10] = 2.0
    first = np.array([np.log1p(48), 1.5, np.sqrt(1.25), 1.0, 1.5, np.log(36**2 / 48)])
    second = np.array([np.log1p(48), 2.0, 0.0, 0.0, 2.0, np.log(48**2 / 48)])
    # two images: each is one SD off the mean, on the side of the larger value, or 0 where both are equal
    np.testing.assert_allclose(outline_measures(stack, outlines)[0], np.sign(np.round(first - second, 9)), atol=1e-6)


def test_weights_learnt_from_outlines_read_what_is_inside(net: ResNetFeatures, tmp_path: Path) -> None:
    stack, _ = images(12)
    outlines = np.zeros(stack.shape, bool)
    outlines[:, :, 8:20, 8:20] = True
    stack[:, :, 8:20, 8:20] += np.linspace(0, 1, 12)[:, None, None, None]
    whose = [f"S{i // 2}" for i in range(12)]
    tuned = pretrain_outlines(net, stack, outlines, whose, QUICK, "max", checkpoints=tmp_path)
    assert tuned.history["train_loss"].is_monotonic_decreasing
    assert "brightness" in tuned.net.weights_description
    assert "not trained on ImageNet or on any outcome" in tuned.net.weights_description
    again = pretrain_outlines(net, stack, outlines, whose, QUICK, "max", checkpoints=tmp_path)
    pd.testing.assert_frame_equal(tuned.history, again.history, check_exact=True)
    assert len(list(tmp_path.iterdir())) == 1
