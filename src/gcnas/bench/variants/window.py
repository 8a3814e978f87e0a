"""A policy that keeps fewer connections of its graphs than the space has."""

from dataclasses import replace

import torch

from gcnas.bench.variants.stepwise import StepwisePolicy
from gcnas.graph import TrajectoryBatch
from gcnas.policy import GCNPolicy, GCNSettings, Logits
from gcnas.space import SearchSpace


class NarrowPolicy(StepwisePolicy, GCNPolicy):
    """Deletes what is older than its own m from both graphs; the space's connections are decided all the same.

    Args:
        space: Fitted space.
        kept: The policy's m, at most the space's.
        settings: Size and reading.
    """

    def __init__(self, space: SearchSpace, kept: int, settings: GCNSettings | None = None) -> None:
        super().__init__(space, settings)
        self._kept = kept
        share = (torch.arange(self.vocabulary.window) < kept).float()
        for block in (self.leb, self.hppb):
            reads = block.encoder.reads
            block.encoder.reads = share.expand(space.max_depth + 2, -1) if reads is None else reads * share

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What both blocks believe at every step, from graphs without longer connections."""
        near = torch.arange(2, self.vocabulary.window + 1) <= self._kept
        return super().logits(replace(batch, connections=batch.connections * near))
