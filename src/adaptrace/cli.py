"""The command line: load, call, write. Tables go to files or stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # at run time these are imported where they are used: --help must not wait for a compiler
    import pyarrow as pa

    from adaptrace.log import Log
    from adaptrace.policy import Policy

app = typer.Typer(
    help="Knowledge tracing: a response log goes in; mastery, a prediction and the next item come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Policies(StrEnum):
    """How the next item is chosen."""

    lowest_mastery = "lowest-mastery"
    target_success = "target-success"


class Combine(StrEnum):
    """What an answer to an item of several skills says of them."""

    conjunctive = "conjunctive"
    mean = "mean"
    min = "min"
    weakest_first = "weakest-first"


LogPath = Annotated[str, typer.Argument(metavar="LOG", help="Parquet, Arrow or CSV/TSV: a file, a folder or a quoted glob.")]
ModelPath = Annotated[Path, typer.Option("--model", "-m", help="A model that `adaptrace fit` wrote.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; by default CSV to stdout.")]
Format = Annotated[str | None, typer.Option("--format", help="A foreign layout, e.g. assistments2009.")]
Columns = Annotated[list[str] | None, typer.Option("--column", "-c", help="OURS=THEIRS, e.g. student=pupil; may be repeated.")]
TimeUnit = Annotated[str | None, typer.Option("--time-unit", help="Integer times count s, ms, us or ns since 1970.")]
Levels = Annotated[
    list[str] | None, typer.Option("--levels", help="KIND=NUMBER of ordered levels, e.g. project=5; may be repeated.")
]
At = Annotated[datetime.datetime | None, typer.Option("--at", help="When (UTC), where mastery fades with time.")]
Ordered = Annotated[bool, typer.Option("--ordered", help="Promise that rows are in order; an error if not.")]


def main() -> None:
    """Run the command line; errors of ours are messages, not tracebacks."""
    from adaptrace.errors import AdaptraceError

    try:
        app()
    except AdaptraceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


# ---- commands ---------------------------------------------------------------


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the mastery table.")] = Path("mastery.parquet"),
) -> None:
    """Fit the bundled school, show its classes and what three students should do next."""
    from rich.console import Console

    from adaptrace import demonstration, models, sample
    from adaptrace.files import write_table

    with waiting("reading the sample school"):
        log, catalog = sample.sample_log(), sample.sample_catalog()
    with fitting() as progress:
        model = models.BKT().fit(log, progress=progress)
    write_table(model.score(log), output)
    demonstration.show(Console(highlight=False), log, catalog, model, output)


@app.command()
def fit(
    log: LogPath,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model (JSON).")] = Path("model.json"),
    no_forget: Annotated[bool, typer.Option("--no-forget", help="The classic four parameters, without forgetting.")] = False,
    items: Annotated[str, typer.Option("--items", help="What varies by item: some of learn,guess,slip.")] = "",
    kinds: Annotated[str, typer.Option("--kinds", help="What varies by kind of evidence: some of learn,guess,slip.")] = "",
    groups: Annotated[str, typer.Option("--groups", help="What varies by the column group: some of prior,learn.")] = "",
    students: Annotated[str, typer.Option("--students", help="What varies by student: some of prior,learn.")] = "",
    elapsed: Annotated[bool, typer.Option("--elapsed", help="Mastery fades with time; needs times.")] = False,
    levels: Levels = None,
    combine: Annotated[Combine, typer.Option("--combine", help="What an answer says of several skills.")] = Combine.conjunctive,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Fit a model to a response log."""
    from adaptrace.models import BKT

    counts = counted(levels)
    responses = read_log(log, format, column, time_unit, ordered, levels=counts)
    varies = {"items": items, "kinds": kinds, "groups": groups, "students": students}
    options: dict[str, Any] = {name: tuple(part.strip() for part in text.split(",")) for name, text in varies.items() if text}
    blank = BKT(forget=not no_forget, levels=counts, elapsed=elapsed, combine=combine.value, **options)
    with fitting() as progress:
        model = blank.fit(responses, progress=progress)
    model.save(output)
    say(f"{output}: {model} fitted to {responses}")


@app.command()
def score(
    log: LogPath,
    model: ModelPath,
    output: Output = None,
    at: At = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Mastery of every student on every skill they met."""
    from adaptrace.models import load

    fitted = load(model)
    write(
        fitted.score(read_log(log, format, column, time_unit, ordered, levels={**fitted.levels, **counted(levels)}), at=at),
        output,
    )


@app.command()
def summary(model: ModelPath, output: Output = None) -> None:
    """Every skill of a model: its parameters with intervals, how far the fit trusts them, and why."""
    from adaptrace.models import load

    write(load(model).summary(), output)


@app.command()
def predict(
    log: LogPath,
    model: ModelPath,
    output: Output = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """P(correct) before each response, from the student's responses before it."""
    import pyarrow as pa

    from adaptrace.models import load

    fitted = load(model)
    responses = read_log(log, format, column, time_unit, ordered, levels={**fitted.levels, **counted(levels)})
    table = responses.table.append_column("prediction", pa.array(fitted.predict(responses)))
    table = table.append_column("fitted", pa.array(fitted.seen(responses)))
    write(table.append_column("source_row", pa.array(responses.source_row)), output)


@app.command()
def recommend(
    model: ModelPath,
    catalog: Annotated[Path, typer.Option("--catalog", "-C", help="Items, skills and prerequisites: JSON, Parquet or CSV.")],
    log: Annotated[str, typer.Option("--log", "-l", metavar="LOG", help="What the student has answered so far.")],
    student: Annotated[str, typer.Option("--student", "-s", help="The student's name as in the log.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 3,
    skills: Annotated[Path | None, typer.Option("--skills", help="Prerequisites, if the catalog is a table.")] = None,
    policy: Annotated[Policies, typer.Option("--policy", help="How to choose.")] = Policies.lowest_mastery,
    target: Annotated[float, typer.Option("--target", min=0.0, max=1.0, help="P(correct) that target-success aims at.")] = 0.75,
    at: At = None,
    levels: Levels = None,
    output: Output = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
) -> None:
    """The next k items for one student, each with its reason."""
    import pyarrow as pa

    from adaptrace import policy as policies
    from adaptrace.catalog import Catalog
    from adaptrace.models import load
    from adaptrace.student import Student

    fitted, items = load(model), Catalog.read(catalog, skills=skills)
    responses = read_log(log, format, column, time_unit, False, items, {**fitted.levels, **counted(levels)})
    state = Student.from_log(fitted, responses, student, items)
    if not state.answered:
        say(f"note: the log holds no response of '{student}'; this is what a new student would get")
    chosen: Policy = policies.LowestMastery()
    if policy is Policies.target_success:
        chosen = policies.TargetSuccess(target=target)
    rows = [
        {"item": choice.item.item, "title": choice.item.label, "utility": choice.utility, "reason": str(choice.reason)}
        for choice in policies.recommend(state, items, k, policy=chosen, time=at)
    ]
    write(pa.Table.from_pylist(rows), output)


# ---- around them ------------------------------------------------------------


def say(message: str) -> None:
    """A line for the person, on stderr."""
    print(message, file=sys.stderr)


def read_log(
    path: str,
    format: str | None,
    column: list[str] | None,
    time_unit: str | None,
    ordered: bool,
    catalog: Any = None,
    levels: Mapping[str, int] | None = None,
) -> Log:
    """Read a log as the options say, and pass its notes on."""
    from adaptrace.log import Log

    columns = dict(_pair(text) for text in column or [])
    with waiting(f"reading {path}"):
        log = Log.read(path, format=format, columns=columns, catalog=catalog, time_unit=time_unit, ordered=ordered, levels=levels)
    for note in log.notes:
        say(f"note: {note}")
    return log


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals or not ours or not theirs:
        raise typer.BadParameter(f"got '{text}'; expected OURS=THEIRS, e.g. --column student=pupil")
    return ours, theirs


def counted(levels: list[str] | None) -> dict[str, int]:
    """Kinds and their number of levels, as the options say."""
    return dict(_count(text) for text in levels or [])


def _count(text: str) -> tuple[str, int]:
    kind, equals, number = text.partition("=")
    if not equals or not kind or not number.strip().isdigit():
        raise typer.BadParameter(f"got '{text}'; expected KIND=NUMBER, e.g. --levels project=5 for levels 0 to 4")
    return kind, int(number)


def write(table: pa.Table, output: Path | None) -> None:
    """Write a table to its file, or as CSV to stdout."""
    import pyarrow.csv

    from adaptrace.files import plain_columns, write_table

    if output is None:
        with contextlib.suppress(BrokenPipeError):  # a reader who has seen enough
            pyarrow.csv.write_csv(plain_columns(table), sys.stdout.buffer)
            sys.stdout.flush()
            return
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    else:
        write_table(table, output)
        say(f"{output}: {len(table):,} rows")


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr while something lasts, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextlib.contextmanager
def fitting() -> Iterator[Callable[[float], None] | None]:
    """A progress bar on stderr while a model is fitted, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("fitting", total=1.0)
        yield lambda share: bar.update(task, completed=share)
