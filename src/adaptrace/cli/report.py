"""Commands that roll mastery up: by class, school and skill, over time, and for teaching in small groups."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.option_groups import CellOptions, LogOptions, names_in, with_groups
from adaptrace.cli.options import LogPath, ModelPath, RawCells, Report, SkillsPath, load
from adaptrace.cli.terminal import WrongUsage, check_outputs, say, usage, waiting, write_or_show

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from adaptrace.data.log import Log

app = typer.Typer(help="Tables of mastery: by class, school and skill, over time, and for small groups.", no_args_is_help=True)

MASTERY_HELP = "Mastery as `adaptrace score` writes it: a file, a folder of Parquet files or a quoted glob."
MasteryPath = Annotated[str, typer.Argument(metavar="MASTERY", help=MASTERY_HELP)]
By = Annotated[str, typer.Option("--by", help="Columns of the roster, and skill, separated by commas.")]
Threshold = Annotated[float, typer.Option("--threshold", min=0.0, max=1.0, help="The mastery that counts as mastered.")]
SHARES = ("mastered", "certain", "newly_mastered", "lost", "reached", "stuck")
NOBODY = "not in the roster"


# ---- commands ---------------------------------------------------------------


def mastery(
    mastery: MasteryPath, by: By = "class,skill", output: Report = None, raw_cells: RawCells = False, *, cells: CellOptions
) -> None:
    """Mean mastery, and the shares who have mastered a skill, by class, school or skill."""
    check_outputs(output)
    from adaptrace import report

    with usage(), waiting(f"reading {mastery}"):
        table = report.mastery_by(mastery, names_in(by), **asdict(cells))
    _show_cells(table, output, cells.min_students, raw_cells)


def growth(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=MASTERY_HELP)],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same at a later date.")],
    by: By = "class,skill",
    output: Report = None,
    raw_cells: RawCells = False,
    *,
    cells: CellOptions,
) -> None:
    """How mastery grew between two dates, of the students and skills that are in both."""
    check_outputs(output)
    from adaptrace import report

    with usage(), waiting(f"reading {before} and {after}"):
        table = report.growth(before, after, by=names_in(by), **asdict(cells))
    _show_cells(table, output, cells.min_students, raw_cells)


def pace(
    log: LogPath,
    model: ModelPath,
    by: By = "skill",
    output: Report = None,
    raw_cells: RawCells = False,
    *,
    cells: CellOptions,
    reading: LogOptions,
) -> None:
    """Responses and days until mastery, who reached it, and who is stuck."""
    check_outputs(output)
    from adaptrace import report
    from adaptrace.models import Traces, require

    fitted = require(load(model), Traces, "report pace")
    responses = _logs(log, fitted, reading)
    with usage(), waiting("tracing mastery"):
        table = report.pace(responses, fitted, by=names_in(by), **asdict(cells))
    _show_cells(table, output, cells.min_students, raw_cells)


def stuck(
    log: LogPath,
    model: ModelPath,
    opportunities: Annotated[
        int, typer.Option("--opportunities", min=1, help="Stuck after this many opportunities without mastery.")
    ] = 10,
    threshold: Threshold = 0.95,
    output: Report = None,
    raw_cells: RawCells = False,
    *,
    reading: LogOptions,
) -> None:
    """Students who are stuck: many opportunities on a skill, and never mastered. It names students."""
    check_outputs(output)
    from adaptrace import report
    from adaptrace.io.text_table import as_text
    from adaptrace.models import Traces, require

    fitted = require(load(model), Traces, "report stuck")
    responses = _logs(log, fitted, reading)
    with usage(), waiting("tracing mastery"):
        table = report.stuck(responses, fitted, opportunities=opportunities, threshold=threshold)
    write_or_show(table, output, as_text(table) if len(table) else "nobody is stuck", raw_cells=raw_cells)


def groups(
    mastery: MasteryPath,
    roster: Annotated[Path, typer.Option("--roster", "-r", help="Who is in which class: student and class.")],
    catalog: Annotated[
        Path | None, typer.Option("--catalog", "-C", help="Items, skills and prerequisites: JSON, Parquet or CSV.")
    ] = None,
    skills: SkillsPath = None,
    by: Annotated[str, typer.Option("--by", help="The column of the roster that says who can sit together.")] = "class",
    size: Annotated[str, typer.Option("--size", help="FEWEST-MOST students of a group, helpers not counted.")] = "2-5",
    threshold: Threshold = 0.95,
    output: Report = None,
    raw_cells: RawCells = False,
) -> None:
    """Small groups who need the same skill next, each with peers who can help. It names students."""
    check_outputs(output)
    sizes = _sizes(size)
    from adaptrace import report
    from adaptrace.data.catalog import Catalog
    from adaptrace.io.text_table import as_text

    items = Catalog.read(catalog, skills=skills) if catalog else None
    with usage(), waiting(f"reading {mastery}"):
        table = report.small_groups(mastery, roster, catalog=items, by=by, size=sizes, threshold=threshold)
    write_or_show(table, output, as_text(table) if len(table) else "nobody needs a group", raw_cells=raw_cells)


for command in (mastery, growth, pace, stuck, groups):
    app.command()(with_groups(command))


# ---- logs, and cells as text ------------------------------------------------


def _logs(log: str, model: Any, reading: LogOptions) -> Log | Iterator[Log]:
    """A log; of Parquet, which may be of any size, logs one after another."""
    from adaptrace import dataset
    from adaptrace.io import files

    if reading.format is None and not reading.ordered and not reading.levels and files.are_parquet(log):
        columns, unit = reading.columns, reading.time_unit
        return _with_notes(dataset.logs_of(log, model, columns=columns, time_unit=unit, merge=reading.merge))
    return reading.read(log, model=model)


def _with_notes(logs: Iterator[Log]) -> Iterator[Log]:
    """The logs, one after another, and at the end what is to be said of how they were read."""
    from adaptrace.dataset.run import ReadingNotes

    found = []
    for log in logs:
        found.append(ReadingNotes.of(log))
        yield log
    for note in ReadingNotes.total(found).notes:
        say(f"note: {note}")


def _sizes(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if not found:
        raise WrongUsage(f"--size: got '{text}'; expected FEWEST-MOST, e.g. 2-5")
    return int(found[1]), int(found[2] or found[1])


def _show_cells(table: pa.Table, output: Path | None, min_students: int, raw_cells: bool) -> None:
    """Write or print cells, and say how many were withheld."""
    import pyarrow.compute as pc

    from adaptrace.io.text_table import as_text

    withheld = pc.sum(table["withheld"]).as_py() or 0
    shown = _named_nobody(table.drop_columns(["withheld"]))
    write_or_show(table, output, as_text(shown, cell=lambda name, row: _cell(name, row, min_students)), raw_cells=raw_cells)
    if withheld:
        why = f"of fewer than {min_students} students, or withheld to protect another cell"
        say(f"note: {withheld:,} of {len(table):,} cells withheld: {why}; --min-students changes that")


def _named_nobody(table: pa.Table) -> pa.Table:
    """Cells of students who are not in the roster, with words for it; says if nobody is."""
    import pyarrow.compute as pc

    for place, name in enumerate(table.column_names[: table.column_names.index("students")]):
        if len(table) and table[name].null_count == len(table):
            say(f"note: the roster has the {name} of no student; does it name students as the mastery does (e.g. by pseudonyms)?")
        table = table.set_column(place, name, pc.fill_null(table[name], NOBODY))
    return table


def _cell(name: str, row: Mapping[str, Any], min_students: int) -> str:
    from adaptrace.io.text_table import word

    value = row[name]
    if value is None and name == "students":
        return "withheld"
    if value is not None and name in SHARES and isinstance(value, float):
        return _share(value, row, min_students)
    is_count = isinstance(value, float) and name.startswith(("opportunities", "responses", "days"))
    return f"{value:.1f}" if is_count else word(value)


def _share(value: float, row: Mapping[str, Any], min_students: int) -> str:
    """A share in percent. With min_students, shares near 0 % and 100 % are printed as bounds."""
    edge = 1.0 / row["pairs"]
    bound = "" if min_students == 1 or edge < value < 1.0 - edge else "≤" if value <= edge else "≥"
    return f"{bound}{value:.0%}" if 0.01 <= value <= 0.99 else f"{bound}{value:.1%}"
