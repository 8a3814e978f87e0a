"""What must hold exactly for the policy that draws layers again, on spaces whose draws can all be listed."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from tests.policy.redraw_toy import SEQUENCES, SHAPES, SPACES, all_draws, draw_of
from tests.policy.toy import TOY
from torch import Tensor

from gcnas.errors import SpaceError
from gcnas.graph import TrajectoryBatch, encode
from gcnas.policy import GCNPolicy, GCNSettings, RedrawPolicy
from gcnas.policy import redraw as module
from gcnas.policy.base import Policy, draw, flip
from gcnas.policy.beliefs import beliefs
from gcnas.records import (
    Evaluation,
    EvaluationState,
    LayerAction,
    Limits,
    Proposal,
    Trajectory,
)
from gcnas.space import InputShape, SearchSpace, SequenceSpace, token
from gcnas.space.presets import CNN
from gcnas.strategy.reinforce import ReinforceSettings, ReinforceStrategy

PolicyT = TypeVar("PolicyT", bound=Policy)
Make = Callable[[SearchSpace], RedrawPolicy]


TRAJECTORIES = {name: all_draws(space) for name, space in SPACES.items()}


@pytest.fixture(params=["stacked", pytest.param("recurrent", marks=pytest.mark.slow)])
def make(request: pytest.FixtureRequest) -> Make:
    return lambda space: unsettled(RedrawPolicy(space, GCNSettings(width=12, memory=request.param)))


def unsettled(policy: PolicyT, seed: int = 0, std: float = 0.4) -> PolicyT:
    """The policy with weights far from their even start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return policy


def doubled(batch: TrajectoryBatch) -> TrajectoryBatch:
    draws = None if batch.draws is None else doubled(batch.draws)
    return replace(batch, connections=batch.connections.double(), features=batch.features.double(), draws=draws)


@pytest.fixture(params=SPACES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_listed() -> None:
    assert {name: len(found) for name, found in TRAJECTORIES.items()} == {"sequences": 2_193, "shapes": 1_125}
    assert all(len(set(found)) == len(found) for found in TRAJECTORIES.values())
    moved = [
        trajectory
        for trajectory in TRAJECTORIES["shapes"]
        for mask, earlier in zip(trajectory.masks, trajectory.overwritten, strict=False)
        if any(each.hyperparameter_masks != mask.hyperparameters for each in earlier)
    ]
    assert len(moved) > 100, "masks that a redraw changes must be among those listed"


def test_probabilities_sum_to_one(make: Make, name: str) -> None:
    policy = make(SPACES[name]).double()
    batch = doubled(encode(SPACES[name], policy.vocabulary, TRAJECTORIES[name]))
    probabilities = policy(batch).log_probability.exp()
    assert probabilities.min() > 0
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-9)


def test_samples_have_the_probabilities_that_are_stated(make: Make, name: str) -> None:
    policy, listed = make(SPACES[name]), TRAJECTORIES[name]
    with torch.no_grad():
        expected = policy(encode(SPACES[name], policy.vocabulary, listed)).log_probability.exp()
    draws = 3_000
    counts = Counter(policy.sample(draws, torch.Generator().manual_seed(1)))
    assert set(counts) <= set(listed)
    likely = [index for index, p in enumerate(expected.tolist()) if p * draws >= 5]
    observed = torch.tensor([float(counts[listed[index]]) for index in likely])
    wanted = draws * expected[likely]
    observed = torch.cat([observed, draws - observed.sum()[None]])
    wanted = torch.cat([wanted, draws - wanted.sum()[None]])
    freedom = len(likely)
    assert freedom > 20
    # Four standard deviations of the chi-square distribution above its mean.
    assert ((observed - wanted).square() / wanted).sum() < freedom + 4 * (2 * freedom) ** 0.5


class Recorder:
    """What sampling one network drew, in the order in which it drew it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.types: list[Tensor] = []
        self.heads: list[Tensor] = []
        self.log_probability = 0.0
        monkeypatch.setattr(module, "draw", self._draw)
        monkeypatch.setattr(module, "flip", self._flip)

    def _draw(self, logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        (self.types if logits.ndim == 2 else self.heads).append(logits[0])
        drawn = draw(logits, mask, generator)
        open_only = logits.masked_fill(~mask, float("-inf")).log_softmax(-1)
        self.log_probability += open_only.gather(-1, drawn[..., None]).sum().item()
        return drawn

    def _flip(self, logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
        flags = flip(logits, mask, generator)
        probability = torch.where(flags > 0, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
        self.log_probability += probability.log()[mask].sum().item()
        return flags


ONE_HEAD = SequenceSpace(
    "one head", (token("a", {"x": (1, 2)}), token("b", {"x": (1, 2)})), min_depth=5, max_depth=6, window=3
)
"""Each type has the only head, so that every head drawn is a decision."""


def test_what_sampling_does_is_what_the_replay_sees(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make(ONE_HEAD)
    for seed in range(10):
        recorder = Recorder(monkeypatch)
        (trajectory,) = policy.sample(1, torch.Generator().manual_seed(seed))
        batch = encode(ONE_HEAD, policy.vocabulary, [trajectory])
        assert policy(batch).log_probability.item() == pytest.approx(recorder.log_probability, abs=1e-4)
        found = policy.logits(batch)
        assert torch.allclose(found.types[0], torch.stack(recorder.types), atol=1e-5)
        depth = len(trajectory.actions) - 1
        # Step s draws the layers from s - 2 to s; what stays is the last draw of each.
        order = [layer for step in range(depth) for layer in range(max(0, step - 2), step + 1)]
        last = dict(zip(order, recorder.heads, strict=True))
        for layer in range(depth):
            assert torch.allclose(found.options[0, layer], last[layer], atol=1e-5)


def test_the_formula_of_a_redraw(make: Make) -> None:
    """From the whole graph as it stood before the last layer, node by node."""
    policy = make(SEQUENCES).double()
    hppb, again, m = policy.hppb, policy.again, SEQUENCES.window
    for trajectory in [each for each in TRAJECTORIES["sequences"] if len(each.actions) == 4][::101]:
        standing = [
            replace(action, hyperparameters=earlier[-1].hyperparameters, connections=earlier[-1].connections)
            for action, earlier in zip(trajectory.actions[:2], trajectory.overwritten, strict=False)
        ]
        before = Trajectory((*standing, *trajectory.actions[2:]), trajectory.masks)
        batch = doubled(encode(SEQUENCES, policy.vocabulary, [before]))
        nodes, queries = hppb.nodes.graph(batch.types, batch.options, batch.features)
        nodes, answers = hppb.encoder(nodes, queries, batch.connections)
        found = policy.logits(doubled(encode(SEQUENCES, policy.vocabulary, [trajectory])))
        for distance in range(m):
            query, node = answers[0, 2], 3 - distance
            if distance:
                kept = hppb.connections.anchors(nodes[0, node])
                query = query + again.present.weight @ kept + again.distances[distance - 1]
            assert torch.allclose(found.options[0, 2 - distance].flatten(), hppb.heads(query), atol=1e-9)
            for index, read in enumerate(range(node - 2, max(-1, node - m - 1), -1)):
                head = hppb.connections
                expected = head.score(torch.tanh(head.anchor(nodes[0, read]) + head.current(query)))
                assert torch.allclose(found.connections[0, 2 - distance, index], expected, atol=1e-9)


def test_gradient_equals_finite_differences(make: Make) -> None:
    policy = unsettled(make(SHAPES), std=0.3).double()
    batch = doubled(encode(SHAPES, policy.vocabulary, TRAJECTORIES["shapes"][::97]))
    weights = torch.linspace(-1, 1, len(batch.types), dtype=torch.float64)

    def objective() -> Tensor:
        likelihood = policy(batch)
        return (weights * likelihood.log_probability).sum() + likelihood.entropy.sum()

    policy.zero_grad()
    objective().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in policy.again.parameters())  # type: ignore[union-attr]
    generator = torch.Generator().manual_seed(2)
    for parameter in policy.parameters():
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        with torch.no_grad():
            parameter += 1e-5 * direction
            above = objective().item()
            parameter -= 2e-5 * direction
            below = objective().item()
            parameter += 1e-5 * direction
        expected = (gradient * direction).sum().item()
        assert (above - below) / 2e-5 == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_longer_batch_changes_nothing(make: Make) -> None:
    policy, listed = make(SEQUENCES).double(), TRAJECTORIES["sequences"]
    short = [trajectory for trajectory in listed if len(trajectory.actions) == 3][:5]
    long = [trajectory for trajectory in listed if len(trajectory.actions) == 4][:5]
    alone = policy(doubled(encode(SEQUENCES, policy.vocabulary, short)))
    together = policy(doubled(encode(SEQUENCES, policy.vocabulary, short + long)))
    assert torch.allclose(alone.log_probability, together.log_probability[:5], atol=1e-12)
    assert torch.allclose(alone.entropy, together.entropy[:5], atol=1e-12)


def test_before_learning_all_options_are_even() -> None:
    torch.manual_seed(0)
    policy = RedrawPolicy(SequenceSpace("even", SEQUENCES.layer_types, 2, 2, window=2), GCNSettings(width=8))
    listed = all_draws(policy.space)
    found = policy(encode(policy.space, policy.vocabulary, listed))
    for trajectory, logarithm in zip(listed, found.log_probability.tolist(), strict=True):
        halves = 2 + sum(action.type == 0 for action in trajectory.actions) + (trajectory.actions[0].type == 0)
        edge = 0.25 if trajectory.actions[1].connections == (1,) else 0.75
        assert logarithm == pytest.approx(torch.tensor(0.5**halves * edge).log().item(), abs=1e-5)


@pytest.mark.parametrize("space", [TOY, SEQUENCES, CNN.fit(InputShape(1, 12, 12, 10))], ids=lambda s: s.name)
def test_without_a_window_it_is_the_plain_policy(space: SearchSpace) -> None:
    narrow = replace(space, window=1)
    plain, policy = (make(narrow, GCNSettings(width=12)) for make in (GCNPolicy, RedrawPolicy))
    policy.load_state_dict(unsettled(plain, std=0.2).state_dict(), strict=False)
    drawn = plain.sample(32, torch.Generator().manual_seed(4))
    assert policy.sample(32, torch.Generator().manual_seed(4)) == drawn
    batch = doubled(encode(narrow, plain.vocabulary, drawn))
    expected, found = plain.double()(batch), policy.double()(batch)
    assert torch.allclose(found.log_probability, expected.log_probability, atol=1e-9)
    assert torch.allclose(found.entropy, expected.entropy, atol=1e-9)


def test_draws_that_stayed_are_not_written_twice(make: Make) -> None:
    """Without overwritten draws a trajectory means that each redraw gave the same again, under the same masks."""
    policy = make(SEQUENCES).double()
    same = [
        trajectory
        for trajectory in TRAJECTORIES["sequences"]
        if all(
            each == draw_of(*final)
            for *final, earlier in zip(
                trajectory.actions, trajectory.masks, trajectory.overwritten, strict=False
            )
            for each in earlier
        )
    ]
    assert len(same) > 50
    written = policy(doubled(encode(SEQUENCES, policy.vocabulary, same)))
    short = [replace(trajectory, overwritten=()) for trajectory in same]
    found = policy(doubled(encode(SEQUENCES, policy.vocabulary, short)))
    assert torch.allclose(found.log_probability, written.log_probability, atol=1e-12)


def test_the_real_space_under_limits() -> None:
    """Every stored mask is that of the layers as they stood, and only layers in the window were drawn again."""
    space = CNN.fit(InputShape(1, 12, 12, 10), Limits(200_000, 20_000_000))
    policy = unsettled(RedrawPolicy(space, GCNSettings(width=12)), std=0.1)
    trajectories = policy.sample(16, torch.Generator().manual_seed(0))
    assert max(len(trajectory.actions) for trajectory in trajectories) > 2 * space.window
    for trajectory in trajectories:
        _check_draws(space, trajectory)
    batch = encode(space, policy.vocabulary, trajectories)
    assert torch.isfinite(policy(batch).log_probability).all()


def _check_draws(space: SearchSpace, trajectory: Trajectory) -> None:
    depth = len(trajectory.actions) - 1
    draws = [
        [*earlier, draw_of(action, mask)]
        for earlier, action, mask in zip(
            trajectory.overwritten, trajectory.actions, trajectory.masks, strict=True
        )
    ]
    assert [len(each) for each in draws[:-1]] == [min(space.window, depth - layer) for layer in range(depth)]
    for step in range(depth + 1):
        # The network as it stood when the type of this step was drawn.
        growth = space.start()
        for layer in range(step):
            drawn = draws[layer][min(step - 1 - layer, len(draws[layer]) - 1)]
            assert (
                growth.layer_mask(trajectory.actions[layer].type).hyperparameters == drawn.hyperparameter_masks
            )
            assert growth.connection_mask() == drawn.connection_mask
            action = LayerAction(trajectory.actions[layer].type, drawn.hyperparameters, drawn.connections)
            growth = growth.add(action)
        assert growth.type_mask() == trajectory.masks[step].types
    assert growth.architecture == space.decode(trajectory.actions)


def test_more_draws_than_steps_are_refused() -> None:
    policy = RedrawPolicy(SEQUENCES, GCNSettings(width=8))
    trajectory = next(each for each in TRAJECTORIES["sequences"] if each.overwritten)
    first, *rest = trajectory.overwritten
    damaged = replace(trajectory, overwritten=(first + first, *rest))
    with pytest.raises(SpaceError, match="at most 2 times"):
        encode(SEQUENCES, policy.vocabulary, [damaged])


def test_beliefs_are_those_of_what_stayed() -> None:
    policy = unsettled(RedrawPolicy(SEQUENCES, GCNSettings(width=8)))
    deep = [each for each in TRAJECTORIES["sequences"] if len(each.actions) == 4][::301]
    for trajectory in deep:
        steps = beliefs(policy, trajectory)
        assert [step.type.chosen for step in steps][-1] == "STOP"
        options = [belief.chosen for step in steps for belief in step.others if belief.name == "x"]
        stayed = [a.hyperparameters for a in trajectory.actions if a.type == 0]
        assert options == [str(1 + index) for (index,) in stayed]
        assert beliefs(policy, replace(trajectory, overwritten=()))


FOLLOWED = SequenceSpace(
    "followed", (token("a", {"x": (0, 1)}), token("b", {"x": (0, 1)})), min_depth=3, max_depth=3, window=2
)


def successes(policy: Callable[[SearchSpace], GCNPolicy], seed: int) -> float:
    """Share of layers, after learning, whose option is the code of the type that comes after, at even types."""

    def with_even_types(space: SearchSpace) -> GCNPolicy:
        made = policy(space)
        made.leb.requires_grad_(requires_grad=False)
        return made

    searcher = ReinforceStrategy(
        FOLLOWED, seed, with_even_types, ReinforceSettings(batch=32, learning_rate=2e-2)
    )
    scores: list[float] = []
    for _ in range(30):
        proposals = searcher.ask(32)
        scores += [_followed(proposal) for proposal in proposals]
        searcher.tell(
            [
                Evaluation(each, EvaluationState.COMPLETE, score)
                for each, score in zip(proposals, scores[-32:], strict=True)
            ]
        )
    return sum(scores[-160:]) / 160


def _followed(proposal: Proposal) -> float:
    layers = proposal.architecture.layers
    hits = [layer.values["x"] == ["a", "b"].index(after.type) for layer, after in itertools.pairwise(layers)]
    return sum(hits) / len(hits)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_it_learns_what_depends_on_the_layer_after(seed: int) -> None:
    """Types stay even, so a policy that never draws again is right half of the time."""
    settings = GCNSettings(width=16)
    assert successes(lambda space: RedrawPolicy(space, settings), seed) > 0.95
    assert successes(lambda space: GCNPolicy(space, settings), seed) < 0.65
