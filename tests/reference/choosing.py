"""The choice of the next items in plain loops over the catalog, and cases at random to compare with it.

Nothing here uses arrays: an item is allowed if each constraint, read aloud, says so.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import adaptrace as at
from adaptrace.data.catalog import Item
from adaptrace.models.student import Recent

SKILLS = "abcdef"  # the model knows a to e
START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass
class Case:
    """A student before a catalog."""

    student: at.Student
    catalog: at.Catalog
    criterion: at.Criterion
    constraints: at.Constraints
    time: datetime.datetime | None = None
    exposed: tuple[str, ...] = ()

    # ---- the zone ----

    def mastery(self, skill: str) -> float:
        return self.student.mastery(skill, time=self.time)

    def below(self, skill: str) -> bool:
        little = self.student.opportunities.get(skill, 0) < self.criterion.evidence
        return little or self.mastery(skill) < self.criterion.skills.get(skill, self.criterion.threshold)

    def waits(self, item: Item, before: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether something must be mastered before, that the item does not practise itself and others do."""
        practised = {skill for each in self.catalog.items for skill in each.skills}
        needs = {need for skill in item.skills for need in before.get(skill, ())} - set(item.skills)
        return any(need in practised and self.below(need) for need in needs)

    def opened(self, item: Item) -> bool:
        return any(self.below(skill) for skill in item.skills) and not self.waits(item, self.catalog.prerequisites)

    def in_zone(self, item: Item) -> bool:
        if self.opened(item) or not any(self.opened(each) for each in self.catalog.items):
            return True
        wish = self.constraints.only
        wanted = [each for each in self.catalog.items if all(set(values_of(each, field)) & set(wish[field]) for field in wish)]
        return bool(wish) and not any(self.below(skill) for each in wanted for skill in each.skills)

    # ---- constraints ----

    def pinned(self, item: Item) -> bool:
        for field, values in self.constraints.pinned.items():
            for value in values:
                if value not in values_of(item, field):
                    continue
                if field == "item":
                    if not self.student.answered.get(item.item):
                        return True
                elif field != "skill" or self.below(value):
                    return True
        return False

    def latest(self, n: int) -> list[Item | None]:
        """The items of the last n responses."""
        by_name = {item.item: item for item in self.catalog.items}
        return [by_name.get(each.item) for each in list(self.student.recent)[len(self.student.recent) - n :]]

    def session(self) -> list[Recent]:
        """From the latest response back to the first gap."""
        gap, found = datetime.timedelta(minutes=self.constraints.session_gap), []
        later = self.time
        for each in list(self.student.recent)[::-1]:
            now = None if each.moment is None else EPOCH + datetime.timedelta(microseconds=each.moment)
            if later is not None and now is not None and later - now > gap:
                break
            found.append(each)
            later = now
        return found

    def minutes(self, item: Item) -> float:
        told = [each.minutes for each in self.catalog.items if each.minutes]
        return item.minutes or (sum(told) / len(told) if told else 1.0)

    def broken(self, item: Item) -> list[str]:
        """The constraints that an item would break."""
        wish, found = self.constraints, []
        if wish.zone and not self.in_zone(item) and not self.pinned(item):
            found.append("zone")
        if any(not set(values) & set(values_of(item, field)) for field, values in wish.only.items()):
            found.append("only")
        if any(set(values) & set(values_of(item, field)) for field, values in wish.blocked.items()):
            found.append("blocked")
        if item.item in self.exposed:
            found.append("exposed")
        if wish.no_repeat and item in self.latest(min(wish.no_repeat, len(self.student.recent))):
            found.append("no_repeat")
        if self._in_a_row(item):
            found.append("in_a_row")
        if self._over_quota(item):
            found.append("quota")
        if wish.minutes is not None:
            by_name = {each.item: each for each in self.catalog.items}
            spent = sum(self.minutes(by_name[each.item]) for each in self.session() if each.item in by_name)
            if spent + self.minutes(item) > wish.minutes + 1e-6:
                found.append("minutes")
        return found

    def _in_a_row(self, item: Item) -> bool:
        rows = {**self.constraints.in_a_row, **({"skill": 1} if self.constraints.interleave else {})}
        for field, most in rows.items():
            if len(self.student.recent) < most:
                continue
            last = self.latest(most)
            for value in values_of(item, field):
                if all(each is not None and value in values_of(each, field) for each in last):
                    return True
        return False

    def _over_quota(self, item: Item) -> bool:
        """Whether a value of the item would have more than its share, rounded up, of the session with this item."""
        by_name = {each.item: each for each in self.catalog.items}
        session = [by_name.get(each.item) for each in self.session()] + [item]
        for field, shares in self.constraints.quota.items():
            for value, share in shares.items():
                held = sum(each is not None and value in values_of(each, field) for each in session)
                if value in values_of(item, field) and held > math.ceil(round(share * len(session), 9)):
                    return True
        return False

    def allowed(self) -> list[Item]:
        return [item for item in self.catalog.items if not self.broken(item)]

    # ---- the choice ----

    def choose(self, utility: Callable[[Item], float], k: int) -> list[str]:
        """Pinned, then others, then what had better wait; in each the best of other skills first, then the rest."""
        tiers: list[list[Item]] = [[], [], []]
        for item in self.allowed():
            early = self.waits(item, self.catalog.soft_prerequisites)
            tiers[0 if self.pinned(item) else 2 if early else 1].append(item)
        chosen: list[Item] = []
        for tier in tiers:
            ranked = sorted(tier, key=lambda item: (-utility(item), self.student.answered.get(item.item, 0)))
            rest = []
            for item in ranked:
                met = any(set(item.skills) == set(each.skills) for each in chosen)
                (rest if met else chosen).append(item)
            chosen += rest
        return [item.item for item in chosen[:k]]


def values_of(item: Item, field: str) -> tuple[str, ...]:
    """What an item is in a field."""
    if field == "skill":
        return item.skills
    value = (item.kind or "practice") if field == "kind" else getattr(item, field)
    return () if value is None else (value,)


# ---- at random ---------------------------------------------------------------


def random_catalog(random: Random, most: int = 30) -> at.Catalog:
    """Items of one to three skills, much alike in kind, provider, pathway and minutes, with prerequisites of both sorts."""
    names = random.sample("uvwxyz" + "ghijklmnopqrst0123456789", random.randint(1, most))
    told = random.random() < 0.8
    items = tuple(
        Item(
            name,
            tuple(random.sample(SKILLS, random.choice([1, 1, 1, 2, 3]))),
            kind=random.choice([None, "practice", "project", "quiz"]),
            minutes=random.choice([None, 0.0, 2.0, 5.0]) if told else None,
            provider=random.choice([None, "North", "South"]),
            pathway=random.choice([None, "red", "blue"]),
        )
        for name in names
    )
    order = random.sample(SKILLS, len(SKILLS))
    before = {skill: order[:place] for place, skill in enumerate(order)}
    hard = {skill: tuple(need for need in needs if random.random() < 0.2) for skill, needs in before.items()}
    soft = {skill: tuple(need for need in SKILLS if need != skill and random.random() < 0.1) for skill in SKILLS}
    return at.Catalog(items, hard, soft_prerequisites=soft if random.random() < 0.7 else {})


def random_model(random: Random) -> at.BKT:
    """Skills of few different sorts, so that there are ties."""
    prior = [random.choice([0.05, 0.3, 0.3, 0.6, 0.97]) for _ in "abcde"]
    learn = [random.choice([0.1, 0.3]) for _ in "abcde"]
    return at.BKT.from_parameters(list("abcde"), prior=prior, learn=learn, guess=0.2, slip=0.1, forget=0.01)


def random_student(random: Random, model: Any, catalog: at.Catalog, name: str = "Ada") -> at.Student:
    """Up to 40 responses, minutes to an hour apart; some without a time, if the model can do without."""
    student, now, able = at.Student(model, catalog, name=name), START, random.choice([0.2, 0.7, 1.0])
    for _ in range(random.choice([0, 1, 3, 10, 40])):
        now += datetime.timedelta(minutes=random.choice([1, 4, 4, 20, 45]))
        time = now if "time" in model.needs or random.random() < 0.8 else None
        student.observe(random.choice(catalog.items).item, float(random.random() < able), time=time)
    return student


def random_constraints(random: Random, catalog: at.Catalog) -> at.Constraints:
    """Some of every sort, of names that the catalog has."""

    def named(most: int = 2) -> dict[str, list[str]]:
        fields = random.sample(["item", "skill", "kind", "provider", "pathway"], random.choice([1, 1, 2]))
        held = {field: sorted({value for item in catalog.items for value in values_of(item, field)}) for field in fields}
        return {field: random.sample(values, min(most, len(values))) for field, values in held.items() if values}

    wishes: dict[str, Callable[[], Any]] = {
        "zone": lambda: False,
        "pinned": named,
        "blocked": lambda: named(1),
        "only": lambda: named(3),
        "no_repeat": lambda: random.choice([1, 3, 100]),
        "quota": lambda: {field: {value: random.choice([0.0, 0.25, 0.5]) for value in held} for field, held in named().items()},
        "in_a_row": lambda: {random.choice(["item", "skill", "kind", "provider"]): random.choice([1, 2, 3])},
        "interleave": lambda: True,
        "minutes": lambda: random.choice([4.0, 20.0, 60.0]),
        "session_gap": lambda: random.choice([10.0, 30.0]),
    }
    return at.Constraints(**{option: wish() for option, wish in wishes.items() if random.random() < 0.25})


def random_case(random: Random, model: Any) -> Case:
    """Everything at random but the model."""
    catalog = random_catalog(random)
    student = random_student(random, model, catalog)
    own = {"a": random.choice([0.5, 0.99])} if random.random() < 0.3 else {}
    criterion = at.Criterion(threshold=random.choice([0.8, 0.95]), proficient=0.4, skills=own, evidence=random.choice([0, 0, 2]))
    time = START + datetime.timedelta(minutes=random.choice([0, 30, 600, 60_000])) if random.random() < 0.5 else None
    exposed = tuple(item.item for item in catalog.items if random.random() < 0.1) if random.random() < 0.3 else ()
    return Case(student, catalog, criterion, random_constraints(random, catalog), time, exposed)
