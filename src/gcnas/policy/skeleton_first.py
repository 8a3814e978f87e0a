"""The other order of the two blocks: all types first, then every hyper-parameter of every layer in one pass."""

from functools import cached_property

import torch
from torch import Tensor

from gcnas.graph import TrajectoryBatch
from gcnas.policy.base import Logits, draw, flip
from gcnas.policy.gcn import GCNPolicy
from gcnas.policy.steps import LayerExtractionSteps
from gcnas.policy.tables import MaskTables
from gcnas.records import Trajectory


class SkeletonFirstPolicy(GCNPolicy):
    """LEB draws the whole skeleton, then one pass of the HPPB decides the rest, knowing the final depth.

    This takes "in parallel, based on depth information" (abstract of the paper) literally. Types see only the bounds
    of the depth, since no size is known yet; the options of all layers are open, and the space's canonical form closes
    what sizes do not allow. What breaks a limit is rejected before it is trained. Where masks depend on the place
    alone, they hold here too.
    """

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What both blocks believe: the LEB sees chain edges only, the HPPB types and depth only."""
        types = self.leb(batch, None)
        options, connections = self.hppb.from_skeleton(batch.types, batch.layers, batch.features[:, 0])
        return Logits(types, options, connections)

    @torch.inference_mode()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories: one small step a layer for the types, one pass for everything else."""
        features = self.input_features().expand(count, -1)
        types = self._draw_skeletons(features, generator)
        depth = types.shape[1]
        heads, edges = self.hppb.from_skeleton(types, types != self.vocabulary.types, features)
        places = torch.arange(depth)
        options = draw(heads, self._skeleton_tables.options[places, types], generator)
        connections = flip(edges, self._skeleton_tables.connections[:depth], generator)
        return self._skeleton_tables.trajectories(types, options, connections)

    @cached_property
    def _skeleton_tables(self) -> MaskTables:
        return self._tables or MaskTables.of_bounds(self.space, self.vocabulary)

    def _draw_skeletons(self, features: Tensor, generator: torch.Generator) -> Tensor:
        """Types (B, N), STOP where there is no layer."""
        stop, tables = self.vocabulary.types, self._skeleton_tables
        steps = LayerExtractionSteps(self.leb, features, skipping=False)
        running = torch.ones(len(features), 1, dtype=torch.bool)
        columns: list[Tensor] = []
        for depth in range(self.space.max_depth):
            # A closed network has nothing but STOP before it.
            mask = torch.where(running, tables.types[depth], tables.types[-1])
            types = draw(steps.logits(), mask, generator)
            if any(tables.may_stop[: depth + 1]):
                running = (types != stop)[:, None]
                if not running.any():
                    break
            columns.append(types)
            steps.append(types, None)
        return torch.stack(columns, 1)
