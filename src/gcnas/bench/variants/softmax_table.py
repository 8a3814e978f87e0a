"""The simplest controller: a table of softmaxes, one for each decision, which know nothing of one another."""

import math

import torch
from torch import nn

from gcnas.bench.variants.stepwise import StepwisePolicy
from gcnas.graph import TrajectoryBatch
from gcnas.policy import Logits
from gcnas.space import SearchSpace
from gcnas.space.growth import CONNECTION_RATE


class SoftmaxTablePolicy(StepwisePolicy):
    """Free logits for each place and each kind of decision; nothing depends on what was decided before.

    What the benchmark papers call REINFORCE is this with a policy gradient.

    Args:
        space: Fitted space.
    """

    def __init__(self, space: SearchSpace) -> None:
        super().__init__(space)
        v, places = self.vocabulary, space.max_depth + 1
        self.types = nn.Parameter(torch.zeros(places, v.types + 1))
        self.options = nn.Parameter(torch.zeros(places, len(v.heads), v.options))
        rate = math.log(CONNECTION_RATE / (1 - CONNECTION_RATE))
        self.connections = nn.Parameter(torch.full((places, v.skips), rate))

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """The same for all networks."""
        count, steps = batch.types.shape
        tables = (self.types, self.options, self.connections)
        return Logits(*(table[:steps].expand(count, *table[:steps].shape) for table in tables))
