"""What constraints allow: for each student and each constraint, which items."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.models.student import Recent, Student
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.context import Context

Flags = NDArray[np.bool_]
MINUTE = 60_000_000  # microseconds
ROUNDING = 1e-9  # 0.07 * 100 is a little more than 7


class Rule(NamedTuple):
    """One constraint, and the items that it allows."""

    name: str
    allowed: Flags  # (students, profiles) or (students, items), or one row for all students


def pinned_items(constraints: Constraints, context: Context) -> Flags:
    """Items that come first, (students, items)."""
    catalog = context.catalog_index
    pinned = np.zeros((len(context.students), len(catalog)), bool)
    for field, values in constraints.pinned.items():
        matching: Flags = catalog.matches(field, values)
        if field == "item":
            matching = matching & (context.answered == 0)
        elif field == "skill":
            codes = [catalog.code[value] for value in values if value in catalog.code]
            unmastered = np.zeros_like(context.not_mastered)
            unmastered[:, codes] = context.not_mastered[:, codes]
            matching = catalog.any_of(unmastered)
        pinned |= catalog.per_item(matching)
    return pinned


def rules_of(
    constraints: Constraints, context: Context, *, pinned: Flags | None = None, exposed: Sequence[str] = ()
) -> Iterator[Rule]:
    """The rule of every constraint that is set. ``exposed``: items that were recommended too often."""
    catalog = context.catalog_index
    if constraints.zone:
        zone = _zone(constraints, context)
        yield Rule("zone", zone if pinned is None else catalog.per_item(zone) | pinned)
    for field, values in constraints.only.items():
        yield Rule(f"only {field} {_listed(values)}", catalog.matches(field, values))
    for field, values in constraints.blocked.items():
        yield Rule(f"blocked {field} {_listed(values)}", ~catalog.matches(field, values))
    if exposed:
        cap = "exposed" if constraints.exposure_cap is None else f"exposure_cap {constraints.exposure_cap}"
        yield Rule(cap, ~catalog.matches("item", exposed))
    if constraints.no_repeat or constraints.in_a_row or constraints.interleave:
        yield from _rules_of_variety(constraints, context)
    if constraints.quota or constraints.minutes is not None:
        yield from _rules_of_sessions(constraints, context)


def _zone(constraints: Constraints, context: Context) -> Flags:
    """The zone. Where ``only`` names items whose skills are all mastered, these items are allowed for review."""
    if not constraints.only:
        return context.zone
    catalog = context.catalog_index
    matching = [catalog.per_item(catalog.matches(field, values)) for field, values in constraints.only.items()]
    wanted = np.logical_and.reduce(matching)
    learning = (catalog.per_item(catalog.any_of(context.not_mastered)) & wanted).any(axis=1, keepdims=True)
    return np.asarray(catalog.per_item(context.zone) | ~learning)


# ---- variety ----


def _rules_of_variety(constraints: Constraints, context: Context) -> Iterator[Rule]:
    """``no_repeat``, ``in_a_row`` and ``interleave``."""
    catalog, students, n = context.catalog_index, context.students, constraints.no_repeat
    if n:
        last = [[each.item for each in list(student.recent)[-n:]] for student in students]
        yield Rule(f"no_repeat {n}", np.array([~catalog.matches("item", names) for names in last]))
    in_a_row = dict(constraints.in_a_row) | ({"skill": 1} if constraints.interleave else {})
    for field, most in in_a_row.items():
        allowed = np.array([_varied(context, student, field, most) for student in students])
        yield Rule(f"in_a_row {field} {most}", allowed)


def _varied(context: Context, student: Student, field: str, most: int) -> Flags:
    """Items without a value that all of the last ``most`` responses share."""
    catalog, last = context.catalog_index, [each.item for each in list(student.recent)[-most:]]
    if len(last) < most:
        return ~catalog.matches(field, ())
    shared = set.intersection(*(set(catalog.values(field, item)) for item in last))
    return ~catalog.matches(field, shared)


# ---- sessions ----


def _rules_of_sessions(constraints: Constraints, context: Context) -> Iterator[Rule]:
    """``quota`` and ``minutes``."""
    gap = constraints.session_gap * MINUTE
    sessions = [session(student, context.now, gap) for student in context.students]
    for field, shares in constraints.quota.items():
        yield Rule(f"quota of {field}", np.array([_within_quota(context, each, field, shares) for each in sessions]))
    if constraints.minutes is not None:
        allowed = np.array([_in_time(context, each, constraints.minutes) for each in sessions])
        yield Rule(f"minutes {constraints.minutes:g}", allowed)


def session(student: Student, now: int | None, gap: float) -> list[Recent]:
    """The responses of the student's current session, oldest first.

    A gap of more microseconds between two responses, or between the last one and ``now``, begins a new session. Responses
    without a time belong to the session of the one after.
    """
    answers: list[Recent] = []
    later = now
    for each in reversed(student.recent):
        if later is not None and each.moment is not None and later - each.moment > gap:
            break
        answers.append(each)
        later = each.moment
    return answers[::-1]


def _within_quota(context: Context, answers: Sequence[Recent], field: str, shares: Mapping[str, float]) -> Flags:
    """Items whose values stay within their shares with one more response."""
    catalog = context.catalog_index
    counts = Counter(value for each in answers for value in catalog.values(field, each.item))
    n = len(answers) + 1
    full = [value for value, share in shares.items() if counts[value] + 1 > math.ceil(share * n - ROUNDING)]
    return ~catalog.matches(field, full)


def _in_time(context: Context, answers: Sequence[Recent], minutes: float) -> Flags:
    """Items whose minutes fit into what is left of the session."""
    catalog = context.catalog_index
    spent = [catalog.profile_of[catalog.position[each.item]] for each in answers if each.item in catalog.position]
    left = minutes - catalog.minutes[spent].sum()
    return np.asarray(catalog.minutes <= left + ROUNDING)


def _listed(values: Sequence[str]) -> str:
    names = list(values)
    return (", ".join(names[:3]) or "nothing") + (f" and {len(names) - 3} more" if len(names) > 3 else "")
