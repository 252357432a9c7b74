"""What is made of a dataset beside mastery: the counts that a fit needs, or whatever is made of logs one by one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adaptrace.data.log import Log
from adaptrace.dataset.dataset import ReadOptions
from adaptrace.dataset.partition import logs_of_dataset
from adaptrace.dataset.run import ReadingNotes
from adaptrace.models import BKT, Countable, require
from adaptrace.stats.stats import Stats, added


def stats_dataset(
    source: str | os.PathLike[str],
    model: BKT,
    *,
    memory: str | int = "2GB",
    workers: int | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    merge: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Stats:
    """The stats of a folder of Parquet in any order: equal, to the last count, to ``model.stats`` of the whole log.

    Parameters
    ----------
    source, memory, workers, columns, time_unit, merge, progress
        As in :func:`adaptrace.score_dataset`. The counts themselves are in memory too.
    model
        Its options say what is distinguished, as in :meth:`adaptrace.BKT.stats`.

    Raises
    ------
    DataError
        Listing what is wrong, in every file.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace.data.sample import sample_path
    >>> stats_dataset(sample_path("responses.parquet"), at.BKT())
    Stats(24 skills, 25,169 responses in 5,620 prefixes)
    """
    require(model, Countable, "stats_dataset")
    options = ReadOptions.of(model, columns=columns, time_unit=time_unit, merge=merge)
    return counts_and_notes(source, model, options=options, memory=memory, workers=workers, progress=progress)[0]


def counts_and_notes(
    source: str | os.PathLike[str], model: BKT, *, options: ReadOptions, **work: Any
) -> tuple[Stats, tuple[str, ...]]:
    """The stats of a folder, and what the reader of results should know about how its rows were read."""
    notes = list[ReadingNotes]()

    def counted(log: Log) -> Stats:
        notes.append(ReadingNotes.of(log))
        return model.stats(log)

    stats = added(logs_of_dataset(source, counted, options=options, **work))
    return stats, ReadingNotes.total(notes).notes


def logs_of(
    source: str | os.PathLike[str],
    model: Any,
    *,
    memory: str | int = "2GB",
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    merge: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Log]:
    """A folder of Parquet as logs that share no student, one after another, e.g. for :func:`adaptrace.report.pace`.

    A DataError lists what is wrong, in every file.

    Parameters
    ----------
    source, memory, columns, time_unit, merge, progress
        As in :func:`adaptrace.score_dataset`. The logs that are read ahead are part of the memory.
    model
        The columns that make a difference to it are read.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace.data.sample import sample_path
    >>> [len(log) for log in logs_of(sample_path("responses.parquet"), at.BKT())]
    [23550]
    """
    options = ReadOptions.of(model, columns=columns, time_unit=time_unit, merge=merge)
    return logs_of_dataset(source, lambda log: log, options=options, memory=memory, progress=progress)
