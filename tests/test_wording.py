"""Numbers in words."""

from __future__ import annotations

import pytest

from radsupport import wording


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "P < 0.001"), (0.00099, "P < 0.001"), (0.001, "P = 0.001"), (0.0494, "P = 0.049"), (0.0999, "P = 0.10"),
     (0.25, "P = 0.25"), (1.0, "P > 0.99"), (float("nan"), "P = NA")],
)  # fmt: skip
def test_p_value(p: float, text: str) -> None:
    assert wording.p_value(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.2345, "1.23"), (123.45, "123"), (12345.0, "12345"), (12345.6, "12346"), (-0.5, "−0.500"),
     (3.0, "3"), (1e-7, "<0.0001"), (-3e-6, ">−0.0001"), (1.14e-4, "0.0001"), (0.00123, "0.0012"),
     (8.1e7, "81,000,000"),
     (-1e20, "<−1,000,000,000,000"), (1e20, ">1,000,000,000,000"),
     (0.0, "0"), (float("inf"), "∞"), (float("-inf"), "−∞"), (float("nan"), "NA")],
)  # fmt: skip
def test_number(value: float, text: str) -> None:
    assert wording.number(value) == text


def test_a_zero_has_no_sign() -> None:
    assert [word(-0.0) for word in (wording.number, wording.tick, wording.fixed)] == ["0", "0", "0.00"]


@pytest.mark.parametrize(("value", "text"), [(-0.004, "0.00"), (-0.0, "0.00"), (-0.006, "−0.01"), (0.004, "0.00")])
def test_no_minus_before_a_zero(value: float, text: str) -> None:
    assert wording.fixed(value) == text


def test_names_of_features_and_sources_are_words() -> None:
    assert wording.readable("ct__exponential_glszm_SmallAreaEmphasis") == "CT: exponential glszm SmallAreaEmphasis"
    assert wording.readable("ct__CT_original_shape_Flatness") == "CT: original shape Flatness"
    assert [wording.source_words(name) for name in ("deep_published", "ct_findings", "radiomics")] == [
        "published deep output", "CT findings", "radiomics",
    ]  # fmt: skip


def test_estimate_tick_counted_and_listed() -> None:
    assert wording.estimate(0.8, 0.7, 0.9) == "0.80 (0.70–0.90)"
    assert wording.estimate(1.0, float("nan"), float("nan")) == "1.00"
    assert wording.estimate(-0.1, -0.3, 0.1) == "−0.10 (−0.30 to 0.10)"
    assert wording.tick(0.5) == "0.5"
    assert wording.tick(-1200.0) == "−1200"
    assert wording.counted(1, "axis", "axes") == "1 axis"
    assert wording.counted(2, "axis", "axes") == "2 axes"
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(list(range(9)), 2) == "0, 1 and 7 more"
    assert wording.listed([]) == "none"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0%"),
        (1e-6, "<1%"),
        (0.0049, "<1%"),
        (0.0051, "1%"),
        (0.334, "33%"),
        (0.994, "99%"),
        (0.997, ">99%"),
        (1, "100%"),
    ],
)
def test_shares_are_whole_percent_and_never_rounded_to_none_or_all(share: float, words: str) -> None:
    assert wording.share(share) == words


@pytest.mark.parametrize(
    ("key", "words"),
    [("center_1", "Center 1"), ("period_2014_2017", "Period 2014–2017"), ("period_2018", "Period 2018"),
     ("Erasmus MC", "Erasmus MC"), ("HarvardRT", "HarvardRT"), ("site_12345_2017", "Site 12345 2017")],
)  # fmt: skip
def test_a_center_is_named_in_words(key: str, words: str) -> None:
    assert wording.center_words(key) == words


@pytest.mark.parametrize(
    ("value", "words"), [(0.976562, "0.9766"), (3.27, "3.27"), (512.0, "512"), (1.07422, "1.0742")]
)
def test_a_number_of_a_file_has_four_decimals_at_most(value: float, words: str) -> None:
    assert wording.plain(value) == words


def test_events_are_counted_in_the_words_of_the_endpoint() -> None:
    assert (wording.happened(1, "death"), wording.happened(80, "death")) == ("1 death", "80 deaths")
    assert wording.happened(3, "event (overall survival)") == "3 events (overall survival)"
    assert wording.happened(0, "lymph-node metastasis") == "0 with lymph-node metastasis"
