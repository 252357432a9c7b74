"""The models, and how a saved one comes back."""

from __future__ import annotations

import os

from adaptrace import codec
from adaptrace.errors import ModelError
from adaptrace.models.base import Model
from adaptrace.models.bkt import BKT

FAMILIES = {family.family: family for family in (BKT,)}

__all__ = ["BKT", "FAMILIES", "Model", "load"]


def load(path: str | os.PathLike[str]) -> BKT:
    """Read a model that ``save`` wrote.

    Raises
    ------
    ModelError
        If the file is missing, damaged, not a model, or of a newer schema.
    """
    content = codec.read(path, "model")
    family = content.get("family")
    if family not in FAMILIES:
        raise ModelError(f"{path}: a model of family '{family}'; this version knows {', '.join(FAMILIES)}")
    try:
        return FAMILIES[family].from_dict(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: a {family} model whose content is not whole ({error!r}); save it again") from error
