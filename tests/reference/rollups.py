"""Roll-ups row by row, in plain Python: dictionaries of lists, exact fractions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import adaptrace as at

Row = Mapping[str, Any]


def cells(rows: Iterable[Row], roster: Sequence[Row], by: Sequence[str]) -> dict[tuple[Any, ...], list[Row]]:
    """Rows by what they are grouped by; a student's rows stand in each of their groups once."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        places = [place for place in roster if str(place["student"]) == str(row["student"])] or [{}]
        for key in {tuple(row["skill"] if name == "skill" else place.get(name) for name in by) for place in places}:
            found[key].append(row)
    return found


def mean(values: Sequence[float]) -> float:
    """Exact, then rounded."""
    return float(sum(map(Fraction, values)) / len(values))


def mastery_of(rows: Sequence[Row], at: float) -> dict[str, float]:
    """The figures of one cell."""
    return {
        "students": len({row["student"] for row in rows}),
        "pairs": len(rows),
        "mastery": mean([row["mastery"] for row in rows]),
        "mastered": mean([row["mastery"] >= at for row in rows]),
        "certain": mean([row["low"] >= at for row in rows]),
        "opportunities": mean([row["opportunities"] for row in rows]),
    }


def growth_of(before: Sequence[Row], after: Sequence[Row], at: float) -> dict[str, float | None]:
    """The figures of one cell at two dates."""
    old, new = ({(row["student"], row["skill"]): row["mastery"] for row in rows} for rows in (before, after))
    both = [(old[pair], new[pair]) for pair in old if pair in new]
    counts = {"students": len({student for student, skill in old if (student, skill) in new}), "pairs": len(both)}
    counts |= {"new": sum(pair not in old for pair in new), "gone": sum(pair not in new for pair in old)}
    if not both:
        return counts | dict.fromkeys(("before", "after", "gain", "newly_mastered", "lost"))
    return counts | {
        "before": mean([x for x, _ in both]),
        "after": mean([y for _, y in both]),
        "gain": mean([y for _, y in both]) - mean([x for x, _ in both]),
        "newly_mastered": mean([x < at <= y for x, y in both]),
        "lost": mean([y < at <= x for x, y in both]),
    }


def courses(log: at.Log, model: at.BKT, at_: float) -> list[dict[str, Any]]:
    """How each student fared on each skill: told to a student, response by response."""
    told: dict[tuple[str, str], dict[str, Any]] = {}
    for name in log.students.to_pylist():
        student = at.Student(model, name=str(name))
        for row in (row for row in log.table.to_pylist() if row["student"] == name):
            skills = row["skills"] if "skills" in row else [row["skill"]]
            student.observe(row["item"], row["correct"], skills=skills, time=row.get("time"))
            for skill in skills:
                mastery = student.mastery(skill)
                course = told.setdefault((str(name), skill), new_course(name, skill, row.get("time")))
                course["opportunities"] += 1
                course["best"] = max(course["best"], mastery)
                course["mastery"], course["last_time"] = mastery, row.get("time")
                if mastery >= at_ and course["responses"] is None:
                    course["responses"] = course["opportunities"]
                    course["hours"] = (row["time"] - course["first_time"]).total_seconds() // 3600 if "time" in row else None
    return list(told.values())


def new_course(student: object, skill: str, time: Any) -> dict[str, Any]:
    """Before the first response."""
    start = {"student": str(student), "skill": skill, "first_time": time, "opportunities": 0, "best": 0.0}
    return start | {"responses": None, "hours": None}


def quartiles(values: Sequence[float], min_students: int) -> list[float | None]:
    """The smallest value that a quarter (half, three quarters) of all do not exceed."""
    ranked = sorted(values)
    if not ranked or len(ranked) < min_students:
        return [None] * 3
    return [ranked[math.ceil(share * len(ranked)) - 1] for share in (0.25, 0.5, 0.75)]
