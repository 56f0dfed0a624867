"""Shares in words: what is not none is not said to be none."""

from __future__ import annotations

import pytest

from radsupport.book.conclusions.radiomics import share_words


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
    assert share_words(share) == words
