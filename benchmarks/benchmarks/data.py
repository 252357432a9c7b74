"""Seeded logs for all benchmarks, and what their setups share."""

from __future__ import annotations

import os
import pickle
from functools import cache
from pathlib import Path

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import adaptrace as at

SKILLS = 200
SKILLS_EACH = 20  # that one student practises
MEAN_LENGTH = 12  # responses per student and skill
ITEMS_PER_SKILL = 10
LONGEST_BLOCK = 4  # responses on one skill before another one's turn

SLOW = 5_000_000  # a quick run, ASV_SKIP_SLOW=1, leaves out logs of more responses
SIZES = [100_000, 1_000_000, 10_000_000]


# ---- simulated logs ---------------------------------------------------------


def parameters(skills: int = SKILLS, *, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """What simulated students follow, one value per skill."""
    random = np.random.default_rng(seed)
    ranges = {"prior": (0.1, 0.6), "learn": (0.05, 0.3), "guess": (0.1, 0.3), "slip": (0.05, 0.2)}
    return {name: random.uniform(low, high, skills) for name, (low, high) in ranges.items()}


def simulated(
    responses: int,
    *,
    skills: int = SKILLS,
    fixed_length: bool = False,
    shuffled: bool = False,
    forget: float = 0.0,
    item_spread: float = 0.0,
    seed: int = 0,
) -> pa.Table:
    """A log of so many responses: ``student``, ``item``, ``skill``, ``correct`` and ``order``.

    Each student practises 20 skills in short interleaved blocks. The number of responses on each is geometric with
    mean 12, or with ``fixed_length`` always 12. Rows are grouped by student and in order, or ``shuffled``. Skills are
    forgotten with a probability up to ``forget``; ``item_spread`` is the standard deviation, on the logit scale, of the
    items of a skill in learn, guess and slip.
    """
    random, apart = np.random.default_rng(seed + 1), np.random.default_rng(seed + 2)
    student, skill = np.empty(responses, np.int32), np.empty(responses, np.int32)
    item, correct = np.full(responses, -1, np.int32), np.empty(responses, np.int8)
    prior, *others = parameters(skills, seed=seed).values()
    truth = np.stack([np.repeat(each, ITEMS_PER_SKILL) for each in others])  # learn, guess, slip of every item
    if item_spread:
        item = apart.integers(0, ITEMS_PER_SKILL, responses, np.int32)  # of its skill, which is not drawn yet
        odds = truth / (1.0 - truth) * np.exp(apart.normal(0.0, item_spread, truth.shape))
        truth = odds / (1.0 + odds)
    _practise(random, fixed_length, prior, forget * apart.random(skills), truth, student, skill, item, correct)
    if not item_spread:
        item = skill * ITEMS_PER_SKILL + random.integers(0, ITEMS_PER_SKILL, responses, np.int32)
    order = np.arange(responses)
    columns = {"student": student, "item": item, "skill": skill, "correct": correct, "order": order}
    if shuffled:
        rows = random.permutation(responses)
        columns = {name: column[rows] for name, column in columns.items()}
    return pa.table(columns)


@numba.njit(cache=True)
def _practise(
    random: np.random.Generator,
    fixed_length: bool,
    prior: NDArray[np.float64],
    forget: NDArray[np.float64],
    truth: NDArray[np.float64],
    student: NDArray[np.int32],
    skill: NDArray[np.int32],
    item: NDArray[np.int32],
    correct: NDArray[np.int8],
) -> None:
    """Let one student after another practise until the columns are full; items below zero are like any other of the skill."""
    deck, left = np.arange(len(prior)), np.empty(SKILLS_EACH, np.int64)
    known = np.empty(SKILLS_EACH, np.bool_)
    number, active = -1, 0
    row = 0
    while row < len(student):
        if active == 0:  # the next student draws skills from the deck
            number, active = number + 1, SKILLS_EACH
            for at_hand in range(SKILLS_EACH):
                other = random.integers(at_hand, len(deck))
                deck[at_hand], deck[other] = deck[other], deck[at_hand]
                left[at_hand] = MEAN_LENGTH if fixed_length else random.geometric(1.0 / MEAN_LENGTH)
                known[at_hand] = random.random() < prior[deck[at_hand]]
        now = random.integers(0, active)
        mine = deck[now]
        for _ in range(min(random.integers(1, LONGEST_BLOCK + 1), left[now], len(student) - row)):
            student[row], skill[row] = number, mine
            item[row] = mine * ITEMS_PER_SKILL + max(item[row], 0)
            learn, guess, slip = truth[:, item[row]]
            correct[row] = random.random() < (1.0 - slip if known[now] else guess)
            if known[now]:
                known[now] = forget[mine] == 0.0 or random.random() >= forget[mine]
            else:
                known[now] = random.random() < learn
            left[now] -= 1
            row += 1
        if left[now] == 0:  # done with this skill: it goes behind the active ones
            active -= 1
            deck[now], deck[active] = deck[active], deck[now]
            left[now], known[now] = left[active], known[active]


# ---- what setups share ------------------------------------------------------


def setup_cache() -> None:
    """Write every log once: ``shuffled-SIZE.parquet``, and ``SIZE.log``, the ordered Log as a pickle."""
    warmed_up()
    for size in SIZES:
        if not is_left_out(size):
            pq.write_table(simulated(size, shuffled=True), parquet(size))
            Path(f"{size}.log").write_bytes(pickle.dumps(at.Log.from_arrow(simulated(size))))


setup_cache.timeout = 600


def parquet(size: int) -> str:
    """The shuffled log of that size on disk."""
    return f"shuffled-{size}.parquet"


def load(size: int) -> at.Log:
    """The ordered log of that size."""
    skip_slow(size)
    return pickle.loads(Path(f"{size}.log").read_bytes())


def fresh(log: at.Log) -> at.Log:
    """The log as if just read: nothing that it keeps for later calls is there yet."""
    return at.Log(log.table, log.source_row)


def is_left_out(size: int) -> bool:
    """Whether this run leaves out logs of that size."""
    return size > SLOW and os.environ.get("ASV_SKIP_SLOW", "0") != "0"


def skip_slow(size: int) -> None:
    """In a setup: leave the benchmark out of a quick run."""
    if is_left_out(size):
        raise NotImplementedError(f"{size:,} responses: left out by ASV_SKIP_SLOW")


@cache
def warmed_up() -> at.BKT:
    """Compile or load every kernel, by using each once on a small log; the model fitted on the way."""
    log = at.Log.from_arrow(simulated(100_000, shuffled=True))
    model = at.BKT(forget=False).fit(log)
    model.predict(log)
    model.score(log)
    return model


class OfEverySize:
    """Base of benchmarks of a fitted model and a log of each size."""

    params = SIZES
    param_names = ("responses",)

    def setup(self, size: int) -> None:
        """Read the log, and compile."""
        self.log, self.model = load(size), warmed_up()
