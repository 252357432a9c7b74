"""What the commands write: tables to files or stdout, messages and progress to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adaptrace.errors import printable

if TYPE_CHECKING:  # at run time these are imported where they are used: --help must not wait for a compiler
    import pyarrow as pa
    from matplotlib.figure import Figure


class WrongUsage(typer.BadParameter):
    """An option or argument that cannot be understood; exit 2."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


# ---- tables and pictures ----------------------------------------------------


def check_outputs(*tables: Path | None, plot: Path | None = None) -> None:
    """Refuse outputs that cannot be written, before the work that makes them."""
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
        raise WrongUsage(f"got one file for two outputs: {', '.join(map(str, wanted))}; expected a file for each")
    for path in wanted:
        with contextlib.suppress(_TrialOver), atomic.replacing(path):
            raise _TrialOver


class _TrialOver(Exception):  # noqa: N818  (no error: it ends a trial, and nothing is written)
    """The file can be written."""


def write(table: pa.Table, output: Path | None, *, raw_cells: bool) -> None:
    """Write a table to its file, or as CSV to stdout; on a terminal no text may move or colour other text."""
    import pyarrow.csv

    from adaptrace.io import cells
    from adaptrace.io.files import text_cells, write_table

    if output is None:
        shown = text_cells(table, raw_cells=raw_cells)
        shown = cells.with_text(shown, _printable) if sys.stdout.isatty() else shown
        with to_stdout():
            pyarrow.csv.write_csv(shown, sys.stdout.buffer)
    else:
        write_table(table, output, raw_cells=raw_cells)
        say(f"{output}: {len(table):,} rows")


def _printable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    return pa.chunked_array([[None if text is None else printable(text) for text in column.to_pylist()]], column.type)


def write_or_show(table: pa.Table, output: Path | None, *texts: str, raw_cells: bool) -> None:
    """Write a table to its file, or print these texts of it to stdout."""
    if output is not None:
        return write(table, output, raw_cells=raw_cells)
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
    """Let the reader of stdout stop early, as ``head`` does."""
    with contextlib.suppress(BrokenPipeError):
        yield
        sys.stdout.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ---- messages ---------------------------------------------------------------


def say(message: str) -> None:
    """A line on stderr."""
    print(printable(message), file=sys.stderr, flush=True)


@contextlib.contextmanager
def usage() -> Iterator[None]:
    """Report an option that the library refuses as wrong usage (exit 2)."""
    try:
        yield
    except ValueError as error:
        if type(error) is not ValueError:  # one of ours, or Arrow's
            raise
        raise WrongUsage(str(error)) from error


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr during the work, on a terminal only."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(printable(what))):  # as Text: of a plain one, rich runs [what is in brackets]
        yield


@contextlib.contextmanager
def fitting(what: str = "fitting") -> Iterator[Callable[[float], None] | None]:
    """A progress bar with the time left on stderr during the work, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], TimeRemainingColumn(elapsed_when_finished=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)
