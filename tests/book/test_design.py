"""The drawing of a study's design, from its file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radsupport.book.design import design_of, extraction
from radsupport.networks import layers
from radsupport.plots.design import design
from radsupport.study import load_study

WORDS = r"<tspan[^>]*>([^<]*)</tspan>"


@pytest.mark.parametrize("study", ["song2021", "lung1", "yang2023"])
def test_every_part_of_a_study_is_drawn(study: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    known = load_study(study)
    html = design_of(known)
    wide, narrow = html.split("</svg>")[:2]
    for drawing in (wide, narrow):
        said = " ".join(re.findall(WORDS, drawing)).replace("&amp;", "&")
        parts = [*(one.name for one in known.phases.values()), *(one.name for one in known.signatures)]
        parts += [one.name for key, one in known.cohorts.items() if key != "segmentation"]
        assert not [part for part in parts if part not in said]
        assert drawing.count('class="rd-marked"') == 1
        assert f"Chosen signature: {known.validation.best}" in drawing.replace("&amp;", "&")
    assert "\n\n" not in html  # a blank line would end HTML in Markdown


def test_features_measured_by_others_have_no_region(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert "features measured by others" in " ".join(re.findall(WORDS, design_of(load_study("lung1"))))
    assert ">Region<" not in design_of(load_study("lung1"))


@pytest.mark.parametrize("study", ["lung1", "song2021", "worc_gist", "hosny2018"])
def test_a_nomogram_is_drawn_where_the_study_has_one(study: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    known = load_study(study)
    assert ("Nomogram" in re.findall(WORDS, design_of(known))) == bool(known.nomogram.signature)


def test_boxes_keep_within_the_drawing_and_lines_join_them() -> None:
    names = {f"signature {i} with <a long name>": "made of this and that, " * (i % 3) for i in range(7)}
    stages = {"Features": {"Radiomics": ""}, "Signatures": names, "Outcome": {"death": "over time"}}
    links = [("Features", "Radiomics", "Signatures", name) for name in names]
    wide, narrow = design(stages, links, alt="A design.").split("</svg>")[:2]
    for drawing, width in ((wide, 940), (narrow, 350)):
        boxes = [
            list(map(float, box))
            for box in re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', drawing)
        ]
        assert len(boxes) == 9
        assert max(x + w for x, _, w, _ in boxes) <= width
        height = float(re.findall(r'viewBox="0 0 \d+ (\d+)"', drawing)[0])
        assert max(y + h for _, y, _, h in boxes) <= height
        for i, (x, y, w, h) in enumerate(boxes):
            assert all(x + w <= a or a + c <= x or y + h <= b or b + d <= y for a, b, c, d in boxes[i + 1 :])
    assert wide.count("C") - narrow.count("C") >= 7  # a curve for each link
    assert wide.count("rd-arrow") == 1
    assert narrow.count("rd-arrow") == 2
    assert "<a long" not in wide


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "song2021",
            ["16 × 16 × 1024", "1024 features of a patient", "K-means", "Cuboid around the rough quadrilaterals"],
        ),
        ("cui2022", ["10 × 150 × 150 voxels", "25600 numbers", "The tumour alone (SS)", "all else is 0"]),
        ("yang2023", ["ResNet-50", "7 × 7 × 2048", "2048 features", "Square of 224 mm"]),
        ("gu2023", ["ResNet-101", "7 × 7 × 2048"]),
    ],
)
def test_the_way_from_the_scan_to_the_features_is_drawn(study: str, said: list[str]) -> None:
    deep = load_study(study, "paper").deep
    html = extraction(deep, layers(deep))
    words = " ".join(re.findall(WORDS, html.split("</svg>")[0]))
    assert not [part for part in said if part not in words and part not in html]
    assert html.count("rd-stage") == 2 * len(re.findall(r'class="rd-stage"', html.split("</svg>")[0]))


@pytest.mark.parametrize(
    ("study", "regions"),
    [
        ("song2021", ["Outline of the tumour", "Rough box around it"]),
        ("cui2022", ["Outline of the tumour", "The tumour alone (SS)", "With its surroundings (NSS)"]),  # Figure 2
        ("gu2023", ["Outline of the tumour", "Square around the tumour"]),
    ],
)
def test_a_design_shows_what_each_engine_looks_at(
    study: str, regions: list[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    words = " ".join(re.findall(WORDS, design_of(load_study(study)).split("</svg>")[0]))
    assert not [region for region in regions if region not in words]
    assert "risk groups" in words  # Song 2021, Figure 1, its last step
