"""The best network in other forms; none of them needs this package."""

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gcnas.data import Dataset
from gcnas.delivery.best import LEFT_OUT, Model, read_together
from gcnas.delivery.predict import share_correct
from gcnas.errors import ConfigurationError, ExportError
from gcnas.export import export_program, int8_bytes, onnx_bytes
from gcnas.export.int8 import CALIBRATION_IMAGES
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.safetensors_reader import MAX_FILE_BYTES
from gcnas.files import beside, read_bounded, read_json, write_atomically
from gcnas.run.folder import swap

SCRIPTS = ("images.py", "predict.py")
PYTHON_FILES = ("model.py", "weights.safetensors", "preprocessing.json", "metrics.json")
MAX_DROP = 2.0
"""Points of accuracy that 8-bit integers may cost, unless the caller says otherwise."""

# The oldest date that a zip file can hold: equal networks give equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Exported:
    """A file or folder that was written.

    Attributes:
        path: Where it is.
        accuracy: Share of the validation images that it classifies correctly, where that was measured.
        float_accuracy: The same for the network it was made from.
        images: Number of validation images.
    """

    path: Path
    accuracy: float | None = None
    float_accuracy: float | None = None
    images: int | None = None

    @property
    def drop(self) -> float | None:
        """Points of accuracy lost (negative: gained), where that was measured."""
        if self.accuracy is None or self.float_accuracy is None:
            return None
        return 100 * (self.float_accuracy - self.accuracy)


def model_onnx(model: Model, images: np.ndarray | None = None) -> bytes:
    """The network as the content of an ONNX file; see :func:`~gcnas.export.onnx_bytes`.

    Args:
        model: The network.
        images: Images to check it on; by default made ones.

    Raises:
        ExportError: If the extra ``onnx`` is missing or the network has no ONNX form.
    """
    return onnx_bytes(
        model.network,
        model.image_shape,
        labels=model.class_names,
        preprocessing=model.preprocessing.to_json(),
        images=images,
    )


def model_int8(content: bytes, dataset: Dataset) -> bytes:
    """An ONNX file in 8-bit integers, calibrated on training images of a data set.

    Raises:
        ExportError: If it cannot be quantised.
    """
    split = dataset.train()
    rows = np.random.default_rng(0).permutation(len(split))[:CALIBRATION_IMAGES]
    return int8_bytes(content, split.take(np.sort(rows)))


def export_torch(model: Model, path: Path) -> Path:
    """Write a ``torch.export`` program for batches of any size.

    Raises:
        ExportError: If the network cannot be traced or the file cannot be written.
    """
    try:
        export_program(model.network, model.image_shape, path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
    return path


def export_onnx(model: Model, path: Path) -> Path:
    """Write an ONNX file: uint8 images in, probabilities out.

    Raises:
        ExportError: If the extra ``onnx`` is missing, the network has no ONNX form, or the file cannot be written.
    """
    return _write(path, model_onnx(model))


def export_int8(
    model: Model, dataset: Dataset, path: Path, *, max_drop: float = MAX_DROP, force: bool = False
) -> Exported:
    """Write an ONNX file in 8-bit integers, and measure what that costs on the validation split.

    Args:
        model: The network.
        dataset: The run's data: training images calibrate, validation images measure; the test split stays shut.
        path: The file.
        max_drop: Most points of accuracy that may be lost.
        force: Whether to write it whatever is lost.

    Raises:
        ConfigurationError: If ``max_drop`` is no number of points.
        ExportError: If more is lost, or for the reasons of :func:`export_onnx`.
    """
    if not 0 <= max_drop <= 100:
        raise ConfigurationError(f"--max-drop is a number of points from 0 to 100, but got {max_drop:g}.")
    whole = model_onnx(model, dataset.train().images)
    content = model_int8(whole, dataset)
    validation = dataset.validation()
    before, after = (share_correct(OnnxClassifier(form), validation) for form in (whole, content))
    exported = Exported(path, after, before, len(validation))
    if not force and 100 * (before - after) > max_drop + 1e-9:
        raise ExportError(
            f"In 8-bit integers the network may lose at most {max_drop:g} points of accuracy, but it falls from "
            f"{before:.1%} to {after:.1%} of {len(validation)} validation images. Allow more with --max-drop, or "
            "write it all the same with --force."
        )
    _write(path, content)
    return exported


def export_python(source: Path, path: Path) -> Path:
    """Copy source, weights and preprocessing into a folder of their own.

    Args:
        source: Where the network lies: ``best``, or a grown one in ``scaled``.
        path: The folder.

    Raises:
        ExportError: If the network has no ``model.py``, or the folder holds other files or cannot be written; what
            was exported there before is then as it was.
    """
    contents = read_together(source, lambda: _python_files(source))
    ours = {*PYTHON_FILES, "__pycache__"}  # left there by who imports the model
    try:
        if path.exists() and (not path.is_dir() or any(file.name not in ours for file in path.iterdir())):
            raise ExportError(f"{path} already holds other files; choose another place with --out.")
        _write_folder(path, contents)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
    return path


def _python_files(source: Path) -> dict[str, bytes]:
    """The files of a network as Python source.

    Raises:
        ExportError: If it has no ``model.py``, or they cannot be read.
    """
    if not (source / "model.py").is_file():
        metrics = read_json(source / "metrics.json")
        reason = metrics.get(LEFT_OUT) if isinstance(metrics, dict) else None
        raise ExportError(str(reason or f"{source} has no model.py."))
    try:
        return {name: read_bounded(source / name, MAX_FILE_BYTES) for name in PYTHON_FILES}
    except (OSError, ValueError) as error:
        raise ExportError(f"{source} cannot be read: {error}.") from error


def _write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write files as a folder; one that holds older ones is replaced as a whole.

    Raises:
        OSError: If the disk refuses; an older folder is then as it was.
    """
    whole = path.resolve()  # a link stays one
    whole.parent.mkdir(parents=True, exist_ok=True)
    if whole.is_dir() and (not any(whole.iterdir()) or whole == Path.cwd() or whole.is_mount()):
        # Nothing to mix up with, or a folder that cannot be another one.
        for name, content in contents.items():
            write_atomically(whole / name, content)
        return
    fresh = beside(whole)
    try:
        fresh.mkdir()
        for name, content in contents.items():
            write_atomically(fresh / name, content)
        swap(fresh, whole, beside(whole))
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def export_zip(model: Model, path: Path) -> Path:
    """Write ``model.onnx``, ``labels.json``, ``preprocessing.json``, ``images.py`` and ``predict.py`` into one file.

    ``predict.py`` prints what ``gcnas predict`` prints; ``images.py`` reads image files as the training did. They
    need only onnxruntime 1.20, numpy and pillow 11.3, or newer ones.

    Raises:
        ExportError: For the reasons of :func:`export_onnx`.
    """
    contents = {
        "model.onnx": model_onnx(model),
        "labels.json": json.dumps(model.class_names, indent=1).encode(),
        "preprocessing.json": json.dumps(model.preprocessing.to_json(), indent=1).encode(),
        **{name: files("gcnas.delivery").joinpath("standalone", name).read_bytes() for name in SCRIPTS},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> Path:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
    return path
