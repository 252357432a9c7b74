"""Constant: the mean outcome for everybody, which every other model has to beat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.models import content as read
from adaptrace.models.base import Progress, Response
from adaptrace.models.saved import SavedModel, summary_of


@dataclass(frozen=True, repr=False, kw_only=True)
class Constant(SavedModel):
    """The mean outcome of the log it was fitted to, whoever answers whatever.

    Parameters
    ----------
    mean
        P(correct), strictly inside (0, 1); None before the fit.

    Raises
    ------
    ModelError
        If the mean is no such number.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace.models.constant import Constant
    >>> log = at.Log.from_arrow({"student": ["Ada", "Ada", "Bo", "Bo"], "item": ["q1", "q2"] * 2,
    ...                          "skill": ["fractions"] * 4, "correct": [0, 1, 1, 1]})
    >>> model = Constant().fit(log)
    >>> model, model.predict(log)
    (Constant(0.75), array([0.75, 0.75, 0.75, 0.75]))
    """

    mean: float | None = None

    family: ClassVar[str] = "constant"
    needs: ClassVar[tuple[str, ...]] = ()
    ignores_history: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number = isinstance(self.mean, int | float | np.number)
        if self.mean is not None and not (number and 0.0 < self.mean < 1.0):
            raise ModelError(f"mean: got {self.mean!r}; expected a number strictly between 0 and 1")

    def fit(self, log: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Constant:
        """A model of the log's mean outcome; where all n answers are alike, half an answer of n + 1 counts as the other one.

        So an empty log gives 0.5, and no log certainty (Krichevsky & Trofimov, 1981). ``executor`` has nothing to do here;
        ``progress`` is called once, with 1.
        """
        n = len(log)
        least = 0.5 / (n + 1)
        mean = min(max(float(log.correct.sum() if log.is_binary else math.fsum(log.correct)) / max(n, 1), least), 1.0 - least)
        if progress is not None:
            progress(1.0)
        return replace(self, mean=mean)

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, float64 (n_rows,): the same for all."""
        return np.full(len(log), self._fitted)

    def summary(self) -> pa.Table:
        """The mean, as the one row: ``parameter``, ``name`` (empty) and ``value``."""
        return summary_of([("mean", [""], [self._fitted])])

    @property
    def _fitted(self) -> float:
        if self.mean is None:
            raise ModelError("this model is not fitted; use the one that fit(log) returns")
        return self.mean

    def __repr__(self) -> str:
        return f"Constant({'' if self.mean is None else format(self.mean, '.4g')})"

    # ---- one student --------------------------------------------------------

    def start(self, name: str = "", group: str = "") -> ConstantState:
        """The state of a student who has answered nothing; who it is makes no difference."""
        return ConstantState(self._fitted)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> ConstantState:
        """The state that :meth:`ConstantState.to_dict` described."""
        return self.start(name, group)

    # ---- plain data ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        return {"family": self.family, "mean": float(self._fitted)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Constant:
        """The model that :meth:`to_dict` described."""
        return cls(mean=read.number(content, "mean"))


@dataclass(frozen=True)
class ConstantState:
    """What a :class:`Constant` knows of one student: nothing."""

    mean: float

    def predict(self, response: Response) -> float:
        """P(correct) of any response."""
        return self.mean

    def observe(self, response: Response) -> None:
        """Take in one response, which changes nothing."""

    def to_dict(self) -> dict[str, Any]:
        """The state as plain data."""
        return {}
