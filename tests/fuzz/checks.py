"""What must be true of everything that a door accepted."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.data.times import time_of


class Nonsense(Exception):  # noqa: N818  # an outcome of its own
    """A number that is no probability, in what was accepted."""


class NotMade(Exception):  # noqa: N818
    """The mutant makes no input of its door: JSON, Arrow or SQLite refuse it before the package sees it."""


class WrongName(Exception):  # noqa: N818
    """A row under another name than in the file."""


def plain(path: Path) -> Any:
    """What a door is given as plain data."""
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotMade from error


def probabilities(values: Any, what: str, *, ends: bool = False) -> None:
    """Raise where a value is not inside (0, 1); ``ends``: 0 and 1 are fine."""
    array = np.asarray(values, float)
    good = (array >= 0.0) & (array <= 1.0) if ends else (array > 0.0) & (array < 1.0)
    if not good.all():
        raise Nonsense(f"{what}: {array[~good][0]}")


def mastery(table: pa.Table) -> None:
    """Raise where mastery, or an end of its interval, is no probability."""
    for name in {"mastery", "low", "high"} & set(table.column_names):
        probabilities(table[name].to_numpy(), name, ends=True)


def model(fitted: Any, log: at.Log) -> None:
    """Raise where a model says what is no probability of a log, or of a student."""
    probabilities(fitted.predict(log), "prediction")
    fitted.summary()
    if hasattr(fitted, "score"):
        mastery(fitted.score(log, time=log.table["time"][-1].as_py() if "time" in fitted.needs else None))
        fitted.trace(log)
    one(at.Student(fitted), log)


def one(student: at.Student, log: at.Log, most: int = 12) -> None:
    """Raise where a student's numbers are no probabilities, before and after some responses."""
    for row in log.table.slice(0, most).to_pylist():
        skills = row.get("skills") or [row["skill"]]
        what = {"skills": skills, "kind": row.get("kind"), "time": after(student, row.get("time"))}
        probabilities(student.predict(row["item"], **what), "student's prediction")
        student.observe(row["item"], row["correct"], **what)
    if hasattr(student.state, "mastery"):
        for skill in skills:
            probabilities(student.mastery(skill, time=what["time"]), "student's mastery", ends=True)
    again = at.Student.from_dict(student.to_dict(), student.model)
    assert again.to_dict() == student.to_dict()


def after(student: at.Student, time: datetime.datetime) -> datetime.datetime:
    """The time, or that of the student's last response if it is later."""
    return time if student.latest is None else max(time, time_of(student.latest))


# ---- names ------------------------------------------------------------------


def _parquet(path: Path) -> list[Any]:
    table = pq.read_table(path, partitioning=None)
    table.validate(full=True)
    return list(table["student"].to_pylist())


def _arrow(path: Path) -> list[Any]:
    stream = path.read_bytes()[:4] == b"\xff" * 4
    table = pa.ipc.open_stream(path.read_bytes()).read_all() if stream else pyarrow.feather.read_table(path)
    table.validate(full=True)
    return list(table["student"].to_pylist())


def _text(path: Path) -> list[Any]:
    rows = csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))
    return [row["student"] for row in rows]


READERS: dict[str, Callable[[Path], list[Any]]] = {".parquet": _parquet, ".arrow": _arrow, ".feather": _arrow, ".csv": _text}


def names(path: Path, log: at.Log) -> None:
    """Raise where a row is under another name than what reads the file in another way finds there."""
    try:
        found = READERS[path.suffix](path)
    except (KeyError, ValueError, csv.Error, pa.ArrowException, OSError):
        return  # it has no such column, or only adaptrace can read it
    for row, name in zip(log.source_row.tolist(), log.table["student"].to_pylist(), strict=True):
        if str(found[row]) != str(name):
            raise WrongName(f"row {row + 1}: {name!r} instead of {found[row]!r}")


def every(*calls: Callable[[], Any]) -> None:
    """Make all calls, whatever of them is refused; then raise the first refusal."""
    refused = [error for call in calls for error in _refusal(call)]
    if refused:
        raise refused[0]


def _refusal(call: Callable[[], Any]) -> Iterator[at.AdaptraceError]:
    try:
        call()
    except at.AdaptraceError as error:
        yield error
