"""Help of every part of the command line comes at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

REPORTS = [f"report {name}".rstrip() for name in ("", "mastery", "growth", "pace", "stuck", "groups")]


@pytest.mark.parametrize("command", ["", "fit", "compare", "replay", "simulate", "fairness", *REPORTS])
def test_help_waits_for_no_heavy_import(command: str) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['adaptrace', *{command.split()}, '--help']\n"
        "try: runpy.run_module('adaptrace', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numba', 'llvmlite', 'numpy', 'pyarrow', 'scipy', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Usage:" in outcome.stdout
    assert outcome.stderr == "[]\n"
