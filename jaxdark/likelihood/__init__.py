"""Priors and the likelihood of a data set in its two modes."""
