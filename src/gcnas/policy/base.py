"""What every policy is: a distribution over architectures."""

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from gcnas.graph import ABSENT, TrajectoryBatch, Vocabulary, node_features
from gcnas.policy.rollout import GrowthRollout, Rollout, TableRollout
from gcnas.policy.tables import MaskTables
from gcnas.records import Trajectory
from gcnas.space import SearchSpace, SequenceSpace

SMALLEST = 1e-37
"""Least uniform number that is drawn: a logarithm of it is finite."""


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

    def start(self, count: int) -> Rollout:
        """B empty networks; where masks depend on the place alone, none of them is asked for its own."""
        if self._tables is None:
            return GrowthRollout(self.space, self.vocabulary, count)
        return TableRollout(self._tables, self.input_features().expand(count, -1))

    def input_features(self) -> Tensor:
        """Facts about the input node: (1, F)."""
        return torch.tensor([node_features(self.space.start())])

    @cached_property
    def _tables(self) -> MaskTables | None:
        if isinstance(self.space, SequenceSpace):
            return MaskTables.of_sequence(self.space, self.vocabulary)
        return None

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
    r"""One option for each row of logits (…, O) among those that the mask leaves open: (…).

    Gumbel's rule: with noise :math:`-\ln(-\ln u)` added to each logit, the largest is a draw from the softmax.
    """
    uniform = torch.empty_like(logits).uniform_(SMALLEST, 1, generator=generator)
    noisy = logits - uniform.log_().neg_().log_()
    return noisy.masked_fill_(~mask, float("-inf")).argmax(-1)


def flip(logits: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """1 with the probability that each logit gives, where the mask is open; else 0."""
    chosen = torch.rand(logits.shape, generator=generator) < torch.sigmoid(logits)
    return (chosen & mask).float()
