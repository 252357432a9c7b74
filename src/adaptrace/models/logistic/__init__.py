"""Logistic models over features of a history: the model, its fit and the state of a student."""

from adaptrace.models.logistic.families import AFM, DAS3H, PFA, BestLR, Recency
from adaptrace.models.logistic.features import Feature
from adaptrace.models.logistic.model import Logistic

__all__ = ["AFM", "DAS3H", "PFA", "BestLR", "Feature", "Logistic", "Recency"]
