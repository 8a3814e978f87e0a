"""Moments of torch optimisers as named tensors, to be kept without pickle."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


def moments(optimizer: Optimizer) -> dict[str, Tensor]:
    """Every moment as ``index.name``; none before the first step."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, named in state.items() for name, tensor in named.items()}


def load_moments(optimizer: Optimizer, named: Mapping[str, Tensor]) -> None:
    """Set the moments; settings such as the learning rate stay those of the optimiser."""
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in named.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
