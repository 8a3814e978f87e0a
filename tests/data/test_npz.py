""".npz files, sound and hostile."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gcnas.data import npz
from gcnas.data.npz import read_npz
from gcnas.data.source import TEST, TRAIN
from gcnas.errors import DataError


def save(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def header(shape: str, descr: str = "'|u1'", body: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def raw_header(text: str) -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(line)) + line


LABELS = npy(np.array([0, 1, 0, 1]))


def test_sound_files(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 9, 10), dtype=np.uint8)
    for write in (np.savez, np.savez_compressed):
        path = tmp_path / "small.npz"
        columns, objects = np.asfortranarray(images), np.array([None], dtype=object)
        labels = {"y_train": [0, 1, 0, 1], "y_test": [[0], [1]] * 2}
        write(path, x_train=images, x_test=columns, extra=objects, **labels)
        source = read_npz(path)
        assert source.name == "small"
        assert source.given.tolist() == [TRAIN] * 4 + [TEST] * 4
        assert all((part[..., 0] == images).all() for part in source.images.parts)
        assert source.notices == ("Arrays not used: extra.",)


HOSTILE = {
    "claims more than it holds": ({"images": header("(1000000, 1000, 1000)"), "labels": LABELS}, "claims"),
    "claims an overflowing size": ({"images": header(f"({2**62}, {2**62})"), "labels": LABELS}, "claims"),
    "negative shape": ({"images": header("(-1, 8, 8)"), "labels": LABELS}, "negative"),
    "shape of no numbers": ({"images": header("('a',)"), "labels": LABELS}, "cannot be read"),
    "code in the header": ({"images": header("__import__('os').getcwd()"), "labels": LABELS}, "cannot be read"),
    "a header that ends early": (
        {"images": raw_header("{'descr': '<f8', 'shape': (3"), "labels": LABELS},
        "cannot be read",
    ),
    "a header of lists": ({"images": raw_header("{[1]: 2}"), "labels": LABELS}, "cannot be read"),
    "a header of numbers": ({"images": raw_header("{1: 2, 'a': 3}"), "labels": LABELS}, "cannot be read"),
    "pickle": (
        {"images": npy(np.array([[[None]]] * 4, dtype=object), allow_pickle=True), "labels": LABELS},
        "Python objects",
    ),
    "pickle inside a record": ({"images": header("(4,)", "[('a', '|O')]"), "labels": LABELS}, "Python objects"),
    "other version": ({"images": b"\x93NUMPY\x09\x00" + b" " * 100, "labels": LABELS}, "version"),
    "endless header": (
        {"images": b"\x93NUMPY\x02\x00" + struct.pack("<I", 50_000) + b" " * 50_000, "labels": LABELS},
        "the header of an array is damaged",
    ),
    # A billion of such labels take no byte in the file, and gigabytes as text.
    "texts of no characters": (
        {"images": npy(np.zeros((4, 2, 2), np.uint8)), "labels": header("(4,)", "'|S0'")},
        "empty texts",
    ),
    "empty member": ({"images": b"", "labels": LABELS}, "cannot be read"),
    "no arrays": ({}, "found nothing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path: Path, name: str) -> None:
    members, message = HOSTILE[name]
    with pytest.raises(DataError, match=message):
        read_npz(save(tmp_path / "bad.npz", members))


def test_bombs_are_refused_without_being_unpacked(tmp_path: Path) -> None:
    size = 256 * 2**20
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", LABELS)
        with archive.open("images.npy", "w") as file:
            file.write(header(f"(4, {size // 4096}, 1024)"))
            for _ in range(256):
                file.write(bytes(2**20))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="unpack to"):
            read_npz(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_too_much_for_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "big.npz", {"images": npy(np.zeros((4, 100, 100))), "labels": LABELS})
    monkeypatch.setattr(npz, "MAX_BYTES", 300_000)
    with pytest.raises(DataError, match="GiB"):
        read_npz(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, share: float) -> None:
    whole = save(tmp_path / "a.npz", {"images": npy(np.zeros((4, 8, 8))), "labels": LABELS}).read_bytes()
    (tmp_path / "a.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "a.npz")


def test_flipped_bytes_never_escape(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), dtype=np.uint8)
    whole = save(tmp_path / "a.npz", {"images": npy(images), "labels": LABELS}).read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(300):
        content = bytearray(whole)
        content[generator.integers(0, len(whole))] ^= 1 << int(generator.integers(0, 8))
        (tmp_path / "a.npz").write_bytes(content)
        try:
            source = read_npz(tmp_path / "a.npz")
        except DataError:
            continue
        # No bit that matters was hit.
        (part,) = source.images.parts
        assert np.array_equal(part[..., 0], images)
        assert source.labels.tolist() == [0, 1, 0, 1]


def test_compressions_that_only_newer_pythons_know_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.npz", {"images": npy(np.zeros((4, 2, 2), np.uint8)), "labels": LABELS})
    content = bytearray(path.read_bytes())
    method = content.find(b"PK\1\2") + 10
    content[method : method + 2] = (93).to_bytes(2, "little")  # Zstandard
    path.write_bytes(content)
    with pytest.raises(DataError, match="packed by method 93, which is not read"):
        read_npz(path)


def test_other_compressions_that_are_damaged_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", npy(np.random.default_rng(0).integers(0, 9, (4, 80, 80))))
        archive.writestr("labels.npy", LABELS)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(path)


def test_text_named_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_text("hello")
    with pytest.raises(DataError, match="cannot be read"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("comment", [b"", b"said by nobody"])
def test_a_million_members_are_refused_before_they_are_listed(
    tmp_path: Path, comment: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 65,535 members also take the 64-bit form of the record at the end."""
    path = tmp_path / "many.npz"
    entry = b"PK\1\2" + bytes(42)  # of the list alone, which is all that is read of it
    count = 1_000_000
    size = count * len(entry)
    large = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, 0)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, size, 1)
    end = (
        b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, len(comment))
        + comment
    )
    with path.open("wb") as file:
        for _ in range(100):
            file.write(entry * (count // 100))
        file.write(large + locator + end)
    monkeypatch.setattr(npz.zipfile, "ZipFile", lambda _: pytest.fail("it was opened"))
    with pytest.raises(DataError, match=r"46,000,000 bytes.*Save only what is used"):
        read_npz(path)


@pytest.mark.parametrize("decoy", [b"", b"PK\6\6" + bytes(52)])
def test_a_list_of_members_that_lies_elsewhere_is_refused(
    tmp_path: Path, decoy: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record with four bytes more, as newer readers take it, and with a harmless one where older readers look."""
    path = tmp_path / "many.npz"
    entry, count = b"PK\1\2" + bytes(42), 1_000_000
    size = count * len(entry)
    large = (
        b"PK\6\6" + struct.pack("<QHHIIQQQQ", 48 + len(decoy), 45, 45, 0, 0, count, count, size, 0) + bytes(4)
    )
    locator = b"PK\6\7" + struct.pack("<IQI", 0, size, 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 100, 0xFFFFFFFF, 0)
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(large + decoy + locator + end)
    monkeypatch.setattr(npz.zipfile, "ZipFile", lambda _: pytest.fail("it was opened"))
    with pytest.raises(DataError, match="64-bit record is not where it belongs"):
        read_npz(path)


@pytest.mark.parametrize("comment", [b"", b"said by nobody"])
def test_an_archive_of_64_bits_is_read(tmp_path: Path, comment: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python writes them where there are many members, or large ones."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    path = save(tmp_path / "a.npz", {"images": npy(np.zeros((4, 8, 8))), "labels": LABELS})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert b"PK\6\6" in path.read_bytes()
    assert len(read_npz(path).images) == 4


def test_many_members_are_no_reason_to_refuse(tmp_path: Path) -> None:
    images = npy(np.zeros((4, 8, 8)))
    extra = {f"extra{number}": LABELS for number in range(1_000)}
    path = save(tmp_path / "a.npz", {"images": images, "labels": LABELS, **extra})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"made by hand"
    assert len(read_npz(path).images) == 4
