"""A server to test on, and schemas of one's own on it."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from importlib.util import find_spec

URL = os.environ.get("ADAPTRACE_POSTGRES", "")
MISSING = (
    'psycopg is not installed: pip install "adaptrace[postgres]"'
    if not find_spec("psycopg")
    else "ADAPTRACE_POSTGRES is not set: it is the URL of a PostgreSQL server, such as .ci/postgres starts"
    if not URL
    else ""
)


@contextlib.contextmanager
def fresh_schema(url: str) -> Iterator[str]:
    """A URL whose tables are in a new schema; it is dropped after."""
    import psycopg

    name = f"adaptrace_{secrets.token_hex(8)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        try:
            yield f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3D{name}"
        finally:
            connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


def gone(url: str, application: str, patience: float = 30.0) -> None:
    """Return when no session of that name is left: those of killed clients end when the server has noticed."""
    import psycopg

    end = time.monotonic() + patience
    with psycopg.connect(url, autocommit=True) as connection:
        while connection.execute("SELECT 1 FROM pg_stat_activity WHERE application_name = %s", [application]).fetchall():
            assert time.monotonic() < end, "sessions of a killed client are still there"
            time.sleep(0.02)
