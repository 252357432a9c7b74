"""How groups of students practise: responses until mastery, and after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.evaluate.draws import Slices
from adaptrace.evaluate.student_groups import DrawPlan, Measured, StudentGroups, measure_columns

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PRACTICE = ("responses_to_mastery", "reached", "over_practice", "under_practice", "expected_responses")
FEWEST_AT_RISK = 10  # pairs still short of mastery that a survival curve needs at every response


@dataclass(frozen=True, eq=False)
class PracticePaths:
    """How every pair of a student and a skill came to mastery, or did not."""

    student: IntArray  # (n_pairs,) rank of the student
    skill: IntArray  # (n_pairs,)
    slice: IntArray  # (n_pairs,) which slice the pair belongs to: its group, or its skill and group
    n_slices: int
    n_groups: int  # slices of one skill are contiguous
    first: IntArray  # (n_pairs,) responses until mastery first reached the threshold; 0: never
    length: IntArray  # (n_pairs,) responses
    last: FloatArray  # (n_pairs,) 1 where mastery after the last response was below the threshold
    over: FloatArray  # (n_pairs,) responses given although the skill was mastered

    @classmethod
    def of(cls, trace: pa.Table, log: Log, groups: StudentGroups, threshold: float) -> PracticePaths:
        """Paths from a trace, which has one row for each response and skill."""
        pair, opportunity = log.rows.pair, log.rows.opportunity
        mastered, n_pairs = trace["mastery"].to_numpy() >= threshold, len(log.rows.pair_skill)
        first, length, last = np.zeros(n_pairs, np.int64), np.zeros(n_pairs, np.int64), np.zeros(n_pairs)
        backwards = np.flatnonzero(mastered)[::-1]
        first[pair[backwards]] = opportunity[backwards]  # the earliest is written last
        length[pair], last[pair] = opportunity, ~mastered
        over = np.bincount(pair[mastered], minlength=n_pairs) - (1.0 - last)  # all but the last were followed by a response
        group, student = (np.repeat(each, np.diff(log.rows.pair_start)) for each in (groups.student, groups.rank))
        skill = log.rows.pair_skill.astype(np.int64)
        return cls(student, skill, group, len(groups.names), len(groups.names), first, length, last, over)

    @property
    def duration(self) -> IntArray:
        """Responses until mastery, or until the student stopped, (n_pairs,)."""
        return np.where(self.first > 0, self.first, self.length)

    def pairs(self) -> IntArray:
        """Pairs of each slice, (n_slices,)."""
        return np.bincount(self.slice, minlength=self.n_slices)


class PathCounts(NamedTuple):
    """Weighted sums over the pairs of each slice."""

    sums: FloatArray  # (5, n_slices): pairs, reached, responses until mastery, after it, stopped below it
    events: FloatArray  # (n_slices, longest + 1): reached mastery at the 1st, 2nd, ... response
    leaving: FloatArray  # (n_slices, longest + 1): reached it or stopped then; all later ones are in the last column

    def rest(self, n_groups: int) -> PathCounts:
        """The same for all other groups (of the same skill)."""
        return PathCounts(*(_others(each, n_groups, axis) for each, axis in zip(self, (1, 0, 0), strict=True)))


def _others(values: NDArray[Any], n_groups: int, axis: int = 0) -> NDArray[Any]:
    """The sum over the other groups of a skill; whole numbers, so without rounding."""
    by_group = values.reshape(*values.shape[:axis], -1, n_groups, *values.shape[axis + 1 :])
    return np.asarray((by_group.sum(axis=axis + 1, keepdims=True) - by_group).reshape(values.shape))


def _counts(paths: PracticePaths, longest: int, weight: IntArray) -> PathCounts:
    """Sums with a weight for each student."""
    times, reached = weight[paths.student].astype(np.float64), paths.first > 0
    columns = (1.0, reached, paths.first, paths.over, paths.last)
    sums = [np.bincount(paths.slice, times * column, paths.n_slices) for column in columns]
    place = paths.slice * (longest + 1) + np.minimum(paths.duration, longest + 1) - 1
    shape = (paths.n_slices, longest + 1)
    both = [np.bincount(place, each, shape[0] * shape[1]).reshape(shape) for each in (times * reached, times)]
    events, leaving = (np.asarray(each, np.float64) for each in both)
    return PathCounts(np.stack(sums), events, leaving)


def _survival(events: FloatArray, leaving: FloatArray) -> FloatArray:
    """P(not mastered after 1, 2, ... responses), the product limit of Kaplan & Meier (1958, eq. 2b), shape as the counts."""
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0.0)
    return np.asarray(np.cumprod(1.0 - hazard, axis=1))


def _restricted_mean(counts: PathCounts, horizon: IntArray) -> FloatArray:
    """Mean of min(responses until mastery, horizon): the area under the survival curve, (n_slices,); NaN for horizon 0."""
    before = np.hstack([np.ones((len(horizon), 1)), _survival(counts.events, counts.leaving)[:, :-1]])
    area = (before * (np.arange(before.shape[1]) < horizon[:, None])).sum(axis=1)
    return np.where(horizon > 0, area, np.nan)


def _horizons(paths: PracticePaths) -> IntArray:
    """The response up to which survival is compared, (n_slices,): the largest at which every group of a skill has enough pairs.

    It is 0 for groups of too few pairs.
    """
    pairs = paths.pairs()
    order = np.lexsort((-paths.duration, paths.slice))
    start = np.cumsum(pairs) - pairs
    enough = pairs >= FEWEST_AT_RISK
    reach = np.zeros(paths.n_slices, np.int64)
    reach[enough] = paths.duration[order][start[enough] + FEWEST_AT_RISK - 1]
    least = np.where(enough, reach, np.iinfo(np.int64).max).reshape(-1, paths.n_groups).min(axis=1)
    return np.where(enough, np.repeat(least, paths.n_groups), 0)


def _measures(counts: PathCounts, horizon: IntArray) -> FloatArray:
    """The measures of practice, (len(PRACTICE), n_slices)."""
    pairs, reached, until, over, below = counts.sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([until / reached, reached / pairs, over / reached, below / pairs, _restricted_mean(counts, horizon)])


def practice_measures(paths: PracticePaths, students: IntArray, draw: DrawPlan) -> Measured:
    """The measures of every slice, and of the other groups of its skill.

    ``students`` (n_slices,) is the number of students of each slice.
    """
    horizon = _horizons(paths)
    longest, others = int(horizon.max(initial=1)), _others(paths.pairs(), paths.n_groups)
    rest_horizon = np.where(others >= FEWEST_AT_RISK, horizon, 0)

    def statistic(weight: IntArray) -> FloatArray:
        counts = _counts(paths, longest, weight)
        return np.stack([_measures(counts, horizon), _measures(counts.rest(paths.n_groups), rest_horizon)])

    number = np.arange(paths.student.max() + 1)
    everyone = Slices.of(np.zeros(len(number), np.int64), number)  # all draws are of all students
    drawn = everyone.drawn(lambda weight: statistic(weight)[..., None], *draw)[..., 0, :]
    for side, size in enumerate((students, _others(students, paths.n_groups))):
        drawn[side, :, size < 2] = np.nan
    return Measured(statistic(np.ones(len(number), np.int64)), drawn)


def practice_of_groups(paths: PracticePaths, groups: StudentGroups, measured: Measured) -> pa.Table:
    """One row for each group."""
    sizes = {"students": groups.members, "pairs": paths.pairs(), "horizon": _horizons(paths)}
    return pa.table({"group": groups.names, **sizes, **measure_columns(PRACTICE, measured)})


def practice_of_skills(paths: PracticePaths, groups: StudentGroups, skills: pa.Array, draw: DrawPlan) -> pa.Table:
    """One row for each skill and group that met it."""
    n_groups = paths.n_groups
    paths = replace(paths, slice=paths.skill * n_groups + paths.slice, n_slices=len(skills) * n_groups)
    pairs = paths.pairs()  # one skill has as many pairs as students
    measured, number = practice_measures(paths, pairs, draw), np.arange(paths.n_slices)
    keys = {"skill": skills.take(pa.array(number // n_groups)), "group": groups.names.take(pa.array(number % n_groups))}
    sizes = {"students": pairs, "pairs": pairs, "horizon": _horizons(paths)}
    return pa.table({**keys, **sizes, **measure_columns(PRACTICE, measured)}).filter(pa.array(pairs > 0))
