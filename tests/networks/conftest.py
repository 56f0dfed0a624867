"""Fixtures of this room's tests."""

import pytest
from helpers.scans import kill_after, killed, make_scans, narrow_resnet, scratch, study_with, swappable

__all__ = ["kill_after", "killed", "make_scans", "narrow_resnet", "scratch", "study_with", "swappable"]


@pytest.fixture(autouse=True)
def written_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a checkpoint after every epoch, however short it is."""
    monkeypatch.setattr("radsupport.networks.training.BETWEEN", 0.0)
