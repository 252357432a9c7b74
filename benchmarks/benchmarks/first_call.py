"""Import and first call, in a fresh interpreter."""

from __future__ import annotations

from . import fresh

NAMES = "at.BKT, at.Log, at.Student, at.recommend"


def timeraw_import() -> str:
    return "import adaptrace"


def timeraw_import_names() -> str:
    return f"import adaptrace as at; {NAMES}"


def timeraw_import_names_only() -> tuple[str, str]:
    return (
        f"import adaptrace as at; {NAMES}",
        "import numba, numpy, pyarrow.compute, pyarrow.csv, pyarrow.dataset, pyarrow.parquet",
    )


class FirstCalls:
    """Read, fit, predict and score the bundled sample; Numba's cache empty or filled."""

    params = ("cold", "warm")
    param_names = ("cache",)
    unit = "s"

    def track_seconds(self, cache: str) -> float:
        cold, warm = fresh.cold_and_warm()
        return cold if cache == "cold" else warm
