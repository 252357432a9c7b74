"""Run: one call of :func:`adaptrace.score_dataset`, and what it did."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from adaptrace.data.log import Log
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
    """

    responses: int
    rows: int
    late: int = 0
    resumed: bool = False
    skipped: tuple[Problem, ...] = ()

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
