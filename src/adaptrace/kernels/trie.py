"""Trie: the response sequences of a skill counted, equal prefixes shared."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

CodeArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Trie(NamedTuple):
    """The response sequences of one or more skills, equal prefixes shared.

    Nodes of a skill are contiguous and in breadth-first order, so a parent
    stands before its children: two tries of the same sequences are equal.
    """

    start: IntArray  # (n_skills + 1,) first node of each skill
    parent: CodeArray  # (n_nodes,) counted from the skill's first node; -1: no response before
    symbol: CodeArray  # (n_nodes,) what was seen of this response: its outcome, its item, ...
    students: IntArray | FloatArray  # (n_nodes,) how many passed through; as floats for the fit


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
