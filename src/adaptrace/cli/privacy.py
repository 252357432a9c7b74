"""Commands for privacy: pseudonyms for names, other keys for pseudonyms, and forgetting a student."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.audit import AuditPath, audited, beside
from adaptrace.cli.options import RawCells, Report
from adaptrace.cli.terminal import WrongUsage, check_outputs, say, waiting, write_or_show
from adaptrace.errors import counted

if TYPE_CHECKING:
    from adaptrace.privacy.forget import Forgotten

Source = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of tables (Parquet, Arrow, CSV/TSV), or one table.")]
KeyFile = Annotated[
    Path, typer.Option("--key-file", "-k", help="The key that makes the pseudonyms. Keep it in another place than the tables.")
]
Named = Annotated[
    list[str] | None,
    typer.Option("--column", "-c", help="A further column that names people, e.g. teacher, or OURS=THEIRS. May be repeated."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option("--keep", help="A column that looks as if it told who someone is, and is to stay. May be repeated."),
]
Drop = Annotated[list[str] | None, typer.Option("--drop", help="A column that is to be left out. May be repeated.")]
Logs = Annotated[
    list[str], typer.Option("--log", "-l", help="A log or roster: a file, a folder or a quoted glob. May be repeated.")
]
Mastery = Annotated[list[str] | None, typer.Option("--mastery", help="A mastery table, or a folder of them. May be repeated.")]
State = Annotated[Path | None, typer.Option("--state", help="The state folder of `adaptrace score --state`.")]
Models = Annotated[
    list[str] | None, typer.Option("--models", help="Files of models and counts, e.g. 'models/*'. May be repeated.")
]


def pseudonymize(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: a new folder, or a new file.")],
    key_file: KeyFile,
    column: Named = None,
    keep: Keep = None,
    drop: Drop = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make the key file first. An existing one is never replaced.")
    ] = False,
    audit: AuditPath = None,
) -> None:
    """Replace names by pseudonyms. A name gets the same pseudonym in every file and run; nobody can undo it without the key.

    A table is refused that has further columns which look as if they told who someone is, until each is under --keep or --drop.
    """
    from adaptrace.privacy import keys, pseudonyms

    columns, mapping = _named(column)
    with audited("pseudonymize", [source, output], audit or beside(output)) as run:
        if new_key:
            keys.new_key(key_file)
            say(f"{key_file}: a new key; without this file the same pseudonyms can never be made again")
        run["key"] = keys.read_key(key_file).fingerprint
        options: dict[str, Any] = {"columns": columns, "mapping": mapping, "keep": keep or (), "drop": drop or ()}
        with waiting(f"writing {output}"):
            done = pseudonyms.pseudonymize(source, output, key_file=key_file, **options)
        run |= {"rows": done.rows, "students": done.students}
    say(f"{output}: {counted(done.rows, 'row')}, pseudonyms in {', '.join(columns)}")


def rotate_key(
    source: Source,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write: a new folder, or a new file.")],
    key_file: Annotated[Path, typer.Option("--key-file", "-k", help="The key of the pseudonyms.")],
    new_key_file: Annotated[
        Path, typer.Option("--new-key-file", help="Where to write the new key; further tables are given the same file.")
    ],
    column: Named = None,
    audit: AuditPath = None,
) -> None:
    """Write tables of pseudonyms again under a new key. No real name is needed; the new key file then replaces the old one."""
    from adaptrace.privacy import keys, rotation

    columns, mapping = _named(column)
    with audited("rotate-key", [source, output], audit or beside(output)) as run:
        run["key"] = keys.read_key(key_file).fingerprint
        files = {"key_file": key_file, "new_key_file": new_key_file}
        with waiting(f"writing {output}"):
            done = rotation.rotate_key(source, output, columns=columns, mapping=mapping, **files)
        run |= {"rows": done.rows, "students": done.students, "key": keys.read_key(new_key_file).fingerprint}
    say(f"{output}: {counted(done.rows, 'row')}, pseudonyms of the new key {new_key_file} in {', '.join(columns)}")


def forget_student(
    student: Annotated[str, typer.Argument(metavar="NAME", help="The student's name as in the log.")],
    log: Logs,
    mastery: Mastery = None,
    state: State = None,
    models: Models = None,
    column: Annotated[
        str | None, typer.Option("--column", "-c", help="student=THEIRS: the name of the column of students.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; only say what would be done.")] = False,
    output: Report = None,
    raw_cells: RawCells = False,
    audit: AuditPath = None,
) -> None:
    """Remove a student's rows from logs, mastery tables and a state, and say which models were fitted to them."""
    from adaptrace.privacy import forget

    check_outputs(output)
    datasets, theirs, checked = [*log, *(mastery or [])], _theirs(column), _files(models or [])
    command = "forget-student" + " --dry-run" * dry_run
    places: list[str | Path] = [*datasets, *([state] if state else [])]
    with audited(command, places, audit or beside(Path(log[0]))) as run, waiting("looking for the student"):
        if dry_run:
            found = forget.find_student(student, places, column=theirs, models=checked)
        else:
            found = forget.forget_student(student, datasets, column=theirs, models=checked, state=state)
        run |= {"rows": found.rows, "students": 1}
    done = "would forget" if dry_run else "forgot"
    say(f"{done} the student: {counted(found.rows, 'row')} in {len(found.files):,} of {counted(found.searched, 'file')}")
    write_or_show(found.models, output, *_shown(found), raw_cells=raw_cells)


COMMANDS = (pseudonymize, rotate_key, forget_student)


# ---- columns and files ------------------------------------------------------


def _named(column: list[str] | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The columns that get pseudonyms, and what some are called in the files."""
    pairs = [text.partition("=") for text in column or []]
    columns = tuple(dict.fromkeys(["student", *(ours for ours, _, _ in pairs)]))
    return columns, {ours: theirs for ours, _, theirs in pairs if theirs}


def _theirs(column: str | None) -> str | None:
    if column is None:
        return None
    ours, _, theirs = column.partition("=")
    if ours != "student" or not theirs:
        raise WrongUsage(f"got '{column}'; expected student=THEIRS, e.g. --column student=pupil")
    return theirs


def _files(patterns: list[str]) -> list[str]:
    """The files of globs. A pattern that matches no file is an error, for it would look like "no model used them"."""
    found = {pattern: sorted(glob.glob(pattern, recursive=True)) for pattern in patterns}
    for pattern, paths in found.items():
        if not paths:
            raise WrongUsage(f"--models: no file '{pattern}'; check the path, and quote a glob")
    return list(dict.fromkeys(path for paths in found.values() for path in paths if Path(path).is_file()))


def _shown(found: Forgotten) -> list[str]:
    """Tables of the files and of the models, for people."""
    from adaptrace.io.text_table import as_text

    return [as_text(table) for table in (found.files, found.models) if len(table)]
