"""Metrics, against slow definitions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from adaptrace.evaluate import metrics
from adaptrace.kernels import parallel


def pairwise_auc(correct: list[int], predicted: list[float]) -> float:
    """Count the pairs of a right and a wrong answer, one by one."""
    pairs = [
        (p, q) for p, y in zip(predicted, correct, strict=True) if y for q, z in zip(predicted, correct, strict=True) if not z
    ]
    return sum((p > q) + (p == q) / 2 for p, q in pairs) / len(pairs)


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("size", [2, 17, 200])
def test_auc_is_the_share_of_pairs_in_the_right_order(size: int, levels: int) -> None:
    random = np.random.default_rng([size, levels])
    correct = [0, 1, *random.integers(0, 2, size - 2).tolist()]
    predicted = (random.integers(0, levels, size) / levels).tolist()
    assert metrics.auc(correct, predicted) == pytest.approx(pairwise_auc(correct, predicted), rel=1e-12)


@pytest.mark.parametrize(
    ("correct", "predicted", "expected"),
    [([0, 1], [0.1, 0.9], 1.0), ([0, 1], [0.9, 0.1], 0.0), ([0, 1, 1], [0.5, 0.5, 0.5], 0.5), ([1, 0, 1], [0.2, 0.2, 0.3], 0.75)],
)
def test_auc_of_known_cases(correct: list[int], predicted: list[float], expected: float) -> None:
    assert metrics.auc(correct, predicted) == expected


@pytest.mark.parametrize("correct", [[], [1, 1], [0, 0, 0]], ids=str)
def test_auc_of_equal_outcomes_is_not_a_number(correct: list[int]) -> None:
    assert math.isnan(metrics.auc(correct, [0.5] * len(correct)))


def test_auc_does_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(5)
    correct, predicted, order = random.integers(0, 2, 500), random.integers(0, 20, 500) / 20, random.permutation(500)
    assert metrics.auc(correct[order], predicted[order]) == metrics.auc(correct, predicted)


def test_log_loss_is_the_mean_surprise_in_nats() -> None:
    expected = -(math.log(0.8) + math.log(0.7) + math.log(0.5)) / 3
    assert metrics.log_loss([1, 0, 1], [0.8, 0.3, 0.5]) == pytest.approx(expected, rel=1e-12)


def test_log_loss_counts_partial_credit_by_its_share() -> None:
    expected = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert metrics.log_loss([0.25], [0.8]) == pytest.approx(expected, rel=1e-12)


def test_log_loss_of_a_sure_mistake_is_large_and_finite() -> None:
    assert 30.0 < metrics.log_loss([1, 0], [0.0, 1.0]) < 40.0


def test_rmse_is_the_root_of_the_mean_square() -> None:
    assert metrics.rmse([1, 0], [0.7, 0.4]) == pytest.approx(math.sqrt((0.09 + 0.16) / 2), rel=1e-12)


def test_auc_of_predictions_that_are_missing_is_not_a_number() -> None:
    assert math.isnan(metrics.auc([0, 1, 1], [0.5, math.nan, 0.7]))


def test_accuracy_says_right_from_a_half_on_and_counts_partial_credit_by_its_share() -> None:
    assert metrics.accuracy([1, 0, 1, 0], [0.5, 0.5, 0.49, 0.49]) == 0.5
    assert metrics.accuracy([0.75, 0.75], [0.9, 0.1]) == 0.5
    assert metrics.accuracy([0.75], [0.1]) == 0.25


def test_the_metrics_stand_in_their_order() -> None:
    assert list(metrics.METRICS) == ["auc", "log_loss", "rmse", "accuracy"]
    assert [metric([1, 0], [0.8, 0.4]) for metric in metrics.METRICS.values()] == [
        1.0,
        metrics.log_loss([1, 0], [0.8, 0.4]),
        metrics.rmse([1, 0], [0.8, 0.4]),
        1.0,
    ]


# ---- intervals --------------------------------------------------------------


class School(NamedTuple):
    """Responses to be measured."""

    correct: NDArray[np.float64]
    predicted: NDArray[np.float64]
    student: NDArray[np.int64]


def school(seed: int, students: int, each: int, spread: float = 1.0) -> School:
    """Students who differ, and predictions that know the items, and the students a little."""
    random = np.random.default_rng(seed)
    ability, guessed = random.normal(0.0, spread, (students, 1)), random.normal(0.0, 0.5, (students, 1))
    easiness = random.normal(0.0, 0.7, (students, each))
    correct = random.random((students, each)) < 1.0 / (1.0 + np.exp(-(ability + easiness)))
    predicted = 1.0 / (1.0 + np.exp(-(0.5 * ability + guessed + easiness)))
    return School(correct.ravel() * 1.0, predicted.ravel(), np.repeat(np.arange(students), each))


def repeated(drawn: School, seed: int, draw: int) -> School:
    """Write out the rows of the students of one draw, as often as each was drawn."""
    names = np.unique(drawn.student)
    chosen = names[np.random.default_rng([seed, draw]).integers(len(names), size=len(names))]
    rows = np.concatenate([np.flatnonzero(drawn.student == name) for name in chosen])
    return School(*(column[rows] for column in drawn))


@pytest.mark.parametrize("levels", [4, 10**9], ids=["ties", "no ties"])
def test_a_draw_measures_the_rows_of_its_students_as_often_as_they_were_drawn(levels: int) -> None:
    rows = school(seed=1, students=12, each=7)
    correct = np.where(np.arange(84) % 5 == 0, 0.5, rows.correct)  # some partial credit
    rows = School(correct, np.round(rows.predicted * levels) / levels, rows.student)
    drawn = metrics.bootstrap(rows.correct, {"m": rows.predicted}, student=rows.student, draws=20, seed=3)["m"]
    assert drawn.shape == (4, 20)
    for draw in range(20):
        again = repeated(rows, 3, draw)
        expected = [metric(again.correct, again.predicted) for metric in metrics.METRICS.values()]
        assert drawn[:, draw].tolist() == pytest.approx(expected, rel=1e-12)


def test_all_models_and_all_calls_are_measured_on_the_same_draws() -> None:
    rows = school(seed=2, students=15, each=6)
    other = np.clip(rows.predicted + 0.1 * np.sin(np.arange(90)), 0.0, 1.0)
    both = metrics.bootstrap(rows.correct, {"a": rows.predicted, "b": other}, student=rows.student, draws=30, seed=8)
    for name, predicted in (("a", rows.predicted), ("b", other)):
        alone = metrics.bootstrap(rows.correct, {"x": predicted}, student=rows.student, draws=30, seed=8)["x"]
        np.testing.assert_array_equal(both[name], alone)
    assert not np.array_equal(both["a"], both["b"])


def test_the_draws_depend_on_the_seed_and_begin_alike_however_many_there_are() -> None:
    rows = school(seed=2, students=15, each=6)
    few, many, elsewhere = (
        metrics.bootstrap(rows.correct, {"m": rows.predicted}, student=rows.student, draws=draws, seed=seed)["m"]
        for draws, seed in ((5, 0), (9, 0), (5, 1))
    )
    np.testing.assert_array_equal(few, many[:, :5])
    assert not np.array_equal(few, elsewhere)


def test_neither_threads_nor_the_order_of_rows_nor_the_kind_of_column_change_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, results = school(seed=4, students=20, each=9), []
    for workers in (1, 2, 7):
        monkeypatch.setattr(parallel, "cores", lambda workers=workers: workers)
        results.append(metrics.bootstrap(rows.correct, {"m": rows.predicted}, student=rows.student)["m"])
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    order = np.random.default_rng(0).permutation(180)
    names = pa.chunked_array([pa.array([f"{code:03}" for code in rows.student[order]]).dictionary_encode()])
    moved = metrics.bootstrap(rows.correct[order], {"m": rows.predicted[order]}, student=names)["m"]
    np.testing.assert_array_equal(moved[0], results[0][0])
    np.testing.assert_allclose(moved, results[0], rtol=1e-12)  # sums in another order


def test_an_interval_is_between_the_percentiles_and_leaves_out_what_is_missing() -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 57))
    values[0, :, ::3] = np.nan
    values[1, 2, 1:] = np.nan
    for level in (0.5, 0.95):
        expected = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
        np.testing.assert_allclose(metrics.interval(values, level), expected, rtol=1e-12)
    assert np.isnan(metrics.interval([math.nan, math.nan])).all()


def test_intervals_hold_the_value_and_widen_with_the_level() -> None:
    rows = school(seed=6, students=40, each=10)
    usual, wide = (metrics.intervals(*rows[:2], student=rows.student, level=level) for level in (0.95, 0.99))
    for name, metric in metrics.METRICS.items():
        assert usual[name][0] < metric(rows.correct, rows.predicted) < usual[name][1]
        assert wide[name][0] <= usual[name][0] < usual[name][1] <= wide[name][1]
        assert wide[name] != usual[name]


def test_one_student_has_no_interval() -> None:
    assert all(math.isnan(end) for ends in metrics.intervals([0, 1], [0.2, 0.7], student=["Ada"] * 2).values() for end in ends)


def test_intervals_by_student_cover_the_truth_where_intervals_by_row_do_not() -> None:
    large = school(seed=0, students=20_000, each=50)
    truth = metrics.auc(large.correct, large.predicted)
    covered = Counter()
    for repetition in range(1, 101):
        rows = school(seed=repetition, students=50, each=50)
        for unit, column in (("student", rows.student), ("row", np.arange(len(rows.student)))):
            low, high = metrics.intervals(rows.correct, rows.predicted, student=column)["auc"]
            covered[unit] += low <= truth <= high
    assert covered["student"] >= 88
    assert covered["row"] <= covered["student"] - 15


def test_the_paired_interval_of_a_difference_is_narrower_than_that_of_either_model() -> None:
    rows = school(seed=3, students=40, each=20)
    worse = 0.5 + 0.8 * (rows.predicted - 0.5) * (1.0 + 0.2 * np.sin(np.arange(800)))
    drawn = metrics.bootstrap(rows.correct, {"a": rows.predicted, "b": worse}, student=rows.student)
    width = {
        name: np.diff(metrics.interval(values[0]))[0] for name, values in {**drawn, "difference": drawn["a"] - drawn["b"]}.items()
    }
    assert width["difference"] < 0.3 * min(width["a"], width["b"])


# ---- calibration ------------------------------------------------------------


def test_calibration_groups_the_predictions_by_equal_widths_and_leaves_out_empty_bins() -> None:
    predicted = [0.0, 0.19, 0.2, 0.3, 0.99, 1.0]  # 0.2 opens a bin, 1 is in the last
    table = metrics.calibration([0, 1, 0, 1, 1, 0.5], predicted, bins=5)
    assert table.column_names == ["low", "high", "n", "predicted", "observed", "observed_low", "observed_high"]
    assert table["low"].to_pylist() == [0.0, 0.2, 0.8]
    assert table["high"].to_pylist() == [0.2, 0.4, 1.0]
    assert table["n"].to_pylist() == [2, 2, 2]
    assert table["predicted"].to_pylist() == pytest.approx([0.095, 0.25, 0.995], rel=1e-12)
    assert table["observed"].to_pylist() == [0.5, 0.5, 0.75]


@pytest.mark.parametrize("bins", [3, 10, 100])
def test_a_prediction_on_an_edge_belongs_to_the_bin_that_it_opens(bins: int) -> None:
    edges = [number / bins for number in range(bins)]
    table = metrics.calibration([1.0] * bins, edges, bins=bins)
    assert table["low"].to_pylist() == edges
    assert table["n"].to_pylist() == [1] * bins


def test_without_students_the_interval_of_a_bin_is_that_of_wilson() -> None:
    table = metrics.calibration([1] * 8 + [0] * 2, [0.85] * 10)  # 8 of 10, as in Wilson's formula by hand
    z = 1.959963984540054
    for name, sign in (("observed_low", -1), ("observed_high", 1)):
        end = table[name][0].as_py()
        # the ends of a score interval are where the score test is just significant
        assert (0.8 - end) / math.sqrt(end * (1 - end) / 10) == pytest.approx(-sign * z, rel=1e-9)  # z itself is rounded
    assert metrics.calibration([1, 1], [0.9, 0.9])["observed_high"].to_pylist() == [1.0]


def test_with_students_the_interval_of_a_bin_is_by_drawing_them() -> None:
    rows = school(seed=5, students=10, each=8)
    table = metrics.calibration(rows.correct, rows.predicted, bins=2, student=rows.student, draws=25, seed=4)
    for number in range(2):
        drawn = []
        for draw in range(25):
            again = repeated(rows, 4, draw)
            drawn.append(again.correct[(again.predicted >= 0.5) == number].mean())
        expected = np.quantile(drawn, [0.025, 0.975])
        found = [table[name][number].as_py() for name in ("observed_low", "observed_high")]
        assert found == pytest.approx(expected, rel=1e-12)


def test_errors_over_bins_weigh_each_bin_by_its_rows() -> None:
    correct, predicted = [1, 1, 0, 0], [0.75, 0.85, 0.75, 0.25]  # bins of a half: means 0.7833 and 0.25, outcomes 2/3 and 0
    far, near = 2.35 / 3 - 2 / 3, 0.25
    assert metrics.ece(correct, predicted, bins=2) == pytest.approx((3 * far + near) / 4, rel=1e-12)
    assert metrics.rmse_bins(correct, predicted, bins=2) == pytest.approx(math.sqrt((3 * far**2 + near**2) / 4), rel=1e-12)


def test_errors_over_bins_find_predictions_that_are_too_sure() -> None:
    random = np.random.default_rng(0)
    truth = random.uniform(0.2, 0.8, 50_000)
    correct, sure = random.random(50_000) < truth, np.clip(0.5 + 1.6 * (truth - 0.5), 0.0, 1.0)
    for error in (metrics.ece, metrics.rmse_bins):
        assert error(correct, truth) < 0.02
        assert error(correct, sure) > 0.07


def test_rmse_bins_is_fooled_by_the_base_rate_and_log_loss_is_not() -> None:
    random = np.random.default_rng(1)
    truth = random.beta(2.0, 1.0, 5_000)
    correct = (random.random(5_000) < truth) * 1.0
    exploit = np.full(5_000, correct.mean())
    assert metrics.rmse_bins(correct, exploit) < 1e-12
    assert metrics.ece(correct, exploit) < 1e-12
    assert metrics.rmse_bins(correct, truth) > 0.005  # the chances that made the answers look worse
    assert metrics.log_loss(correct, exploit) > metrics.log_loss(correct, truth) + 0.1
    assert metrics.auc(correct, exploit) == 0.5


# ---- tables -----------------------------------------------------------------


def test_a_report_without_slices_is_one_row_of_metrics_and_intervals() -> None:
    rows = school(seed=7, students=30, each=10)
    (row,) = metrics.report(*rows[:2], student=rows.student, draws=50, seed=2).to_pylist()
    assert list(row) == ["n", "students", *(name + end for name in metrics.METRICS for end in ("", "_low", "_high"))]
    assert (row["n"], row["students"]) == (300, 30)
    expected = metrics.intervals(*rows[:2], student=rows.student, draws=50, seed=2)
    for name, metric in metrics.METRICS.items():
        assert row[name] == pytest.approx(metric(rows.correct, rows.predicted), rel=1e-12)
        assert (row[f"{name}_low"], row[f"{name}_high"]) == expected[name]


def test_a_report_by_slices_measures_each_and_draws_students_from_all() -> None:
    rows = school(seed=8, students=20, each=15)
    skill = np.random.default_rng(0).choice(["b", "a", "c"], 300)
    table = metrics.report(*rows[:2], student=rows.student, by=pa.array(skill).dictionary_encode(), draws=15, seed=6).to_pylist()
    assert [row["by"] for row in table] == ["a", "b", "c"]
    for row in table:
        mine = skill == row["by"]
        assert (row["n"], row["students"]) == (mine.sum(), len(np.unique(rows.student[mine])))
        for name, metric in metrics.METRICS.items():
            assert row[name] == pytest.approx(metric(rows.correct[mine], rows.predicted[mine]), rel=1e-12)
        drawn = []
        for draw in range(15):
            again = repeated(rows, 6, draw)
            place = {value: at for at, value in enumerate(rows.predicted)}  # predictions are all different: they name the row
            kept = [skill[place[value]] == row["by"] for value in again.predicted]
            drawn.append(metrics.auc(again.correct[kept], again.predicted[kept]))
        expected = np.quantile(drawn, [0.025, 0.975])
        assert [row["auc_low"], row["auc_high"]] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ([10, 9, 10, 9], [9, 10]),
        (["10", "9", "10", "9"], ["10", "9"]),
        (np.array([2.5, -1.0, 2.5, -1.0]), [-1.0, 2.5]),
        ([True, False, True, False], [False, True]),
        (["x", None, "x", None], ["x", None]),
        (pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array(["a", "b", "a"]).dictionary_encode()]), ["a", "b"]),
        (pd.Series(["b", "a", "b", "a"], index=[3, 2, 1, 0]), ["a", "b"]),
        (pl.Series(["b", "a", "b", "a"]), ["a", "b"]),
    ],
    ids=["integers", "text", "floats", "booleans", "nulls", "dictionary", "pandas", "polars"],
)
def test_a_report_is_sorted_by_its_slices_as_what_they_are(by: Any, expected: list[Any]) -> None:
    table = metrics.report([1, 0, 0, 0], [0.5] * 4, student=["Ada", "Ada", "Bo", "Bo"], by=by)
    assert table["by"].to_pylist() == expected
    assert table["accuracy"].to_pylist() == ([0.5, 0.0] if expected[0] in ("x", "10") else [0.0, 0.5])


def test_slices_without_an_auc_or_without_a_second_student_say_so_silently() -> None:
    table = metrics.report([1, 1, 1, 0], [0.9, 0.8, 0.6, 0.4], student=["Ada", "Bo", "Ada", "Ada"], by=[1, 1, 2, 2]).to_pylist()
    all_right, one_student = table
    assert all(math.isnan(all_right[name]) for name in ("auc", "auc_low", "auc_high"))
    assert all_right["rmse_low"] < all_right["rmse"] < all_right["rmse_high"]
    assert one_student["auc"] == 1.0
    assert all(math.isnan(one_student[f"{name}_{end}"]) for name in metrics.METRICS for end in ("low", "high"))


def test_a_learning_curve_goes_up_to_the_last_opportunity_asked_for() -> None:
    opportunity, student = np.tile(np.arange(1, 7), 30), np.repeat(np.arange(30), 6)
    random = np.random.default_rng(0)
    predicted = 0.2 + 0.1 * opportunity
    correct = (random.random(180) < predicted) * 1.0
    keep = (opportunity < 5) | (student < 10)
    table = metrics.learning_curve(
        correct[keep], predicted[keep], opportunity=opportunity[keep], student=student[keep], most=5, draws=30, seed=1
    )
    assert table.column_names == ["opportunity", "n", "observed", "observed_low", "observed_high", "predicted"]
    assert table["opportunity"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["n"].to_pylist() == [30, 30, 30, 30, 10]
    assert table["predicted"].to_pylist() == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7], rel=1e-12)
    assert table["observed"].to_pylist() == pytest.approx(
        [correct[keep & (opportunity == number)].mean() for number in range(1, 6)], rel=1e-12
    )
    third = School(correct[opportunity == 3], predicted[opportunity == 3], np.arange(30))
    drawn = [repeated(third, 1, draw).correct.mean() for draw in range(30)]
    ends = [table[name][2].as_py() for name in ("observed_low", "observed_high")]
    assert ends == pytest.approx(np.quantile(drawn, [0.025, 0.975]), rel=1e-12)


# ---- bad input --------------------------------------------------------------

SINGLE = [metrics.log_loss, metrics.rmse, metrics.accuracy, metrics.ece, metrics.rmse_bins, metrics.calibration]
BY_STUDENT = [metrics.intervals, metrics.report]


@pytest.mark.parametrize(
    ("correct", "predicted", "message"),
    [
        ([], [], r"'correct'.*shape \(0,\).*at least one row"),
        ([0, 1], [0.5], r"'predicted'.*shape \(1,\).*\(2,\)"),
        ([0, 1, 1], [0.5, 1.5, math.nan], r"'predicted', row 2: got 1.5 \(and in 1 more row\).*in \[0, 1\]"),
        ([0, 2], [0.5, 0.5], r"'correct', row 2: got 2.0.*in \[0, 1\]"),
    ],
    ids=["empty", "lengths", "predictions", "outcomes"],
)
@pytest.mark.parametrize("function", [*SINGLE, *BY_STUDENT], ids=lambda each: each.__name__)
def test_bad_input_is_one_error_that_names_it(
    function: Callable[..., Any], correct: list[float], predicted: list[float], message: str
) -> None:
    students = {"student": ["Ada"] * len(correct)} if function in BY_STUDENT else {}
    with pytest.raises(ValueError, match=message):
        function(correct, predicted, **students)


def test_every_problem_is_listed_at_once_and_models_are_named() -> None:
    with pytest.raises(ValueError, match="3 problems") as caught:
        metrics.bootstrap([0, 1], {"bkt": [0.5, -1.0], "pfa": [math.inf, 0.5]}, student=["Ada"])
    for part in ("predictions['bkt']", "predictions['pfa']", "'student'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.report([0, 1], [0.5, 0.5], student=["Ada", None]), "'student', row 2: got null"),
        (lambda: metrics.report([0, 1], [0.5, 0.5], student=["Ada", "Bo"], by=[["a"], ["b"]]), "'by': got list<.*repeat the row"),
        (lambda: metrics.report([0, 1], [0.5, 0.5], student=["Ada", "Bo"], by=["a"]), r"'by': got shape \(1,\)"),
        (
            lambda: metrics.learning_curve([0, 1], [0.5, 0.5], opportunity=[1, 0], student=["Ada", "Bo"]),
            "'opportunity', row 2: got 0.*from 1",
        ),
        (
            lambda: metrics.learning_curve([0, 1], [0.5, 0.5], opportunity=[1.5, 1], student=["Ada", "Bo"]),
            "'opportunity', row 1: got 1.5",
        ),
        (lambda: metrics.learning_curve([0, 1], [0.5, 0.5], opportunity=[1, 1], student=["Ada", "Bo"], most=0), "most: got 0"),
        (lambda: metrics.intervals([0, 1], [0.5, 0.5], student=["Ada", "Bo"], draws=0), "draws: got 0"),
        (lambda: metrics.intervals([0, 1], [0.5, 0.5], student=["Ada", "Bo"], level=95), "level: got 95"),
        (lambda: metrics.ece([0, 1], [0.5, 0.5], bins=0), "bins: got 0"),
    ],
)
def test_bad_columns_and_options_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
