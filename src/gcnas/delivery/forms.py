"""The best network in other forms; none of them needs this package."""

import shutil
from pathlib import Path

from gcnas.delivery.best import Model
from gcnas.errors import ExportError, RunFolderError
from gcnas.export import export_program
from gcnas.run.folder import RunFolder

PYTHON_FILES = ("model.py", "weights.safetensors", "preprocessing.json", "metrics.json")


def export_torch(model: Model, path: Path) -> Path:
    """Write a ``torch.export`` program for batches of any size.

    Raises:
        ExportError: If the network cannot be traced or the file cannot be written.
    """
    image = model.space.fitted
    try:
        export_program(model.network, (image.channels, image.height, image.width), path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
    return path


def export_python(run: Path, path: Path) -> Path:
    """Copy source, weights and preprocessing into a folder of their own.

    Raises:
        RunFolderError: If the run has no best network yet.
        ExportError: If the folder holds other files or cannot be written.
    """
    best = RunFolder.open(run).best
    if not best.is_dir():
        raise RunFolderError(f"{run} has no best network yet; let the search finish a candidate.")
    if path.exists() and (not path.is_dir() or any(file.name not in PYTHON_FILES for file in path.iterdir())):
        raise ExportError(f"{path} already holds other files; choose another place with --out.")
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in PYTHON_FILES:
            shutil.copyfile(best / name, path / name)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
    return path
