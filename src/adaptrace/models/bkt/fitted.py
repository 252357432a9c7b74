"""FittedBKT: what a fit found, and the passes over a log. States and tables are given it, not the model with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.bkt import CellIndex, Credit, ForwardPass, Parameters, Smoothed
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.skill_table import Row, SkillTable

FloatArray = NDArray[np.float64]

RULES = {
    "conjunctive": kernels.CONJUNCTIVE,
    "mean": kernels.MEAN,
    "min": kernels.MIN,
    "weakest-first": kernels.WEAKEST_FIRST,
}
NAMES = {"item", "kind", "group", "student"}


class CellLayout(NamedTuple):
    """A log laid out for the kernels."""

    cells: CellIndex
    parameters: Parameters  # of the cells


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedBKT:
    """What a fit of knowledge tracing found.

    Attributes
    ----------
    table
        Parameters of every skill.
    effects
        How they vary; None if by skill alone.
    rule
        How the skills of one event combine: one of :data:`RULES`.
    """

    table: SkillTable
    effects: Effects | None = None
    rule: int = kernels.CONJUNCTIVE

    # ---- parameters ----

    @property
    def fades(self) -> bool:
        """Whether mastery fades with time."""
        return self.effects is not None and len(self.effects.half_life) > 0

    def row(self, skill: str, *, alone: bool = True, **names: object) -> Row:
        """prior, learn, forget, guess and slip of one skill; see :meth:`adaptrace.BKT.row`."""
        if not names.keys() <= NAMES:
            raise TypeError(f"row: got {', '.join(names)}; expected some of item, kind, group, student")
        if self.effects is None:
            return self.table.row(skill)
        return self.effects.row(self.table.position(skill), {key: str(name) for key, name in names.items()}, alone)

    def level_chances(self, skill: str, *, kind: str, correct: float) -> tuple[float, float] | None:
        """P(level | unknown) and 1 - P(level | known); None if the kind has no levels on the skill."""
        return None if self.effects is None else self.effects.level_chances(self.table.position(skill), kind, correct)

    def half_life(self, skill: str) -> float:
        """Days in which P(known) halves; infinite if mastery does not fade."""
        if self.effects is None or not self.fades:
            return float("inf")
        return float(self.effects.half_life[self.table.position(skill)])

    def knows(self, skills: pa.Array) -> NDArray[np.bool_]:
        """Which of these skills the fit saw."""
        return np.asarray(self.table.index(skills) >= 0)

    def seen(self, log: Log) -> NDArray[np.bool_]:
        """Whether the fit saw each row's skills, item and kind, as far as parameters vary by them, (n_rows,)."""
        rows, known = log.rows, self.knows(log.skills)
        seen = np.minimum.reduceat(known[rows.pair_skill[rows.pair]], rows.skill_start[:-1]) if len(log) else np.empty(0, bool)
        return seen if self.effects is None else seen & self.effects.seen(log)

    # ---- passes over a log ----

    def layout(self, log: Log) -> CellLayout:
        """The cells of a log, and their parameters."""
        skill = self.table.index(log.skills)
        if self.effects is not None:
            return CellLayout(*self.effects.cells(log, skill))
        no_codes, no_numbers = np.empty(0, np.int32), np.empty(0)
        parameters = Parameters(*(values[skill] for values in self.table.parameters))
        return CellLayout(CellIndex(log.rows.pair_skill, no_codes, no_codes, no_numbers, no_numbers), parameters)

    def trace(
        self,
        log: Log,
        layout: CellLayout | None = None,
        *,
        odds: FloatArray | None = None,
        with_mastery: bool = False,
        with_wrong: bool = False,
    ) -> ForwardPass:
        """The forward pass over a log.

        Parameters
        ----------
        log
            Not changed.
        layout
            As :meth:`layout` gives it, if it is at hand.
        odds
            (n_pairs,) before each student's first response, updated in place; by default from the priors.
        with_mastery
            Also record P(known) after each response.
        with_wrong
            Also record P(wrong) to full precision.
        """
        rows, (cells, parameters) = log.rows, layout or self.layout(log)
        if odds is None:
            odds = space(len(rows.pair_skill), np.float64)
            kernels.start_odds(cells, parameters.prior, odds)
        several = len(rows.pair) if log.has_several_skills else 0
        credit = Credit(np.ones(several), np.zeros(several))
        mastery = space(len(rows.pair), np.float64) if with_mastery else kernels.EMPTY
        wrong = space(len(log), np.float64) if with_wrong else kernels.EMPTY
        traced = ForwardPass(space(len(log), np.float64), odds, credit, mastery, wrong)
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.trace, [(rows, cells, parameters, self.rule, *piece, traced) for piece in pieces])
        return traced

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses."""
        traced, correct = self.trace(log, with_wrong=True), log.rows.correct
        return float(np.log(correct * traced.predicted + (1.0 - correct) * traced.wrong).sum())

    def smooth(self, log: Log) -> Smoothed:
        """The forward-backward pass over a log."""
        rows, layout = log.rows, self.layout(log)
        smoothed, event_credit = Smoothed(np.empty(len(rows.pair)), np.empty(len(rows.pair))), self.trace(log, layout).credit
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.smooth, [(rows, *layout, event_credit, *piece, smoothed) for piece in pieces])
        return smoothed
