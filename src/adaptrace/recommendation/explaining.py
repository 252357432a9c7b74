"""Recommendations: the chosen items with their reasons, one by one or as a table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from adaptrace.data.catalog import Item
from adaptrace.recommendation.choosing import Chosen
from adaptrace.recommendation.reasons import Reason


class Recommendation(NamedTuple):
    """One of the k items to choose from, best first."""

    item: Item
    utility: float
    reason: Reason


def explained(chosen: Chosen, position: int, *, row: int = 0, drawn: bool = False) -> Recommendation:
    """One of the items chosen for a student, with its reason. ``drawn``: at random, not by the policy."""
    context, catalog, policy = chosen.context, chosen.context.catalog_index, chosen.policy
    code = context.weakest_skill(row, position)
    skill, needs = catalog.skills[code], catalog.prerequisites[position]
    facts = (
        type(policy).__name__,
        skill,
        context.mastery.item(row, code),
        context.chance_of(row, position),
        tuple(need for need in needs if not context.not_mastered[row, catalog.code[need]]) if needs else (),
        catalog.unlocks.get(skill, ()),
        context.due(row, skill),
        "explored" if drawn else _constraint(chosen, row, position, code),
    )
    reason = Reason(*facts, policy.why(Reason(*facts)))
    return Recommendation(catalog.catalog.items[position], chosen.utility.item(row, chosen.column_of(position)), reason)


def table_of(chosen: Chosen, reasons: bool) -> pa.Table:
    """All items chosen, as rows; one row without an item for a student for whom no item is allowed."""
    some = chosen.positions >= 0
    some[:, 0] = True
    row, rank = (each.tolist() for each in np.nonzero(some))
    position = chosen.positions[some]
    none, context, catalog = position < 0, chosen.context, chosen.context.catalog_index
    code = context.weakest_skills(row, position)
    columns = {
        "student": pa.array([context.students[each].name for each in row], pa.string()),
        "rank": pa.array(np.array(rank) + 1, pa.int32()),
        "item": catalog.item_names.take(pa.array(position, mask=none)),
        "utility": pa.array(chosen.utility[row, chosen.columns_of(position)], pa.float64(), mask=none),
        "skill": catalog.skill_names.take(pa.array(code, mask=none)),
        "mastery": pa.array(context.mastery[row, code], pa.float64(), mask=none),
        "chance": pa.array(context.chances_of(row, position), pa.float64(), mask=none),
    }
    if reasons:
        pairs = zip(row, position.tolist(), strict=True)
        sentences = [None if p < 0 else str(explained(chosen, p, row=r).reason) for r, p in pairs]
        columns["reason"] = pa.array(sentences, pa.string())
    return pa.table(columns)


def _constraint(chosen: Chosen, row: int, position: int, weakest: int) -> str:
    """Why the item was chosen other than by the policy; empty if by the policy alone."""
    context, catalog = chosen.context, chosen.context.catalog_index
    if chosen.pinned is not None and chosen.pinned[row, position]:
        return "pinned"
    unmastered = context.not_mastered[row]
    if not (unmastered[weakest] or any(unmastered[code] for code in catalog.codes[position])):
        return "review"
    if context.review[row, 0]:  # skills are each other's prerequisites, so that none is unlocked
        return "early"
    return "early" if len(catalog.soft.skill_set) and context.early[row, catalog.profile_numbers[position]] else ""
