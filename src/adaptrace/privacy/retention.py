"""Retention: students who were not active for long are deleted or get pseudonyms wherever they are, by a written rule."""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.times import UNITS, microseconds
from adaptrace.data.values import is_text
from adaptrace.dataset import state as states
from adaptrace.errors import DataError, Problem
from adaptrace.privacy import activity, changes, rewrite
from adaptrace.privacy.activity import Activity, StudentKeeper
from adaptrace.privacy.changes import NewNames, Removal, StudentChange
from adaptrace.privacy.claims import Places, check_kinds, claimed
from adaptrace.privacy.keys import PSEUDONYM, Pseudonym, pseudonym_of, read_key
from adaptrace.privacy.rules import ACTIONS, RetentionRule
from adaptrace.privacy.search import student_columns

PathLike = str | os.PathLike[str]
COUNTED = ("students", "deleted", "pseudonymized", "rows")
TABLE = pa.schema([*((name, pa.string()) for name in ("place", "kind")), *((name, pa.int64()) for name in COUNTED)])
AHEAD = datetime.timedelta(minutes=5)  # by which a clock may be ahead of ours


@dataclass(frozen=True, kw_only=True)
class StudentPlaces:
    """Where students are kept.

    Parameters
    ----------
    logs, mastery
        Files, folders or globs of logs and rosters, and of mastery tables.
    state
        The folder of a state (:func:`adaptrace.score_dataset`).
    stores
        Stores of events; :meth:`adaptrace.Tutor.retain` adds its own.
    columns
        ``student`` and ``time`` -> their names in the logs, where they differ and no alias fits.
    time_unit
        What whole numbers in a column of times count since 1970: ``s``, ``ms``, ``us`` or ``ns``.
    """

    logs: Sequence[PathLike] = ()
    mastery: Sequence[PathLike] = ()
    state: PathLike | None = None
    stores: Sequence[StudentKeeper] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    time_unit: str | None = None


@dataclass(frozen=True, repr=False)
class Retention:
    """What a rule found, and what became of it.

    Attributes
    ----------
    table
        A row a place: ``place``, ``kind`` (``store``, ``log``, ``mastery`` or ``state``), ``students`` there, how many of them
        were ``deleted`` and ``pseudonymized``, and their ``rows``.
    time, cutoff
        As of when the rule was applied, and since when a student must have been active to stay.
    students
        Names of those whom the rule is for.
    exempt, undated
        How many were inactive and exempt; and of how many no place says when they were active, so that they stay.
    dry_run
        Whether nothing was changed.
    """

    table: pa.Table
    time: datetime.datetime
    cutoff: datetime.datetime
    students: tuple[str, ...]
    exempt: int
    undated: int
    dry_run: bool

    def __repr__(self) -> str:
        what = "students are due" if self.dry_run else "students were due"
        return f"Retention({len(self.students):,} {what}: not active since {self.cutoff:%Y-%m-%d})"


def retain(
    rule: RetentionRule,
    places: StudentPlaces,
    *,
    time: datetime.datetime,
    key_file: PathLike | None = None,
    dry_run: bool = False,
) -> Retention:
    """Delete or pseudonymise all students who were not active for as long as a rule says, in all places in one run.

    A student was last active at the latest time that any of the places has of them. A run that was interrupted is finished by
    running it again; a second run changes nothing. Runs of :func:`adaptrace.score_dataset` are kept out meanwhile.

    Parameters
    ----------
    rule
        How long, and what then.
    places
        Where students are kept.
    time
        The moment as of which the rule is applied; without a time zone in UTC.
    key_file
        What makes the pseudonyms (:func:`adaptrace.pseudonymize`), if the rule pseudonymises. A student of a store gets
        pseudonyms of the ids of events and decisions too. Names that are pseudonyms already stay.
    dry_run
        Change nothing; report the same.

    Raises
    ------
    ValueError
        If there is no place, the time is in the future, or a key is missing or has no use.
    DataError, ModelError, StoreError
        If a place is not what it is said to be, or a pseudonym cannot be put there; nothing is changed then.
    OutputError
        If a run is at work on a place, or a file cannot be written.

    Examples
    --------
    >>> import datetime
    >>> from adaptrace.data.sample import sample_path
    >>> places = StudentPlaces(logs=[sample_path("responses.parquet")])
    >>> retain(RetentionRule(inactive="2y"), places, time=datetime.datetime(2026, 8, 1), dry_run=True).table.column_names
    ['place', 'kind', 'students', 'deleted', 'pseudonymized', 'rows']
    """
    time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    cutoff, key = rule.cutoff(time), _key(rule, key_file)
    _check_call(places, time)
    tables = Places((*places.logs, *places.mastery), places.state)
    check_kinds(tables)
    with contextlib.nullcontext(tables) if dry_run else claimed(tables) as there:
        found = _activities(places, there)
        due = _due(rule, found, cutoff)
        change = Removal(frozenset(due.names)) if key is None else NewNames({name: key.name(name) for name in due.names})
        if isinstance(change, NewNames) and due.names:
            _check_names(change, found, there, places.columns)
        if due.names and not dry_run:
            _apply(change, found, there, places.columns.get("student"))
            _apply_to_stores(change, places.stores, found, key=key, cutoff=microseconds(cutoff))
    table = _table(found, due.names, rule.action)
    return Retention(table, time, cutoff, due.names, due.exempt, due.undated, dry_run)


# ---- what is asked for ------------------------------------------------------


@dataclass(frozen=True)
class _Key:
    """Makes pseudonyms of names and ids."""

    of_student: Pseudonym
    of_id: Pseudonym

    def name(self, student: str) -> str:
        """The pseudonym of a student."""
        return self.of_student(student.encode())

    def id(self, given: str) -> str:
        """The pseudonym of the id of an event or a decision."""
        return self.of_id(given.encode())


def _key(rule: RetentionRule, key_file: PathLike | None) -> _Key | None:
    """What makes the pseudonyms, if the rule wants any."""
    if (rule.action == "pseudonymize") != (key_file is not None):
        wants = "a key_file (--key-file) that makes the pseudonyms" if key_file is None else "none: its students are deleted"
        raise ValueError(f"key_file: got {'none' if key_file is None else 'one'}; expected {wants}")
    if key_file is None:
        return None
    key = read_key(key_file)
    return _Key(pseudonym_of(key, "student"), pseudonym_of(key, "event_id"))


def _check_call(places: StudentPlaces, time: datetime.datetime) -> None:
    if not (places.logs or places.mastery or places.state is not None or places.stores):
        raise ValueError("places: got none; expected logs, mastery tables, a state or stores")
    now = datetime.datetime.now(datetime.UTC)
    if time > now + AHEAD:
        raise ValueError(f"time: got {time:%Y-%m-%d %H:%M}, which is in the future; expected {now:%Y-%m-%d %H:%M} or earlier")
    if places.time_unit not in (None, *UNITS):
        raise ValueError(f"time_unit: got '{places.time_unit}'; expected one of {', '.join(UNITS)}")


# ---- who is due -------------------------------------------------------------


def _activities(places: StudentPlaces, there: Places) -> list[Activity]:
    """When the students of every place were active."""
    found = [activity.of_tables("log", each, places.columns, places.time_unit) for each in places.logs if each in there.tables]
    found += [activity.of_tables("mastery", each, {}, None) for each in places.mastery if each in there.tables]
    if there.state is not None:
        states.read(Path(there.state))
        found.append(activity.of_tables("state", there.state, {}, None))
    return [*found, *map(activity.of_store, places.stores)]


@dataclass(frozen=True)
class _Due:
    """Whom a rule is for, and how many it spares."""

    names: tuple[str, ...]
    exempt: int
    undated: int


def _due(rule: RetentionRule, found: Sequence[Activity], cutoff: datetime.datetime) -> _Due:
    latest = activity.latest(found)
    inactive = latest.filter(pc.less(latest["last"], microseconds(cutoff)))["student"].to_pylist()
    exempt = set(rule.exempt)
    names = sorted(name for name in inactive if name not in exempt)
    if rule.action == "pseudonymize":
        names = [name for name in names if not PSEUDONYM.fullmatch(name.encode())]
    return _Due(tuple(names), len(exempt.intersection(inactive)), latest["last"].null_count)


def _check_names(change: NewNames, found: Sequence[Activity], there: Places, columns: Mapping[str, str]) -> None:
    """Refuse pseudonyms where they cannot be put: in a column of numbers, or beside what a student who came back has there."""
    problems = []
    places = [*there.tables, *([] if there.state is None else [there.state])]
    for file, column in student_columns(places, columns.get("student"))[0].items():
        kind = rewrite.schema_of(file).field(column).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not is_text(kind):
            remedy = "write the log with pseudonyms first (adaptrace pseudonymize), or delete instead"
            problems.append(Problem(f"names that are {kind}", "texts: a pseudonym is one", remedy, column, file=str(file)))
    for each in found:
        here = set(each.students["student"].to_pylist()) if each.kind in ("mastery", "state") else set()
        again = sum(old in here and new in here for old, new in change.names.items())  # one alone is of a run that was killed
        if again:
            remedy = "delete instead, or score the whole log anew into other folders"
            problems.append(
                Problem(f"{again:,} pseudonyms of students who came back", "none of them yet", remedy, file=each.place)
            )
    if problems:
        raise DataError("retain", problems)


# ---- what becomes of them ---------------------------------------------------


def _apply(change: StudentChange, found: Sequence[Activity], there: Places, column: str | None) -> None:
    """Change tables and state. Where no time stands comes first: a run that is killed must find the same students again."""
    names = pa.array(list(change.students), pa.string())
    dated = {each.place: each.of(names)["last"].null_count == 0 for each in found}
    ordered = sorted(there.tables, key=lambda table: dated[os.fspath(table)])
    changes.change(change, Places(tuple(ordered), there.state), column)


def _apply_to_stores(
    change: StudentChange, stores: Sequence[StudentKeeper], found: Sequence[Activity], *, key: _Key | None, cutoff: int
) -> None:
    names = pa.array(list(change.students), pa.string())
    for store, held in zip(stores, (each for each in found if each.kind == "store"), strict=True):
        for name in held.of(names)["student"].to_pylist():
            if key is None:
                store.delete(name, cutoff)
            else:
                store.rename(name, key.name(name), key.id, cutoff)


def _table(found: Sequence[Activity], names: Sequence[str], action: str) -> pa.Table:
    due = pa.array(names, pa.string())
    rows = []
    for each in found:
        mine = each.of(due)
        count = {name: len(mine) if name == action else 0 for name in ACTIONS}
        rows.append((each.place, each.kind, len(each.students), *count.values(), pc.sum(mine["rows"]).as_py() or 0))
    return pa.Table.from_pylist([dict(zip(TABLE.names, row, strict=True)) for row in rows], TABLE)
