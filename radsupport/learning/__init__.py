"""From features to signatures: selection, learners, tuning, cross-validation, harmonisation."""
