"""A family of models that is no BKT and knows no mastery: how a student's own answers on the item went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import adaptrace as at
from adaptrace.models.base import Response

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Rates:
    """P(correct) = (right + 1) / (n + 2) on the item; with a half-life, halving in so many days since the last answer."""

    half_life: float | None = None
    family = "rates"

    @property
    def needs(self) -> tuple[str, ...]:
        return () if self.half_life is None else ("time",)

    @property
    def fingerprint(self) -> str:
        return f"rates-{self.half_life}"

    def predict(self, log: at.Log) -> np.ndarray:
        """From all earlier answers, again for every row."""
        rows = log.table.to_pylist()
        predicted = []
        for place, row in enumerate(rows):
            before = [each for each in rows[:place] if (each["student"], each["item"]) == (row["student"], row["item"])]
            p = (sum(each["correct"] for each in before) + 1) / (len(before) + 2)
            if self.half_life is not None and before:
                p *= 0.5 ** ((row["time"] - before[-1]["time"]).total_seconds() / 86_400 / self.half_life)
            predicted.append(p)
        return np.array(predicted)

    def start(self, name: str = "", group: str = "") -> RatesState:
        return RatesState(self.half_life)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> RatesState:
        counts = (Counter(content["right"]), Counter(content["total"]), dict(content["last"]))
        return RatesState(self.half_life, *counts)


@dataclass
class RatesState:
    """Counts by item."""

    half_life: float | None
    right: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    last: dict[str, int] = field(default_factory=dict)

    def predict(self, response: Response) -> float:
        p = (self.right[response.item] + 1) / (self.total[response.item] + 2)
        if response.moment is None or response.item not in self.last:
            return p
        return p * 0.5 ** ((response.moment - self.last[response.item]) / DAY / self.half_life)

    def observe(self, response: Response) -> None:
        self.right[response.item] += response.correct
        self.total[response.item] += 1
        if response.moment is not None:
            self.last[response.item] = response.moment

    def to_dict(self) -> dict[str, Any]:
        return {"right": dict(self.right), "total": dict(self.total), "last": dict(self.last)}
