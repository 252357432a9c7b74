"""Which items have which skills, how that may change, and which changes the residuals of a model suggest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import DataError, Problem, counted

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SUGGESTED = 2.0  # standard errors from which answers on two skills go together
ENOUGH = 100  # responses of a skill, from which it may be split
MOST_ITEMS = 1000  # of a skill, those with most responses, whose answers are set against each other
FLIPS = 20  # times over all items, after which a partition is taken as it is


class SkillChange(NamedTuple):
    """A change of the skills of items."""

    sort: str  # "split" or "merge"
    before: tuple[str, ...]  # the skills that change
    after: tuple[str, ...]  # what becomes of them
    items: tuple[str, ...]  # of a split: those of the second skill

    def in_words(self) -> str:
        """What is proposed, for people."""
        if self.sort == "merge":
            return f"merge: {' and '.join(self.before)} are one skill"
        some = ", ".join(self.items[:5]) + (", ..." if len(self.items) > 5 else "")
        return f"split: {self.before[0]} is two; {counted(len(self.items), 'item')} apart: {some}"


@dataclass(frozen=True, eq=False)
class QMatrix:
    """Which item has which skills.

    Attributes
    ----------
    skills
        Item -> its skills.
    """

    skills: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, log: Log) -> QMatrix:
        """The skills that each item has in any row of a log."""
        rows, names = log.rows, schema.as_text(log.skills).to_pylist()
        item = np.repeat(log.table["item"].chunk(0).indices.to_numpy().astype(np.int64), np.diff(rows.skill_start))
        pairs = np.unique(item * len(names) + rows.pair_skill[rows.pair])
        items = schema.as_text(log.items).to_pylist()
        found: dict[str, tuple[str, ...]] = dict.fromkeys(items, ())
        for pair in pairs.tolist():
            found[items[pair // len(names)]] += (names[pair % len(names)],)
        return cls(found)

    def changed(self, change: SkillChange) -> QMatrix:
        """The skills after a change."""
        apart = set(change.items)
        return QMatrix({item: self._after(item in apart, skills, change) for item, skills in self.skills.items()})

    def split(self, skill: str, apart: Iterable[str]) -> SkillChange:
        """Some items of a skill apart, under names that no skill has yet."""
        number = 1
        while self._names & {f"{skill} ({number})", f"{skill} ({number + 1})"}:
            number += 1
        return SkillChange("split", (skill,), (f"{skill} ({number})", f"{skill} ({number + 1})"), tuple(sorted(apart)))

    def merge(self, first: str, second: str) -> SkillChange:
        """Two skills as one, under a name that no skill has yet."""
        name, number = f"{first} + {second}", 1
        while name in self._names:
            name, number = f"{first} + {second} ({number})", number + 1
        return SkillChange("merge", (first, second), (name,), ())

    @cached_property
    def _names(self) -> set[str]:
        """The skills of all items."""
        return {skill for skills in self.skills.values() for skill in skills}

    @staticmethod
    def _after(apart: bool, skills: tuple[str, ...], change: SkillChange) -> tuple[str, ...]:
        if set(skills).isdisjoint(change.before):
            return skills
        new = change.after[1 if change.sort == "split" and apart else 0]
        return tuple(dict.fromkeys(new if skill in change.before else skill for skill in skills))

    def rows_of(self, log: Log, change: SkillChange) -> NDArray[np.bool_]:
        """The rows whose items have a skill that changes, (n_rows,)."""
        met = [not set(change.before).isdisjoint(self.skills[item]) for item in schema.as_text(log.items).to_pylist()]
        return np.asarray(np.array(met)[log.table["item"].chunk(0).indices.to_numpy()])

    def applied(self, log: Log) -> Log:
        """The log with these skills."""
        own = pa.array([list(self.skills[item]) for item in schema.as_text(log.items).to_pylist()], pa.list_(pa.string()))
        skills = own.take(log.table["item"].chunk(0).indices)
        return Log.from_arrow(log.table.drop_columns([log.skill_column]).append_column("skills", skills))


# ---- what half of the students suggest --------------------------------------


def splits(log: Log, left: FloatArray, matrix: QMatrix) -> Iterator[SkillChange]:
    """The best cut of each skill into two sets of items: answers go together within them, and not across."""
    items, item = schema.as_text(log.items).to_pylist(), log.table["item"].chunk(0).indices.to_numpy()
    of_skill: dict[str, list[int]] = {}
    for number, name in enumerate(items):
        for skill in matrix.skills[name]:
            of_skill.setdefault(skill, []).append(number)
    seen = np.bincount(item, minlength=len(items))
    for skill, own in sorted(of_skill.items()):
        busiest = np.array(sorted(own, key=lambda number: -seen[number])[:MOST_ITEMS])
        if len(busiest) < 2 or seen[own].sum() < ENOUGH:
            continue
        apart = busiest[partition(together(log, left, busiest, len(items)))]
        if 0 < len(apart) < len(own):
            yield matrix.split(skill, (items[number] for number in apart.tolist()))


def factors_of(log: Log, factors: Sequence[str]) -> list[Mapping[str, str]]:
    """Item -> its value, as text, of each factor; a DataError lists all factors that are no columns or differ within an item."""
    problems, found = list[Problem](), list[Mapping[str, str]]()
    columns, names = log.table.column_names, log.names("item").to_pylist()
    for factor in factors:
        if factor in columns:
            values = list(map(str, log.table[factor].to_pylist()))
            found.append(dict(zip(reversed(names), reversed(values), strict=True)))  # the first value of each item
            problems += _differing(log, factor, names, values, found[-1])
        else:
            got, remedy = f"the columns {', '.join(columns)}", "read the log with keep=, or correct the name"
            problems.append(Problem(got, f"a column '{factor}'", remedy, factor))
    if problems:
        raise DataError("log", problems)
    return found


def _differing(log: Log, factor: str, names: list[str], values: list[str], first: Mapping[str, str]) -> list[Problem]:
    """What is wrong if an item has several values of a factor."""
    rows = [row for row, name in enumerate(names) if values[row] != first[name]]
    if not rows:
        return []
    row = min(rows, key=lambda each: int(log.source_row[each]))
    got = f"{values[row]!r} for item {names[row]!r}, which has {first[names[row]]!r} in another row"
    remedy = "give every item one value, or choose another factor"
    return [Problem(got, "one value an item", remedy, factor, int(log.source_row[row]) + 1, len(rows) - 1)]


def factor_splits(factors: Sequence[Mapping[str, str]], matrix: QMatrix) -> Iterator[SkillChange]:
    """Each skill, cut by each value of each factor; two values make one cut."""
    for values in factors:
        for skill in sorted({skill for skills in matrix.skills.values() for skill in skills}):
            own = [item for item, skills in matrix.skills.items() if skill in skills]
            met = sorted({values[item] for item in own})
            for value in met if len(met) > 2 else met[1:]:
                yield matrix.split(skill, (item for item in own if values[item] == value))


def merges(log: Log, left: FloatArray, matrix: QMatrix, pairs: int) -> Iterator[SkillChange]:
    """The pairs of skills whose answers go together most."""
    names, rows = schema.as_text(log.skills).to_pylist(), log.rows
    entry = np.repeat(np.arange(len(log)), np.diff(rows.skill_start))
    student = log.table["student"].chunk(0).indices.to_numpy()[entry]
    scores = _scores(student, rows.pair_skill[rows.pair], left[entry], len(log.students), len(names))
    first, second = np.triu_indices(len(names), 1)
    score = scores[first, second]
    for number in np.argsort(-score, kind="stable")[:pairs].tolist():
        if score[number] < SUGGESTED:
            return
        yield matrix.merge(names[first[number]], names[second[number]])


def together(log: Log, left: FloatArray, some: IntArray, n_items: int) -> FloatArray:
    """How much answers on every two of some items go together, in standard errors; 0 on the diagonal."""
    place = np.full(n_items, -1)
    place[some] = np.arange(len(some))
    at = place[log.table["item"].chunk(0).indices.to_numpy()]
    student = log.table["student"].chunk(0).indices.to_numpy()
    return _scores(student[at >= 0], at[at >= 0], left[at >= 0], len(log.students), len(some))


def _scores(student: NDArray[Any], column: NDArray[Any], left: FloatArray, n_students: int, n_columns: int) -> FloatArray:
    """Sums over students of products of their residuals' sums, by their standard deviation where these are unrelated."""
    cell = student.astype(np.int64) * n_columns + column
    sums = np.bincount(cell, left, n_students * n_columns).reshape(n_students, n_columns)
    counts = np.bincount(cell, minlength=n_students * n_columns).reshape(n_students, n_columns).astype(float)
    scores = np.asarray(sums.T @ sums / np.sqrt(np.maximum(counts.T @ counts, 1.0)))
    np.fill_diagonal(scores, 0.0)
    return scores


def partition(scores: FloatArray) -> NDArray[np.bool_]:
    """Two sets with the highest scores within less those across, (n,): the first eigenvector's signs, then single flips."""
    n = len(scores)
    centred = scores - scores.sum() / max(n * (n - 1), 1)
    np.fill_diagonal(centred, 0.0)
    side = np.where(np.linalg.eigh(centred)[1][:, -1] >= 0.0, 1.0, -1.0)
    for _ in range(FLIPS * n):
        gain = -side * (centred @ side)
        best = int(np.argmax(gain))
        if gain[best] <= 1e-9:
            break
        side[best] = -side[best]
    smaller = side > 0.0
    return smaller if smaller.sum() * 2 <= n else ~smaller
