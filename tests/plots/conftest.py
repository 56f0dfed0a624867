"""Fixtures of this room's tests."""

from helpers.figure_cases import drawn_case, figure_case

__all__ = ["drawn_case", "figure_case"]
