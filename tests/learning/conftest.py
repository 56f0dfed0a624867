"""Fixtures of this room's tests."""

from helpers.signature_study import finished, folder, small

__all__ = ["finished", "folder", "small"]
