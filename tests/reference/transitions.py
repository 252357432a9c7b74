"""What follows what, the slow way: dictionaries of names, one response after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from statistics import mean
from typing import Any

Row = dict[str, Any]  # student, item, skills, correct


def keys(rows: Sequence[Row]) -> Iterator[list[list[tuple[str, bool, str]]]]:
    """Of every row: by the item before, the one before that, the skills before, and of the nine before these."""
    for number, row in enumerate(rows):
        before = [each for each in rows[:number] if each["student"] == row["student"]][::-1]
        items = [([each["item"]], [row["item"]], each) for each in before[:2]]
        skills = [(each["skills"], row["skills"], each) for each in before[:10]]
        tables = [items[:1], items[1:2], skills[:1], skills[1:]]
        yield [
            [(one, each["correct"] >= 0.5, other) for old, new, each in table for one, other in product(old, new)]
            for table in tables
        ]


def tables(rows: Sequence[Row], predicted: Sequence[float]) -> list[dict[tuple[str, bool, str], float]]:
    """The shift of every key in each of the four tables."""
    found = []
    for table in range(4):
        errors: dict[tuple[str, bool, str], float] = defaultdict(float)
        weights: dict[tuple[str, bool, str], float] = defaultdict(float)
        for row, p, mine in zip(rows, predicted, keys(rows), strict=True):
            for key in mine[table]:
                errors[key] += row["correct"] - p
                weights[key] += p * (1.0 - p)
        found.append({key: round(errors[key] / (weights[key] + 1.0), 4) for key in errors})
    return found


def shifts(rows: Sequence[Row], known: Sequence[dict[tuple[str, bool, str], float]]) -> list[list[float]]:
    """The mean shift before every row by each table."""
    return [
        [mean([table.get(key, 0.0) for key in mine] or [0.0]) for table, mine in zip(known, each, strict=True)]
        for each in keys(rows)
    ]
