"""A model as plain numbers and texts, so that it can be pickled or sent without its code."""

from typing import Any

import torch

from gcnas.data import Preprocessing
from gcnas.delivery.best import Model, buildable
from gcnas.errors import SpaceError
from gcnas.network import build
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace


def pack(model: Model) -> dict[str, Any]:
    """Everything of a model but its space: JSON values, and the weights as arrays."""
    return {
        "image": dict(vars(model.space.fitted)),
        "space_fingerprint": model.space.fingerprint,
        "architecture": model.architecture.to_json(),
        "preprocessing": model.preprocessing.to_json(),
        "classes": list(model.class_names),
        "weights": {name: tensor.numpy().copy() for name, tensor in model.network.state_dict().items()},
    }


def unpack(packed: dict[str, Any], space: SearchSpace) -> Model:
    """The model again.

    Args:
        packed: What :func:`pack` gave.
        space: The model's space, fitted or not.

    Raises:
        SpaceError: If it is not the space of the model.
        RunFolderError: If the network cannot be built.
    """
    with buildable("the packed model"):
        return _built(packed, space)


def _built(packed: dict[str, Any], space: SearchSpace) -> Model:
    fitted = space.fit(InputShape(**packed["image"]))
    if fitted.fingerprint != packed["space_fingerprint"]:
        raise SpaceError(
            f"The space {space.name!r} has changed since the network was trained; use the version of the space, "
            "or of gcnas, that trained it."
        )
    preprocessing = Preprocessing.from_json(packed["preprocessing"])
    architecture = Architecture.from_json(packed["architecture"])
    with torch.random.fork_rng(devices=[]):
        network = build(fitted, architecture, preprocessing.mean, preprocessing.std)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in packed["weights"].items()})
    return Model(network.eval(), preprocessing, tuple(packed["classes"]), architecture, fitted)
