"""Bayesian knowledge tracing: the model, its fit, what varies, and the state of a student."""

from adaptrace.models.bkt.model import BKT

__all__ = ["BKT"]
