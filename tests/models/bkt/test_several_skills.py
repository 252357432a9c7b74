"""Events of several skills, under every rule, against sums over hidden states."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.models.bkt.fitted import RULES
from reference import evidence as reference
from reference.school import knowing

PROBABILITY = st.floats(0.02, 0.95)
SKILL = st.tuples(PROBABILITY, st.floats(0.02, 0.45), st.floats(0.02, 0.45)).map(lambda each: reference.Skill(*each))
each_rule = pytest.mark.parametrize("rule", RULES)


def model_of(skills: list[reference.Skill], rule: str, learn: float = 0.2, forget: float = 0.01) -> at.BKT:
    """The skills a, b, ... with these parameters."""
    known, guess, slip = zip(*skills, strict=True)
    names = list("abcd")[: len(skills)]
    given = at.BKT.from_parameters(names, prior=known, guess=guess, slip=slip, learn=learn, forget=forget)
    return at.BKT(combine=rule, table=given.table)


def one_event(skills: int, correct: float) -> at.Log:
    return at.Log.from_arrow({"student": [1], "item": [1], "skills": [list("abcd")[:skills]], "correct": [correct]})


@each_rule
@settings(max_examples=30, deadline=None)
@given(skills=st.lists(SKILL, min_size=2, max_size=4), correct=st.sampled_from([0.0, 1.0]), learn=PROBABILITY)
def test_an_event_is_predicted_and_updates_its_skills_as_the_rule_says(
    rule: str, skills: list[reference.Skill], correct: float, learn: float
) -> None:
    chances = sorted(skill.chance for skill in set(skills))
    # where two are the weakest but for rounding, which of them it is depends on the rounding
    assume(rule in ("conjunctive", "mean") or all(other - one > 1e-12 for one, other in pairwise(chances)))
    model, log = model_of(skills, rule, learn), one_event(len(skills), correct)
    predicted, posteriors = reference.RULES[rule](skills, correct)
    assert model.predict(log)[0] == pytest.approx(predicted, rel=1e-10)
    moved = [posterior * (1 - 0.01) + (1 - posterior) * learn for posterior in posteriors]
    assert model.score(log)["mastery"].to_pylist() == pytest.approx(moved, rel=1e-9)


@pytest.mark.parametrize("rule", ["conjunctive", "mean", "min"])
@settings(max_examples=30, deadline=None)
@given(skills=st.lists(SKILL, min_size=2, max_size=4), correct=st.floats(0.0, 1.0))
def test_partial_credit_is_right_with_its_probability(rule: str, skills: list[reference.Skill], correct: float) -> None:
    score = model_of(skills, rule, learn=1e-9, forget=0.0).score(one_event(len(skills), correct))
    _, posteriors = reference.RULES[rule](skills, correct)
    assert score["mastery"].to_pylist() == pytest.approx(posteriors, rel=1e-5)


@each_rule
def test_an_event_of_one_skill_is_the_same_under_every_rule(rule: str) -> None:
    skills = [reference.Skill(0.4, 0.2, 0.1)]
    score = model_of(skills, rule).score(one_event(1, 0.0))["mastery"].to_pylist()
    assert score == model_of(skills, "conjunctive").score(one_event(1, 0.0))["mastery"].to_pylist()


@each_rule
def test_a_right_answer_never_lowers_and_a_wrong_one_never_raises_what_is_known(rule: str) -> None:
    """Learning and forgetting aside."""
    skills = [reference.Skill(0.7, 0.2, 0.1), reference.Skill(0.2, 0.3, 0.05), reference.Skill(0.5, 0.1, 0.3)]
    model = model_of(skills, rule, learn=1e-9, forget=0.0)
    for correct, sign in ((1.0, 1), (0.0, -1)):
        mastery = model.score(one_event(3, correct))["mastery"].to_numpy()
        moved = sign * (mastery - [skill.known for skill in skills])
        assert np.all(moved >= -1e-8)
        assert moved.max() > 0.01


@each_rule
def test_hindsight_of_the_last_event_is_its_own_posterior(rule: str) -> None:
    skills = [reference.Skill(0.7, 0.2, 0.1), reference.Skill(0.2, 0.3, 0.05)]
    model, log = model_of(skills, rule, learn=1e-9, forget=0.0), one_event(2, 0.0)
    assert model.smooth(log)["known"].to_pylist() == pytest.approx(model.score(log)["mastery"].to_pylist(), rel=1e-6)


# ---- planted rules ----------------------------------------------------------


def taught(rule: str, students: int = 400, length: int = 12) -> tuple[at.Log, at.Log]:
    """Students of two skills, who answer items of either or both by the rule."""
    random = np.random.default_rng(17)
    known = np.stack([knowing(prior, learn, 1.0, (students, length), random) for prior, learn in ((0.6, 0.1), (0.2, 0.2))])
    right = np.where(known, 0.92, np.array([0.15, 0.25])[:, None, None])
    asked = random.integers(0, 3, (students, length))
    joint = {"conjunctive": right[0] * right[1], "mean": right.mean(axis=0)}[rule]
    chance = np.select([asked == 0, asked == 1], right, joint)
    correct = (random.random((students, length)) < chance).astype(int)
    skills = [[["a"], ["b"], ["a", "b"]][which] for which in asked.ravel()]
    student = np.repeat(np.arange(students), length)
    log = at.Log.from_arrow({"student": student, "item": asked.ravel(), "skills": skills, "correct": correct.ravel()})
    half = log.table["student"].to_numpy() % 2 == 0
    return log.select(half), log.select(~half)


@pytest.mark.parametrize("rule", ["conjunctive", "mean"])
def test_the_rule_that_the_students_follow_predicts_them_best(rule: str) -> None:
    train, test = taught(rule)
    losses = {each: metrics.log_loss(test.correct, at.BKT(combine=each).fit(train).predict(test)) for each in RULES}
    assert min(losses, key=losses.__getitem__) == rule


@pytest.mark.parametrize("rule", ["conjunctive", "mean"])
def test_the_parameters_of_the_skills_are_found_from_events_of_both(rule: str) -> None:
    model = at.BKT(combine=rule).fit(taught(rule)[0])
    for name, prior, guess in (("a", 0.6, 0.15), ("b", 0.2, 0.25)):
        assert model.row(name)[0] == pytest.approx(prior, abs=0.15)
        assert model.row(name)[3] == pytest.approx(guess, abs=0.12)
        assert model.row(name)[4] == pytest.approx(0.08, abs=0.08)


@pytest.mark.parametrize("rule", ["conjunctive", "mean"])
def test_a_fit_chooses_the_rule_that_the_students_follow(rule: str) -> None:
    train, test = taught(rule)
    model = at.BKT().fit(train)
    assert model.combine == rule
    assert model.predict(test).tolist() == at.BKT(combine=rule).fit(train).predict(test).tolist()


def test_without_events_of_several_skills_there_is_nothing_to_choose() -> None:
    log = at.sample_log()
    assert at.BKT().combine == "auto"
    assert at.BKT().fit(log).combine == at.BKT().fit(at.BKT().stats(log)).combine == "conjunctive"
