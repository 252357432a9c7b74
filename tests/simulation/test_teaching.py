"""Simulated students."""

from __future__ import annotations

import datetime
from collections import Counter

import numpy as np
import pyarrow.compute as pc
import pytest

import adaptrace as at
from adaptrace.evaluate.off_policy import off_policy
from adaptrace.recommendation.context import Context
from adaptrace.simulation.course import START
from adaptrace.simulation.students import HiddenKnowledge
from adaptrace.simulation.teaching import SimulatedLog
from reference.families import Rates
from reference.school import PROJECT_LEVELS, random_log


def simulate(model: at.BKT, catalog: at.Catalog, **changes: object) -> at.Log:
    return at.simulate(model, catalog, **{"students": 4, "responses": 25, "seed": 11, **changes})


def certain(**parameters: float) -> at.BKT:
    """Answers show what is known, nearly without exception."""
    return at.BKT.from_parameters(["halves", "quarters"], **{"learn": 1e-9, "guess": 1e-9, "slip": 1e-9, **parameters})


def test_the_same_seed_gives_the_same_bits(model: at.BKT, catalog: at.Catalog) -> None:
    assert simulate(model, catalog).table.equals(simulate(model, catalog).table)


def test_another_seed_gives_other_students(model: at.BKT, catalog: at.Catalog) -> None:
    assert not simulate(model, catalog).table.equals(simulate(model, catalog, seed=12).table)


def test_students_differ_from_one_another(model: at.BKT, catalog: at.Catalog) -> None:
    correct = simulate(model, catalog).correct.reshape(4, 25)
    assert len(np.unique(correct, axis=0)) == 4


def test_more_students_leave_the_first_as_they_are(model: at.BKT, catalog: at.Catalog) -> None:
    more = simulate(model, catalog, students=6)
    assert more.table.slice(0, 100).to_pylist() == simulate(model, catalog).table.to_pylist()


def test_fewer_responses_are_the_first_of_more(model: at.BKT, catalog: at.Catalog) -> None:
    fewer, more = simulate(model, catalog, students=1, responses=10), simulate(model, catalog, students=1)
    assert more.table.slice(0, 10).to_pylist() == fewer.table.to_pylist()


def test_the_log_has_the_size_asked_for_in_time_order(model: at.BKT, catalog: at.Catalog) -> None:
    log = simulate(model, catalog)
    assert np.diff(log.rows.student_start).tolist() == [25] * 4
    assert log.source_row.tolist() == list(range(100))
    assert (np.diff(log.table["time"].to_numpy().astype("int64").reshape(4, 25)) > 0).all()
    assert min(log.table["response_ms"].to_pylist()) > 0


@pytest.mark.parametrize(("prior", "right"), [(1.0 - 1e-9, 1.0), (1e-9, 0.0)])
def test_what_is_known_is_answered_right_and_what_is_not_wrong(catalog: at.Catalog, prior: float, right: float) -> None:
    assert simulate(certain(prior=prior), catalog).correct.mean() == right


def test_who_learns_at_once_is_wrong_once_on_every_skill(catalog: at.Catalog) -> None:
    log = simulate(certain(prior=1e-9, learn=1.0 - 1e-9), catalog)
    assert (log.correct == (log.rows.opportunity > 1)).all()


def test_outcomes_follow_the_models_first_chance(catalog: at.Catalog) -> None:
    """The share of right first answers on halves: 0.5 x 0.9 + 0.5 x 0.1, within four standard errors."""
    student_model = at.BKT.from_parameters(["halves", "quarters"], prior=[0.7, 0.3], learn=0.2, guess=0.1, slip=0.2)
    first = at.simulate(student_model, catalog, students=1000, responses=1, seed=3).correct
    assert first.mean() == pytest.approx(0.7 * 0.8 + 0.3 * 0.1, abs=4 * 0.5 / np.sqrt(1000))


def test_the_policy_sees_the_students_through_the_belief_not_the_student_model(catalog: at.Catalog) -> None:
    student_model, belief = certain(prior=1e-9), certain(prior=1.0 - 1e-9)
    skills = at.simulate(student_model, catalog, students=40, responses=1, seed=2, belief=belief).skills.to_pylist()
    assert skills == ["halves", "quarters"]  # all seems mastered, so even quarters are open
    assert at.simulate(student_model, catalog, students=40, responses=1, seed=2).skills.to_pylist() == ["halves"]


def test_the_policy_chooses_what_is_practised(model: at.BKT) -> None:
    catalog = at.Catalog.from_arrow({"item": ["h", "q"], "skill": ["halves", "quarters"]})

    class Only(at.TargetSuccess):
        """Nothing but quarters."""

        def utility(self, context: Context) -> np.ndarray:
            seen.append(context.mastery[0])
            return np.array([[0.0, 1.0]])

    seen: list[np.ndarray] = []
    log = at.simulate(model, catalog, students=1, responses=3, seed=1, policy=Only(), choices=1)
    assert log.skills.to_pylist() == ["quarters"]
    assert np.shape(seen) == (3, 2)


def near_zero(values: np.ndarray) -> bool:
    """Whether the mean of independent values is within four standard errors of 0."""
    return abs(values.mean()) < 4 * values.std(ddof=1) / np.sqrt(len(values))


def by_student(log: at.Log, values: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, log.rows.student_start[:-1])


# ---- student models of other families -----------------------------------------------


def test_outcomes_of_another_family_follow_its_joint_distribution(catalog: at.Catalog, model: at.BKT) -> None:
    """An urn of Polya: all right and all wrong have probability 1/4, every other sequence of three 1/12."""
    one = at.Catalog(catalog.items[:1])
    correct = at.simulate(Rates(), one, students=4000, responses=3, seed=1, belief=model).correct.reshape(-1, 3)
    seen = Counter(map(tuple, correct.astype(int).tolist()))
    for sequence in np.ndindex(2, 2, 2):
        p = 1 / 4 if sum(sequence) in (0, 3) else 1 / 12
        assert seen[sequence] / 4000 == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000))


def test_time_is_the_logs_where_the_student_model_needs_it(catalog: at.Catalog, model: at.BKT) -> None:
    """Predicted by the student_model from the log alone, outcomes are as right as predicted, also after a night."""
    student_model = Rates(half_life=0.5)
    log = at.simulate(student_model, catalog, students=60, responses=25, seed=2, belief=model)
    excess = log.correct - student_model.predict(log)
    assert near_zero(by_student(log, excess))
    assert near_zero(excess[19::25])
    assert student_model.predict(log)[19::25].mean() < student_model.predict(log)[18::25].mean() / 2


def test_a_student_model_without_mastery_needs_a_belief(catalog: at.Catalog, model: at.BKT) -> None:
    with pytest.raises(
        at.ModelError, match=r"Rates\(half_life=None\) .*does not know mastery.*pass belief= a model that knows it"
    ):
        at.simulate(Rates(), catalog, students=1, responses=1, seed=0)
    with pytest.raises(at.ModelError, match="pass belief="):
        at.simulate(model, catalog, students=1, responses=1, seed=0, belief=Rates())
    assert len(at.simulate(Rates(), catalog, students=1, responses=2, seed=0, belief=model)) == 2


def test_the_same_seed_gives_the_same_bits_of_another_family(catalog: at.Catalog, model: at.BKT) -> None:
    logs = [simulate(Rates(half_life=1.0), catalog, belief=model, seed=seed).table for seed in (1, 1, 2)]
    assert logs[0].equals(logs[1])
    assert not logs[0].equals(logs[2])


@pytest.fixture(scope="module")
def fading() -> at.BKT:
    """Mastery halves in about a day."""
    rows = random_log(3, rows=300, skills="ab")
    model = at.BKT(elapsed=True, forget=False).fit(rows)
    model.effects.half_life[:] = 1.0
    return model


def test_a_bkt_that_fades_fades_over_the_night_that_the_log_tells_of(fading: at.BKT) -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "2"], "skill": ["a", "b"]})
    log = at.simulate(fading, catalog, students=400, responses=25, seed=4)
    excess = log.correct - fading.predict(log)
    assert near_zero(excess[19::25])
    assert near_zero(by_student(log, excess))


def test_a_belief_that_fades_sees_what_was_forgotten(fading: at.BKT) -> None:
    """Two skills, both soon mastered: after the night the policy goes back to what has faded."""
    catalog = at.Catalog.from_arrow({"item": ["1", "2"], "skill": ["a", "b"]})
    seen: list[np.ndarray] = []

    class Watching(at.LowestMastery):
        def utility(self, context: Context) -> np.ndarray:
            seen.append(context.mastery[0])
            return super().utility(context)

    options = {"policy": Watching(), "constraints": at.Constraints(zone=False)}
    at.simulate(Rates(), catalog, students=1, responses=20, seed=1, belief=fading, **options)
    evening, morning = np.reshape(seen, (20, 2))[-2:]
    assert morning.max() < 0.6
    assert morning.max() < evening.max()


# ---- exploring, and what was decided ----------------------------------------


WIDE = at.Catalog.from_arrow({"item": list("abcdef"), "skill": ["halves"] * 2 + ["quarters"] * 2 + ["thirds"] * 2})


def test_recording_decisions_changes_no_bit_of_the_rest(sample_model: at.BKT) -> None:
    catalog = at.sample_catalog()
    plain, recorded = (
        at.simulate(sample_model, catalog, students=3, responses=30, seed=5, record=record).table for record in (False, True)
    )
    assert recorded.select(plain.column_names).equals(plain)
    assert set(recorded.column_names) - set(plain.column_names) == {"propensity", "candidates", "propensities"}


@pytest.mark.parametrize(("explore", "choices"), [(0.0, 3), (0.3, 2), (0.3, 9), (1.0, 1)])
def test_propensities_are_those_of_the_k_best_and_of_all_that_are_open(model: at.BKT, explore: float, choices: int) -> None:
    log = at.simulate(model, WIDE, students=5, responses=10, seed=6, explore=explore, choices=choices, record=True)
    for row in log.table.to_pylist():
        names, size = row["candidates"], len(row["candidates"])
        best = min(choices, size)
        expected = [(place < best) * (1 - explore) / best + explore / size for place in range(size)]
        assert row["propensities"] == pytest.approx(expected, rel=1e-12)
        assert row["propensity"] == row["propensities"][names.index(row["item"])] > 0
        assert len(set(names)) == size


def test_candidates_are_the_zone_best_first(model: at.BKT, catalog: at.Catalog) -> None:
    """Quarters are closed to a new student."""
    log = at.simulate(model, catalog, students=1, responses=1, seed=0, explore=1.0)
    assert log.table["candidates"].to_pylist() == [["h1", "h2"]]
    wide = at.simulate(model, WIDE, students=1, responses=1, seed=0, explore=1.0).table["candidates"].to_pylist()[0]
    ranked = [each.item.item for each in at.recommend(at.Student(model, WIDE), WIDE, k=6)]
    assert wide == ranked


def test_items_are_drawn_as_often_as_their_propensities_say(model: at.BKT) -> None:
    table = at.simulate(model, WIDE, students=2000, responses=1, seed=7, explore=0.4, choices=2).table
    (names,), (chances,) = (set(map(tuple, table[name].to_pylist())) for name in ("candidates", "propensities"))
    seen = Counter(table["item"].to_pylist())
    for name, p in zip(names, chances, strict=True):
        assert seen[name] / 2000 == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 2000))


def test_a_log_that_explored_tells_what_another_policy_is_worth(model: at.BKT) -> None:
    """The greedy policy, valued from a log of another one, and let loose."""
    options = {"students": 3000, "responses": 2, "choices": 1, "policy": at.TargetSuccess(target=0.9)}
    log = at.simulate(
        model, WIDE, students=3000, responses=2, seed=8, explore=0.5, choices=1, policy=at.TargetSuccess(target=0.9)
    )

    def first(row: dict[str, object]) -> list[float]:
        return [1.0] + [0.0] * (len(row["candidates"]) - 1)

    estimate = off_policy(log.table, "correct", target=first, horizon="student")
    alone = at.simulate(model, WIDE, seed=9, **options)
    reached, logged = (by_student(each, each.correct) for each in (alone, log))
    spread = np.hypot((estimate.high - estimate.low) / 3.92, reached.std() / np.sqrt(3000))
    assert estimate.value == pytest.approx(reached.mean(), abs=4 * spread)
    assert logged.mean() < reached.mean() - 3 * spread
    assert estimate.effective_n < 3000


def test_one_choice_gives_the_best_item(model: at.BKT, catalog: at.Catalog) -> None:
    assert set(at.simulate(model, catalog, students=40, responses=1, seed=3, choices=1).table["item"].to_pylist()) == {"h1"}
    assert set(at.simulate(model, catalog, students=40, responses=1, seed=3).table["item"].to_pylist()) == {"h1", "h2"}


@pytest.mark.parametrize(
    ("option", "match"),
    [
        ({"choices": 0}, "choices: got 0; expected at least 1"),
        ({"explore": 1.5}, r"explore: got 1\.5; expected a probability"),
        ({"explore": -0.1}, r"explore: got -0\.1"),
        ({"target": 1.0}, r"target: got 1\.0; expected a P\(correct\) between 0 and 1"),
        ({"target": 0.0}, r"target: got 0\.0"),
    ],
    ids=str,
)
def test_an_option_out_of_range_is_refused(model: at.BKT, catalog: at.Catalog, option: dict[str, float], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        at.simulate(model, catalog, students=1, responses=1, seed=0, **option)


# ---- what students ended with -----------------------------------------------


def taught(student_model: object, catalog: at.Catalog, **changes: object) -> SimulatedLog:
    return at.simulate(student_model, catalog, **{"students": 4, "responses": 25, "seed": 11, **changes})


def test_a_simulated_log_is_a_log_that_knows_more(model: at.BKT, catalog: at.Catalog) -> None:
    result = taught(model, catalog, target=0.7)
    assert isinstance(result, at.Log)
    assert result.table.equals(simulate(model, catalog).table)
    assert taught(model, catalog).reached_after is None
    assert len(result.post_test) == len(result.reached_after) == len(result.students)


@pytest.mark.parametrize(("prior", "right"), [(1.0 - 1e-9, 1.0), (1e-9, 0.0)])
def test_the_post_test_is_of_what_is_hidden(catalog: at.Catalog, prior: float, right: float) -> None:
    belief = certain(prior=0.5)
    assert taught(certain(prior=prior), catalog, belief=belief).post_test == pytest.approx([right] * 4, abs=1e-6)


def folded(student_model: object, log: at.Log, catalog: at.Catalog) -> np.ndarray:
    """Mean prediction of all items after each student's last response."""
    means = []
    for name, end in zip(log.students.to_pylist(), log.rows.student_start[1:].tolist(), strict=True):
        student, time = at.Student.from_log(student_model, log, student=name, catalog=catalog), log.table["time"][end - 1].as_py()
        means.append(np.mean([student.predict(item.item, time=time) for item in catalog.items]))
    return np.array(means)


@pytest.mark.parametrize("student_model", [Rates(), Rates(half_life=0.5)], ids=repr)
def test_the_post_test_of_another_family_is_what_its_state_predicts(
    student_model: Rates, catalog: at.Catalog, model: at.BKT
) -> None:
    result = taught(student_model, catalog, belief=model)
    assert result.post_test == pytest.approx(folded(student_model, result, catalog), rel=1e-12)
    assert len(set(result.post_test)) == 4


TOGETHER = at.Catalog.from_arrow(
    {"item": list("uvwx"), "skills": [["a"], ["b"], ["a", "b"], ["a"]], "kind": ["practice"] * 3 + ["project"]}
)


@pytest.mark.parametrize("options", [{}, {"elapsed": True}, {"levels": {"project": PROJECT_LEVELS}}], ids=str)
@pytest.mark.parametrize("rule", ["conjunctive", "mean"])  # whose credits are posteriors
def test_given_the_responses_the_hidden_post_test_is_on_average_what_the_student_model_predicts(
    rule: str, options: dict[str, object]
) -> None:
    student_model = at.BKT(combine=rule, **options).fit(random_log(3, rows=200, skills="ab"))
    result = taught(student_model, TOGETHER, students=400, responses=12)
    excess = result.post_test - folded(student_model, result, TOGETHER)
    assert excess.std() > 0.01
    assert near_zero(excess)


def test_a_hidden_skill_that_fades_is_asked_at_its_odds(fading: at.BKT) -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "ab"], "skills": [["a"], ["a", "b"]]})
    pupil, random = HiddenKnowledge(fading, catalog, "", np.random.default_rng(0)), np.random.default_rng(1)
    pupil.respond(catalog.items[1], START, random)
    pupil.known = {"a": True, "b": False}
    _, _, _, guess, slip = fading.row("a")
    other = fading.row("b")[3]
    for days, kept in [(0, 1.0), (1, 0.5), (2, 0.25)]:
        right = kept * (1 - slip) + (1 - kept) * guess
        time = START + datetime.timedelta(days=days)
        assert pupil.chance(catalog.items[0], time) == pytest.approx(right, rel=1e-12)
        assert pupil.chance(catalog.items[1], time) == pytest.approx(right * other, rel=1e-12)
    assert pupil.known == {"a": True, "b": False}


def test_the_target_is_reached_when_the_true_mean_first_is_there(model: at.BKT, catalog: at.Catalog) -> None:
    """By hand: fold the log, and look after every response."""
    student_model, target = Rates(), 0.6
    result = taught(student_model, catalog, belief=model, students=12, target=target)
    for name, reached in zip(result.students.to_pylist(), result.reached_after, strict=True):
        rows = result.table.filter(pc.equal(result.table["student"].cast("string"), name)).to_pylist()
        student, first = at.Student(student_model, catalog), np.inf
        for number, row in enumerate(rows, 1):
            student.observe(row["item"], row["correct"])
            if np.mean([student.predict(item.item) for item in catalog.items]) >= target:
                first = min(first, number)
        assert reached == first
    assert 1 <= result.reached_after.min() < np.inf == result.reached_after.max()


def test_a_target_may_be_reached_before_any_response(catalog: at.Catalog, model: at.BKT) -> None:
    assert taught(Rates(), catalog, belief=model, target=0.5).reached_after.tolist() == [0.0] * 4


def test_looking_for_a_target_changes_no_bit(model: at.BKT, catalog: at.Catalog) -> None:
    assert taught(model, catalog, target=0.7).table.equals(taught(model, catalog).table)
    assert taught(model, catalog, target=0.7).post_test.tolist() == taught(model, catalog).post_test.tolist()


def test_who_reached_the_target_may_stop(model: at.BKT, catalog: at.Catalog) -> None:
    whole, stopped = (taught(model, catalog, target=0.7, stop=stop) for stop in (False, True))
    assert stopped.reached_after.tolist() == whole.reached_after.tolist()
    answered = Counter(stopped.table["student"].to_pylist())
    names = whole.students.to_pylist()
    assert [answered[name] for name in names] == np.minimum(whole.reached_after, 25).tolist()
    assert min(answered.values()) < 25
    together = whole.table.filter(pc.equal(whole.table["student"].cast("string"), names[0]))
    assert stopped.table.slice(0, answered[names[0]]).to_pylist() == together.slice(0, answered[names[0]]).to_pylist()


def test_to_stop_needs_a_target(model: at.BKT, catalog: at.Catalog) -> None:
    with pytest.raises(ValueError, match="stop: got True without a target"):
        taught(model, catalog, stop=True)


def test_students_looked_at_together_learn_as_they_would_alone(model: at.BKT, catalog: at.Catalog) -> None:
    """More students than are looked at at once."""
    for policy in (at.LowestMastery(), at.Random()):
        many = simulate(model, catalog, students=70, responses=6, policy=policy).table.slice(0, 6 * 5)
        few = at.simulate(model, catalog, students=10, responses=6, seed=11, policy=policy).table.slice(0, 6 * 5)
        assert many.to_pylist() == few.to_pylist()


# ---- student models of one's own ----------------------------------------------------


class Parrot:
    """Right wherever it has answered before; no model."""

    needs = ()

    def pupil(self, catalog: at.Catalog, name: str, random: np.random.Generator) -> Parrot:
        pupil = Parrot()
        pupil.heard = set()
        return pupil

    def chance(self, item: at.Item, time: datetime.datetime) -> float:
        return float(item.item in self.heard)

    def respond(self, item: at.Item, time: datetime.datetime, random: np.random.Generator) -> float:
        correct = self.chance(item, time)
        self.heard.add(item.item)
        return correct


def test_a_student_model_may_bring_its_own_pupils(model: at.BKT, catalog: at.Catalog) -> None:
    options = {"belief": model, "policy": at.InOrder(), "constraints": at.Constraints(zone=False), "choices": 1}
    result = taught(Parrot(), catalog, responses=8, target=0.5, **options)
    assert result.correct.reshape(4, 8).tolist() == [[0.0] * 4 + [1.0] * 4] * 4
    assert result.reached_after.tolist() == [2.0] * 4
    assert result.post_test.tolist() == [1.0] * 4


def test_a_student_model_that_is_no_model_needs_a_belief(catalog: at.Catalog) -> None:
    with pytest.raises(at.ModelError, match="pass belief="):
        taught(Parrot(), catalog)


def test_only_what_can_have_changed_is_asked_again(catalog: at.Catalog, model: at.BKT) -> None:
    """A pupil that promises so, and one that does not, reach the target after as many responses."""

    class Local(HiddenKnowledge):
        asked = 0

        def chance(self, item: at.Item, time: datetime.datetime) -> float:
            type(self).asked += 1
            return super().chance(item, time)

    class Far(Local):
        asked = 0

        def __init__(self, *given: object) -> None:
            super().__init__(*given)
            self.local = False

    def result(sort: type[Local]) -> list[float]:
        class Own:
            needs = ()

            def pupil(self, *given: object) -> Local:
                return sort(model, *given)

        return taught(Own(), catalog, belief=model, target=0.7).reached_after.tolist()

    assert result(Local) == result(Far)
    assert Local.asked < Far.asked
