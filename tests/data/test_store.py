"""Images that are too many for the memory live in files and are the same."""

import errno
import fcntl
import pickle
from pathlib import Path

import numpy as np
import pytest

from gcnas.data import load, store
from gcnas.errors import DataError


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MEMORY_LIMIT", 1000)
    monkeypatch.setattr(store, "_ROWS_AT_ONCE", 7)


def test_files_hold_the_same_images(arrays, tmp_path: Path, monkeypatch, request) -> None:
    here = load(arrays)
    request.getfixturevalue("little_memory")
    there = load(arrays, cache=tmp_path / "new" / "cache")
    assert here.train().in_memory
    for name in ("train", "validation", "train_and_validation"):
        kept, mapped = getattr(here, name)(), getattr(there, name)()
        assert isinstance(mapped.images, np.memmap)
        assert not mapped.in_memory
        assert not mapped.images.flags.writeable
        assert (kept.images == mapped.images).all()
        assert (kept.labels == mapped.labels).all()
        taken = mapped.take(np.array([3, 1]))
        assert not isinstance(taken, np.memmap)
        assert (taken == kept.images[[3, 1]]).all()
    assert (here.open_test("a", print).images == there.open_test("b", print).images).all()
    assert here.fingerprint == there.fingerprint
    assert here.preprocessing == there.preprocessing
    assert here.mirror == there.mirror


def test_only_two_files_stay_and_a_second_load_replaces_them(little_memory, arrays, tmp_path: Path) -> None:
    first = load(arrays, cache=tmp_path)
    load(arrays, cache=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{first.fingerprint}-{part}.npy" for part in ("search", "test")]
    assert (first.images == np.load(tmp_path / names[0])).all()


def test_no_test_split_in_files(little_memory, arrays, tmp_path: Path) -> None:
    dataset = load(arrays, cache=tmp_path, test_fraction=0)
    assert isinstance(dataset.images, np.memmap)
    assert dataset.size_test == 0
    assert pickle.loads(pickle.dumps(dataset)).size_test == 0  # noqa: S301 - our own


def test_files_with_broken_images(little_memory, folder, tmp_path: Path, monkeypatch) -> None:
    root = folder({"cat": 8, "dog": 8})
    (root / "cat" / "003.png").write_bytes(b"")
    mapped = load(root, cache=tmp_path / "cache")
    monkeypatch.setattr(store, "MEMORY_LIMIT", 2**30)
    assert (mapped.images == load(root).images).all()


def test_pickles_map_the_files_again(little_memory, arrays, tmp_path: Path) -> None:
    dataset = load(arrays, cache=tmp_path)
    content = pickle.dumps(dataset)
    assert len(content) < dataset.images.nbytes
    again = pickle.loads(content)  # noqa: S301 - our own
    assert isinstance(again.images, np.memmap)
    assert not again.train().in_memory
    assert (again.train().images == dataset.train().images).all()
    assert (again.open_test("a", print).images == dataset.open_test("b", print).images).all()


def test_a_cache_folder_is_asked_for(little_memory, arrays, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Give a cache folder"):
        load(arrays)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be used"):
        load(arrays, cache=tmp_path / "file")


def test_a_full_disk_is_foreseen(little_memory, arrays, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10}))
    with pytest.raises(DataError, match="free"):
        load(arrays, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_is_swept_and_what_another_writes_is_not(tmp_path: Path) -> None:
    pixels = np.zeros((2, 1, 1, 1), dtype=np.uint8)
    left, others = tmp_path / ".train.npy.0a1b2c3d", tmp_path / ".train.npy.4e5f6a7b"
    left.write_bytes(b"half")
    with others.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        store.map_images(pixels, tmp_path / "train.npy")
        assert sorted(tmp_path.iterdir()) == [others, tmp_path / "train.npy"]
    store.map_images(pixels, tmp_path / "train.npy")
    assert list(tmp_path.iterdir()) == [tmp_path / "train.npy"]


def test_a_disk_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    mapped = store.map_images(np.full((1, 1, 1, 1), 7, dtype=np.uint8), tmp_path / "train.npy")
    assert mapped.tolist() == [[[[7]]]]
    assert list(tmp_path.iterdir()) == [tmp_path / "train.npy"]
