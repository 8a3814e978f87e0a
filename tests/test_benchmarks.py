"""The scripts in benchmarks/ and examples/ name what there is: most are too long to be run in a test."""

import ast
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "examples").glob("*.py")])


def tree(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Module of this package and name, for each import anywhere in a script."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gcnas":
            yield from ((node.module or "", alias.name) for alias in node.names)


def named(path: Path) -> Iterator[str]:
    """What a script uses by its full name: attributes of the package, and what it replaces for a while."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "gcnas":
            yield f"gcnas.{node.attr}"
        if isinstance(node, ast.Constant) and re.fullmatch(r"gcnas(\.\w+)+", str(node.value)):
            yield str(node.value)


def resolve(name: str) -> Any:
    """A module, or what is in one.

    Raises:
        AttributeError: If there is no such thing.
    """
    found: Any = import_module("gcnas")
    path = "gcnas"
    for word in name.split(".")[1:]:
        path = f"{path}.{word}"
        if not hasattr(found, word):
            with suppress(ModuleNotFoundError):
                import_module(path)
        found = getattr(found, word)
    return found


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_is_used_is_there(path: Path) -> None:
    for module, name in imported(path):
        resolve(f"{module}.{name}")
    for name in named(path):
        resolve(name)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_scripts_take_from_each_other_is_there(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (other := path.parent / f"{node.module}.py").is_file():
            body: Any = tree(other)
            known = {
                name.id
                for each in body.body
                if isinstance(each, ast.Assign | ast.AnnAssign)
                for name in ast.walk(each)
                if isinstance(name, ast.Name)
            }
            known |= {each.name for each in body.body if hasattr(each, "name")}
            known |= {
                alias.asname or alias.name
                for each in body.body
                if isinstance(each, ast.Import | ast.ImportFrom)
                for alias in each.names
            }
            assert {alias.name for alias in node.names} <= known


def test_what_is_gone_is_found(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import gcnas\npatch('gcnas.training.loop.gone', 1)\ngcnas.gone()\n")
    assert list(named(script)) == ["gcnas.training.loop.gone", "gcnas.gone"]
    for name in named(script):
        with pytest.raises(AttributeError):
            resolve(name)


def test_rows_follow_whole_lines(tmp_path: Path) -> None:
    """A full disk cuts the last line off; what is written when there is room again is not glued to it."""
    spec = spec_from_file_location("jobs", ROOT / "benchmarks" / "jobs.py")
    assert spec is not None
    assert spec.loader is not None
    jobs = module_from_spec(spec)
    spec.loader.exec_module(jobs)
    path, columns = tmp_path / "a.csv", ["a", "b"]
    jobs.append_rows(path, columns, [(1, "\u00e9")])
    with path.open("ab") as file:
        file.write("3,\u00e9".encode()[:-1])
    assert jobs.rows(path, columns) == [{"a": "1", "b": "\u00e9"}]
    jobs.append_rows(path, columns, [(3, 4)])
    assert path.read_text() == "a,b\n1,\u00e9\n3,4\n"
    # Rows that belong together are there as a whole or not at all.
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            jobs.append_rows(path, columns, [(number, 0) for number in range(9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    path.write_text("a,")
    assert jobs.rows(path, columns) == []
    jobs.append_rows(path, columns, [(5, 6)])
    assert path.read_text() == "a,b\n5,6\n"
