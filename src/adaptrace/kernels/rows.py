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


class Trie(NamedTuple):
    """The response sequences of one or more skills, equal prefixes shared.

    Nodes of a skill are contiguous and in breadth-first order, so a parent
    stands before its children: two tries of the same sequences are equal.
    """

    start: IntArray  # (n_skills + 1,) first node of each skill
    parent: CodeArray  # (n_nodes,) counted from the skill's first node; -1: no response before
    symbol: CodeArray  # (n_nodes,) what was seen of this response: its outcome, its item, ...
    students: IntArray | FloatArray  # (n_nodes,) how many passed through; as floats for the fit


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


# ---- sequences --------------------------------------------------------------
#
# The responses of a log are put skill by skill, those of a pair together: `sequence` (n_entries,)
# holds the symbol of each, or ~symbol where a pair begins.
#
# A growing trie needs no more than room: its arrays may hold anything but for the roots, which are
# zero. A symbol in [0, 2**bits) takes `bits` binary hops, so right and wrong cost one hop and
# thousands of symbols a few.


class Growth(NamedTuple):
    """A growing trie; 0 where there is no child."""

    child: CodeArray  # (capacity, 2)
    students: IntArray  # (capacity,) how many passed through each node
    origin: CodeArray  # (capacity,) scratch of :func:`flatten`


@kernel
def tally(rows: Rows, first: int, last: int, entries: IntArray) -> None:
    """Count the responses of students [first, last) on each skill."""
    for at in range(rows.skill_start[rows.student_start[first]], rows.skill_start[rows.student_start[last]]):
        entries[rows.pair_skill[rows.pair[at]]] += 1


@kernel
def sort(rows: Rows, symbol: CodeArray, first: int, last: int, free: IntArray, sequence: CodeArray) -> None:
    """Put the responses of students [first, last) skill by skill, those on ``skill`` from ``free[skill]`` on."""
    for at in range(rows.skill_start[rows.student_start[first]], rows.skill_start[rows.student_start[last]]):
        skill = rows.pair_skill[rows.pair[at]]
        sequence[free[skill]] = symbol[at] if rows.opportunity[at] > 1 else ~symbol[at]
        free[skill] += 1


@kernel
def descend(growth: Growth, size: int, node: int, symbol: int, bits: int) -> tuple[int, int]:
    """Follow one symbol down from a node, making what is missing; return (node, new size)."""
    for bit in range(bits - 1, -1, -1):
        turn = (symbol >> bit) & 1
        below = growth.child[node, turn]
        if below == 0:
            below = size
            growth.child[node, turn] = below
            growth.child[below, 0], growth.child[below, 1], growth.students[below] = 0, 0, 0
            size += 1
        node = below
    return node, size


@kernel
def grow(sequence: CodeArray, begin: int, end: int, bits: int, growth: Growth) -> None:
    """Count the sequences [begin, end) of one skill into a trie with root 0."""
    growth.child[0, 0], growth.child[0, 1] = 0, 0
    node, size = 0, 1
    for at in range(begin, end):
        symbol = sequence[at]
        if symbol < 0:
            node, symbol = 0, ~symbol
        node, size = descend(growth, size, node, symbol, bits)
        growth.students[node] += 1


@kernel
def graft(trie: Trie, root: CodeArray, bits: int, growth: Growth, size: int) -> int:
    """Add a finished trie, skill ``s`` at node ``root[s]``, to a growing one; return its size."""
    at_node = np.empty(len(trie.parent), np.int32)
    for skill in range(len(root)):
        base = trie.start[skill]
        for index in range(base, trie.start[skill + 1]):
            above = root[skill] if trie.parent[index] < 0 else at_node[base + trie.parent[index]]
            node, size = descend(growth, size, above, trie.symbol[index], bits)
            growth.students[node] += trie.students[index]
            at_node[index] = node
    return size


@kernel
def flatten(growth: Growth, root: int, bits: int, trie: Trie, skill: int) -> None:
    """Write what grew from a root in breadth-first order, as the next skill of a trie."""
    base = trie.start[skill]
    size = base
    head = base - 1
    while head < size:
        above = root if head < base else growth.origin[head - base]
        symbol = 0
        while symbol < 1 << bits:
            node, missing = above, bits
            while missing > 0 and (missing == bits or node != 0):
                missing -= 1
                node = growth.child[node, (symbol >> missing) & 1]
            if node != 0:
                trie.parent[size] = head - base
                trie.symbol[size] = symbol
                trie.students[size] = growth.students[node]
                growth.origin[size - base] = node
                size += 1
            symbol = ((symbol >> missing) + 1) << missing  # past everything under a missing turn
        head += 1
    trie.start[skill + 1] = size


@kernel
def flatten_all(growth: Growth, bits: int, trie: Trie) -> None:
    """Write a growing trie, the skills at nodes 0, 1, ..."""
    trie.start[0] = 0
    for skill in range(len(trie.start) - 1):
        flatten(growth, skill, bits, trie, skill)


@kernel
def count_sequences(sequence: CodeArray, start: IntArray, bits: int, growth: Growth, trie: Trie) -> None:
    """The trie of skills whose responses are ``sequence[start[skill]:start[skill + 1]]``."""
    trie.start[0] = 0
    for skill in range(len(start) - 1):
        grow(sequence, start[skill], start[skill + 1], bits, growth)
        flatten(growth, 0, bits, trie, skill)


@kernel
def sum_up(trie: Trie, first: int, last: int) -> None:
    """Turn how many sequences end at each node of skills [first, last) into how many pass through it, in place."""
    for skill in range(first, last):
        begin = trie.start[skill]
        for node in range(trie.start[skill + 1] - 1, begin - 1, -1):
            if trie.parent[node] >= 0:
                trie.students[begin + trie.parent[node]] += trie.students[node]


@kernel
def take_apart(trie: Trie, first: int, last: int) -> None:
    """Turn how many students pass through each node of skills [first, last) into how many sequences end there, in place."""
    for skill in range(first, last):
        begin = trie.start[skill]
        for node in range(begin, trie.start[skill + 1]):
            if trie.parent[node] >= 0:
                trie.students[begin + trie.parent[node]] -= trie.students[node]


@kernel
def share_out(
    trie: Trie,
    group: CodeArray,
    minimum: int,
    children: tuple[int, int],
    passing: tuple[int, int],
    broken: IntArray,
    out: IntArray,
) -> None:
    """Send ``have`` of the ``whole`` students at a node on to its children; to none where one would get too few."""
    (below, above), (whole, have) = children, passing
    if below == above:
        return
    for child in range(below, above):
        if trie.students[child] * have < minimum * whole:
            broken[group[trie.symbol[child]]] = below
    going = 0
    for child in range(below, above):
        if broken[group[trie.symbol[child]]] != below:
            going += trie.students[child]
    stay = ((whole - going) * have + whole - 1) // whole
    move = have - (max(stay, minimum) if stay > 0 else 0)
    counted, sent, enough = 0, 0, True
    for child in range(below, above):
        if broken[group[trie.symbol[child]]] != below:
            counted += trie.students[child]
            upto = (2 * counted * move + going) // (2 * going)
            out[child], sent = upto - sent, upto
            enough = enough and out[child] >= minimum
    if not enough:
        for child in range(below, above):
            out[child] = 0


@kernel
def thin(trie: Trie, group: CodeArray, n_groups: int, minimum: int, out: IntArray) -> None:
    """Cut sequences short until ``minimum`` or more end wherever any end; how many then pass each node into ``out`` (zeros).

    From the root down: a node's ``have`` students go on to its children in proportion to those who did. Children whose symbols
    are of one ``group`` (they differ by their outcome) are kept all or none, so that what is kept says nothing of the outcome.
    """
    broken = np.full(n_groups, -1, np.int64)
    for skill in range(len(trie.start) - 1):
        begin, end = trie.start[skill], trie.start[skill + 1]
        child, everyone = begin, 0
        while child < end and trie.parent[child] < 0:
            everyone += trie.students[child]
            child += 1
        share_out(trie, group, minimum, (begin, child), (everyone, everyone), broken, out)
        for node in range(begin, end):
            below = child
            while child < end and trie.parent[child] == node - begin:
                child += 1
            if out[node] > 0:
                share_out(trie, group, minimum, (below, child), (trie.students[node], out[node]), broken, out)
