"""A folder with one folder of images per class, with or without folders per split above them."""

import errno
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from gcnas.data.decode import SUFFIXES
from gcnas.data.files import FileImages
from gcnas.data.source import SPLIT_WORDS, TRAIN, UNSPLIT, Source, number_classes
from gcnas.errors import DataError
from gcnas.files import is_file, is_folder, printable

_LAYOUT = (
    "Expected one folder per class (flowers/rose/1.jpg, flowers/tulip/2.jpg), "
    "or such folders under train/, val/ and test/ (flowers/train/rose/1.jpg)"
)
UNREAD = frozenset(
    {".heic", ".heif", ".jp2", ".j2k", ".jxl", ".svg", ".tga", ".ico", ".psd", ".eps", ".pdf", ".exr", ".hdr"}
    | {".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".dcm", ".nii", ".npy"}
)
"""Endings of images that are not decoded, in lower case."""

_RUBBISH = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})


@dataclass(frozen=True)
class _Found:
    """Image files of one split, with their class names; other files by their ending."""

    split: int
    paths: tuple[Path, ...]
    names: tuple[str, ...]
    other_files: Counter[str]
    notices: tuple[str, ...]


def read_folder(root: Path) -> Source:
    """List the images of a folder; nothing is decoded yet.

    Raises:
        DataError: The folder does not have the expected layout.
    """
    splits = _split_folders(root)
    if splits:
        found = [_class_folders(root, folder, split) for split, folder in sorted(splits.items())]
        for part in found:
            if not part.paths:
                unread = f" {left_out_words(part.other_files)}" if part.other_files else ""
                raise DataError(
                    f"{splits[part.split].name}/ in {root} has the name of a split, but no image in folders of "
                    f"classes. Fill or remove it.{unread}"
                )
        left_out = [d.name for d in _folders(root) if d not in splits.values()]
        beside = len(_images_in(root)[0])
    else:
        found, left_out, beside = [_class_folders(root, root, UNSPLIT)], [], 0
    paths = [path for part in found for path in part.paths]
    names = [name for part in found for name in part.names]
    notices = [notice for part in found for notice in part.notices]
    if left_out:
        notices.append(f"Folders beside the splits were left out: {_listed(left_out)}.")
    if beside:
        notices.append(f"{beside:,} images beside the splits were left out: they have no class.")
    others = sum((part.other_files for part in found), Counter[str]())
    if len(set(names)) < 2:
        unread = f" {left_out_words(others)}" if others else ""
        raise DataError(f"{_LAYOUT}; found {_contents(root)} in {root}.{unread}{_nested_hint(root)}")
    if others.total() > len(paths) or others.keys() & UNREAD:
        notices.append(left_out_words(others))
    labels, class_names = number_classes(names, str(root))
    return Source(
        name=in_utf8(root.resolve().name) or "images",
        kind="folder",
        images=FileImages(tuple(paths), tuple(in_utf8(str(path.relative_to(root))) for path in paths)),
        labels=labels,
        class_names=class_names,
        given=np.repeat([part.split for part in found], [len(part.paths) for part in found]).astype(np.int8),
        notices=tuple(notices),
        other_files=others.total(),
    )


def _split_folders(root: Path) -> dict[int, Path]:
    """Folders named as splits, by code; none unless they hold folders themselves."""
    splits: dict[int, Path] = {}
    for folder in _folders(root):
        split = SPLIT_WORDS.get(folder.name.lower())
        if split is None or not _folders(folder):
            continue
        if split in splits:
            raise DataError(
                f"A split has one folder; {splits[split].name}/ and {folder.name}/ in {root} mean the same. "
                "Rename or merge them."
            )
        splits[split] = folder
    for link in _broken_links(root) if splits else ():
        if link.name.lower() in SPLIT_WORDS:
            raise DataError(
                f"{link} is a link that cannot be followed, and has the name of a split. Mend or remove it."
            )
    if not splits:
        _refuse_like_splits(root)
    if splits and TRAIN not in splits:
        flat = [folder.name for folder in _folders(root) if SPLIT_WORDS.get(folder.name.lower()) == TRAIN]
        if flat:
            raise _without_classes(root, flat)
        names = _listed([folder.name for folder in splits.values()])
        raise DataError(f"{_LAYOUT}; found {names} but no folder 'train' in {root}.")
    return splits


def _refuse_like_splits(root: Path) -> None:
    """Folders such as ``seg_train`` and ``seg_test`` would pass for classes, and so would splits without classes.

    Raises:
        DataError: If some are called so.
    """
    found: dict[int, str] = {}
    flat: dict[int, str] = {}
    for folder in _folders(root):
        name = folder.name.lower()
        if not _folders(folder):
            split = SPLIT_WORDS.get(name.rstrip("0123456789_-"))  # such as test1, where train is train
            if split is not None and (split != TRAIN or name in SPLIT_WORDS):
                flat.setdefault(split, folder.name)
            continue
        for word in re.split(r"[^a-z]+", name):
            if word in SPLIT_WORDS:
                found.setdefault(SPLIT_WORDS[word], folder.name)
    if TRAIN in found and len(found) > 1:
        raise DataError(
            f"{_LAYOUT}; {_listed(found.values())} in {root} look like splits. Rename them to train, val and test."
        )
    if TRAIN in flat and len(flat) > 1:
        raise _without_classes(root, flat.values())


def _without_classes(root: Path, names: Iterable[str]) -> DataError:
    return DataError(
        f"{_LAYOUT}; without folders of classes in {root}: {_listed(names)}. Put the images into such folders, or name "
        "their classes in a CSV file."
    )


def _class_folders(root: Path, folder: Path, split: int) -> _Found:
    paths: list[Path] = []
    names: list[str] = []
    notices: list[str] = []
    classes = _folders(folder)
    for loop in [
        path for path in classes if path.is_symlink() and folder.resolve().is_relative_to(path.resolve())
    ]:
        notices.append(f"{in_utf8(loop.name)} is a link to a folder that it lies in, and was left out.")
        classes.remove(loop)
    notices += [
        f"{in_utf8(path.name)} is a link that cannot be followed, and was left out."
        for path in _broken_links(folder)
        if path.suffix.lower() not in SUFFIXES
    ]
    direct, others = _images_in(folder)
    if direct and classes:
        notices.append(f"{len(direct):,} images beside the class folders were left out: they have no class.")
    links: list[Path] = []
    merged: list[Path] = []
    for class_folder in classes:
        images: list[Path] = []
        below = False
        for at, subfolders, _ in os.walk(class_folder, onerror=_refuse):
            subfolders[:] = sorted(name for name in subfolders if visible(name))
            if Path(at) == class_folder:
                _refuse_splits_below(class_folder, subfolders)
            links += [path for name in subfolders if (path := Path(at, name)).is_symlink()]
            here, more = _images_in(Path(at))
            images += here
            others += more
            below = below or bool(here and Path(at) != class_folder)
        if not images:
            notices.append(f"{in_utf8(str(class_folder.relative_to(root)))}/ has no images and was left out.")
        elif below:
            merged.append(class_folder)
        paths += images
        # The same letters have several forms in Unicode, and systems differ in which they write.
        names += [unicodedata.normalize("NFC", in_utf8(class_folder.name))] * len(images)
    if merged:
        first = in_utf8(str(merged[0].relative_to(root)))
        notices.append(
            f"Class folders with images in folders of their own are one class each: {len(merged):,}, first {first}."
        )
    if links:
        first = in_utf8(str(links[0].relative_to(root)))
        notices.append(
            f"Links to folders within class folders are not followed: {len(links):,}, first {first}."
        )
    return _Found(split, tuple(paths), tuple(names), others, tuple(notices))


def _refuse_splits_below(folder: Path, names: Iterable[str]) -> None:
    """Splits stand above the classes; below them they would be mixed.

    Raises:
        DataError: If several of the folders in that of a class are splits.
    """
    below = [name for name in names if name.lower() in SPLIT_WORDS]
    if len(below) > 1:
        raise DataError(
            f"{_LAYOUT}; {folder} has {_listed(below)} in it. Put the folders of the splits above those of the classes."
        )


def _images_in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """Image files directly in a folder, sorted, and the other files by their ending."""
    files = sorted(path for path in _entries(folder) if not is_folder(path))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return images, Counter(path.suffix.lower() for path in files if path.suffix.lower() not in SUFFIXES)


def left_out_words(others: Counter[str]) -> str:
    """A sentence about files whose names do not say that they are images which can be decoded."""
    kinds = [f"{number:,} {in_utf8(ending) or 'without an ending'}" for ending, number in others.most_common(4)]
    if len(others) > len(kinds):
        kinds.append("others")
    are = "file is left out by its name" if others.total() == 1 else "files are left out by their names"
    return (
        f"{others.total():,} {are}: {', '.join(kinds)}. "
        f"Images end in {', '.join(sorted(SUFFIXES))}; convert others, to .png for one."
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in _entries(folder) if is_folder(path))


def _refuse(error: OSError) -> NoReturn:
    """Say which folder cannot be read."""
    raise DataError(f"{_LAYOUT}; {error.filename} cannot be read: {error.strerror}.") from error


def _entries(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if visible(path.name)]
    except OSError as error:
        _refuse(error)
    if found and not any(map(_may_be_looked_at, found)):  # a folder that may only be listed
        _refuse(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)))
    return found


def _broken_links(folder: Path) -> list[Path]:
    """Links to nothing, or to where one may not look."""
    links = sorted(path for path in _entries(folder) if path.is_symlink())
    return [path for path in links if not is_file(path) and not is_folder(path)]


def _may_be_looked_at(path: Path) -> bool:
    try:
        os.lstat(path)
    except PermissionError:
        return False
    except OSError:
        return True  # what else is wrong is told of the file itself
    return True


def visible(name: str) -> bool:
    """Whether a name in a folder is neither hidden nor left there by a system."""
    return not name.startswith(".") and name not in _RUBBISH


def in_utf8(name: str) -> str:
    """A name that can be written anywhere: bytes that are not UTF-8, and control characters, are spelt out."""
    return printable(os.fsencode(name).decode("utf-8", "backslashreplace"))


def _contents(root: Path) -> str:
    folders = _folders(root)
    images, others = _images_in(root)
    if not folders and not images and not others:
        return "nothing"
    listed = f" ({_listed([folder.name for folder in folders])})" if folders else ""
    kinds = "folder" if len(folders) == 1 else "folders"
    return f"{len(folders)} {kinds}{listed}, {len(images)} images and {others.total()} other files"


def _nested_hint(root: Path) -> str:
    """Unpacked archives often hold a single folder with everything in it."""
    folders = _folders(root)
    if len(folders) == 1 and len(_folders(folders[0])) >= 2:
        return f" Did you mean {folders[0]}?"
    return ""


def _listed(names: Iterable[str], limit: int = 5) -> str:
    names = sorted(map(in_utf8, names))
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
