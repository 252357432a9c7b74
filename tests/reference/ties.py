"""Predictions that know nothing of a response's own time, one student and one response after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

import adaptrace as at


def predicted(model: Any, log: at.Log) -> np.ndarray:
    """Each response by a log of its own: the student's rows of other times before it, and the response."""
    rows = log.table.to_pylist()
    out = np.empty(len(rows))
    for place, row in enumerate(rows):
        before = [at_ for at_ in range(place) if rows[at_]["student"] == row["student"] and moment(rows[at_]) != moment(row)]
        mask = np.zeros(len(rows), bool)
        mask[[*before, place]] = True
        out[place] = model.predict(log.select(mask))[-1]
    return out


def moment(row: dict[str, Any]) -> tuple[Any, ...]:
    """When a response was."""
    return row.get("time"), row.get("order")
