"""Families as classes, and options by keyword alone."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.models import IRT

LOGISTIC = (at.PFA, at.AFM, at.BestLR, at.DAS3H, at.Recency)
OPTIONS = (
    *LOGISTIC,
    at.BKT,
    at.Blend,
    at.Boosted,
    at.Constant,
    at.FSRS,
    at.HalfLife,
    at.Logistic,
    at.Rasch,
    at.TwoPL,
    IRT,
    at.Criterion,
)


@pytest.mark.parametrize("kind", [*OPTIONS, at.Feature], ids=lambda kind: kind.__name__)
def test_options_are_given_by_keyword(kind: Any) -> None:
    with pytest.raises(TypeError, match="positional"):
        kind("an option")
    assert {each.kind for each in inspect.signature(kind).parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("kind", LOGISTIC, ids=lambda kind: kind.__name__)
def test_models_of_the_literature_are_classes(kind: Any) -> None:
    assert isinstance(kind(), kind)
    assert isinstance(kind(), at.Logistic)
    assert kind(l2=2.0) == kind(l2=2.0) != kind()
    assert replace(kind(), l2=3.0).features == kind().features
    with pytest.raises(TypeError, match="features"):
        kind(features=())


@pytest.mark.parametrize("kind", [at.Rasch, at.TwoPL], ids=lambda kind: kind.__name__)
def test_item_response_models_are_classes(kind: Any) -> None:
    assert isinstance(kind(), kind)
    assert isinstance(kind(), IRT)
    assert replace(kind(), drift=False).discrimination == (kind is at.TwoPL)


def test_other_features_under_a_known_name_stay_what_they_are(sample_log: at.Log) -> None:
    first = at.PFA().features[:2]
    for model, kind in ((at.PFA(), at.PFA), (at.Logistic(features=first, name="PFA"), at.Logistic)):
        back = type(model).from_dict(model.fit(sample_log).to_dict())
        assert (type(back), back.features) == (kind, model.features)


def test_rates_of_recency_come_back(sample_log: at.Log) -> None:
    back = at.Recency.from_dict(at.Recency(rates=(0.3, 0.9)).fit(sample_log).to_dict())
    assert (type(back), back.rates) == (at.Recency, (0.3, 0.9))


def test_the_table_of_mastery_has_the_numbers_of_mastery(model: at.BKT, catalog: at.Catalog) -> None:
    student = at.Student(model, catalog)
    empty = student.mastery_table()
    for item in ("q1", "h1", "h2"):
        student.observe(item, 1)
    table = student.mastery_table()
    assert (len(empty), empty.schema) == (0, table.schema)
    assert table.equals(
        pa.table(
            {
                "skill": ["halves", "quarters"],
                "mastery": [student.mastery("halves"), student.mastery("quarters")],
                "opportunities": [2, 1],
            }
        )
    )
