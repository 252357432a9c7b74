"""Knowledge tracing by brute force: sums over all hidden paths, and Baum-Welch from random starts."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

Sequence = tuple[float, ...]


def path_probability(path: tuple[int, ...], prior: float, learn: float, forget: float) -> float:
    """P(known at 1, known at 2, ...) of one hidden path."""
    chance = prior if path[0] else 1 - prior
    for before, after in pairwise(path):
        if before:
            chance *= 1 - forget if after else forget
        else:
            chance *= learn if after else 1 - learn
    return chance


def outcome_probability(correct: float, known: int, guess: float, slip: float) -> float:
    """P(outcome | hidden state); partial credit is right with probability ``correct``."""
    right = 1 - slip if known else guess
    return correct * right + (1 - correct) * (1 - right)


def joint(outcomes: Sequence, path: tuple[int, ...], theta: tuple[float, ...]) -> float:
    prior, learn, forget, guess, slip = theta
    chance = path_probability(path, prior, learn, forget)
    for correct, known in zip(outcomes, path, strict=False):
        chance *= outcome_probability(correct, known, guess, slip)
    return chance


def likelihood(outcomes: Sequence, theta: tuple[float, ...]) -> float:
    """P(outcomes), summed over all 2^n hidden paths."""
    return sum(joint(outcomes, path, theta) for path in product((0, 1), repeat=len(outcomes)))


def mastery_after(outcomes: Sequence, theta: tuple[float, ...]) -> float:
    """P(known at the next opportunity | outcomes)."""
    paths = list(product((0, 1), repeat=len(outcomes) + 1))
    weights = [joint(outcomes, path, theta) for path in paths]
    return sum(w for w, path in zip(weights, paths, strict=True) if path[-1]) / sum(weights)


def prediction(outcomes: Sequence, theta: tuple[float, ...]) -> float:
    """P(next answer is correct | outcomes)."""
    known = mastery_after(outcomes, theta)
    return known * (1 - theta[4]) + (1 - known) * theta[3]


def in_hindsight(outcomes: Sequence, theta: tuple[float, ...]) -> list[tuple[float, float]]:
    """P(known at t | all outcomes), and P(unknown at t and known at t + 1 | all outcomes), of each t."""
    paths = list(product((0, 1), repeat=len(outcomes) + 1))
    weights = np.array([joint(outcomes, path, theta) for path in paths])
    table = np.array(paths)
    known = [(weights * table[:, t]).sum() / weights.sum() for t in range(len(outcomes))]
    learned = [(weights * (1 - table[:, t]) * table[:, t + 1]).sum() / weights.sum() for t in range(len(outcomes))]
    return list(zip(known, learned, strict=True))


def event_posteriors(correct: float, known: list[float], guess: list[float], slip: list[float]) -> tuple[float, list[float]]:
    """P(correct), and P(known_k | outcome) of each skill, of an event that is right when every skill is answered right."""
    total = right_total = 0.0
    posterior = np.zeros(len(known))
    for state in product((0, 1), repeat=len(known)):
        weight = np.prod([p if s else 1 - p for p, s in zip(known, state, strict=True)])
        right = np.prod([1 - slip[k] if s else guess[k] for k, s in enumerate(state)])
        outcome = correct * right + (1 - correct) * (1 - right)
        right_total += weight * right
        total += weight * outcome
        posterior += weight * outcome * np.array(state)
    return right_total, list(posterior / total)


def baum_welch(sequences: list[Sequence], *, starts: int, seed: int, steps: int = 400) -> float:
    """Best log-likelihood that EM reaches from random starts, without forgetting and with guess + slip < 1.

    A start whose guess + slip passes 1 is given up: there "known" means the worse of two states.
    """
    weights: dict[Sequence, int] = {}
    for sequence in sequences:
        weights[sequence] = weights.get(sequence, 0) + 1
    longest = max(map(len, weights))
    count = np.array(list(weights.values()), float)
    outcome = np.zeros((len(weights), longest))
    there = np.zeros((len(weights), longest), bool)
    for row, sequence in enumerate(weights):
        outcome[row, : len(sequence)], there[row, : len(sequence)] = sequence, True
    random = np.random.default_rng(seed)
    best = -np.inf
    for _ in range(starts):
        theta = random.uniform(0.01, 0.99, 4)
        theta[2:] *= 0.5
        value = -np.inf
        for _ in range(steps):
            reached, theta = _em_step(outcome, there, count, theta)
            if theta[2] + theta[3] >= 1 or reached - value < 1e-9 * abs(reached):
                break
            value = reached
        if theta[2] + theta[3] < 1:
            best = max(best, reached)
    return best


def _em_step(outcome: np.ndarray, there: np.ndarray, count: np.ndarray, theta: np.ndarray) -> tuple[float, np.ndarray]:
    prior, learn, guess, slip = theta
    rows, longest = outcome.shape
    emit = np.ones((rows, longest, 2))
    emit[..., 0] = np.where(there, np.where(outcome == 1, guess, 1 - guess), 1.0)
    emit[..., 1] = np.where(there, np.where(outcome == 1, 1 - slip, slip), 1.0)
    move = np.array([[1 - learn, learn], [0.0, 1.0]])
    forward, scale = np.zeros((rows, longest, 2)), np.ones((rows, longest))
    state = np.tile([1 - prior, prior], (rows, 1))
    for t in range(longest):
        state = (state if t == 0 else state @ move) * emit[:, t]
        scale[:, t] = np.maximum(state.sum(axis=1), 1e-300)
        state = state / scale[:, t, None]
        forward[:, t] = state
    value = float((count[:, None] * np.where(there, np.log(scale), 0.0)).sum())
    backward = np.ones((rows, 2))
    learned = stayed = 0.0
    posterior = np.zeros((rows, longest, 2))
    for t in range(longest - 1, -1, -1):
        posterior[:, t] = forward[:, t] * backward
        if t > 0:
            pairs = forward[:, t - 1, :, None] * move[None] * (emit[:, t] * backward / scale[:, t, None])[:, None, :]
            real = there[:, t] * count
            learned += float((pairs[:, 0, 1] * real).sum())
            stayed += float((pairs[:, 0, 0] * real).sum())
            after = (emit[:, t] * backward / scale[:, t, None]) @ move.T
            backward = np.where(there[:, t, None], after, 1.0)
    weight = posterior * there[..., None] * count[:, None, None]
    unknown, known = weight[..., 0].sum(), weight[..., 1].sum()
    tiny = 1e-12
    new = np.array(
        [
            (posterior[:, 0, 1] * count).sum() / count.sum(),
            learned / (learned + stayed + tiny),
            (weight[..., 0] * outcome).sum() / (unknown + tiny),
            (weight[..., 1] * (1 - outcome)).sum() / (known + tiny),
        ]
    )
    return value, np.clip(new, 1e-9, 1 - 1e-9)


def in_logs(outcomes: Sequence, theta: tuple[float, ...]) -> tuple[np.longdouble, np.longdouble]:
    """Log P(outcomes, unknown next) and log P(outcomes, known next), by the forward pass in logarithms.

    It loses no digit, however long the history.
    """
    prior, learn, forget, guess, slip = np.array(theta, np.longdouble)
    unknown, known = np.log1p(-prior), np.log(prior)
    right, wrong = (np.log(guess), np.log1p(-slip)), (np.log1p(-guess), np.log(slip))
    with np.errstate(divide="ignore"):  # P(forget) may be 0
        stay_unknown, learned, forgotten, kept = np.log1p(-learn), np.log(learn), np.log(forget), np.log1p(-forget)
    for correct in outcomes:
        said = right if correct else wrong
        unknown, known = unknown + said[0], known + said[1]
        unknown, known = np.logaddexp(unknown + stay_unknown, known + forgotten), np.logaddexp(unknown + learned, known + kept)
    return unknown, known


def log_likelihood(outcomes: Sequence, theta: tuple[float, ...]) -> np.longdouble:
    """Log P(outcomes)."""
    return np.logaddexp(*in_logs(outcomes, theta))


def hindsight_in_logs(outcomes: Sequence, theta: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """:func:`in_hindsight` by forward-backward in logarithms: P(known at t | all), P(learned right after t | all)."""
    prior, learn, forget, guess, slip = np.array(theta, np.longdouble)
    with np.errstate(divide="ignore"):  # P(forget) may be 0
        move = np.log(np.array([[1 - learn, learn], [forget, 1 - forget]]))
    right, wrong = [np.log(guess), np.log1p(-slip)], [np.log1p(-guess), np.log(slip)]
    says = np.array([right if each else wrong for each in outcomes])
    forward, backward = np.empty_like(says), np.empty_like(says)
    state = np.array([np.log1p(-prior), np.log(prior)])
    for t, said in enumerate(says):
        forward[t] = state + said
        state = np.logaddexp(forward[t, 0] + move[0], forward[t, 1] + move[1])
    total, ahead = np.logaddexp(*state), np.zeros(2)  # of what follows, given the state right after t
    learned = np.empty(len(outcomes))
    for t in range(len(outcomes) - 1, -1, -1):
        learned[t] = np.exp(forward[t, 0] + move[0, 1] + ahead[1] - total)
        backward[t] = np.logaddexp(move[:, 0] + ahead[0], move[:, 1] + ahead[1])
        ahead = backward[t] + says[t]
    return np.exp(forward[:, 1] + backward[:, 1] - total).astype(float), learned
