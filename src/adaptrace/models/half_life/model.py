"""Half-life regression: what was learnt fades with time, the slower the more it was practised."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import half_life as kernels
from adaptrace.kernels import parallel
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.half_life.fading import Fading
from adaptrace.models.half_life.fit import FadingOptions, fit_fading, past_of
from adaptrace.models.half_life.state import HalfLifeState
from adaptrace.models.saved import SavedModel, summary_of

FloatArray = NDArray[np.float64]

SECOND = 1.0 / 86_400.0  # days
LONGEST = 270.0  # days: the paper's nine months


@dataclass(frozen=True, repr=False, kw_only=True)
class HalfLife(SavedModel):
    """Half-life regression: what was learnt is half forgotten in a time that practice lengthens (Settles & Meeder, 2016).

    P(correct) = guess + (1 - guess - slip) 2^(-days / h), with days since the student's last response on the skill and
    h = 2^(w0 + w_skill + w1 sqrt(1 + wins) + w2 sqrt(1 + fails)) days (eq. 1 and 2; :mod:`adaptrace.kernels.half_life`). The
    first response on a skill has the skill's rate of first responses; an event of several skills the mean of their chances.
    Partial credit counts by its share. Weights have the highest likelihood of the single outcomes, not the paper's least squares
    of session averages and of half-lives computed from them (eq. 3).

    Parameters
    ----------
    guess_and_slip
        Whether P(G) of what is forgotten and P(S) of what is known are fitted; else both are 0, as in the paper.
    range_days
        Shortest and longest half-life. From one second by default, for practice within a session; the paper has 15 minutes.
    l2
        Penalty ``l2 / 2 * weight**2`` on the weight of every skill.

    Attributes
    ----------
    fading
        What the fit found (:class:`Fading`); None before it.

    Raises
    ------
    ModelError
        If the range or the penalty makes no sense.

    Examples
    --------
    >>> import adaptrace as at, datetime
    >>> from adaptrace.models.half_life import HalfLife
    >>> days = [datetime.datetime(2025, 1, day) for day in (1, 2, 3, 20)]
    >>> log = at.Log.from_arrow({"student": ["Ada"] * 4 + ["Bo"] * 4, "item": ["q1"] * 8, "skill": ["halves"] * 8,
    ...                          "correct": [0, 1, 1, 0, 1, 1, 1, 0], "time": days * 2})
    >>> model = HalfLife(guess_and_slip=False).fit(log)
    >>> model
    HalfLife(1 skill, guess_and_slip=False)
    >>> [recent, old] = model.predict(log)[2:4]
    >>> bool(recent > old)
    True
    """

    guess_and_slip: bool = True
    range_days: tuple[float, float] = (SECOND, LONGEST)
    l2: float = 1.0
    fading: Fading | None = None

    family: ClassVar[str] = "half-life"
    needs: ClassVar[tuple[str, ...]] = ("time",)

    def __post_init__(self) -> None:
        shortest, longest = self.range_days
        if not 0.0 < shortest < longest <= sys.float_info.max:
            raise ModelError(f"range_days: got {self.range_days!r}; expected two numbers above 0, the second larger")
        if not 0.0 <= self.l2 <= sys.float_info.max:
            raise ModelError(f"l2: got {self.l2!r}; expected a number that is not negative")

    def __repr__(self) -> str:
        fitted = [] if self.fading is None else [counted(len(self.fading.skills), "skill")]
        return f"HalfLife({', '.join(fitted + ([] if self.guess_and_slip else ['guess_and_slip=False']))})"

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> HalfLife:
        """The weights of the highest penalised likelihood.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`. A DataError if the log has no ``time``.
        """
        options = FadingOptions(self.guess_and_slip, self.range_days, self.l2)
        return replace(self, fading=fit_fading(data.by_name, options, executor=executor, progress=progress))

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1).

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        fading, past, out = self._fitted, past_of(log), np.empty(len(log))
        code = schema.find(log.skills, fading.skills) % len(fading.curve.skill)  # -1, unknown, is the last
        rows = log.rows._replace(pair_skill=code[log.rows.pair_skill].astype(np.int32))
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.chances, [(rows, past, fading.curve, *piece, out) for piece in pieces])
        return out

    def half_lives(self, wins: float = 1.0, fails: float = 0.0) -> pa.Table:
        """One row per skill: ``skill``, ``half_life_days`` after so many right and wrong answers, and ``first``.

        ``first`` is P(correct) of a first response.
        """
        fading = self._fitted
        days = [self.half_life(name, wins, fails) for name in fading.places]
        return pa.table(
            {"skill": fading.skills, "half_life_days": pa.array(days, pa.float64()), "first": fading.curve.first[:-1]}
        )

    def half_life(self, skill: str, wins: float = 1.0, fails: float = 0.0) -> float:
        """Days in which half of a skill is forgotten after so many right and wrong answers; an unknown one is as the mean."""
        return self._fitted.half_life(skill, wins, fails)

    def summary(self) -> pa.Table:
        """What fades how fast: ``parameter``, ``name`` and ``value``.

        ``guess`` and ``slip``; the weights of the half-life's logarithm, base 2 (``level``, ``weight_wins``, ``weight_fails``);
        and per skill ``half_life_days`` after one right answer and ``first``, P(correct) of a first response.
        """
        curve, lives = self._fitted.curve, self.half_lives()
        names = ("guess", "slip", "level", "weight_wins", "weight_fails")
        shared = [
            (name, [""], [value]) for name, value in zip(names, (curve.guess, curve.slip, *curve.weight.tolist()), strict=True)
        ]
        return summary_of(
            [*shared, *((name, lives["skill"].to_pylist(), lives[name].to_pylist()) for name in ("half_life_days", "first"))]
        )

    @property
    def _fitted(self) -> Fading:
        if self.fading is None:
            raise ModelError("this HalfLife model is not fitted; use the one that fit(log) returns")
        return self.fading

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> HalfLifeState:
        """The state of a student who has answered nothing; who it is makes no difference."""
        return HalfLifeState(self._fitted)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> HalfLifeState:
        """The state that :meth:`HalfLifeState.to_dict` described."""
        wins, fails = (read.by_name(content, part) for part in ("wins", "fails"))
        return replace(self.start(), wins=wins, fails=fails, last_time=read.moments(content, "last_time"))

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"guess_and_slip": bool(self.guess_and_slip), "range_days": list(self.range_days), "l2": float(self.l2)}
        return {"family": self.family, **options, "fading": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> HalfLife:
        """The model that :meth:`to_dict` described."""
        shortest, longest = content["range_days"]
        options = {"guess_and_slip": read.flag(content, "guess_and_slip"), "range_days": (shortest, longest), "l2": content["l2"]}
        return cls(**options, fading=Fading.from_dict(content["fading"]))
