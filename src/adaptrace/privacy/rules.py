"""Rules of retention: how long students stay who are not active, what becomes of them then, and who is exempt."""

from __future__ import annotations

import calendar
import datetime
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from adaptrace.errors import DataError, Problem

ACTIONS = ("delete", "pseudonymize")
PERIODS = "a number and d (days), w (weeks), mo (months) or y (years), e.g. '18mo' or '540d'"
_PERIOD = re.compile(r"([1-9][0-9]{0,5})\s*(d|w|mo|y)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class RetentionRule:
    """How long students stay who are not active.

    Parameters
    ----------
    inactive
        Since when a student must not have been active: ``"18mo"``, ``"540d"``, ``"26w"`` or ``"2y"``.
    action
        What becomes of them: ``"delete"`` or ``"pseudonymize"``.
    exempt
        Names of students who stay.

    Raises
    ------
    ValueError
        If the period or the action is none of these.

    Examples
    --------
    >>> import datetime
    >>> RetentionRule(inactive="18mo").cutoff(datetime.datetime(2026, 8, 31))
    datetime.datetime(2025, 2, 28, 0, 0, tzinfo=datetime.timezone.utc)
    """

    inactive: str
    action: str = "delete"
    exempt: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.inactive, str) or not _PERIOD.fullmatch(self.inactive.strip()):
            raise ValueError(f"inactive: got {self.inactive!r}; expected {PERIODS}")
        if self.action not in ACTIONS:
            raise ValueError(f"action: got {self.action!r}; expected 'delete' or 'pseudonymize'")
        names: object = self.exempt
        if isinstance(names, str) or not all(isinstance(name, str) for name in self.exempt):
            raise ValueError("exempt: got something else than texts; expected a list of names of students")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RetentionRule:
        """The rule in a TOML or JSON file: ``inactive``, and if need be ``action`` and ``exempt``.

        Raises
        ------
        DataError
            If there is no such file, or it holds something else.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
            content = json.loads(text) if Path(path).suffix.lower() == ".json" else tomllib.loads(text)
        except OSError as error:
            raise _bad(path, error.strerror or str(error), "a file that can be read", "check the path") from error
        except ValueError as error:  # also of text that is not UTF-8
            raise _bad(path, str(error), "TOML, or JSON in a file named .json", "correct the file") from error
        return cls._of(path, content)

    @classmethod
    def _of(cls, path: str | os.PathLike[str], content: Any) -> RetentionRule:
        known = [each.name for each in fields(cls)]
        if not isinstance(content, Mapping) or "inactive" not in content:
            raise _bad(path, "a rule without 'inactive'", PERIODS, 'add a line such as inactive = "18mo"')
        strange = sorted(content.keys() - set(known))
        if strange:
            raise _bad(path, f"'{strange[0]}'", f"only {', '.join(known)}", "correct the name")
        exempt = content.get("exempt", [])
        if not isinstance(exempt, list):
            raise _bad(path, "an 'exempt' that is no list", "a list of names of students", "write it in [ ]")
        try:
            return cls(**{**content, "exempt": tuple(exempt)})
        except ValueError as error:
            got, _, expected = str(error).partition("; expected ")
            raise _bad(path, got.replace(": got", "", 1), expected, "correct the rule") from error

    def cutoff(self, time: datetime.datetime) -> datetime.datetime:
        """The moment since which a student must have been active to stay; without a time zone ``time`` is in UTC.

        Raises
        ------
        ValueError
            If the period reaches back beyond the calendar.
        """
        time = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
        number, unit = _PERIOD.fullmatch(self.inactive.strip()).groups()  # type: ignore[union-attr]
        try:
            if unit in ("d", "w"):
                return time - datetime.timedelta(days=int(number) * (7 if unit == "w" else 1))
            months = time.year * 12 + time.month - 1 - int(number) * (12 if unit == "y" else 1)
            year, month = months // 12, months % 12 + 1
            day = min(time.day, calendar.monthrange(year, month)[1]) if year > 0 else 0
            return time.replace(year=year, month=month, day=day)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"inactive: got {self.inactive!r}; expected a period within the calendar") from error


def _bad(path: str | os.PathLike[str], got: str, expected: str, remedy: str) -> DataError:
    return DataError(os.fspath(path), [Problem(got, expected, remedy)])
