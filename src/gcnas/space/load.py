"""Finding a search space by name, or in a user's own Python file."""

import hashlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from gcnas.errors import SpaceError
from gcnas.files import is_file
from gcnas.space.presets import PRESETS
from gcnas.space.search_space import SearchSpace

MODULE_PREFIX = "gcnas_space_"
"""Modules made of users' files are called by this, the name of the file and a digest of where it is."""

_executed: dict[str, tuple[bytes, ModuleType]] = {}


def load_space(reference: str) -> SearchSpace:
    """The space that ``reference`` names.

    Args:
        reference: Name of a preset, or ``FILE.py:NAME`` for the variable ``NAME`` of a Python file. The file is
            executed: name only files that you trust.

    Raises:
        SpaceError: If there is no such preset, file or variable, or the file raises.
    """
    if reference in PRESETS:
        return PRESETS[reference]
    if (place := in_file(reference)) is None:
        raise SpaceError(
            f"A space is one of {sorted(PRESETS)} or FILE.py:NAME, for example my_space.py:SPACE, but got "
            f"{reference!r}."
        )
    path, name = place
    space = getattr(execute(path), name, None)
    if not isinstance(space, SearchSpace):
        raise SpaceError(f"{path} must define {name} = SearchSpace(...), but {name} is {type(space).__name__}.")
    return space


def in_file(reference: str) -> tuple[Path, str] | None:
    """File and variable of ``FILE.py:NAME``; None if it has another form."""
    path, separator, name = reference.rpartition(":")
    return (Path(path), name) if separator and path.endswith(".py") and name.isidentifier() else None


def execute(path: Path, module_name: str | None = None) -> object:
    """Execute a Python file as a module of its own, once as long as it stays the same; name only files that you trust.

    Args:
        path: The file.
        module_name: What another process calls the module; by default it follows from the path.

    Raises:
        SpaceError: If it does not exist, cannot be read, raises, or is no Python file.
    """
    if not is_file(path):
        raise SpaceError(f"The file does not exist: {path}.")
    # Several files may have the same name.
    place = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:8]
    name = module_name or f"{MODULE_PREFIX}{path.stem}_{place}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SpaceError(f"{path} cannot be read: {error.strerror}.") from error
    if (known := _executed.get(name)) is not None and known[0] == content:
        return known[1]  # whoever names it twice means the same classes
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SpaceError(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Registered so that inspect.getsource finds the classes when the network is exported as source.
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        if before is not None:
            sys.modules[name] = before
        raise SpaceError(f"{path} raised {type(error).__name__}: {error}") from error
    _executed[name] = content, module
    return module
