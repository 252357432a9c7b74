"""Reports: mastery by class, school and skill, growth, pace, who is stuck, and who could work together."""

from adaptrace.report.groups import small_groups
from adaptrace.report.mastery_pace import pace, stuck
from adaptrace.report.rollups import growth, mastery_by

__all__ = ["growth", "mastery_by", "pace", "small_groups", "stuck"]
