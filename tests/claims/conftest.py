"""Fixtures of this room's tests."""

from helpers.printed_values import judge, refusal, results, verdicts

__all__ = ["judge", "refusal", "results", "verdicts"]
