import csv
import os
from pathlib import Path

import numpy as np
import pytest

from gcnas.delivery import image_files, predict_arrays, predict_files, write_predictions
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
