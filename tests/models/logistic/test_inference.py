"""Standard errors, p-values and information criteria of logistic models."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

import adaptrace as at
from adaptrace.models.logistic import AFM, DAS3H, PFA, BestLR, Feature, Logistic, Recency
from adaptrace.models.logistic.features import INTERCEPT
from reference import logistic as reference
from reference.school import random_log

WITH = ["feature", "name", "weight", "standard_error", "z", "p"]
FAMILIES: list[Callable[..., Logistic]] = [PFA, AFM, BestLR, DAS3H, Recency]


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_standard_errors_are_those_of_the_curvature(make: Callable[..., Logistic], several: bool) -> None:
    """By finite differences of the reference's objective, on its own dense design."""
    log, model = random_log(3, rows=120, students=5, several=several), make(l2=0.5)
    columns, dense, penalty = reference.matrix(reference.rows_of(log), model.features, 0.5)
    fitted = model.fit(log)
    table = fitted.coefficients(log)
    assert table.column_names == WITH
    labels = list(dict.fromkeys(table["feature"].to_pylist()))
    told = {(labels.index(row["feature"]), row["name"]): row for row in table.to_pylist()}
    weights = np.array([told[column]["weight"] for column in columns])
    inverse = np.linalg.inv(reference.curvature(weights, dense, log.correct, penalty))
    found = np.array([told[column]["standard_error"] for column in columns])
    np.testing.assert_allclose(found, np.sqrt(np.diag(inverse)), rtol=1e-3)
    z = weights / found
    np.testing.assert_allclose([told[column]["z"] for column in columns], z)
    np.testing.assert_allclose([told[column]["p"] for column in columns], 2.0 * norm.sf(np.abs(z)), rtol=1e-9)
    criteria, effective = fitted.criteria(log), len(penalty) - float((penalty * np.diag(inverse)).sum())
    assert criteria.effective_weights == pytest.approx(effective, rel=1e-3)
    p = fitted.predict(log)
    shares = log.correct * np.log(p) + (1.0 - log.correct) * np.log(1.0 - p)
    assert criteria.log_likelihood == pytest.approx(float(shares.sum()), rel=1e-9)
    assert criteria.aic == pytest.approx(2.0 * (effective - criteria.log_likelihood), rel=1e-4)
    assert criteria.bic == pytest.approx(math.log(len(log)) * effective - 2.0 * criteria.log_likelihood, rel=1e-4)


def coins(right: int, wrong: int) -> at.Log:
    n = right + wrong
    columns = {"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["s"] * n}
    return at.Log.from_arrow(pa.table(columns | {"correct": [1] * right + [0] * wrong}))


def test_of_an_intercept_alone_they_are_the_textbooks() -> None:
    """1 / sqrt(n p q); and a free weight counts as one."""
    log = coins(30, 10)
    fitted = Logistic(features=(INTERCEPT,)).fit(log)
    assert fitted.coefficients(log)["standard_error"].to_pylist() == pytest.approx([1.0 / math.sqrt(40 * 0.75 * 0.25)], rel=1e-6)
    criteria = fitted.criteria(log)
    assert (criteria.responses, criteria.weights, criteria.effective_weights) == (40, 1, 1.0)
    assert criteria.log_likelihood == pytest.approx(fitted.log_likelihood(log), rel=1e-12)


def test_a_weight_that_no_response_meets_has_the_penaltys_error_and_counts_for_nothing() -> None:
    log = coins(3, 2)
    fitted = Logistic(features=(INTERCEPT, Feature(what="last", of="item", by="pattern")), l2=4.0).fit(log)
    unmet = [row for row in fitted.coefficients(log).to_pylist() if row["name"] == "0101"]
    assert [(row["weight"], row["standard_error"], row["p"]) for row in unmet] == [(0.0, 0.5, 1.0)]
    assert fitted.criteria(log).effective_weights < 5.0


def test_intervals_hold_planted_weights_as_often_as_they_say() -> None:
    """90 % intervals over 200 logs, where weights are drawn from the penalty's own prior: 85 to 95 %."""
    random, held, n = np.random.default_rng(0), [], 300
    skills = np.array(["a", "b", "c"])
    for _ in range(200):
        own, attempts = random.normal(size=3), np.zeros(3)
        slopes, skill, correct = random.normal(size=3), random.integers(0, 3, n), np.zeros(n)
        for row in range(n):
            logit = own[skill[row]] + slopes[skill[row]] * math.log1p(attempts[skill[row]])
            correct[row] = random.random() < 1.0 / (1.0 + math.exp(-logit))
            attempts[skill[row]] = attempts[skill[row]] + 1.0
        log = at.Log.from_arrow(pa.table({"student": ["s"] * n, "item": ["q"] * n, "skill": skills[skill], "correct": correct}))
        features = (Feature(what="one", of="skill", by="skill"), Feature(what="log_attempts", of="skill", by="skill"))
        table = Logistic(features=features).fit(log).coefficients(log)
        off = np.abs(table["weight"].to_numpy() - np.concatenate([own, slopes]))
        held.append(off < 1.645 * table["standard_error"].to_numpy())
    assert 0.85 < np.mean(held) < 0.95


def test_another_log_is_refused() -> None:
    log = random_log(3, rows=100)
    fitted = PFA().fit(log)
    with pytest.raises(at.ModelError, match="log: got 50 responses; expected the 100 that the model was fitted to"):
        fitted.coefficients(random_log(3, rows=50))
    with pytest.raises(at.ModelError, match="log: got 100 responses, others; expected the 100"):
        fitted.criteria(random_log(4, rows=100))


def test_weights_that_nothing_tells_apart_are_refused() -> None:
    log = random_log(3, rows=100)
    for fitted in (PFA(l2=0.0).fit(log), AFM(l2=0.0).fit(log)):
        with pytest.raises(at.ModelError, match="cannot tell the weights apart where l2 is 0; expected l2 above 0"):
            fitted.coefficients(log)


def test_a_summary_says_the_same() -> None:
    log = random_log(3, rows=100)
    fitted = BestLR().fit(log)
    summary, table = fitted.summary(log), fitted.coefficients(log)
    assert summary.column_names == ["parameter", "name", "value", *WITH[3:]]
    assert summary.columns == table.columns
    assert fitted.summary().column_names == ["parameter", "name", "value"]
