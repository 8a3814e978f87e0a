"""The ``build`` method of a user's layer type as a plain function in ``model.py``."""

import ast
import inspect
import textwrap
from collections.abc import Iterator

from gcnas.errors import ExportError
from gcnas.export.definitions import Definitions, file_of, source_lines
from gcnas.space import LayerType


def add_own_build(layer_type: LayerType, definitions: Definitions) -> str:
    """Copy a type's ``build`` as a function ``build_<type>(shape, values)``.

    Returns:
        Name of the function.

    Raises:
        ExportError: If the method cannot stand alone.
    """
    name = f"build_{layer_type.name}"
    try:
        code = inspect.unwrap(type(layer_type).build).__code__
        definitions.add(file_of("gcnas.space.shape"), "Shape")
        definitions.add_text(code.co_filename, name, _as_function(name, code.co_filename, code.co_firstlineno))
    except (ExportError, AttributeError, SyntaxError) as error:
        raise ExportError(
            f"The layer type {layer_type.name!r} cannot be written as Python source: {error}. Its build must "
            "use only its arguments, torch, the standard library, and what is defined at the top level of the "
            "same file. Without model.py, the weights, model.onnx and the torch program are there all the same."
        ) from error
    return name


def _as_function(name: str, path: str, line: int) -> str:
    lines = source_lines(path)
    node = next(
        (
            node
            for node in ast.walk(ast.parse("".join(lines)))
            if isinstance(node, ast.FunctionDef)
            and line in (node.lineno, *(decorator.lineno for decorator in node.decorator_list))
        ),
        None,
    )
    if node is None:
        raise ExportError(f"there is no method in line {line} of {path}")
    arguments = [argument.arg for argument in node.args.posonlyargs + node.args.args]
    if len(arguments) != 3 or node.decorator_list:
        raise ExportError(
            f"build must be a plain method build(self, shape, values), not {ast.unparse(node.args)}"
        )
    this = arguments[0]
    used = (name for statement in node.body for name in _names(statement, frozenset({this, "super"})))
    if (found := next(used, None)) is not None:
        raise ExportError(f"build uses {found!r}")
    first = node.body[0]
    begin = min(part.lineno for part in (first, *getattr(first, "decorator_list", ())))
    body = lines[begin - 1 : node.end_lineno]
    if begin == node.lineno:
        body = [f"{ast.unparse(statement)}\n" for statement in node.body]
    text = textwrap.indent(textwrap.dedent("".join(body)), "    ").rstrip()
    return f"def {name}({', '.join(arguments[1:])}):\n{text}"


def _names(node: ast.AST, wanted: frozenset[str]) -> Iterator[str]:
    """Those of some names that code refers to, and that mean nothing else in a class or a function inside it."""
    if isinstance(node, ast.Name) and node.id in wanted:
        yield node.id
    if isinstance(node, ast.ClassDef):
        wanted -= {"super"}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        arguments = node.args
        wanted -= {each.arg for each in arguments.posonlyargs + arguments.args + arguments.kwonlyargs}
    for child in ast.iter_child_nodes(node):
        yield from _names(child, wanted)
