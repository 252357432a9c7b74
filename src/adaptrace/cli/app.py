"""The command line: load, call, write. Tables go to files or stdout, everything else to stderr."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adaptrace.cli import dataset, evaluate, privacy, report, stats
from adaptrace.cli.models import with_options
from adaptrace.cli.options import (
    CatalogPath,
    Columns,
    Format,
    Levels,
    LogPath,
    ModelName,
    ModelPath,
    Ordered,
    Output,
    Policies,
    PolicyName,
    SkillsPath,
    Target,
    Time,
    TimeUnit,
    counted,
    fitting,
    known_levels,
    load,
    policy_of,
    read_log,
    say,
    waiting,
    write,
)
from adaptrace.cli.stats import AnyLog, Base, Counts, Elapsed, Groups, Items, Kinds, Students, load_stats, varying

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
    """What an answer to an item of several skills says of them."""

    conjunctive = "conjunctive"
    mean = "mean"
    min = "min"
    weakest_first = "weakest-first"


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

    from adaptrace import models
    from adaptrace.cli import demo
    from adaptrace.data import sample
    from adaptrace.io.files import write_table

    with waiting("reading the sample school"):
        log, catalog = sample.sample_log(), sample.sample_catalog()
    with fitting() as progress:
        model = models.BKT().fit(log, progress=progress)
    write_table(model.score(log), output)
    demo.show(Console(highlight=False), log, catalog, model, output)


@app.command()
def fit(
    log: AnyLog = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the model (JSON).")] = Path("model.json"),
    model: ModelName = "bkt",
    stats: Counts = None,
    base: Base = None,
    no_forget: Annotated[bool, typer.Option("--no-forget", help="The classic four parameters, without forgetting.")] = False,
    items: Items = "",
    kinds: Kinds = "",
    groups: Groups = "",
    students: Students = "",
    elapsed: Elapsed = False,
    levels: Levels = None,
    combine: Annotated[Combine, typer.Option("--combine", help="What an answer says of several skills.")] = Combine.conjunctive,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Fit a model to a response log, or to counts.

    The options --no-forget, --items, --kinds, --groups, --students, --elapsed and --combine are those of --model bkt alone.
    """
    counts = counted(levels)
    options = varying(items, kinds, groups, students, elapsed)
    options |= {"forget": False} if no_forget else {}
    options |= {"combine": combine.value} if combine is not Combine.conjunctive else {}
    blank, extra = with_options(model, options, counts), {}
    if base is not None and blank.family != "bkt":
        raise typer.BadParameter(f"--base: no option of '{model}'; expected with a bkt")
    from adaptrace.io import envelope, identity
    from adaptrace.models import Countable, require

    data: Log | Stats
    if log is not None and stats is None:
        data, sources = read_log(log, format, column, time_unit, ordered, levels=counts), identity.sources(log)
    elif log is None and stats is not None:
        require(blank, Countable, "fit --stats")
        data, sources = load_stats(stats)
    else:
        raise typer.BadParameter(f"got {'neither' if log is None else 'both'}; expected either a LOG or --stats")
    if base is not None:
        extra = {"base": load(base)}
        sources = [*sources, *(each for each in envelope.sources(base) if each not in sources)]
    with fitting() as progress:
        fitted = blank.fit(data, progress=progress, **extra)
    fitted.save(output, sources=sources)
    say(f"{output}: {fitted} fitted to {data}")


@app.command()
def summary(model: ModelPath, output: Output = None) -> None:
    """What a fit found: of a BKT every skill, its parameters with intervals and notes; of others every parameter."""
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

    from adaptrace.models.base import FlagsUnseen

    fitted = load(model)
    responses = read_log(log, format, column, time_unit, ordered, levels=known_levels(fitted, levels))
    table = responses.table.append_column("prediction", pa.array(fitted.predict(responses)))
    if isinstance(fitted, FlagsUnseen):
        table = table.append_column("fitted", pa.array(fitted.seen(responses)))
    write(table.append_column("source_row", pa.array(responses.source_row)), output)


@app.command()
def recommend(
    model: ModelPath,
    catalog: CatalogPath,
    log: Annotated[str, typer.Option("--log", "-l", metavar="LOG", help="What the student has answered so far.")],
    student: Annotated[str, typer.Option("--student", "-s", help="The student's name as in the log.")],
    k: Annotated[int, typer.Option("-k", min=1, help="How many items.")] = 3,
    skills: SkillsPath = None,
    policy: PolicyName = Policies.interleaved,
    target: Target = 0.75,
    time: Time = None,
    levels: Levels = None,
    output: Output = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
) -> None:
    """The next k items for one student, each with its reason."""
    import pyarrow as pa

    from adaptrace.data.catalog import Catalog
    from adaptrace.models.student import Student
    from adaptrace.recommendation import recommender

    fitted, items = load(model), Catalog.read(catalog, skills=skills)
    responses = read_log(log, format, column, time_unit, False, items, known_levels(fitted, levels))
    state = Student.from_log(fitted, responses, student=student, catalog=items)
    if not state.answered:
        say(f"note: the log holds no response of '{student}'; this is what a new student would get")
    rows = [
        {"item": choice.item.item, "title": choice.item.label, "utility": choice.utility, "reason": str(choice.reason)}
        for choice in recommender.recommend(state, items, k, policy=policy_of(policy, target), time=time)
    ]
    write(pa.Table.from_pylist(rows), output)


for command in (*dataset.COMMANDS, *evaluate.COMMANDS, *privacy.COMMANDS, *stats.COMMANDS):
    app.command()(command)
app.add_typer(report.app, name="report")
