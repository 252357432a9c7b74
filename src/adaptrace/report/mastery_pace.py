"""Pace: how long mastery takes, and who does not reach it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import DAY, Log
from adaptrace.errors import DataError, Problem
from adaptrace.models import Traces, require
from adaptrace.models.bkt.state_table import LAST
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion
from adaptrace.report.disclosure import bounded_share, withhold
from adaptrace.report.mastery_table import IntArray, NumberedNames
from adaptrace.report.rollups import check, numbers_of
from adaptrace.report.roster import Sums, Tally

HOURS = 24  # a day: the grain of times to mastery
QUARTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}


class Attainment(NamedTuple):
    """What each student reached on each skill they met: arrays (n_pairs,)."""

    student: IntArray  # position among the log's students
    skill: IntArray  # position among the log's skills
    opportunities: IntArray
    first: IntArray  # the opportunity right after which the skill was first mastered; 0 if none
    best: NDArray[np.float64]  # the highest mastery
    mastery: NDArray[np.float64]  # after the last response
    start_row: IntArray  # rows of the log: of the first response,
    first_row: IntArray  # of the one that mastered it (if none, any),
    last_row: IntArray  # and of the last


def attainment_of(log: Log, model: Traces, threshold: float) -> Attainment:
    """What each student of a log reached on each skill they met."""
    rows, mastery = log.rows, require(model, Traces, "attainment").trace(log)["mastery"].to_numpy()
    n_pairs, row = len(rows.pair_skill), np.repeat(np.arange(len(log)), np.diff(rows.skill_start))
    start, first, last = (np.zeros(n_pairs, np.int64) for _ in range(3))  # entries
    backwards = np.arange(len(row))[::-1]
    reached = backwards[mastery[::-1] >= threshold]
    start[rows.pair[::-1]], first[rows.pair[reached]], last[rows.pair] = backwards, reached, backwards[::-1]
    ever, best = np.zeros(n_pairs, bool), np.zeros(n_pairs)
    ever[rows.pair[reached]] = True
    np.maximum.at(best, rows.pair, mastery)
    return Attainment(
        np.repeat(np.arange(len(log.students)), np.diff(rows.pair_start)),
        rows.pair_skill.astype(np.int64),
        rows.opportunity[last].astype(np.int64),
        np.where(ever, rows.opportunity[first], 0).astype(np.int64),
        best,
        mastery[last],
        *(row[entry] for entry in (start, first, last)),
    )


# ---- pace -------------------------------------------------------------------


def pace(
    logs: Log | Iterable[Log],
    model: Traces,
    *,
    by: str | Sequence[str] = "skill",
    roster: Any = None,
    threshold: float = Criterion.threshold,
    min_students: int = 10,
) -> pa.Table:
    """Responses and days until mastery, by skill or what else a roster tells.

    A student *reached* a skill with the response right after which mastery was first ``threshold`` or above; days count from the
    first response on the skill. Quartiles are of those who reached it alone: read them beside the share who did. They are values
    that occurred (the smallest that so many do not exceed), days in whole hours, and null where fewer than ``min_students`` pairs
    reached it. What is withheld, and how shares are bounded: as in :func:`~adaptrace.report.mastery_by`.

    Parameters
    ----------
    logs
        A log, or logs that come one by one and share no student: only counts are kept of each.
    model
        A fitted model that knows mastery: a BKT or a Blend.
    by, roster, threshold, min_students
        As in :func:`~adaptrace.report.mastery_by`.

    Returns
    -------
    pyarrow.Table
        A row a cell, sorted: the columns of ``by``; ``students``; ``pairs`` (a student on a skill); ``reached`` and ``stuck``,
        the shares of pairs that reached it, and that did not in 10 opportunities or more (wheel-spinning; Beck & Gong, 2013);
        ``responses_q25``, ``responses_median``, ``responses_q75``, and the same of ``days`` (null without times);
        ``withheld``.

    Raises
    ------
    ValueError
        If ``by``, ``threshold`` or ``min_students`` cannot be.
    DataError
        If a student is in two logs, or the roster lacks a column.
    ModelError
        If the model is not fitted, or does not know mastery.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> log = at.Log.from_arrow({"student": ["Ada"] * 3, "item": [1, 2, 3], "skill": ["halves"] * 3, "correct": [0, 1, 1]})
    >>> at.report.pace(log, model, min_students=1).select(["skill", "reached", "responses_median"]).to_pylist()
    [{'skill': 'halves', 'reached': 1.0, 'responses_median': 3.0}]
    """
    check(threshold, min_students)
    require(model, Traces, "pace")
    tally, once = Tally(by, roster, "reached", "stuck"), DistinctStudents()
    values = {name: Sums(("cell", "value"), ("n",)) for name in ("responses", "days")}
    for log in [logs] if isinstance(logs, Log) else logs:
        once.add(log)
        _add_log(tally, values, log, attainment_of(log, model, threshold))
    cells = tally.total()
    of = numbers_of(cells)
    figures = {
        "pairs": of["pairs"],
        **{name: bounded_share(of[name], of["pairs"], min_students) for name in ("reached", "stuck")},
    }
    cell = cells["cell"].to_numpy()
    for name, sums in values.items():
        scale = HOURS if name == "days" else 1
        for quartile, found in _quartiles(sums.total(), cell, min_students).items():
            figures[f"{name}_{quartile}"] = found / scale
    return withhold(cells, tally.by, figures, min_students)


class DistinctStudents:
    """Checks that logs share no student."""

    def __init__(self) -> None:
        self._students = NumberedNames()

    def add(self, log: Log) -> None:
        """Take the students of a log; a DataError if one was in a log before."""
        before = len(self._students.known)
        again = np.flatnonzero(self._students.codes(log.students) < before)
        if len(again):
            got, remedy = "a student of an earlier log", "partition the responses by student"
            row = int(log.source_row[log.rows.student_start[again[0]]]) + 1
            raise DataError("logs", [Problem(got, "every student in one log", remedy, "student", row, len(again) - 1)])


def _add_log(tally: Tally, values: dict[str, Sums], log: Log, found: Attainment) -> None:
    """Add one log's pairs, and how often each number of responses and hours occurred."""
    student = tally.students.codes(log.students)[found.student]
    skill = tally.skills.codes(log.skills)[found.skill]
    reached = found.first > 0
    stuck = ~reached & (found.opportunities >= WHEEL_SPINNING)
    tally.add(student, skill, pairs=np.ones(len(student)), reached=reached, stuck=stuck)
    row, cell = tally.cells(student[reached], skill[reached])
    one = np.ones(len(row), np.int64)
    values["responses"].add({"cell": cell, "value": found.first[reached][row], "n": one})
    known = one[:0]
    if "time" in log.table.column_names:
        known = (log.moments[found.first_row] - log.moments[found.start_row])[reached][row] // int(DAY / HOURS)
    timed = slice(0, len(known))
    values["days"].add({"cell": cell[timed], "value": known, "n": one[timed]})


def _quartiles(counts: pa.Table, cells: IntArray, min_students: int) -> dict[str, NDArray[np.float64]]:
    """Quartiles of each cell's values, given how often each occurred; nan of fewer than a minimum."""
    cell, value, n = (counts[name].to_numpy() for name in ("cell", "value", "n"))
    running = np.append(0, np.cumsum(n))
    first, last = np.searchsorted(cell, cells), np.searchsorted(cell, cells, side="right")
    total = running[last] - running[first]
    enough = total >= min_students
    found = {}
    for name, share in QUARTILES.items():
        rank = running[first] + np.ceil(share * total).astype(np.int64)  # 1-based, among all
        place = np.searchsorted(running[1:], rank)
        found[name] = np.full(len(cells), np.nan)
        found[name][enough] = value[place[enough]]
    return found


# ---- stuck ------------------------------------------------------------------

TEXT, REAL = pa.string(), pa.float64()
NOBODY = {"student": TEXT, "skill": TEXT, "opportunities": pa.int64(), "best": REAL, "mastery": REAL}


def stuck(
    logs: Log | Iterable[Log], model: Traces, *, opportunities: int = WHEEL_SPINNING, threshold: float = Criterion.threshold
) -> pa.Table:
    """Students who are stuck: many opportunities on a skill, and never mastered (wheel-spinning; Beck & Gong, 2013).

    Parameters
    ----------
    logs
        A log, or logs that come one by one and share no student.
    model
        A fitted model that knows mastery: a BKT or a Blend.
    opportunities
        How many are many.
    threshold
        The mastery that counts as mastered.

    Returns
    -------
    pyarrow.Table
        A row a student and skill, those with most opportunities first: ``student``, ``skill`` (text), ``opportunities``, ``best``
        mastery after any response, ``mastery`` after the last, and ``last_time`` or ``last_order`` if every log has it.

    Raises
    ------
    ValueError
        If ``threshold`` or ``opportunities`` cannot be.
    DataError, ModelError
        As in :func:`pace`, but for the roster.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves"], prior=0.3, learn=0.1, guess=0.1, slip=0.1)
    >>> log = at.Log.from_arrow({"student": ["Ada"] * 10, "item": range(10), "skill": ["halves"] * 10, "correct": [0] * 10})
    >>> at.report.stuck(log, model).select(["student", "skill", "opportunities"]).to_pylist()
    [{'student': 'Ada', 'skill': 'halves', 'opportunities': 10}]
    """
    check(threshold)
    if not opportunities >= 1:
        raise ValueError(f"opportunities: got {opportunities}; expected 1 or more")
    require(model, Traces, "stuck")
    once, tables = DistinctStudents(), list[pa.Table]()
    for log in [logs] if isinstance(logs, Log) else logs:
        once.add(log)
        tables.append(_stuck_in(log, attainment_of(log, model, threshold), opportunities))
    tables = tables or [pa.schema(NOBODY).empty_table()]
    shared = [name for name in tables[0].column_names if all(name in table.column_names for table in tables)]
    together = pa.concat_tables([table.select(shared) for table in tables])
    return together.sort_by([("opportunities", "descending"), ("student", "ascending"), ("skill", "ascending")])


def _stuck_in(log: Log, found: Attainment, opportunities: int) -> pa.Table:
    """The rows of one log."""
    chosen = np.flatnonzero((found.first == 0) & (found.opportunities >= opportunities))
    columns = {
        "student": schema.as_text(log.students.take(pa.array(found.student[chosen]))),
        "skill": schema.as_text(log.skills.take(pa.array(found.skill[chosen]))),
        **{name: getattr(found, name)[chosen] for name in ("opportunities", "best", "mastery")},
    }
    for name in LAST:
        if name in log.table.column_names:
            columns[f"last_{name}"] = schema.combined(log.table[name]).take(pa.array(found.last_row[chosen]))
    return pa.table(columns)
