"""Commands that judge: compare models, replay the calendar, simulate students, look for unfairness."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import NAMES, named, with_options
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
    Report,
    SkillsPath,
    Target,
    TimeUnit,
    counted,
    draw,
    fitting,
    known_levels,
    load,
    policy_of,
    read_log,
    ready,
    usage,
    waiting,
    write,
    write_or_show,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from adaptrace.evaluate.validation import Validation

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}
OWN = ("student", "item", "time", "opportunity")  # what folds or slices are of without a column to carry along
BASELINE = "constant"

Plot = Annotated[Path | None, typer.Option("--plot", help='A picture: .png, .svg or .pdf; needs the extra "plot" (matplotlib).')]
Draws = Annotated[int, typer.Option("--draws", min=20, help="Samples of students that the 95 % intervals are made of.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn.")]
Predictions = Annotated[Path | None, typer.Option("--predictions", help="Where to write every tested response.")]


# ---- commands ---------------------------------------------------------------


def compare(
    log: LogPath,
    models: Annotated[str, typer.Option("--models", help=f"Which, with commas between: {NAMES}.")] = "bkt,pfa,best-lr",
    folds: Annotated[int, typer.Option("--folds", min=2, help="How many.")] = 5,
    by: Annotated[str, typer.Option("--by", help="Folds of student, item or time, or a column of folds.")] = "student",
    seed: Seed = 0,
    groups: Annotated[str | None, typer.Option("--groups", help="The column of students' groups.")] = None,
    slices: Annotated[
        str | None, typer.Option("--slices", help="A row a model and skill, group, opportunity, kind or value of a column.")
    ] = None,
    draws: Draws = 200,
    output: Report = None,
    differences: Annotated[Path | None, typer.Option("--differences", help="Where to write the paired differences.")] = None,
    predictions: Predictions = None,
    plot: Plot = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Models side by side on responses they were not fitted to, with a constant below them."""
    counts = counted(levels)
    chosen = named(models, counts)
    chosen = chosen if BASELINE in chosen else {**named(BASELINE), **chosen}
    ready(output, differences, predictions, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import comparison

    columns = [*(column or []), *([f"group={groups}"] if groups else [])]
    responses = read_log(log, format, columns, time_unit, ordered, levels=counts, keep=_kept(by, slices))
    with usage(), fitting("comparing") as progress:
        result = comparison.compare(chosen, responses, folds=folds, by=by, seed=seed, draws=draws, progress=progress)
        sliced = result.slices(slices, draws=draws, seed=seed) if slices else None
    texts = [] if sliced is None else [_as_text(sliced, "model", "by")]
    write_or_show(result.table if sliced is None else sliced, output, str(result), *texts)
    for table, path in ((result.differences, differences), (result.predictions, predictions)):
        if path:
            write(table, path)
    draw(plots.comparison, result.table, plot)


def replay(
    log: LogPath,
    model: ModelName = "bkt",
    every: Annotated[str | None, typer.Option("--every", help="Refit at such distances: 4w, 30d, 12h or 90m.")] = None,
    marks: Annotated[str | None, typer.Option("--marks", help="Refit at these times (UTC): 2024-01-01,2024-02-01.")] = None,
    seed: Seed = 0,
    draws: Draws = 200,
    output: Report = None,
    predictions: Predictions = None,
    plot: Plot = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """A model through the calendar: refitted at each mark to all before it, then judged up to the next."""
    counts, calendar = counted(levels), _calendar(every, marks)
    blank = with_options(model, {}, counts)
    ready(output, predictions, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import comparison, validation

    responses = read_log(log, format, column, time_unit, ordered, levels=counts)
    with usage(), fitting("replaying") as progress:
        result = validation.replay(blank, responses, **calendar, progress=progress)
    table = _periods(result, draws, seed)
    write_or_show(table, output, f"{model}, refitted before each of {_count(len(table), 'period')}", _as_text(table, "start"))
    if predictions:
        write(comparison.Comparison(responses, {model: result}, {}).predictions, predictions)
    draw(plots.periods, table, plot)


def simulate(
    student_model: Annotated[
        Path, typer.Option("--student-model", help="The model that students follow: a file of `adaptrace fit`.")
    ],
    catalog: CatalogPath,
    students: Annotated[int, typer.Option("--students", min=1, help="How many.")],
    responses: Annotated[int, typer.Option("--responses", min=1, help="How many of each student.")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same log.")],
    belief: Annotated[Path | None, typer.Option("--belief", help="The model that the policy uses; by default the same.")] = None,
    policy: PolicyName = Policies.interleaved,
    target: Target = 0.75,
    choices: Annotated[int, typer.Option("--choices", min=1, help="Of so many best items the student takes one.")] = 3,
    explore: Annotated[float, typer.Option("--explore", min=0.0, max=1.0, help="How often any open item is drawn.")] = 0.0,
    skills: SkillsPath = None,
    output: Output = None,
) -> None:
    """A log of students who follow a model and are taught by a policy."""
    ready(output)
    from adaptrace.data.catalog import Catalog
    from adaptrace.simulation import teaching

    options: dict[str, Any] = {"belief": load(belief) if belief else None, "policy": policy_of(policy, target)}
    options |= {"choices": choices, "explore": explore}
    model, items = load(student_model), Catalog.read(catalog, skills=skills)
    with usage(), waiting(f"simulating {_count(students, 'student')}"):
        log = teaching.simulate(model, items, students=students, responses=responses, seed=seed, **options)
    write(log.table, output)


def fairness(
    log: LogPath,
    model: ModelPath,
    by: Annotated[str, typer.Option("--by", help="The column of students' groups.")],
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="The mastery that counts as mastered.")
    ] = 0.95,
    seed: Seed = 0,
    draws: Draws = 200,
    output: Report = None,
    plot: Plot = None,
    levels: Levels = None,
    format: Format = None,
    column: Columns = None,
    time_unit: TimeUnit = None,
    ordered: Ordered = False,
) -> None:
    """Whether a model, and the practice it steers, treat groups of students alike; the table is of the gaps."""
    ready(output, plot=plot)
    from adaptrace import plots
    from adaptrace.evaluate import fairness as judge

    fitted = load(model)
    options: dict[str, Any] = {"levels": known_levels(fitted, levels), "keep": _kept(by)}
    responses = read_log(log, format, column, time_unit, ordered, **options)
    with usage(), waiting("comparing groups"):
        result = judge.fairness(fitted, responses, by, threshold=threshold, draws=draws, seed=seed)
    write_or_show(result.gaps, output, str(result))
    draw(plots.fairness, result.gaps, plot)


COMMANDS = (compare, replay, simulate, fairness)


# ---- around them ------------------------------------------------------------


def _kept(*names: str | None) -> list[str]:
    """Columns to carry along: those that a log does not have anyway."""
    from adaptrace.data import schema

    own = {*OWN, *(column.name for column in schema.RESPONSES)}
    return list(dict.fromkeys(name for name in names if name and name not in own))


def _calendar(every: str | None, marks: str | None) -> dict[str, Any]:
    """When a replay refits."""
    if (every is None) == (marks is None):
        raise typer.BadParameter(f"got {'neither' if every is None else 'both'} of --every and --marks; expected one of them")
    return {"every": _distance(every)} if every is not None else {"marks": [_moment(text) for text in (marks or "").split(",")]}


def _distance(text: str) -> datetime.timedelta:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([wdhm])", text.strip())
    if not found or not float(found[1]):
        raise typer.BadParameter(f"--every: got '{text}'; expected a number with w, d, h or m, e.g. 30d")
    try:
        return datetime.timedelta(**{UNITS[found[2]]: float(found[1])})
    except OverflowError as error:
        raise typer.BadParameter(f"--every: got '{text}'; expected a shorter time") from error


def _moment(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"--marks: got '{text}'; expected dates with commas between, e.g. 2024-01-01") from error


def _periods(result: Validation, draws: int, seed: int) -> pa.Table:
    """One row a period: its ``start``, the metrics, and what the fit and the predictions took."""
    import pyarrow as pa

    from adaptrace.data import schema

    starts = [datetime.datetime.fromisoformat(name) for name in result.folds]
    by = pa.array([starts[fold] if fold >= 0 else None for fold in result.fold.tolist()], schema.TIME)
    table = result.report(by, draws=draws, seed=seed)
    table = table.rename_columns(["start", *table.column_names[1:]])
    for name in ("fit_seconds", "predict_seconds"):
        table = table.append_column(name, pa.array(getattr(result, name)))
    return table


def _as_text(table: pa.Table, *names: str) -> str:
    """Rows of metrics, aligned: what they are of, then the metrics, some with their intervals."""
    from adaptrace.evaluate import comparison
    from adaptrace.io import text_table

    columns = [[name, *map(_word, table[name].to_pylist())] for name in (*names, "n", "students")]
    columns += comparison.measured(table)
    return "\n".join(text_table.aligned(zip(*columns, strict=True), "<" + ">" * (len(columns) - 1)))


def _word(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if isinstance(value, int) else "missing" if value is None else str(value)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
