import os
import stat
from pathlib import Path

import pytest

from gcnas.files import write_atomically
from gcnas.run.folder import RunFolder


def test_errors_name_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere/file\.txt'$"):
        write_atomically(tmp_path / "nowhere/file.txt", b"")


def test_content_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mask_of_the_user_holds(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "weights", b"")
        run = RunFolder.create(tmp_path / "run")
        run.replace(run.best, lambda fresh: (fresh / "weights").write_bytes(b"") and None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "weights").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE(run.best.stat().st_mode) == 0o777 & ~mask


def test_failure_leaves_the_old_content_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")

    def fail(file: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("gcnas.files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def test_readers_see_the_old_content_until_the_new_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    seen = []
    monkeypatch.setattr("gcnas.files.os.fsync", lambda _: seen.append(path.read_bytes()))
    write_atomically(path, b"new")
    assert seen[0] == b"old"


@pytest.mark.parametrize("path", [".", "/", ""])
def test_a_path_without_a_name_is_a_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(IsADirectoryError):
        write_atomically(Path(path), b"")
    assert not list(tmp_path.iterdir())
