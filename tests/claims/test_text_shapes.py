import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from radsupport.claims.verdicts import FAILS, HOLDS, UNDECIDED


@given(size=st.integers(3, 40), kernel=st.integers(1, 3), stride=st.integers(1, 3))
def test_valid_padding_equals_torch(judge, size, kernel, stride):
    made = torch.nn.Conv2d(1, 4, kernel, stride)(torch.zeros(1, 1, size, size)).shape
    inputs = {"input": [size, size, 1], "kernel": [kernel, kernel], "stride": stride, "padding": "valid", "filters": 4}
    assert judge("shape", f"{made[2]}, {made[3]}, 4", inputs, item="Convolution").verdict == HOLDS


@pytest.mark.parametrize(
    ("published", "item", "verdict"),
    [
        ("5, 75, 75, 32", "Max pooling1", HOLDS),
        ("5, 75, 75, 64", "Max pooling1", FAILS),
        ("5, 75, 75, 64", "Convolution", UNDECIDED),
        ("5, 74, 75, 32", "Convolution", FAILS),
        ("5, 75, 75", "Convolution", FAILS),
    ],
)
def test_layers(judge, published, item, verdict):
    inputs = {"input": [10, 150, 150, 32], "kernel": [3, 3, 3], "stride": 2, "padding": "same"}
    assert judge("shape", published, inputs, item=item).verdict == verdict


def test_a_convolution_has_one_channel_per_filter(judge):
    inputs = {"input": [10, 150, 150, 1], "kernel": [3, 3, 3], "stride": 1, "padding": "same", "filters": 32}
    assert judge("shape", "10, 150, 150, 32", inputs, item="Convolution").verdict == HOLDS
    assert judge("shape", "10, 150, 150, 64", inputs, item="Convolution").verdict == FAILS


@pytest.mark.parametrize(
    ("published", "inputs", "verdict"),
    [
        ("25600", {"input": [1, 10, 10, 256]}, HOLDS),
        ("25601", {"input": [1, 10, 10, 256]}, FAILS),
        ("512", {"units": 512}, HOLDS),
        ("2048", {"net": "ResNet50"}, HOLDS),
        ("2045", {"net": "ResNet101 global average pool"}, FAILS),
        ("16x16x1024", {"downsamplings": 4}, HOLDS),
        ("16x16x1000", {"downsamplings": 4}, FAILS),
    ],
)
def test_sizes(judge, published, inputs, verdict):
    assert judge("shape", published, inputs).verdict == verdict


def test_weights_equal_torch(judge):
    model = torch.nn.Sequential(torch.nn.Conv3d(1, 8, (2, 3, 3)), torch.nn.Flatten(), torch.nn.Linear(64, 2))
    total = sum(p.numel() for p in model.parameters())
    layers = {"conv": {"kernel": [2, 3, 3], "in": 1, "out": 8}, "dense": {"in": 64, "out": 2}}
    assert judge("shape", str(total), {"layers": layers}).verdict == HOLDS
    assert judge("shape", str(total + 1), {"layers": layers}).verdict == FAILS
    unprinted = judge("shape", "not printed", {"layers": layers})
    assert unprinted.verdict == UNDECIDED
    assert unprinted.values["total"] == total
    layers["dense"]["count"] = 7
    assert judge("shape", str(total), {"layers": layers}).verdict == FAILS


@pytest.mark.parametrize(
    ("published", "inputs", "reason"),
    [
        ("5", {"net": "VGG16"}, "must be a ResNet"),
        ("5", {"downsamplings": 4}, "height x width x channels"),
        ("5", {"layers": {}}, "must map layer names"),
        ("5", {"layers": {"a": {"in": 3}}}, "must give `in`, `out`"),
        ("5", {"input": [3, 1], "kernel": [3], "stride": 1, "padding": "full"}, "same or valid"),
        ("5", {"input": [3, 1], "kernel": [3, 3], "stride": 1, "padding": "same"}, "list of 1"),
    ],
)
def test_malformed_layers_are_refused(refusal, published, inputs, reason):
    assert reason in refusal("shape", published, inputs)
