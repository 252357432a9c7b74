"""Stats: what a fit needs to know of a log. Tables of counts, and they add."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels import parallel
from adaptrace.kernels import trie as kernels
from adaptrace.kernels.arrays import space
from adaptrace.kernels.bkt import Credit
from adaptrace.kernels.rows import Rows
from adaptrace.kernels.trie import Growth, Trie
from adaptrace.stats import parquet, suppression
from adaptrace.stats.observations import CodeArray, FloatArray, in_order, observations_of, positions_among
from adaptrace.stats.parquet import OUTCOME, Content
from adaptrace.stats.suppression import SuppressionLoss

PIECES = 16  # of the skills of a log: few enough to be worth it, many enough that a piece stays in the cache
FEW_NODES = 1_000_000  # not worth a round of adding


@dataclass(frozen=True, eq=False, repr=False)
class Stats:
    """How many students gave which sequence of outcomes on which skill: (skill, sequence) -> n.

    The likelihood of knowledge tracing sees a log through these counts alone, so fitting them is
    fitting the log. ``a + b`` is the stats of both logs together. They hold no student, unless a
    model asks for parameters of its own for each.

    Attributes
    ----------
    skills
        Names of the skills as text, sorted.
    observations
        What was seen of a response, one row each, sorted: ``correct``; ``weight`` and ``rest`` of the skill's credit
        (:class:`adaptrace.kernels.bkt.Credit`; 1 and 0 on an item of one skill); and a column for each factor that
        the model's parameters vary by: ``item``, ``kind``, ``group``, ``student``, ``gap``.
    trie
        The sequences of observations, equal prefixes shared (:class:`adaptrace.kernels.trie.Trie`).
    """

    skills: pa.StringArray
    observations: pa.Table
    trie: Trie

    @classmethod
    def from_log(cls, log: Log, factors: Sequence[str] = (), *, credit: Credit | None = None) -> Stats:
        """Count the sequences of a log; an event with several skills counts for each of them.

        Parameters
        ----------
        log
            Not changed.
        factors
            What to distinguish beside the outcome: ``item``, ``kind``, ``group``, ``student``, ``gap``.
        credit
            (n_entries,) each, how far the outcome speaks of every skill of every event; by default as if
            events were right with :data:`LIKELY`.
        """
        rows, names = log.rows, schema.as_text(log.skills)
        observations, code = observations_of(log, factors, credit)
        start, sequence = _sorted(rows, code, len(names))
        spans = parallel.spans(start, PIECES)
        tries = parallel.run(_count, [(sequence, start[first : last + 1], _bits(len(observations))) for first, last in spans])
        return cls(names, observations, _concatenate(tries))

    @property
    def factors(self) -> tuple[str, ...]:
        """What is distinguished beside the outcome."""
        return tuple(self.observations.column_names[len(OUTCOME) :])

    def without(self, *factors: str) -> Stats:
        """The stats that do not tell these factors apart: the counts of what becomes equal are added."""
        keep = [name for name in self.observations.column_names if name not in factors]
        return _joined([Content(self.skills, self.observations.select(keep), self.trie)])

    def suppressed(self, min_students: int) -> tuple[Stats, SuppressionLoss]:
        """Stats whose every count, and every difference of counts, is of ``min_students`` or more students, or of none.

        Histories are cut short (:func:`adaptrace.stats.suppression.thinned`): that costs evidence, and biases a fit hardly at
        all.

        Parameters
        ----------
        min_students
            Students.

        Returns
        -------
        stats, loss
            What may be shown, without skills of which nothing may be; and what that cost
            (:class:`~adaptrace.stats.suppression.SuppressionLoss`).

        Raises
        ------
        ModelError
            If the stats tell students apart.

        Examples
        --------
        >>> import adaptrace as at
        >>> stats, loss = at.BKT().stats(at.sample_log()).suppressed(10)
        >>> print(loss)
        10 students or more in every count: 12,765 of 25,169 responses lost (50.7%)
        117 times a student is no longer counted on a skill, 1 skill gone
        """
        if min_students < 1:
            raise ValueError(f"min_students: got {min_students}; expected 1 or more students")
        if "student" in self.factors:
            raise ModelError("these stats name students, which no minimum hides; make them with a model without students=")
        thinned = suppression.thinned(self.trie, self.observations.drop_columns(list(OUTCOME)), min_students)
        stats = _joined([_used(Content(self.skills, self.observations, thinned))])
        before, after = self._met, stats._met
        total, kept = int(self.responses.sum()), int(stats.responses.sum())
        return stats, SuppressionLoss(min_students, total, kept, before - after, len(self.skills) - len(stats.skills))

    def save(self, path: str | os.PathLike[str], *, sources: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write one Parquet file, whole or not at all; stats by student hold the students' names.

        Parameters
        ----------
        path
            E.g. ``north.stats.parquet``.
        sources
            Which files the counts came from, as plain data; :func:`adaptrace.stats.parquet.sources` reads it.

        Raises
        ------
        OutputError
            If the file cannot be written.
        """
        parquet.write(path, self._content, sources)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stats:
        """The stats that :meth:`save` wrote.

        Raises
        ------
        ModelError
            If there is no such file, it holds something else, is damaged, or is of a newer schema.
        """
        return cls(*parquet.read(path))

    def __add__(self, other: Stats) -> Stats:
        if not isinstance(other, Stats):
            return NotImplemented
        return _sum([self, other])

    def __radd__(self, other: int) -> Stats:
        """Let ``sum(list_of_stats)`` work."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stats):
            return NotImplemented
        same = self.skills.equals(other.skills) and self.observations.equals(other.observations)
        return same and all(np.array_equal(getattr(self.trie, name), getattr(other.trie, name)) for name in Trie._fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        apart = f", by {listed(self.factors)}" if self.factors else ""
        return (
            f"Stats({len(self.skills):,} skills, {self.responses.sum():,} responses in {len(self.trie.parent):,} prefixes{apart})"
        )

    @property
    def responses(self) -> NDArray[np.int64]:
        """Responses on each skill, (n_skills,)."""
        total = np.concatenate([[0], np.cumsum(self.trie.students)])
        return np.asarray(np.diff(total[self.trie.start]))

    @property
    def _met(self) -> int:
        """How many times a student met a skill."""
        return int(self.trie.students[self.trie.parent < 0].sum())

    @property
    def _content(self) -> Content:
        return Content(self.skills, self.observations, self.trie)

    @cached_property
    def outcomes(self) -> FloatArray:
        """``correct``, ``weight`` and ``rest`` of every observation, (n_observations, 3)."""
        return np.stack([self.observations[name].to_numpy() for name in OUTCOME], axis=1)


def listed(names: Sequence[str]) -> str:
    """Factors, for people."""
    return " and ".join(names) if names else "outcomes only"


def _bits(n_observations: int) -> int:
    return max(1, int(n_observations - 1).bit_length())


# ---- tries ------------------------------------------------------------------


def _sorted(rows: Rows, code: CodeArray, n_skills: int) -> tuple[NDArray[np.int64], CodeArray]:
    """Where the responses on each skill begin, (n_skills + 1,), and their observations' codes; ~code where a student begins."""
    spans = parallel.spans(rows.student_start, parallel.cores())
    entries = np.zeros((len(spans), n_skills), np.int64)
    parallel.run(kernels.tally, [(rows, *span, mine) for span, mine in zip(spans, entries, strict=True)])
    start = np.concatenate([[0], np.cumsum(entries.sum(axis=0))])
    free = start[:-1] + np.cumsum(entries, axis=0) - entries
    sequence = space(len(code), np.int32)
    parallel.run(kernels.sort, [(rows, code, *span, mine, sequence) for span, mine in zip(spans, free, strict=True)])
    return start, sequence


def _count(sequence: CodeArray, start: NDArray[np.int64], bits: int) -> Trie:
    """The trie of skills with these responses."""
    entries = np.diff(start)
    trie = _room(len(entries), int(entries.sum()))
    kernels.count_sequences(sequence, start, bits, _growth(1 + bits * int(entries.max())), trie)
    return _cut(trie)


def _growth(capacity: int) -> Growth:
    return Growth(space(2 * capacity, np.int32).reshape(capacity, 2), space(capacity, np.int64), space(capacity, np.int32))


def _room(n_skills: int, nodes: int) -> Trie:
    """A trie to be filled."""
    return Trie(np.zeros(n_skills + 1, np.int64), space(nodes, np.int32), space(nodes, np.int32), space(nodes, np.int64))


def _cut(trie: Trie) -> Trie:
    """A trie without the room that was not needed."""
    nodes = trie.start[-1]
    return Trie(trie.start, trie.parent[:nodes], trie.symbol[:nodes], trie.students[:nodes])


def added(parts: Iterable[Stats]) -> Stats:
    """The sum of many stats, each in memory only until it is added.

    What comes in is added once it is as much as the sum so far, so that the work stays in proportion to what comes in.
    """
    held: list[Stats] = []
    for part in parts:
        held.append(part)
        if sum(map(_nodes, held[1:])) >= max(_nodes(held[0]), FEW_NODES):
            held = [_sum(held)]
    if not held:
        raise ValueError("no stats to add")
    return _sum(held)


def _nodes(stats: Stats) -> int:
    return len(stats.trie.parent)


def _sum(parts: Sequence[Stats]) -> Stats:
    if len(parts) == 1:
        return parts[0]
    for part in parts[1:]:
        if part.factors != parts[0].factors:
            raise ValueError(
                f"stats of different structure: one tells apart {listed(parts[0].factors)}, the other {listed(part.factors)}; "
                "make both with the same model's stats(log)"
            )
    return _joined([part._content for part in parts])


def _joined(parts: Sequence[Content]) -> Stats:
    """The stats of parts added up, where different observations of a part may be equal."""
    skills = pc.unique(pa.concat_arrays([part.skills for part in parts]))
    skills = skills.take(pc.sort_indices(skills))
    observations = in_order([part.observations for part in parts])
    bits, nodes, pieces = _bits(len(observations)), np.zeros(len(skills), np.int64), []
    for names, table, trie in parts:
        place = schema.find(names, skills)
        nodes[place] += np.diff(trie.start)
        pieces.append((place, trie._replace(symbol=positions_among(table, observations)[trie.symbol])))
    spans = parallel.spans(np.concatenate([[0], np.cumsum(nodes)]), PIECES)
    return Stats(skills, observations, _concatenate(parallel.run(_join, [(pieces, *span, bits) for span in spans])))


def _join(parts: Sequence[tuple[NDArray[np.int64], Trie]], first: int, last: int, bits: int) -> Trie:
    """The trie of skills [first, last), of tries whose skills are at these places of all."""
    own = []
    for place, trie in parts:
        begin, end = np.searchsorted(place, (first, last))
        own.append(((place[begin:end] - first).astype(np.int32), cut_out(trie, begin, end)))
    nodes, size = sum(len(trie.parent) for _, trie in own), last - first
    growth = _growth(size + bits * nodes)
    growth.child[:size], growth.students[:size] = 0, 0
    for root, trie in own:
        size = kernels.graft(trie, root, bits, growth, size)
    out = _room(last - first, nodes)
    kernels.flatten_all(growth, bits, out)
    return _cut(out)


def cut_out(trie: Trie, first: int, last: int) -> Trie:
    """The trie of skills [first, last)."""
    begin, end = trie.start[first], trie.start[last]
    start = trie.start[first : last + 1] - begin
    return Trie(start, trie.parent[begin:end], trie.symbol[begin:end], trie.students[begin:end])


def _used(content: Content) -> Content:
    """Only the skills and observations that are counted."""
    skills, observations, trie = content
    met, (used, symbol) = np.diff(trie.start) > 0, np.unique(trie.symbol, return_inverse=True)
    start = np.append(trie.start[:-1][met], trie.start[-1])
    return Content(
        skills.filter(pa.array(met)),
        observations.take(pa.array(used)),
        Trie(start, trie.parent, symbol.astype(np.int32), trie.students),
    )


def _concatenate(tries: Sequence[Trie]) -> Trie:
    """One trie of the skills of several, one after another."""
    base = np.cumsum([0] + [len(trie.parent) for trie in tries])
    start = np.concatenate([trie.start[:-1] + at for trie, at in zip(tries, base, strict=False)] + [base[-1:]])
    whole = _room(len(start) - 1, base[-1])

    def put(number: int) -> None:
        for part, out in zip(tries[number][1:], whole[1:], strict=True):
            out[base[number] : base[number + 1]] = part

    parallel.run(put, [(number,) for number in range(len(tries))])
    return whole._replace(start=start)
