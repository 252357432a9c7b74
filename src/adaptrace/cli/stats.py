"""Commands for pooling: counts to send instead of rows, and their sum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import with_options
from adaptrace.cli.options import (
    Columns,
    Format,
    Levels,
    LogPath,
    ModelName,
    Ordered,
    TimeUnit,
    counted,
    fitting,
    pairs,
    read_log,
    ready,
    say,
    waiting,
)

if TYPE_CHECKING:
    from adaptrace.stats.stats import Stats

AnyLog = Annotated[str | None, typer.Argument(metavar="LOG", help="As for every command; or give --stats.")]
Counts = Annotated[Path | None, typer.Option("--stats", help="Instead of a log: counts of `adaptrace stats` or `merge`.")]
Base = Annotated[Path | None, typer.Option("--base", help="A model of more data that this fit is drawn to.")]
Items = Annotated[str, typer.Option("--items", help="What varies by item: some of learn,guess,slip.")]
Kinds = Annotated[str, typer.Option("--kinds", help="What varies by kind of evidence: some of learn,guess,slip.")]
Groups = Annotated[str, typer.Option("--groups", help="What varies by the column group: some of prior,learn.")]
Students = Annotated[str, typer.Option("--students", help="What varies by student: some of prior,learn.")]
Elapsed = Annotated[bool, typer.Option("--elapsed", help="Mastery fades with time; needs times.")]
StatsFile = Annotated[Path, typer.Option("--output", "-o", help="Where to write the counts (Parquet).")]


def varying(items: str, kinds: str, groups: str, students: str, elapsed: bool) -> dict[str, Any]:
    """The options of a BKT for what varies."""
    varies = {"items": items, "kinds": kinds, "groups": groups, "students": students}
    options: dict[str, Any] = {name: tuple(part.strip() for part in text.split(",")) for name, text in varies.items() if text}
    return options | ({"elapsed": True} if elapsed else {})


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
        typer.Option("--min-students", min=1, help="Every count is of so many students or more: histories are cut short."),
    ] = None,
    model: ModelName = "bkt",
    items: Items = "",
    kinds: Kinds = "",
    groups: Groups = "",
    students: Students = "",
    elapsed: Elapsed = False,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Count what a fit needs of a log: what was answered in which order on each skill, by how many students.

    The counts of several logs add up (adaptrace merge), and adaptrace fit --stats fits them as it would all the rows. Give the
    options of the model that is to be fitted.
    """
    counts = counted(levels)
    blank = with_options(model, varying(items, kinds, groups, students, elapsed), counts)
    from adaptrace.models import Countable, require

    require(blank, Countable, "stats")
    ready(output)
    from adaptrace import dataset
    from adaptrace.errors import DataError, Problem
    from adaptrace.io import files, identity

    if format is None and not ordered and files.are_parquet(log):  # of any size
        with fitting("counting") as progress:
            found = dataset.stats_dataset(log, blank, columns=pairs(column), time_unit=time_unit, progress=progress)
    else:
        found = blank.stats(read_log(log, format, column, time_unit, ordered, levels=counts))
    if min_students:
        found, loss = found.suppressed(min_students)
        if not len(found.skills):
            remedy = "lower --min-students, or pool the rows with another school's first"
            raise DataError(log, [Problem("too few students on every skill", f"{min_students} of each first outcome", remedy)])
        say(f"note: {loss}")
    elif "student" in found.factors:
        say("note: these counts name the students")
    found.save(output, sources=identity.sources(log))
    say(f"{output}: {found}")


def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="STATS...", help="Files that `adaptrace stats` or `merge` wrote.")],
    output: StatsFile = Path("pool.stats.parquet"),
) -> None:
    """Add up counts, e.g. of several districts; no student is in two of them."""
    ready(output)
    from adaptrace.stats import merge

    with waiting("adding"):
        found, sources = merge.merged(parts)
    found.save(output, sources=sources)
    say(f"{output}: {found} of {len(parts)} {'file' if len(parts) == 1 else 'files'}")


COMMANDS = (stats, merge)
