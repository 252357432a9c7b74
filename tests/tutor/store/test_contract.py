"""What every store must do, the same for all of them."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adaptrace.errors import OutputError, StoreError
from adaptrace.models.content import FIRST, LAST
from adaptrace.tutor.store import Change, Decision, Event, Store, StoredState, open_store, snapshot
from adaptrace.tutor.store import sqlite as inside

Make = Callable[..., Event]
MakeChange = Callable[..., Change]
THREADS = 8
ODD = ["", " ", "O'Brien", 'a"b', "{1,2}", "a\\b", "100%", "新しい", "🦉", "a,b;c", "None", "é", "Z", "z"]


# ---- states -----------------------------------------------------------------


def test_a_new_store_is_empty(store: Store) -> None:
    assert (store.version("Ada"), store.load("Ada"), store.students()) == (0, None, [])
    assert [list(found) for found in (store.load_many(), store.events(), store.retracted(), store.decisions())] == [[]] * 4
    assert (store.find(["e1"]), store.find([]), store.exposures(), store.forget("Ada")) == ({}, {}, (0, {}), 0)


def test_a_state_comes_back_with_its_version_and_model(store: Store) -> None:
    assert store.write([Change("Ada", 0, "m1", "first")]) == ()
    assert store.load("Ada") == StoredState(1, "m1", "first")
    assert store.write([Change("Ada", 1, "m2", "second " * 4000)]) == ()
    assert store.load("Ada") == StoredState(2, "m2", "second " * 4000)
    assert store.version("Ada") == 2


@pytest.mark.parametrize("version", [0, 2, 7, -1])
def test_a_change_from_another_version_does_not_apply(store: Store, event: Make, change: MakeChange, version: int) -> None:
    store.write([change("Ada", 0, event("e1"))])
    assert store.write([change("Ada", version, event("e2"))]) == ("Ada",)
    assert store.load("Ada") == StoredState(1, "model", "state 1")
    assert list(store.find(["e1", "e2"])) == ["e1"]


def test_a_change_of_an_unknown_student_applies_from_version_0_only(store: Store, change: MakeChange) -> None:
    assert store.write([change("Ada", 1)]) == ("Ada",)
    assert store.students() == []
    assert store.write([change("Ada", 0)]) == ()


def test_no_change_is_no_write(store: Store) -> None:
    assert store.write([]) == ()


def test_a_student_may_change_twice_in_one_call(store: Store, event: Make, change: MakeChange) -> None:
    assert store.write([change("Ada", 0, event("e1")), change("Ada", 1, event("e2"), retracted=("e1",))]) == ()
    assert store.load("Ada") == StoredState(2, "model", "state 2")
    assert [found.event_id for found in store.events()] == ["e2"]
    assert store.write([change("Ada", 2), change("Ada", 2), change("Ada", 2)]) == ("Ada",)
    assert store.version("Ada") == 2


def test_states_come_ordered_by_name_each_once(store: Store, change: MakeChange) -> None:
    store.write([change(name, 0) for name in ODD])
    assert store.students() == sorted(ODD)
    assert [name for name, _ in store.load_many()] == sorted(ODD)
    assert list(store.load_many(["z", "", "nobody", "z", "Z"])) == [
        (name, StoredState(1, "model", "state 1")) for name in ("", "Z", "z")
    ]
    assert list(store.load_many([])) == []


def test_states_of_more_students_than_one_fetch(store: Store, change: MakeChange) -> None:
    names = [f"s{number:04}" for number in range(2 * inside.STATES + 1)]
    store.write([change(name, 0) for name in names])
    assert [name for name, _ in store.load_many()] == names
    assert [name for name, _ in store.load_many(names[::-1])] == names


def test_a_name_that_another_begins_with_may_end_a_fetch(
    store: Store, change: MakeChange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inside, "STATES", 1)
    names = ["", "A", "A\x01", "A ", "A B", "AB", "B"]
    store.write([change(name, 0) for name in names])
    assert [name for name, _ in store.load_many()] == names


# ---- events -----------------------------------------------------------------


def test_an_event_comes_back_to_the_last_bit(store: Store, change: MakeChange) -> None:
    given = Event("e1", "Ada", "q1", ("a", "b"), "rubric", math.nextafter(1 / 3, 1), 1_700_000_000_123_456, "4b", "d1")
    store.write([change("Ada", 0, given)])
    assert list(store.events("Ada")) == [given]
    assert store.find(["e1"]) == {"e1": given}
    assert type(next(store.events()).retracted) is bool


@pytest.mark.parametrize("correct", [0.0, 1.0, 5e-324, 0.1 + 0.2])
@pytest.mark.parametrize("moment", [0, -1, FIRST, LAST])
def test_extreme_numbers_come_back(store: Store, event: Make, change: MakeChange, correct: float, moment: int) -> None:
    store.write([change("Ada", 0, event("e1", moment=moment, correct=correct))])
    found = next(store.events())
    assert (found.correct, found.moment, type(found.correct)) == (correct, moment, float)


@pytest.mark.parametrize("text", ODD, ids=repr)
def test_names_may_hold_anything(store: Store, change: MakeChange, text: str) -> None:
    given = Event(f"id {text}", text, text, tuple(sorted({text, 'b,["', "a"})), text, 0.5, 3, text, text)
    assert store.write([Change(text, 0, text, text, (given,))]) == ()
    assert (list(store.events(text)), list(store.events())) == ([given], [given])
    assert store.find([f"id {text}"]) == {f"id {text}": given}
    assert store.load(text) == StoredState(1, text, text)
    assert store.forget(text) == 1


def test_events_come_in_the_order_of_moment_and_id_whatever_came_first(store: Store, event: Make, change: MakeChange) -> None:
    store.write([change("Bob", 0, event("b", "Bob", 1)), change("Ada", 0, event("z", moment=5), event("a", moment=5))])
    store.write([change("Ada", 1, event("m", moment=-3), event("Z", moment=5))])
    assert [(each.student, each.event_id) for each in store.events()] == [
        *(("Ada", name) for name in ("m", "Z", "a", "z")),
        ("Bob", "b"),
    ]
    assert [each.event_id for each in store.events("Ada")] == ["m", "Z", "a", "z"]
    assert list(store.events("nobody")) == []


@pytest.mark.parametrize("holder", ["Ada", "Bob"])
def test_an_event_id_that_is_taken_leaves_everything_as_it_was(
    store: Store, event: Make, change: MakeChange, holder: str
) -> None:
    store.write([change(holder, 0, event("e1", holder))])
    version = store.version("Ada")
    assert store.write([change("Ada", version, event("e0"), event("e1", moment=9))]) == ("Ada",)
    assert store.version("Ada") == version
    assert store.find(["e0", "e1"]) == {"e1": event("e1", holder)}


def test_an_event_id_may_stand_once_in_a_call(store: Store, event: Make, change: MakeChange) -> None:
    assert store.write([change("Ada", 0, event("e1")), change("Bob", 0, event("e1", "Bob"))]) == ("Bob",)
    assert store.write([change("Ada", 0, event("e1"), event("e1", moment=1))]) == ("Ada",)
    assert (store.students(), list(store.events())) == ([], [])


def test_one_stale_change_among_many_undoes_all(store: Store, event: Make, change: MakeChange) -> None:
    names = [f"s{number}" for number in range(50)]
    store.write([change("s20", 0), change("s30", 0)])
    assert store.write([change(name, 0, event(f"e-{name}", name)) for name in names]) == ("s20", "s30")
    assert store.students() == ["s20", "s30"]
    assert list(store.events()) == []


def test_a_retracted_event_counts_no_more_but_is_known(store: Store, event: Make, change: MakeChange) -> None:
    store.write([change("Ada", 0, event("e1"), event("e2", moment=1))])
    assert store.write([change("Ada", 1, event("e3", moment=2), retracted=("e1",))]) == ()
    assert [each.event_id for each in store.events("Ada")] == ["e2", "e3"]
    assert list(store.retracted()) == [event("e1", retracted=True)]
    assert store.find(["e1", "e2"]) == {"e1": event("e1", retracted=True), "e2": event("e2", moment=1)}
    assert store.write([change("Ada", 2, event("e1"))]) == ("Ada",)


@pytest.mark.parametrize("event_ids", [("e1",), ("e9",), ("b1",), ("e2", "e2"), ("e2", "e1")], ids=str)
def test_only_a_counting_event_of_the_student_can_be_retracted(
    store: Store, event: Make, change: MakeChange, event_ids: tuple[str, ...]
) -> None:
    store.write([change("Ada", 0, event("e1"), event("e2")), change("Bob", 0, event("b1", "Bob"))])
    store.write([change("Ada", 1, retracted=("e1",))])
    assert store.write([change("Ada", 2, event("e3"), retracted=event_ids)]) == ("Ada",)
    assert [each.event_id for each in store.events()] == ["e2", "b1"]
    assert store.version("Ada") == 2


def test_events_of_more_than_one_fetch(store: Store, event: Make, change: MakeChange) -> None:
    many = [event(f"e{number:05}", moment=number // 3) for number in range(inside.PAGE + 10)]
    store.write([change("Ada", 0, *many), change("Bob", 0, event("b", "Bob"))])
    assert list(store.events("Ada")) == many
    assert [each.event_id for each in store.events()][-2:] == [many[-1].event_id, "b"]
    assert list(store.find([each.event_id for each in many]).values()) == many


def test_iteration_goes_on_while_others_write(store: Store, event: Make, change: MakeChange) -> None:
    names = [f"s{number:04}" for number in range(inside.PAGE + 100)]
    store.write([change(name, 0, event(name, name)) for name in names])
    seen = []
    for at, each in enumerate(store.events()):
        seen.append(each.event_id)
        if at % 500 == 0:
            store.write([change(each.student, 1, event(f"late-{at}", each.student, 1))])
    assert [event_id for event_id in seen if not event_id.startswith("late")] == names
    assert len(set(seen)) == len(seen)


# ---- forgetting -------------------------------------------------------------


def test_a_student_who_comes_again_has_no_version_of_before(store: Store, change: MakeChange) -> None:
    """So what another process still has in memory cannot pass for the student of now."""
    store.write([change("Ada", 0), change("Bob", 0)])
    store.write([change("Ada", 1)])
    store.write([change("Ada", 2)])
    store.forget("Ada")
    store.forget("Bob")
    assert store.write([change("Ada", 0), change("Cy", 0)]) == ()
    assert store.version("Ada") == store.version("Cy") == 4
    assert store.write([change("Ada", 4)]) == ()
    assert store.version("Ada") == 5


def test_a_forgotten_student_is_gone_and_others_stay(store: Store, event: Make, change: MakeChange) -> None:
    store.write([change("Ada", 0, event("e1"), event("e2")), change("Bob", 0, event("b1", "Bob"))])
    store.write([change("Ada", 1, retracted=("e1",))])
    store.decide([Decision("d1", "Ada", 0, "{}"), Decision("d2", "Bob", 0, "{}")])
    assert store.decided("d1") == Decision("d1", "Ada", 0, "{}")
    assert store.forget("Ada") == 2
    assert store.decided("d1") is None
    assert (store.load("Ada"), store.version("Ada"), store.students()) == (None, 0, ["Bob"])
    assert (store.find(["e1", "e2"]), list(store.retracted())) == ({}, [])
    assert ([each.event_id for each in store.events()], [each.decision_id for each in store.decisions()]) == (["b1"], ["d2"])
    assert store.forget("Ada") == 0


def test_a_forgotten_student_may_come_again(store: Store, event: Make, change: MakeChange) -> None:
    store.write([change("Ada", 0, event("e1"))])
    store.forget("Ada")
    assert store.write([change("Ada", 1, event("e2"))]) == ("Ada",)
    assert store.write([change("Ada", 0, event("e1"))]) == ()


# ---- decisions and exposures ------------------------------------------------


def test_decisions_are_kept_in_order_and_the_first_of_an_id_stays(store: Store) -> None:
    store.decide(Decision(name, student, moment, '{"k": 1}') for name, student, moment in [("c", "Bob", 1), ("b", "Ada", 2)])
    store.decide([Decision("a", "Ada", 2, "{}"), Decision("d", "Ada", 1, "{}"), Decision("c", "Cem", 5, "another")])
    assert [each.decision_id for each in store.decisions()] == ["d", "a", "b", "c"]
    assert list(store.decisions("Bob")) == [Decision("c", "Bob", 1, '{"k": 1}')]
    store.decide([])


def test_decisions_of_more_than_one_fetch(store: Store) -> None:
    many = [Decision(f"d{number:05}", "Ada", 7, "{}") for number in range(inside.PAGE + 5)]
    store.decide(many)
    assert list(store.decisions()) == many
    assert list(store.decisions("Ada")) == many


def test_an_item_over_its_share_is_named_and_nothing_is_counted(store: Store) -> None:
    assert store.expose(["a", "b"], 0.25) == ()
    assert store.expose(["a", "c"], 0.0) == ("a",)
    assert store.exposures() == (2, {"a": 1, "b": 1})
    assert store.expose(["c", "a"], 0.25) == ()  # 1 < 1 + 0.25 * 2
    assert store.expose(["c", "a", "b"], 0.25) == ("a",)  # 2 >= 1 + 0.25 * 4
    assert store.exposures() == (4, {"a": 2, "b": 1, "c": 1})


def test_the_share_holds_under_threads(store: Store) -> None:
    def show(number: int) -> int:
        return sum(not store.expose(["hot"], 0.2) for _ in range(25)) + sum(
            not store.expose([f"cold-{number}-{at}"], 0.2) for at in range(5)
        )

    with ThreadPoolExecutor(THREADS) as pool:
        counted = sum(pool.map(show, range(THREADS)))
    total, counts = store.exposures()
    assert total == counted == sum(counts.values())
    assert counts["hot"] <= 1 + 0.2 * total
    assert len(counts) == 1 + 5 * THREADS


# ---- threads ----------------------------------------------------------------


def test_no_update_of_one_student_is_lost_under_threads(store: Store, event: Make) -> None:
    """Each thread adds its own mark to the state, again until it applies."""
    start, rounds = threading.Barrier(THREADS), 12

    def work(number: int) -> None:
        start.wait()
        for at in range(rounds):
            mark = f"{number}.{at} "
            while True:
                kept = store.load("Ada") or StoredState(0, "", "")
                if not store.write([Change("Ada", kept.version, "model", kept.state + mark, (event(mark, moment=at),))]):
                    break

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    kept = store.load("Ada")
    assert kept
    assert kept.version == THREADS * rounds
    assert Counter(kept.state.split()) == Counter(f"{number}.{at}" for number in range(THREADS) for at in range(rounds))
    assert len(list(store.events("Ada"))) == THREADS * rounds


def test_threads_with_students_of_their_own_never_meet(store: Store, event: Make, change: MakeChange) -> None:
    def work(number: int) -> None:
        for at in range(30):
            for name in (f"{number}-a", f"{number}-b"):
                assert store.write([change(name, at, event(f"{name}-{at}", name, at))]) == ()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert {name: kept.version for name, kept in store.load_many()} == {f"{n}-{x}": 30 for n in range(THREADS) for x in "ab"}
    assert Counter(each.student for each in store.events()) == dict.fromkeys(store.students(), 30)


def test_of_threads_with_one_event_id_one_wins(store: Store, event: Make, change: MakeChange) -> None:
    start = threading.Barrier(THREADS)

    def work(number: int) -> int:
        start.wait()
        return sum(store.write([change(f"{number}-{at}", 0, event(f"e{at}", f"{number}-{at}"))]) == () for at in range(20))

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(work, range(THREADS))) == 20
    assert len(store.students()) == len(list(store.events())) == 20


# ---- snapshots, closing -----------------------------------------------------


@pytest.fixture
def filled(store: Store, event: Make, change: MakeChange) -> Store:
    store.write([change("Ada", 0, event("e1", correct=1 / 3), event("e2", moment=5)), change("O'Brien", 0)])
    store.write([change("Ada", 1, event("e3", skills=("a", 'b"')), retracted=("e1",))])
    store.decide([Decision("d1", "Ada", 3, "{}")])
    store.expose(["q1", "q2"], 1.0)
    store.expose(["q1"], 1.0)
    return store


def contents(store: Store) -> list[object]:
    kept = [list(found) for found in (store.load_many(), store.events(), store.retracted(), store.decisions())]
    return [*kept, store.exposures()]


def test_a_snapshot_holds_all_of_it(filled: Store, tmp_path: Path) -> None:
    filled.snapshot(tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]
    with contextlib.closing(open_store(tmp_path / "copy.db")) as copy:
        assert contents(copy) == contents(filled)
        assert copy.write([Change("Ada", 2, "model", "next")]) == ()
    assert filled.version("Ada") == 2


def test_a_snapshot_overwrites_nothing(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(OutputError, match=r"copy\.db: there is a file already; .* choose another path"):
        filled.snapshot(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


def flip_a_byte(path: Path) -> None:
    """Of the table of events, or of another page."""
    content = bytearray(path.read_bytes())
    place = content.index(b"halves")
    content[place] ^= 1
    path.write_bytes(content)


def lose_a_row(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM decisions")


def lose_an_index_entry(path: Path) -> None:
    content = bytearray(path.read_bytes())
    del content[-4096:]
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_byte, lose_a_row, lose_an_index_entry])
def test_a_snapshot_that_is_not_what_was_written_is_refused(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    """The disk did something else."""
    check, before = snapshot._check, sorted(tmp_path.iterdir())

    def late(copied: Path, *more: object) -> None:
        damage(copied)
        check(copied, *more)

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_check", late)
        with pytest.raises(OutputError, match=r"copy\.db: cannot be written: ") as raised:
            filled.snapshot(tmp_path / "copy.db")
    assert "Ada" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before
    filled.snapshot(tmp_path / "copy.db")


def test_a_snapshot_into_no_folder_is_reported(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file or directory"):
        filled.snapshot(tmp_path / "none" / "copy.db")


def test_a_snapshot_while_others_write_is_of_one_moment(store: Store, change: MakeChange, tmp_path: Path) -> None:
    """Two students always change together, so their versions are equal in any consistent copy."""
    is_over = threading.Event()

    def work() -> int:
        version = 0
        while not is_over.is_set() or not version:
            assert store.write([change("a", version), *(change(f"m{n}", version) for n in range(50)), change("z", version)]) == ()
            version += 1
        return version

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            for number in range(5):
                store.snapshot(tmp_path / f"{number}.db")
        finally:
            is_over.set()
        assert done.result() == store.version("a")
    for number in range(5):
        with contextlib.closing(open_store(tmp_path / f"{number}.db")) as copy:
            assert len({kept.version for _, kept in copy.load_many()}) <= 1


CALLS: dict[str, Callable[[Store], object]] = {
    "version": lambda store: store.version("Ada"),
    "load": lambda store: store.load("Ada"),
    "load_many": lambda store: list(store.load_many()),
    "load_many of some": lambda store: list(store.load_many(["Ada"])),
    "students": lambda store: store.students(),
    "find": lambda store: store.find(["e1"]),
    "events": lambda store: list(store.events()),
    "events of one": lambda store: list(store.events("Ada")),
    "retracted": lambda store: list(store.retracted()),
    "write": lambda store: store.write([Change("Bob", 0, "model", "state")]),
    "forget": lambda store: store.forget("Ada"),
    "decide": lambda store: store.decide([Decision("d2", "Ada", 0, "{}")]),
    "decisions": lambda store: list(store.decisions()),
    "exposures": lambda store: store.exposures(),
    "expose": lambda store: store.expose(["q1"], 1.0),
    "snapshot": lambda store: store.snapshot("never.db"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_closed_store_says_so(filled: Store, name: str) -> None:
    filled.close()
    filled.close()
    with pytest.raises(StoreError, match="the store is closed; open it again"):
        CALLS[name](filled)


@pytest.mark.parametrize("url", ["mysql://server/name", "sqlite://tutor.db", "https://example.org/tutor.db"])
def test_an_unknown_kind_of_store_is_reported(url: str) -> None:
    with pytest.raises(StoreError, match=r"unknown kind of store; expected a path, sqlite:///path, postgresql://.* or memory:"):
        open_store(url)


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
def test_a_file_can_be_named_by_path_or_url(tmp_path: Path, prefix: str) -> None:
    open_store(f"{prefix}{tmp_path}/tutor.db").close()
    assert (tmp_path / "tutor.db").exists()
