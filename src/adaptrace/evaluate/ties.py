"""Ties: responses of one student at one time, predicted before any of them was learned.

Answers that are stored together have one time. Which of them came first is not known, and perhaps all were given before any was
seen, so a prediction that has learned from the others is no forecast.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.models.base import FollowsStudents, HasNeeds, IgnoresHistory, Model, Response
from adaptrace.models.response import responses_of
from adaptrace.models.student import Student

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

TOGETHER, IN_ORDER = "together", "in-order"


def check_ties(ties: str) -> bool:
    """Whether responses of one time are predicted together; a ValueError if the option is none."""
    if ties not in (TOGETHER, IN_ORDER):
        raise ValueError(f"ties: got {ties!r}; expected '{TOGETHER}' or '{IN_ORDER}'")
    return ties == TOGETHER


def begins(log: Log) -> BoolArray:
    """Whether a row begins another moment of its student, (n_rows,); in a log without time and order every row does."""
    columns = [name for name in ("time", "order") if name in log.table.column_names]
    moments = [np.asarray(schema.combined(log.table[name]).cast(pa.int64())) for name in columns]
    codes = [log.table["student"].chunk(0).indices.to_numpy(), *moments]
    differs = np.logical_or.reduce([np.diff(code) != 0 for code in codes]) if columns else np.ones(max(len(log) - 1, 0), bool)
    return np.concatenate([np.ones(min(len(log), 1), bool), differs])


def held_back(model: Any, log: Log, wanted: BoolArray, predicted: FloatArray) -> FloatArray:
    """Predictions of a log in which no response has learned from others of its time.

    Parameters
    ----------
    model
        Fitted; not changed.
    log
        What is predicted.
    wanted
        (n_rows,): whose predictions are asked for.
    predicted
        (n_rows,): what the model predicts of the log, where each response has learned from all rows before it; not changed.
    """
    if isinstance(model, IgnoresHistory) and model.ignores_history:
        return predicted
    first = begins(log)
    rows = np.flatnonzero(wanted & ~first)
    if not len(rows):
        return predicted
    out = predicted.copy()
    follows = isinstance(model, FollowsStudents) and isinstance(model, HasNeeds)
    out[rows] = _by_states(model, log, first, rows) if follows else _by_shorter_logs(model, log, first, rows)
    return out


# ---- models that keep states ------------------------------------------------


def _by_states(model: Model, log: Log, first: BoolArray, rows: IntArray) -> FloatArray:
    """Every student followed by itself: all responses of a moment are predicted, then all are learned."""
    start, student_of = log.rows.student_start, log.table["student"].chunk(0).indices.to_numpy()
    held, out = np.zeros(len(log), bool), np.full(len(log), np.nan)
    held[rows] = True
    for code in np.unique(student_of[rows]).tolist():
        begin, end = int(start[code]), 1 + int(rows[np.searchsorted(rows, start[code + 1]) - 1])
        student = Student(model, name=str(log.students[code]))
        waiting = list[tuple[str, Response]]()
        for row, (group, response) in zip(range(begin, end), responses_of(log, begin, end), strict=True):
            if first[row]:
                for student.group, each in waiting:
                    student.take(each)
                waiting.clear()
            if held[row]:
                student.group = group
                out[row] = student.state.predict(response._replace(correct=math.nan))
            waiting.append((group, response))
    return out[rows]


# ---- any other model --------------------------------------------------------


def _by_shorter_logs(model: Any, log: Log, first: BoolArray, rows: IntArray) -> FloatArray:
    """One log after another: of each student the rows before a moment and one of its rows, which is predicted from them."""
    start, student_of = log.rows.student_start, log.table["student"].chunk(0).indices.to_numpy()
    before = np.maximum.accumulate(np.where(first, np.arange(len(log)), 0))  # where the moment of each row begins
    student, out = student_of[rows], np.empty(len(rows))
    turn = np.arange(len(rows)) - np.searchsorted(student, student)
    for number in range(int(turn.max()) + 1):
        mine = np.flatnonzero(turn == number)
        mask = np.zeros(len(log), bool)
        for row in rows[mine].tolist():
            mask[start[student_of[row]] : before[row]] = mask[row] = True
        out[mine] = np.asarray(model.predict(log.select(mask)), float)[np.cumsum(mask)[rows[mine]] - 1]
    return out
