"""Samplers of the posterior and the diagnostics that can fail them."""
