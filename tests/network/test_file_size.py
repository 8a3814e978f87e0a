from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch
from tests.network.ghost_space import SPACE as GHOSTS
from torch import nn

from gcnas.export import save_weights
from gcnas.network import build, weights_bytes
from gcnas.records import Cost, Limits
from gcnas.space import InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy


@pytest.mark.parametrize(
    "space",
    [
        CNN.fit(InputShape(3, 24, 32, 10), Limits(parameters=60_000)),
        CNN.fit(InputShape(1, 8, 8, 1_000), Limits(parameters=40_000)),
        GHOSTS.fit(InputShape(3, 12, 12, 3)),
    ],
    ids=["colour", "grey", "own types"],
)
def test_size_is_that_of_the_file_that_is_written(space: SearchSpace, tmp_path: Path) -> None:
    """Twice, since what is remembered of a layer the first time must not depend on where it stood."""
    channels = space.fitted.channels
    for proposal in 2 * RandomStrategy(space, 3).ask(12):
        network = build(space, proposal.architecture, (0.5,) * channels, (0.2,) * channels)
        save_weights(network, tmp_path / "weights.safetensors")
        written = (tmp_path / "weights.safetensors").stat().st_size
        assert weights_bytes(space, proposal.architecture) == written, proposal.architecture
        assert written >= 4 * space.size(proposal.architecture)[0]


@dataclass
class Scaled(LayerType):
    """Looks at numbers while it is built, which has none on the meta device."""

    more: int = 0

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost((2 + self.more) * shape.channels, shape.numbers)

    def build(self, shape: Shape, values: Values) -> nn.Module:
        rates = torch.linspace(0, 0.1, 3).tolist()
        norms = [nn.BatchNorm2d(shape.channels) for _ in range(1 + self.more // 2)]
        return nn.Sequential(*norms, nn.Dropout2d(rates[1]))


TYPES = (
    "bool",
    "uint8",
    "int8",
    "float8_e5m2",
    "float8_e4m3fn",
    "int16",
    "uint16",
    "float16",
    "bfloat16",
    "int32",
    "uint32",
    "float32",
    "complex64",
    "float64",
    "int64",
    "uint64",
)


class Buffers(LayerType):
    """Has a buffer of each type of number that PyTorch has and a file may hold."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def build(self, shape: Shape, values: Values) -> nn.Module:
        module = nn.Identity()
        known = [name for name in sorted(TYPES) if getattr(torch, name) in safetensors.torch._SIZE]
        for number, name in enumerate(known):
            module.register_buffer(f"buffer{name}", torch.zeros(7 + number, dtype=getattr(torch, name)))
        return module


def test_buffers_of_any_type(tmp_path: Path) -> None:
    space = SearchSpace("buffers", (Buffers(),), min_depth=2, max_depth=2).fit(InputShape(1, 8, 8, 3))
    network = RandomStrategy(space, 0).ask(1)[0].architecture
    save_weights(build(space, network, (0.5,), (0.2,)), tmp_path / "weights.safetensors")
    assert weights_bytes(space, network) == (tmp_path / "weights.safetensors").stat().st_size


def test_a_type_that_looks_at_numbers_is_measured_all_the_same(tmp_path: Path) -> None:
    """The second is a type of the same name and choices, as after its file was changed."""
    for more in (0, 2):
        space = SearchSpace("looking", (Scaled(more=more),), max_depth=3).fit(InputShape(1, 8, 8, 3))
        network = RandomStrategy(space, 0).ask(1)[0].architecture
        save_weights(build(space, network, (0.5,), (0.2,)), tmp_path / "weights.safetensors")
        assert weights_bytes(space, network) == (tmp_path / "weights.safetensors").stat().st_size


def test_no_network_is_built_twice_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of candidates are screened by it."""
    space = CNN.fit(InputShape(3, 32, 32, 10))
    networks = [proposal.architecture for proposal in RandomStrategy(space, 0).ask(150)]
    sizes = [weights_bytes(space, network) for network in networks]
    monkeypatch.setattr("torch.random.fork_rng", lambda **_: pytest.fail("a layer was built again"))
    assert [weights_bytes(space, network) for network in networks] == sizes
