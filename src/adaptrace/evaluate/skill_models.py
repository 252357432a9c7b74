"""The model that judges skills: what a student's answers on a skill say of the next, beside the item and all other answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from adaptrace.data.log import Log
from adaptrace.evaluate.candidates import QMatrix, SkillChange
from adaptrace.evaluate.folds import plan_of
from adaptrace.models.logistic import Feature, Logistic
from adaptrace.models.logistic.features import INTERCEPT

FloatArray = NDArray[np.float64]

FOLDS = 4
FEWEST_JUDGES = 10  # students who met the skills of a change


def _model() -> Logistic:
    own = (Feature(what=what, of="skill", by="skill") for what in ("one", "log_wins", "log_fails"))
    return Logistic(features=(INTERCEPT, *(Feature(what="one", times=number) for number in range(2)), _ITEM, *own))


_ITEM = Feature(what="one", of="item", by="item")
JUDGE = _model()


class Judgement(NamedTuple):
    """How much better a model is with a change than without it."""

    difference: float  # log loss, nats per response of the log, whatever its skills; negative is better
    standard_error: float  # of the difference, by student
    p: float  # one-sided
    bic_difference: float


def totals_of(log: Log) -> FloatArray:
    """log(1 + right answers) and log(1 + wrong answers) of the student before each response, (n_rows, 2)."""
    first = np.repeat(log.rows.student_start[:-1], np.diff(log.rows.student_start))
    before = np.concatenate([[0.0], np.cumsum(log.correct)])
    right = before[:-1] - before[first]
    wrong = np.arange(len(log)) - first - right
    return np.asarray(np.log1p(np.maximum(np.column_stack([right, wrong]), 0.0)))  # sums of partial credit may round below 0


def residuals(log: Log) -> FloatArray:
    """What the judging model leaves of each outcome, (n_rows,), in units of its standard deviation."""
    totals = totals_of(log)
    p = JUDGE.fit_given(log, totals).predict_given(log, totals)
    return np.asarray((log.correct - p) / np.sqrt(p * (1.0 - p)))


def judged(log: Log, totals: FloatArray, matrix: QMatrix, change: SkillChange, seed: int) -> Judgement:
    """A change of the skills, on the rows that have them; ``totals`` (n_rows, 2) are of all rows."""
    rows = matrix.rows_of(log, change)
    some, given = log.select(rows), totals[rows]
    if len(some.students) < FEWEST_JUDGES:
        return Judgement(0.0, np.inf, 1.0, 0.0)
    fold = plan_of(some, "student", FOLDS, seed).fold
    without, changed = (_Fits.of(each.applied(some), given, fold) for each in (matrix, matrix.changed(change)))
    off = (changed.loss - without.loss) / len(log)
    by_student = np.add.reduceat(off, some.rows.student_start[:-1])
    n = len(by_student)
    error = float(np.sqrt(n * by_student.var(ddof=1)))
    p = float(stdtr(n - 1, by_student.sum() / error)) if error > 0.0 else 1.0
    return Judgement(float(off.sum()), error, p, changed.bic - without.bic)


class _Fits(NamedTuple):
    """The judging model on one labelling of the rows."""

    loss: FloatArray  # (n_rows,) cross-validated
    bic: float  # of the fit to all rows

    @classmethod
    def of(cls, log: Log, given: FloatArray, fold: NDArray[np.int64]) -> _Fits:
        """Cross-validate by folds of students, then fit to all rows."""
        p = np.empty(len(log))
        for number in range(FOLDS):
            test = fold == number
            fitted = JUDGE.fit_given(log.select(~test), given[~test])
            p[test] = fitted.predict_given(log.select(test), given[test])
        whole = JUDGE.fit_given(log, given)
        loss = float(_loss(log.correct, whole.predict_given(log, given)).sum())
        return cls(_loss(log.correct, p), 2.0 * loss + np.log(len(log)) * len(whole.coefficients()))


def _loss(correct: FloatArray, p: FloatArray) -> FloatArray:
    """Log loss of each response."""
    return np.asarray(-(correct * np.log(p) + (1.0 - correct) * np.log1p(-p)))
