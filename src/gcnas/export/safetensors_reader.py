"""A reader of safetensors files that needs only torch: an exported ``model.py`` holds a copy of it."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_FILE_BYTES = 2**31
MAX_HEADER_BYTES = 100_000_000


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file; ValueError if the file is not one."""
    path = Path(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError(f"{path} is no safetensors file: its header does not fit into it")
    if start > MAX_HEADER_BYTES:
        raise ValueError(f"{path} is no safetensors file: its header has more than {MAX_HEADER_BYTES:,} bytes")
    try:
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        tensors: dict[str, Tensor] = {}
        room = len(content) - start
        for name, entry in header.items():
            tensors[name] = _tensor(content, start, **entry)
            room -= tensors[name].nbytes
            if room < 0:
                raise ValueError("its tensors overlap")
        return tensors
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


def _tensor(content: bytearray, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    kind = DTYPES[dtype]
    begin, end = data_offsets
    if any(type(number) is not int or number < 0 for number in (begin, end, *shape)):
        raise ValueError("sizes and offsets must be whole numbers")
    count = math.prod(shape)
    if end > len(content) - start or end - begin != count * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} does not fit into bytes {begin} to {end}")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=count, offset=start + begin).reshape(shape).clone()
