"""Pictures show the numbers of their tables, and refuse other tables."""

from __future__ import annotations

import datetime
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace import plots
from adaptrace.errors import AdaptraceError, OutputError
from adaptrace.evaluate import fairness, metrics
from adaptrace.simulation import policy_matrix

pytest.importorskip("matplotlib")


def drawn(axes, label: str) -> np.ndarray:
    """What the line of a label goes through, (2, n)."""
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    return np.array(line.get_data(), float)


def spans(axes) -> np.ndarray:
    """Both ends of every interval, (n, 2, 2)."""
    return np.concatenate([each.get_segments() for each in axes.collections if hasattr(each, "get_segments")])


def words(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def title(figure) -> str:
    return figure.get_suptitle().replace("\n", " ")


def of_models(table: pa.Table, *names: str) -> pa.Table:
    return pa.concat_tables([table.append_column("model", pa.array([name] * len(table))) for name in names])


@pytest.fixture(scope="module")
def answers() -> SimpleNamespace:
    random = np.random.default_rng(0)
    student, opportunity = (each.ravel() for each in np.indices((30, 8)))
    predicted = np.clip(0.3 + 0.06 * opportunity + 0.1 * random.normal(size=240), 0.02, 0.98)
    correct = (random.random(240) < predicted).astype(float)
    return SimpleNamespace(correct=correct, predicted=predicted, opportunity=opportunity + 1, student=student)


@pytest.fixture(scope="module")
def curve(answers) -> pa.Table:
    return metrics.learning_curve(
        answers.correct, answers.predicted, opportunity=answers.opportunity, student=answers.student, draws=20
    )


@pytest.fixture(scope="module")
def reliability(answers) -> pa.Table:
    return metrics.calibration(answers.correct, answers.predicted, student=answers.student, draws=20)


@pytest.fixture(scope="module")
def results() -> pa.Table:
    columns = {"model": ["constant", "bkt", "pfa"], "n": [900] * 3, "students": [30] * 3}
    for name, values in (("log_loss", [0.69, 0.55, 0.60]), ("auc", [float("nan"), 0.75, 0.70])):
        columns |= {name: values, f"{name}_low": np.subtract(values, 0.01), f"{name}_high": np.add(values, 0.02)}
    return pa.table(columns)


@pytest.fixture
def path_of_ada(model: at.BKT) -> pa.Table:
    """Two days; the third response is of both skills."""
    log = at.Log.from_arrow(
        {
            "student": ["Ada"] * 5 + ["Bo"],
            "item": ["h1", "q1", "hq", "h1", "q1", "h1"],
            "skills": [["halves"], ["quarters"], ["halves", "quarters"], ["halves"], ["quarters"], ["halves"]],
            "correct": [1, 0, 1, 1, 1, 0],
            "time": [datetime.datetime(2026, 1, 1 + row // 3, row, tzinfo=datetime.UTC) for row in range(6)],
        }
    )
    return model.trace(log)


# ---- what they show ---------------------------------------------------------


def test_a_learning_curve_shows_what_was_observed_and_predicted_and_how_many(curve) -> None:
    figure = plots.learning_curve(curve)
    axes, below = figure.axes
    for name in ("observed", "predicted"):
        np.testing.assert_array_equal(drawn(axes, name), [curve["opportunity"], curve[name]])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert set(np.round(band, 9)) == set(np.round([*curve["observed_low"].to_numpy(), *curve["observed_high"].to_numpy()], 9))
    assert [bar.get_height() for bar in below.patches] == curve["n"].to_pylist()
    assert (axes.get_ylabel(), below.get_ylabel()) == ("share right", "responses")
    first, last = (100 * curve["observed"][row].as_py() for row in (0, -1))
    assert title(figure) == f"Right answers: {first:.0f} % at opportunity 1, {last:.0f} % at opportunity 8"


def test_a_learning_curve_has_one_line_a_model_and_what_was_observed_once(curve) -> None:
    axes = plots.learning_curve(of_models(curve, "bkt", "pfa")).axes[0]
    assert words(axes) == ["95 % interval", "observed", "predicted, bkt", "predicted, pfa"]
    assert len(axes.get_lines()) == 3


def test_learning_curves_of_other_responses_are_not_one_picture(curve) -> None:
    other = curve.set_column(2, "observed", pa.array([0.5] * len(curve)))
    with pytest.raises(ValueError, match=r"^observed: got other values for other models; expected curves of the same responses"):
        plots.learning_curve(pa.concat_tables([of_models(curve, "bkt"), of_models(other, "pfa")]))


def test_a_title_speaks_of_opportunities_that_enough_responses_reach() -> None:
    columns = {"opportunity": [1, 2, 3], "n": [100, 10, 9], "observed": [0.2, 0.4, 0.9]}
    table = pa.table({**columns, "observed_low": [0.1] * 3, "observed_high": [0.9] * 3, "predicted": [0.5] * 3})
    assert title(plots.learning_curve(table)) == "Right answers: 20 % at opportunity 1, 40 % at opportunity 2"


def test_a_reliability_diagram_shows_bins_intervals_and_their_sizes(reliability) -> None:
    figure = plots.calibration(reliability)
    axes, below = figure.axes
    np.testing.assert_array_equal(drawn(axes, "as predicted"), [[0, 1], [0, 1]])
    np.testing.assert_array_equal(drawn(axes, "observed, 95 % interval"), [reliability["predicted"], reliability["observed"]])
    np.testing.assert_array_equal(
        spans(axes)[:, :, 1], np.column_stack([reliability["observed_low"], reliability["observed_high"]])
    )
    assert [bar.get_height() for bar in below.patches] == reliability["n"].to_pylist()
    assert [round(bar.get_x() + bar.get_width() / 2, 9) for bar in below.patches] == [
        round((low + high) / 2, 9) for low, high in zip(*(reliability[name].to_pylist() for name in ("low", "high")), strict=True)
    ]


def test_the_title_of_a_reliability_diagram_is_the_calibration_error(answers, reliability) -> None:
    error = 100 * metrics.ece(answers.correct, answers.predicted)
    assert title(plots.calibration(reliability)) == f"Predictions are {error:.1f} percentage points off on average"


def test_bars_of_several_models_stand_beside_each_other(reliability) -> None:
    axes, below = plots.calibration(of_models(reliability, "bkt", "pfa")).axes
    assert words(axes) == ["as predicted", "bkt", "pfa"]
    places = sorted((bar.get_x(), bar.get_width()) for bar in below.patches)
    assert all(x + width < after for (x, width), (after, _) in pairwise(places))


def test_the_path_of_mastery_is_a_line_a_skill_with_hollow_wrong_answers(path_of_ada: pa.Table) -> None:
    figure = plots.mastery(path_of_ada)
    axes = figure.axes[0]
    halves = path_of_ada.filter(pa.compute.equal(path_of_ada["skill"].cast("string"), "halves")).slice(0, 3)
    np.testing.assert_array_equal(drawn(axes, "halves"), [[1, 3, 4], halves["mastery"]])
    assert drawn(axes, "quarters")[0].tolist() == [2, 3, 5]
    (wrong,) = [
        each.get_offsets() for each in axes.collections if len(each.get_offsets()) and each.get_label() != "a wrong answer"
    ]
    assert wrong[:, 0].tolist() == [2]
    assert words(axes) == ["halves", "quarters", "a wrong answer"]
    assert [0.95, 0.95] in [list(line.get_ydata()) for line in axes.get_lines()]
    last = path_of_ada["mastery"].to_pylist()[-3:-1]  # of halves and quarters; then comes Bo
    assert title(figure) == f"Ada: {sum(value >= 0.95 for value in last)} of 2 skills at mastery of 0.95 after 5 responses"


def test_days_stand_above_the_path_of_mastery(path_of_ada: pa.Table) -> None:
    axes = plots.mastery(path_of_ada).axes[0]
    above = axes.child_axes[0]
    assert [label.get_text() for label in above.get_xticklabels()] == ["1 Jan", "2 Jan"]
    assert above.get_xticks().tolist() == [0.5, 3.5]


def test_one_student_may_be_chosen_and_an_unknown_one_is_refused(path_of_ada: pa.Table) -> None:
    assert title(plots.mastery(path_of_ada, "Bo")).startswith("Bo: 0 of 1 skill at mastery of 0.95 after 1 response")
    with pytest.raises(ValueError, match=r"^student: got a name that the table does not have; expected one of its 2 students$"):
        plots.mastery(path_of_ada, "Cy")


def test_skills_beyond_eight_are_grey_and_counted() -> None:
    rows = [(f"skill {n:02}", k) for n in range(11) for k in range(2 if n < 3 else 3)]
    skill, step = zip(*rows, strict=True)
    table = {"student": ["Ada"] * len(rows), "skill": skill, "opportunity": [k + 1 for k in step]}
    table |= {"correct": [1.0] * len(rows), "mastery": [0.3 * k for k in step]}
    axes = plots.mastery(pa.table(table)).axes[0]
    assert words(axes) == [*(f"skill {n:02}" for n in range(3, 11)), "3 more skills", "a wrong answer"]


def test_a_comparison_has_a_dot_with_an_interval_a_model_the_best_first(results) -> None:
    figure = plots.comparison(results)
    loss, auc = figure.axes
    assert [label.get_text() for label in loss.get_yticklabels()] == ["bkt", "pfa", "constant (baseline)"]
    assert loss.get_ylim() == (2.5, -0.5)  # top down
    dots = loss.collections[-1].get_offsets()
    assert dots.tolist() == [[0.55, 0], [0.6, 1], [0.69, 2]]
    np.testing.assert_allclose(spans(loss)[:, :, 0], [[0.54, 0.57], [0.59, 0.62], [0.68, 0.71]], rtol=1e-12)
    assert [line.get_xdata()[0] for line in loss.get_lines()] == [0.69]  # the baseline
    assert [text.get_text() for text in auc.texts] == ["0.750", "0.700", "-"]
    assert title(figure) == "bkt has the lowest log loss: 0.550"
    assert (loss.get_xlabel(), auc.get_xlabel()) == ("log loss (nats per response), lower is better", "AUC, higher is better")


def test_any_model_may_be_the_baseline(results) -> None:
    labels = [label.get_text() for label in plots.comparison(results, baseline="pfa").axes[0].get_yticklabels()]
    assert labels == ["bkt", "pfa (baseline)", "constant"]


def test_periods_stand_in_the_calendar(results) -> None:
    start = [datetime.datetime(2026, month, 1, tzinfo=datetime.UTC) for month in (1, 2, 3)]
    figure = plots.periods(results.append_column("start", pa.array(start)))
    loss = figure.axes[0]
    assert [label.get_text() for label in loss.get_xticklabels()] == ["1 Jan", "1 Feb", "1 Mar"]
    assert loss.get_lines()[0].get_ydata().tolist() == [0.69, 0.55, 0.60]
    assert title(figure) == "Log loss 0.613 over 3 periods, refitted before each"


def test_gaps_are_panels_by_measure_flagged_ones_filled(sample_log: at.Log) -> None:
    some = sample_log.select(np.arange(len(sample_log)) < 1500)
    predicted = np.full(len(some), 0.6)
    pfa = SimpleNamespace(predict=lambda log: predicted)
    gaps = fairness.fairness(pfa, some, by="class", draws=20).gaps
    row = {"measure": "bias", "group": None, "difference": 0.5, "low": 0.4, "high": 0.6, "p": 0.001, "flagged": True}
    gaps = pa.concat_tables([gaps, pa.Table.from_pylist([row], gaps.schema)], promote_options="permissive")
    figure = plots.fairness(gaps)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "AUC",
        "log loss (nats)",
        "RMSE",
        "accuracy",
        "bias, predicted - correct",
    ]
    groups = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert groups == [*sorted(some.table["class"].unique().to_pylist()), "missing"]
    bias = figure.axes[-1].collections[-1]
    assert [0.5, float(len(groups) - 1)] in bias.get_offsets().tolist()
    assert len(bias.get_offsets()) == len(groups)
    flagged = sum(gaps["flagged"].to_pylist())
    assert title(figure) == f"{flagged} of {len(gaps)} gaps are more than chance explains"


def test_a_matrix_prints_every_cell_the_worst_case_first(model: at.BKT, catalog: at.Catalog) -> None:
    policies = {"weakest": at.LowestMastery(), "likeliest": at.TargetSuccess(target=1.0)}
    quick = at.BKT.from_parameters(["halves", "quarters"], prior=0.1, learn=0.5, guess=0.1, slip=0.1)
    table = policy_matrix.policy_matrix(
        policies, {"quick": quick, "slow": model}, catalog=catalog, belief=model, students=3, responses=6
    )
    figure = plots.matrix(table)
    axes, texts = figure.axes[0], [text.get_text() for text in figure.axes[0].texts]
    assert axes.get_xticklabels()[0].get_text() == "worst case"
    assert [label.get_text() for label in axes.get_yticklabels()] == list(dict.fromkeys(table["policy"].to_pylist()))
    assert texts[0::3] == [f"{value:.3f}" for value in table["post_test"].to_pylist()]
    assert texts[2::3] == [f"regret {value:.3f}" for value in table["regret"].to_pylist()]
    shades = axes.images[0].get_array()
    assert shades[:, 0].tolist() == [row["regret"] for row in table.to_pylist() if row["student_model"] == "worst"]
    assert title(figure).startswith(f"{table['policy'][0]} has the least regret in its worst case: ")


# ---- what they refuse -------------------------------------------------------

MAKERS = {
    plots.learning_curve: "metrics.learning_curve",
    plots.calibration: "metrics.calibration",
    plots.mastery: "BKT.trace",
    plots.comparison: "evaluate.compare(...).table",
    plots.periods: "the command adaptrace replay",
    plots.fairness: "adaptrace.fairness(...).gaps",
    plots.matrix: "adaptrace.policy_matrix",
}


@pytest.mark.parametrize("picture", MAKERS, ids=lambda picture: picture.__name__)
def test_another_table_is_refused_with_what_is_missing_and_who_makes_it(picture) -> None:
    with pytest.raises(ValueError, match=r"^table: no column ") as caught:
        picture(pa.table({"n": [1], "colour": ["red"]}))
    assert "; got n, colour; expected a table with " in str(caught.value)
    assert str(caught.value).endswith(f", as {MAKERS[picture]} makes it")
    with pytest.raises(ValueError, match=r"^table: got a dict; expected a table with "):
        picture({"n": [1]})


def test_a_table_without_rows_is_refused(curve: pa.Table) -> None:
    with pytest.raises(ValueError, match=r"^table: got no rows; expected a table with opportunity, n, observed"):
        plots.learning_curve(curve.slice(0, 0))


def test_the_missing_columns_are_all_named(curve: pa.Table) -> None:
    with pytest.raises(
        ValueError, match=r"^table: no column n, predicted; got opportunity, observed, observed_low, observed_high; "
    ):
        plots.learning_curve(curve.drop_columns(["n", "predicted"]))


# ---- files ------------------------------------------------------------------


@pytest.mark.parametrize(("name", "magic"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_picture_is_saved_by_its_ending(curve: pa.Table, tmp_path: Path, name: str, magic: bytes) -> None:
    plots.save(plots.learning_curve(curve), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_unknown_ending_is_refused_and_nothing_written(curve: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.gif: unknown ending '\.gif'; use \.png, \.svg or \.pdf$"):
        plots.save(plots.learning_curve(curve), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_one_error_says_what_to_install(curve: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (lambda: plots.learning_curve(curve), lambda: plots.check("a.png")):
        with pytest.raises(AdaptraceError, match=r'^pictures need matplotlib: pip install "adaptrace\[plot\]"$'):
            call()


def test_no_global_state_is_made_and_no_settings_change() -> None:
    code = (
        "import sys, pyarrow as pa, matplotlib; before = matplotlib.rcParams.copy()\n"
        "from adaptrace import plots\n"
        "names = ('opportunity', 'n', 'observed', 'observed_low', 'observed_high', 'predicted')\n"
        "plots.learning_curve(pa.table({name: [0.5] for name in names}))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert not [key for key in before if key != 'backend' and before[key] != matplotlib.rcParams[key]]"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert outcome.stderr == ""
