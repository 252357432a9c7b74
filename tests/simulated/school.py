"""The school of the simulation: a light model, a catalog, and events whose content follows from their ids."""

from __future__ import annotations

import datetime
import json
import random
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import adaptrace as at

START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
ITEMS = {"a1": ("a",), "a2": ("a",), "b1": ("b",), "ab": ("a", "b")}
SKILLS = ("a", "b")
MODEL = at.BKT.from_parameters(SKILLS, prior=[0.3, 0.2], learn=[0.2, 0.15], forget=[0.0, 0.01], guess=0.2, slip=0.1)
CATALOG = at.Catalog.from_arrow({"item": list(ITEMS), "skills": [list(skills) for skills in ITEMS.values()]})
CAP = at.Constraints(exposure_cap=0.4, zone=False)


class Content(NamedTuple):
    """What an event says."""

    student: str
    item: str
    correct: float
    time: datetime.datetime | None  # None: the time when it is delivered


def student_of(event_id: str) -> str:
    """Whose event it is: ``student/number``; ``x`` follows in the id of a correction."""
    return event_id.split("/")[0]


@cache
def content_of(event_id: str) -> Content:
    """The content of an event: few times, so that many events have one time, and many come late."""
    chance = random.Random(event_id)
    time = START + chance.randrange(6) * MINUTE if chance.random() < 0.9 else None
    return Content(student_of(event_id), chance.choice(list(ITEMS)), chance.choice([0.0, 0.5, 1.0]), time)


def opportunities_of(event_ids: Iterable[str]) -> dict[str, int]:
    """How often a student with these events met each skill."""
    met = [skill for event_id in event_ids for skill in ITEMS[content_of(event_id).item]]
    return {skill: met.count(skill) for skill in SKILLS if skill in met}


def clean_state(name: str, events: Iterable[Any]) -> at.Student:
    """The student after stored events, one after the other."""
    student = at.Student(MODEL, CATALOG, name=name)
    for event in events:
        student.group = event.group
        time = START + datetime.timedelta(microseconds=event.moment - int(START.timestamp()) * 1_000_000)
        student.observe(event.item, event.correct, time=time)
    return student


def as_stored(student: at.Student) -> dict[str, Any]:
    """What a stored state says of a student."""
    return dict(json.loads(json.dumps(student.to_dict())))
