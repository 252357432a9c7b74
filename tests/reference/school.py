"""Logs for tests: rows at random, and students whose hidden knowledge follows planted parameters."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

import adaptrace as at

START = datetime.datetime(2025, 9, 1, tzinfo=datetime.UTC)
PROJECT_LEVELS = 4
VARIATIONS: dict[str, dict[str, Any]] = {  # options of a BKT for :func:`random_log`
    "items": {"items": ("learn", "guess", "slip")},
    "kinds": {"kinds": ("learn", "guess", "slip")},
    "groups": {"groups": ("prior", "learn")},
    "students": {"students": ("prior", "learn")},
    "levels": {"levels": {"project": PROJECT_LEVELS}},
    "elapsed": {"elapsed": True},
}
VARIATIONS["everything"] = {name: value for options in VARIATIONS.values() for name, value in options.items()}
Floats = NDArray[np.float64]


def random_table(seed: int = 0, *, rows: int = 400, students: int = 12, several: bool = False, skills: str = "abc") -> pa.Table:
    """Students of three groups answer items of three kinds, in hours to months; a project has levels 0 to 3."""
    random = np.random.default_rng(seed)
    student, kind = random.integers(0, students, rows), random.choice(["practice", "project", "quiz"], rows)
    columns: dict[str, Any] = {
        "student": student,
        "item": random.choice(list("uvwxyz"), rows),
        "skill": random.choice(list(skills), rows),
        "correct": np.where(kind == "project", random.integers(0, PROJECT_LEVELS, rows) / 3, random.integers(0, 2, rows)),
        "kind": kind,
        "group": pa.array(["first", "second", None]).take(pa.array(student % 3)),
        "time": times(np.cumsum(random.exponential(random.choice([0.05, 2.0], rows)))),
    }
    if several:
        sizes = random.integers(1, len(skills) + 1, rows)
        columns["skills"] = [random.permutation(list(skills))[:size].tolist() for size in sizes]
        del columns["skill"]
    return pa.table(columns)


def random_log(seed: int = 0, **options: Any) -> at.Log:
    """A log of :func:`random_table`."""
    return at.Log.from_arrow(random_table(seed, **options))


def times(days: ArrayLike) -> pa.Array:
    """Timestamps so many days after the first day of school."""
    microseconds = np.round(np.asarray(days, float).ravel() * 86_400e6).astype("timedelta64[us]")
    return pa.array(np.datetime64(START.replace(tzinfo=None), "us") + microseconds, pa.timestamp("us"))


# ---- planted parameters -----------------------------------------------------


def knowing(prior: ArrayLike, learn: ArrayLike, keep: ArrayLike, shape: tuple[int, int], random: np.random.Generator) -> Any:
    """Whether each of the students (rows) knows the skill at each of their responses (columns)."""
    learn, keep = np.broadcast_to(learn, shape), np.broadcast_to(keep, shape)
    known = np.zeros(shape, bool)
    state = random.random(shape[0]) < prior
    for step in range(shape[1]):
        if step:
            state = (state | (random.random(shape[0]) < learn[:, step - 1])) & (random.random(shape[0]) < keep[:, step])
        known[:, step] = state
    return known


def answers(
    shape: tuple[int, int],
    seed: int,
    *,
    prior: ArrayLike = 0.3,
    learn: ArrayLike = 0.15,
    guess: ArrayLike = 0.2,
    slip: ArrayLike = 0.1,
    keep: ArrayLike = 1.0,
) -> NDArray[np.int64]:
    """Outcomes 0 and 1 of students (rows) at their responses (columns); every parameter may vary by both."""
    random = np.random.default_rng(seed)
    right = np.where(knowing(prior, learn, keep, shape, random), 1.0 - np.asarray(slip), guess)
    return (random.random(shape) < right).astype(np.int64)


def levels_reached(known: NDArray[np.bool_], unknown: Sequence[float], if_known: Sequence[float], seed: int) -> Any:
    """Levels drawn from one row of chances where the skill is unknown, and another where it is known."""
    draw = np.random.default_rng(seed).random(known.shape)
    rows = [np.searchsorted(np.cumsum(row)[:-1], draw, side="right") for row in (unknown, if_known)]
    return np.where(known, rows[1], rows[0])


def log_of(correct: NDArray[Any], **columns: Any) -> at.Log:
    """A log of students (rows) by their responses (columns); further columns of the same shape, or one value a student."""
    students, length = correct.shape
    table: dict[str, Any] = {
        "student": np.repeat(np.arange(students), length),
        "item": np.tile(np.arange(length), students),
        "skill": np.full(correct.size, "s"),
        "correct": correct.ravel(),
    }
    for name, values in columns.items():
        whole = values if isinstance(values, pa.Array) else np.asarray(values)
        table[name] = whole if isinstance(whole, pa.Array) else np.broadcast_to(whole, correct.shape).ravel()
    return at.Log.from_arrow(table)
