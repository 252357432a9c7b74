"""Decisions: items are chosen under an exposure cap, sometimes at random to explore, and recorded on request."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from adaptrace.errors import ConflictError
from adaptrace.models.student import Student
from adaptrace.recommendation.choosing import Chosen, propensities
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.explaining import Recommendation
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender import Recommender
from adaptrace.tutor.store.base import Decision, Store

EXPLORES, DRAWS = 4, 5  # streams of random numbers: whether to explore, and which items


class Request(NamedTuple):
    """What a call of :meth:`adaptrace.Tutor.recommend` asks for; see there."""

    moment: int
    k: int
    policy: Policy | None
    constraints: Constraints | None
    seed: int
    explore: float
    decision_id: str | None


class _Shown(NamedTuple):
    """What is shown to a student."""

    chosen: Chosen
    places: list[int]  # of the items in the catalog
    explore: float  # the probability with which they were drawn; 0 where an item is pinned
    is_drawn: bool


class DecisionRecorder:
    """Chooses items for students, and records the decisions.

    Parameters
    ----------
    recommender
        What ranks the items.
    store
        Where recommended items are counted, and decisions are recorded.
    """

    def __init__(self, recommender: Recommender, store: Store) -> None:
        self._recommender, self._store = recommender, store

    def recommend(self, student: Student, request: Request) -> list[Recommendation]:
        """The items for a student, each with its reason; recorded if the request names a decision.

        Raises
        ------
        ConstraintError
            If no item is allowed.
        ConflictError
            If another decision is recorded under the id.
        """
        if not 0.0 <= request.explore <= 1.0:
            raise ValueError(f"explore: got {request.explore}; expected a probability, 0 to 1")
        shown = self._shown(student, request)
        if request.decision_id is not None:
            self._record(self._decision(student, request, shown))
        return [self._recommender.explained(shown.chosen, place, drawn=shown.is_drawn) for place in shown.places]

    def _shown(self, student: Student, request: Request) -> _Shown:
        """The k items to show, counted; none of them is over the exposure cap."""
        items = self._recommender.catalog.items
        k = request.k if request.decision_id is None else len(items)  # a decision names all candidates; the first k are the same
        exposed: tuple[str, ...] = ()
        while True:
            chosen = self._recommender.choose(
                [student],
                k,
                moment=request.moment,
                policy=request.policy,
                constraints=request.constraints,
                seed=request.seed,
                exposed=exposed,
            )
            shown = self._explored(chosen, request)
            cap = chosen.constraints.exposure_cap
            over = () if cap is None else self._store.expose([items[place].item for place in shown.places], cap)
            if not over:
                return shown
            exposed += over

    def _explored(self, chosen: Chosen, request: Request) -> _Shown:
        """The k best items or, with the probability that was asked for, k of all that are allowed, all equally likely."""
        explore, k, context = request.explore, request.k, chosen.context
        places = chosen.positions_of(0)[:k]
        if explore and chosen.pinned is not None and chosen.pinned[0, places].any():
            explore = 0.0  # a pin is not a matter of chance
        if not explore or context.draws(EXPLORES, 1)[0, 0] >= explore:
            return _Shown(chosen, places, explore, is_drawn=False)
        allowed = np.flatnonzero(context.catalog_index.per_item(chosen.utility[0]) > -np.inf)
        order = np.argsort(context.draws(DRAWS, len(allowed))[0])
        return _Shown(chosen, allowed[order][:k].tolist(), explore, is_drawn=True)

    def _decision(self, student: Student, request: Request, shown: _Shown) -> Decision:
        """The record of a decision, as off-policy estimates read it."""
        items, chosen = self._recommender.catalog.items, shown.chosen
        ranked = chosen.positions_of(0)
        content = {
            "shown": [items[place].item for place in shown.places],
            "candidates": [items[place].item for place in ranked],
            "utilities": [float(chosen.utility[0, chosen.column_of(place)]) for place in ranked],
            "propensities": propensities(len(ranked), request.k, shown.explore),
            "explore": shown.explore,
            "seed": request.seed,
            "policy": repr(chosen.policy),
            "model": self._recommender.model.fingerprint,
        }
        text = json.dumps(content, separators=(",", ":"))
        return Decision(str(request.decision_id), student.name, request.moment, text)

    def _record(self, decision: Decision) -> None:
        """Store a decision; a stored one of the same id must be equal."""
        self._store.decide([decision])
        stored = self._store.decided(decision.decision_id)
        if stored is not None and (stored.student, stored.content) != (decision.student, decision.content):
            raise ConflictError(
                f"decision_id '{decision.decision_id}': another decision is recorded under it; use a new id for each"
            )


def refuse_cap(constraints: Constraints) -> None:
    """Refuse an exposure cap where many students are asked for at once."""
    if constraints.exposure_cap is not None:
        raise ValueError(
            "recommend_all: got an exposure_cap, which is counted one student at a time; call recommend for each student"
        )
