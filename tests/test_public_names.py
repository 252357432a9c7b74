"""What ``import adaptrace`` gives, and what it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import adaptrace


def names_in_the_stub() -> dict[str, str]:
    """Name -> the module that type checkers are told it comes from."""
    stub = ast.parse(Path(adaptrace.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.name == alias.asname for node in imports for alias in node.names)  # else the name is private
    return {alias.name: node.module for node in imports for alias in node.names}


def test_the_public_names_are_sorted_and_each_stands_once() -> None:
    assert adaptrace.__all__ == sorted(set(adaptrace.__all__))


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    assert names_in_the_stub() == {
        **dict.fromkeys(adaptrace._MODULES, "adaptrace"),
        **{name: f"adaptrace.{module}" for name, module in adaptrace._MODULE_OF.items()},
    }


@pytest.mark.parametrize("name", adaptrace.__all__)
def test_a_public_name_is_importable_and_documented(name: str) -> None:
    assert getattr(adaptrace, name).__doc__


def test_dir_lists_the_public_names_and_nothing_private() -> None:
    assert set(dir(adaptrace)) == {*adaptrace.__all__, "__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'adaptrace' has no attribute 'BKTT'"):
        adaptrace.BKTT  # noqa: B018


def test_every_error_is_one_of_ours_and_of_the_builtin_kind() -> None:
    for name, builtin in {"DataError": ValueError, "OutputError": OSError, "UnknownItemError": KeyError}.items():
        assert issubclass(getattr(adaptrace, name), (adaptrace.AdaptraceError, builtin))
        assert issubclass(getattr(adaptrace, name), builtin)


@pytest.mark.parametrize("heavy", ["numba", "pyarrow", "numpy", "typer"])
def test_importing_the_package_does_not_import(heavy: str) -> None:
    code = f"import sys, adaptrace; sys.exit('{heavy}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_version_is_the_installed_one() -> None:
    from importlib.metadata import version

    assert version("adaptrace") == adaptrace.__version__


def test_reports_stand_in_a_room_of_their_own() -> None:
    for name in ("growth", "mastery_by", "pace", "small_groups", "stuck"):
        assert callable(getattr(adaptrace.report, name))
        assert name not in dir(adaptrace)
        assert not hasattr(adaptrace, name)
