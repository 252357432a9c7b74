"""The house: who may import whom. Rooms stand on floors, and a module imports only its own room and lower floors."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import adaptrace

SOURCE = Path(adaptrace.__file__).parent
FLOORS = [  # lowest first
    {"errors", "kernels"},
    {"io"},
    {"data", "plots"},
    {"stats"},
    {"models"},
    {"dataset", "evaluate", "recommendation", "report"},
    {"privacy"},
    {"simulation", "tutor"},
    {"cli"},
    {"__init__", "__main__"},
]
MOST_FLOORS, MOST_ROOT_FILES = 10, 5


def modules_of(source: Path) -> dict[str, Path]:
    """The file of every module of a package, by its dotted name."""
    names = {path: ".".join(path.relative_to(source.parent).with_suffix("").parts) for path in source.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def imported(path: Path, modules: dict[str, Path]) -> set[str]:
    """The modules of the package that a file imports anywhere: at the top, under TYPE_CHECKING, in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else str(node.module) for name in names}
    return found & modules.keys()


def graph_of(source: Path) -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    modules = modules_of(source)
    return {name: imported(path, modules) - {name} for name, path in modules.items()}


def room_of(module: str) -> str:
    """The folder, or the file beside the folders, that a module stands in."""
    _, _, inside = module.partition(".")
    return inside.split(".")[0] or "__init__"


def too_high(graph: dict[str, set[str]], floors: list[set[str]]) -> list[str]:
    """The imports of another room that is on no lower floor."""
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    pairs = [(module, other) for module, others in graph.items() for other in others]
    pairs = [pair for pair in pairs if room_of(pair[0]) != room_of(pair[1])]
    return sorted(f"{a} imports {b}" for a, b in pairs if floor[room_of(b)] >= floor[room_of(a)])


def circles(graph: dict[str, set[str]]) -> list[str]:
    """The modules that import themselves by way of others."""

    def reached(module: str) -> set[str]:
        found: set[str] = set()
        ahead = set(graph[module])
        while ahead:
            found |= ahead
            ahead = set().union(*(graph[each] for each in ahead)) - found
        return found

    return sorted(module for module in graph if module in reached(module))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of two rooms that import each other, one of them out of sight."""
    for name, text in {
        "__init__": "",
        "low/__init__": "",
        "low/a": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.high.b import B\n",
        "high/__init__": "",
        "high/b": "def f():\n    from house.low import a\n    return a\n",
    }.items():
        path = tmp_path / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "house"


def test_imports_for_types_and_in_functions_count(package: Path) -> None:
    graph = graph_of(package)
    assert graph["house.low.a"] == {"house.high.b"}
    assert graph["house.high.b"] == {"house.low.a"}


def test_an_import_of_a_higher_floor_is_seen(package: Path) -> None:
    assert too_high(graph_of(package), [{"low"}, {"high"}, {"__init__"}]) == ["house.low.a imports house.high.b"]


def test_rooms_of_one_floor_do_not_import_each_other(package: Path) -> None:
    assert len(too_high(graph_of(package), [{"low", "high"}, {"__init__"}])) == 2


def test_a_circle_is_seen(package: Path) -> None:
    (package / "low" / "c.py").write_text("from house.low import a\n")
    assert circles(graph_of(package)) == ["house.high.b", "house.low.a"]


def test_there_is_no_circle() -> None:
    assert circles(graph_of(SOURCE)) == []


def test_every_room_stands_on_one_floor() -> None:
    assert sorted(room for rooms in FLOORS for room in rooms) == sorted({room_of(module) for module in modules_of(SOURCE)})
    assert len(FLOORS) <= MOST_FLOORS


def test_a_module_imports_its_own_room_and_lower_floors_alone() -> None:
    assert too_high(graph_of(SOURCE), FLOORS) == []


def test_few_files_stand_at_the_root() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= MOST_ROOT_FILES


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    """Lines of a function or class, a function's docstring left out."""
    first, last = node.body[0], node.end_lineno or node.lineno
    documented = ast.get_docstring(node) is not None and not isinstance(node, ast.ClassDef)
    return last - node.lineno + 1 - ((first.end_lineno or 0) - first.lineno + 1 if documented else 0)


def definitions(source: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Every function and class of a package, with its module."""
    for name, path in modules_of(source).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield name, node


def test_functions_and_classes_are_short() -> None:
    most = {True: 300, False: 60}  # of a class, of a function
    long = [f"{name}.{node.name}" for name, node in definitions(SOURCE) if lines_of(node) > most[isinstance(node, ast.ClassDef)]]
    assert long == []


def test_no_class_name_stands_twice() -> None:
    names = Counter(node.name for _, node in definitions(SOURCE) if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1] == []
