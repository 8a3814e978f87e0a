"""How large the file of a network's weights will be, before there are any."""

import json

import torch
from torch import Tensor

from gcnas.errors import CandidateError
from gcnas.network.network import build
from gcnas.records import Architecture
from gcnas.records.limits import BYTES
from gcnas.space import SearchSpace

_NAMES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.float64: "F64",
    torch.int64: "I64",
    torch.int32: "I32",
}


def weights_bytes(space: SearchSpace, architecture: Architecture) -> int:
    """Bytes of ``weights.safetensors``: parameters, buffers and the header with their names.

    Exact for the built-in layer types. No memory is taken for the weights, since the network is built on PyTorch's
    meta device. Of a network that cannot be built only the parameters are known.

    Args:
        space: Fitted space of the architecture.
        architecture: The network.
    """
    channels = (0.0,) * space.fitted.channels
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            state = build(space, architecture, channels, channels).state_dict()
    except CandidateError:
        return BYTES * space.size(architecture)[0]
    return safetensors_bytes(state)


def safetensors_bytes(state: dict[str, Tensor]) -> int:
    """Bytes of a safetensors file with these tensors: eight, the header padded to a multiple of eight, and the data."""
    # The format's own order: whole numbers (wider) before floats, then by name.
    ordered = sorted(state.items(), key=lambda item: (item[1].is_floating_point(), -item[1].itemsize, item[0]))
    header, offset = {}, 0
    for name, tensor in ordered:
        end = offset + tensor.nbytes
        header[name] = {
            "dtype": _NAMES.get(tensor.dtype, "BOOL"),
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8 + offset
