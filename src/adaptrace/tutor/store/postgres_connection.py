"""How a PostgreSQL store connects: what its URL means, and errors that show no password."""

from __future__ import annotations

import re
from typing import Any

from adaptrace.errors import StoreError
from adaptrace.tutor.store.urls import hide, libpq_url, redacted

try:
    import psycopg
    import psycopg_pool  # noqa: F401  (the store needs it)
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    class QuietConnection(psycopg.Connection[tuple[Any, ...]]):
        """What connects, for the pool as well: its errors, which the pool logs, show no password."""

        @classmethod
        def connect(cls, conninfo: str = "", **options: Any) -> QuietConnection:
            """Connect; the message of a failure shows no password."""
            try:
                return super().connect(conninfo, **options)
            except Exception as error:
                hide(error, _secrets(conninfo))
                raise
except ImportError:  # an extra: a store says so when it is opened
    INSTALLED = False
else:
    INSTALLED = True

WAIT_S = 5  # for a connection, at most


def understood(url: str) -> tuple[str, str]:
    """How messages call the database, and how to connect to it."""
    url = libpq_url(url)
    parts = _parts(url)
    expected = "expected postgresql://user:password@host:port/database, signs such as @ and / in the password written %40, %2F"
    if parts is None:
        raise StoreError(f"not a PostgreSQL URL; {expected}")
    host, port, database = (redacted(str(parts.get(name, ""))) for name in ("host", "port", "dbname"))
    if "@" in host + port + database or not re.fullmatch(r"[\d,\s]*", port):
        raise StoreError(f"not a PostgreSQL URL: an @ too many, or a port that is no number; {expected}")
    usual: dict[str, Any] = {
        "connect_timeout": WAIT_S,
        "client_encoding": "utf8",
        "fallback_application_name": "adaptrace",
        # a host that falls silent is given up within half a minute
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    is_sure = not re.match(r"postgresql://[^@]*/.*@", url, re.DOTALL)  # else the host may be a part of the password
    place = f"postgresql://{host}{port and ':' + port}/{database}" if is_sure else "postgresql://..."
    return place, make_conninfo(**{**usual, **parts})


def _parts(url: str) -> dict[str, Any] | None:
    """The parameters of libpq; None if it cannot read them: its message may show the password."""
    try:
        parts = dict(conninfo_to_dict(url))
        "".join(map(str, parts.values())).encode()
    except (psycopg.Error, ValueError):
        return None
    return parts


def _secrets(conninfo: str) -> list[str]:
    parts = _parts(conninfo) or {}
    return [str(value) for name, value in parts.items() if value and redacted(f"{name}=") != f"{name}="]
