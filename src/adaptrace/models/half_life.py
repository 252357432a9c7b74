"""Half-life regression: what was learnt fades with time, the slower the more it was practised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import DAY, Log
from adaptrace.errors import ModelError
from adaptrace.kernels import half_life as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.compile import plain
from adaptrace.kernels.half_life import Curve, Lean, Past
from adaptrace.kernels.lbfgs import minimise
from adaptrace.kernels.rows import Rows
from adaptrace.models import content as read
from adaptrace.models.base import Progress, Response
from adaptrace.models.saved import Kept

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SMOOTHING = 5.0  # pseudo-counts by which the rate of a skill's or an item's first responses is shrunk to that of all
SECOND = 1.0 / 86_400.0  # days
LONGEST = 270.0  # days: the paper's nine months
GUESS, LOSS = 0.2, 0.1  # where the climb starts: P(G), and P(S) of those who do not guess
LOOSE = 0.01  # penalty that draws weights which all skills share to where the climb starts
CURVED = 0.05  # of the log-likelihood of a response in a weight, about
PIECES = 8  # of the students in a fit: as many for any number of threads
STEPS, CLOSE = 200, 1e-11

practice, level, half_life = plain(kernels.practice), plain(kernels.level), plain(kernels.half_life)
recall, chance = plain(kernels.recall), plain(kernels.chance)


def first_rates(code: IntArray, correct: FloatArray, n: int) -> FloatArray:
    """Rate of first responses by skill or item, (n + 1,): shrunk to that of all, the last, by :data:`SMOOTHING` pseudo-counts.

    ``code``, ``correct`` (n_firsts,). The rate of all is never 0 or 1: half an answer of n + 1 is taken to be otherwise.
    """
    overall = (correct.sum() + 0.5) / (len(correct) + 1)
    right, total = np.bincount(code, correct, n), np.bincount(code, minlength=n)
    return np.append((right + SMOOTHING * overall) / (total + SMOOTHING), overall)


@dataclass(frozen=True, eq=False)
class Fading:
    """What a fit of :class:`HalfLife` found.

    Attributes
    ----------
    skills
        Names as text, sorted; ``curve`` has a last entry for skills that were never seen.
    curve
        How what was learnt fades (:class:`~adaptrace.kernels.half_life.Curve`).
    responses
        How many the fit saw.
    objective
        Minus the log-likelihood of these, with the penalty.
    """

    skills: pa.StringArray
    curve: Curve
    responses: int
    objective: float

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each skill stands."""
        return {name: place for place, name in enumerate(self.skills.to_pylist())}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        curve = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.curve._asdict().items()}
        return {"skills": self.skills.to_pylist(), "curve": curve, "responses": self.responses, "objective": self.objective}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Fading:
        """What :meth:`to_dict` described."""
        skills, said = read.texts(content, "skills"), content["curve"]
        curve = Curve(
            weight=read.numbers(said, "weight", 3),
            skill=read.numbers(said, "skill", len(skills) + 1),
            first=read.numbers(said, "first", len(skills) + 1, low=0.0, high=1.0),
            **{name: read.number(said, name, 0.0, 1.0) for name in ("guess", "slip")},
            shortest=read.number(said, "shortest", np.finfo(float).tiny),
            longest=read.number(said, "longest", said["shortest"]),
        )
        return cls(skills, curve, read.count(content, "responses"), read.number(content, "objective", -math.inf, math.inf))


@dataclass(frozen=True, repr=False)
class HalfLife(Kept):
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
    HalfLife(1 skills, guess_and_slip=False)
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
        if not 0.0 < shortest < longest < math.inf:
            raise ModelError(f"range_days: got {self.range_days!r}; expected two numbers above 0, the second larger")
        if not 0.0 <= self.l2 < math.inf:
            raise ModelError(f"l2: got {self.l2!r}; expected a number that is not negative")

    def __repr__(self) -> str:
        fitted = [] if self.fading is None else [f"{len(self.fading.skills):,} skills"]
        return f"HalfLife({', '.join(fitted + ([] if self.guess_and_slip else ['guess_and_slip=False']))})"

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> HalfLife:
        """The weights of the highest penalised likelihood.

        Parameters
        ----------
        data
            Needs ``time``. Not changed.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        skills, rows = _by_text(data)
        past = _past(data)
        new = data.rows.opportunity == 1
        correct = np.repeat(data.correct, np.diff(rows.skill_start))
        first = first_rates(rows.pair_skill[rows.pair[new]], correct[new], len(skills))
        told = None if progress is None else lambda step: progress(step / STEPS)
        with parallel.workers(executor, len(data)) as pool:
            task = _Task(rows, past, first, self, _start(past.days[~new], self.range_days), pool)
            best = minimise(task.objective, np.zeros(len(task.scale)), steps=STEPS, close=CLOSE, told=told)
        if progress is not None:
            progress(1.0)
        return replace(self, fading=Fading(skills, task.curve(best.point), len(data), best.value))

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1).

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        fading, past, out = self._fitted, _past(log), np.empty(len(log))
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
        curve, place = self._fitted.curve, self._fitted.places.get(skill, -1)
        return half_life(float(level(curve, place, practice(wins), practice(fails))), curve.shortest, curve.longest)

    @property
    def _fitted(self) -> Fading:
        if self.fading is None:
            raise ModelError("this HalfLife model is not fitted; use the one that fit(log) returns")
        return self.fading

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> HalfLifeState:
        """The state of a student who has answered nothing; who it is makes no difference."""
        self._fitted  # noqa: B018
        return HalfLifeState(self)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> HalfLifeState:
        """The state that :meth:`HalfLifeState.to_dict` described."""
        wins, fails, last_time = (dict(content[part]) for part in ("wins", "fails", "last_time"))
        return replace(self.start(), wins=wins, fails=fails, last_time=last_time)

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"guess_and_slip": bool(self.guess_and_slip), "range_days": list(self.range_days), "l2": float(self.l2)}
        return {"family": self.family, **options, "fading": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> HalfLife:
        """The model that :meth:`to_dict` described."""
        shortest, longest = content["range_days"]
        return cls(read.flag(content, "guess_and_slip"), (shortest, longest), content["l2"], Fading.from_dict(content["fading"]))


@dataclass(slots=True)
class HalfLifeState:
    """One student as a :class:`HalfLife` knows them.

    The steps are those of the batch kernels as plain Python: the same bits wherever compiled code takes ``exp`` from the C
    library, as Python does; else within a few ulp.

    Attributes
    ----------
    model
        Whose parameters hold.
    wins, fails
        Sums of credit and of what was missing, per skill met.
    last_time
        Microseconds since 1970 of the last response, per skill met.
    """

    model: HalfLife = field(repr=False, compare=False)
    wins: dict[str, float] = field(default_factory=dict)
    fails: dict[str, float] = field(default_factory=dict)
    last_time: dict[str, int] = field(default_factory=dict)

    def predict(self, response: Response) -> float:
        """P(correct): the mean over the response's skills."""
        total = 0.0
        for skill in response.skills:
            total += self._chance(skill, response.moment)
        return total / len(response.skills)

    def observe(self, response: Response) -> None:
        """Take in one response."""
        for skill in response.skills:
            self.wins[skill] = self.wins.get(skill, 0.0) + response.correct
            self.fails[skill] = self.fails.get(skill, 0.0) + (1.0 - response.correct)
            if response.moment is not None:
                self.last_time[skill] = response.moment

    def half_life(self, skill: str) -> float:
        """Days in which half of what the student knows of a skill is forgotten."""
        return self.model.half_life(skill, self.wins.get(skill, 0.0), self.fails.get(skill, 0.0))

    def _chance(self, skill: str, moment: int | None) -> float:
        fading = self.model._fitted
        if skill not in self.wins:
            first = float(fading.curve.first[fading.places.get(skill, -1)])
            return chance(first, 0.0, 0.0)
        last = self.last_time.get(skill, moment)
        days = 0.0 if moment is None or last is None else max(moment - last, 0) / DAY
        return chance(recall(days, self.half_life(skill)), fading.curve.guess, fading.curve.slip)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"wins": dict(self.wins), "fails": dict(self.fails), "last_time": dict(self.last_time)}


class _Task:
    """The likelihood of a log as a function of the weights, each measured from where the climb starts.

    A point is: the three weights that all skills share; with guess and slip, the logits of P(G) and of the share of those who
    do not guess but slip; every skill's weight.
    """

    def __init__(self, rows: Rows, past: Past, first: FloatArray, model: HalfLife, start: float, executor: Executor) -> None:
        self.rows, self.past, self.first, self.model, self.executor = rows, past, first, model, executor
        shared = [start, 0.0, 0.0, *([_logit(GUESS), _logit(LOSS)] if model.guess_and_slip else [])]
        n_skills, n = len(first) - 1, len(past.days)
        seen = np.bincount(rows.pair_skill[rows.pair], minlength=n_skills)
        counts = [n, float((past.wins**2).sum()), float((past.fails**2).sum()), n, n][: len(shared)]
        self.origin = np.concatenate([shared, np.zeros(n_skills)])
        self.precision = np.concatenate([np.full(len(shared), LOOSE), np.full(n_skills, model.l2)])
        self.scale = 1.0 / np.sqrt(CURVED * np.concatenate([counts, seen]) + np.maximum(self.precision, LOOSE))
        self.pieces = parallel.spans(rows.student_start, PIECES) or [(0, 0)]
        self.leans = [Lean(np.empty(1), np.empty(3), np.empty(2), np.empty(n_skills)) for _ in self.pieces]

    def curve(self, point: FloatArray) -> Curve:
        """The parameters at a point, with a last skill for the unknown."""
        values = self.origin + self.scale * point
        n_skills, guess, slip = len(self.first) - 1, 0.0, 0.0
        if self.model.guess_and_slip:
            guess, loss = _expit(values[3]), _expit(values[4])
            slip = (1.0 - guess) * loss
        skill = np.append(values[len(values) - n_skills :], 0.0)
        return Curve(values[:3].copy(), skill, self.first, guess, slip, *map(float, self.model.range_days))

    def objective(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Minus the penalised log-likelihood, and its gradient."""
        curve, moved = self.curve(point), self.scale * point
        for lean in self.leans:
            for part in lean:
                part[:] = 0.0
        work = [(self.rows, self.past, curve, *piece, out) for piece, out in zip(self.pieces, self.leans, strict=True)]
        parallel.run(kernels.lean, work, self.executor)
        likelihood, weight, noise, skill = (sum(parts) for parts in zip(*self.leans, strict=True))
        slope = np.concatenate([weight, self._logits(curve, noise), skill])
        value = 0.5 * float(np.add.reduce(self.precision * moved**2)) - float(likelihood[0])
        return value, self.scale * (self.precision * moved - slope)

    def _logits(self, curve: Curve, noise: FloatArray) -> list[float]:
        """Slopes in guess and slip as slopes in the logits that they are made of."""
        if not self.model.guess_and_slip:
            return []
        rest = 1.0 - curve.guess
        loss = curve.slip / rest
        return [curve.guess * rest * float(noise[0] - loss * noise[1]), curve.slip * (1.0 - loss) * float(noise[1])]


def _start(days: FloatArray, bounds: tuple[float, float]) -> float:
    """log2 of the half-life to start from, off its bounds: the median time since the last response, or a day."""
    days = days[days > 0.0]
    low, high = map(math.log2, bounds)
    middle = math.log2(float(np.median(days))) if len(days) else 0.0
    return min(max(middle, 0.9 * low + 0.1 * high), 0.1 * low + 0.9 * high)


def _past(log: Log) -> Past:
    """What stands before each response."""
    past = Past(log.gap_days, *(space(len(log.rows.pair), np.float64) for _ in range(2)))
    pieces = parallel.spans(log.rows.student_start, 4 * parallel.cores())
    parallel.run(kernels.remember, [(log.rows, *piece, past) for piece in pieces])
    return past


def _by_text(log: Log) -> tuple[pa.StringArray, Rows]:
    """The skills as text, sorted, and the log with skills so numbered."""
    names, code = schema.in_order(log.skills)
    return names, log.rows._replace(pair_skill=code[log.rows.pair_skill].astype(np.int32))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(x, -36.0), 36.0)))
