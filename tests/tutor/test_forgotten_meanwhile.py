"""A student who is forgotten in the midst of another call, made to happen: what the simulation found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import adaptrace as at
from tutor.conftest import MINUTE, NOW

Open = Callable[..., at.Tutor]


def forgets_before(tutor: at.Tutor, name: str, call: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget Ana before the store's method is called for the n-th time."""
    real, calls = getattr(tutor.store, name), []

    def method(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == call:
            tutor.store.forget("ana")
        return real(*arguments)

    monkeypatch.setattr(tutor.store, name, method)


def test_a_second_delivery_without_a_time_is_stored_if_the_first_is_forgotten_meanwhile(
    open_tutor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store has the event with another time, and has it no longer when its time is looked up."""
    times = iter([NOW, NOW + MINUTE, NOW + 2 * MINUTE])
    tutor = open_tutor(clock=lambda: next(times))
    assert tutor.observe("ana", "a1", 1, event_id="e1") is True
    forgets_before(tutor, "find", 2, monkeypatch)
    assert tutor.observe("ana", "a1", 1, event_id="e1") is True
    assert tutor.history("ana")["event_id"].to_pylist() == ["e1"]


def test_an_answer_to_a_decision_that_was_forgotten_meanwhile_can_be_corrected(
    open_tutor: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    tutor = open_tutor()
    tutor.recommend("ana", decision_id="d1")
    with monkeypatch.context() as patch:
        forgets_before(tutor, "write", 1, patch)
        assert tutor.observe("ana", "a1", 1, event_id="e1", time=NOW, decision_id="d1") is True
    assert tutor.observe("ana", "a1", 0, event_id="e2", time=NOW, replaces="e1") is True
    assert tutor.history("ana")["event_id"].to_pylist() == ["e2"]
    with pytest.raises(at.ConflictError, match="no such decision in the store"):
        tutor.observe("ana", "a1", 0, time=NOW, decision_id="d1")


def test_a_second_retraction_does_not_bring_a_forgotten_student_back(open_tutor: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    tutor = open_tutor()
    tutor.observe("ana", "a1", 1, event_id="e1", time=NOW)
    assert tutor.retract("e1") is True
    real = tutor.store.find

    def find(event_ids: list[str]) -> object:
        found = real(event_ids)
        tutor.store.forget("ana")
        return found

    monkeypatch.setattr(tutor.store, "find", find)
    assert tutor.retract("e1") is False
    assert tutor.store.students() == []
