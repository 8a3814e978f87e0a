"""The hyper-parameter prediction block (Fig. 5 of the paper): all of a layer's decisions at once."""

import math

import torch
from torch import Tensor, nn

from gcnas.graph import GraphEncoder, Memory, ParameterNodes, TrajectoryBatch, Vocabulary
from gcnas.policy.attention import ScoresAlong
from gcnas.policy.layer_extraction import BlockState
from gcnas.space.growth import CONNECTION_RATE


class ConnectionHead(nn.Module):
    r"""Whether a layer reads an older node, for each distance independently.

    .. math:: P(j \to i) = \sigma(v^T \tanh(W_a h_j + W_b h_i) + b)

    as Zoph & Le choose skip connections. The hyperbolic tangent is computed as
    :math:`\tanh z = 2 \sigma(2 z) - 1`, which is several times faster.

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

    def anchors(self, nodes: Tensor) -> Tensor:
        """What is kept of nodes (…, d) for later layers: (…, d)."""
        return nn.functional.linear(nodes, 2 * self.anchor.weight)

    def forward(self, anchors: Tensor, layers: Tensor) -> Tensor:
        """Logits (…, m - 1) from what was kept of the nodes (…, m - 1, d), and the layers (…, d)."""
        squashed = torch.sigmoid(anchors + self._doubled(layers)[..., None, :])
        scores = squashed @ (2 * self.score.weight[0])
        return scores + (self.score.bias - self.score.weight.sum())

    def _doubled(self, layers: Tensor) -> Tensor:
        return nn.functional.linear(layers, 2 * self.current.weight, 2 * self.current.bias)

    def along(self, nodes: Tensor, layers: Tensor, window: int) -> Tensor:
        """Logits (B, N, m - 1) of layers (B, N, d), each after the node (B, N, d) of the same index."""
        if window == 1:
            return layers[..., :0]
        scores: Tensor = ScoresAlong.apply(  # type: ignore[no-untyped-call]
            self.anchors(nodes), self._doubled(layers), 2 * self.score.weight[0], window
        )
        return scores + (self.score.bias - self.score.weight.sum())


def option_heads(vocabulary: Vocabulary, width: int) -> nn.Linear:
    """The linear map from a layer to the logits of all heads, (…, d) to (…, K O); it starts with zeros.

    A space may have no hyper-parameters at all, which the usual initial values of a linear map cannot.
    """
    heads: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, width, len(vocabulary.heads) * vocabulary.options
    )
    nn.init.zeros_(heads.weight)
    nn.init.zeros_(heads.bias)
    return heads


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
        self.vocabulary = vocabulary
        self.nodes = ParameterNodes(vocabulary, width)
        self.encoder = GraphEncoder(
            width, vocabulary.window, depth, memory, summary=summary, reads=vocabulary.reads
        )
        self.heads = option_heads(vocabulary, width)
        self.connections = ConnectionHead(width)

    def forward(self, batch: TrajectoryBatch) -> tuple[Tensor, Tensor]:
        """Logits of all heads (B, N, K, O) and connections (B, N, m - 1) at every step of known trajectories."""
        nodes, queries = self.nodes.graph(batch.types, batch.options, batch.features)
        nodes, answers = self.encoder(nodes.but_last, queries, batch.connections)
        return self._read_out(answers, nodes)

    def from_skeleton(self, types: Tensor, present: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same from the types alone, all layers at once, knowing the final depth.

        Without hyper-parameters a layer's node is its own query, so one is enough.

        Args:
            types: (B, N).
            present: (B, N), whether there is such a layer.
            features: (B, F) of the input node.
        """
        depths = present.sum(1, keepdim=True).to(features.dtype)
        nodes = self.encoder.embed(self.nodes.skeleton(types, depths, features), None)
        return self._read_out(nodes[:, 1:], nodes[:, :-1])

    def _read_out(self, answers: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        return self._options(answers), self.connections.along(nodes, answers, self.vocabulary.window)

    def _options(self, answers: Tensor) -> Tensor:
        """Logits (…, K, O) from answers (…, d)."""
        logits: Tensor = self.heads(answers)
        return torch.unflatten(logits, -1, (len(self.vocabulary.heads), self.vocabulary.options))

    def start(self, features: Tensor) -> tuple[BlockState, Tensor]:
        """The state of networks that have only their input node, (B, F), and their anchors (B, m, d)."""
        first = self.nodes.first(features)
        cache, final = self.encoder.append(self.encoder.start(len(features), first), first, None)
        anchors = first.new_zeros(len(features), self.vocabulary.window, self.encoder.width)
        return BlockState(cache, 0, features), self._push(anchors, final)

    def answer(self, state: BlockState, types: Tensor) -> Tensor:
        """What the graph says of layers of known types (B) at the next step: (B, d)."""
        query = self.nodes.queries(types, state.step + 1, state.newest)
        return self.encoder.query(state.cache, query)

    def decide(self, answers: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (…, K, O) and (…, m - 1) from answers (…, d) and what was kept of older nodes (…, m - 1, d)."""
        return self._options(answers), self.connections(anchors, answers)

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
        node = self.nodes.layers(types, state.step + 1, options, features)
        cache, final = self.encoder.append(state.cache, node, connections)
        return BlockState(cache, state.step + 1, features), self._push(anchors, final)

    def _push(self, anchors: Tensor, final: Tensor) -> Tensor:
        return torch.cat([self.connections.anchors(final)[:, None], anchors[:, :-1]], 1)
