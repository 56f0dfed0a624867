"""Fixtures of this room's tests."""

from helpers.scans import kill_after, killed, make_scans, narrow_resnet, scratch, study_with, swappable

__all__ = ["kill_after", "killed", "make_scans", "narrow_resnet", "scratch", "study_with", "swappable"]
