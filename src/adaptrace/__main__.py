"""``python -m adaptrace``."""

from adaptrace.cli import main

main()
