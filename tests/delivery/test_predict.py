import csv
import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gcnas.data import check
from gcnas.delivery import image_files, predict_arrays, predict_files, write_predictions
from gcnas.delivery.predict import unread_in
from gcnas.errors import DataError
from gcnas.result import Result


def test_files_and_arrays_agree(result: Result, digit_files: list[Path]) -> None:
    predictions = result.predict(digit_files)
    images = np.stack([result.model.preprocessing.load_image(path) for path in digit_files])
    scores = predict_arrays(result.model, images)
    assert scores.shape == (70, 10)
    assert np.allclose(scores.sum(1), 1, atol=1e-5)
    assert np.allclose([p.probabilities for p in predictions], scores, atol=1e-6)
    names = result.model.class_names
    assert [p.label for p in predictions] == [names[row.argmax()] for row in scores]
    assert [p.path for p in predictions] == digit_files


def test_network_recognises_most_of_what_it_learnt(result: Result, digit_files: list[Path]) -> None:
    from sklearn.datasets import load_digits

    labels = [str(label) for label in load_digits().target[:70]]
    hits = sum(p.label == label for p, label in zip(result.predict(digit_files), labels, strict=True))
    assert hits > 45


def test_broken_files_keep_their_place(result: Result, digit_files: list[Path]) -> None:
    digit_files[1].write_bytes(b"broken")
    predictions = result.predict(digit_files[:3])
    assert [p.error is None for p in predictions] == [True, False, True]
    assert predictions[1].label is None
    assert predictions[1].probabilities == ()


@pytest.mark.parametrize("images", [Image.new("L", (8, 8)), [Image.new("L", (8, 8))], np.zeros((2, 8, 8)), 5])
def test_images_in_memory_are_refused_with_the_way_there_is(result: Result, images: Any) -> None:
    with pytest.raises(DataError, match=r"files and folders, but got \w+\. .*load_image"):
        result.predict(images)


def test_one_path_and_a_folder(result: Result, digit_files: list[Path]) -> None:
    one = result.predict(digit_files[0])
    assert one == result.predict(str(digit_files[0])) == result.predict(digit_files[:1])
    folder = digit_files[0].parent
    assert [p.path for p in result.predict(folder)] == image_files([folder])
    (missing,) = result.predict(folder / "nowhere.png")
    assert missing.error is not None


def test_an_image_is_not_overwritten(result: Result, digit_files: list[Path]) -> None:
    before = digit_files[0].read_bytes()
    with pytest.raises(DataError, match="name of an image"):
        list(write_predictions(digit_files[0], result.model, predict_files(result.model, digit_files[:1])))
    assert digit_files[0].read_bytes() == before


def test_only_a_table_is_replaced_by_a_table(result: Result, digit_files: list[Path], tmp_path: Path) -> None:
    image = tmp_path / "a3f9c0"
    image.write_bytes(digit_files[0].read_bytes())
    with pytest.raises(DataError, match="a3f9c0 exists and is no table"):
        list(write_predictions(image, result.model, predict_files(result.model, digit_files[:1])))
    assert image.read_bytes() == digit_files[0].read_bytes()
    for name in ("new", "new", "old.csv", "old.csv"):
        list(write_predictions(tmp_path / name, result.model, predict_files(result.model, digit_files[:1])))
        assert (tmp_path / name).read_text().startswith("path,label")


def test_no_images_no_predictions(result: Result) -> None:
    assert list(predict_files(result.model, [])) == []
    assert predict_arrays(result.model, np.zeros((0, 8, 8, 1), np.uint8)).shape == (0, 10)


def test_folders_are_searched(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.JPG", "deep/a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert [p.name for p in image_files([tmp_path])] == ["b.JPG", "a.png"]
    with pytest.raises(DataError, match="There is no file"):
        image_files([tmp_path, tmp_path / "none.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        image_files([tmp_path / "empty"])


def test_a_folder_has_the_images_that_a_search_reads(tmp_path: Path) -> None:
    """Class folders may be links; links further down are not followed, and none in a circle."""
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.png"):
        Image.new("L", (8, 8)).save(tmp_path / "elsewhere" / name)
    folder = tmp_path / "photos"
    (folder / "cat").mkdir(parents=True)
    Image.new("L", (8, 8), 9).save(folder / "cat" / "c.png")
    (folder / "dog").symlink_to(tmp_path / "elsewhere")
    (folder / "cat" / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(tmp_path)
    found = image_files([folder])
    assert [str(path.relative_to(folder)) for path in found] == ["cat/c.png", "dog/a.png", "dog/deep/b.png"]
    assert check(folder).images == 3
    (tmp_path / "splits" / "train").mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / "splits" / "train" / name).symlink_to(folder / name)
    (tmp_path / "splits" / "test").symlink_to(tmp_path / "splits" / "train")
    (tmp_path / "splits" / "train" / "all").symlink_to(".")  # leads back to where it lies
    found = image_files([tmp_path / "splits"])
    assert len(found) == check(tmp_path / "splits").images == 6


def test_images_that_are_not_decoded_are_told(tmp_path: Path) -> None:
    """Else they would be missing from a table without a word."""
    for name in ("a.png", "b.HEIC", "c.heic", ".d.heic", "notes.txt"):
        (tmp_path / name).touch()
    assert image_files([tmp_path]) == [tmp_path / "a.png"]
    assert unread_in([tmp_path]).startswith("2 files are left out by their names: 2 .heic. ")
    assert unread_in([tmp_path / "a.png"]) == ""
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"holds no image file\. 2 files are left out .*convert others"):
        image_files([tmp_path])


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its images would be missing from a table without a word."""
    (tmp_path / "locked").mkdir()
    (tmp_path / "a.png").touch()
    scan = os.scandir

    def refuse(path: str | os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match="locked cannot be read: Permission denied"):
        image_files([tmp_path])


def test_a_class_may_have_the_name_of_a_column(result: Result, digit_files: list[Path], tmp_path: Path) -> None:
    names = ("error", "label", *result.model.class_names[2:])
    model = replace(result.model, class_names=names)
    list(write_predictions(tmp_path / "p.csv", model, predict_files(model, digit_files[:1])))
    with (tmp_path / "p.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["error"] == ""
    assert row["label"] in names
    assert sum(float(row[name]) for name in ("class error", "class label", *names[2:])) == pytest.approx(
        1, abs=1e-5
    )
    model = replace(model, class_names=("error", "class error", "class class error", *names[3:]))
    list(write_predictions(tmp_path / "p.csv", model, predict_files(model, digit_files[:1])))
    header = (tmp_path / "p.csv").read_text().splitlines()[0].split(",")
    assert len(set(header)) == len(header)
    assert header[3:6] == ["class class class error", "class error", "class class error"]


def test_hidden_files_are_left_out_unless_named(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "photos"
    (folder / ".thumbs").mkdir(parents=True)
    for name in ("a.png", "._a.png", ".thumbs/a.png"):
        (folder / name).touch()
    assert image_files([folder]) == [folder / "a.png"]
    assert image_files([folder / "._a.png"]) == [folder / "._a.png"]


def test_names_that_are_not_utf_8_stay(result: Result, digit_files: list[Path], tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    try:
        digit_files[0].rename(odd)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    list(write_predictions(tmp_path / "p.csv", result.model, predict_files(result.model, [odd])))
    assert b"/\xff.png," in (tmp_path / "p.csv").read_bytes()


def test_table_has_all_probabilities(result: Result, digit_files: list[Path], tmp_path: Path) -> None:
    digit_files[2].write_bytes(b"broken")
    predictions = predict_files(result.model, digit_files[:3])
    told = list(write_predictions(tmp_path / "p.csv", result.model, predictions))
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [told[0].label, told[1].label, ""]
    assert sum(float(rows[0][name]) for name in result.model.class_names) == pytest.approx(1, abs=1e-5)
    assert rows[2]["error"]
    with pytest.raises(DataError, match="cannot be written"):
        list(write_predictions(tmp_path / "no" / "p.csv", result.model, []))


def test_a_name_that_is_too_long_is_no_crash(result: Result) -> None:
    name = Path("x" * 300 + ".png")
    with pytest.raises(DataError, match="too long"):
        image_files([name])
    (prediction,) = result.predict(name)
    assert prediction.error is not None


def test_a_table_takes_the_place_of_an_older_one_when_it_is_whole(
    result: Result, digit_files: list[Path], tmp_path: Path
) -> None:
    table = tmp_path / "p.csv"
    table.write_text("older")
    begun = write_predictions(table, result.model, predict_files(result.model, digit_files[:2]))
    next(begun)
    begun.close()  # as Ctrl-C does
    assert table.read_text() == "older"
    list(write_predictions(table, result.model, predict_files(result.model, digit_files[:2])))
    content = table.read_bytes()
    assert content.startswith(b"path,label,probability,")
    assert b"\r" not in content
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".csv", "") or path.name[0] == "."] == [
        "p.csv"
    ]


def test_a_link_and_a_device_stay(result: Result, digit_files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "p.csv")
    for output in (tmp_path / "link.csv", Path(os.devnull)):
        list(write_predictions(output, result.model, predict_files(result.model, digit_files[:1])))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "p.csv").read_text().startswith("path,")
    assert not Path(os.devnull).is_file()
