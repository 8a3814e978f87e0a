"""How large the file of a network's weights will be, before there are any."""

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import nn

from gcnas.network.blueprint import Step, draw_blueprint
from gcnas.records import Architecture
from gcnas.records.limits import BYTES
from gcnas.space import SearchSpace

Entries: TypeAlias = tuple[tuple[str, torch.dtype, tuple[int, ...]], ...]
"""Name, type and shape of each tensor of a module."""

MAX_KNOWN = 50_000
"""Modules whose tensors are remembered: networks repeat the same few layers."""

_NAMES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types of numbers in the order in which the format keeps them; others are so rare that only their bytes are known."""

_known: dict[tuple[Any, ...], Entries] = {}


def weights_bytes(space: SearchSpace, architecture: Architecture) -> int:
    """Bytes of ``weights.safetensors``: parameters, buffers and the header with their names, to the byte.

    No memory is taken for the weights, since layers are built on PyTorch's meta device, but those of a user's type
    that cannot be built there. Of a network with a layer that cannot be built at all only the parameters are known.

    Args:
        space: Fitted space of the architecture.
        architecture: The network.
    """
    try:
        return safetensors_bytes(tuple(_entries(space, architecture)))
    # A user's own layer types are foreign code; the candidate will fail where it is trained, and say why.
    except Exception:  # noqa: BLE001
        return BYTES * space.size(architecture)[0]


def _entries(
    space: SearchSpace, architecture: Architecture
) -> Iterator[tuple[str, torch.dtype, tuple[int, ...]]]:
    """The tensors of a network, under the names that they have in :class:`~gcnas.network.Network`."""
    zeros = (0.0,) * space.fitted.channels
    blueprint = draw_blueprint(space, architecture, zeros, zeros)
    frame = (space.fingerprint, space.fitted.channels)
    yield from _of("normalise", (*frame, "normalise"), blueprint.normalise)
    yield from _of("stem", (*frame, "stem"), blueprint.stem)
    for index, step in enumerate(blueprint.steps, start=1):
        key = (space.fingerprint, *_key(step))
        if step.merge is not None:
            yield from _of(f"merge{index}", (*key, "merge"), step.merge)
        yield from _of(f"layer{index}", key, step.layer)
    width = blueprint.steps[-1].plan.output.channels if blueprint.steps else 0
    yield from _of("head", (*frame, "head", width), blueprint.head)


def _key(step: Step) -> tuple[Any, ...]:
    merge = step.plan.merge
    # The type itself: another of the same name and choices may build something else.
    return (_Same(step.layer_type), step.plan.layer.hyperparameters, merge.mode, merge.shapes, merge.strides)


class _Same:
    """Any object as a part of a key: equal to itself alone."""

    def __init__(self, thing: object) -> None:
        self._thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._thing is self._thing

    def __hash__(self) -> int:
        return id(self._thing)


def _of(name: str, key: tuple[Any, ...], constructor: Callable[[], nn.Module]) -> Entries:
    """The tensors of a module, under a name."""
    if key not in _known:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        state = _built(constructor).state_dict()
        _known[key] = tuple((part, tensor.dtype, tuple(tensor.shape)) for part, tensor in state.items())
    return tuple((f"{name}.{part}", dtype, shape) for part, dtype, shape in _known[key])


def _built(constructor: Callable[[], nn.Module]) -> nn.Module:
    """A module without memory for its weights, where it can be built so: a user's type may look at their values."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return constructor()
        except Exception:  # noqa: BLE001 - whatever a user's type raises
            return constructor()


def safetensors_bytes(entries: Entries) -> int:
    """Bytes of a safetensors file: eight, the header padded to a multiple of eight, and the tensors."""
    order = {dtype: number for number, dtype in enumerate(_NAMES)}
    ordered = sorted(entries, key=lambda entry: (order.get(entry[1], len(order)), entry[0]))
    header, offset = {}, 0
    for name, dtype, shape in ordered:
        end = offset + dtype.itemsize * torch.Size(shape).numel()
        header[name] = {"dtype": _NAMES.get(dtype, "BOOL"), "shape": shape, "data_offsets": [offset, end]}
        offset = end
    length = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + -(-length // 8) * 8 + offset
