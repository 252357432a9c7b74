"""Options that several commands share: each group is a dataclass, and a command takes it as one parameter."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from adaptrace.cli.terminal import WrongUsage, say, waiting

if TYPE_CHECKING:  # at run time these are imported where they are used: --help must not wait for a compiler
    from adaptrace.data.log import Log

LOG_PANEL, BKT_PANEL = "How the log is read", "For --model bkt"  # headings in --help


def _log_option(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=LOG_PANEL)


def _bkt_option(*names: str, help: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=BKT_PANEL)


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How a log is read."""

    format: Annotated[str | None, _log_option("--format", help="The layout of a published data set, e.g. assistments2009.")] = (
        None
    )
    column: Annotated[
        list[str] | None,
        _log_option("--column", "-c", help="OURS=THEIRS, e.g. student=pupil. May be repeated."),
    ] = None
    levels: Annotated[
        list[str] | None,
        _log_option("--levels", help="KIND=NUMBER of ordered levels, e.g. project=5. May be repeated."),
    ] = None
    time_unit: Annotated[str | None, _log_option("--time-unit", help="Integer times count s, ms, us or ns since 1970.")] = None
    ordered: Annotated[
        bool,
        _log_option("--ordered", help="Promise that rows are grouped by student and in time order; an error if not."),
    ] = False

    no_merge: Annotated[
        bool,
        _log_option("--no-merge", help="Keep rows apart that differ in nothing but the skill; by default they are one event."),
    ] = False

    @property
    def merge(self) -> bool:
        """Whether rows that differ in nothing but the skill are one event."""
        return not self.no_merge

    @property
    def columns(self) -> dict[str, str]:
        """Our names of columns -> theirs."""
        return dict(_pair(text) for text in self.column or [])

    @property
    def counts(self) -> dict[str, int]:
        """Kind -> the number of its levels."""
        return dict(_count(text) for text in self.levels or [])

    def counts_for(self, model: Any) -> dict[str, int]:
        """Kind -> the number of its levels, from the model and the options."""
        from adaptrace.models.base import levels_of

        return {**levels_of(model), **self.counts}

    def read(
        self,
        path: str,
        *,
        model: Any = None,
        catalog: Any = None,
        keep: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
    ) -> Log:
        """Read the log for a model, and say its notes; ``columns`` are further ones."""
        from adaptrace.data.log import Log

        with waiting(f"reading {path}"):
            log = Log.read(
                path,
                format=self.format,
                columns={**self.columns, **(columns or {})},
                catalog=catalog,
                time_unit=self.time_unit,
                ordered=self.ordered,
                merge=self.merge,
                keep=keep,
                levels=self.counts_for(model),
            )
        for note in log.notes:
            say(f"note: {note}")
        return log


@dataclass(frozen=True, kw_only=True)
class VariationOptions:
    """What varies in a BKT."""

    items: Annotated[str, _bkt_option("--items", help="What varies by item: some of learn,guess,slip.")] = ""
    kinds: Annotated[str, _bkt_option("--kinds", help="What varies by kind of evidence: some of learn,guess,slip.")] = ""
    groups: Annotated[str, _bkt_option("--groups", help="What varies by the column group: some of prior,learn.")] = ""
    students: Annotated[str, _bkt_option("--students", help="What varies by student: some of prior,learn.")] = ""
    elapsed: Annotated[bool, _bkt_option("--elapsed", help="Mastery fades with time; the log needs times.")] = False

    @property
    def chosen(self) -> dict[str, Any]:
        """The options of a BKT that were given."""
        varies = {"items": self.items, "kinds": self.kinds, "groups": self.groups, "students": self.students}
        options: dict[str, Any] = {name: tuple(names_in(text)) for name, text in varies.items() if text}
        return options | ({"elapsed": True} if self.elapsed else {})


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """Which cells of mastery are shown, and how they are counted."""

    roster: Annotated[
        Path | None, typer.Option("--roster", "-r", help="A table with student and the columns class, school, ...")
    ] = None
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.0, max=1.0, help="The mastery from which a skill counts as mastered.")
    ] = 0.95
    min_students: Annotated[
        int, typer.Option("--min-students", min=1, help="Cells of fewer students are withheld; 1 shows all.")
    ] = 10


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How 95 % intervals are made."""

    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same result.")] = 0
    draws: Annotated[
        int, typer.Option("--draws", min=20, help="How many samples of students the 95 % intervals are made from.")
    ] = 200


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose groups of options are options of their own, one a field."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[Parameter] = []
    for name, parameter in signature(command).parameters.items():
        one = parameter.replace(annotation=hints[name], kind=Parameter.KEYWORD_ONLY)
        parameters += _parameters_of(groups[name]) if name in groups else [one]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {name: group(**{each.name: given.pop(each.name) for each in fields(group)}) for name, group in groups.items()}
        command(**given, **made)

    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameters_of(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name]) for each in fields(group)
    ]


def names_in(text: str) -> list[str]:
    """Names that commas separate."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals or not ours or not theirs:
        raise WrongUsage(f"got '{text}'; expected OURS=THEIRS, e.g. --column student=pupil")
    return ours, theirs


def _count(text: str) -> tuple[str, int]:
    kind, equals, number = text.partition("=")
    if not equals or not kind or not number.strip().isdigit():
        raise WrongUsage(f"got '{text}'; expected KIND=NUMBER, e.g. --levels project=5 for levels 0 to 4")
    return kind, int(number)
