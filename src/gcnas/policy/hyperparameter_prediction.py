"""The hyper-parameter prediction block (Fig. 5 of the paper): all of a layer's decisions at once."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from gcnas.graph import GraphEncoder, Memory, ParameterNodes, TrajectoryBatch, Vocabulary
from gcnas.policy.layer_extraction import BlockState

CONNECTION_RATE = 0.25
"""Probability of each connection before anything is learnt; that of random search."""


class ConnectionHead(nn.Module):
    r"""Whether a layer reads an older node, for each distance independently.

    .. math:: P(j \to i) = \sigma(v^T \tanh(W_a h_j + W_b h_i) + b)

    as Zoph & Le choose skip connections.

    Args:
        width: d.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.anchor = nn.Linear(width, width, bias=False)
        self.current = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.constant_(self.score.bias, math.log(CONNECTION_RATE / (1 - CONNECTION_RATE)))

    def forward(self, anchors: Tensor, current: Tensor) -> Tensor:
        """Logits (…, m - 1) from products of the anchors (…, m - 1, d) and the layer (…, d)."""
        scores: Tensor = self.score(torch.tanh(anchors + self.current(current)[..., None, :]))
        return scores.squeeze(-1)


class HyperparameterPredictionBlock(nn.Module):
    """Graph convolution on the parameter graph: one pass gives every head and every connection of a layer.

    The graph is cut to the m newest connections (Fig. 8): an older node reaches a new one only through those between
    (``recurrent``), through the convolutions' receptive field (``stacked``), or through the summary if it is on.

    Args:
        vocabulary: Types, heads, window and depth.
        width: d.
        depth: L, number of convolutions.
        memory: ``stacked`` or ``recurrent``.
        summary: Whether nodes also read the mean of all older ones.
    """

    def __init__(
        self, vocabulary: Vocabulary, width: int, depth: int, memory: Memory, *, summary: bool = True
    ) -> None:
        super().__init__()
        self._vocabulary = vocabulary
        self.nodes = ParameterNodes(vocabulary, width)
        self.encoder = GraphEncoder(width, vocabulary.window, depth, memory, summary=summary)
        self.heads = nn.Linear(width, len(vocabulary.heads) * vocabulary.options)
        nn.init.zeros_(self.heads.weight)
        nn.init.zeros_(self.heads.bias)
        self.connections = ConnectionHead(width)

    def forward(self, batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
        """Logits of all heads (B, N, K, O) and connections (B, N, m - 1) at every step of known trajectories."""
        positions = torch.arange(1, batch.types.shape[1] + 1)
        layers = self.nodes.layers(batch.types, positions, batch.options, batch.features[:, 1:])
        queries = self.nodes.queries(batch.types, positions, batch.features[:, :-1])
        first = self.nodes.first(batch.features[:, 0])
        nodes, answers = self.encoder(torch.cat([first[:, None], layers], 1), queries, batch.connections)
        return self._read_out(answers, nodes)

    def from_skeleton(self, types: Tensor, present: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the types alone, all layers at once, knowing the final depth.

        Args:
            types: (B, N).
            present: (B, N), whether there is such a layer.
            features: (B, F) of the input node.
        """
        positions = torch.arange(1, types.shape[1] + 1)
        final_depth = present.sum(1, keepdim=True).float().expand(types.shape)
        layers = self.nodes.skeleton(types, positions, final_depth)
        first = self.nodes.first(features)
        edges = torch.zeros(*types.shape, self._vocabulary.skips)
        nodes, answers = self.encoder(torch.cat([first[:, None], layers], 1), layers, edges)
        return self._read_out(answers, nodes)

    def _read_out(self, answers: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        steps = answers.shape[1]
        products = self.connections.anchor(nodes[:, :-1])
        anchors = torch.stack(
            [
                nn.functional.pad(products, (0, 0, distance - 1, 0))[:, :steps]
                for distance in range(2, self._vocabulary.window + 1)
            ]
            or [products[:, :0]],
            2,
        )
        heads = self.heads(answers).unflatten(-1, (len(self._vocabulary.heads), self._vocabulary.options))
        return heads, self.connections(anchors, answers) if self._vocabulary.skips else answers[..., :0]

    def start(self, features: Tensor) -> tuple[BlockState, Tensor]:
        """The state of networks that have only their input node, (B, F), and their anchors (B, m, d)."""
        first = self.nodes.first(features)
        cache, final = self.encoder.append(self.encoder.start(len(features), first), first, None)
        anchors = first.new_zeros(len(features), self._vocabulary.window, self.encoder.width)
        return BlockState(cache, 0, features), self._push(anchors, final)

    def logits(self, state: BlockState, anchors: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K, O) and (B, m - 1) of layers of known types (B) at the next step."""
        query = self.nodes.queries(types, torch.tensor(state.step + 1), state.newest)
        answer = self.encoder.query(state.cache, query)
        heads = self.heads(answer).unflatten(-1, (len(self._vocabulary.heads), self._vocabulary.options))
        return heads, self.connections(anchors[:, 1:], answer)

    def append(
        self,
        state: BlockState,
        anchors: Tensor,
        types: Tensor,
        options: Tensor,
        connections: Tensor,
        features: Tensor,
    ) -> tuple[BlockState, Tensor]:
        """One more layer: types (B), options (B, K), connections (B, m - 1), features (B, F) of its output."""
        node = self.nodes.layers(types, torch.tensor(state.step + 1), options, features)
        cache, final = self.encoder.append(state.cache, node, connections)
        return BlockState(cache, state.step + 1, features), self._push(anchors, final)

    def _push(self, anchors: Tensor, final: Tensor) -> Tensor:
        return torch.cat([cast("Tensor", self.connections.anchor(final))[:, None], anchors[:, :-1]], 1)
