"""What users wait for: one file per action. ``data.py`` makes the logs, the same for all."""
