"""Verify: whether a store is what it should be. Nothing is changed.

Every event is read and compared with its checksum; every stored state is compared, bit for bit, with the replay of its events.
Others may go on meanwhile: a student who was changed while looked at is looked at again.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import pyarrow as pa

from adaptrace.errors import StoreError, UnreadableEventError
from adaptrace.io.text_table import as_text
from adaptrace.kernels.parallel import batches
from adaptrace.tutor.checkpoints import Checkpoints
from adaptrace.tutor.replay import Replay, key_of, state_text
from adaptrace.tutor.store.base import RESTORE, Checkpoint, Decision, Event, Fault, Store, StoredState
from adaptrace.tutor.tables import chances_of

T = TypeVar("T")
CHECKS = ("file", "events", "states", "checkpoints", "corrections", "decisions", "temporary files")
AT_ONCE = 500  # corrections looked up
TRIES = 10  # at a student whom others are changing
_CHECKS = pa.schema([("check", pa.string()), ("checked", pa.int64()), ("wrong", pa.int64()), ("notes", pa.int64())])
_FINDINGS = pa.schema(
    [
        ("check", pa.string()),
        ("is_wrong", pa.bool_()),
        ("id", pa.string()),
        ("student", pa.string()),
        ("got", pa.string()),
        ("remedy", pa.string()),
    ]
)


@dataclass(frozen=True, repr=False)
class Verification:
    """What :meth:`adaptrace.Tutor.verify` found.

    Attributes
    ----------
    checks
        A row per check: ``check``, how many things were ``checked``, how many are ``wrong``, and how many ``notes`` there are.
    findings
        A row for each that is wrong or noted: ``check``, ``is_wrong``, ``id`` (of an event or decision; of a state, that of the
        student's last event), ``student`` (null unless names were asked for), ``got``, ``remedy``.
    """

    checks: pa.Table
    findings: pa.Table

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; notes do not count."""
        return not any(self.checks["wrong"].to_pylist())

    def to_dict(self) -> dict[str, Any]:
        """Plain data: ``ok``, ``checks`` and ``findings``."""
        return {"ok": self.ok, "checks": self.checks.to_pylist(), "findings": self.findings.to_pylist()}

    def __repr__(self) -> str:
        wrong = sum(self.checks["wrong"].to_pylist())
        return f"Verification({'ok' if self.ok else f'{wrong:,} wrong'}, {len(self.findings):,} findings)"

    def __str__(self) -> str:
        has_names = self.findings["student"].null_count < len(self.findings)
        shown = [name for name in _FINDINGS.names if name != "student" or has_names]
        return "\n\n".join([as_text(self.checks), *([as_text(self.findings, names=shown)] if len(self.findings) else [])])


def verify(store: Store, replay: Replay, *, names: bool = False) -> Verification:
    """Look at all that a store holds. See :meth:`adaptrace.Tutor.verify`."""
    search = _Search(store, replay)
    search.run()
    rows = [each._asdict() | ({} if names else {"student": None}) for each in search.faults]
    wrong, notes = (Counter(each.check for each in search.faults if each.is_wrong is is_wrong) for is_wrong in (True, False))
    checks = [{"check": each, "checked": search.checked[each], "wrong": wrong[each], "notes": notes[each]} for each in CHECKS]
    return Verification(pa.Table.from_pylist(checks, _CHECKS), pa.Table.from_pylist(rows, _FINDINGS))


@dataclass
class _Replayed:
    """What the events of a student say."""

    text: str = ""  # the state that they lead to
    last: str | None = None  # the id of the last one
    events: int = 0
    checkpoints: int = 0
    named: dict[str, str] = field(default_factory=dict)  # decision -> an event that answers it
    faults: list[Fault] = field(default_factory=list)


class _Search:
    """What was looked at so far, and found."""

    def __init__(self, store: Store, replay: Replay) -> None:
        self._store, self._replay, self._checkpoints = store, replay, Checkpoints(store, replay)
        self.faults: list[Fault] = []
        self.checked: Counter[str] = Counter()

    def run(self) -> None:
        """Look at everything."""
        self.checked["file"] += 1
        self.faults += self._store.faults()
        for name, stored in _readable(self._store.load_many(), "states", None, self.faults):
            with self._going_on("states"):
                self._look_at(name, stored)
        self.checked["events"] += sum(1 for _ in _readable(self._store.retracted(), "events", None, self.faults))
        with self._going_on("corrections"):
            self._look_at_corrections()
        with self._going_on("decisions"):
            self._look_at_decisions()

    @contextlib.contextmanager
    def _going_on(self, check: str) -> Iterator[None]:
        """Whatever cannot be read is a fault, and ends no more than the block."""
        try:
            yield
        except StoreError as error:
            self.faults.append(Fault(check, None, str(error), RESTORE))

    def _note(self, check: str, got: str) -> None:
        self.faults.append(Fault(check, None, got, "nothing to do", is_wrong=False))

    def _look_at(self, name: str, stored: StoredState) -> None:
        """The events and the state of a student."""
        for _ in range(TRIES):
            found = self._replayed(name)
            now = self._store.load(name)
            if now is None:  # forgotten meanwhile
                return None
            if now == stored:
                break
            stored = now
        else:
            return self._note("states", "a student was changed by others all the time, and was not looked at")
        self.checked["events"] += found.events
        self.checked["states"] += self._store.keeps_states
        self.checked["checkpoints"] += found.checkpoints
        self.faults += found.faults
        if any(each.check == "events" for each in found.faults) or not self._store.keeps_states:
            return None
        if stored.model != self._replay.model.fingerprint:
            self.faults.append(Fault("states", found.last, "made by another model", "rebuild(), or wait", name, is_wrong=False))
        elif stored.state != found.text:
            self.faults.append(Fault("states", found.last, "not the replay of its events", "rebuild()", name))
        return None

    def _replayed(self, name: str) -> _Replayed:
        found = _Replayed()

        def noted() -> Iterator[Event]:
            for event in _readable(self._store.events(name), "events", name, found.faults):
                found.events, found.last = found.events + 1, event.event_id
                if event.decision:
                    found.named[event.decision] = event.event_id
                yield event

        checkpoints = self._checkpoints.own(name)
        found.checkpoints = len(checkpoints)
        if checkpoints:
            found.text = self._followed(checkpoints, noted(), found.faults)
        else:
            found.text = state_text(*self._replay.fold(name, noted()))
        found.faults += self._unknown_decisions(name, found.named)
        return found

    def _followed(self, checkpoints: Sequence[Checkpoint], events: Iterator[Event], faults: list[Fault]) -> str:
        """The state that events lead to; a checkpoint that is not what the events up to it lead to is a fault."""
        name, rows = checkpoints[0].student, {(each.moment, each.event_id): each for each in checkpoints}
        followed = self._replay.new_followed(name)
        for event in events:
            followed = self._replay.follow(followed, (event,))
            row = rows.get(key_of(event))
            if row is not None and self._checkpoints.holds(row, followed):
                del rows[key_of(event)]
        if not faults:  # else all that follows an event that cannot be read differs
            got = "not the replay of the events up to it"
            faults += [Fault("checkpoints", event_id, got, "rebuild()", name) for _, event_id in rows]
        return state_text(followed.student, followed.last)

    def _unknown_decisions(self, name: str, named: dict[str, str]) -> list[Fault]:
        """The events that answer a decision which is not there, or is another student's."""
        unread: list[Fault] = []
        known = {each.decision_id for each in _readable(self._store.decisions(name), "decisions", name, unread)} if named else {}
        if unread:  # they are among the decisions that cannot be read
            return []
        got = "an event answers a decision that is not there, or is another student's"
        return [Fault("decisions", event_id, got, RESTORE, name) for key, event_id in named.items() if key not in known]

    def _look_at_corrections(self) -> None:
        """What waits for an event, and whether that has come."""
        known = self._store.corrections()
        self.checked["corrections"] += len(known)
        for some in batches((each for each in known if each.content), AT_ONCE):
            come = self._store.find([each.original for each in some])
            waiting = set(self._store.corrections([each.original for each in some]))  # what came meanwhile waits no longer
            for each in waiting.intersection(some):
                is_here = each.original in come and each.student in ("", come[each.original].student)
                has, remedy = ("come", "deliver it again") if is_here else ("not come", "deliver the event")
                got = f"waits to {'replace' if each.event_id else 'retract'} this event, which has {has}"
                self.faults.append(Fault("corrections", each.original, got, remedy, each.student or None, is_wrong=is_here))

    def _look_at_decisions(self) -> None:
        strangers = 0
        decisions = _readable(map(_checked, self._store.decisions()), "decisions", None, self.faults)
        for name, some in groupby(decisions, lambda each: each.student):
            number = sum(1 for _ in some)
            self.checked["decisions"] += number
            strangers += 0 if self._store.version(name) else number
        if strangers:
            self._note("decisions", f"{strangers:,} for students who have answered nothing yet")


def _readable(items: Iterator[T], check: str, student: str | None, faults: list[Fault]) -> Iterator[T]:
    """The items that can be read; the others become faults."""
    while True:
        try:
            yield next(items)
        except StopIteration:
            return
        except UnreadableEventError as error:
            got = "its row cannot be read, or is not of its checksum"
            faults.append(Fault("events", error.event_id, got, RESTORE, student))
        except StoreError as error:
            faults.append(Fault(check, None, str(error), RESTORE, student))


def _checked(decision: Decision) -> Decision:
    """The decision, if its content can be read."""
    chances_of(decision)
    return decision
