"""Evidence for the fit of effects: a log or its stats as cells, with the log-likelihood and its gradient at any parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.kernels import bkt_effects as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.bkt_effects import (
    FORGET,
    GUESS,
    LEARN,
    PRIOR,
    SLIP,
    EventCounts,
    EventEntries,
    ObservationCounts,
    Observations,
)
from adaptrace.models.bkt.effects import level_of
from adaptrace.models.bkt.fit_skills import PIECES
from adaptrace.models.bkt.variation import LikelihoodGradient, Variation
from adaptrace.stats.observations import GAP
from adaptrace.stats.stats import Stats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
LevelChances = list[tuple[FloatArray, FloatArray]]  # per kind with levels, their chances (n_skills, L) while unknown, while known

EVENT_PIECES = 8  # of a log: their gradients are added in order, whoever works them out


class CellTable(NamedTuple):
    """A skill with one item, kind, group and student each, as far as parameters vary by them; sorted by skill."""

    skill: IntArray  # (n_cells,)
    factors: Mapping[str, pa.Array]  # (n_cells,) names, of every factor
    starts: FloatArray  # (n_cells,) how many students had their first response on the skill here

    @classmethod
    def of(cls, skill: IntArray, factors: Mapping[str, pa.Array], met: FloatArray) -> tuple[CellTable, IntArray]:
        """The distinct cells of many responses, and the one of each; ``met`` (n,) counts first responses on a skill."""
        code = skill
        for names in factors.values():
            coded = names.dictionary_encode()
            code = np.unique(code * max(len(coded.dictionary), 1) + coded.indices.to_numpy(), return_inverse=True)[1]
            code = code + (code.max(initial=-1) + 1) * skill  # skills stay in order
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        own = skill[first]
        of_cell = {name: names.take(pa.array(first)) for name, names in factors.items()}
        starts = np.asarray(np.bincount(cell, met, len(first)), np.float64)
        return cls(own, of_cell, starts), cell


class Evidence(Protocol):
    """Responses or their counts, as cells."""

    cells: CellTable
    n_skills: int
    leveled: list[NDArray[np.bool_]]  # per kind with levels, which skills it was seen on

    def expect(self, theta: FloatArray, chances: LevelChances, half_life: FloatArray) -> LikelihoodGradient:
        """Log-likelihood and gradient at parameters (n_cells, 5), level chances and half-lives (n_skills,)."""


class SequenceEvidence:
    """The counts of sequences, as cells: every event has one skill, or its credit is fixed."""

    def __init__(self, stats: Stats, variation: Variation, executor: Executor | None) -> None:
        trie, self.executor, self.n_skills = stats.trie, executor, len(stats.skills)
        self.trie = trie._replace(students=trie.students.astype(np.float64))
        skill_of_node = np.repeat(np.arange(self.n_skills), np.diff(trie.start))
        code, observation = np.unique(skill_of_node * len(stats.observations) + trie.symbol, return_inverse=True)
        self.of_node, self.skill, row = (
            observation.astype(np.int32),
            code // len(stats.observations),
            code % len(stats.observations),
        )
        self.correct, self.weight, self.rest = stats.outcomes[row].T.copy()
        self.signed_weight = (2.0 * self.correct - 1.0) * self.weight  # the derivative of P(outcome) in P(right on the skill)
        self.gap = stats.observations[GAP].to_numpy()[row] if variation.elapsed else np.zeros(len(code))
        factors = {name: stats.observations[name].combine_chunks().take(pa.array(row)) for name in variation.factors}
        first = trie.parent < 0
        met = np.asarray(np.bincount(self.of_node[first], trie.students[first], len(code)), np.float64)
        self.cells, self.cell = CellTable.of(self.skill, factors, met)
        self.a_cell = np.searchsorted(self.cells.skill, np.arange(self.n_skills))  # of each skill
        self.levels = []
        for kind, n_levels in variation.levels.items():
            of_kind = pc.equal(stats.observations["kind"].combine_chunks(), kind).to_numpy(zero_copy_only=False)[row]
            own = np.flatnonzero(of_kind & (self.weight == 1.0) & (self.rest == 0.0))
            self.levels.append((own, self.skill[own], level_of(self.correct[own], n_levels, kind), n_levels))
            self.signed_weight[own] = 0.0
        self.leveled = [np.isin(np.arange(self.n_skills), skill) for _, skill, _, _ in self.levels]
        self.pieces = parallel.spans(trie.start, PIECES)

    def expect(self, theta: FloatArray, chances: LevelChances, half_life: FloatArray) -> LikelihoodGradient:
        """Log-likelihood and gradient."""
        point = theta[self.cell]
        known = _blend(self.correct, self.weight * (1.0 - point[:, SLIP]) + self.rest)
        unknown = _blend(self.correct, self.weight * point[:, GUESS] + self.rest)
        for (own, skill, level, _), (if_unknown, if_known) in zip(self.levels, chances, strict=True):
            unknown[own], known[own] = if_unknown[skill, level], if_known[skill, level]
        decay = np.log(2.0) * self.gap / half_life[self.skill]
        observations = Observations(point[:, PRIOR].copy(), point[:, LEARN].copy(), known, unknown, np.exp(-decay))
        out = self._expected(observations, theta[self.a_cell, FORGET])
        gradient = np.zeros_like(point)
        gradient[:, PRIOR], gradient[:, LEARN] = out.prior, out.learn
        gradient[:, SLIP], gradient[:, GUESS] = (
            -self.signed_weight * out.known / known,
            self.signed_weight * out.unknown / unknown,
        )
        of_theta = sums(self.cell, gradient, len(theta))
        of_theta[self.a_cell, FORGET] = out.forget
        fading = sums(self.skill, (out.keep * decay)[:, None], self.n_skills)[:, 0]
        counts = [self._level_counts(at, out) for at in range(len(self.levels))]
        return LikelihoodGradient(
            float(out.value.sum()), of_theta, fading, counts, sums(self.cell, np.stack([out.unknown, out.known], 1), len(theta))
        )

    def _expected(self, observations: Observations, forget: FloatArray) -> ObservationCounts:
        skills, each = self.n_skills, len(self.skill)
        out = ObservationCounts(*(np.zeros(size) for size in (skills, each, each, each, each, each, skills)))
        pieces = [(self.trie, self.of_node, observations, forget, *piece, out) for piece in self.pieces]
        parallel.run(kernels.expected_counts, pieces, self.executor)
        return out

    def _level_counts(self, number: int, out: ObservationCounts) -> tuple[FloatArray, FloatArray]:
        own, skill, level, n_levels = self.levels[number]
        cell, shape = skill * n_levels + level, (self.n_skills, n_levels)
        counts = sums(cell, np.stack([out.unknown[own], out.known[own]], axis=1), shape[0] * shape[1])
        return counts[:, 0].reshape(shape), counts[:, 1].reshape(shape)


class ResponseEvidence:
    """A log, as cells: in an event of several skills, the evidence on each depends on the others."""

    def __init__(self, log: Log, rule: int, variation: Variation, executor: Executor | None) -> None:
        rows = log.rows
        self.rows, self.rule, self.executor, self.n_skills = rows, rule, executor, len(log.skills)
        n_entries, row = np.diff(rows.skill_start), np.repeat(np.arange(len(log)), np.diff(rows.skill_start))
        self.skill = rows.pair_skill[rows.pair].astype(np.int64)
        factors = {name: log.names(name).take(pa.array(row)) for name in variation.factors}
        self.cells, cell = CellTable.of(self.skill, factors, (rows.opportunity == 1).astype(float))
        self.fades, self.gap = variation.elapsed, log.gap_days if variation.elapsed else np.empty(0)
        level, self.offsets, self.leveled = np.full(len(self.skill), -1, np.int32), [0], []
        kinds = log.names("kind") if variation.levels else None
        for kind, n_levels in variation.levels.items():
            own = pc.equal(kinds, kind).to_numpy(zero_copy_only=False)[row] & (n_entries == 1)[row]
            level[own] = self.offsets[-1] + self.skill[own] * n_levels + level_of(rows.correct[row][own], n_levels, kind)
            self.leveled.append(np.isin(np.arange(self.n_skills), self.skill[own]))
            self.offsets.append(self.offsets[-1] + self.n_skills * n_levels)
        first = np.empty(len(rows.pair_skill), np.int32)
        first[rows.pair[rows.opportunity == 1]] = cell[rows.opportunity == 1]
        self.entries = EventEntries(cell.astype(np.int32), first, level if variation.levels else level[:0], self.gap)
        self.pieces = parallel.spans(rows.student_start, EVENT_PIECES)

    def under(self, rule: int) -> ResponseEvidence:
        """The same, where another rule says how the skills of an event combine."""
        other = copy.copy(self)
        other.rule = rule
        return other

    def expect(self, theta: FloatArray, chances: LevelChances, half_life: FloatArray) -> LikelihoodGradient:
        """Log-likelihood and gradient."""
        entries = self.entries
        if self.fades:
            entries = entries._replace(decay=np.log(2.0) * self.gap / half_life[self.skill])
        table = np.empty((self.offsets[-1], 2))
        for at, both in enumerate(chances):
            table[self.offsets[at] : self.offsets[at + 1]] = np.stack([each.ravel() for each in both], axis=1)
        sizes = [1, theta.shape, self.n_skills, table.shape, (len(theta), 2)]
        outs = [EventCounts(*(np.zeros(size) for size in sizes)) for _ in self.pieces]
        pieces = [
            (self.rows, entries, self.rule, theta, table, *piece, out) for piece, out in zip(self.pieces, outs, strict=True)
        ]
        parallel.run(kernels.expected_event_counts, pieces, self.executor)
        value, of_theta, fading, levels, seen = (sum(each[1:], start=each[0]) for each in zip(*outs, strict=True))
        counts = [levels[self.offsets[at] : self.offsets[at + 1]].reshape(self.n_skills, -1, 2) for at in range(len(chances))]
        return LikelihoodGradient(float(value[0]), of_theta, fading, [(each[..., 0], each[..., 1]) for each in counts], seen)


class SplitEvidence:
    """A log in two parts, for a model without variation: histories on skills always met alone, as counts; all other events.

    Equal histories share their work in the first part. Only in the second do the skills of a student depend on one another.
    """

    def __init__(self, log: Log, rule: int, variation: Variation, executor: Executor | None) -> None:
        alone, names = always_alone(log), schema.as_text(log.skills)
        counted, events = Stats.from_log(log.select(alone)), log.select(~alone)
        self.counted = SequenceEvidence(counted, variation, executor)
        self.events = ResponseEvidence(events, rule, variation, executor)
        self.n_skills = len(names)
        self.own = [schema.find(part, names) for part in (counted.skills, schema.as_text(events.skills))]
        cells = [self.counted.cells, self.events.cells]
        self.ends = np.cumsum([len(each.skill) for each in cells])
        self.cells = CellTable(
            np.concatenate([own[each.skill] for own, each in zip(self.own, cells, strict=True)]),
            {},
            np.concatenate([each.starts for each in cells]),
        )
        self.leveled: list[NDArray[np.bool_]] = []

    def under(self, rule: int) -> SplitEvidence:
        """The same, where another rule says how the skills of an event combine."""
        other = copy.copy(self)
        other.events = self.events.under(rule)
        return other

    def expect(self, theta: FloatArray, chances: LevelChances, half_life: FloatArray) -> LikelihoodGradient:
        """Log-likelihood and gradient."""
        counted, events = np.split(theta, self.ends[:-1])
        found = [
            self.counted.expect(counted, [], half_life[self.own[0]]),
            self.events.expect(events, [], half_life[self.own[1]]),
        ]
        return LikelihoodGradient(
            sum(each.value for each in found),
            np.concatenate([each.theta for each in found]),
            np.zeros(self.n_skills),
            [],
            np.concatenate([each.seen for each in found]),
        )


def always_alone(log: Log) -> NDArray[np.bool_]:
    """Whether the student met the skill of each row always alone, (n_rows,): in no event beside another skill."""
    rows = log.rows
    entries = np.diff(rows.skill_start)
    together = np.zeros(len(rows.pair_skill), bool)
    together[rows.pair[np.repeat(entries > 1, entries)]] = True
    return np.asarray(~together[rows.pair[rows.skill_start[:-1]]])


def sums(group: IntArray, values: FloatArray, n: int) -> FloatArray:
    """Sums (n, k) of the values (m, k) of each group."""
    return np.stack([np.bincount(group, values[:, column], n) for column in range(values.shape[1])], axis=1)


def _blend(correct: FloatArray, right: FloatArray) -> FloatArray:
    return correct * right + (1.0 - correct) * (1.0 - right)
