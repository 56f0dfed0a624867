"""The parts of a study file, each a typed model that refuses what it does not know."""
