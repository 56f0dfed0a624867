"""Shares in words: a share that is not 0 or 1 is not rounded to it."""

from __future__ import annotations

#: |r| above which two features are called strongly correlated.
STRONG = 0.8


def share_words(share: float) -> str:
    """Word a share as whole percent: ``33%``, ``<1%`` where it would round to 0 and is not, ``>99%`` likewise."""
    if 0 < share < 0.005:
        return "<1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.0%}"
