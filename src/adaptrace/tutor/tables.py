"""Tables that the tutor reads and gives: events, mastery with its evidence, and the log to fit a model to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.times import time_of
from adaptrace.errors import StoreError
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion
from adaptrace.models.response import moment_of
from adaptrace.models.student import Student
from adaptrace.tutor.replay import MasteryHistory
from adaptrace.tutor.store.base import Correction, Decision, Event

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
WAITING = pa.schema([("event_id", pa.string()), ("student", pa.string()), ("replaced_by", pa.string())])
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
Chances = dict[str, float]  # of each candidate of a decision


def mastery_of(student: Student, history: MasteryHistory, criterion: Criterion, moment: int | None) -> pa.Table:
    """A row per skill that a student met, with the mastery at a moment."""
    rows = []
    for skill, n in sorted(student.opportunities.items()):  # a damaged state may know of skills without events: see verify()
        mastery, kinds = student.mastery_at(skill, moment), history.moved.get(skill, {})
        row = {
            "skill": skill,
            "mastery": mastery,
            "verdict": criterion.verdict(skill, mastery=mastery, opportunities=n),
            "opportunities": n,
            "last_time": time_of(history.last[skill][0]) if skill in history.last else None,
            "reached_after": history.reached.get(skill),
            "wheel_spinning": n >= WHEEL_SPINNING and skill not in history.reached,
            "evidence": [{"kind": kind, "n": count, "moved": moved} for kind, (count, moved) in kinds.items()],
        }
        rows.append(row)
    return pa.Table.from_pylist(rows, MASTERY)


def table_of(events: Iterable[Event]) -> pa.Table:
    """A row per event."""
    columns: dict[str, list[Any]] = {name: [] for name in EVENTS.names}
    for each in events:
        values = (each.student, each.event_id, each.moment, each.item, list(each.skills), each.kind, each.correct)
        for column, value in zip(columns.values(), (*values, each.group or None, each.decision or None), strict=True):
            column.append(value)
    return pa.table([pa.array(columns[name], kind) for name, kind in zip(EVENTS.names, EVENTS.types, strict=True)], schema=EVENTS)


def waiting_of(corrections: Iterable[Correction]) -> pa.Table:
    """A row per correction or retraction that waits."""
    rows = [(each.original, each.student or None, each.event_id or None) for each in corrections if each.content]
    return pa.Table.from_pylist([dict(zip(WAITING.names, row, strict=True)) for row in rows], WAITING)


def events_of(log: Log, catalog: Catalog, group: str) -> Iterator[Event]:
    """The events of a log's rows; a row without a kind has the catalog's, a row without a group the given one."""
    kinds = {item.item: item.kind for item in catalog.items}
    wanted = ["student", "event_id", "item", log.skill_column, "kind", "correct", "time", "group"]
    for row in log.table.select([name for name in wanted if name in log.table.column_names]).to_pylist():
        skills = row[log.skill_column]
        names = tuple(sorted(map(str, skills))) if isinstance(skills, list) else (str(skills),)
        who, what = (str(row["event_id"]), str(row["student"])), (str(row["item"]), names)
        kind, moment = row.get("kind") or kinds.get(what[0]) or schema.PRACTICE, moment_of(row["time"])
        yield Event(*who, *what, kind, float(row["correct"]), moment or 0, row.get("group", group) or "")


# ---- events with the decisions that they answer --------------------------------


def log_of(events: Iterable[Event], decisions: Iterable[Decision], *, decided: bool = False) -> Log:
    """Events as a log, each with the decision that it answers, if one was recorded; ``decided``: only such events.

    Raises
    ------
    StoreError
        If a decision cannot be read.
    """
    table, decisions_by_id = table_of(events), {each.decision_id: chances_of(each) for each in decisions}
    if decided:
        table = table.filter(pc.is_in(table["decision_id"], pa.array(decisions_by_id, pa.string())))
    if not decisions_by_id or not len(table):
        return Log.from_arrow(table, keep=("decision_id",))
    pairs = zip(table["item"].to_pylist(), table["decision_id"].to_pylist(), strict=True)
    rows = [_decision_columns(decisions_by_id.get(decision_id), item) for item, decision_id in pairs]
    for name, kind, values in zip(schema.DECISION, DECISION_TYPES, zip(*rows, strict=True), strict=True):
        table = table.append_column(name, pa.array(values, kind))
    return Log.from_arrow(table, keep=("decision_id", *schema.DECISION))


def chances_of(decision: Decision) -> Chances:
    """The chance of each candidate of a decision.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        content = json.loads(decision.content)
        chances = dict(zip(content["candidates"], map(float, content["propensities"]), strict=True))
        if all(isinstance(item, str) for item in chances):
            return chances
    except (ValueError, LookupError, TypeError, RecursionError):
        pass
    raise StoreError(
        f"decision_id '{decision.decision_id}' cannot be read: expected JSON with candidates and propensities; restore a snapshot"
    )


def _decision_columns(chances: Chances | None, item: str) -> tuple[float | None, list[str] | None, list[float] | None]:
    """The chance of an item, the candidates and their chances; None where no decision was recorded."""
    return (None, None, None) if chances is None else (chances.get(item, 0.0), list(chances), list(chances.values()))
