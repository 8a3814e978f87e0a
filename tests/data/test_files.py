"""Many files at once."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gcnas.data import files
from gcnas.data.files import FileImages


def images(tmp_path: Path, *pictures: Image.Image | bytes) -> FileImages:
    paths = [tmp_path / f"{number:03d}.png" for number in range(len(pictures))]
    for path, content in zip(paths, pictures, strict=True):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.save(path)
    return FileImages(tuple(paths), tuple(path.name for path in paths))


def test_survey(tmp_path: Path, picture) -> None:
    found = images(tmp_path, picture(size=(20, 10)), b"", picture(mode="L"), picture(mode="RGBA")).survey()
    assert found.sizes.tolist() == [[20, 10], [0, 0], [16, 16], [16, 16]]
    assert found.modes == ("RGB", "", "L", "RGBA")
    assert found.broken == {1: "the file is empty"}
    assert not found.grey


def test_grey_in_any_mode(tmp_path: Path, picture) -> None:
    grey = [picture(mode="L").convert(mode) for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")]
    assert images(tmp_path, *grey).survey().grey
    assert not images(tmp_path, *grey, picture()).survey().grey


def test_blocks_keep_order_and_places(tmp_path: Path, picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_ROWS_AT_ONCE", 4)
    pictures = [picture(seed) for seed in range(10)]
    source = images(tmp_path, *pictures[:6], b"broken", *pictures[7:])
    blocks = list(source.blocks((16, 16), 3))
    assert [block.start for block in blocks] == [0, 4, 8]
    assert [block.broken for block in blocks] == [{}, {6: "not an image, or of an unknown format"}, {}]
    pixels = np.concatenate([block.pixels for block in blocks])
    for row in {*range(10)} - {6}:
        assert (pixels[row] == np.asarray(pictures[row])).all()
    assert not pixels[6].any()
