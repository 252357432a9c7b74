"""The models that are compared: checked, and each under its own name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from adaptrace.errors import ModelError
from adaptrace.models.base import Model, Predicts
from adaptrace.models.constant import Constant

BASELINE = repr(Constant())


def checked_model(name: str, model: Any) -> Model:
    """The model, once it has fit and predict."""
    if isinstance(model, type):
        raise ModelError(f"{name}: got a class; expected a model, e.g. {model.__name__}()")
    if not isinstance(model, Predicts):
        raise ModelError(f"{name}: got {model!r}; expected a model, with fit and predict")
    return cast(Model, model)


def named_models(models: Iterable[Model] | Mapping[str, Model]) -> dict[str, Model]:
    """Models by their names; adds a constant as baseline, unless there is one."""
    if not isinstance(models, Iterable):
        raise ValueError(f"models: got {models!r}; expected several, e.g. [BKT(), BKT(forget=False)]")
    named = dict(models) if isinstance(models, Mapping) else _by_repr(list(models))
    if not named:
        raise ValueError("models: got none; expected at least one")
    for name, model in named.items():
        checked_model(str(name), model)
    if not any(isinstance(model, Constant) for model in named.values()):
        if BASELINE in named:
            raise ValueError(f"models: got {named[BASELINE]!r} as '{BASELINE}'; expected another name: it is the baseline's")
        named = {BASELINE: Constant(), **named}
    reserved = ("student", "item", "skill", "skills", "fold", "correct")
    wrong = [name for name in named if not isinstance(name, str) or not name.strip() or name in reserved]
    if wrong:
        raise ValueError(f"models: got the name {wrong[0]!r}; expected a text other than {', '.join(reserved)}")
    return named


def _by_repr(models: list[Model]) -> dict[str, Model]:
    """Models named by their ``repr``; equal ones get numbers."""
    named: dict[str, Model] = {}
    for model in models:
        name, number = repr(model), 1
        while name in named:
            number += 1
            name = f"{model!r} #{number}"
        named[name] = model
    return named
