"""The choice of the best items: utilities of the allowed items, then the k best of them for different skills."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.errors import ConstraintError
from adaptrace.recommendation.catalog_index import CatalogIndex
from adaptrace.recommendation.constraint_rules import Rule, pinned_items, rules_of
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.context import Context
from adaptrace.recommendation.policy import Policy

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]
NEVER = -np.inf  # the utility of an item that is not allowed


class Chosen(NamedTuple):
    """The items that were chosen for some students."""

    context: Context
    policy: Policy
    constraints: Constraints
    utility: FloatArray  # (students, profiles) or (students, items); minus infinity where an item is not allowed
    positions: NDArray[np.int64]  # (students, k) of the items in the catalog; -1: none was left
    pinned: Flags | None  # (students, items)
    exposed: Sequence[str]  # items that were recommended too often

    def positions_of(self, row: int) -> list[int]:
        """The positions of the items that were chosen for one student.

        Raises
        ------
        ConstraintError
            If no item is allowed.
        """
        positions: list[int] = self.positions[row].tolist()
        if positions[0] < 0:
            n = len(self.positions)
            which = f"student {row + 1} of {n}" if n > 1 else "the student"
            raise ConstraintError(f"no item is left for {which}: {_left_by_each_rule(self, row)}; loosen one of these")
        return [position for position in positions if position >= 0]

    def column_of(self, position: int) -> int:
        """The column of ``utility`` that holds an item."""
        catalog = self.context.catalog_index
        return position if self.utility.shape[1] == len(catalog) else catalog.profile_numbers[position]

    def columns_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The columns of ``utility`` that hold items."""
        catalog = self.context.catalog_index
        return positions if self.utility.shape[1] == len(catalog) else catalog.profile_of[positions]


def choose(context: Context, policy: Policy, constraints: Constraints, *, k: int, exposed: Sequence[str] = ()) -> Chosen:
    """The k best items for each student."""
    pinned = pinned_items(constraints, context) if constraints.pinned else None
    rules = rules_of(constraints, context, pinned=pinned, exposed=exposed)
    utility = _allowed(context, policy.utility(context), rules)
    positions = _best(context, utility, _tiers(context, pinned), k)
    return Chosen(context, policy, constraints, utility, positions, pinned, exposed)


def propensities(n: int, k: int, explore: float) -> list[float]:
    """The probability of each of n ranked items to be answered.

    With probability ``explore`` the k items to choose from are drawn from all n; otherwise they are the first k. Each of the k
    is answered with equal probability.
    """
    first, rest = (1.0 - explore) / min(k, n), explore / n
    return [rest + first] * min(k, n) + [rest] * (n - min(k, n))


# ---- which items are allowed ----


def _allowed(context: Context, utility: FloatArray, rules: Iterable[Rule]) -> FloatArray:
    """The utility of the items that every rule allows, minus infinity for others.

    It has a column per profile unless the policy or a rule has one per item.
    """
    catalog = context.catalog_index
    for rule in rules:
        if rule.allowed.shape[-1] > utility.shape[1]:
            utility = catalog.per_item(utility)
        allowed = rule.allowed if rule.allowed.shape[-1] == utility.shape[1] else catalog.per_item(rule.allowed)
        utility = np.where(allowed, utility, NEVER)
    return utility


def _left_by_each_rule(chosen: Chosen, row: int) -> str:
    """How many items are left for one student after each rule, up to the rule that leaves none."""
    catalog = chosen.context.catalog_index
    left, counts = np.ones(len(catalog), bool), [f"{len(catalog):,} items in the catalog"]
    for rule in rules_of(chosen.constraints, chosen.context, pinned=chosen.pinned, exposed=chosen.exposed):
        allowed = catalog.per_item(rule.allowed).reshape(-1, len(catalog))
        left &= allowed[row if len(allowed) > 1 else 0]
        counts.append(f"{int(left.sum()):,} after {rule.name}")
        if not left.any():
            break
    return ", ".join(counts)


# ---- the best of them ----


def _tiers(context: Context, pinned: Flags | None) -> list[Flags]:
    """Items that come first whatever their utility: pinned ones, others, those with an unmastered soft prerequisite.

    Each (students, items). No tiers where all items are of the same one.
    """
    if pinned is None and not len(context.catalog_index.soft.skill_set):
        return []
    early = context.catalog_index.per_item(context.early)
    first = np.zeros_like(early) if pinned is None else pinned
    return [tier for tier in (first, ~first & ~early, ~first & early) if tier.any()]


def _best(context: Context, utility: FloatArray, tiers: list[Flags], k: int) -> NDArray[np.int64]:
    """The positions of the k best items for each student, (students, k); -1 where no more are allowed."""
    positions, catalog = np.empty((len(utility), k), np.int64), context.catalog_index
    positions.fill(-1)
    for row, student in enumerate(context.students):
        found: list[int] = []
        for tier in [np.where(tier[row], catalog.per_item(utility[row]), NEVER) for tier in tiers] or [utility[row]]:
            _add_best(found, tier, k, catalog, student.answered)
        positions[row, : len(found)] = found
    return positions


def _add_best(found: list[int], utility: FloatArray, k: int, catalog: CatalogIndex, answered: Mapping[str, int]) -> None:
    """Add the best items, up to k in all: first those of skill sets that are not in the list yet, then the others."""
    columns_of, items = catalog.columns_of_skill_sets(len(utility)), catalog.items_of_columns(len(utility))
    left = utility.copy()
    for position in found:
        left[columns_of[catalog.skill_set_numbers[position]]] = NEVER
    while len(found) < k:
        column = int(left.argmax())
        if left[column] == NEVER:
            break
        position = items[column][0]
        if answered.get(catalog.names[position], 0):
            position = _least_answered(np.flatnonzero(left == left[column]), items, catalog.names, answered)
        left[columns_of[catalog.skill_set_numbers[position]]] = NEVER
        found.append(position)
    if len(found) < k:
        rest = [position for column in np.flatnonzero(utility > NEVER) for position in items[column] if position not in found]
        per_item, positions = catalog.per_item(utility), np.array(rest, int)
        times = np.array([answered.get(catalog.names[position], 0) for position in rest])
        found += positions[np.lexsort((positions, times, -per_item[positions]))][: k - len(found)].tolist()


def _least_answered(columns: NDArray[np.int64], items: list[list[int]], names: list[str], answered: Mapping[str, int]) -> int:
    """Of equals the item answered least often, then the earlier in the catalog."""
    positions = [position for column in columns.tolist() for position in items[column]]
    _, first = min([(answered.get(names[position], 0), position) for position in positions])
    return int(first)
