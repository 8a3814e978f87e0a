"""Images and labels in arrays, from Python or out of an ``.npz`` file, found by their usual names."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gcnas.data.decode import decode, eight_bits, upright
from gcnas.data.pixels import to_pixels
from gcnas.data.source import (
    MAX_CLASSES,
    SPLIT_NAMES,
    SPLIT_WORDS,
    TRAIN,
    UNSPLIT,
    Block,
    Source,
    Survey,
    batches,
    number_classes,
)  # fmt: skip
from gcnas.errors import DataError

# Best name first: scikit-learn's digits hold flat rows as "data" beside the "images".
_IMAGE_WORDS = ("images", "image", "imgs", "x", "data")
_LABEL_WORDS = ("labels", "label", "y", "targets", "target")
_EXPECTED = (
    "Expected arrays named images and labels, x and y, or train_images, train_labels "
    "(x_train, y_train) and the same with val and test"
)
_GREY_SAMPLE = 256
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class ArrayImages:
    """Images in arrays of one shape, (n, H, W, C) uint8 each, one after the other."""

    parts: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def describe(self, row: int) -> str:
        """The position of an image."""
        return f"image {row}"

    def survey(self) -> Survey:
        """Sizes and modes from the shape; whether colours are grey from a sample."""
        height, width, channels = self.parts[0].shape[1:]
        grey = channels == 1 or all(
            (sample[..., :1] == sample[..., :3]).all()
            for part in self.parts
            for sample in [part[:: max(1, len(part) // _GREY_SAMPLE)]]
        )
        sizes = np.tile(np.array([width, height], dtype=np.int64), (len(self), 1))
        return Survey(sizes, (_MODES[channels],) * len(self), {}, grey)

    def blocks(self, resolution: tuple[int, int], channels: int) -> Iterator[Block]:
        """Resize all images in order, or pass them on where nothing has to be done."""
        start = 0
        for part in self.parts:
            for rows in batches(len(part), 2 * math.prod(resolution) * channels):
                pixels = part[rows]
                if pixels.shape[1:] != (*resolution, channels):
                    pixels = np.stack([decode(_picture(image), resolution, channels) for image in pixels])
                yield Block(start, pixels, {})
                start += len(pixels)


@dataclass(frozen=True)
class Selection:
    """Which arrays hold what.

    Attributes:
        pairs: Names of the images and of the labels, by split code.
        class_names: Name of the array of class names, if there is one.
        ignored: Names of the arrays that are not used.
    """

    pairs: Mapping[int, tuple[str, str]]
    class_names: str | None
    ignored: tuple[str, ...]

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the arrays to read."""
        names = [name for pair in self.pairs.values() for name in pair]
        return (*names, self.class_names) if self.class_names else tuple(names)


def select(names: Iterable[str]) -> Selection:
    """Find images and labels among the names of arrays.

    Raises:
        DataError: There are none, or images without labels.
    """
    names = list(names)
    best: dict[tuple[int, bool], tuple[int, str]] = {}
    class_names = None
    for name in names:
        if re.sub(r"[^a-z]", "", name.lower()) in ("classnames", "classes", "labelnames", "targetnames"):
            class_names = name
            continue
        meaning = _meaning(name)
        if meaning is not None:
            split, is_images, rank = meaning
            best[split, is_images] = min(best.get((split, is_images), (rank, name)), (rank, name))
    splits = {split for split, _ in best}
    if UNSPLIT in splits and TRAIN not in splits and len(splits) > 1:
        # Beside those for a test, the others are for training.
        best |= {(TRAIN, is_images): found for (split, is_images), found in best.items() if split == UNSPLIT}
        splits.add(TRAIN)
    # Whole-set arrays beside split ones would hold the same images twice.
    used = splits - {UNSPLIT} if splits != {UNSPLIT} else splits
    if splits and not used & {TRAIN, UNSPLIT}:
        raise DataError(f"{_EXPECTED}; there are none for training among {_listed(names)}.")
    pairs = {}
    for split in sorted(used):
        if (split, True) not in best or (split, False) not in best:
            missing = "labels" if (split, True) in best else "images"
            whose = f" for {SPLIT_NAMES[split]}" if split != UNSPLIT else ""
            raise DataError(f"{_EXPECTED}; there are no {missing}{whose} among {_listed(names)}.")
        pairs[split] = best[split, True][1], best[split, False][1]
    if not pairs:
        raise DataError(f"{_EXPECTED}; found {_listed(names)}.")
    selection = Selection(pairs, class_names, ())
    return Selection(pairs, class_names, tuple(name for name in names if name not in selection.used))


def read_arrays(arrays: Mapping[str, Any], selection: Selection, name: str, kind: str) -> Source:
    """Make a source of the selected arrays.

    Raises:
        DataError: An array does not hold images or labels, or they do not fit each other.
    """
    splits = list(selection.pairs)
    images = [_array(arrays, selection.pairs[split][0]) for split in splits]
    labels = [_labels(arrays, selection.pairs[split][1]) for split in splits]
    parts = to_pixels(images, [selection.pairs[split][0] for split in splits])
    for split, part, values in zip(splits, parts, labels, strict=True):
        if len(part) != len(values):
            first, second = selection.pairs[split]
            raise DataError(
                f"Every image has one label; '{first}' holds {len(part):,} images, "
                f"'{second}' {len(values):,} labels."
            )
    names = _class_of_each(labels, _names(arrays, selection.class_names))
    numbers, class_names = names
    notices = (f"Arrays not used: {_listed(selection.ignored)}.",) if selection.ignored else ()
    given = np.repeat(splits, [len(part) for part in parts]).astype(np.int8)
    return Source(name, kind, ArrayImages(tuple(parts)), numbers, class_names, given, notices)


def _meaning(name: str) -> tuple[int, bool, int] | None:
    """Split, whether images or labels, and rank among synonyms; ``x_train``, ``TrainImages``, ``y``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    words = [word for word in re.split(r"[^a-z]+", spaced) if word]
    if len(words) == 1 and (glued := re.fullmatch(r"([xy])(train|val|valid|test)", words[0])):
        words = list(glued.groups())
    split = UNSPLIT
    if len(words) == 2:
        placed = [word for word in words if word in SPLIT_WORDS]
        if len(placed) != 1:
            return None
        split = SPLIT_WORDS[placed[0]]
        words.remove(placed[0])
    if len(words) != 1:
        return None
    for is_images, synonyms in ((True, _IMAGE_WORDS), (False, _LABEL_WORDS)):
        if words[0] in synonyms:
            return split, is_images, synonyms.index(words[0])
    return None


def _array(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        array = np.asarray(_plain(arrays[name], name))
    except ValueError as error:
        raise DataError(f"'{name}' must be an array with equal rows; it is not: {error}.") from error
    except (TypeError, RuntimeError) as error:
        # A tensor with gradients, on a GPU, or of a type that NumPy lacks.
        raise DataError(
            f"'{name}' cannot be made a NumPy array ({error}). Of a tensor give .detach().cpu().numpy()."
        ) from error
    if array.dtype == object and array.size and all(isinstance(value, str) for value in array.flat):
        array = array.astype(str)  # as tables of pandas hold them
    if array.dtype.hasobject or array.dtype.fields is not None:
        raise DataError(f"'{name}' must hold numbers or text, not Python objects (dtype {array.dtype}).")
    return array


def _plain(values: Any, name: str) -> Any:
    """Pictures of Pillow whose numbers are no brightnesses, or of several modes, as such that have them.

    Those of one kind have one scale, as arrays do.

    Raises:
        DataError: If it cannot be told what is black and white in one of several kinds.
    """
    if not isinstance(values, list | tuple) or not all(isinstance(value, Image.Image) for value in values):
        return values
    values = [upright(image) for image in values]  # as files are read, and predictions
    modes, clear = {image.mode for image in values}, any(image.has_transparency_data for image in values)
    if len(modes) == 1 and modes <= {"1", "L", "RGB", "RGBA"} and (not clear or modes == {"RGBA"}):
        return values
    if modes == {"F"}:
        return [np.asarray(image) for image in values]
    if all(mode.startswith("I") for mode in modes):
        numbers = [np.asarray(image) for image in values]
        fits = all(each.min() >= 0 and each.max() <= 65_535 for each in numbers)
        return [each.astype(np.uint16) for each in numbers] if fits else numbers
    mode, found = "RGBA" if clear else "RGB", []
    for number, image in enumerate(values):
        try:
            found.append(eight_bits(image).convert(mode))
        except DataError as error:
            raise DataError(f"Image {number} of '{name}' has no scale: {error}.") from error
    return found


def _labels(arrays: Mapping[str, Any], name: str) -> np.ndarray:
    values = _array(arrays, name)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"Labels have the shape (N,) or (N, 1); '{name}' has {values.shape}. "
            "For one column per class, pass labels.argmax(axis=1)."
        )
    if values.dtype.kind == "f":
        if not np.isfinite(values).all() or (values != np.round(values)).any() or (abs(values) > 2**53).any():
            raise DataError(f"Labels are integers or text; '{name}' holds other numbers.")
        values = values.astype(np.int64)
    if values.dtype.itemsize == 0 and len(values):
        raise DataError(f"The labels in '{name}' are empty texts.")
    if values.dtype.kind not in "biuUS":
        raise DataError(f"Labels are integers or text; '{name}' holds {values.dtype}.")
    values = _text(values)
    if values.dtype.kind == "U" and (np.char.strip(values) == "").any():
        raise DataError(f"Some labels in '{name}' are empty texts.")
    return values


def _text(values: np.ndarray) -> np.ndarray:
    """Bytes as text, in which different ones stay different."""
    return np.char.decode(values, "utf-8", "backslashreplace") if values.dtype.kind == "S" else values


def _names(arrays: Mapping[str, Any], name: str | None) -> tuple[str, ...]:
    if name is None:
        return ()
    values = _array(arrays, name)
    if values.ndim != 1 or len(values) > MAX_CLASSES:
        raise DataError(f"Class names are a list of at most {MAX_CLASSES:,}; '{name}' has {values.shape}.")
    names = tuple(map(str, _text(values).tolist()))
    if len(set(names)) != len(names):
        raise DataError(f"Class names differ from each other; '{name}' repeats one.")
    return names


def _class_of_each(labels: list[np.ndarray], names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels 0..K-1 over all splits and the names of the K classes."""
    kinds = {"text" if part.dtype.kind == "U" else "integers" for part in labels}
    if len(kinds) > 1:
        raise DataError("Labels are of one kind in all splits; these are integers in one and text in another.")
    values, inverse = np.unique(np.concatenate(labels), return_inverse=True)
    if len(values) > MAX_CLASSES:
        raise DataError(f"There must be 2 to {MAX_CLASSES:,} classes; the labels have {len(values):,} values.")
    of_value = [str(int(value)) if kinds == {"integers"} else str(value) for value in values]
    if names and kinds == {"integers"}:
        if len(values) and not 0 <= values[0] <= values[-1] < len(names):
            raise DataError(
                f"With {len(names)} class names, labels go from 0 to {len(names) - 1}; "
                f"they go from {of_value[0]} to {of_value[-1]}."
            )
        # The order of the names is the user's order.
        if len(values) >= 2:
            return inverse.astype(np.int64), tuple(names[int(value)] for value in values)
    numbers, ordered = number_classes(of_value, "the array of labels")
    return numbers[inverse], ordered


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _listed(names: Iterable[str], limit: int = 8) -> str:
    names = [name[:40] for name in names]
    return (", ".join(names[:limit]) + (" …" if len(names) > limit else "")) or "nothing"
