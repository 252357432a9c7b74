"""Night: tonight's rows carry yesterday's states on; nothing else is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import coded, spread_out
from adaptrace.data.log import Log
from adaptrace.dataset import state as states
from adaptrace.dataset.partition import log_of
from adaptrace.dataset.state import ROW, Group, Part, State, plain, replaced, runs_of
from adaptrace.dataset.student_keys import Names
from adaptrace.dataset.survey import NAMES, Dataset, File, sort_of
from adaptrace.errors import DataError, Problem
from adaptrace.io.files import Source
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.rows import match
from adaptrace.models.base import Progress
from adaptrace.models.bkt.state_table import LAST, Earlier, mastery_from_states
from adaptrace.models.bkt.state_table import states as states_of

if TYPE_CHECKING:
    from adaptrace.dataset.job import Job

IntArray = NDArray[np.int64]
NEVER = np.iinfo(np.int64).min
T = TypeVar("T")
R = TypeVar("R")

MOST_LATER = 15  # files of a part, beside its base, before they become one
MOST_ROWS = 1_000_000  # students and skills of a part that still takes new students


@dataclass(frozen=True)
class Answers:
    """A log whose students are looked up in the state.

    Attributes
    ----------
    log
        The log.
    students
        Its students.
    """

    log: Log
    students: Names

    @classmethod
    def of(cls, log: Log) -> Answers:
        """Of a log."""
        return cls(log, Names(log.students))

    @cached_property
    def first(self) -> IntArray:
        """When the first row of each student was, (n_students,)."""
        return _moments(self.log.table)[self.log.rows.student_start[:-1]]


@dataclass(frozen=True)
class Tonight:
    """What a night knows.

    Attributes
    ----------
    whole
        The files that were given: the whole log, or just what is new.
    fresh
        Those that the state has not seen.
    job
        How things are done.
    known
        The state before.
    changed
        Whether only what changes is written.
    new
        The rows of the fresh files.
    """

    whole: Dataset
    fresh: Dataset
    job: Job
    known: State
    changed: bool
    new: Answers

    @classmethod
    def read(cls, whole: Dataset, fresh: Dataset, job: Job, known: State, changed: bool) -> Tonight:
        """What is known once the fresh files are read."""
        return cls(whole, fresh, job, known, changed, Answers.of(_read(fresh)))

    @property
    def folder(self) -> Path:
        """Of the state."""
        return Path(self.job.work.state or "")


class Standing(NamedTuple):
    """What a part of the state knows of those who answered."""

    here: IntArray  # (n_here,) who of them stand in it, by number
    last: IntArray  # (n_here,) when their last row was
    pair: IntArray  # (n,) pairs of their log that are known
    row: IntArray  # (n,) of the part
    table: pa.Table  # (n rows) their states


class Outcome(NamedTuple):
    """What a night made of one part."""

    part: Part
    written: int  # rows of the output
    here: IntArray  # tonight's students who stand in it, by number
    late: IntArray  # of these, who have rows no later than their state
    changes: pa.Table | None = None  # states that are still to be written as mastery: all parts' together


def score(tonight: Tonight, progress: Callable[[float], None] | None) -> tuple[int, int]:
    """Bring the state up to date with the files that it has not seen, and write the output.

    Returns
    -------
    tuple of int
        Rows of the output, and how many students were scored anew because rows older than their state came in.
    """
    job, known, log = tonight.job, tonight.known, tonight.new.log
    job.work.begin(_plan(tonight))
    nobody = np.empty(0, np.int64)
    outcomes = _each(job.workers, lambda part: _bring_up(tonight, None, part, nobody), known.parts, progress)
    new = np.setdiff1d(np.arange(len(log.students)), np.concatenate([nobody, *[each.here for each in outcomes]]))
    late = np.concatenate([nobody, *[each.late for each in outcomes]])
    history = Answers.of(_history(tonight, log.students.take(pa.array(late)))) if len(late) else None
    for at, (part, outcome) in enumerate(zip(known.parts, outcomes, strict=True)):
        joins = new if at == len(outcomes) - 1 and part.rows < MOST_ROWS else nobody
        if len(outcome.late) or len(joins):
            outcomes[at] = _bring_up(tonight, history, part, joins)
            new = np.setdiff1d(new, joins)
    if len(new):
        outcomes.append(_bring_up(tonight, None, Part(f"{job.night:04d}-new.parquet", (), 0), new))
    seen = (*known.seen, *states.seen(tonight.fresh.files))
    parts = tuple(outcome.part for outcome in outcomes)
    written = _write_changes(tonight, outcomes) if tonight.changed else sum(outcome.written for outcome in outcomes)
    state = State(known.model, job.night, seen, parts, known.texts)
    job.work.finish({"model": known.model, "rows": written}, state)
    return written, len(late)


def _plan(tonight: Tonight) -> dict[str, object]:
    fresh = [[file.name, file.identity] for file in tonight.fresh.files]
    return {"night": tonight.job.night, "fresh": fresh, "changed": tonight.changed, "at": str(tonight.job.time)}


def _each(workers: int, work: Callable[[T], R], things: Sequence[T], progress: Progress | None = None) -> list[R]:
    """The work on everything, on threads, each keeping to itself."""

    def alone(thing: T) -> R:
        with parallel.alone():
            return work(thing)

    results = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(alone, things):
            results.append(result)
            if progress:
                progress(len(results) / len(things))
    return results


# ---- rows of the log --------------------------------------------------------


def _read(dataset: Dataset) -> Log:
    """All rows of a dataset."""
    tables = [dataset.read_file(file) for file in dataset.files]
    with_rows = pa.concat_tables([each.table for each in tables]) if tables else _nothing(dataset)
    names, sizes = tuple(map(dataset.label, dataset.files)), tuple(file.rows for file in dataset.files)
    whole = Source(dataset.source, with_rows, names, sizes)
    with whole.located():
        return log_of(dataset, whole.table)


def _nothing(dataset: Dataset) -> pa.Table:
    codes = {
        name: pa.dictionary(pa.int32(), kind) if sort_of(kind) == "text" and name in NAMES else kind
        for name, kind in dataset.types.items()
    }
    return pa.schema(list(codes.items())).empty_table()


def _history(tonight: Tonight, names: pa.Array) -> Log:
    """All responses of some students, from the whole log.

    Raises
    ------
    DataError
        If files that the state has seen are not there.
    """
    there = {(file.name, file.identity) for file in tonight.whole.files}
    gone = [each.name for each in tonight.known.seen if (each.name, each.identity) not in there]
    if gone:
        got = f"rows of {len(names):,} students that are no later than what the state knows of them, e.g. of '{names[0]}'"
        expected = f"only later ones, or the whole log: {len(gone):,} files are not there, e.g. {gone[0]}"
        raise DataError(
            tonight.whole.source, [Problem(got, expected, "give the whole log: these students are scored anew from it")]
        )
    wanted = Names(names)
    found = [each for file in tonight.whole.files if len((each := _rows_of(tonight.whole, file, wanted)).row)]
    try:
        return log_of(tonight.whole, pa.concat_tables(each.table for each in found))
    except DataError:  # tonight's rows do not agree with what was there: say where they are
        found.sort(key=lambda each: each.file in tonight.fresh.files)
        source = _source_of(tonight.whole, found)
        with source.located():
            log_of(tonight.whole, source.table)
        raise


class Taken(NamedTuple):
    """Rows of some students, from a file."""

    file: File
    row: IntArray  # (n,) of the file
    table: pa.Table


def _rows_of(dataset: Dataset, file: File, students: Names) -> Taken:
    tables, rows, first = [], [], 0
    for piece in dataset.only([file]).pieces(MOST_ROWS):
        runs, starts = runs_of(schema.combined(dataset.read(piece, ["student"]).table["student"]))
        mine = np.flatnonzero(np.repeat(students.find(runs) >= 0, np.diff(starts)))
        rows.append(first + mine)
        tables.append(dataset.read(piece).table.take(pa.array(mine)) if len(mine) else _nothing(dataset))
        first += piece.rows
    return Taken(file, np.concatenate(rows), pa.concat_tables(tables))


def _source_of(dataset: Dataset, found: Sequence[Taken]) -> Source:
    """Where the rows of files, one after another, came from."""
    sizes = tuple(each.file.rows for each in found)
    rows = np.concatenate([each.row + sum(sizes[:number]) for number, each in enumerate(found)])
    table = pa.concat_tables(each.table for each in found)
    return Source(dataset.source, table, tuple(dataset.label(each.file) for each in found), sizes, rows)


def _moments(table: pa.Table, prefix: str = "") -> IntArray:
    """When the rows of a log, or of states, were: microseconds, or the order."""
    name = next(f"{prefix}{name}" for name in LAST if f"{prefix}{name}" in table.column_names)
    return np.asarray(schema.combined(table[name]).cast(pa.int64()))


# ---- parts of the state -----------------------------------------------------


def _standing(tonight: Tonight, part: Part, answers: Answers) -> Standing:
    """What a part knows of those who answered."""
    last = np.full(len(answers.first), NEVER)
    found = [_among(answers, table, last) for table in states.groups(tonight.folder, tonight.known, part) if part.rows]
    here = np.flatnonzero(last > NEVER)
    if not found:
        return Standing(here, last[here], here, here, pa.table({}))
    pair, row = (np.concatenate(each) for each in zip(*[each[:2] for each in found], strict=True))
    table = pa.concat_tables([each[2] for each in found]).unify_dictionaries().combine_chunks()
    if part.later:  # of several for one row the last counts
        order = np.argsort(pair, kind="stable")
        latest = order[np.append(np.diff(pair[order]) > 0, True)] if len(order) else order
        pair, row, table = pair[latest], row[latest], table.take(pa.array(latest))
    return Standing(here, last[here], pair, row, table)


def _among(answers: Answers, group: Group, last: IntArray) -> tuple[IntArray, IntArray, pa.Table]:
    """The pairs that a row group knows, their rows of the part and their states; ``last`` learns when students answered."""
    runs, start = runs_of(schema.combined(group.table["student"]))
    student = answers.students.find(runs)
    mine = student >= 0
    if mine.any():
        np.maximum.at(last, student[mine], np.maximum.reduceat(_moments(group.table, "last_"), start[:-1])[mine])
    skill = coded(schema.combined(group.table["skill"]))
    known = schema.find(skill.dictionary, answers.log.skills)[skill.indices.to_numpy()]
    at, pair = space(len(known), np.int64), space(len(known), np.int64)
    found = match(start, student, known, answers.log.rows, at, pair)
    return pair[:found], group.rows(at[:found]), group.table.take(pa.array(at[:found]))


def _bring_up(tonight: Tonight, history: Answers | None, part: Part, new: IntArray) -> Outcome:
    """Carry a part over tonight's rows of its students, and of ``new`` ones that go to it.

    If some have late rows, nothing is done until there is their ``history``.
    """
    job, answers, updates = tonight.job, tonight.new, []
    standing = _standing(tonight, part, answers)
    here, late = standing.here, standing.here[answers.first[standing.here] <= standing.last]
    if len(late) and history is None:
        return Outcome(part, 0, here, late)
    on_time = np.sort(np.concatenate([np.setdiff1d(here, late) if len(late) else here, new]))
    if len(on_time):
        updates.append(_carried(job, answers.log, on_time, standing))
    if history is not None and len(late):
        theirs = np.sort(history.students.find(answers.log.students.take(pa.array(late))))
        updates.append(_carried(job, history.log, theirs, _standing(tonight, part, history), anew=True))
    if not updates:
        return Outcome(part, 0 if tonight.changed else _write_whole(tonight, part), here, late)
    changes, row = pa.concat_tables([each for each, _ in updates]), np.concatenate([row for _, row in updates])
    row[row < 0] = part.rows + np.arange((row < 0).sum())
    part, whole = _written(tonight, part, changes, row)
    if tonight.changed:
        return Outcome(part, 0, here, late, changes)
    return Outcome(part, _write_mastery(job, part.name, whole), here, late)


def _carried(job: Job, log: Log, students: IntArray, standing: Standing, *, anew: bool = False) -> tuple[pa.Table, IntArray]:
    """The states after some students of a log, in their order, and which row of the part each replaces; -1 where none."""
    place = np.full(len(log.rows.pair_skill), -1)
    place[standing.pair] = np.arange(len(standing.pair))
    mine = place[spread_out(log.rows.pair_start, students)]
    earlier = None if anew or not len(standing.pair) else Earlier(standing.table, mine)
    row = np.append(standing.row, -1)[mine]
    return plain(states_of(job.model.fitted, log.of_students(students), earlier=earlier)), row


def _written(tonight: Tonight, part: Part, changes: pa.Table, row: IntArray) -> tuple[Part, pa.Table | None]:
    """Write what changed in a part, or all of it after many nights; all of its states, where they are needed."""
    place, name = tonight.job.work.states, f"{tonight.job.night:04d}-{part.name}"
    whole = changes if not part.rows else None
    if part.rows and (len(part.later) >= MOST_LATER or not tonight.changed):
        whole = replaced(states.read_part(tonight.folder, tonight.known, part), changes, row)
    rows = part.rows + int((row >= part.rows).sum())
    if not part.rows or len(part.later) >= MOST_LATER:
        part = Part(name, (), rows)
        states.write_part(whole, place / name)
    else:
        part = Part(part.base, (*part.later, name), rows)
        states.write_part(changes.append_column(ROW, pa.array(row)), place / name)
    return part, whole


def _write_changes(tonight: Tonight, outcomes: Sequence[Outcome]) -> int:
    """Write the mastery of all that changed, if only an empty table."""
    changes = [outcome.changes for outcome in outcomes if outcome.changes is not None]
    if not changes:
        changes = [states.read_part(tonight.folder, tonight.known, part).slice(0, 0) for part in tonight.known.parts[:1]]
    return _write_mastery(tonight.job, "changed.parquet", pa.concat_tables(changes).unify_dictionaries())


def _write_whole(tonight: Tonight, part: Part) -> int:
    """Write the mastery of a part where nothing changed."""
    return _write_mastery(tonight.job, part.name, states.read_part(tonight.folder, tonight.known, part))


def _write_mastery(job: Job, name: str, table: pa.Table) -> int:
    states.write_part(mastery_from_states(job.model.fitted, table, time=job.time), job.work.parts / name, compression="snappy")
    return len(table)
