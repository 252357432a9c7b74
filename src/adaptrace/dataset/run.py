"""Run: one call of :func:`adaptrace.score_dataset`, and what it did."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.data.merging import Merging
from adaptrace.data.names import list_notes
from adaptrace.dataset.dataset import Dataset
from adaptrace.dataset.staging import Staging
from adaptrace.dataset.state import Manifest
from adaptrace.errors import Problem
from adaptrace.models.bkt import BKT
from adaptrace.models.bkt.state_table import mastery_from_states, states


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is scored, with which model, and where the outputs go.

    Attributes
    ----------
    dataset
        The files that can be used.
    model
        Any that scores.
    staging
        Where outputs are made until they are whole.
    previous
        The state before; None where there is none.
    log_rows
        About how many rows a log may have.
    workers
        Threads.
    time
        When mastery is asked for, where it fades.
    before
        Responses from this moment on (microseconds since 1970) are left out.
    changed
        Whether only what changes is written.
    progress
        Called with the share that is done.
    """

    dataset: Dataset
    model: Any
    staging: Staging
    previous: Manifest | None
    log_rows: int
    workers: int
    time: datetime.datetime | None
    before: int | None
    changed: bool
    progress: Callable[[float], None] | None

    @property
    def increment(self) -> int:
        """How many runs the state will have seen, this one too: it begins the names of files of the state."""
        return 1 if self.previous is None else self.previous.increment + 1

    @property
    def planned_state(self) -> list[object]:
        """What a plan says of the state: where it is, whatever folder the next run is started in, and how many runs it saw."""
        state = self.staging.state
        return [None if state is None else str(state.absolute()), self.increment]


class ReadingNotes(NamedTuple):
    """How the rows of a part were read; those of several parts add up. Plain data hold it as lists."""

    merging: Sequence[int]  # a Merging
    questions: Sequence[str]  # on names of skills

    @classmethod
    def of(cls, log: Log) -> ReadingNotes:
        """Of one log."""
        return cls(log.merging, list_notes(log.skills))

    @classmethod
    def total(cls, parts: Iterable[Sequence[Any]]) -> ReadingNotes:
        """Of several together."""
        found = [cls(*each) for each in parts]
        questions = dict.fromkeys(note for each in found for note in each.questions)
        return cls(Merging(*map(sum, zip(Merging(), *(each.merging for each in found), strict=True))), sorted(questions))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of results should know."""
        return (*Merging(*self.merging).notes, *self.questions)


@dataclass(frozen=True)
class Scored:
    """What was done.

    Attributes
    ----------
    responses
        Rows that were read for it: where there was a state, those of the new files.
    rows
        Students and skills in the output.
    late
        Students who were scored anew, because rows older than their state came in.
    resumed
        Whether an interrupted run was resumed.
    skipped
        What was wrong in the files that were left out.
    notes
        What the reader of results should know about how the responses were read; where there was a state, the new ones.
    """

    responses: int
    rows: int
    late: int = 0
    resumed: bool = False
    skipped: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        who = "student with late rows was" if self.late == 1 else "students with late rows were"
        late = f"; {self.late:,} {who} scored anew" if self.late else ""
        bad = len({each.file for each in self.skipped})
        skipped = f"; {bad:,} {'file was' if bad == 1 else 'files were'} left out" if bad else ""
        resumed = "; resumed an interrupted run" if self.resumed else ""
        return f"{self.rows:,} students and skills from {self.responses:,} responses{late}{skipped}{resumed}"


def states_and_mastery(model: Any, log: Log, *, time: datetime.datetime | None) -> tuple[pa.Table | None, pa.Table]:
    """The states after a log, of a model that has them, and the mastery that is read off them."""
    if not isinstance(model, BKT):
        return None, model.score(log)
    known = states(model.fitted, log)
    return known, mastery_from_states(model.fitted, known, time=time)
