"""The next items of one student, out of 2,000 items on 200 skills, alone and through a tutor; and of a roster."""

from __future__ import annotations

import datetime
import itertools
import tempfile
from pathlib import Path

import pyarrow as pa

import adaptrace as at

from . import data

STRAND = 10  # skills that build on each other
POLICIES = {"default": None, "target success": at.TargetSuccess(), "information": at.Information()}
START = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)


def catalog(prerequisites: str) -> at.Catalog:
    skill = [str(number // data.ITEMS_PER_SKILL) for number in range(data.SKILLS * data.ITEMS_PER_SKILL)]
    items = pa.table({"item": [str(number) for number in range(len(skill))], "skill": skill})
    later = [number for number in range(data.SKILLS) if number % STRAND and prerequisites == "strands"]
    return at.Catalog.from_arrow(items, [{"skill": str(number), "prerequisites": [str(number - 1)]} for number in later])


class Recommend:
    params = (tuple(POLICIES), ("none", "strands"))
    param_names = ("policy", "prerequisites")

    def setup(self, policy: str, prerequisites: str) -> None:
        model, items = data.warmed_up(), catalog(prerequisites)
        self.recommender = at.Recommender(model, items, policy=POLICIES[policy])
        self.student = at.Student(model, items)
        for number in range(0, data.SKILLS, 2):
            self.student.observe(number * data.ITEMS_PER_SKILL, number % 4 == 0)
        self.roster = [at.Student(model, items, name=str(number)) for number in range(1000)]

    def time_recommend(self, policy: str, prerequisites: str) -> None:
        self.recommender.recommend(self.student, 3)

    def time_recommend_all_of_1000(self, policy: str, prerequisites: str) -> None:
        self.recommender.recommend_all(self.roster, 3)


class Tutor:
    params = ("memory", "sqlite")
    param_names = ("store",)

    def setup(self, store: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        url = "memory:" if store == "memory" else Path(self.folder.name) / "tutor.db"
        self.tutor = at.Tutor.open(url, model=data.warmed_up(), catalog=catalog("strands"))
        self.times = (START + number * datetime.timedelta(seconds=1) for number in itertools.count())

    def teardown(self, store: str) -> None:
        self.tutor.close()
        self.folder.cleanup()

    def time_observe_and_recommend(self, store: str) -> None:
        now = next(self.times)
        self.tutor.observe("ana", "7", 1, time=now)
        self.tutor.recommend("ana", 3, time=now)
