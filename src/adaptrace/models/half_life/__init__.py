"""Half-life regression: the model, its fit and the state of a student."""

from adaptrace.models.half_life.model import HalfLife

__all__ = ["HalfLife"]
