"""The command that scores every student: a file in memory, or a folder of any size."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from adaptrace.cli.option_groups import LogOptions
from adaptrace.cli.options import LogPath, ModelPath, RawCells, Time, load
from adaptrace.cli.terminal import WrongUsage, fitting, say, usage, write

GOES_WITH = {
    **dict.fromkeys(("before", "changed", "skip_bad"), "a folder as output (-o FOLDER) or --state"),
    **dict.fromkeys(("format", "ordered", "levels", "raw_cells"), "a file as output (-o mastery.parquet)"),
}
FOLDER_ONLY = "With a folder as output, or --state"  # a heading in --help


@dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """How a folder of any size is scored."""

    before: Annotated[
        datetime.datetime | None,
        typer.Option("--before", help="Leave out responses from this moment on (UTC).", rich_help_panel=FOLDER_ONLY),
    ] = None
    changed: Annotated[
        bool, typer.Option("--changed", help="With --state: write only what the new rows changed.", rich_help_panel=FOLDER_ONLY)
    ] = False
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out bad files, and list them beside the output.", rich_help_panel=FOLDER_ONLY),
    ] = False
    memory: Annotated[str, typer.Option("--memory", help="The most memory to use, e.g. 2GB.", rich_help_panel=FOLDER_ONLY)] = (
        "2GB"
    )
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Threads; by default one per core.", rich_help_panel=FOLDER_ONLY)
    ] = None


def score(
    log: LogPath,
    model: ModelPath,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file (by default CSV to stdout), or a folder (with --state by default mastery)."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option("--state", help="A folder with the state of every student: later runs read only new files of the log."),
    ] = None,
    time: Time = None,
    raw_cells: RawCells = False,
    *,
    folder: FolderOptions,
    reading: LogOptions,
) -> None:
    """Mastery of every student on every skill they have met.

    With a folder as output (-o mastery/), or with --state, Parquet of any size is scored in bounded memory.
    A run that was interrupted resumes when it is started again.
    """
    from adaptrace.models import ScoresMastery, require

    fitted, moment = require(load(model), ScoresMastery, "score"), {} if time is None else {"time": time}
    if not _wants_folder(output, state, folder):
        _refuse(before=folder.before, changed=folder.changed, skip_bad=folder.skip_bad)
        return write(fitted.score(reading.read(log, model=fitted), **moment), output, raw_cells=raw_cells)
    _refuse(format=reading.format, ordered=reading.ordered, levels=reading.levels, raw_cells=raw_cells)
    return _score_folder(
        log,
        output or Path("mastery"),
        fitted,
        state=state,
        columns=reading.columns,
        time_unit=reading.time_unit,
        merge=reading.merge,
        **asdict(folder),
        **moment,
    )


COMMANDS = (score,)


# ---- a file, or a folder ----------------------------------------------------


def _score_folder(log: str, output: Path, model: Any, **options: Any) -> None:
    from adaptrace import dataset

    with usage(), fitting("scoring") as progress:
        scored = dataset.score_dataset(log, output, model=model, progress=progress, **options)
    for note in scored.notes:
        say(f"note: {note}")
    for problem in scored.skipped:
        say(f"left out: {problem}")
    say(f"{output}: {scored}")


def _wants_folder(output: Path | None, state: Path | None, folder: FolderOptions) -> bool:
    """Whether a folder is scored, and not a log in memory."""
    is_folder = output is not None and _is_folder(output)
    if state is not None and output is not None and not is_folder:
        raise WrongUsage(f"got the output '{output}' with --state; expected a folder: a name without an ending")
    if folder.changed and state is None:
        raise WrongUsage("got --changed, which goes with --state: the state says what there was before")
    return state is not None or is_folder


def _is_folder(output: Path) -> bool:
    """Whether an output is meant to be a folder: its name has no ending, or it is a folder and not named as a table."""
    from adaptrace.io.files import is_table

    return output.suffix == "" or (output.is_dir() and not is_table(output))


def _refuse(**options: object) -> None:
    """Refuse options that this way of scoring does not have."""
    for name, value in options.items():
        if value:
            flag = f"--{name.replace('_', '-')}"
            raise WrongUsage(f"got {flag}, which goes with {GOES_WITH[name]}; leave it out or change -o")
