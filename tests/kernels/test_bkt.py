"""The steps against sums over all hidden paths and states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adaptrace.kernels import bkt
from adaptrace.kernels.compile import plain
from reference import bkt as reference

PROBABILITY = st.floats(0.01, 0.99)
OUTCOMES = st.lists(st.sampled_from([0.0, 1.0, 0.5, 0.25]), min_size=1, max_size=7).map(tuple)


def fold(outcomes: tuple[float, ...], theta: tuple[float, ...]) -> tuple[list[float], float]:
    prior, learn, forget, guess, slip = theta
    odds, predicted = bkt.initial(prior), []
    for correct in outcomes:
        predicted.append(bkt.chance(odds, guess, slip))
        odds = bkt.update(odds, bkt.evidence(correct, 1.0, 0.0, guess, slip), learn, forget)
    return predicted, bkt.mastery(odds)


def test_corbett_and_anderson_by_hand() -> None:
    # p = 0.3, right: 0.3 * 0.9 / (0.3 * 0.9 + 0.7 * 0.2) = 0.27 / 0.41; then 10 % of the rest learn
    predicted, mastery = fold((1.0,), (0.3, 0.1, 0.0, 0.2, 0.1))
    assert predicted[0] == pytest.approx(0.41, abs=1e-15)
    assert mastery == pytest.approx(0.27 / 0.41 + 0.1 * 0.14 / 0.41, abs=1e-15)


@settings(deadline=None)
@given(outcomes=OUTCOMES, theta=st.tuples(*[PROBABILITY] * 5))
def test_predictions_and_mastery_equal_sums_over_hidden_paths(outcomes: tuple[float, ...], theta: tuple[float, ...]) -> None:
    predicted, mastery = fold(outcomes, theta)
    for before, got in enumerate(predicted):
        assert got == pytest.approx(reference.prediction(outcomes[:before], theta), rel=1e-10)
    assert mastery == pytest.approx(reference.mastery_after(outcomes, theta), rel=1e-10)


@settings(deadline=None)
@given(
    correct=st.sampled_from([0.0, 1.0, 0.3]),
    skills=st.lists(st.tuples(PROBABILITY, PROBABILITY, PROBABILITY), min_size=1, max_size=4),
)
def test_an_event_of_several_skills_updates_each_by_its_exact_posterior(correct: float, skills: list[tuple[float, ...]]) -> None:
    known, guess, slip = (list(column) for column in zip(*skills, strict=True))
    chances = [bkt.chance(bkt.initial(p), g, s) for p, g, s in skills]
    joint, posteriors = reference.event_posteriors(correct, known, guess, slip)
    assert np.prod(chances) == pytest.approx(joint, rel=1e-12)
    for k, (p, g, s) in enumerate(skills):
        ratio = bkt.evidence(correct, joint / chances[k], 0.0, g, s)
        assert bkt.mastery(bkt.initial(p) * ratio) == pytest.approx(posteriors[k], rel=1e-9)


@settings(deadline=None)
@given(
    odds=st.floats(1e-200, 1e200),
    correct=st.floats(0, 1),
    weight=st.floats(1e-6, 1),
    rest=st.floats(0, 1),
    theta=st.tuples(*[PROBABILITY] * 4),
)
def test_plain_and_compiled_steps_agree_bit_for_bit(
    odds: float, correct: float, weight: float, rest: float, theta: tuple[float, ...]
) -> None:
    learn, forget, guess, slip = theta
    rest = rest * (1.0 - weight)
    ratio = bkt.evidence(correct, weight, rest, guess, slip)
    assert plain(bkt.evidence)(correct, weight, rest, guess, slip) == ratio
    assert plain(bkt.update)(odds, ratio, learn, forget) == bkt.update(odds, ratio, learn, forget)
    assert plain(bkt.chance)(odds, guess, slip) == bkt.chance(odds, guess, slip)
    assert plain(bkt.mastery)(odds) == bkt.mastery(odds)


@pytest.mark.parametrize("correct", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("extreme", [1e-9, 1 - 1e-9])
def test_mastery_stays_inside_zero_and_one_for_extreme_parameters(correct: float, extreme: float) -> None:
    for theta in ((extreme, extreme, 0.0, 1e-9, 1e-9), (0.5, 1e-9, extreme, 0.5, 0.4), (extreme, 1e-9, 0.0, 0.3, 1e-9)):
        predicted, mastery = fold((correct,) * 3000, theta)
        assert 0.0 < mastery < 1.0
        assert all(0.0 < each < 1.0 for each in predicted)
