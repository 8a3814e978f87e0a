"""Signals measured in another process: the same values, and what ends that process costs its network's signals only."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from gcnas.data import Dataset, load
from gcnas.execution.memory import private_memory
from gcnas.records import Architecture, Cost, Layer
from gcnas.run.measuring import ApartMeter
from gcnas.space import InputShape, LayerType, SearchSpace, Shape
from gcnas.space.layer_type import Values
from gcnas.training.signals import SignalMeter

BOTH = ("naswot", "synflow")


class Plain(LayerType):
    """A network like any other."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def build(self, shape: Shape, values: Values) -> Any:
        return nn.ReLU()


class Deadly(Plain):
    """Ends the process."""

    def build(self, shape: Shape, values: Values) -> Any:
        os.abort()


class Endless(Plain):
    """Never ends."""

    def build(self, shape: Shape, values: Values) -> Any:
        return Sleeper()


class Greedy(Plain):
    """Fills the memory until it is stopped, or holds more than it may."""

    def build(self, shape: Shape, values: Values) -> Any:
        held = []
        while len(held) < 2 * LIMIT / BLOCK:
            held.append(np.ones(BLOCK // 8))
            time.sleep(0.02)
        return nn.ReLU()


LIMIT, BLOCK = 1_000_000_000, 64_000_000
"""Bytes that the process may take, which is a multiple of what it begins with, and those that are taken at once."""


class Sleeper(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(600)
        return x


@pytest.fixture(scope="module")
def images() -> Dataset:
    random = np.random.default_rng(0)
    return load((random.integers(0, 256, (120, 8, 8), np.uint8), np.arange(120) % 3))


SPACE = SearchSpace("own", (Plain(), Deadly(), Endless(), Greedy()), min_depth=1, max_depth=1).fit(
    InputShape(1, 8, 8, 3)
)


@pytest.fixture
def meter(images: Dataset, tmp_path: Path) -> Iterator[tuple[SignalMeter, ApartMeter]]:
    near = SignalMeter(SPACE, images, BOTH, 5)
    apart = ApartMeter(near, tmp_path, limit=4.0)
    yield near, apart
    apart.close()


def test_only_the_networks_that_end_the_process_have_no_signals(meter: tuple[SignalMeter, ApartMeter]) -> None:
    near, apart = meter
    plain, deadly, endless = (
        Architecture((Layer(kind.name, (), (0,)),)) for kind in (Plain(), Deadly(), Endless())
    )
    expected = near(plain)
    assert set(expected) == set(BOTH)
    found = [apart(network) for network in (deadly, plain, endless)]
    assert found == [{}, expected, {}]
    assert apart.seconds > 1


@pytest.mark.skipif(
    private_memory(os.getpid()) is None, reason="no /proc: the memory of workers is not limited"
)
def test_a_network_that_fills_the_memory_has_no_signals(images: Dataset, tmp_path: Path) -> None:
    near = SignalMeter(SPACE, images, BOTH, 5)
    apart = ApartMeter(near, tmp_path, memory=LIMIT)
    plain, greedy = (Architecture((Layer(kind.name, (), (0,)),)) for kind in (Plain(), Greedy()))
    try:
        expected = near(plain)
        assert [apart(network) for network in (plain, greedy)] == [expected, {}]
    finally:
        apart.close()
