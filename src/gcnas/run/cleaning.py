"""Deleting what a run can do without, or all of it."""

import shutil
from pathlib import Path

from gcnas.run.folder import RunFolder


def delete_leftovers(path: Path) -> int:
    """Delete cached images, checkpoints and temporary files of killed processes.

    A run that goes on afterwards trains the candidates that it promotes from the beginning.

    Returns:
        Bytes freed.

    Raises:
        RunFolderError: If it is no run folder, or a process works on it.
    """
    folder = RunFolder.open(path)
    freed = 0
    with folder.locked():
        hidden = [item for item in folder.path.glob(".*") if item.name != ".lock"]
        for item in (folder.path / "cache", folder.checkpoints, *hidden):
            freed += sum(file.stat().st_size for file in (item, *item.rglob("*")) if file.is_file())
            if item.is_dir():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)
    return freed


def delete_run(path: Path) -> None:
    """Delete a run folder.

    Raises:
        RunFolderError: If it is none, or a process works on it.
    """
    folder = RunFolder.open(path)
    with folder.locked():
        shutil.rmtree(path)
