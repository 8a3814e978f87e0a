"""What must hold exactly for the policies of the experiments, on a space whose trajectories can all be listed."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from tests.policy.toy import TOY, all_trajectories

from gcnas.bench.controllers import CONTROLLERS, count_parameters, lstm_matched
from gcnas.bench.landscape import GROWN
from gcnas.bench.variants.depth import GrowingDepthPolicy
from gcnas.bench.variants.heads import MixturePolicy, SequentialHeadsPolicy
from gcnas.bench.variants.priority_queue import PriorityQueueStrategy
from gcnas.bench.variants.softmax_table import SoftmaxTablePolicy
from gcnas.bench.variants.window import NarrowPolicy
from gcnas.graph import ABSENT, TrajectoryBatch, Vocabulary, encode
from gcnas.policy import GCNPolicy, GCNSettings, Policy
from gcnas.records import Evaluation, EvaluationState
from gcnas.space import SearchSpace, SequenceSpace, token
from gcnas.strategy.imitation import ImitationSettings
from gcnas.testing.strategy import StrategyTestCase

TRAJECTORIES = all_trajectories()
BATCH = encode(TOY, Vocabulary(TOY), TRAJECTORIES)
OWN = (
    "table", "mixture-heads", "sequential-heads", "no-depth", "position-only", "summary-only", "shared-trunk", "fused",
    "m1", "m2-plain", "lstm-matched", "recurrent",
)  # fmt: skip
SEQUENCES = SequenceSpace(
    "sequences",
    (token("a", {"size": (1, 2, 4), "kernel": (1, 3)}), token("b")),
    min_depth=1,
    max_depth=6,
    window=3,
)


DRAWS = 1_200


def _unsettled(policy: Policy, seed: int = 0) -> Policy:
    """The policy with weights far from their even start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return policy


def _doubled(batch: TrajectoryBatch) -> TrajectoryBatch:
    return replace(batch, connections=batch.connections.double(), features=batch.features.double())


@pytest.mark.parametrize("name", OWN)
def test_probabilities_sum_to_one(name: str) -> None:
    policy = _unsettled(CONTROLLERS[name](TOY)).double()
    batch = _doubled(BATCH)
    found = policy(batch)
    assert found.log_probability.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert torch.isfinite(found.entropy).all()


@pytest.mark.parametrize("name", ["mixture-heads", "sequential-heads", "shared-trunk", "fused", "m2", "table"])
def test_samples_have_the_stated_probability(name: str) -> None:
    policy = _unsettled(CONTROLLERS[name](TOY))
    with torch.no_grad():
        probability = policy(BATCH).log_probability.exp()
    drawn = Counter(policy.sample(DRAWS, torch.Generator().manual_seed(0)))
    assert drawn.keys() <= set(TRAJECTORIES)
    counts = torch.tensor([float(drawn[trajectory]) for trajectory in TRAJECTORIES])
    # In bins of equal weight, as a chi-squared test has it: 20 bins, far beyond the 0.1 % point.
    order = probability.argsort(descending=True)
    bins = (20 * (probability[order].cumsum(0) - 1e-6)).long().clamp(max=19)
    expected = torch.zeros(20).scatter_add_(0, bins, DRAWS * probability[order])
    found = torch.zeros(20).scatter_add_(0, bins, counts[order])
    filled = expected > 0
    assert float(((found - expected)[filled].square() / expected[filled]).sum()) < 50


@pytest.mark.parametrize(
    "name", ["mixture-heads", "sequential-heads", "fused", "shared-trunk", "m3", "growing-depth"]
)
def test_every_weight_learns_and_no_gradient_is_infinite(name: str) -> None:
    policy = _unsettled(CONTROLLERS[name](SEQUENCES))
    drawn = policy.sample(16, torch.Generator().manual_seed(1))
    policy(encode(SEQUENCES, policy.vocabulary, drawn)).log_probability.sum().backward()  # type: ignore[no-untyped-call]
    gradients = {
        each: parameter.grad for each, parameter in policy.named_parameters() if parameter.requires_grad
    }
    assert all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients.values())
    idle = {each for each, gradient in gradients.items() if gradient is None or not gradient.any()}
    # Sequences have no sizes, and the final depth is known where the skeleton comes first alone.
    reasons = {"nodes.input.weight", "nodes.features.weight", "nodes.depth.weight"}
    if name == "growing-depth":  # it begins with single layers, which have no predecessor to be joined with
        reasons |= {"nodes.types.weight", "nodes.hyperparameters"}
        idle = {each for each in idle if not each.startswith("hppb.connections.")}
    assert {each.partition(".")[2] for each in idle} <= reasons


def test_a_table_knows_nothing_of_earlier_decisions() -> None:
    policy = _unsettled(SoftmaxTablePolicy(TOY))
    logits = policy.logits(encode(TOY, policy.vocabulary, TRAJECTORIES[:50]))
    for part in (logits.types, logits.options, logits.connections):
        assert torch.equal(part, part[:1].expand_as(part))


def test_sequential_heads_know_the_options_before_them() -> None:
    policy = _unsettled(SequentialHeadsPolicy(SEQUENCES))
    (trajectory,) = policy.sample(1, torch.Generator().manual_seed(3))
    batch = encode(SEQUENCES, policy.vocabulary, [trajectory] * 2)
    layer = int((batch.options[0, :, 0] != ABSENT).nonzero()[0])
    batch.options[1, layer, 0] = (batch.options[0, layer, 0] + 1) % 3
    first, second = policy.logits(batch).options[:, layer]
    assert torch.equal(first[0], second[0])
    assert not torch.equal(first[1], second[1])


def test_decisions_of_a_layer_depend_in_a_mixture() -> None:
    policy = MixturePolicy(SequenceSpace("one", SEQUENCES.layer_types[:1], min_depth=1, max_depth=1, window=1))
    _unsettled(policy)
    everything = all_trajectories(policy.space)
    with torch.no_grad():
        joint = policy(encode(policy.space, policy.vocabulary, everything)).log_probability.exp().reshape(3, 2)
    assert joint.sum().item() == pytest.approx(1, abs=1e-5)
    assert (joint - joint.sum(1, keepdim=True) * joint.sum(0)).abs().max() > 1e-3


@pytest.mark.parametrize(("kept", "reach"), [(1, 2), (2, 4)])
def test_deletion_beyond_m(kept: int, reach: int) -> None:
    space = SequenceSpace("deep", (token("a"), token("b")), min_depth=8, max_depth=8, window=3)
    policy = _unsettled(NarrowPolicy(space, kept, GCNSettings(summary=False)))
    (trajectory,) = policy.sample(1, torch.Generator().manual_seed(0))
    batch = encode(space, policy.vocabulary, [trajectory] * 2)
    batch.types[1, 0] = 1 - batch.types[0, 0]
    batch.connections[:] = 1
    before, after = policy.logits(batch).types
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    # A query reads m back, and what it reads was reached by one convolution more.
    assert changed == [0 < place <= reach for place in range(len(changed))]


def test_all_kept_is_the_policy_itself() -> None:
    policy = _unsettled(GCNPolicy(SEQUENCES))
    narrow = NarrowPolicy(SEQUENCES, 3)
    narrow.load_state_dict(policy.state_dict())
    drawn = policy.sample(8, torch.Generator().manual_seed(0))
    batch = encode(SEQUENCES, policy.vocabulary, drawn)
    with torch.no_grad():
        torch.testing.assert_close(policy(batch).log_probability, narrow(batch).log_probability)


def test_positions_are_not_known_or_learnt() -> None:
    policy = CONTROLLERS["no-depth"](SEQUENCES)
    drawn = policy.sample(8, torch.Generator().manual_seed(0))
    policy(encode(SEQUENCES, policy.vocabulary, drawn)).log_probability.sum().backward()  # type: ignore[no-untyped-call]
    assert isinstance(policy, GCNPolicy)
    assert not policy.leb.nodes.positions.weight.any()
    assert policy.leb.nodes.positions.weight.grad is None


def test_growing_depth() -> None:
    policy = GrowingDepthPolicy(SEQUENCES, samples=12)
    generator = torch.Generator().manual_seed(0)
    depths = [len(policy.sample(2, generator)[0].actions) - 1 for _ in range(8)]
    assert depths == [1, 2, 3, 4, 5, 6, 6, 6]
    trajectory = policy.sample(1, generator)[0]
    # Nothing else was open, so there is nothing to learn.
    assert all(sum(mask.types) == 1 or not mask.types[-1] for mask in trajectory.masks)


def test_an_lstm_of_as_many_weights() -> None:
    space = GROWN.load().space
    wanted = count_parameters(GCNPolicy(space))
    assert wanted <= count_parameters(lstm_matched(space)) < 1.1 * wanted


def _small(space: SearchSpace) -> Policy:
    return GCNPolicy(space, GCNSettings(width=6, convolutions=1))


@pytest.mark.slow
class TestPriorityQueue(StrategyTestCase):
    """The conformance kit of strategies."""

    @staticmethod
    def create(space: SearchSpace, seed: int) -> PriorityQueueStrategy:
        return PriorityQueueStrategy(space, seed, _small, ImitationSettings(steps=(1, 1), elites=8), batch=4)

    # Learning from repeats alone takes most of the kit's time.
    test_ten_thousand_evaluations = None


def test_the_best_become_more_probable() -> None:
    strategy = PriorityQueueStrategy(
        SEQUENCES, 0, _small, ImitationSettings(steps=(10, 10), learning_rate=1e-2)
    )

    def score(types: list[int]) -> float:
        return sum(code == 1 for code in types) / 6

    means = []
    for _ in range(12):
        proposals = strategy.ask(8)
        scores = [score([action.type for action in p.trajectory.actions]) for p in proposals]
        means.append(sum(scores) / 8)
        strategy.tell(
            [Evaluation(p, EvaluationState.COMPLETE, s) for p, s in zip(proposals, scores, strict=True)]
        )
    assert sum(means[-3:]) > 1.5 * sum(means[:3])
