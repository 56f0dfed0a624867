"""Sign and orientation of the maps on lesions planted off centre, and shares of heat against counted values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.visualize import GradCAM
from scipy.special import expit
from torch import nn

from radsupport.errors import InputError, MaskError
from radsupport.networks.attention import grad_cam, heat_shares, map_agreement, occlusion_sensitivity
from radsupport.networks.cnn3d import CNN3DSettings, build_cnn3d, train_cnn3d
from radsupport.networks.resnet import build_resnet


class BrightnessNet(nn.Module):
    """Class 1 is brightness: logits (-mean, mean) of the ReLU of an identity convolution, times a gain."""

    def __init__(self, dimensions: int, gain: float = 20.0) -> None:
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
        self.identity = convolution(1, 1, 1, bias=False)
        nn.init.ones_(self.identity.weight)
        self.relu = nn.ReLU()
        self.gain = gain

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.gain * self.relu(self.identity(x)).flatten(1).mean(dim=1)
        return torch.stack([-mean, mean], dim=1)


def planted(shape: tuple[int, ...], corner: tuple[int, ...], size: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """One image, 0 but for a lesion of brightness 1 at `corner`; and its mask."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(at, at + size) for at in corner)] = True
    return mask[None, None].astype(np.float32), mask[None]


CASES = [((12, 14), (2, 9)), ((6, 12, 14), (1, 2, 9)), ((6, 12, 14), (4, 9, 1))]


@pytest.mark.parametrize(("shape", "corner"), CASES)
def test_grad_cam_is_hot_at_the_lesion_and_nowhere_else(shape: tuple[int, ...], corner: tuple[int, ...]) -> None:
    image, mask = planted(shape, corner)
    maps = grad_cam(BrightnessNet(len(shape)), image, "relu")
    np.testing.assert_array_equal(maps > 0, mask)
    assert maps.max() == 1
    assert maps.min() == 0
    # nothing speaks for class 0: no heat rather than the map of class 1 upside down
    assert grad_cam(BrightnessNet(len(shape)), image, "relu", class_index=0).max() == 0


def test_monais_own_normaliser_would_show_the_opposite() -> None:
    image, _ = planted((6, 12, 14), (1, 2, 9))
    upside_down = GradCAM(BrightnessNet(3), "relu")(torch.as_tensor(image), class_idx=1)[:, 0].detach().numpy()
    np.testing.assert_allclose(grad_cam(BrightnessNet(3), image, "relu"), 1 - upside_down, atol=1e-6)


@pytest.mark.parametrize(("shape", "corner"), CASES)
def test_covering_the_lesion_lowers_the_probability_by_a_known_amount(
    shape: tuple[int, ...], corner: tuple[int, ...]
) -> None:
    image, mask = planted(shape, corner)
    block = [2] * len(shape)
    maps = occlusion_sensitivity(BrightnessNet(len(shape)), image, block, step=block)
    mean = 20.0 * mask.sum() / mask.size
    baseline = 1 / (1 + np.exp(-2 * mean))
    even = [at % 2 == 0 for at in corner]
    if all(even):  # one block covers the lesion exactly: the probability falls to one half
        np.testing.assert_allclose(maps[mask], baseline - 0.5, rtol=1e-5)
    assert maps[mask].mean() > 5 * abs(maps[~mask]).mean()
    assert maps.min() >= 0
    against = occlusion_sensitivity(BrightnessNet(len(shape)), image, block, step=block, class_index=0)
    np.testing.assert_allclose(against, -maps, atol=1e-6)


def test_occlusion_is_the_mean_fall_over_the_blocks_worked_out_by_hand() -> None:
    rng = np.random.default_rng(3)
    images = rng.normal(size=(2, 1, 3, 7)).astype(np.float32)
    maps = occlusion_sensitivity(BrightnessNet(2), images, (2, 3), step=(1, 2), fill=0.25)
    for image, found in zip(images[:, 0], maps, strict=True):
        total, count = np.zeros((3, 7)), np.zeros((3, 7))
        for row in (0, 1):
            for column in (0, 2, 4):
                covered = image.astype(float)
                covered[row : row + 2, column : column + 3] = 0.25
                risk = [float(expit(2 * 20.0 * np.maximum(x, 0).mean())) for x in (image, covered)]
                total[row : row + 2, column : column + 3] += risk[0] - risk[1]
                count[row : row + 2, column : column + 3] += 1
        np.testing.assert_allclose(found, total / count, atol=1e-6)


def test_occlusion_reaches_the_border_and_fills_as_asked() -> None:
    image, mask = planted((7, 9), (5, 7))
    maps = occlusion_sensitivity(BrightnessNet(2), image, (2, 2), step=(2, 2))
    assert maps[mask].min() > 0
    even = np.full((1, 1, 6, 6), 0.5, dtype=np.float32)
    unchanged = occlusion_sensitivity(BrightnessNet(2), even, (3, 3), fill="mean")
    np.testing.assert_allclose(unchanged, 0, atol=1e-6)
    assert occlusion_sensitivity(BrightnessNet(2, gain=1), even, (3, 3), fill=1.0).max() < 0  # covering raises it


def test_a_trained_3d_cnn_is_hot_where_the_lesions_were_planted() -> None:
    rng = np.random.default_rng(0)
    n, shape = 64, (4, 24, 24)
    images = rng.uniform(0, 0.4, size=(n, 1, *shape)).astype(np.float32)
    masks, y = np.zeros((n, *shape), dtype=bool), np.arange(n) % 2
    for case in range(n):
        row, column = rng.integers(0, 18, size=2)
        masks[case, 1:3, row : row + 6, column : column + 6] = True
    images[:, 0][masks & (y == 1)[:, None, None, None]] += 0.6
    settings = CNN3DSettings(
        width=0.15, learning_rate=2e-3, max_epochs=8, patience=8, dropout=0.0, augment=False, seed=1
    )
    model, history = train_cnn3d(images[:48], y[:48], images[48:], y[48:], settings)
    assert history["validation_accuracy"].max() > 0.9
    events = np.flatnonzero(y == 1)[:16]
    subjects = [f"S{case}" for case in events]
    heat = grad_cam(model, images[events], "convolution4")
    shares = heat_shares(heat, masks[events], subjects, neighbour_voxels=3)
    assert shares["concentration"].median() > 2
    mirrored = heat_shares(heat[..., ::-1, ::-1], masks[events], subjects, neighbour_voxels=3)
    assert shares["tumour"].mean() > 2 * mirrored["tumour"].mean()
    occlusion = occlusion_sensitivity(model, images[events[:4]], (2, 6, 6), step=(2, 3, 3))
    assert (heat_shares(occlusion, masks[events[:4]], subjects[:4])["concentration"] > 2).all()
    assert map_agreement(heat[:4], occlusion, subjects[:4])["spearman"].mean() > 0


def test_every_named_layer_of_the_3d_cnn_gives_a_map_and_the_model_is_left_alone() -> None:
    model = build_cnn3d((4, 16, 16), width=0.1, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = np.random.default_rng(0).uniform(size=(3, 1, 4, 16, 16))
    for layer in ("convolution6", "max_pooling4"):
        maps = grad_cam(model, images, layer, batch_size=2)
        assert maps.shape == (3, 4, 16, 16)
        assert np.isfinite(maps).all()
    np.testing.assert_allclose(maps, np.repeat(maps[:, :1], 4, axis=1), atol=1e-6)  # one slice, as in the paper
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_grad_cam_of_a_resnet() -> None:
    net = build_resnet(18, seed=0)
    model = nn.Sequential(net, nn.Linear(net.n_features, 2))
    images = np.random.default_rng(0).uniform(size=(2, 3, 64, 64))
    maps = grad_cam(model, images, "0.backbone.layer4")
    assert maps.shape == (2, 64, 64)
    assert maps.max() <= 1


def test_shares_are_counted_right() -> None:
    mask = np.zeros((1, 1, 5, 9), dtype=bool)
    mask[0, 0, 2, 2:4] = True
    heat = np.zeros(mask.shape)
    heat[0, 0, 2, 2], heat[0, 0, 2, 5], heat[0, 0, 2, 8] = 3, 2, 1
    heat[0, 0, 0, 0] = -5  # counts as no heat
    row = heat_shares(heat, mask, ["A"], neighbour_voxels=2).iloc[0]
    assert row[["tumour", "neighbour", "elsewhere"]].tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6])
    assert row["tumour_volume"] == pytest.approx(2 / 45)
    assert row["concentration"] == pytest.approx(0.5 * 45 / 2)
    assert row["peak_in_tumour"]
    assert not row["no_heat"]


def test_even_heat_has_concentration_one_and_no_heat_is_missing() -> None:
    mask = np.zeros((2, 2, 6, 6), dtype=bool)
    mask[:, :, 1:4, 2:5] = True
    maps = np.stack([np.ones((2, 6, 6)), np.zeros((2, 6, 6))])
    table = heat_shares(maps, mask, ["A", "B"])
    assert table.loc[0, "concentration"] == pytest.approx(1)
    assert table["no_heat"].tolist() == [False, True]
    assert table["peak_in_tumour"].iloc[1] is None
    assert table.loc[1, ["tumour", "neighbour", "elsewhere", "concentration"]].isna().all()
    agreement = map_agreement(maps + mask, maps + 2 * mask, ["A", "B"])
    assert agreement["spearman"].tolist() == pytest.approx([1, 1])
    assert np.isnan(map_agreement(maps, maps, ["A", "B"])["spearman"]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda image, mask: grad_cam(BrightnessNet(2), image, "layer9"), "no layer 'layer9'"),
        (lambda image, mask: grad_cam(BrightnessNet(2), image[0, 0], "relu"), "Images must have the shape"),
        (lambda image, mask: occlusion_sensitivity(BrightnessNet(2), image, (20, 2)), "does not fit"),
        (lambda image, mask: occlusion_sensitivity(BrightnessNet(2), image, (2, 2), step=(2, 3)), "no larger than"),
        (lambda image, mask: heat_shares(mask[:, :3], mask, ["A"]), "Maps are"),
        (lambda image, mask: heat_shares(mask, np.zeros_like(mask), ["A"]), "No tumour inside the patch of A"),
        (lambda image, mask: map_agreement(mask, mask[:, :3], ["A"]), "the others"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises((InputError, MaskError), match=message):
        call(*planted((12, 14), (2, 9)))
