"""A history of calls, and whether it is linearizable: as if each call had happened at one moment between its begin and its end.

The search is that of Wing and Gong (1993), which tries the calls that may come first, with a memory of what was
tried (Lowe 2017). A student is a small machine of its own, so that histories are checked student by student.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from simulated import school

UNKNOWN = "unknown"  # what a call gave that met a fault: it may have been done, or not
ABSENT = "no such event"
CONFLICT = "conflict"
NEVER = 2**62  # the end of a call that may still be done when all is over


class Call(NamedTuple):
    """A call of one student."""

    kind: str  # observe, table, retract, forget, decide, history, mastery, all
    student: str
    begin: int
    end: int
    result: Any = UNKNOWN
    events: tuple[str, ...] = ()  # ids that it sends
    gone: str = ""  # the id that it takes back
    decision: str = ""


class State(NamedTuple):
    """What is stored of a student."""

    active: frozenset[str] = frozenset()
    retracted: frozenset[str] = frozenset()
    decisions: frozenset[str] = frozenset()
    corrected: frozenset[tuple[str, str]] = frozenset()  # events, and what replaces each
    waiting: frozenset[tuple[str, str]] = frozenset()  # the same of events that have not come; "": a retraction

    def holds(self, event_id: str) -> bool:
        """Whether the event is stored."""
        return event_id in self.active or event_id in self.retracted

    def waits(self, event_id: str) -> bool:
        """Whether the event waits as the correction of another."""
        return any(each == event_id for _, each in self.waiting)


def after(state: State, call: Call) -> Iterator[State]:
    """The states that a call may lead to, done at one moment; none if its result cannot be."""
    made, result = _RULES[call.kind](state, call)
    if call.result in (UNKNOWN, result):
        yield made
    elif call.result == CONFLICT and call.decision and call.decision not in state.decisions:
        yield state  # an answer to a decision that is not there
    elif call.result in (ABSENT, CONFLICT) and call.gone and not state.holds(call.gone):
        yield state  # the event to take back was forgotten during the call; early versions let nothing wait


def _observe(state: State, call: Call) -> tuple[State, Any]:
    (event_id,), original = call.events, call.gone
    if original and not state.holds(original):
        return _wait(state, original, event_id)
    if original and (state.waits(event_id) or _has_other(state.corrected, original, event_id, state.holds(event_id))):
        return state, CONFLICT
    if not original:
        return (state, False) if state.holds(event_id) or state.waits(event_id) else (_arrived(state, event_id), True)
    is_new = not state.holds(event_id) or original in state.active
    made = _without(state if state.holds(event_id) else _arrived(state, event_id), original)
    if not any(each == original for each, _ in made.corrected):
        made = made._replace(corrected=made.corrected | {(original, event_id)})
    return made, is_new


def _has_other(corrected: Iterable[tuple[str, str]], original: str, event_id: str, is_stored: bool) -> bool:
    return not is_stored and any(each == original and by != event_id for each, by in corrected)


def _wait(state: State, original: str, event_id: str) -> tuple[State, Any]:
    """A correction that comes before what it corrects."""
    there = [by for each, by in state.waiting if each == original and by]
    if there:
        return state, False if event_id in there else CONFLICT
    if state.waits(event_id):
        return state, CONFLICT
    return state._replace(waiting=state.waiting | {(original, event_id)}), True


def _arrived(state: State, event_id: str) -> State:
    """The state after a new event, with all that waited for it."""
    pending = [event_id]
    while pending:
        event_id = pending.pop()
        state = state._replace(active=state.active | {event_id})
        due = frozenset(each for each in state.waiting if each[0] == event_id)
        if due:
            state = _without(state, event_id)
        corrected = frozenset(each for each in due if each[1])
        state = state._replace(waiting=state.waiting - due, corrected=state.corrected | corrected)
        pending += [by for _, by in corrected if not state.holds(by)]
    return state


def _table(state: State, call: Call) -> tuple[State, Any]:
    return _observe(state, call)[0], "done"


def _retract(state: State, call: Call) -> tuple[State, Any]:
    if state.holds(call.gone):
        return _without(state, call.gone), call.gone in state.active
    waiting = (call.gone, "")
    return state._replace(waiting=state.waiting | {waiting}), waiting not in state.waiting


def _forget(state: State, call: Call) -> tuple[State, Any]:
    """A retraction that waits stays, if nobody knows whose event it is about."""
    known = {each for row in state.corrected | state.waiting if row[1] for each in row}
    left = frozenset(row for row in state.waiting if not row[1] and row[0] not in known)
    return State(waiting=left), len(state.active) + len(state.retracted)


def _decide(state: State, call: Call) -> tuple[State, Any]:
    return state._replace(decisions=state.decisions | {call.decision}), "done"


def _history(state: State, call: Call) -> tuple[State, Any]:
    return state, state.active


def _mastery(state: State, call: Call) -> tuple[State, Any]:
    return state, school.opportunities_of(state.active)


def _all(state: State, call: Call) -> tuple[State, Any]:
    return state, state


_RULES = {
    "observe": _observe,
    "table": _table,
    "retract": _retract,
    "forget": _forget,
    "decide": _decide,
    "history": _history,
    "mastery": _mastery,
    "all": _all,
}


def _without(state: State, event_id: str) -> State:
    if event_id not in state.active:
        return state
    return state._replace(active=state.active - {event_id}, retracted=state.retracted | {event_id})


# ---- the search ---------------------------------------------------------------


def is_linearizable(calls: Sequence[Call]) -> bool:
    """Whether the calls of one student can be put in an order that explains every result."""
    calls = sorted(calls, key=lambda call: call.begin)
    needed = sum(1 << n for n, call in enumerate(calls) if call.result != UNKNOWN)
    left, tried = [(0, State())], {(0, State())}
    while left:
        done, state = left.pop()
        if done & needed == needed:
            return True
        for n in _may_come_next(calls, done, needed):
            for made in after(state, calls[n]):
                step = (done | 1 << n, made)
                if step not in tried:
                    tried.add(step)
                    left.append(step)
    return False


def _may_come_next(calls: Sequence[Call], done: int, needed: int) -> Iterator[int]:
    """Calls that are not done, began before any that is not done had to end, and may still be done."""
    waiting = [n for n in range(len(calls)) if not done >> n & 1]
    first_end = min((calls[n].end for n in waiting if needed >> n & 1), default=NEVER)
    latest_begin = max((call.begin for n, call in enumerate(calls) if done >> n & 1), default=0)
    return (n for n in waiting if calls[n].begin <= first_end and calls[n].end >= latest_begin)


def problems(calls: Iterable[Call]) -> list[str]:
    """The students whose history cannot be."""
    by_student: dict[str, list[Call]] = {}
    for call in calls:
        by_student.setdefault(call.student, []).append(call)
    return [_described(name, own) for name, own in sorted(by_student.items()) if not is_linearizable(own)]


def _described(name: str, calls: Sequence[Call]) -> str:
    lines = [f"the history of {name} is not linearizable:"]
    for call in sorted(calls, key=lambda call: call.begin):
        parts = [*call.events, *([f"instead of {call.gone}"] if call.gone else []), *([call.decision] if call.decision else [])]
        end = "..." if call.end == NEVER else call.end
        lines.append(f"  {call.begin:>6} to {end:>6}: {call.kind} {' '.join(parts)} -> {_plain(call.result)}")
    return "\n".join(lines)


def _plain(result: Any) -> Any:
    if isinstance(result, State):
        return "; ".join(f"{name} {sorted(held)}" for name, held in result._asdict().items() if held) or "nothing"
    return sorted(result) if isinstance(result, frozenset) else result
