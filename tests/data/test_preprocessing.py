"""The record of what is done to images, and its JSON form."""

import json
from pathlib import Path

import numpy as np
import pytest

from gcnas.data import Preprocessing
from gcnas.data.preprocessing import fit
from gcnas.data.source import batches
from gcnas.errors import DataError

EXAMPLE = Preprocessing((24, 32), 3, (0.5, 0.25, 0.125), (0.25, 0.25, 0.5))


def test_mean_and_deviation_are_those_of_the_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 200, (5000, 4, 6, 3), dtype=np.uint8)
    fitted = fit(images)
    assert fitted.resolution == (4, 6)
    assert fitted.channels == 3
    np.testing.assert_allclose(fitted.mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-10)
    np.testing.assert_allclose(fitted.std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-8)


def test_constant_images_keep_a_deviation_that_divides() -> None:
    assert fit(np.full((3, 8, 8, 1), 9, dtype=np.uint8)).std == (1 / 255,)


def test_json_round_trip() -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(EXAMPLE.to_json()))) == EXAMPLE


@pytest.mark.parametrize(
    "change",
    [
        {"channels": 2}, {"channels": True}, {"channels": "3"}, {"channels": 3.0}, {"channels": [3]},
        {"resolution": 32}, {"resolution": [32]}, {"resolution": [0, 32]}, {"resolution": [32, 513]},
        {"resolution": [32.0, 32.0]}, {"resolution": "32"}, {"resolution": None},
        {"mean": [0.5]}, {"mean": [0.5, 0.5, "a"]}, {"mean": [0.5, 0.5, float("nan")]}, {"mean": None},
        {"std": [0.5, 0.5, 0]}, {"std": [0.5, 0.5, -1.0]}, {"std": [0.5, 0.5, float("inf")]},
        {"more": 1},
    ],
)  # fmt: skip
def test_json_of_another_form_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        Preprocessing.from_json({**EXAMPLE.to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "text", {}, {"resolution": [8, 8]}])
def test_json_that_is_no_preprocessing_is_refused(data: object) -> None:
    with pytest.raises(DataError, match="Preprocessing has"):
        Preprocessing.from_json(data)


def test_load_image_takes_paths_bytes_and_pictures(tmp_path: Path, picture) -> None:
    path = tmp_path / "a.PNG"
    picture(size=(100, 50)).save(path, "PNG")
    expected = EXAMPLE.load_image(picture(size=(100, 50)))
    assert expected.shape == (24, 32, 3)
    assert expected.dtype == np.uint8
    for source in (path, str(path), path.read_bytes()):
        assert (EXAMPLE.load_image(source) == expected).all()


def test_load_image_names_the_file_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"bad\.jpg: not an image"):
        EXAMPLE.load_image(tmp_path / "bad.jpg")


@pytest.mark.parametrize(
    ("count", "row_bytes", "sizes"), [(10, 1, [10]), (10, 2**25, [2] * 5), (5, 2**27, [1] * 5), (0, 8, [])]
)
def test_as_many_at_once_as_fit_into_memory(count: int, row_bytes: int, sizes: list[int]) -> None:
    found = list(batches(count, row_bytes))
    assert [part.stop - part.start for part in found] == sizes
    assert [row for part in found for row in range(part.start, part.stop)] == list(range(count))
