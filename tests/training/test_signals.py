"""NASWOT and SynFlow against naive computations, and the meter that measures them."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gcnas.data import Dataset, load
from gcnas.network import build
from gcnas.records import Architecture, Cost, Layer
from gcnas.space import InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy
from gcnas.training.signals import IMAGES, SignalMeter, _drawn, naswot, synflow

BOTH = ("naswot", "synflow")


@pytest.fixture(scope="module")
def small(space: SearchSpace) -> list[Architecture]:
    drawn = [proposal.architecture for proposal in RandomStrategy(space, 1).ask(100)]
    return [a for a in drawn if space.cost(a).multiply_adds < 500_000][:4]


def test_images_of_all_classes_are_drawn() -> None:
    """Rows lie class by class, as those of image folders do."""
    labels = np.repeat(np.arange(10), 60)
    images = (
        np.random.default_rng(0).integers(0, 20, (600, 8, 8, 1), dtype=np.uint8)
        + 20 * labels[:, None, None, None]
    )
    dataset = load((images.astype(np.uint8), labels))
    drawn = (_drawn(dataset, 0) * 255).round().mean((1, 2, 3)) // 20
    assert len(drawn) == IMAGES
    assert len(set(drawn.tolist())) >= 8


def test_naswot_by_loops_over_the_codes() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(6, 20), nn.Linear(20, 30)
    network = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.Hardswish(), nn.Linear(30, 2))
    images = torch.randn(5, 6)
    with torch.no_grad():
        a = first(images)
        b = second(torch.relu(a))
    codes = [[float(x) > 0 for x in row] for row in torch.cat([a, b], 1)]
    kernel = [[sum(x == y for x, y in zip(one, other, strict=True)) for other in codes] for one in codes]
    assert [kernel[i][i] for i in range(5)] == [50] * 5
    assert naswot(network, images) == pytest.approx(math.log(determinant(kernel)), rel=1e-9)


def determinant(matrix: list[list[int]]) -> int:
    """By Leibniz' formula, exactly."""
    total = 0
    for order in itertools.permutations(range(len(matrix))):
        inversions = sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
        total += (-1) ** inversions * math.prod(matrix[row][column] for row, column in enumerate(order))
    return total


def test_naswot_sees_the_functional_activation_of_the_stem(space: SearchSpace) -> None:
    torch.manual_seed(0)
    network = build(space, Architecture(()), (0.5,), (0.25,))
    images = torch.rand(4, 1, 8, 8)
    network.stem.norm.train()
    with torch.no_grad():
        codes = (network.stem.norm(network.stem.conv(network.normalise(images))) > 0).flatten(1).numpy()
    kernel = [[int((one == other).sum()) for other in codes] for one in codes]
    assert naswot(network, images) == pytest.approx(math.log(determinant(kernel)), rel=1e-9)


def test_naswot_of_equal_images_is_minus_infinity() -> None:
    network = nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    assert naswot(network, torch.ones(2, 3)) == -math.inf


def test_synflow_of_a_small_network_by_hand() -> None:
    """R = |v| |W| 1 + |c| + |v| |b|: each of the two matrices carries |v| |W| 1, and W's bias flows through v too."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    w, b, v = [[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], [-1.0, 2.0], [[-4.0, 2.0]]
    with torch.no_grad():
        for parameter, values in zip(network.parameters(), (w, b, v, [7.0]), strict=True):
            parameter.copy_(torch.tensor(values))
    through = 4 * 6 + 2 * 1.5
    assert synflow(network, (3, 1, 1)) == pytest.approx(math.log(through + through + 4 * 1 + 2 * 2))


def test_synflow_is_the_derivative_by_finite_differences(space: SearchSpace, small: list[Architecture]) -> None:
    """Scaling one weight theta by (1 + e) changes R by e theta dR/dtheta; the batch norm is not there."""
    torch.manual_seed(0)
    network = build(space, small[0], (0.0,), (1.0,))
    state = {name: value.clone() for name, value in network.state_dict().items()}
    found = synflow(network, (1, 8, 8))
    again = build(space, small[0], (0.0,), (1.0,))
    again.load_state_dict(state)
    for module in list(again.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    again.double().eval()
    weights = [m.weight for m in again.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    ones, total, step = torch.ones(1, 1, 8, 8, dtype=torch.float64), 0.0, 1e-5
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.copy_(parameter.abs())
        for weight in weights:
            # All derivatives are positive, so that a whole layer's weights can be scaled at once.
            values = []
            for factor in ((1 + step), (1 - step) / (1 + step)):
                weight.mul_(factor)
                values.append(float(again(ones).sum()))
            weight.div_(1 - step)
            total += (values[0] - values[1]) / (2 * step)
    assert found == pytest.approx(math.log(total), rel=1e-5)


def test_synflow_ignores_signs_and_grows_with_width() -> None:
    def network(width: int, sign: float) -> nn.Module:
        made = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten())
        made.append(nn.Linear(width * 4, 2))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.fill_(sign * 0.1)
        return made

    narrow, wide = synflow(network(4, 1.0), (1, 4, 4)), synflow(network(8, 1.0), (1, 4, 4))
    assert wide == pytest.approx(narrow + math.log(2))
    assert synflow(network(4, -1.0), (1, 4, 4)) == narrow


def test_nothing_flows_where_there_are_no_weights() -> None:
    assert synflow(nn.Sequential(nn.BatchNorm2d(1), nn.ReLU()), (1, 4, 4)) == -math.inf


def test_the_meter_repeats_itself_and_leaves_no_trace(
    space: SearchSpace, stripes: Dataset, small: list[Architecture]
) -> None:
    meter, other = (SignalMeter(space, stripes, BOTH, 3) for _ in range(2))
    before = torch.random.get_rng_state()
    found = [meter(architecture) for architecture in small]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(set(values) == set(BOTH) for values in found)
    assert len({values["naswot"] for values in found}) == len(small)
    assert [other(architecture) for architecture in reversed(small)] == found[::-1]
    assert meter.seconds > 0


def test_the_meter_reads_different_images_of_the_search_train_split(
    space: SearchSpace, stripes: Dataset
) -> None:
    repeated = load((np.repeat(stripes.train().images[:20, ..., 0], 6, axis=0), np.arange(120) // 6 % 3))
    images = SignalMeter(space, repeated, BOTH, 0)._images
    train = {image.tobytes() for image in repeated.train().images}
    seen = [(image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy().tobytes() for image in images]
    assert 2 < len(seen) == len(set(seen)) <= IMAGES
    assert set(seen) <= train
    assert SignalMeter(space, repeated, ("naswot",), 0)(Architecture(()))["naswot"] > 0


class Broken(LayerType):
    """Raises when it is built."""

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def build(self, shape: Shape, values: Values) -> Any:
        raise MemoryError("no room")


class Huge(Broken):
    """Gives what is not finite."""

    def build(self, shape: Shape, values: Values) -> Any:
        return Overflow()


class Overflow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * math.inf


@pytest.mark.parametrize("kind", [Broken(), Huge()])
def test_what_cannot_be_measured_is_left_out(kind: LayerType, stripes: Dataset) -> None:
    fitted = SearchSpace("own", (kind,), min_depth=1, max_depth=1).fit(InputShape(1, 8, 8, 3))
    architecture = Architecture((Layer(kind.name, (), (0,)),))
    assert "synflow" not in SignalMeter(fitted, stripes, BOTH, 0)(architecture)


def test_every_preset_type_can_be_measured(stripes: Dataset) -> None:
    space = CNN.fit(InputShape(1, 8, 8, 3))
    meter = SignalMeter(space, stripes, BOTH, 0)
    drawn = [p.architecture for p in RandomStrategy(space, 2).ask(30)]
    small = [a for a in drawn if space.cost(a).multiply_adds < 2_000_000]
    assert {layer.type for a in small for layer in a.layers} == {kind.name for kind in space.layer_types}
    assert all(set(meter(a)) == set(BOTH) for a in small)
