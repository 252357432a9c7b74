"""Rows that are one event, put together with dictionaries, one row after the other."""

from __future__ import annotations

from collections import Counter
from typing import Any

Row = dict[str, Any]

EVENT = ("student", "item", "correct", "time", "order", "kind", "response_ms", "event_id")


def events(rows: list[Row]) -> list[tuple[Row, frozenset[str]]]:
    """The first row of each event and the skills of all of its rows, in the order of the first rows.

    Rows are one event if they agree in everything that an event has. A skill that comes a second time begins a second
    event, which its second rows make together.
    """
    found: dict[tuple[Any, ...], tuple[Row, set[str]]] = {}
    met: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        fields = tuple(row.get(name) for name in EVENT)
        skills = frozenset(row["skills"]) if "skills" in row else frozenset([row["skill"]])
        key = (*fields, met[fields, skills])
        met[fields, skills] += 1
        found.setdefault(key, (row, set()))[1].update(skills)
    return [(row, frozenset(skills)) for row, skills in found.values()]
