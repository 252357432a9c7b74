"""Tries: the sequences of a log's observations counted, and tries added to each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import parallel
from adaptrace.kernels import trie as kernels
from adaptrace.kernels.arrays import space
from adaptrace.kernels.rows import Rows
from adaptrace.kernels.trie import Growth, Trie

CodeArray = NDArray[np.int32]


# ---- counting ---------------------------------------------------------------


def bits_for(n_observations: int) -> int:
    """Binary digits that number so many observations."""
    return max(1, int(n_observations - 1).bit_length())


def sequences_of(rows: Rows, code: CodeArray, n_skills: int) -> tuple[NDArray[np.int64], CodeArray]:
    """Where the responses on each skill begin, (n_skills + 1,), and their observations' codes; ~code where a student begins."""
    spans = parallel.spans(rows.student_start, parallel.cores())
    entries = np.zeros((len(spans), n_skills), np.int64)
    parallel.run(kernels.tally, [(rows, *span, mine) for span, mine in zip(spans, entries, strict=True)])
    start = np.concatenate([[0], np.cumsum(entries.sum(axis=0))])
    free = start[:-1] + np.cumsum(entries, axis=0) - entries
    sequence = space(len(code), np.int32)
    parallel.run(kernels.sort, [(rows, code, *span, mine, sequence) for span, mine in zip(spans, free, strict=True)])
    return start, sequence


def count(sequence: CodeArray, start: NDArray[np.int64], bits: int) -> Trie:
    """The trie of skills with these responses."""
    entries = np.diff(start)
    trie = _empty(len(entries), int(entries.sum()))
    kernels.count_sequences(sequence, start, bits, _growth(1 + bits * int(entries.max())), trie)
    return _trimmed(trie)


def _growth(capacity: int) -> Growth:
    return Growth(space(2 * capacity, np.int32).reshape(capacity, 2), space(capacity, np.int64), space(capacity, np.int32))


def _empty(n_skills: int, nodes: int) -> Trie:
    """A trie with space for so many nodes."""
    return Trie(np.zeros(n_skills + 1, np.int64), space(nodes, np.int32), space(nodes, np.int32), space(nodes, np.int64))


def _trimmed(trie: Trie) -> Trie:
    """A trie without the space that was not needed."""
    nodes = trie.start[-1]
    return Trie(trie.start, trie.parent[:nodes], trie.symbol[:nodes], trie.students[:nodes])


# ---- adding -----------------------------------------------------------------


def join(parts: Sequence[tuple[NDArray[np.int64], Trie]], first: int, last: int, bits: int) -> Trie:
    """The trie of skills [first, last), of tries whose skills are at these places of all."""
    own = []
    for place, trie in parts:
        begin, end = np.searchsorted(place, (first, last))
        own.append(((place[begin:end] - first).astype(np.int32), cut_out(trie, begin, end)))
    nodes, size = sum(len(trie.parent) for _, trie in own), last - first
    growth = _growth(size + bits * nodes)
    growth.child[:size], growth.students[:size] = 0, 0
    for root, trie in own:
        size = kernels.graft(trie, root, bits, growth, size)
    out = _empty(last - first, nodes)
    kernels.flatten_all(growth, bits, out)
    return _trimmed(out)


def cut_out(trie: Trie, first: int, last: int) -> Trie:
    """The trie of skills [first, last)."""
    begin, end = trie.start[first], trie.start[last]
    start = trie.start[first : last + 1] - begin
    return Trie(start, trie.parent[begin:end], trie.symbol[begin:end], trie.students[begin:end])


def concatenate(tries: Sequence[Trie]) -> Trie:
    """One trie of the skills of several, one after another."""
    base = np.cumsum([0] + [len(trie.parent) for trie in tries])
    start = np.concatenate([trie.start[:-1] + at for trie, at in zip(tries, base, strict=False)] + [base[-1:]])
    whole = _empty(len(start) - 1, base[-1])

    def put(number: int) -> None:
        for part, out in zip(tries[number][1:], whole[1:], strict=True):
            out[base[number] : base[number + 1]] = part

    parallel.run(put, [(number,) for number in range(len(tries))])
    return whole._replace(start=start)
