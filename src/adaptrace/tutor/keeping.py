"""Keeping: what retention asks of a store of events: when students were active, and that some go or get other names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter

from adaptrace.privacy.activity import Record
from adaptrace.tutor.store.base import Change, Decision, Event, Store


@dataclass(frozen=True)
class StoreKeeper:
    """A store as :func:`adaptrace.retain` sees it.

    Attributes
    ----------
    name
        What people call it.
    store
        Where events and states are.
    forget
        Removes a student; how many events that were.
    """

    name: str
    store: Store
    forget: Callable[[str], int]

    def records(self) -> Iterator[Record]:
        """All that it holds of its students; what waits for an event that never came is not counted."""
        yield from (Record(name, None, 0) for name in self.store.students())
        yield from (Record(each.student, each.moment, 1) for each in chain(self.store.events(), self.store.retracted()))
        yield from (Record(each.student, each.moment, 0) for each in self.store.decisions())

    def delete(self, student: str, cutoff: int) -> int:
        """Delete a student who was not active since; the events that went."""
        return 0 if self._is_active(student, cutoff) else self.forget(student)

    def rename(self, student: str, name: str, new_id: Callable[[str], str], cutoff: int) -> int:
        """Put the events that count, and the decisions, of a student who was not active since under another name and other ids.

        They are there under the other name before the student goes: a run that is killed in between is finished by the next.
        """
        if self._is_active(student, cutoff):
            return 0
        events = [_renamed(event, name, new_id) for event in self.store.events(student)]
        decisions = (_decided(decision, name, new_id) for decision in self.store.decisions(student))
        self.store.decide(decisions)
        there = self.store.find([event.event_id for event in events])
        new = tuple(event for event in events if event.event_id not in there)
        if new and self.store.write([Change(name, self.store.version(name), "", "", new)]):  # its state is made when it is read
            return self.rename(student, name, new_id, cutoff)  # another process wrote: look again
        return self.forget(student)

    def _is_active(self, student: str, cutoff: int) -> bool:
        """Whether something came of the student since all students were looked at."""
        moments = chain(*(map(attrgetter("moment"), of(student)) for of in (self.store.events, self.store.decisions)))
        return any(moment >= cutoff for moment in moments)


def _renamed(event: Event, name: str, new_id: Callable[[str], str]) -> Event:
    return event._replace(student=name, event_id=new_id(event.event_id), decision=event.decision and new_id(event.decision))


def _decided(decision: Decision, name: str, new_id: Callable[[str], str]) -> Decision:
    return decision._replace(student=name, decision_id=new_id(decision.decision_id))
