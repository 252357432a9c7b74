"""Item response models: how hard items are, how able students, and how that moves. Rasch and two-parameter (2PL)."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import irt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.irt import AbilityPath, Dynamics
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.irt.bank import ItemBank
from adaptrace.models.irt.fit import ENOUGH, AskedItems, calibrate, fit_dynamics, item_errors
from adaptrace.models.irt.fit import START as TYPICAL
from adaptrace.models.irt.state import IRTState, ItemLookup
from adaptrace.models.saved import Part, SavedModel, summary_of

FloatArray = NDArray[np.float64]
SAME = 1e-6  # of difficulties: items that differ by less were calibrated to the same responses


@dataclass(frozen=True, repr=False, kw_only=True)
class IRT(SavedModel):
    """Item response theory with abilities that move: use :class:`Rasch` or :class:`TwoPL`.

    Items are calibrated by marginal maximum likelihood (Bock & Aitkin, 1981), those with few responses are shrunk
    towards their skills. Then each student's ability is followed, response by response, as a normal belief (see
    :mod:`adaptrace.kernels.irt`).

    Parameters
    ----------
    discrimination
        Whether items differ in discrimination (2PL; Birnbaum, 1968), else all have discrimination 1 (Rasch, 1960).
    drift
        Whether abilities move with practice; else one ability for all time.
    skills
        Whether a student's skills differ from their ability.

    Attributes
    ----------
    bank
        What the fit found (:class:`ItemBank`); None before it.
    """

    discrimination: bool = False
    drift: bool = True
    skills: bool = True
    bank: ItemBank | None = None

    family: ClassVar[str] = "irt"
    needs: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        options = [f"{name}=False" for name in ("drift", "skills") if not getattr(self, name)]
        fitted = [] if self.bank is None else [counted(len(self.bank.items), "item")]
        return f"{'TwoPL' if self.discrimination else 'Rasch'}({', '.join(fitted + options)})"

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> IRT:
        """Calibrate the items, then find how abilities move.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`.
        """
        data = data.by_name
        bank = self._calibrated(data, executor)
        if progress is not None:
            progress(0.7)
        if len(data):
            bank = replace(bank, dynamics=self._dynamics(data, bank, executor))
        if progress is not None:
            progress(1.0)
        return replace(self, bank=bank)

    def recalibrate(self, data: Log, *, executor: Executor | None = None) -> IRT:
        """Items calibrated to other data; abilities move as this fitted model found."""
        return replace(self, bank=replace(self._calibrated(data.by_name, executor), dynamics=self._fitted.dynamics))

    def _calibrated(self, data: Log, executor: Executor | None) -> ItemBank:
        """The items, where abilities stay."""
        rows, (names, item), (skills, pair_skill) = data.rows, schema.in_order(data.items), schema.in_order(data.skills)
        if not len(data):
            empty = np.empty(0)
            return ItemBank(names, skills, empty, empty, 0.0, empty, self._restricted(TYPICAL), 0)
        code = item[data.table["item"].chunk(0).indices.to_numpy()].astype(np.int32)
        items = AskedItems.of(
            rows._replace(pair_skill=pair_skill[rows.pair_skill].astype(np.int32)), code, len(names), len(skills)
        )
        found = calibrate(rows, code, items, self.discrimination, executor)
        dynamics = self._restricted(TYPICAL._replace(spread=found.spread))
        return ItemBank(names, skills, found.difficulty, found.discrimination, found.mean, found.skill, dynamics, len(data))

    def _dynamics(self, data: Log, bank: ItemBank, executor: Executor | None) -> Dynamics:
        """How abilities move, given the items, found from a sample of the students."""
        free = (True, self.drift, self.skills, self.skills and self.drift, self.drift)
        some = _sampled(data)
        return fit_dynamics(some.rows, *bank.place(some), bank.dynamics, free, executor)

    def _restricted(self, dynamics: Dynamics) -> Dynamics:
        """Dynamics with 0 for what this model leaves out."""
        if not self.drift:
            dynamics = dynamics._replace(drift=0.0, skill_drift=0.0, growth=0.0)
        return dynamics if self.skills else dynamics._replace(skill_spread=0.0, skill_drift=0.0)

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.abilities(log).predicted

    def abilities(self, log: Log) -> AbilityPath:
        """P(correct) before each response, the ability it comes from, and each student's ability after the last response."""
        rows, n_students = log.rows, len(log.students)
        sizes = (len(log), len(log), len(log), n_students, n_students)
        out = AbilityPath(*map(np.empty, sizes))
        difficulty, discrimination = self._fitted.place(log)
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.trace, [(rows, difficulty, discrimination, self._fitted.dynamics, *piece, out) for piece in pieces])
        return out

    def place(self, log: Log) -> tuple[FloatArray, FloatArray]:
        """Difficulty and discrimination of the item of every response, (n_rows,) each."""
        return self._fitted.place(log)

    def students(self, log: Log) -> pa.Table:
        """One row per student of a log: ``student``, ``ability``, ``standard_error`` and ``responses``.

        The ability, on the logit scale, as it is believed to be after the student's last response: mean and standard deviation of
        a normal belief. Students of the fit's log have mean 0 before their first response.

        Examples
        --------
        >>> import adaptrace as at
        >>> log = at.sample_log()
        >>> at.Rasch().fit(log).students(log).column_names
        ['student', 'ability', 'standard_error', 'responses']
        """
        path, counts = self.abilities(log), np.diff(log.rows.student_start)
        names = {"student": schema.as_text(log.students), "ability": path.last}
        return pa.table({**names, "standard_error": np.sqrt(path.uncertain), "responses": counts})

    def difficulties(self, log: Log | None = None) -> pa.Table:
        """One row per item: ``item``, ``difficulty`` and ``discrimination``, on the logit scale.

        Parameters
        ----------
        log
            What the model was fitted to: then also ``standard_error`` of the difficulty and, of :class:`TwoPL`,
            ``discrimination_error``.

        Raises
        ------
        ModelError
            If the log is another one.

        Notes
        -----
        The errors are of the penalised marginal likelihood that the items were calibrated by (Louis, 1982), each given its skills
        and all other items, so somewhat too small: 90 % intervals held 90 % of simulated items of ``Rasch``, 85 % of ``TwoPL``.
        The items are calibrated again for them, which takes most of the time of a fit.
        """
        bank = self._fitted
        columns = {"item": bank.items, "difficulty": bank.difficulty, "discrimination": bank.discrimination}
        return pa.table(columns if log is None else {**columns, **self._errors(log)})

    def _errors(self, log: Log) -> dict[str, FloatArray]:
        """Standard errors of the items, where the log is that of the fit."""
        log = log.by_name
        bank, fitted_bank = self._calibrated(log, None), self._fitted
        if not bank.items.equals(fitted_bank.items) or not np.allclose(bank.difficulty, fitted_bank.difficulty, atol=SAME):
            got, fitted = counted(len(log), "response"), f"{self._fitted.responses:,}"
            raise ModelError(f"log: got {got} that give other items; expected the {fitted} that the model was fitted to")
        item = schema.find(log.items, bank.items)[log.table["item"].chunk(0).indices.to_numpy()].astype(np.int32)
        errors = item_errors(log.rows, item, bank, self.discrimination)
        own = {"standard_error": errors.difficulty}
        return {**own, "discrimination_error": errors.discrimination} if self.discrimination else own

    def summary(self) -> pa.Table:
        """How abilities differ and move, then the difficulty of every skill and item: ``parameter``, ``name``, ``value``.

        All on the logit scale. The ability of students has mean 0 and ``ability_variance``; a student's skills differ from it
        by ``skill_variance``. Each response adds ``ability_drift`` to the variance of the ability, ``skill_drift`` to that of
        the skill, and ``growth`` to the ability on the skill. ``discrimination`` stands there where items differ in it.
        """
        bank, moves = self._fitted, self._fitted.dynamics
        shared = {
            "ability_variance": moves.spread,
            "ability_drift": moves.drift,
            "skill_variance": moves.skill_spread,
            "skill_drift": moves.skill_drift,
            "growth": moves.growth,
            "mean_difficulty": bank.mean,
        }
        parts: list[Part] = [(name, [""], [value]) for name, value in shared.items()]
        parts += [("skill_difficulty", bank.skills, bank.mean + bank.skill), ("difficulty", bank.items, bank.difficulty)]
        return summary_of([*parts, *([("discrimination", bank.items, bank.discrimination)] if self.discrimination else [])])

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> IRTState:
        """The state of a student who has not answered yet."""
        return IRTState(self.lookup)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> IRTState:
        """The state that :meth:`IRTState.to_dict` described."""
        return IRTState(self.lookup, content)

    @cached_property
    def lookup(self) -> ItemLookup:
        """What every student's state looks up."""
        return ItemLookup.of(self._fitted)

    # ---- plain data ----

    @property
    def _fitted(self) -> ItemBank:
        if self.bank is None:
            raise ModelError("this IRT model is not fitted; use the one that fit(log) returns")
        return self.bank

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"slopes": bool(self.discrimination), "drift": bool(self.drift), "skills": bool(self.skills)}
        return {"family": self.family, **options, "bank": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> IRT:
        """The model that :meth:`to_dict` described."""
        slopes, drift, skills = (read.flag(content, name) for name in ("slopes", "drift", "skills"))
        return (TwoPL if slopes else Rasch)(drift=drift, skills=skills, bank=ItemBank.from_dict(content["bank"]))


@dataclass(frozen=True, repr=False, kw_only=True)
class Rasch(IRT):
    """The Rasch model (1960): one difficulty per item; abilities move (``drift``) and differ by skill (``skills``).

    With both off it is the classic model: one ability per student for all time.

    Parameters
    ----------
    drift
        Whether abilities move with practice.
    skills
        Whether a student's skills differ from their ability.
    """

    discrimination: bool = field(default=False, init=False)


@dataclass(frozen=True, repr=False, kw_only=True)
class TwoPL(IRT):
    """The two-parameter model (Birnbaum, 1968): items also differ in discrimination; abilities as in :class:`Rasch`.

    Parameters
    ----------
    drift, skills
        As in :class:`Rasch`.
    """

    discrimination: bool = field(default=True, init=False)


def _sampled(log: Log) -> Log:
    """Students with :data:`ENOUGH` responses, drawn at random by their names, not by their order in the log."""
    if len(log) <= ENOUGH:
        return log
    _, by_name = schema.in_order(log.students)
    drawn = np.argsort(np.random.default_rng(0).permutation(len(by_name))[by_name])  # students in the order of the draw
    enough = np.cumsum(np.diff(log.rows.student_start)[drawn]) <= ENOUGH
    chosen = np.zeros(len(by_name), bool)
    chosen[drawn[: max(int(enough.sum()), 1)]] = True
    return log.select(chosen[log.table["student"].chunk(0).indices.to_numpy()])
