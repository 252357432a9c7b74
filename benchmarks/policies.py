"""Which policy teaches a curriculum in the fewest responses: policies x five sorts of student.

    python policies.py                                    # the matrix as markdown, half an hour on two cores
    python policies.py --students 20 --seeds 1 2          # a quick look
    python policies.py --write ../docs/policies.md        # put it between the marks of that page

Forty skills in five strands of eight, five items each, with prerequisites. Students follow one of five student models. Policies
see them through a BKT fitted to 300 earlier students of the same model, taught in curriculum order (240) or at random (60):
what a platform has. No policy knows the student model's parameters, and four of the five are of another family than the belief.
Measured is how many responses a student needs until the mean true P(correct) on the catalog has come 90 % of the way from
where such students start to where they can get. Who is not there after 1,500 responses counts with 1,500.

The default was chosen with other parameters and seeds than these.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import adaptrace as at
from adaptrace.data.catalog import Item
from adaptrace.models.logistic.weights import Weights
from adaptrace.recommendation.context import Context
from adaptrace.recommendation.policies import Interleaved
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.reasons import Reason
from adaptrace.simulation.course import START
from adaptrace.simulation.students import HiddenKnowledge, OwnState, Pupil

FloatArray = NDArray[np.float64]
STRANDS, LEVELS, ITEMS = 5, 8, 5
PARAMETERS = 2026  # seed of the parameters of the student models
PAST, EARLIER, HISTORY = 77, 300, 300  # earlier students: their seed, how many, and how many responses each
SHARE, CAP = 0.9, 1500
MARKS = ("<!-- matrix -->", "<!-- end of matrix -->")


# ---- the curriculum ----------------------------------------------------------


def skill_names() -> list[str]:
    """In curriculum order: the first level of every strand, then the second, and so on."""
    return [f"{strand}{level}" for level in range(1, LEVELS + 1) for strand in "abcde"[:STRANDS]]


def prerequisites() -> dict[str, list[str]]:
    """Each skill needs the one before it in its strand; every fourth also one of another strand, a level below."""
    random, needs = np.random.default_rng([PARAMETERS, 0]), {}
    for skill in skill_names():
        strand, level = skill[0], int(skill[1:])
        others = [each for each in "abcde"[:STRANDS] if each != strand]
        across, other = random.random() < 0.25, others[random.integers(len(others))]
        needs[skill] = [f"{each}{level - 1}" for each in [strand, *([other] if across else [])] if level > 1]
    return needs


def curriculum() -> at.Catalog:
    """Forty skills of five items that take equally long."""
    items = [(f"{skill}-{number}", skill) for skill in skill_names() for number in range(1, ITEMS + 1)]
    names, skills = zip(*items, strict=True)
    needs = [{"skill": skill, "prerequisites": before} for skill, before in prerequisites().items()]
    return at.Catalog.from_arrow({"item": names, "skill": skills, "minutes": [1.0] * len(names)}, needs)


# ---- the student models ------------------------------------------------------


def level_of(skill: str) -> float:
    """From 0, the first level, to 1, the last."""
    return (int(skill[1:]) - 1) / (LEVELS - 1)


def spread(stream: int) -> np.random.Generator:
    """What a student model draws its parameters from."""
    return np.random.default_rng([PARAMETERS, stream])


def tracing() -> at.BKT:
    """A BKT whose skills differ."""
    uniform, n = spread(1).uniform, STRANDS * LEVELS
    ranges = {"prior": (0.1, 0.4), "learn": (0.05, 0.25), "guess": (0.1, 0.3), "slip": (0.05, 0.15)}
    return at.BKT.from_parameters(skill_names(), **{name: uniform(*ends, n) for name, ends in ranges.items()})


@dataclass(frozen=True)
class Forgetting:
    """A BKT whose known skills are forgotten overnight, each with a half-life of 20 to 60 days."""

    bkt: at.BKT = field(default_factory=tracing)
    needs = ()

    @cached_property
    def kept(self) -> dict[str, float]:
        """P(a known skill is still known the next day)."""
        days = spread(2).uniform(20.0, 60.0, STRANDS * LEVELS)
        return dict(zip(skill_names(), (2.0 ** (-1.0 / days)).tolist(), strict=True))

    def pupil(self, catalog: at.Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student."""
        return ForgettingPupil(self, catalog, name, random)


class ForgettingPupil(HiddenKnowledge):
    """Who knows each skill or does not, and loses some every night."""

    def __init__(self, model: Forgetting, catalog: at.Catalog, name: str, random: np.random.Generator) -> None:
        super().__init__(model.bkt, catalog, name, random)
        self.kept, self.day, self.local = model.kept, START.date(), False
        self.asked: dict[str, float] = {}  # chances of today
        self.asked_on = self.day

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct), summed over what may be forgotten since the last response."""
        if time.date() != self.asked_on:
            self.asked, self.asked_on = {}, time.date()
        (skill,) = item.skills
        if skill not in self.asked:
            known = self.known[skill] * self.kept[skill] ** (time.date() - self.day).days
            _, _, _, guess, slip = self.model.row(skill)
            self.asked[skill] = known * (1.0 - slip) + (1.0 - known) * guess
        return self.asked[skill]

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Sleep, then answer and learn."""
        nights, self.day = (time.date() - self.day).days, time.date()
        if nights:
            self.known = {
                skill: known and bool(random.random() < self.kept[skill] ** nights) for skill, known in self.known.items()
            }
            self.asked = {}
        correct = super().respond(item, time, random)
        self.asked.pop(item.skills[0], None)
        return correct


@dataclass(frozen=True)
class Gated:
    """A BKT whose skills can only be learned by who really knows their prerequisites."""

    bkt: at.BKT = field(default_factory=tracing)
    needs = ()

    def pupil(self, catalog: at.Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student."""
        return GatedPupil(self.bkt, catalog, name, random)


class GatedPupil(HiddenKnowledge):
    """Who practises in vain what builds on something unknown."""

    def __init__(self, model: at.BKT, catalog: at.Catalog, name: str, random: np.random.Generator) -> None:
        super().__init__(model, catalog, name, random)
        self.before = catalog.prerequisites

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Answer, and learn if what comes before is known."""
        (skill,) = item.skills
        knew, ready = self.known[skill], all(self.known[need] for need in self.before[skill])
        correct = super().respond(item, time, random)
        self.known[skill] = self.known[skill] and (knew or ready)
        return correct


@dataclass(frozen=True)
class Factors:
    """The library's PFA: later levels are harder, right answers teach more than wrong ones, skills differ."""

    needs = ()

    @cached_property
    def model(self) -> at.PFA:
        """With weights in the range of published fits."""
        random, names = spread(3), sorted(skill_names())
        one = 0.8 - 2.6 * np.array([level_of(skill) for skill in names]) + random.normal(0.0, 0.5, len(names))
        wins, fails = random.uniform(0.1, 0.4, len(names)), random.uniform(0.0, 0.15, len(names))
        blank, values = pa.array([], pa.string()), np.concatenate([[0.0], one, wins, fails])
        return at.PFA(counts="linear", weights=Weights(blank, pa.array(names), blank, values, 0, 0.0))

    def pupil(self, catalog: at.Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student."""
        return FactorsPupil(self.model, name)


class FactorsPupil(OwnState):
    """Items of a skill are alike, so each skill is asked once."""

    local = True

    def __init__(self, model: at.Logistic, name: str) -> None:
        super().__init__(model, name)
        self.asked: dict[str, float] = {}

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct) as the state predicts it."""
        (skill,) = item.skills
        if skill not in self.asked:
            self.asked[skill] = super().chance(item, time)
        return self.asked[skill]

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Draw right or wrong, then learn."""
        self.asked.pop(item.skills[0], None)
        return super().respond(item, time, random)


@dataclass(frozen=True)
class Ability:
    """Elo's student who learns: an ability per skill rises by an amount with each response; answers by the Rasch formula."""

    needs = ()

    @cached_property
    def difficulty(self) -> dict[str, float]:
        """Per item: later levels are harder."""
        random = spread(4)
        own = {skill: 3.0 * level_of(skill) - 1.2 + random.normal(0.0, 0.5) for skill in skill_names()}
        return {f"{skill}-{n}": own[skill] + random.normal(0.0, 0.5) for skill in own for n in range(1, ITEMS + 1)}

    @cached_property
    def rise(self) -> dict[str, float]:
        """Per skill and response, on the logit scale."""
        return dict(zip(skill_names(), spread(5).uniform(0.1, 0.35, STRANDS * LEVELS).tolist(), strict=True))

    def pupil(self, catalog: at.Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student."""
        return AbilityPupil(self, random)


class AbilityPupil:
    """Who starts at a level of their own, overall and in each skill, and learns at a pace of their own."""

    local = True

    def __init__(self, model: Ability, random: np.random.Generator) -> None:
        self.model, overall, self.pace = model, random.normal(0.0, 0.8), float(np.exp(random.normal(0.0, 0.3)))
        self.ability = {skill: overall + random.normal(0.0, 0.8) for skill in skill_names()}

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct) by the Rasch formula."""
        return float(1.0 / (1.0 + np.exp(self.model.difficulty[item.item] - self.ability[item.skills[0]])))

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Answer, then rise."""
        correct = float(random.random() < self.chance(item, time))
        self.ability[item.skills[0]] += self.model.rise[item.skills[0]] * self.pace
        return correct


STUDENT_MODELS: dict[str, Any] = {"BKT": tracing, "forgetting": Forgetting, "PFA": Factors, "Elo": Ability, "gated": Gated}
LIMITED = {"BKT", "forgetting", "gated"}  # who knows all still slips


# ---- the policies ------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """The curriculum order, n responses on every skill before any comes again."""

    n: int

    def utility(self, context: Context) -> FloatArray:
        """Minus how many blocks a skill had; among equals, and within its block, the earlier skill."""
        blocks = context.catalog_index.weakest((context.opportunities // self.n).astype(float))
        return -blocks - np.arange(blocks.shape[1]) / blocks.shape[1]

    def why(self, reason: Reason) -> str:
        """The sentence for an item."""
        return f"next in order: {reason.skill}"


ORDERS = {"order, 5 a skill": at.InOrder(), **{f"order, {n} a skill": Blocks(n) for n in (1, 10, 15)}}
DEFAULT, IN_ZONE, ANY = "Interleaved", "Random in the zone", "Random of all"
ANYWHERE = at.Constraints(zone=False)
POLICIES: dict[str, tuple[Policy, at.Constraints]] = {
    **{
        type(policy).__name__: (policy, at.Constraints())
        for policy in (
            *(Interleaved(), at.LowestMastery(), at.NearestMastery(), at.TargetSuccess(), at.LearningGain()),
            *(at.Information(), at.LearningProgress(), at.Thompson()),
        )
    },
    IN_ZONE: (at.Random(), at.Constraints()),
    ANY: (at.Random(), ANYWHERE),
    **{name: (policy, ANYWHERE) for name, policy in ORDERS.items()},
}


# ---- measuring ---------------------------------------------------------------


@lru_cache(maxsize=1)
def catalog() -> at.Catalog:
    """The one that all are taught."""
    return curriculum()


@lru_cache(maxsize=8)
def target(name: str) -> float:
    """The mean true P(correct) to be reached, given where students start and where they can get."""
    student_model, end = STUDENT_MODELS[name](), 1.0
    if name in LIMITED:
        end = 1.0 - float(np.mean([tracing().row(skill)[4] for skill in skill_names()]))
    options: dict[str, Any] = {"belief": tracing(), "choices": 1, "constraints": ANYWHERE, "policy": at.InOrder()}
    taught = at.simulate(student_model, catalog(), students=300, responses=1, seed=PAST, **options)
    start = float(taught.post_test.mean())
    return start + SHARE * (end - start)


@lru_cache(maxsize=8)
def belief(name: str) -> at.BKT:
    """A BKT fitted to earlier students of a student model, four fifths of them taught in order, the others at random."""
    parts = []
    for way, students, policy in (("order", 4 * EARLIER // 5, at.InOrder()), ("random", EARLIER // 5, at.Random())):
        options: dict[str, Any] = {"policy": policy, "constraints": ANYWHERE, "choices": 1, "belief": tracing()}
        table = at.simulate(STUDENT_MODELS[name](), catalog(), students=students, responses=HISTORY, seed=PAST, **options).table
        names = pa.array([f"{way} {student}" for student in table["student"].to_pylist()])
        correct, item = table["correct"], table["item"].cast(pa.string())
        skill = pa.array([each.split("-")[0] for each in item.to_pylist()])
        parts.append(pa.table({"student": names, "item": item, "skill": skill, "correct": correct}))
    return at.BKT().fit(at.Log.from_arrow(pa.concat_tables(parts)))


def responses(name: str, policy: str, students: int, seed: int) -> FloatArray:
    """(students,) responses to the target; infinite where it was not reached."""
    chosen, constraints = POLICIES[policy]
    options: dict[str, Any] = {"policy": chosen, "constraints": constraints, "choices": 1, "belief": belief(name)}
    taught = at.simulate(
        STUDENT_MODELS[name](), catalog(), students=students, responses=CAP, seed=seed, target=target(name), stop=True, **options
    )
    assert taught.reached_after is not None
    return taught.reached_after


def measure(names: Sequence[str], policies: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Truth -> policy -> responses of every student. What ``--keep`` holds already is not measured again."""
    found: dict[str, Any] = json.loads(options.keep.read_text()) if options.keep and options.keep.exists() else {}
    cells = [
        (name, policy, options.students, seed)
        for name, policy, seed in itertools.product(names, policies, options.seeds)
        if str((name, policy, options.students, seed)) not in found
    ]
    for name in dict.fromkeys(name for name, *_ in cells):  # once, before the workers start, so that all have them
        belief(name), target(name)
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("fork")) as pool:
        for cell, reached in zip(cells, pool.map(responses, *zip(*cells, strict=True)) if cells else (), strict=True):
            found[str(cell)] = reached.tolist()
            if options.keep:
                options.keep.write_text(json.dumps(found))
    return {
        name: {
            policy: [each for seed in options.seeds for each in found[str((name, policy, options.students, seed))]]
            for policy in policies
        }
        for name in names
    }


def ratio(ours: Sequence[float], theirs: Sequence[float], draws: int = 2000) -> tuple[float, float, float]:
    """Mean responses over mean responses, and its 95 % interval: a bootstrap over students, who are the same in both."""
    pairs = np.minimum(np.array([ours, theirs]), CAP)
    picked = np.random.default_rng(0).integers(0, pairs.shape[1], (draws, pairs.shape[1]))
    one, other = pairs[:, picked].mean(axis=2)
    low, high = np.quantile(one / other, [0.025, 0.975])
    return float(pairs[0].mean() / pairs[1].mean()), float(low), float(high)


# ---- showing -----------------------------------------------------------------


def best_order(cells: dict[str, list[float]]) -> str:
    """The curriculum order that needs the fewest responses with these students."""
    return min(ORDERS, key=lambda name: float(np.minimum(cells[name], CAP).mean()))


def matrix(found: dict[str, Any]) -> Iterator[str]:
    """Policies x student models, worst case first: responses over those of random choice in the zone."""
    names, policies = list(found), list(next(iter(found.values())))
    rows = {policy: [ratio(found[name][policy], found[name][IN_ZONE]) for name in names] for policy in policies}
    yield f"| policy | worst | {' | '.join(names)} |"
    yield f"|---|---:|{'---:|' * len(names)}"
    for policy, cells in sorted(rows.items(), key=lambda row: max(row[1])[0]):
        lacking = [int(np.isinf(found[name][policy]).sum()) for name in names]
        told = [f"{cell[0]:.2f}" + (f" ({n})" if n else "") for cell, n in zip(cells, lacking, strict=True)]
        yield f"| {policy} | {max(cells)[0]:.2f} | {' | '.join(told)} |"
    means = [f"{np.minimum(found[name][IN_ZONE], CAP).mean():.0f}" for name in names]
    yield f"| *responses that 1.00 stands for* | | {' | '.join(means)} |"


def promises(found: dict[str, Any]) -> Iterator[str]:
    """The default beside random choice, the best fixed order, and random choice in the zone, with 95 % intervals."""
    yield "| student model | over random of all | over the best order | over random in the zone |"
    yield "|---|---:|---:|---:|"
    for name, cells in found.items():
        order = best_order(cells)
        told = ["{:.2f} [{:.2f}, {:.2f}]".format(*ratio(cells[DEFAULT], cells[other])) for other in (ANY, order, IN_ZONE)]
        yield f"| {name} | {told[0]} | {told[1]} ({order}) | {told[2]} |"


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=50, help="per seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104])
    parser.add_argument("--student-models", nargs="+", default=list(STUDENT_MODELS), choices=list(STUDENT_MODELS))
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a JSON file of every student's responses, to go on from")
    parser.add_argument("--write", type=Path, help="a page to put the tables in")
    options = parser.parse_args()
    begin = time.perf_counter()
    found = measure(options.student_models, options.policies, options)
    lines = [*matrix(found), ""]
    if {DEFAULT, ANY, IN_ZONE, *ORDERS} <= set(options.policies):
        lines += [*promises(found), ""]
    text = "\n".join(lines)
    print(text)
    print(f"{options.students * len(options.seeds)} students a cell, {time.perf_counter() - begin:.0f} s")
    if options.write:
        page = options.write.read_text()
        head, tail = page.split(MARKS[0])[0], page.split(MARKS[1])[1]
        options.write.write_text(f"{head}{MARKS[0]}\n{text}{MARKS[1]}{tail}")


if __name__ == "__main__":
    main()
