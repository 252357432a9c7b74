"""A store that fails: one clear error, nothing half-written, and what is in memory is not ahead of what is stored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Change
from tutor import storm
from tutor.conftest import MINUTE, NOW

LIMITED = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from storm import END, is_replay, opened
from adaptrace.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
tutor = opened(sys.argv[1])
tutor.observe("one", "a1", 1, time=END, event_id="first")
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, most))
written = 0
try:
    while True:
        tutor.observe("one", "a1", 1, time=END, event_id=f"e{written:05d}")
        written += 1
except StoreError as error:
    print(error)
assert sum(tutor._students._entry("one").student.answered.values()) == written + 1
assert tutor.mastery_table("one")["opportunities"].to_pylist() == [written + 1]
assert is_replay(tutor, "one")
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert tutor.observe("one", "a1", 1, time=END, event_id=f"e{written:05d}") is True
assert tutor.observe("one", "a1", 1, time=END, event_id=f"e{written:05d}") is False
assert is_replay(tutor, "one")
print(written + 2)
tutor.close()
"""


def test_a_full_disk_stops_one_event_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk is to SQLite, and needs no disk of one's own."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "t.db"), str(Path(storm.__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    message, events = done.stdout.splitlines()
    assert message.startswith(f"{tmp_path / 't.db'}: cannot be written: ")
    assert "nothing of this call was written" in message
    with storm.opened(tmp_path / "t.db") as tutor:
        assert tutor.history("one").num_rows == int(events)
        assert storm.is_replay(tutor, "one")


@pytest.mark.skipif(os.name != "posix", reason="asks for POSIX rights")
def test_a_file_that_may_only_be_read_is_read(tmp_path: Path) -> None:
    with storm.opened(tmp_path / "t.db") as tutor:
        tutor.observe("one", "a1", 1, time=NOW)
        before = tutor.mastery_table("one")
        tutor.store._writer.connection.execute("PRAGMA query_only = ON")  # root may write what is read-only
        with pytest.raises(
            StoreError, match=r"t\.db: cannot be written: .*readonly database; make the file and its folder writable"
        ):
            tutor.observe("one", "a1", 1, time=NOW)
        assert tutor.mastery_table("one").equals(before)
        assert tutor._students._entry("one").student.opportunities == {"a": 1}
        tutor.store._writer.connection.execute("PRAGMA query_only = OFF")
        assert tutor.observe("one", "a1", 1, time=NOW) is True
        assert storm.is_replay(tutor, "one")


Break = Callable[..., None]


@pytest.fixture(params=["memory:", "t.db"])
def tutor(request: pytest.FixtureRequest, tmp_path: Path) -> at.Tutor:
    """Ana has answered twice."""
    with storm.opened(request.param if request.param == "memory:" else tmp_path / request.param) as tutor:
        tutor.observe("ana", "a1", 1, event_id="e1", time=NOW)
        tutor.observe("ana", "b1", 0, event_id="e2", time=NOW)
        yield tutor


@pytest.fixture
def fails_once(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Let a method raise at its n-th call, before or after it has done its work."""

    def make(owner: object, name: str, error: BaseException, call: int = 1, *, after: bool = False) -> None:
        real, calls = getattr(owner, name), []

        def method(*arguments: object, **named: object) -> object:
            calls.append(1)
            if len(calls) != call:
                return real(*arguments, **named)
            if after:
                real(*arguments, **named)
            raise error

        monkeypatch.setattr(owner, name, method)

    return make


def batch(tutor: at.Tutor) -> int:
    """Ben's and Cy's come after Ana's, whose second event is late."""
    rows = [("ana", "n1", NOW + MINUTE), ("ben", "n2", NOW), ("cy", "n3", NOW - MINUTE), ("ana", "n4", NOW + 2 * MINUTE)]
    table = [{"student": s, "item": "a1", "correct": 1, "event_id": e, "time": t} for s, e, t in rows]
    return tutor.observe_many(pa.Table.from_pylist(table))


CALLS = {
    "new": lambda tutor: tutor.observe("ana", "a1", 1, event_id="n1", time=NOW + MINUTE),
    "late": lambda tutor: tutor.observe("ana", "a1", 1, event_id="n1", time=NOW - MINUTE),
    "correction": lambda tutor: tutor.observe("ana", "a1", 1, event_id="n1", time=NOW, replaces="e1"),
    "retraction": lambda tutor: tutor.retract("e2"),
    "table": batch,
    "rebuild": lambda tutor: tutor.rebuild() and False,
}


@pytest.mark.parametrize("error", [StoreError("full"), KeyboardInterrupt()], ids=["StoreError", "KeyboardInterrupt"])
@pytest.mark.parametrize("call", CALLS)
def test_a_write_that_fails_changes_nothing_and_may_be_made_again(
    tutor: at.Tutor, fails_once: Break, call: str, error: BaseException
) -> None:
    before = (tutor.mastery_table("ana"), tutor.history("ana"), tutor.store.students())
    fails_once(tutor.store, "write", error)
    with pytest.raises(type(error)):
        CALLS[call](tutor)
    assert (tutor.mastery_table("ana"), tutor.history("ana"), tutor.store.students()) == before
    assert storm.is_replay(tutor, "ana")
    CALLS[call](tutor)
    assert all(storm.is_replay(tutor, name) for name in tutor.store.students())


@pytest.mark.parametrize("call", CALLS)
def test_a_write_that_was_done_and_not_acknowledged_is_found_done(tutor: at.Tutor, fails_once: Break, call: str) -> None:
    """The server went away between the commit and the answer."""
    fails_once(tutor.store, "write", StoreError("gone"), after=True)
    with pytest.raises(StoreError, match="gone"):
        CALLS[call](tutor)
    assert storm.is_replay(tutor, "ana")
    assert not CALLS[call](tutor)
    assert all(storm.is_replay(tutor, name) for name in tutor.store.students())


@pytest.mark.parametrize("place", [1, 2, 3])
def test_a_table_whose_later_student_cannot_be_read_leaves_the_earlier_as_they_were(
    tutor: at.Tutor, fails_once: Break, place: int
) -> None:
    tutor.observe("cy", "b1", 1, event_id="c1", time=NOW)
    fails_once(tutor._students, "_pop", StoreError("gone"), place)
    with pytest.raises(StoreError, match="gone"):
        batch(tutor)
    assert tutor._students._entry("ana").student.opportunities == {"a": 1, "b": 1}
    tutor.observe("ana", "c1", 1, time=NOW + 5 * MINUTE)
    assert batch(tutor) == 4
    assert all(storm.is_replay(tutor, name) for name in ("ana", "ben", "cy"))


def test_a_state_that_cannot_be_written_down_leaves_the_student_as_it_was(
    tutor: at.Tutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(student: at.Student, response: object) -> None:
        student.answered.clear()
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(at.Student, "take", refuse)
        with pytest.raises(MemoryError):
            tutor.observe("ana", "a1", 1, time=NOW + MINUTE)
    tutor.observe("ana", "a1", 1, time=NOW + 2 * MINUTE)
    assert storm.is_replay(tutor, "ana")


def test_a_student_who_is_always_ahead_is_reported_and_left(tutor: at.Tutor, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tutor.store, "write", lambda changes: tuple(change.student for change in changes))
        with pytest.raises(StoreError, match="event_id 'n1': the student was changed by others 100 times in a row") as raised:
            tutor.observe("ana", "a1", 1, event_id="n1", time=NOW)
        assert "ana" not in str(raised.value)
    assert tutor.observe("ana", "a1", 1, time=NOW) is True
    assert storm.is_replay(tutor, "ana")


def test_names_that_are_no_text_are_text(tutor: at.Tutor) -> None:
    assert tutor.observe(7, "a1", 1, event_id=12, group=5, time=NOW) is True
    assert tutor.observe("7", "a1", 1, event_id="12", time=NOW) is False
    assert tutor.observe(7, "a1", 0, event_id=13, replaces=12, time=NOW) is True
    assert tutor.history(7).select(["event_id", "group"]).to_pylist() == [{"event_id": "13", "group": "5"}]
    assert storm.is_replay(tutor, "7")


def test_an_event_cannot_replace_itself(tutor: at.Tutor) -> None:
    with pytest.raises(ValueError, match="replaces: got 'e1', the event_id itself"):
        tutor.observe("ana", "a1", 1, event_id="e1", time=NOW, replaces="e1")
    assert tutor.history("ana").num_rows == 2


def test_a_change_says_from_which_version(tutor: at.Tutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another that writes first is not overwritten: the change is made again from what it wrote."""
    real, changes = tutor.store.write, list[Change]()

    def write(given: list[Change]) -> tuple[str, ...]:
        changes.extend(given)
        if len(changes) == 1:
            real([given[0]._replace(events=(given[0].events[0]._replace(event_id="theirs"),), model="", state="")])
        return real(given)

    monkeypatch.setattr(tutor.store, "write", write)
    assert tutor.observe("ana", "a1", 1, event_id="mine", time=NOW + MINUTE) is True
    assert [change.version for change in changes] == [2, 3]
    assert tutor.history("ana")["event_id"].to_pylist() == ["e1", "e2", "mine", "theirs"]
    assert storm.is_replay(tutor, "ana")
