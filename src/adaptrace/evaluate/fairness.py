"""Whether a model, and practice that follows it, treat groups of students alike.

The quality of predictions is measured group by group (slicing analysis: Gardner, Brooks & Baker, 2019), and so is practice:
how many responses mastery takes, how many follow it, and how often practice ends before it. One rule for all students need
not serve all groups equally well: if a model fits a group of slower students badly, they stop too early while others practise
too long (Doroudi & Brunskill, 2019). The measures of practice use the model's own mastery: read them together with the bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from adaptrace.data.log import Log
from adaptrace.errors import printable
from adaptrace.evaluate.checks import checked
from adaptrace.evaluate.draws import Slices, all_metrics
from adaptrace.evaluate.gaps import FEWEST_STUDENTS, gap_table
from adaptrace.evaluate.metrics import METRICS
from adaptrace.evaluate.practice import PRACTICE, PracticePaths, practice_measures, practice_of_groups, practice_of_skills
from adaptrace.evaluate.student_groups import DrawPlan, Measured, StudentGroups, measure_columns
from adaptrace.io import text_table
from adaptrace.kernels import metrics as kernels
from adaptrace.models.base import Model, Traces

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

QUALITY = (*METRICS, "bias")
WORDS = {  # what it means that a measure is lower, or higher, in a group than in the rest
    "auc": ("right and wrong answers are separated less well", "right and wrong answers are separated better"),
    "log_loss": ("predictions are better", "predictions are worse"),
    "rmse": ("predictions are better", "predictions are worse"),
    "accuracy": ("fewer verdicts are right", "more verdicts are right"),
    "bias": ("underrated", "overrated"),
    "responses_to_mastery": ("those who reach mastery do so sooner", "those who reach mastery do so later"),
    "reached": ("fewer reach mastery", "more reach mastery"),
    "over_practice": ("less practice after mastery", "more practice after mastery"),
    "under_practice": ("fewer stop below mastery", "more stop below mastery"),
    "expected_responses": ("mastery takes fewer responses", "mastery takes more responses"),
}
FEWEST_DRAWS = 20


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
        One row for each group: ``group``, ``n``, ``students``, then ``auc``, ``auc_low``, ``auc_high`` and so on for every
        metric, as in :func:`adaptrace.evaluate.metrics.report`, and ``bias``.
    practice
        One row for each group (and skill, if asked): ``skill``, ``group``, ``students``, ``pairs``, ``horizon`` (of the expected
        responses), then the measures with ``_low`` and ``_high``. None if the model has no mastery.
    gaps
        One row for each measure and group: ``measure``, ``group``, ``difference`` (the group less all other students), ``low``,
        ``high`` (95 %), ``p`` (Holm's), ``flagged``. Flagged first, then by p.
    """

    by: str
    threshold: float
    metrics: pa.Table
    practice: pa.Table | None
    gaps: pa.Table

    def pictured(self, picture: str) -> pa.Table:
        """The table that a picture of :mod:`adaptrace.plots` is drawn of: ``fairness``."""
        if picture != "fairness":
            raise ValueError("table: got a Fairness; expected the picture fairness for it")
        return self.gaps

    def __repr__(self) -> str:
        gaps = [gap["flagged"] for gap in _listed_gaps(self)]
        return f"Fairness(by='{self.by}', {len(self.metrics)} groups, {sum(gaps)} of {len(gaps)} gaps flagged)"

    def __str__(self) -> str:
        parts = [
            "\n".join(_verdict(self)),
            text_table.as_text(self.metrics, names=("group", "n", "students", *QUALITY), cell=_cell),
        ]
        if self.practice is not None:
            names = [name for name in ("skill", "group", "students", "pairs", *PRACTICE) if name in self.practice.column_names]
            horizons = sorted(set(self.practice["horizon"].to_pylist()))
            within = f"{horizons[0]}" if len(horizons) == 1 else f"{horizons[0]} to {horizons[-1]}"
            parts.append(f"Practice until mastery of {self.threshold:g} (expected responses: within the first {within})")
            parts[-1] += "\n" + text_table.as_text(self.practice, names=names, cell=_cell)
        return "\n\n".join(parts)


# ---- the function -----------------------------------------------------------


def fairness(
    model: Model,
    log: Log,
    *,
    by: str,
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
        A fitted model. It does not see the groups, unless its own options name the column. Of a model without mastery (BKT
        and Blend have it) only predictions are compared.
    log
        Not changed.
    by
        The column of the group: ``group``, or another that the log was read with (``keep=["language"]``). A student's rows
        without a value are ignored; students without any value are a group of their own, null (``missing`` in the text).
    threshold
        P(known) from which a skill counts as mastered, in (0, 1).
    draws, seed
        As in :func:`adaptrace.evaluate.metrics.bootstrap`. All intervals and gaps use the same draws of students.
    predicted
        (n_rows,) probabilities to measure instead of ``model.predict(log)``, e.g. cross-validated ones. Practice is measured
        with the model in either case.
    by_skill
        Give ``practice`` one row for each skill and group. The gaps are over all skills in either case.

    Returns
    -------
    Fairness
        ``bias`` is the mean of predicted - correct: above 0 the group is overrated. The measures of practice are means over
        pairs of a student and a skill:

        - ``responses_to_mastery``: mean number of responses until mastery first reached ``threshold``, of the pairs that
          reached it. Pairs that stopped before do not count, so **a group that stops early looks better than it is**: of its
          slow students only the lucky ones count.
        - ``expected_responses``: the same without that fault: the mean of min(responses until mastery, ``horizon``), where
          pairs that stopped before are censored (the area under the curve of Kaplan & Meier, 1958). It assumes that those
          who stop are as far from mastery as those who continue; where students stop *because* they struggle, it is too
          low. ``horizon``, in responses, is the largest at which every group still has 10 pairs short of mastery (groups
          of fewer pairs: NaN), so all groups are compared over the same number of responses.
        - ``reached``: share of the pairs that ever reached ``threshold``.
        - ``over_practice``: mean number of responses that were given although mastery was already at ``threshold`` or above,
          of the pairs that reached it.
        - ``under_practice``: share of the pairs whose last mastery is below ``threshold``.

        A gap is the group less all other students. Its p value is two-sided, from t = difference / standard deviation of its
        draws, with one degree of freedom less than the smaller side has students (the share of draws beyond 0 could not
        be smaller than 1/100). The p values are corrected for the number of measures and groups (Holm, 1979); two groups
        are mirror images, so one of them counts. A gap is flagged if p is at most 0.05, its interval excludes 0 and both
        sides have at least 10 students. Metrics such as the log loss also differ where answers are harder to predict: only
        a bias is unfair in itself.

    Raises
    ------
    DataError
        If the log has no such column, it holds one value, more than 100, or two for one student, or predictions do not fit.
    ValueError
        If ``threshold`` is not in (0, 1), or draws are fewer than 20.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.sample_log()                               # with the column class
    >>> result = at.fairness(at.BKT().fit(log), log, by="class")  # print(result) says it in words
    >>> result.gaps.select(["measure", "group", "flagged"]).slice(0, 1).to_pylist()
    [{'measure': 'under_practice', 'group': '6L', 'flagged': True}]
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold: got {threshold}; expected a probability between 0 and 1, e.g. 0.95")
    if draws < FEWEST_DRAWS:
        raise ValueError(f"draws: got {draws}; expected at least {FEWEST_DRAWS}")
    groups, draw = StudentGroups.of(log, by), DrawPlan(draws, seed)
    names, measured = QUALITY, _quality(log.correct, model.predict(log) if predicted is None else predicted, groups, draw)
    sizes = {"group": groups.names, "n": np.bincount(groups.row), "students": groups.members}
    quality, practice = pa.table({**sizes, **measure_columns(QUALITY, measured)}), None
    if isinstance(model, Traces):
        paths = PracticePaths.of(model.trace(log), log, groups, threshold)
        practised = practice_measures(paths, groups.members, draw)
        practice = practice_of_groups(paths, groups, practised)
        if by_skill:
            practice = practice_of_skills(paths, groups, log.skills, draw)
        names = (*QUALITY, *PRACTICE)
        measured = Measured(*(np.concatenate(pair, axis=1) for pair in zip(measured, practised, strict=True)))
    return Fairness(by, threshold, quality, practice, gap_table(groups, names, measured))


# ---- predictions ------------------------------------------------------------


def _quality(correct: FloatArray, predicted: ArrayLike, groups: StudentGroups, draw: DrawPlan) -> Measured:
    """Metrics and bias of every group and of all other students, in one pass for each group; two groups need one pass."""
    y, (p,) = checked(correct, {"predicted": predicted})
    n_groups, order = len(groups.names), np.argsort(p)  # sorted once: then every pass sorts its slices fast
    y, p, row, student = y[order], p[order], groups.row[order], groups.row_student[order]
    values, drawn = [], []
    for number in range(1 if n_groups == 2 else n_groups):
        rows = Slices.of((row != number).astype(np.int64), student)
        quality, cells = all_metrics(rows, y, p), rows.cells(p - y)

        def statistic(weight: IntArray) -> FloatArray:
            return np.concatenate([quality(weight), kernels.mean(cells, weight)])  # noqa: B023  (used before the next turn)

        values.append(statistic(np.ones(rows.n_students, np.int64)))
        drawn.append(rows.drawn(statistic, *draw))
    sides = [np.stack(each, axis=2).swapaxes(0, 1) for each in (values, drawn)]
    if n_groups == 2:
        sides = [np.concatenate([side, side[::-1]], axis=2) for side in sides]
    return Measured(*sides)


# ---- as text ----------------------------------------------------------------


def _verdict(fairness: Fairness) -> list[str]:
    """What to read first: the flagged gaps."""
    gaps = _listed_gaps(fairness)
    sizes = dict(zip(*(fairness.metrics[name].to_pylist() for name in ("group", "students")), strict=True))
    flagged = [gap for gap in gaps if gap["flagged"]]
    head = f"{len(sizes)} groups by '{printable(fairness.by)}', {sum(sizes.values()):,} students"
    lines = [f"{head}: {len(flagged)} of {len(gaps)} gaps to the other students are more than chance explains"]
    rows = [(f"  {_group_word(gap['group'])}", gap["measure"], *_difference(gap)) for gap in flagged]
    lines += text_table.aligned(rows, "<<>><")
    few = [
        f"{_group_word(name)} ({size})" for name, size in sizes.items() if min(size, sum(sizes.values()) - size) < FEWEST_STUDENTS
    ]
    return [*lines, f"too few students on one side to tell: {', '.join(few)}"] if few else lines


def _listed_gaps(fairness: Fairness) -> list[dict[str, Any]]:
    """The gaps as rows; two groups are mirror images, so only those of the smaller."""
    gaps: list[dict[str, Any]] = fairness.gaps.to_pylist()
    names, sizes = (fairness.metrics[name].to_pylist() for name in ("group", "students"))
    if len(names) > 2:
        return gaps
    smaller = names[0] if sizes[0] < sizes[1] else names[1]
    return [gap for gap in gaps if gap["group"] == smaller]


def _difference(gap: Mapping[str, Any]) -> tuple[str, str, str]:
    number, low, high = (f"{gap[name]:+.3f}" for name in ("difference", "low", "high"))
    return number, f"({low} to {high})", WORDS[gap["measure"]][int(gap["difference"] > 0.0)]


def _cell(name: str, row: Mapping[str, Any]) -> str:
    return _group_word(row[name]) if name == "group" else text_table.word(row[name])


def _group_word(group: object) -> str:
    return "missing" if group is None else printable(str(group))
