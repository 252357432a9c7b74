"""Increment: responses that the state has not seen carry its states on; nothing else is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import coded, spread_out
from adaptrace.data.log import Log
from adaptrace.dataset import state as states
from adaptrace.dataset.dataset import Dataset
from adaptrace.dataset.history import read_all, read_students
from adaptrace.dataset.run import Run, Scored
from adaptrace.dataset.staging import FILES, STATE
from adaptrace.dataset.state import ROW, Manifest, StatePart, replaced, row_groups, runs_of, with_plain_numbers
from adaptrace.dataset.student_keys import StudentIndex
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.rows import match
from adaptrace.models.bkt.state_table import LAST, Earlier, mastery_from_states
from adaptrace.models.bkt.state_table import states as states_of

IntArray = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
NOBODY = np.empty(0, np.int64)
T = TypeVar("T")
R = TypeVar("R")

MOST_LATER = 15  # files of a part, beside its base, before they become one
MOST_ROWS = 1_000_000  # students and skills of a part that still takes new students


class IndexedLog:
    """A log whose students are looked up in the parts of a state."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.students = StudentIndex(log.students)

    @cached_property
    def first_time(self) -> IntArray:
        """When the first row of each student was, (n_students,)."""
        return _times(self.log.table)[self.log.rows.student_start[:-1]]


@dataclass(frozen=True, kw_only=True)
class Increment:
    """What carries the states on.

    Attributes
    ----------
    run
        What is scored, and where the outputs go.
    state
        The state before.
    new
        The responses that it has not seen.
    history
        All responses of the students who have late ones; None if nobody has.
    """

    run: Run
    state: Manifest
    new: IndexedLog
    history: IndexedLog | None = None

    @property
    def folder(self) -> Path:
        """Of the state."""
        return Path(self.run.staging.state or "")


class Known(NamedTuple):
    """What a part of the state knows of the students of a log."""

    students: IntArray  # (n_known,) who of them are in the part, by their number in the log
    late: IntArray  # of these, who have rows no later than their state
    pair: IntArray  # (n,) pairs of student and skill of the log that have a state
    row: IntArray  # (n,) of the part
    table: pa.Table  # (n rows) their states


NOTHING = Known(NOBODY, NOBODY, NOBODY, NOBODY, pa.table({}))


class Updated(NamedTuple):
    """A part that was brought up to date."""

    part: StatePart
    written: int  # rows of the output
    changes: pa.Table | None = None  # states that are still to be written as mastery, those of all parts together


def score(run: Run, files: Dataset) -> Scored:
    """Bring the state up to date with files that it has not seen, and write the output."""
    assert run.previous is not None
    run.staging.begin(_plan(run, files))
    increment = Increment(run=run, state=run.previous, new=IndexedLog(read_all(files)))
    state, students = increment.state, increment.new.log.students
    known = _on_threads(run, partial(_look_up, increment, increment.new), state.parts, progress=(0.0, 0.5))
    late = np.concatenate([NOBODY, *[each.late for each in known]])
    if len(late):
        history = read_students(run.dataset, students.take(pa.array(late)), state=state, new=files)
        increment = replace(increment, history=IndexedLog(history))
    tasks = _with_new_students(increment, known)
    updated = _on_threads(run, lambda task: _update(increment, *task), tasks, progress=(0.5, 1.0))
    written = _write_changes(increment, updated) if run.changed else sum(each.written for each in updated)
    seen, parts = (*state.seen, *states.seen(files.files)), tuple(each.part for each in updated)
    now = Manifest(state.model, run.increment, seen, parts, state.texts, state.merge)
    run.staging.finish({"model": state.model, "rows": written}, now)
    return Scored(files.rows, written, late=len(late), notes=(*increment.new.log.notes, *_notes(run, state)))


def _notes(run: Run, state: Manifest) -> tuple[str, ...]:
    """What the reader should know where a state is carried on in another way than it was made."""
    if run.dataset.options.merge == state.merge:
        return ()
    before, now = ("merged", "does not") if state.merge else ("did not merge", "does")
    remedy = "score all files into a new state, so that all of them are read alike"
    return (f"the runs that made the state {before} rows that differ in nothing but the skill, and this one {now}: {remedy}",)


def _plan(run: Run, files: Dataset) -> dict[str, object]:
    new = [[file.name, file.identity] for file in files.files]
    return {"night": run.increment, FILES: new, "changed": run.changed, "at": str(run.time), STATE: run.planned_state}


def _on_threads(run: Run, work: Callable[[T], R], things: Sequence[T], *, progress: tuple[float, float]) -> list[R]:
    """The work on everything, on threads, each keeping to itself; ``progress``: the share that is done before and after."""

    def alone(thing: T) -> R:
        with parallel.alone():
            return work(thing)

    results = []
    with ThreadPoolExecutor(run.workers) as pool:
        for result in pool.map(alone, things):
            results.append(result)
            if run.progress:
                run.progress(progress[0] + (progress[1] - progress[0]) * len(results) / len(things))
    return results


# ---- what the state knows ---------------------------------------------------


def _look_up(increment: Increment, log: IndexedLog, part: StatePart) -> Known:
    """What a part knows of the students of a log."""
    last = np.full(len(log.first_time), NEVER)
    found = [_look_up_rows(log, table, row, last) for table, row in row_groups(increment.folder, increment.state, part)]
    students = np.flatnonzero(last > NEVER)
    late = students[log.first_time[students] <= last[students]]
    if not found:
        return NOTHING
    pair, row = (np.concatenate(each) for each in zip(*[each[:2] for each in found], strict=True))
    table = pa.concat_tables([each[2] for each in found]).unify_dictionaries().combine_chunks()
    if part.later:  # of several for one row the last counts
        order = np.argsort(pair, kind="stable")
        latest = order[np.append(np.diff(pair[order]) > 0, True)] if len(order) else order
        pair, row, table = pair[latest], row[latest], table.take(pa.array(latest))
    return Known(students, late, pair, row, table)


def _look_up_rows(log: IndexedLog, table: pa.Table, row: IntArray, last: IntArray) -> tuple[IntArray, IntArray, pa.Table]:
    """The pairs of a log that some rows of a part know, these rows and their states; notes in ``last`` when students answered."""
    runs, start = runs_of(schema.combined(table["student"]))
    student = log.students.find(runs)
    mine = student >= 0
    if mine.any():
        np.maximum.at(last, student[mine], np.maximum.reduceat(_times(table, "last_"), start[:-1])[mine])
    skill = coded(schema.combined(table["skill"]))
    known = schema.find(skill.dictionary, log.log.skills)[skill.indices.to_numpy()]
    here, pair = space(len(known), np.int64), space(len(known), np.int64)
    found = match(start, student, known, log.log.rows, here, pair)
    return pair[:found], row[here[:found]], table.take(pa.array(here[:found]))


def _times(table: pa.Table, prefix: str = "") -> IntArray:
    """When the rows of a log, or of states, were: microseconds, or the order."""
    name = next(f"{prefix}{name}" for name in LAST if f"{prefix}{name}" in table.column_names)
    return np.asarray(schema.combined(table[name]).cast(pa.int64()))


def _with_new_students(increment: Increment, known: Sequence[Known]) -> list[tuple[StatePart, Known, IntArray]]:
    """Every part, what it knows, and who is new to it: new students go to the last part or, if that is large, to one more."""
    parts = increment.state.parts
    everyone = np.arange(len(increment.new.log.students))
    new = np.setdiff1d(everyone, np.concatenate([NOBODY, *[each.students for each in known]]))
    tasks = [(part, each, NOBODY) for part, each in zip(parts, known, strict=True)]
    if len(new) and parts and parts[-1].rows < MOST_ROWS:
        tasks[-1] = (parts[-1], known[-1], new)
    elif len(new):
        part = StatePart(f"{increment.run.increment:04d}-new.parquet", (), 0)
        tasks.append((part, NOTHING, new))
    return tasks


# ---- carrying it on ---------------------------------------------------------


def _update(increment: Increment, part: StatePart, known: Known, new_students: IntArray) -> Updated:
    """Carry the states of a part over the responses of its students and of new ones, and write what is read off them."""
    run, updates = increment.run, []
    on_time = np.sort(np.concatenate([np.setdiff1d(known.students, known.late), new_students]))
    if len(on_time):
        updates.append(_carried(run, increment.new.log, on_time, known))
    if increment.history is not None and len(known.late):
        names = increment.new.log.students.take(pa.array(known.late))
        late, past = np.sort(increment.history.students.find(names)), _look_up(increment, increment.history, part)
        updates.append(_carried(run, increment.history.log, late, past, anew=True))
    if not updates:
        return Updated(part, 0 if run.changed else _write_mastery(run, part.name, _read(increment, part)))
    changes, row = pa.concat_tables([each for each, _ in updates]), np.concatenate([row for _, row in updates])
    row[row < 0] = part.rows + np.arange((row < 0).sum())
    part, whole = _write_states(increment, part, changes, row)
    return Updated(part, 0, changes) if run.changed else Updated(part, _write_mastery(run, part.name, whole))


def _carried(run: Run, log: Log, students: IntArray, known: Known, *, anew: bool = False) -> tuple[pa.Table, IntArray]:
    """The states after some students of a log, in their order, and which row of the part each replaces; -1 where none."""
    place = np.full(len(log.rows.pair_skill), -1)
    place[known.pair] = np.arange(len(known.pair))
    mine = place[spread_out(log.rows.pair_start, students)]
    earlier = None if anew or not len(known.pair) else Earlier(known.table, mine)
    row = np.append(known.row, -1)[mine]
    return with_plain_numbers(states_of(run.model.fitted, log.of_students(students), earlier=earlier)), row


def _write_states(increment: Increment, part: StatePart, changes: pa.Table, row: IntArray) -> tuple[StatePart, pa.Table | None]:
    """Write what changed in a part, or all of it after many runs; all of its states, where they are needed."""
    run = increment.run
    name, full = f"{run.increment:04d}-{part.name}", len(part.later) >= MOST_LATER
    whole = changes if not part.rows else None
    if part.rows and (full or not run.changed):
        whole = replaced(_read(increment, part), changes, row)
    rows = part.rows + int((row >= part.rows).sum())
    if not part.rows or full:
        part = StatePart(name, (), rows)
        states.write_part(whole, run.staging.new_state / name)
    else:
        part = StatePart(part.base, (*part.later, name), rows)
        states.write_part(changes.append_column(ROW, pa.array(row)), run.staging.new_state / name)
    return part, whole


def _write_changes(increment: Increment, updated: Sequence[Updated]) -> int:
    """Write the mastery of all that changed, if only an empty table."""
    changes = [each.changes for each in updated if each.changes is not None]
    if not changes:
        changes = [_read(increment, part).slice(0, 0) for part in increment.state.parts[:1]]
    if not changes:
        return 0
    return _write_mastery(increment.run, "changed.parquet", pa.concat_tables(changes).unify_dictionaries())


def _write_mastery(run: Run, name: str, table: pa.Table) -> int:
    states.write_part(
        mastery_from_states(run.model.fitted, table, time=run.time), run.staging.new_out / name, compression="snappy"
    )
    return len(table)


def _read(increment: Increment, part: StatePart) -> pa.Table:
    return states.read_part(increment.folder, increment.state, part)
