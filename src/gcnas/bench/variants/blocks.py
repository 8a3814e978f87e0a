"""One graph instead of two: what becomes of the paper's two blocks when they share."""

import torch
from torch import Tensor, nn

from gcnas.bench.variants.heads import read_graph
from gcnas.bench.variants.stepwise import StepwisePolicy
from gcnas.graph import TrajectoryBatch
from gcnas.policy import GCNSettings, HyperparameterPredictionBlock, Logits
from gcnas.space import SearchSpace


class _OneGraphPolicy(StepwisePolicy):
    """One graph convolution on the parameter graph, which a query without a type reads."""

    def __init__(self, space: SearchSpace, settings: GCNSettings | None = None) -> None:
        super().__init__(space)
        s = settings or GCNSettings()
        self.block = HyperparameterPredictionBlock(
            self.vocabulary, s.width, s.convolutions, s.memory, summary=s.summary
        )
        self.untyped = nn.Parameter(torch.zeros(s.width))
        self.type_head = nn.Linear(s.width, self.vocabulary.types + 1)
        nn.init.zeros_(self.type_head.weight)
        nn.init.zeros_(self.type_head.bias)

    def before_types(self, batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
        """What the graph says of each place before its type is known, (B, N, d), and of the node before, (B, N, d)."""
        nodes = self.block.nodes
        known, _ = nodes.graph(batch.types, batch.options, batch.features)
        places = nodes.positions.weight[1 : batch.types.shape[1] + 1]
        queries = self.untyped + places + nodes.features(batch.features[:, :-1])
        embedded, answers = self.block.encoder(known, queries, batch.connections)
        return answers, embedded[:, :-1]

    def options(self, answers: Tensor) -> Tensor:
        """Logits (B, N, K, O)."""
        v = self.vocabulary
        return torch.unflatten(self.block.heads(answers), -1, (len(v.heads), v.options))


class SharedTrunkPolicy(_OneGraphPolicy):
    """Both blocks have the same graph and the same convolutions; two queries and two sets of heads stay."""

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What is believed at every step."""
        untyped, _ = self.before_types(batch)
        answers, older = read_graph(self.block, batch)
        edges = self.block.connections.along(older, answers, self.vocabulary.window)
        return Logits(self.type_head(untyped), self.options(answers), edges)


class FusedPolicy(_OneGraphPolicy):
    """One block decides type, hyper-parameters and connections at once: the latter two do not know the type."""

    def logits(self, batch: TrajectoryBatch) -> Logits:
        """What is believed at every step."""
        answers, older = self.before_types(batch)
        edges = self.block.connections.along(older, answers, self.vocabulary.window)
        return Logits(self.type_head(answers), self.options(answers), edges)
