"""Roll-ups by class, school, skill: mastery now, and its growth between two dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.models.criterion import Criterion
from adaptrace.report.disclosure import bounded_mean, bounded_share, check_min_students, withhold
from adaptrace.report.mastery_table import IntArray, Mastery, read
from adaptrace.report.roster import BITS, UNIT, Tally
from adaptrace.report.spill import SHARDS, SpilledRows, packed

BLOCK = 1024  # students next to each other in the roster share their cells, so they wait together
PAIR = np.dtype([("student", np.int32), ("skill", np.int32), ("mastery", np.float64)])


def check(threshold: float, min_students: int = 1) -> None:
    """Raise a ValueError of all that is wrong with a threshold and a minimum."""
    problems = [] if 0.0 < threshold < 1.0 else [f"threshold: got {threshold}; expected a mastery between 0 and 1"]
    if problems := problems + check_min_students(min_students):
        raise ValueError("; ".join(problems))


def mastery_by(
    mastery: Mastery,
    by: str | Sequence[str] = ("class", "skill"),
    *,
    roster: Any = None,
    threshold: float = Criterion.threshold,
    min_students: int = 10,
) -> pa.Table:
    """Mastery by class, school, skill or what else a roster tells, over tables of any size.

    A student counts in each of their classes; who is not in the roster counts under null. Each student on each skill they
    met has the same weight. Sums are kept to 2^-32 a row, so that the result is the same, to the bit, whatever the order of
    the rows and however they are cut into files.

    **What is withheld.** Cells of fewer than ``min_students`` students are ``withheld``: everything but their name is null.
    If a total less the cells that are shown gave a withheld cell away, the next smallest cell is withheld too, to protect it.
    This is done in every direction: the withheld cells of a line (one skill across classes, one class across skills) are at
    least two and of ``min_students`` students together, or the whole line is withheld. So nobody finds a figure by subtraction
    within a table or from its totals. Systems of equations over several tables by other columns may still find one (Cox, 1980):
    publish one table. A share of 0 or 1 would say the same of every single student; with a minimum, shares therefore lie in
    [1/n, 1 - 1/n] of n pairs and means in [threshold/n, 1 - (1 - threshold)/n], so that one student may always be unlike the
    others. A share at an end reads "at most" or "at least". ``min_students=1`` switches all of this off.

    Parameters
    ----------
    mastery
        What :meth:`BKT.score <adaptrace.BKT.score>` or ``adaptrace score`` gave: an Arrow table, a file, a folder of Parquet
        files or a glob. It is read batch by batch; the memory grows with the students and the cells, not with the rows.
    by
        Columns of the roster, and ``"skill"``.
    roster
        ``student`` and these columns; a row for each class of a student. An Arrow table or a file.
    threshold
        The mastery that counts as mastered.
    min_students
        The fewest students that a figure may be of.

    Returns
    -------
    pyarrow.Table
        A row a cell, sorted, with names as text: the columns of ``by``, ``students``, ``pairs`` (a student on a skill),
        ``mastery`` (mean), ``mastered`` (share at ``threshold`` or above), ``certain`` (share whose ``low`` is),
        ``opportunities`` (mean), ``withheld``.

    Raises
    ------
    ValueError
        If ``by``, ``threshold`` or ``min_students`` cannot be.
    DataError
        If a table lacks a column or holds what it must not; a student has a skill twice.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.sample_log()
    >>> table = at.report.mastery_by(at.BKT().fit(log).score(log), "class", roster=log.table)
    >>> table.column_names
    ['class', 'students', 'pairs', 'mastery', 'mastered', 'certain', 'opportunities', 'withheld']
    """
    check(threshold, min_students)
    tally = Tally(by, roster, "mastery", "mastered", "certain", "opportunities")
    for rows in read(mastery, tally.students, tally.skills, ("mastery", "low", "opportunities")):
        known, low, opportunities = rows.values.values()
        flags = {"mastered": known >= threshold, "certain": low >= threshold}
        pairs = np.ones(len(known))
        tally.add(rows.student, rows.skill, pairs=pairs, mastery=units(known), **flags, opportunities=opportunities)
    cells = tally.total()
    of = numbers_of(cells)
    figures = {
        "pairs": of["pairs"],
        "mastery": bounded_mean(of["mastery"] / UNIT, of["pairs"], threshold, min_students, top=1.0 - threshold),
        "mastered": bounded_share(of["mastered"], of["pairs"], min_students),
        "certain": bounded_share(of["certain"], of["pairs"], min_students),
        "opportunities": of["opportunities"] / of["pairs"],
    }
    return withhold(cells, tally.by, figures, min_students)


def growth(
    before: Mastery,
    after: Mastery,
    *,
    by: str | Sequence[str] = ("class", "skill"),
    roster: Any = None,
    threshold: float = Criterion.threshold,
    min_students: int = 10,
) -> pa.Table:
    """How mastery grew between two dates, of the students and skills that both tables hold.

    The figures are of these pairs alone, so that a student who comes or leaves does not look like growth. Rows wait by student
    in memory, then in temporary files (``TMPDIR``; 16 bytes a row). What is withheld, and how shares and means are bounded: as
    in :func:`mastery_by`.

    Parameters
    ----------
    before, after
        Two mastery tables, each as in :func:`mastery_by`.
    by, roster, threshold, min_students
        As in :func:`mastery_by`.

    Returns
    -------
    pyarrow.Table
        A row a cell, sorted: the columns of ``by``; ``students`` and ``pairs`` in both tables; pairs that are ``new``, and those
        that are ``gone``; mean mastery ``before`` and ``after``, ``gain`` = their difference; ``newly_mastered`` and ``lost``,
        the shares of the pairs that rose to ``threshold`` or above, and that fell below; ``withheld``. Figures of no pairs are
        null.

    Raises
    ------
    ValueError, DataError
        As in :func:`mastery_by`.
    OutputError
        If the temporary files find no room.

    Examples
    --------
    >>> import adaptrace as at
    >>> autumn = {"student": ["Ada", "Ben"], "skill": ["halves"] * 2, "mastery": [0.5, 0.75]}
    >>> spring = {"student": ["Ada", "Cem"], "skill": ["halves"] * 2, "mastery": [0.75, 0.5]}
    >>> table = at.report.growth(autumn, spring, by="skill", min_students=1)
    >>> table.select(["skill", "students", "new", "gone", "gain"]).to_pylist()
    [{'skill': 'halves', 'students': 1, 'new': 1, 'gone': 1, 'gain': 0.25}]
    """
    check(threshold, min_students)
    tally = Tally(by, roster, "new", "gone", "before", "after", "newly_mastered", "lost")
    with SpilledRows(PAIR) as old, SpilledRows(PAIR) as new:
        for spilled, table in ((old, before), (new, after)):
            for rows in read(table, tally.students, tally.skills):
                spilled.add(rows.student // BLOCK % SHARDS, packed(PAIR, rows.student, rows.skill, rows.values["mastery"]))
        for pair in zip(old.shards(), new.shards(), strict=True):
            _grow(tally, *pair, threshold)
    cells = tally.total()
    of = numbers_of(cells)
    means = {
        name: bounded_mean(of[name] / UNIT, of["pairs"], threshold, min_students, top=1.0 - threshold)
        for name in ("before", "after")
    }
    figures = {
        **{name: of[name] for name in ("pairs", "new", "gone")},
        **means,
        "gain": means["after"] - means["before"],
        **{name: bounded_share(of[name], of["pairs"], min_students) for name in ("newly_mastered", "lost")},
    }
    return withhold(cells, tally.by, figures, min_students)


def _grow(tally: Tally, old: NDArray[Any], new: NDArray[Any], threshold: float) -> None:
    """Add the pairs of some students, at two dates."""
    rows, date = np.concatenate([old, new]), np.repeat([0, 1], [len(old), len(new)])
    key = rows["student"].astype(np.int64) << BITS | rows["skill"]
    order = np.argsort(key)
    another = np.diff(key[order], prepend=-1) > 0
    key, known = key[order[another]], np.full((2, int(another.sum())), np.nan)
    known[date[order], np.cumsum(another) - 1] = rows["mastery"][order]
    here = ~np.isnan(known)
    both, known = here.all(axis=0), np.where(here.all(axis=0), known, 0.0)
    mastered = known >= threshold
    tally.add(
        key >> BITS,
        key & ((1 << BITS) - 1),
        pairs=both,
        new=~here[0],
        gone=~here[1],
        before=units(known[0]),
        after=units(known[1]),
        newly_mastered=mastered[1] & ~mastered[0],
        lost=mastered[0] & ~mastered[1],
    )


def units(probability: NDArray[np.float64]) -> IntArray:
    """Probabilities as whole numbers of 2^-32."""
    return np.rint(probability * UNIT).astype(np.int64)


def numbers_of(cells: pa.Table) -> dict[str, NDArray[Any]]:
    """``students`` and all sums after it."""
    start = cells.column_names.index("students")
    return {name: cells[name].to_numpy() for name in cells.column_names[start:]}
