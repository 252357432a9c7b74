"""The search for an order of calls finds one where there is one, and says so where there is none."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from simulated import history
from simulated.history import ABSENT, CONFLICT, NEVER, UNKNOWN, Call, State, after, is_linearizable


def observe(event_id: str, begin: int, end: int, result: object = True, gone: str = "") -> Call:
    return Call("observe", "a", begin, end, result, (f"a/{event_id}",), gone and f"a/{gone}")


def forget(begin: int, end: int, result: object) -> Call:
    return Call("forget", "a", begin, end, result)


def read(begin: int, end: int, *event_ids: str) -> Call:
    return Call("history", "a", begin, end, frozenset(f"a/{event_id}" for event_id in event_ids))


POSSIBLE = {
    "nothing": [],
    "one after the other": [observe("1", 1, 2), observe("1", 3, 4, False), read(5, 6, "1")],
    "both at once, one is first": [observe("1", 1, 4), observe("1", 2, 3, False)],
    "a forget in the midst of a call": [observe("1", 1, 6), forget(2, 3, 0), read(4, 5)],
    "a lost reply, done": [observe("1", 1, 2, UNKNOWN), read(3, 4, "1")],
    "a lost reply, not done": [observe("1", 1, 2, UNKNOWN), read(3, 4)],
    "a lost reply, done long after": [observe("1", 1, NEVER, UNKNOWN), read(3, 4), read(5, 6, "1")],
    "a correction": [observe("1", 1, 2), observe("2", 3, 4, True, "1"), read(5, 6, "2"), forget(7, 8, 2)],
    "a correction of what was corrected": [observe("1", 1, 2), observe("2", 3, 4, True, "1"), observe("3", 5, 6, CONFLICT, "1")],
    "a correction that waits": [observe("2", 1, 2, True, "1"), read(3, 4), observe("1", 5, 6), read(7, 8, "2")],
    "corrections that wait in a row": [
        observe("3", 1, 2, True, "2"),
        observe("2", 3, 4, True, "1"),
        observe("1", 5, 6),
        read(7, 8, "3"),
        forget(9, 10, 3),
    ],
}
IMPOSSIBLE = {
    "an event that is lost": [observe("1", 1, 2), read(3, 4)],
    "an event that is new twice": [observe("1", 1, 2), observe("1", 3, 4)],
    "an event that nobody sent": [read(1, 2, "1")],
    "an event that comes back": [observe("1", 1, 2), forget(3, 4, 1), read(5, 6, "1")],
    "a forget that counts what comes later": [forget(1, 2, 1), observe("1", 3, 4)],
    "a retraction that is undone": [
        observe("1", 1, 2),
        Call("retract", "a", 3, 4, True, gone="a/1"),
        read(5, 6, "1"),
    ],
    "a lost reply that is done after its end": [observe("1", 1, 2, UNKNOWN), read(3, 4), read(5, 6, "1")],
    "reads that disagree on the order": [observe("1", 1, 9), read(2, 3, "1"), read(4, 5)],
    "a correction that is there before its original": [observe("2", 1, 2, True, "1"), read(3, 4, "2")],
    "an error for nothing": [observe("1", 1, 2), Call("retract", "a", 3, 4, ABSENT, gone="a/1")],
}


@pytest.mark.parametrize("name", POSSIBLE)
def test_a_history_that_can_be_is_found(name: str) -> None:
    assert is_linearizable(POSSIBLE[name])


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_history_that_cannot_be_is_told(name: str) -> None:
    assert not is_linearizable(IMPOSSIBLE[name])
    assert "not linearizable" in history.problems(IMPOSSIBLE[name])[0]


def in_some_order(calls: Sequence[Call]) -> bool:
    """The slow way: every subset with all calls that are known to be done, in every order."""
    for size in range(len(calls) + 1):
        for some in itertools.permutations(calls, size):
            missing = set(calls) - set(some)
            if any(call.result != UNKNOWN for call in missing):
                continue
            if any(later.end < earlier.begin for earlier, later in itertools.combinations(some, 2)):
                continue
            states = {State()}
            for call in some:
                states = {made for state in states for made in after(state, call)}
            if states:
                return True
    return False


@pytest.mark.parametrize("seed", range(40))
def test_the_search_agrees_with_the_slow_way(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        times = sorted(chance.sample(range(100), 10))
        chance.shuffle(times)
        spans = [sorted(times[2 * n : 2 * n + 2]) for n in range(5)]
        calls = [
            chance.choice(
                [
                    observe(chance.choice("12"), *span, chance.choice([True, False, UNKNOWN])),
                    forget(*span, chance.choice([0, 1, UNKNOWN])),
                    read(*span, *chance.choice(["", "1", "2", "12"])),
                ]
            )
            for span in spans
        ]
        assert is_linearizable(calls) == in_some_order(calls)
