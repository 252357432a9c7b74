"""Logistic models: their one optimum, what a penalty means, and logs that say nothing."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import minimize_scalar

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.models.logistic import AFM, DAS3H, PFA, BestLR, Feature, Logistic, Recency
from adaptrace.models.logistic.features import INTERCEPT
from reference import logistic as reference
from reference.school import START, random_log, times

LINEAR: list[Callable[..., Logistic]] = [partial(PFA, counts="linear"), partial(AFM, counts="linear")]
FAMILIES: list[Callable[..., Logistic]] = [PFA, AFM, BestLR, DAS3H, Recency]
each_family = pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
each_model = pytest.mark.parametrize("make", FAMILIES + LINEAR, ids=lambda make: repr(make()))


@cache
def small(several: bool) -> at.Log:
    return random_log(3, rows=260, several=several)


@each_model
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize(("l2", "near"), [(0.05, 5e-6), (0.5, 1e-6), (1.0, 1e-6), (20.0, 1e-6)])
def test_the_fit_ends_at_the_optimum_of_another_optimiser(
    make: Callable[..., Logistic], several: bool, l2: float, near: float
) -> None:
    """Of the same objective, on a dense design that was recounted.

    The climb ends at a step that gains less than a share of 3e-9: where nearly nothing holds the weights, some 1e-6 is left.
    """
    log, model = small(several), make(l2=l2)
    columns, dense, penalty = reference.matrix(reference.rows_of(log), model.features, l2)
    lowest, where = reference.optimum(dense, log.correct, penalty)
    fitted = model.fit(log)
    assert fitted.weights.objective == pytest.approx(lowest, rel=near)
    assert fitted.weights.objective >= lowest * (1.0 - 1e-9)
    found = fitted.coefficients().to_pydict()
    assert len(found["weight"]) == len(columns)
    p = 1.0 / (1.0 + np.exp(-dense @ where))
    np.testing.assert_allclose(fitted.predict(log), p, atol=1e-3)  # sqrt of the objective's tolerance


@each_family
def test_the_objective_is_that_of_the_weights(make: Callable[..., Logistic]) -> None:
    """Weights by name, taken from the table of coefficients, in the reference's own objective."""
    log, model = small(True), make()
    columns, dense, penalty = reference.matrix(reference.rows_of(log), model.features, 1.0)
    fitted = model.fit(log)
    labels = [label for label, _ in itertools.groupby(fitted.coefficients()["feature"].to_pylist())]
    assert len(labels) == len(model.features)
    told = {(labels.index(row["feature"]), row["name"]): row["weight"] for row in fitted.coefficients().to_pylist()}
    weights = np.array([told[column] for column in columns])
    assert fitted.weights.objective == pytest.approx(reference.objective(weights, dense, log.correct, penalty), rel=1e-12)
    np.testing.assert_allclose(fitted.predict(log), 1.0 / (1.0 + np.exp(-dense @ weights)), rtol=1e-9)


def log_of(correct: list[float], *, skill: str = "s") -> at.Log:
    n = len(correct)
    time = pa.array([START + datetime.timedelta(hours=k) for k in range(n)], pa.timestamp("us", tz="UTC"))
    columns = {"student": pa.array(["Ada"] * n, pa.string()), "item": pa.array(["q"] * n, pa.string())}
    return at.Log.from_arrow({**columns, "skill": pa.array([skill] * n, pa.string()), "correct": correct, "time": time})


def test_a_penalty_is_half_the_square_of_the_weight_as_scikit_learns_with_c_of_one_over_it() -> None:
    """C * sum(log losses) + weight**2 / 2 is lowest where sum(log losses) + weight**2 / (2 C) is: one weight, another search."""
    correct = [1.0, 1.0, 1.0, 0.0, 1.0]
    for l2 in (0.1, 1.0, 7.0):

        def objective(w: float, C: float = 1.0 / l2) -> float:  # noqa: N803  # scikit-learn's name
            return float(C * np.logaddexp(0.0, [-w, -w, -w, w, -w]).sum() + w * w / 2.0)

        best = minimize_scalar(objective, tol=1e-12)
        fitted = Logistic(features=(Feature(what="one"),), l2=l2).fit(log_of(correct))
        assert fitted.coefficients()["weight"].to_pylist() == pytest.approx([best.x], rel=1e-4)


def test_the_intercept_is_not_penalised() -> None:
    """Alone it is the logit of the mean outcome, whatever the penalty."""
    correct = [1.0] * 9 + [0.0]
    fitted = Logistic(features=(INTERCEPT,), l2=1e6).fit(log_of(correct))
    assert fitted.coefficients()["weight"].to_pylist() == pytest.approx([np.log(9.0)], rel=1e-4)
    many = PFA(l2=1e6).fit(small(False))
    assert many.predict(small(False)) == pytest.approx(small(False).correct.mean(), abs=1e-3)


def test_a_feature_may_have_a_penalty_of_its_own() -> None:
    log = small(False)
    features = (INTERCEPT, Feature(what="one", of="item", by="item", l2=1e6), Feature(what="one", of="skill", by="skill"))
    weights = Logistic(features=features, l2=0.1).fit(log).coefficients()["weight"].to_numpy()
    assert np.abs(weights[1:7]).max() < 1e-3
    assert np.abs(weights[7:]).max() > 1e-2


@each_family
@pytest.mark.parametrize(
    "correct", [[1.0] * 60, [0.0] * 60, [1.0], [0.0], [0.5], [], [0.5] * 30], ids=lambda correct: f"{correct[:1]}x{len(correct)}"
)
@pytest.mark.parametrize("l2", [0.0, 1.0])
def test_a_log_that_says_little_gives_finite_numbers(make: Callable[..., Logistic], correct: list[float], l2: float) -> None:
    log = log_of(correct)
    fitted = make(l2=l2).fit(log)
    assert np.isfinite(fitted.weights.values).all()
    assert np.isfinite(fitted.weights.objective)
    assert fitted.weights.responses == len(correct)
    for each in (log, log_of([1.0, 0.0, 0.5], skill="new")):
        predicted = fitted.predict(each)
        assert np.all((predicted > 0.0) & (predicted < 1.0))
    if len(correct) > 1 and correct[0] != 0.5:
        assert np.abs(fitted.predict(log) - correct[0]).max() < 0.1


def test_a_small_penalty_fits_better_and_a_large_one_less() -> None:
    log = small(True)
    losses = [-BestLR(l2=l2).fit(log).log_likelihood(log) for l2 in (0.01, 0.1, 1.0, 10.0, 100.0)]
    assert losses == sorted(losses)


def simulated(learn: float, seed: int) -> at.Log:
    """Each answer right with the chance of a PFA whose weights are known: 400 students, 20 answers each on two skills."""
    random, rows = np.random.default_rng(seed), []
    level, right, wrong = {"a": -0.5, "b": 0.8}, {"a": learn, "b": 0.05}, {"a": -0.1, "b": 0.0}
    for student in range(400):
        wins = {"a": 0, "b": 0}
        fails = {"a": 0, "b": 0}
        for _ in range(20):
            skill = "ab"[int(random.integers(2))]
            logit = level[skill] + right[skill] * wins[skill] + wrong[skill] * fails[skill]
            correct = int(random.random() < 1.0 / (1.0 + np.exp(-logit)))
            rows.append({"student": student, "item": "q", "skill": skill, "correct": correct})
            wins[skill] += correct
            fails[skill] += 1 - correct
    return at.Log.from_arrow(pa.Table.from_pylist(rows))


def test_planted_weights_are_found() -> None:
    """Within four standard errors, some 0.08 for 4,000 answers a skill on counts that spread over five."""
    told = PFA(counts="linear", l2=0.01).fit(simulated(0.3, 0)).coefficients().to_pylist()
    weights = {(row["feature"].split()[0], row["name"]): row["weight"] for row in told}
    level = {skill: weights["one", ""] + weights["one", skill] for skill in "ab"}
    assert level == pytest.approx({"a": -0.5, "b": 0.8}, abs=0.25)
    found = [weights[what, skill] for skill in "ab" for what in ("wins", "fails")]
    assert found == pytest.approx([0.3, -0.1, 0.05, 0.0], abs=0.08)


# ---- predicting and observing -----------------------------------------------


def moment(hours: float) -> datetime.datetime:
    return START + datetime.timedelta(hours=hours)


@pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)
def test_predicting_changes_nothing(make: Callable[..., Logistic]) -> None:
    """Neither another item and skill nor a moment far ahead, as a policy asks for, may leave a trace in the state."""
    student = at.Student(make().fit(small(True)), name="1")
    for hour in range(4):
        student.observe("u", 1, time=moment(hour), skills=["a"])
    before, now = student.to_dict(), student.predict("u", time=moment(5), skills=["a"])
    student.predict("u", time=moment(24 * 300), skills=["a"])
    student.predict("never seen", time=moment(6), skills=["b", "new"])
    assert student.predict("u", time=moment(5), skills=["a"]) == now
    assert student.to_dict() == before


def test_a_prediction_far_ahead_does_not_empty_the_windows() -> None:
    """What is asked of next year says nothing of today."""
    model = DAS3H().fit(small(False))
    asked, other = (at.Student(model, name="1") for _ in range(2))
    for student in (asked, other):
        student.observe("u", 1, time=moment(0), skills=["a"])
    asked.predict("u", time=moment(24 * 365), skills=["a"])
    for student in (asked, other):
        student.observe("u", 0, time=moment(1), skills=["a"])
    assert asked.predict("u", time=moment(2), skills=["a"]) == other.predict("u", time=moment(2), skills=["a"])


def test_what_is_wrong_with_features_is_told_at_once() -> None:
    with pytest.raises(at.ModelError) as error:
        Logistic(
            features=(Feature(what="wisdom", of="class", by="day"), Feature(what="recent"), Feature(what="window_wins")), l2=-1.0
        )
    for name in ("wisdom", "class", "day", "rate", "days", "l2"):
        assert name in str(error.value)


@pytest.mark.parametrize("l2", [-1.0, float("nan")])
def test_a_penalty_that_rewards_is_refused(l2: float) -> None:
    """With a negative one there is no optimum."""
    with pytest.raises(at.ModelError, match="l2"):
        Logistic(features=(INTERCEPT, Feature(what="one", by="item", l2=l2)))


def test_a_given_column_that_is_not_there_is_an_error_not_whatever_lies_in_memory() -> None:
    model = Logistic(features=(INTERCEPT, Feature(what="one", times=3)))
    with pytest.raises(at.ModelError, match="times"):
        model.fit(small(False))
    with pytest.raises(at.ModelError, match="times"):
        model.fit_given(small(False), np.zeros((len(small(False)), 3)))


def test_das3h_needs_a_clock_and_says_so() -> None:
    log = at.Log.from_arrow({"student": [1], "item": [1], "skill": ["a"], "correct": [1]})
    with pytest.raises(at.DataError, match="time"):
        DAS3H().fit(log)
    assert DAS3H().needs == ("time",)
    assert Logistic(features=(Feature(what="days"),)).needs == ("time",)
    assert BestLR().needs == ()


def test_a_model_that_is_not_fitted_says_so() -> None:
    calls: list[Callable[[Logistic], Any]] = [lambda m: m.predict(small(False)), lambda m: m.start(), lambda m: m.to_dict()]
    for call in [*calls, lambda m: m.coefficients()]:
        with pytest.raises(at.ModelError, match="not fitted"):
            call(BestLR())


def test_progress_never_goes_back_and_changes_nothing() -> None:
    shares: list[float] = []
    one, other = BestLR().fit(small(True), progress=shares.append), BestLR().fit(small(True))
    assert shares == sorted(shares)
    assert 0.0 < shares[0] <= shares[-1] <= 1.0
    assert one.to_dict() == other.to_dict()


def test_the_student_counts_where_students_have_weights() -> None:
    """AFM and DAS3H know the students of their log; another one is as the mean."""
    model = AFM(l2=0.1).fit(small(False))
    weights = {row["name"]: row["weight"] for row in model.coefficients().to_pylist() if row["feature"].endswith("by student")}
    ranked = sorted(weights, key=lambda name: weights[name])
    chances = [at.Student(model, name=name).predict("u", skills=["a"]) for name in (ranked[0], "somebody", ranked[-1])]
    assert chances[0] < chances[1] < chances[2]


# ---- long histories ---------------------------------------------------------


@cache
def long_histories() -> at.Log:
    """36 students with 100 responses and four with 3,000 on three skills; their abilities drift."""
    random, parts = np.random.default_rng(2), []
    for student in range(40):
        n = 3000 if student < 4 else 100
        ability = 0.8 + random.normal() + 0.03 * np.cumsum(random.normal(size=n))
        skill = random.integers(0, 3, n)
        correct = random.random(n) < 1.0 / (1.0 + np.exp(0.5 - ability - 0.5 * skill))
        item = 10 * skill + random.integers(0, 10, n)
        columns = {"item": item, "skill": skill, "correct": correct.astype(float), "time": times(np.arange(n) / 2880.0)}
        parts.append(pa.table({"student": np.full(n, student), **columns}))
    return at.Log.from_arrow(pa.concat_tables(parts))


def held_out_loss(model: Any) -> float:
    return metrics.log_loss(long_histories().correct, at.cross_validate(model, long_histories()).predicted)


@each_family
def test_no_family_explodes_where_histories_are_long(make: Callable[..., Logistic]) -> None:
    assert held_out_loss(make()) < held_out_loss(at.Constant())


def test_linear_counts_explode_there() -> None:
    """Or the test above would say nothing."""
    assert held_out_loss(PFA(counts="linear")) > 1.0


def test_counts_are_log_or_linear_and_come_back_as_they_were() -> None:
    for model in (PFA(), AFM(), *(make() for make in LINEAR)):
        fitted = model.fit(small(False))
        again = Logistic.from_dict(fitted.to_dict())
        assert (type(again), again.counts) == (type(model), model.counts)
        assert again.to_dict() == fitted.to_dict()
    assert repr(PFA(counts="linear")) == "PFA(counts='linear')"
    with pytest.raises(at.ModelError, match="counts: got 'square'; expected 'log' or 'linear'"):
        PFA(counts="square")
