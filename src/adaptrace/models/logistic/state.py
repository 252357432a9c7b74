"""What a logistic model keeps of one student: the memory of its kernels, in dictionaries that grow as the student meets things.

The steps are those of the batch kernels, run as plain Python: the same bits without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from adaptrace.data.log import DAY
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.logistic import Design, Memory, Plan
from adaptrace.models.base import Response

if TYPE_CHECKING:
    from adaptrace.models.logistic import Logistic

meet, values, practise = plain(kernels.meet), plain(kernels.values), plain(kernels.practise)
chance, logit_of = plain(kernels.chance), plain(kernels.logit_of)

ME = 0  # the owner of every slot


class Online(NamedTuple):
    """A fitted logistic model as plain Python."""

    plan: Plan  # of lists
    weights: list[float]
    items: dict[str, int]
    skills: dict[str, int]
    students: dict[str, int]
    several: int  # how many features have a value for each skill of an event


class Slots(dict[Any, Any]):
    """One part of a memory; a slot that was not met belongs to nobody."""

    def __missing__(self, slot: Any) -> Any:
        return kernels.NEVER


class Overlay(dict[Any, Any]):
    """What a prediction would change of a part of a memory, over the part as it is: asking changes nothing."""

    def __init__(self, below: Slots) -> None:
        super().__init__()
        self.below = below

    def __missing__(self, slot: Any) -> Any:
        return self.below[slot]


class LogisticState:
    """One student as a :class:`~adaptrace.Logistic` model knows them.

    Attributes
    ----------
    memory
        What was seen of every slot: all responses (``""``), an item (``"item: q1"``), a skill (``"skill: halves"``).
    place, entry, now
        How many responses there were, and slots in them; days since 1970 of the last one, where the model needs time.
    """

    def __init__(self, model: Logistic, name: str = "", content: Mapping[str, Any] | None = None) -> None:
        self.online, self.student = model.online, model.online.students.get(name, -1)
        self.memory = Memory(*(Slots() for _ in Memory._fields))
        self.place, self.entry, self.now = 0, 0, 0.0
        if content is not None:
            self.place, self.entry, self.now = content["place"], content["entry"], content["now"]
            for part, slots in self.memory._asdict().items():
                slots.update((tuple(key) if isinstance(key, list) else key, value) for key, value in content["memory"][part])

    def predict(self, response: Response, given: Sequence[float] = ()) -> float:
        """P(correct), with what features have as ``times``."""
        plan, slot = self.online.plan, self._slots(response)
        size = len(plan.of) + self.online.several * (len(response.skills) - 1)
        design = Design([0, size], [0] * size, [0.0] * size)
        skills = (self.online.skills.get(skill, -1) for skill in response.skills)
        code = [self.student, self.online.items.get(response.item, -1), *skills]
        memory = Memory(*map(Overlay, self.memory))
        values(plan, memory, slot, code, given, ME, self.place, self._day(response), design, 0)
        return chance(logit_of(design, self.online.weights, 0))

    def observe(self, response: Response) -> None:
        """Take in one response."""
        plan, slot = self.online.plan, self._slots(response)
        for each in slot:
            meet(self.memory, each, ME, len(plan.rates), len(plan.windows))
        self.now = self._day(response)
        practise(plan, self.memory, slot, self.entry, self.place, self.now, response.correct)
        self.place, self.entry = self.place + 1, self.entry + len(slot)

    def _slots(self, response: Response) -> list[str]:
        return ["", f"item: {response.item}", *(f"skill: {skill}" for skill in response.skills)]

    def _day(self, response: Response) -> float:
        return self.now if response.moment is None else response.moment / DAY

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        memory = {name: [[_plain(key), value] for key, value in kept.items()] for name, kept in self.memory._asdict().items()}
        return {"place": self.place, "entry": self.entry, "now": self.now, "memory": memory}


def _plain(key: Any) -> Any:
    return list(key) if isinstance(key, tuple) else key
