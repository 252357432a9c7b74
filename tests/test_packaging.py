"""What the project's own files promise each other."""

import re
import tomllib
from pathlib import Path

import adaptrace as at

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_lowest_versions_in_ci_are_the_lowest_allowed() -> None:
    def padded(version: str) -> tuple[int, ...]:
        numbers = [int(part) for part in version.split(".")]
        return tuple(numbers + [0] * (3 - len(numbers)))

    allowed = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in PROJECT["project"]["dependencies"])
    lines = [line for line in (ROOT / ".ci" / "lowest.txt").read_text().splitlines() if not line.startswith("#")]
    tested = dict(line.split("==") for line in lines)
    assert {name: padded(version) for name, version in tested.items()} == {name: padded(v) for name, v in allowed.items()}


def test_the_changelog_knows_this_version_or_what_is_unreleased() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changes or f"## {at.__version__}" in changes
