"""What the rows of an SQLite store mean."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Decision, Event, StoredState, checksum_of, event_of, skills_of

Values = Sequence[Any]


text_of_skills = lru_cache(4096)(json.dumps)


@lru_cache(4096)
def _as_skills(text: str) -> tuple[str, ...]:
    try:
        return skills_of(json.loads(text))
    except (ValueError, RecursionError):
        return ()


def row_of_event(event: Event) -> Values:
    """The row of an event, in the order of its columns."""
    event_id, student, item, skills, kind, correct, moment, group, decision, retracted = event
    row = (student, moment, event_id, item, text_of_skills(skills), kind, correct, group, decision, int(retracted))
    return *row, checksum_of(event)


def text_or_bytes(found: bytes) -> str | bytes:
    """A text; bytes that are no text as they are."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found


def version_of(value: object) -> int:
    """A student's version.

    Raises
    ------
    StoreError
        If it is no number: what is written next could not say what it follows.
    """
    if not isinstance(value, int):
        raise StoreError("a student's version cannot be read: it is no number; restore a snapshot")
    return value


def state_of_row(row: Values) -> StoredState:
    """A stored state; what is no text is no state.

    Raises
    ------
    StoreError
        If its version is no number.
    """
    version, model, state = row
    return StoredState(version_of(version), model if isinstance(model, str) else "", state if isinstance(state, str) else "")


def event_of_row(row: Values, place: str) -> Event:
    """The event of a row."""
    return event_of(row, _as_skills(row[4]), place)


def decision_of_row(row: Values, place: str) -> Decision:
    """The decision of a row."""
    student, moment, decision_id, content = row
    return Decision(decision_id, student, moment, text_of(content, f"{place}: decision_id '{decision_id}'"))


def text_of(found: object, what: str) -> str:
    """A text that was found; a StoreError that says what it should be if it is anything else."""
    if not isinstance(found, str):
        raise StoreError(f"{what} cannot be read: it is no text; restore a snapshot")
    return found
