"""Python without fcntl, as on Windows. Python imports this file at its start if the folder stands in PYTHONPATH."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class NoFcntl:
    """Says of fcntl that there is none, and nothing of other modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name == "fcntl":
            raise ModuleNotFoundError("No module named 'fcntl'", name=name)
        return None


# Windows has locks of its own; here filelock has to make do with the existence of a file, and says so
warnings.filterwarnings("ignore", "only soft file lock is available")
sys.modules.pop("fcntl", None)
sys.meta_path.insert(0, NoFcntl)
