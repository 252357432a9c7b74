"""What the URL of a store means, and what a message may show of it: never a password."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from adaptrace.errors import AdaptraceError, StoreError

EXPECTED = "a path, sqlite:///path, postgresql://server/name or memory:"

_SERVER = re.compile(r"\s*postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE)  # SQLAlchemy names a driver too
_PAIR = re.compile(r"\s*\w+\s*=")
_DSN = re.compile(  # a word of libpq; after others, which may be newer than this list
    r"(?:^|\s)(?:host|hostaddr|port|dbname|user|password|passfile|service|options|application_name|client_encoding|connect_timeout"
    r"|fallback_application_name|target_session_attrs|channel_binding|require_auth|ssl\w+|gss\w+|krbsrvname|keepalives\w*)\s*="
)
_URL = r"\w[\w+.\-]+:/+"  # a drive has one letter
_SECRET = r"\w*(?:password|passwd|pwd|secret|scram_\w+_key)\s*=\s*"
_TO_THE_END = re.compile(rf"({_URL}|{_SECRET}).*", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(  # of a URL without slashes
    r"\s*['\"]?(?:jdbc|odbc|file|sqlite3?|postgres(?:ql)?|pg|mysql|mariadb|mssql|oracle|mongodb|redis|duckdb|cockroachdb|https?)"
    r"(?:\+\w+)?:(?!/)",
    re.IGNORECASE,
)
_LOGIN = re.compile(r"\S*:\S*@\S*")  # user:password@server
_NO_FILE = re.compile(rf".*{_URL}|.*://|.*{_SECRET}|(?://)?[^/\\\s:@]+:(?![/\\]).*@", re.IGNORECASE | re.DOTALL)


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """A text for people, without what may be a password: all that follows ``scheme://`` or ``password=``, and logins.

    Parameters
    ----------
    text
        A URL, or a message that may hold one.
    secrets
        Taken out too, where they stand alone.

    Examples
    --------
    >>> redacted("cannot open mysql://ada:secret@server/school")
    'cannot open mysql://...'
    """
    text = _LOGIN.sub("...", _TO_THE_END.sub(r"\1...", text))
    for secret in secrets:
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "...", text)
    return text


def hide(error: BaseException, secrets: Iterable[str] = ()) -> None:
    """Redact the messages of an exception, and of all that led to it."""
    seen: list[BaseException] = []
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and each not in seen:
            seen.append(each)
            each.args = tuple(redacted(part, secrets) if isinstance(part, str) else part for part in each.args)
            left += [each.__cause__, each.__context__]


def is_server(url: str) -> bool:
    """Whether it is a PostgreSQL database: ``postgresql://...``, ``postgresql+driver://...``, or ``host=... dbname=...``."""
    return bool(_SERVER.match(url) or (_PAIR.match(url) and _DSN.search(url)))


def libpq_url(url: str) -> str:
    """The URL of a server as libpq knows it."""
    return _SERVER.sub("postgresql://", url, count=1).strip()


def file_of(url: str | os.PathLike[str], error: type[AdaptraceError] = StoreError) -> str:
    """The path of a path or ``sqlite:///path``; refuses what is meant for a server, so that no file is named after a password.

    Raises
    ------
    AdaptraceError
        Of the given kind.
    """
    given = os.fspath(url)
    path = given.removeprefix("sqlite:///")
    scheme = _SCHEME.match(path)
    if not path.strip() or scheme or is_server(path) or _NO_FILE.match(path):
        shown = f"{scheme[0]}..." if scheme else redacted(given).strip()  # what follows may be a password
        raise error(f"{'...' if '@' in shown else shown or 'no name'}: unknown kind of store; expected {EXPECTED}")
    return path
