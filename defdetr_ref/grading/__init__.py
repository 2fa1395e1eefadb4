"""Solved notebooks are run, for a teacher: what is right, wrong, still open, and what does not run at all."""
