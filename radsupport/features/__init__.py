"""Feature sources: radiomics, deep features, and their agreement between readers."""
