"""Commands that test models: compare them, replay the calendar, simulate students, look for unfairness, search skills."""

from __future__ import annotations

import datetime
import re
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import NAMES, named, with_options
from adaptrace.cli.option_groups import DrawOptions, LogOptions
from adaptrace.cli.options import (
    CatalogPath,
    LogPath,
    ModelName,
    ModelPath,
    Output,
    Policies,
    PolicyName,
    RawCells,
    Report,
    SkillsPath,
    Target,
    load,
    policy_of,
)
from adaptrace.cli.terminal import WrongUsage, check_outputs, draw, fitting, say, usage, waiting, write, write_or_show
from adaptrace.errors import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from adaptrace.evaluate.comparison import Comparison

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}
OWN = ("student", "item", "time", "opportunity")  # folds and slices of these need no column of the log to be kept
BASELINE = "constant"


class Ties(StrEnum):
    """How responses of one student and time are predicted."""

    together = "together"
    in_order = "in-order"


Plot = Annotated[Path | None, typer.Option("--plot", help='A picture: .png, .svg or .pdf; needs the extra "plot" (matplotlib).')]
TiesOption = Annotated[
    Ties, typer.Option("--ties", help="Responses of one student and time: predicted together before any is learned, or in order.")
]
Predictions = Annotated[Path | None, typer.Option("--predictions", help="Where to write every tested response.")]


# ---- commands ---------------------------------------------------------------


def compare(
    log: LogPath,
    models: Annotated[str, typer.Option("--models", help=f"Names of models, separated by commas: {NAMES}.")] = "bkt,pfa,best-lr",
    folds: Annotated[int, typer.Option("--folds", min=2, help="The number of folds.")] = 5,
    by: Annotated[str, typer.Option("--by", help="Folds of student, item or time, or a column of folds.")] = "student",
    ties: TiesOption = Ties.together,
    groups: Annotated[str | None, typer.Option("--groups", help="The column of students' groups.")] = None,
    slices: Annotated[
        str | None, typer.Option("--slices", help="Also metrics by skill, group, opportunity, kind or another column.")
    ] = None,
    output: Report = None,
    raw_cells: RawCells = False,
    differences: Annotated[Path | None, typer.Option("--differences", help="Where to write the paired differences.")] = None,
    predictions: Predictions = None,
    plot: Plot = None,
    *,
    drawing: DrawOptions,
    reading: LogOptions,
) -> None:
    """Compare models on responses that they were not fitted to, next to a constant prediction."""
    chosen = named(models, reading.counts)
    chosen = chosen if BASELINE in chosen else {**named(BASELINE), **chosen}
    check_outputs(output, differences, predictions, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import comparison

    responses = reading.read(log, columns={"group": groups} if groups else {}, keep=_kept(by, slices))
    with usage(), fitting("comparing") as progress:
        options = {"folds": folds, "by": by, "ties": ties.value, **asdict(drawing)}
        result = comparison.compare(chosen, responses, progress=progress, **options)
        sliced = result.slices(slices, **asdict(drawing)) if slices else None
    _show_comparison(result, sliced, output, raw_cells)
    for note in result.notes if output else ():  # else it stands below the table
        say(f"note: {note}")
    if differences:
        write(result.differences, differences, raw_cells=raw_cells)
    if predictions:
        write(result.predictions, predictions, raw_cells=raw_cells)
    draw(plots.comparison, result.table, plot)


def replay(
    log: LogPath,
    model: ModelName = "bkt",
    every: Annotated[str | None, typer.Option("--every", help="How long a period is: 4w, 30d, 12h or 90m.")] = None,
    marks: Annotated[str | None, typer.Option("--marks", help="Refit at these times (UTC): 2024-01-01,2024-02-01.")] = None,
    ties: TiesOption = Ties.together,
    output: Report = None,
    raw_cells: RawCells = False,
    predictions: Predictions = None,
    plot: Plot = None,
    *,
    drawing: DrawOptions,
    reading: LogOptions,
) -> None:
    """Test a model period by period: refit it to all responses before the period, then predict those in it."""
    calendar, blank = _calendar(every, marks), with_options(model, {}, reading.counts)
    check_outputs(output, predictions, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import comparison, text, validation

    responses = reading.read(log)
    with usage(), fitting("replaying") as progress:
        result = validation.replay(blank, responses, **calendar, ties=ties.value, progress=progress)
    table = result.periods(**asdict(drawing))
    head = f"{model}, refitted before each of {counted(len(table), 'period')}"
    write_or_show(table, output, head, text.metrics_text(table, ("start", "n", "students")), raw_cells=raw_cells)
    for note in result.notes:
        say(f"note: {note}")
    if predictions:
        write(comparison.Comparison(responses, {model: result}, {}).predictions, predictions, raw_cells=raw_cells)
    draw(plots.periods, table, plot)


def audit(
    log: LogPath,
    model: ModelName = "bkt",
    folds: Annotated[int, typer.Option("--folds", min=2, help="The number of folds.")] = 5,
    by: Annotated[str, typer.Option("--by", help="Folds of student, item or time, or a column of folds.")] = "student",
    ties: TiesOption = Ties.together,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same folds.")] = 0,
    output: Output = None,
    raw_cells: RawCells = False,
    *,
    reading: LogOptions,
) -> None:
    """Write the predictions of a cross-validation as the table that `kt-audit run` (PyPI) checks for leaks.

    Students are numbers in it. It has nothing to do with audit.jsonl, the record of who handled real names.
    """
    blank = with_options(model, {}, reading.counts)
    check_outputs(output)
    from adaptrace.evaluate.audit_table import audit_table

    responses = reading.read(log, keep=_kept(by))
    with usage(), fitting("cross-validating") as progress:
        table = audit_table(blank, responses, folds=folds, by=by, seed=seed, ties=ties.value, progress=progress)
    write(table, output, raw_cells=raw_cells)


def simulate(
    student_model: Annotated[Path, typer.Option("--student-model", help="The model that students follow.")],
    catalog: CatalogPath,
    students: Annotated[int, typer.Option("--students", min=1, help="How many students.")],
    responses: Annotated[int, typer.Option("--responses", min=1, help="How many responses of each student.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same log.")],
    belief: Annotated[Path | None, typer.Option("--belief", help="The model that the policy sees; by default the same.")] = None,
    policy: PolicyName = Policies.interleaved,
    target: Target = 0.75,
    choices: Annotated[int, typer.Option("--choices", min=1, help="The student takes one of this many best items.")] = 3,
    explore: Annotated[
        float, typer.Option("--explore", min=0.0, max=1.0, help="How often an open item is drawn at random.")
    ] = 0.0,
    skills: SkillsPath = None,
    output: Output = None,
    raw_cells: RawCells = False,
) -> None:
    """A log of students who follow a model and are taught by a policy."""
    check_outputs(output)
    from adaptrace.data.catalog import Catalog
    from adaptrace.simulation import teaching

    options: dict[str, Any] = {"belief": load(belief) if belief else None, "policy": policy_of(policy, target)}
    options |= {"choices": choices, "explore": explore}
    model, items = load(student_model), Catalog.read(catalog, skills=skills)
    with usage(), waiting(f"simulating {counted(students, 'student')}"):
        log = teaching.simulate(model, items, students=students, responses=responses, seed=seed, **options)
    write(log.table, output, raw_cells=raw_cells)


def fairness(
    log: LogPath,
    model: ModelPath,
    by: Annotated[str, typer.Option("--by", help="The column of students' groups.")],
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="The mastery that counts as mastered.")
    ] = 0.95,
    output: Report = None,
    raw_cells: RawCells = False,
    plot: Plot = None,
    *,
    drawing: DrawOptions,
    reading: LogOptions,
) -> None:
    """Whether a model, and practice that follows it, treat groups of students alike. The table that -o writes holds the gaps."""
    check_outputs(output, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import fairness

    fitted = load(model)
    responses = reading.read(log, model=fitted, keep=_kept(by))
    with usage(), waiting("comparing groups"):
        result = fairness.fairness(fitted, responses, by=by, threshold=threshold, **asdict(drawing))
    write_or_show(result.gaps, output, str(result), raw_cells=raw_cells)
    draw(plots.fairness, result.gaps, plot)


def skills(
    log: LogPath,
    factors: Annotated[
        str | None, typer.Option("--factors", help="Columns that say what is difficult about an item: a,b.")
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=0, help="How many pairs of skills are judged in each round.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the halves of students and the folds.")] = 0,
    output: Report = None,
    raw_cells: RawCells = False,
    *,
    reading: LogOptions,
) -> None:
    """Which skills are two, and which two are one. The table that -o writes holds every candidate."""
    check_outputs(output)
    from adaptrace.evaluate import skill_search

    names = [name.strip() for name in (factors or "").split(",") if name.strip()]
    responses = reading.read(log, keep=_kept(*names))
    with usage(), fitting("searching skills") as progress:
        result = skill_search.search_skills(responses, factors=names, pairs=pairs, seed=seed, progress=progress)
    write_or_show(result.table, output, str(result), raw_cells=raw_cells)


COMMANDS = (compare, replay, audit, simulate, fairness, skills)


# ---- options, and tables as text --------------------------------------------


def _kept(*names: str | None) -> list[str]:
    """Columns to keep: those that a log does not have anyway."""
    from adaptrace.data import schema

    own = {*OWN, *(column.name for column in schema.RESPONSES)}
    return list(dict.fromkeys(name for name in names if name and name not in own))


def _calendar(every: str | None, marks: str | None) -> dict[str, Any]:
    """When a replay refits."""
    if (every is None) == (marks is None):
        raise WrongUsage(f"got {'neither' if every is None else 'both'} of --every and --marks; expected one of them")
    return {"every": _distance(every)} if every is not None else {"marks": [_moment(text) for text in (marks or "").split(",")]}


def _distance(text: str) -> datetime.timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([wdhm])", text.strip())
    if not found or not float(found[1]):
        raise WrongUsage(f"--every: got '{text}'; expected a number with w, d, h or m, e.g. 30d")
    try:
        return datetime.timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError as error:
        raise WrongUsage(f"--every: got '{text}'; expected a shorter time") from error


def _moment(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise WrongUsage(f"--marks: got '{text}'; expected dates with commas between, e.g. 2024-01-01") from error


def _show_comparison(result: Comparison, sliced: pa.Table | None, output: Path | None, raw_cells: bool) -> None:
    """Write or print the models, or their slices where these were asked for."""
    from adaptrace.evaluate import text

    if sliced is None:
        return write_or_show(result.table, output, str(result), raw_cells=raw_cells)
    metrics = text.metrics_text(sliced, ("model", "by", "n", "students"))
    return write_or_show(sliced, output, str(result), metrics, raw_cells=raw_cells)
