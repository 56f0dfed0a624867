"""Support package of the CT radiomics prognosis book."""
