"""Simulated students: drawn from a model, taught by a policy."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa

from adaptrace.catalog import Catalog
from adaptrace.log import Log
from adaptrace.models import BKT
from adaptrace.policy import Policy, recommend
from adaptrace.student import Student

START = datetime.datetime(2025, 9, 1, 8, 0, tzinfo=datetime.UTC)


def simulate(
    truth: BKT,
    catalog: Catalog,
    *,
    students: int,
    responses: int,
    seed: int,
    belief: BKT | None = None,
    policy: Policy | None = None,
) -> Log:
    """Let a policy teach students whose knowledge follows a model.

    Parameters
    ----------
    truth
        The model that the students' hidden knowledge follows.
    catalog
        What they can be given.
    students, responses
        How many students, and how many responses each.
    seed
        Same seed, same bits.
    belief
        The model that the policy sees the students through; by default the truth. Take another one to learn how a
        policy fares when its model is wrong.
    policy
        By default :class:`~adaptrace.policy.LowestMastery`; of its three best items one is drawn, as a student chooses.

    Returns
    -------
    Log
        With ``time`` (one response a minute or so, a session a day) and ``response_ms``.
    """
    rows: list[dict[str, object]] = []
    width = len(str(students))
    for number in range(students):
        random = np.random.default_rng([seed, number])
        name = f"student-{number + 1:0{width}}"
        rows += _one_student(truth, belief or truth, catalog, policy, responses, name, random)
    return Log.from_arrow(pa.Table.from_pylist(rows))


def _one_student(
    truth: BKT, belief: BKT, catalog: Catalog, policy: Policy | None, responses: int, name: str, random: np.random.Generator
) -> list[dict[str, object]]:
    known = {skill: random.random() < truth.row(skill)[0] for skill in catalog.skills}
    student, time = Student(belief, catalog), START + datetime.timedelta(minutes=int(random.integers(0, 120)))
    rows: list[dict[str, object]] = []
    for number in range(responses):
        choices = recommend(student, catalog, 3, policy=policy)
        item = choices[int(random.integers(len(choices)))].item
        correct = int(all(random.random() < _right(truth, skill, known[skill]) for skill in item.skills))
        for skill in item.skills:
            _, learn, forget, _, _ = truth.row(skill)
            known[skill] = random.random() < ((1.0 - forget) if known[skill] else learn)
        seconds = random.lognormal(3.2, 0.6)
        time += datetime.timedelta(seconds=seconds + 5.0)
        if number % 20 == 19:
            time += datetime.timedelta(hours=23)
        student.observe(item.item, correct)
        row = {"student": name, "item": item.item, "skills": list(item.skills), "correct": correct, "time": time}
        rows.append({**row, "response_ms": round(seconds * 1000)})
    return rows


def _right(truth: BKT, skill: str, known: bool) -> float:
    _, _, _, guess, slip = truth.row(skill)
    return 1.0 - slip if known else guess
