"""Radiomic features of a case, equal to pyradiomics and much faster, and their robustness."""
