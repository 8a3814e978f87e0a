import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gcnas.export.safetensors_reader import read_safetensors
from gcnas.network.file_size import _NAMES


def write(path: Path, header: Any, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}


def test_reads_what_the_library_writes(tmp_path: Path) -> None:
    """Numbers of all types that it knows: layer types of users may have any of them."""
    tensors = {name: (torch.rand(3, 2) * 9).to(dtype) for dtype, name in _NAMES.items()}
    tensors |= {"scalar": torch.tensor(7), "empty": torch.empty(0, 3)}
    save_file(tensors, tmp_path / "x", metadata={"format": "pt"})
    read = read_safetensors(tmp_path / "x")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        found, expected = (each.reshape(-1).view(torch.uint8) for each in (read[name], tensor))
        assert torch.equal(found, expected)


def test_tensors_can_be_changed(tmp_path: Path) -> None:
    save_file({"x": torch.ones(2), "y": torch.ones(2)}, tmp_path / "x")
    read = read_safetensors(tmp_path / "x")
    read["x"].zero_()
    assert read["y"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "header",
    [
        b"no json",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        {"x": 1},
        {"x": {}},
        entry(dtype="F31"),
        entry(shape=[3]),
        entry(shape=[-2]),
        entry(shape=[2.0]),
        entry(shape="ab"),
        entry(shape=None),
        entry(shape=[2**40, 2**40]),
        entry(data_offsets=[0, 4]),
        entry(data_offsets=[8, 16]),
        entry(data_offsets=[-8, 0]),
        entry(data_offsets=[0]),
        entry(data_offsets=[True, 9]),
        entry(more=1),
        entry(shape=[0, 2**62, 2**62], data_offsets=[0, 0]),
    ],
    ids=lambda header: str(header)[:70],
)
def test_damaged_header_is_a_value_error(tmp_path: Path, header: Any) -> None:
    with pytest.raises(ValueError, match="is no safetensors file"):
        read_safetensors(write(tmp_path / "x", header, bytes(8)))


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\0" * 8, b"\xff" * 8, b"\x09" + b"\0" * 7 + b"{}"])
def test_header_that_does_not_fit_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match="header does not fit"):
        read_safetensors(tmp_path / "x")


def test_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.export.safetensors_reader.MAX_FILE_BYTES", 10)
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_safetensors(write(tmp_path / "x", entry(), bytes(8)))


def test_tensors_that_share_bytes_are_a_value_error(tmp_path: Path) -> None:
    """A small file could ask for any amount of memory."""
    header = {str(number): entry()["x"] for number in range(3)}
    with pytest.raises(ValueError, match="overlap"):
        read_safetensors(write(tmp_path / "x", header, bytes(8)))


def test_tensor_beyond_the_end_of_the_file_is_a_value_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x", entry(data_offsets=[8, 16]), bytes(8))
    with pytest.raises(ValueError, match=r"does not fit into bytes 8 to 16"):
        read_safetensors(path)


def test_a_huge_header_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.export.safetensors_reader.MAX_HEADER_BYTES", 10)
    with pytest.raises(ValueError, match="header has more than 10 bytes"):
        read_safetensors(write(tmp_path / "x", entry(), bytes(8)))
