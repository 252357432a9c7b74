"""What the commands share: their options, how they read and write, what they say meanwhile."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import NAMES

if TYPE_CHECKING:  # at run time these are imported where they are used: --help must not wait for a compiler
    import pyarrow as pa
    from matplotlib.figure import Figure

    from adaptrace.data.log import Log
    from adaptrace.recommendation.policies import Policy


class Policies(StrEnum):
    """How the next item is chosen."""

    interleaved = "interleaved"
    lowest_mastery = "lowest-mastery"
    nearest_mastery = "nearest-mastery"
    target_success = "target-success"
    learning_gain = "learning-gain"
    information = "information"
    review_due = "review-due"
    learning_progress = "learning-progress"
    thompson = "thompson"
    random = "random"
    in_order = "in-order"


LogPath = Annotated[str, typer.Argument(metavar="LOG", help="Parquet, Arrow or CSV/TSV: a file, a folder or a quoted glob.")]
ModelPath = Annotated[Path, typer.Option("--model", "-m", help="A model that `adaptrace fit` wrote.")]
ModelName = Annotated[str, typer.Option("--model", "-m", help=f"One of {NAMES}.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; by default CSV to stdout.")]
Report = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; by default a table to read, to stdout.")]
Format = Annotated[str | None, typer.Option("--format", help="A foreign layout, e.g. assistments2009.")]
Columns = Annotated[list[str] | None, typer.Option("--column", "-c", help="OURS=THEIRS, e.g. student=pupil; may be repeated.")]
TimeUnit = Annotated[str | None, typer.Option("--time-unit", help="Integer times count s, ms, us or ns since 1970.")]
Levels = Annotated[
    list[str] | None, typer.Option("--levels", help="KIND=NUMBER of ordered levels, e.g. project=5; may be repeated.")
]
Time = Annotated[datetime.datetime | None, typer.Option("--time", help="When (UTC), where mastery fades with time.")]
Ordered = Annotated[bool, typer.Option("--ordered", help="Promise that rows are in order; an error if not.")]
CatalogPath = Annotated[Path, typer.Option("--catalog", "-C", help="Items, skills and prerequisites: JSON, Parquet or CSV.")]
SkillsPath = Annotated[Path | None, typer.Option("--skills", help="Prerequisites, if the catalog is a table.")]
PolicyName = Annotated[Policies, typer.Option("--policy", help="How to choose; see docs/explanation/policies.md.")]
Target = Annotated[float, typer.Option("--target", min=0.0, max=1.0, help="P(correct) that target-success aims at.")]


def policy_of(name: Policies, target: float) -> Policy:
    """The policy that the options choose."""
    from adaptrace.recommendation import policies

    chosen: Policy = policies.TargetSuccess(target=target) if name is Policies.target_success else policies.NAMED[name.value]()
    return chosen


# ---- reading ----------------------------------------------------------------


def load(path: Path) -> Any:
    """A model of any family."""
    from adaptrace import models

    return models.load(path)


def read_log(
    path: str,
    format: str | None,
    column: list[str] | None,
    time_unit: str | None,
    ordered: bool,
    catalog: Any = None,
    levels: Mapping[str, int] | None = None,
    keep: Sequence[str] = (),
) -> Log:
    """Read a log as the options say, and pass its notes on."""
    from adaptrace.data.log import Log

    options: dict[str, Any] = {"columns": pairs(column), "levels": levels, "keep": keep}
    with waiting(f"reading {path}"):
        log = Log.read(path, format=format, catalog=catalog, time_unit=time_unit, ordered=ordered, **options)
    for note in log.notes:
        say(f"note: {note}")
    return log


def pairs(column: list[str] | None) -> dict[str, str]:
    """Our names of columns -> theirs, as the options say."""
    return dict(_pair(text) for text in column or [])


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals or not ours or not theirs:
        raise typer.BadParameter(f"got '{text}'; expected OURS=THEIRS, e.g. --column student=pupil")
    return ours, theirs


def counted(levels: list[str] | None) -> dict[str, int]:
    """Kinds and their number of levels, as the options say."""
    return dict(_count(text) for text in levels or [])


def known_levels(model: Any, levels: list[str] | None) -> dict[str, int]:
    """The kinds that a model knows the levels of, and those of the options."""
    from adaptrace.models.base import levels_of

    return {**levels_of(model), **counted(levels)}


def _count(text: str) -> tuple[str, int]:
    kind, equals, number = text.partition("=")
    if not equals or not kind or not number.strip().isdigit():
        raise typer.BadParameter(f"got '{text}'; expected KIND=NUMBER, e.g. --levels project=5 for levels 0 to 4")
    return kind, int(number)


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Make options that the library refuses, as an argument of the wrong value, a matter of usage."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:  # one of ours, or Arrow's
            raise
        raise typer.BadParameter(str(error)) from error


# ---- writing ----------------------------------------------------------------


def ready(*tables: Path | None, plot: Path | None = None) -> None:
    """Refuse outputs that could not be written, before the work that makes them."""
    from adaptrace import plots
    from adaptrace.errors import OutputError
    from adaptrace.io import atomic, files

    wanted = [path for path in tables if path]
    for path in wanted:
        if not path.name.lower().removesuffix(".gz").endswith((*files.PARQUET, *files.ARROW, *files.DELIMITED, ".json")):
            raise OutputError(f"{path}: unknown ending '{path.suffix}'; use .parquet, .arrow, .csv, .tsv or .json")
    if plot:
        plots.check(plot)
        wanted.append(plot)
    if len({path.resolve() for path in wanted}) < len(wanted):
        raise typer.BadParameter(f"got one file for two outputs: {', '.join(map(str, wanted))}; expected a file for each")
    for path in wanted:
        with contextlib.suppress(_Enough), atomic.replacing(path):
            raise _Enough


class _Enough(Exception):  # noqa: N818  (no error: it ends a trial)
    """The file could be written."""


def write(table: pa.Table, output: Path | None) -> None:
    """Write a table to its file, or as CSV to stdout."""
    import pyarrow.csv

    from adaptrace.io.files import plain_columns, write_table

    if output is None:
        with to_stdout():
            pyarrow.csv.write_csv(plain_columns(table), sys.stdout.buffer)
    else:
        write_table(table, output)
        say(f"{output}: {len(table):,} rows")


def write_or_show(table: pa.Table, output: Path | None, *texts: str) -> None:
    """Write a table to its file, or what people read of it to stdout."""
    if output is not None:
        return write(table, output)
    with to_stdout():
        print("\n\n".join(texts))
    return None


def draw(picture: Callable[[pa.Table], Figure], table: pa.Table, path: Path | None) -> None:
    """Save a picture of a table, if asked."""
    from adaptrace import plots

    if path is not None:
        plots.save(picture(table), path)
        say(f"{path}: a picture")


@contextlib.contextmanager
def to_stdout() -> Iterator[None]:
    """Let the reader of stdout stop when they have seen enough."""
    with contextlib.suppress(BrokenPipeError):
        yield
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ---- meanwhile --------------------------------------------------------------


def say(message: str) -> None:
    """A line for the person, on stderr."""
    print(message, file=sys.stderr)


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
def fitting(what: str = "fitting") -> Iterator[Callable[[float], None] | None]:
    """A progress bar with the time left, on stderr while models are fitted, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
