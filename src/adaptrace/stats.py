"""Stats: what a fit needs to know of a log. Tables of counts, and they add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace import parallel, schema
from adaptrace.kernels import rows as kernels
from adaptrace.kernels.rows import Rows, Trie
from adaptrace.log import Log

PLAIN = np.array([[0.0, 1.0], [1.0, 1.0]])  # wrong and right on an item of one skill
OTHERS_STEPS = 32  # the chances of other skills are counted in this many steps


@dataclass(frozen=True, eq=False, repr=False)
class Stats:
    """How many students gave which sequence of outcomes on which skill: (skill, sequence) -> n.

    The likelihood of knowledge tracing sees a log through these counts alone, so fitting them is
    fitting the log. They hold no student, and ``a + b`` is the stats of both logs together.

    Attributes
    ----------
    skills
        Names of the skills as text, sorted.
    levels
        float64 (n_levels, 2): what an outcome was, ``correct`` and P(the event's other skills are right);
        plain wrong (0, 1) and right (1, 1) come first.
    trie
        The sequences, equal prefixes shared (:class:`adaptrace.kernels.rows.Trie`).
    """

    skills: pa.StringArray
    levels: NDArray[np.float64]
    trie: Trie

    @classmethod
    def from_log(cls, log: Log, others: NDArray[np.float64] | None = None) -> Stats:
        """Count the sequences of a log; an event with several skills counts for each of them.

        Parameters
        ----------
        log
            Not changed.
        others
            (n_entries,) for every skill of every event, P(the event's other skills are right); by default
            guessed from the share of right answers.
        """
        rows, names = log.rows, schema.as_text(log.skills)
        levels, level = _levels_of(log, others)
        lengths = np.bincount(rows.pair, minlength=len(rows.pair_skill))
        entries = np.zeros(len(names) + 1, np.int64)
        entries[1:] = np.bincount(rows.pair_skill, lengths, len(names))
        spans = parallel.spans(np.cumsum(entries), parallel.cores())
        tries = parallel.run(_count, [(rows, level, _bits(len(levels)), entries, *span) for span in spans])
        return cls(names, levels, _concatenate(tries))

    def __add__(self, other: Stats) -> Stats:
        if not isinstance(other, Stats):
            return NotImplemented
        skills = pc.unique(pa.concat_arrays([self.skills, other.skills]))
        skills = skills.take(pc.sort_indices(skills))
        levels = _ordered_levels(np.concatenate([self.levels, other.levels]))
        bits = _bits(len(levels))
        capacity = len(skills) + 1 + bits * (len(self.trie.parent) + len(other.trie.parent))
        child, count = np.zeros((capacity, 2), np.int32), np.zeros(capacity, np.int64)
        size = len(skills)
        for part in (self, other):
            root = schema.find(part.skills, skills).astype(np.int32)
            renamed = np.searchsorted(_rank(levels), _rank(part.levels))
            trie = part.trie._replace(level=renamed.astype(np.int32)[part.trie.level])
            size = kernels.graft(trie, root, bits, child, count, size)
        return Stats(skills, levels, _flatten(child, count, bits, len(skills), size))

    def __radd__(self, other: int) -> Stats:
        """Let ``sum(list_of_stats)`` work."""
        return self if other == 0 else NotImplemented

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stats):
            return NotImplemented
        same = self.skills.equals(other.skills) and np.array_equal(self.levels, other.levels)
        return same and all(np.array_equal(getattr(self.trie, name), getattr(other.trie, name)) for name in Trie._fields)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Stats({len(self.skills):,} skills, {self.responses.sum():,} responses in {len(self.trie.parent):,} prefixes)"

    @property
    def responses(self) -> NDArray[np.int64]:
        """Responses on each skill, (n_skills,)."""
        total = np.concatenate([[0], np.cumsum(self.trie.students)])
        return np.asarray(np.diff(total[self.trie.start]))


def _bits(n_levels: int) -> int:
    return max(1, int(n_levels - 1).bit_length())


def _rank(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """A number per level by which plain wrong and right come first, and all others have a fixed order."""
    correct, others = levels[:, 0], levels[:, 1]
    rank = np.where(correct == 0.0, -2.0, np.where(correct == 1.0, -1.0, correct))
    several = others < 1.0
    rank[several] = correct[several] + 2.0 * np.round(others[several] * OTHERS_STEPS)
    return np.asarray(rank)


def _ordered_levels(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    levels = np.concatenate([PLAIN, levels])
    return levels[np.unique(_rank(levels), return_index=True)[1]]


def _levels_of(log: Log, others: NDArray[np.float64] | None) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The distinct outcomes, and which one each skill of each event had."""
    correct = log.rows.correct
    if log.has_several_skills:
        several = np.diff(log.rows.skill_start)
        if others is None:  # all skills of an event equally likely right
            others = np.repeat(np.clip(correct.mean(), 0.1, 0.9) ** ((several - 1) / several), several)
        correct = np.repeat(correct, several)
        # a right answer says the same of a skill whatever the others' chances
        others = np.where(correct == 1.0, 1.0, np.maximum(np.round(others * OTHERS_STEPS), 1.0) / OTHERS_STEPS)
    elif log.is_binary:
        return PLAIN, correct.astype(np.int32)
    each = np.stack([correct, np.ones(len(correct)) if others is None else others], axis=1)
    levels = _ordered_levels(each)
    return levels, np.searchsorted(_rank(levels), _rank(each)).astype(np.int32)


def _count(rows: Rows, level: NDArray[np.int32], bits: int, entries: NDArray[np.int64], first: int, last: int) -> Trie:
    """The trie of skills [first, last), which have ``entries[skill + 1]`` responses each."""
    n_skills = last - first
    root = np.full(len(entries) - 1, -1, np.int32)
    root[first:last] = np.arange(n_skills)
    capacity = n_skills + 1 + bits * int(entries[first + 1 : last + 1].sum())
    child, count = np.zeros((capacity, 2), np.int32), np.zeros(capacity, np.int64)
    size = kernels.grow(rows, level, root, bits, child, count, n_skills)
    return _flatten(child, count, bits, n_skills, size)


def _flatten(child: NDArray[np.int32], count: NDArray[np.int64], bits: int, n_skills: int, size: int) -> Trie:
    nodes = size - n_skills
    trie = Trie(np.empty(n_skills + 1, np.int64), np.empty(nodes, np.int32), np.empty(nodes, np.int32), np.empty(nodes, np.int64))
    nodes = kernels.flatten(child, count, bits, n_skills, trie)
    return Trie(trie.start, trie.parent[:nodes], trie.level[:nodes], trie.students[:nodes])


def _concatenate(tries: Sequence[Trie]) -> Trie:
    """One trie of the skills of several, one after another."""
    if not tries:
        return Trie(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int64))
    base = np.cumsum([0] + [len(trie.parent) for trie in tries])
    start = np.concatenate([trie.start[:-1] + at for trie, at in zip(tries, base, strict=False)] + [base[-1:]])
    return Trie(
        start,
        np.concatenate([trie.parent for trie in tries]),
        np.concatenate([trie.level for trie in tries]),
        np.concatenate([trie.students for trie in tries]),
    )
