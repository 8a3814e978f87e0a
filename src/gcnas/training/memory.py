"""Memory that a finished training leaves behind."""

import ctypes
from contextlib import suppress
from functools import cache

import torch


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
