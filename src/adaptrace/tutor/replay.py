"""Replay: from events, one after the other, to a student's state; and how a state is stored."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from zlib import crc32

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.errors import ModelError
from adaptrace.models.base import Model, Response
from adaptrace.models.criterion import Criterion
from adaptrace.models.student import Student
from adaptrace.tutor.store.base import Event

Key = tuple[int, str]  # of an event: its place in the order of a student's events
_SUM = ',"sum":'  # of all before it; the last entry of a stored state


def key_of(event: Event) -> Key:
    """Its place in the order of a student's events."""
    return event.moment, event.event_id


def take(student: Student, event: Event) -> None:
    """Take in the next event."""
    student.group = event.group
    student.take(Response(event.item, event.skills, event.kind, event.correct, event.moment))


@dataclass
class MasteryHistory:
    """What the events of one student did to each skill.

    Attributes
    ----------
    moved
        Per skill and kind: how many events there were, and their change in the log-odds of mastery.
    reached
        Opportunities until the skill was first mastered.
    last
        Time of the last event.
    """

    moved: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    last: dict[str, datetime.datetime] = field(default_factory=dict)

    def add(self, event: Event, skill: str, before: float, after: float) -> None:
        """Note the mastery of one skill before and after an event."""
        kinds = self.moved.setdefault(skill, {})
        n, moved = kinds.get(event.kind, (0, 0.0))
        kinds[event.kind] = (n + 1, moved + _logit(after) - _logit(before))
        self.last[skill] = schema.EPOCH + event.moment * schema.MICROSECOND


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


@dataclass(frozen=True)
class Replay:
    """Makes students from events, and from stored states, with one model and catalog."""

    model: Model
    catalog: Catalog

    def new_student(self, name: str) -> Student:
        """A student who has not answered yet."""
        return Student(self.model, self.catalog, name=name)

    def fold(self, name: str, events: Iterable[Event]) -> tuple[Student, Key | None]:
        """A student after these events, in their order, and the key of the last one."""
        student, last = self.new_student(name), None
        for event in events:
            take(student, event)
            last = key_of(event)
        return student, last

    def replay_with_history(self, name: str, events: Iterable[Event], criterion: Criterion) -> tuple[Student, MasteryHistory]:
        """A student after these events, in their order, and what each event did to mastery."""
        student, history = self.new_student(name), MasteryHistory()
        for event in events:
            moment = event.moment if "time" in self.model.needs else None
            before = [student.mastery_at(skill, moment) for skill in event.skills]
            take(student, event)
            for skill, mastery in zip(event.skills, before, strict=True):
                after, n = student.mastery_at(skill, moment), student.opportunities[skill]
                history.add(event, skill, mastery, after)
                if criterion.mastered(skill, mastery=after, opportunities=n):
                    history.reached.setdefault(skill, n)
        return student, history

    def read_state(self, text: str, name: str) -> tuple[Student, Key | None] | None:
        """What :func:`state_text` wrote of the student of that name; None if it cannot be read, for whatever reason."""
        content, _, checksum = text.rpartition(_SUM)
        if checksum != f"{crc32(content.encode(errors='replace'))}}}":
            return None
        try:
            parts = json.loads(content + "}")
            student, last = Student.from_dict(parts, self.model, catalog=self.catalog), parts["last"]
        except (ModelError, AttributeError, LookupError, TypeError, ValueError):  # another version wrote it
            return None
        return (student, last and (last[0], last[1])) if student.name == name else None


def state_text(student: Student, last: Key | None) -> str:
    """A student's state as it is stored, with the key of the last event and a checksum that shows any damage."""
    text = json.dumps({**student.to_dict(), "last": last}, separators=(",", ":"))[:-1]
    return f"{text}{_SUM}{crc32(text.encode())}}}"
