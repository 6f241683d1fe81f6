"""Models of new physics, Secs. 2 and 3.2: parameters in, the Wilson coefficients of `wilson.NewPhysics` out."""
