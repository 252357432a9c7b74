"""What every model can do, what only some can, and what a model keeps of one student.

Parameters belong to the model, which is shared and never changes; a *state* belongs to one student and is updated in
place, one response at a time. Calling :meth:`State.observe` for each of a student's responses, with :meth:`State.predict` before
each, gives the same numbers as :meth:`Model.predict` on the log.

What only some families can do is a protocol here, e.g. :class:`ScoresMastery`. Ask ``isinstance(model, ScoresMastery)``, or
let :func:`adaptrace.models.registry.require` refuse the others.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import DataError

if TYPE_CHECKING:
    from adaptrace.stats.stats import Stats

Progress = Callable[[float], None]  # called with the share that is done, 0 to 1


class Response(NamedTuple):
    """One response, checked and looked up: what a state needs to know of it."""

    item: str
    skills: tuple[str, ...]  # sorted, distinct, at least one
    kind: str
    correct: float  # in [0, 1]; nan where only a prediction is asked for
    moment: int | None  # microseconds since 1970, UTC; None unless the model needs time, or where "now" is the last response


# ---- one student ------------------------------------------------------------


class State(Protocol):
    """What a model keeps of one student: updated in place, one response at a time."""

    def predict(self, response: Response) -> float:
        """P(correct) of a response that is yet to come. Changes nothing."""

    def observe(self, response: Response) -> None:
        """Take in one response; if that fails, nothing has changed."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit; the model's ``resume`` reads it."""


@runtime_checkable
class KnowsMastery(Protocol):
    """A state that has the student's mastery; the states of models that are :class:`ScoresMastery` do."""

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), right after the last response or at a moment; the prior for a skill not met yet."""


@runtime_checkable
class KeepsSkillsApart(Protocol):
    """A state in which a response changes only its own skills, each by what is known of the response's skills alone."""

    def take_skills(self, other: Any, skills: Iterable[str]) -> None:
        """Have of these skills what another state of the same student has."""


# ---- every model ------------------------------------------------------------


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
        """A fitted model; this one stays as it is.

        Parameters
        ----------
        data
            Has the columns that the model needs (:attr:`needs`). Not changed.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.
        """

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
class Predicts(Protocol):
    """The least that evaluation needs: a model that can be fitted and asked."""

    def fit(self, data: Log, /, *, executor: Executor | None = None, progress: Progress | None = None) -> Any:
        """A fitted model; this one stays as it is."""

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, float64 (n_rows,)."""


@runtime_checkable
class FollowsStudents(Protocol):
    """A model that keeps a state of each student."""

    def start(self, name: str = "", group: str = "") -> State:
        """The state of a student who has not answered yet."""

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> State:
        """The state that its ``to_dict`` described."""


@runtime_checkable
class HasNeeds(Protocol):
    """A model that says which columns it needs."""

    needs: tuple[str, ...]


# ---- what only some models can do -------------------------------------------


@runtime_checkable
class ScoresMastery(Protocol):
    """A model that knows mastery, P(known)."""

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met, after their last response or at a moment."""


@runtime_checkable
class Traces(Protocol):
    """A model that gives the path of mastery."""

    def trace(self, log: Log) -> pa.Table:
        """Mastery after every response: a row per response and skill, in the order of the log."""


@runtime_checkable
class Countable(Protocol):
    """A model that can be fitted to counts instead of rows."""

    def stats(self, log: Log) -> Stats:
        """The counts that the fit needs of a log; they add."""

    def fit(self, data: Log | Stats, *, executor: Executor | None = None, progress: Progress | None = None) -> Any:
        """A model that is fitted to a log or to counts."""


@runtime_checkable
class ExplainsItself(Protocol):
    """A model that says what its fit found; every family does."""

    def summary(self) -> pa.Table:
        """What the fit found, as a table."""


@runtime_checkable
class FlagsUnseen(Protocol):
    """A model that says which rows its fit knows nothing of."""

    def seen(self, log: Log) -> NDArray[np.bool_]:
        """Whether the fit saw what each row is of, (n_rows,)."""


@runtime_checkable
class ReadsLevels(Protocol):
    """A model that knows the number of levels of a kind."""

    levels: Mapping[str, int]


@runtime_checkable
class ReadsColumns(Protocol):
    """A model that says which columns of a log make a difference to it."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Their names."""


@runtime_checkable
class IgnoresHistory(Protocol):
    """A model whose prediction of a response is the same, whatever its student answered before."""

    @property
    def ignores_history(self) -> bool:
        """Whether it is so."""


@runtime_checkable
class VariesByKind(Protocol):
    """A model whose parameters may differ by kind of evidence."""

    kinds: Sequence[str]


# ---- helpers ----------------------------------------------------------------


def levels_of(model: object) -> Mapping[str, int]:
    """Kind -> number of its levels, as far as a model knows any.

    Examples
    --------
    >>> import adaptrace as at
    >>> levels_of(at.BKT(levels={"project": 5})), levels_of(at.PFA())
    ({'project': 5}, {})
    """
    return model.levels if isinstance(model, ReadsLevels) else {}


def check_needs(models: Mapping[str, Model], log: Log) -> None:
    """Refuse a log that lacks columns which models, given by their names, need: a DataError lists all that are missing.

    Examples
    --------
    >>> import adaptrace as at
    >>> check_needs({"bkt": at.BKT(elapsed=True)}, at.sample_log())  # it has a clock
    """
    problems = [
        replace(problem, expected=f"{problem.expected}, which {name} needs")
        for name, model in models.items()
        if isinstance(model, HasNeeds)
        for problem in schema.missing(log.table.column_names, schema.RESPONSES, {}, model.needs)
    ]
    if problems:
        raise DataError("log", problems)
