"""Sampling for policies that are written down by their logits alone."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gcnas.graph import ABSENT, TrajectoryBatch, Vocabulary
from gcnas.policy import Policy
from gcnas.policy.base import draw, flip
from gcnas.records import Trajectory


@dataclass(frozen=True)
class Partial:
    """B networks under construction, as a batch whose masks are all open.

    Attributes:
        vocabulary: Of the space.
        batch: The layers so far.
    """

    vocabulary: Vocabulary
    batch: TrajectoryBatch

    @classmethod
    def start(cls, vocabulary: Vocabulary, features: Tensor) -> "Partial":
        """Networks without layers, with the features (B, F) of their input."""
        v, count = vocabulary, len(features)
        batch = TrajectoryBatch(
            types=torch.zeros(count, 0, dtype=torch.int64),
            present=torch.zeros(count, 0, dtype=torch.bool),
            options=torch.full((count, 0, len(v.heads)), ABSENT),
            connections=torch.zeros(count, 0, v.skips),
            type_mask=torch.ones(count, 0, v.types + 1, dtype=torch.bool),
            option_mask=torch.ones(count, 0, len(v.heads), v.options, dtype=torch.bool),
            connection_mask=torch.ones(count, 0, v.skips, dtype=torch.bool),
            features=features[:, None],
        )
        return cls(vocabulary, batch)

    def asking(self, types: Tensor | None = None, options: Tensor | None = None) -> TrajectoryBatch:
        """With one more step, of which nothing is known, or its types (B), or its options (B, K) too."""
        count = len(self.batch.features)
        types = torch.zeros(count, dtype=torch.int64) if types is None else types
        if options is None:
            options = torch.full((count, len(self.vocabulary.heads)), ABSENT)
        none = torch.zeros(count, self.vocabulary.skips)
        return self._with(types, options, none, self.batch.features[:, -1])

    def add(self, types: Tensor, options: Tensor, connections: Tensor, features: Tensor) -> "Partial":
        """With one more layer: types (B), options (B, K), connections (B, m - 1), features (B, F)."""
        return replace(self, batch=self._with(types, options, connections, features))

    def _with(self, types: Tensor, options: Tensor, connections: Tensor, features: Tensor) -> TrajectoryBatch:
        b = self.batch
        return TrajectoryBatch(
            types=_append(b.types, types),
            present=_append(b.present, torch.ones_like(types, dtype=torch.bool)),
            options=_append(b.options, options),
            connections=_append(b.connections, connections),
            type_mask=nn.functional.pad(b.type_mask, (0, 0, 0, 1), value=True),
            option_mask=nn.functional.pad(b.option_mask, (0, 0, 0, 0, 0, 1), value=True),
            connection_mask=nn.functional.pad(b.connection_mask, (0, 0, 0, 1), value=True),
            features=_append(b.features, features),
        )


def _append(steps: Tensor, new: Tensor) -> Tensor:
    return torch.cat([steps, new[:, None]], 1)


class StepwisePolicy(Policy):
    """A policy that is asked for the logits of the whole network again at every decision.

    Slow and simple: what :meth:`logits` says of a step must not depend on later steps, and what it says of types not on
    the type of the same step.
    """

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories, all advancing one layer at a time."""
        rollout = self.start(count)
        partial = Partial.start(self.vocabulary, rollout.features)
        while True:
            logits = self.logits(partial.asking()).types[:, -1]
            types = draw(logits, rollout.type_mask(), generator)
            option_mask, edge_mask = rollout.open_layers(types)
            if not rollout.running:
                break
            options, edges = self.draw_layer(partial, types, (option_mask, edge_mask), generator)
            options, features = rollout.add_layers(types, options, edges)
            if not rollout.running:
                break
            partial = partial.add(types, options, edges, features)
        return rollout.trajectories

    def draw_layer(
        self, partial: Partial, types: Tensor, masks: tuple[Tensor, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Options (B, K) and connections (B, m - 1) of a layer of known types (B), all drawn at once.

        Args:
            partial: The networks before it.
            types: Of the layer.
            masks: (B, K, O) and (B, m - 1).
            generator: Draws.
        """
        logits = self.logits(partial.asking(types))
        options = draw(logits.options[:, -1], masks[0], generator)
        return options, flip(logits.connections[:, -1], masks[1], generator)
