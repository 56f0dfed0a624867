"""Convolutions of small maps tap by tap: values and gradients of PyTorch's own, and nothing else replaced."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from radsupport.networks.convolution import SmallMapConv2d, for_small_maps


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
