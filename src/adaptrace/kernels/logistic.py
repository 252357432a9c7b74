"""Logistic models of the next response (Cen, Koedinger & Junker, 2006; Pavlik, Cen & Koedinger, 2009).

    P(correct) = 1 / (1 + exp(-sum of weight x value))               :func:`chance`

A *value* is one number from a student's history before a response, read from what is remembered for one
*slot*: all their responses, those on the item, or those on a skill. One step reads the slots of a response
(:func:`read`), the next adds its outcome to them (:func:`record`). Both take arrays by slot, for a whole log, or
dictionaries by slot, for one student online: the same code, and so the same bits.

    wins, fails, attempts      counts before the response, or log(1 + count)      :func:`counted`
    recent(rate)               share of right answers, weighed by rate^(age)      :func:`share`
    window(days)               log(1 + count) of the last so many days            :func:`slide`
    logitdec, propdec(rate)    as recent, from a right and a wrong answer before the first  :func:`ghost`
    base4(d, h, f)             log(1 + attempts) age^-d, times spacing^h          :func:`base_level`
    ppe(c, b, m, x)            attempts^c age^-(b + m stability)                  :func:`predictive_performance`
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CodeArray = NDArray[np.int32]
BySlot = Any  # an array by slot in a log, a dictionary by slot online
Listed = Any  # an array in a log, a list online

STUDENT, ITEM, SKILL = range(3)  # whose history a value is read from
ONE, ATTEMPTS, WINS, FAILS, LOG_ATTEMPTS, LOG_WINS, LOG_FAILS = range(7)
RECENT, LAST, NEW, GAP, DAYS, WINDOW_ATTEMPTS, WINDOW_WINS = range(7, 14)
LOGITDEC, PROPDEC, BASE4, PPE = range(14, 18)
ALL, BY_ITEM, BY_SKILL, BY_STUDENT, BY_PATTERN = range(5)  # who has a weight of their own
HALF_SEEN = 0.5  # right and wrong answers that a recent share starts from
RECALLED = 4  # outcomes of a pattern; patterns are numbered below 2 << RECALLED: a 1, then a bit per outcome
NEVER = -1
OLDEST_GHOST = 60.0  # responses after which the two answers before the first grow no fainter
SECONDS = 86_400.0  # of a day
LONGEST = 1000.0  # responses whose ages the predictive performance equation looks at
WITHOUT_END = math.inf  # days of a window that holds them


class FeaturePlan(NamedTuple):
    """The values of a model, one entry per feature."""

    of: Listed  # STUDENT, ITEM or SKILL
    what: Listed
    by: Listed  # ALL, BY_ITEM, BY_SKILL, BY_STUDENT or BY_PATTERN
    which: Listed  # the rate or the window
    times: Listed  # a given column that multiplies the value; -1: none
    base: Listed  # the first weight
    rates: Listed  # of the recent shares
    windows: Listed  # days
    parameters: Listed  # (n_features, 4) of base4 and ppe
    spaced: Listed  # the features that look at how responses are spaced


class Memory(NamedTuple):
    """What is remembered of one student, by slot; arrays in a log, dictionaries online."""

    owner: BySlot  # (n_slots,) the student whose history it is
    attempts: BySlot  # (n_slots,)
    wins: BySlot  # (n_slots,)
    last: BySlot  # (n_slots,) the last outcome
    pattern: BySlot  # (n_slots,) the number of the last outcomes
    place: BySlot  # (n_slots,) how many responses the student had given when it was last met
    day: BySlot  # (n_slots,) when it was last met
    recent_attempts: BySlot  # (n_slots, n_rates)
    recent_wins: BySlot  # (n_slots, n_rates)
    newest: BySlot  # (n_slots,) the last entry of a chain of responses, for windows
    oldest: BySlot  # (n_slots, n_windows) the first entry inside
    window_attempts: BySlot  # (n_slots, n_windows)
    window_wins: BySlot  # (n_slots, n_windows)
    later: BySlot  # (n_entries,) the next entry of the chain
    entry_day: BySlot  # (n_entries,)
    entry_correct: BySlot  # (n_entries,)
    first_day: BySlot  # (n_slots,) when it was first met; empty where no feature looks at spacing
    stability: BySlot  # (n_slots,) the sum of 1 / log(gap + e) over the gaps between responses, in seconds; or empty


class Design(NamedTuple):
    """Values before each response, and whose weights they meet: sparse rows."""

    start: Listed  # (n_rows + 1,)
    column: Listed  # (n_values,) of the weight; -1: none
    value: Listed  # (n_values,)


@kernel
def chance(logit: float) -> float:
    """P(correct), never 0 and never 1."""
    bounded = min(max(logit, -36.0), 36.0)
    return 1.0 / (1.0 + math.exp(-bounded))


# ---- the memory of one student ----------------------------------------------


@kernel
def meet(memory: Memory, slot: Any, student: int, n_rates: int, n_windows: int, n_spaced: int) -> None:
    """Make a slot the history of this student: empty, if it was that of another."""
    if memory.owner[slot] == student:
        return
    memory.owner[slot] = student
    memory.attempts[slot], memory.wins[slot], memory.last[slot], memory.pattern[slot] = 0.0, 0.0, 0.0, 1
    memory.newest[slot] = NEVER
    for each in range(n_rates):
        memory.recent_attempts[slot, each], memory.recent_wins[slot, each] = 0.0, 0.0
    for each in range(n_windows):
        memory.oldest[slot, each] = NEVER
        memory.window_attempts[slot, each], memory.window_wins[slot, each] = 0.0, 0.0
    if n_spaced > 0:
        memory.first_day[slot], memory.stability[slot] = 0.0, 0.0


@kernel
def counted(what: int, attempts: float, wins: float) -> float:
    """A count of a slot, or its logarithm."""
    count = attempts
    if what in (WINS, LOG_WINS):
        count = wins
    elif what in (FAILS, LOG_FAILS):
        count = attempts - wins
    return count if what <= FAILS else math.log1p(count)


@kernel
def share(attempts: float, wins: float) -> float:
    """Logit of the share of right answers among the recent ones (after ``logitdec``, Pavlik et al., 2021)."""
    return math.log((wins + HALF_SEEN) / (attempts - wins + HALF_SEEN))


@kernel
def ghost(what: int, attempts: float, recent_attempts: float, recent_wins: float, rate: float) -> float:
    """Logit or share of right answers, weighed by rate^(age), after one right and one wrong answer that were never given.

    ``logitdec`` and ``propdec`` of logistic knowledge tracing (Pavlik et al., 2021), as its package LKT has them since 2023. The
    two answers stand before the first and fade as it does, down to rate^60: so the logit has an end.
    """
    if attempts == 0.0:
        return 0.0 if what == LOGITDEC else 0.5
    before = rate ** min(attempts, OLDEST_GHOST)
    right, wrong = recent_wins + before, recent_attempts - recent_wins + before
    return math.log(right / wrong) if what == LOGITDEC else right / (right + wrong)


@kernel
def base_level(attempts: float, since_first: float, first_to_last: float, parameters: Listed) -> float:
    """``base4`` (Pavlik et al., 2021): practice, faded by the age of the first response, more where widely spaced. In seconds."""
    faded = math.log1p(attempts) * max(since_first, 1.0) ** -parameters[0]
    between = 0.0 if attempts < 2.0 else first_to_last / (attempts - 1.0)
    return parameters[2] * faded if between <= 0.0 else between ** parameters[1] * faded  # type: ignore[no-any-return]


@kernel
def age_of(entry_day: BySlot, later: BySlot, entry: int, power: float, now: float) -> float:
    """The mean age of the responses of a chain, each weighed by age^-power (Walsh et al., 2018); in seconds."""
    weights, total = 0.0, 0.0
    while entry != NEVER:
        age = max((now - entry_day[entry]) * SECONDS, 1.0)
        weight = age**-power
        weights += weight
        total += weight * age
        entry = later[entry]
    return total / weights


@kernel
def predictive_performance(attempts: float, stability: float, age: float, parameters: Listed) -> float:
    """``ppe``, the predictive performance equation (Walsh et al., 2018): practice fades with age, by how it was spaced."""
    spacing = 0.0 if attempts < 2.0 else stability / (attempts - 1.0)
    return attempts ** parameters[0] * age ** -(parameters[1] + parameters[2] * spacing)  # type: ignore[no-any-return]


@kernel
def steadiness(gap: float) -> float:
    """What a gap of so many seconds adds to the stability: nothing if there is none."""
    return 1.0 / math.log(gap + math.e) if gap > 0.0 else 0.0


@kernel
def slide(memory: Memory, slot: Any, which: int, days: float, now: float) -> None:
    """Let a window forget what is older than so many days (DAS3H; Choffin et al., 2019, eq. 4)."""
    entry = memory.oldest[slot, which]
    while entry != NEVER and memory.entry_day[entry] < now - days:
        memory.window_attempts[slot, which] -= 1.0
        memory.window_wins[slot, which] -= memory.entry_correct[entry]
        entry = memory.later[entry]
    memory.oldest[slot, which] = entry


@kernel
def recalled(memory: Memory, what: int, slot: Any, place: int, now: float) -> float:
    """What the last response on a slot that was met adds; see :func:`read`."""
    if what == LAST:
        return float(memory.last[slot])
    if what == GAP:
        return math.log1p(float(place - memory.place[slot]))
    return math.log1p(max(now - memory.day[slot], 0.0)) if what == DAYS else 0.0


@kernel
def read(plan: FeaturePlan, memory: Memory, feature: int, slot: Any, place: int, now: float) -> float:
    """The value of a feature on a slot that :func:`meet` has opened, before the response at this place and day."""
    what, which, attempts = plan.what[feature], plan.which[feature], memory.attempts[slot]
    if what == ONE:
        return 1.0
    if what <= LOG_FAILS:
        return counted(what, attempts, memory.wins[slot])
    if what == RECENT:
        return share(memory.recent_attempts[slot, which], memory.recent_wins[slot, which])
    if what <= DAYS:
        if attempts > 0.0:
            return recalled(memory, what, slot, place, now)
        return 1.0 if what == NEW else 0.0
    slide(memory, slot, which, plan.windows[which], now)
    return math.log1p(memory.window_attempts[slot, which] if what == WINDOW_ATTEMPTS else memory.window_wins[slot, which])


@kernel
def traced(plan: FeaturePlan, memory: Memory, feature: int, slot: Any, now: float) -> float:
    """The value of a feature of logistic knowledge tracing; apart from :func:`read`, which is faster the smaller it is."""
    what, which, attempts = plan.what[feature], plan.which[feature], memory.attempts[slot]
    if what <= PROPDEC:
        return ghost(what, attempts, memory.recent_attempts[slot, which], memory.recent_wins[slot, which], plan.rates[which])
    if attempts == 0.0:
        return 0.0
    parameters, first, last = plan.parameters[feature], memory.first_day[slot], memory.day[slot]
    if what == BASE4:
        return base_level(attempts, (now - first) * SECONDS, (last - first) * SECONDS, parameters)
    age = age_of(memory.entry_day, memory.later, memory.oldest[slot, which], parameters[3], now)
    return predictive_performance(attempts, memory.stability[slot], age, parameters)


@kernel
def lengthened(pattern: int, correct: float) -> int:
    """The number of the last outcomes with one more; the oldest is forgotten."""
    longer = 2 * pattern + (1 if correct >= 0.5 else 0)
    return longer if longer < 2 << RECALLED else longer % (1 << RECALLED) + (1 << RECALLED)


@kernel
def record(plan: FeaturePlan, memory: Memory, slot: Any, entry: int, place: int, now: float, correct: float) -> None:
    """Add an outcome to a slot; ``entry`` is the response's place in the chains of the windows."""
    memory.attempts[slot] += 1.0
    memory.wins[slot] += correct
    memory.last[slot] = 2.0 * correct - 1.0
    memory.pattern[slot] = lengthened(memory.pattern[slot], correct)
    memory.place[slot], memory.day[slot] = place, now
    for each in range(len(plan.rates)):
        rate = plan.rates[each]
        memory.recent_attempts[slot, each] = memory.recent_attempts[slot, each] * rate + 1.0
        memory.recent_wins[slot, each] = memory.recent_wins[slot, each] * rate + correct
    if len(plan.windows) == 0:
        return
    memory.later[entry], memory.entry_day[entry], memory.entry_correct[entry] = NEVER, now, correct
    if memory.newest[slot] != NEVER:
        memory.later[memory.newest[slot]] = entry
    memory.newest[slot] = entry
    for each in range(len(plan.windows)):
        memory.window_attempts[slot, each] += 1.0
        memory.window_wins[slot, each] += correct
        if memory.oldest[slot, each] == NEVER:
            memory.oldest[slot, each] = entry


@kernel
def shorten(plan: FeaturePlan, memory: Memory, slot: Any) -> None:
    """Leave the responses out of windows without end that are more than they hold; call it after each response."""
    for each in range(len(plan.windows)):
        if plan.windows[each] == WITHOUT_END and memory.window_attempts[slot, each] > LONGEST:
            oldest = memory.oldest[slot, each]
            memory.window_attempts[slot, each] -= 1.0
            memory.window_wins[slot, each] -= memory.entry_correct[oldest]
            memory.oldest[slot, each] = memory.later[oldest]


# ---- one response -----------------------------------------------------------


@kernel
def values(
    plan: FeaturePlan,
    memory: Memory,
    slot: Listed,
    code: Listed,
    given: Listed,
    student: int,
    place: int,
    now: float,
    design: Design,
    at: int,
) -> int:
    """Write the values of all features before a response, from ``design`` entry ``at`` on; return the next free entry.

    ``slot`` and ``code`` (2 + n_skills,) are of the student, the item and the skills; a code of -1 has no weight. Of several
    skills, a feature with a weight per skill gives each its own value, one by pattern each its share, others their mean.
    """
    for each in range(len(slot)):
        meet(memory, slot[each], student, len(plan.rates), len(plan.windows), len(plan.spaced))
    skills = len(slot) - 2
    for feature in range(len(plan.of)):
        of, by, base, times = plan.of[feature], plan.by[feature], plan.base[feature], plan.times[feature]
        factor = given[times] if times >= 0 else 1.0
        if by == BY_SKILL or (by == BY_PATTERN and of == SKILL):
            for each in range(2, len(slot)):
                own = code[each] if by == BY_SKILL else memory.pattern[slot[each]]
                where = slot[each if of == SKILL else of]
                if plan.what[feature] > WINDOW_WINS:
                    value = factor * traced(plan, memory, feature, where, now)
                else:
                    value = factor * read(plan, memory, feature, where, place, now)
                design.column[at] = base + own if own >= 0 else -1
                design.value[at] = value if by == BY_SKILL else value / skills
                at += 1
            continue
        total = 0.0
        for each in range(2 if of == SKILL else of, len(slot) if of == SKILL else of + 1):
            if plan.what[feature] > WINDOW_WINS:
                total += traced(plan, memory, feature, slot[each], now) / (skills if of == SKILL else 1)
            else:
                total += read(plan, memory, feature, slot[each], place, now) / (skills if of == SKILL else 1)
        own = 0
        if by != ALL:
            own = memory.pattern[slot[of]] if by == BY_PATTERN else code[1 if by == BY_ITEM else 0]
        design.column[at] = base + own if own >= 0 else -1
        design.value[at] = factor * total
        at += 1
    return at


@kernel
def space(attempts: BySlot, day: BySlot, first_day: BySlot, stability: BySlot, slot: Any, now: float) -> None:
    """Add the gap before a response that is not counted yet to what is known of the spacing."""
    if attempts[slot] == 0.0:
        first_day[slot] = now
    else:
        stability[slot] += steadiness((now - day[slot]) * SECONDS)


@kernel
def practise(plan: FeaturePlan, memory: Memory, slot: Listed, entry: int, place: int, now: float, correct: float) -> None:
    """Add the outcome of a response to its slots; ``entry`` counts the slots of all earlier responses."""
    for each in range(len(slot)):
        if len(plan.spaced) > 0:
            space(memory.attempts, memory.day, memory.first_day, memory.stability, slot[each], now)
        record(plan, memory, slot[each], entry + each, place, now, correct)
        if len(plan.spaced) > 0:
            shorten(plan, memory, slot[each])


# ---- a log ------------------------------------------------------------------


class NameCodes(NamedTuple):
    """The log's items, skills and students among the model's; -1 where the model does not know them."""

    item: IntArray  # (n_items,)
    skill: IntArray  # (n_skills,)
    student: IntArray  # (n_students,)


@kernel
def empty_memory(plan: FeaturePlan, n_slots: int, n_entries: int) -> Memory:
    """Room for the memory of a student."""
    rates, windows = len(plan.rates), len(plan.windows)
    if windows == 0:
        n_entries = 0
    return Memory(
        np.full(n_slots, NEVER),
        np.empty(n_slots),
        np.empty(n_slots),
        np.empty(n_slots),
        np.empty(n_slots, np.int64),
        np.empty(n_slots, np.int64),
        np.empty(n_slots),
        np.empty((n_slots, rates)),
        np.empty((n_slots, rates)),
        np.empty(n_slots, np.int64),
        np.empty((n_slots, windows), np.int64),
        np.empty((n_slots, windows)),
        np.empty((n_slots, windows)),
        np.empty(n_entries, np.int64),
        np.empty(n_entries),
        np.empty(n_entries),
        np.empty(n_slots if len(plan.spaced) > 0 else 0),
        np.empty(n_slots if len(plan.spaced) > 0 else 0),
    )


@kernel
def lay_out(
    rows: Rows,
    item: CodeArray,
    day: FloatArray,
    plan: FeaturePlan,
    names: NameCodes,
    given: FloatArray,
    first: int,
    last: int,
    design: Design,
) -> None:
    """Write the design of students [first, last): one pass over their rows."""
    n_items, n_skills = len(names.item), len(names.skill)
    begin, end = rows.student_start[first], rows.student_start[last]
    touched = 2 * (end - begin) + rows.skill_start[end] - rows.skill_start[begin]
    memory = empty_memory(plan, 1 + n_items + n_skills, touched)
    entry = 0
    for student in range(first, last):
        for row in range(rows.student_start[student], rows.student_start[student + 1]):
            skills = rows.skill_start[row + 1] - rows.skill_start[row]
            slot, code = np.empty(2 + skills, np.int64), np.empty(2 + skills, np.int64)
            slot[0], code[0] = 0, names.student[student]
            slot[1], code[1] = 1 + item[row], names.item[item[row]]
            for each in range(skills):
                skill = rows.pair_skill[rows.pair[rows.skill_start[row] + each]]
                slot[2 + each], code[2 + each] = 1 + n_items + skill, names.skill[skill]
            place = row - rows.student_start[student]
            now = day[row] if len(day) else 0.0
            values(plan, memory, slot, code, given[row], student, place, now, design, design.start[row])
            practise(plan, memory, slot, entry, place, now, rows.correct[row])
            entry += len(slot)


# ---- the likelihood ---------------------------------------------------------


@kernel
def logit_of(design: Design, weights: Listed, row: int) -> float:
    """The sum of weight x value of one row."""
    total = 0.0
    for at in range(design.start[row], design.start[row + 1]):
        if design.column[at] >= 0:
            total += weights[design.column[at]] * design.value[at]
    return total


@kernel
def chances(design: Design, weights: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """P(correct) of rows [first, last)."""
    for row in range(first, last):
        out[row] = chance(logit_of(design, weights, row))


@kernel
def logits(design: Design, weights: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """The sums of weight x value of rows [first, last)."""
    for row in range(first, last):
        out[row] = logit_of(design, weights, row)


@kernel
def loss_and_gradient(design: Design, correct: FloatArray, weights: FloatArray, first: int, last: int, out: FloatArray) -> float:
    """Minus the log-likelihood of rows [first, last), and its gradient into ``out`` (n_weights,)."""
    loss = 0.0
    out[:] = 0.0
    for row in range(first, last):
        logit = logit_of(design, weights, row)
        loss += math.log1p(math.exp(-abs(logit))) + max(logit, 0.0) - correct[row] * logit
        error = chance(logit) - correct[row]
        for at in range(design.start[row], design.start[row + 1]):
            if design.column[at] >= 0:
                out[design.column[at]] += error * design.value[at]
    return loss


class Block(NamedTuple):
    """Weights that a response meets together: those of one item, of one skill, ..., or those that all share."""

    first: int  # weight; feature a of name n is weight first + a * n_names + n
    features: int
    names: int


@kernel
def moments(design: Design, block: Block, step: int, out: FloatArray) -> None:
    """Sums of the products of the values that meet a name's weights in one row, into (n_names, features, features).

    Summed over every ``step``-th row, and scaled to all.
    """
    last = block.first + block.features * block.names
    for row in range(0, len(design.start) - 1, step):
        for a in range(design.start[row], design.start[row + 1]):
            if design.column[a] < block.first or design.column[a] >= last:
                continue
            name = (design.column[a] - block.first) % block.names
            feature = (design.column[a] - block.first) // block.names
            for b in range(design.start[row], design.start[row + 1]):
                if block.first <= design.column[b] < last and (design.column[b] - block.first) % block.names == name:
                    other = (design.column[b] - block.first) // block.names
                    out[name, feature, other] += step * design.value[a] * design.value[b]


@kernel
def roots(matrices: FloatArray) -> None:
    """Turn each symmetric matrix of (n_names, n, n) into its upper root, root' root (Cholesky), in place."""
    n = matrices.shape[1]
    for name in range(len(matrices)):
        a = matrices[name]
        for j in range(n):
            a[j, j:] /= math.sqrt(a[j, j])
            for i in range(j + 1, n):
                factor = a[j, i]
                for k in range(i, n):
                    a[i, k] -= factor * a[j, k]


@kernel
def solve(root: FloatArray, vector: FloatArray) -> None:
    """Solve root x = vector for each name, in place; ``vector`` (n, n_names)."""
    n = root.shape[1]
    for name in range(len(root)):
        for j in range(n - 1, -1, -1):
            for k in range(j + 1, n):
                vector[j, name] -= root[name, j, k] * vector[k, name]
            vector[j, name] /= root[name, j, j]


@kernel
def solve_turned(root: FloatArray, vector: FloatArray) -> None:
    """Solve root' x = vector for each name, in place; ``vector`` (n, n_names)."""
    n = root.shape[1]
    for name in range(len(root)):
        for j in range(n):
            vector[j, name] /= root[name, j, j]
            for k in range(j + 1, n):
                vector[k, name] -= root[name, j, k] * vector[j, name]
