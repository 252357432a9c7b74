"""Many threads, tutors and processes on one store: no update is lost, nobody waits for ever, every state is a replay."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

import adaptrace as at
from tutor import storm
from tutor.conftest import MINUTE, NOW

Open = Callable[..., at.Tutor]
CLEAN = storm.Verdict([], [], [], [])


def together(*work: Callable[[], object]) -> list[object]:
    """All at the same time, and not for ever; raises what any of them raised."""
    pool = ThreadPoolExecutor(len(work))
    futures = [pool.submit(each) for each in work]
    try:
        return [future.result(timeout=60) for future in futures]
    finally:
        pool.shutdown(wait=all(future.done() for future in futures))


@pytest.fixture(params=["memory", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory:" if request.param == "memory" else str(tmp_path / "t.db")


def exposure_cap_held(tutor: at.Tutor) -> bool:
    """As the store counts: an item was below 1 + cap times all before, when it was counted last."""
    total, counts = tutor.store.exposures()
    return total == sum(counts.values()) > 0 and all(n - 1 < 1 + storm.CAP * (total - 1) for n in counts.values())


@pytest.mark.parametrize("cache", [10_000, 3])
def test_threads_lose_no_update_and_read_meanwhile(url: str, cache: int) -> None:
    acknowledged: list[str] = []
    with storm.opened(url, cache=cache) as tutor:
        together(lambda: storm.hammer(tutor, "p0", 8, 24, acknowledged.append))
        assert len(acknowledged) == 8 * 24
        assert storm.judged(tutor, acknowledged) == CLEAN
        assert exposure_cap_held(tutor)


def test_two_tutors_on_one_file_lose_no_update(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with storm.opened(tmp_path / "t.db") as one, storm.opened(tmp_path / "t.db", cache=5) as other:
        together(*(lambda t=t, n=n: storm.hammer(t, n, 4, 24, acknowledged.append) for t, n in ((one, "p0"), (other, "p1"))))
        for tutor in (one, other):
            assert storm.judged(tutor, acknowledged) == CLEAN
            assert exposure_cap_held(tutor)


def test_processes_on_one_file_lose_no_update(tmp_path: Path) -> None:
    acknowledged = storm.hammered(tmp_path / "t.db", 3, 4, 24)
    assert len(acknowledged) == 3 * 4 * 24
    with storm.opened(tmp_path / "t.db") as tutor:
        assert storm.judged(tutor, acknowledged) == CLEAN
        assert exposure_cap_held(tutor)


def test_tables_and_single_events_cross_without_a_deadlock(url: str) -> None:
    """Tables lock many students at once, each in an order of its own."""

    def table(names: list[str]) -> pa.Table:
        rows = [(name, *storm.payload(name, "")) for name in names]
        keys = ("event_id", "student", "item", "correct", "time")
        return pa.Table.from_pylist([dict(zip(keys, row, strict=True)) for row in rows])

    names = [f"t-{thread}-{number}" for thread in range(4) for number in range(0, 120, 4)]
    with storm.opened(url) as tutor:
        counts = together(
            lambda: tutor.observe_many(table(names)),
            lambda: tutor.observe_many(table(names[::-1])),
            lambda: tutor.observe_many(table(names[::2])),
            lambda: [storm.do(tutor, name) for name in names[::3]],
        )
        assert sum(counts[:3]) <= len(names)
        assert storm.judged(tutor, names) == CLEAN


def test_a_student_is_forgotten_while_others_write(url: str) -> None:
    with storm.opened(url) as tutor:

        def write(thread: int) -> None:
            for number in range(30):
                tutor.observe("one", "a1", 1, time=NOW - number % 7 * MINUTE, event_id=f"{thread}-{number}")
                tutor.observe(f"s{thread}", "a1", 1, time=NOW, event_id=f"s{thread}-{number}")

        def forget() -> None:
            for _ in range(5):
                tutor.forget_student("one")

        together(*(lambda thread=thread: write(thread) for thread in range(4)), forget, lambda: tutor.rebuild())
        assert all(storm.is_replay(tutor, name) for name in tutor.store.students())
        assert [tutor.history(f"s{thread}").num_rows for thread in range(4)] == [30] * 4


def test_a_student_whom_another_process_forgot_does_not_come_back(tmp_path: Path) -> None:
    """Also with as many events as before: what one tutor has in memory is not what the other wrote since."""
    with storm.opened(tmp_path / "t.db") as one, storm.opened(tmp_path / "t.db") as other:
        for number in range(3):
            one.observe("ana", "a1", 1, event_id=f"old-{number}", time=NOW)
        other.forget_student("ana")
        assert one.mastery_table("ana").num_rows == 0
        assert one.recommend("ana", 1) == one.recommend("new", 1)
        for number in range(3):
            other.observe("ana", "b1", 0, event_id=f"new-{number}", time=NOW)
        one.observe("ana", "b1", 0, event_id="last", time=NOW)
        assert storm.is_replay(one, "ana")
        assert storm.is_replay(other, "ana")
        assert one.mastery_table("ana")["skill"].to_pylist() == ["b"]


def test_making_states_again_does_not_bring_back_who_is_forgotten_meanwhile(url: str) -> None:
    with storm.opened(url) as tutor:
        tutor.observe("ana", "a1", 1, time=NOW)
        tutor.observe("ben", "a1", 1, time=NOW)
        tutor.rebuild(progress=lambda share: share < 1.0 and tutor.forget_student("ben"))  # before it is Ben's turn
        assert tutor.store.students() == ["ana"]


def test_an_event_that_another_process_takes_back_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the reading of a student and of the events, another takes one back."""
    with storm.opened(tmp_path / "t.db") as one, storm.opened(tmp_path / "t.db") as other:
        one.observe("ana", "a1", 1, event_id="e1", time=NOW)
        one.observe("ana", "b1", 1, event_id="e2", time=NOW)
        events = one.store.events

        def late(*given: object, **options: object) -> object:
            other.retract("e2")
            return events(*given, **options)

        monkeypatch.setattr(one.store, "events", late)
        assert one.mastery_table("ana")["skill"].to_pylist() == ["a"]


def test_the_class_is_the_one_that_another_process_wrote(tmp_path: Path) -> None:
    with storm.opened(tmp_path / "t.db") as one, storm.opened(tmp_path / "t.db") as other:
        one.observe("ana", "a1", 1, group="7b", time=NOW)
        other.observe("ana", "a1", 1, group="8a", time=NOW + MINUTE)
        one.observe("ana", "a1", 1, time=NOW + 2 * MINUTE)
        row = {"student": ["ana"], "item": ["a1"], "correct": [1], "time": [NOW + 3 * MINUTE], "event_id": ["z"]}
        one.observe_many(pa.table(row))
        assert one.history("ana")["group"].to_pylist() == ["7b", "8a", "8a", "8a"]


def test_a_clock_that_goes_back_only_makes_events_late(url: str) -> None:
    times = iter([NOW, NOW - 60 * MINUTE, NOW - 30 * MINUTE] + [NOW - datetime.timedelta(days=1)] * 10)
    with storm.opened(url) as tutor:
        tutor._incoming.clock = lambda: next(times)
        for item in ("a1", "b1", "ab"):
            tutor.observe("ana", item, 1)
        assert tutor.history("ana")["item"].to_pylist() == ["b1", "ab", "a1"]
        assert storm.is_replay(tutor, "ana")
        assert all(0 < value < 1 for value in tutor.mastery_table("ana")["mastery"].to_pylist())
        assert len(tutor.recommend("ana", 2)) == 2


def test_eight_threads_keep_the_exposure_cap(url: str) -> None:
    capped = at.Constraints(exposure_cap=storm.CAP, zone=False)
    counted = threading.Lock()
    given: list[str] = []

    def ask(thread: int) -> None:
        for number in range(25):
            for choice in tutor.recommend(f"s{thread}-{number}", 1, constraints=capped):
                with counted:
                    given.append(choice.item.item)

    with storm.opened(url) as tutor:
        together(*(lambda thread=thread: ask(thread) for thread in range(8)))
        total, counts = tutor.store.exposures()
        assert total == len(given) == 200
        assert counts == {item: given.count(item) for item in counts}
        assert exposure_cap_held(tutor)
