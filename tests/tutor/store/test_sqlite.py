"""SQLite: what a file, other processes and a full disk ask for, beside the contract of every store."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaptrace.errors import OutputError, StoreError
from adaptrace.io import atomic
from adaptrace.tutor.store import Change, Decision, Event, SQLiteStore, Store, StoredState, snapshot, sqlite_file
from adaptrace.tutor.store import sqlite as inside
from adaptrace.tutor.store.group_commit import PendingWrite

Make = Callable[..., Event]
MakeChange = Callable[..., Change]
GOLDEN = Path(__file__).parents[2] / "golden"
ALL = "SELECT name, sql FROM sqlite_master ORDER BY name"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tutor.db"


@contextlib.contextmanager
def opened(path: Path, durability: str = "normal") -> Iterator[SQLiteStore]:
    with contextlib.closing(SQLiteStore(path, durability=durability)) as store:  # type: ignore[arg-type]
        yield store


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs the script."""
    head = "import os, sys\nfrom adaptrace.tutor.store import *\n"
    command = [sys.executable, "-c", head + textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """What it printed, when it has ended well."""
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    return stdout


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


# ---- the file ---------------------------------------------------------------


def test_a_store_says_what_it_is(path: Path) -> None:
    SQLiteStore(path).close()
    assert query(path, "PRAGMA application_id") == [(sqlite_file.APPLICATION,)]
    assert query(path, "PRAGMA user_version") == [(len(sqlite_file.MIGRATIONS),)]
    assert query(path, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", 1), ("full", 2)])
def test_durability_is_what_sqlite_is_reported(path: Path, durability: str, synchronous: int) -> None:
    with opened(path, durability) as store:
        assert store._writer.connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert store._writer.connection.execute("PRAGMA secure_delete").fetchone() == (1,)


def test_an_unknown_durability_is_reported(path: Path) -> None:
    with pytest.raises(ValueError, match="got 'none'; expected 'normal' or 'full'"), opened(path, "none"):
        pass
    assert not path.exists()


def test_what_was_written_is_there_when_opened_again(path: Path, event: Make, change: MakeChange) -> None:
    with opened(path) as store:
        store.write([change("Ada", 0, event("e1"))])
    assert os.listdir(path.parent) == ["tutor.db"]
    with opened(path) as store:
        assert store.load("Ada") == StoredState(1, "model", "state 1")
        assert list(store.events()) == [event("e1")]


def test_a_second_store_of_the_file_sees_what_the_first_writes(path: Path, change: MakeChange) -> None:
    with opened(path) as one, opened(path) as other:
        for version in range(5):
            assert (one, other)[version % 2].write([change("Ada", version)]) == ()
            assert one.version("Ada") == other.version("Ada") == version + 1


# ---- schemas ----------------------------------------------------------------


def test_an_older_store_is_brought_to_this_schema(path: Path, change: MakeChange, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store:
        store.write([change("Ada", 0)])
    more = ("CREATE TABLE notes (a TEXT); INSERT INTO notes VALUES ('one; two');", "ALTER TABLE notes ADD COLUMN b TEXT")
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*sqlite_file.MIGRATIONS, *(f"{script};\n" for script in more)))
    with opened(path) as store:
        assert store.version("Ada") == 1
    assert query(path, "SELECT a, b FROM notes") == [("one; two", None)]
    assert query(path, "PRAGMA user_version") == [(len(sqlite_file.MIGRATIONS),)]


def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SQLiteStore(path).close()
    before, schema = query(path, ALL), len(sqlite_file.MIGRATIONS)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_file, "MIGRATIONS", (*sqlite_file.MIGRATIONS, "CREATE TABLE notes (a TEXT);\nDROP TABLE none;"))
        with pytest.raises(StoreError, match=r"tutor\.db: cannot be opened: no such table: none"):
            SQLiteStore(path)
    assert query(path, ALL) == before
    assert query(path, "PRAGMA user_version") == [(schema,)]
    SQLiteStore(path).close()


def test_a_newer_schema_is_reported_with_the_remedy(path: Path) -> None:
    SQLiteStore(path).close()
    query(path, "PRAGMA user_version = 7")
    with pytest.raises(
        StoreError, match=rf"tutor\.db: schema 7, this version reads up to {len(sqlite_file.MIGRATIONS)}; upgrade"
    ):
        SQLiteStore(path)


def fill(store: Store) -> None:
    """What the golden file holds."""
    events = (
        Event("e1", "Ada", "q1", ("halves",), "practice", 1.0, 1_700_000_000_000_000),
        Event("e2", "Ada", "q2", ("halves", 'q"uarters'), "rubric", 1 / 3, 1_700_000_000_000_001, "4b", "d1"),
        Event("e3", "Ada", "q1", ("halves",), "practice", 0.0, -5),
    )
    store.write([Change("Ada", 0, "model a", '{"halves": 0.5}', events), Change("O'Brien 🦉", 0, "model a", "{}")])
    store.write([Change("Ada", 1, "model b", '{"halves": 0.25}', retracted=("e1",))])
    store.decide([Decision("d1", "Ada", 1_700_000_000_000_000, '["q2"]')])
    store.expose(["q1", "q2"], 1.0)
    store.expose(["q1"], 1.0)


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("store-*.db")), ids=lambda file: file.name)
def test_stores_of_every_schema_stay_readable(golden: Path, path: Path) -> None:
    """Made by ``python tests/tutor/store/test_sqlite.py`` with the version that brought the schema."""
    shutil.copy(golden, path)
    with opened(path) as store:
        assert store.load("Ada") == StoredState(2, "model b", '{"halves": 0.25}')
        assert store.students() == ["Ada", "O'Brien 🦉"]
        assert [(each.event_id, each.correct, each.moment) for each in store.events()] == [
            ("e3", 0.0, -5),
            ("e2", 1 / 3, 1_700_000_000_000_001),
        ]
        assert store.find(["e2"])["e2"][3:] == (
            ("halves", 'q"uarters'),
            "rubric",
            1 / 3,
            1_700_000_000_000_001,
            "4b",
            "d1",
            False,
        )
        assert [each.event_id for each in store.retracted()] == ["e1"]
        assert list(store.decisions()) == [Decision("d1", "Ada", 1_700_000_000_000_000, '["q2"]')]
        assert store.exposures() == (3, {"q1": 2, "q2": 1})
        assert store.write([Change("Ada", 2, "model b", "next")]) == ()


def test_there_is_a_golden_store_of_this_schema() -> None:
    assert (GOLDEN / f"store-{len(sqlite_file.MIGRATIONS)}.db").exists()


# ---- files that are no store ------------------------------------------------


def refused(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(StoreError) as raised:
        SQLiteStore(path)
    assert (path.read_bytes() if path.is_file() else b"") == before
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("number", [0, 17])
def test_an_sqlite_file_of_another_program_is_left_alone(path: Path, number: int) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"CREATE TABLE events (a TEXT); PRAGMA application_id = {number}")
    assert "an SQLite file of another program" in refused(path)


@pytest.mark.parametrize("content", [b"student,item\nAda,q1\n" * 100, b"SQLite format 3\0" + b"x" * 5000], ids=["text", "header"])
def test_a_file_that_is_no_database_is_reported(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "cannot be opened: file is not a database; expected a store of adaptrace" in refused(path)


def test_a_folder_is_reported(path: Path) -> None:
    path.mkdir()
    assert "unable to open database file; check that the folder exists" in refused(path)


def test_no_folder_is_reported(tmp_path: Path) -> None:
    assert "unable to open database file; check that the folder exists" in refused(tmp_path / "none" / "tutor.db")


def test_a_damaged_file_is_reported(path: Path, change: MakeChange) -> None:
    with opened(path) as store:
        store.write([change(f"s{number:04}", 0) for number in range(3000)])
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = b"\xa5" * (len(content) - 4096 * 2)
    path.write_bytes(content)
    with opened(path) as store, pytest.raises(StoreError, match=r"cannot be read: database disk image is malformed.*snapshot"):
        list(store.load_many())


# ---- failures ---------------------------------------------------------------

LIMITED = """
import resource, signal
from adaptrace.errors import OutputError, StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = SQLiteStore(sys.argv[1])
store.write([Change("Ada", 0, "model", "state")])
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))
written = 0
try:
    while True:
        name = f"s{written}"
        store.write([Change(name, 0, "model", "x" * 5000, (Event(name, name, "q", ("s",), "k", 1.0, 0),))])
        written += 1
except StoreError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))
try:
    store.snapshot(sys.argv[1] + ".copy")
except OutputError as error:
    print(error)
assert store.students() == sorted(["Ada", *(f"s{number}" for number in range(written))])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
name = f"s{written}"
assert store.write([Change(name, 0, "model", "x" * 5000, (Event(name, name, "q", ("s",), "k", 1.0, 0),))]) == ()
print(written + 1)
store.close()
"""


def test_a_file_that_cannot_grow_stops_one_write_and_nothing_else(path: Path) -> None:
    write, copy, written = said(started(LIMITED, path)).splitlines()
    assert write.startswith(f"{path}: cannot be written: disk I/O error; check the disk, its free space")
    assert copy.startswith(f"{path}.copy: cannot be written: ")
    assert os.listdir(path.parent) == ["tutor.db"]
    with opened(path) as store:
        assert len(store.students()) == int(written) + 1
        assert len(list(store.events())) == int(written)


def test_a_full_disk_is_reported_to_every_thread_and_the_store_lives_on(path: Path, change: MakeChange) -> None:
    with opened(path) as store:
        store.write([change("Ada", 0)])
        pages = store._writer.connection.execute("PRAGMA page_count").fetchone()[0]
        store._writer.connection.execute(f"PRAGMA max_page_count = {pages}").fetchall()

        def write(number: int) -> str:
            with pytest.raises(StoreError) as raised:
                store.write([Change(f"s{number}", 0, "model", "x" * 20_000)])
            return str(raised.value)

        with ThreadPoolExecutor(8) as pool:
            message = set(pool.map(write, range(8)))
        assert message == {
            f"{path}: cannot be written: database or disk is full; free space on the disk and try again; "
            "nothing of this call was written"
        }
        store._writer.connection.execute("PRAGMA max_page_count = 1000000").fetchall()
        assert store.write([Change("s1", 0, "model", "x" * 20_000)]) == ()
        assert store.students() == ["Ada", "s1"]


def test_a_file_that_is_locked_too_long_is_reported(path: Path, change: MakeChange, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        store._writer.connection.execute("PRAGMA busy_timeout = 10").fetchall()
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="cannot be written: database is locked; another process held it longer than 10 s"):
            store.write([change("Ada", 0)])
        assert store.load("Ada") is None
        other.execute("ROLLBACK")
        assert store.write([change("Ada", 0)]) == ()


@pytest.mark.parametrize(
    "fields",
    [{"moment": 2**63}, {"correct": None}, {"item": "\ud800"}, {"kind": object()}],
    ids=["moment", "correct", "item", "kind"],
)
def test_values_that_cannot_be_stored_are_reported_and_others_are_written(
    path: Path, event: Make, change: MakeChange, fields: dict[str, object]
) -> None:
    with opened(path) as store:
        jobs = [PendingWrite(lambda: ()), PendingWrite(lambda: ())]
        jobs[0].work = lambda: (
            () if inside._applies(store._writer.connection, change("Ada", 0, event("e1", **fields))) else ("Ada",)
        )
        jobs[1].work = lambda: () if inside._applies(store._writer.connection, change("Bob", 0, event("b1", "Bob"))) else ("Bob",)
        store._writer.run(jobs)
        assert isinstance(jobs[0].error, StoreError)
        assert (jobs[1].error, jobs[1].result) == (None, ())
        with pytest.raises(StoreError, match="cannot be written"):
            store.write([change("Ada", 0, event("e1", **fields))])
        assert (store.students(), [each.event_id for each in store.events()]) == (["Bob"], ["b1"])


WITHOUT_RIGHTS = """
from adaptrace.errors import StoreError
if os.getuid() == 0:
    os.setuid(65534)
def message(call):
    try:
        print(call())
    except StoreError as error:
        print(error)
try:
    store = SQLiteStore(sys.argv[1])
except StoreError as error:
    print(error)
else:
    message(lambda: store.load("Ada").state)
    message(lambda: store.write([Change("Ada", 1, "model", "next")]))
    message(lambda: store.load("Ada").state)
    store.close()
"""


@pytest.fixture
def plain_folder() -> Iterator[Path]:
    """Open to everyone, as the folder of pytest is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_a_file_without_the_right_to_write_can_be_read(plain_folder: Path, change: MakeChange) -> None:
    path = plain_folder / "tutor.db"
    with opened(path) as store:
        store.write([change("Ada", 0)])
    path.chmod(0o444)
    before, write, after = said(started(WITHOUT_RIGHTS, path)).splitlines()
    assert before == after == "state 1"
    assert write.startswith(f"{path}: cannot be written: attempt to write a readonly database; make the file and its folder")


def test_a_folder_without_the_right_to_write_is_reported(plain_folder: Path, change: MakeChange) -> None:
    path = plain_folder / "tutor.db"
    with opened(path) as store:
        store.write([change("Ada", 0)])
    path.chmod(0o444)
    plain_folder.chmod(0o555)
    assert said(started(WITHOUT_RIGHTS, path)).startswith(f"{path}: cannot be opened: ")


# ---- processes --------------------------------------------------------------

TOGETHER = """
import time
name = sys.argv[2]
time.sleep(max(0.0, float(sys.argv[3]) - time.time()))
store = SQLiteStore(sys.argv[1])
for at in range(60):
    own = Change(name, at, "model", "state", (Event(f"{name}-{at}", name, "q", ("s",), "k", 1.0, at),))
    assert store.write([own]) == ()
    while True:
        kept = store.load("both") or StoredState(0, "", "")
        if not store.write([Change("both", kept.version, "model", kept.state + name)]):
            break
    store.expose(["hot"], 0.5)
    store.expose([f"{name}-{at}"], 0.5)
store.close()
"""


def test_processes_may_make_and_write_one_file_at_once(path: Path) -> None:
    processes = [started(TOGETHER, path, name, time.time() + 1.2) for name in "abc"]
    for process in processes:
        said(process)
    with opened(path) as store:
        assert [kept.version for _, kept in store.load_many(["a", "b", "c"])] == [60] * 3
        both, (total, counts) = store.load("both"), store.exposures()
        assert both
        assert (both.version, Counter(both.state)) == (180, Counter(a=60, b=60, c=60))
        assert total == sum(counts.values())
        assert counts["hot"] <= 1 + 0.5 * total


@pytest.mark.parametrize("attempt", range(5))
def test_threads_may_make_one_file_at_once(path: Path, attempt: int) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> tuple[str, ...]:
        start.wait()
        with opened(path) as store:
            return store.write([Change(f"s{number}", 0, "model", "state")])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [()] * 8
    with opened(path) as store:
        assert len(store.students()) == 8


KILLED = """
import threading
store = SQLiteStore(sys.argv[1], durability=sys.argv[2])
def work(number):
    name = f"s{number}"
    version = store.version(name)
    while True:
        event_id = f"{name}-{version}"
        event = Event(event_id, name, "q", ("s",), "k", 1.0, version)
        assert store.write([Change(name, version, "model", f"{version + 1} " * 500, (event,))]) == ()
        os.write(1, f"{event_id}\\n".encode())
        version += 1
for number in range(4):
    threading.Thread(target=work, args=(number,)).start()
"""


@pytest.mark.parametrize("durability", ["normal", "full"])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path, durability: str) -> None:
    chance, acknowledged = random.Random(durability), list[str]()
    for _ in range(3):
        process = started(KILLED, path, durability)
        assert process.stdout
        acknowledged.append(process.stdout.readline().strip())  # it is under way
        time.sleep(chance.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        acknowledged += process.communicate(timeout=30)[0].split()
        with opened(path) as store:
            stored = [each.event_id for each in store.events()]
            states = dict(store.load_many())
        assert set(acknowledged) <= set(stored)
        assert len(stored) == len(set(stored)) >= len(acknowledged) > 0
        assert {name: kept.version for name, kept in states.items()} == Counter(name.split("-")[0] for name in stored)
        assert all(kept.state == f"{kept.version} " * 500 for kept in states.values())
    assert query(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_store_used_in_a_fork_says_so(path: Path) -> None:
    with opened(path) as store:
        child = os.fork()
        if not child:
            try:
                store.load("Ada")
            except StoreError as error:
                os._exit(0 if "opened in process" in str(error) else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- forgetting -------------------------------------------------------------


def bytes_of(folder: Path) -> bytes:
    """All files, read by another process: closing a file here would drop the locks of SQLite."""
    return subprocess.run(["cat", *map(str, folder.iterdir())], capture_output=True, check=True).stdout


def test_no_byte_of_a_forgotten_student_is_left(path: Path) -> None:
    chance = random.Random(3)
    names = [f"student {number:03} {chance.random():.9f}" for number in range(100)]
    versions = Counter[str]()
    with opened(path) as store:
        for at in range(400):  # in an order that splits many pages
            made = []
            for name in chance.sample(names, 20):
                event = Event(f"{name}/{at}", name, "q", ("s",), "k", 1.0, chance.randrange(10**9))
                made.append(Change(name, versions[name], "model", f"{name}: {'x' * chance.randrange(5000)}", (event,)))
                versions[name] += 1
            assert store.write(made) == ()
            store.decide([Decision(f"{made[0].student}/{at}", made[0].student, at, f"for {made[0].student}" * 5)])
        assert names[0].encode() in bytes_of(path.parent)
        for name in names[:40]:
            assert store.forget(name) == versions[name]
        content = bytes_of(path.parent)
        assert [name for name in names[:40] if name.encode() in content] == []
        assert store.students() == sorted(name for name in names[40:] if versions[name])


def test_a_reader_in_the_way_of_forgetting_is_reported(path: Path, change: MakeChange) -> None:
    with opened(path) as store, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.write([change("Ada", 0), change("Bob", 0)])
        store._writer.connection.execute("PRAGMA busy_timeout = 10").fetchall()
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM students").fetchone()
        with pytest.raises(StoreError, match=r"db: the student is removed, but another process reads .*forget the student again"):
            store.forget("Ada")
        other.execute("COMMIT")
        assert store.students() == ["Bob"]
        store.forget("Ada")
        assert b"Ada" not in bytes_of(path.parent)


CANNOT_LOCK = not atomic.CAN_LOCK or bool(os.environ.get("ADAPTRACE_WITHOUT_FCNTL"))  # this process, or those it starts
STOPPED = """
import signal
from adaptrace.tutor.store import snapshot
def stop(*arguments):
    print("written", flush=True)
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGKILL)
snapshot._check = stop
store = SQLiteStore(sys.argv[1])
store.snapshot(sys.argv[2])
"""


@contextlib.contextmanager
def in_the_midst_of_a_snapshot(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has written a copy, which is not at its place yet; it is killed at the next line."""
    head = "import os, sys\nfrom adaptrace.tutor.store import *\n"
    command = [sys.executable, "-c", head + STOPPED, str(path), str(path.parent / "copy.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "written\n"
            yield process
        finally:
            process.kill()


def everything_in(folder: Path) -> bytes:
    """All files of a folder and its folders, read by another process."""
    return subprocess.run(["find", str(folder), "-type", "f", "-exec", "cat", "{}", "+"], capture_output=True, check=True).stdout


@pytest.mark.skipif(CANNOT_LOCK, reason="without locks a day must pass")
@pytest.mark.parametrize("then", ["open", "snapshot", "forget"])
def test_what_a_killed_snapshot_left_goes_at_the_next(path: Path, change: MakeChange, then: str) -> None:
    with opened(path) as store:
        store.write([change("Ada Lovelace", 0), change("Bob", 0)])
        with in_the_midst_of_a_snapshot(path) as process:
            process.communicate("die\n", timeout=30)
        assert everything_in(path.parent).count(b"Ada Lovelace") > 1
        if then == "open":
            opened(path).__enter__().close()
        elif then == "snapshot":
            store.snapshot(path.parent / "other.db")
        else:
            store.forget("Ada Lovelace")
            assert b"Ada Lovelace" not in everything_in(path.parent)
        assert not [each for each in path.parent.iterdir() if each.is_dir()]


@pytest.mark.skipif(CANNOT_LOCK, reason="without locks it stays anyway")
def test_what_another_process_is_writing_stays(path: Path, change: MakeChange) -> None:
    with opened(path) as store:
        store.write([change("Ada", 0), change("Bob", 0)])
        with in_the_midst_of_a_snapshot(path):
            (folder,) = [each for each in path.parent.iterdir() if each.is_dir()]
            opened(path).__enter__().close()
            store.snapshot(path.parent / "other.db")
            store.forget("Bob")
            assert [each.name for each in folder.iterdir()] == [".copy.db"]


# ---- threads ----------------------------------------------------------------


def test_threads_that_wait_share_one_transaction(path: Path, change: MakeChange) -> None:
    with opened(path, "full") as store:
        sizes, run = list[int](), store._writer.commits._run

        def counted(jobs: list[PendingWrite]) -> None:
            sizes.append(len(jobs))
            run(jobs)

        store._writer.commits._run = counted  # type: ignore[assignment]
        with store._writer.lock, ThreadPoolExecutor(8) as pool:
            done = [pool.submit(store.write, [change(f"s{number}", 0), change("s3", 0)][: 1 + number % 2]) for number in range(8)]
            while len(store._writer.commits._pending) < 7:
                time.sleep(0.001)
            store._writer.lock.release()
            results = [each.result() for each in done]
            store._writer.lock.acquire()
    assert sorted(sizes) == [1, 7]
    assert sum(not result for result in results) == 5  # the even ones, and whoever was first with s3


def test_a_thread_that_is_interrupted_does_not_keep_the_others_waiting(
    path: Path, change: MakeChange, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with opened(path) as store, ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(store._writer.commits, "_gather", interrupt)
            with pytest.raises(KeyboardInterrupt):
                store.write([change("Ada", 0)])
        assert pool.submit(store.write, [change("Bob", 0)]).result(timeout=30) == ()
        assert store.students() == ["Bob"]


def test_a_bug_in_one_job_does_not_stop_the_store(path: Path, change: MakeChange) -> None:
    with opened(path) as store:
        with pytest.raises(TypeError):
            store.write([None])  # type: ignore[list-item]
        assert store.write([change("Ada", 0)]) == ()


def test_a_snapshot_that_fails_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with opened(path) as store:
        monkeypatch.setattr(snapshot, "connect", fail)
        with pytest.raises(OutputError, match=r"copy\.db: cannot be written: database or disk is full; nothing was changed"):
            store.snapshot(tmp_path / "copy.db")
    assert os.listdir(tmp_path) == ["tutor.db"]


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with opened(GOLDEN / f"store-{len(sqlite_file.MIGRATIONS)}.db") as made:
        fill(made)
