"""adaptrace: a response log goes in; mastery, a prediction and the next item come out."""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_NAMES = {  # module -> its public names; type checkers read the same from __init__.pyi, and a test compares the two
    "data.catalog": ("Catalog", "Item"),
    "data.log": ("Log",),
    "data.sample": ("sample_catalog", "sample_log"),
    "dataset": ("logs_of", "score_dataset", "stats_dataset"),
    "errors": (
        *("AdaptraceError", "ConflictError", "ConstraintError", "DataError", "ModelError", "OutputError", "StoreError"),
        "UnknownItemError",
    ),
    "evaluate.audit_table": ("audit_table",),
    "evaluate.comparison": ("Comparison", "compare"),
    "evaluate.fairness": ("Fairness", "fairness"),
    "evaluate.given": ("Predictions",),
    "evaluate.off_policy": ("Estimate", "off_policy"),
    "evaluate.skill_search": ("SkillSearch", "search_skills"),
    "evaluate.validation": ("Validation", "cross_validate", "replay"),
    "models": (
        *(
            "AFM",
            "BKT",
            "DAS3H",
            "FSRS",
            "PFA",
            "BestLR",
            "Blend",
            "Boosted",
            "Constant",
            "Feature",
            "HalfLife",
            "Logistic",
            "Rasch",
        ),
        *("Recency", "TwoPL", "load"),
    ),
    "models.criterion": ("Criterion",),
    "models.student": ("Student",),
    "privacy.forget": ("forget_student",),
    "privacy.pseudonyms": ("pseudonymize",),
    "privacy.retention": ("StudentPlaces", "retain"),
    "privacy.rules": ("RetentionRule",),
    "privacy.rotation": ("rotate_key",),
    "recommendation.constraints": ("Constraints",),
    "recommendation.explaining": ("Recommendation",),
    "recommendation.policies": (
        *("InOrder", "Information", "Interleaved", "LearningGain", "LearningProgress", "LowestMastery", "Mix"),
        *("NearestMastery", "Random", "ReviewDue", "TargetSuccess", "Thompson"),
    ),
    "recommendation.reasons": ("Reason",),
    "recommendation.recommender": ("Recommender", "recommend"),
    "simulation.policy_matrix": ("policy_matrix",),
    "simulation.teaching": ("SimulatedLog", "simulate"),
    "stats.stats": ("Stats",),
    "tutor.tutor": ("Tutor",),
    "tutor.verify": ("Verification",),
}
_MODULES = ("plots", "report")  # that are public as a whole
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_MODULES, *_MODULE_OF])


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: ``import adaptrace`` alone imports nothing else."""
    if name in _MODULES:
        return importlib.import_module(f"adaptrace.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'adaptrace' has no attribute '{name}'")
    return getattr(importlib.import_module(f"adaptrace.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
