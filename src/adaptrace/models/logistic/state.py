"""What a logistic model keeps of one student: the memory of its kernels, in dictionaries that grow as the student meets things.

The steps are those of the batch kernels, run as plain Python: the same bits without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adaptrace.data.log import DAY
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.logistic import Design, FeaturePlan, Memory
from adaptrace.models import content as read
from adaptrace.models.base import Response
from adaptrace.models.logistic.features import values_per_skill
from adaptrace.models.logistic.weights import Weights

meet, values, practise = plain(kernels.meet), plain(kernels.values), plain(kernels.practise)
chance, logit_of = plain(kernels.chance), plain(kernels.logit_of)

ME = 0  # the owner of every slot

# what each part of a memory has a number of, and the least and the largest that it may be
_RANGES: dict[str, tuple[str, float, float]] = {
    "owner": ("slot", ME, ME),
    "attempts": ("slot", 0.0, read.MOST),
    "wins": ("slot", 0.0, read.MOST),
    "last": ("slot", -1.0, 1.0),
    "pattern": ("slot", 1, (2 << kernels.RECALLED) - 1),
    "place": ("slot", 0, read.MOST),
    "day": ("slot", -read.MOST, read.MOST),
    "recent_attempts": ("rate", 0.0, read.MOST),
    "recent_wins": ("rate", 0.0, read.MOST),
    "newest": ("slot", kernels.NEVER, read.MOST),
    "oldest": ("window", kernels.NEVER, read.MOST),
    "window_attempts": ("window", 0.0, read.MOST),
    "window_wins": ("window", -1.0, read.MOST),
    "later": ("entry", kernels.NEVER, read.MOST),
    "entry_day": ("entry", -read.MOST, read.MOST),
    "entry_correct": ("entry", 0.0, 1.0),
    "first_day": ("spaced", -read.MOST, read.MOST),
    "stability": ("spaced", 0.0, read.MOST),
}
SPACING = ("first_day", "stability")  # kept only where a feature looks at spacing
_WHOLE = {"owner", "pattern", "place", "newest", "oldest", "later"}
_ROUNDING = 1e-6  # of sums


@dataclass(frozen=True, slots=True)
class WeightLookup:
    """What the state of every student looks up of a fitted model, as plain Python.

    Attributes
    ----------
    plan
        The features, as lists.
    weights
        As in :attr:`Weights.values`.
    items, skills, students
        Name -> the place of its weights.
    several
        How many features have a value for each skill of an event.
    """

    plan: FeaturePlan
    weights: list[float]
    items: dict[str, int]
    skills: dict[str, int]
    students: dict[str, int]
    several: int

    @classmethod
    def of(cls, plan: FeaturePlan, weights: Weights) -> WeightLookup:
        """The plan and the weights of a model."""
        lists = FeaturePlan(*(values.tolist() for values in plan))
        items, skills, students = (
            {name: code for code, name in enumerate(names.to_pylist())}
            for names in (weights.items, weights.skills, weights.students)
        )
        return cls(lists, weights.values.tolist(), items, skills, students, values_per_skill(plan))


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

    def __init__(self, lookup: WeightLookup, name: str = "", content: Mapping[str, Any] | None = None) -> None:
        self.lookup, self.student = lookup, lookup.students.get(name, -1)
        self.memory = Memory(*(Slots() for _ in Memory._fields))
        self.place, self.entry, self.now = 0, 0, 0.0
        if content is not None:
            self.place, self.entry, self.now = (
                read.whole(content, "place", 0, int(read.MOST)),
                read.whole(content, "entry", 0, int(read.MOST)),
                read.number(content, "now"),
            )
            for part, slots in self.memory._asdict().items():
                given = content["memory"].get(part, ()) if part in SPACING else content["memory"][part]
                slots.update((tuple(key) if isinstance(key, list) else key, value) for key, value in given)
            _check(self.memory, lookup.plan, self.place)

    def predict(self, response: Response, given: Sequence[float] = ()) -> float:
        """P(correct), with what features have as ``times``."""
        return chance(self.logit(self.describe(response, given)))

    def logit(self, design: Design) -> float:
        """The weighted sum of the values before one response."""
        return logit_of(design, self.lookup.weights, 0)

    def describe(self, response: Response, given: Sequence[float] = ()) -> Design:
        """The values of all features before a response; changes nothing."""
        plan, slot = self.lookup.plan, self._slots(response)
        size = len(plan.of) + self.lookup.several * (len(response.skills) - 1)
        design = Design([0, size], [0] * size, [0.0] * size)
        skills = (self.lookup.skills.get(skill, -1) for skill in response.skills)
        code = [self.student, self.lookup.items.get(response.item, -1), *skills]
        memory = Memory(*map(Overlay, self.memory))
        values(plan, memory, slot, code, given, ME, self.place, self._day(response), design, 0)
        return design

    def observe(self, response: Response) -> None:
        """Take in one response."""
        plan, slot = self.lookup.plan, self._slots(response)
        for each in slot:
            meet(self.memory, each, ME, len(plan.rates), len(plan.windows), len(plan.spaced))
        self.now = self._day(response)
        practise(plan, self.memory, slot, self.entry, self.place, self.now, response.correct)
        self.place, self.entry = self.place + 1, self.entry + len(slot)

    def _slots(self, response: Response) -> list[str]:
        return ["", f"item: {response.item}", *(f"skill: {skill}" for skill in response.skills)]

    def _day(self, response: Response) -> float:
        return self.now if response.moment is None else response.moment / DAY

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        kept = {name: part for name, part in self.memory._asdict().items() if name not in SPACING or self.lookup.plan.spaced}
        memory = {name: [[_plain(key), value] for key, value in part.items()] for name, part in kept.items()}
        return {"place": self.place, "entry": self.entry, "now": self.now, "memory": memory}


def _check(memory: Memory, plan: FeaturePlan, place: int) -> None:
    """Refuse a memory that no responses leave: the steps follow its numbers."""
    slots = memory.owner.keys()
    keys = {"slot": slots, "entry": memory.later.keys(), "spaced": slots if plan.spaced else {}.keys()}
    for of, several in (("rate", plan.rates), ("window", plan.windows)):
        keys[of] = dict.fromkeys((slot, each) for slot in keys["slot"] for each in range(len(several))).keys()
    for name, (of, low, high) in _RANGES.items():
        part = getattr(memory, name)
        if part.keys() != keys[of]:
            raise ValueError(f"{name}: expected a number of each {of}")
        read.check_all(part.values(), name, low, min(high, place) if name == "place" else high, whole=name in _WHOLE)
    for attempts, wins in ((memory.attempts, memory.wins), (memory.recent_attempts, memory.recent_wins)):
        if any(won > attempts[slot] + _ROUNDING for slot, won in wins.items()):
            raise ValueError("wins: expected no more than attempts")
    _check_chains(memory)


def _check_chains(memory: Memory) -> None:
    """Refuse responses that do not follow each other, or of which a window holds others than it counts."""
    known = {kernels.NEVER, *memory.later}
    ends = (*memory.newest.values(), *memory.oldest.values(), *memory.later.values())
    if not known.issuperset(ends) or any(kernels.NEVER < later <= entry for entry, later in memory.later.items()):
        raise ValueError("later: expected responses in their order")
    for slot, entry in memory.oldest.items():
        attempts, wins = 0, 0.0
        while entry != kernels.NEVER:
            attempts, wins, entry = attempts + 1, wins + memory.entry_correct[entry], memory.later[entry]
        if attempts != memory.window_attempts[slot] or abs(wins - memory.window_wins[slot]) > _ROUNDING:
            raise ValueError("window_attempts: expected as many as there are responses")


def _plain(key: Any) -> Any:
    return list(key) if isinstance(key, tuple) else key
