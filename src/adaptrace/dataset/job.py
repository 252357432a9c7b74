"""Job: what is done with every log of a dataset."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.dataset import state as states
from adaptrace.dataset.staging import Work
from adaptrace.models.bkt import BKT
from adaptrace.models.bkt.state_table import mastery_from_states
from adaptrace.models.bkt.state_table import states as states_of


@dataclass(frozen=True)
class Job:
    """What is to be done with every log, and how.

    Attributes
    ----------
    model
        Any that scores.
    work
        Where outputs are made.
    rows
        About how many a log may have.
    workers
        Threads.
    time
        When mastery is asked for, where it fades.
    before
        Responses from this moment on (microseconds since 1970) are left out.
    night
        Of the state: names its files.
    """

    model: Any
    work: Work
    rows: int
    workers: int
    time: datetime.datetime | None
    before: int | None
    night: int

    def use(self, name: str, log: Log) -> dict[str, Any]:
        """Score one log and write the parts of it."""
        file = f"{self.night:04d}-{name}.parquet"
        known, mastery = scored(self.model, log, self.time)
        if self.work.state is not None and known is not None:
            states.write_part(known, self.work.states / file)
        states.write_part(mastery, self.work.parts / f"{name}.parquet", compression="snappy")
        return {"file": file, "rows": len(mastery), "responses": len(log)}


def scored(model: Any, log: Log, time: datetime.datetime | None) -> tuple[pa.Table | None, pa.Table]:
    """The states after a log, of a model that has them, and the mastery that is read off them."""
    if not isinstance(model, BKT):
        return None, model.score(log)
    known = states_of(model.fitted, log)
    return known, mastery_from_states(model.fitted, known, time=time)
