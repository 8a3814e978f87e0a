"""What is there, reading files of bounded size, and writing one so that nobody meets half of the new content."""

import errno
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from gcnas.errors import RunFolderError

MAX_JSON = 10_000_000
"""Bytes of a JSON file that are read."""


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


def printable(text: str) -> str:
    """A text whose control characters, but for tabs and ends of lines, are spelt out: a terminal would follow them."""
    return text.translate(_CONTROLS)


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


def check_regular(path: Path, most: int) -> None:
    """See to it that a file ends: a device need not, and a pipe waits for a writer.

    Raises:
        OSError: If it is missing, or a folder.
        ValueError: If it is no regular file, or has more bytes than these.
    """
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no regular file")
    if status.st_size > most:
        raise ValueError(f"it is larger than {most:,} bytes")


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a regular file of at most so many bytes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file.
    """
    check_regular(path, most)
    with path.open("rb") as file:
        return file.read(most)


def read_json(path: Path) -> Any:
    """Read a JSON file of bounded size.

    Raises:
        RunFolderError: If it cannot be read.
    """
    try:
        return json.loads(read_bounded(path, MAX_JSON).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # no JSON, no UTF-8, a number of thousands of digits
        raise RunFolderError(f"{path} cannot be read: {error}.") from error
