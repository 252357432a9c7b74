"""What comes in: calls and tables are checked and become events. Nothing is stored here."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from time import time_ns
from typing import Any, NamedTuple

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.names import name_of
from adaptrace.data.times import time_of
from adaptrace.errors import ConflictError, DataError
from adaptrace.models.base import Model, Response, levels_of
from adaptrace.models.response import ResponseChecker, moment_of
from adaptrace.tutor.arrivals import Delivery
from adaptrace.tutor.corrections import RETRACTION, Draft, finished, waiting
from adaptrace.tutor.store.base import Correction, Event, Store
from adaptrace.tutor.students import AS_BEFORE
from adaptrace.tutor.tables import events_of


class Observation(NamedTuple):
    """What a call of :meth:`adaptrace.Tutor.observe` says; see there."""

    student: object
    item: object
    correct: float | None
    level: int | None
    kind: str | None
    time: datetime.datetime | None
    event_id: str | None
    skills: Iterable[object] | None
    group: str | None
    decision_id: str
    replaces: str | None


class Incoming:
    """Makes events of observations.

    Parameters
    ----------
    model, catalog
        What looks up skills, kinds and levels.
    store
        Where the events and decisions are that an observation names.
    clock
        What time it is; with its zone.
    tolerance
        By how much an event may lie in the future.
    """

    def __init__(
        self,
        model: Model,
        catalog: Catalog,
        store: Store,
        *,
        clock: Callable[[], datetime.datetime],
        tolerance: datetime.timedelta,
    ) -> None:
        self._model, self._catalog, self._store = model, catalog, store
        self.clock, self._tolerance = clock, tolerance
        self._is_timed = "time" in model.needs
        self._checker = ResponseChecker(model, catalog)

    def observed(self, given: Observation) -> Delivery | Correction:
        """What an observation delivers; of a correction whose original has not come, what waits for that.

        Raises
        ------
        UnknownItemError, ValueError, ConflictError, StoreError
            See :meth:`adaptrace.Tutor.observe`.
        """
        if given.replaces is None:
            event = self._event(given)
            return Delivery(event.student, [event])
        wanted = id_of("replaces", given.replaces)
        original = self._store.find([wanted]).get(wanted)
        draft = self._draft(given, original)
        _check_original(wanted, original, draft.event)
        if original is None:
            return waiting(draft, wanted)
        event = finished(draft, original, levels_of(self._model))
        retracted = () if original.retracted else (wanted,)
        return Delivery(event.student, [event], retracted, [Correction(wanted, event.student, event.event_id)])

    def retracted(self, event_id: str) -> Delivery | Correction:
        """What the retraction of an event delivers; if that has not come, what waits for it."""
        event = self._store.find([event_id]).get(event_id)
        if event is None:
            return Correction(event_id, "", "", RETRACTION)
        return Delivery(event.student, (), () if event.retracted else (event_id,))

    def _draft(self, given: Observation, original: Event | None) -> Draft:
        """A correction; ``original``: what it corrects, if that has come."""
        options = {"time": given.time, "group": given.group, "kind": given.kind, "skills": given.skills}
        names = frozenset(name for name, value in options.items() if value is not None)
        return Draft(self._event(given, original), names, None if given.level is None else int(given.level))

    def _event(self, given: Observation, original: Event | None = None) -> Event:
        """The event of an observation."""
        name, moment = student_name(given.student), self.moment(given.time)
        if given.time is not None:
            self._check_future(moment)
        event_id = _new_id() if given.event_id is None else id_of("event_id", given.event_id)
        item, skills, kind, correct, _ = self._response(given, original)
        if given.decision_id:
            self._check_decision(str(given.decision_id), name)
        group = AS_BEFORE if given.group is None else given.group and name_of(given.group, "group")
        return Event(event_id, name, item, skills, kind, correct, moment, group, str(given.decision_id))

    def _response(self, given: Observation, original: Event | None) -> Response:
        """What was answered, checked; a correction of the same item has the kind and the skills of its original."""
        kind, skills = given.kind, given.skills
        if given.replaces is None:
            return self._checker.response(given.item, given.correct, level=given.level, kind=kind, skills=skills)
        item = name_of(given.item, "item")
        if original is not None and original.item == item:
            kind, skills = kind or original.kind, original.skills if skills is None else skills
        is_open = skills is None and original is None and item not in self._catalog.by_name
        found = self._checker.response(
            given.item, given.correct, level=given.level, kind=kind, skills=("?",) if is_open else skills
        )
        return found._replace(skills=()) if is_open else found

    def events(self, data: Any, columns: Mapping[str, str] | None, levels: Mapping[str, int] | None) -> dict[str, list[Event]]:
        """The events of a table, per student.

        Raises
        ------
        DataError
            Listing every problem.
        ValueError
            If an event is in the future.
        """
        known = levels_of(self._model) if levels is None else levels
        log = Log.from_arrow(data, columns=columns, catalog=self._catalog, levels=known)
        missing = schema.missing(log.table.column_names, schema.RESPONSES, {}, ("time", "event_id"))
        if missing:
            raise DataError("table", missing)
        events: dict[str, list[Event]] = {}
        for event in events_of(log, self._catalog, AS_BEFORE):
            events.setdefault(event.student, []).append(event)
        for each in events.values():
            self._check_future(max(event.moment for event in each))
        return events

    def question(self, item: object) -> Response:
        """An item that a student may be asked; its outcome is not known."""
        return self._checker.response(item, 0.0)._replace(correct=float("nan"))

    def moment(self, time: datetime.datetime | None) -> int:
        """Microseconds since 1970 of a time, or of now."""
        if time is None:
            time = self.clock()
        if isinstance(time, datetime.datetime) and time.tzinfo is None:
            raise ValueError(
                f"time: got {time} without a zone; expected one, e.g. {time.isoformat()}+00:00 or tzinfo=datetime.UTC"
            )
        moment = moment_of(time)
        if moment is None:
            raise ValueError("clock: got None; expected a datetime with its zone")
        return moment

    def model_moment(self, time: datetime.datetime | None) -> int | None:
        """The moment of a time, or of now, if the model needs it; else None."""
        if time is None and not self._is_timed:  # the clock is not asked in vain
            return None
        moment = self.moment(time)
        return moment if self._is_timed else None

    def _check_future(self, moment: int) -> None:
        latest = self.clock() + self._tolerance
        if moment > (moment_of(latest) or 0):
            time = time_of(moment)
            raise ValueError(
                f"time: got {time}, which is in the future; expected at most {latest} (now and {self._tolerance}); "
                "set the sender's clock, or open the tutor with a larger tolerance"
            )

    def _check_decision(self, decision_id: str, name: str) -> None:
        """Refuse an answer to a decision that was not recorded for this student."""
        stored = self._store.decided(decision_id)
        if stored is None or stored.student != name:
            found = "no such decision in the store" if stored is None else "it was made for another student"
            raise ConflictError(
                f"decision_id '{decision_id}': {found}; expected one that recommend(..., decision_id=) recorded for this student"
            )


def _check_original(event_id: str, original: Event | None, event: Event) -> None:
    """Refuse to replace an event by itself, or one of another student."""
    if event_id == event.event_id:
        raise ValueError(f"replaces: got {event_id!r}, the event_id itself; give the correction an id of its own")
    if original is not None and original.student != event.student:
        raise ConflictError(f"replaces: got event_id {event_id!r} of another student; expected an event of the same student")


def student_name(student: object) -> str:
    """A student's name as text."""
    return name_of(student, "student")


def names_of(students: Iterable[object] | None) -> list[str] | None:
    """The names of a list of students; None stands for all."""
    if isinstance(students, str):
        raise ValueError("students: got a text; expected a list of names, e.g. ['ana']")
    return None if students is None else [student_name(student) for student in students]


def id_of(option: str, given: object) -> str:
    """An id as text."""
    if given is None or (isinstance(given, str) and not given):
        raise ValueError(f"{option}: got {given!r}; expected an id; leave it out if there is none")
    return name_of(given, option)


def _new_id() -> str:
    """An id for an event that has none; later ones are larger."""
    return f"auto-{time_ns():020d}-{os.urandom(6).hex()}"
