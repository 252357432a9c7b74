"""The models, and how a saved one comes back."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from adaptrace.errors import ModelError
from adaptrace.io import envelope
from adaptrace.models.base import KnowsMastery, Model
from adaptrace.models.bkt import BKT
from adaptrace.models.blend import Blend
from adaptrace.models.constant import Constant
from adaptrace.models.fsrs import FSRS
from adaptrace.models.half_life import HalfLife
from adaptrace.models.irt import IRT, Rasch, TwoPL
from adaptrace.models.logistic import AFM, DAS3H, PFA, BestLR, Feature, Logistic, Recency

FAMILIES: dict[str, Any] = {family.family: family for family in (BKT, Blend, Constant, FSRS, HalfLife, IRT, Logistic)}

# by their names on the command line
MODELS: dict[str, Callable[[], Any]] = {
    "constant": Constant,
    "bkt": BKT,
    "bkt-classic": lambda: BKT(forget=False, pooling=0.0, plausible=False),
    "bkt-items": lambda: BKT(items=("guess", "slip")),
    "pfa": PFA,
    "afm": AFM,
    "best-lr": BestLR,
    "das3h": DAS3H,
    "recency": Recency,
    "rasch": Rasch,
    "2pl": TwoPL,
    "half-life": HalfLife,
    "fsrs": FSRS,
    "blend": Blend,
}

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
    "Constant",
    "Feature",
    "HalfLife",
    "KnowsMastery",
    "Logistic",
    "Model",
    "Rasch",
    "Recency",
    "TwoPL",
    "knowing_mastery",
    "load",
]


def knowing_mastery(model: object, use: str) -> KnowsMastery:
    """The model, if it knows mastery, which a use needs.

    Raises
    ------
    ModelError
        If it does not, saying which families do.

    Examples
    --------
    >>> knowing_mastery(Constant(), "pace")
    Traceback (most recent call last):
    adaptrace.errors.ModelError: pace: Constant() does not know mastery; expected a model of a family that does: bkt, blend
    """
    if isinstance(model, KnowsMastery):
        return model
    families = ", ".join(name for name, family in FAMILIES.items() if issubclass(family, KnowsMastery))
    raise ModelError(f"{use}: {model!r} does not know mastery; expected a model of a family that does: {families}")


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that ``save`` wrote.

    Raises
    ------
    ModelError
        If the file is missing, damaged, not a model, or of a newer schema.
    """
    content = envelope.read(path, "model")
    family = content.get("family")
    if not isinstance(family, str) or family not in FAMILIES:
        raise ModelError(f"{path}: a model of family '{family}'; this version knows {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family].from_dict(content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, ModelError) as error:
        reason = error if isinstance(error, ValueError | ModelError) else repr(error)
        raise ModelError(f"{path}: a {family} model whose content is not whole ({reason}); save it again") from error
