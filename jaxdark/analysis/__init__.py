"""What a user asks of a point or a posterior: everything at a point, constraints on every draw, future data."""
