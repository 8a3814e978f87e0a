"""Memory that runs out, and that which a finished training leaves behind."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import torch

from gcnas.errors import NO_MEMORY, OutOfMemoryError


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turn PyTorch's and Python's ways to run out of memory into one error.

    Raises:
        OutOfMemoryError: In their place.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemoryError(
            f"Memory ran out: {str(error).splitlines()[0] if str(error) else repr(error)}"
        ) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in NO_MEMORY):
            raise
        raise OutOfMemoryError(f"Memory ran out: {str(error).splitlines()[0]}") from error


def return_freed_memory() -> None:
    """Give memory that is free but still held by the allocator back to the system, where that can be asked for.

    Networks of hundreds of shapes leave holes of all sizes: without this a process grows by some 20 MB per
    hundred small candidates. It takes a few milliseconds. Memory of a GPU that this process holds is missed by others
    that use it.
    """
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        with suppress(RuntimeError):  # of a GPU that a candidate has spoilt, whose error is the one to tell
            torch.cuda.empty_cache()
    if (trim := _trim()) is not None:
        trim(0)


@cache
def _trim() -> "ctypes._NamedFuncPointer | None":
    try:
        # Only the GNU C library has it; other allocators hold back less.
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
