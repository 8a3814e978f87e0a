"""Deleting what a run can do without, or all of it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gcnas.errors import RunFolderError
from gcnas.run.folder import RunFolder

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}|\.run\.db\..+")
"""Names that this program gives to what it has not finished."""


def delete_leftovers(path: Path) -> int:
    """Delete cached images, checkpoints and temporary files of killed processes.

    A run that goes on afterwards trains the candidates that it promotes from the beginning.

    Returns:
        Bytes freed.

    Raises:
        RunFolderError: If it is no run folder, a process works on it, or the system keeps a file.
    """
    folder = RunFolder.open(path, unbegun=True)
    freed = 0
    with folder.locked(), _deleting(path):
        for item in (folder.path / "cache", folder.checkpoints, *_temporary(folder.path)):
            if item.is_symlink():  # what lies elsewhere stays
                item.unlink()
                continue
            freed += sum(file.stat().st_size for file in (item, *item.rglob("*")) if file.is_file())
            if item.is_dir():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)
    return freed


def _temporary(folder: Path) -> list[Path]:
    return [item for item in folder.glob(".*") if _TEMPORARY.fullmatch(item.name)]


def delete_run(path: Path) -> None:
    """Delete a run folder.

    Raises:
        RunFolderError: If it is none, a process works on it, or the system keeps a file.
    """
    folder = RunFolder.open(path, unbegun=True)
    with folder.locked(), _deleting(path):
        shutil.rmtree(path.resolve())
        if path.is_symlink():
            path.unlink()


@contextmanager
def _deleting(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"{error.filename or folder} cannot be deleted ({error.strerror or error}). Mend the permissions of its "
            "folder, then call the same command again."
        ) from error
