"""Convolutions of small maps tap by tap: values and gradients of PyTorch's own, and nothing else replaced."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from radsupport.networks.convolution import SmallMapConv2d, for_small_maps, fused
from radsupport.networks.resnet import build_resnet, normalise_images, resnet_features


@pytest.mark.parametrize(
    ("size", "padding"),
    [*((size, 1) for size in [(1, 1), (1, 2), (2, 2), (3, 3), (4, 4), (4, 1), (9, 7)]), ((3, 3), 0), ((3, 4), 0)],
)
@pytest.mark.parametrize("stride", [1, 2])
def test_values_and_gradients_are_those_of_pytorch(size: tuple[int, int], stride: int, padding: int) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(9, 5, *size, dtype=torch.double, generator=draw, requires_grad=True)
    own = SmallMapConv2d(5, 4, 3, stride, padding, bias=False).double()
    found = own(x)
    expected = functional.conv2d(x, own.weight, None, stride, padding)
    torch.testing.assert_close(found, expected)
    slope = torch.randn(expected.shape, dtype=torch.double, generator=draw)
    grads = [torch.autograd.grad(y, [x, own.weight], slope) for y in (found, expected)]
    torch.testing.assert_close(*grads)


def test_replaced_convolutions_keep_weights_and_names() -> None:
    plain = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, bias=False), nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))
    before, image = dict(plain.state_dict()), torch.rand(9, 2, 2, 2)
    expected = plain(image)
    for_small_maps(plain)
    assert [type(one) for one in (plain[0], plain[1][0])] == [SmallMapConv2d, nn.Conv2d]
    assert list(plain.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())
    torch.testing.assert_close(plain(image), expected)


def test_a_network_without_its_normalisations_predicts_the_same_features() -> None:
    generator = np.random.default_rng(3)
    images = generator.uniform(size=(21, 3, 64, 64))
    network = build_resnet(18)
    for one in network.modules():  # as after training: no layer is scaled by one and shifted by nothing
        if isinstance(one, nn.BatchNorm2d):
            for values, low, high in ((one.running_mean, -0.3, 0.3), (one.bias, -0.2, 0.2), (one.running_var, 0.5, 2)):
                nn.init.uniform_(values, low, high, torch.Generator().manual_seed(one.num_features))
    inputs = torch.as_tensor(normalise_images(images))
    with torch.no_grad():
        plain = torch.cat([network(one[None], "max") for one in inputs]).numpy()  # image by image
    names = [str(i) for i in range(len(images))]
    found = resnet_features(network, images, names, batch_size=10).drop(columns="subject").to_numpy()
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-5 * np.abs(plain).max())
    assert any(isinstance(one, nn.BatchNorm2d) for one in network.modules())  # the network itself is as it was
    assert not any(isinstance(one, nn.BatchNorm2d) for one in fused(network).modules())
