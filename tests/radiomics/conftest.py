"""Fixtures of this room's tests."""

from helpers.outlines import scan

__all__ = ["scan"]
