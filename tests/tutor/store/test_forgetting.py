"""Forgetting a student while somebody writes: an event is gone whole or there whole, whoever comes first.

Each race is made, not waited for: one of the two stops in its midst, the other comes, then the first goes on.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from adaptrace.tutor.store import Change, Correction, Decision, Event, MemoryStore, SQLiteStore, Store, open_store

Make = Callable[..., Event]
MakeChange = Callable[..., Change]
Run = Callable[..., list[Any]]
PATIENCE = 20.0  # seconds until a test gives up
MOMENT = 0.3  # seconds in which a writer whom nothing holds up is done


def until(is_so: Callable[[], object]) -> None:
    """Return when it is so."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.005)


def whole(store: Store, student: str = "Ada") -> bool:
    """Whether a student is there with state and events (True), or gone with both (False)."""
    there = {store.load(student) is not None, bool(list(store.events(student)))}
    assert len(there) == 1, "half a student is left"
    return there.pop()


# ---- a forget that stops after it has removed the events ---------------------


class _StopsAtPop(defaultdict[str, list[tuple[int, str]]]):
    """The decisions of a memory store, which are removed after the events."""

    def __init__(self, reached: threading.Event, go_on: threading.Event) -> None:
        super().__init__(list)
        self.reached, self.go_on = reached, go_on

    def pop(self, *arguments: Any) -> Any:
        self.reached.set()
        assert self.go_on.wait(PATIENCE)
        return super().pop(*arguments)


@contextlib.contextmanager
def stopped(store: Store) -> Iterator[tuple[threading.Event, threading.Event]]:
    """``forget`` sets the first event in its midst, and waits for the second."""
    reached, go_on = threading.Event(), threading.Event()
    if isinstance(store, MemoryStore):
        store._decided = _StopsAtPop(reached, go_on)
    else:
        assert isinstance(store, SQLiteStore)

        def stop(statement: str) -> None:
            if statement.startswith("DELETE FROM events"):
                reached.set()
                go_on.wait(PATIENCE)

        store._writer.connection.set_trace_callback(stop)
    yield reached, go_on
    go_on.set()


@pytest.mark.parametrize("place", ["memory", "sqlite"], indirect=True)
def test_a_first_event_waits_for_a_forget_that_has_begun(place: str, store: Store, event: Make, change: MakeChange) -> None:
    store.write([change("Bob", 0, event("b1", "Bob"))])
    with contextlib.ExitStack() as opened, ThreadPoolExecutor(2) as pool:
        other = store if isinstance(store, MemoryStore) else opened.enter_context(contextlib.closing(open_store(place)))
        with stopped(store) as (reached, go_on):
            forgetting = pool.submit(store.forget, "Ada")
            assert reached.wait(PATIENCE)
            writing = pool.submit(other.write, [change("Ada", 0, event("e1"))])
            time.sleep(MOMENT)
            assert not writing.done()
            go_on.set()
            assert forgetting.result(PATIENCE) == 0
            assert writing.result(PATIENCE) == ()
    assert whole(store)
    assert whole(store, "Bob")


# ---- corrections of a student who was forgotten --------------------------------


def corrected(original: str, event_id: str, content: str = "") -> tuple[Correction, ...]:
    return (Correction(original, "Ada", event_id, content),)


def test_a_correction_of_an_event_that_is_not_there_any_more_does_not_apply(
    store: Store, event: Make, change: MakeChange
) -> None:
    """Its writer saw the original, and then the student was forgotten."""
    made = change("Ada", 0, event("e2"))._replace(corrections=corrected("e1", "e2"))
    assert store.write([made]) == ("Ada",)
    assert (store.students(), store.corrections(), list(store.events())) == ([], [], [])
    assert store.write([change("Ada", 0, event("e1"))]) == ()
    made = made._replace(version=1)
    assert store.write([made]) == ("Ada",)  # it came again, and would count beside its correction
    assert store.write([made._replace(retracted=("e1",))]) == ()


def test_a_correction_that_waits_no_longer_does_not_come_back(store: Store, event: Make, change: MakeChange) -> None:
    """The writer of its original read it, and then the student was forgotten."""
    made = change("Ada", 0, event("e1", retracted=True), event("e2"))._replace(corrections=corrected("e1", "e2", "{}"))
    assert store.write([made]) == ("Ada",)
    assert store.wait(*corrected("e1", "e2", "{}"))
    assert store.forget("Ada") == 0
    assert store.write([made]) == ("Ada",)
    assert (store.students(), store.corrections(), list(store.events())) == ([], [], [])
    assert store.wait(*corrected("e1", "e2", "{}"))
    assert store.write([made]) == ()


# ---- the same on a server ----------------------------------------------------


@pytest.fixture
def server(postgres_url: str) -> Iterator[Run]:
    """Run a statement on a connection of one's own, in a transaction that stays open until COMMIT or ROLLBACK."""
    import psycopg

    with psycopg.connect(postgres_url) as connection:

        def run(statement: str, *values: object) -> list[Any]:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

        yield run


def come_to_wait(server: Run, work: Future[Any], number: int) -> None:
    """Return when that many sessions of the test's store wait for a lock, or the work is done."""

    def waiting() -> int:
        server("SELECT pg_stat_clear_snapshot()")
        ((sessions,),) = server(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = current_schema() AND wait_event_type = 'Lock'"
        )
        return int(sessions)

    until(lambda: work.done() or waiting() >= number)


LEVELS = ["read%5C%20committed", "repeatable%5C%20read", "serializable"]


@pytest.fixture(params=LEVELS, ids=["read committed", "repeatable read", "serializable"])
def database(request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Store]:
    """A store whose transactions are of that isolation by default."""
    name = re.findall(r"adaptrace_\w+", postgres_url)[-1]
    url = f"{postgres_url}%20-cdefault_transaction_isolation%3D{request.param}&application_name={name}"
    with contextlib.closing(open_store(url)) as store:
        yield store


def during_a_forget(database: Store, server: Run, work: Callable[..., Any], *arguments: object) -> tuple[int, Any]:
    """What a forget gives, and work that comes while it is held up where it removes decisions: after events, before state."""
    database.decide([Decision("d1", "Ada", 0, "{}")])
    server("SELECT FROM adaptrace_decisions FOR UPDATE")
    with ThreadPoolExecutor(2) as pool:
        forgetting = pool.submit(database.forget, "Ada")
        come_to_wait(server, forgetting, 1)
        coming = pool.submit(work, *arguments)
        come_to_wait(server, coming, 2)
        server("COMMIT")
        return forgetting.result(PATIENCE), coming.result(PATIENCE)


def test_a_first_event_waits_for_a_forget_of_the_server(database: Store, server: Run, event: Make, change: MakeChange) -> None:
    assert during_a_forget(database, server, database.write, [change("Ada", 0, event("e1"))]) == (0, ())
    assert whole(database)
    assert list(database.decisions()) == []


def test_a_forget_waits_for_a_first_event_that_is_being_written(
    database: Store, server: Run, event: Make, change: MakeChange
) -> None:
    """The write is held up at its event, after the student; the forget that comes then removes both."""
    assert database.write([change("Bob", 0, event("b1", "Bob"))]) == ()
    server("INSERT INTO adaptrace_events VALUES ('e1', 'Cy', 'q', '[]', '', 1, 0, '', '', false)")
    with ThreadPoolExecutor(2) as pool:
        writing = pool.submit(database.write, [change("Ada", 0, event("e1"))])
        come_to_wait(server, writing, 1)
        forgetting = pool.submit(database.forget, "Ada")
        come_to_wait(server, forgetting, 2)
        server("ROLLBACK")
        assert (writing.result(PATIENCE), forgetting.result(PATIENCE)) == ((), 1)
    assert not whole(database)
    assert whole(database, "Bob")


def test_a_later_event_waits_for_a_forget_and_is_then_refused(
    database: Store, server: Run, event: Make, change: MakeChange
) -> None:
    assert database.write([change("Ada", 0, event("e1"))]) == ()
    assert during_a_forget(database, server, database.write, [change("Ada", 1, event("e2"))]) == (1, ("Ada",))
    assert not whole(database)


def test_a_student_who_comes_during_a_forget_has_no_version_of_before(
    database: Store, server: Run, event: Make, change: MakeChange
) -> None:
    assert database.write([change("Ada", 0, event("e1"))]) == ()
    assert database.write([change("Ada", 1, event("e2"))]) == ()
    assert during_a_forget(database, server, database.forget, "Ada") == (2, 0)
    assert database.write([change("Ada", 0, event("e1"))]) == ()
    assert database.version("Ada") == 3


def test_a_student_who_comes_after_two_others_waited_has_no_version_of_before(
    database: Store, server: Run, event: Make, change: MakeChange
) -> None:
    """A forget waits for a first event, and another first event for both: it is numbered when all is over."""
    assert database.write([change("Bob", 0, event("b1", "Bob"))]) == ()
    server(
        'INSERT INTO adaptrace_events (event_id, student, item, skills, kind, correct, moment, "group", decision, retracted)'
        " VALUES ('e1', 'Cy', 'q', '[]', '', 1, 0, '', '', false)"
    )
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(database.write, [change("Ada", 0, event("e1"))])
        come_to_wait(server, first, 1)
        forgetting = pool.submit(database.forget, "Ada")
        come_to_wait(server, forgetting, 2)
        second = pool.submit(database.write, [change("Ada", 0, event("e2"))])
        come_to_wait(server, second, 3)
        server("ROLLBACK")
        assert (first.result(PATIENCE), forgetting.result(PATIENCE)) == ((), 1)
        assert second.result(PATIENCE) in ((), ("Ada",))
    assert whole(database) is (second.result() == ())
    assert database.version("Ada") in (0, 2)


def test_a_first_event_of_a_student_who_came_and_goes_meanwhile(
    database: Store, server: Run, event: Make, change: MakeChange
) -> None:
    """Its writer saw no student; one came, and at that row a forget waits before the writer."""
    assert database.write([change("Ada", 0, event("e1"))]) == ()
    server("SELECT FROM adaptrace_students FOR UPDATE")
    with ThreadPoolExecutor(2) as pool:
        forgetting = pool.submit(database.forget, "Ada")
        come_to_wait(server, forgetting, 1)
        writing = pool.submit(database.write, [change("Ada", 0, event("e2"))])
        come_to_wait(server, writing, 2)
        server("COMMIT")
        assert forgetting.result(PATIENCE) == 1
        assert writing.result(PATIENCE) in ((), ("Ada",))
    assert whole(database) is (writing.result() == ())


def test_a_database_of_an_older_schema_learns_to_forget(postgres_url: str, server: Run, event: Make, change: MakeChange) -> None:
    """Its functions are brought up to date when it is opened; what it holds stays."""
    with contextlib.closing(open_store(postgres_url)) as store:
        assert store.write([change("Ada", 0, event("e1"))]) == ()
    server("DROP FUNCTION adaptrace_forget")
    server("UPDATE adaptrace_store SET schema = 1")
    server("COMMIT")
    with contextlib.closing(open_store(postgres_url)) as store:
        assert whole(store)
        assert store.forget("Ada") == 1
        assert not whole(store)
