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
    """How probable stored trajectories are; computed when asked for.

    Attributes:
        types: (T + 1, B, N), log-probabilities under the stored masks.
        options: (O, B, N, K), the same.
        connections: (B, N, m - 1), logits.
        batch: The stored trajectories.
    """

    types: Tensor
    options: Tensor
    connections: Tensor
    batch: TrajectoryBatch

    @cached_property
    def log_probability(self) -> Tensor:
        """(B), of all stored actions under their stored masks."""
        batch = self.batch
        signs = 2 * batch.connections - 1
        return (
            _only(_chosen(self.types, batch.types), batch.present)
            + _only(_chosen(self.options, batch.options.clamp(min=0)), self._used)
            + _only(nn.functional.logsigmoid(signs * self.connections), self._free)
        )

    @cached_property
    def entropy(self) -> Tensor:
        """(B), mean entropy of the decisions that had more than one option, in nats."""
        batch, free = self.batch, self._free
        types = batch.present & (batch.type_mask.sum(-1) > 1)
        options = self._used & (batch.option_mask.sum(-1) > 1)
        probability = torch.sigmoid(self.connections)
        # Of logits: the derivative by a probability is infinite where that is 0 or 1.
        edges = nn.functional.binary_cross_entropy_with_logits(self.connections, probability, reduction="none")
        total = _only(_entropy(self.types), types) + _only(_entropy(self.options), options) + _only(edges, free)
        decisions = types.sum(1) + options.sum((1, 2)) + free.sum((1, 2))
        return total / decisions.clamp(min=1)

    @cached_property
    def _used(self) -> Tensor:
        """(B, N, K), whether a step decides a head."""
        return (self.batch.options != ABSENT) & self.batch.layers[..., None]

    @cached_property
    def _free(self) -> Tensor:
        """(B, N, m - 1), whether a step decides a connection."""
        return self.batch.connection_mask & self.batch.layers[..., None]


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
    return Likelihood(
        _masked(logits.types, batch.type_mask),
        _masked(logits.options, batch.option_mask),
        logits.connections,
        batch,
    )


def _masked(logits: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities (O, …) from logits (…, O): sums over a first dimension take a tenth of the time."""
    return logits.movedim(-1, 0).masked_fill(~mask.movedim(-1, 0), float("-inf")).log_softmax(0)


def _chosen(log_probabilities: Tensor, choices: Tensor) -> Tensor:
    """Of options (O, …) those that were chosen, (…)."""
    return log_probabilities.gather(0, choices[None])[0]


def _only(values: Tensor, where: Tensor) -> Tensor:
    """Sums (B) of the values (B, …) at the places where something was decided."""
    return torch.where(where, values, 0.0).flatten(1).sum(1)


def _entropy(log_probabilities: Tensor) -> Tensor:
    finite = log_probabilities.masked_fill(log_probabilities == float("-inf"), 0.0)
    return -(finite.exp() * finite * (log_probabilities != float("-inf"))).sum(0)


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
