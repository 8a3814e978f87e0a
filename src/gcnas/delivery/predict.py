"""Classifying image files with a run's network and its own preprocessing."""

import csv
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO, TypeAlias

import numpy as np
import torch

from gcnas.data import Split
from gcnas.data.decode import SUFFIXES
from gcnas.data.folder import UNREAD, left_out_words, visible
from gcnas.data.source import SPLIT_WORDS
from gcnas.delivery.best import Model
from gcnas.errors import DataError
from gcnas.files import beside, is_file

BATCH = 64
STANDARD_OUTPUT = Path("-")
TABLES = (".csv", ".tsv", ".txt")
"""Endings, in lower case, of files that predictions may replace."""

FIRST_COLUMNS = b"path,label,probability,"
"""What a table of predictions begins with."""

Classify: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From images ``N x H x W x C`` uint8 to probabilities ``N x classes``."""


@dataclass(frozen=True)
class Prediction:
    """What a network says about one image.

    Attributes:
        path: The file.
        label: Name of the most probable class; None if the file could not be read.
        probability: Its probability.
        probabilities: Probability of every class, in the order of the model's class names.
        error: Why the file could not be read.
    """

    path: Path
    label: str | None = None
    probability: float | None = None
    probabilities: tuple[float, ...] = ()
    error: str | None = None


def predict_arrays(model: Model, images: np.ndarray) -> np.ndarray:
    """Probabilities ``N x classes`` of images ``N x H x W x C`` uint8 that are preprocessed already."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + BATCH]))
            logits = model.network(batch.permute(0, 3, 1, 2).float() / 255)
            parts.append(logits.softmax(1).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, len(model.class_names)))


def share_correct(classify: Classify, split: Split) -> float:
    """Share of the images of a split that are given their own class."""
    hits = 0
    for start in range(0, len(split), BATCH):
        rows = np.arange(start, min(start + BATCH, len(split)))
        hits += int((classify(split.take(rows)).argmax(1) == split.labels[rows]).sum())
    return hits / len(split)


def predict_files(model: Model, paths: Iterable[Path]) -> Iterator[Prediction]:
    """Classify image files one batch at a time; a broken file is reported and passed over."""
    waiting: list[Path] = []
    for path in paths:
        waiting.append(path)
        if len(waiting) == BATCH:
            yield from _predict_batch(model, waiting)
            waiting = []
    yield from _predict_batch(model, waiting)


def image_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, and all image files in the folders named but hidden ones, in order.

    Raises:
        DataError: If a path does not exist, a folder holds no image, or one in it cannot be read.
    """
    files: list[Path] = []
    for path in paths:
        try:
            found = [path] if not path.is_dir() else _images_in(path)
            exists = path.exists()
        except OSError as error:  # a name that is too long, a folder that may not be read
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error
        if not exists:
            raise DataError(f"There is no file {path}.")
        if not found:
            raise DataError(f"The folder {path} holds no image file. {unread_in([path])}".rstrip())
        files += found
    return files


def unread_in(paths: Iterable[Path]) -> str:
    """What is to be said of images in folders that are of kinds which are not decoded; empty if there are none."""
    folders = (path for path in paths if path.is_dir())
    endings = Counter(file.suffix.lower() for folder in folders for file in _files_in(folder))
    others = Counter({ending: number for ending, number in endings.items() if ending in UNREAD})
    return left_out_words(others) if others else ""


def _images_in(folder: Path) -> list[Path]:
    return [path for path in _files_in(folder) if path.suffix.lower() in SUFFIXES]


def _files_in(folder: Path) -> list[Path]:
    """All files of a folder. Links are followed where a search follows them: to folders of classes and of splits."""
    found: list[Path] = []
    followed = [folder, *(path for path in folder.iterdir() if path.name.lower() in SPLIT_WORDS)]

    def entered(path: Path) -> bool:
        leads_on = path.parent in followed and not path.parent.resolve().is_relative_to(path.resolve())
        return visible(path.name) and (leads_on or not path.is_symlink())

    for at, subfolders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        subfolders[:] = [name for name in subfolders if entered(Path(at, name))]
        found += [Path(at, name) for name in names if visible(name)]
    return sorted(found)


def _refuse(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}.") from error


def write_predictions(output: Path, model: Model, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
    """Write predictions into a CSV file while they pass.

    Columns: path, label, probability, one for each class, error. That of a class that has the name of another column
    is called ``class NAME``.

    Args:
        output: The file; ``-`` is standard output.
        model: Whose classes are named.
        predictions: What is written.

    Raises:
        DataError: If the file cannot be written, has the name of an image, or exists and is no table.
    """
    if output.suffix.lower() in SUFFIXES:
        raise DataError(
            f"{output} has the name of an image; predictions are written as CSV, into FILE.csv or '-'."
        )
    if output != STANDARD_OUTPUT and is_file(output) and not _is_table(output):
        raise DataError(
            f"{output} exists and is no table ({', '.join(TABLES)}): it is not replaced by one of predictions."
        )
    try:
        with _opened(output) as file:
            writer = csv.writer(file, lineterminator="\n")
            before, after = ["path", "label", "probability"], ["error"]
            taken, classes = {*before, *after}, list[str]()
            for name in model.class_names:
                column = name
                while column in taken or (column != name and column in model.class_names):
                    column = f"class {column}"
                classes.append(column)
            writer.writerow([*before, *classes, *after])
            for prediction in predictions:
                scores = prediction.probabilities or [""] * len(model.class_names)
                writer.writerow(
                    [prediction.path, prediction.label, prediction.probability, *scores, prediction.error]
                )
                yield prediction
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}.") from error


def _is_table(path: Path) -> bool:
    """Whether a file has the name of a table, or is one that was written here."""
    if path.suffix.lower() in TABLES:
        return True
    try:
        with path.open("rb") as file:
            first = file.read(len(FIRST_COLUMNS))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return first in (b"", FIRST_COLUMNS)


@contextmanager
def _opened(output: Path) -> Iterator[TextIO]:
    """A table that has its name when it is whole; until then one that is there stays."""
    if output == STANDARD_OUTPUT:
        yield sys.stdout
        return
    device = output.exists() and not is_file(output)
    at = output if device else beside(output.resolve())  # a link stays one
    try:
        # File names need not be UTF-8; their bytes are kept.
        with at.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            yield file
        if not device:
            at.replace(output.resolve())
    except BaseException:
        if not device:
            at.unlink(missing_ok=True)
        raise


def _predict_batch(model: Model, paths: Sequence[Path]) -> Iterator[Prediction]:
    images: dict[Path, np.ndarray] = {}
    errors: dict[Path, str] = {}
    for path in paths:
        try:
            images[path] = model.preprocessing.load_image(path)
        except DataError as error:
            errors[path] = str(error)
    scores = predict_arrays(model, np.stack(list(images.values()))) if images else np.zeros((0, 1))
    rows = dict(zip(images, scores, strict=True))
    for path in paths:
        if path in errors:
            yield Prediction(path, error=errors[path])
        else:
            row = rows[path]
            best = int(row.argmax())
            yield Prediction(
                path, model.class_names[best], float(row[best]), tuple(float(value) for value in row)
            )
