"""Commands that roll mastery up: by class, school and skill, over time, and for teaching in small groups."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.options import (
    Columns,
    Format,
    Levels,
    LogPath,
    ModelPath,
    Ordered,
    Report,
    SkillsPath,
    TimeUnit,
    known_levels,
    load,
    pairs,
    read_log,
    ready,
    say,
    usage,
    waiting,
    write_or_show,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from adaptrace.data.log import Log

app = typer.Typer(help="Mastery rolled up: by class, school and skill, over time, and for small groups.", no_args_is_help=True)

Masteries = "Mastery as `adaptrace score` writes it: a file, a folder of Parquet files or a quoted glob."
MasteryPath = Annotated[str, typer.Argument(metavar="MASTERY", help=Masteries)]
RosterPath = Annotated[Path | None, typer.Option("--roster", "-r", help="Who is in which class, school, ...: student and these.")]
By = Annotated[str, typer.Option("--by", help="Columns of the roster and skill, with commas between.")]
Threshold = Annotated[float, typer.Option("--threshold", min=0.0, max=1.0, help="The mastery that counts as mastered.")]
Minimum = Annotated[int, typer.Option("--min-students", min=1, help="Cells of fewer students are withheld; 1 shows all.")]
ByClass = Annotated[str, typer.Option("--by", help="The column of the roster that says who can sit together.")]
Skills = Annotated[Path | None, typer.Option("--catalog", "-C", help="Items, skills and prerequisites: JSON, Parquet or CSV.")]
SHARES = ("mastered", "certain", "newly_mastered", "lost", "reached", "stuck")
NOBODY = "not in the roster"


# ---- commands ---------------------------------------------------------------


@app.command("mastery")
def mastery_(
    mastery: MasteryPath,
    roster: RosterPath = None,
    by: By = "class,skill",
    threshold: Threshold = 0.95,
    min_students: Minimum = 10,
    output: Report = None,
) -> None:
    """Mean mastery, and the shares who have mastered a skill, by class, school or skill."""
    ready(output)
    from adaptrace import report

    with usage(), waiting(f"reading {mastery}"):
        table = report.mastery_by(mastery, _split(by), roster=roster, threshold=threshold, min_students=min_students)
    _give(table, output, min_students)


@app.command()
def growth(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help=Masteries)],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The same at a later date.")],
    roster: RosterPath = None,
    by: By = "class,skill",
    threshold: Threshold = 0.95,
    min_students: Minimum = 10,
    output: Report = None,
) -> None:
    """How mastery grew between two dates, of the students and skills that both hold."""
    ready(output)
    from adaptrace import report

    with usage(), waiting(f"reading {before} and {after}"):
        table = report.growth(before, after, by=_split(by), roster=roster, threshold=threshold, min_students=min_students)
    _give(table, output, min_students)


@app.command()
def pace(
    log: LogPath,
    model: ModelPath,
    roster: RosterPath = None,
    by: By = "skill",
    threshold: Threshold = 0.95,
    min_students: Minimum = 10,
    output: Report = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Responses and days until mastery, who reached it, and who is stuck."""
    ready(output)
    from adaptrace import report
    from adaptrace.models import Traces, require

    fitted = load(model)
    require(fitted, Traces, "report pace")
    responses = _logs(log, fitted, format, column, time_unit, ordered, levels)
    with usage(), waiting("tracing mastery"):
        table = report.pace(responses, fitted, by=_split(by), roster=roster, threshold=threshold, min_students=min_students)
    _give(table, output, min_students)


@app.command()
def stuck(
    log: LogPath,
    model: ModelPath,
    opportunities: Annotated[int, typer.Option("--opportunities", min=1, help="How many without mastery are many.")] = 10,
    threshold: Threshold = 0.95,
    output: Report = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Students who spin their wheels: many opportunities on a skill, and never mastered. It names students."""
    ready(output)
    from adaptrace import report
    from adaptrace.models import Traces, require

    fitted = load(model)
    require(fitted, Traces, "report stuck")
    responses = _logs(log, fitted, format, column, time_unit, ordered, levels)
    with usage(), waiting("tracing mastery"):
        table = report.stuck(responses, fitted, opportunities=opportunities, threshold=threshold)
    write_or_show(table, output, _as_text(table) if len(table) else "nobody is stuck")


@app.command()
def groups(
    mastery: MasteryPath,
    roster: Annotated[Path, typer.Option("--roster", "-r", help="Who is in which class: student and class.")],
    catalog: Skills = None,
    skills: SkillsPath = None,
    by: ByClass = "class",
    size: Annotated[str, typer.Option("--size", help="FEWEST-MOST students of a group, helpers not counted.")] = "2-5",
    threshold: Threshold = 0.95,
    output: Report = None,
) -> None:
    """Small groups who need the same skill next, each with peers who can help. It names students."""
    ready(output)
    sizes = _sizes(size)
    from adaptrace import report
    from adaptrace.data.catalog import Catalog

    items = Catalog.read(catalog, skills=skills) if catalog else None
    with usage(), waiting(f"reading {mastery}"):
        table = report.small_groups(mastery, roster, catalog=items, by=by, size=sizes, threshold=threshold)
    write_or_show(table, output, _as_text(table) if len(table) else "nobody needs a group")


# ---- around them ------------------------------------------------------------


def _logs(
    log: str,
    model: Any,
    format: str | None,
    column: list[str] | None,
    time_unit: str | None,
    ordered: bool,
    levels: list[str] | None,
) -> Log | Iterator[Log]:
    """A log, or of Parquet, which may be of any size, logs one after another."""
    from adaptrace import dataset
    from adaptrace.io import files

    if format is None and not ordered and not levels and files.are_parquet(log):
        return dataset.logs_of(log, model, columns=pairs(column), time_unit=time_unit)
    return read_log(log, format, column, time_unit, ordered, levels=known_levels(model, levels))


def _split(by: str) -> list[str]:
    return [name.strip() for name in by.split(",") if name.strip()]


def _sizes(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
    if not found:
        raise typer.BadParameter(f"--size: got '{text}'; expected FEWEST-MOST, e.g. 2-5")
    return int(found[1]), int(found[2] or found[1])


def _give(table: pa.Table, output: Path | None, min_students: int) -> None:
    """Write or show cells, and say how many were withheld."""
    import pyarrow.compute as pc

    withheld = pc.sum(table["withheld"]).as_py() or 0
    shown = table.drop_columns(["withheld"])
    for place, name in enumerate(shown.column_names[: shown.column_names.index("students")]):
        if len(shown) and shown[name].null_count == len(shown):
            say(f"note: the roster has the {name} of no student: are they named there as here, e.g. both by pseudonyms?")
        shown = shown.set_column(place, name, pc.fill_null(shown[name], NOBODY))
    write_or_show(table, output, _as_text(shown, min_students))
    if withheld:
        why = f"of fewer than {min_students} students, or withheld to protect another cell"
        say(f"note: {withheld:,} of {len(table):,} cells withheld: {why}; --min-students changes that")


def _as_text(table: pa.Table, min_students: int = 1) -> str:
    """Rows, aligned: names to the left, figures to the right."""
    import pyarrow as pa

    from adaptrace.io import text_table

    rows = [[_word(name, row, min_students) for name in table.column_names] for row in table.to_pylist()]
    sides = "".join("<" if pa.types.is_string(field.type) else ">" for field in table.schema)
    heads = [name.replace("_", " ") for name in table.column_names]
    return "\n".join(text_table.aligned([heads, *rows], sides))


def _word(name: str, row: dict[str, Any], min_students: int) -> str:
    value = row[name]
    if value is None:
        return "withheld" if name == "students" else "-"
    if isinstance(value, float):
        return _share(value, row, min_students) if name in SHARES else f"{value:.1f}" if _is_count(name) else f"{value:.3f}"
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_count(name: str) -> bool:
    return name.startswith(("opportunities", "responses", "days"))


def _share(value: float, row: dict[str, Any], min_students: int) -> str:
    """A share in percent; at the ends of where a minimum keeps it, it is a bound."""
    edge = 1.0 / row["pairs"]
    bound = "" if min_students == 1 or edge < value < 1.0 - edge else "≤" if value <= edge else "≥"
    return f"{bound}{value:.0%}" if 0.01 <= value <= 0.99 else f"{bound}{value:.1%}"
