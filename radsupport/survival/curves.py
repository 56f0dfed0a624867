"""Survival curves and their comparison: everything under one name. The parts live in modules of their own."""

from __future__ import annotations

from radsupport.survival.cutoff import MaximallySelected, maximally_selected_cutoff
from radsupport.survival.kaplan_meier import FollowUp, KaplanMeier, kaplan_meier, median_follow_up
from radsupport.survival.logrank import LogRank, log_rank, pairwise_log_rank
from radsupport.survival.rmst import (
    RestrictedMean,
    RestrictedMeanDifference,
    restricted_mean,
    restricted_mean_difference,
)

__all__ = [
    "FollowUp",
    "KaplanMeier",
    "LogRank",
    "MaximallySelected",
    "RestrictedMean",
    "RestrictedMeanDifference",
    "kaplan_meier",
    "log_rank",
    "maximally_selected_cutoff",
    "median_follow_up",
    "pairwise_log_rank",
    "restricted_mean",
    "restricted_mean_difference",
]
