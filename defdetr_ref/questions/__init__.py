"""Questions to a trained detector, answered by measurements: look, or change one thing and see what becomes of it."""
