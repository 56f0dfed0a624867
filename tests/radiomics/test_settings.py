"""Radiomics settings are checked before anything is computed, and the shipped files are sound."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
import yaml

from radsupport.errors import InputError
from radsupport.radiomics.case import feature_names, image_names
from radsupport.radiomics.settings import describe_features, feature_codes, load_settings, quiet_pyradiomics


@pytest.mark.parametrize(
    ("name", "images", "features"),
    [("default", 12, 1130), ("song2021", 12, 1116), ("gu2023", 20, 1874), ("sts", 3, 293)],
)
def test_shipped_files_ask_for_what_their_comments_say(root: Path, name: str, images: int, features: int) -> None:
    settings = load_settings(root / "studies" / "radiomics" / f"{name}.yaml")
    assert len(image_names(settings)) == images
    names = feature_names(settings)
    assert len(names) == len(set(names)) == features
    assert settings.cut is None


def test_gu2023_has_the_twenty_image_types(root: Path) -> None:
    images = image_names(load_settings(root / "studies" / "radiomics" / "gu2023.yaml"))
    logs = [f"log-sigma-{sigma}-0-mm-3D" for sigma in range(1, 6)]
    wavelets = [f"wavelet-{a}{b}{c}" for a in "LH" for b in "LH" for c in "LH"]
    pointwise = ["square", "squareroot", "logarithm", "exponential", "gradient", "lbp-2D"]
    assert sorted(images) == sorted(["original", *logs, *wavelets, *pointwise])


def test_every_shipped_file_can_be_used(root: Path) -> None:
    files = sorted((root / "studies" / "radiomics").glob("*.yaml"))
    assert len(files) >= 4
    for path in files:
        names = feature_names(load_settings(path))
        assert names, path.name
        assert len(names) == len(set(names)), path.name


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"setting": {"binWidht": 25, "binWidth": "wide"}}, ["binWidht", "not of type"]),
        ({"imageType": {"Foo": {}}}, ["Foo is not recognized"]),
        ({"imageType": {"LoG": {}}}, ["LoG without sigma"]),
        ({"imageType": {"Wavelet": {"wavelet": "coif99"}}}, ["coif99"]),
        ({"featureClass": {"glcm": ["Kontrast"]}}, ["Kontrast"]),
        ({"voxelSetting": {}, "settings": {}}, ["voxel-based", "unknown section"]),
        ({"setting": {"interpolator": "cubic"}}, ["cubic"]),
        ({"setting": {"roundHU": "no", "binWidth": 25}}, ["setting.roundHU", "true or false"]),
    ],
)
def test_all_problems_of_a_file_are_listed(raw: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_settings(raw)
    for word in words:
        assert word in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        load_settings(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(InputError, match="not valid YAML"):
        load_settings(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("- 1\n")
    with pytest.raises(InputError, match="no mapping"):
        load_settings(tmp_path / "b.yaml")


def test_the_digest_follows_meaning_not_spelling(tmp_path: Path) -> None:
    raw = {"setting": {"binWidth": 25, "label": 1}, "imageType": {"Original": {}}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(raw))
    assert load_settings(raw).digest() == load_settings(tmp_path / "a.yaml").digest()
    explicit = {"setting": {"label": 1, "force2D": False, "binWidth": 25}, "imageType": {"Original": {}}}
    assert load_settings(raw).digest() == load_settings(explicit).digest()
    changed = [
        {"setting": {"binWidth": 24, "label": 1}, "imageType": {"Original": {}}},
        {"setting": {"binWidth": 25, "label": 2}, "imageType": {"Original": {}}},
        {"setting": {"binWidth": 25, "label": 1}, "imageType": {"Original": {"binWidth": 3}}},
        {"setting": {"binWidth": 25, "label": 1, "preCrop": True}, "imageType": {"Original": {}}},
        {**raw, "featureClass": {"glcm": ["Contrast"]}},
    ]
    digests = {load_settings(one).digest() for one in [raw, *changed]}
    assert len(digests) == 1 + len(changed)


@pytest.mark.parametrize(
    ("setting", "cut"),
    [
        ({}, None),
        ({"padDistance": 9}, None),
        ({"resampledPixelSpacing": [1, 1, 1]}, None),
        ({"resampledPixelSpacing": [1, 1, 1], "padDistance": 5}, 5),
        ({"preCrop": True}, 5),
        ({"preCrop": True, "padDistance": 12}, 12),
    ],
)
def test_only_a_named_padding_cuts_before_filtering(setting: dict, cut: int | None) -> None:
    assert load_settings({"setting": setting}).cut == cut


def test_pyradiomics_is_quiet_and_its_loggers_are_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("radiomics")
    before = list(logger.handlers)
    with quiet_pyradiomics() as messages:
        logging.getLogger("radiomics.glcm").warning("GLCM is symmetrical, therefore …")
        logging.getLogger("radiomics.imageoperations").warning("Image too small to apply LoG filter")
    assert messages == ["Image too small to apply LoG filter"]
    assert logger.handlers == before
    assert capsys.readouterr().err == ""


def test_only_warnings_of_pyradiomics_are_silenced() -> None:
    with quiet_pyradiomics(), pytest.warns(RuntimeWarning, match="invalid value"):
        np.array([0.0]) / np.array([0.0])
    with quiet_pyradiomics(), warnings.catch_warnings():
        exec(compile("import numpy as np\nnp.array([0.0]) / np.array([0.0])", "x", "exec"), {"__name__": "radiomics.x"})


def test_names_are_split_and_coded() -> None:
    names = [
        "arterial__original_shape_Sphericity",
        "venous__log-sigma-3-0-mm-3D_glcm_SumSquares",
        "ct__wavelet2-HHL_gldm_SmallDependenceEmphasis",
        "lbp-3D-k_firstorder_TotalEnergy",
    ]
    table = describe_features(names)
    assert list(table["phase"]) == ["arterial", "venous", "ct", ""]
    assert list(table["filter"]) == ["original", "LoG", "wavelet", "LBP"]
    assert list(table["ibsi_code"]) == ["QCFX", "UR99", "SODN", ""]
    assert list(table["name"]) == names
    with pytest.raises(InputError, match="age"):
        describe_features(["age", *names])


def test_every_feature_of_pyradiomics_has_a_line_in_the_table_of_codes() -> None:
    table = feature_codes()
    every = load_settings({}).feature_classes
    assert {(c, f) for c, features in every.items() for f in features} == set(
        zip(table["class"], table["feature"], strict=True)
    )
    coded = table[table["ibsi_code"] != ""]
    assert len(coded) == 102
    assert coded["ibsi_code"].is_unique
    assert coded["ibsi_code"].str.fullmatch("[0-9A-Z]{4}").all()
