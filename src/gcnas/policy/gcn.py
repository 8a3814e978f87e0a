"""The policy of the paper (Fig. 3): layer extraction and hyper-parameter prediction by graph convolutions."""

from dataclasses import dataclass

import torch

from gcnas.graph import Memory, TrajectoryBatch, mean_shares
from gcnas.policy.base import Logits, Policy, draw, flip
from gcnas.policy.hyperparameter_prediction import HyperparameterPredictionBlock
from gcnas.policy.layer_extraction import LayerExtractionBlock
from gcnas.policy.steps import HyperparameterPredictionSteps, LayerExtractionSteps
from gcnas.records import Trajectory
from gcnas.space import SearchSpace


@dataclass(frozen=True)
class GCNSettings:
    """Size and reading of the GCN policy.

    Attributes:
        width: d of both blocks.
        convolutions: L of both blocks.
        memory: ``stacked``, or ``recurrent`` as the paper's sentence has it.
        summary: Whether nodes also read the mean of all older ones.
    """

    width: int = 48
    convolutions: int = 2
    memory: Memory = "stacked"
    summary: bool = True


class GCNPolicy(Policy):
    """Interleaved LEB and HPPB: for each layer the type first, then everything else at once (chapter IV).

    Args:
        space: Fitted space.
        settings: Size and reading.
    """

    def __init__(self, space: SearchSpace, settings: GCNSettings | None = None) -> None:
        super().__init__(space)
        s = settings or GCNSettings()
        self.summary = s.summary
        self.leb = LayerExtractionBlock(self.vocabulary, s.width, s.convolutions, s.memory, summary=s.summary)
        self.hppb = HyperparameterPredictionBlock(
            self.vocabulary, s.width, s.convolutions, s.memory, summary=s.summary
        )

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What both blocks believe at every step."""
        options, connections = self.hppb(batch)
        return Logits(self.leb(batch, batch.connections), options, connections)

    @torch.inference_mode()
    def sample(self, count: int, generator: torch.Generator) -> list[Trajectory]:
        """Draw trajectories; a step costs the same however deep the networks are."""
        rollout = self.start(count)
        composition = LayerExtractionSteps(self.leb, rollout.features)
        parameters = HyperparameterPredictionSteps(self.hppb, rollout.features)
        while True:
            types = draw(composition.logits(), rollout.type_mask(), generator)
            option_mask, connection_mask = rollout.open_layers(types)
            if not rollout.running:
                break
            heads, edges = parameters.logits(types)
            options = draw(heads, option_mask, generator)
            connections = flip(edges, connection_mask, generator)
            options, features = rollout.add_layers(types, options, connections)
            if not rollout.running:
                break
            shares = mean_shares(connections).t()[..., None]
            composition.append(types, shares)
            parameters.append(options, shares, features)
        return rollout.trajectories
