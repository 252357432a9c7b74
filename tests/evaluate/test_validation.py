"""Folds, replays and comparisons, against loops written by hand and models that cheat."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.evaluate.comparison import Comparison, compare
from adaptrace.evaluate.validation import Validation, cross_validate, replay
from adaptrace.kernels import parallel
from adaptrace.models.constant import Constant

START = datetime.datetime(2025, 9, 1, tzinfo=datetime.UTC)
HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
BLANK = at.BKT(forget=False, pooling=0.0)
HEADINGS = ["AUC", "95", "%", "log", "loss", "95", "%", "RMSE", "accuracy", "ECE", "fit", "s", "predict", "s"]


def table_of(students: int, items: int = 12, seed: int = 0) -> pa.Table:
    """Students of differing ability who answer items of two skills in turn, two hours apart, each starting when they like."""
    random = np.random.default_rng([seed, students, items])
    student, item = np.repeat(np.arange(students), items), np.tile(np.arange(items), students)
    chance = np.clip(0.35 + 0.4 * random.random(students)[student] + 0.02 * item, 0.05, 0.95)
    hours = 2 * item + random.integers(0, 40, students)[student]
    return pa.table(
        {
            "student": [f"s{each}" for each in student],
            "item": [f"q{each}" for each in item],
            "skill": np.where(item % 2 == 0, "halves", "quarters"),
            "correct": (random.random(len(student)) < chance).astype(int),
            "time": pa.array((START.timestamp() + 3600 * hours).astype("int64") * 1_000_000, pa.timestamp("us", tz="UTC")),
            "group": np.where(student % 3 == 0, "north", "south"),
            "fold": random.permutation(4)[student % 4],
            "split": np.where(student % 5 == 0, "test", "train"),
        }
    )


def log_of(students: int, items: int = 12, seed: int = 0) -> at.Log:
    return at.Log.from_arrow(table_of(students, items, seed), keep=["fold", "split"])


@pytest.fixture(scope="module")
def log() -> at.Log:
    return log_of(23)


@pytest.fixture(scope="module")
def comparison(log: at.Log) -> Comparison:
    return compare({"free": BLANK, "held": at.BKT(forget=False, fixed={"slip": 0.1})}, log, folds=3, draws=100)


def codes(log: at.Log, column: str) -> NDArray[np.int64]:
    return log.table[column].chunk(0).indices.to_numpy()


@dataclass
class Spy:
    """Keeps what it was given; predicts the share of the log that it was fitted to."""

    fits: list[at.Log] = field(default_factory=list)
    predictions: list[at.Log] = field(default_factory=list)
    n: int = 0
    needs: ClassVar[tuple[str, ...]] = ()

    def fit(self, log: at.Log, *, executor: Executor | None = None, progress: Callable[[float], None] | None = None) -> Spy:
        self.fits.append(log)
        for share in (0.3, 0.1, 1.0, 0.0, 1.0):  # as a fit of several stages tells
            progress(share)
        return Spy(self.fits, self.predictions, len(log))

    def predict(self, log: at.Log) -> NDArray[np.float64]:
        self.predictions.append(log)
        return np.full(len(log), 1.0 / (1 + self.n))

    def __repr__(self) -> str:
        return "Spy()"


@dataclass
class Memoriser:
    """Knows by heart the answers it was fitted to, and guesses the mean for others."""

    known: dict[tuple[str, str], float] = field(default_factory=dict)
    mean: float = 0.5

    def fit(self, log: at.Log, *, executor: Executor | None = None, progress: object = None) -> Memoriser:
        return Memoriser(dict(zip(self.pairs(log), log.correct.tolist(), strict=True)), Constant().fit(log).mean)

    def predict(self, log: at.Log) -> NDArray[np.float64]:
        return np.array([self.known.get(pair, self.mean) for pair in self.pairs(log)])

    @staticmethod
    def pairs(log: at.Log) -> list[tuple[str, str]]:
        return list(zip(log.table["student"].to_pylist(), log.table["item"].to_pylist(), strict=True))


# ---- folds ------------------------------------------------------------------


@pytest.mark.parametrize("by", ["student", "item"])
@pytest.mark.parametrize(("n", "folds"), [(13, 5), (3, 3), (5, 2), (7, 6), (11, 10)])
def test_every_row_is_tested_once_in_folds_whose_sizes_differ_by_at_most_one(n: int, folds: int, by: str) -> None:
    log = log_of(n, 4) if by == "student" else log_of(4, n)
    validation = cross_validate(Constant(), log, folds=folds, by=by)
    assert not np.isnan(validation.predicted).any()
    pairs = set(zip(codes(log, by).tolist(), validation.fold.tolist(), strict=True))
    assert len(pairs) == n  # each wholly in one fold
    sizes = Counter(fold for _, fold in pairs)
    assert sorted(sizes) == list(range(folds))
    assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("by", ["student", "item"])
def test_the_dealing_depends_on_the_seed_and_not_on_the_order_of_the_log(by: str) -> None:
    table = table_of(13)
    mixed = table.take(np.random.default_rng(1).permutation(len(table)))
    dealt = []
    for each, seed in ((table, 4), (mixed, 4), (table, 5)):
        log = at.Log.from_arrow(each)
        fold = cross_validate(Constant(), log, by=by, seed=seed).fold
        dealt.append(dict(zip(log.table[by].to_pylist(), fold.tolist(), strict=True)))
    assert dealt[0] == dealt[1] != dealt[2]


@pytest.mark.parametrize("by", ["student", "item", "fold", "group", "skill"])
def test_predictions_are_those_of_a_fit_to_the_other_folds_made_by_hand(log: at.Log, by: str) -> None:
    validation = cross_validate(BLANK, log, folds=4, by=by, seed=2)
    expected = np.full(len(log), np.nan)
    for fold in set(validation.fold.tolist()):
        mine = validation.fold == fold
        expected[mine] = BLANK.fit(log.select(~mine)).predict(log)[mine]
    assert np.array_equal(validation.predicted, expected)


def test_the_folds_of_a_column_are_its_values_in_their_order(log: at.Log) -> None:
    by_fold, by_group = (cross_validate(Constant(), log, by=by) for by in ("fold", "group"))
    assert (by_fold.folds, by_fold.fold.tolist()) == (("0", "1", "2", "3"), log.table["fold"].to_pylist())
    assert by_group.folds == ("north", "south")
    assert by_group.fold.tolist() == [int(name == "south") for name in log.table["group"].to_pylist()]


def test_a_split_into_train_and_test_is_one_fit_and_train_rows_are_not_tested(log: at.Log) -> None:
    test, spy = np.array(log.table["split"].to_pylist()) == "test", Spy()
    validation = cross_validate(BLANK, log, by="split")
    assert validation.fold.tolist() == np.where(test, 0, -1).tolist()
    assert np.array_equal(np.isnan(validation.predicted), ~test)
    assert np.array_equal(validation.predicted[test], BLANK.fit(log.select(~test)).predict(log.select(test)))
    cross_validate(spy, log, by="split")
    assert [len(each) for each in (*spy.fits, *spy.predictions)] == [(~test).sum(), test.sum()]
    assert len(validation.fit_seconds) == len(validation.predict_seconds) == 1


def test_blocks_of_the_calendar_are_predicted_from_the_blocks_before_them(log: at.Log) -> None:
    validation, times = cross_validate(BLANK, log, by="time", folds=3), log.table["time"].to_numpy()
    assert np.isnan(validation.predicted[validation.fold < 0]).all()
    for fold in range(3):
        mine, before = validation.fold == fold, validation.fold < fold
        assert np.array_equal(validation.predicted[mine], BLANK.fit(log.select(before)).predict(log)[mine])
        assert times[before].max() < times[mine].min()
    assert max(Counter(validation.fold.tolist()).values()) < 1.5 * len(log) / 4
    assert validation.folds[0] == times[validation.fold == 0].min().astype("M8[us]").astype(object).isoformat() + "+00:00"


@pytest.mark.parametrize(
    ("times", "folds", "expected"),
    [
        ([1, 2, 3, 4, 5, 6], 2, [-1, -1, 0, 0, 1, 1]),
        ([1, 1, 1, 1, 2, 3], 2, [-1, -1, -1, -1, 0, 1]),
        ([1, 2, 3, 3, 3, 3], 2, [-1, 0, 1, 1, 1, 1]),
        ([1, 2, 2, 2, 2, 3], 2, [-1, 0, 0, 0, 0, 1]),
        ([1, 1, 1, 2, 2, 2, 2], 2, None),
        ([5, 5, 6, 6, 7, 7, 7, 9], 3, [-1, -1, 0, 0, 1, 1, 1, 2]),
    ],
)
def test_no_block_is_empty_and_equal_times_stay_together(
    responses, times: list[int], folds: int, expected: list[int] | None
) -> None:
    log = at.Log.from_arrow(responses(time=times), time_unit="s")
    if expected is None:
        with pytest.raises(at.DataError, match=r"got 2 different times; expected at least 3, one a block; choose another by="):
            cross_validate(Constant(), log, by="time", folds=folds)
    else:
        assert cross_validate(Constant(), log, by="time", folds=folds).fold.tolist() == expected


def test_a_fold_of_the_calendar_sees_nothing_later(log: at.Log) -> None:
    spy = Spy()
    validation, times = cross_validate(spy, log, by="time", folds=4), log.table["time"].to_numpy()
    for fold, (fitted, known) in enumerate(zip(spy.fits, spy.predictions, strict=True)):
        assert fitted.table["time"].to_numpy().max() < times[validation.fold == fold].min()
        assert known.table["time"].to_numpy().max() <= times[validation.fold == fold].max()


def test_neither_model_nor_log_is_changed(log: at.Log) -> None:
    before, fitted = log.table.to_pylist(), BLANK.fit(log)
    name = fitted.fingerprint
    from_fitted, from_blank = cross_validate(fitted, log, folds=3), cross_validate(BLANK, log, folds=3)
    assert (log.table.to_pylist(), fitted.fingerprint) == (before, name)
    assert np.array_equal(from_fitted.predicted, from_blank.predicted)  # nothing of the first fit is left


# ---- leaks ------------------------------------------------------------------


@pytest.mark.parametrize("by", ["student", "item", "time", "fold", "skill"])
def test_knowing_by_heart_what_it_was_fitted_to_helps_a_model_nothing(log: at.Log, by: str) -> None:
    cheat, honest = (cross_validate(model, log, by=by, folds=4) for model in (Memoriser(), Constant()))
    assert np.array_equal(cheat.predicted, honest.predicted, equal_nan=True)
    fitted = Memoriser().fit(log)
    assert metrics.auc(log.correct, fitted.predict(log)) == 1.0  # it would help if it could


def test_a_replay_leaks_nothing_to_a_model_that_knows_by_heart(log: at.Log) -> None:
    cheat, honest = (replay(model, log, every=8 * HOUR) for model in (Memoriser(), Constant()))
    assert np.array_equal(cheat.predicted, honest.predicted, equal_nan=True)


@pytest.mark.parametrize("by", ["student", "item", "time"])
def test_outcomes_that_are_chance_cannot_be_predicted(by: str) -> None:
    table, random = table_of(120, 10), np.random.default_rng(8)
    table = table.set_column(3, "correct", pa.array(random.permutation(table["correct"].to_numpy())))
    done = compare([BLANK], at.Log.from_arrow(table), by=by, folds=3)
    difference = done.differences.to_pylist()[list(metrics.METRICS).index("log_loss")]
    assert difference["high"] > 0.0  # it does not beat the constant
    assert done.table["auc_low"][1].as_py() < 0.5


# ---- replay -----------------------------------------------------------------


def by_hand(log: at.Log, marks: list[datetime.datetime]) -> NDArray[np.float64]:
    """Row by row, by the newest fit before it."""
    times = np.array(log.table["time"].to_pylist())
    fits = [BLANK.fit(log.select(times < mark)).predict(log) for mark in marks]
    newest = [sum(mark <= when for mark in marks) for when in times]
    return np.array([fits[count - 1][row] if count else np.nan for row, count in enumerate(newest)])


def test_a_replay_is_the_loop_written_by_hand(log: at.Log) -> None:
    marks = [START + hours * HOUR for hours in (12, 20, 31)]
    validation = replay(BLANK, log, marks=marks)
    assert np.array_equal(validation.predicted, by_hand(log, marks), equal_nan=True)
    assert validation.folds == tuple(mark.isoformat() for mark in marks)
    assert np.array_equal(validation.tested, ~np.isnan(validation.predicted))
    assert np.array_equal(replay(BLANK, log, marks=[mark.replace(tzinfo=None) for mark in marks]).fold, validation.fold)


def test_marks_at_equal_distances_are_every(log: at.Log) -> None:
    first, last = (pick(log.table["time"].to_pylist()) for pick in (min, max))
    marks = [first + number * 9 * HOUR for number in range(1, (last - first) // (9 * HOUR) + 1)]
    spy = Spy()
    at_marks, every = replay(Spy(), log, marks=marks), replay(spy, log, every=9 * HOUR)
    assert np.array_equal(at_marks.predicted, every.predicted, equal_nan=True)
    assert at_marks.folds == every.folds
    assert len(spy.fits) == len(marks) == len(every.fit_seconds)


def test_there_is_no_fit_for_days_without_responses(responses) -> None:
    hours = [0, 1, 24, 25, 24 * 30]
    log = at.Log.from_arrow(responses(time=[3600 * each for each in hours]), time_unit="s")
    spy = Spy()
    validation = replay(spy, log, every=DAY)
    assert [len(each) for each in spy.fits] == [2, 4]
    assert validation.fold.tolist() == [-1, -1, 0, 0, 1]
    assert validation.folds == ("1970-01-02T00:00:00+00:00", "1970-01-31T00:00:00+00:00")
    marks = [datetime.datetime(1970, 1, day, tzinfo=datetime.UTC) for day in range(2, 32)]
    assert np.array_equal(replay(Spy(), log, marks=marks).fold, validation.fold)


def test_a_response_at_a_mark_is_after_it_and_equal_times_stay_together(responses) -> None:
    log = at.Log.from_arrow(responses(time=[0, 60, 60, 120], item=["a", "b", "c", "d"]), time_unit="s")
    mark = datetime.datetime(1970, 1, 1, 0, 1, tzinfo=datetime.UTC)
    spy = Spy()
    assert replay(spy, log, marks=[mark]).fold.tolist() == [-1, 0, 0, 0]
    assert spy.predictions[0].table["item"].to_pylist() == ["a", "b", "c", "d"]


def test_a_mark_at_the_first_response_is_refused_and_one_at_the_last_is_not(responses) -> None:
    log = at.Log.from_arrow(responses(time=[0, 60]), time_unit="s")
    first = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(at.DataError, match=r"got the mark 1970-01-01T00:00:00\+00:00; expected marks after the first response"):
        replay(Constant(), log, marks=[first])
    assert replay(Constant(), log, marks=[first + 60 * datetime.timedelta(seconds=1)]).fold.tolist() == [-1, 0]


# ---- comparing --------------------------------------------------------------


def test_every_model_gets_the_same_folds_and_stands_in_the_table_once(log: at.Log, comparison: Comparison) -> None:
    table = comparison.table
    assert table["model"].to_pylist() == ["Constant()", "free", "held"]
    assert (set(table["n"].to_pylist()), set(table["students"].to_pylist())) == ({len(log)}, {23})
    alone = cross_validate(BLANK, log, folds=3)
    assert np.array_equal(comparison.validations["free"].predicted, alone.predicted)
    assert all(np.array_equal(each.fold, alone.fold) for each in comparison.validations.values())
    ends = [f"{metric}{end}" for metric in metrics.METRICS for end in ("", "_low", "_high")]
    assert table.column_names == ["model", "n", "students", *ends, "ece", "fit_seconds", "predict_seconds"]


def test_the_table_holds_the_metrics_and_their_intervals(log: at.Log, comparison: Comparison) -> None:
    for row in comparison.table.to_pylist():
        validation = comparison.validations[row["model"]]
        report = validation.report(draws=100).to_pylist()[0]
        assert {name: row[name] for name in report} == pytest.approx(report, rel=1e-12)
        assert row["auc"] == metrics.auc(log.correct, validation.predicted)
        assert row["ece"] == metrics.ece(log.correct, validation.predicted)
        assert row["fit_seconds"] == pytest.approx(validation.fit_seconds.sum())


def test_differences_are_of_every_pair_within_each_draw(comparison: Comparison) -> None:
    rows = comparison.differences.to_pylist()
    pairs = [("free", "Constant()"), ("held", "Constant()"), ("held", "free")]
    assert [(row["model"], row["other"], row["metric"]) for row in rows] == [
        (*pair, metric) for pair in pairs for metric in metrics.METRICS
    ]
    values = {row["model"]: row for row in comparison.table.to_pylist()}
    for row in rows:
        expected = values[row["model"]][row["metric"]] - values[row["other"]][row["metric"]]
        assert row["difference"] == pytest.approx(expected, abs=1e-15)
        assert row["low"] <= row["difference"] <= row["high"]


def test_paired_intervals_are_narrower_than_the_difference_of_unpaired_ones(comparison: Comparison) -> None:
    number = list(metrics.METRICS).index("log_loss")
    row = comparison.differences.to_pylist()[-len(metrics.METRICS) + number]
    drawn = [comparison.drawn[name][number] for name in ("held", "free")]
    low, high = metrics.interval(drawn[0] - np.random.default_rng(3).permutation(drawn[1]))
    assert row["high"] - row["low"] < 0.5 * (high - low)


def test_predictions_are_one_line_a_tested_response(log: at.Log, comparison: Comparison) -> None:
    table = comparison.predictions
    assert table.column_names == ["student", "item", "skill", "fold", "correct", "Constant()", "free", "held"]
    assert table.select(["student", "item", "skill", "correct"]).equals(log.table.select(["student", "item", "skill", "correct"]))
    assert np.array_equal(table["free"].to_numpy(), comparison.validations["free"].predicted)
    split = compare([Constant()], log, by="split", draws=2).predictions
    assert len(split) == log.table["split"].to_pylist().count("test")
    assert set(split["fold"].to_pylist()) == {0}


@pytest.mark.parametrize("by", ["skill", "group", "opportunity", "fold", "kind"])
def test_slices_are_a_report_of_each_model(log: at.Log, comparison: Comparison, by: str) -> None:
    table = comparison.slices(by, draws=20)
    opportunity = np.arange(len(log)) % 12 // 2 + 1
    values = {"opportunity": opportunity, "kind": ["practice"] * len(log)}.get(by)
    column = log.table[by] if values is None else values
    assert table.column_names[:4] == ["model", "by", "n", "students"]
    for name, validation in comparison.validations.items():
        expected = metrics.report(log.correct, validation.predicted, student=log.table["student"], by=column, draws=20)
        mine = table.filter(np.array(table["model"].to_pylist()) == name).drop(["model"])
        assert mine.to_pydict() == expected.cast(mine.schema).to_pydict()
        if values is not None:
            assert comparison.slices(values, draws=20).to_pydict() == table.to_pydict()


@pytest.mark.parametrize("by", [None, "skill", "opportunity"])
def test_a_report_is_of_the_tested_rows_only(log: at.Log, by: str | None) -> None:
    validation = cross_validate(BLANK, log, by="split")
    tested = log.select(validation.tested)
    alone = BLANK.fit(log.select(~validation.tested)).predict(tested)
    column = {"skill": tested.table["skill"], "opportunity": tested.rows.opportunity}.get(by)
    expected = metrics.report(tested.correct, alone, student=tested.table["student"], by=column, draws=20)
    assert validation.report(by, draws=20).to_pydict() == expected.to_pydict()


def test_an_event_of_several_skills_is_a_line_of_each(responses) -> None:
    skills = [["halves"], ["halves", "quarters"], ["quarters"], ["halves", "quarters"]]
    table = responses(student=["Ada", "Ada", "Bo", "Bo"], skills=skills, correct=[0, 1, 1, 1])
    done = compare([Constant()], at.Log.from_arrow(table), folds=2, draws=2)
    by_skill, by_opportunity = done.slices("skill", draws=2), done.slices("opportunity", draws=2)
    assert by_skill.select(["by", "n", "students", "accuracy"]).to_pylist() == [
        {"by": "halves", "n": 3, "students": 2, "accuracy": 2 / 3},
        {"by": "quarters", "n": 3, "students": 2, "accuracy": 1.0},
    ]
    assert by_opportunity.select(["by", "n"]).to_pydict() == {"by": [1, 2], "n": [4, 2]}
    assert done.predictions.column_names == ["student", "item", "skills", "fold", "correct", "Constant()"]


def test_models_are_named_by_how_they_look_and_a_baseline_stands_first(log: at.Log) -> None:
    done = compare([Spy(), Constant(mean=0.2), Spy()], log, draws=2)
    assert list(done.validations) == ["Spy()", "Constant(0.2)", "Spy() #2"]
    assert list(compare(iter([Spy()]), log, draws=2).validations) == ["Constant()", "Spy()"]
    assert list(compare({"mean": Constant()}, log, draws=2).validations) == ["mean"]
    assert compare([Constant()], log, draws=2).differences.num_rows == 0


def test_the_text_is_aligned_and_marks_the_best_of_each_metric(comparison: Comparison) -> None:
    text = str(comparison)
    head, _, *lines, _, legend = text.splitlines()
    assert head == "3 folds, 276 responses of 23 students"
    assert [line.split()[0] for line in lines] == ["model", "Constant()", "free", "held"]
    assert lines[0].split() == ["model", *HEADINGS]
    assert len({len(line) for line in lines}) == 1
    assert [sum(line.count("*") for line in lines), legend[0]] == [len(metrics.METRICS), "*"]
    for metric, pick in (("auc", max), ("log_loss", min), ("rmse", min), ("accuracy", max)):
        values = comparison.table[metric].to_pylist()
        assert f"{pick(values):.4f}*" in lines[1 + values.index(pick(values))]


def test_a_model_as_good_as_the_best_is_marked_so(log: at.Log) -> None:
    lines = str(compare([Constant(), Constant()], log, draws=2)).splitlines()[3:5]
    assert [line.count("*") for line in lines] == [4, 4]
    near = str(compare({"a": BLANK, "b": at.BKT(forget=False, pooling=1.0)}, log, folds=2, draws=50))
    assert "~" in near.splitlines()[4] + near.splitlines()[5]


def test_a_log_of_one_student_has_metrics_without_intervals() -> None:
    log = log_of(1, 30)
    done = compare([BLANK], log, by="item", folds=3, draws=5)
    assert np.isnan(done.table["auc_low"].to_pylist()).all()
    assert not np.isnan(done.table["log_loss"].to_pylist()).any()
    assert "nan-nan" in str(done)


# ---- the same bits, and progress --------------------------------------------


def bits(done: Comparison) -> tuple[Any, ...]:
    table = done.table.drop(["fit_seconds", "predict_seconds"])
    return table.to_pydict(), done.differences.to_pydict(), done.predictions.to_pydict()


def test_the_number_of_threads_changes_no_bit(log: at.Log, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for cores in (1, 3):
        monkeypatch.setattr(parallel, "cores", lambda cores=cores: cores)
        made.append(bits(compare([at.BKT()], log, folds=2, draws=20, seed=7)))
    with ThreadPoolExecutor(4) as pool:
        made.append(bits(compare([at.BKT()], log, folds=2, draws=20, seed=7, executor=pool)))
    assert made[0] == made[1] == made[2]
    assert bits(compare([at.BKT()], log, folds=2, draws=20, seed=8)) != made[0]


@pytest.mark.parametrize(
    "work",
    [
        lambda log, told: compare([Spy(), Spy(), Spy()], log, draws=2, progress=told),
        lambda log, told: cross_validate(Spy(), log, progress=told),
        lambda log, told: cross_validate(Spy(), log, by="split", progress=told),
        lambda log, told: replay(Spy(), log, every=9 * HOUR, progress=told),
    ],
)
def test_progress_only_grows_and_ends_at_one(log: at.Log, work: Callable[..., object]) -> None:
    told: list[float] = []
    work(log, told.append)
    assert told == sorted(set(told))
    assert told[0] > 0.0
    assert told[-1] == 1.0


# ---- bad input --------------------------------------------------------------


@dataclass
class Failing:
    """Fails in a way at the fit or prediction number ``when``."""

    how: str
    when: int = 2
    calls: list[int] = field(default_factory=list)
    needs: tuple[str, ...] = ()

    def fit(self, log: at.Log, *, executor: Executor | None = None, progress: object = None) -> Failing:
        self.calls.append(len(log))
        if self.how == "fit" and len(self.calls) > self.when:
            raise ZeroDivisionError("by zero")
        return self

    def predict(self, log: at.Log) -> NDArray[np.float64]:
        if len(self.calls) <= self.when or self.how == "fit":
            return np.full(len(log), 0.5)
        if self.how == "predict":
            raise at.ModelError("lost it")
        return {
            "nan": np.full(len(log), np.nan),
            "two": np.where(np.arange(len(log)) == 1, 2.0, 0.5),
            "short": np.full(len(log) - 1, 0.5),
        }[self.how]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("fit", "bad, fold 2: ZeroDivisionError: by zero"),
        ("predict", "bad, fold 2: lost it"),
        ("nan", "bad, fold 2: got a prediction of nan for row "),
        ("two", "bad, fold 2: got a prediction of 2.0 for row "),
        ("short", "bad, fold 2: got predictions of shape ("),
    ],
)
def test_a_model_that_fails_on_one_fold_gives_no_half_a_table(log: at.Log, how: str, told: str) -> None:
    with pytest.raises(at.ModelError) as raised:
        compare({"good": Constant(), "bad": Failing(how)}, log)
    assert told in str(raised.value)
    if how in ("fit", "predict"):
        assert isinstance(raised.value.__cause__, ZeroDivisionError if how == "fit" else at.ModelError)


def test_a_fold_that_has_a_name_is_told_by_it(log: at.Log) -> None:
    with pytest.raises(at.ModelError, match=r"Failing\(.*\), fold 1 \(south\): lost it"):
        cross_validate(Failing("predict", 1), log, by="group")


def test_all_that_any_model_lacks_is_told_before_any_fit(log: at.Log) -> None:
    spy = Spy()
    models = {
        "spy": spy,
        "a": Failing("fit", needs=("time", "response_ms")),
        "b": Failing("fit", needs=("event_id", "response_ms")),
    }
    with pytest.raises(at.DataError) as raised:
        compare(models, log)
    told = [(problem.column, problem.expected) for problem in raised.value.problems]
    assert told == [
        ("response_ms", "column 'response_ms', which a needs"),
        ("event_id", "column 'event_id', which b needs"),
        ("response_ms", "column 'response_ms', which b needs"),
    ]
    assert "rename a column" in str(raised.value)
    for work in (lambda: cross_validate(models["a"], log), lambda: replay(models["a"], log, every=HOUR)):
        with pytest.raises(at.DataError, match="column 'response_ms', which Failing"):
            work()
    assert (spy.fits, models["a"].calls) == ([], [])


BAD_OPTIONS = [
    ({"folds": 24}, at.DataError, "column 'student': got 23 students; expected at least 24, one a fold; pass folds=23 or fewer"),
    ({"folds": 13, "by": "item"}, at.DataError, "got 12 items; expected at least 13, one a fold; pass folds=12 or fewer"),
    ({"folds": 99, "by": "time"}, at.DataError, "expected at least 100, one a block; pass folds="),
    ({"folds": 1}, ValueError, "folds: got 1; expected a whole number of at least 2"),
    ({"folds": 2.0}, ValueError, "folds: got 2.0; expected a whole number of at least 2"),
    ({"folds": True}, ValueError, "folds: got True"),
    (
        {"by": "pupil"},
        ValueError,
        "by: got 'pupil'; expected student, item, time or a column of the log: skill, group, fold, split, kind",
    ),
    ({"by": "correct"}, ValueError, "by: got 'correct'; expected student, item, time"),
    ({"by": "kind"}, at.DataError, "column 'kind': got 'practice' in every row; expected at least 2 values, each a fold"),
]


@pytest.mark.parametrize(("options", "kind", "told"), BAD_OPTIONS, ids=str)
def test_an_option_that_makes_no_folds_is_told(log: at.Log, options: dict[str, Any], kind: type[Exception], told: str) -> None:
    for work in (lambda: cross_validate(Constant(), log, **options), lambda: compare([Constant()], log, **options)):
        with pytest.raises(kind) as raised:
            work()
        assert told in str(raised.value)


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ([None, "a"], "column 'part', row 1: got null (and in 1 more row); expected a fold in every row"),
        ([[1], [2]], "column 'part': got list<item: int64>; expected one value a row"),
        (["train", "train"], "column 'part': got 'train' alone; expected 'train' and 'test', or folds of other names"),
        (["train", "valid", "test"], "got 'test' and 'train' and 'valid'; expected 'train' and 'test'"),
        ([3, 3], "column 'part': got '3' in every row; expected at least 2 values, each a fold; choose another column"),
    ],
    ids=str,
)
def test_a_column_that_holds_no_folds_is_told(responses, column: list[Any], told: str) -> None:
    values = (column * 2)[: len(column) + (column[0] is None) * 2]
    log = at.Log.from_arrow(responses(part=values), keep=["part"])
    with pytest.raises(at.DataError) as raised:
        cross_validate(Constant(), log, by="part")
    assert told in str(raised.value)


def test_a_log_without_a_clock_a_student_or_a_row_is_told(responses) -> None:
    one = at.Log.from_arrow(responses())
    for work in (lambda: cross_validate(Constant(), one, by="time"), lambda: replay(Constant(), one, every=DAY)):
        with pytest.raises(at.DataError, match=r"column 'time': got the columns student, item, skill, correct; expected a clock"):
            work()
    with pytest.raises(at.DataError, match=r"got 1 student; expected at least 5, one a fold; choose another by="):
        cross_validate(Constant(), one)
    with pytest.raises(at.DataError, match=r"column 'group': got .*; expected column 'group'; read the log with columns="):
        cross_validate(Constant(), one, by="group")
    none = at.Log.from_arrow(responses(time=[1, 2]).slice(2), time_unit="s")
    for work in (
        compare,
        lambda models, log: cross_validate(models[0], log),
        lambda models, log: replay(models[0], log, every=DAY),
    ):
        with pytest.raises(at.DataError, match="log: got no rows; expected responses to fit and to predict"):
            work([Constant()], none)


BAD_MARKS = [
    ({}, ValueError, "got neither of marks and every; expected one of them"),
    ({"marks": [START + DAY], "every": DAY}, ValueError, "got both of marks and every; expected one of them"),
    ({"marks": []}, ValueError, "marks: got none; expected at least one"),
    ({"marks": ["2025-09-02"]}, ValueError, "marks: got '2025-09-02'; expected datetimes"),
    ({"marks": [START.date()]}, ValueError, "marks: got datetime.date(2025, 9, 1); expected datetimes"),
    (
        {"marks": [START + DAY, START + DAY]},
        ValueError,
        "got 2025-09-02 00:00:00+00:00 after 2025-09-02 00:00:00+00:00; expected every",
    ),
    ({"marks": [START + DAY, START]}, ValueError, "expected every mark to be later than the one before"),
    (
        {"marks": [START - DAY, START + DAY]},
        at.DataError,
        "column 'time': got the mark 2025-08-31T00:00:00+00:00; expected marks after",
    ),
    (
        {"marks": [START + DAY, START + 9 * DAY]},
        at.DataError,
        "got the mark 2025-09-10T00:00:00+00:00; expected marks after the first",
    ),
    ({"marks": [START + 8 * DAY, START + 9 * DAY]}, at.DataError, "2025-09-09T00:00:00+00:00 and 1 more; expected marks after"),
    ({"every": 9 * DAY}, at.DataError, "column 'time': got no mark between 2025-09-01T0"),
    ({"every": 0 * DAY}, ValueError, "every: got datetime.timedelta(0); expected a datetime.timedelta of more than 0"),
    ({"every": 7}, ValueError, "every: got 7; expected a datetime.timedelta of more than 0"),
]


@pytest.mark.parametrize(("options", "kind", "told"), BAD_MARKS, ids=[told for *_, told in BAD_MARKS])
def test_marks_that_do_not_divide_the_log_are_told(
    log: at.Log, options: dict[str, Any], kind: type[Exception], told: str
) -> None:
    spy = Spy()
    with pytest.raises(kind) as raised:
        replay(spy, log, **options)
    assert told in str(raised.value)
    assert spy.fits == []


@pytest.mark.parametrize(
    ("models", "kind", "told"),
    [
        ([], ValueError, "models: got none; expected at least one"),
        (BLANK, ValueError, "models: got BKT(forget=False); expected several, e.g. [BKT(), BKT(forget=False)]"),
        ([at.BKT], at.ModelError, "got a class; expected a model, e.g. BKT()"),
        ({"bkt": "BKT"}, at.ModelError, "bkt: got 'BKT'; expected a model, with fit and predict"),
        ({"student": BLANK}, ValueError, "models: got the name 'student'; expected a text other than student, item"),
        ({7: BLANK}, ValueError, "models: got the name 7; expected a text"),
        ({"Constant()": BLANK}, ValueError, "got BKT(forget=False) as 'Constant()'; expected another name: it is the baseline's"),
    ],
    ids=str,
)
def test_models_that_cannot_be_compared_are_told(log: at.Log, models: Any, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind) as raised:
        compare(models, log)
    assert told in str(raised.value)


def test_other_bad_options_are_told(log: at.Log, comparison: Comparison) -> None:
    with pytest.raises(ValueError, match="draws: got 0; expected a whole number of at least 1"):
        compare([Spy()], log, draws=0)
    with pytest.raises(at.ModelError, match=r"got 3; expected a model, with fit and predict"):
        cross_validate(3, log)
    with pytest.raises(
        at.DataError, match=r"column 'tempo': got the columns .*; expected skill, opportunity, kind or a column 'tempo'"
    ):
        comparison.slices("tempo")


def test_a_validation_reads_well(log: at.Log) -> None:
    validation = cross_validate(Constant(), log, by="split")
    assert isinstance(validation, Validation)
    assert repr(validation) == "Validation(1 fold, 60 of 276 responses tested)"
    assert repr(compare([Constant()], log, draws=2)) == "Comparison(Constant(); 276 responses tested)"


# ---- what a split asks of a log ---------------------------------------------


def test_a_selection_keeps_skills_order_and_kept_columns_whatever_their_names(responses) -> None:
    table = responses(skills=[["u", "v"], ["u"], ["v"]], order=[3, 1, 2], correct=[1, 0, 1], kind=["p"] * 3, level=[2, 0, 2])
    table = table.append_column("skill_id", pa.array(["x"] * 3)).append_column("score", pa.array([7, 8, 9]))
    log = at.Log.from_arrow(table, columns={"skills": "skills"}, levels={"p": 3}, keep=["skill_id", "level", "score"])
    part = log.select(np.array([True, False, True]))
    assert part.table.to_pylist() == [log.table.to_pylist()[row] for row in (0, 2)]
    assert part.table["level"].to_pylist() == [0, 2]
    assert part.source_row.tolist() == [1, 0]
    none = log.select(np.zeros(3, bool))
    assert (len(none), none.skills.to_pylist(), none.rows.skill_start.tolist()) == (0, [], [0])
