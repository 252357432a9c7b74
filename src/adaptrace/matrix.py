"""How policies fare with students of several sorts: who is right about students is not known, so look at the worst case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from adaptrace.catalog import Catalog
from adaptrace.models.base import Model
from adaptrace.policy import Policy
from adaptrace.recommendation import Recommender
from adaptrace.simulation import teach

WORST = "worst"  # what stands for the truth in a policy's summary row


class _Cell(NamedTuple):
    """What a policy brought students of one sort to."""

    policy: str
    truth: str
    post_test: float
    low: float
    high: float


def policy_matrix(
    policies: Mapping[str, Policy | Recommender],
    truths: Mapping[str, Model],
    catalog: Catalog,
    *,
    belief: Model,
    students: int,
    responses: int,
    seeds: Sequence[int] = (0,),
    choices: int = 1,
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
        Name -> the model that students follow, of any family.
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

    Returns
    -------
    pyarrow.Table
        ``policy``, ``truth``, ``post_test`` = mean over students of the true P(correct) on the catalog after the last
        response, ``low`` and ``high``, its 95 % interval by student (Student's t), and ``regret``, by how much the best policy
        with these students is better. A policy's first row is its ``worst``: the row of the truth with the largest regret.
        Policies with the least worst regret come first; so do the truths with the largest regret.

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
    ['policy', 'truth', 'post_test', 'low', 'high', 'regret']
    >>> table["truth"].to_pylist()[:3], table["regret"].to_pylist()[0] == max(table["regret"].to_pylist()[1:3])
    (['worst', 'quick', 'slow'], True)
    """
    _check(policies, truths, students, seeds)
    cells = []
    for truth_name, truth in truths.items():
        for name, policy in policies.items():
            options = {"students": students, "responses": responses, "choices": choices, **_seen_through(policy, belief)}
            taught = [teach(truth, catalog, seed=seed, **options).post_test for seed in seeds]
            cells.append(_Cell(name, truth_name, *_interval(np.concatenate(taught))))
    return _table(cells, policies)


def _seen_through(policy: Policy | Recommender, belief: Model) -> dict[str, Any]:
    """A policy with its belief and constraints."""
    if isinstance(policy, Recommender):
        return {"policy": policy.policy, "constraints": policy.constraints, "belief": policy.model}
    return {"policy": policy, "belief": belief}


def _check(
    policies: Mapping[str, Policy | Recommender], truths: Mapping[str, Model], students: int, seeds: Sequence[int]
) -> None:
    if not policies or not truths:
        raise ValueError(f"got {len(policies)} policies and {len(truths)} truths; expected at least one of each")
    if WORST in truths:
        raise ValueError(f"truths: got the name '{WORST}', which marks the worst case of a policy; give it another name")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ValueError(f"seeds: got {list(seeds)}; expected at least one, each once: the same students twice say nothing new")
    if students * len(seeds) < 2:
        raise ValueError(f"students: got {students} in all; expected at least 2, so that they can differ")


def _interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval, of values that are independent of each other and lie in [0, 1]."""
    mean, n = float(values.mean()), len(values)
    half = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / n**0.5
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def _table(cells: list[_Cell], policies: Iterable[str]) -> pa.Table:
    """The rows, worst case first."""
    best = {truth: max(cell.post_test for cell in cells if cell.truth == truth) for truth in {cell.truth for cell in cells}}
    of_policy = []
    for name in policies:
        rows = [(cell, best[cell.truth] - cell.post_test) for cell in cells if cell.policy == name]
        rows.sort(key=lambda row: -row[1])
        of_policy.append([(rows[0][0]._replace(truth=WORST), rows[0][1]), *rows])
    of_policy.sort(key=lambda rows: rows[0][1])
    return pa.Table.from_pylist([{**cell._asdict(), "regret": regret} for rows in of_policy for cell, regret in rows])
