"""Every family of models by its name, how a saved model comes back, and how a model of the wrong family is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from adaptrace.errors import ModelError
from adaptrace.io import envelope
from adaptrace.models.base import Countable, ScoresMastery, Traces
from adaptrace.models.bkt import BKT
from adaptrace.models.blend import Blend
from adaptrace.models.boosted import Boosted
from adaptrace.models.constant import Constant
from adaptrace.models.fsrs import FSRS
from adaptrace.models.half_life import HalfLife
from adaptrace.models.irt import IRT, Rasch, TwoPL
from adaptrace.models.logistic import AFM, DAS3H, PFA, BestLR, Logistic, Recency

FAMILIES: dict[str, Any] = {family.family: family for family in (BKT, Blend, Boosted, Constant, FSRS, HalfLife, IRT, Logistic)}

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
    "boosted": Boosted,
}

LACKS: dict[type, str] = {  # what is said of a model without a capability
    ScoresMastery: "does not know mastery",
    Traces: "does not know mastery",
    Countable: "does not fit to counts",
}


def require(model: Any, capability: type, use: str) -> Any:
    """The model, if it has a capability which a use needs.

    Parameters
    ----------
    model
        Of any family.
    capability
        One of the protocols in :data:`LACKS`.
    use
        What needs it; the message begins with it.

    Raises
    ------
    ModelError
        If it has not, saying which families have.

    Examples
    --------
    >>> require(Constant(), Countable, "stats")
    Traceback (most recent call last):
    adaptrace.errors.ModelError: stats: Constant() does not fit to counts; expected a model of a family that does: bkt
    """
    if isinstance(model, capability):
        return model
    families = ", ".join(name for name, family in FAMILIES.items() if issubclass(family, capability))
    raise ModelError(f"{use}: {model!r} {LACKS[capability]}; expected a model of a family that does: {families}")


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
        raise ModelError(f"{path}: a model of family {family!r}; this version knows {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family].from_dict(content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, ModelError) as error:
        reason = error if isinstance(error, ValueError | ModelError) else repr(error)
        raise ModelError(f"{path}: a {family} model whose content is not whole ({reason}); save it again") from error
