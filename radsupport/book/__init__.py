"""Figures, tables and the staging of executed notebooks as a book."""
