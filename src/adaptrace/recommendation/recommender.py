"""recommend: the next items for a student, or for a whole roster, each with its reason.

First :mod:`adaptrace.recommendation.constraint_rules` says which items are allowed, then a policy gives each a utility, then
:mod:`adaptrace.recommendation.choosing` takes the best k for different skills. The same code serves one student and many.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.data.catalog import Catalog, Item
from adaptrace.errors import ModelError
from adaptrace.kernels.parallel import batches
from adaptrace.models.base import Model
from adaptrace.models.criterion import Criterion
from adaptrace.models.response import moment_of
from adaptrace.models.student import Student
from adaptrace.recommendation.choosing import Chosen, choose
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.context import Context
from adaptrace.recommendation.explaining import Recommendation, explained, table_of
from adaptrace.recommendation.policies import DEFAULT
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender_index import RecommenderIndex
from adaptrace.recommendation.student_cache import StudentCache

BLOCK = 64  # students at a time, so that their arrays stay in the processor's cache


class Recommender:
    """Recommends items of a catalog by a model. Make one and use it for many students.

    Parameters
    ----------
    model
        A fitted model that knows mastery.
    catalog
        The items to choose from. A skill that the model does not know has the values for unknown skills.
    policy
        By default :class:`~adaptrace.recommendation.policies.Interleaved`.
    constraints
        Which items are allowed; by default those of the zone.
    criterion
        When a skill, and a prerequisite, counts as mastered; by default from 0.95.

    Raises
    ------
    ValueError
        If the catalog is empty, or the constraints name something that is not in it (see :class:`~adaptrace.Constraints`).

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> recommender = at.Recommender(model, catalog, policy=at.TargetSuccess(target=0.8))
    >>> [choice.item.item for choice in recommender.recommend(at.Student(model), k=2)]
    ['h1', 'q1']
    """

    def __init__(
        self,
        model: Model,
        catalog: Catalog,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        criterion: Criterion | None = None,
    ) -> None:
        check_kinds(policy, constraints, criterion)
        if not len(catalog):
            raise ValueError("the catalog holds no items; expected at least one to choose from")
        self.model, self.catalog = model, catalog
        self.policy, self.constraints = policy or DEFAULT, constraints or Constraints()
        self.criterion = criterion or Criterion()
        self.index = RecommenderIndex(model, catalog, self.criterion)
        beliefs = self.index.bkt_beliefs
        self._cache = None if beliefs is None else StudentCache(self.index, beliefs)
        self.constraints.check(self.index.catalog_index)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copying and unpickling make the recommender anew, as what it was made of says all."""
        made = partial(type(self), policy=self.policy, constraints=self.constraints, criterion=self.criterion)
        return made, (self.model, self.catalog)

    def recommend(
        self,
        student: Student,
        k: int = 3,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        time: datetime.datetime | None = None,
        seed: int = 0,
        exposed: Sequence[str] = (),
    ) -> list[Recommendation]:
        """The k best items for a student, each with its reason; see :func:`recommend`.

        Parameters
        ----------
        student
            Not changed.
        k
            How many; fewer come back if no more are allowed.
        policy, constraints
            For this call, instead of the recommender's.
        time
            When; by default right after the last response.
        seed
            Of a policy that draws. Same seed, same student, same answers so far: same items.
        exposed
            Items that were recommended too often already.

        Raises
        ------
        ConstraintError
            If no item is allowed: which constraint left how many.
        """
        options: dict[str, Any] = {"policy": policy, "constraints": constraints, "seed": seed, "exposed": exposed}
        chosen = self.choose([student], k, moment=moment_of(time), **options)
        return [self.explained(chosen, position) for position in chosen.positions_of(0)]

    def ranked(self, student: Student, k: int, *, time: datetime.datetime | None = None, seed: int = 0) -> list[Item]:
        """The items that :meth:`recommend` gives, without reasons."""
        chosen = self.choose([student], k, moment=moment_of(time), seed=seed)
        return [self.catalog.items[position] for position in chosen.positions_of(0)]

    def recommend_all(
        self,
        students: Iterable[Student],
        k: int = 3,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        time: datetime.datetime | None = None,
        seed: int = 0,
        reasons: bool = False,
    ) -> pa.Table:
        """The k best items for every student: what :meth:`recommend` gives each, as one table.

        Parameters
        ----------
        students
            Any number, also a generator.
        k, policy, constraints, time, seed
            As in :meth:`recommend`.
        reasons
            Also add the sentences, in a column ``reason``.

        Returns
        -------
        pyarrow.Table
            ``student``, ``rank`` from 1, ``item``, ``utility``, ``skill`` (the item's weakest), ``mastery`` of it, ``chance``
            = P(correct). A student for whom no item is allowed has one row with the item null: :meth:`recommend` says why.
        """
        options: dict[str, Any] = {"moment": moment_of(time), "policy": policy, "constraints": constraints, "seed": seed}
        parts = [table_of(self.choose(block, k, **options), reasons) for block in batches(students, BLOCK)]
        if not parts:  # a table without rows has the columns of any student's table
            return table_of(self.choose([Student(self.model)], k, **options), reasons).slice(0, 0)
        return pa.concat_tables(parts)

    def choose(
        self,
        students: Sequence[Student],
        k: int,
        *,
        moment: int | None = None,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        seed: int = 0,
        exposed: Sequence[str] = (),
    ) -> Chosen:
        """The k best items for each student, as arrays; ``moment`` in microseconds since 1970."""
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k: got {k!r}; expected a whole number, at least 1")
        self._check_models(students)
        if policy is not None or constraints is not None:
            check_kinds(policy, constraints)
        if constraints is not None and constraints is not self.constraints:
            constraints.check(self.index.catalog_index)
        cached = self._cache.get(students[0]) if self._cache is not None and len(students) == 1 else None
        context = Context(self.index, students, moment=moment, seed=seed, cached=cached)
        chosen = choose(context, policy or self.policy, constraints or self.constraints, k=k, exposed=exposed)
        context.fill_cache()
        return chosen

    def explained(self, chosen: Chosen, position: int, *, row: int = 0, drawn: bool = False) -> Recommendation:
        """One of the items that :meth:`choose` chose for a student, with its reason; ``drawn``: at random, not by the policy."""
        return explained(chosen, position, row=row, drawn=drawn)

    def _check_models(self, students: Sequence[Student]) -> None:
        """Refuse students of another model."""
        for number, student in enumerate(students, 1):
            if student.model is not self.model and student.model.fingerprint != self.model.fingerprint:
                which = f"student {number} of {len(students)}" if len(students) > 1 else "the student"
                raise ModelError(f"{which}: of the model {student.model!r}, not of this recommender's {self.model!r}")


def recommend(
    student: Student,
    catalog: Catalog,
    *,
    k: int = 3,
    policy: Policy | None = None,
    constraints: Constraints | None = None,
    criterion: Criterion | None = None,
    time: datetime.datetime | None = None,
    seed: int = 0,
) -> list[Recommendation]:
    """The k best items for a student, each with its reason.

    Pinned items come first, then items whose soft prerequisites are mastered, then others; within each, the largest utility
    first. Among equals the item answered least often comes first, then the earlier in the catalog. The k items practise
    different skills as long as there are any. For many calls make one :class:`Recommender`.

    Parameters
    ----------
    student
        Not changed.
    catalog
        The items to choose from. A skill that the model does not know has the values for unknown skills.
    k
        How many; fewer come back if no more are allowed.
    policy, constraints, criterion
        As :class:`Recommender` takes them.
    time
        When; by default right after the last response.
    seed
        Of a policy that draws.

    Raises
    ------
    ConstraintError
        If no item is allowed: which constraint left how many.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]},
    ...                                 [{"skill": "quarters", "prerequisites": ["halves"]}])
    >>> best = at.recommend(at.Student(model), catalog, k=1)[0]
    >>> best.item.item, str(best.reason)
    ('h1', 'Next: halves (30 % likely known).')
    """
    recommender = Recommender(student.model, catalog, policy=policy, constraints=constraints, criterion=criterion)
    return recommender.recommend(student, k, time=time, seed=seed)


def check_kinds(policy: object, constraints: object, criterion: object = None) -> None:
    """Refuse options of a wrong type."""
    if policy is not None and (isinstance(policy, type) or not isinstance(policy, Policy)):
        raise ValueError(f"policy: got {policy!r}; expected one like LowestMastery(), with its brackets")
    for name, given, kind in (("constraints", constraints, Constraints), ("criterion", criterion, Criterion)):
        if given is not None and not isinstance(given, kind):
            raise ValueError(f"{name}: got {given!r}; expected {kind.__name__}(...)")
