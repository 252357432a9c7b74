"""Whether a model, and the practice it steers, treat groups of students alike.

Quality of prediction is read group by group (slicing analysis: Gardner, Brooks & Baker, 2019), and so is practice: how many
responses mastery takes, how many follow it, and how often practice ends before it. One rule for all students need not
serve all alike: if a model fits a group of slower students badly, they stop too early where others practise too long
(Doroudi & Brunskill, 2019). What practice needs is counted in the model's own mastery: read it together with the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr

from adaptrace.data.log import Log
from adaptrace.errors import DataError, Problem
from adaptrace.evaluate import metrics
from adaptrace.evaluate.metrics import LEVEL, METRICS
from adaptrace.io import text_table
from adaptrace.kernels import metrics as kernels
from adaptrace.models.base import Model, Traces

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUALITY = (*METRICS, "bias")
PRACTICE = ("responses_to_mastery", "reached", "over_practice", "under_practice", "expected_responses")
WORDS = {  # of a measure that is lower, or higher, in a group than in the rest
    "auc": ("right and wrong answers are told apart worse", "right and wrong answers are told apart better"),
    "log_loss": ("predictions are better", "predictions are worse"),
    "rmse": ("predictions are better", "predictions are worse"),
    "accuracy": ("fewer verdicts are right", "more verdicts are right"),
    "bias": ("underrated", "overrated"),
    "responses_to_mastery": ("who reach mastery do so sooner", "who reach mastery do so later"),
    "reached": ("fewer reach mastery", "more reach mastery"),
    "over_practice": ("less practice after mastery", "more practice after mastery"),
    "under_practice": ("fewer stop below mastery", "more stop below mastery"),
    "expected_responses": ("mastery takes fewer responses", "mastery takes more responses"),
}
FEWEST_STUDENTS = 10  # on either side of a gap that may be flagged
FEWEST_AT_RISK = 10  # pairs that must still practise, short of mastery, for a survival curve to go on
FEWEST_DRAWS = 20
MOST_GROUPS = 100
KEYS = ("skill", "group")


# ---- the result -------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Fairness:
    """How a model and its practice treat groups; :func:`fairness` says how each number is made.

    Attributes
    ----------
    by
        Name of the group column.
    threshold
        The mastery that counts as mastered.
    metrics
        One row a group: ``group``, ``n``, ``students``, then ``auc``, ``auc_low``, ``auc_high`` and so on for every metric, as
        in :func:`adaptrace.evaluate.metrics.report`, and ``bias``.
    practice
        One row a group (and skill, if asked): ``skill``, ``group``, ``students``, ``pairs``, ``horizon`` (of the expected
        responses), then the measures with ``_low`` and ``_high``. None if the model knows no mastery.
    gaps
        One row a measure and group: ``measure``, ``group``, ``difference`` (the group less all other students), ``low``,
        ``high`` (95 %), ``p`` (Holm's), ``flagged``. Flagged first, then by p.
    """

    by: str
    threshold: float
    metrics: pa.Table
    practice: pa.Table | None
    gaps: pa.Table

    def __repr__(self) -> str:
        gaps = [gap["flagged"] for gap in _told(self)]
        return f"Fairness(by='{self.by}', {len(self.metrics)} groups, {sum(gaps)} of {len(gaps)} gaps flagged)"

    def __str__(self) -> str:
        parts = ["\n".join(_verdict(self)), _aligned(self.metrics, ("group", "n", "students", *QUALITY))]
        if self.practice is not None:
            names = [name for name in ("skill", "group", "students", "pairs", *PRACTICE) if name in self.practice.column_names]
            horizons = sorted(set(self.practice["horizon"].to_pylist()))
            within = f"{horizons[0]}" if len(horizons) == 1 else f"{horizons[0]} to {horizons[-1]}"
            parts.append(f"Practice until mastery of {self.threshold:g} (expected responses: of the first {within})")
            parts[-1] += "\n" + _aligned(self.practice, names)
        return "\n\n".join(parts)


# ---- the function -----------------------------------------------------------


def fairness(
    model: Model,
    log: Log,
    by: str,
    *,
    threshold: float = 0.95,
    draws: int = 200,
    seed: int = 0,
    predicted: ArrayLike | None = None,
    by_skill: bool = False,
) -> Fairness:
    """Compare how well groups are predicted, and how they practise.

    Parameters
    ----------
    model
        A fitted model. Unless its own options name the group, it never sees it. Of one that knows no mastery (only BKT and
        Blend do) predictions alone are compared.
    log
        Not changed.
    by
        The column of the group: ``group``, or any other that the log was read with (``keep=["language"]``). Rows without a
        value say nothing; students without any are a group of their own, null (in the text ``missing``).
    threshold
        P(known) from which a skill counts as mastered, in (0, 1).
    draws, seed
        As in :func:`adaptrace.evaluate.metrics.bootstrap`: every interval, and every gap, is of the same draws of students.
    predicted
        (n_rows,) probabilities to judge instead of ``model.predict(log)``, e.g. cross-validated ones. Practice stays the
        model's.
    by_skill
        Make ``practice`` one row a skill and group. Gaps are of all skills together either way.

    Returns
    -------
    Fairness
        ``bias`` is the mean of predicted - correct: above 0 a group is overrated. The measures of practice are over pairs of
        a student and a skill:

        - ``responses_to_mastery``: mean number of responses until mastery first was ``at``, of the pairs that reached it.
          Pairs that stopped before do not count, so **it flatters a group that stops early**: of slow students only the
          lucky remain.
        - ``expected_responses``: the same without that fault: the mean of min(responses until mastery, ``horizon``), with
          pairs that stopped before taken for censored (the area under the curve of Kaplan & Meier, 1958). It takes those
          who stop for as far from mastery as those who go on; where students stop *because* they struggle, it is too
          low. ``horizon``, in responses, is the largest at which every group still has 10 pairs short of mastery (groups
          of fewer pairs: NaN), so groups are compared over the same stretch.
        - ``reached``: share of the pairs that ever reached it.
        - ``over_practice``: mean number of responses that were given although mastery after the one before was ``at`` or
          more, of the pairs that reached it.
        - ``under_practice``: share of the pairs whose last mastery is below ``at``.

        A gap is the group less all other students. Its p value is two-sided, of t = difference / standard deviation of its
        draws, with one degree of freedom less than the smaller side has students: counting draws beyond 0 could not go
        below 1/100. Over all measures and groups p is corrected (Holm, 1979); of two groups, mirror images, one counts. A gap
        is flagged if p is at most 0.05, its interval excludes 0 and both sides have at least 10 students. Metrics such as
        the log loss also differ where answers are just harder to foresee: only a bias is unfair in itself.

    Raises
    ------
    DataError
        If the log has no such column, it holds one value, more than 100, or two for one student, or predictions do not fit.
    ValueError
        If ``at`` is not in (0, 1), or draws are fewer than 20.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.sample_log()                               # with the column class
    >>> result = at.fairness(at.BKT().fit(log), log, "class")  # print(result) says it in words
    >>> result.gaps.select(["measure", "group", "flagged"]).slice(0, 1).to_pylist()
    [{'measure': 'under_practice', 'group': '6L', 'flagged': True}]
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold: got {threshold}; expected a probability between 0 and 1, e.g. 0.95")
    if draws < FEWEST_DRAWS:
        raise ValueError(f"draws: got {draws}; expected at least {FEWEST_DRAWS}")
    groups, draw = _Groups.of(log, by), _Draw(draws, seed)
    names, measured = QUALITY, _quality(log.correct, model.predict(log) if predicted is None else predicted, groups, draw)
    sizes = {"group": groups.names, "n": np.bincount(groups.row), "students": groups.members}
    quality, practice = pa.table({**sizes, **_columns(QUALITY, measured)}), None
    if isinstance(model, Traces):
        paths = _Paths.of(model.trace(log), log, groups, threshold)
        practised = _practice(paths, groups.members, draw)
        practice = _practice_of_groups(paths, groups, practised)
        if by_skill:
            practice = _practice_of_skills(paths, groups, log.skills, draw)
        names = (*QUALITY, *PRACTICE)
        measured = _Measured(*(np.concatenate(pair, axis=1) for pair in zip(measured, practised, strict=True)))
    return Fairness(by, threshold, quality, practice, _gaps(groups, names, measured))


class _Draw(NamedTuple):
    """How students are drawn."""

    draws: int
    seed: int


class _Measured(NamedTuple):
    """Measures of every group, and of the rest of the students."""

    value: FloatArray  # (2, n_measures, n_groups): in the group, outside it
    drawn: FloatArray  # (2, n_measures, n_groups, draws)


# ---- groups -----------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Groups:
    """Who belongs where."""

    names: pa.Array  # (n_groups,) ascending, null last
    student: IntArray  # (n_students,) group of each student, in the order of the log
    rank: IntArray  # (n_students,) their places in the order of names: the numbers that are drawn
    row: IntArray  # (n_rows,) group of each response
    row_student: IntArray  # (n_rows,) rank of its student

    @classmethod
    def of(cls, log: Log, by: str) -> _Groups:
        """The groups of a log's column, once every student is in one of two or more."""
        code, names = metrics.encoded(_column(log, by))
        start, nowhere = log.rows.student_start[:-1], len(names)
        if not len(code):
            raise DataError("log", [Problem("no rows", "at least one", "read a log with responses", by)])
        said = np.array([name.is_valid for name in names])[code]
        least = np.minimum.reduceat(np.where(said, code, nowhere), start)
        most = np.maximum.reduceat(np.where(said, code, -1), start)
        clash = np.flatnonzero((most >= 0) & (least < most))
        if len(clash):
            student, (first, second) = clash[0], (names[int(each[clash[0]])].as_py() for each in (least, most))
            raise DataError("log", [_two_groups(by, log.students[int(student)].as_py(), first, second, len(clash) - 1)])
        student = np.where(most >= 0, most, nowhere - 1)  # null, if there, is last
        present, student = np.unique(student, return_inverse=True)
        if not 2 <= len(present) <= MOST_GROUPS:
            raise DataError("log", [_no_groups(by, names.take(pa.array(present)))])
        rank, lengths = metrics.encoded(log.students)[0], np.diff(log.rows.student_start)
        row, row_student = (np.repeat(each, lengths) for each in (student, rank))
        return cls(names.take(pa.array(present)), student, rank, row, row_student)

    @property
    def members(self) -> IntArray:
        """Students of each group, (n_groups,)."""
        return np.bincount(self.student)


def _column(log: Log, by: str) -> pa.ChunkedArray:
    held = log.table.column_names
    if by not in held:
        got, remedy = f"the columns {', '.join(held)}", f"read the log with keep=['{by}'] (or columns={{'group': '{by}'}})"
        raise DataError("log", [Problem(got, f"column '{by}'", remedy, by)])
    if pa.types.is_nested(log.table[by].type):
        raise DataError("log", [Problem(f"{log.table[by].type}", "one name a student", "choose another column", by)])
    return log.table[by]


def _two_groups(by: str, student: object, first: object, second: object, more: int) -> Problem:
    also = f" (and {more:,} more {'student' if more == 1 else 'students'} in several)" if more else ""
    remedy = f"keep one for each student, e.g. the latest, or compare rows with metrics.report(..., by=log.table['{by}'])"
    return Problem(f"student {student!r} in {first!r} and {second!r}{also}", "one group a student", remedy, by)


def _no_groups(by: str, names: pa.Array) -> Problem:
    if len(names) == 1:
        got = "no value at all" if names.null_count else f"{names[0].as_py()!r} for every student"
        return Problem(got, "at least two groups", "choose a column that tells students apart", by)
    return Problem(f"{len(names):,} groups", f"at most {MOST_GROUPS}", "join them to fewer, e.g. by ranges", by)


# ---- predictions ------------------------------------------------------------


def _quality(correct: FloatArray, predicted: ArrayLike, groups: _Groups, draw: _Draw) -> _Measured:
    """Metrics and bias of every group and of the rest, one pass for each group; two groups are each other's rest."""
    y, (p,) = metrics.checked(correct, {"predicted": predicted})
    n_groups, order = len(groups.names), np.argsort(p)  # sorted once, every pass sorts its slices in no time
    y, p, row, student = y[order], p[order], groups.row[order], groups.row_student[order]
    values, drawn = [], []
    for number in range(1 if n_groups == 2 else n_groups):
        rows = metrics.Slices.of((row != number).astype(np.int64), student)
        quality, cells = metrics.all_metrics(rows, y, p), rows.cells(p - y)

        def statistic(weight: IntArray) -> FloatArray:
            return np.concatenate([quality(weight), kernels.mean(cells, weight)])  # noqa: B023  (used before the next turn)

        values.append(statistic(np.ones(rows.n_students, np.int64)))
        drawn.append(rows.drawn(statistic, *draw))
    sides = [np.stack(each, axis=2).swapaxes(0, 1) for each in (values, drawn)]
    if n_groups == 2:
        sides = [np.concatenate([side, side[::-1]], axis=2) for side in sides]
    return _Measured(*sides)


# ---- practice ---------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Paths:
    """What became of every pair of a student and a skill."""

    student: IntArray  # (n_pairs,) rank of the student
    skill: IntArray  # (n_pairs,)
    slice: IntArray  # (n_pairs,) which slice the pair belongs to: its group, or its skill and group
    n_slices: int
    n_groups: int  # slices of one skill are contiguous
    first: IntArray  # (n_pairs,) responses until mastery first was `at`; 0: never
    length: IntArray  # (n_pairs,) responses
    last: FloatArray  # (n_pairs,) 1 where mastery after the last response was below `at`
    over: FloatArray  # (n_pairs,) responses given although the skill was mastered

    @classmethod
    def of(cls, trace: pa.Table, log: Log, groups: _Groups, threshold: float) -> _Paths:
        """Read them off a trace, which has one row for each response and skill."""
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


class _Counts(NamedTuple):
    """Weighted sums over the pairs of each slice; those of the rest are what is left of all."""

    sums: FloatArray  # (5, n_slices): pairs, reached, responses until mastery, after it, stopped below it
    events: FloatArray  # (n_slices, longest + 1): reached mastery at the 1st, 2nd, ... response
    leaving: FloatArray  # (n_slices, longest + 1): reached it or stopped then; all later ones stand in the last column

    def rest(self, n_groups: int) -> _Counts:
        """The same for all other groups (of the same skill)."""
        return _Counts(*(_others(each, n_groups, axis) for each, axis in zip(self, (1, 0, 0), strict=True)))


def _others(values: NDArray[Any], n_groups: int, axis: int = 0) -> NDArray[Any]:
    """The sum over the other groups of a skill; whole numbers, so without rounding."""
    by_group = values.reshape(*values.shape[:axis], -1, n_groups, *values.shape[axis + 1 :])
    return np.asarray((by_group.sum(axis=axis + 1, keepdims=True) - by_group).reshape(values.shape))


def _counts(paths: _Paths, longest: int, weight: IntArray) -> _Counts:
    """Sums with a weight for each student."""
    times, reached = weight[paths.student].astype(np.float64), paths.first > 0
    columns = (1.0, reached, paths.first, paths.over, paths.last)
    sums = [np.bincount(paths.slice, times * column, paths.n_slices) for column in columns]
    place = paths.slice * (longest + 1) + np.minimum(paths.duration, longest + 1) - 1
    shape = (paths.n_slices, longest + 1)
    both = [np.bincount(place, each, shape[0] * shape[1]).reshape(shape) for each in (times * reached, times)]
    events, leaving = (np.asarray(each, np.float64) for each in both)
    return _Counts(np.stack(sums), events, leaving)


def _survival(events: FloatArray, leaving: FloatArray) -> FloatArray:
    """P(not mastered after 1, 2, ... responses), the product limit of Kaplan & Meier (1958, eq. 2b), shape as the counts."""
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    hazard = np.divide(events, at_risk, out=np.zeros_like(events), where=at_risk > 0.0)
    return np.asarray(np.cumprod(1.0 - hazard, axis=1))


def _restricted_mean(counts: _Counts, horizon: IntArray) -> FloatArray:
    """Mean of min(responses until mastery, horizon): the area under the survival curve, (n_slices,); NaN for horizon 0."""
    before = np.hstack([np.ones((len(horizon), 1)), _survival(counts.events, counts.leaving)[:, :-1]])
    area = (before * (np.arange(before.shape[1]) < horizon[:, None])).sum(axis=1)
    return np.where(horizon > 0, area, np.nan)


def _horizons(paths: _Paths) -> IntArray:
    """Up to which response survival is compared, (n_slices,): the least, over the groups of a skill, that has enough at risk.

    Groups of too few pairs have 0.
    """
    pairs = paths.pairs()
    order = np.lexsort((-paths.duration, paths.slice))
    start = np.cumsum(pairs) - pairs
    enough = pairs >= FEWEST_AT_RISK
    reach = np.zeros(paths.n_slices, np.int64)
    reach[enough] = paths.duration[order][start[enough] + FEWEST_AT_RISK - 1]
    least = np.where(enough, reach, np.iinfo(np.int64).max).reshape(-1, paths.n_groups).min(axis=1)
    return np.where(enough, np.repeat(least, paths.n_groups), 0)


def _measures(counts: _Counts, horizon: IntArray) -> FloatArray:
    """The measures of practice, (len(PRACTICE), n_slices)."""
    pairs, reached, until, over, below = counts.sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([until / reached, reached / pairs, over / reached, below / pairs, _restricted_mean(counts, horizon)])


def _practice(paths: _Paths, students: IntArray, draw: _Draw) -> _Measured:
    """The measures of every slice, and of the rest of its skill; ``students`` (n_slices,) says how many each has."""
    horizon = _horizons(paths)
    longest, others = int(horizon.max(initial=1)), _others(paths.pairs(), paths.n_groups)
    rest_horizon = np.where(others >= FEWEST_AT_RISK, horizon, 0)

    def statistic(weight: IntArray) -> FloatArray:
        counts = _counts(paths, longest, weight)
        return np.stack([_measures(counts, horizon), _measures(counts.rest(paths.n_groups), rest_horizon)])

    number = np.arange(paths.student.max() + 1)
    everyone = metrics.Slices.of(np.zeros(len(number), np.int64), number)  # all draws are of all students
    drawn = everyone.drawn(lambda weight: statistic(weight)[..., None], *draw)[..., 0, :]
    for side, size in enumerate((students, _others(students, paths.n_groups))):
        drawn[side, :, size < 2] = np.nan
    return _Measured(statistic(np.ones(len(number), np.int64)), drawn)


def _practice_of_groups(paths: _Paths, groups: _Groups, measured: _Measured) -> pa.Table:
    sizes = {"students": groups.members, "pairs": paths.pairs(), "horizon": _horizons(paths)}
    return pa.table({"group": groups.names, **sizes, **_columns(PRACTICE, measured)})


def _practice_of_skills(paths: _Paths, groups: _Groups, skills: pa.Array, draw: _Draw) -> pa.Table:
    """One row for each skill and group that met it."""
    n_groups = paths.n_groups
    paths = replace(paths, slice=paths.skill * n_groups + paths.slice, n_slices=len(skills) * n_groups)
    pairs = paths.pairs()  # of one skill: as many as students
    measured, number = _practice(paths, pairs, draw), np.arange(paths.n_slices)
    keys = {"skill": skills.take(pa.array(number // n_groups)), "group": groups.names.take(pa.array(number % n_groups))}
    sizes = {"students": pairs, "pairs": pairs, "horizon": _horizons(paths)}
    return pa.table({**keys, **sizes, **_columns(PRACTICE, measured)}).filter(pa.array(pairs > 0))


def _columns(names: Sequence[str], measured: _Measured) -> dict[str, FloatArray]:
    """Every measure of the groups with its interval."""
    low, high = metrics.interval(measured.drawn[0])
    columns: dict[str, FloatArray] = {}
    for name, *values in zip(names, measured.value[0], low, high, strict=True):
        columns |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return columns


# ---- gaps -------------------------------------------------------------------


def _gaps(groups: _Groups, names: Sequence[str], measured: _Measured) -> pa.Table:
    """Every group against the rest, in every measure: flagged first, then by p."""
    difference, drawn = measured.value[0] - measured.value[1], measured.drawn[0] - measured.drawn[1]
    low, high = metrics.interval(drawn)
    p = _chance(difference, drawn, groups.members)
    p = np.broadcast_to(_holm(p[:, :1] if len(groups.names) == 2 else p), p.shape)
    flagged = (p <= 1.0 - LEVEL) & ((low > 0.0) | (high < 0.0))
    place = np.lexsort((p.ravel(), ~flagged.ravel()))
    measure, group = (each.ravel()[place] for each in np.indices(p.shape))
    keys = {"measure": pa.array(names).take(pa.array(measure)), "group": groups.names.take(pa.array(group))}
    values = {"difference": difference, "low": low, "high": high, "p": p, "flagged": flagged}
    return pa.table({**keys, **{name: each.ravel()[place] for name, each in values.items()}})


def _chance(difference: FloatArray, drawn: FloatArray, members: IntArray) -> FloatArray:
    """Two-sided p of no difference, by t with the standard deviation of the draws; NaN where a side has too few students."""
    smaller = np.minimum(members, members.sum() - members)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = (~np.isnan(drawn)).sum(axis=-1)
        away = drawn - (np.nansum(drawn, axis=-1) / n)[..., None]
        t = np.abs(difference) / np.sqrt(np.nansum(away**2, axis=-1) / (n - 1))
    p = np.where(difference == 0.0, 1.0, 2.0 * stdtr(np.maximum(smaller - 1, 1), -t))
    return np.where(smaller >= FEWEST_STUDENTS, p, np.nan)


def _holm(p: FloatArray) -> FloatArray:
    """The p values as one family, for any dependence between them (Holm, 1979); NaN are none of it."""
    flat = p.ravel()
    order = np.argsort(flat)[: np.count_nonzero(~np.isnan(flat))]
    adjusted = np.full(len(flat), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted.reshape(p.shape)


# ---- in words ---------------------------------------------------------------


def _verdict(fairness: Fairness) -> list[str]:
    """What to read first: the flagged gaps."""
    gaps, sizes = _told(fairness), dict(zip(*(fairness.metrics[name].to_pylist() for name in ("group", "students")), strict=True))
    flagged = [gap for gap in gaps if gap["flagged"]]
    head = f"{len(sizes)} groups by '{fairness.by}', {sum(sizes.values()):,} students"
    lines = [f"{head}: {len(flagged)} of {len(gaps)} gaps to the other students are more than chance explains"]
    rows = [(f"  {_name(gap['group'])}", gap["measure"], *_difference(gap)) for gap in flagged]
    lines += text_table.aligned(rows, "<<>><")
    few = [f"{_name(name)} ({size})" for name, size in sizes.items() if min(size, sum(sizes.values()) - size) < FEWEST_STUDENTS]
    return [*lines, f"too few students on one side to tell: {', '.join(few)}"] if few else lines


def _told(fairness: Fairness) -> list[dict[str, Any]]:
    """The gaps as rows; of two groups, mirror images of each other, those of the smaller."""
    gaps: list[dict[str, Any]] = fairness.gaps.to_pylist()
    names, sizes = (fairness.metrics[name].to_pylist() for name in ("group", "students"))
    if len(names) > 2:
        return gaps
    told = names[0] if sizes[0] < sizes[1] else names[1]
    return [gap for gap in gaps if gap["group"] == told]


def _difference(gap: Mapping[str, Any]) -> tuple[str, str, str]:
    number, low, high = (f"{gap[name]:+.3f}" for name in ("difference", "low", "high"))
    return number, f"({low} to {high})", WORDS[gap["measure"]][int(gap["difference"] > 0.0)]


def _aligned(table: pa.Table, names: Sequence[str]) -> str:
    """Columns of a table as text."""
    rows = [[_name(row[name]) if name in KEYS else _number(row[name]) for name in names] for row in table.to_pylist()]
    sides = "".join("<" if name in KEYS else ">" for name in names)
    return "\n".join(text_table.aligned([[name.replace("_", " ") for name in names], *rows], sides))


def _name(group: object) -> str:
    return "missing" if group is None else str(group)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else "-" if np.isnan(value) else f"{value:.3f}"
