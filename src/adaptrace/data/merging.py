"""Merging: rows that repeat a response for a further skill become one event, with all of their skills.

Rows say so by one ``event_id``, or by agreeing in everything but the skill: student, item, time and order, outcome, and whatever
else an event has. A response that is read as several, one after the other, lets a model read the answer off the row before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data.values import combined
from adaptrace.errors import counted
from adaptrace.kernels import rows as kernels

IntArray = NDArray[np.int64]

SAME = ("correct", "time", "order", "kind", "response_ms", "event_id")  # columns in which rows of one event agree
MOST = 2**62  # numbers below it are joined without being numbered anew
KEEP = "pass merge=False, on the command line --no-merge, to keep them apart"
GIVE_IDS = "give the rows of one event one event_id, or a list of skills"


class Merging(NamedTuple):
    """How many rows were merged as further skills of a response, and how many only look like it; these counts add up."""

    rows: int = 0  # that became part of the event of another row
    events: int = 0  # that they became part of
    unlike: int = 0  # responses of one student, item and time that differ in their skills and in more than these
    unordered: int = 0  # rows like the row before but for the skill, in a log without time and order

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of results should know."""
        rows, events = counted(self.rows, "row"), counted(self.events, "event")
        merged = f"{rows} merged into {events} as further skills: equal in student, item, time, outcome and all that an event has"
        merged += f" (of other columns the first row stays); {KEEP}"
        unlike = f"{counted(self.unlike, 'response')} kept apart from others of one student, item and time, which differ in skill"
        unordered = f"{counted(self.unordered, 'row')} kept apart from the row before, which differs in nothing but the skill"
        unlike += f" and in outcome or more: if these are rows of one event, {GIVE_IDS}"
        unordered += f"; no time or order tells more: if these are rows of one event, {GIVE_IDS}"
        said = ((self.rows, merged), (self.unlike, unlike), (self.unordered, unordered))
        return tuple(note for count, note in said if count)


NOTHING = Merging()


# ---- skills -----------------------------------------------------------------


def tidy(start: IntArray, skill: pa.DictionaryArray) -> pa.Array:
    """Lists of distinct skills in the order of their names; plain skills if no event has several."""
    codes = skill.indices.to_numpy().astype(np.int32)
    size, start, codes = kernels.tidy_events(start, codes)
    entries = pa.DictionaryArray.from_arrays(codes[:size], skill.dictionary)
    if size == len(start) - 1:
        return entries
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), entries)


def skills_of_events(event: NDArray[Any], n_events: int, skill: pa.Array) -> pa.Array:
    """The skills of all rows of each event together; ``event`` is the event of each row, (n_rows,)."""
    start, entries = _entries(skill)
    entry_event = np.repeat(event, np.diff(start))
    start = kernels.segment_starts(entry_event, n_events)
    grouped = np.empty(len(entry_event), np.int64)
    kernels.group(entry_event, start, grouped)
    return tidy(start, entries.take(pa.array(grouped)))


def _entries(skill: pa.Array) -> tuple[IntArray, pa.DictionaryArray]:
    """Where the skills of each row begin, (n_rows + 1,), and the skills."""
    if pa.types.is_list(skill.type):
        return skill.offsets.to_numpy().astype(np.int64), skill.values
    return np.arange(len(skill) + 1), skill


# ---- rows that agree --------------------------------------------------------


def merged(table: pa.Table) -> tuple[pa.Table, IntArray | None, Merging]:
    """A log's table with rows that differ in nothing but the skill as one event.

    Parameters
    ----------
    table
        Grouped by student and in time order, as that of a log.

    Returns
    -------
    pyarrow.Table
        The first row of each event, with the skills of all of its rows.
    ndarray or None
        The places of these rows, (n_events,); None: all of them.
    Merging
        What was found.
    """
    arrays = {name: combined(table[name]) for name in table.column_names}
    student, item = arrays["student"].indices.to_numpy(), arrays["item"].indices.to_numpy()
    clock = next((arrays[name] for name in ("time", "order") if name in arrays), None)
    if clock is None:
        return table, None, Merging(unordered=_like_the_row_before(arrays, student, item))
    time, marked = clock.cast(pa.int64()).to_numpy(), np.zeros(len(table), np.bool_)
    if not kernels.mark_tied_repeats(student, time, item, len(arrays["item"].dictionary), marked):
        return table, None, Merging()
    return _with_events(table, arrays, np.flatnonzero(marked), time)


def _with_events(
    table: pa.Table, arrays: Mapping[str, pa.Array], rows: IntArray, time: NDArray[np.int64]
) -> tuple[pa.Table, IntArray | None, Merging]:
    """The table with one row for each event, given the rows whose item the student answered more than once at one time."""
    chosen = {name: array.take(pa.array(rows)) for name, array in arrays.items()}
    clock, name = "time" if "time" in arrays else "order", _skill_column(arrays)
    place = _joined([_moments(chosen["student"].indices.to_numpy(), time[rows]), _codes(chosen["item"])])
    same = _joined([place, *(_codes(chosen[each]) for each in SAME if each in chosen and each != clock)])
    again = _equal_rows(_joined([same, _set_codes(chosen[name])])).turn
    event, first, _ = _equal_rows(_joined([same, again]))  # what comes a second time with the same skill is another event
    code = np.arange(len(table))
    code[rows] = rows[first][event]
    leads = code == np.arange(len(table))
    number, kept = np.cumsum(leads) - 1, np.flatnonzero(leads)
    skills = arrays[name] if len(kept) == len(table) else skills_of_events(number[code], len(kept), arrays[name])
    unlike = _differing(_equal_rows(place[first]).number, number[rows[first]], skills)
    found = Merging(len(table) - len(kept), int((np.bincount(event) > 1).sum()), unlike)
    if not found.rows:
        return table, None, found
    rest = table.drop_columns([name]).take(pa.array(kept)).combine_chunks()
    return rest.add_column(2, "skills" if pa.types.is_list(skills.type) else "skill", skills), kept, found


def _like_the_row_before(arrays: Mapping[str, pa.Array], student: NDArray[Any], item: NDArray[Any]) -> int:
    """How many rows differ from the row before in nothing but the skill."""
    rows = np.flatnonzero((student[1:] == student[:-1]) & (item[1:] == item[:-1]))
    if not len(rows):
        return 0
    both = np.stack([rows, rows + 1], axis=1).ravel()
    chosen = {name: array.take(pa.array(both)) for name, array in arrays.items()}
    codes = [_codes(chosen[each]) for each in SAME if each in chosen and each != "event_id"]
    alike = [code.reshape(-1, 2)[:, 0] == code.reshape(-1, 2)[:, 1] for code in codes]
    skill = _set_codes(chosen[_skill_column(arrays)]).reshape(-1, 2)
    return int(np.logical_and.reduce([*alike, skill[:, 0] != skill[:, 1]]).sum())


def _differing(place: IntArray, row: IntArray, skills: pa.Array) -> int:
    """How many events stand at one place with an event of other skills; ``row`` says where the skills of each are."""
    several = np.bincount(place)[place] > 1
    place = _equal_rows(place[several]).number
    pair = _equal_rows(_joined([place, _set_codes(skills.take(pa.array(row[several])))]))
    return int((np.bincount(place[pair.first])[place] > 1).sum())


# ---- codes ------------------------------------------------------------------


def _skill_column(arrays: Mapping[str, pa.Array]) -> str:
    return "skills" if "skills" in arrays else "skill"


def _moments(student: NDArray[Any], time: NDArray[np.int64]) -> IntArray:
    """The number of the student's moment, of rows in their order."""
    changes = (np.diff(student) != 0) | (np.diff(time) != 0)
    return np.concatenate([[0], np.cumsum(changes)])


def _codes(array: pa.Array) -> IntArray:
    """Equal numbers for equal values, null too."""
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode(null_encoding="encode")
    return np.asarray(pc.fill_null(encoded.indices, len(encoded.dictionary))).astype(np.int64)


def _set_codes(skill: pa.Array) -> IntArray:
    """Equal numbers for equal skills, or equal lists of skills."""
    if not pa.types.is_list(skill.type):
        return _codes(skill)
    start, entries = _entries(skill)
    text = pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), entries.indices.cast(pa.string()))
    return _codes(pc.binary_join(text, " "))


def _joined(codes: Iterable[IntArray]) -> IntArray:
    """Equal numbers for rows that are equal in all codes."""
    out, size = np.zeros(0, np.int64), 1
    for code in codes:
        width = int(code.max(initial=0)) + 1
        if size * width >= MOST:
            out, size = _equal_rows(out).number, len(out)
        out = out * width + code if len(out) else code
        size *= width
    return out


class EqualRows(NamedTuple):
    """Rows by a code."""

    number: IntArray  # (n_rows,) of the group of each, in the order of the codes
    first: IntArray  # (n_groups,) the first row of each
    turn: IntArray  # (n_rows,) how many rows of its group stand before each


def _equal_rows(code: IntArray) -> EqualRows:
    """Rows of equal codes as groups; fast where the codes nearly ascend."""
    order = np.argsort(code, kind="stable")
    begins = np.flatnonzero(np.diff(code[order], prepend=code[order[:1]] - 1))
    ranked = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(code)))
    number, turn = np.empty(len(code), np.int64), np.empty(len(code), np.int64)
    number[order], turn[order] = ranked, np.arange(len(code)) - begins[ranked]
    return EqualRows(number, order[begins], turn)
