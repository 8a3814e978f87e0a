"""What every search space must hold: each random architecture can be built and costs what the space says."""

# ruff: noqa: S101 - tests assert

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gcnas.network import Network, build, count_multiply_adds, count_parameters
from gcnas.records import Architecture, Proposal, Trajectory
from gcnas.space import SearchSpace
from gcnas.strategy import RandomStrategy


class SpaceTestCase:
    """Tests of a fitted space, for pytest.

    Example:
        >>> from gcnas.space import InputShape
        >>> from gcnas.space.presets import CNN
        >>> class TestMySpace(SpaceTestCase):
        ...     space = CNN.fit(InputShape(channels=3, height=16, width=16, classes=10))

    Attributes:
        space: The fitted space.
        architectures: How many random architectures each test looks at.
        seed: Seed of the architectures and of the weights.
        batch: Images in a forward pass.
    """

    space: ClassVar[SearchSpace]
    architectures: ClassVar[int] = 20
    seed: ClassVar[int] = 0
    batch: ClassVar[int] = 2
    _drawn: ClassVar[tuple[Proposal, ...]]

    def test_decoding_inverts_encoding(self) -> None:
        """An architecture, encoded and decoded, is itself; so is one decoded from its own decisions."""
        for proposal in self._proposals():
            architecture = proposal.architecture
            trajectory = self.space.encode(architecture)
            assert self.space.decode(trajectory.actions) == architecture
            assert self.space.decode(proposal.trajectory.actions) == architecture

    def test_json_round_trip(self) -> None:
        """Architectures and trajectories survive JSON, and equal architectures have equal fingerprints."""
        for proposal in self._proposals():
            architecture, trajectory = proposal.architecture, proposal.trajectory
            read = Architecture.from_json(_through_json(architecture.to_json()))
            assert read == architecture
            assert read.fingerprint == architecture.fingerprint
            assert Trajectory.from_json(_through_json(trajectory.to_json())) == trajectory

    def test_fingerprints_tell_architectures_apart(self) -> None:
        """Different architectures have different fingerprints."""
        architectures = {proposal.architecture for proposal in self._proposals()}
        assert len({architecture.fingerprint for architecture in architectures}) == len(architectures)

    def test_masks_leave_the_decisions_open(self) -> None:
        """No mask is empty, and every decision taken is one that its mask allows."""
        for proposal in self._proposals():
            trajectory = proposal.trajectory
            for action, mask in zip(trajectory.actions, trajectory.masks, strict=True):
                assert mask.types[action.type]
                for chosen, flags in zip(action.hyperparameters, mask.hyperparameters, strict=True):
                    assert flags[chosen]
                assert all(
                    flag or not chosen
                    for chosen, flag in zip(action.connections, mask.connections, strict=False)
                )

    def test_module_costs_what_the_space_says(self) -> None:
        """Parameters and multiply-adds of the built module are exactly those of the specification."""
        image = self.space.fitted
        for architecture, network in self._networks():
            cost = self.space.cost(architecture)
            assert count_parameters(network) == cost.parameters, architecture
            counted = count_multiply_adds(network, (image.channels, image.height, image.width))
            assert counted == cost.multiply_adds, architecture

    def test_forward_and_backward(self) -> None:
        """Each layer gives the shape planned, and losses and gradients are finite."""
        image = self.space.fitted
        for architecture, network in self._networks():
            shapes: dict[str, tuple[int, ...]] = {}
            for name, layer in network.named_children():
                layer.register_forward_hook(partial(_note_shape, shapes, name))
            images = torch.rand(self.batch, image.channels, image.height, image.width)
            logits = network(images)
            assert logits.shape == (self.batch, image.classes), architecture
            for index, plan in enumerate(self.space.plan(architecture), start=1):
                expected = (self.batch, plan.output.channels, plan.output.height, plan.output.width)
                assert shapes[f"layer{index}"] == expected, architecture
            logits.logsumexp(1).sum().backward()
            assert logits.isfinite().all(), architecture
            for name, parameter in network.named_parameters():
                assert parameter.grad is not None, (name, architecture)
                assert parameter.grad.isfinite().all(), (name, architecture)

    def test_peak_activations(self) -> None:
        """The peak is at least what any one layer needs, and at most all that there ever is."""
        for proposal in self._proposals():
            plans = self.space.plan(proposal.architecture)
            stem = self.space.stem.output_shape(self.space.fitted)
            peak = self.space.cost(proposal.architecture).activations
            nodes = [stem.numbers, *(plan.output.numbers for plan in plans)]
            single = [nodes[index] + plan.output.numbers for index, plan in enumerate(plans)]
            inside = [plan.merge.output.numbers + plan.cost.activations for plan in plans]
            assert max([nodes[0], *single]) <= peak <= sum(nodes) + sum(inside)

    def test_references_are_points_of_the_space(self) -> None:
        """Every reference design can be encoded, and keeps to the limits."""
        for name, reference in self.space.references.items():
            architecture = reference(self.space)
            if architecture is None:
                continue
            self.space.encode(architecture)
            assert self.space.limits.violation(self.space.cost(architecture)) is None, name

    @classmethod
    def _proposals(cls) -> tuple[Proposal, ...]:
        if "_drawn" not in vars(cls):
            cls._drawn = tuple(RandomStrategy(cls.space, cls.seed).ask(cls.architectures))
        return cls._drawn

    def _networks(self) -> Iterator[tuple[Architecture, Network]]:
        channels = self.space.fitted.channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            for proposal in self._proposals():
                mean, std = (0.5,) * channels, (0.25,) * channels
                yield proposal.architecture, build(self.space, proposal.architecture, mean, std)


def _through_json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


def _note_shape(
    shapes: dict[str, tuple[int, ...]], name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    del module, inputs
    shapes[name] = tuple(output.shape)
