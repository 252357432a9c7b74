"""FSRS: the model and the state of a student."""

from adaptrace.models.fsrs.model import FSRS

__all__ = ["FSRS"]
