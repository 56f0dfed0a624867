"""Sentences that follow from the tables of a chapter, one file a chapter, one short function a conclusion."""
