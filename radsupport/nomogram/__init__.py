"""Nomograms: a fitted logistic or Cox regression as points, exactly as rms::nomogram lays them out."""
