"""Measurements: files of data in, checked rows with errors and correlation out. Knows no model."""
