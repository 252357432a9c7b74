"""What every model can do, and what it keeps of one student.

Parameters belong to the model, which is shared and never changes; a *state* belongs to one student and is updated in
place, one response at a time. Folding :meth:`State.observe` over a student's responses, with :meth:`State.predict` before
each, gives the very numbers of :meth:`Model.predict` on the log.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import DataError

Progress = Callable[[float], None]  # called with the share that is done, 0 to 1


class Response(NamedTuple):
    """One response, checked and looked up: what a state needs to know of it."""

    item: str
    skills: tuple[str, ...]  # sorted, distinct, at least one
    kind: str
    correct: float  # in [0, 1]; nan where the answer is only asked for
    moment: int | None  # microseconds since 1970, UTC; None unless the model needs time, or where "now" is the last response


class State(Protocol):
    """What a model keeps of one student: updated in place, one response at a time."""

    def predict(self, response: Response) -> float:
        """P(correct) of a response that is yet to come. Changes nothing."""

    def observe(self, response: Response) -> None:
        """Take in one response; if that fails, nothing has changed."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit; the model's ``resume`` reads it."""


class Knowing(State, Protocol):
    """A state that knows mastery."""

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), right after the last response or at a moment; the prior for a skill not met yet."""


class Model(Protocol):
    """A fitted, immutable model: parameters belong to it, state belongs to one student."""

    @property
    def family(self) -> str:
        """What sort of model it is; names it in files."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of a log, beyond student, item, skill and correct, that it cannot do without, e.g. ``("time",)``."""

    @property
    def fingerprint(self) -> str:
        """Names the model's content: equal for equal models, whenever and wherever they were fitted."""

    def fit(self, data: Log, /, *, executor: Executor | None = None, progress: Progress | None = None) -> Model:
        """A fitted model; this one stays as it is."""

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, float64 (n_rows,)."""

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm, summed over responses."""

    def start(self, name: str = "", group: str = "") -> State:
        """The state of a student who has not answered yet."""

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> State:
        """The state that its ``to_dict`` described; ``content`` is not changed, now or later."""

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON."""


@runtime_checkable
class KnowsMastery(Protocol):
    """A model that knows mastery, P(known); one that follows abilities has a ``trace`` of these, and no ``score``."""

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met, after their last response or at a moment."""

    def trace(self, log: Log) -> pa.Table:
        """Mastery after every response: a row per response and skill, in the order of the log."""


def check_needs(models: Mapping[str, Model], log: Log) -> None:
    """Refuse a log that lacks columns which models, given by their names, need.

    Raises
    ------
    DataError
        Listing every missing column of every model.

    Examples
    --------
    >>> import adaptrace as at
    >>> check_needs({"bkt": at.BKT(elapsed=True)}, at.sample_log())  # it has a clock
    """
    problems = [
        replace(problem, expected=f"{problem.expected}, which {name} needs")
        for name, model in models.items()
        for problem in schema.missing(log.table.column_names, schema.RESPONSES, {}, getattr(model, "needs", ()))
    ]
    if problems:
        raise DataError("log", problems)
