"""Rows: group them by student, order them, number the opportunities, count the sequences."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

IntArray = NDArray[np.int64]
CodeArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]


class Rows(NamedTuple):
    """A log as numbers: responses of a student are contiguous and in time order.

    A *pair* is one student on one skill; pairs of a student are contiguous, in
    the order in which the student first met the skills.
    """

    student_start: IntArray  # (n_students + 1,) first row of each student
    skill_start: IntArray  # (n_rows + 1,) first entry of each row in `pair`
    pair: CodeArray  # (n_entries,) the pair that each skill of each row belongs to
    opportunity: CodeArray  # (n_entries,) 1-based count of the pair's responses
    pair_start: IntArray  # (n_students + 1,) first pair of each student
    pair_skill: CodeArray  # (n_pairs,)
    correct: FloatArray  # (n_rows,) in [0, 1]


# ---- order ------------------------------------------------------------------


@kernel
def recode(codes: IntArray, offset: int, size: int, out: CodeArray) -> CodeArray:
    """Renumber codes in [offset, offset + size) by first appearance; return the old ones in that order."""
    number = np.full(size, -1, np.int32)
    seen = np.empty(size, np.int32)
    found = 0
    for row in range(len(codes)):
        old = codes[row] - offset
        if number[old] < 0:
            number[old] = found
            seen[found] = old
            found += 1
        out[row] = number[old]
    return seen[:found]


@kernel
def relabel(codes: CodeArray, label: CodeArray, out: CodeArray) -> None:
    """Give every code its label."""
    for row in range(len(codes)):
        out[row] = label[codes[row]]


@kernel
def first_disorder(student: CodeArray, time: IntArray) -> int:
    """First row that breaks the order (student as first met, then time); -1 if none does."""
    for row in range(1, len(student)):
        if student[row] < student[row - 1]:
            return row
        if student[row] == student[row - 1] and time[row] < time[row - 1]:
            return row
    return -1


@kernel
def mark_tied_repeats(student: CodeArray, time: IntArray, item: CodeArray, n_items: int, marked: NDArray[np.bool_]) -> int:
    """Mark the rows whose item the student answered more than once at one time, and return how many they are.

    Rows are in order: by student, then time.
    """
    last = np.full(n_items, -1, np.int64)
    begin, found = 0, 0
    for row in range(1, len(student)):
        if time[row] != time[row - 1] or student[row] != student[row - 1]:
            begin = row
            continue
        if begin == row - 1:
            last[item[begin]] = begin
        before = last[item[row]]
        if before >= begin:
            found += 1 if marked[before] else 2
            marked[before] = marked[row] = True
        last[item[row]] = row
    return found


@kernel
def segment_starts(student: CodeArray, n_students: int) -> IntArray:
    """Where each student's rows begin once they are grouped, shape (n_students + 1,)."""
    start = np.zeros(n_students + 1, np.int64)
    for row in range(len(student)):
        start[student[row] + 1] += 1
    for code in range(n_students):
        start[code + 1] += start[code]
    return start


@kernel
def part(student: CodeArray, start: IntArray, width: int, place: CodeArray) -> None:
    """Where each row goes when rows are put, stably, into parts of ``width`` students each.

    Moving rows part by part first keeps all later moves within a part, and so within the cache.
    """
    n_parts = (len(start) - 2) // width + 1
    free = np.empty(n_parts, np.int64)
    for number in range(n_parts):
        free[number] = start[number * width]
    for row in range(len(student)):
        number = student[row] // width
        place[row] = free[number]
        free[number] += 1


@kernel
def order_parts(student: CodeArray, time: IntArray, start: IntArray, first: int, last: int, origin: CodeArray) -> None:
    """Order the rows of students [first, last), already in their part: ``origin[new row] = row in the part``.

    Stable: rows of equal time keep their order.
    """
    free = start[first:last].copy()
    for row in range(start[first], start[last]):
        place = free[student[row] - first]
        free[student[row] - first] = place + 1
        origin[place] = row
    for code in range(first, last):
        begin, end = start[code], start[code + 1]
        for at in range(begin + 1, end):
            if time[origin[at]] < time[origin[at - 1]]:
                mine = origin[begin:end].copy()
                sequence = np.argsort(time[mine], kind="mergesort")
                for rank in range(end - begin):
                    origin[begin + rank] = mine[sequence[rank]]
                break


@kernel
def move(values: CodeArray, place: CodeArray, out: CodeArray, first: int, last: int) -> None:
    """Put values [first, last) to their places."""
    for row in range(first, last):
        out[place[row]] = values[row]


@kernel
def fetch(values: CodeArray, origin: CodeArray, out: CodeArray, first: int, last: int) -> None:
    """Take values [first, last) of the result from their origins."""
    for row in range(first, last):
        out[row] = values[origin[row]]


@kernel
def group(code: CodeArray, start: IntArray, permutation: IntArray) -> None:
    """Stable bucket by code: ``permutation[new row] = old row``."""
    free = start[:-1].copy()
    for row in range(len(code)):
        permutation[free[code[row]]] = row
        free[code[row]] += 1


@kernel
def tidy_events(start: IntArray, skill: CodeArray) -> tuple[int, IntArray, CodeArray]:
    """Sort the skills of each event and drop repeats; return their number, the new starts and the skills."""
    new_start, out = np.zeros(len(start), np.int64), np.empty(len(skill), np.int32)
    size = 0
    for event in range(len(start) - 1):
        begin = size
        for at in range(start[event], start[event + 1]):
            place = size
            while place > begin and out[place - 1] > skill[at]:
                place -= 1
            if place > begin and out[place - 1] == skill[at]:
                continue
            for move in range(size, place, -1):
                out[move] = out[move - 1]
            out[place] = skill[at]
            size += 1
        new_start[event + 1] = size
    return size, new_start, out


@kernel
def may_be_blank(start: IntArray, letters: NDArray[np.uint8]) -> bool:
    """Whether any text may be blank: it is empty, or begins with a space or a character that is not ASCII.

    Text ``i`` is the bytes ``letters[start[i]:start[i + 1]]``.
    """
    for text in range(len(start) - 1):
        if start[text] == start[text + 1] or letters[start[text]] <= 32 or letters[start[text]] >= 128:
            return True
    return False


# ---- pairs ------------------------------------------------------------------


@kernel
def count_pairs(rows: Rows, skill: CodeArray, n_skills: int, first: int, last: int) -> None:
    """Number of distinct skills of each student in [first, last), into pair_start[student + 1]."""
    seen_by = np.full(n_skills, -1, np.int64)
    for student in range(first, last):
        begin = rows.skill_start[rows.student_start[student]]
        end = rows.skill_start[rows.student_start[student + 1]]
        for at in range(begin, end):
            if seen_by[skill[at]] != student:
                seen_by[skill[at]] = student
                rows.pair_start[student + 1] += 1


@kernel
def number_pairs(rows: Rows, skill: CodeArray, n_skills: int, first: int, last: int) -> None:
    """Fill pair, opportunity and pair_skill of students [first, last)."""
    pair_of = np.full(n_skills, -1, np.int64)
    met = np.zeros(n_skills, np.int32)
    for student in range(first, last):
        fresh = rows.pair_start[student]
        begin = rows.skill_start[rows.student_start[student]]
        end = rows.skill_start[rows.student_start[student + 1]]
        for at in range(begin, end):
            code = skill[at]
            if pair_of[code] < rows.pair_start[student]:
                pair_of[code] = fresh
                met[code] = 0
                rows.pair_skill[fresh] = code
                fresh += 1
            met[code] += 1
            rows.pair[at] = pair_of[code]
            rows.opportunity[at] = met[code]


@kernel
def match(start: IntArray, student: IntArray, skill: IntArray, rows: Rows, at: IntArray, pair: IntArray) -> int:
    """Which rows of a table are of a pair of a log; write their places and pairs, and return how many there are.

    Rows ``[start[run], start[run + 1])`` of the table are of the log's student ``student[run]``, -1 if of none, and ``skill``
    says the log's skill of each row.
    """
    found = 0
    for run in range(len(student)):
        if student[run] < 0:
            continue
        first, last = rows.pair_start[student[run]], rows.pair_start[student[run] + 1]
        for row in range(start[run], start[run + 1]):
            for mine in range(first, last):
                if rows.pair_skill[mine] == skill[row]:
                    at[found], pair[found] = row, mine
                    found += 1
                    break
    return found


@kernel
def gaps(rows: Rows, time: IntArray, unit: float, first: int, last: int, out: FloatArray) -> None:
    """Time since the pair's last response, in units, of every entry of students [first, last); 0 for the first."""
    begin = rows.pair_start[first]
    before = np.zeros(rows.pair_start[last] - begin, np.int64)
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            place = rows.pair[at] - begin
            out[at] = (time[row] - before[place]) / unit if rows.opportunity[at] > 1 else 0.0
            before[place] = time[row]
