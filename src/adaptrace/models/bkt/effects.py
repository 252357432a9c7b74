"""Effects: how the parameters of a skill vary by item, kind, group and student, and over time.

Parameters vary on the logit scale. A skill has a logit for each parameter
(:func:`adaptrace.kernels.bkt_effects.from_logits`), and an item (kind, group, student) adds its own
offset. Offsets have a normal distribution whose standard deviation is estimated from the data: an
item with few responses stays close to its skill, one with thousands is fitted by its own responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import DataError, ModelError, Problem
from adaptrace.kernels import bkt_effects as kernels
from adaptrace.kernels.bkt import CellIndex, Parameters
from adaptrace.kernels.compile import plain
from adaptrace.models import content as read

FloatArray = NDArray[np.float64]
Row = tuple[float, float, float, float, float]

FARTHEST = 100.0  # on the logit scale, that an offset may be: exp() of all that is added up does not overflow
SHORTEST_READ = 1e-9  # days, of a half-life: 0 would make no number
MOST_STEEP = 5.0  # the highest log of the evidence in one level more

from_logit, highest_guess = (
    plain(kernels.from_logit),
    plain(kernels.highest_guess),
)  # the steps of `from_logits`, for one response
SAVED = {"low": "low", "high": "high", "x": "logits", "squeeze": "guess_scale", "half_life": "half_life"}  # key -> attribute


@dataclass(frozen=True, kw_only=True, eq=False)
class Effect:
    """Offsets of one factor.

    Attributes
    ----------
    factor
        ``item``, ``kind``, ``group`` or ``student``.
    parameters
        Which parameters of a skill it moves.
    names
        As text, sorted, (n,).
    offsets
        (n, n_parameters) on the logit scale.
    std
        (n_parameters,) standard deviation of the offsets' normal distribution.
    """

    factor: str
    parameters: tuple[str, ...]
    names: pa.StringArray
    offsets: FloatArray
    std: FloatArray

    @cached_property
    def moves(self) -> FloatArray:
        """The offsets of all five parameters, (n + 1, 5); the last row, for names that the fit did not see, is zero."""
        moves = np.zeros((len(self.names) + 1, len(Parameters._fields)))
        moves[:-1, [Parameters._fields.index(name) for name in self.parameters]] = self.offsets
        return moves

    @cached_property
    def _of(self) -> dict[str, list[float]]:
        return dict(zip(self.names.to_pylist(), self.moves[:-1].tolist(), strict=True))

    def move(self, name: str) -> list[float] | None:
        """The offsets of one item (kind, group, student); None if the fit did not see it."""
        return self._of.get(name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Levels:
    """Emission rows of a kind whose outcomes are ordered levels 0 to L - 1 (Masters, 1982, partial credit, given known or not).

    ``log P(level) / P(level - 1)`` is ``easy`` if the skill is unknown and ``easy + exp(steep)`` if it is known: a higher
    level never lowers mastery.

    Attributes
    ----------
    kind
        Its name.
    easy, steep
        (n_skills + 1, L - 1): the last row, for skills that the kind was not seen on, is the mean.
    seen
        (n_skills + 1,) whether the kind was seen on the skill.
    """

    kind: str
    easy: FloatArray
    steep: FloatArray
    seen: NDArray[np.bool_]

    @cached_property
    def rows(self) -> tuple[FloatArray, FloatArray]:
        """P(level | unknown) and P(level | known), (n_skills + 1, L) each."""
        return level_rows(self.easy, self.steep)

    @cached_property
    def share(self) -> tuple[FloatArray, FloatArray]:
        """Expected share of the highest level, if unknown and if known, (n_skills + 1,) each."""
        unknown, known = self.rows
        fraction = np.arange(unknown.shape[1]) / (unknown.shape[1] - 1)
        return unknown @ fraction, known @ fraction


def level_rows(easy: FloatArray, steep: FloatArray) -> tuple[FloatArray, FloatArray]:
    """P(level | unknown) and P(level | known), (n, L) each, from the steps between levels (n, L - 1)."""
    return _softmax(easy), _softmax(easy + np.exp(np.minimum(steep, MOST_STEEP)))


def level_of(correct: FloatArray, n_levels: int, kind: str) -> NDArray[np.int64]:
    """The levels that fractions of the highest stand for.

    Raises
    ------
    DataError
        If one is none of the kind's levels.
    """
    reached = correct * (n_levels - 1)
    level = np.round(reached).astype(np.int64)
    off = np.abs(reached - level) > 1e-6
    if off.any():
        got = f"correct {correct[off][0]:g} on kind '{kind}'"
        expected = f"one of its {n_levels} levels: a multiple of 1/{n_levels - 1}"
        raise DataError("log", [Problem(got, expected, f"correct levels={{'{kind}': {n_levels}}}, or the rows", "correct")])
    return level


def _softmax(steps: FloatArray) -> FloatArray:
    heights = np.concatenate([np.zeros((len(steps), 1)), np.cumsum(steps, axis=1)], axis=1)
    weights = np.exp(heights - heights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Effects:
    """How the parameters of skills vary.

    Attributes
    ----------
    low, high
        (5,) bounds of prior, learn, forget, guess and slip.
    logits
        (n_skills + 1, 5) of the skills' parameters, between their bounds; the last row is for unknown skills.
    guess_scale
        (n_skills + 1,) the factor by which the range of guess is narrowed, so that the skill stays plausible.
    factors
        The offsets by item, kind, group, student.
    levels
        The emission rows of kinds with levels.
    half_life
        (n_skills + 1,) days, or empty if nothing fades.
    """

    low: FloatArray
    high: FloatArray
    logits: FloatArray
    guess_scale: FloatArray
    factors: tuple[Effect, ...] = ()
    levels: tuple[Levels, ...] = ()
    half_life: FloatArray = field(default_factory=lambda: np.empty(0))

    @cached_property
    def _bounds(self) -> tuple[list[float], list[float]]:
        return self.low.tolist(), self.high.tolist()

    def seen(self, log: Log) -> NDArray[np.bool_]:
        """Whether the fit saw each row's item and kind, as far as parameters vary by them, (n_rows,)."""
        seen = np.ones(len(log), bool)
        for effect in self.factors:
            if effect.factor in ("item", "kind"):
                seen &= log.positions(effect.factor, effect.names) >= 0
        return seen

    # ---- a whole log ----

    def cells(self, log: Log, skill: NDArray[np.int64]) -> tuple[CellIndex, Parameters]:
        """The cells of a log and their parameters; ``skill`` (n_log_skills,) is the row here of each of its skills."""
        rows = log.rows
        entries = np.diff(rows.skill_start)
        of_entry = skill[rows.pair_skill[rows.pair]] % len(self.logits)
        positions = [np.repeat(log.positions(effect.factor, effect.names), entries) for effect in self.factors]
        kinds = pa.array([each.kind for each in self.levels], pa.string())
        kind = np.repeat(log.positions("kind", kinds), entries) if self.levels else np.full(len(of_entry), -1)
        kind[np.repeat(entries, entries) > 1] = -1  # with several skills a level is partial credit
        sizes = [len(effect.names) + 1 for effect in self.factors] + [len(self.levels) + 1]
        code = of_entry.copy()
        for position, size in zip([*positions, kind], sizes, strict=True):
            code = code * size + position % size
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        logits = self.logits[of_entry[first]].copy()
        for effect, position in zip(self.factors, positions, strict=True):
            logits += effect.moves[position[first]]
        theta = np.empty_like(logits)
        kernels.from_logits(logits, self.guess_scale[of_entry[first]], self.low, self.high, theta)
        for number, levels in enumerate(self.levels):
            own = (kind[first] == number) & levels.seen[of_entry[first]]
            unknown, known = levels.share
            theta[own, 3], theta[own, 4] = unknown[of_entry[first]][own], 1.0 - known[of_entry[first]][own]
        level, more = self._level_cells(np.repeat(rows.correct, entries), of_entry, kind, len(theta))
        met = np.empty(len(rows.pair_skill), np.int32)
        start = rows.opportunity == 1
        met[rows.pair[start]] = cell[start]
        parameters = Parameters(*np.concatenate([theta, more]).T.copy())
        timed = len(self.half_life) > 0
        gap, half_life = (log.gap_days, self.half_life[skill]) if timed else (np.empty(0), np.empty(0))
        return CellIndex(met, cell.astype(np.int32), level, gap, half_life), parameters

    def _level_cells(
        self, correct: FloatArray, skill: NDArray[np.int64], kind: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.int32], FloatArray]:
        """The cell of the level that each entry reached, numbered from ``size``, and the parameters of these cells."""
        level, more = np.full(len(correct) if self.levels else 0, -1, np.int32), [np.empty((0, 5))]
        for number, levels in enumerate(self.levels):
            own = (kind == number) & levels.seen[skill]
            unknown, known = levels.rows
            reached = level_of(correct[own], unknown.shape[1], levels.kind)
            level[own] = size + skill[own] * unknown.shape[1] + reached
            still = np.full(unknown.size, 0.5)
            more.append(np.stack([still, still, still, unknown.ravel(), 1.0 - known.ravel()], axis=1))
            size += unknown.size
        return level, np.concatenate(more)

    # ---- one response ----

    def row(self, skill: int, names: Mapping[str, str], alone: bool) -> Row:
        """The parameters of a skill (its row here) for one item, kind, group and student; ``alone`` in its event or not."""
        logits = self.logits[skill].tolist()
        for effect in self.factors:
            move = effect.move(names.get(effect.factor, ""))
            if move is not None:
                logits = [one + other for one, other in zip(logits, move, strict=True)]
        low, high = self._bounds
        prior, learn, forget, slip = (from_logit(low[a], high[a], logits[a]) for a in (0, 1, 2, 4))
        guess = from_logit(low[3], highest_guess(low[3], high[3], slip, float(self.guess_scale[skill])), logits[3])
        levels = self.levels_of(names.get("kind", schema.PRACTICE), skill)
        if levels is not None and alone:
            unknown, known = levels.share
            guess, slip = float(unknown[skill]), 1.0 - float(known[skill])
        return prior, learn, forget, guess, slip

    def levels_of(self, kind: str, skill: int) -> Levels | None:
        """The emission rows of a kind on a skill, if it has any."""
        for levels in self.levels:
            if levels.kind == kind and levels.seen[skill]:
                return levels
        return None

    def level_chances(self, skill: int, kind: str, correct: float) -> tuple[float, float] | None:
        """P(level | unknown) and 1 - P(level | known) of the level that ``correct`` stands for; None without emission rows."""
        levels = self.levels_of(kind, skill)
        if levels is None:
            return None
        unknown, known = levels.rows
        level = int(level_of(np.array([correct]), unknown.shape[1], kind)[0])
        return float(unknown[skill, level]), 1.0 - float(known[skill, level])

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {
            **{key: getattr(self, name).tolist() for key, name in SAVED.items()},
            "factors": [
                {
                    "factor": each.factor,
                    "parameters": list(each.parameters),
                    "names": each.names.to_pylist(),
                    "offsets": each.offsets.tolist(),
                    "spread": each.std.tolist(),
                }
                for each in self.factors
            ],
            "levels": [
                {"kind": each.kind, "easy": each.easy.tolist(), "steep": each.steep.tolist(), "seen": each.seen.tolist()}
                for each in self.levels
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], skills: int) -> Effects:
        """What :meth:`to_dict` described, of a model of so many skills."""
        n, of_skill = skills + 1, len(Parameters._fields)
        factors = tuple(
            Effect(
                factor=str(each["factor"]),
                parameters=tuple(Parameters._fields[Parameters._fields.index(name)] for name in each["parameters"]),
                names=(names := read.texts(each, "names")),
                offsets=read.numbers(each, "offsets", len(names), len(each["parameters"]), low=-FARTHEST, high=FARTHEST),
                std=read.numbers(each, "spread", len(each["parameters"]), low=0.0),
            )
            for each in content["factors"]
        )
        levels = tuple(_levels_from_dict(each, n) for each in content["levels"])
        arrays = {
            **{name: read.numbers(content, name, of_skill, low=0.0, high=1.0) for name in ("low", "high")},
            "logits": read.numbers(content, "x", n, of_skill, low=-3 * FARTHEST, high=3 * FARTHEST),
            "guess_scale": read.numbers(content, "squeeze", n, low=0.0, high=1.0),
            "half_life": read.numbers(content, "half_life", n if content["half_life"] else 0, low=SHORTEST_READ),
        }
        _check_bounds(arrays["low"], arrays["high"])
        return cls(**arrays, factors=factors, levels=levels)


def _check_bounds(low: FloatArray, high: FloatArray) -> None:
    """Refuse bounds that cross, or between which a parameter other than forget could be certain: odds would be infinite."""
    certain = (low < read.ABOVE_0) | (high > read.BELOW_1)
    certain[Parameters._fields.index("forget")] = False
    if (low > high).any() or certain.any():
        raise ValueError("low, high: expected the lowest and the highest probability of each parameter")


def _levels_from_dict(content: Mapping[str, Any], n: int) -> Levels:
    """The emission rows of a kind, of n - 1 skills and the mean."""
    steps = len(content["easy"][0])
    easy, steep = (read.numbers(content, name, n, steps, low=-FARTHEST, high=FARTHEST) for name in ("easy", "steep"))
    seen = read.numbers(content, "seen", n, low=0.0, high=1.0).astype(bool)
    return Levels(kind=str(content["kind"]), easy=easy, steep=steep, seen=seen)


def offsets_table(effects: Effects | None, factor: str) -> pa.Table:
    """The offsets by one factor as a table: the names, and a column for every parameter that varies by it.

    Raises
    ------
    ModelError
        If nothing varies by it.
    """
    factors = {} if effects is None else {effect.factor: effect for effect in effects.factors}
    if factor not in factors:
        raise ModelError(f"offsets of '{factor}': what varies in this model is by {', '.join(factors) or 'nothing'}")
    effect = factors[factor]
    return pa.table({factor: effect.names, **dict(zip(effect.parameters, effect.offsets.T.copy(), strict=True))})
