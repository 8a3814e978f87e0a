"""Architectures: what was built, as plain, immutable, hashable data."""

import hashlib
import json
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from gcnas.errors import SpaceError

HyperparameterValue: TypeAlias = int | float | str

MAX_LAYERS = 1_000
"""Longest architecture that is read from a file."""

MAX_NUMBER = 1e15
"""Largest hyper-parameter that is read from a file."""


@dataclass(frozen=True)
class Layer:
    """One layer of an architecture.

    Attributes:
        type: Name of the layer type.
        hyperparameters: Pairs of name and value, sorted by name.
        inputs: Indices of the nodes whose outputs this layer reads, newest first. Node 0 is the stem's
            output, node ``i`` the output of the ``i``-th layer (counted from 1).
    """

    type: str
    hyperparameters: tuple[tuple[str, HyperparameterValue], ...]
    inputs: tuple[int, ...]

    @property
    def values(self) -> dict[str, HyperparameterValue]:
        """The hyper-parameters by name."""
        return dict(self.hyperparameters)

    def to_json(self) -> dict[str, Any]:
        """JSON form of the layer."""
        return {"type": self.type, "hyperparameters": self.values, "inputs": list(self.inputs)}


@dataclass(frozen=True)
class Architecture:
    """A network between stem and head: layers in the order in which they were added.

    Equal architectures (after the canonical form of their space) are the same network and have the same
    :attr:`fingerprint`.
    """

    layers: tuple[Layer, ...]

    @property
    def depth(self) -> int:
        """Number of layers between stem and head."""
        return len(self.layers)

    def to_json(self) -> dict[str, Any]:
        """JSON form, the content of ``architecture.json``."""
        return {"layers": [layer.to_json() for layer in self.layers]}

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits (64 bits of SHA-256) of types, hyper-parameters and inputs."""
        layers = [
            [layer.type, [[name, _plain(value)] for name, value in layer.hyperparameters], layer.inputs]
            for layer in self.layers
        ]
        text = json.dumps(layers, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, data: Any) -> "Architecture":
        """Read the JSON form.

        Raises:
            SpaceError: If the data does not have the form that :meth:`to_json` writes.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("layers"), list):
            raise SpaceError(
                f"An architecture must be an object with a list 'layers', but got {type(data).__name__}."
            )
        layers = data["layers"]
        if len(layers) > MAX_LAYERS:
            raise SpaceError(f"An architecture has at most {MAX_LAYERS} layers, but got {len(layers)}.")
        return cls(tuple(_layer_from_json(layer, index) for index, layer in enumerate(layers, start=1)))


def _layer_from_json(data: Any, index: int) -> Layer:
    if not isinstance(data, Mapping) or set(data) != {"type", "hyperparameters", "inputs"}:
        raise SpaceError(f"Layer {index} must have exactly the keys type, hyperparameters and inputs.")
    hyperparameters, inputs = data["hyperparameters"], data["inputs"]
    if not isinstance(data["type"], str):
        raise SpaceError(f"The type of layer {index} must be a string, but got {reprlib.repr(data['type'])}.")
    if not isinstance(hyperparameters, Mapping) or not all(
        isinstance(name, str) and _is_value(value) for name, value in hyperparameters.items()
    ):
        raise SpaceError(f"The hyper-parameters of layer {index} must be finite numbers or strings by name.")
    if (
        not isinstance(inputs, list)
        or not inputs
        or not all(type(node) is int and 0 <= node < index for node in inputs)
    ):
        raise SpaceError(
            f"The inputs of layer {index} must be a list of nodes before it, but got {reprlib.repr(inputs)}."
        )
    values = ((name, _plain(value)) for name, value in hyperparameters.items())
    return Layer(data["type"], tuple(sorted(values)), tuple(inputs))


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return True
    # The comparison is false for NaN.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _plain(value: HyperparameterValue) -> HyperparameterValue:
    """2.0 as 2: equal layers must have equal texts, and other tools write JSON numbers in either way."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
