"""Folders of images, tidy and untidy."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcnas.data.folder import read_folder
from gcnas.data.source import TEST, TRAIN, UNSPLIT, VALIDATION
from gcnas.errors import DataError


def test_class_folders(folder) -> None:
    root = folder({"dog": 2, "cat": 3})
    source = read_folder(root)
    assert source.name == "pets"
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 0, 0, 1, 1]
    assert set(source.given.tolist()) == {UNSPLIT}
    assert [source.images.describe(i) for i in (0, 4)] == [str(Path("cat/000.png")), str(Path("dog/001.png"))]


@pytest.mark.parametrize(
    ("train", "validation", "test"), [("train", "val", "test"), ("Training", "VALID", "testing")]
)
def test_split_folders(folder, train: str, validation: str, test: str) -> None:
    root = folder({f"{split}/{name}": 2 for split in (train, validation, test) for name in ("cat", "dog")})
    source = read_folder(root)
    assert source.class_names == ("cat", "dog")
    assert source.given.tolist() == [TRAIN] * 4 + [VALIDATION] * 4 + [TEST] * 4
    assert source.labels.tolist() == [0, 0, 1, 1] * 3


def test_class_called_like_a_split_is_a_class(folder) -> None:
    assert read_folder(folder({"train": 2, "bus": 2})).class_names == ("bus", "train")


def test_hidden_files_and_rubbish_are_ignored_and_others_counted(folder) -> None:
    root = folder({"dog": 2, "cat": 3, ".git": 1, "__MACOSX": 1})
    (root / "cat" / "._000.png").write_bytes(b"")
    (root / "cat" / "Thumbs.db").write_bytes(b"")
    (root / "notes.txt").write_text("hello")
    source = read_folder(root)
    assert len(source.images) == 5
    assert source.other_files == 2


def test_images_that_are_not_read_are_named(folder, tmp_path: Path) -> None:
    """A photographer's HEIC files, in one class or in all, and files whose names have no ending."""
    root = folder({"dog": 2, "cat": 2})
    (root / "cat" / "IMG_1.HEIC").write_bytes(b"x")
    (root / "cat" / "labels.txt").write_bytes(b"x")
    notices = " ".join(read_folder(root).notices)
    assert "2 files are left out by their names: 1 .heic, 1 .txt." in notices
    (root / "cat" / "IMG_1.HEIC").unlink()
    assert not read_folder(root).notices
    for number in range(4):
        (root / "dog" / f"img{number}").write_bytes(b"x")
    assert "5 files are left out by their names: 4 without an ending, 1 .txt." in read_folder(root).notices[-1]
    other = tmp_path / "phone"
    for name in ("cat", "dog"):
        (other / name).mkdir(parents=True)
        (other / name / "a.heic").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"2 files are left out by their names: 2 \.heic\. Images end in .*\.jpg"
    ):
        read_folder(other)


def test_suffixes_in_any_case_and_nested_folders(folder, picture) -> None:
    root = folder({"dog": 1, "cat": 1})
    (root / "cat" / "more").mkdir()
    picture(7).save(root / "cat" / "more" / "X.JPEG", "JPEG")
    picture(8).save(root / "cat" / "Y.Png", "PNG")
    assert np.bincount(read_folder(root).labels).tolist() == [3, 1]


def test_folders_within_a_class_are_one_class_which_is_said(folder, tmp_path: Path) -> None:
    source = read_folder(folder({"cat/grey": 2, "cat/colour": 1, "dog/grey": 2}))
    assert source.class_names == ("cat", "dog")
    said = "Class folders with images in folders of their own are one class each: 2, first cat."
    assert source.notices == (said,)
    years = read_folder(folder({"2021/cat": 2, "2022/dog": 1}, tmp_path / "years"))
    assert years.class_names == ("2021", "2022")
    assert years.notices == (said.replace("cat", "2021"),)
    assert not read_folder(folder({"cat": 2, "dog": 1}, tmp_path / "plain")).notices


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (
            ("seg_train/cat", "seg_train/dog", "seg_test/cat", "seg_test/dog"),
            "seg_test, seg_train .* look like splits",
        ),
        (("training_set/cat", "training_set/dog", "test_set/cat"), "look like splits"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "cat has test, train in it"),
        (("train", "test"), "without folders of classes in .*: test, train"),
        (("Training", "val", "other"), "without folders of classes in .*: Training, val"),
        (("train", "test1"), "without folders of classes in .*: test1, train"),
        (("train", "test/cat", "test/dog"), "without folders of classes in .*: train"),
    ],
)
def test_splits_in_other_places_or_by_other_names_are_no_classes(
    folder, folders: tuple[str, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        read_folder(folder(dict.fromkeys(folders, 2)))


def test_classes_that_only_sound_like_splits(folder, tmp_path: Path) -> None:
    """The pictures lie in the folders themselves, and no splits have any folders."""
    source = read_folder(folder({"bullet_train": 2, "crash_test": 2, "cat/train": 1}))
    assert source.class_names == ("bullet_train", "cat", "crash_test")
    assert read_folder(folder({"train": 2, "test_tube": 2}, tmp_path / "toys")).class_names == (
        "test_tube",
        "train",
    )


def test_both_forms_of_a_letter_are_one_class(folder) -> None:
    source = read_folder(folder({"train/caf\u00e9": 2, "train/bar": 2, "val/cafe\u0301": 1, "val/bar": 1}))
    assert source.class_names == ("bar", "caf\u00e9")
    assert source.labels.tolist() == [0, 0, 1, 1, 0, 1]


def test_numbered_classes_are_ordered_by_number(folder) -> None:
    assert read_folder(folder({"10": 1, "9": 1, "-1": 1})).class_names == ("-1", "9", "10")


def test_a_split_without_images_is_an_error(folder, picture) -> None:
    """Else another one would be cut from train in its place."""
    root = folder({"train/cat": 6, "train/dog": 6})
    for name in ("cat", "dog"):
        (root / "test" / name).mkdir(parents=True)
    (root / "test" / "cat" / "a.heic").touch()
    with pytest.raises(DataError, match=r"test/ in .* has the name of a split, but no image .*1 \.heic"):
        read_folder(root)


def test_left_out_is_said(folder, picture) -> None:
    root = folder({"train/cat": 1, "train/dog": 1, "extra/cat": 1, "train/empty": 0, "test": 2})
    picture().save(root / "train" / "stray.png")
    notices = " ".join(read_folder(root).notices)
    assert "extra, test" in notices
    assert str(Path("train/empty")) in notices
    assert "1 images beside" in notices


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        ({}, "nothing"),
        ({".": 3}, "3 images"),
        ({"cat": 3}, r"1 folder \(cat\)"),
        ({"cat": 0, "dog": 0}, "2 folders"),
        ({"val/cat": 1, "val/dog": 1}, "no folder 'train'"),
        ({"train/a": 1, "train/b": 1, "Training/a": 1}, "mean the same"),
        ({"pets/cat": 1, "pets/dog": 1}, "Did you mean .*pets"),
    ],
)
def test_other_layouts_are_refused_with_what_was_found(folder, tmp_path, classes, found: str) -> None:
    (tmp_path / "pets").mkdir()
    with pytest.raises(DataError, match=found) as caught:
        read_folder(folder(classes))
    assert "flowers/" in str(caught.value) or "Rename" in str(caught.value)


def test_links_that_lead_back_are_left_out(folder) -> None:
    root = folder({"cat": 2, "dog": 2})
    (root / "all").symlink_to(root)
    (root / "above").symlink_to(root.parent)
    (root / "itself").symlink_to(root / "itself")
    (root / "cat" / "more").symlink_to(root)
    (root / "bird").symlink_to(folder({"birds": 3}, root.parent / "elsewhere") / "birds")
    source = read_folder(root)
    assert source.class_names == ("bird", "cat", "dog")
    assert len(source.images) == 7
    assert source.other_files == 1  # "itself"
    assert "all is a link to a folder that it lies in" in " ".join(source.notices)
    assert "above is a link" in " ".join(source.notices)
    assert "itself is a link that cannot be followed" in " ".join(source.notices)


def test_links_to_folders_of_images_are_named(folder) -> None:
    root = folder({"cat": 2, "dog": 2})
    more = folder({"cat": 3}, root.parent / "elsewhere") / "cat"
    for name in ("more", "again"):
        (root / "cat" / name).symlink_to(more)
    source = read_folder(root)
    assert len(source.images) == 4
    assert "not followed: 2, first cat/again." in " ".join(source.notices)


def test_a_folder_that_cannot_be_read_is_an_error(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"cat": 2, "dog": 2})
    (root / "cat" / "secret").mkdir()
    (root / "lost+found").mkdir()  # at the root of a disk, nobody's to read
    scandir = os.scandir

    def refused(path: str) -> object:
        if "secret" in str(path) or "lost" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(DataError, match=r"secret cannot be read: Permission denied"):
        read_folder(root)


def test_links_to_where_one_may_not_look_are_left_out(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"cat": 2, "dog": 2})
    elsewhere = folder({"bird": 1}, root.parent / "secret")
    (root / "cat" / "link.png").symlink_to(elsewhere / "bird" / "000.png")
    (root / "bird").symlink_to(elsewhere / "bird")
    stat = os.stat

    def refused(path: object, **options: object) -> object:
        if str(path).endswith(("link.png", f"{os.sep}bird")) and options.get("follow_symlinks", True):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refused)
    source = read_folder(root)
    # Decoding tells why it is none.
    assert [source.images.describe(row) for row in range(5)].count(str(Path("cat/link.png"))) == 1
    assert source.class_names == ("cat", "dog")
    assert "bird is a link that cannot be followed" in " ".join(source.notices)


def test_a_split_that_is_a_link_to_nothing_is_an_error(folder) -> None:
    """Otherwise one would be cut from the training images without a word."""
    root = folder({f"train/{name}": 2 for name in ("cat", "dog")})
    (root / "Test").symlink_to(root.parent / "nowhere")
    with pytest.raises(DataError, match="Test is a link that cannot be followed, and has the name of a split"):
        read_folder(root)


def test_a_folder_that_can_only_be_listed_is_an_error(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder({"cat": 2, "dog": 2})
    lstat = os.lstat

    def refused(path: Path, **options: object) -> object:
        if Path(path).parent == root:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return lstat(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "lstat", refused)
    with pytest.raises(DataError, match=r"pets cannot be read: Permission denied"):
        read_folder(root)


def test_names_that_are_not_utf8_are_spelt_out(folder) -> None:
    root = folder({"cat": 2, "dog": 2})
    cafe = root / os.fsdecode(b"caf\xe9")
    (root / "dog").rename(cafe)
    (cafe / "000.png").rename(cafe / os.fsdecode(b"\xff.png"))
    source = read_folder(root)
    assert source.class_names == (r"caf\xe9", "cat")
    for row in range(len(source.images)):
        source.images.describe(row).encode("utf-8")
    images = list(source.images.blocks((8, 8), 3))
    assert not images[0].broken


def test_images_beside_the_splits_are_told_of(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(tmp_path / split / name / "1.png")
    Image.new("L", (8, 8)).save(tmp_path / "forgotten.png")
    assert read_folder(tmp_path).notices == ("1 images beside the splits were left out: they have no class.",)
