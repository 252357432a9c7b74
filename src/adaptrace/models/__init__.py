"""The models, and how a saved one comes back."""

from adaptrace.models.base import Countable, ExplainsItself, KnowsMastery, Model, ScoresMastery, Traces
from adaptrace.models.bkt import BKT
from adaptrace.models.blend import Blend
from adaptrace.models.boosted import Boosted
from adaptrace.models.constant import Constant
from adaptrace.models.fsrs import FSRS
from adaptrace.models.half_life import HalfLife
from adaptrace.models.irt import IRT, Rasch, TwoPL
from adaptrace.models.logistic import AFM, DAS3H, PFA, BestLR, Feature, Logistic, Recency
from adaptrace.models.registry import FAMILIES, MODELS, load, require

__all__ = [
    "AFM",
    "BKT",
    "DAS3H",
    "FAMILIES",
    "FSRS",
    "IRT",
    "MODELS",
    "PFA",
    "BestLR",
    "Blend",
    "Boosted",
    "Constant",
    "Countable",
    "ExplainsItself",
    "Feature",
    "HalfLife",
    "KnowsMastery",
    "Logistic",
    "Model",
    "Rasch",
    "Recency",
    "ScoresMastery",
    "Traces",
    "TwoPL",
    "load",
    "require",
]
