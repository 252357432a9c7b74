"""Student: one student's state, updated one response at a time."""

from __future__ import annotations

import datetime
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, cast

import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.names import name_of
from adaptrace.data.times import FIRST, LAST, time_of
from adaptrace.errors import ModelError, counted
from adaptrace.io.envelope import SCHEMA
from adaptrace.models import content as read
from adaptrace.models.base import KnowsMastery, Model, Response, ScoresMastery, State
from adaptrace.models.registry import require
from adaptrace.models.response import ResponseChecker, moment_of, responses_of

PARTS = {"schema", "model", "name", "group", "answered", "opportunities", "latest", "state"}  # of plain data
COUNTS = ("answered", "opportunities", "turns")  # of them, those that are numbers by name
_NAMES, _MOMENTS = frozenset({str}), frozenset({int, type(None)})  # types of the latest responses
RECENT = 100  # responses that are remembered one by one


class Recent(NamedTuple):
    """One of the latest responses."""

    item: str
    correct: float
    moment: int | None  # microseconds since 1970, UTC; None where no time was given


_AS_RECENT = partial(tuple.__new__, Recent)  # what Recent._make does, a few times faster


class Student:
    """What a model, of any family, knows of one student.

    Parameters
    ----------
    model
        A fitted model; never changed.
    catalog
        Where the skills and the kind of an item are looked up.
    name, group
        Who it is, where the model's parameters vary by student or group; "" for nobody in particular.

    Attributes
    ----------
    state
        What the model keeps of the student (:class:`~adaptrace.models.base.State`).
    answered, opportunities
        Responses per item met and per skill met.
    responses, turns
        How many in all, and per skill met the number of the response that last practised it.
    recent
        The latest responses, up to 100, oldest first: :class:`Recent`.
    latest
        Microseconds since 1970 (UTC) of the last response, where the model needs time.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> student = at.Student(model)
    >>> student.observe("q1", correct=1, skills=["fractions"])
    >>> round(student.mastery("fractions"), 3)
    0.835
    """

    def __init__(self, model: Model, catalog: Catalog | None = None, name: str = "", *, group: str = "") -> None:
        self.model, self.catalog, self._checker = model, catalog, ResponseChecker(model, catalog)
        self.name, self._group = _name_or_none(name, "student"), _name_or_none(group, "group")
        self.state: State = model.start(self.name, self._group)
        self.answered: dict[str, int] = {}
        self.opportunities: dict[str, int] = {}
        self.responses = 0
        self.turns: dict[str, int] = {}
        self._recent: deque[Recent] = deque(maxlen=RECENT)
        self._columns: Iterable[Iterable[Any]] = ()  # of the latest responses, as they were stored; until they are asked for
        self.latest: int | None = None
        self._timed = "time" in model.needs

    @property
    def recent(self) -> deque[Recent]:
        """The latest responses, up to 100, oldest first."""
        if self._columns:
            self._recent.extend(map(_AS_RECENT, zip(*self._columns, strict=True)))
            self._columns = ()
        return self._recent

    @property
    def group(self) -> str:
        """The student's class or school; may be set: later responses are those of the new one's."""
        return self._group

    @group.setter
    def group(self, group: str) -> None:
        group = _name_or_none(group, "group")
        if group != self._group:
            self._group, self.state = group, self.model.resume(self.state.to_dict(), self.name, group)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Student) and self.catalog == other.catalog and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # it changes with every response

    def __repr__(self) -> str:
        return f"Student({self.name!r}, {self.model!r}, {counted(self.responses, 'response')})"

    def observe(
        self,
        item: object,
        correct: float | None = None,
        *,
        level: int | None = None,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        skills: Iterable[object] | None = None,
    ) -> None:
        """Take in one response.

        Parameters
        ----------
        item
            What was answered.
        correct
            0, 1 or a fraction (partial credit).
        level
            Instead of ``correct``: the level reached, from 0, of a kind that the model knows the levels of.
        kind
            Sort of evidence; by default the catalog's, else practice.
        time
            When (UTC if without a zone); needed where the model needs it, e.g. where mastery fades.
        skills
            The item's skills; by default the catalog's.

        Raises
        ------
        UnknownItemError
            If the catalog does not hold the item and ``skills`` is not given.
        ValueError
            If ``correct`` is not in [0, 1], the level not one of its kind's, or the time missing or before the last one
            where the model needs it. The state is then unchanged.
        """
        response = self._checker.response(item, correct, level=level, kind=kind, time=time, skills=skills)
        if self._timed:
            self._check_order(response.moment)
        self.take(response)

    def take(self, response: Response) -> None:
        """Take in a response that is checked and looked up already; its moment may be None unless the model needs it."""
        item, skills, kind, correct, moment = response
        self.state.observe(response if self._timed else Response(item, skills, kind, correct, None))
        self.responses += 1
        for skill in skills:
            self.opportunities[skill] = self.opportunities.get(skill, 0) + 1
            self.turns[skill] = self.responses
        self.answered[item] = self.answered.get(item, 0) + 1
        self.recent.append(Recent(item, correct, moment))
        self.latest = moment if self._timed else None

    @classmethod
    def from_log(cls, model: Model, log: Log, *, student: object, catalog: Catalog | None = None) -> Student:
        """A student after all their responses in a log; a student the log does not hold has not answered yet."""
        state = cls(model, catalog, name=name_of(student, "student"))
        code = int(schema.find(pa.array([state.name]), log.students)[0])
        if code < 0:
            return state
        begin, end = log.rows.student_start[code : code + 2].tolist()
        for state.group, response in responses_of(log, begin, end):
            if state._timed:
                state._check_order(response.moment)
            state.take(response)
        return state

    def predict(
        self,
        item: object,
        *,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        skills: Iterable[object] | None = None,
    ) -> float:
        """P(correct) if the student answered this item now, or at a time. Changes nothing."""
        name = name_of(item, "item")
        names, kind = self._checker.skills(name, skills), self._checker.kind(name, kind)
        return self.state.predict(Response(name, names, kind, math.nan, self._moment(time)))

    def mastery(self, skill: object, *, time: datetime.datetime | None = None) -> float:
        """P(known), right after the last response or at a time; the prior for a skill not met yet.

        Raises
        ------
        ModelError
            If the model does not know mastery, saying which families do.
        """
        return self.mastery_at(name_of(skill, "skill"), self._moment(time))

    def mastery_at(self, skill: str, moment: int | None) -> float:
        """:meth:`mastery` at microseconds since 1970 (UTC); None: right after the last response."""
        if not _knows_mastery(type(self.state)):
            require(self.model, ScoresMastery, "mastery")
        return cast(KnowsMastery, self.state).mastery(skill, moment)

    def mastery_table(self, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every skill that the student met, right after the last response or at a time.

        Returns
        -------
        pyarrow.Table
            ``skill``, sorted; ``mastery``, P(known); and ``opportunities``, how many responses.

        Raises
        ------
        ModelError
            If the model does not know mastery, saying which families do.

        Examples
        --------
        >>> import adaptrace as at
        >>> student = at.Student(at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1))
        >>> student.observe("q1", correct=1, skills=["fractions"])
        >>> student.mastery_table().select(["skill", "opportunities"]).to_pylist()
        [{'skill': 'fractions', 'opportunities': 1}]
        """
        require(self.model, ScoresMastery, "mastery_table")
        names, moment = sorted(self.opportunities), self._moment(time)
        mastery = pa.array([self.mastery_at(name, moment) for name in names], pa.float64())
        opportunities = pa.array([self.opportunities[name] for name in names], pa.int64())
        return pa.table({"skill": pa.array(names, pa.string()), "mastery": mastery, "opportunities": opportunities})

    def mastered(self, skill: object, *, threshold: float = 0.95, time: datetime.datetime | None = None) -> bool:
        """Whether mastery has reached the threshold, right after the last response or at a time."""
        return self.mastery(skill, time=time) >= threshold

    def _moment(self, time: datetime.datetime | None) -> int | None:
        """Microseconds since 1970 (UTC) of a time, where the model needs it."""
        return moment_of(time) if self._timed else None

    def _check_order(self, moment: int | None) -> None:
        """Refuse a response without a time, or before the last one, where the model needs time."""
        if moment is None:
            raise ValueError("time: got none; this model needs the time of each response: pass time=")
        if self.latest is not None and moment < self.latest:
            got = f"{time_of(moment)}, before the last response at {time_of(self.latest)}"
            raise ValueError(f"time: got {got}; observe responses in the order of their times")

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The state as plain data, exact to the last bit, with the fingerprint of its model."""
        return {
            "schema": SCHEMA,
            "model": self.model.fingerprint,
            "name": self.name,
            "group": self.group,
            "answered": dict(self.answered),
            "opportunities": dict(self.opportunities),
            "turns": dict(self.turns),
            "recent": [list(column) for column in zip(*self.recent, strict=True)],  # items, outcomes, moments
            "latest": self.latest,
            "state": self.state.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], model: Model, *, catalog: Catalog | None = None) -> Student:
        """The state that :meth:`to_dict` described.

        Raises
        ------
        ModelError
            If it was made by another model or a newer version, or is not whole.
        """
        try:
            return cls._restored(_checked(_of_now(content), model), model, catalog)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = error if isinstance(error, ValueError) else repr(error)
            raise ModelError(f"a student's state that is not whole ({reason}); expected what to_dict() gave") from error

    @classmethod
    def _restored(cls, content: Mapping[str, Any], model: Model, catalog: Catalog | None) -> Student:
        student = cls(model, catalog, name=read.text(content, "name"), group=read.text(content, "group"))
        counts = {"turns": {}, **content}
        student.answered, student.opportunities, student.turns = (read.by_name(counts, each, whole=True) for each in COUNTS)
        student.responses = sum(student.answered.values())
        student._columns = _recent_columns(content.get("recent", ()))
        student.latest = None if content["latest"] is None else read.whole(content, "latest", FIRST, LAST)
        student.state = model.resume(content["state"], student.name, student.group)
        return student


def _name_or_none(value: object, what: str) -> str:
    """A name as text; "" stays, as it says that there is none."""
    return "" if isinstance(value, str) and not value else name_of(value, what)


@cache
def _knows_mastery(state: type) -> bool:
    """Whether states of this class have the student's mastery."""
    return issubclass(state, KnowsMastery)


def _checked(content: Mapping[str, Any], model: Model) -> Mapping[str, Any]:
    """Plain data of a student, if they are whole, of a schema that this version reads, and of this model."""
    if not content.keys() >= PARTS:
        raise ModelError("a student's state that is not whole; expected what to_dict() gave")
    if read.count(content, "schema") > SCHEMA:
        raise ModelError(f"a student's state of schema {content['schema']}, this version reads up to {SCHEMA}; upgrade adaptrace")
    if content["model"] != model.fingerprint:
        raise ModelError(
            f"a student's state of model {content['model']}, not of this model {model.fingerprint}; "
            "use that model, or observe the student's responses again with this one"
        )
    return content


def _recent_columns(columns: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """The latest responses as they are stored: items, outcomes, moments."""
    if not len(columns):
        return ()
    items, outcomes, moments = columns
    are_names, are_moments = _NAMES.issuperset(map(type, items)), _MOMENTS.issuperset(map(type, moments))
    if not (are_names and are_moments and len(items) == len(outcomes) == len(moments)):
        raise ValueError("recent: expected as many items, outcomes and moments")
    read.check_all(outcomes, "recent", 0.0, 1.0)
    return columns


def _of_now(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Plain data of version 0.1, where the state of a BKT was not a part of its own, in the layout of today."""
    if "state" in content or not {"odds", "last_time"} <= set(content):
        return content
    state = {name: content[name] for name in ("odds", "last_time")}
    return {**content, "state": state, "latest": max(state["last_time"].values(), default=None)}
