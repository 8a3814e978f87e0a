"""Sending an object, with classes of the user's own, from this process to one that it starts."""

import pickle
import runpy
import sys
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gcnas.errors import ConfigurationError
from gcnas.space.load import MODULE_PREFIX, execute

_MAIN = "__main__"
_WAY_OUT = (
    "Put it into a module or a file of its own (--space FILE.py:NAME, in Python space='FILE.py:NAME'), or search with "
    "workers=1 (a GCNASClassifier: with threads=1)."
)


@dataclass(frozen=True)
class Parcel:
    """A pickled object, and the files that must be executed before its classes are known.

    Parcels pass between a process and one that it started itself, never through a file.

    Attributes:
        content: The pickle.
        sources: Names and Python files of modules that cannot be imported by name.
        main: The user's script, if its classes are needed.
    """

    content: bytes
    sources: tuple[tuple[str, Path], ...] = ()
    main: Path | None = None


def pack(thing: Any, buffers: list[pickle.PickleBuffer] | None = None) -> Parcel:
    """Pack an object for :func:`unpack` in another process.

    Args:
        thing: The object.
        buffers: Gets what its arrays hold, which then is not in the parcel.

    Raises:
        ConfigurationError: If it cannot be pickled, or the other process could not find its classes.
    """
    try:
        content = pickle.dumps(thing, 5, buffer_callback=None if buffers is None else buffers.append)
    except Exception as error:
        raise ConfigurationError(
            f"Worker processes need what they evaluate sent to them, but {_reason(error)}. {_WAY_OUT}"
        ) from error
    own = {name: module for name, module in sys.modules.items() if name.startswith(MODULE_PREFIX)}
    sources = tuple(
        (name, Path(module.__file__).absolute())
        for name, module in own.items()
        if name.encode() in content and module.__file__ is not None
    )
    return Parcel(content, sources, _main_script() if _MAIN.encode() in content else None)


def unpack(parcel: Parcel, buffers: Iterable[Any] = ()) -> Any:
    """The object again.

    Args:
        parcel: What was packed.
        buffers: What its arrays hold, where that was left out; they share the memory, and are read-only if it is.

    Raises:
        SpaceError: If a file that defines its classes raises.
        Exception: Whatever the user's script or classes raise.
    """
    for name, path in parcel.sources:
        execute(path, name)
    if parcel.main is not None:
        # As multiprocessing does it: what stands under `if __name__ == "__main__"` is left out.
        script = types.ModuleType("__mp_main__")
        sys.modules[_MAIN] = sys.modules["__mp_main__"] = script
        script.__dict__.update(runpy.run_path(str(parcel.main), run_name="__mp_main__"))
    return pickle.loads(parcel.content, buffers=buffers)  # noqa: S301 - from our own parent process


def _main_script() -> Path:
    file = getattr(sys.modules[_MAIN], "__file__", None)
    if file is None or not Path(file).is_file():
        raise ConfigurationError(
            "Worker processes cannot see what is defined in a notebook or at the prompt, and the space is. "
            f"{_WAY_OUT}"
        )
    return Path(file).absolute()


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"it cannot be pickled ({type(error).__name__}: {lines[0] if lines else ''})"
