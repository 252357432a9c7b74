"""Tables of a fitted BKT's passes over a log: mastery after every response, in hindsight, and the moment of learning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.models.bkt.fitted import FittedBKT
from adaptrace.models.bkt.state_table import LAST


def trace_table(fitted: FittedBKT, log: Log) -> pa.Table:
    """What :meth:`BKT.trace <adaptrace.BKT.trace>` returns."""
    traced = fitted.trace(log, with_mastery=True)
    columns = _entries(log)
    row = np.repeat(np.arange(len(log)), np.diff(log.rows.skill_start)) if log.has_several_skills else None
    columns["predicted"] = traced.predicted if row is None else traced.predicted[row]
    columns["mastery"] = traced.mastery
    for name in LAST:
        if name in log.table.column_names:
            columns[name] = log.table[name] if row is None else log.table[name].take(pa.array(row))
    return pa.table(columns)


def smooth_table(fitted: FittedBKT, log: Log) -> pa.Table:
    """What :meth:`BKT.smooth <adaptrace.BKT.smooth>` returns."""
    smoothed = fitted.smooth(log)
    return pa.table({**_entries(log), "known": smoothed.known, "learned": smoothed.learned})


def learning_moments(fitted: FittedBKT, log: Log) -> pa.Table:
    """What :meth:`BKT.learning_moments <adaptrace.BKT.learning_moments>` returns."""
    rows, smoothed = log.rows, fitted.smooth(log)
    n_pairs = len(rows.pair_skill)
    start, known, learned = np.zeros(n_pairs), np.zeros(n_pairs), np.zeros(n_pairs)
    first = rows.opportunity == 1
    start[rows.pair[first]] = smoothed.known[first]
    known[rows.pair] = smoothed.known  # at the last response
    learned[rows.pair] = smoothed.learned
    never = np.maximum(1.0 - known - learned, 0.0)
    best, moment = np.zeros(n_pairs), np.zeros(n_pairs, np.int32)
    order = np.argsort(smoothed.learned, kind="stable")
    best[rows.pair[order]], moment[rows.pair[order]] = smoothed.learned[order], rows.opportunity[order]
    moment = np.where(start >= best, 0, moment)
    best = np.maximum(start, best)
    owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
    return pa.table(
        {
            "student": pa.DictionaryArray.from_arrays(owner, log.students),
            "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
            "moment": pa.array(moment, mask=never > best),
            "probability": np.maximum(best, never),
        }
    )


def _entries(log: Log) -> dict[str, Any]:
    """Student, skill, opportunity and outcome of every response and skill."""
    rows, student, correct = log.rows, log.table["student"].chunk(0).indices.to_numpy(), log.rows.correct
    if log.has_several_skills:
        entries = np.diff(rows.skill_start)
        student, correct = np.repeat(student, entries), np.repeat(correct, entries)
    return {
        "student": pa.DictionaryArray.from_arrays(student, log.students),
        "skill": pa.DictionaryArray.from_arrays(rows.pair_skill[rows.pair], log.skills),
        "opportunity": rows.opportunity,
        "correct": correct,
    }
