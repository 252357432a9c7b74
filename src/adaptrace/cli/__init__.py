"""The command line: one file a group of commands; each loads, calls the library and writes."""

from adaptrace.cli.app import main

__all__ = ["main"]
