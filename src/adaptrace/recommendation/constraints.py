"""Constraints: which items may be given at all. The only place that says so, whatever the policy."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog
from adaptrace.models.student import RECENT, Recent, Student
from adaptrace.recommendation.catalog_index import FIELDS, Shelf
from adaptrace.recommendation.context import View

Flags = NDArray[np.bool_]
Names = Mapping[str, Sequence[str]]  # field -> values
MINUTE = 60_000_000  # microseconds
NAMING = ("pinned", "blocked", "only", "quota")  # options that name values of fields
EXAMPLES = {"quota": "{'kind': {'video': 0.25}}", "in_a_row": "{'kind': 3}"} | dict.fromkeys(NAMING[:3], "{'item': ['i1']}")


class Rule(NamedTuple):
    """One constraint at work."""

    name: str
    allowed: Flags  # (students, slots) or (students, items), or one row for all students


@dataclass(frozen=True)
class Constraints:
    """What may be given: a teacher's pins and blocks, variety, balance, time.

    Fields are ``"item"``, ``"skill"``, ``"kind"``, ``"provider"`` and ``"pathway"``. An item of several skills is of each.

    Names are compared with the catalog where a :class:`~adaptrace.Recommender` first meets both. A skill, kind, provider or
    pathway that the catalog lacks is a ``ValueError`` that names the nearest. An item that it lacks is a ``UserWarning`` that
    does, and nothing more: items come and go, and one that is gone must not keep students from the others.
    :meth:`known_to` leaves out what a catalog lacks, e.g. where many catalogs share constraints.

    Parameters
    ----------
    zone
        Only items with something to master and nothing to master first (the prerequisite zone; review when all is mastered,
        or, with ``only``, all that is wanted).
    pinned
        Field -> values whose items come first, also outside the zone; no other constraint is waived. A pinned item counts until
        it is answered, a pinned skill until it is mastered, the others always.
    blocked
        Field -> values that are never given.
    only
        Field -> values: nothing else is given.
    no_repeat
        An item is not given again within so many responses (at most 100).
    exposure_cap
        The most that an item may have of all recommendations, e.g. 0.2: the maximum exposure rate of adaptive tests. A
        :class:`~adaptrace.Tutor` counts; otherwise pass ``exposed=`` where items are recommended.
    quota
        Field -> value -> the largest share of a session's (latest 100) responses, e.g. ``{"kind": {"video": 0.25}}``;
        rounded up, so each value may come once.
    in_a_row
        Field -> how many responses in a row may share a value, e.g. ``{"kind": 3}``; items of several skills share one if
        there is a skill that all of them practise.
    interleave
        Never the same skill twice in a row: ``in_a_row={"skill": 1}``.
    minutes
        Time budget of a session: an item must fit in what is left of it, by the expected minutes of what was answered.
    session_gap
        Minutes without a response after which a new session begins.

    Raises
    ------
    ValueError
        Listing every option that is wrong.

    Examples
    --------
    >>> import adaptrace as at
    >>> at.Constraints(blocked={"provider": ["Elsewhere"]}, no_repeat=5, in_a_row={"kind": 3}, minutes=20).no_repeat
    5
    """

    zone: bool = True
    pinned: Names = field(default_factory=dict)
    blocked: Names = field(default_factory=dict)
    only: Names = field(default_factory=dict)
    no_repeat: int = 0
    exposure_cap: float | None = None
    quota: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    in_a_row: Mapping[str, int] = field(default_factory=dict)
    interleave: bool = False
    minutes: float | None = None
    session_gap: float = 30.0

    def __post_init__(self) -> None:
        if problems := [*self._bad_fields(), *self._bad_numbers()]:
            raise ValueError("; ".join(problems))
        for option in NAMING[:3]:  # text, as everywhere: item 1 is item "1"
            named = {name: tuple(map(str, values)) for name, values in getattr(self, option).items()}
            object.__setattr__(self, option, named)
        quota = {name: {str(value): share for value, share in shares.items()} for name, shares in self.quota.items()}
        object.__setattr__(self, "quota", quota)

    def _bad_fields(self) -> Iterator[str]:
        for option in (*NAMING, "in_a_row"):
            given = getattr(self, option)
            if not isinstance(given, Mapping):
                yield f"{option}: got {given!r}; expected fields, e.g. {EXAMPLES[option]}"
                continue
            for name, values in given.items():
                if name not in FIELDS:
                    yield f"{option}: got the field '{name}'; expected one of {', '.join(FIELDS)}"
                elif option == "quota" and not isinstance(values, Mapping):
                    yield f"quota: got {name}={values!r}; expected shares of values, e.g. {EXAMPLES[option]}"
                elif option in NAMING[:3] and (isinstance(values, str) or not isinstance(values, Collection)):
                    yield f"{option}: got {name}={values!r}; expected a list, e.g. {{'{name}': ['{values}']}}"

    def _bad_numbers(self) -> Iterator[str]:
        if not _whole(self.no_repeat, 0, RECENT):
            yield f"no_repeat: got {self.no_repeat}; expected 0 to {RECENT} responses"
        if self.exposure_cap is not None and not (_number(self.exposure_cap) and 0.0 < self.exposure_cap <= 1.0):
            yield f"exposure_cap: got {self.exposure_cap}; expected a share above 0, at most 1"
        for name, n in self.in_a_row.items() if isinstance(self.in_a_row, Mapping) else ():
            if not _whole(n, 1, RECENT):
                yield f"in_a_row: got {name}={n!r}; expected 1 to {RECENT} responses"
        for name, shares in self.quota.items() if isinstance(self.quota, Mapping) else ():
            for value, share in shares.items() if isinstance(shares, Mapping) else ():
                if not (_number(share) and 0.0 <= share <= 1.0):
                    yield f"quota: got {name}, {value}: {share}; expected a share, 0 to 1"
        if self.minutes is not None and not (_number(self.minutes) and self.minutes > 0.0):
            yield f"minutes: got {self.minutes!r}; expected more than 0 minutes"
        if not (_number(self.session_gap) and self.session_gap > 0.0):
            yield f"session_gap: got {self.session_gap!r}; expected more than 0 minutes"

    # ---- the names in them ----

    def check(self, shelf: Shelf) -> None:
        """Compare the names with those of a catalog.

        Raises
        ------
        ValueError
            Listing every skill, kind, provider and pathway that it lacks. Items that it lacks are a ``UserWarning``.
        """
        wrong: list[str] = []
        gone: list[str] = []
        for option in NAMING:
            for name, values in getattr(self, option).items():
                strange = [value for value in values if not shelf.knows(name, value)]
                (gone if name == "item" else wrong).extend(_unknown(option, name, value, shelf) for value in strange)
        if gone:
            warnings.warn("; ".join(gone), stacklevel=3)
        if wrong:
            raise ValueError("; ".join([*wrong, "correct them, or leave them out with known_to(catalog)"]))

    def known_to(self, catalog: Catalog) -> Constraints:
        """The same without the names that a catalog lacks; ``only`` still allows nothing else.

        Examples
        --------
        >>> import adaptrace as at
        >>> catalog = at.Catalog.from_arrow({"item": ["h1"], "skill": ["halves"]})
        >>> at.Constraints(blocked={"item": ["h1", "h0"], "kind": ["exam"]}).known_to(catalog).blocked
        {'item': ('h1',), 'kind': ()}
        """
        shelf = Shelf(catalog)
        kept: dict[str, Any] = {
            option: {
                name: tuple(value for value in values if shelf.knows(name, value))
                for name, values in getattr(self, option).items()
            }
            for option in NAMING[:3]
        }
        quota = {
            name: {value: share for value, share in shares.items() if shelf.knows(name, value)}
            for name, shares in self.quota.items()
        }
        return replace(self, quota=quota, **kept)

    # ---- what they allow ----

    @cached_property
    def _rows(self) -> dict[str, int]:
        """Field -> how many in a row, interleaving included."""
        return dict(self.in_a_row) | ({"skill": 1} if self.interleave else {})

    def pins(self, view: View) -> Flags:
        """Items that come first, (students, items)."""
        pinned = np.zeros((len(view.students), len(view.shelf)), bool)
        for name, values in self.pinned.items():
            held: Flags = view.shelf.holds(name, values)
            if name == "item":
                held = held & (view.answered == 0)
            elif name == "skill":
                codes = [view.shelf.code[value] for value in values if value in view.shelf.code]
                wanted = np.zeros_like(view.below)
                wanted[:, codes] = view.below[:, codes]
                held = view.shelf.any_of(wanted)
            pinned |= view.shelf.per_item(held)
        return pinned

    def rules(self, view: View, pinned: Flags | None, exposed: Sequence[str] = ()) -> Iterator[Rule]:
        """Every constraint that is set, with the items it allows. ``exposed``: items that were recommended too often."""
        shelf = view.shelf
        if self.zone:
            zone = self._zone(view)
            yield Rule("zone", zone if pinned is None else shelf.per_item(zone) | pinned)
        for name, values in self.only.items():
            yield Rule(f"only {name} {_listed(values)}", shelf.holds(name, values))
        for name, values in self.blocked.items():
            yield Rule(f"blocked {name} {_listed(values)}", ~shelf.holds(name, values))
        if exposed:
            cap = "exposed" if self.exposure_cap is None else f"exposure_cap {self.exposure_cap}"
            yield Rule(cap, ~shelf.holds("item", exposed))
        if self.no_repeat:
            last = [[each.item for each in list(student.recent)[-self.no_repeat :]] for student in view.students]
            yield Rule(f"no_repeat {self.no_repeat}", np.array([~shelf.holds("item", names) for names in last]))
        for name, most in self._rows.items():
            yield Rule(
                f"in_a_row {name} {most}", np.array([self._varied(view, student, name, most) for student in view.students])
            )
        if self.quota or self.minutes is not None:
            sessions = [session(student, view.now, self.session_gap * MINUTE) for student in view.students]
            for name, shares in self.quota.items():
                yield Rule(f"quota of {name}", np.array([self._balanced(view, each, name, shares) for each in sessions]))
            if self.minutes is not None:
                yield Rule(f"minutes {self.minutes:g}", np.array([self._in_time(view, each) for each in sessions]))

    def _zone(self, view: View) -> Flags:
        """The zone; where ``only`` some items are wanted and all their skills are mastered, these are open for review."""
        if not self.only:
            return view.zone
        shelf = view.shelf
        wanted = np.logical_and.reduce([shelf.per_item(shelf.holds(name, values)) for name, values in self.only.items()])
        learning = (shelf.per_item(shelf.any_of(view.below)) & wanted).any(axis=1, keepdims=True)
        return np.asarray(shelf.per_item(view.zone) | ~learning)

    def _varied(self, view: View, student: Student, name: str, most: int) -> Flags:
        """Items that do not share a value with each of the last ``most`` responses."""
        last = [each.item for each in list(student.recent)[-most:]]
        if len(last) < most:
            return ~view.shelf.holds(name, ())
        shared = set.intersection(*(set(view.shelf.values(name, item)) for item in last))
        return ~view.shelf.holds(name, shared)

    def _balanced(self, view: View, answers: Sequence[Recent], name: str, shares: Mapping[str, float]) -> Flags:
        """Items whose value would not go over its share with one more response."""
        counts = Counter(value for each in answers for value in view.shelf.values(name, each.item))
        n = len(answers) + 1
        full = [value for value, share in shares.items() if counts[value] + 1 > math.ceil(share * n - 1e-9)]  # 0.07 * 100 > 7
        return ~view.shelf.holds(name, full)

    def _in_time(self, view: View, answers: Sequence[Recent]) -> Flags:
        """Items that fit in what is left of the session."""
        shelf = view.shelf
        slots = [shelf.slot_of[shelf.place[each.item]] for each in answers if each.item in shelf.place]
        left = (self.minutes or 0.0) - shelf.minutes[slots].sum()
        return np.asarray(view.shelf.minutes <= left + 1e-9)


def session(student: Student, now: int | None, gap: float) -> list[Recent]:
    """The responses of the student's current session, oldest first: none a gap (microseconds) before the next, or now.

    Responses without a time are all of one session.
    """
    answers: list[Recent] = []
    later = now
    for each in reversed(student.recent):
        if later is not None and each.moment is not None and later - each.moment > gap:
            break
        answers.append(each)
        later = each.moment
    return answers[::-1]


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(low <= value <= high)


def _unknown(option: str, name: str, value: str, shelf: Shelf) -> str:
    near = shelf.nearest(name, value)
    return f"{option}: the catalog has no {name} '{value}'" + (f"; did you mean '{near}'?" if near else "")


def _listed(values: Sequence[str]) -> str:
    names = list(values)
    return (", ".join(names[:3]) or "nothing") + (f" and {len(names) - 3} more" if len(names) > 3 else "")
