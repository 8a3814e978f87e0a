"""Trajectories as tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor

from gcnas.graph.vocabulary import FEATURES, Vocabulary
from gcnas.records import STOP, LayerMask, Trajectory
from gcnas.space import Growth, SearchSpace

ABSENT = -1
"""Stands for an option that a layer's type does not have."""


@dataclass(frozen=True)
class TrajectoryBatch:
    """B trajectories of at most N steps; a step decides one layer, the last one is STOP.

    Shapes:
        - types: (B, N), codes 0 to T - 1, and T for STOP
        - present: (B, N), whether there is such a step
        - options: (B, N, K), index of the option, or :data:`ABSENT`
        - connections: (B, N, m - 1), 1 where the node at distance 2, 3, … is read
        - type_mask: (B, N, T + 1)
        - option_mask: (B, N, K, O)
        - connection_mask: (B, N, m - 1)
        - features: (B, N + 1, F), of the input node and of the node that each step adds

    Steps that are not there, and what STOP does not decide, have zeros and open masks.
    """

    types: Tensor
    present: Tensor
    options: Tensor
    connections: Tensor
    type_mask: Tensor
    option_mask: Tensor
    connection_mask: Tensor
    features: Tensor

    @property
    def layers(self) -> Tensor:
        """(B, N), whether a step adds a layer."""
        return self.present & (self.types < self.type_mask.shape[2] - 1)


def node_features(growth: Growth) -> list[float]:
    """Facts about the newest node: channels, height, width, and the shares used of both limits.

    Without a limit its logarithm stands in for the share.
    """
    shape, cost, limits = growth.nodes[max(growth.resolved[-1])], growth.cost, growth.space.limits
    sizes = [math.log2(size) / 8 for size in (shape.channels, shape.height, shape.width)]
    used = [
        value / limit if limit is not None else math.log10(value + 1) / 8
        for value, limit in ((cost.parameters, limits.parameters), (cost.multiply_adds, limits.multiply_adds))
    ]
    return sizes + used


def encode(space: SearchSpace, vocabulary: Vocabulary, trajectories: Sequence[Trajectory]) -> TrajectoryBatch:
    """Turn trajectories into tensors."""
    steps = max(len(trajectory.actions) for trajectory in trajectories)
    batch = empty_batch(vocabulary, len(trajectories), steps)
    for row, trajectory in enumerate(trajectories):
        growth = space.start()
        batch.features[row, 0] = torch.tensor(node_features(growth))
        for step, (action, mask) in enumerate(zip(trajectory.actions, trajectory.masks, strict=True)):
            batch.present[row, step] = True
            batch.types[row, step] = vocabulary.types if action.type == STOP else action.type
            batch.type_mask[row, step] = torch.tensor(mask.types)
            if action.type == STOP:
                break
            set_masks(vocabulary, batch, row, step, action.type, mask)
            heads = vocabulary.slots[action.type]
            batch.options[row, step, list(heads)] = torch.tensor(action.hyperparameters, dtype=torch.int64)
            batch.connections[row, step] = torch.tensor(action.connections, dtype=torch.float32)
            growth = growth.add(action, mask)
            batch.features[row, step + 1] = torch.tensor(node_features(growth))
    return batch


def empty_batch(vocabulary: Vocabulary, count: int, steps: int) -> TrajectoryBatch:
    """A batch without any step."""
    heads, skips = len(vocabulary.heads), vocabulary.skips
    return TrajectoryBatch(
        types=torch.zeros(count, steps, dtype=torch.int64),
        present=torch.zeros(count, steps, dtype=torch.bool),
        options=torch.full((count, steps, heads), ABSENT),
        connections=torch.zeros(count, steps, skips),
        type_mask=torch.ones(count, steps, vocabulary.types + 1, dtype=torch.bool),
        option_mask=torch.ones(count, steps, heads, vocabulary.options, dtype=torch.bool),
        connection_mask=torch.zeros(count, steps, skips, dtype=torch.bool),
        features=torch.zeros(count, steps + 1, FEATURES),
    )


def set_masks(
    vocabulary: Vocabulary, batch: TrajectoryBatch, row: int, step: int, code: int, mask: LayerMask
) -> None:
    """Write the masks of the hyper-parameters and connections of one layer."""
    for head, flags in zip(vocabulary.slots[code], mask.hyperparameters, strict=True):
        padded = [flag for flag, _ in zip_longest(flags, range(vocabulary.options), fillvalue=False)]
        batch.option_mask[row, step, head] = torch.tensor(padded)
    batch.connection_mask[row, step] = torch.tensor(mask.connections, dtype=torch.bool)
