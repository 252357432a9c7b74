"""The fit of item response models: items by marginal likelihood, then how abilities move by the predictions that follow."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import irt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.irt import AbilityPath, Dynamics, ItemInformation, MarginalGradient, Table
from adaptrace.kernels.lbfgs import minimise
from adaptrace.kernels.rows import Rows
from adaptrace.models.irt.bank import ItemBank

FloatArray = NDArray[np.float64]

HALF_WIDTH, FEWEST, MOST = 4.5, 13, 81  # of the grid of abilities: in standard deviations, and how many
PIECES = 8  # of the students: as many for any number of threads
OWN, SKILLS = 1.0, 1.0  # precision of items about their skill, and of skills about the mean
DISCRIMINATION = 10.0  # precision of log discriminations about 0
STEPS, CLOSE = 60, 1e-7
TYPICAL = 0.2  # P (1 - P) of a response: the curvature that the descent starts from
ENOUGH = 120_000  # responses from which it is found how abilities move
START = Dynamics(1.0, 0.002, 0.4, 0.04, 0.03)
STEP, CLOSE_ENOUGH, GROWTH = 1e-4, 1e-7, 0.1  # of the fit of dynamics: finite differences, when it ends, the scale of growth
BOUNDS = ((1e-3, 9.0), (1e-7, 1.0), (1e-4, 9.0), (1e-7, 4.0))  # of the variances


@dataclass(frozen=True)
class AskedItems:
    """What is asked: difficulties are a mean, the skills', and the item's own.

    Attributes
    ----------
    skill_start, skill
        The skills of each item, as those of the responses in :class:`~adaptrace.kernels.rows.Rows`.
    n_skills
        How many there are.
    """

    skill_start: NDArray[np.int64]
    skill: NDArray[np.int64]
    n_skills: int

    @classmethod
    def of(cls, rows: Rows, item: NDArray[np.int32], n_items: int, n_skills: int) -> AskedItems:
        """The skills that each item has in any response."""
        asked = np.repeat(item.astype(np.int64), np.diff(rows.skill_start))
        pairs = np.unique(asked * n_skills + rows.pair_skill[rows.pair])
        start = np.concatenate([[0], np.cumsum(np.bincount(pairs // n_skills, minlength=n_items))])
        return cls(start, pairs % n_skills, n_skills)

    def means(self, of_skill: FloatArray) -> FloatArray:
        """The mean of its skills' values, for each item."""
        return np.add.reduceat(of_skill[self.skill], self.skill_start[:-1]) / np.diff(self.skill_start)

    def spread(self, of_item: FloatArray) -> FloatArray:
        """What each skill has of the items' values: the transpose of :meth:`means`."""
        counts = np.diff(self.skill_start)
        return np.asarray(np.bincount(self.skill, np.repeat(of_item / counts, counts), self.n_skills), float)


class CalibratedItems(NamedTuple):
    """Items on the scale of abilities."""

    difficulty: FloatArray  # (n_items,)
    discrimination: FloatArray  # (n_items,)
    mean: float  # difficulty
    skill: FloatArray  # (n_skills,) what a skill adds to it
    spread: float  # variance of the abilities, which do not move here


def grid(responses: float) -> tuple[FloatArray, FloatArray]:
    """Abilities, evenly spaced in standard deviations, and the logarithms of their weights.

    So many responses of a student leave an uncertainty with a standard deviation of about s = 2 / sqrt(responses); with
    steps of 1.5 s the trapezoid rule is within exp(-2 pi^2 / 1.5^2), or 0.02 %.
    """
    nodes = int(min(max(2.0 * HALF_WIDTH / 3.0 * np.sqrt(responses), FEWEST), MOST)) // 2 * 2 + 1
    node = np.linspace(-HALF_WIDTH, HALF_WIDTH, nodes)
    weight = np.exp(-0.5 * node**2)
    return node, np.log(weight / weight.sum())


def calibrate(
    rows: Rows, item: NDArray[np.int32], items: AskedItems, discriminate: bool, executor: Executor | None
) -> CalibratedItems:
    """Most likely difficulties (and discriminations) where abilities are normal.

    Items with few responses are shrunk towards their skills. Marginal maximum likelihood (Bock &
    Aitkin, 1981) by L-BFGS on the gradient that the E-step gives (Fisher's identity).
    """
    node, weight = grid(len(item) / max(len(rows.student_start) - 1, 1))
    n_items, n_skills = len(items.skill_start) - 1, items.n_skills
    cuts = np.cumsum([1, 1, n_skills, n_items])
    pieces = parallel.spans(rows.student_start, PIECES)
    gradients = [MarginalGradient(np.empty(1), np.empty(1), np.empty(n_items), np.empty(n_items)) for _ in pieces]
    table = Table(*(np.empty((n_items, len(node))) for _ in Table._fields))
    seen = np.bincount(item, minlength=n_items).astype(float)
    precision = np.concatenate(
        [[0.0, 0.0], np.full(n_skills, SKILLS), np.full(n_items, OWN), np.full(n_items if discriminate else 0, DISCRIMINATION)]
    )
    information = np.concatenate([[len(item), len(item)], items.spread(seen), seen, seen if discriminate else []])
    scale = 1.0 / np.sqrt(TYPICAL * information + precision)

    def unpacked(point: FloatArray) -> tuple[float, float, FloatArray, FloatArray, FloatArray]:
        spread, mean, skill, own, discrimination = np.split(point * scale, cuts)
        return (
            float(spread[0]),
            float(mean[0]),
            skill,
            mean + items.means(skill) + own,
            np.exp(discrimination) if discriminate else np.ones(n_items),
        )

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        spread, _, _, difficulty, discrimination = unpacked(point)
        ability = np.exp(spread) * node
        parallel.run(
            kernels.tabulate, [(ability, difficulty, discrimination, *piece, table) for piece in parallel.ranges(n_items)], pool
        )
        for gradient in gradients:
            for part in gradient:
                part[:] = 0.0
        work = [
            (rows, item, table, ability, weight, difficulty, discrimination, *piece, out)
            for piece, out in zip(pieces, gradients, strict=True)
        ]
        parallel.run(kernels.marginal, work, pool)
        likelihood, in_spread, in_difficulty, in_discrimination = (sum(parts) for parts in zip(*gradients, strict=True))
        parts = [
            in_spread,
            [in_difficulty.sum()],
            items.spread(in_difficulty),
            in_difficulty,
            in_discrimination if discriminate else [],
        ]
        weights = point * scale
        value = 0.5 * float((precision * weights**2).sum()) - float(likelihood[0])
        return value, scale * (precision * weights - np.concatenate(parts))

    with parallel.workers(executor, len(item)) as pool:
        best = minimise(objective, np.zeros(len(scale)), steps=STEPS, close=CLOSE)
    spread, mean, skill, difficulty, discrimination = unpacked(best.point)
    return CalibratedItems(difficulty, discrimination, mean, skill, float(np.exp(2.0 * spread)))


class ItemErrors(NamedTuple):
    """Standard errors of items, (n_items,) each."""

    difficulty: FloatArray
    discrimination: FloatArray


def item_errors(rows: Rows, item: NDArray[np.int32], bank: ItemBank, discriminate: bool) -> ItemErrors:
    """How sure :func:`calibrate` is of each item, all else given; ``bank.dynamics.spread`` is the spread that it found."""
    node, weight = grid(len(item) / max(len(rows.student_start) - 1, 1))
    ability, n_items = np.sqrt(bank.dynamics.spread) * node, len(bank.items)
    table, places = Table(*(np.empty((n_items, len(node))) for _ in Table._fields)), (bank.difficulty, bank.discrimination)
    kernels.tabulate(ability, *places, 0, n_items, table)
    pieces = parallel.spans(rows.student_start, PIECES)
    parts = [ItemInformation(*np.zeros((3, n_items))) for _ in pieces]
    parallel.run(
        kernels.inform,
        [(rows, item, table, ability, weight, *places, *piece, out) for piece, out in zip(pieces, parts, strict=True)],
    )
    harder, steeper, both = (sum(part) for part in zip(*parts, strict=True))
    harder, steeper = harder + OWN, steeper + DISCRIMINATION
    if not discriminate:
        return ItemErrors(1.0 / np.sqrt(harder), np.zeros(n_items))
    whole = harder * steeper - both * both  # the determinant of the information of both
    return ItemErrors(np.sqrt(steeper / whole), bank.discrimination * np.sqrt(harder / whole))


def fit_dynamics(
    rows: Rows,
    difficulty: FloatArray,
    discrimination: FloatArray,
    start: Dynamics,
    free: Sequence[bool],
    executor: Executor | None = None,
) -> Dynamics:
    """How abilities move: the dynamics of the highest prequential likelihood (Dawid, 1984).

    ``difficulty`` and ``discrimination`` (n_rows,); ``free``: which of the five are fitted, the others stay. Variances are
    sought by their logarithms; the gradient is by finite differences.
    """
    out = AbilityPath(np.empty(len(difficulty)), *(np.empty(0) for _ in AbilityPath._fields[1:]))
    pieces, correct, unknown = parallel.spans(rows.student_start, PIECES), rows.correct, np.flatnonzero(free)
    low, high = (np.append(np.log(ends), end) for ends, end in zip(zip(*BOUNDS, strict=True), (-1.0, 1.0), strict=True))
    stretch = np.array([1.0, 1.0, 1.0, 1.0, GROWTH])  # of the steps

    def dynamics(point: FloatArray) -> Dynamics:
        values = np.array(start)
        inside = np.clip(point * stretch[unknown], low[unknown], high[unknown])
        values[unknown] = np.where(unknown == 4, inside, np.exp(np.minimum(inside, 10.0)))
        return Dynamics(*values.tolist())

    def loss(point: FloatArray) -> float:
        now = dynamics(point)
        parallel.run(kernels.trace, [(rows, difficulty, discrimination, now, *piece, out) for piece in pieces], pool)
        p = out.predicted
        return -float(np.log(correct * p + (1.0 - correct) * (1.0 - p)).mean())

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        steps = STEP * np.eye(len(point))
        differences = [(loss(point + step) - loss(point - step)) / (2.0 * STEP) for step in steps]
        return loss(point), np.array(differences)

    first = np.where(unknown == 4, np.array(start)[unknown], np.log(np.maximum(np.array(start)[unknown], 1e-300)))
    with parallel.workers(executor, len(difficulty)) as pool:
        best = minimise(objective, first / stretch[unknown], steps=30, close=CLOSE_ENOUGH)
    return dynamics(best.point)
