"""Slow, obviously right versions, independent in method of what they check."""
