"""How often a search of skills finds what was planted, and how often it proposes something where the skills are right.

    python skills.py

Students are simulated whose abilities on five skills, of six items each, grow with practice; items differ in difficulty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

import adaptrace as at
from adaptrace.evaluate.candidates import SkillChange

ITEMS = {f"{skill}{number}": skill for skill in "abcde" for number in range(6)}
TWO_AS_ONE = {item: "a" if skill == "b" else skill for item, skill in ITEMS.items()}
ONE_AS_TWO = {item: f"{skill}{int(item[1]) // 3}" if skill == "c" else skill for item, skill in ITEMS.items()}
SCHOOLS = {  # students, responses of each, how much a response teaches, how far abilities on skills are related
    "unrelated skills": (200, 40, 0.08, 0.0),
    "related skills": (200, 40, 0.08, 0.5),
    "few responses": (80, 20, 0.05, 0.3),
    "long histories": (80, 200, 0.03, 0.3),
}


def answered(seed: int, skills: Mapping[str, str], students: int, responses: int, learn: float, related: float) -> at.Log:
    """A log of students who answer items at random."""
    random, names = np.random.default_rng(seed), list(ITEMS)
    difficulty = random.normal(0.0, 0.5, len(names))
    shared, own = random.normal(size=(students, 1)), random.normal(size=(students, 5))
    ability = 0.3 + np.sqrt(related) * shared + 1.2 * np.sqrt(1.0 - related) * own
    item = random.integers(0, len(names), (students, responses))
    correct = np.empty(item.shape)
    for step in range(responses):
        at_once = np.arange(students), item[:, step] // 6
        chance = 1.0 / (1.0 + np.exp(difficulty[item[:, step]] - ability[at_once]))
        correct[:, step] = random.random(students) < chance
        ability[at_once] += learn
    student = np.repeat(np.arange(students), responses)
    asked = [names[number] for number in item.ravel()]
    return at.Log.from_arrow(
        {"student": student, "item": asked, "skill": [skills[each] for each in asked], "correct": correct.ravel()}
    )


def is_planted(change: SkillChange, sort: str) -> bool:
    """Whether a change is the one that was planted."""
    if sort == "merge":
        return change.before == ("c0", "c1")
    return any(set(change.items) == {item for item in ITEMS if item[0] == skill} for skill in "ab")


def main() -> int:
    """Print the counts."""
    for name, school in SCHOOLS.items():
        searches = [at.search_skills(answered(1000 + seed, ITEMS, *school)) for seed in range(40)]
        wrong, candidates = sum(bool(each.accepted) for each in searches), sum(len(each.findings) for each in searches)
        print(f"right skills, {name}: {wrong} of 40 logs with a proposal, {candidates} candidates judged", flush=True)
    for related in (0.0, 0.5):
        found: Counter[str] = Counter()
        for seed in range(20):
            for sort, skills in (("split", TWO_AS_ONE), ("merge", ONE_AS_TWO)):
                for change in at.search_skills(answered(seed, skills, 300, 40, 0.08, related)).accepted:
                    found[sort if is_planted(change, sort) else "another"] += 1
        print(f"planted, related {related}: of 20 each {dict(found)}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
