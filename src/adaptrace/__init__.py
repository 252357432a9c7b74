"""adaptrace: a response log goes in; mastery, a prediction and the next item come out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptrace.data.catalog import Catalog, Item
    from adaptrace.data.log import Log
    from adaptrace.data.sample import sample_catalog, sample_log
    from adaptrace.dataset import logs_of, score_dataset, stats_dataset
    from adaptrace.errors import (
        AdaptraceError,
        ConflictError,
        ConstraintError,
        DataError,
        ModelError,
        OutputError,
        StoreError,
        UnknownItemError,
    )
    from adaptrace.evaluate.comparison import Comparison, compare
    from adaptrace.evaluate.fairness import Fairness, fairness
    from adaptrace.evaluate.off_policy import Estimate, off_policy
    from adaptrace.evaluate.validation import Validation, cross_validate, replay
    from adaptrace.models import (
        AFM,
        BKT,
        DAS3H,
        FSRS,
        PFA,
        BestLR,
        Blend,
        Constant,
        Feature,
        HalfLife,
        Logistic,
        Rasch,
        Recency,
        TwoPL,
        load,
    )
    from adaptrace.models.criterion import Criterion
    from adaptrace.models.student import Student
    from adaptrace.privacy.forget import forget_student
    from adaptrace.privacy.pseudonyms import pseudonymize
    from adaptrace.recommendation.constraints import Constraints
    from adaptrace.recommendation.explaining import Recommendation
    from adaptrace.recommendation.policies import (
        Information,
        InOrder,
        Interleaved,
        LearningGain,
        LearningProgress,
        LowestMastery,
        Mix,
        NearestMastery,
        Random,
        ReviewDue,
        TargetSuccess,
        Thompson,
    )
    from adaptrace.recommendation.reasons import Reason
    from adaptrace.recommendation.recommender import Recommender, recommend
    from adaptrace.report.groups import small_groups
    from adaptrace.report.mastery_pace import pace, stuck
    from adaptrace.report.rollups import growth, mastery_by
    from adaptrace.simulation.policy_matrix import policy_matrix
    from adaptrace.simulation.teaching import SimulatedLog, simulate
    from adaptrace.stats.stats import Stats
    from adaptrace.tutor.tutor import Tutor

__version__ = "0.1.0"

_HOME = {
    "AFM": "models",
    "AdaptraceError": "errors",
    "BKT": "models",
    "BestLR": "models",
    "Blend": "models",
    "Catalog": "data.catalog",
    "Comparison": "evaluate.comparison",
    "ConflictError": "errors",
    "Constant": "models",
    "ConstraintError": "errors",
    "Constraints": "recommendation.constraints",
    "Criterion": "models.criterion",
    "DAS3H": "models",
    "DataError": "errors",
    "Estimate": "evaluate.off_policy",
    "FSRS": "models",
    "Fairness": "evaluate.fairness",
    "Feature": "models",
    "HalfLife": "models",
    "InOrder": "recommendation.policies",
    "Information": "recommendation.policies",
    "Interleaved": "recommendation.policies",
    "Item": "data.catalog",
    "LearningGain": "recommendation.policies",
    "LearningProgress": "recommendation.policies",
    "Log": "data.log",
    "Logistic": "models",
    "LowestMastery": "recommendation.policies",
    "Mix": "recommendation.policies",
    "ModelError": "errors",
    "NearestMastery": "recommendation.policies",
    "OutputError": "errors",
    "PFA": "models",
    "Random": "recommendation.policies",
    "Rasch": "models",
    "Reason": "recommendation.reasons",
    "Recency": "models",
    "Recommendation": "recommendation.explaining",
    "Recommender": "recommendation.recommender",
    "ReviewDue": "recommendation.policies",
    "SimulatedLog": "simulation.teaching",
    "Stats": "stats.stats",
    "StoreError": "errors",
    "Student": "models.student",
    "TargetSuccess": "recommendation.policies",
    "Thompson": "recommendation.policies",
    "Tutor": "tutor.tutor",
    "TwoPL": "models",
    "UnknownItemError": "errors",
    "Validation": "evaluate.validation",
    "compare": "evaluate.comparison",
    "cross_validate": "evaluate.validation",
    "fairness": "evaluate.fairness",
    "forget_student": "privacy.forget",
    "growth": "report.rollups",
    "load": "models",
    "logs_of": "dataset",
    "mastery_by": "report.rollups",
    "off_policy": "evaluate.off_policy",
    "pace": "report.mastery_pace",
    "policy_matrix": "simulation.policy_matrix",
    "pseudonymize": "privacy.pseudonyms",
    "recommend": "recommendation.recommender",
    "replay": "evaluate.validation",
    "sample_catalog": "data.sample",
    "sample_log": "data.sample",
    "score_dataset": "dataset",
    "simulate": "simulation.teaching",
    "stats_dataset": "dataset",
    "small_groups": "report.groups",
    "stuck": "report.mastery_pace",
}

__all__ = [
    "AFM",
    "BKT",
    "DAS3H",
    "FSRS",
    "PFA",
    "AdaptraceError",
    "BestLR",
    "Blend",
    "Catalog",
    "Comparison",
    "ConflictError",
    "Constant",
    "ConstraintError",
    "Constraints",
    "Criterion",
    "DataError",
    "Estimate",
    "Fairness",
    "Feature",
    "HalfLife",
    "InOrder",
    "Information",
    "Interleaved",
    "Item",
    "LearningGain",
    "LearningProgress",
    "Log",
    "Logistic",
    "LowestMastery",
    "Mix",
    "ModelError",
    "NearestMastery",
    "OutputError",
    "Random",
    "Rasch",
    "Reason",
    "Recency",
    "Recommendation",
    "Recommender",
    "ReviewDue",
    "SimulatedLog",
    "Stats",
    "StoreError",
    "Student",
    "TargetSuccess",
    "Thompson",
    "Tutor",
    "TwoPL",
    "UnknownItemError",
    "Validation",
    "compare",
    "cross_validate",
    "fairness",
    "forget_student",
    "growth",
    "load",
    "logs_of",
    "mastery_by",
    "off_policy",
    "pace",
    "policy_matrix",
    "pseudonymize",
    "recommend",
    "replay",
    "sample_catalog",
    "sample_log",
    "score_dataset",
    "simulate",
    "small_groups",
    "stats_dataset",
    "stuck",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: ``import adaptrace`` itself costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'adaptrace' has no attribute '{name}'")
    return getattr(importlib.import_module(f"adaptrace.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
