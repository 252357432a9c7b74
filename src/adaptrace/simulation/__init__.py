"""Simulated students, teaching them with a policy, and the matrix of policies."""
