"""From whatever the user has to a data set in three splits, or to a summary of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gcnas.data.arrays import read_arrays, select
from gcnas.data.dataset import Dataset, Split
from gcnas.data.decode import quiet_pillow
from gcnas.data.duplicates import count_duplicates, group
from gcnas.data.files import FileImages
from gcnas.data.folder import read_folder
from gcnas.data.mirror import keeps_label
from gcnas.data.npz import read_npz
from gcnas.data.pixels import DARK
from gcnas.data.preprocessing import MAX_SIDE, fit
from gcnas.data.source import SPLIT_NAMES, TEST, TRAIN, VALIDATION, Source, Survey
from gcnas.data.splitting import split
from gcnas.data.store import Decoded, decode_only, decoded
from gcnas.data.summary import DataSummary, count_classes, imbalance, notices
from gcnas.data.survey import infer_channels, infer_resolution
from gcnas.data.table import read_table
from gcnas.errors import ConfigurationError, DataError

Channels = Literal["auto", "grey", "rgb"]
Resolution = int | tuple[int, int] | None

MIN_SIDE = 8
"""Shortest side that may be asked for, in pixels."""

LEAST_KEPT = 0.5
"""Where the centre that is cut out of a typical image is less of it, that is told."""


@dataclass(frozen=True)
class _Options:
    """The keywords of :func:`load`, checked."""

    resolution: tuple[int, int] | None
    channels: Channels
    seed: int
    validation_fraction: float
    test_fraction: float


@dataclass(frozen=True)
class _Read:
    """All that was read of a source, pixels apart; ``rows`` are those of the images that could be decoded."""

    source: Source
    survey: Survey
    decoded: Decoded
    rows: np.ndarray
    resolution: tuple[int, int]
    channels: int

    @cached_property
    def labels(self) -> np.ndarray:
        labels: np.ndarray = self.source.labels[self.rows]
        return labels

    @cached_property
    def given(self) -> np.ndarray:
        given: np.ndarray = self.source.given[self.rows]
        return given

    @cached_property
    def digests(self) -> np.ndarray:
        digests: np.ndarray = self.decoded.digests[self.rows]
        return digests

    @cached_property
    def groups(self) -> np.ndarray:
        return group(self.digests)


def load(
    source: Any,
    *,
    resolution: Resolution = None,
    channels: Channels = "auto",
    seed: int = 0,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    cache: Path | None = None,
) -> Dataset:
    """Read images and labels and make the splits that are missing.

    Args:
        source: ``"digits"``; the path of a folder, a ``.csv`` or an ``.npz`` file; a pair of arrays of images
            and labels; or a mapping of arrays such as ``{"train_images": ..., "train_labels": ...}``.
        resolution: Height and width of the images in pixels, or one number for both; inferred if not given.
        channels: ``grey`` (1), ``rgb`` (3) or ``auto``: grey if all images are.
        seed: For the splits that are made.
        validation_fraction: Share for validation of the images that are split here.
        test_fraction: Share for test of the images that are split here; 0 makes no test split.
        cache: Folder for images that are too many for the memory.

    Raises:
        DataError: The images, labels or arrays cannot be used.
        ConfigurationError: A keyword does not make sense.
    """
    options = _checked(resolution, channels, seed, validation_fraction, test_fraction)
    with quiet_pillow():
        found = open_source(source)
        survey = _survey(found)
        size, depth = _shape(survey, options)
        with decoded(found.images, size, depth, cache) as (facts, place):
            read = _Read(found, survey, facts, _usable(found, facts), size, depth)
            try:
                codes = _split(read, options)
            except DataError as error:
                raise DataError(f"{error}{_broken_hint(found, facts)}") from None
            order = np.argsort(codes, kind="stable")  # train rows, then validation, then test
            fingerprint = _fingerprint(read, codes, order)
            searched, tested = np.split(order, [np.count_nonzero(codes != TEST)])
            images = place(f"{fingerprint}-search", read.rows[searched])
            test = Split(place(f"{fingerprint}-test", read.rows[tested]), read.labels[tested])
    in_train = np.count_nonzero(codes == TRAIN)
    labels = read.labels[searched]
    train = Split(images[:in_train], labels[:in_train])
    return Dataset(
        name=found.name,
        images=images,
        labels=labels,
        class_names=found.class_names,
        train_index=np.arange(in_train),
        validation_index=np.arange(in_train, len(searched)),
        preprocessing=fit(train.images),
        fingerprint=fingerprint,
        splits=sha256(read.rows.astype("<i8").tobytes() + codes.astype("i1").tobytes()).hexdigest()[:16],
        notices=_summary(read, codes).notices,
        mirror=keeps_label(train, Split(images[in_train:], labels[in_train:])),
        _test=test,
    )


def check(
    source: Any,
    *,
    resolution: Resolution = None,
    channels: Channels = "auto",
    seed: int = 0,
    validation_fraction: float = 0.2,
    test_fraction: float = 0.2,
    cache: Path | None = None,  # noqa: ARG001 - the keywords of load; no pixels are kept here
) -> DataSummary:
    """Read everything that :func:`load` would and say what is there; takes the same keywords.

    Raises:
        DataError: There is no data in an expected layout, or no image can be read.
        ConfigurationError: A keyword does not make sense.
    """
    options = _checked(resolution, channels, seed, validation_fraction, test_fraction)
    with quiet_pillow():
        found = open_source(source)
        survey = _survey(found)
        size, depth = _shape(survey, options)
        facts = decode_only(found.images, size, depth)
    read = _Read(found, survey, facts, _usable(found, facts), size, depth)
    try:
        return _summary(read, _split(read, options))
    except DataError as error:
        return replace(_summary(read, read.given), problem=str(error))


def open_source(source: Any) -> Source:
    """Find images and labels in what the user gave; nothing is decoded yet.

    Raises:
        DataError: It is none of the accepted kinds.
    """
    if isinstance(source, Mapping):
        return read_arrays(source, select(map(str, source)), "arrays", "arrays")
    if isinstance(source, tuple | list) and len(source) == 2:
        pair = {"images": source[0], "labels": source[1]}
        return read_arrays(pair, select(pair), "arrays", "arrays")
    if not isinstance(source, str | Path):
        raise DataError(
            "Data is a folder, a .csv or .npz file, 'digits', or arrays (images, labels); "
            f"given: {type(source).__name__}."
        )
    return find_reader(source)()


def find_reader(source: str | Path) -> Callable[[], Source]:
    """What reads a source by its name; nothing is read yet, and nothing slow imported.

    Raises:
        DataError: There is no such source, or nothing reads it.
    """
    if not str(source):
        raise DataError("Data is a folder, a .csv or .npz file, or 'digits'; given: an empty name.")
    path = Path(source)
    try:
        return _reader_of(path, source)
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise DataError(f"{source} cannot be read: {error.strerror}.") from error


def _reader_of(path: Path, source: str | Path) -> Callable[[], Source]:
    if str(source) == "digits" and not path.exists():
        return _digits
    if path.is_dir():
        return partial(read_folder, path)
    readers = {".csv": read_table, ".npz": read_npz}
    if not path.exists():
        raise DataError(f"Data is a folder, a .csv or .npz file, or 'digits'; there is no {source}.")
    if not path.is_file():
        raise DataError(f"Data is a folder or a regular file; {source} is neither. Copy it into one.")
    if path.suffix.lower() not in readers:
        raise DataError(f"Data is a folder, a .csv or .npz file, or 'digits'; given: the file {source}.")
    return partial(readers[path.suffix.lower()], path)


def _digits() -> Source:
    from sklearn.datasets import load_digits  # here, because importing scikit-learn takes a second

    digits = load_digits()
    pair = {"images": np.round(digits.images * (255 / 16)).astype(np.uint8), "labels": digits.target}
    return read_arrays(pair, select(pair), "digits", "digits")


def _checked(
    resolution: Resolution, channels: Channels, seed: int, validation_fraction: float, test_fraction: float
) -> _Options:
    size = (resolution, resolution) if isinstance(resolution, int) else resolution
    if size is not None and not (
        len(size) == 2 and all(isinstance(side, int) and MIN_SIDE <= side <= MAX_SIDE for side in size)
    ):
        raise ConfigurationError(
            f"A resolution is one or two whole numbers from {MIN_SIDE} to {MAX_SIDE}; given: {resolution}."
        )
    if channels not in ("auto", "grey", "rgb"):
        raise ConfigurationError(f"Channels are 'auto', 'grey' or 'rgb'; given: {channels!r}.")
    # Not a number is refused too.
    if not (validation_fraction > 0 and test_fraction >= 0 and validation_fraction + test_fraction < 1):
        raise ConfigurationError(
            "The fraction for validation is above 0, that for test 0 or more, and they leave something for train; "
            f"given: {validation_fraction} and {test_fraction}."
        )
    if seed < 0:
        raise ConfigurationError(f"A seed is 0 or more; given: {seed}.")
    return _Options(size, channels, seed, validation_fraction, test_fraction)


def _shape(survey: Survey, options: _Options) -> tuple[tuple[int, int], int]:
    inferred = infer_resolution(survey)
    channels = {"auto": infer_channels(survey), "grey": 1, "rgb": 3}[options.channels]
    return options.resolution or inferred, channels


def _survey(found: Source) -> Survey:
    """The headers of the images, of which at least one can be read."""
    survey = found.images.survey()
    if not (survey.sizes[:, 0] > 0).any():
        raise _none_readable(found, survey.broken)
    return survey


def _usable(found: Source, facts: Decoded) -> np.ndarray:
    """Rows of the images that could be decoded."""
    usable = np.ones(len(facts.digests), dtype=bool)
    usable[list(facts.broken)] = False
    if not usable.any():
        raise _none_readable(found, facts.broken)
    return np.flatnonzero(usable)


def _cut(sizes: np.ndarray, resolution: tuple[int, int]) -> tuple[str, ...]:
    """That most of most images is cut away, where it is: what is not square loses its ends.

    Args:
        sizes: (N, 2) width and height.
        resolution: Height and width that they get.
    """
    shares = np.sort(sizes / resolution[::-1], axis=1)  # of how much each side is shrunk, the shorter one first
    kept = float(np.median(shares[:, 0] / np.maximum(shares[:, 1], 1e-9))) if len(sizes) else 1.0
    if kept >= LEAST_KEPT:
        return ()
    notice = (
        f"Networks see the centre of the images alone, {kept:.0%} of a typical one: the rest is cut off, so that all "
        f"are {resolution[1]}x{resolution[0]} pixels. Cut or resize them yourself to keep more."
    )
    return (notice,)


def _dark(modes: Sequence[str], brightest: int) -> tuple[str, ...]:
    """What is to be said of images in files of 16 bits that seem to hold fewer."""
    deep = sum(mode.startswith("I") for mode in modes)
    if 2 * deep <= len(modes) or brightest > DARK // 257:
        return ()
    return (
        "The images have 16 bits and are nearly black: if they hold 10 or 12 bits, scale them up to 0 to 65,535.",
    )


def _broken_hint(found: Source, facts: Decoded) -> str:
    """What a message about too few images should say where some could not be read."""
    if not facts.broken:
        return ""
    row, reason = min(facts.broken.items())
    return (
        f" {len(facts.broken):,} images cannot be read, first {found.images.describe(row)} ({reason}); "
        "'gcnas data check' lists them."
    )


def _none_readable(found: Source, broken: Mapping[int, str]) -> DataError:
    row, reason = next(iter(sorted(broken.items())), (0, "unknown"))
    hint = ""
    if found.kind == "csv" and isinstance(found.images, FileImages):
        leads_to = found.images.paths[row]
        hint = f" Paths in a CSV file are absolute or relative to its folder; this one leads to {leads_to}."
    return DataError(
        f"At least some images must be readable; none of {len(found.images):,} is, first {found.images.describe(row)} "
        f"({reason}).{hint}"
    )


def _split(read: _Read, options: _Options) -> np.ndarray:
    for code in (VALIDATION, TEST):
        if (read.source.given == code).any() and not (read.given == code).any():
            raise DataError(
                f"The data has its own {SPLIT_NAMES[code]} split, but none of its images can be read."
            )
    return split(
        read.labels,
        read.given,
        read.groups,
        read.source.class_names,
        validation_fraction=options.validation_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
    )


def _fingerprint(read: _Read, codes: np.ndarray, order: np.ndarray) -> str:
    shape = (*read.resolution, read.channels)
    state = sha256(repr((shape, read.source.class_names, len(order))).encode())
    for array, kind in ((read.digests, "<u8"), (read.labels, "<i8"), (codes, "i1")):
        state.update(array[order].astype(kind).tobytes())
    return state.hexdigest()[:16]


def _summary(read: _Read, codes: np.ndarray) -> DataSummary:
    found = read.source
    counts = count_classes(read.labels, codes, found.class_names)
    duplicates = count_duplicates(read.groups, codes, read.labels)
    reasons = sorted(read.decoded.broken.items())
    broken = tuple((found.images.describe(row), reason) for row, reason in reasons)
    missing = [code for code in (VALIDATION, TEST) if not (read.given == code).any()]
    made = tuple(SPLIT_NAMES[code] for code in missing if (codes == code).any())
    sizes = Counter(map(tuple, read.survey.sizes[read.rows].tolist())).most_common()
    return DataSummary(
        name=found.name,
        kind=found.kind,
        images=len(read.rows),
        counts=counts,
        made=made,
        sizes=tuple((width, height, number) for (width, height), number in sizes),
        modes=dict(Counter(read.survey.modes[row] for row in read.rows).most_common()),
        broken=broken,
        other_files=found.other_files,
        duplicates=duplicates,
        imbalance=imbalance(counts),
        resolution=read.resolution,
        channels=read.channels,
        notices=(
            *found.notices,
            *notices(counts, duplicates, broken, made),
            *_cut(read.survey.sizes[read.rows], read.resolution),
            *_dark([read.survey.modes[row] for row in read.rows], read.decoded.brightest),
        ),
        problem="",
    )
