"""Corrections: an event takes from the one that it replaces what it leaves out; if that has not come yet, it waits for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Correction, Event

RETRACTION = "{}"  # the content of a retraction that waits


class Draft(NamedTuple):
    """A correction as it came: complete but for what it leaves out."""

    event: Event  # with the moment, kind, skills and group of one that corrects nothing; without skills if nobody knows them yet
    given: frozenset[str]  # of "time", "group", "kind", "skills": what does not come from the original
    level: int | None = None  # of the outcome, if it was given as one


def waiting(draft: Draft, original: str) -> Correction:
    """What is stored of a correction whose original has not come."""
    moment = draft.event.moment if "time" in draft.given else 0  # a second delivery is equal, whenever it comes
    content = {"event": draft.event._replace(moment=moment), "given": sorted(draft.given), "level": draft.level}
    return Correction(original, draft.event.student, draft.event.event_id, json.dumps(content, separators=(",", ":")))


def draft_of(correction: Correction) -> Draft:
    """The correction that waits.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    try:
        content = json.loads(correction.content)
        event = Event(*content["event"])
        return Draft(event._replace(skills=tuple(event.skills)), frozenset(content["given"]), content["level"])
    except (ValueError, LookupError, TypeError, RecursionError):
        raise StoreError(f"event_id '{correction.event_id}' cannot be read: it is no correction; restore a snapshot") from None


def finished(draft: Draft, original: Event, levels: Mapping[str, int]) -> Event:
    """The event of a correction whose original is there: what it leaves out is as in the original."""
    event, given = draft.event, draft.given
    event = event._replace(
        moment=event.moment if "time" in given else original.moment,
        group=event.group if "group" in given else original.group,
        decision=event.decision or original.decision,
    )
    if event.item != original.item:
        return event if event.skills else event._replace(skills=original.skills)
    kind = event.kind if "kind" in given else original.kind
    highest = levels.get(kind, 0) - 1
    if draft.level is not None and draft.level <= highest:
        event = event._replace(correct=draft.level / highest)
    return event._replace(kind=kind, skills=event.skills if "skills" in given else original.skills)
