"""Events: folded into a student, whose state can be stored; told as a story, and as tables."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.models.base import Model, Response
from adaptrace.models.criterion import Criterion
from adaptrace.models.response import moment_of
from adaptrace.models.student import Student
from adaptrace.tutor.store.base import Decision, Event

Key = tuple[int, str]  # of an event: its place in the order of a student's events


def key_of(event: Event) -> Key:
    """Its place in the order of a student's events."""
    return event.moment, event.event_id


def take(student: Student, event: Event) -> None:
    """The fold: one event more."""
    student.group = event.group
    student.take(Response(event.item, event.skills, event.kind, event.correct, event.moment))


def fold(model: Model, catalog: Catalog, name: str, events: Iterable[Event]) -> tuple[Student, Key | None]:
    """A student after these events, in their order, and the key of the last."""
    student, last = Student(model, catalog, name=name), None
    for event in events:
        take(student, event)
        last = key_of(event)
    return student, last


# ---- stored states -----------------------------------------------------------

_SUM = ',"sum":'  # of all before it; the last entry of a stored state


def state_text(student: Student, last: Key | None) -> str:
    """A student's state as it is stored, with the key of the latest event and a sum that shows any damage."""
    text = json.dumps({**student.to_dict(), "last": last}, separators=(",", ":"))[:-1]
    return f"{text}{_SUM}{crc32(text.encode())}}}"


def state_of(text: str, model: Model, catalog: Catalog, name: str) -> tuple[Student, Key | None] | None:
    """What :func:`state_text` wrote of the student of that name; None if it cannot be read, for whatever reason."""
    content, _, found = text.rpartition(_SUM)
    if found != f"{crc32(content.encode(errors='replace'))}}}":
        return None
    try:
        parts = json.loads(content + "}")
        student, last = Student.from_dict(parts, model, catalog=catalog), parts["last"]
    except (ModelError, AttributeError, LookupError, TypeError, ValueError):  # whole, but of a version that writes other states
        return None
    return (student, last and (last[0], last[1])) if student.name == name else None


# ---- events for people -------------------------------------------------------


def same(first: Event, event: Event) -> bool:
    """Whether two deliveries are of one event; the class it was in and whether it was taken back aside."""
    return first[:7] == event[:7]


def told(event: Event) -> str:
    """An event for people."""
    time = schema.EPOCH + event.moment * schema.MICROSECOND
    return f"{event.student}, {event.item}, {event.kind} {event.correct:g} on {' and '.join(event.skills)} at {time.isoformat()}"


@dataclass
class Story:
    """What a student's events did, per skill."""

    moved: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)  # kind -> how many, change in log-odds
    reached: dict[str, int] = field(default_factory=dict)  # opportunities until it was first mastered
    last: dict[str, datetime.datetime] = field(default_factory=dict)

    def add(self, event: Event, skill: str, before: float, after: float, criterion: Criterion, opportunities: int) -> None:
        """Note what an event did to a skill."""
        kinds = self.moved.setdefault(skill, {})
        n, moved = kinds.get(event.kind, (0, 0.0))
        kinds[event.kind] = (n + 1, moved + _logit(after) - _logit(before))
        self.last[skill] = schema.EPOCH + event.moment * schema.MICROSECOND
        if criterion.mastered(skill, mastery=after, opportunities=opportunities):
            self.reached.setdefault(skill, opportunities)


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def tell(model: Model, catalog: Catalog, criterion: Criterion, name: str, events: Iterable[Event]) -> tuple[Student, Story]:
    """A student after these events, in their order, and what each of them did to mastery."""
    student, story = Student(model, catalog, name=name), Story()
    timed = "time" in model.needs
    for event in events:
        at = event.moment if timed else None
        before = [student.mastery_at(skill, at) for skill in event.skills]
        take(student, event)
        for skill, was in zip(event.skills, before, strict=True):
            story.add(event, skill, was, student.mastery_at(skill, at), criterion, student.opportunities[skill])
    return student, story


# ---- tables ------------------------------------------------------------------

EVENTS = pa.schema(
    [
        ("student", pa.string()),
        ("event_id", pa.string()),
        ("time", schema.TIME),
        ("item", pa.string()),
        ("skills", pa.list_(pa.string())),
        ("kind", pa.string()),
        ("correct", pa.float64()),
        ("group", pa.string()),
        ("decision_id", pa.string()),
    ]
)
EVIDENCE = pa.list_(pa.struct([("kind", pa.string()), ("n", pa.int64()), ("moved", pa.float64())]))
MASTERY = pa.schema(
    [
        ("skill", pa.string()),
        ("mastery", pa.float64()),
        ("verdict", pa.string()),
        ("opportunities", pa.int64()),
        ("last_time", schema.TIME),
        ("reached_after", pa.int64()),
        ("wheel_spinning", pa.bool_()),
        ("evidence", EVIDENCE),
    ]
)


DECISION_TYPES = (pa.float64(), pa.list_(pa.string()), pa.list_(pa.float64()))


def _decided(decision: Mapping[str, Any] | None, item: str) -> tuple[float | None, list[str] | None, list[float] | None]:
    """The chance that an item had, the candidates and their chances; None where nothing was recorded."""
    if decision is None:
        return None, None, None
    candidates, chances = decision["candidates"], decision["propensities"]
    return dict(zip(candidates, chances, strict=True)).get(item, 0.0), candidates, chances


def table_of(events: Iterable[Event]) -> pa.Table:
    """Events as rows."""
    columns: dict[str, list[Any]] = {name: [] for name in EVENTS.names}
    for each in events:
        values = (each.student, each.event_id, each.moment, each.item, list(each.skills), each.kind, each.correct)
        for column, value in zip(columns.values(), (*values, each.group or None, each.decision or None), strict=True):
            column.append(value)
    return pa.table([pa.array(columns[name], kind) for name, kind in zip(EVENTS.names, EVENTS.types, strict=True)], schema=EVENTS)


def events_of(log: Log, catalog: Catalog, group: str) -> Iterator[Event]:
    """The rows of a log as events; what it does not say of their kind is the catalog's, their group the given one."""
    kinds = {item.item: item.kind for item in catalog.items}
    wanted = ["student", "event_id", "item", log.skill_column, "kind", "correct", "time", "group"]
    for row in log.table.select([name for name in wanted if name in log.table.column_names]).to_pylist():
        skills = row[log.skill_column]
        names = tuple(sorted(map(str, skills))) if isinstance(skills, list) else (str(skills),)
        who, what = (str(row["event_id"]), str(row["student"])), (str(row["item"]), names)
        kind, moment = row.get("kind") or kinds.get(what[0]) or schema.PRACTICE, moment_of(row["time"])
        yield Event(*who, *what, kind, float(row["correct"]), moment or 0, row.get("group", group) or "")


def log_of(events: Iterable[Event], decisions: Iterable[Decision], only: bool = False) -> Log:
    """Events as a log, each with what was recorded of the decision that it answers, if any; ``only`` such events."""
    table, decided = table_of(events), {each.decision_id: json.loads(each.content) for each in decisions}
    if only:
        table = table.filter(pc.is_in(table["decision_id"], pa.array(decided, pa.string())))
    if not decided or not len(table):
        return Log.from_arrow(table, keep=("decision_id",))
    pairs = zip(table["item"].to_pylist(), table["decision_id"].to_pylist(), strict=True)
    rows = [_decided(decided.get(decision_id), item) for item, decision_id in pairs]
    for name, kind, values in zip(schema.DECISION, DECISION_TYPES, zip(*rows, strict=True), strict=True):
        table = table.append_column(name, pa.array(values, kind))
    return Log.from_arrow(table, keep=("decision_id", *schema.DECISION))
