"""What must hold exactly for every policy, on a space whose trajectories can all be listed."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from tests.policy.toy import CROSSED, TOY, all_trajectories

from gcnas.graph import TrajectoryBatch, Vocabulary, encode
from gcnas.policy.base import Likelihood, Policy
from gcnas.policy.gcn import GCNPolicy, GCNSettings
from gcnas.policy.rnn import RNNPolicy, RNNSettings
from gcnas.records import Limits
from gcnas.space import InputShape, SearchSpace, SequenceSpace, token
from gcnas.space.presets import CNN

MakePolicy = Callable[[SearchSpace], Policy]
POLICIES: dict[str, MakePolicy] = {
    "gcn stacked": lambda space: GCNPolicy(space, GCNSettings(width=12)),
    "gcn recurrent": lambda space: GCNPolicy(space, GCNSettings(width=12, memory="recurrent")),
    "gcn without summary": lambda space: GCNPolicy(space, GCNSettings(width=12, summary=False)),
    "gcn of three convolutions": lambda space: GCNPolicy(space, GCNSettings(width=8, convolutions=3)),
    "rnn": lambda space: RNNPolicy(space, RNNSettings(width=10)),
    "rnn with parallel heads": lambda space: RNNPolicy(space, RNNSettings(width=10, parallel=True)),
    "rnn of one layer": lambda space: RNNPolicy(space, RNNSettings(width=10, layers=1)),
}
TRAJECTORIES = all_trajectories()


@pytest.fixture(params=POLICIES, ids=lambda name: name.replace(" ", "-"))
def make(request: pytest.FixtureRequest) -> MakePolicy:
    return POLICIES[request.param]


def unsettled(policy: Policy, seed: int = 0, std: float = 0.4) -> Policy:
    """The policy with weights far from their even start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return policy


def doubled(batch: TrajectoryBatch) -> TrajectoryBatch:
    return replace(batch, connections=batch.connections.double(), features=batch.features.double())


def test_there_are_many_trajectories() -> None:
    assert len(TRAJECTORIES) == len(set(TRAJECTORIES)) == 1_676


def test_probabilities_sum_to_one(make: MakePolicy) -> None:
    policy = unsettled(make(TOY)).double()
    batch = doubled(encode(TOY, policy.vocabulary, TRAJECTORIES))
    probabilities = policy(batch).log_probability.exp()
    assert probabilities.min() > 0
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("space", [TOY, CROSSED], ids=lambda space: space.name)
def test_samples_have_the_probabilities_that_are_stated(make: MakePolicy, space: SearchSpace) -> None:
    """Sampling grows networks step by step from cached products; the likelihood sees them whole."""
    policy, trajectories = unsettled(make(space), std=0.4 if space is TOY else 1.0), all_trajectories(space)
    expected = policy(encode(space, policy.vocabulary, trajectories)).log_probability.exp().detach()
    draws = 6_000
    counts = Counter(policy.sample(draws, torch.Generator().manual_seed(1)))
    assert set(counts) <= set(trajectories)
    order = expected.argsort(descending=True)
    likely = order[: int((expected.cumsum(0) < 2).sum())][expected[order] * draws >= 5]
    observed = torch.tensor([float(counts[trajectories[index]]) for index in likely])
    rest = draws - observed.sum()
    rest_expected = draws * (1 - expected[likely].sum())
    squares = ((observed - draws * expected[likely]) ** 2 / (draws * expected[likely])).sum()
    squares += (rest - rest_expected) ** 2 / rest_expected.clamp(min=1)
    freedom = len(likely)
    assert freedom > 20
    # Four standard deviations of the chi-square distribution above its mean.
    assert squares < freedom + 4 * (2 * freedom) ** 0.5


def test_gradient_equals_finite_differences(make: MakePolicy) -> None:
    policy = unsettled(make(TOY), std=0.3).double()
    batch = doubled(encode(TOY, policy.vocabulary, TRAJECTORIES[::97]))
    weights = torch.linspace(-1, 1, len(batch.types), dtype=torch.float64)

    def objective() -> torch.Tensor:
        likelihood = policy(batch)
        return (weights * likelihood.log_probability).sum() + likelihood.entropy.sum()

    policy.zero_grad()
    objective().backward()
    generator = torch.Generator().manual_seed(2)
    for parameter in policy.parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        expected = (gradient * direction).sum().item()
        with torch.no_grad():
            parameter += 1e-5 * direction
            above = objective().item()
            parameter -= 2e-5 * direction
            below = objective().item()
            parameter += 1e-5 * direction
        assert (above - below) / 2e-5 == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("logit", [-200.0, 17.0, 200.0])
def test_connections_that_are_certain_leave_a_gradient(logit: float) -> None:
    """In single precision their probabilities are 0 and 1, where the entropy has no derivative by them."""
    batch = encode(TOY, Vocabulary(TOY), TRAJECTORIES[::97])
    connections = torch.full(batch.connections.shape, logit, requires_grad=True)
    types, options = (torch.zeros(mask.movedim(-1, 0).shape) for mask in (batch.type_mask, batch.option_mask))
    likelihood = Likelihood(types, options, connections, batch)
    likelihood.entropy.sum().backward()
    assert connections.grad is not None
    assert connections.grad.isfinite().all()
    probability = torch.tensor(logit).sigmoid().double()
    assert likelihood.entropy.isfinite().all()
    assert (connections.grad.abs() <= abs(logit) * probability * (1 - probability) + 1e-6).all()


def test_a_longer_batch_changes_nothing(make: MakePolicy) -> None:
    policy = unsettled(make(TOY)).double()
    short = [trajectory for trajectory in TRAJECTORIES if len(trajectory.actions) == 2][:5]
    long = [trajectory for trajectory in TRAJECTORIES if len(trajectory.actions) == 4][:5]
    alone = policy(doubled(encode(TOY, policy.vocabulary, short)))
    together = policy(doubled(encode(TOY, policy.vocabulary, short + long)))
    assert torch.allclose(alone.log_probability, together.log_probability[:5], atol=1e-12)
    assert torch.allclose(alone.entropy, together.entropy[:5], atol=1e-12)


def test_entropy_of_an_even_policy(make: MakePolicy) -> None:
    """Before learning, no decision is certain, and none has more than the three options of the space."""
    policy = make(TOY)
    batch = encode(TOY, policy.vocabulary, TRAJECTORIES[:50])
    entropy = policy(batch).entropy
    assert entropy.min() > 0
    assert entropy.max() <= torch.tensor(3.0).log() + 1e-6


@pytest.mark.parametrize("name", [name for name in POLICIES if name.startswith("gcn")])
def test_gcn_policies_begin_even(name: str) -> None:
    """Where no connection is free, the entropy is that of the options that the masks leave open."""
    policy = POLICIES[name](TOY)
    trajectories = [each for each in TRAJECTORIES if not any(any(mask.connections) for mask in each.masks)]
    assert len(trajectories) == 6
    found = policy(encode(TOY, policy.vocabulary, trajectories)).entropy
    for entropy, trajectory in zip(found.tolist(), trajectories, strict=True):
        masks = [mask.types for mask in trajectory.masks]
        masks += [options for mask in trajectory.masks for options in mask.hyperparameters]
        choices = [sum(mask) for mask in masks if sum(mask) > 1]
        assert entropy == pytest.approx(fmean(map(math.log, choices)), abs=1e-5)


@pytest.mark.parametrize("window", [64, 65, 90])
def test_wide_windows(make: MakePolicy, window: int) -> None:
    """More connections than one number of 64 bits has flags."""
    space = SequenceSpace("wide", (token("a"), token("b")), min_depth=88, max_depth=90, window=window)
    trajectories = make(space).sample(2, torch.Generator().manual_seed(0))
    layers = [action for trajectory in trajectories for action in trajectory.actions[:-1]]
    assert {len(action.connections) for action in layers} == {window - 1}
    assert {flag for action in layers for flag in action.connections} == {0, 1}
    for trajectory in trajectories:
        for place, (action, mask) in enumerate(
            zip(trajectory.actions[:-1], trajectory.masks[:-1], strict=True)
        ):
            assert sum(mask.connections) == min(place, window - 1)
            assert all(
                allowed or not taken
                for allowed, taken in zip(mask.connections, action.connections, strict=True)
            )


def test_the_real_space_under_limits(make: MakePolicy) -> None:
    space = CNN.fit(InputShape(1, 12, 12, 10), Limits(40_000, 2_000_000))
    policy = make(space)
    trajectories = policy.sample(16, torch.Generator().manual_seed(0))
    assert len(trajectories) == 16
    for trajectory in trajectories:
        growth = space.start()
        for action, mask in zip(trajectory.actions[:-1], trajectory.masks[:-1], strict=True):
            assert growth.layer_mask(action.type) == mask
            assert mask.types[action.type]
            assert all(
                flags[index] for flags, index in zip(mask.hyperparameters, action.hyperparameters, strict=True)
            )
            growth = growth.add(action, mask)
        assert growth.stop() == trajectory
    assert torch.isfinite(policy(encode(space, policy.vocabulary, trajectories)).log_probability).all()


def test_sampling_leaves_the_global_state_alone(make: MakePolicy) -> None:
    policy = make(TOY)
    state = torch.get_rng_state()
    first = policy.sample(4, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert policy.sample(4, torch.Generator().manual_seed(3)) == first
