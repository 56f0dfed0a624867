"""Nomograms: a fitted logistic or Cox regression as points, exactly as rms::nomogram lays them out."""

from radsupport.nomogram.model import Nomogram
from radsupport.nomogram.points import Points
from radsupport.nomogram.pretty import pretty

__all__ = ["Nomogram", "Points", "pretty"]
