"""How policies fare with students of several sorts: who is right about students is not known, so look at the worst case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from adaptrace.data.catalog import Catalog
from adaptrace.models.base import Model
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender import Recommender
from adaptrace.simulation.students import Truth
from adaptrace.simulation.teaching import teach

FloatArray = NDArray[np.float64]
WORST = "worst"  # what stands for the truth in a policy's summary row


class _Cell(NamedTuple):
    """What a policy brought students of one sort to, (students,) each."""

    policy: str
    truth: str
    post_test: FloatArray
    reached_after: FloatArray | None


def policy_matrix(
    policies: Mapping[str, Policy | Recommender],
    truths: Mapping[str, Model | Truth],
    catalog: Catalog,
    *,
    belief: Model,
    students: int,
    responses: int,
    seeds: Sequence[int] = (0,),
    choices: int = 1,
    target: float | None = None,
) -> pa.Table:
    """Teach simulated students of every sort by every policy, and show the worst case first.

    The robust evaluation matrix of Doroudi, Aleven & Brunskill (2017): a policy that is best with students of one
    model may be poor with those of another, so trust what holds with all. Where policies choose alike, the n-th student of a
    seed has the same luck under each of them (common random numbers), so equal policies are exactly equal.

    Parameters
    ----------
    policies
        Name -> policy, or a recommender with a belief and constraints of its own.
    truths
        Name -> the model that students follow, of any family, or a :class:`~adaptrace.simulation.students.Truth` of your own.
    catalog
        What students can be given, and what the post-test asks: all its items.
    belief
        The model that policies see the students through; it must know mastery.
    students, responses
        How many students a seed, and how many responses each.
    seeds
        Same seeds, same bits.
    choices
        Of so many best items one is drawn; by default the best is given.
    target
        A mean true P(correct): also count the responses until it is reached.

    Returns
    -------
    pyarrow.Table
        ``policy``, ``truth``, ``post_test`` = mean over students of the true P(correct) on the catalog after the last
        response, ``low`` and ``high``, its 95 % interval by student (Student's t), and ``regret``, by how much the best policy
        with these students is better, with ``regret_low`` and ``regret_high``: the 95 % interval of that difference, student by
        student (Student's t on the pairs; that the best was picked for being best is not in it). A policy's first row is
        its ``worst``: the row of the truth with the largest regret. Policies with the least worst regret come first; so do the
        truths with the largest regret.
        With a target also ``responses``, the mean number until it is reached, ``responses_low`` and ``responses_high``, and
        ``reached``, the share of students who got there; the others count with all their responses, so theirs is too low.

    Raises
    ------
    ModelError
        If the belief knows no mastery.
    ValueError
        If there is nothing to compare, or no student to tell an interval from.

    Examples
    --------
    >>> import adaptrace as at
    >>> def model(learn):
    ...     return at.BKT.from_parameters(["halves", "quarters"], prior=0.1, learn=learn, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> policies = {"weakest": at.LowestMastery(), "likeliest": at.TargetSuccess(target=1.0)}
    >>> truths = {"quick": model(0.3), "slow": model(0.05)}
    >>> table = policy_matrix(policies, truths, catalog, belief=model(0.1), students=20, responses=8)
    >>> table.column_names
    ['policy', 'truth', 'post_test', 'low', 'high', 'regret', 'regret_low', 'regret_high']
    >>> table["truth"].to_pylist()[:3], table["regret"].to_pylist()[0] == max(table["regret"].to_pylist()[1:3])
    (['worst', 'quick', 'slow'], True)
    """
    _check(policies, truths, students, seeds)
    cells = []
    for truth_name, truth in truths.items():
        for name, policy in policies.items():
            options = {"students": students, "responses": responses, "choices": choices, **_seen_through(policy, belief)}
            taught = [teach(truth, catalog, seed=seed, target=target, **options) for seed in seeds]
            reached = [each.reached_after for each in taught if each.reached_after is not None]
            post_test = np.concatenate([each.post_test for each in taught])
            cells.append(_Cell(name, truth_name, post_test, np.concatenate(reached) if reached else None))
    return _table(cells, policies, responses)


def _seen_through(policy: Policy | Recommender, belief: Model) -> dict[str, Any]:
    """A policy with its belief and constraints."""
    if isinstance(policy, Recommender):
        return {"policy": policy.policy, "constraints": policy.constraints, "belief": policy.model}
    return {"policy": policy, "belief": belief}


def _check(
    policies: Mapping[str, Policy | Recommender], truths: Mapping[str, Model | Truth], students: int, seeds: Sequence[int]
) -> None:
    if not policies or not truths:
        raise ValueError(f"got {len(policies)} policies and {len(truths)} truths; expected at least one of each")
    if WORST in truths:
        raise ValueError(f"truths: got the name '{WORST}', which marks the worst case of a policy; give it another name")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ValueError(f"seeds: got {list(seeds)}; expected at least one, each once: the same students twice say nothing new")
    if students * len(seeds) < 2:
        raise ValueError(f"students: got {students} in all; expected at least 2, so that they can differ")


def _interval(values: FloatArray, least: float = 0.0, most: float = 1.0) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval, of values that are independent of each other and lie between these."""
    mean, n = float(values.mean()), len(values)
    half = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / n**0.5
    return mean, max(mean - half, least), min(mean + half, most)


def _table(cells: list[_Cell], policies: Iterable[str], responses: int) -> pa.Table:
    """The rows, worst case first."""
    best: dict[str, _Cell] = {}
    for cell in cells:
        if cell.truth not in best or cell.post_test.mean() > best[cell.truth].post_test.mean():
            best[cell.truth] = cell
    of_policy = []
    for name in policies:
        rows = [_row(cell, best[cell.truth], responses) for cell in cells if cell.policy == name]
        rows.sort(key=lambda row: -row["regret"])
        of_policy.append([{**rows[0], "truth": WORST}, *rows])
    of_policy.sort(key=lambda rows: rows[0]["regret"])
    return pa.Table.from_pylist([row for rows in of_policy for row in rows])


def _row(cell: _Cell, best: _Cell, responses: int) -> dict[str, Any]:
    """What is said of a policy with students of one sort."""
    row = {"policy": cell.policy, "truth": cell.truth, **_named("post_test", "", cell.post_test)}
    row |= _named("regret", "regret_", best.post_test - cell.post_test, -1.0)
    if cell.reached_after is not None:
        row |= _named("responses", "responses_", np.minimum(cell.reached_after, responses), 0.0, responses)
        row["reached"] = float(np.isfinite(cell.reached_after).mean())
    return row


def _named(name: str, of: str, values: FloatArray, least: float = 0.0, most: float = 1.0) -> dict[str, float]:
    """A mean and its interval, by column."""
    return dict(zip((name, f"{of}low", f"{of}high"), _interval(values, least, most), strict=True))
