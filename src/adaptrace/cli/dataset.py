"""Commands of a district: everybody's mastery, from a file in memory or from a folder of any size."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from adaptrace.cli.options import (
    Columns,
    Format,
    Levels,
    LogPath,
    ModelPath,
    Ordered,
    Time,
    TimeUnit,
    fitting,
    known_levels,
    load,
    pairs,
    read_log,
    say,
    usage,
    write,
)

GOES_WITH = {
    **dict.fromkeys(("before", "changed", "skip_bad"), "a folder as output (-o FOLDER) or --state"),
    **dict.fromkeys(("format", "ordered", "levels"), "a file as output (-o mastery.parquet)"),
}

Where = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="A file (by default CSV to stdout), or a folder (with --state by default mastery)."),
]
StateFolder = Annotated[
    Path | None, typer.Option("--state", help="A folder that remembers every student: tonight only new files are read.")
]
Memory = Annotated[str, typer.Option("--memory", help="Of folders: at most so much, e.g. 2GB.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Of folders: threads; by default one per core.")]
Before = Annotated[
    datetime.datetime | None, typer.Option("--before", help="Of folders: leave out responses from this moment on (UTC).")
]
Changed = Annotated[bool, typer.Option("--changed", help="With --state: write only what tonight's rows changed.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Of folders: leave out bad files, and list them beside the output.")]


def score(
    log: LogPath,
    model: ModelPath,
    output: Where = None,
    state: StateFolder = None,
    time: Time = None,
    before: Before = None,
    changed: Changed = False,
    skip_bad: SkipBad = False,
    memory: Memory = "2GB",
    workers: Workers = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Mastery of every student on every skill they met.

    With a folder as output (-o mastery/), and with --state, Parquet of any size is scored in bounded memory;
    a run that was killed goes on where it was.
    """
    from adaptrace.models import ScoresMastery, require

    fitted, moment = require(load(model), ScoresMastery, "score"), {} if time is None else {"time": time}
    is_folder = output is not None and _is_folder(output)
    if state is not None and output is not None and not is_folder:
        raise typer.BadParameter(f"got the output '{output}' with --state; expected a folder: a name without an ending")
    if changed and state is None:
        raise typer.BadParameter("got --changed, which goes with --state: it says what there was before")
    folder = state is not None or is_folder
    if not folder:
        _refuse(before=before, changed=changed, skip_bad=skip_bad)
        responses = read_log(log, format, column, time_unit, ordered, levels=known_levels(fitted, levels))
        return write(fitted.score(responses, **moment), output)
    _refuse(format=format, ordered=ordered, levels=levels)
    from adaptrace import dataset

    place = output or Path("mastery")
    options: dict[str, Any] = {"columns": pairs(column), "time_unit": time_unit, "before": before, **moment}
    options |= {"changed": changed, "skip_bad": skip_bad}
    with usage(), fitting("scoring") as progress:
        scored = dataset.score_dataset(
            log, place, model=fitted, state=state, memory=memory, workers=workers, progress=progress, **options
        )
    for problem in scored.skipped:
        say(f"left out: {problem}")
    return say(f"{place}: {scored}")


def _is_folder(output: Path) -> bool:
    """Whether an output is meant to be a folder: its name has no ending, or it is one and no ending of a table's."""
    from adaptrace.io.files import is_table

    return output.suffix == "" or (output.is_dir() and not is_table(output))


def _refuse(**options: object) -> None:
    """Options that the way of scoring does not know."""
    for name, value in options.items():
        if value:
            flag = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"got {flag}, which goes with {GOES_WITH[name]}; leave it out or change -o")


COMMANDS = (score,)
