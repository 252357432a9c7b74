"""Stats: what a fit needs to know of a log, as tables of counts that add."""

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
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import parallel
from adaptrace.kernels.bkt import Credit
from adaptrace.kernels.trie import Trie
from adaptrace.stats import parquet, suppression, tries
from adaptrace.stats.observations import FloatArray, in_order, observations_of, positions_among
from adaptrace.stats.parquet import OUTCOME, Content
from adaptrace.stats.suppression import SuppressionLoss

PIECES = 16  # of the skills of a log: few enough to be worth it, many enough that a piece stays in the cache
FEW_NODES = 1_000_000  # not worth a round of adding


@dataclass(frozen=True, eq=False, repr=False)
class Stats:
    """How many students gave which sequence of outcomes on which skill: (skill, sequence) -> n.

    The likelihood of knowledge tracing depends on a log through these counts alone, so a fit to them is a fit to the log.
    ``a + b`` is the stats of both logs together. They name no student, unless a model asks for parameters of its own for each.

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
            (n_entries,) each, how far the outcome counts for every skill of every event; by default as if
            events were right with :data:`LIKELY`.
        """
        rows, names = log.rows, schema.as_text(log.skills)
        observations, code = observations_of(log, factors, credit)
        start, sequence = tries.sequences_of(rows, code, len(names))
        spans = parallel.spans(start, PIECES)
        bits = tries.bits_for(len(observations))
        counted = parallel.run(tries.count, [(sequence, start[first : last + 1], bits) for first, last in spans])
        return cls(names, observations, tries.concatenate(counted))

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
        117 times a student is no longer counted on a skill, 1 skill left out
        """
        if min_students < 1:
            raise ValueError(f"min_students: got {min_students}; expected 1 or more students")
        if "student" in self.factors:
            raise ModelError("these stats name students, which no minimum protects; make them with a model without students=")
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
            f"Stats({counted(len(self.skills), 'skill')}, {counted(int(self.responses.sum()), 'response')} "
            f"in {len(self.trie.parent):,} prefix{'es' * (len(self.trie.parent) != 1)}{apart})"
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


# ---- sums -------------------------------------------------------------------


def added(parts: Iterable[Stats]) -> Stats:
    """The sum of many stats, each in memory only until it is added.

    New ones are added once they are together as large as the sum so far: then the work is proportional to their size.
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
    bits, nodes, pieces = tries.bits_for(len(observations)), np.zeros(len(skills), np.int64), []
    for names, table, trie in parts:
        place = schema.find(names, skills)
        nodes[place] += np.diff(trie.start)
        pieces.append((place, trie._replace(symbol=positions_among(table, observations)[trie.symbol])))
    spans = parallel.spans(np.concatenate([[0], np.cumsum(nodes)]), PIECES)
    return Stats(skills, observations, tries.concatenate(parallel.run(tries.join, [(pieces, *span, bits) for span in spans])))


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
