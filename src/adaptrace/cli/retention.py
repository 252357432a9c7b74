"""The command that applies a rule of retention."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adaptrace.cli.audit import AuditPath, audited, beside
from adaptrace.cli.options import RawCells, Report
from adaptrace.cli.terminal import WrongUsage, check_outputs, say, usage, waiting, write_or_show
from adaptrace.errors import counted

if TYPE_CHECKING:
    from adaptrace.privacy.activity import StudentKeeper
    from adaptrace.privacy.retention import Retention
    from adaptrace.privacy.rules import RetentionRule

Tables = Annotated[
    list[str] | None, typer.Option("--log", "-l", help="A log or roster: a file, folder or glob. May be repeated.")
]
Mastery = Annotated[list[str] | None, typer.Option("--mastery", help="A mastery table, or a folder of them. May be repeated.")]
Stores = Annotated[list[str] | None, typer.Option("--store", help="A tutor's store: a file or postgresql://... May be repeated.")]


def retain(
    inactive: Annotated[
        str | None, typer.Option("--inactive", help="Since when a student was not active: 18mo, 540d, 26w or 2y.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", help="delete (by default) or pseudonymize.")] = None,
    exempt: Annotated[list[str] | None, typer.Option("--exempt", help="A student who stays. May be repeated.")] = None,
    rule: Annotated[
        Path | None, typer.Option("--rule", help="A rule as TOML or JSON: inactive, action, exempt. Options above go before it.")
    ] = None,
    time: Annotated[
        datetime.datetime | None, typer.Option("--time", help="The moment as of which the rule is applied (UTC); by default now.")
    ] = None,
    log: Tables = None,
    mastery: Mastery = None,
    state: Annotated[Path | None, typer.Option("--state", help="The state folder of `adaptrace score --state`.")] = None,
    store: Stores = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", "-c", help="student=THEIRS or time=THEIRS, in the logs. May be repeated.")
    ] = None,
    time_unit: Annotated[str | None, typer.Option("--time-unit", help="Integer times count s, ms, us or ns since 1970.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", "-k", help="The key of the pseudonyms.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; only say what would be done.")] = False,
    output: Report = None,
    raw_cells: RawCells = False,
    audit: AuditPath = None,
) -> None:
    """Delete or pseudonymise all students who were not active for long, in every place in one run.

    Who is active in one place stays in all. A run that was interrupted is finished by running it again.
    """
    from adaptrace.privacy import retention
    from adaptrace.tutor.store.urls import file_of, is_server, redacted

    check_outputs(output)
    files: list[str | Path] = [
        *(log or []),
        *(mastery or []),
        *([state] if state else []),
        *(file_of(url) for url in store or [] if not is_server(url)),
    ]
    named = [*files, *(redacted(url) for url in store or [] if is_server(url))]
    applied = _rule(rule, inactive=inactive, action=action, exempt=exempt)
    moment = time or datetime.datetime.now(datetime.UTC)
    command, where = "retain" + " --dry-run" * dry_run, audit or beside(Path(files[0] if files else "store"))
    with contextlib.ExitStack() as opened, usage(), waiting("looking for students"):
        run = opened.enter_context(audited(command, named, where)) if named else {}
        places = retention.StudentPlaces(
            logs=log or (),
            mastery=mastery or (),
            state=state,
            stores=[_opened(url, opened) for url in store or []],
            columns=_columns(column or []),
            time_unit=time_unit,
        )
        found = retention.retain(applied, places, time=moment, key_file=key_file, dry_run=dry_run)
        run |= {"students": len(found.students), "rows": sum(found.table["rows"].to_pylist())}
    say(_said(found, applied))
    write_or_show(found.table, output, _shown(found), raw_cells=raw_cells)


COMMANDS = (retain,)


def _rule(path: Path | None, **given: object) -> RetentionRule:
    """The rule of a file, with the options that were given in its place."""
    from adaptrace.privacy.rules import PERIODS, RetentionRule

    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items() if value}
    with usage():
        if path is None and "inactive" not in chosen:
            raise ValueError(f"--inactive: got none, and no --rule; expected {PERIODS}")
        return RetentionRule(**chosen) if path is None else replace(RetentionRule.read(path), **chosen)  # type: ignore[arg-type]


def _columns(pairs: list[str]) -> dict[str, str]:
    found = dict(text.split("=", 1) for text in pairs if "=" in text)
    if len(found) < len(pairs) or not found.keys() <= {"student", "time"} or not all(found.values()):
        raise WrongUsage(f"got '{', '.join(pairs)}'; expected student=THEIRS or time=THEIRS")
    return found


def _opened(url: str, opened: contextlib.ExitStack) -> StudentKeeper:
    """A store that is there."""
    from adaptrace.tutor.keeping import StoreKeeper
    from adaptrace.tutor.store import check_exists, open_store
    from adaptrace.tutor.store.urls import redacted

    check_exists(url)
    store = open_store(url)
    opened.callback(store.close)
    return StoreKeeper(redacted(url), store, store.forget)


def _said(found: Retention, rule: RetentionRule) -> str:
    """What was done, in a line."""
    done = {"delete": "deleted", "pseudonymize": "pseudonymized"}[rule.action]
    did = f"would be {done}" if found.dry_run else done
    spared = f"{found.exempt:,} exempt, {found.undated:,} without a date in any place"
    since = f"not active since {found.cutoff:%Y-%m-%d %H:%M} ({rule.inactive} before {found.time:%Y-%m-%d %H:%M} UTC)"
    return f"{counted(len(found.students), 'student')} {since} {did}; {spared}"


def _shown(found: Retention) -> str:
    from adaptrace.io.text_table import as_text

    return as_text(found.table)
