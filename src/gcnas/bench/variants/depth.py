"""What a policy knows of depth, and who decides it."""

from dataclasses import replace

import torch
from torch import Tensor

from gcnas.errors import SpaceError
from gcnas.policy import GCNPolicy, GCNSettings
from gcnas.policy.rollout import Rollout, TableRollout
from gcnas.policy.tables import MaskTables
from gcnas.records import Trajectory
from gcnas.space import SearchSpace, SequenceSpace


class PlacelessPolicy(GCNPolicy):
    """Nodes and queries do not know their position.

    Args:
        space: Fitted space.
        settings: Size and reading.
    """

    def __init__(self, space: SearchSpace, settings: GCNSettings | None = None) -> None:
        super().__init__(space, settings)
        for nodes in (self.leb.nodes, self.hppb.nodes):
            nodes.positions.weight.requires_grad_(False).zero_()


class GrowingDepthPolicy(GCNPolicy):
    """Depth is not drawn but grows with the number of samples, as Zoph & Le had it.

    Args:
        space: Fitted space of sequences.
        samples: In so many samples the depth goes from the least to the most.
    """

    drawn: Tensor

    def __init__(self, space: SearchSpace, samples: int = 200) -> None:
        super().__init__(space)
        self._samples = samples
        self.register_buffer("drawn", torch.tensor(0))

    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories of the depth of the hour."""
        trajectories = super().sample(count, generator)
        self.drawn += count
        return trajectories

    def start(self, count: int) -> Rollout:
        """Networks for which nothing but the depth of the hour is open."""
        space = self.space
        if not isinstance(space, SequenceSpace):
            raise SpaceError("Growing depth is there for spaces of sequences only.")
        steps = space.max_depth - space.min_depth + 1
        depth = space.min_depth + min(int(self.drawn) * steps // self._samples, steps - 1)
        masks = tuple(
            (*[flag and layers < depth for flag in flags[:-1]], layers >= depth)
            for layers, flags in enumerate(space.type_masks)
        )
        layers = tuple(
            tuple(replace(mask, types=masks[index]) for mask in row)
            for index, row in enumerate(space.layer_masks)
        )
        tables = MaskTables(self.vocabulary, masks, layers)
        return TableRollout(tables, self.input_features().expand(count, -1))


def without_summary(space: SearchSpace) -> GCNPolicy:
    """Positions, but no mean of all older nodes."""
    return GCNPolicy(space, GCNSettings(summary=False))


def without_places(space: SearchSpace) -> GCNPolicy:
    """A mean of all older nodes, but no positions."""
    return PlacelessPolicy(space)


def without_depth(space: SearchSpace) -> GCNPolicy:
    """Neither."""
    return PlacelessPolicy(space, GCNSettings(summary=False))
