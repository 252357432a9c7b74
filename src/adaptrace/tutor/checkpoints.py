"""Checkpoints: a student as of some of their events, so that what comes late needs no replay of all before.

They stand a few hundred events apart near the end, and farther apart the longer ago: two for each doubling. They are a cache:
what cannot be read, or is of another model or criterion, is not there.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple
from zlib import crc32

from adaptrace.errors import ModelError
from adaptrace.models.student import Student
from adaptrace.tutor.replay import Followed, MasteryHistory, Replay, key_of
from adaptrace.tutor.store.base import Checkpoint, Event, Store

STEP = 250  # events from one to the next, near the end
FAST = 1  # of zlib


class Edit(NamedTuple):
    """Events that come to those of a student, and stored ones that go."""

    events: Sequence[Event] = ()  # in their order
    retracted: Sequence[Event] = ()


class Refolded(NamedTuple):
    """A student after all events, and the checkpoints to have."""

    followed: Followed
    checkpoints: tuple[Checkpoint, ...]


def is_kept(step: int, newest: int) -> bool:
    """Whether the checkpoint of a step is kept when the newest is of another: the farther back, the fewer.

    Examples
    --------
    >>> [step for step in range(33) if is_kept(step, 32)]
    [0, 8, 16, 20, 24, 26, 28, 29, 30, 31, 32]
    """
    spacing = 1 << max((newest - step).bit_length() - 2, 0)
    return step % spacing == 0


def step_of(checkpoint: Checkpoint) -> int:
    """How many steps of events are in it; 0 if it cannot be read."""
    count = checkpoint.content.partition(" ")[0] if isinstance(checkpoint.content, str) else ""
    return int(count) // STEP if count.isdecimal() and count.isascii() else 0


def thinned(checkpoints: Iterable[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Those of a student's checkpoints, given in their order, that are kept."""
    steps = {step_of(each): each for each in checkpoints}
    newest = max(steps, default=0)
    return tuple(each for step, each in steps.items() if step and is_kept(step, newest))


@dataclass(frozen=True)
class Checkpoints:
    """Makes checkpoints of students, and students of checkpoints and the events since.

    Parameters
    ----------
    store
        Where events and checkpoints are.
    replay
        What makes students of them.
    """

    store: Store
    replay: Replay

    def is_due(self, before: int, count: int) -> bool:
        """Whether a student with so many events before and so many now has come to a checkpoint."""
        return count // STEP > before // STEP

    @property
    def maker(self) -> str:
        """Names the model and the criterion: what is of others is not read."""
        return f"{self.replay.model.fingerprint} {crc32(repr(self.replay.criterion).encode()):08x}"

    def own(self, name: str) -> list[Checkpoint]:
        """The stored checkpoints of a student, in their order, but for those of another model or criterion."""
        return [each for each in self.store.checkpoints(name) if each.model == self.maker]

    def of(self, followed: Followed) -> Checkpoint:
        """The checkpoint of a student who has events."""
        student, _, last = followed
        packed = b64encode(zlib.compress(_content(followed).encode(), FAST)).decode()
        return Checkpoint(student.name, *(last or (0, "")), self.maker, f"{student.responses} {packed}")

    def read(self, checkpoint: Checkpoint) -> Followed | None:
        """The student of a checkpoint; None if it cannot be read."""
        try:
            content = json.loads(zlib.decompress(b64decode(checkpoint.content.partition(" ")[2])))
            student = Student.from_dict(content, self.replay.model, catalog=self.replay.catalog)
            history = MasteryHistory.from_dict(content["history"])
        except (zlib.error, ModelError, AttributeError, LookupError, TypeError, ValueError):  # another version wrote it
            return None
        is_ours = student.name == checkpoint.student
        return Followed(student, history, (checkpoint.moment, checkpoint.event_id)) if is_ours else None

    def holds(self, checkpoint: Checkpoint, followed: Followed) -> bool:
        """Whether it is a checkpoint of this student, bit for bit, in whatever order skills were met."""
        stored = self.read(checkpoint)
        return stored is not None and _content(stored, in_order=False) == _content(followed, in_order=False)

    def latest(self, name: str, rows: Sequence[Checkpoint]) -> tuple[Followed, list[Checkpoint]]:
        """The student of the last of these that can be read, or one without events; and the checkpoints up to that."""
        for number in range(len(rows), 0, -1):
            followed = self.read(rows[number - 1])
            if followed is not None:
                return followed, list(rows[:number])
        return self.replay.new_followed(name), []

    def replayed(self, name: str) -> Followed:
        """A student after all stored events."""
        followed, _ = self.latest(name, self.own(name))
        return self.replay.follow(followed, self.store.events(name, after=followed.last))

    def refolded(self, name: str, edit: Edit, count: int) -> Refolded:
        """A student after all stored events and an edit, from the last checkpoint before it; there will be so many events."""
        first = min(map(key_of, (*edit.events, *edit.retracted)))
        followed, kept = self.latest(name, [each for each in self.own(name) if (each.moment, each.event_id) < first])
        gone = {event.event_id for event in edit.retracted}
        left = (event for event in self.store.events(name, after=followed.last) if event.event_id not in gone)
        return self.extended(followed, merge(left, edit.events, key=key_of), kept, count)

    def anew(self, name: str) -> Refolded:
        """A student after all stored events, from nothing."""
        return self.extended(self.replay.new_followed(name), self.store.events(name), (), None)

    def extended(self, followed: Followed, events: Iterable[Event], kept: Sequence[Checkpoint], count: int | None) -> Refolded:
        """A student after more events, with a checkpoint wherever one will be kept; there will be so many events, if known."""
        made = list[Checkpoint]()
        for event in events:
            followed = self.replay.follow(followed, (event,))
            step, rest = divmod(followed.student.responses, STEP)
            if not rest and (count is None or is_kept(step, count // STEP)):
                made.append(self.of(followed))
        return Refolded(followed, thinned([*kept, *made]))


def _content(followed: Followed, *, in_order: bool = True) -> str:
    """A student with the history as text: in the order in which items and skills were met, or the same in whatever order."""
    content = {**followed.student.to_dict(), "history": followed.history.to_dict()}
    return json.dumps(content, separators=(",", ":"), sort_keys=not in_order)
