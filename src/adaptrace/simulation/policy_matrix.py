"""Policies compared on simulated students of several models. Nobody knows which model is right, so look at the worst case."""

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
from adaptrace.simulation.students import StudentModel
from adaptrace.simulation.teaching import simulate

FloatArray = NDArray[np.float64]
WORST = "worst"  # in place of the student model in a policy's summary row


class _PolicyResult(NamedTuple):
    """What students of one model reached with one policy, (students,) each."""

    policy: str
    student_model: str
    post_test: FloatArray
    reached_after: FloatArray | None


def policy_matrix(
    policies: Mapping[str, Policy | Recommender],
    student_models: Mapping[str, Model | StudentModel],
    *,
    catalog: Catalog,
    belief: Model,
    students: int,
    responses: int,
    seeds: Sequence[int] = (0,),
    choices: int = 1,
    target: float | None = None,
) -> pa.Table:
    """Simulate students of every model with every policy; the worst case of each policy comes first.

    The robust evaluation matrix of Doroudi, Aleven & Brunskill (2017): a policy that is best with students of one model may be
    poor with those of another, so trust what holds with all. The n-th student of a seed draws the same random numbers under
    every policy (common random numbers), so policies that choose the same items have exactly the same results.

    Parameters
    ----------
    policies
        Name -> policy, or a recommender with its own belief and constraints.
    student_models
        Name -> the model that students follow, of any family, or a :class:`~adaptrace.simulation.students.StudentModel`.
    catalog
        The items; the post-test has all of them.
    belief
        The model that policies see the students through; it must know mastery.
    students, responses
        How many students for each seed, and how many responses each.
    seeds
        Same seeds, same bits.
    choices
        The student takes one of this many best items; by default the best.
    target
        A mean true P(correct): also count the responses until it is reached.

    Returns
    -------
    pyarrow.Table
        ``policy``, ``student_model``, ``post_test`` = mean over students of the true P(correct) on the catalog after the last
        response, ``low`` and ``high``, its 95 % interval by student (Student's t), and ``regret``, by how much the best policy
        with these students is better, with ``regret_low`` and ``regret_high``: the 95 % interval of that difference, student by
        student (Student's t on the pairs; it does not account for choosing the best policy). A policy's first row is its
        ``worst``: the row of the student model with the largest regret. Policies are ordered by that regret, the least first;
        the student models of a policy by theirs, the largest first.
        With a target also ``responses``, the mean number until it is reached, ``responses_low`` and ``responses_high``, and
        ``reached``, the share of students who reached it; the others count with all their responses, so the mean is too low.

    Raises
    ------
    ModelError
        If the belief knows no mastery.
    ValueError
        If there is nothing to compare, or fewer than two students for an interval.

    Examples
    --------
    >>> import adaptrace as at
    >>> def model(learn):
    ...     return at.BKT.from_parameters(["halves", "quarters"], prior=0.1, learn=learn, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> policies = {"weakest": at.LowestMastery(), "likeliest": at.TargetSuccess(target=1.0)}
    >>> student_models = {"quick": model(0.3), "slow": model(0.05)}
    >>> table = policy_matrix(
    ...     policies, student_models, catalog=catalog, belief=model(0.1), students=20, responses=8
    ... )
    >>> table.column_names
    ['policy', 'student_model', 'post_test', 'low', 'high', 'regret', 'regret_low', 'regret_high']
    >>> table["student_model"].to_pylist()[:3], table["regret"].to_pylist()[0] == max(table["regret"].to_pylist()[1:3])
    (['worst', 'quick', 'slow'], True)
    """
    _check([*policies], [*student_models], students, seeds)
    results = []
    for model_name, student_model in student_models.items():
        for name, policy in policies.items():
            options = {"students": students, "responses": responses, "choices": choices, **_options_of(policy, belief)}
            logs = [simulate(student_model, catalog, seed=seed, target=target, **options) for seed in seeds]
            reached = [log.reached_after for log in logs if log.reached_after is not None]
            post_test = np.concatenate([log.post_test for log in logs])
            results.append(_PolicyResult(name, model_name, post_test, np.concatenate(reached) if reached else None))
    return _table(results, policies, responses)


def _options_of(policy: Policy | Recommender, belief: Model) -> dict[str, Any]:
    """A policy with its belief and constraints."""
    if isinstance(policy, Recommender):
        return {"policy": policy.policy, "constraints": policy.constraints, "belief": policy.model}
    return {"policy": policy, "belief": belief}


def _check(policies: Sequence[str], student_models: Sequence[str], students: int, seeds: Sequence[int]) -> None:
    """Refuse what cannot be compared."""
    if not policies or not student_models:
        raise ValueError(f"got {len(policies)} policies and {len(student_models)} student models; expected at least one of each")
    if WORST in student_models:
        raise ValueError(f"student_models: got the name '{WORST}', which marks the worst case of a policy; give it another name")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ValueError(f"seeds: got {list(seeds)}; expected at least one, each once: the same students twice add nothing")
    if students * len(seeds) < 2:
        raise ValueError(f"students: got {students} in all; expected at least 2, so that they can differ")


def _interval(values: FloatArray, least: float = 0.0, most: float = 1.0) -> tuple[float, float, float]:
    """Mean, and the ends of its 95 % interval, of values that are independent of each other and lie between these."""
    mean, n = float(values.mean()), len(values)
    half = float(stdtrit(n - 1, 0.975)) * float(values.std(ddof=1)) / n**0.5
    return mean, max(mean - half, least), min(mean + half, most)


def _table(results: list[_PolicyResult], policies: Iterable[str], responses: int) -> pa.Table:
    """The rows, worst case first."""
    best: dict[str, _PolicyResult] = {}
    for result in results:
        if result.student_model not in best or result.post_test.mean() > best[result.student_model].post_test.mean():
            best[result.student_model] = result
    of_policy = []
    for name in policies:
        rows = [_row(result, best[result.student_model], responses) for result in results if result.policy == name]
        rows.sort(key=lambda row: -row["regret"])
        of_policy.append([{**rows[0], "student_model": WORST}, *rows])
    of_policy.sort(key=lambda rows: rows[0]["regret"])
    return pa.Table.from_pylist([row for rows in of_policy for row in rows])


def _row(result: _PolicyResult, best: _PolicyResult, responses: int) -> dict[str, Any]:
    """The row of one policy and one student model."""
    row = {"policy": result.policy, "student_model": result.student_model, **_named("post_test", "", result.post_test)}
    row |= _named("regret", "regret_", best.post_test - result.post_test, -1.0)
    if result.reached_after is not None:
        row |= _named("responses", "responses_", np.minimum(result.reached_after, responses), 0.0, responses)
        row["reached"] = float(np.isfinite(result.reached_after).mean())
    return row


def _named(name: str, of: str, values: FloatArray, least: float = 0.0, most: float = 1.0) -> dict[str, float]:
    """A mean and its interval, by column."""
    return dict(zip((name, f"{of}low", f"{of}high"), _interval(values, least, most), strict=True))
