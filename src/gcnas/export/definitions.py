"""Copies of classes and functions, with all that they refer to, out of the files that define them."""

import ast
import builtins
import importlib.util
import linecache
import symtable
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from gcnas.errors import ExportError


@dataclass(frozen=True, order=True)
class Import:
    """One imported name: ``import module as alias``, or ``from module import name as alias``."""

    module: str
    name: str = ""
    alias: str = ""

    @property
    def portable(self) -> bool:
        """Whether it is torch or the standard library."""
        package = self.module.partition(".")[0]
        return package == "torch" or package in sys.stdlib_module_names


@dataclass(frozen=True)
class _File:
    """What the top level of a Python file defines and imports, by name."""

    path: str
    statements: dict[str, str]
    imports: dict[str, Import]


def source_lines(path: str) -> list[str]:
    """Lines of a file as it is now; cells of notebooks are no files, and stay as they were."""
    linecache.checkcache(path)
    return linecache.getlines(path)


class Definitions:
    """Collects definitions so that each stands after those that it refers to.

    A name that a definition refers to must be a built-in, imported from torch or the standard library, or
    defined at the top level of the same file or of one of this package; the latter two are copied as well.

    Attributes:
        imports: What the copies import.
        texts: The copies, by name.
    """

    def __init__(self) -> None:
        self.imports: set[Import] = set()
        self.texts: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def add(self, path: str, name: str) -> None:
        """Copy what a file defines under a name, and all that it refers to.

        Raises:
            ExportError: If a name is not found, imported from elsewhere, or means two things.
        """
        file = _parse(path, "".join(source_lines(path)))
        if name in file.imports:
            self._add_import(file, name)
        elif name in file.statements:
            self.add_text(path, name, file.statements[name])
        elif not hasattr(builtins, name):
            raise ExportError(f"{name!r} is not defined at the top level of {path}")

    def add_text(self, path: str, name: str, text: str) -> None:
        """Add a definition, written as if it stood in a file, and all that it refers to.

        Raises:
            ExportError: As :meth:`add`.
        """
        if self._claimed(name, f"{path}:{name}"):
            return
        for needed in _imports(ast.parse(text)):
            if not needed.portable:
                raise ExportError(f"it imports {needed.module!r}, which is neither torch nor standard library")
        for reference in _references(text):
            self.add(path, reference)
        self.texts[name] = text

    def _add_import(self, file: _File, name: str) -> None:
        imported = file.imports[name]
        if imported.portable:
            self._claimed(name, str(imported if imported.name or imported.alias else name))
            self.imports.add(imported)
        elif imported.module.partition(".")[0] == "gcnas" and imported.name == name:
            self.add(file_of(imported.module), name)
        else:
            raise ExportError(
                f"{name!r} comes from {imported.module!r}, which is neither torch nor standard library; define "
                f"it in {file.path}"
            )

    def _claimed(self, name: str, origin: str) -> bool:
        """Whether a name was taken before, by the same thing."""
        if self._origins.get(name, origin) != origin:
            raise ExportError(f"two different things are called {name!r}; rename one of them")
        known = name in self._origins
        self._origins[name] = origin
        return known


def file_of(module: str) -> str:
    """Path of a module's source file.

    Raises:
        ExportError: If there is none.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):  # ValueError: __main__, and what was made by hand
        spec = None
    if spec is None or spec.origin is None:
        raise ExportError(f"the module {module!r} has no source file")
    return spec.origin


def import_lines(imports: Iterable[Import]) -> list[str]:
    """Import statements, sorted: standard library, an empty line, torch."""
    sections = []
    for torch_section in (False, True):
        chosen = [entry for entry in imports if (entry.module.partition(".")[0] == "torch") == torch_section]
        plain = sorted(entry for entry in chosen if not entry.name)
        lines = [f"import {entry.module}" + (f" as {entry.alias}" * bool(entry.alias)) for entry in plain]
        for module in sorted({entry.module for entry in chosen if entry.name}):
            named = [entry for entry in chosen if entry.module == module and entry.name]
            names = sorted((entry.name for entry in named if not entry.alias), key=_import_order)
            lines += [f"from {module} import {', '.join(names)}"] if names else []
            aliased = sorted(entry for entry in named if entry.alias)
            lines += [f"from {module} import {entry.name} as {entry.alias}" for entry in aliased]
        sections.append(lines)
    standard, torch_lines = sections
    return [*standard, *([""] if standard and torch_lines else []), *torch_lines]


def _import_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest, as import sorters have it."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@lru_cache(maxsize=32)
def _parse(path: str, source: str) -> _File:
    tree, lines = ast.parse(source), source.split("\n")  # splitlines would split at form feeds too
    statements = {}
    for node in tree.body:
        decorators = getattr(node, "decorator_list", [])
        first = min(part.lineno for part in [node, *decorators])
        for name in _bound(node):
            statements[name] = "\n".join(lines[first - 1 : node.end_lineno])
    top = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
    imports = {
        entry.alias or entry.name or entry.module.partition(".")[0]: entry
        for node in top
        for entry in _imports(node)
    }
    return _File(path, statements, imports)


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = (
        node.targets
        if isinstance(node, ast.Assign)
        else [node.target]
        if isinstance(node, ast.AnnAssign)
        else []
    )
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _imports(tree: ast.AST) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parent, _, child = alias.name.rpartition(".")
                if alias.asname and parent:  # import torch.nn as nn: from torch import nn
                    yield Import(parent, child, _unless(alias.asname, child))
                else:
                    yield Import(alias.name, alias=alias.asname or "")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = "." * node.level + (node.module or "")
                yield Import(module, alias.name, _unless(alias.asname, alias.name))


def _unless(alias: str | None, name: str) -> str:
    """The alias; nothing where it is the name itself, so that one thing is written in one way."""
    return "" if alias is None or alias == name else alias


def _references(text: str) -> list[str]:
    """Global names that a piece of source refers to and does not define, sorted."""
    top = symtable.symtable(text, "<definition>", "exec")
    # From Python 3.12 on, what a comprehension counts with is among them; from 3.14 on, a name for annotations too.
    own = {"__conditional_annotations__"} | {s.get_name() for s in top.get_symbols() if s.is_assigned()}
    names = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_referenced()} - own
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        names |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
        tables += table.get_children()
    return sorted(names)
