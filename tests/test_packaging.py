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


def test_every_module_of_the_house_imports_only_what_stands_above_it() -> None:
    # fmt: off
    floors = [
        "errors", "schema", "texts", "files", "arrays", "parallel", "climb", "kernels", "codec", "formats", "catalog", "log",
        "stats_file", "suppression", "stats", "effects", "variation", "fit", "fit_effects", "fit_logistic", "fit_irt", "models",
        "pooling", "student", "criterion",
        "district", "engines", "privacy", "report",
        "shelf", "knowledge", "view", "policy", "constraints", "recommendation", "store", "events", "tutor", "metrics", "folds",
        "evaluate", "fair", "offpolicy", "simulation", "matrix", "plots", "sample", "demonstration",
        "cli_models", "cli_options", "cli_district", "cli_privacy", "cli_report", "cli_research", "cli_stats", "cli", "__main__",
    ]
    # fmt: on
    source = ROOT / "src" / "adaptrace"
    for path in source.rglob("*.py"):
        own = path.relative_to(source).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        # an indented import runs when it is used, or is for types alone
        for line in re.findall(r"^from adaptrace(?:\.(\w+))?\S* import (.+)$", path.read_text(), flags=re.M):
            names = [line[0]] if line[0] else [name.strip() for name in line[1].split(",")]
            for name in names:
                assert floors.index(name) <= floors.index(own), f"{path.name} imports {name}, which stands below it"
