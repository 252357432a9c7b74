"""A tutor's students: their entries, and locks by name."""

from __future__ import annotations

from dataclasses import dataclass

from adaptrace.errors import StoreError
from adaptrace.models.student import Student
from adaptrace.tutor.replay import Key

LOCKS = 256  # students share so many locks by their names
TRIES = 100  # times that a write may find that another process was first
AS_BEFORE = "\0"  # in place of a group, until the student is read: that of the latest event


@dataclass
class Entry:
    """A student in memory."""

    version: int  # of the stored state it equals
    student: Student
    last: Key | None  # of the latest event


def name_of(student: object) -> str:
    """A student's name as text."""
    if student is None or student == "":
        raise ValueError(f"student: got {student!r}; expected a name")
    return str(student)


def no_event(event_id: str) -> StoreError:
    """The error for the id of an event that was never observed."""
    return StoreError(f"event_id '{event_id}': no such event in the store; expected the id of one that was observed")
