"""Simulated districts whose students stop when they like, and what the naive way of hiding small counts makes of theirs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

import adaptrace as at
from adaptrace.stats.stats import Stats

Sequences = Counter[tuple[str, tuple[float, ...]]]  # (skill, outcomes) -> students whose answers on the skill are these


def district(name: str, theta: np.ndarray, *, students: int, seed: int, mean: int = 8) -> at.Log:
    """Answers on skills ``s0``, ``s1``, ... with these (prior, learn, guess, slip), as many as a geometric draw says."""
    random, rows = np.random.default_rng(seed), []
    for number, (prior, learn, guess, slip) in enumerate(theta):
        length = np.minimum(random.geometric(1.0 / mean, students), 40)
        known = random.random(students) < prior
        for step in range(length.max()):
            right = random.random(students) < np.where(known, 1.0 - slip, guess)
            going = np.flatnonzero(length > step)
            rows.append((going, np.full(len(going), number), right[going], np.full(len(going), step * len(theta) + number)))
            known |= random.random(students) < learn
    student, skill, correct, order = map(np.concatenate, zip(*rows, strict=True))
    columns = {"student": [f"{name}{each}" for each in student], "item": skill, "skill": [f"s{each}" for each in skill]}
    return at.Log.from_arrow(pa.table({**columns, "correct": correct.astype(int), "order": order}))


def joined(*logs: at.Log) -> at.Log:
    """The rows of districts as one log."""
    return at.Log.from_arrow(pa.concat_tables([log.table for log in logs]))


def sequences(stats: Stats) -> Sequences:
    """How many students' answers end where, from the counts of those who pass."""
    found: Sequences = Counter()
    correct = stats.observations["correct"].to_pylist()
    trie = stats.trie
    for number, skill in enumerate(stats.skills.to_pylist()):
        paths: list[tuple[float, ...]] = []
        for node in range(trie.start[number], trie.start[number + 1]):
            above = paths[trie.parent[node]] if trie.parent[node] >= 0 else ()
            paths.append((*above, correct[trie.symbol[node]]))
            found[skill, paths[-1]] += int(trie.students[node])
            if above:
                found[skill, above] -= int(trie.students[node])
    return +found


def rolled_up(found: Sequences, min_students: int) -> Sequences:
    """The naive way: an answer given by too few is forgotten."""
    left: Sequences = Counter(found)
    for length in range(max(len(path) for _, path in found), 0, -1):
        for skill, path in [key for key in left if len(key[1]) == length]:
            if left[skill, path] < min_students:
                left[skill, path[:-1]] += left.pop((skill, path))
    return Counter({key: count for key, count in left.items() if key[1] and count >= min_students})


def as_log(found: Sequences) -> at.Log:
    """Students who gave these answers."""
    rows: dict[str, list[object]] = {"student": [], "item": [], "skill": [], "correct": []}
    for (skill, path), count in found.items():
        for student in range(count):
            for right in path:
                for column, value in zip(rows.values(), (f"{path}{student}", 1, skill, right), strict=True):
                    column.append(value)
    return at.Log.from_arrow(pa.table(rows))
