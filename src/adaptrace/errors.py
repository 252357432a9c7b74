"""Every exception of the package.

::

    AdaptraceError
    ├── DataError          an input table breaks its schema; lists every problem at once
    ├── ModelError         a model file cannot be used, or a model is not fitted
    ├── UnknownItemError   an item that the catalog does not hold
    ├── ConstraintError    constraints that leave no item; says which one emptied the choice
    ├── StoreError         a store that cannot be read or written
    │   └── UnreadableEventError  a stored event whose row is damaged
    ├── ConflictError      an event_id that stands for something else already: do not try again
    └── OutputError        an output that cannot be written
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

FEW = 3  # files that are named where many have the same problem
SHOWN = 5  # problems of one kind that are written out where there are more


def printable(text: str) -> str:
    r"""A text as one line that is safe on a terminal and in a log.

    Names come from outside: one may hold a new line that looks like another message, codes that colour or move what a terminal
    shows, or signs that hide text or turn its direction round. All these become escapes: what is no letter, mark, figure, sign
    or space (Unicode's categories C, Zl and Zp).

    Examples
    --------
    >>> printable("Ada\n\x1b[31mroot\u202e")
    'Ada\\n\\x1b[31mroot\\u202e'
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    safe = character.isprintable() or unicodedata.category(character) == "Zs"  # spaces, e.g. between Japanese names
    return character if safe else character.encode("unicode_escape").decode()


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 skill``, ``1,661 skills``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


class AdaptraceError(Exception):
    """Base of all errors that this package raises on purpose; each argument is a line of the message."""

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it is, what stands there, what should, what to do."""

    got: str
    expected: str
    remedy: str
    column: str | None = None
    row: int | None = None  # 1-based, header not counted
    more: int = 0  # further rows with the same problem
    file: str | None = None  # where the input is several files

    def __str__(self) -> str:
        place = [self.file, f"column '{self.column}'" if self.column else None, f"row {self.row}" if self.row else None]
        where = ", ".join(part for part in place if part)
        rows = "row" if self.more == 1 else "rows"
        more = f" (and in {self.more:,} more {rows})" if self.more else ""
        return f"{where + ': ' if where else ''}got {self.got}{more}; expected {self.expected}; {self.remedy}"


class DataError(AdaptraceError, ValueError):
    """An input breaks its schema.

    Attributes
    ----------
    source
        The file, or what else the data came from.
    problems
        Every problem found, in the order of the columns; the text shows the first five of a kind.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            lines = [f"{source}: {self.problems[0]}"]
        else:
            told = [f"  - {each}" for each in _few_of_each(_together(self.problems))]
            lines = [f"{source}: {len(self.problems):,} problems", *told]
        super().__init__(*lines)

    def __reduce__(self) -> tuple[Any, ...]:
        """What makes the error again in another process."""
        return type(self), (self.source, self.problems)


def _together(problems: Sequence[Problem]) -> list[Problem]:
    """The same problem of several whole files as one problem that names the files."""
    files: dict[Problem, list[str]] = {}
    for each in problems:
        files.setdefault(each if each.row else replace(each, file=None), []).append(each.file or "")
    merged = []
    for each, names in files.items():
        more = f" and {len(names) - FEW:,} more files" if len(names) > FEW else ""
        merged.append(replace(each, file=", ".join(names[:FEW]) + more or None))
    return merged


def _few_of_each(problems: Sequence[Problem]) -> list[str]:
    """The first problems of each kind, which have their column and, but for names and numbers, what is expected in common."""
    kinds: dict[tuple[str | None, str], list[Problem]] = {}
    for each in problems:
        kinds.setdefault((each.column, re.sub(r"'[^']*'|\d+", "", each.expected)), []).append(each)
    lines: list[str] = []
    for (column, _), same in kinds.items():
        lines += map(str, same[:SHOWN])
        if len(same) > SHOWN:
            lines.append(f"and {len(same) - SHOWN:,} more" + (f" in column '{column}'" if column else ""))
    return lines


class ModelError(AdaptraceError):
    """A model file cannot be read, is of a newer schema, or a model is not fitted."""


class UnknownItemError(AdaptraceError, KeyError):
    """An item that the catalog does not hold."""


class ConstraintError(AdaptraceError):
    """Constraints leave no item to recommend; says which one emptied the choice."""


class StoreError(AdaptraceError):
    """A store that cannot be read or written: its state is what it was before."""


class UnreadableEventError(StoreError):
    """A stored event that cannot be read, because its row is damaged.

    Attributes
    ----------
    place
        The store: a file or a server.
    event_id
        The id of the event.
    """

    def __init__(self, place: str, event_id: str) -> None:
        super().__init__(place, event_id)  # what makes it again in another process
        self.place, self.event_id = place, event_id

    def __str__(self) -> str:
        return printable(f"{self.place}: event_id '{self.event_id}': cannot be read: its row is damaged; restore a snapshot")


class ConflictError(AdaptraceError):
    """An ``event_id`` that stands for something else already; the first event stays, and another try ends the same way."""


class OutputError(AdaptraceError, OSError):
    """An output that cannot be written; nothing is left half-written."""
