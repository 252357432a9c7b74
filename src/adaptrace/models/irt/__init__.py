"""Item response theory: the model, its fit and the state of a student."""

from adaptrace.models.irt.model import IRT, Rasch, TwoPL

__all__ = ["IRT", "Rasch", "TwoPL"]
