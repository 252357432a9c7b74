"""Simulated students: drawn from a model, taught by a policy."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa

from adaptrace.catalog import Catalog, Item
from adaptrace.log import Log
from adaptrace.models import BKT
from adaptrace.models.skills import Row
from adaptrace.policy import Policy, recommend
from adaptrace.schema import PRACTICE
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
    known = {skill: random.random() < truth.row(skill, student=name)[0] for skill in catalog.skills}
    student, time = Student(belief, catalog, name), START + datetime.timedelta(minutes=int(random.integers(0, 120)))
    last: dict[str, datetime.datetime] = {}
    rows: list[dict[str, object]] = []
    for number in range(responses):
        choices = recommend(student, catalog, 3, policy=policy)
        item = choices[int(random.integers(len(choices)))].item
        for skill in item.skills if truth.elapsed else ():
            days = (time - last.get(skill, time)).total_seconds() / 86_400.0
            known[skill] = known[skill] and bool(random.random() < 2.0 ** (-days / truth.half_life(skill)))
        correct = _outcome(truth, item, name, known, random)
        for skill in item.skills:
            _, learn, forget, _, _ = _row(truth, item, name, skill)
            known[skill] = bool(random.random() < ((1.0 - forget) if known[skill] else learn))
        seconds = random.lognormal(3.2, 0.6)
        time += datetime.timedelta(seconds=seconds + 5.0)
        if number % 20 == 19:
            time += datetime.timedelta(hours=23)
        last |= dict.fromkeys(item.skills, time)
        student.observe(item.item, correct, time=time)
        row = {"student": name, "item": item.item, "skills": list(item.skills), "correct": correct, "time": time}
        kind = {"kind": item.kind} if truth.kinds or truth.levels else {}
        rows.append({**row, **kind, "response_ms": round(seconds * 1000)})
    return rows


def _row(truth: BKT, item: Item, name: str, skill: str) -> Row:
    return truth.row(skill, alone=len(item.skills) == 1, item=item.item, kind=item.kind or PRACTICE, student=name)


def _outcome(truth: BKT, item: Item, name: str, known: dict[str, bool], random: np.random.Generator) -> float:
    """An answer as the truth draws it: right, wrong, or a level of a kind that has levels."""
    kind = item.kind or PRACTICE
    n_levels = truth.levels.get(kind, 0) if len(item.skills) == 1 else 0
    told = [truth.level_chances(item.skills[0], kind, level / (n_levels - 1)) for level in range(n_levels)]
    chances = [1.0 - each[1] if known[item.skills[0]] else each[0] for each in told if each is not None]
    if chances:
        return float(random.choice(n_levels, p=chances) / (n_levels - 1))
    right = []
    for skill in item.skills:
        _, _, _, guess, slip = _row(truth, item, name, skill)
        right.append(1.0 - slip if known[skill] else guess)
    if truth.combine in ("mean", "min"):
        return int(random.random() < (min(right) if truth.combine == "min" else sum(right) / len(right)))
    return int(all(random.random() < chance for chance in right))
