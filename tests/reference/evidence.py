"""Knowledge tracing where every response has parameters of its own: sums over all hidden paths and states."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple


class Response(NamedTuple):
    """One response on one skill, and what it says."""

    if_unknown: float  # P(outcome | unknown)
    if_known: float  # P(outcome | known)
    learn: float  # right after it
    forget: float  # right after it
    keep: float = 1.0  # P(a known skill is still known after the time since the response before)


def answer(correct: float, guess: float, slip: float, learn: float, forget: float, keep: float = 1.0) -> Response:
    """A response that is right with probability ``correct``."""
    outcomes = [correct * right + (1 - correct) * (1 - right) for right in (guess, 1 - slip)]
    return Response(*outcomes, learn, forget, keep)


def kept(days: float, half_life: float) -> float:
    """P(still known after some days)."""
    return 2.0 ** (-days / half_life)


def _moved(known: int, after: int, if_unknown: float, if_known: float) -> float:
    """P(known or not after | known or not before), from P(known after) in both cases."""
    chance = if_known if known else if_unknown
    return chance if after else 1 - chance


def paths(prior: float, responses: list[Response]) -> dict[tuple[int, ...], float]:
    """Hidden path -> P(path and outcomes): known at response 1, right after it, at response 2, right after it, ..."""
    weights = {}
    for path in product((0, 1), repeat=2 * len(responses)):
        weight, before = 1.0, None
        for (at, after), response in zip(zip(path[::2], path[1::2], strict=True), responses, strict=True):
            weight *= _moved(0, at, prior, prior) if before is None else _moved(before, at, 0.0, response.keep)
            weight *= response.if_known if at else response.if_unknown
            weight *= _moved(at, after, response.learn, 1 - response.forget)
            before = after
        weights[path] = weight
    return weights


def likelihood(prior: float, responses: list[Response]) -> float:
    """P(outcomes)."""
    return sum(paths(prior, responses).values())


def mastery(prior: float, responses: list[Response], keep: float = 1.0) -> float:
    """P(known | outcomes), right after the last response, or later: what is known is kept with probability ``keep``."""
    if not responses:
        return prior
    weights = paths(prior, responses)
    return keep * sum(weight for path, weight in weights.items() if path[-1]) / sum(weights.values())


def failed_tests(theta: tuple[float, ...]) -> list[str]:
    """The tests of Baker, Corbett & Aleven (2008) that prior, learn, forget, guess and slip fail."""
    prior, learn, forget, guess, slip = theta
    known = [prior]
    for _ in range(10):
        known.append(mastery(known[-1], [answer(1.0, guess, slip, learn, forget)]))
    failed = {"lowered by three right": known[3] < prior - 1e-6, "not reached by ten right": known[10] < 0.95 - 1e-6}
    return [name for name, failing in failed.items() if failing]


def known_at(prior: float, responses: list[Response], place: int) -> float:
    """P(known at one of the responses | all outcomes)."""
    weights = paths(prior, responses)
    return sum(weight for path, weight in weights.items() if path[2 * place]) / sum(weights.values())


def learned_after(prior: float, responses: list[Response], place: int) -> float:
    """P(unknown at one of the responses and known right after it | all outcomes)."""
    weights = paths(prior, responses)
    learned = sum(weight for path, weight in weights.items() if not path[2 * place] and path[2 * place + 1])
    return learned / sum(weights.values())


# ---- one event of several skills --------------------------------------------


class Skill(NamedTuple):
    """One skill of an event, before it."""

    known: float
    guess: float
    slip: float

    def right(self, known: int) -> float:
        """P(answered right | known or not)."""
        return 1 - self.slip if known else self.guess

    @property
    def chance(self) -> float:
        """P(answered right)."""
        return self.known * self.right(1) + (1 - self.known) * self.right(0)


def posterior(skill: Skill, correct: float) -> float:
    """P(known | an answer to this skill alone)."""
    weights = [correct * right + (1 - correct) * (1 - right) for right in (skill.right(0), skill.right(1))]
    known = skill.known * weights[1]
    return known / (known + (1 - skill.known) * weights[0])


def _states(skills: list[Skill]) -> list[tuple[tuple[int, ...], float]]:
    """All states of knowing the skills, and their probabilities."""
    states = list(product((0, 1), repeat=len(skills)))
    chance = [prod(_moved(0, known, skill.known, 0.0) for known, skill in zip(state, skills, strict=True)) for state in states]
    return list(zip(states, chance, strict=True))


def _weighed(skills: list[Skill], correct: float, rights: list[float]) -> tuple[float, list[float]]:
    """P(right), and P(known | outcome) of each skill, from P(right | state) of every state."""
    states = _states(skills)
    outcomes = [
        chance * (correct * right + (1 - correct) * (1 - right)) for (_, chance), right in zip(states, rights, strict=True)
    ]
    known = [sum(w for (state, _), w in zip(states, outcomes, strict=True) if state[k]) for k in range(len(skills))]
    predicted = sum(chance * right for (_, chance), right in zip(states, rights, strict=True))
    return predicted, [each / sum(outcomes) for each in known]


def conjunctive(skills: list[Skill], correct: float) -> tuple[float, list[float]]:
    """Right if every skill is answered right."""
    rights = [prod(skill.right(known) for skill, known in zip(skills, state, strict=True)) for state, _ in _states(skills)]
    return _weighed(skills, correct, rights)


def mean(skills: list[Skill], correct: float) -> tuple[float, list[float]]:
    """One of the skills decides; all are equally likely to."""
    rights = [
        sum(skill.right(known) for skill, known in zip(skills, state, strict=True)) / len(skills) for state, _ in _states(skills)
    ]
    return _weighed(skills, correct, rights)


def least(skills: list[Skill], correct: float) -> tuple[float, list[float]]:
    """The skill least likely to be answered right decides; the answer says nothing of the others."""
    weakest = min(range(len(skills)), key=lambda k: skills[k].chance)
    known = [posterior(skill, correct) if k == weakest else skill.known for k, skill in enumerate(skills)]
    return skills[weakest].chance, known


def weakest_first(skills: list[Skill], correct: float) -> tuple[float, list[float]]:
    """A right answer praises every skill as if asked alone; a wrong one blames the weakest alone."""
    weakest = min(range(len(skills)), key=lambda k: skills[k].chance)
    known = [posterior(skill, correct) if k == weakest or correct == 1 else skill.known for k, skill in enumerate(skills)]
    return prod(skill.chance for skill in skills), known


RULES = {"conjunctive": conjunctive, "mean": mean, "min": least, "weakest-first": weakest_first}
