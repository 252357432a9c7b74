"""Blend: it sees no outcome before it is given, and takes the best of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.kernels import parallel
from adaptrace.models.blend import FOLDS, Blend, Described, _folds
from adaptrace.models.irt import Rasch, TwoPL
from adaptrace.models.logistic import Feature, Logistic
from adaptrace.models.logistic.features import INTERCEPT
from reference import irt as reference
from reference.school import random_log


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Starting threads takes longer than these fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        yield


def school(seed: int, *, students: int = 400, length: int = 30) -> at.Log:
    """Items differ in difficulty and students in ability; and skills are known or not, learned at once with a chance of 0.12."""
    random, n_items = np.random.default_rng(seed), 40
    difficulty = np.random.default_rng(99).normal(size=n_items)
    item = random.integers(0, n_items, (students, length))
    known, learned = random.random((students, 4)) < 0.3, random.random((students, length)) < 0.12
    ability, correct = random.normal(size=students), np.empty((students, length), int)
    for k in range(length):
        here = (np.arange(students), item[:, k] % 4)
        logit = ability - difficulty[item[:, k]] - 1.3 + 2.6 * known[here]
        correct[:, k] = random.random(students) < 1.0 / (1.0 + np.exp(-logit))
        known[here] |= learned[:, k]
    student = np.repeat([f"{seed}-{number}" for number in range(students)], length)
    skills = np.array([f"k{each % 4}" for each in item.ravel()])
    return at.Log.from_arrow({"student": student, "item": item.ravel(), "skill": skills, "correct": correct.ravel()})


@cache
def fitted() -> tuple[Blend, at.Log, at.Log]:
    """A blend, the log that it saw, and students it never saw."""
    train, test = school(0), school(1)
    return Blend().fit(train), train, test


def loss(model: at.models.base.Model, log: at.Log) -> float:
    """Mean log loss."""
    return -float(model.log_likelihood(log)) / len(log)


# ---- how good it is ----------------------------------------------------------


def test_it_is_better_than_each_of_its_parts_on_students_never_seen() -> None:
    """With 12,000 responses the standard error of a difference of losses is some 0.0005."""
    model, train, test = fitted()
    others = {"bkt": at.BKT().fit(train), "2pl": TwoPL().fit(train), "inner bkt": model.bkt, "inner irt": model.irt}
    others["history"] = Logistic(features=tuple(f for f in model.layer.features if getattr(f, "times", None) is None)).fit(train)
    mine = loss(model, test)
    for name, other in others.items():
        assert mine < loss(other, test) - (0.001 if name != "history" else 0.0), name
        assert metrics.auc(test.correct, model.predict(test)) > metrics.auc(test.correct, other.predict(test)), name
    assert mine < loss(others["bkt"], test) - 0.02


def test_it_is_calibrated_on_students_never_seen() -> None:
    """The slope of a logistic regression of the outcomes on its own logit is 1 where confidence is warranted."""
    model, _, test = fitted()
    assert confidence(model.predict(test), test) == pytest.approx(1.0, abs=0.12)


def confidence(p: np.ndarray, log: at.Log) -> float:
    """By how much the logits of predictions should be stretched: below 1, they are overconfident."""
    given = np.log(p / (1.0 - p))[:, None]
    layer = Logistic(features=(INTERCEPT, Feature(what="one", times=0)), l2=1e-6).fit_given(log, given)
    return float(layer.coefficients()["weight"].to_pylist()[1])


# ---- it does not see its own outcome -----------------------------------------


def tossed(seed: int) -> at.Log:
    """A log whose outcomes were shuffled: whatever is found in it is not there. Many items with few answers each."""
    log = reference.school(seed, students=120, length=20, difficulty=np.zeros(240), names=f"{seed}-")
    correct = np.random.default_rng(seed).permutation(log.correct)
    names = {name: log.names(name) for name in ("student", "item")}
    return at.Log.from_arrow(pa.table({**names, "skill": log.table["skill"].cast(pa.string()), "correct": correct}))


def greedy(log: at.Log) -> Blend:
    """A blend whose layer is fitted to what models say that have seen the very outcomes: what stacking must not do."""
    inner = replace(Blend(), bkt=at.BKT().fit(log), irt=TwoPL().fit(log))
    return replace(inner, layer=inner.layer.fit_given(log, inner.known(log)))


def test_in_shuffled_outcomes_it_finds_nothing() -> None:
    """2,400 responses: the standard error of an AUC is 0.012."""
    model, test = Blend().fit(tossed(0)), tossed(1)
    p = model.predict(test)
    assert metrics.auc(test.correct, p) == pytest.approx(0.5, abs=0.04)
    assert -model.log_likelihood(test) / len(test) < np.log(2.0) + 0.01


def test_with_inputs_that_saw_the_outcomes_the_layer_would_trust_them_too_much() -> None:
    """The demonstration of what cross-fitting is for, in outcomes that nothing tells.

    Difficulties fitted to ten tosses each tell these tosses very well, so the greedy layer leans on them; on students never seen
    they tell nothing, and its confidence is unwarranted. Ours learned from difficulties that others' tosses had given.
    """
    train, test = tossed(0), tossed(1)
    honest, leaning = Blend().fit(train), greedy(train)
    ours, theirs = loss(honest, test), loss(leaning, test)
    assert theirs > np.log(2.0) + 0.02
    assert theirs > ours + 0.02
    spread = [np.std(np.log(p / (1.0 - p))) for p in (model.predict(test) for model in (honest, leaning))]
    assert spread[1] > 2.0 * spread[0]
    gap = [loss(model, test) - loss(model, train) for model in (honest, leaning)]
    assert gap[1] > 2.0 * gap[0]


def test_on_the_log_it_saw_it_is_hardly_better_than_on_fresh_students() -> None:
    model, train, test = fitted()
    assert abs(loss(model, test) - loss(model, train)) < 0.012
    assert confidence(model.predict(train), train) == pytest.approx(1.0, abs=0.15)


def test_what_describes_a_student_to_the_layer_was_fitted_without_their_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turning over every outcome of a student leaves what is known before their first response nearly as it was.

    Only the few numbers that all share (how abilities move, the mean skill) are found from everybody.
    """
    seen: list[tuple[at.Log, np.ndarray]] = []
    fit_given = Logistic.fit_given

    def spy(self: Logistic, log: at.Log, given: np.ndarray, **options: object) -> Logistic:
        if len(log) == rows_in_all:  # not those of layers that say how strong the penalties should be
            seen.append((log, given.copy()))
        return fit_given(self, log, given, **options)

    monkeypatch.setattr(Logistic, "fit_given", spy)
    log = tossed(2).by_name  # the order that a fit gives students
    rows_in_all = len(log)
    rows = slice(*log.rows.student_start[3:5].tolist())
    correct = log.correct
    correct[rows] = 1.0 - correct[rows]
    names = {name: log.names(name) for name in ("student", "item")}
    other = at.Log.from_arrow(pa.table({**names, "skill": log.table["skill"].cast(pa.string()), "correct": correct}))
    for each in (log, other):
        Blend().fit(each)
        greedy(each)
    honest, leaning, honest_turned, leaning_turned = (given[rows, 3] for _, given in seen)  # difficulties
    np.testing.assert_allclose(honest_turned, honest, rtol=1e-12)
    assert np.median(np.abs(leaning_turned - leaning)) > 0.1  # the greedy inputs know the outcomes: the test can tell


# ---- what is asked of the knowledge tracing inside -----------------------------


def test_mastery_is_that_of_the_knowledge_tracing_inside() -> None:
    model, _, test = fitted()
    assert model.score(test).to_pydict() == model.bkt.score(test).to_pydict()
    assert model.trace(test).to_pydict() == model.bkt.trace(test).to_pydict()
    for name in test.students.to_pylist()[:5]:
        student, inner = (at.Student.from_log(each, test, student=name) for each in (model, model.bkt))
        for skill in (*test.skills.to_pylist(), "never seen"):
            assert student.mastery(skill) == inner.mastery(skill)


def test_needs_are_those_of_all_inside() -> None:
    assert Blend().needs == ()
    assert Blend(bkt=at.BKT(elapsed=True)).needs == ("time",)
    assert Blend(layer=Logistic(features=(INTERCEPT, Feature(what="days")))).needs == ("time",)


def test_days_count_where_the_log_has_a_clock() -> None:
    timed, untimed = random_log(3, rows=100), school(2, students=5, length=10)
    assert Blend().fit(timed).needs == ("time",)
    assert Blend().fit(untimed).needs == ()
    assert Blend(elapsed=False).fit(timed).needs == ()
    with pytest.raises(at.DataError, match="time"):
        Blend(elapsed=True).fit(untimed)


def test_what_the_user_said_of_the_clock_stays(tmp_path: Path) -> None:
    """Each fit looks at its own log: what an earlier one found there is undone."""
    timed, untimed = random_log(3, rows=100), school(2, students=5, length=10)
    assert Blend(elapsed=True).needs == ("time",)
    fitted = Blend().fit(timed)
    assert (fitted.elapsed, fitted.fit(untimed).needs, fitted.fit(untimed).fit(timed).to_dict()) == (None, (), fitted.to_dict())
    without = replace(fitted, elapsed=False).fit(timed)
    assert without.needs == ()
    assert without.to_dict() == Blend(elapsed=False).fit(timed).to_dict()
    for elapsed in (None, False, True):
        Blend(elapsed=elapsed).fit(timed).save(tmp_path / "model.json")
        assert at.load(tmp_path / "model.json").elapsed is elapsed


def test_the_repr_tells_blends_apart() -> None:
    assert [repr(Blend()), repr(Blend(elapsed=False))] == ["Blend()", "Blend(elapsed=False)"]
    assert repr(Blend(bkt=at.BKT(combine="conjunctive"))) == "Blend(BKT(forget=True, combine='conjunctive'))"
    assert repr(Blend(elapsed=False).fit(school(2, students=5, length=10))).endswith(", TwoPL(31 items), elapsed=False)")


def test_weights_are_held_firmly_where_the_models_inside_say_nearly_all() -> None:
    """And that is better on students never seen, by more than the smallest gain that counts."""
    log, test = school(0), school(1)
    inner, found = Blend()._described(log, None, lambda share: None)
    strength = inner._strength(log, found, None)
    assert strength >= 16.0
    weak, firm = (inner._layered(log, found, each, None) for each in (1.0, strength))
    assert loss(firm, test) < loss(weak, test) - 0.0005


def test_the_strength_is_chosen_by_the_log_loss_of_partial_credit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a point is likeliest under a prediction of one half, though 0.999 gives the same chance to a toss of its coin."""
    names, count = [f"s{number}" for number in range(8)], 8
    log = at.Log.from_arrow({"student": names, "item": ["q"] * count, "skill": ["k"] * count, "correct": [0.5] * count})
    sure = {1.0: 0.999, 4.0: 0.9, 16.0: 0.6, 64.0: 0.5, 256.0: 0.4}
    monkeypatch.setattr(Blend, "_layer_apart", lambda self, log, found, strength, *rest: np.full(len(log), sure[strength]))
    assert Blend()._strength(log, Described(np.empty((count, 0)), _folds(log)), None) == 64.0


def test_without_students_left_out_the_weights_are_held_most() -> None:
    one = school(0, students=1, length=60)
    model, test = Blend().fit(one), school(1, students=100)
    assert loss(model, test) < loss(at.Constant().fit(one), test) + 0.05


def test_a_blend_with_a_clock_says_the_same_in_batch_and_online() -> None:
    log = random_log(1, rows=150, several=True)
    model = Blend(bkt=at.BKT(elapsed=True), irt=Rasch(skills=False)).fit(log)
    predicted = model.predict(log).tolist()
    students: dict[object, at.Student] = {}
    for number, row in enumerate(log.table.to_pylist()):
        student = students.setdefault(row["student"], at.Student(model, name=str(row["student"])))
        asked = {"skills": row["skills"], "time": row["time"], "kind": row["kind"]}
        assert student.predict(row["item"], **asked) == predicted[number]
        student.observe(row["item"], row["correct"], **asked)


def test_options_of_the_parts_are_kept(tmp_path: Path) -> None:
    log = random_log(2, rows=150)
    model = Blend(bkt=at.BKT(elapsed=True, forget=False), irt=Rasch(drift=False)).fit(log)
    model.save(tmp_path / "model.json")
    back = at.load(tmp_path / "model.json")
    assert isinstance(back, Blend)
    assert (repr(back), back.needs, back.fingerprint) == (repr(model), model.needs, model.fingerprint)
    assert (back.irt.drift, back.bkt.elapsed) == (False, True)
    assert back.predict(log).tolist() == model.predict(log).tolist()
    assert back.fit(log).to_dict() == model.fit(log).to_dict()


# ---- folds --------------------------------------------------------------------


def test_students_are_dealt_by_name_evenly_and_each_to_one_fold() -> None:
    log = school(3, students=22, length=4)
    fold, names = _folds(log), log.names("student").to_pylist()
    dealt = {name: {int(f) for f, n in zip(fold, names, strict=True) if n == name} for name in set(names)}
    assert all(len(folds) == 1 for folds in dealt.values())
    assert np.ptp(np.bincount([folds.pop() for folds in dealt.values()], minlength=FOLDS)) <= 1


def test_a_model_that_is_not_fitted_says_so() -> None:
    for call in (Blend().predict, Blend().score):
        with pytest.raises(at.ModelError, match="not fitted"):
            call(school(1, students=2, length=2))
