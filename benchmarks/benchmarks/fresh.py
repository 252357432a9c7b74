"""What a user waits for in a new process: Python, imports, compilation, first results."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

FIRST_CALLS = "import adaptrace as at; log = at.sample_log(); model = at.BKT().fit(log); model.predict(log); model.score(log)"


def seconds(cache: str) -> float:
    """From starting Python to the mastery of the bundled sample, with Numba's cache in the folder ``cache``."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", FIRST_CALLS], check=True, env={**os.environ, "NUMBA_CACHE_DIR": cache})
    return time.perf_counter() - begin


def cold_and_warm() -> tuple[float, float]:
    """Seconds with an empty cache, and then with the cache that this left behind."""
    with tempfile.TemporaryDirectory() as cache:
        return seconds(cache), seconds(cache)
