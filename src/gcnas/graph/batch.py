"""Trajectories as tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Optional

import torch
from torch import Tensor, nn

from gcnas.errors import SpaceError
from gcnas.graph.vocabulary import FEATURES, Vocabulary
from gcnas.records import STOP, Draw, LayerAction, LayerMask, Trajectory
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

    ``draws`` is there if any trajectory has overwritten draws. It is a batch of N · m steps in which each draw is a
    step: number s · m + d is what step s drew for the layer at distance d from the newest, 0 being the new one. A
    type is drawn once, so where d > 0 no other type is open.
    """

    types: Tensor
    present: Tensor
    options: Tensor
    connections: Tensor
    type_mask: Tensor
    option_mask: Tensor
    connection_mask: Tensor
    features: Tensor
    draws: Optional["TrajectoryBatch"] = None

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
        value / max(limit, 1) if limit is not None else math.log10(value + 1) / 8
        for value, limit in (
            (cost.parameters, limits.bound("parameters")),
            (cost.multiply_adds, limits.multiply_adds),
        )
    ]
    return sizes + used


def encode(space: SearchSpace, vocabulary: Vocabulary, trajectories: Sequence[Trajectory]) -> TrajectoryBatch:
    """Turn trajectories into tensors.

    Raises:
        SpaceError: If one has decisions or masks that are not those of the space.
    """
    try:
        return _encode(space, vocabulary, trajectories)
    except (LookupError, RuntimeError, ValueError) as error:
        raise SpaceError(f"A trajectory does not fit the space {space.name!r}: {error}.") from error


def _encode(space: SearchSpace, vocabulary: Vocabulary, trajectories: Sequence[Trajectory]) -> TrajectoryBatch:
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
            growth = growth.add(action, mask)
            _set_layer(vocabulary, batch, row, step, growth)
    if not any(trajectory.overwritten for trajectory in trajectories):
        return batch
    return replace(batch, draws=_encode_draws(space, vocabulary, trajectories, batch))


def kept_draws(batch: TrajectoryBatch) -> TrajectoryBatch:
    """The ``draws`` of trajectories in which each draw gave what was there before, under the same masks."""
    steps, window = batch.types.shape[1], batch.connections.shape[2] + 1
    layer = torch.arange(steps)[:, None] - torch.arange(window)
    index, exists = layer.clamp(min=0).flatten(), layer.flatten() >= 0
    again = (torch.arange(window) > 0).repeat(steps)
    # STOP is drawn, but nothing is drawn again beside it.
    present = torch.where(again, batch.layers.repeat_interleave(window, 1) & exists, batch.present[:, index])
    types = batch.types[:, index]
    only = nn.functional.one_hot(types, batch.type_mask.shape[2]).bool()
    return TrajectoryBatch(
        types=types,
        present=present,
        options=batch.options[:, index],
        connections=batch.connections[:, index],
        type_mask=torch.where(again[:, None], only, batch.type_mask[:, index]),
        option_mask=batch.option_mask[:, index],
        connection_mask=batch.connection_mask[:, index],
        features=torch.cat([batch.features[:, :1], batch.features[:, index + 1]], 1),
    )


def _encode_draws(
    space: SearchSpace, vocabulary: Vocabulary, trajectories: Sequence[Trajectory], batch: TrajectoryBatch
) -> TrajectoryBatch:
    draws, window = kept_draws(batch), vocabulary.window
    for row, trajectory in enumerate(trajectories):
        if not trajectory.overwritten:
            continue
        drawn = _layer_draws(trajectory, window)
        base = space.start()
        for step in range(len(drawn)):
            growth = base
            for layer in range(max(0, step - window + 1), step + 1):
                growth = growth.add(*drawn[layer][min(step - layer, len(drawn[layer]) - 1)])
                _set_layer(vocabulary, draws, row, step * window + step - layer, growth)
                if layer == step - window + 1:
                    # It leaves the window: no later step draws it again.
                    base = growth
    return draws


def _layer_draws(trajectory: Trajectory, window: int) -> list[list[tuple[LayerAction, LayerMask]]]:
    """All draws of each layer, the last being the one that stayed."""
    final = list(zip(trajectory.actions, trajectory.masks, strict=True))[:-1]
    drawn = []
    for layer, (action, mask) in enumerate(final):
        earlier = trajectory.overwritten[layer]
        most = min(window, len(final) - layer)
        if len(earlier) >= most:
            raise SpaceError(
                f"Layer {layer + 1} is drawn at most {most} times here, not {len(earlier) + 1} times."
            )
        drawn.append([*(_decided(action, mask, draw) for draw in earlier), (action, mask)])
    return drawn


def _decided(action: LayerAction, mask: LayerMask, draw: Draw) -> tuple[LayerAction, LayerMask]:
    """A draw as decision and mask of the layer whose last ones are given; types are not drawn again."""
    return (
        LayerAction(action.type, draw.hyperparameters, draw.connections),
        LayerMask(mask.types, draw.hyperparameter_masks, draw.connection_mask),
    )


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


def _set_layer(vocabulary: Vocabulary, batch: TrajectoryBatch, row: int, step: int, growth: Growth) -> None:
    """Write the newest layer of a growth, its masks and its features, but not the mask of its type."""
    action, mask = growth.actions[-1], growth.masks[-1]
    set_masks(vocabulary, batch, row, step, action.type, mask)
    heads = list(vocabulary.slots[action.type])
    batch.options[row, step, heads] = torch.tensor(action.hyperparameters, dtype=torch.int64)
    batch.connections[row, step] = torch.tensor(action.connections, dtype=torch.float32)
    batch.features[row, step + 1] = torch.tensor(node_features(growth))


def set_masks(
    vocabulary: Vocabulary, batch: TrajectoryBatch, row: int, step: int, code: int, mask: LayerMask
) -> None:
    """Write the masks of the hyper-parameters and connections of one layer."""
    for head, flags in zip(vocabulary.slots[code], mask.hyperparameters, strict=True):
        padded = [flag for flag, _ in zip_longest(flags, range(vocabulary.options), fillvalue=False)]
        batch.option_mask[row, step, head] = torch.tensor(padded)
    batch.connection_mask[row, step] = torch.tensor(mask.connections, dtype=torch.bool)
