"""A world of decisions whose worth under any policy is known exactly.

A student of a hidden kind stands in a visible state; a policy sees the state and offers an item; reward, next state and
whether the student stays depend on kind, state and item. Values are sums over all states (dynamic programming), with no
weight and no sampling: independent in method of what they check.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
KINDS, STATES, ITEMS = 2, 3, 4
NAMES = np.array(["fractions", "decimals", "ratios", "graphs"])
OFFERED = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1]], bool)  # (states, items): lists of different lengths


@dataclass(frozen=True)
class Logged:
    """Decisions, row for row."""

    table: pa.Table
    kind: NDArray[np.int64]  # hidden
    state: NDArray[np.int64]
    step: NDArray[np.int64]

    def lists(self, values: Floats) -> pa.Array:
        """Of (n, items) or of (states, items), the values of what was offered, a list a row."""
        rows = values[self.state] if values.shape == (STATES, ITEMS) else values
        return ragged(rows, OFFERED[self.state])


@dataclass(frozen=True)
class World:
    """Chances of reward, next state and staying; and the policy that logs."""

    length: int  # the most decisions of a student
    stay: float = 0.95  # the chance to stay after a decision, for the first kind; higher for the second

    @cached_property
    def start(self) -> Floats:
        """(kinds, states)."""
        return np.array([[0.4, 0.15, 0.05], [0.1, 0.15, 0.15]])

    @cached_property
    def reward(self) -> Floats:
        """(kinds, states, items): a chance of 1, else 0."""
        easy = np.array([[0.7, 0.5, 0.2, 0.2], [0.5, 0.6, 0.4, 0.3], [0.2, 0.3, 0.6, 0.7]])
        return np.stack([easy - 0.1, np.minimum(easy + 0.2, 0.95)])

    @cached_property
    def move(self) -> Floats:
        """(states, items, states): harder items lead further."""
        far = np.array([0.1, 0.3, 0.6, 0.7])
        further = np.minimum(np.arange(STATES) + 1, STATES - 1)
        move = np.zeros((STATES, ITEMS, STATES))
        for state in range(STATES):
            move[state, :, state] += 1.0 - far
            move[state, :, further[state]] += far
        return move

    @cached_property
    def staying(self) -> Floats:
        """(kinds, items): hard items drive the first kind away."""
        return np.stack([self.stay - 0.1 * np.arange(ITEMS) / ITEMS, np.full(ITEMS, 0.5 + self.stay / 2)])

    # ---- exact values -------------------------------------------------------

    def visits(self, policy: Floats) -> Floats:
        """(length, kinds, states): the chance that a student decides there at that step."""
        here = [self.start]
        for _ in range(self.length - 1):
            here.append(np.einsum("ks,sa,ka,sat->kt", here[-1], policy, self.staying, self.move))
        return np.stack(here)

    def per_decision(self, target: Floats, logging: Floats) -> float:
        """Mean reward of the target at the states that the logging policy reaches."""
        visits = self.visits(logging).sum(0)
        return float(np.einsum("ks,sa,ksa->", visits, target, self.reward) / visits.sum())

    def per_student(self, target: Floats) -> float:
        """Mean sum of rewards of a student whom the target teaches."""
        return float(np.einsum("ks,sa,ksa->", self.visits(target).sum(0), target, self.reward))

    def to_come(self, target: Floats) -> Floats:
        """(length, kinds, states, items): the expected reward of an item and of all that follows under the target."""
        values = np.zeros((self.length + 1, KINDS, STATES, ITEMS))
        for step in reversed(range(self.length)):
            later = np.einsum("ta,kta->kt", target, values[step + 1])
            values[step] = self.reward + np.einsum("ka,sat,kt->ksa", self.staying, self.move, later)
        return values[:-1]

    # ---- a log --------------------------------------------------------------

    def simulate(self, logging: Floats, students: int, seed: int) -> Logged:
        """What the policy decides for these students, in the order of steps."""
        random = np.random.default_rng(seed)
        kind, state = np.divmod(random.choice(KINDS * STATES, students, p=self.start.ravel()), STATES)
        who, rows = np.arange(students), []
        for step in range(self.length):
            item = drawn(logging[state], random)
            won = random.random(len(who)) < self.reward[kind, state, item]
            rows.append(np.stack([who, kind, state, item, won, np.full(len(who), step)]))
            here = random.random(len(who)) < self.staying[kind, item]
            who, kind, state = who[here], kind[here], drawn(self.move[state, item], random)[here]
        student, kinds, states, items, wins, steps = np.concatenate(rows, axis=1)
        columns: dict[str, Any] = {"student": student, "item": NAMES[items], "order": steps, "reward": wins.astype(float)}
        columns["candidates"] = ragged(np.broadcast_to(NAMES, (len(items), ITEMS)), OFFERED[states])
        columns["propensities"] = ragged(logging[states], OFFERED[states])
        return Logged(pa.table(columns), kinds, states, steps)


def policy(sharpness: float, liking: Floats) -> Floats:
    """(states, items): chances among what is offered, in proportion to exp(sharpness · liking)."""
    weight = np.where(OFFERED, np.exp(sharpness * liking), 0.0)
    return np.asarray(weight / weight.sum(1, keepdims=True))


def drawn(chances: Floats, random: np.random.Generator) -> NDArray[np.int64]:
    """One column of each row, with these chances."""
    return np.minimum((random.random((len(chances), 1)) > np.cumsum(chances, 1)).sum(1), chances.shape[1] - 1)


def ragged(values: NDArray[Any], mask: NDArray[np.bool_]) -> pa.ListArray:
    """The values of each row where the mask is true."""
    offsets = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[mask]))
