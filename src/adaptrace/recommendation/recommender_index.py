"""What a recommender computes once from its model and catalog, before it sees any student."""

from __future__ import annotations

from adaptrace.data.catalog import Catalog
from adaptrace.models.base import Model
from adaptrace.models.criterion import Criterion
from adaptrace.recommendation.beliefs import BKTBeliefs, StateBeliefs, bkt_of, distinguishes_items
from adaptrace.recommendation.catalog_index import CatalogIndex


class RecommenderIndex:
    """A model, a catalog and a criterion of mastery, with the arrays computed from them. It holds nothing of any student.

    Attributes
    ----------
    catalog_index
        The catalog as arrays.
    bkt_beliefs
        What the model's BKT believes; None if the model has none.
    state_beliefs
        What the model believes, asked state by state.
    thresholds
        (skills,) the mastery from which each skill counts as mastered.
    timed
        Whether the model uses the time of a response.
    fades
        Whether mastery fades with time.
    """

    def __init__(self, model: Model, catalog: Catalog, criterion: Criterion) -> None:
        self.model, self.criterion = model, criterion
        self.catalog_index, bkt = CatalogIndex(catalog, apart=distinguishes_items(model)), bkt_of(model)
        self.bkt_beliefs = None if bkt is None else BKTBeliefs(bkt, self.catalog_index)
        self.state_beliefs = StateBeliefs(self.catalog_index)
        self.thresholds = criterion.thresholds(self.catalog_index.skills)
        self.timed = "time" in model.needs
        self.fades = bkt is not None and bkt.elapsed
