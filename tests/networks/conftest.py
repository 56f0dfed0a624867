"""Fixtures of this room's tests."""

from helpers.scans import kill_after, make_scans, narrow_resnet, scratch, study_with, swappable

__all__ = ["kill_after", "make_scans", "narrow_resnet", "scratch", "study_with", "swappable"]
