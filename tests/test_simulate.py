"""Simulated students."""

from __future__ import annotations

import numpy as np
import pytest

import adaptrace as at


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
    truth = at.BKT.from_parameters(["halves", "quarters"], prior=[0.7, 0.3], learn=0.2, guess=0.1, slip=0.2)
    first = at.simulate(truth, catalog, students=1000, responses=1, seed=3).correct
    assert first.mean() == pytest.approx(0.7 * 0.8 + 0.3 * 0.1, abs=4 * 0.5 / np.sqrt(1000))


def test_the_policy_sees_the_students_through_the_belief_not_the_truth(catalog: at.Catalog) -> None:
    truth, belief = certain(prior=1e-9), certain(prior=1.0 - 1e-9)
    skills = at.simulate(truth, catalog, students=40, responses=1, seed=2, belief=belief).skills.to_pylist()
    assert skills == ["halves", "quarters"]  # all seems mastered, so even quarters are open
    assert at.simulate(truth, catalog, students=40, responses=1, seed=2).skills.to_pylist() == ["halves"]


def test_the_policy_chooses_what_is_practised(model: at.BKT) -> None:
    catalog = at.Catalog.from_arrow({"item": ["h", "q"], "skill": ["halves", "quarters"]})

    class Only(at.TargetSuccess):
        """Nothing but quarters."""

        def utility(self, mastery: float, chance: float) -> float:
            seen.append(mastery)
            return super().utility(mastery, chance)

    seen: list[float] = []
    at.simulate(model, catalog, students=1, responses=3, seed=1, policy=Only())
    assert len(seen) == 6
