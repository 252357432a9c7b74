"""Receiving: what comes in is stored, or waits for the event that it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adaptrace.errors import ConflictError, StoreError
from adaptrace.tutor.arrivals import Delivery
from adaptrace.tutor.incoming import Incoming, Observation
from adaptrace.tutor.store.base import Correction, Store
from adaptrace.tutor.students import TRIES, Students


@dataclass(frozen=True)
class Receiver:
    """Takes in observations and retractions.

    Parameters
    ----------
    incoming
        Makes events of them.
    students, store
        Where they go to.
    """

    incoming: Incoming
    students: Students
    store: Store

    def observe(self, given: Observation) -> bool:
        """Store an observation; whether it is new. See :meth:`adaptrace.Tutor.observe`."""
        return self._taken(lambda: self.incoming.observed(given), is_timed=given.time is not None)

    def retract(self, event_id: str) -> bool:
        """Take an event back; whether that is new. See :meth:`adaptrace.Tutor.retract`."""
        return self._taken(lambda: self.incoming.retracted(event_id), is_timed=True)

    def _taken(self, make: Callable[[], Delivery | Correction], *, is_timed: bool) -> bool:
        """Store what is delivered, or let it wait; made again if the event that it is about came in this moment."""
        for _ in range(TRIES):
            made = make()
            is_new = self.students.wait(made) if isinstance(made, Correction) else self._delivered(made, is_timed)
            if is_new is not None:
                return is_new
        raise StoreError(
            f"the event that this is about was there and not there {TRIES} times in a row; nothing was stored: try again, "
            "and if it stays so see what verify() says of the store"
        )

    def _delivered(self, delivery: Delivery, is_timed: bool) -> bool:
        """Store a delivery: a second one without a time has the time of the first, unless that is forgotten meanwhile."""
        first: object = ...
        while True:
            try:
                return bool(self.students.deliver(delivery))
            except ConflictError:
                event = None if is_timed or not delivery.events else delivery.events[0]
                found = event and self.store.find([event.event_id]).get(event.event_id)
                if event is None or found == first:
                    raise
            first = found
            if found is not None:
                delivery = delivery._replace(events=[event._replace(moment=found.moment)])
