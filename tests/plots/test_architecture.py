"""The drawing of a network from its layers."""

from __future__ import annotations

import pytest
from matplotlib.patches import FancyArrowPatch, Rectangle

from radsupport.networks import blocks, layers
from radsupport.plots import architecture
from radsupport.plots.base import description
from radsupport.study import load_study


@pytest.mark.parametrize(
    ("study", "boxes", "skips", "named"),
    [
        ("song2021", 10, 4, "bottleneck 16 × 16 × 1024"),  # printed in Figure S2
        ("cui2022", 15, 0, "max pooling4 1 × 10 × 10 × 256"),  # printed in Table S2: 18 layers, 3 of them dropout
        ("gu2023", 7, 0, "residual blocks 4 7 × 7 × 2048"),  # He et al. 2016, Table 1
    ],
)
def test_a_box_per_layer_and_an_arc_per_skip_connection(study: str, boxes: int, skips: int, named: str) -> None:
    table = blocks({"printed": layers(load_study(study, "paper").deep)})
    ax = architecture(table)
    assert len(table) == boxes == sum(isinstance(one, Rectangle) for one in ax.patches)
    assert skips == sum(isinstance(one, FancyArrowPatch) for one in ax.patches)
    assert named in description(ax)
    words = [text.get_text() for text in ax.texts]
    assert words == [f"{row.block}\n{row.shape}" for row in table.itertuples()]


def test_skip_connections_lead_from_the_encoder_of_the_same_size() -> None:
    table = blocks({"own": layers(load_study("song2021").deep)}).set_index("block")
    joined = table[table["joins"] != ""]
    assert list(joined.index) == [f"decoder {i}" for i in (4, 3, 2, 1)]
    assert (joined["side"].to_numpy() == table.loc[joined["joins"], "side"].to_numpy()).all()
    assert (joined["channels"].to_numpy() == table.loc[joined["joins"], "channels"].to_numpy()).all()


def test_equal_networks_are_drawn_once() -> None:
    own = layers(load_study("song2021").deep)
    assert blocks({"a": own, "b": own.copy()})["of"].unique().tolist() == ["a"]
    full = layers(load_study("song2021", "paper").deep)
    assert blocks({"a": own, "b": full})["of"].unique().tolist() == ["a", "b"]
