"""The ways to fit a BKT: each skill alone, near a base, from an earlier fit, and all skills together with what varies."""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels.bkt import Parameters
from adaptrace.models.base import Progress
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.evidence import Evidence, ResponseEvidence, SequenceEvidence
from adaptrace.models.bkt.fit_effects import fit_effects, to_logits
from adaptrace.models.bkt.fit_skills import BaseSkills, SkillFit, bootstrap_draws, fit_all, fit_from, fit_near
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.options import BKTOptions
from adaptrace.models.bkt.skill_table import SkillTable
from adaptrace.stats.stats import Stats


def check_factors(options: BKTOptions, stats: Stats) -> None:
    """Refuse stats that do not keep apart what the options let vary."""
    if stats.factors != options.variation.stats_factors:
        got, expected = (" and ".join(names) or "outcomes only" for names in (stats.factors, options.variation.stats_factors))
        raise ModelError(f"stats of another structure: they tell apart {got}; expected {expected}: use this model's stats(log)")


def table_alone(options: BKTOptions, stats: Stats, executor: Executor | None, progress: Progress | None) -> SkillTable:
    """Every skill fitted alone, then pulled to the mean skill."""
    fit = fit_all(stats.without(*stats.factors) if stats.factors else stats, options.limits, executor=executor, progress=progress)
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


def joint_evidence(options: BKTOptions, data: Log | Stats, stats: Stats, executor: Executor | None) -> Evidence | None:
    """What a joint fit of all skills needs; None where each skill alone is exact."""
    if isinstance(data, Log) and data.has_several_skills:
        return ResponseEvidence(data, RULES[options.combine], options.variation, executor)
    return SequenceEvidence(stats, options.variation, executor) if options.variation else None


def fit_jointly(
    options: BKTOptions, table: SkillTable, evidence: Evidence, progress: Progress | None
) -> tuple[SkillTable, Effects | None]:
    """All skills together with what varies, from the fit of each skill alone."""
    theta = np.stack(table.parameters, axis=1)
    limits = options.limits.pooled(table.pull)
    low, high = limits.bounds()
    ones = np.ones(len(theta))
    start = Effects(low=low, high=high, logits=to_logits(theta, ones, low, high), guess_scale=ones)
    base, covariance, effects = fit_effects(evidence, limits, options.variation, start, theta[-1], progress)
    joint = SkillTable.build(table.names, table.responses, SkillFit(base, covariance, table.pulled, table.pull))
    return joint, effects if options.variation else None


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
