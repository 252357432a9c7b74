"""The model: options, intervals, hindsight."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from reference import bkt as reference

PROBABILITY = st.floats(0.02, 0.95)
THETA = st.tuples(PROBABILITY, PROBABILITY, st.floats(0.0, 0.4), st.floats(0.02, 0.45), st.floats(0.02, 0.45))


def log_of(*sequences: tuple[float, ...]) -> at.Log:
    rows = [(f"s{n}", correct) for n, sequence in enumerate(sequences) for correct in sequence]
    student, correct = zip(*rows, strict=True)
    return at.Log.from_arrow(
        pa.table({"student": student, "item": ["q"] * len(rows), "skill": ["a"] * len(rows), "correct": correct})
    )


def drawn(n_students: int, length: int, seed: int, **theta: float) -> at.Log:
    """A log of one skill drawn from a model without forgetting."""
    random = np.random.default_rng(seed)
    known = random.random(n_students) < theta["prior"]
    outcomes = np.empty((n_students, length))
    for step in range(length):
        outcomes[:, step] = random.random(n_students) < np.where(known, 1 - theta["slip"], theta["guess"])
        known |= random.random(n_students) < theta["learn"]
    return log_of(*map(tuple, outcomes))


EXACT = {"pooling": 0.0, "plausible": False}  # the plain maximum of the likelihood
TRUTH = {"prior": 0.3, "learn": 0.15, "guess": 0.2, "slip": 0.1}


@pytest.mark.plain_python
@settings(max_examples=60, deadline=None)
@given(outcomes=st.lists(st.sampled_from([0.0, 1.0, 0.5]), min_size=1, max_size=7).map(tuple), theta=THETA)
def test_hindsight_equals_sums_over_hidden_paths(outcomes: tuple[float, ...], theta: tuple[float, ...]) -> None:
    prior, learn, forget, guess, slip = theta
    model = at.BKT.from_parameters(["a"], prior=prior, learn=learn, forget=forget, guess=guess, slip=slip)
    got = model.smooth(log_of(outcomes))
    known, learned = zip(*reference.in_hindsight(outcomes, model.row("a")), strict=True)
    np.testing.assert_allclose(got["known"].to_numpy(), known, rtol=1e-9)
    np.testing.assert_allclose(got["learned"].to_numpy(), learned, rtol=1e-9)


def test_hindsight_of_the_last_response_is_its_own_posterior() -> None:
    model = at.BKT.from_parameters(["a", "b"], **TRUTH)
    table = {"student": [1] * 3, "item": [1] * 3, "skills": [["a", "b"], ["a"], ["a", "b"]], "correct": [0, 1, 0]}
    log = at.Log.from_arrow(pa.table(table))
    last = model.smooth(log).to_pylist()[-1]
    _, learn, _, _, _ = model.row("b")
    score = {row["skill"]: row["mastery"] for row in model.score(log).to_pylist()}
    assert last["known"] + (1 - last["known"]) * learn == pytest.approx(score["b"], rel=1e-12)


def test_bounds_fixed_values_and_smoothing_are_kept() -> None:
    log = drawn(300, 8, 0, **TRUTH)
    model = at.BKT(forget=False, **EXACT, bounds={"guess": (0.0, 0.12), "learn": (0.3, 1.0)}, fixed={"slip": 0.05}).fit(log)
    _, learn, forget, guess, slip = model.row("a")
    assert guess == pytest.approx(0.12, abs=1e-6)
    assert learn == pytest.approx(0.3, abs=1e-6)
    assert (forget, slip) == (0.0, 0.05)
    heavy = at.BKT(forget=False, **EXACT, smoothing={"learn": (1e6, 9e6)}).fit(log)
    assert heavy.row("a")[1] == pytest.approx(0.1, abs=1e-3)
    assert at.BKT(forget=False, **EXACT).fit(log).log_likelihood(log) > max(model.log_likelihood(log), heavy.log_likelihood(log))


def test_a_tighter_bound_never_raises_the_likelihood() -> None:
    log = drawn(200, 6, 1, **TRUTH)
    values = [
        at.BKT(forget=False, **EXACT, bounds={"guess": (0.0, high)}).fit(log).log_likelihood(log)
        for high in (0.05, 0.1, 0.15, 0.3, 1.0)
    ]
    assert all(a <= b + 1e-6 for a, b in pairwise(values))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bounds": {"gues": (0, 1)}}, "'gues'; expected one of prior, learn, forget, guess, slip"),
        ({"fixed": {"tempo": 0.1}}, "'tempo'"),
        ({"smoothing": {"x": (1, 1)}}, "'x'"),
        ({"bounds": {"slip": (0.4, 0.3)}}, "bounds of slip: got (0.4, 0.3)"),
        ({"bounds": {"slip": (0.0, 0.3)}, "fixed": {"slip": 0.5}}, "fixed slip: got 0.5"),
        ({"bounds": {"guess": (0.6, 1)}, "fixed": {"slip": 0.5}}, "guess and slip"),
        ({"forget": False, "fixed": {"forget": 0.01}}, "fixed forget"),
    ],
)
def test_an_option_that_cannot_be_kept_is_told(options: dict, told: str) -> None:
    with pytest.raises(at.ModelError) as error:
        at.BKT(**options)
    assert told in str(error.value)


@pytest.mark.parametrize("parameters", [{"guess": 1.2}, {"guess": 0.6, "slip": 0.4}, {"forgot": 0.1}])
def test_parameters_that_make_no_model_are_refused(parameters: dict[str, float]) -> None:
    with pytest.raises(at.ModelError, match="expected"):
        at.BKT.from_parameters(["a"], **{**TRUTH, **parameters})


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"combine": "mean"}, "got 'combine'; expected probabilities prior, learn, guess, slip and, if any, forget"),
        ({"forget": True}, "forget: got True; expected probabilities"),
    ],
)
def test_options_that_are_no_parameters_are_refused_and_not_dropped(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(at.ModelError) as error:
        at.BKT.from_parameters(["a"], **{**TRUTH, **wrong})
    assert told in str(error.value)


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(at.ModelError, match="slip is missing"):
        at.BKT.from_parameters(["a"], prior=0.3, learn=0.1, guess=0.2)


def test_options_by_position_are_refused() -> None:
    with pytest.raises(TypeError, match="positional"):
        at.BKT(True, ("guess",))


def test_states_and_tables_are_given_a_fitted_bkt_that_knows_no_options() -> None:
    model = at.BKT(combine="mean").fit(log_of((1, 0, 1), (0, 1, 1)))
    assert model.start().fitted is model.fitted
    assert not hasattr(model.fitted, "combine")
    assert replace(model, combine="min").fitted.rule != model.fitted.rule
    with pytest.raises(at.ModelError, match="not fitted"):
        _ = at.BKT().fitted


def test_intervals_of_parameters_cover_the_truth_nine_times_in_ten() -> None:
    covered = 0
    for seed in range(60):
        (row,) = at.BKT(forget=False, **EXACT).fit(drawn(200, 8, seed, **TRUTH)).summary().to_pylist()
        covered += sum(row[f"{name}_low"] <= value <= row[f"{name}_high"] for name, value in TRUTH.items())
    # 240 intervals of 90 %: 204 to 228 are within 2.6 standard deviations
    assert 204 <= covered <= 228


@pytest.mark.plain_python
def test_intervals_of_mastery_shrink_with_the_evidence_on_the_skill() -> None:
    widths = []
    for students in (30, 300, 3000):
        log = drawn(students, 4, 3, **TRUTH)
        score = at.BKT(forget=False, **EXACT).fit(log).score(log)
        assert all(row["low"] <= row["mastery"] <= row["high"] for row in score.to_pylist())
        widths.append(np.mean(score["high"].to_numpy() - score["low"].to_numpy()))
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_mastery_under_given_parameters_is_certain_of_them() -> None:
    (row,) = at.BKT.from_parameters(["a"], **TRUTH).score(log_of((1.0, 0.0))).to_pylist()
    assert row["low"] == pytest.approx(row["mastery"], rel=1e-15) == row["high"]


def test_the_summary_says_what_is_doubtful() -> None:
    right, few = log_of(*[(1.0,) * 30] * 10), log_of((0.0, 1.0, 1.0))
    (note,) = at.BKT(forget=False, **EXACT).fit(few).summary()["notes"].to_pylist()
    assert "few responses (3)" in note
    (note,) = at.BKT(forget=False, **EXACT).fit(right).summary()["notes"].to_pylist()
    assert "at the edge" in note
    weak = at.BKT.from_parameters(["a"], prior=0.01, learn=1e-4, guess=0.5, slip=0.45)
    assert "10 right answers do not reach 0.95" in weak.summary()["notes"].to_pylist()[0]


@pytest.mark.parametrize(
    "options",
    [
        {"items": None},
        {"levels": 5},
        {"levels": ["project"]},
        {"bounds": {"guess": 0.3}},
        {"smoothing": {"learn": 3}},
        {"smoothing": {"learn": (-5, 3)}},
        {"fixed": {"slip": "a"}},
        {"pooling": float("inf")},
        {"pooling": True},
        {"forget": "no"},
        {"elapsed": "yes"},
    ],
    ids=str,
)
def test_an_option_of_the_wrong_shape_is_one_clear_error(options: dict) -> None:
    (name,) = options
    with pytest.raises(at.ModelError, match=rf"{name}.*: got .*; expected "):
        at.BKT(**options)


def test_a_whole_number_and_the_same_float_are_the_same_model(tmp_path: Path) -> None:
    log = log_of((1, 0, 1), (0, 1, 1))
    model = at.BKT(pooling=0, fixed={"slip": 0}, bounds={"guess": (0, 1)}, levels={}).fit(log)
    model.save(tmp_path / "model.json")
    assert at.load(tmp_path / "model.json").fingerprint == model.fingerprint


def test_an_interval_holds_the_estimate_and_stays_within_the_bounds() -> None:
    table = at.BKT(bounds={"guess": (0.05, 0.3)}).fit(at.sample_log()).summary()
    for name in ("prior", "learn", "forget", "guess", "slip"):
        low, centre, high = (table[f"{name}{end}"].to_numpy() for end in ("_low", "", "_high"))
        assert ((low <= centre) & (centre <= high)).all()
    assert table["guess_high"].to_numpy().max() <= 0.3
    assert table["forget_high"].to_numpy().max() <= 0.02


def test_offsets_are_a_table_of_what_varies() -> None:
    model = at.BKT(items=("slip",)).fit(log_of((1, 0, 1), (0, 1, 1)))
    assert model.offsets("item").column_names == ["item", "slip"]
    with pytest.raises(at.ModelError, match="offsets of 'kind': what varies in this model is by item"):
        model.offsets("kind")
    with pytest.raises(TypeError, match="row: got items; expected some of item, kind, group, student"):
        model.row("a", items="i")


def test_the_repr_tells_rules_apart_until_a_fit_has_chosen(sample_log: at.Log) -> None:
    models = [at.BKT(combine=rule) for rule in ("auto", "conjunctive", "mean")]
    assert len({repr(model) for model in models}) == 3
    assert repr(models[1]) == "BKT(forget=True, combine='conjunctive')"
    assert [repr(model.fit(sample_log)) for model in models[:2]] == ["BKT(24 skills, forget=True)"] * 2
