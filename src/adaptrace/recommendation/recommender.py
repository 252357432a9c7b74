"""recommend: the next items for a student, or for a whole roster, each with its reason.

First :mod:`adaptrace.recommendation.constraints` says which items may be given, then a policy says how much each is wanted, then
the best k are taken so that they practise different skills. One function does this for one student and for many at once.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog, Item
from adaptrace.errors import ConstraintError, ModelError
from adaptrace.kernels.parallel import batches
from adaptrace.models.base import Model
from adaptrace.models.criterion import Criterion
from adaptrace.models.response import moment_of
from adaptrace.models.student import Student
from adaptrace.recommendation.catalog_index import Shelf
from adaptrace.recommendation.constraints import Constraints, Rule
from adaptrace.recommendation.context import Scene, View
from adaptrace.recommendation.policies import DEFAULT, Policy
from adaptrace.recommendation.reasons import Reason

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]
BLOCK = 64  # students looked at together: their arrays stay in the processor's cache
NEVER = -np.inf


class Recommendation(NamedTuple):
    """One of the k items to choose from, best first."""

    item: Item
    utility: float
    reason: Reason


class Chosen(NamedTuple):
    """What was chosen for some students."""

    view: View
    policy: Policy
    constraints: Constraints
    wanted: FloatArray  # (students, slots) or (students, items): utility, minus infinity where it is not allowed
    place: NDArray[np.int64]  # (students, k) of the item in the catalog; -1: none was left
    pinned: Flags | None  # (students, items)
    exposed: Sequence[str] = ()  # items that were recommended too often

    def places(self, row: int) -> list[int]:
        """The places of the items chosen for one student.

        Raises
        ------
        ConstraintError
            If no item is allowed.
        """
        places: list[int] = self.place[row].tolist()
        if places[0] < 0:
            story = _story(self, row)
            name = self.view.students[row].name
            raise ConstraintError(f"no item is left for '{name}': {story}; loosen one of these")
        return [place for place in places if place >= 0]

    def column(self, place: int) -> int:
        """The column of ``wanted`` that holds an item."""
        return place if self.wanted.shape[1] == len(self.view.shelf) else self.view.shelf.slots_of[place]


class Recommender:
    """A model and a catalog made ready to recommend from: made once, used for many students.

    Parameters
    ----------
    model
        A fitted model that knows mastery.
    catalog
        The items to choose from. A skill that the model does not know has the values for unknown skills.
    policy
        By default :class:`~adaptrace.recommendation.policies.Interleaved`.
    constraints
        What may be given; by default the zone only.
    criterion
        When a skill, and a prerequisite, counts as mastered; by default from 0.95.

    Raises
    ------
    ValueError
        If the catalog is empty, or the constraints name what it lacks (see :class:`~adaptrace.Constraints`).

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> recommender = at.Recommender(model, catalog, policy=at.TargetSuccess(0.8))
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
        self.scene = Scene(model, catalog, self.criterion)
        self.constraints.check(self.scene.shelf)

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
        chosen = self.choose([student], k, moment_of(time), **options)
        return [self.explained(chosen, 0, place) for place in chosen.places(0)]

    def ranked(self, student: Student, k: int, *, time: datetime.datetime | None = None, seed: int = 0) -> list[Item]:
        """The items that :meth:`recommend` gives, without reasons."""
        return [self.catalog.items[place] for place in self.choose([student], k, moment_of(time), seed=seed).places(0)]

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
            Also make the sentences, in a column ``reason``.

        Returns
        -------
        pyarrow.Table
            ``student``, ``rank`` from 1, ``item``, ``utility``, ``skill`` (the item's weakest), ``mastery`` of it, ``chance``
            of a right answer. A student to whom nothing may be given has one row with the item null: :meth:`recommend` says why.
        """
        moment = moment_of(time)
        options: dict[str, Any] = {"policy": policy, "constraints": constraints, "seed": seed}
        parts = [self._rows(self.choose(block, k, moment, **options), reasons) for block in batches(students, BLOCK)]
        if not parts:  # the columns of a table without rows are those of any student's
            return self._rows(self.choose([Student(self.model)], k, moment, **options), reasons).slice(0, 0)
        return pa.concat_tables(parts)

    def choose(
        self,
        students: Sequence[Student],
        k: int,
        moment: int | None = None,
        *,
        policy: Policy | None = None,
        constraints: Constraints | None = None,
        seed: int = 0,
        exposed: Sequence[str] = (),
    ) -> Chosen:
        """The k best items for each student, as arrays; ``moment`` in microseconds since 1970."""
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k: got {k!r}; expected a whole number, at least 1")
        check_kinds(policy, constraints)
        for student in students:
            if student.model is not self.model and student.model.fingerprint != self.model.fingerprint:
                raise ModelError(
                    f"student '{student.name}': of the model {student.model!r}, not of this recommender's {self.model!r}"
                )
        policy = policy or self.policy
        if constraints is None:
            constraints = self.constraints
        elif constraints is not self.constraints:
            constraints.check(self.scene.shelf)
        view = View(self.scene, students, moment, seed)
        pinned = constraints.pins(view) if constraints.pinned else None
        wanted = _wanted(view, policy.utility(view), constraints.rules(view, pinned, exposed))
        view.keep()
        return Chosen(view, policy, constraints, wanted, _best(view, wanted, _tiers(view, pinned), k), pinned, exposed)

    # ---- what is said of them ----

    def explained(self, chosen: Chosen, row: int, place: int, *, drawn: bool = False) -> Recommendation:
        """One of the items that were chosen, with its reason; ``drawn`` at random instead of by the policy."""
        view, shelf = chosen.view, self.scene.shelf
        code = view.weakest_skill(row, place)
        skill = shelf.skills[code]
        needs = shelf.needs[place]
        opened = tuple(need for need in needs if not view.below[row, shelf.code[need]]) if needs else ()
        knows = (float(view.mastery[row, code]), view.chance_of(row, place))
        unlocks, due = shelf.opens.get(skill, ()), view.due(row, skill)
        because = "explored" if drawn else _because(chosen, row, place, code)
        reason = Reason(type(chosen.policy).__name__, skill, *knows, opened, unlocks, due, because, chosen.policy)
        return Recommendation(self.catalog.items[place], float(chosen.wanted[row, chosen.column(place)]), reason)

    def _rows(self, chosen: Chosen, reasons: bool) -> pa.Table:
        """Choices as rows; one row without an item for a student to whom nothing may be given."""
        some = chosen.place >= 0
        some[:, 0] = True
        row, rank = (each.tolist() for each in np.nonzero(some))
        place = chosen.place[some]
        none, shelf, view = place < 0, chosen.view.shelf, chosen.view
        code, column = view.weakest_skills(row, place), place if chosen.wanted.shape[1] == len(shelf) else shelf.slot_of[place]
        columns = {
            "student": pa.array([view.students[each].name for each in row], pa.string()),
            "rank": pa.array(np.array(rank) + 1, pa.int32()),
            "item": shelf.item_names.take(pa.array(place, mask=none)),
            "utility": pa.array(chosen.wanted[row, column], pa.float64(), mask=none),
            "skill": shelf.skill_names.take(pa.array(code, mask=none)),
            "mastery": pa.array(view.mastery[row, code], pa.float64(), mask=none),
            "chance": pa.array(view.chances_of(row, place), pa.float64(), mask=none),
        }
        if reasons:
            pairs = zip(row, place.tolist(), strict=True)
            told = [None if p < 0 else str(self.explained(chosen, r, p).reason) for r, p in pairs]
            columns["reason"] = pa.array(told, pa.string())
        return pa.table(columns)


def _because(chosen: Chosen, row: int, place: int, weakest: int) -> str:
    """What put an item among the choices other than the policy."""
    view = chosen.view
    if chosen.pinned is not None and chosen.pinned[row, place]:
        return "pinned"
    if not (view.below[row, weakest] or any(view.below[row, code] for code in view.shelf.codes[place])):
        return "review"
    if view.review[row, 0]:  # skills wait for each other in a circle, so that nothing is open
        return "early"
    return "early" if len(view.shelf.soft.sets) and view.early[row, view.shelf.slot_of[place]] else ""


def recommend(
    student: Student,
    catalog: Catalog,
    k: int = 3,
    *,
    policy: Policy | None = None,
    constraints: Constraints | None = None,
    criterion: Criterion | None = None,
    time: datetime.datetime | None = None,
    seed: int = 0,
) -> list[Recommendation]:
    """The k best items for a student, each with its reason.

    Pinned items first, then those whose soft prerequisites are mastered; best first by the policy's utility; among equals
    the item answered least often, then the earlier in the catalog. The k items practise different skills as long as there are
    any: a choice, not a pile. For many calls make one :class:`Recommender`.

    Parameters
    ----------
    student
        Not changed.
    catalog
        The items to choose from. A skill that the model does not know has the values for unknown skills.
    k
        How many; fewer come back if no more are allowed.
    policy
        By default :class:`~adaptrace.recommendation.policies.Interleaved`.
    constraints
        What may be given; by default the zone only.
    criterion
        When a skill, and a prerequisite, counts as mastered; by default from 0.95.
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
    ('h1', 'its turn: halves is at 30%, 34% chance of a right answer')
    """
    recommender = Recommender(student.model, catalog, policy=policy, constraints=constraints, criterion=criterion)
    return recommender.recommend(student, k, time=time, seed=seed)


def check_kinds(policy: object, constraints: object, criterion: object = None) -> None:
    """Refuse what is of another kind than the options want."""
    if policy is not None and (isinstance(policy, type) or not isinstance(policy, Policy)):
        raise ValueError(f"policy: got {policy!r}; expected one like LowestMastery(), with its brackets")
    for name, given, kind in (("constraints", constraints, Constraints), ("criterion", criterion, Criterion)):
        if given is not None and not isinstance(given, kind):
            raise ValueError(f"{name}: got {given!r}; expected {kind.__name__}(...)")


# ---- the choice --------------------------------------------------------------


def _wanted(view: View, utility: FloatArray, rules: Iterable[Rule]) -> FloatArray:
    """The utility of what no rule forbids; minus infinity elsewhere. A column per slot as long as nothing tells items apart."""
    for rule in rules:
        if rule.allowed.shape[-1] > utility.shape[1]:
            utility = view.shelf.per_item(utility)
        allowed = rule.allowed if rule.allowed.shape[-1] == utility.shape[1] else view.shelf.per_item(rule.allowed)
        utility = np.where(allowed, utility, NEVER)
    return utility


def _story(chosen: Chosen, row: int) -> str:
    """How many items each constraint left of one student's, up to the one that left none."""
    shelf = chosen.view.shelf
    left, told = np.ones(len(shelf), bool), [f"{len(shelf):,} items in the catalog"]
    for rule in chosen.constraints.rules(chosen.view, chosen.pinned, chosen.exposed):
        allowed = shelf.per_item(rule.allowed).reshape(-1, len(shelf))
        left &= allowed[row if len(allowed) > 1 else 0]
        told.append(f"{int(left.sum()):,} after {rule.name}")
        if not left.any():
            break
    return ", ".join(told)


def propensities(n: int, k: int, explore: float) -> list[float]:
    """The chance of each of n ranked items to be the one that is answered.

    With probability ``explore`` the k items to choose from are drawn from all n, else they are the first k; of these, each is
    taken to be as likely.
    """
    first, rest = (1.0 - explore) / min(k, n), explore / n
    return [rest + first] * min(k, n) + [rest] * (n - min(k, n))


def _tiers(view: View, pinned: Flags | None) -> list[Flags]:
    """What comes first whatever its utility: the pinned, the rest, what would better wait; (students, items) each.

    Empty where nothing does.
    """
    if pinned is None and not len(view.shelf.soft.sets):
        return []
    early = view.shelf.per_item(view.early)
    first = np.zeros_like(early) if pinned is None else pinned
    return [tier for tier in (first, ~first & ~early, ~first & early) if tier.any()]


def _best(view: View, wanted: FloatArray, tiers: list[Flags], k: int) -> NDArray[np.int64]:
    """The places of the k best items for each student, (students, k); -1 where no more are allowed."""
    place = np.full((len(wanted), k), -1)
    for row, student in enumerate(view.students):
        found: list[int] = []
        for left in [np.where(tier[row], view.shelf.per_item(wanted[row]), NEVER) for tier in tiers] or [wanted[row]]:
            _add_best(found, left, k, view.shelf, student.answered)
        place[row, : len(found)] = found
    return place


def _add_best(found: list[int], whole: FloatArray, k: int, shelf: Shelf, answered: Mapping[str, int]) -> None:
    """Add the best items, up to k in all: first of skills that are not there yet, then the best of the rest."""
    alike, items, left = shelf.alike(len(whole)), shelf.items_of(len(whole)), whole.copy()
    for place in found:
        left[alike[shelf.sets_of[place]]] = NEVER
    while len(found) < k:
        column = int(left.argmax())
        if left[column] == NEVER:
            break
        place = items[column][0]
        if answered.get(shelf.names[place], 0):
            place = _least_answered(np.flatnonzero(left == left[column]), items, shelf.names, answered)
        left[alike[shelf.sets_of[place]]] = NEVER
        found.append(place)
    if len(found) < k:
        rest = [place for column in np.flatnonzero(whole > NEVER) for place in items[column] if place not in found]
        utility, columns = shelf.per_item(whole), np.array(rest, int)
        met = [answered.get(shelf.names[place], 0) for place in rest]
        found += columns[np.lexsort((columns, np.array(met), -utility[columns]))][: k - len(found)].tolist()


def _least_answered(columns: NDArray[np.int64], items: list[list[int]], names: list[str], answered: Mapping[str, int]) -> int:
    """Of equals the item answered least often, then the earlier in the catalog."""
    places: Iterator[int] = (place for column in columns.tolist() for place in items[column])
    return min(places, key=lambda place: (answered.get(names[place], 0), place))
