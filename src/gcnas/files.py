"""What is there, and writing a file so that a reader, or a crash, meets either the old content or the new one."""

import errno
import os
import secrets
from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether there is such a file; one that may not be looked at, or whose name is too long, is not there."""
    return os.path.isfile(path)  # noqa: PTH113 - that of pathlib raises


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; one that may not be looked at, or whose name is too long, is not there."""
    return os.path.isdir(path)  # noqa: PTH112 - that of pathlib raises


def beside(path: Path) -> Path:
    """A hidden name in the same folder that nothing has."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the content of a file at one instant, and make sure that it is on the disk.

    Raises:
        OSError: If the folder is missing, read-only or full, or the path is that of a folder such as ``.``; the old
            file is then as it was.
    """
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    temporary = beside(path)
    try:
        # The user's mask decides who may read it.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        error.filename = str(path)  # who reads the message knows nothing of temporary files
        raise
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
