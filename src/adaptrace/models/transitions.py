"""Transitions: by how much a right answer is likelier than expected after the items and skills before it, and their outcomes.

A table has a shift of the logit for every (what came before, whether it was right, what is asked): one Newton step from the
predictions of a model, shrunk to 0,

    sum of (outcome - p) / (sum of p (1 - p) + 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.models import content as read
from adaptrace.models.base import Response

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

HELD = 1.0  # precision of a shift about 0
DIGITS = 4  # of a shift after the point: finer ones say nothing, and make files large
RECALLED = 10  # responses
TABLES = (  # what is looked at, and how many responses back
    ("item", range(1, 2)),
    ("item", range(2, 3)),
    ("skill", range(1, 2)),
    ("skill", range(2, RECALLED + 1)),
)
RIGHT = 0.5  # an outcome from here on counts as right


class Passages(NamedTuple):
    """What followed what in a log: an entry per response, or per skill before and skill asked."""

    row: IntArray
    key: IntArray  # (before * 2 + right) * n_names + asked; -1 where a name is not known

    @classmethod
    def of(cls, row: IntArray, before: IntArray, right: NDArray[np.bool_], asked: IntArray, names: int) -> Passages:
        """Codes among so many names."""
        return cls(row, np.where((before >= 0) & (asked >= 0), (before * 2 + right) * names + asked, -1))


class ShiftSums(NamedTuple):
    """What the shifts of a table are made of, sorted by its keys."""

    key: IntArray
    error: FloatArray  # of outcome - p
    variance: FloatArray  # of p (1 - p)

    @classmethod
    def of(cls, key: IntArray, error: FloatArray, variance: FloatArray) -> ShiftSums:
        """The sums of all that have the same key."""
        keys, entry = np.unique(key, return_inverse=True)
        errors, variances = (np.bincount(entry, each, len(keys)).astype(float) for each in (error, variance))
        return cls(keys, errors, variances)


class Shifts(NamedTuple):
    """One table, sorted by its keys."""

    key: IntArray
    value: FloatArray

    @classmethod
    def of(cls, parts: Sequence[ShiftSums]) -> Shifts:
        """The shrunk shifts."""
        sums = ShiftSums.of(*map(np.concatenate, zip(*parts, strict=True)))
        return cls(sums.key, np.asarray(np.round(sums.error / (sums.variance + HELD), DIGITS), float))

    def find(self, key: IntArray) -> FloatArray:
        """The shift of every key, (n,); 0 for one that is not known."""
        place = np.searchsorted(self.key, key)
        return np.where(np.append(self.key, -2)[place] == key, np.append(self.value, 0.0)[place], 0.0)


def _no_names() -> pa.StringArray:
    return pa.array([], pa.string())


@dataclass(frozen=True, eq=False, kw_only=True)
class Transitions:
    """Tables of shifts, as :meth:`fit` finds them.

    Attributes
    ----------
    items, skills
        Names as text, sorted.
    tables
        One for each of :data:`TABLES`; none before the fit.
    """

    items: pa.StringArray = field(default_factory=_no_names)
    skills: pa.StringArray = field(default_factory=_no_names)
    tables: Sequence[Shifts] = ()

    @classmethod
    def fit(cls, log: Log, predicted: FloatArray) -> Transitions:
        """The shifts of a log's outcomes from predictions of them, (n_rows,)."""
        named = cls(items=schema.in_order(log.items)[0], skills=schema.in_order(log.skills)[0])
        error, variance, parts = log.rows.correct - predicted, predicted * (1.0 - predicted), [list[ShiftSums]() for _ in TABLES]
        for number, (row, key) in named._passages(log):
            parts[number].append(ShiftSums.of(key, error[row], variance[row]))
        return cls(items=named.items, skills=named.skills, tables=tuple(map(Shifts.of, parts)))

    def shifts(self, log: Log) -> FloatArray:
        """The mean shift before each response by every table, (n_rows, n_tables)."""
        total, pairs = np.zeros((2, len(TABLES), len(log)))
        for number, (row, key) in self._passages(log) if self.tables else ():
            total[number] += np.bincount(row, self.tables[number].find(key), len(log))
            pairs[number] += np.bincount(row, minlength=len(log))
        return (total / np.maximum(pairs, 1.0)).T

    def _passages(self, log: Log) -> Iterator[tuple[int, Passages]]:
        """The number of a table, and what followed what so many responses back."""
        rows, right = log.rows, log.rows.correct >= RIGHT
        item = schema.find(log.items, self.items)[log.table["item"].chunk(0).indices.to_numpy()]
        skill = schema.find(log.skills, self.skills)[rows.pair_skill[rows.pair]]
        one = np.arange(len(log) + 1)
        for number, (what, backs) in enumerate(TABLES):
            code, start = (item, one) if what == "item" else (skill, rows.skill_start)
            for back in backs:
                row, before, asked = _pairs(_later(rows.student_start, back), back, start)
                names = len(self._names(what))
                yield number, Passages.of(row, code[before], right[row - back], code[asked], names)

    @cached_property
    def lookup(self) -> tuple[dict[tuple[str, bool, str], float], ...]:
        """Each table by the name before, whether it was right, and the name asked."""
        names = (self._names(what).to_pylist() for what, _ in TABLES)
        return tuple(
            dict(zip(_named(table.key, each), table.value.tolist(), strict=True))
            for table, each in zip(self.tables, names, strict=False)
        )

    def _names(self, what: str) -> pa.StringArray:
        return self.items if what == "item" else self.skills

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        tables = [{"keys": table.key.tolist(), "shifts": table.value.tolist()} for table in self.tables]
        return {"items": self.items.to_pylist(), "skills": self.skills.to_pylist(), "tables": tables}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Transitions:
        """What :meth:`to_dict` described."""
        items, skills, tables = read.texts(content, "items"), read.texts(content, "skills"), content["tables"]
        if not isinstance(tables, list) or len(tables) not in (0, len(TABLES)):
            raise ValueError(f"tables: expected a list of {len(TABLES)}, or an empty one")
        sizes = [len(items if what == "item" else skills) for what, _ in TABLES]
        return cls(items=items, skills=skills, tables=tuple(map(_table, tables, sizes)))


class TransitionState:
    """The last responses of a student, the latest first: items, whether they were right, and their skills.

    The shifts are those of :meth:`Transitions.shifts`, summed in the same order: the same bits.
    """

    def __init__(self, transitions: Transitions, content: Sequence[Any] = ()) -> None:
        self.lookup, self.last = transitions.lookup, [_recalled(each) for each in content]
        if len(self.last) > RECALLED:
            raise ValueError(f"transitions: got {len(self.last)} responses; expected the last {RECALLED} at most")

    def shifts(self, response: Response) -> list[float]:
        """The mean shift before this response by every table."""
        means = [0.0] * len(TABLES)
        for number, (table, (what, backs)) in enumerate(zip(self.lookup, TABLES, strict=False)):
            asked, total, pairs = response.skills if what == "skill" else (response.item,), 0.0, 0
            for item, right, skills in self.last[backs[0] - 1 : backs[-1]]:
                before, sum_here = skills if what == "skill" else (item,), 0.0
                for one in before:
                    for other in asked:
                        sum_here += table.get((one, right, other), 0.0)
                total, pairs = total + sum_here, pairs + len(before) * len(asked)
            means[number] = total / max(pairs, 1)
        return means

    def observe(self, response: Response) -> None:
        """Take in one response."""
        self.last = [(response.item, response.correct >= RIGHT, response.skills), *self.last[: RECALLED - 1]]

    def to_list(self) -> list[Any]:
        """Plain data."""
        return [[item, right, list(skills)] for item, right, skills in self.last]


def _later(student_start: IntArray, back: int) -> IntArray:
    """The rows that have so many of their student before them."""
    row = np.arange(int(student_start[-1]))
    return row[row - np.repeat(student_start[:-1], np.diff(student_start)) >= back]


def _pairs(row: IntArray, back: int, start: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Every entry of the response so many back with every entry of each response: its row, and both entries."""
    several = np.diff(start)
    many = several[row] * several[row - back]
    place = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    row = np.repeat(row, many)
    return row, start[row - back] + place // several[row], start[row] + place % several[row]


def _named(keys: IntArray, names: Sequence[str]) -> Iterator[tuple[str, bool, str]]:
    """What the keys of a table stand for."""
    for key in keys.tolist():
        before, asked = divmod(key, len(names))
        yield names[before // 2], before % 2 == 1, names[asked]


def _table(content: Mapping[str, Any], names: int) -> Shifts:
    """A table as a file has it."""
    keys = content["keys"]
    read.check_all(keys, "keys", 0, 2 * names * names - 1, whole=True)
    key = np.array(keys, np.int64)
    if (np.diff(key) <= 0).any():
        raise ValueError("keys: expected each once, sorted")
    return Shifts(key, read.numbers(content, "shifts", len(key)))


def _recalled(content: Sequence[Any]) -> tuple[str, bool, tuple[str, ...]]:
    """One of the last responses as plain data have it."""
    item, right, skills = content
    if not (type(item) is str and type(right) is bool and skills and all(type(each) is str for each in skills)):
        raise ValueError("transitions: expected items, whether they were right, and their skills")
    return item, right, tuple(skills)
