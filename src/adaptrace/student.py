"""Student: one student's state, updated one response at a time."""

from __future__ import annotations

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
from adaptrace.log import Log
from adaptrace.models import BKT

# the very steps of the batch kernel, as plain Python: the same bits without a compiler
initial, mastery, chance = plain(kernels.initial), plain(kernels.mastery), plain(kernels.chance)
evidence, update = plain(kernels.evidence), plain(kernels.update)


@dataclass
class Student:
    """What a model knows of one student.

    Parameters
    ----------
    model
        A fitted model; never changed.
    catalog
        Where the skills of an item are looked up.

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
    odds: dict[str, float] = field(default_factory=dict)  # of mastery, per skill met
    opportunities: dict[str, int] = field(default_factory=dict)  # responses, per skill met
    answered: dict[str, int] = field(default_factory=dict)  # responses, per item met

    def observe(self, item: object, correct: float, *, skills: Iterable[object] | None = None) -> None:
        """Take in one response.

        Parameters
        ----------
        item
            What was answered.
        correct
            0, 1 or a fraction (partial credit).
        skills
            The item's skills; by default the catalog's.

        Raises
        ------
        UnknownItemError
            If the catalog does not hold the item and ``skills`` is not given.
        ValueError
            If ``correct`` is not in [0, 1]. The state is then unchanged.
        """
        correct = float(correct)
        if not 0.0 <= correct <= 1.0:
            raise ValueError(f"correct: got {correct}; expected 0, 1 or a fraction between; divide points by the most possible")
        names = self._skills(item, skills)
        chances = {name: self._chance(name) for name in names}
        joint = _product(chances.values())
        for name in names:
            _, learn, forget, guess, slip = self.model.row(name)
            others = joint / chances[name] if len(names) > 1 else 1.0
            ratio = evidence(correct, others, guess, slip)
            self.odds[name] = update(self._odds(name), ratio, learn, forget)
            self.opportunities[name] = self.opportunities.get(name, 0) + 1
        self.answered[str(item)] = self.answered.get(str(item), 0) + 1

    @classmethod
    def from_log(cls, model: BKT, log: Log, student: object, catalog: Catalog | None = None) -> Student:
        """A student after all their responses in a log; a student the log does not hold is at the prior."""
        state = cls(model, catalog)
        code = int(schema.find(pa.array([str(student)]), log.students)[0])
        if code < 0:
            return state
        begin, end = log.rows.student_start[code : code + 2].tolist()
        own = log.table.slice(begin, end - begin).select(["item", log.skill_column, "correct"])
        for row in own.to_pylist():
            skills = row[log.skill_column]
            state.observe(row["item"], row["correct"], skills=skills if isinstance(skills, list) else [skills])
        return state

    def predict(self, item: object, *, skills: Iterable[object] | None = None) -> float:
        """P(correct) if the student answered this item now. Changes nothing."""
        return _product(self._chance(name) for name in self._skills(item, skills))

    def mastery(self, skill: object) -> float:
        """P(known); the prior for a skill not met yet."""
        return mastery(self._odds(str(skill)))

    def mastered(self, skill: object, *, at: float = 0.95) -> bool:
        """Whether mastery has reached the threshold."""
        return self.mastery(skill) >= at

    def _skills(self, item: object, skills: Iterable[object] | None) -> list[str]:
        if skills is not None:
            names = sorted({str(skill) for skill in skills})
            if not names:
                raise ValueError(f"the skills of item '{item}': got an empty list; expected at least one")
            return names
        if self.catalog is None:
            raise ValueError(f"the skills of item '{item}': got none; pass skills=[...], or make Student(model, catalog)")
        return sorted(self.catalog.item(item).skills)

    def _odds(self, skill: str) -> float:
        return self.odds[skill] if skill in self.odds else initial(self.model.row(skill)[0])

    def _chance(self, skill: str) -> float:
        _, _, _, guess, slip = self.model.row(skill)
        return chance(self._odds(skill), guess, slip)

    def to_dict(self) -> dict[str, Any]:
        """The state as plain data, exact to the last bit, with the fingerprint of its model."""
        return {
            "schema": SCHEMA,
            "model": self.model.fingerprint,
            "odds": dict(self.odds),
            "opportunities": dict(self.opportunities),
            "answered": dict(self.answered),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], model: BKT, catalog: Catalog | None = None) -> Student:
        """The state that :meth:`to_dict` described.

        Raises
        ------
        ModelError
            If it was made by another model or a newer version.
        """
        if not {"schema", "model", "odds", "opportunities", "answered"} <= set(content):
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
        return cls(model, catalog, dict(content["odds"]), dict(content["opportunities"]), dict(content["answered"]))


def _product(chances: Iterable[float]) -> float:
    joint = 1.0
    for each in chances:
        joint *= each
    return joint
