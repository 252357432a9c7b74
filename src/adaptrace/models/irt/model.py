"""Item response models: how hard items are, how able students, and how that moves. Rasch and two-parameter (2PL)."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels import irt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.irt import Dynamics, Traced
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.irt.fit import ENOUGH, Items, calibrate, settle
from adaptrace.models.irt.fit import START as TYPICAL
from adaptrace.models.irt.state import IRTState, Online
from adaptrace.models.saved import Kept

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bank:
    """Items on the scale of abilities.

    Attributes
    ----------
    items, skills
        Names as text, sorted.
    difficulty, slope
        float64 (n_items,).
    mean
        Difficulty of an item that nothing is known of.
    skill
        float64 (n_skills,): what a skill adds to the difficulty of its items.
    dynamics
        How abilities differ and move (:class:`~adaptrace.kernels.irt.Dynamics`).
    responses
        How many the fit saw.
    """

    items: pa.StringArray
    skills: pa.StringArray
    difficulty: FloatArray
    slope: FloatArray
    mean: float
    skill: FloatArray
    dynamics: Dynamics
    responses: int

    def place(self, log: Log) -> tuple[FloatArray, FloatArray]:
        """Difficulty and slope of the item of every response, (n_rows,) each; an unknown item is as hard as its skills are."""
        item = schema.find(log.items, self.items)[log.table["item"].chunk(0).indices.to_numpy()]
        known = item >= 0
        difficulty = np.append(self.difficulty, 0.0)[item]
        if not known.all():
            code = schema.find(log.skills, self.skills)
            own = np.where(code >= 0, np.append(self.skill, 0.0)[code], 0.0)[log.rows.pair_skill[log.rows.pair]]
            skills = np.add.reduceat(own, log.rows.skill_start[:-1]) / np.diff(log.rows.skill_start)
            difficulty = np.where(known, difficulty, self.mean + skills)
        return difficulty, np.append(self.slope, 1.0)[item]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        names = {name: getattr(self, name).to_pylist() for name in ("items", "skills")}
        numbers = {name: getattr(self, name).tolist() for name in ("difficulty", "slope", "skill")}
        return {**names, **numbers, "mean": self.mean, "dynamics": self.dynamics._asdict(), "responses": self.responses}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Bank:
        """What :meth:`to_dict` described."""
        items, skills = (read.texts(content, name) for name in ("items", "skills"))
        difficulty, slope = read.numbers(content, "difficulty", len(items)), read.numbers(content, "slope", len(items), low=0.0)
        skill, mean = read.numbers(content, "skill", len(skills)), read.number(content, "mean")
        said = content["dynamics"]
        variances = {name: read.number(said, name, low=0.0) for name in Dynamics._fields if name != "growth"}
        dynamics = Dynamics(**variances, growth=read.number(said, "growth"))
        return cls(items, skills, difficulty, slope, mean, skill, dynamics, read.count(content, "responses"))


@dataclass(frozen=True, repr=False)
class IRT(Kept):
    """Item response theory with abilities that move: use :func:`Rasch` or :func:`TwoPL`.

    Items are calibrated by marginal maximum likelihood (Bock & Aitkin, 1981), drawn to their skills as far as responses are
    few. Then each student's ability is followed, response by response, as a normal belief (see
    :mod:`adaptrace.kernels.irt`).

    Parameters
    ----------
    slopes
        Whether items differ in how sharply they tell (2PL; Birnbaum, 1968), else all have slope 1 (Rasch, 1960).
    drift
        Whether abilities move with practice; else one ability for all time.
    skills
        Whether a student's skills differ from their ability.

    Attributes
    ----------
    bank
        What the fit found (:class:`Bank`); None before it.
    """

    slopes: bool = False
    drift: bool = True
    skills: bool = True
    bank: Bank | None = None

    family: ClassVar[str] = "irt"
    needs: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        options = [f"{name}=False" for name in ("drift", "skills") if not getattr(self, name)]
        fitted = [] if self.bank is None else [f"{len(self.bank.items):,} items"]
        return f"{'TwoPL' if self.slopes else 'Rasch'}({', '.join(fitted + options)})"

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> IRT:
        """Calibrate the items, then find how abilities move.

        Parameters
        ----------
        data
            Not changed.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.
        """
        bank = self._calibrated(data, executor)
        if progress is not None:
            progress(0.7)
        if len(data):
            bank = replace(bank, dynamics=self._settled(data, bank, executor))
        if progress is not None:
            progress(1.0)
        return replace(self, bank=bank)

    def recalibrate(self, data: Log, *, executor: Executor | None = None) -> IRT:
        """Items as other data say, with abilities that move as this fitted model found."""
        return replace(self, bank=replace(self._calibrated(data, executor), dynamics=self._fitted.dynamics))

    def _calibrated(self, data: Log, executor: Executor | None) -> Bank:
        """The items, where abilities stay."""
        rows, (names, item), (skills, pair_skill) = data.rows, schema.in_order(data.items), schema.in_order(data.skills)
        if not len(data):
            empty = np.empty(0)
            return Bank(names, skills, empty, empty, 0.0, empty, self._still(TYPICAL), 0)
        code = item[data.table["item"].chunk(0).indices.to_numpy()].astype(np.int32)
        items = Items.of(rows._replace(pair_skill=pair_skill[rows.pair_skill].astype(np.int32)), code, len(names), len(skills))
        found = calibrate(rows, code, items, self.slopes, executor)
        dynamics = self._still(TYPICAL._replace(spread=found.spread))
        return Bank(names, skills, found.difficulty, found.slope, found.mean, found.skill, dynamics, len(data))

    def _settled(self, data: Log, bank: Bank, executor: Executor | None) -> Dynamics:
        """How abilities move, given the items, as some of the students say."""
        free = (True, self.drift, self.skills, self.skills and self.drift, self.drift)
        some = _some(data)
        return settle(some.rows, *bank.place(some), bank.dynamics, free, executor)

    def _still(self, dynamics: Dynamics) -> Dynamics:
        """Dynamics without what this model leaves out."""
        if not self.drift:
            dynamics = dynamics._replace(drift=0.0, skill_drift=0.0, growth=0.0)
        return dynamics if self.skills else dynamics._replace(skill_spread=0.0, skill_drift=0.0)

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.trace(log).predicted

    def trace(self, log: Log) -> Traced:
        """P(correct) before each response, and the ability it comes from."""
        rows, out = log.rows, Traced(*(np.empty(len(log)) for _ in Traced._fields))
        difficulty, slope = self._fitted.place(log)
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.trace, [(rows, difficulty, slope, self._fitted.dynamics, *piece, out) for piece in pieces])
        return out

    def place(self, log: Log) -> tuple[FloatArray, FloatArray]:
        """Difficulty and slope of the item of every response, (n_rows,) each."""
        return self._fitted.place(log)

    def difficulties(self) -> pa.Table:
        """One row per item: ``item``, ``difficulty`` and ``slope``, on the logit scale."""
        bank = self._fitted
        return pa.table({"item": bank.items, "difficulty": bank.difficulty, "slope": bank.slope})

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> IRTState:
        """The state of a student who has not answered yet."""
        return IRTState(self)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> IRTState:
        """The state that :meth:`IRTState.to_dict` described."""
        return IRTState(self, content)

    @cached_property
    def online(self) -> Online:
        """What every student's state looks up."""
        bank = self._fitted
        items = zip(bank.items.to_pylist(), zip(bank.difficulty.tolist(), bank.slope.tolist(), strict=True), strict=True)
        return Online(dict(items), bank.mean, dict(zip(bank.skills.to_pylist(), bank.skill.tolist(), strict=True)), bank.dynamics)

    # ---- keeping it ----

    @property
    def _fitted(self) -> Bank:
        if self.bank is None:
            raise ModelError("this IRT model is not fitted; use the one that fit(log) returns")
        return self.bank

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {name: bool(getattr(self, name)) for name in ("slopes", "drift", "skills")}
        return {"family": self.family, **options, "bank": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> IRT:
        """The model that :meth:`to_dict` described."""
        slopes, drift, skills = (read.flag(content, name) for name in ("slopes", "drift", "skills"))
        return cls(slopes, drift, skills, Bank.from_dict(content["bank"]))


def _some(log: Log) -> Log:
    """Students with :data:`ENOUGH` responses, drawn by their names whatever their order in the log."""
    if len(log) <= ENOUGH:
        return log
    _, by_name = schema.in_order(log.students)
    drawn = np.argsort(np.random.default_rng(0).permutation(len(by_name))[by_name])  # students in the order of the draw
    enough = np.cumsum(np.diff(log.rows.student_start)[drawn]) <= ENOUGH
    chosen = np.zeros(len(by_name), bool)
    chosen[drawn[: max(int(enough.sum()), 1)]] = True
    return log.select(chosen[log.table["student"].chunk(0).indices.to_numpy()])


def Rasch(*, drift: bool = True, skills: bool = True) -> IRT:
    """The Rasch model (1960): one difficulty per item; abilities move (``drift``) and differ by skill (``skills``).

    With both off it is the classic model: one ability per student for all time.
    """
    return IRT(False, drift, skills)


def TwoPL(*, drift: bool = True, skills: bool = True) -> IRT:
    """The two-parameter model (Birnbaum, 1968): items also differ in how sharply they tell; abilities as in :func:`Rasch`."""
    return IRT(True, drift, skills)
