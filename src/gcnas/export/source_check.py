"""Running a generated ``model.py`` and holding it against the network that it stands for."""

import copy
from typing import Any

import torch
from torch import nn

from gcnas.errors import ExportError
from gcnas.network import Blueprint, Network, Step
from gcnas.network.builders import is_own_build

TOLERANCE = 1e-5
"""Largest difference between two outputs that counts as rounding, as a share of the largest output above 1."""


def check_source(
    source: str, network: Network, blueprint: Blueprint, image_shape: tuple[int, int, int]
) -> None:
    """Execute a source in a fresh namespace and compare its outputs with the network's.

    Random state and network stay as they were.

    Raises:
        ExportError: If it fails or the outputs differ by more than a share of 1e-5.
    """
    expected = copy.deepcopy(network).cpu().eval()
    namespace: dict[str, Any] = {"__name__": "model", "__file__": "model.py"}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            exec(compile(source, "model.py", "exec"), namespace)  # noqa: S102 - we wrote it ourselves
        except Exception as error:
            raise ExportError(f"The written model.py fails: {type(error).__name__}: {error}") from error
        for index, step in enumerate(blueprint.steps, start=1):
            if is_own_build(step.layer):
                _check_own_type(namespace, step, expected.get_submodule(f"layer{index}"))
        images = torch.rand(2, *image_shape, generator=torch.Generator().manual_seed(0))
        difference = _difference(namespace["Model"](), expected, images)
    if not difference <= TOLERANCE:
        raise ExportError(f"The outputs of the written model.py differ from the network's by {difference:g}.")


def _check_own_type(namespace: dict[str, Any], step: Step, expected: nn.Module) -> None:
    name, shape, values = step.layer_type.name, step.plan.merge.output, step.plan.layer.values
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, shape.channels, shape.height, shape.width, generator=generator)
    try:
        own_shape = namespace["Shape"](shape.channels, shape.height, shape.width)
        difference = _difference(namespace[f"build_{name}"](own_shape, values), expected, image)
    except Exception as error:
        raise ExportError(
            f"The layer type {name!r} cannot be written as Python source: a copy of its build fails with "
            f"{type(error).__name__}: {error}. It must use only its arguments, torch and the standard library."
        ) from error
    if not difference <= TOLERANCE:
        raise ExportError(
            f"The layer type {name!r} cannot be written as Python source: a copy of its build gives other "
            f"outputs (they differ by {difference:g}). It must depend on nothing but its arguments."
        )


def _difference(module: nn.Module, expected: nn.Module, images: torch.Tensor) -> float:
    module.load_state_dict(expected.state_dict())
    return relative_difference(module.eval()(images), expected(images))


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, as a share of the largest expected number where that is above 1; not a number for such."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))
