"""Tutor: what a platform embeds. It takes in what happened and says what comes next; nothing is lost when the process dies.

The store's event log is the truth. A student's state is the replay of the events in the order of (time, event id), so an event
that comes late, twice, corrected or retracted ends in the state of the clean log, bit for bit. No JIT and no clock inside the
mathematics: the clock is asked once, where a time is missing.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Literal

import pyarrow as pa

from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.names import name_of
from adaptrace.data.times import time_of
from adaptrace.errors import ModelError
from adaptrace.kernels.parallel import batches
from adaptrace.models.base import Model
from adaptrace.models.criterion import Criterion
from adaptrace.models.student import Student
from adaptrace.recommendation.beliefs import bkt_of
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.explaining import Recommendation
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender import Recommender, check_kinds
from adaptrace.recommendation.stopping import Stop, when_to_stop
from adaptrace.tutor.decisions import DecisionRecorder, Request, refuse_cap
from adaptrace.tutor.incoming import Incoming, Observation, id_of, names_of, student_name
from adaptrace.tutor.receiving import Receiver
from adaptrace.tutor.replay import Replay
from adaptrace.tutor.store import open_store
from adaptrace.tutor.store.base import Store
from adaptrace.tutor.students import Students
from adaptrace.tutor.tables import log_of, mastery_of, table_of, waiting_of
from adaptrace.tutor.upkeep import Upkeep

AT_ONCE = 500  # students per transaction of many
TOLERANCE = datetime.timedelta(minutes=5)  # by which a clock may be ahead of ours


class Tutor(Upkeep, AbstractContextManager["Tutor"]):
    """A store, a model, a catalog and a policy; safe to use from many threads, and from many processes at once.

    Make one by :meth:`open`. Its attributes cannot be set: for another model, catalog or policy open another tutor.

    Attributes
    ----------
    store, recommender, model, catalog, policy, constraints, criterion
        What :meth:`open` was given or made.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]},
    ...                                 [{"skill": "quarters", "prerequisites": ["halves"]}])
    >>> with at.Tutor.open("memory:", model=model, catalog=catalog) as tutor:
    ...     tutor.observe("ana", "h1", 1, event_id="e1")
    ...     tutor.observe("ana", "h1", 1, event_id="e1")  # delivered twice, counted once
    ...     [str(choice.reason) for choice in tutor.recommend("ana", k=1)]
    True
    False
    ['Next: halves (84 % likely known).']
    """

    def __init__(self, store: Store, recommender: Recommender, incoming: Incoming, *, cache: int) -> None:
        self.store, self.recommender = store, recommender
        self.model, self.catalog, self.criterion = recommender.model, recommender.catalog, recommender.criterion
        self.policy, self.constraints = recommender.policy, recommender.constraints
        self._incoming, self._decisions = incoming, DecisionRecorder(recommender, store)
        self._replay = Replay(self.model, self.catalog, self.criterion)
        self._students = Students(store, self._replay, size=cache)
        self._receiver = Receiver(incoming, self._students, store)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] = "memory:",
        *,
        model: Model,
        catalog: Catalog,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        criterion: Criterion | None = None,
        durability: Literal["normal", "full"] = "normal",
        unknown_skills: Literal["error", "prior"] = "error",
        clock: Callable[[], datetime.datetime] | None = None,
        tolerance: datetime.timedelta = TOLERANCE,
        cache: int = 10_000,
    ) -> Tutor:
        """Open a store, or make it.

        Parameters
        ----------
        url
            A file (SQLite), ``"postgresql://..."`` for many machines, or ``"memory:"``, which is gone with the process.
        model
            A fitted model that knows mastery. With another model than before, states are made again from the events: student
            by student when they are needed, or all by :meth:`rebuild`.
        catalog, policy, constraints, criterion
            The items, and the defaults of every call; see :class:`~adaptrace.Recommender`.
        durability
            Of SQLite: an acknowledged event survives the death of the process (``"normal"``), or a power cut too (``"full"``).
        unknown_skills
            ``"error"``: refuse a model that lacks a skill of the catalog; ``"prior"``: such skills start at the prior.
        clock, tolerance
            Gives the time, with its zone, where a call does not; by how much an event may lie in the future.
        cache
            Students kept in memory.

        Raises
        ------
        StoreError, ModelError
            If the store cannot be opened, or is of a newer version; if the model knows no mastery, or lacks a skill.
        """
        recommender = Recommender(model, catalog, policy=policy, constraints=constraints, criterion=criterion)
        Student(model).mastery("any skill")
        _check_skills(model, catalog, unknown_skills)
        store = open_store(url, durability=durability)
        return cls(store, recommender, Incoming(model, catalog, store, clock=clock or _now, tolerance=tolerance), cache=cache)

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and name in self.__dict__:
            raise AttributeError(f"tutor.{name} cannot be set; open another tutor: Tutor.open(url, model=..., catalog=...)")
        super().__setattr__(name, value)

    def __exit__(self, *raised: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Tutor({self.store!r}, {self.model!r}, {self.catalog!r})"

    # ---- what happened ------------------------------------------------------

    def observe(
        self,
        student: object,
        item: object,
        correct: float | None = None,
        *,
        level: int | None = None,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        event_id: str | None = None,
        skills: Iterable[object] | None = None,
        group: str | None = None,
        decision_id: str = "",
        replaces: str | None = None,
    ) -> bool:
        """Store a response, or evidence of another kind: True, or False if the event was stored before.

        It is durable when this returns.

        Parameters
        ----------
        student, item
            Who, and what was answered or done. A new name is a new student.
        correct, level
            The outcome: 0, 1 or a fraction, or a level from 0 of a kind whose levels the model knows.
        kind, skills
            Sort of evidence, and the item's skills; by default the catalog's. With ``skills`` the item need not be in the
            catalog, e.g. a badge or a teacher's judgement.
        time, group
            When, with its zone, by default now; the student's class or school, by default as before.
        event_id
            Names the event: a second delivery changes nothing. Events of the same time are in the order of their ids. By
            default a new id.
        decision_id
            The recorded recommendation that this answers.
        replaces
            The id of a wrong event, which is retracted in the same step. Its time, group, decision and, for the same item, kind
            and skills are kept unless they are given. If it has not come, this event :meth:`waits <waiting>` for it.

        Raises
        ------
        UnknownItemError, ValueError
            If the item is not in the catalog and has no ``skills``, or a value is wrong.
        ConflictError
            If ``event_id`` stands for something else, the event to replace has another correction or is of another student,
            or the decision is not this student's.
        StoreError
            If it could not be stored: nothing has changed.
        """
        return self._receiver.observe(
            Observation(student, item, correct, level, kind, time, event_id, skills, group, decision_id, replaces)
        )

    def observe_many(
        self, data: Any, *, columns: Mapping[str, str] | None = None, levels: Mapping[str, int] | None = None
    ) -> int:
        """Store a table of responses; how many were new.

        Parameters
        ----------
        data
            Any Arrow table or data frame, with ``time`` (a clock) and ``event_id``.
        columns, levels
            As :meth:`adaptrace.Log.from_arrow` takes them; by default the levels that the model knows.

        Raises
        ------
        DataError
            Listing every problem; nothing was stored.
        ConflictError
            If an ``event_id`` stands for something else. Students before it are stored: calling again is safe.
        """
        events = self._incoming.events(data, columns, levels)
        return sum(self._students.write_many(block) for block in batches(events.items(), AT_ONCE))

    def retract(self, event_id: str) -> bool:
        """Take an event back, as if it had never come; False if that was done before. It waits for one that has not come."""
        return self._receiver.retract(id_of("event_id", event_id))

    # ---- what comes next ----------------------------------------------------

    def recommend(
        self,
        student: object,
        k: int = 3,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        time: datetime.datetime | None = None,
        seed: int = 0,
        explore: float = 0.0,
        decision_id: str | None = None,
    ) -> list[Recommendation]:
        """The k best items for a student, each with its reason; a ConstraintError says why no item is allowed.

        Parameters
        ----------
        student, k
            Who, and how many items; fewer come back if no more are allowed. An unknown student is at the prior.
        policy, constraints, time
            For this call; by default the tutor's, and now.
        seed
            Of random numbers: the same seed and the same answers so far give the same items.
        explore
            The probability with which the k items are drawn from all that are allowed, which makes policies comparable
            (:func:`adaptrace.off_policy`). Where an item is pinned nothing is drawn.
        decision_id
            Record the decision under this id: candidates, utilities, the chance of each to be answered (if of the k shown each
            is taken equally often), seed, policy, model. Pass it to :meth:`observe` with the answer.
        """
        name, decision_id = student_name(student), None if decision_id is None else id_of("decision_id", decision_id)
        request = Request(self._incoming.moment(time), k, policy, constraints, seed, explore, decision_id)
        with self._students.lock(name):
            return self._decisions.recommend(self._students.get(name), request)

    def recommend_all(
        self,
        students: Iterable[object] | None = None,
        k: int = 3,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        time: datetime.datetime | None = None,
        seed: int = 0,
        reasons: bool = False,
    ) -> pa.Table:
        """What :meth:`recommend` gives each of these students, or all in the store, as a table ordered by student.

        See :meth:`adaptrace.Recommender.recommend_all`. A ValueError if there is an exposure cap, which is counted one student
        at a time.
        """
        check_kinds(policy, constraints)
        refuse_cap(constraints or self.constraints)
        known, when = self._students.get_many(names_of(students)), time_of(self._incoming.moment(time))
        options: dict[str, Any] = {"policy": policy, "constraints": constraints, "time": when, "seed": seed, "reasons": reasons}
        return self.recommender.recommend_all(known, k, **options)

    def when_to_stop(self, student: object, item: object, *, time: datetime.datetime | None = None) -> Stop:
        """Whether the student should go on practising an item's first skill; see :func:`when_to_stop`."""
        name, asked = student_name(student), self._incoming.question(item)._replace(moment=self._incoming.model_moment(time))
        with self._students.lock(name):
            known, history = self._students.with_history(name)
            return when_to_stop(known, asked, criterion=self.criterion, ever=asked.skills[0] in history.reached)

    # ---- what is known ------------------------------------------------------

    def mastery(self, student: object, skill: object, *, time: datetime.datetime | None = None) -> float:
        """P(known) of a skill, now or at a time; an unknown student, or a skill not met yet, is at the prior."""
        name, moment = student_name(student), self._incoming.model_moment(time)
        with self._students.lock(name):
            return self._students.get(name).mastery_at(name_of(skill, "skill"), moment)

    def mastery_table(self, student: object, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every skill that a student met, now or at a time; no rows for an unknown student.

        ``skill``, ``mastery``, ``verdict`` (``mastered``, ``proficient``, ``learning`` or ``too little evidence``),
        ``opportunities``, ``last_time``, ``reached_after`` (opportunities until it was first mastered, or null),
        ``wheel_spinning`` (ten opportunities and never mastered), and ``evidence``: per kind its number ``n`` and by how much it
        ``moved`` the log-odds of mastery.
        """
        name, moment = student_name(student), self._incoming.model_moment(time)
        with self._students.lock(name):
            return mastery_of(*self._students.with_history(name), self.criterion, moment)

    def history(self, student: object) -> pa.Table:
        """A student's events that are not retracted, oldest first, as a table.

        ``event_id``, ``time``, ``item``, ``skills``, ``kind``, ``correct``, ``group``, ``decision_id``.
        """
        return table_of(self.store.events(student_name(student))).drop_columns("student")

    def waiting(self) -> pa.Table:
        """Corrections and retractions whose event has not come: its ``event_id``, ``student`` and ``replaced_by``.

        The last two are null where a retraction waits: nobody knows yet whose event it is.
        """
        return waiting_of(self.store.corrections())

    def log(self, *, decided: bool = False) -> Log:
        """All events that are not retracted, as a log: to fit a model to, or to compare policies.

        With ``decided``: only those that answer a recorded decision, as :func:`adaptrace.off_policy` wants them.
        With ``decision_id`` and, where decisions were recorded, ``propensity``, ``candidates`` and ``propensities``.
        """
        return log_of(self.store.events(), self.store.decisions(), decided=decided)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _check_skills(model: Model, catalog: Catalog, unknown_skills: str) -> None:
    """Refuse a model that lacks a skill of the catalog, unless such skills may start at the prior."""
    if unknown_skills not in ("error", "prior"):
        raise ValueError(f"unknown_skills: got {unknown_skills!r}; expected 'error' or 'prior'")
    bkt = bkt_of(model)
    if bkt is None or unknown_skills == "prior":
        return
    known = bkt.fitted.knows(pa.array(catalog.skills, pa.string()))
    lacking = [skill for skill, knows in zip(catalog.skills, known, strict=True) if not knows and skill in catalog.practised]
    if lacking:
        shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise ModelError(
            f"the model lacks {len(lacking)} of the catalog's {len(catalog.skills)} skills: {shown}; "
            "fit it to a log that has them, or open with unknown_skills='prior'"
        )
