"""The ways to fit a BKT: each skill alone, near a base, from an earlier fit, and all skills together with what varies."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels.bkt import Parameters
from adaptrace.models.base import Progress
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.evidence import Evidence, ResponseEvidence, SequenceEvidence, SplitEvidence
from adaptrace.models.bkt.fit_effects import Objective, fit_effects, likeliest, to_logits
from adaptrace.models.bkt.fit_skills import (
    BaseSkills,
    SkillFit,
    bootstrap_draws,
    fit_all,
    fit_apart,
    fit_from,
    fit_near,
    pseudo_information,
    pull_of,
)
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.options import AUTO, CHOSEN_FROM, BKTOptions
from adaptrace.models.bkt.skill_table import SkillTable
from adaptrace.stats.stats import Stats


def check_factors(options: BKTOptions, stats: Stats) -> None:
    """Refuse stats that do not keep apart what the options let vary."""
    if stats.factors != options.variation.stats_factors:
        got, expected = (" and ".join(names) or "outcomes only" for names in (stats.factors, options.variation.stats_factors))
        raise ModelError(f"stats of another structure: they tell apart {got}; expected {expected}: use this model's stats(log)")


def table_alone(options: BKTOptions, stats: Stats, executor: Executor | None, progress: Progress | None) -> SkillTable:
    """Every skill fitted alone, then pulled to the mean skill."""
    fit = fit_all(stats, options.limits, executor=executor, progress=progress)
    return SkillTable.build(stats.skills, stats.responses, fit)


def table_near(
    options: BKTOptions, stats: Stats, base: SkillTable, executor: Executor | None, progress: Progress | None
) -> SkillTable:
    """Every skill fitted alone and pulled to its values in a base."""
    row = base.index(stats.skills)
    error = np.einsum("kaa->ka", base.covariance)[row]
    skills = BaseSkills(np.stack(base.parameters, axis=1)[row], error, row >= 0, base.pull)
    fit = fit_near(skills, stats, options.limits, executor=executor, progress=progress)
    return SkillTable.build(stats.skills, stats.responses, fit)


def table_from(
    options: BKTOptions, stats: Stats, earlier: SkillTable, executor: Executor | None, progress: Progress | None
) -> SkillTable:
    """Every skill fitted from its values in an earlier fit."""
    theta = np.stack(earlier.parameters, axis=1)[earlier.index(stats.skills)]
    fit = fit_from(stats, options.limits, theta, earlier.pull, executor=executor, progress=progress)
    return SkillTable.build(stats.skills, stats.responses, fit)


def joint_evidence(options: BKTOptions, data: Log | Stats, stats: Stats, executor: Executor | None) -> dict[str, Evidence]:
    """What a joint fit of all skills needs, by the rule that combines the skills of an event; none if each alone is exact."""
    names = CHOSEN_FROM if options.combine == AUTO else (options.combine,)
    if isinstance(data, Log) and data.has_several_skills:
        of_log = ResponseEvidence if options.variation else SplitEvidence  # what varies makes few histories equal
        evidence = of_log(data.by_name, options.rule, options.variation, executor)
        return {name: evidence.under(RULES[name]) for name in names}
    return {names[0]: SequenceEvidence(stats, options.variation, executor)} if options.variation else {}


def fit_jointly(
    options: BKTOptions, stats: Stats, evidence: Mapping[str, Evidence], executor: Executor | None, progress: Progress | None
) -> dict[str, Any]:
    """All skills together with what varies, pulled to the mean of a fit of each alone: the model's table, effects and rule."""
    counts = stats.without(*stats.factors) if stats.factors else stats
    theta, information = fit_apart(counts, options.limits, executor, None)
    pull = pull_of(theta, information, options.limits)
    near = np.vstack([fit_from(counts, options.limits, theta, pull, executor=executor).theta, pull.centre])
    limits, ones = options.limits.pooled(pull), np.ones(len(near))
    low, high = limits.bounds()
    start = Effects(low=low, high=high, logits=to_logits(near, ones, low, high), guess_scale=ones)
    objectives = {name: Objective(each, limits, options.variation) for name, each in evidence.items()}
    name, vector = likeliest(objectives, start)
    theta, covariance, effects = fit_effects(objectives[name], vector, pull.centre, progress)
    share = np.minimum(np.einsum("kaa->ka", covariance) * pseudo_information(theta, limits), 1.0)
    table = SkillTable.build(stats.skills, stats.responses, SkillFit(theta, covariance, share, pull))
    return {"table": table, "effects": effects if options.variation else None, "combine": name}


def bootstrap_table(
    options: BKTOptions, table: SkillTable, stats: Stats, *, draws: int, seed: int, executor: Executor | None
) -> pa.Table:
    """What :meth:`BKT.bootstrap <adaptrace.BKT.bootstrap>` returns."""
    if stats.factors or not stats.skills.equals(table.names):
        raise ModelError("stats of another structure or other skills than this model's; expected what it was fitted to")
    theta = np.stack([values[:-1] for values in table.parameters], axis=1)
    drawn = bootstrap_draws(stats, options.limits.pooled(table.pull), theta, draws, seed, executor=executor)
    columns = dict(zip(Parameters._fields, drawn.reshape(-1, drawn.shape[-1]).T.copy(), strict=True))
    number = np.repeat(np.arange(draws), len(table))
    return pa.table({"draw": number, "skill": pa.array(table.names.to_pylist() * draws, pa.string()), **columns})
