"""Tutor: what a platform embeds. It is told what happened and asked what comes next; nothing is lost when the process dies.

The store's event log is the truth. A student's state is a fold of the events in the order of (time, event id), so an event that
comes late, twice, corrected or retracted ends in the state of the clean log, bit for bit. No JIT and no clock inside the
mathematics: the clock is asked once, where a time is missing.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from time import time_ns
from types import TracebackType
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.errors import ConflictError, DataError, ModelError, StoreError
from adaptrace.kernels.parallel import batches
from adaptrace.models.base import Model, Progress
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion
from adaptrace.models.student import Student, moment_of
from adaptrace.recommendation.beliefs import bkt_of
from adaptrace.recommendation.choosing import Chosen, propensities
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.explaining import Recommendation
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender import Recommender, check_kinds
from adaptrace.recommendation.stopping import Stop, when_to_stop
from adaptrace.tutor.replay import (
    MASTERY,
    events_of,
    fold,
    key_of,
    log_of,
    same,
    state_of,
    state_text,
    table_of,
    take,
    tell,
    told,
)
from adaptrace.tutor.store import open_store
from adaptrace.tutor.store.base import Change, Decision, Event, Kept, Store
from adaptrace.tutor.students import AS_BEFORE, LOCKS, TRIES, Entry, name_of, no_event

AT_ONCE = 500  # students per transaction of many
TOLERANCE = datetime.timedelta(minutes=5)  # by which a clock may be ahead of ours


class Tutor:
    """A store, a model, a catalog and a policy; safe to use from many threads, and from many processes at once.

    Make one by :meth:`open`.

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

    def __init__(
        self,
        store: Store,
        recommender: Recommender,
        *,
        clock: Callable[[], datetime.datetime],
        tolerance: datetime.timedelta = TOLERANCE,
        cache: int = 10_000,
    ) -> None:
        self.store, self.recommender = store, recommender
        self.model, self.catalog, self.criterion = recommender.model, recommender.catalog, recommender.criterion
        self._clock, self._tolerance, self._cache_size = clock, tolerance, cache
        self._door = Student(self.model, self.catalog)  # checks and looks up; takes in nothing
        self._cache: OrderedDict[str, Entry] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._locks = [threading.RLock() for _ in range(LOCKS)]

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
        """Open a store, or make it, and get ready.

        Parameters
        ----------
        url
            A file (SQLite, no server needed), ``"postgresql://..."`` for many machines, or ``"memory:"``, which is gone with the
            process.
        model
            A fitted model that knows mastery. The store's states are those of one model: with another one they are made again
            from the events, student by student as they come, or all by :meth:`rebuild`.
        catalog
            The items.
        policy, constraints, criterion
            What is wanted, what may be given, and what counts as mastered, unless a call says otherwise; see
            :class:`~adaptrace.Recommender`.
        durability
            Of SQLite: ``"normal"`` (what was acknowledged survives the death of the process) or ``"full"`` (and a power cut).
        unknown_skills
            ``"error"``: refuse a model that lacks a skill of the catalog; ``"prior"``: it has the values for unknown skills.
        clock
            What time it is, where a call does not say; with its zone.
        tolerance
            By how much an event may lie in the future.
        cache
            Students kept in memory.

        Raises
        ------
        StoreError
            If the store cannot be opened, or is of a newer version.
        ModelError
            If the model knows no mastery, or lacks a skill of the catalog.
        """
        if unknown_skills not in ("error", "prior"):
            raise ValueError(f"unknown_skills: got '{unknown_skills}'; expected 'error' or 'prior'")
        recommender = Recommender(model, catalog, policy=policy, constraints=constraints, criterion=criterion)
        Student(model).mastery("")
        if unknown_skills == "error":
            _check_skills(model, catalog)
        store = open_store(url, durability)
        return cls(store, recommender, clock=clock or _now, tolerance=tolerance, cache=cache)

    def __enter__(self) -> Tutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
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
        """Take in a response, or evidence of another kind; durable when this returns.

        Parameters
        ----------
        student
            Who; a new name is a new student.
        item
            What was answered, done or earned. With ``skills=`` it need not be in the catalog: a badge, a course taken
            elsewhere, a teacher's judgement.
        correct, level
            The outcome: 0, 1 or a fraction, or a level from 0 of a kind that the model knows the levels of.
        kind
            Sort of evidence; by default the catalog's, else practice.
        time
            When, with its zone; by default now. An event that comes late is put at its place.
        event_id
            Names the event: a second delivery changes nothing. Events of the same time are in the order of their ids. By
            default a new id, so that each call counts.
        skills
            The item's skills; by default the catalog's.
        group
            The student's class or school; by default as before.
        decision_id
            The recommendation that this answers, if it was recorded.
        replaces
            The id of an event that was wrong: it is retracted in the same step. Time, decision and, for the same item, kind and
            skills are its own unless told.

        Returns
        -------
        bool
            True; False if the event was known already.

        Raises
        ------
        UnknownItemError
            If the catalog lacks the item and ``skills`` is not given.
        ValueError
            If the outcome, the time or the skills are wrong, or an event would replace itself.
        ConflictError
            If ``event_id`` stands for something else already (the first is kept), the event to replace was taken back or
            replaced before, or the decision is not this student's.
        StoreError
            If it could not be stored: nothing has changed.
        """
        name, moment = name_of(student), self._moment(time)
        if time is not None:
            self._check_future(moment)
        event_id = _new_id() if event_id is None else _id("event_id", event_id)
        first = None if replaces is None else self._replaced(_id("replaces", replaces), name, event_id)
        if first is not None:  # what a correction does not say is as it was
            moment, decision_id = first.moment if time is None else moment, decision_id or first.decision
            if str(item) == first.item:
                kind, skills = kind or first.kind, first.skills if skills is None else skills
        response = self._door.response(item, correct, level=level, kind=kind and str(kind), skills=skills)
        if decision_id:
            self._check_decision(str(decision_id), name)
        wrong = () if first is None else (first.event_id,)
        what = (response.item, response.skills, response.kind, response.correct, moment)
        event = Event(event_id, name, *what, AS_BEFORE if group is None else str(group), str(decision_id))
        with self._lock(name):
            try:
                return bool(self._apply(name, [event], wrong))
            except ConflictError:
                kept = self.store.find([event_id]).get(event_id)
                if time is not None or kept is None:
                    raise
                # a second delivery that tells no time has that of the first
                return bool(self._apply(name, [event._replace(moment=kept.moment)], wrong))

    def observe_many(
        self, data: Any, *, columns: Mapping[str, str] | None = None, levels: Mapping[str, int] | None = None
    ) -> int:
        """Take in a table of responses; how many were new.

        Parameters
        ----------
        data
            Any Arrow table or data frame, as :meth:`adaptrace.Log.from_arrow` takes it, with ``time`` (a clock) and ``event_id``.
        columns, levels
            As there; by default the levels that the model knows.

        Raises
        ------
        DataError
            Listing every problem; nothing was stored.
        ConflictError
            If an ``event_id`` stands for something else already. Students before that one are stored: calling again is safe.
        """
        known = getattr(self.model, "levels", None) if levels is None else levels
        log = Log.from_arrow(data, columns=columns, catalog=self.catalog, levels=known)
        missing = schema.missing(log.table.column_names, schema.RESPONSES, {}, ("time", "event_id"))
        if missing:
            raise DataError("table", missing)
        events: dict[str, list[Event]] = {}
        for event in events_of(log, self.catalog, AS_BEFORE):
            events.setdefault(event.student, []).append(event)
        for each in events.values():
            self._check_future(max(event.moment for event in each))
        return sum(self._apply_many(block) for block in batches(events.items(), AT_ONCE))

    def retract(self, event_id: str) -> bool:
        """Take an event back, as if it had never come; False if it was taken back before.

        Raises
        ------
        StoreError
            If there is no such event.
        """
        event = self._stored(_id("event_id", event_id))
        with self._lock(event.student):
            return not event.retracted and bool(self._apply(event.student, [], (event.event_id,)))

    def forget_student(self, student: object) -> int:
        """Remove all that is stored of a student; how many events that were. The model stays what it is."""
        name = name_of(student)
        with self._lock(name):
            self._drop(name)
            return self.store.forget(name)

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
        """The k best items for a student, each with its reason; an unknown student is at the prior.

        Parameters
        ----------
        student
            Who.
        k
            How many to choose from; fewer come back if no more are allowed.
        policy, constraints
            For this call, instead of the tutor's.
        time
            When; by default now.
        seed
            Of what is drawn: same seed and same answers so far, same items.
        explore
            The probability with which the k items are drawn from all that are allowed instead: what makes other policies
            comparable later (:func:`adaptrace.off_policy`). Where an item is pinned nothing is drawn.
        decision_id
            Record the decision under this name: candidates, utilities, the chance of each to be the one that is answered (if
            of the k shown each is taken equally often), seed, policy, model. Pass it to :meth:`observe` with the answer.

        Raises
        ------
        ConstraintError
            If no item is allowed: which constraint left how many.
        """
        name, moment = name_of(student), self._moment(time)
        if not 0.0 <= explore <= 1.0:
            raise ValueError(f"explore: got {explore}; expected a probability, 0 to 1")
        options = {"policy": policy, "constraints": constraints, "seed": seed}
        with self._lock(name):
            known = self._entry(name, fresh=True).student
            chosen, places, explored, drawn = self._shown(known, moment, k, explore, options, whole=decision_id is not None)
            if decision_id is not None:
                self._record(self._decision(_id("decision_id", decision_id), chosen, places, k, explored))
            return [self.recommender.explained(chosen, place, drawn=drawn) for place in places]

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
        """The k best items for each of these students, or all in the store: what :meth:`recommend` gives each, as one table.

        Returns
        -------
        pyarrow.Table
            Ordered by student: see :meth:`adaptrace.Recommender.recommend_all`.

        Raises
        ------
        ValueError
            If there is an exposure cap, which is kept one student at a time: ask :meth:`recommend`.
        """
        check_kinds(policy, constraints)
        if (constraints or self.recommender.constraints).exposure_cap is not None:
            raise ValueError(
                "recommend_all: got an exposure_cap, which is counted one student at a time; call recommend for each"
            )
        when = schema.EPOCH + self._moment(time) * schema.MICROSECOND
        options: dict[str, Any] = {"policy": policy, "constraints": constraints, "time": when, "seed": seed, "reasons": reasons}
        return self.recommender.recommend_all(self._known(students), k, **options)

    def when_to_stop(self, student: object, item: object, *, time: datetime.datetime | None = None) -> Stop:
        """Whether the student should go on practising an item's first skill; see :func:`when_to_stop`."""
        name, moment = name_of(student), self._moment(time)
        asked = self._door.response(item, 0.0)._replace(correct=math.nan, moment=self._at(moment))
        with self._lock(name):
            known, story = tell(self.model, self.catalog, self.criterion, name, self.store.events(name))
            return when_to_stop(known, asked, criterion=self.criterion, ever=asked.skills[0] in story.reached)

    # ---- what is known ------------------------------------------------------

    def mastery(self, student: object, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every skill that a student met, and which evidence moved it.

        Parameters
        ----------
        student
            Who; an unknown student has no rows.
        time
            When; by default now.

        Returns
        -------
        pyarrow.Table
            ``skill``, ``mastery``, ``verdict`` (``mastered``, ``proficient``, ``learning`` or ``too little evidence``),
            ``opportunities``, ``last_time``, ``reached_after`` (opportunities until it was first mastered, or null),
            ``wheel_spinning`` (ten opportunities and never mastered), and ``evidence``: per kind its number ``n`` and by how much
            it ``moved`` the log-odds of mastery.
        """
        name, moment = name_of(student), self._moment(time)
        with self._lock(name):
            known, story = tell(self.model, self.catalog, self.criterion, name, self.store.events(name))
            at = self._at(moment)
            rows = [
                {
                    "skill": skill,
                    "mastery": known.mastery_at(skill, at),
                    "verdict": self.criterion.verdict(skill, known.mastery_at(skill, at), n),
                    "opportunities": n,
                    "last_time": story.last[skill],
                    "reached_after": story.reached.get(skill),
                    "wheel_spinning": n >= WHEEL_SPINNING and skill not in story.reached,
                    "evidence": [{"kind": kind, "n": n, "moved": moved} for kind, (n, moved) in story.moved[skill].items()],
                }
                for skill, n in sorted(known.opportunities.items())
            ]
        return pa.Table.from_pylist(rows, MASTERY)

    def history(self, student: object) -> pa.Table:
        """A student's events that count, oldest first.

        Returns
        -------
        pyarrow.Table
            ``event_id``, ``time``, ``item``, ``skills``, ``kind``, ``correct``, ``group``, ``decision_id``.
        """
        return table_of(self.store.events(name_of(student))).drop_columns("student")

    def log(self, *, decided: bool = False) -> Log:
        """All events that count, as a log: to fit a model to, or to compare policies.

        With ``decided``: only those that answer a recorded decision, as :func:`adaptrace.off_policy` wants them.
        With ``decision_id`` and, where decisions were recorded, ``propensity``, ``candidates`` and ``propensities``.
        """
        return log_of(self.store.events(), self.store.decisions(), decided)

    # ---- looking after it ---------------------------------------------------

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make every state again from its events, as after a new model; how many. Others may go on reading and writing.

        Parameters
        ----------
        progress
            Called with the share that is done.
        """
        names = self.store.students()
        for number, name in enumerate(names):
            with self._lock(name):
                self._drop(name)
                self._apply(name, [], (), again=True)
            if progress is not None:
                progress((number + 1) / len(names))
        return len(names)

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy of the store as an SQLite file, whole or not at all, while others go on."""
        self.store.snapshot(path)

    def close(self) -> None:
        """Let go of the store; a second call does nothing."""
        self.store.close()

    # ---- one student in memory ----------------------------------------------

    def _lock(self, name: str) -> threading.RLock:
        return self._locks[hash(name) % LOCKS]

    def _drop(self, name: str) -> None:
        with self._cache_lock:
            self._cache.pop(name, None)

    def _entry(self, name: str, *, fresh: bool = False) -> Entry:
        """The student in memory; ``fresh``: as the store has it now, also if another process wrote."""
        with self._cache_lock:
            entry = self._cache.get(name)
            if entry is not None:
                self._cache.move_to_end(name)
        if entry is None or (fresh and entry.version != self.store.version(name)):
            entry = self._loaded(name, self.store.load(name))
            self._keep(name, entry)
        return entry

    def _keep(self, name: str, entry: Entry) -> None:
        with self._cache_lock:
            self._cache[name] = entry
            if len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)

    def _loaded(self, name: str, kept: Kept | None) -> Entry:
        if kept is None:
            return Entry(0, Student(self.model, self.catalog, name), None)
        is_ours = kept.model == self.model.fingerprint
        found = state_of(kept.state, self.model, self.catalog, name) if is_ours else None
        if found is None:  # of another model, damaged, or of another version: the events tell all
            found = fold(self.model, self.catalog, name, self.store.events(name))
        return Entry(kept.version, *found)

    def _known(self, students: Iterable[object] | None) -> Iterator[Student]:
        """Students as the store has them, in the order of their names."""
        if students is None:
            for name, kept in self.store.load_many():
                yield self._loaded(name, kept).student
            return
        if isinstance(students, str):
            raise ValueError(f"students: got the text '{students}'; expected a list, e.g. ['{students}']")
        names = sorted({name_of(student) for student in students})
        stored = self.store.load_many(names)
        following = next(stored, None)
        for name in names:
            if following is None or following[0] != name:
                yield Student(self.model, self.catalog, name)
            else:
                yield self._loaded(*following).student
                following = next(stored, None)

    # ---- writing ------------------------------------------------------------

    def _apply(self, name: str, events: Sequence[Event], retracted: Sequence[str], *, again: bool = False) -> int:
        """Store events and retractions of one student with the state they lead to; how many events or retractions were new."""
        for _ in range(TRIES):
            change, entry = self._change(name, events, retracted, again)
            if again and not change.version:  # forgotten meanwhile: the name must not come back
                return 0
            if self._written([change], [entry]):
                return len(change.events) + len(change.retracted)
            events, retracted = self._news(events, retracted)
            if not events and not retracted and not again:
                return 0
        raise StoreError(f"the student '{name}' was changed by others {TRIES} times in a row; nothing was stored: try again")

    def _apply_many(self, block: Sequence[tuple[str, Sequence[Event]]]) -> int:
        """Store the events of several students in one transaction, or, if one does not apply, one by one."""
        locks = {id(lock): lock for lock in (self._lock(name) for name, _ in block)}
        with ExitStack() as held:
            for _, lock in sorted(locks.items()):  # always in the same order: two blocks cannot wait for each other
                held.enter_context(lock)
            news = {name: self._news(events, ())[0] for name, events in block}
            news = {name: events for name, events in news.items() if events}
            made = [self._change(name, events, (), False) for name, events in news.items()]
            if not made or self._written([change for change, _ in made], [entry for _, entry in made]):
                return sum(map(len, news.values()))
            return sum(self._apply(name, events, ()) for name, events in block)

    def _written(self, changes: Sequence[Change], entries: Sequence[Entry]) -> bool:
        """Whether the store took the changes; only then are these students in memory again."""
        if self.store.write(changes):
            return False
        for change, entry in zip(changes, entries, strict=True):
            entry.version = change.version + 1
            self._keep(change.student, entry)
        return True

    def _change(self, name: str, events: Sequence[Event], retracted: Sequence[str], again: bool) -> tuple[Change, Entry]:
        """The change that events and retractions are, and the student after it: not in memory until that is stored."""
        entry = self._entry(name)
        self._drop(name)  # whatever fails from here on, memory is not ahead of the store
        before = entry.student.group
        events = [event._replace(group=before) if event.group == AS_BEFORE else event for event in events]
        late = entry.last is not None and any(key_of(event) < entry.last for event in events)
        if retracted or late or again:
            kept = (event for event in self.store.events(name) if event.event_id not in retracted)
            entry.student, entry.last = fold(self.model, self.catalog, name, sorted([*kept, *events], key=key_of))
        else:
            for event in sorted(events, key=key_of):
                take(entry.student, event)
                entry.last = key_of(event)
        made = (self.model.fingerprint, state_text(entry.student, entry.last)) if self.store.keeps_states else ("", "")
        return Change(name, entry.version, *made, tuple(events), tuple(retracted)), entry

    def _news(self, events: Sequence[Event], retracted: Sequence[str]) -> tuple[list[Event], list[str]]:
        """The events that are not stored yet, and the retractions that are not done yet.

        Raises
        ------
        ConflictError
            If an event's id stands for something else.
        """
        known = self.store.find([*(event.event_id for event in events), *retracted])
        for event in events:
            first = known.get(event.event_id)
            if first is not None and not same(first, event):
                raise ConflictError(
                    f"event_id '{event.event_id}': got {told(event)}; it stands for {told(first)}, which is kept; "
                    "use another id, or replaces= to correct an event"
                )
        for event_id in retracted:
            if event_id not in known:
                raise no_event(event_id)
            if known[event_id].retracted and any(event.event_id not in known for event in events):
                raise ConflictError(
                    f"replaces: got event_id '{event_id}', which was taken back or replaced before; replace what replaced it"
                )
        return [e for e in events if e.event_id not in known], [e for e in retracted if not known[e].retracted]

    def _replaced(self, event_id: str, name: str, by: str) -> Event:
        """The event that another one of the same student replaces."""
        if event_id == by:
            raise ValueError(f"replaces: got '{by}', the event_id itself; give the correction an id of its own")
        event = self._stored(event_id)
        if event.student != name:
            raise ConflictError(f"replaces: got event_id '{event_id}' of '{event.student}'; expected an event of '{name}'")
        return event

    def _check_decision(self, decision_id: str, name: str) -> None:
        """Refuse an answer to a decision that was not recorded for this student."""
        kept = self.store.decided(decision_id)
        if kept is None or kept.student != name:
            whose = "no such decision in the store" if kept is None else f"it was made for '{kept.student}'"
            raise ConflictError(
                f"decision_id '{decision_id}': {whose}; expected one that recommend(..., decision_id=) recorded for '{name}'"
            )

    def _stored(self, event_id: str) -> Event:
        event = self.store.find([event_id]).get(event_id)
        if event is None:
            raise no_event(event_id)
        return event

    # ---- choosing -----------------------------------------------------------

    def _shown(
        self, known: Student, moment: int, k: int, explore: float, options: Mapping[str, Any], *, whole: bool
    ) -> tuple[Chosen, list[int], float, bool]:
        """What was chosen, the places of the k items to show, none of them over the exposure cap, and how they were explored.

        ``whole``: choose among all, for the record; the first k are the same.
        """
        exposed: tuple[str, ...] = ()
        while True:
            chosen = self.recommender.choose(
                [known], len(self.catalog) if whole else k, moment=moment, exposed=exposed, **options
            )
            places = chosen.positions_of(0)[:k]
            if explore and chosen.pinned is not None and chosen.pinned[0, places].any():
                explore = 0.0  # a pin is not a matter of chance
            drawn = bool(explore) and bool(chosen.context.draws(4, 1)[0, 0] < explore)
            if drawn:
                places = self._explored(chosen, k)
            cap, names = chosen.constraints.exposure_cap, [self.catalog.items[place].item for place in places]
            over = self.store.expose(names, cap) if cap is not None else ()
            if not over:
                return chosen, places, explore, drawn
            exposed += over

    def _record(self, decision: Decision) -> None:
        """Keep a decision; one of the same id must be the same."""
        self.store.decide([decision])
        kept = self.store.decided(decision.decision_id)
        if kept is not None and (kept.student, kept.content) != (decision.student, decision.content):
            raise ConflictError(f"decision_id '{decision.decision_id}': another decision is kept under it; use a new id for each")

    def _explored(self, chosen: Chosen, k: int) -> list[int]:
        """The places of k of all items that are allowed, all equally likely."""
        allowed = np.flatnonzero(chosen.context.catalog_index.per_item(chosen.utility[0]) > -np.inf)
        return [int(place) for place in allowed[np.argsort(chosen.context.draws(5, len(allowed))[0])][:k]]

    def _decision(self, decision_id: str, chosen: Chosen, places: Sequence[int], k: int, explore: float) -> Decision:
        """What is kept of a decision, in the form that off-policy estimates read."""
        names, context = chosen.context.catalog_index.names, chosen.context
        ranked = chosen.positions_of(0)
        content = {
            "shown": [names[place] for place in places],
            "candidates": [names[place] for place in ranked],
            "utilities": [float(chosen.utility[0, chosen.column_of(place)]) for place in ranked],
            "propensities": propensities(len(ranked), k, explore),
            "explore": explore,
            "seed": context.seed,
            "policy": repr(chosen.policy),
            "model": self.model.fingerprint,
        }
        return Decision(decision_id, context.students[0].name, context.now or 0, json.dumps(content, separators=(",", ":")))

    # ---- the door -----------------------------------------------------------

    def _moment(self, time: datetime.datetime | None) -> int:
        """Microseconds since 1970 of a time, or of now."""
        if time is None:
            time = self._clock()
        if isinstance(time, datetime.datetime) and time.tzinfo is None:
            raise ValueError(
                f"time: got {time} without a zone; expected one, e.g. {time.isoformat()}+00:00 or tzinfo=datetime.UTC"
            )
        moment = moment_of(time)
        if moment is None:
            raise ValueError("clock: got None; expected a datetime with its zone")
        return moment

    def _at(self, moment: int) -> int | None:
        """The moment, where the model needs time."""
        return moment if self.recommender.index.timed else None

    def _check_future(self, moment: int) -> None:
        latest = self._clock() + self._tolerance
        if moment > (moment_of(latest) or 0):
            time = schema.EPOCH + moment * schema.MICROSECOND
            raise ValueError(
                f"time: got {time}, which is in the future; expected at most {latest} (now and {self._tolerance}); "
                "set the sender's clock, or open the tutor with a larger tolerance"
            )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _id(what: str, given: object) -> str:
    """An id as text."""
    if given is None or given == "":
        raise ValueError(f"{what}: got {given!r}; expected an id; leave it out if there is none")
    return str(given)


def _new_id() -> str:
    """An id for an event that has none; later ones are larger."""
    return f"auto-{time_ns():020d}-{uuid.uuid4().hex[:12]}"


def _check_skills(model: Model, catalog: Catalog) -> None:
    """Refuse a model that lacks a skill of the catalog."""
    bkt = bkt_of(model)
    if bkt is None:
        return
    known = bkt.knows(pa.array(catalog.skills, pa.string()))
    lacking = [skill for skill, knows in zip(catalog.skills, known, strict=True) if not knows and skill in catalog.practised]
    if lacking:
        shown = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        raise ModelError(
            f"the model lacks {len(lacking)} of the catalog's {len(catalog.skills)} skills: {shown}; "
            "fit it to a log that has them, or open with unknown_skills='prior'"
        )
