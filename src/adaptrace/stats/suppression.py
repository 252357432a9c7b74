"""Suppression: counts that are too small to show, made large enough or taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.kernels import trie as kernels
from adaptrace.kernels.trie import Trie

CodeArray = NDArray[np.int32]


@dataclass(frozen=True)
class SuppressionLoss:
    """What suppression cost. It reveals exact differences: it is for those who hold the log, not to be published.

    Attributes
    ----------
    min_students
        How many students every published count is of, at least.
    responses, kept
        Responses before and after.
    students
        How many times a student who met a skill is no longer counted on it.
    skills
        How many skills are left out.
    """

    min_students: int
    responses: int
    kept: int
    students: int
    skills: int

    @property
    def share(self) -> float:
        """The share of the responses that was lost."""
        return 1.0 - self.kept / self.responses if self.responses else 0.0

    def __str__(self) -> str:
        lost = f"{self.responses - self.kept:,} of {self.responses:,} responses lost ({self.share:.1%})"
        skills = f"{self.skills:,} skill{'s' * (self.skills != 1)} left out"
        return (
            f"{self.min_students} students or more in every count: {lost}\n"
            f"{self.students:,} times a student is no longer counted on a skill, {skills}"
        )


def thinned(trie: Trie, factors: pa.Table, min_students: int) -> Trie:
    """The sequences, cut short until ``min_students`` or more students end wherever any end; nodes of none are left out.

    Where the next outcome would be shown of too few students, it is shown of none: to drop the rare outcome alone, or to give it
    to the students before it, would make the common one look more common (with guess and slip wrong by several percent, while
    this way costs evidence alone). Where too few end, students who go on end there too, as many from every branch as its share.

    Parameters
    ----------
    trie
        Not changed.
    factors
        What the observations distinguish beside the outcome, one row each: the next response is shown, or not, for all outcomes
        of equal factors together.
    min_students
        Students.
    """
    group = _groups(factors)
    students = np.zeros(len(trie.parent), np.int64)
    kernels.thin(trie, group, int(group.max(initial=-1)) + 1, min_students, students)
    kept = students > 0
    place = np.concatenate([[0], np.cumsum(kept)])
    start = place[trie.start]
    skill = np.repeat(np.arange(len(start) - 1), np.diff(trie.start))[kept]
    above = trie.parent[kept]
    parent = np.where(above < 0, -1, place[trie.start[skill] + above] - start[skill])
    return Trie(start, parent.astype(np.int32), trie.symbol[kept], students[kept])


def _groups(factors: pa.Table) -> CodeArray:
    """A number for each observation, the same where the factors are."""
    code = np.zeros(len(factors), np.int64)
    for column in factors.columns:
        coded = column.combine_chunks().dictionary_encode()
        code = code * max(len(coded.dictionary), 1) + coded.indices.to_numpy()
        code = np.unique(code, return_inverse=True)[1]
    return code.astype(np.int32)
