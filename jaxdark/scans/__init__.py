"""Scans of the parameters: points, what is computed there, the store they are written to."""
