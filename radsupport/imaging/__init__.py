"""Scans and outlines: reading, geometry, masks, regions, patches, preprocessing, DICOM, CT findings."""
