"""Sufficient statistics: counts that add, their files, and small counts suppressed."""
