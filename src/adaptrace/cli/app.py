"""The command line: load, call, write. Tables go to files or stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli import dataset, evaluate, privacy, report, retention, stats, tutor
from adaptrace.cli.models import with_options
from adaptrace.cli.option_groups import BKT_PANEL, LogOptions, VariationOptions, with_groups
from adaptrace.cli.options import (
    CatalogPath,
    LogPath,
    ModelName,
    ModelPath,
    Output,
    Policies,
    PolicyName,
    RawCells,
    SkillsPath,
    Target,
    Time,
    load,
    policy_of,
)
from adaptrace.cli.terminal import WrongUsage, fitting, say, write

if TYPE_CHECKING:
    from adaptrace.data.log import Log
    from adaptrace.stats.stats import Stats

app = typer.Typer(
    help="Knowledge tracing: a response log goes in; mastery, a prediction and the next item come out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class Combine(StrEnum):
    """How the chance of a right answer follows from several skills."""

    auto = "auto"
    conjunctive = "conjunctive"
    mean = "mean"
    min = "min"
    weakest_first = "weakest-first"


@dataclass(frozen=True, kw_only=True)
class BKTFlags(VariationOptions):
    """All options of a BKT that the command line has."""

    no_forget: Annotated[
        bool, typer.Option("--no-forget", help="The classic four parameters, without forgetting.", rich_help_panel=BKT_PANEL)
    ] = False
    combine: Annotated[
        Combine,
        typer.Option(
            "--combine", help="How the chance of a right answer follows from several skills.", rich_help_panel=BKT_PANEL
        ),
    ] = Combine.auto

    @property
    def chosen(self) -> dict[str, Any]:
        """The options of a BKT that were given."""
        options = super().chosen | ({"forget": False} if self.no_forget else {})
        return options | ({"combine": self.combine.value} if self.combine is not Combine.auto else {})


def main() -> None:
    """Run the command line. Errors of adaptrace are one line each, without a traceback."""
    from adaptrace.errors import AdaptraceError

    try:
        app()
    except AdaptraceError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"adaptrace {version('adaptrace')}")
        raise typer.Exit


def _choose_mode(given: str | None) -> None:
    """Tell this process, and those that it starts, the mode of files of students."""
    from adaptrace.errors import OutputError
    from adaptrace.io import modes

    try:
        if given is not None:
            modes.parsed(given)
            os.environ[modes.MODE] = given
        modes.file_mode()
    except OutputError as error:
        raise typer.BadParameter(str(error)) from error


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version, and end.")
    ] = False,
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            callback=_choose_mode,
            help="Who may read new files that may hold students: 0600, the owner (by default); 0640, a group too. "
            "Also the environment variable ADAPTRACE_MODE.",
        ),
    ] = None,
) -> None:
    """Knowledge tracing: a response log goes in; mastery, a prediction and the next item come out."""


# ---- commands ---------------------------------------------------------------


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the mastery table.")] = Path("mastery.parquet"),
) -> None:
    """Fit a model to the sample school that comes with adaptrace, and show its classes and what three students should do next."""
    say("Loading adaptrace ...")  # before the imports, which take a second
    from adaptrace.cli import demo

    demo.run(output)


def fit(
    log: stats.AnyLog = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model (JSON).")] = Path("model.json"),
    model: ModelName = "bkt",
    stats: stats.StatsPath = None,
    base: Annotated[
        Path | None,
        typer.Option("--base", help="A model of more data; skills with few responses stay near it.", rich_help_panel=BKT_PANEL),
    ] = None,
    *,
    bkt: BKTFlags,
    reading: LogOptions,
) -> None:
    """Fit a model to a response log, or to counts."""
    blank = with_options(model, bkt.chosen, reading.counts)
    if base is not None and blank.family != "bkt":
        raise WrongUsage(f"--base: no option of '{model}'; expected with a bkt")
    data, sources = _evidence(log, stats, blank, reading)
    extra, sources = _with_base(base, sources)
    with fitting() as progress:
        fitted = blank.fit(data, progress=progress, **extra)
    fitted.save(output, sources=sources)
    say(f"{output}: {fitted} fitted to {data}")


def summary(model: ModelPath, output: Output = None, raw_cells: RawCells = False) -> None:
    """What a fit found: of a BKT every skill, its parameters with intervals and notes; of others every parameter."""
    write(load(model).summary(), output, raw_cells=raw_cells)


def predict(log: LogPath, model: ModelPath, output: Output = None, raw_cells: RawCells = False, *, reading: LogOptions) -> None:
    """P(correct) before each response, from the student's responses before it."""
    import pyarrow as pa

    from adaptrace.models.base import FlagsUnseen

    fitted = load(model)
    responses = reading.read(log, model=fitted)
    table = responses.table.append_column("prediction", pa.array(fitted.predict(responses)))
    if isinstance(fitted, FlagsUnseen):
        table = table.append_column("fitted", pa.array(fitted.seen(responses)))
    write(table.append_column("source_row", pa.array(responses.source_row)), output, raw_cells=raw_cells)


def recommend(
    model: ModelPath,
    catalog: CatalogPath,
    log: Annotated[str, typer.Option("--log", "-l", metavar="LOG", help="What the student has answered so far.")],
    student: Annotated[str, typer.Option("--student", "-s", help="The student's name as in the log.")],
    k: Annotated[int, typer.Option("-k", min=1, help="The number of items.")] = 3,
    skills: SkillsPath = None,
    policy: PolicyName = Policies.interleaved,
    target: Target = 0.75,
    time: Time = None,
    output: Output = None,
    raw_cells: RawCells = False,
    *,
    reading: LogOptions,
) -> None:
    """The next k items for one student, each with its reason."""
    import pyarrow as pa

    from adaptrace.data.catalog import Catalog
    from adaptrace.models import ScoresMastery, require
    from adaptrace.models.student import Student
    from adaptrace.recommendation import recommender

    fitted, items = require(load(model), ScoresMastery, "recommend"), Catalog.read(catalog, skills=skills)
    state = Student.from_log(fitted, reading.read(log, model=fitted, catalog=items), student=student, catalog=items)
    if not state.answered:
        say("note: the log holds no response of the student; this is what a new student would get")
    rows = [
        {"item": choice.item.item, "title": choice.item.label, "utility": choice.utility, "reason": str(choice.reason)}
        for choice in recommender.recommend(state, items, k=k, policy=policy_of(policy, target), time=time)
    ]
    write(pa.Table.from_pylist(rows), output, raw_cells=raw_cells)


COMMANDS = (demo, fit, summary, predict, recommend)
for command in (
    *COMMANDS,
    *dataset.COMMANDS,
    *evaluate.COMMANDS,
    *privacy.COMMANDS,
    *retention.COMMANDS,
    *stats.COMMANDS,
    *tutor.COMMANDS,
):
    app.command()(with_groups(command))
app.add_typer(report.app, name="report")


# ---- what a fit is given ----------------------------------------------------


def _evidence(log: str | None, counts: Path | None, blank: Any, reading: LogOptions) -> tuple[Log | Stats, list[dict[str, Any]]]:
    """A log or counts, and the files that they come from."""
    from adaptrace.io import identity
    from adaptrace.models import Countable, require

    if log is not None and counts is None:
        return reading.read(log), identity.sources(log)
    if log is None and counts is not None:
        require(blank, Countable, "fit --stats")
        return stats.load_stats(counts)
    raise WrongUsage(f"got {'neither' if log is None else 'both'}; expected either a LOG or --stats")


def _with_base(base: Path | None, sources: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The base model as an option of the fit, and the sources with its own."""
    if base is None:
        return {}, sources
    from adaptrace.io import envelope

    return {"base": load(base)}, [*sources, *(each for each in envelope.sources(base) if each not in sources)]
