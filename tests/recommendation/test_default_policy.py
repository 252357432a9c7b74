"""The default policy, small and fast: what docs/explanation/policies.md promises holds with students of every sort.

Twenty skills instead of forty and few students, so intervals are wide: nothing here may speak against a promise.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import adaptrace as at
from adaptrace.models.criterion import Criterion
from adaptrace.recommendation.context import LONG, Context
from adaptrace.recommendation.policies import DEFAULT, NAMED, Interleaved
from adaptrace.recommendation.recommender_index import RecommenderIndex

STUDENTS, SEED = 12, 3
ORDER = "order, 5 a skill"
MOST = {"BKT": 0.7, "forgetting": 0.7, "gated": 0.7, "PFA": 0.8, "Elo": 0.9}  # of the responses that random choice needs


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """benchmarks/policies.py, with a smaller curriculum and fewer earlier students."""
    spec = importlib.util.spec_from_file_location("policies", Path(__file__).parents[2] / "benchmarks" / "policies.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "policies", module)
        spec.loader.exec_module(module)
        for name, value in {"STRANDS": 4, "LEVELS": 5, "EARLIER": 40, "HISTORY": 120, "CAP": 800}.items():
            patch.setattr(module, name, value)
        yield module


@pytest.mark.parametrize("truth", MOST)
def test_the_default_keeps_its_promises_with_every_sort_of_student(bench: ModuleType, truth: str) -> None:
    """By the 95 % intervals of the same students' ratios: surely better than random and than the order, not worse in the zone."""
    reached = {name: bench.responses(truth, name, STUDENTS, SEED) for name in (bench.DEFAULT, bench.IN_ZONE, bench.ANY, ORDER)}
    over = {name: bench.ratio(reached[bench.DEFAULT], theirs) for name, theirs in reached.items()}
    assert over[bench.ANY][2] < 1.0
    assert over[bench.ANY][1] <= MOST[truth]
    assert over[ORDER][2] < 1.0
    assert over[bench.IN_ZONE][1] <= 1.02


# ---- the policy itself ------------------------------------------------------


ITEMS = {"item": list("pqrs"), "skills": [["a"], ["b"], ["a", "c"], ["d"]]}


def seen(model: at.BKT, catalog: at.Catalog, answers: list[str]) -> Context:
    student = at.Student(model, catalog)
    for number, item in enumerate(answers):
        skills = None if item in catalog.by_name else ["elsewhere"]
        student.observe(item, float(number % 3 > 0), skills=skills)
    return Context(RecommenderIndex(model, catalog, Criterion()), [student])


def by_hand(catalog: at.Catalog, answers: list[str], context: Context) -> list[float]:
    """Per item: look back through the answers for each skill."""
    waited = {}
    skills_of = {item.item: item.skills for item in catalog.items}
    for skill in catalog.skills:
        ago = [back for back, item in enumerate(reversed(answers), 1) if skill in skills_of.get(item, ())]
        waited[skill] = float(ago[0]) if ago else max(float(len(answers)), LONG)
    least = [min(waited[skill] for skill in item.skills) for item in catalog.items]
    right = {skill: context.students[0].predict("?", skills=[skill]) for skill in catalog.skills}
    wrong = [sum(1.0 - right[skill] for skill in item.skills) / len(item.skills) for item in catalog.items]
    return [ago * p for ago, p in zip(least, wrong, strict=True)]


@pytest.mark.parametrize("answers", ["", "p", "pqrsp", "rrrq?", "ps" * 60, "q" * 5 + "p" * 300, "s" + "pq" * 150 + "?" * 20])
def test_the_utility_is_the_wait_times_the_chance_of_a_wrong_answer(answers: str) -> None:
    catalog = at.Catalog.from_arrow(ITEMS)
    model = at.BKT.from_parameters(list("abcd"), prior=[0.1, 0.2, 0.3, 0.4], learn=0.1, guess=0.2, slip=0.1)
    context = seen(model, catalog, list(answers))
    told = context.catalog_index.per_item(Interleaved().utility(context))[0]
    assert told.tolist() == pytest.approx(by_hand(catalog, list(answers), context), rel=1e-12)


def test_together_students_have_the_utility_that_they_have_alone() -> None:
    catalog = at.Catalog.from_arrow(ITEMS)
    model = at.BKT.from_parameters(list("abcd"), prior=0.2, learn=0.1, guess=0.2, slip=0.1)
    contexts = [seen(model, catalog, list(answers)) for answers in ("", "pq", "pqr" * 50)]
    together = Interleaved().utility(Context(contexts[0].index, [context.students[0] for context in contexts]))
    assert together.tolist() == np.vstack([Interleaved().utility(context) for context in contexts]).tolist()


def test_when_all_is_mastered_review_comes_to_every_skill() -> None:
    """Where the weakest-first policy asks one skill for ever."""
    catalog = at.Catalog.from_arrow({"item": list("abcd"), "skill": list("abcd")})
    model = at.BKT.from_parameters(list("abcd"), prior=0.99, learn=0.3, guess=0.1, slip=0.01, forget=[0.001, 0.002, 0.003, 0.01])
    student, asked = at.Student(model, catalog), []
    for _ in range(40):
        asked.append(at.recommend(student, catalog, k=1)[0].item.item)
        student.observe(asked[-1], 1)
    assert min(asked.count(item) for item in "abcd") >= 8


def test_the_default_is_named() -> None:
    assert NAMED["interleaved"] is type(DEFAULT) is Interleaved
    model = at.BKT.from_parameters(["a"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    (choice,) = at.recommend(at.Student(model), at.Catalog.from_arrow({"item": ["1"], "skill": ["a"]}), k=1)
    assert str(choice.reason) == "Next: a (30 % likely known)."
