"""Whether 90 % intervals hold the truth nine times in ten.

python calibration.py [responses per student]

Draws 500 skills with their own parameters, 300 students on each, fits them, and counts how often the
intervals of parameters and of mastery hold the values that the data were drawn from.
"""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa

import adaptrace as at

SKILLS, STUDENTS, SEED = 500, 300, 0


def drawn(length: int) -> tuple[at.Log, dict[str, np.ndarray]]:
    """A log, and the parameters it follows."""
    random = np.random.default_rng(SEED)
    truth = {
        "prior": random.beta(3, 4, SKILLS),
        "learn": random.beta(2, 9, SKILLS),
        "guess": random.uniform(0.05, 0.35, SKILLS),
        "slip": random.uniform(0.03, 0.25, SKILLS),
    }
    known = random.random((SKILLS, STUDENTS)) < truth["prior"][:, None]
    correct = np.empty((SKILLS, STUDENTS, length), np.int8)
    for step in range(length):
        right = np.where(known, 1 - truth["slip"][:, None], truth["guess"][:, None])
        correct[:, :, step] = random.random((SKILLS, STUDENTS)) < right
        known |= random.random((SKILLS, STUDENTS)) < truth["learn"][:, None]
    student = np.repeat(np.arange(SKILLS * STUDENTS), length)
    skill = np.array([f"s{number:03}" for number in range(SKILLS)])[student // STUDENTS]
    table = {"student": student, "item": np.zeros(len(student), int), "skill": skill, "correct": correct.ravel()}
    return at.Log.from_arrow(pa.table(table)), truth


def held(table: pa.Table, name: str, truth: np.ndarray, low: str, high: str) -> str:
    """The share of intervals that hold the truth."""
    inside = (table[low].to_numpy() <= truth) & (truth <= table[high].to_numpy())
    return f"{name:8} {inside.mean():6.1%}"


def main() -> None:
    """Print the shares."""
    length = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    log, truth = drawn(length)
    model = at.BKT(forget=False).fit(log)
    summary, score = model.summary(), model.score(log)
    print(f"{SKILLS} skills, {STUDENTS} students each, {length} responses; 90 % intervals hold the truth in")
    for name, values in truth.items():
        print(held(summary, name, values, f"{name}_low", f"{name}_high"))
    names = [f"s{number:03}" for number in range(SKILLS)]
    known = at.BKT.from_parameters(names, **truth).score(log)["mastery"].to_numpy()
    print(held(score, "mastery", known, "low", "high"))


if __name__ == "__main__":
    main()
