"""PostgreSQL: what many processes, a lost server and a server's own rules ask for, beside the contract of every store."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptrace.errors import StoreError
from adaptrace.tutor.store import postgres, postgres_schema
from adaptrace.tutor.store.base import Change, Decision, Event
from adaptrace.tutor.store.postgres import PostgresStore
from adaptrace.tutor.store.snapshot import copy
from adaptrace.tutor.store.sqlite import SQLiteStore
from tutor.store.postgres_server import MISSING, URL, fresh_schema

NAMES = [
    "Zoë",
    "zoe",
    "Zoe",
    "ada",
    "Ada",
    "e\u0301",
    "é",
    "日本",
    "😀",
    "\uffff",
    " a",
    "a b",
    "ab",
    "a-b",
    "_",
    "10",
    "9",
    "Ünal",
]


@pytest.fixture(scope="module")
def server() -> str:
    if MISSING:
        pytest.skip(MISSING)
    return URL


@pytest.fixture
def url(server: str) -> Iterator[str]:
    with fresh_schema(server) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[PostgresStore]:
    store = PostgresStore(url)
    yield store
    store.close()


@pytest.fixture
def sql(url: str) -> Iterator[Callable[..., list]]:
    """Run a statement on a connection of one's own, in a transaction that stays open until COMMIT."""
    import psycopg

    with psycopg.connect(url) as connection:

        def run(statement: str, *values: object) -> list:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        yield run


def event(event_id: str, student: str = "Ada", moment: int = 0) -> Event:
    return Event(event_id, student, "q1", ("halves",), "practice", 1.0, moment)


def change(student: str = "Ada", version: int = 0, *events: Event) -> Change:
    return Change(student, version, "model", "state", events)


def waits_for_a_lock(sql: Callable[..., list], work: Future) -> None:
    """Return when another session waits for the test's own, whatever other tests do on the server."""
    until = time.monotonic() + 20
    waiting = "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    while not sql(waiting) and time.monotonic() < until:
        assert not work.done(), work.result()


# ---- many processes ---------------------------------------------------------

PROCESSES, THREADS, ROUNDS, RATE = 4, 8, 10, 0.4
HAMMER = f"""
import json, random, sys
from concurrent.futures import ThreadPoolExecutor
from adaptrace.tutor.store.base import Change, Event
from adaptrace.tutor.store.postgres import PostgresStore

def add(thread, number):
    random_of = random.Random(f"{{process}} {{thread}} {{number}}")
    students = ["Ada", f"s{{random_of.randrange(5)}}"]
    random_of.shuffle(students)
    while not apply(students, f"{{process}}-{{thread}}-{{number}}", random_of.randrange(50)):
        pass
    return not store.expose([random_of.choice("abc")], {RATE})

def apply(students, event_id, moment):
    changes = []
    for student in students:
        kept = store.load(student)
        log = json.loads(kept.state) if kept else []
        event = Event(f"{{student}}-{{event_id}}", student, "q", ("halves",), "practice", 1.0, moment)
        state = json.dumps(sorted([*log, [moment, event.event_id]]))
        changes.append(Change(student, kept.version if kept else 0, "model", state, (event,)))
    return not store.write(changes)

process = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
store = PostgresStore(sys.argv[1])
with ThreadPoolExecutor({THREADS}) as pool:
    print(sum(pool.map(lambda thread: sum(add(thread, number) for number in range({ROUNDS})), range({THREADS}))))
store.close()
"""


@pytest.fixture(scope="module")
def hammered(server: str) -> Iterator[SimpleNamespace]:
    """A new database that processes opened at the same moment and all wrote to; how much each of them counted."""
    with fresh_schema(server) as url:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        workers = [subprocess.Popen([sys.executable, "-c", HAMMER, url, str(number)], **pipes) for number in range(PROCESSES)]
        ready = [worker.stdout.readline() for worker in workers]
        for worker in workers if all(ready) else ():
            worker.stdin.write("go\n")
            worker.stdin.flush()
        message = [worker.communicate(timeout=120) for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * PROCESSES, message
        store = PostgresStore(url)
        yield SimpleNamespace(
            store=store, counted=sum(int(out) for out, _ in message), errors="".join(error for _, error in message)
        )
        store.close()


def test_processes_lose_no_update(hammered: SimpleNamespace) -> None:
    assert hammered.errors == ""
    assert len(list(hammered.store.events("Ada"))) == PROCESSES * THREADS * ROUNDS
    assert len(list(hammered.store.events())) == 2 * PROCESSES * THREADS * ROUNDS


def test_every_state_is_made_of_the_students_events_in_order(hammered: SimpleNamespace) -> None:
    states = {name: (kept.version, json.loads(kept.state)) for name, kept in hammered.store.load_many()}
    logs = {name: [[each.moment, each.event_id] for each in hammered.store.events(name)] for name in states}
    assert states == {name: (len(log), log) for name, log in logs.items()}
    assert len(states) == 6


def test_the_cap_of_exposures_holds_across_processes(hammered: SimpleNamespace) -> None:
    total, counts = hammered.store.exposures()
    assert total == sum(counts.values()) == hammered.counted > 3
    assert all(count - 1 < 1 + RATE * (total - 1) for count in counts.values())


# ---- races, one step at a time ----------------------------------------------


def test_an_event_that_another_adds_at_the_same_time_is_taken(store: PostgresStore, sql: Callable[..., list]) -> None:
    assert store.write([change("Ada")]) == ()
    sql("INSERT INTO adaptrace_events VALUES ('e1', 'Bob', 'q', '[]', '', 1, 0, '', '', false)")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, [change("Ada", 1, event("e1"))])
        waits_for_a_lock(sql, writing)
        sql("COMMIT")
        assert writing.result() == ("Ada",)
    assert store.version("Ada") == 1


def test_a_student_whom_another_adds_at_the_same_time_has_moved_on(store: PostgresStore, sql: Callable[..., list]) -> None:
    sql("INSERT INTO adaptrace_students VALUES ('Ada', 1, 'model', 'theirs')")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, [change("Ada", 0, event("e1")), change("Bob", 0)])
        waits_for_a_lock(sql, writing)
        sql("COMMIT")
        assert writing.result() == ("Ada",)
    assert (store.students(), list(store.events())) == (["Ada"], [])


def test_a_write_that_the_server_ends_for_a_deadlock_is_made_again(store: PostgresStore, sql: Callable[..., list]) -> None:
    assert store.write([change("Ada"), change("Bob")]) == ()
    sql("SET deadlock_timeout = '1min'")  # so that it is the store that gives way
    sql("SELECT FROM adaptrace_students WHERE student = 'Bob' FOR UPDATE")
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(store.write, [change("Bob", 1, event("e1", "Bob")), change("Ada", 1, event("e2"))])
        waits_for_a_lock(sql, writing)
        sql("SELECT FROM adaptrace_students WHERE student = 'Ada' FOR UPDATE")
        sql("COMMIT")
        assert writing.result() == ()
    assert (store.version("Ada"), store.version("Bob")) == (2, 2)


def test_a_recommendation_that_another_counts_at_the_same_time_counts(store: PostgresStore, sql: Callable[..., list]) -> None:
    sql("UPDATE adaptrace_exposed SET total = 1")
    sql("INSERT INTO adaptrace_exposures VALUES ('q1', 1)")
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(store.expose, ["q1", "q2"], 0.0)
        waits_for_a_lock(sql, counting)
        sql("COMMIT")
        assert counting.result() == ("q1",)
    assert store.exposures() == (1, {"q1": 1})


def test_threads_that_deliver_one_event_to_several_students_keep_it_once(store: PostgresStore) -> None:
    def deliver(student: str) -> int:
        return sum(not store.write([change(student, store.version(student), event(f"e{n}", student))]) for n in range(10))

    with ThreadPoolExecutor(8) as pool:
        kept = sum(pool.map(deliver, [f"s{number}" for number in range(8)]))
    assert kept == len(list(store.events())) == 10


def test_changes_of_one_call_follow_from_each_other(store: PostgresStore) -> None:
    assert (
        store.write([change("Ada", 0, event("e1")), change("Ada", 1, event("e2"))._replace(state="last", retracted=("e1",))])
        == ()
    )
    assert store.load("Ada") == (2, "model", "last")
    assert [each.event_id for each in store.events()] == ["e2"]
    assert [each.event_id for each in store.retracted()] == ["e1"]
    assert store.write([change("Ada", 2), change("Ada", 2)]) == ("Ada",)
    assert store.write([change("Bob", 0, event("e3", "Bob")), change("Cy", 0, event("e3", "Cy"))]) == ("Cy",)
    assert store.write([change("Ada", 2)._replace(retracted=("e2", "e2"))]) == ("Ada",)
    assert store.write([change("Ada", 2)._replace(retracted=("e1",))]) == ("Ada",)
    assert store.version("Ada") == 2


# ---- the server -------------------------------------------------------------


@pytest.mark.parametrize("schema", [1, 2])
def test_a_store_of_an_older_schema_is_brought_to_this_one(
    url: str, event: Callable, change: Callable, monkeypatch: pytest.MonkeyPatch, sql: Callable[..., list], schema: int
) -> None:
    """What it holds stays; nobody knows any more which of its retracted events were replaced."""
    with monkeypatch.context() as patch:
        patch.setattr(postgres_schema, "MIGRATIONS", postgres_schema.MIGRATIONS[:schema])
        PostgresStore(url).close()
    columns = '(event_id, student, item, skills, kind, correct, moment, "group", decision, retracted)'
    sql("INSERT INTO adaptrace_students VALUES ('Ada', 2, 'model', 'state 2')")
    sql(f"INSERT INTO adaptrace_events {columns} VALUES ('e1', 'Ada', 'q1', '[\"halves\"]', 'practice', 1, 0, '', '', true)")
    sql("COMMIT")
    with contextlib.closing(PostgresStore(url)) as store:
        assert list(store.retracted()) == [event("e1", retracted=True)]
        assert sql("SELECT original, student, event_id, content FROM adaptrace_corrections") == [("e1", "Ada", "", "")]
        sql("COMMIT")
        assert store.write([change("Ada", 2, event("e2"))]) == ()
        assert store.forget("Ada") == 2
        assert sql("SELECT * FROM adaptrace_corrections") == []
    PostgresStore(url).close()  # nothing is left to be done


def test_a_store_of_a_newer_schema_is_refused(url: str, store: PostgresStore, sql: Callable[..., list]) -> None:
    sql("UPDATE adaptrace_store SET schema = 7")
    sql("COMMIT")
    with pytest.raises(StoreError, match=r"^postgresql://\S+: schema 7, this version reads up to 3; upgrade adaptrace$"):
        PostgresStore(url)


def test_a_lost_server_is_reported_once_and_then_found_again(url: str, sql: Callable[..., list]) -> None:
    name = re.findall(r"adaptrace_\w+", url)[0]
    store = PostgresStore(f"{url}&application_name={name}")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(store.version, NAMES * 5)) == [0] * 5 * len(NAMES)
    lost = sql("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = %s", name)
    assert lost
    with pytest.raises(StoreError, match="check the server"):
        store.version("Ada")
    assert store.write([change("Ada", 0, event("e1"))]) == ()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(store.version, ["Ada"] * 100)) == [1] * 100
    store.close()


def test_a_server_that_only_reads_refuses_to_write(url: str, store: PostgresStore) -> None:
    assert store.write([change("Ada", 0, event("e1"))]) == ()
    standby = PostgresStore(f"{url}%20-cdefault_transaction_read_only%3Don")
    assert standby.version("Ada") == 1
    for write in (lambda: standby.write([change("Ada", 1)]), lambda: standby.expose(["q1"], 1), lambda: standby.forget("Ada")):
        with pytest.raises(StoreError, match="read-only"):
            write()
    standby.close()
    assert [each.event_id for each in store.events()] == ["e1"]


@pytest.mark.parametrize("level", ["repeatable%5C%20read", "serializable"])
def test_writers_agree_whatever_the_usual_isolation_of_the_database(url: str, level: str) -> None:
    store = PostgresStore(f"{url}%20-cdefault_transaction_isolation%3D{level}")
    with ThreadPoolExecutor(2) as pool:
        kept = sum(pool.map(lambda name: not store.write([change("Ada", 0, event(name))]), NAMES))
    assert kept == len(list(store.events())) == 1
    store.close()


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_text_that_the_server_cannot_keep_is_reported(store: PostgresStore, text: str) -> None:
    for call in (
        lambda: store.write([change(text)]),
        lambda: store.write([change("Ada", 0, event("e1")._replace(item=text))]),
        lambda: store.version(text),
        lambda: store.decide([Decision(text, "Ada", 0, "{}")]),
        lambda: store.expose([text], 1),
    ):
        with pytest.raises(StoreError, match=r"PostgreSQL cannot store a value: .*; remove NUL"):
            call()
    assert store.students() == []


def test_a_fork_is_reported_to_open_the_store_itself(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(StoreError, match="its fork; open it again here"):
            store.version("Ada")


# ---- order, copies ----------------------------------------------------------


def test_odd_names_are_in_the_order_of_python_also_across_pages(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "PAGE", 4)
    for name in NAMES:
        events = [event(f"{name}{other}", name, moment=-1) for other in NAMES]
        assert store.write([change(name, 0, *events)]) == ()
    store.decide(Decision(name, name, 0, "{}") for name in NAMES)
    assert store.students() == sorted(NAMES)
    assert [name for name, _ in store.load_many()] == sorted(NAMES)
    assert [name for name, _ in store.load_many([*NAMES, "none"])] == sorted(NAMES)
    assert [each.student for each in store.decisions()] == sorted(NAMES)
    keys = [(each.student, each.moment, each.event_id) for each in store.events()]
    assert len(keys) == len(NAMES) ** 2
    assert all(one < other for one, other in pairwise(keys))


def test_a_snapshot_is_of_one_moment(store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.write([change("Ada", 0, event("e1"), event("e2")._replace(correct=0.1 + 0.2, group="5b"))]) == ()
    kept, events = store.load("Ada"), list(store.events())

    def late(contents: PostgresStore, path: Path) -> None:
        contents.exposures()
        assert store.write([change("Ada", 1, event("e3")), change("Bob")]) == ()
        copy(contents, path)

    monkeypatch.setattr(postgres, "copy", late)
    store.snapshot(tmp_path / "copy.db")
    taken = SQLiteStore(tmp_path / "copy.db")
    assert (taken.students(), taken.load("Ada"), list(taken.events())) == (["Ada"], kept, events)
    taken.close()
    assert store.version("Bob") == 1
    assert store.write([change("Bob", 1)]) == ()  # the connection of the snapshot writes again


# ---- not opened -------------------------------------------------------------


def not_opened(url: str) -> str:
    with pytest.raises(StoreError) as raised:
        PostgresStore(url)
    assert not re.search("secret|s3c|ret@", "".join(traceback.format_exception(raised.value)))
    return str(raised.value)


@pytest.mark.skipif(not postgres.INSTALLED, reason=MISSING)
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db: connection failed"),
        ("postgresql://ada:s3c@ret@127.0.0.1:1/db", "not a PostgreSQL URL: an @ too many"),
        ("postgresql://ada:s3c/ret@127.0.0.1:1/db", "not a PostgreSQL URL: an @ too many"),
        ("postgresql://ada:s3c?ret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db: connection failed"),
        ("postgresql://ada:s3c%ret@127.0.0.1:1/db", "not a PostgreSQL URL"),
        ("postgresql://ada:secret@127.0.0.1:1/db?secret=1", "not a PostgreSQL URL"),
    ],
)
def test_a_server_that_cannot_be_reached_is_reported_without_the_password(url: str, message: str) -> None:
    assert not_opened(url).startswith(message)


def test_a_wrong_password_is_reported_but_not_shown(server: str) -> None:
    url = re.sub(r"//(\w+)(:\w+)?@", r"//nobody:secret@", server)
    assert re.search("authentication failed|does not exist|no pg_hba.conf entry", not_opened(url))


def test_without_psycopg_the_message_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from adaptrace.errors import StoreError\n"
        "from adaptrace.tutor.store.postgres import PostgresStore\n"
        "try: PostgresStore('postgresql://localhost/db')\n"
        "except StoreError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == 'PostgreSQL needs psycopg: pip install "adaptrace[postgres]"\n'
