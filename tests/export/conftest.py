from pathlib import Path

import pytest
import torch

from gcnas.network import Network, build
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace, load_space
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import resnet8

GHOSTS = Path(__file__).parent.parent / "network" / "ghost_space.py"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def trained(space: SearchSpace, architecture: Architecture) -> Network:
    """A network whose statistics and weights are no longer the initial ones."""
    image = space.fitted
    network = build(space, architecture, (0.4,) * image.channels, (0.3,) * image.channels)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
    for _ in range(2):
        network(torch.rand(4, image.channels, image.height, image.width)).logsumexp(1).sum().backward()
        optimiser.step()
    return network


@pytest.fixture
def space() -> SearchSpace:
    return CNN.fit(InputShape(channels=1, height=28, width=28, classes=10))


@pytest.fixture
def architecture(space: SearchSpace) -> Architecture:
    return resnet8(space)


@pytest.fixture
def network(space: SearchSpace, architecture: Architecture) -> Network:
    return trained(space, architecture)


@pytest.fixture
def ghosts() -> SearchSpace:
    return load_space(f"{GHOSTS}:SPACE").fit(InputShape(channels=3, height=12, width=12, classes=3))
