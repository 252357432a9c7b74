"""Commands for pooling: counts to send instead of rows, and their sum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import with_options
from adaptrace.cli.option_groups import LogOptions, VariationOptions
from adaptrace.cli.options import LogPath, ModelName
from adaptrace.cli.terminal import check_outputs, fitting, say, waiting
from adaptrace.errors import counted

if TYPE_CHECKING:
    from adaptrace.stats.stats import Stats

AnyLog = Annotated[
    str | None,
    typer.Argument(metavar="LOG", help="Parquet, Arrow or CSV/TSV: a file, a folder or a quoted glob. Or give --stats."),
]
StatsPath = Annotated[Path | None, typer.Option("--stats", help="Counts of `adaptrace stats` or `merge`, instead of a log.")]
StatsFile = Annotated[Path, typer.Option("--output", "-o", help="Where to write the counts (Parquet).")]


def load_stats(path: Path) -> tuple[Stats, list[dict[str, Any]]]:
    """Counts, and the files that they came from."""
    from adaptrace.stats import parquet
    from adaptrace.stats.stats import Stats

    return Stats.load(path), parquet.sources(path)


# ---- commands ---------------------------------------------------------------


def stats(
    log: LogPath,
    output: StatsFile = Path("log.stats.parquet"),
    min_students: Annotated[
        int | None,
        typer.Option("--min-students", min=1, help="Cut histories short, so that every count is of at least this many students."),
    ] = None,
    model: ModelName = "bkt",
    *,
    varying: VariationOptions,
    reading: LogOptions,
) -> None:
    """Count what a fit needs of a log: which outcomes came in which order on each skill, of how many students.

    The counts of several logs can be added (adaptrace merge). adaptrace fit --stats fits them as it would fit all the rows.
    Give the options of the model that is to be fitted.
    """
    blank = with_options(model, varying.chosen, reading.counts)
    from adaptrace.io import identity
    from adaptrace.models import Countable, require

    require(blank, Countable, "stats")
    check_outputs(output)

    found = _counts_of(log, blank, reading)
    if min_students:
        found = _suppressed(found, min_students, log)
    elif "student" in found.factors:
        say("note: these counts name the students")
    found.save(output, sources=identity.sources(log))
    say(f"{output}: {found}")


def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="STATS...", help="Files that `adaptrace stats` or `merge` wrote.")],
    output: StatsFile = Path("pool.stats.parquet"),
) -> None:
    """Add up counts, e.g. of several districts. Every student must be in one of them only."""
    check_outputs(output)
    from adaptrace.stats import merge

    with waiting("adding"):
        found, sources = merge.merged(parts)
    found.save(output, sources=sources)
    say(f"{output}: {found} of {counted(len(parts), 'file')}")


COMMANDS = (stats, merge)


# ---- counting ---------------------------------------------------------------


def _counts_of(log: str, blank: Any, reading: LogOptions) -> Stats:
    """The counts of a log, of Parquet of any size."""
    from adaptrace.dataset.dataset import ReadOptions
    from adaptrace.dataset.stats import counts_and_notes
    from adaptrace.io import files

    if reading.format is not None or reading.ordered or not files.are_parquet(log):
        found: Stats = blank.stats(reading.read(log))
        return found
    options = ReadOptions.of(blank, columns=reading.columns, time_unit=reading.time_unit, merge=reading.merge)
    with fitting("counting") as progress:
        counts, notes = counts_and_notes(log, blank, options=options, progress=progress)
    for note in notes:
        say(f"note: {note}")
    return counts


def _suppressed(found: Stats, min_students: int, log: str) -> Stats:
    """The counts with short histories, once any skill is left."""
    from adaptrace.errors import DataError, Problem

    found, loss = found.suppressed(min_students)
    if not len(found.skills):
        remedy = "lower --min-students, or pool the rows with another school's first"
        raise DataError(log, [Problem("too few students on every skill", f"{min_students} of each first outcome", remedy)])
    for line in f"note: {loss}".split("\n"):
        say(line)
    return found
