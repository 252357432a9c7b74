"""One Spark on this machine for all tests that need it; without Java or PySpark they are skipped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from adaptrace.dataset.spark import missing, session

QUIET = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Two cores."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark's own
        started = session("local[2]", QUIET)
    started.sparkContext.setLogLevel("OFF")
    yield started
    started.stop()
