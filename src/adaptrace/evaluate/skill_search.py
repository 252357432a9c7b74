"""Skill models: whether a skill is two, or two skills are one, by how well each answer predicts the next.

After learning factors analysis (Cen, Koedinger & Junker, 2006): a search over q-matrices (which item has which skills), judged by
cross-validated log loss and BIC. Candidates are found among half of the students and judged on the other half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import DataError, Problem, counted
from adaptrace.evaluate.candidates import QMatrix, SkillChange, factor_splits, factors_of, merges, splits
from adaptrace.evaluate.folds import whole
from adaptrace.evaluate.skill_models import Judgement, judged, residuals, totals_of
from adaptrace.models.base import Progress

FloatArray = NDArray[np.float64]

FEWEST_STUDENTS, FEWEST_ROWS = 40, 1000  # of a search: half of them find candidates, half judge
SIGNIFICANT = 0.05  # after the correction for all candidates that were judged so far
ROUNDS = 3


class Finding(NamedTuple):
    """A candidate and what was found of it."""

    change: SkillChange
    judgement: Judgement
    accepted: bool


@dataclass(frozen=True, eq=False, repr=False)
class SkillSearch:
    """What :func:`search_skills` found; ``str`` says it in words.

    Attributes
    ----------
    findings
        Every candidate that was judged: the accepted ones in the order in which they were accepted, then the others, best first.
    skills
        The skills of every item after the accepted changes: item -> skills.
    """

    findings: Sequence[Finding]
    skills: Mapping[str, tuple[str, ...]]

    @property
    def accepted(self) -> list[SkillChange]:
        """The changes that were accepted, in the order in which they were."""
        return [finding.change for finding in self.findings if finding.accepted]

    @property
    def table(self) -> pa.Table:
        """One row for each candidate.

        ``change`` (split or merge), ``skills`` (before it), ``becomes`` (after it), ``items`` (of the new skill of a split),
        ``accepted``; ``difference``: log loss with the change less without it, in nats per response of all students that judge
        (responses on other skills count as 0, so all candidates are on one scale); ``standard_error`` by student; ``p``:
        one-sided, times the number of candidates judged up to the end of its round; ``bic_difference``, with less without.
        """
        rows = [
            {
                "change": each.change.sort,
                "skills": list(each.change.before),
                "becomes": list(each.change.after),
                "items": list(each.change.items),
                "accepted": each.accepted,
                **each.judgement._asdict(),
            }
            for each in self.findings
        ]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)

    @property
    def q_matrix(self) -> pa.Table:
        """One row for each item after the accepted changes: ``item`` and ``skills``."""
        return pa.table({"item": list(self.skills), "skills": [list(skills) for skills in self.skills.values()]})

    def __str__(self) -> str:
        lines = [change.in_words() for change in self.accepted]
        head = f"{counted(len(self.findings), 'candidate')} judged, {len(lines)} accepted"
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return f"SkillSearch({counted(len(self.findings), 'candidate')}, {len(self.accepted)} accepted)"


_SCHEMA = pa.schema(
    [
        ("change", pa.string()),
        *((name, pa.list_(pa.string())) for name in ("skills", "becomes", "items")),
        ("accepted", pa.bool_()),
        *((name, pa.float64()) for name in Judgement._fields),
    ]
)


def search_skills(
    log: Log, *, factors: Sequence[str] = (), pairs: int = 20, seed: int = 0, progress: Progress | None = None
) -> SkillSearch:
    """Search for skills that are two, and for pairs of skills that are one.

    A *split* gives some items of a skill to a new skill; a *merge* makes one skill of two. Half of the students, drawn at random,
    suggest candidates: items whose answers go together more than with the rest of their skill, and skills whose answers go
    together. The other half judges each, by a logistic model with a weight per item, the student's right and wrong answers so far
    on everything, and those on the skill, weights per skill. So a skill is not split because some of its items are harder, but
    because answers on one part say less of the other.

    A change is accepted if its log loss, cross-validated by student, is surely lower (p < 0.05, one-sided, by student, after
    Bonferroni's correction for all candidates that were judged so far), and BIC is lower too. Then the search goes on, with the
    changes made, up to three times.

    Parameters
    ----------
    log
        Not changed. At least 40 students and 1,000 responses.
    factors
        Columns of the log (read with ``keep=``) that say what is difficult about an item, the same in all of its rows: every
        value of each is a candidate for a split of every skill, where two values make one split (Cen, Koedinger & Junker, 2006,
        sec. 3).
    pairs
        How many pairs of skills are judged in each round, those whose answers go together most.
    seed
        Draws the halves and the folds.
    progress
        Called with the share that is done.

    Raises
    ------
    DataError
        If there are not enough students or responses, or no such column of factors, or an item has several values of a factor.

    Examples
    --------
    >>> import adaptrace as at
    >>> search = at.search_skills(at.sample_log())
    >>> search.accepted
    []
    """
    whole("pairs", pairs, 0)
    _check_size(log)
    named, suggesting = factors_of(log, factors), _half(log, seed)
    matrix, found, done = QMatrix.of(log), list[Finding](), set[SkillChange]()
    for number in range(ROUNDS):
        candidates = [each for each in _candidates(log, matrix, suggesting, named, pairs) if each not in done]
        judgements = _judged(log.select(~suggesting), matrix, candidates, seed, progress, (number, ROUNDS))
        done |= set(candidates)
        new = _decided(candidates, judgements, len(done))
        found += new
        if not any(each.accepted for each in new):
            break
        for each in new:
            matrix = matrix.changed(each.change) if each.accepted else matrix
    if progress is not None:
        progress(1.0)
    found.sort(key=lambda each: (0, 0.0) if each.accepted else (1, each.judgement.difference))  # accepted ones stay in order
    return SkillSearch(found, matrix.skills)


def _candidates(
    log: Log, matrix: QMatrix, suggesting: NDArray[np.bool_], factors: Sequence[Mapping[str, str]], pairs: int
) -> Iterator[SkillChange]:
    """Splits and merges that half of the students suggest, and those of the factors."""
    half = matrix.applied(log.select(suggesting))
    left = residuals(half)
    yield from splits(half, left, matrix)
    yield from factor_splits(factors, matrix)
    yield from merges(half, left, matrix, pairs)


def _judged(
    log: Log,
    matrix: QMatrix,
    candidates: Sequence[SkillChange],
    seed: int,
    progress: Progress | None,
    step: tuple[int, int],
) -> list[Judgement]:
    """What the other half says of each candidate."""
    out, totals = [], totals_of(log)
    for number, change in enumerate(candidates):
        out.append(judged(log, totals, matrix, change, seed))
        if progress is not None:
            progress((step[0] + (number + 1) / len(candidates)) / step[1])
    return out


def _decided(candidates: Sequence[SkillChange], judgements: Sequence[Judgement], tried: int) -> list[Finding]:
    """Accept what is surely better, the best first, and only one change of a skill at a time; ``tried`` were judged so far."""
    pairs = sorted(zip(candidates, judgements, strict=True), key=lambda pair: pair[1].difference)
    taken, out = set[str](), []
    for change, judgement in pairs:
        corrected = judgement._replace(p=min(judgement.p * tried, 1.0))
        better = corrected.p < SIGNIFICANT and corrected.bic_difference < 0.0 and taken.isdisjoint(change.before)
        taken |= set(change.before) if better else set()
        out.append(Finding(change, corrected, better))
    return out


def _half(log: Log, seed: int) -> NDArray[np.bool_]:
    """The rows of half of the students, drawn by their names, (n_rows,)."""
    _, by_name = schema.in_order(log.students)
    chosen = np.random.default_rng(seed).permutation(len(by_name))[by_name] % 2 == 0
    return np.asarray(chosen[log.table["student"].chunk(0).indices.to_numpy()])


def _check_size(log: Log) -> None:
    """Refuse a log that is too small to search."""
    got = {"student": (len(log.students), FEWEST_STUDENTS), "response": (len(log), FEWEST_ROWS)}
    remedy = "half of them find candidates and half judge them: read a longer log"
    problems = [
        Problem(counted(number, noun), f"at least {fewest:,} to search q-matrices", remedy)
        for noun, (number, fewest) in got.items()
        if number < fewest
    ]
    if problems:
        raise DataError("log", problems)
