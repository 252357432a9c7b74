"""The next items of one student, out of 2,000 items on 200 skills."""

from __future__ import annotations

import pyarrow as pa

import adaptrace as at

from . import data

STRAND = 10  # skills that build on each other
POLICIES = {"lowest mastery": at.LowestMastery(), "target success": at.TargetSuccess()}


class Recommend:
    params = (tuple(POLICIES), ("none", "strands"))
    param_names = ("policy", "prerequisites")

    def setup(self, policy: str, prerequisites: str) -> None:
        skill = [str(number // data.ITEMS_PER_SKILL) for number in range(data.SKILLS * data.ITEMS_PER_SKILL)]
        items = pa.table({"item": [str(number) for number in range(len(skill))], "skill": skill})
        later = [number for number in range(data.SKILLS) if number % STRAND and prerequisites == "strands"]
        needs = [{"skill": str(number), "prerequisites": [str(number - 1)]} for number in later]
        self.catalog = at.Catalog.from_arrow(items, needs)
        self.student = at.Student(data.warmed_up(), self.catalog)
        for number in range(0, data.SKILLS, 2):
            self.student.observe(number * data.ITEMS_PER_SKILL, number % 4 == 0)

    def time_recommend(self, policy: str, prerequisites: str) -> None:
        at.recommend(self.student, self.catalog, 3, policy=POLICIES[policy])
