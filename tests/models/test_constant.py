"""The constant model: a mean, and as much of a model as any other."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import adaptrace as at
from adaptrace.io import envelope
from adaptrace.models.base import Response
from adaptrace.models.constant import Constant


def log_of(responses, *correct: float) -> at.Log:
    return at.Log.from_arrow(responses(correct=list(correct)))


@pytest.mark.parametrize(
    ("correct", "mean"),
    [([0, 1, 1, 1], 0.75), ([0.5, 1.0], 0.75), ([1, 0], 0.5), ([1, 1, 1], 3.5 / 4), ([0, 0, 0], 0.5 / 4), ([1], 0.75)],
)
def test_the_fit_is_the_mean_outcome_and_never_certain(responses, correct: list[float], mean: float) -> None:
    model = Constant().fit(log_of(responses, *correct))
    assert model.mean == pytest.approx(mean, rel=1e-15)
    assert model.predict(log_of(responses, 0, 0)).tolist() == [model.mean] * 2


def test_an_empty_log_fits_one_half(responses) -> None:
    empty = at.Log.from_arrow(responses().slice(2))
    model = Constant().fit(empty)
    assert model == Constant(mean=0.5)
    assert model.predict(empty).shape == (0,)
    assert model.log_likelihood(empty) == 0.0


def test_a_fit_changes_nothing_but_gives_a_new_model(responses) -> None:
    log, blank, shares = log_of(responses, 0, 1, 1, 1), Constant(), []
    before = log.table.to_pylist()
    with ThreadPoolExecutor(2) as pool:
        model = blank.fit(log, executor=pool, progress=shares.append)
    assert (blank.mean, model.mean, shares, log.table.to_pylist()) == (None, 0.75, [1.0], before)
    assert Constant(mean=0.1).fit(log) == model


def test_the_log_likelihood_is_that_of_independent_answers(responses) -> None:
    model = Constant(mean=0.75)
    assert model.log_likelihood(log_of(responses, 0, 1, 1)) == pytest.approx(math.log(0.25 * 0.75**2), rel=1e-14)


def test_a_saved_model_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    model = Constant(mean=1.0 / 3.0)
    model.save(tmp_path / "model.json")
    content = envelope.read(tmp_path / "model.json", "model")
    back = Constant.from_dict(content)
    assert (content["family"], back, back.fingerprint) == ("constant", model, model.fingerprint)
    assert Constant(mean=0.3).fingerprint != model.fingerprint


def test_a_state_says_the_mean_and_learns_nothing() -> None:
    model, response = Constant(mean=0.6), Response("q1", ("halves",), "practice", 1.0, None)
    state = model.start("Ada", "7b")
    assert state.predict(response) == 0.6
    state.observe(response)
    assert model.resume(state.to_dict(), "Ada", "7b") == state == model.start()
    assert state.predict(response) == 0.6


@pytest.mark.parametrize("mean", [0, 1.0, -0.1, float("nan"), "half", True])
def test_a_mean_that_is_no_probability_is_refused(mean: object) -> None:
    with pytest.raises(at.ModelError, match=r"mean: got .*; expected a number strictly between 0 and 1"):
        Constant(mean=mean)


def test_an_unfitted_model_says_so(responses) -> None:
    for use in (Constant().start, Constant().to_dict, lambda: Constant().predict(log_of(responses, 1))):
        with pytest.raises(at.ModelError, match=r"not fitted; use the one that fit\(log\) returns"):
            use()


def test_it_needs_no_column_and_reads_well() -> None:
    assert (Constant().needs, Constant.family, repr(Constant()), repr(Constant(mean=2.0 / 3.0))) == (
        (),
        "constant",
        "Constant()",
        "Constant(0.6667)",
    )
    assert isinstance(Constant(mean=np.float64(0.5)).to_dict()["mean"], float)
