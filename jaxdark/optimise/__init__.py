"""Best fits: least squares from many starts, errors, pseudo-data, profile likelihoods."""
