"""What is delivered, against what is stored: what of it is new, and what has waited for it.

An event counts if it came and nothing takes it back: no retraction, no correction. So the order in which they come makes no
difference. What comes before the event that it is about waits in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from adaptrace.errors import ConflictError
from adaptrace.tutor.corrections import draft_of, finished
from adaptrace.tutor.store.base import Correction, Event, Store, describe


class Delivery(NamedTuple):
    """Events of one student, and stored ones that are taken back."""

    student: str
    events: Sequence[Event] = ()
    retracted: Sequence[str] = ()
    corrections: Sequence[Correction] = ()  # which event replaces which

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be stored."""
        return not (self.events or self.retracted or self.corrections)

    @property
    def counted(self) -> int:
        """How many events it adds and takes back."""
        return len(self.events) + len(self.retracted)


@dataclass(frozen=True)
class Arrivals:
    """Compares deliveries with a store.

    Parameters
    ----------
    store
        Where events are, and what waits for them.
    levels
        Kind -> number of its levels, for corrections that give a level.
    """

    store: Store
    levels: Mapping[str, int]

    def new(self, delivery: Delivery) -> Delivery:
        """What of a delivery is not stored yet.

        Raises
        ------
        ConflictError
            If an event's id stands for something else, or an event has another correction.
        """
        originals = [each.original for each in delivery.corrections]
        ids = [event.event_id for event in delivery.events]
        stored, noted = self.store.find([*ids, *delivery.retracted, *originals]), self.store.corrections([*ids, *originals])
        waiting = {row.event_id: row for row in noted if row.content}
        new = [event for event in delivery.events if event.event_id not in stored and event.event_id not in waiting]
        for event in delivery.events:
            if event.event_id in stored:
                check_same(stored[event.event_id], event)
            elif event.event_id in waiting:
                self._check_waiting(waiting[event.event_id], event, originals)
        known = {row.original: row.event_id for row in noted if row.student == delivery.student}
        for original, _, event_id, _ in delivery.corrections if new else ():
            _check_first(original, known.get(original, event_id), event_id)
        replaced = dict.fromkeys((*delivery.retracted, *originals))
        for event_id in replaced:
            if event_id not in stored:
                raise ConflictError(f"event_id '{event_id}': it was forgotten, with its student, during this call; call again")
        gone = [event_id for event_id in replaced if not stored[event_id].retracted]
        return Delivery(delivery.student, new, gone, [each for each in delivery.corrections if each.original not in known])

    def with_waiting(self, delivery: Delivery) -> Delivery:
        """A delivery of new events with all that waited for them: retractions, corrections, and what waited for those."""
        events = {event.event_id: event for event in delivery.events}
        corrections, pending = list(delivery.corrections), list(events)
        while pending:
            waiting = [row for row in self.store.corrections(pending) if row.content and row.student in ("", delivery.student)]
            due = [row for row in waiting if row.original in pending]
            events.update({row.original: events[row.original]._replace(retracted=True) for row in due})
            drafts = {row.event_id: row for row in due if row.event_id and row.event_id not in events}
            stored = self.store.find(list(drafts))
            pending = [event_id for event_id in drafts if event_id not in stored]
            for event_id in pending:
                events[event_id] = finished(draft_of(drafts[event_id]), events[drafts[event_id].original], self.levels)
            corrections += due
        return Delivery(delivery.student, list(events.values()), delivery.retracted, corrections)

    def wait(self, correction: Correction) -> bool | None:
        """Let a correction or retraction wait for its original: whether it is new; None if the original has come meanwhile.

        Raises
        ------
        ConflictError
            If its id stands for something else, or the original has another correction.
        """
        original, student, event_id, content = correction
        for row in self.store.corrections([original, event_id]):
            if row[:2] == (original, student):
                _check_first(original, row.event_id, event_id)
                if row.content not in ("", content):
                    raise ConflictError(f"event_id '{event_id}': another correction of '{original}' waits under it; use a new id")
                return False
            if row.content and row.event_id == event_id != "":
                raise ConflictError(_waits(row))
        stored = self.store.find([event_id] if event_id else []).get(event_id)
        if stored is not None:
            check_same(stored, finished(draft_of(correction), stored, self.levels))
        return True if self.store.wait(correction) else None

    def _check_waiting(self, row: Correction, event: Event, originals: Sequence[str]) -> None:
        """Refuse an event whose id waits as a correction, unless it is that correction again."""
        if originals:
            raise ConflictError(_waits(row))
        check_same(finished(draft_of(row), event, self.levels), event)


def check_same(stored: Event, event: Event) -> None:
    """Refuse an event of another content; the group, and whether it was retracted, may differ."""
    if stored[:7] == event[:7]:
        return
    whose = " of another student" if stored.student != event.student else ""
    raise ConflictError(
        f"event_id '{event.event_id}': got {describe(event)}; it stands for {describe(stored)}{whose}, which is kept; "
        "use another id, or replaces= to correct an event"
    )


def _check_first(original: str, known: str, event_id: str) -> None:
    """Refuse a second correction of an event."""
    if known != event_id:
        raise ConflictError(
            f"replaces: got event_id '{original}', which was retracted or replaced before; replace what replaced it"
        )


def _waits(row: Correction) -> str:
    return f"event_id '{row.event_id}': it waits as the correction of '{row.original}', which has not come; use another id"
