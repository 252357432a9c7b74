"""Reports: mastery by class, school and skill, growth, pace, who is stuck, and who could work together."""
