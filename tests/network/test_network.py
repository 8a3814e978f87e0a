import copy
import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

from gcnas.errors import BuildError
from gcnas.network import Network, build, count_parameters
from gcnas.records import Architecture, Cost
from gcnas.space import Choice, InputShape, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets import CNN
from gcnas.space.presets.cnn import Conv2d, resnet8
from gcnas.strategy import RandomStrategy

IMAGE = InputShape(channels=3, height=16, width=16, classes=5)
SPACE = CNN.fit(IMAGE)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.2, 0.3)


def graph() -> Architecture:
    """Layer 3 adds a projected input, layer 4 concatenates a pooled one."""
    layers = (
        SPACE.layer("conv2d", after=0, filters=16, kernel_size=3),
        SPACE.layer("max_pool", after=1),
        SPACE.layer("residual_block", (2, 0), filters=24),
        SPACE.layer("conv2d", (3, 1), filters=8, merge="concat"),
    )
    architecture = Architecture(layers)
    SPACE.encode(architecture)
    return architecture


def make(architecture: Architecture, seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build(SPACE, architecture, MEAN, STD)


def test_children_have_speaking_names() -> None:
    network = make(graph())
    names = ["normalise", "stem", "layer1", "layer2", "merge3", "layer3", "merge4", "layer4", "head"]
    assert [name for name, _ in network.named_children()] == names


def test_forward_follows_the_connections() -> None:
    network = make(graph()).eval()
    images = torch.rand(2, 3, 16, 16)
    part = network.get_submodule
    x0 = part("stem")((images - torch.tensor(MEAN).reshape(1, 3, 1, 1)) / torch.tensor(STD).reshape(1, 3, 1, 1))
    x1 = part("layer1")(x0)
    x2 = part("layer2")(x1)
    x3 = part("layer3")(x2 + part("merge3").projections[0](x0))
    x4 = part("layer4")(torch.cat([x3, nn.functional.avg_pool2d(x1, 2)], dim=1))
    torch.testing.assert_close(network(images), part("head")(x4))


@pytest.mark.slow
def test_forward_frees_outputs_that_no_later_layer_reads() -> None:
    network = make(graph()).eval()
    outputs: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, list[str]] = {}

    def note(name: str) -> None:
        def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            gc.collect()
            alive[name] = [other for other, reference in outputs.items() if reference() is not None]

        def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            outputs[name] = weakref.ref(output)

        network.get_submodule(name).register_forward_pre_hook(before)
        network.get_submodule(name).register_forward_hook(after)

    for name in ("stem", "layer1", "layer2", "layer3", "layer4", "head"):
        note(name)
    with torch.no_grad():
        network(torch.rand(1, 3, 16, 16))
    assert alive["layer2"] == ["stem", "layer1"]  # the stem's output is read again by layer 3
    assert alive["layer4"] == ["layer1", "layer3"]
    assert alive["head"] == ["layer4"]


def test_initial_weights_follow_from_the_seed() -> None:
    first, same, other = (make(resnet8(SPACE), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["layer1.conv1.weight"], other["layer1.conv1.weight"])


def test_normalisation_is_part_of_the_state() -> None:
    state = make(resnet8(SPACE)).state_dict()
    torch.testing.assert_close(state["normalise.mean"].flatten(), torch.tensor(MEAN))
    torch.testing.assert_close(state["normalise.std"].flatten(), torch.tensor(STD))


def test_networks_can_be_copied() -> None:
    network = make(graph()).eval()
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(copy.deepcopy(network)(images), network(images))


def test_an_architecture_without_layers_is_stem_and_head() -> None:
    network = make(Architecture(()))
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 5)
    assert count_parameters(network) == SPACE.cost(Architecture(())).parameters


class Own(LayerType):
    """Keeps the shape and has no parameters, or so it says."""

    fault = Choice("raises", "shape", "parameters", "type", "memory", "none")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape

    def cost(self, shape: Shape, values: Values) -> Cost:
        return Cost()

    def build(self, shape: Shape, values: Values) -> nn.Module:
        if values["fault"] == "raises":
            raise ValueError("no such luck")
        if values["fault"] == "memory":
            raise MemoryError
        modules = {
            "shape": nn.MaxPool2d(2),
            "parameters": nn.BatchNorm2d(shape.channels),
            "none": nn.Identity(),
        }
        return modules.get(values["fault"], "a string")


def build_own(fault: str) -> Network:
    space = SearchSpace("own", (Own(),)).fit(IMAGE)
    return build(space, Architecture((space.layer("own", fault=fault),)), MEAN, STD)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", r"'own' failed: ValueError: no such luck"),
        ("shape", r"'own' must give the shape that its output_shape says, \(1, 16, 16, 16\).*\(1, 16, 8, 8\)"),
        ("parameters", r"'own' must have as many parameters as its cost says, 0 .* has 32"),
        ("type", r"'own' failed.*must return a torch.nn.Module, but returned str"),
    ],
)
def test_faults_of_a_users_type_are_named(fault: str, message: str) -> None:
    with pytest.raises(BuildError, match=message) as caught:
        build_own(fault)
    assert caught.value.kind == "build"


def test_want_of_memory_is_not_the_users_fault() -> None:
    with pytest.raises(MemoryError):
        build_own("memory")


def test_a_users_type_that_keeps_its_word_is_built() -> None:
    assert build_own("none")(torch.rand(2, 3, 16, 16)).shape == (2, 5)


class EvenConv(Conv2d):
    """A type of the user's, derived from one whose module is right for odd kernels only."""

    kernel_size = Choice(2, 4)


def test_a_derived_type_is_held_against_its_rules() -> None:
    space = SearchSpace("even", (EvenConv(),), min_depth=1, max_depth=3, window=2)
    fitted = space.fit(InputShape(1, 8, 8, 3))
    architecture = RandomStrategy(fitted, 0).ask(1)[0].architecture
    with pytest.raises(BuildError, match=r"must give the shape that its output_shape says"):
        build(fitted, architecture, (0.0,), (1.0,))
