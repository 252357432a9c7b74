"""What the documentation promises: every public name is in it, every path and link that it gives is there."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

import adaptrace as at

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not {"_build", "generated"} & set(path.parts))
FRONT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
MODULES = ("adaptrace.report", "adaptrace.evaluate.metrics", "adaptrace.plots")


def documented() -> set[str]:
    """The names that the pages of the reference list, each with its module."""
    found = set()
    for page in (DOCS / "reference").glob("*.md"):
        module, listing = "", False
        for line in page.read_text().splitlines():
            if line.startswith(".. currentmodule::"):
                module = line.split()[-1]
            elif line.startswith(".. data::"):
                found.add(f"{module}.{line.split()[-1]}")
            elif line.startswith(".. autosummary::"):
                listing = True
            elif listing and re.fullmatch(r"   \w+", line):
                found.add(f"{module}.{line.strip()}")
            elif line and not line.startswith("   "):
                listing = False
    return found


def own(module: str) -> set[str]:
    """The public names of a module: those that it exports, else the functions and classes that it defines."""
    content = importlib.import_module(module)
    names = getattr(content, "__all__", None)
    if names is None:
        defined = [(name, each) for name, each in vars(content).items() if inspect.isfunction(each) or inspect.isclass(each)]
        names = [name for name, each in defined if not name.startswith("_") and each.__module__ == module]
    return {f"{module}.{name}" for name in names}


def test_every_public_name_of_the_package_is_in_the_reference() -> None:
    names = {f"adaptrace.{name}" for name in at.__all__} - set(MODULES)  # the names of these modules are asked for below
    assert names - documented() == set()


def test_every_name_of_the_models_is_in_the_reference() -> None:
    pages = documented()
    names = importlib.import_module("adaptrace.models").__all__
    assert [name for name in names if not {f"adaptrace.{name}", f"adaptrace.models.{name}"} & pages] == []


@pytest.mark.parametrize("module", MODULES)
def test_every_name_of_a_public_module_is_in_the_reference(module: str) -> None:
    assert own(module) - documented() == set()


def test_every_name_in_the_reference_is_there() -> None:
    def is_there(name: str) -> bool:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)

    names = documented()
    assert len(names) > 100
    assert [name for name in sorted(names) if not is_there(name)] == []


def test_every_path_in_the_text_is_there() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {path}"
        for page in [*PAGES, *FRONT]
        for path in re.findall(r"`((?:src|tests|benchmarks|data|docs)/[\w./-]+)`", page.read_text())
        if not ((ROOT / path).exists() or (ROOT / "src" / "adaptrace" / path).exists() or path.startswith("docs/_build"))
    ]
    assert missing == []


def test_every_file_that_the_architecture_names_in_a_room_is_there() -> None:
    text = (DOCS / "architecture.md").read_text()
    rooms = {path.name for path in (ROOT / "src" / "adaptrace").iterdir() if path.is_dir() and not path.name.startswith("_")}
    named = [path for path in re.findall(r"`(\w+/[\w/]+\.py)`", text) if path.split("/")[0] in rooms]
    assert len(named) > 15
    assert [path for path in named if not (ROOT / "src" / "adaptrace" / path).exists()] == []
    picture = (DOCS / "house.svg").read_text()
    assert {room for room in rooms if f"`{room}/`" not in text or f">{room}<" not in picture} == set()


@pytest.mark.parametrize("page", [*PAGES, *FRONT], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_page_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[\w.-]+)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_page_is_reached_from_an_index() -> None:
    listed = set()
    for page in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text(), re.DOTALL):
            lines = [line for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / line).with_suffix(".md").resolve() for line in lines}
    assert {page.resolve() for page in PAGES} - listed == {DOCS / "index.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_make_and_the_page_on_installing_say_the_same_of_what_an_install_brings() -> None:
    brings = re.search(r"^DEMO_BRINGS := (\d+ packages, about \d+ MB on disk)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert brings
    assert brings[1] in (DOCS / "install.md").read_text()


def test_the_citation_is_of_this_version() -> None:
    assert f"\nversion: {at.__version__}\n" in (ROOT / "CITATION.cff").read_text()


def test_no_page_says_to_install_from_a_registry_where_nothing_is() -> None:
    found = [str(page) for page in [*PAGES, *FRONT] if re.search(r"pip install [\"']?adaptrace", page.read_text())]
    assert found == []
