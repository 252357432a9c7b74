"""Folds: which rows a model is fitted to, and which it is tested on. A row is tested in one fold, or in none (fold -1)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.data.times import MICROSECOND, microseconds, time_of
from adaptrace.errors import DataError, Problem

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

NO_FOLDS = ("correct", "time", "order", "skills", "response_ms", "event_id")  # columns that hold no folds
TRAIN, TEST = "train", "test"


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Which fold tests which row."""

    fold: IntArray  # (n_rows,) the fold that tests the row; -1: none
    names: tuple[str, ...]  # of the folds
    forward: bool = False  # whether a fold is fitted to the folds before it, and not to all others
    together: bool = False  # whether responses of one student and time are predicted before any of them is learned

    def train(self, number: int) -> BoolArray:
        """The rows that the fold's model is fitted to."""
        return self.fold < number if self.forward else self.fold != number

    def history(self, log: Log, number: int) -> BoolArray:
        """The rows that predictions of the fold use: all of its students' rows; if ``forward``, only those up to its end."""
        student = log.table["student"].chunk(0).indices.to_numpy()
        met = np.zeros(len(log.students), bool)
        met[student[self.fold == number]] = True
        known = self.fold <= number if self.forward else True
        return np.asarray(met[student] & known)


def plan_of(log: Log, by: str, folds: int, seed: int) -> FoldPlan:
    """Folds of students or items, blocks of the calendar, or the values of a column: see :func:`adaptrace.cross_validate`."""
    if by not in ("student", "item", "time") and by not in _columns(log):
        raise ValueError(f"by: got {by!r}; expected student, item, time or a column of the log: {', '.join(_columns(log))}")
    _not_empty(log)
    if by in _columns(log):
        return _from_column(log, by)
    whole("folds", folds, 2)
    return _blocks(log, folds) if by == "time" else _assigned(log, by, folds, seed)


def _columns(log: Log) -> list[str]:
    """The columns that may hold folds."""
    names = [name for name in log.table.column_names if name not in (*NO_FOLDS, "student", "item")]
    return [*names, *(name for name in ("kind", "group") if name not in names)]


def _assigned(log: Log, by: str, folds: int, seed: int) -> FoldPlan:
    """Students or items assigned to folds at random."""
    column = log.table[by].chunk(0)
    n = len(column.dictionary)
    if n < folds:
        remedy = f"pass folds={n} or fewer" if n > 1 else "choose another by=, or replay the calendar"
        raise refused(f"{n} {by}{'s' * (n != 1)}", f"at least {folds}, one a fold", remedy, by)
    order = pc.sort_indices(schema.as_text(column.dictionary)).to_numpy()
    assigned = np.empty(n, np.int64)
    assigned[order[np.random.default_rng(seed).permutation(n)]] = np.arange(n) % folds
    return FoldPlan(assigned[column.indices.to_numpy()], tuple(map(str, range(folds))))


def _from_column(log: Log, by: str) -> FoldPlan:
    """Folds from the values of a column."""
    column = log.names(by) if by in ("kind", "group") else schema.plain(schema.combined(log.table[by]))
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_nested(column.type):
        raise refused(str(column.type), "one value a row", "name each row's fold", by)
    if column.null_count:
        row = int(log.source_row[np.flatnonzero(column.is_null())].min()) + 1
        raise refused("null", "a fold in every row", "fill it in, or leave out these rows", by, row, column.null_count - 1)
    values = column.unique()
    values = values.take(pc.sort_indices(values))
    names = tuple(str(value) for value in values.to_pylist())
    fold = pc.index_in(column, values).to_numpy().astype(np.int64)
    if {TRAIN, TEST} & set(names):
        return _split(fold, names, by)
    if len(names) < 2:
        raise refused(f"'{names[0]}' in every row", "at least 2 values, each a fold", "choose another column", by)
    return FoldPlan(fold, names)


def _split(code: IntArray, names: tuple[str, ...], by: str) -> FoldPlan:
    """One fold: the rows of test, predicted by a model fitted to the rows of train."""
    if set(names) != {TRAIN, TEST}:
        got = " and ".join(map(repr, names)) + " alone" * (len(names) == 1)
        raise refused(got, "'train' and 'test', or folds of other names", "rename the values, or select() these rows", by)
    return FoldPlan(np.where(code == names.index(TEST), 0, -1), (TEST,))


def _blocks(log: Log, folds: int) -> FoldPlan:
    """Blocks of the calendar with about equally many rows."""
    times = log.moments
    moments, count = np.unique(times, return_counts=True)
    if len(moments) <= folds:
        got = f"{len(moments)} different time{'s' * (len(moments) != 1)}"
        remedy = f"pass folds={len(moments) - 1} or fewer" if len(moments) > 2 else "choose another by="
        raise refused(got, f"at least {folds + 1}, one a block", remedy, "time")
    starts = moments[_cuts(np.concatenate([[0], np.cumsum(count)[:-1]]), len(times), folds)]
    return FoldPlan(np.searchsorted(starts, times, side="right") - 1, tuple(map(_iso, starts.tolist())), forward=True)


def _cuts(before: IntArray, n_rows: int, cuts: int) -> list[int]:
    """The moments at which new blocks begin, given the rows before each: nearest to equal parts, and no block is empty."""
    chosen = [0]
    for number in range(1, cuts + 1):
        first, last = chosen[-1] + 1, len(before) - 1 - (cuts - number)
        distance = np.abs(before[first : last + 1] * (cuts + 1) - n_rows * number)
        chosen.append(first + int(np.argmin(distance)))
    return chosen[1:]


def calendar(log: Log, marks: Sequence[datetime.datetime] | None, every: datetime.timedelta | None) -> FoldPlan:
    """One fold for the responses between two marks, where there are any."""
    if (marks is None) == (every is None):
        raise ValueError(f"got {'neither' if marks is None else 'both'} of marks and every; expected one of them")
    starts = _steps_of(every) if marks is None else _moments(marks)
    _not_empty(log)
    times = log.moments
    if marks is None:
        starts = times.min() + starts * np.unique((times - times.min()) // starts)[1:]
    _check_marks(starts, times)
    met, fold = np.unique(np.searchsorted(starts, times, side="right") - 1, return_inverse=True)
    return FoldPlan(fold - 1, tuple(_iso(starts[number]) for number in met[1:].tolist()), forward=True)


def _steps_of(every: datetime.timedelta | None) -> IntArray:
    """Microseconds between two marks, (1,)."""
    if not isinstance(every, datetime.timedelta) or every <= datetime.timedelta(0):
        raise ValueError(f"every: got {every!r}; expected a datetime.timedelta of more than 0")
    return np.array([every // MICROSECOND])


def _moments(marks: Sequence[datetime.datetime]) -> IntArray:
    """Marks in microseconds since 1970, (n_marks,)."""
    wrong = [mark for mark in marks if not isinstance(mark, datetime.datetime)]
    if wrong or not len(marks):
        raise ValueError(f"marks: got {wrong[0]!r}; expected datetimes" if wrong else "marks: got none; expected at least one")
    zoned = [mark if mark.tzinfo else mark.replace(tzinfo=datetime.UTC) for mark in marks]
    for before, after in pairwise(zoned):
        if after <= before:
            raise ValueError(f"marks: got {after} after {before}; expected every mark to be later than the one before")
    return np.array(list(map(microseconds, zoned)))


def _check_marks(starts: IntArray, times: IntArray) -> None:
    """Refuse marks without responses before the first or from the last on."""
    low, high = int(times.min()), int(times.max())
    expected = f"marks after the first response, at {_iso(low)}, and not after the last, at {_iso(high)}"
    if not len(starts):
        raise refused(f"no mark between {_iso(low)} and {_iso(high)}", expected, "pass a smaller every=", "time")
    outside = [_iso(mark) for mark in starts.tolist() if not low < mark <= high]
    if outside:
        more = f" and {len(outside) - 1} more" * (len(outside) > 1)
        remedy = "leave out these marks: there is nothing to fit, or to predict"
        raise refused(f"the mark {outside[0]}{more}", expected, remedy, "time")


def _iso(moment: int) -> str:
    return time_of(int(moment)).isoformat()


def refused(got: str, expected: str, remedy: str, column: str | None = None, row: int | None = None, more: int = 0) -> DataError:
    """The error of a log that cannot be used."""
    return DataError("log", [Problem(got, expected, remedy, column, row, more)])


def _not_empty(log: Log) -> None:
    if not len(log):
        raise refused("no rows", "responses to fit and to predict", "read another log")


def whole(name: str, value: object, least: int) -> None:
    """Refuse an option that is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: got {value!r}; expected a whole number of at least {least}")
