"""Student: one student's state, updated one response at a time."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from adaptrace import schema
from adaptrace.catalog import Catalog
from adaptrace.codec import SCHEMA
from adaptrace.errors import ModelError
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.compile import plain
from adaptrace.log import DAY, Log
from adaptrace.models import BKT
from adaptrace.models.bkt import RULES
from adaptrace.models.skills import Row

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# the very steps of the batch kernel, as plain Python: the same bits without a compiler
initial, mastery, chance = plain(kernels.initial), plain(kernels.mastery), plain(kernels.chance)
evidence, update, fade = plain(kernels.evidence), plain(kernels.update), plain(kernels.fade)
joint, credit = plain(kernels.joint), plain(kernels.credit)


@dataclass
class Student:
    """What a model knows of one student.

    Parameters
    ----------
    model
        A fitted model; never changed.
    catalog
        Where the skills and the kind of an item are looked up.
    name, group
        Who it is, where the model's parameters vary by student or group.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> student = at.Student(model)
    >>> student.observe("q1", correct=1, skills=["fractions"])
    >>> round(student.mastery("fractions"), 3)
    0.835
    """

    model: BKT
    catalog: Catalog | None = None
    name: str = ""
    group: str = ""
    odds: dict[str, float] = field(default_factory=dict)  # of mastery, per skill met
    opportunities: dict[str, int] = field(default_factory=dict)  # responses, per skill met
    answered: dict[str, int] = field(default_factory=dict)  # responses, per item met
    last_time: dict[str, int] = field(default_factory=dict)  # microseconds since 1970, per skill met, where mastery fades

    def observe(
        self,
        item: object,
        correct: float | None = None,
        *,
        level: int | None = None,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        skills: Iterable[object] | None = None,
    ) -> None:
        """Take in one response.

        Parameters
        ----------
        item
            What was answered.
        correct
            0, 1 or a fraction (partial credit).
        level
            Instead of ``correct``: the level reached, from 0, of a kind that the model knows the levels of.
        kind
            Sort of evidence; by default the catalog's, else practice.
        time
            When (UTC if without a zone); needed where mastery fades.
        skills
            The item's skills; by default the catalog's.

        Raises
        ------
        UnknownItemError
            If the catalog does not hold the item and ``skills`` is not given.
        ValueError
            If ``correct`` is not in [0, 1], the level not one of its kind's, or the time missing or before the last one
            where mastery fades. The state is then unchanged.
        """
        kind = self._kind(item, kind)
        correct = self._outcome(correct, level, kind)
        names, moment = self._skills(item, skills), self._moment(time)
        rows = {name: self._row(name, item, kind, alone=len(names) == 1) for name in names}
        odds = {name: self._odds_at(name, rows[name][0], moment) for name in names}
        chances = {name: chance(odds[name], rows[name][3], rows[name][4]) for name in names}
        predicted = self._joint(chances)
        weakest = min(names, key=chances.__getitem__)
        for name in names:
            _, learn, forget, guess, slip = rows[name]
            weight, rest, told = 1.0, 0.0, correct
            if len(names) > 1:
                weight, rest = credit(self._rule, correct, chances[name], predicted, len(names), name == weakest)
            levels = self.model.level_chances(name, kind, correct) if len(names) == 1 else None
            if levels is not None:
                (guess, slip), told = levels, 1.0
            self.odds[name] = update(odds[name], evidence(told, weight, rest, guess, slip), learn, forget)
            self.opportunities[name] = self.opportunities.get(name, 0) + 1
            if moment is not None:
                self.last_time[name] = moment
        self.answered[str(item)] = self.answered.get(str(item), 0) + 1

    @classmethod
    def from_log(cls, model: BKT, log: Log, student: object, catalog: Catalog | None = None) -> Student:
        """A student after all their responses in a log; a student the log does not hold is at the prior."""
        code = int(schema.find(pa.array([str(student)]), log.students)[0])
        if code < 0:
            return cls(model, catalog, str(student))
        begin, end = log.rows.student_start[code : code + 2].tolist()
        wanted = ["item", log.skill_column, "correct", "kind", "group", "time"]
        rows = log.table.slice(begin, end - begin).select([name for name in wanted if name in log.table.column_names]).to_pylist()
        state = cls(model, catalog, str(student))
        for row in rows:
            skills, state.group = row[log.skill_column], row.get("group") or ""
            kind, time = row.get("kind") or schema.PRACTICE, row.get("time")
            state.observe(
                row["item"], row["correct"], kind=kind, time=time, skills=skills if isinstance(skills, list) else [skills]
            )
        return state

    def predict(
        self,
        item: object,
        *,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        skills: Iterable[object] | None = None,
    ) -> float:
        """P(correct) if the student answered this item now, or at a time. Changes nothing."""
        kind, moment = self._kind(item, kind), self._moment(time, needed=False)
        chances, names = {}, self._skills(item, skills)
        for name in names:
            prior, _, _, guess, slip = self._row(name, item, kind, alone=len(names) == 1)
            chances[name] = chance(self._odds_at(name, prior, moment), guess, slip)
        return self._joint(chances)

    def mastery(self, skill: object, *, time: datetime.datetime | None = None) -> float:
        """P(known), right after the last response or at a time; the prior for a skill not met yet."""
        name = str(skill)
        return mastery(self._odds_at(name, self._row(name)[0], self._moment(time, needed=False)))

    def mastered(self, skill: object, *, at: float = 0.95, time: datetime.datetime | None = None) -> bool:
        """Whether mastery has reached the threshold, right after the last response or at a time."""
        return self.mastery(skill, time=time) >= at

    # ---- what an observation is made of ----

    @property
    def _rule(self) -> int:
        return RULES[self.model.combine]

    def _joint(self, chances: Mapping[str, float]) -> float:
        product, total, least = 1.0, 0.0, 2.0
        for each in chances.values():
            product *= each
            total += each
            least = min(least, each)
        return joint(self._rule, product, total, least, len(chances))

    def _row(self, skill: str, item: object = "", kind: str = schema.PRACTICE, *, alone: bool = True) -> Row:
        return self.model.row(skill, alone=alone, item=str(item), kind=kind, group=self.group, student=self.name)

    def _odds_at(self, skill: str, prior: float, moment: int | None) -> float:
        """Odds of mastery, faded since the last response if a moment is given."""
        if skill not in self.odds:
            return initial(prior)
        if moment is None or skill not in self.last_time:
            return self.odds[skill]
        return fade(self.odds[skill], max(moment - self.last_time[skill], 0) / DAY, self.model.half_life(skill))

    def _outcome(self, correct: float | None, level: int | None, kind: str) -> float:
        highest = self.model.levels.get(kind, 0) - 1
        if level is not None:
            if correct is not None:
                raise ValueError("got correct and level; expected one of them")
            if highest < 1:
                known = ", ".join(self.model.levels) or "none"
                raise ValueError(f"level: got {level} of kind '{kind}'; the model knows levels of {known}: give correct instead")
            if level != int(level) or not 0 <= level <= highest:
                raise ValueError(f"level: got {level} of kind '{kind}'; expected a whole number, 0 to {highest}")
            return int(level) / highest
        if correct is None:
            raise ValueError(
                f"got no outcome; expected correct=0 or 1, a fraction, or level= for a kind with levels (kind '{kind}')"
            )
        correct = float(correct)
        if not 0.0 <= correct <= 1.0:
            raise ValueError(f"correct: got {correct}; expected 0, 1 or a fraction between; divide points by the most possible")
        return correct

    def _kind(self, item: object, kind: str | None) -> str:
        known = self.catalog.by_name.get(str(item)) if self.catalog is not None else None
        return kind or (known and known.kind) or schema.PRACTICE

    def _moment(self, time: datetime.datetime | None, *, needed: bool = True) -> int | None:
        """Microseconds since 1970, where mastery fades."""
        if not self.model.elapsed:
            return None
        if time is not None and not isinstance(time, datetime.datetime):
            raise ValueError(f"time: got {time!r}; expected a datetime.datetime")
        if time is None:
            if needed:
                raise ValueError("time: got none; this model's mastery fades with time: pass time=")
            return None
        since = (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)) - EPOCH
        moment = since // datetime.timedelta(microseconds=1)
        latest = max(self.last_time.values(), default=moment)
        if needed and moment < latest:
            last = EPOCH + datetime.timedelta(microseconds=latest)
            raise ValueError(
                f"time: got {time}, before the last response at {last}; observe responses in the order of their times"
            )
        return moment

    def _skills(self, item: object, skills: Iterable[object] | None) -> list[str]:
        if isinstance(skills, str):
            raise ValueError(f"the skills of item '{item}': got the text '{skills}'; expected a list, e.g. skills=['{skills}']")
        if skills is not None:
            names = sorted({str(skill) for skill in skills})
            if not names:
                raise ValueError(f"the skills of item '{item}': got an empty list; expected at least one")
            return names
        if self.catalog is None:
            raise ValueError(f"the skills of item '{item}': got none; pass skills=[...], or make Student(model, catalog)")
        return sorted(self.catalog.item(item).skills)

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The state as plain data, exact to the last bit, with the fingerprint of its model."""
        return {
            "schema": SCHEMA,
            "model": self.model.fingerprint,
            "odds": dict(self.odds),
            "opportunities": dict(self.opportunities),
            "answered": dict(self.answered),
            "name": self.name,
            "group": self.group,
            "last_time": dict(self.last_time),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], model: BKT, catalog: Catalog | None = None) -> Student:
        """The state that :meth:`to_dict` described.

        Raises
        ------
        ModelError
            If it was made by another model or a newer version.
        """
        parts = ("odds", "opportunities", "answered", "last_time")
        if not {"schema", "model", "name", "group", *parts} <= set(content):
            raise ModelError("a student's state that is not whole; expected what to_dict() gave")
        if content["schema"] > SCHEMA:
            raise ModelError(
                f"a student's state of schema {content['schema']}, this version reads up to {SCHEMA}; upgrade adaptrace"
            )
        if content["model"] != model.fingerprint:
            raise ModelError(
                f"a student's state of model {content['model']}, not of this model {model.fingerprint}; "
                "use that model, or observe the student's responses again with this one"
            )
        return cls(model, catalog, content["name"], content["group"], *(dict(content[part]) for part in parts))
