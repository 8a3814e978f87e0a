"""Deleting leftovers and whole runs, and nothing else."""

import errno
import shutil
from pathlib import Path

import pytest

from gcnas.errors import RunFolderError
from gcnas.run.cleaning import delete_leftovers, delete_run
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import Ledger


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run")
    Ledger(folder.ledger, {"name": "toy"}).close()
    folder.replace(folder.best, lambda fresh: (fresh / "metrics.json").write_text("{}") and None)
    return folder


def test_leftovers(run: RunFolder) -> None:
    kept = {item.name for item in run.path.iterdir()} | {".lock"}
    (run.path / "cache").mkdir()
    (run.path / "cache" / "images.npy").write_bytes(b"x" * 1000)
    (run.path / ".best.abcd0123").mkdir()
    (run.path / ".best.abcd0123" / "weights").write_bytes(b"x" * 200)
    (run.path / ".report.html.0a112345").write_bytes(b"x" * 30)
    (run.path / ".git").mkdir()
    (run.path / ".gitignore").write_text("*")
    assert delete_leftovers(run.path) == 1230
    assert {item.name for item in run.path.iterdir()} == kept | {".git", ".gitignore"}
    assert delete_leftovers(run.path) == 0
    with Ledger(run.ledger) as ledger:
        assert ledger.meta() == {"name": "toy"}


def test_run(run: RunFolder) -> None:
    with run.locked():
        for delete in (delete_run, delete_leftovers):
            with pytest.raises(RunFolderError, match="Another process"):
                delete(run.path)
    delete_run(run.path)
    assert not run.path.exists()


@pytest.mark.parametrize("whole", [False, True])
def test_a_run_that_was_killed_before_its_first_evaluation(tmp_path: Path, whole: bool) -> None:
    """While it decoded its images, which may take gigabytes."""
    folder = RunFolder.create(tmp_path / "run")
    with folder.locked():
        (folder.path / "cache").mkdir()
        (folder.path / "cache" / "images.npy").write_bytes(b"x" * 1000)
        with pytest.raises(RunFolderError, match="Another process"):
            delete_leftovers(folder.path)
    if whole:
        delete_run(folder.path)
        assert not folder.path.exists()
    else:
        assert delete_leftovers(folder.path) == 1000
        assert not (folder.path / "cache").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".lock").touch()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(RunFolderError):
        delete_run(tmp_path / "mine")


def test_a_link_to_a_run_goes_with_it(run: RunFolder) -> None:
    link = run.path.with_name("latest")
    link.symlink_to(run.path, target_is_directory=True)
    delete_run(link)
    assert not link.is_symlink()
    assert not run.path.exists()


def test_what_the_system_does_not_explain_is_told(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError("odd")

    (run.path / "cache").mkdir()
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(RunFolderError, match="odd"):
        delete_leftovers(run.path)


def test_a_file_that_cannot_be_deleted_is_named(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = run.path / "cache" / "images.npy"
    cached.parent.mkdir()

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(cached))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    for delete in (delete_run, delete_leftovers):
        with pytest.raises(RunFolderError, match=r"images\.npy cannot be deleted \(Permission denied\)"):
            delete(run.path)


def test_no_run(tmp_path: Path) -> None:
    (tmp_path / ".hidden").write_text("mine")
    for delete in (delete_run, delete_leftovers):
        with pytest.raises(RunFolderError, match="not a run folder"):
            delete(tmp_path)
    assert (tmp_path / ".hidden").exists()
