"""The other order of the two blocks: all types first, then every hyper-parameter of every layer in one pass."""

import torch
from torch import Tensor

from gcnas.graph import TrajectoryBatch
from gcnas.policy.base import Logits, draw, flip
from gcnas.policy.gcn import GCNPolicy
from gcnas.records import STOP, LayerAction, LayerMask, Trajectory


class SkeletonFirstPolicy(GCNPolicy):
    """LEB draws the whole skeleton, then one pass of the HPPB decides the rest, knowing the final depth.

    This takes "in parallel, based on depth information" (abstract of the paper) literally. Types see only the bounds
    of the depth, since no size is known yet; the options of all layers are open, and the space's canonical form closes
    what sizes do not allow. What breaks a limit is rejected before it is trained.
    """

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What both blocks believe: the LEB sees chain edges only, the HPPB types and depth only."""
        types = self.leb(batch, torch.zeros_like(batch.connections))
        options, connections = self.hppb.from_skeleton(batch.types, batch.layers, batch.features[:, 0])
        return Logits(types, options, connections)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories: one small step a layer for the types, one pass for everything else."""
        features = self.input_features().expand(count, -1)
        types, lengths = self._draw_skeletons(features, generator)
        present = torch.arange(types.shape[1]) < lengths[:, None]
        heads, edges = self.hppb.from_skeleton(types, present, features)
        options = draw(heads, self._open_options(types), generator)
        connections = flip(edges, torch.ones_like(edges, dtype=torch.bool), generator)
        rows = zip(types.tolist(), options.tolist(), connections.tolist(), lengths.tolist(), strict=True)
        return [self._trajectory(*row) for row in rows]

    def _draw_skeletons(self, features: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Types (B, N), STOP where there is no layer, and depths (B)."""
        count, stop = len(features), self.vocabulary.types
        state, alive = self.leb.start(features), torch.ones(count, dtype=torch.bool)
        no_edges = torch.zeros(count, self.vocabulary.skips)
        columns: list[Tensor] = []
        for depth in range(self.space.max_depth):
            mask = torch.tensor(self._type_mask(depth)).expand(count, -1)
            types = torch.where(alive, draw(self.leb.logits(state), mask, generator), stop)
            alive = types != stop
            if not alive.any():
                break
            columns.append(types)
            state = self.leb.append(state, types, no_edges)
        stacked = torch.stack(columns, 1)
        return stacked, (stacked != stop).sum(1)

    def _type_mask(self, depth: int) -> tuple[bool, ...]:
        full = depth >= self.space.max_depth
        return (*([not full] * self.vocabulary.types), full or depth >= self.space.min_depth)

    def _open_options(self, types: Tensor) -> Tensor:
        """Which options each head has at all: (B, N, K, O)."""
        sizes = torch.tensor([len(options) for _, options in self.vocabulary.heads])
        flags = torch.arange(self.vocabulary.options) < sizes[:, None]
        return flags.expand(*types.shape, -1, -1)

    def _trajectory(
        self, types: list[int], options: list[list[int]], connections: list[list[float]], depth: int
    ) -> Trajectory:
        actions, masks = [], []
        for step in range(depth):
            edges = tuple(distance <= step + 1 for distance in range(2, self.space.window + 1))
            choices = self.space.layer_types[types[step]].choices
            chosen = tuple(options[step][head] for head in self.vocabulary.slots[types[step]])
            flags = zip(connections[step], edges, strict=True)
            actions.append(LayerAction(types[step], chosen, tuple(int(flag and edge) for flag, edge in flags)))
            masks.append(LayerMask(self._type_mask(step), tuple((True,) * len(c) for c in choices), edges))
        stop = LayerMask(self._type_mask(depth))
        return Trajectory((*actions, LayerAction(STOP)), (*masks, stop))
