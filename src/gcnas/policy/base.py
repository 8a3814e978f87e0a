"""What every policy is: a distribution over architectures."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from gcnas.graph import ABSENT, TrajectoryBatch, Vocabulary
from gcnas.graph.batch import empty_batch, node_features, set_masks
from gcnas.records import LayerAction, LayerMask, Trajectory
from gcnas.space import SearchSpace


@dataclass(frozen=True)
class Likelihood:
    """How probable stored trajectories are.

    Attributes:
        log_probability: (B), of all stored actions under their stored masks.
        entropy: (B), mean entropy of the decisions that had more than one option, in nats.
    """

    log_probability: Tensor
    entropy: Tensor


@dataclass(frozen=True)
class Logits:
    """What a policy believes at every step of known trajectories, before the masks.

    Attributes:
        types: (B, N, T + 1).
        options: (B, N, K, O).
        connections: (B, N, m - 1).
    """

    types: Tensor
    options: Tensor
    connections: Tensor


class Policy(nn.Module):
    """A distribution over the architectures of a fitted space.

    Args:
        space: Fitted space.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.vocabulary = Vocabulary(space)

    @abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw B trajectories, all advancing one layer at a time; no gradients."""

    @abstractmethod
    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What the policy believes at every step of known trajectories."""

    def forward(self, batch: TrajectoryBatch) -> Likelihood:
        """Log-probability of the stored actions under the stored masks, and entropy."""
        return likelihood(self.logits(batch), batch)


def likelihood(logits: Logits, batch: TrajectoryBatch) -> Likelihood:
    """Put logits, masks and actions together."""
    types = _masked(logits.types, batch.type_mask)
    present, layers = batch.present, batch.layers
    log_types = types.gather(-1, batch.types[..., None]).squeeze(-1)
    used = (batch.options != ABSENT) & layers[..., None]
    options = _masked(logits.options, batch.option_mask | ~used[..., None])
    log_options = options.gather(-1, batch.options.clamp(min=0)[..., None]).squeeze(-1)
    free = batch.connection_mask & layers[..., None]
    signs = 2 * batch.connections - 1
    log_connections = nn.functional.logsigmoid(signs * logits.connections)
    total = (
        _only(log_types, present).sum(1)
        + _only(log_options, used).sum((1, 2))
        + _only(log_connections, free).sum((1, 2))
    )
    return Likelihood(total, _mean_entropy(types, options, logits.connections, batch, used, free))


def _mean_entropy(
    types: Tensor, options: Tensor, connections: Tensor, batch: TrajectoryBatch, used: Tensor, free: Tensor
) -> Tensor:
    open_types = batch.present & (batch.type_mask.sum(-1) > 1)
    open_options = used & (batch.option_mask.sum(-1) > 1)
    probability = torch.sigmoid(connections)
    entropy = nn.functional.binary_cross_entropy(probability, probability, reduction="none")
    total = (
        _only(_entropy(types), open_types).sum(1)
        + _only(_entropy(options), open_options).sum((1, 2))
        + _only(entropy, free).sum((1, 2))
    )
    decisions = open_types.sum(1) + open_options.sum((1, 2)) + free.sum((1, 2))
    return total / decisions.clamp(min=1)


def _masked(logits: Tensor, mask: Tensor) -> Tensor:
    return logits.masked_fill(~mask, float("-inf")).log_softmax(-1)


def _only(values: Tensor, where: Tensor) -> Tensor:
    return torch.where(where, values, 0.0)


def _entropy(log_probabilities: Tensor) -> Tensor:
    finite = log_probabilities.masked_fill(log_probabilities == float("-inf"), 0.0)
    return -(finite.exp() * finite * (log_probabilities != float("-inf"))).sum(-1)


def draw(logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """One option for each row of logits (…, O) among those that the mask leaves open: (…)."""
    probabilities = logits.masked_fill(~mask, float("-inf")).softmax(-1)
    flat = probabilities.flatten(0, -2).multinomial(1, generator=generator)
    return flat.reshape(logits.shape[:-1])


def flip(logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """1 with the probability that each logit gives, where the mask is open; else 0."""
    chosen = torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits)
    return (chosen & mask).float()


class Rollout:
    """B networks that grow together; the bookkeeping between a policy's tensors and the decision process.

    Args:
        space: Fitted space.
        vocabulary: Its vocabulary.
        count: B.
    """

    def __init__(self, space: SearchSpace, vocabulary: Vocabulary, count: int) -> None:
        self._vocabulary = vocabulary
        self.growths = [space.start() for _ in range(count)]
        self.alive = [True] * count
        self.batch = empty_batch(vocabulary, count, 1)
        self.features = torch.tensor([node_features(growth) for growth in self.growths])
        self._done: list[Trajectory | None] = [None] * count
        self._masks: list[LayerMask | None] = [None] * count

    def type_mask(self) -> Tensor:
        """(B, T + 1); networks that have stopped may only stop."""
        stopped = (False,) * self._vocabulary.types + (True,)
        flags = [g.type_mask() if alive else stopped for g, alive in zip(self.growths, self.alive, strict=True)]
        return torch.tensor(flags)

    def open_layers(self, types: Tensor) -> tuple[Tensor, Tensor]:
        """End the networks whose type is STOP; masks (B, K, O) and (B, m - 1) for the others' decisions."""
        self.batch = empty_batch(self._vocabulary, len(self.growths), 1)
        for row, code in enumerate(cast("list[int]", types.tolist())):
            if not self.alive[row]:
                continue
            if code == self._vocabulary.types:
                self.alive[row] = False
                self._done[row] = self.growths[row].stop()
                continue
            mask = self.growths[row].layer_mask(code)
            set_masks(self._vocabulary, self.batch, row, 0, code, mask)
            self._masks[row] = mask
        return self.batch.option_mask[:, 0], self.batch.connection_mask[:, 0]

    def add_layers(self, types: Tensor, options: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        """Add the layers that were decided; their options with absent ones marked, (B, K), and features (B, F)."""
        chosen = torch.full_like(options, ABSENT)
        for row, code in enumerate(cast("list[int]", types.tolist())):
            if not self.alive[row]:
                continue
            heads = list(self._vocabulary.slots[code])
            chosen[row, heads] = options[row, heads]
            action = LayerAction(
                code,
                tuple(options[row, heads].tolist()),
                tuple(int(flag) for flag in connections[row].tolist()),
            )
            self.growths[row] = self.growths[row].add(action, self._masks[row])
            self.features[row] = torch.tensor(node_features(self.growths[row]))
        return chosen, self.features.clone()

    @property
    def trajectories(self) -> list[Trajectory]:
        """The finished trajectories."""
        return [trajectory for trajectory in self._done if trajectory is not None]
