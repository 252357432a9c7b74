"""Small groups: who in a class needs the same skill next, and who can help them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog
from adaptrace.errors import DataError, Problem
from adaptrace.models.criterion import Criterion
from adaptrace.report.mastery_table import IntArray, Mastery, NumberedNames, read
from adaptrace.report.rollups import check
from adaptrace.report.roster import Groups
from adaptrace.report.spill import SHARDS, SpilledRows, packed

HELPERS = 2  # of a group, at most
MEMBER = np.dtype([("group", np.int64), ("student", np.int64), ("skill", np.int64), ("mastery", float), ("low", float)])
FloatArray = NDArray[np.float64]


class GroupRow(NamedTuple):
    """One row of the result."""

    group: int | None
    skill: int
    role: str
    student: int


def small_groups(
    mastery: Mastery,
    roster: Any,
    *,
    catalog: Catalog | None = None,
    by: str = "class",
    size: tuple[int, int] = (2, 5),
    threshold: float = Criterion.threshold,
) -> pa.Table:
    """Small groups of a class who need the same skill next, each with peers who have mastered it for certain.

    With a catalog a student can work next on skills that are not mastered and whose prerequisites are, as in
    :class:`~adaptrace.Constraints`; without, on those they met and have not mastered. First comes the one nearest mastery, as
    in :class:`~adaptrace.NearestMastery`: a group meets to finish something, and what the default policy looks at (responses
    since the skill's last) is not in the table. Skills not met yet come after, in the catalog's order.

    While a skill has too few students for a group, the one with fewest is struck out and they go on to their next (as in
    instant-runoff voting). Groups of a skill are of sizes as equal as can be, students of like mastery together. A student
    whom nobody can join has a null group. Helpers are students of the class whose ``low`` is at ``threshold`` or above: first
    who helps fewer groups so far, then who has the higher ``low``. They may be in a group of their own too.

    Parameters
    ----------
    mastery
        As in :func:`~adaptrace.report.mastery_by`.
    roster
        ``student`` and the column ``by``, as there. Students in no class are left out.
    catalog
        Prerequisites, and which skills have items.
    by
        The column of the roster that says who can sit together.
    size
        The fewest and the most students of a group, helpers not counted.
    threshold
        The mastery that counts as mastered.

    Returns
    -------
    pyarrow.Table
        A row a student in a group, the classes sorted: the column ``by``, ``group`` (from 1 in each class), ``skill``, ``role``
        (``"needs"`` or ``"helps"``), ``student``, ``mastery`` and ``low`` (null if the skill was not met yet). Who has nothing
        to learn and nobody to help is not in the table.

    Raises
    ------
    ValueError
        If ``threshold`` or ``size`` cannot be.
    DataError
        If a table lacks a column or holds what it must not; if the catalog knows none of the skills.
    OutputError
        If the temporary files, in which rows wait by class, find no room.

    Examples
    --------
    >>> import adaptrace as at
    >>> known = {"student": ["Ada", "Ben", "Cem"], "skill": ["halves"] * 3, "mastery": [0.5, 0.4, 0.99], "low": [0.4, 0.3, 0.97]}
    >>> roster = {"student": ["Ada", "Ben", "Cem"], "class": ["6A"] * 3}
    >>> at.report.small_groups(known, roster).select(["group", "role", "student"]).to_pylist()[1:]
    [{'group': 1, 'role': 'needs', 'student': 'Ben'}, {'group': 1, 'role': 'helps', 'student': 'Cem'}]
    """
    check(threshold)
    if not 1 <= size[0] <= size[1]:
        raise ValueError(f"size: got {size}; expected the fewest and the most students of a group, e.g. (2, 5)")
    groups = Groups.read(roster, [by])
    students, skills = NumberedNames(groups.students), NumberedNames(pa.array(catalog.skills if catalog else [], pa.string()))
    with SpilledRows(MEMBER) as spilled:
        met = np.zeros(0, bool)  # of each skill
        for rows in read(mastery, students, skills, ("mastery", "low")):
            row, group = groups.members(rows.student)
            columns = (rows.student[row], rows.skill[row], *(values[row] for values in rows.values.values()))
            spilled.add(group % SHARDS, packed(MEMBER, group, *columns))
            met = np.append(met, np.zeros(len(skills.known) - len(met), bool))
            met[rows.skill] = True
        if catalog and met.any() and not met[: len(catalog.skills)].any():
            raise DataError("catalog", [_strange(catalog, skills.known[int(met.argmax())].as_py())])
        planner = Planner(groups.students, skills.known, NextSkills.of(skills.known, catalog, threshold), size, threshold)
        planned = dict(_classes(planner, groups, spilled))
    named = groups.names[by]
    tables = [planner.table([], np.empty((2, 0, 0)), np.empty(0, np.int64)).add_column(0, by, pa.array([], pa.string()))]
    for code in sorted(planned):
        tables.append(planned[code].add_column(0, by, pa.repeat(named[code], len(planned[code]))))
    return pa.concat_tables(tables)


def _strange(catalog: Catalog, skill: str) -> Problem:
    got = f"none of the mastery table's skills, e.g. not '{skill}'"
    return Problem(got, f"the same names in both; the catalog's are e.g. '{catalog.skills[0]}'", "use the catalog of this log")


def _classes(planner: Planner, groups: Groups, spilled: SpilledRows) -> Iterator[tuple[int, pa.Table]]:
    """Every class, by its number, with its small groups."""
    n_classes = int(groups.group.max())  # the last group is of those who are in no class
    owner = np.repeat(np.arange(len(groups.start) - 1), np.diff(groups.start))
    order = np.argsort(groups.group, kind="stable")
    start = np.searchsorted(groups.group[order], np.arange(n_classes + 1))
    for shard, rows in enumerate(spilled.shards()):
        rows = rows[np.argsort(rows["group"], kind="stable")]
        for code in range(shard, n_classes, SHARDS):
            own = slice(*np.searchsorted(rows["group"], [code, code + 1]))
            yield code, planner.plan(owner[order[start[code] : start[code + 1]]], rows[own])


# ---- one class --------------------------------------------------------------


@dataclass(frozen=True)
class NextSkills:
    """On which skills students can work next.

    Attributes
    ----------
    rank
        (n_skills,) which skill comes first where mastery is equal.
    practised
        (n_skills,) whether the catalog has items of it; None without a catalog.
    before
        Skill -> its prerequisites.
    threshold
        The mastery that counts as mastered.
    """

    rank: IntArray
    practised: NDArray[np.bool_] | None
    before: dict[int, list[int]]
    threshold: float

    @classmethod
    def of(cls, skills: pa.StringArray, catalog: Catalog | None, threshold: float) -> NextSkills:
        """Of skills, the catalog's first and in its order."""
        if catalog is None:
            return cls(pc.rank(skills).to_numpy().astype(np.int64), None, {}, threshold)
        place = {skill: code for code, skill in enumerate(catalog.skills)}
        before = {place[skill]: [place[need] for need in needs] for skill, needs in catalog.prerequisites.items() if needs}
        practised = np.array([skill in catalog.practised for skill in skills.to_pylist()], bool)
        return cls(np.arange(len(skills)), practised, before, threshold)

    def preferences(self, known: FloatArray) -> list[list[int]]:
        """Of each student the skills to work on next, nearest mastery first; ``known`` (n_students, n_skills), nan: not met."""
        mastered = known >= self.threshold
        ready = ~mastered & (~np.isnan(known) if self.practised is None else self.practised)
        for skill, needs in self.before.items():
            ready[:, skill] &= mastered[:, needs].all(axis=1)
        order = np.lexsort((np.broadcast_to(self.rank, known.shape), -known))  # nan last
        return [row[can[row]].tolist() for row, can in zip(order, ready, strict=True)]


@dataclass(frozen=True)
class Planner:
    """Makes the small groups of one class after the other."""

    students: pa.StringArray
    skills: pa.StringArray
    next_skills: NextSkills
    size: tuple[int, int]
    threshold: float

    def plan(self, members: IntArray, rows: NDArray[Any]) -> pa.Table:
        """The small groups of the students ``members``, whose mastery is in ``rows``."""
        members = members[pc.sort_indices(self.students.take(pa.array(members))).to_numpy()]
        values = np.full((2, len(members), len(self.skills)), np.nan)  # mastery, low
        order = np.argsort(members)
        place = order[np.searchsorted(members[order], rows["student"])]
        values[:, place, rows["skill"]] = rows["mastery"], rows["low"]
        preferences = self.next_skills.preferences(values[0])
        students_of = students_by_skill(preferences, fewest=self.size[0], rank=self.next_skills.rank)
        groups = list(self._cut(students_of, values[0]))
        placed = {student for _, group in groups for student in group}
        found = [GroupRow(number, skill, "needs", who) for number, (skill, group) in enumerate(groups, 1) for who in group]
        found += self._helpers(groups, values)
        alone = [GroupRow(None, first[0], "needs", who) for who, first in enumerate(preferences) if first and who not in placed]
        return self.table(sorted(found, key=lambda row: (row.group, row.role != "needs")) + alone, values, members)

    def _cut(self, students_of: dict[int, list[int]], known: FloatArray) -> Iterator[tuple[int, list[int]]]:
        """The groups of each skill: as even as can be, alike in mastery."""
        fewest, most = self.size
        for skill in sorted(students_of, key=lambda skill: self.next_skills.rank[skill]):
            who = np.sort(students_of[skill])
            who = who[np.argsort(-known[who, skill], kind="stable")]
            number = min(-(-len(who) // most), len(who) // fewest)
            for group in np.array_split(who[: number * most], number):
                yield skill, group.tolist()

    def _helpers(self, groups: list[tuple[int, list[int]]], values: FloatArray) -> Iterator[GroupRow]:
        """Who helps each group: those who help fewest groups so far, then those with the highest ``low``."""
        helping = np.zeros(values.shape[1], np.int64)
        for number, (skill, _) in enumerate(groups, 1):
            known, low = values[:, :, skill]
            order = np.lexsort((-known, -low))
            sure = order[low[order] >= self.threshold]
            chosen = np.sort(np.argsort(helping[sure], kind="stable")[:HELPERS])  # best first
            helping[sure[chosen]] += 1
            yield from (GroupRow(number, skill, "helps", int(who)) for who in sure[chosen])

    def table(self, rows: list[GroupRow], values: FloatArray, members: IntArray) -> pa.Table:
        """The rows of the result."""
        skill, student = (np.array([getattr(row, name) for row in rows], np.int64) for name in ("skill", "student"))
        mastery, low = values[:, student, skill]
        return pa.table(
            {
                "group": pa.array([row.group for row in rows], pa.int64()),
                "skill": self.skills.take(pa.array(skill)),
                "role": pa.array([row.role for row in rows], pa.string()),
                "student": self.students.take(pa.array(members[student])),
                "mastery": pa.array(mastery, mask=np.isnan(mastery)),
                "low": pa.array(low, mask=np.isnan(low)),
            }
        )


def students_by_skill(preferences: list[list[int]], *, fewest: int, rank: IntArray) -> dict[int, list[int]]:
    """Skill -> the students who work on it, at least ``fewest``; a student whom nobody can join is with no skill.

    While a skill has too few students, the one with fewest is struck out and they go on to their next preference
    (instant-runoff voting); of equally few that which fewest could work on goes first, then the last by ``rank``.
    """
    support = Counter(skill for student in preferences for skill in student)
    students_of: dict[int, list[int]] = {}
    struck_out: set[int] = set()

    def choose(students: Iterable[int]) -> None:
        for student in students:
            skill = next((skill for skill in preferences[student] if skill not in struck_out), None)
            if skill is not None:
                students_of.setdefault(skill, []).append(student)

    choose(range(len(preferences)))
    while few := [skill for skill, students in students_of.items() if len(students) < fewest]:
        last = min(few, key=lambda skill: (len(students_of[skill]), support[skill], -rank[skill]))
        struck_out.add(last)
        choose(students_of.pop(last))
    return students_of
