"""Geometry, preprocessing and regions of CT images."""
