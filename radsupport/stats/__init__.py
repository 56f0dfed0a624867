"""Survival curves, Cox models and time-dependent measures."""
