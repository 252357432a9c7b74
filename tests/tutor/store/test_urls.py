"""What the URL of a store means, and that no message, repr or log shows a password that was in it."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import adaptrace as at
from adaptrace.errors import AdaptraceError, OutputError, StoreError
from adaptrace.tutor.store import MemoryStore, SQLiteStore, open_store, postgres
from adaptrace.tutor.store.urls import file_of, hide, is_server, redacted
from tutor.store.postgres_server import MISSING, URL

SECRET = re.compile("s3cr|t0ken|s%33cr")  # parts of every password of these tests
without_psycopg = pytest.mark.skipif(not postgres.INSTALLED, reason="needs psycopg")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which a file that is named after a URL would stand."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and all that led to it, shown or not."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            left += [each.__cause__, each.__context__]


def refused(call: Callable[[], object], kind: type[AdaptraceError] = StoreError) -> str:
    """The message of the refusal; neither it nor what led to it shows a secret."""
    with pytest.raises(kind) as raised:
        call()
    shown = ["".join(traceback.format_exception(raised.value))]
    shown += [text for each in chain(raised.value) for text in (str(each), repr(each))]
    assert not SECRET.search("\n".join(shown)), shown
    return str(raised.value)


NO_STORES = [
    "mysql://ada:s3cr@t0ken@db.example.org/school",
    "mysql://ada:s3cr/t0ken@db.example.org/school",
    "mysql+pymysql://ada:s3cr?t0ken@db.example.org/school",
    "mysql://db.example.org/school?user=ada@x&password=s3cr@t0ken",
    "mariadb://ada:s3cr#t0ken@db/school",
    "mongodb+srv://ada:s3cr%40@db/school",
    "redis://:s3cret@db:6379/0",
    "jdbc:postgresql://db/school?user=ada&password=s3cret",
    "sqlite+pysqlite://ada:s3cret@x/t.db",
    "sqlite:///t.db?password=s3cret",
    "sqlite:///mysql://ada:s3cret@db/school",
    "DATABASE_URL=postgresql://ada:s3cret@db/school",
    "'postgresql://ada:s3cret@db/school'",
    "postgresql:/ada:s3cret@db/school",  # what pathlib makes of a URL
    "postgres:ada:s3cret@db/school",
    "ada:s3cret@db/school",
    "//ada:s3cret@db/school",
    "Server=db;Database=school;User Id=ada;Password=s3cret;",
    "Data Source=t.db;Pwd = s3cret",
    "t.db PASSWORD='s3cret'",
    "mysql:ada:s3cret",
    "jdbc:sqlite:s3cret",
    "file:t.db?key=s3cret",
    "sqlite:t.db",
    "postgresql:s3cret",
    "'pg:s3cret",
]


@pytest.mark.parametrize("as_path", [False, True], ids=["text", "path"])
@pytest.mark.parametrize("url", NO_STORES)
def test_a_url_of_another_kind_is_refused_without_its_password(here: Path, url: str, as_path: bool) -> None:
    for opened in (open_store, SQLiteStore, lambda given: at.Tutor.open(given, **school())):
        message = refused(lambda: opened(Path(url) if as_path else url))  # noqa: B023
        assert re.search(r": unknown kind of store; expected a path, sqlite:///path, postgresql://\S+ or memory:$", message)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("url", ["", " ", "sqlite:///", "sqlite:/// "])
def test_no_name_is_refused(here: Path, url: str) -> None:
    assert "unknown kind of store" in refused(lambda: open_store(url))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "min_protocol_version=3 dbname=x",
        "tcp_user_timeout=3 host = db",
        "a='it\\'s host' password='x' dbname=y",
        "\treplication= host=db",
    ],
)
def test_words_of_libpq_in_any_order_are_a_server(text: str) -> None:
    assert is_server(text)


@pytest.mark.parametrize("url", ["mysql://ada:s3cret@db/school", "host=db password=s3cret"])
def test_a_snapshot_is_no_server(here: Path, url: str) -> None:
    for store in (MemoryStore(), SQLiteStore(here / "t.db")):
        refused(lambda: store.snapshot(url), OutputError)  # noqa: B023
        store.close()
    assert [path.name for path in here.iterdir()] == ["t.db"]


def school() -> dict[str, Any]:
    model = at.BKT.from_parameters(["a"], prior=0.3, learn=0.2, guess=0.2, slip=0.1)
    return {"model": model, "catalog": at.Catalog.from_arrow({"item": ["a1"], "skill": ["a"]})}


@pytest.mark.parametrize(
    "path",
    [
        "t.db",
        "a b=c.db",
        "year=2026/t.db",
        "my@mail.db",
        "passwords.db",
        "C:\\me@firm\\t.db",
        "C:/me@x/t.db",
        "./user=7/t.db",
        "a=1 b=2.db",
        "x/host=1.db",
    ],
)
def test_a_path_stays_a_path(path: str) -> None:
    assert not is_server(path)
    assert file_of(path) == file_of(f"sqlite:///{path}") == path


# ---- a server ------------------------------------------------------------------

DEAD = "127.0.0.1:1"  # nobody listens
UNREACHED = [
    f"postgresql://ada:s3cret@{DEAD}/db",
    f"postgres://ada:s3cret@{DEAD}/db",
    f"POSTGRESQL://ada:s3cret@{DEAD}/db",
    f"postgresql+psycopg://ada:s3cret@{DEAD}/db",
    f"postgresql+psycopg2://ada:s3cret@{DEAD}/db",
    f"postgres+asyncpg://ada:s3cret@{DEAD}/db",
    f" postgresql://ada:s3cret@{DEAD}/db\n",
    f"postgresql://ada:s3cr%40t0ken@{DEAD}/db",
    f"postgresql://ada:s%33cret@{DEAD}/db",
    f"postgresql://ada:s3cr#t0ken@{DEAD}/db",
    f"postgresql://ada@{DEAD}/db?password=s3cret",
    f"postgresql://{DEAD}/db?user=ada&password=s3cr%40t0ken",
    f"postgresql://ada:s3cret@{DEAD}/db?sslpassword=t0ken",
    "host=127.0.0.1 port=1 dbname=db user=ada password=s3cret",
    "tcp_user_timeout=9 password=s3cret host=127.0.0.1 port=1 dbname=db user=ada",
    "password='s3cr t0ken' host=127.0.0.1 port=1 dbname=db",
    "password = s3cret host = 127.0.0.1 port = 1 dbname = db sslpassword = t0ken",
    "dbname=db hostaddr=127.0.0.1 host=127.0.0.1 port=1 password='s3cr\\'t0ken'",
]


@without_psycopg
@pytest.mark.parametrize("url", UNREACHED)
def test_a_server_that_is_not_reached_is_named_without_the_password(here: Path, url: str) -> None:
    assert refused(lambda: open_store(url)).startswith(f"postgresql://{DEAD}/db: connection failed")
    assert refused(lambda: postgres.PostgresStore(url)).startswith(f"postgresql://{DEAD}/db: connection failed")
    assert list(here.iterdir()) == []


@without_psycopg
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:s3cr@t0ken@127.0.0.1:1/db",
        "postgresql://ada:s3cr/t0ken@127.0.0.1:1/db",
        "postgresql://ada:s3cr/t0ken?application_name=x@127.0.0.1/db",
        "postgresql://ada:12/t0ken?application_name=x@127.0.0.1/db",
        "postgresql://ada:s3cr t0ken@127.0.0.1:1/db",
        "postgresql://ada:s3cr%@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?pasword=s3cret",
        "host=127.0.0.1 port=s3cret",
        "host=127.0.0.1 port=1 password=s3cr t0ken",
        "password='s3cret host=127.0.0.1",
        "dbname=postgresql://ada:s3cret@127.0.0.1:1/db",
        "host=ada:s3cret@127.0.0.1 port=1",
        "host=127.0.0.1 port=1 dbname='db password=s3cret'",
        "host=127.0.0.1 port=1 password=s3cret\0",
        "host=127.0.0.1 port=1 password=s3cr\ud800",
    ],
)
def test_a_url_that_is_written_wrong_shows_no_part_of_it(here: Path, url: str) -> None:
    refused(lambda: open_store(url))
    assert list(here.iterdir()) == []


@without_psycopg
def test_what_psycopg_says_at_connecting_is_redacted_in_errors_and_logs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says the whole of what it was given, in the error and in those before it."""
    import psycopg

    def fail(conninfo: str, **options: object) -> object:
        try:
            raise ValueError(f"the key {key} of {conninfo}")
        except ValueError as error:
            raise psycopg.OperationalError(f"'{password}' is wrong: {conninfo}") from error

    password, key = "s3cret", "t0ken"
    url = f"postgresql://ada:{password}@{DEAD}/db?sslpassword={key}"
    monkeypatch.setattr(psycopg.Connection, "connect", fail)
    monkeypatch.setattr(psycopg, "connect", fail)
    message = refused(lambda: open_store(url))
    assert re.match(rf"postgresql://{DEAD}/db: '\.\.\.' is wrong: .* user=ada password=; check the server", message)
    monkeypatch.setattr(postgres, "WAIT_S", 0.3)
    monkeypatch.setattr(postgres.PostgresStore, "_prepare", lambda self, conninfo: None)
    with caplog.at_level(logging.DEBUG), contextlib.closing(open_store(url)) as store:
        refused(lambda: store.version("Ada"))
    assert "is wrong" in caplog.text
    assert not SECRET.search(caplog.text)


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")
def test_every_way_to_name_a_server_opens_it() -> None:
    parts = re.match(r"postgresql://(\w+):(\w+)@([\d.]+):(\d+)/(\w+)$", URL)
    if not parts:
        pytest.skip("ADAPTRACE_POSTGRES is not of the plain form")
    user, password, host, port, name = parts.groups()
    options = "options=-csearch_path%3Dpg_temp"  # tables that end with the connection
    login = f"{user}:{password}@{host}:{port}/{name}?{options}"
    for url in (
        *(f"{scheme}://{login}" for scheme in ("postgres", "postgresql", "postgresql+psycopg", "Postgres+psycopg2")),
        f"postgresql://{host}:{port}/{name}?user={user}&password={password}&{options}",
        f"host={host} port={port} user={user} password={password} dbname={name} options=-csearch_path=pg_temp",
    ):
        with contextlib.closing(open_store(url)) as store:
            assert isinstance(store, postgres.PostgresStore)
            assert password not in repr(store)
            assert password not in store._place


# ---- the function that redacts ---------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("connection failed: timeout expired", "connection failed: timeout expired"),
        ('password authentication failed for user "ada"', 'password authentication failed for user "ada"'),
        ('connection to server at "::1", port 5432 failed', 'connection to server at "::1", port 5432 failed'),
        ("mysql://ada:s3cr@t0ken@db/school", "mysql://..."),
        ("cannot open mysql://ada:s3cr t0ken@db", "cannot open mysql://..."),
        ("host=db PassWord = 's3cr t0ken' port=1", "host=db PassWord = ..."),
        ("user=ada&sslpassword=s3cret", "user=ada&sslpassword=..."),
        ("oauth_client_secret=t0ken", "oauth_client_secret=..."),
        ("at ada:s3cret@db now", "at ... now"),
    ],
)
def test_redacted_text(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_secrets_that_are_known_are_hidden_where_they_stand_alone() -> None:
    assert redacted("the key a+b of user", ["a+b", "use"]) == "the key ... of user"
    error = RuntimeError("the key s3cret", 7)
    error.__context__ = KeyError("s3cret")
    error.__context__.__context__ = error  # a circle
    hide(error, ["s3cret"])
    assert (error.args, error.__context__.args) == (("the key ...", 7), ("...",))
