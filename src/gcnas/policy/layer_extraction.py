"""The layer extraction block (Fig. 4 of the paper): which layer comes next, and so how deep the network is."""

from dataclasses import dataclass

from torch import Tensor, nn

from gcnas.graph import CompositionNodes, GraphCache, GraphEncoder, Memory, TrajectoryBatch, Vocabulary


@dataclass(frozen=True)
class BlockState:
    """A block's view of B growing networks.

    Attributes:
        cache: The graph so far.
        step: Number of layers so far.
        newest: Facts about the newest node, (B, F), where the hyper-parameter prediction block keeps them; the layer
            extraction block, which reads them with each node, leaves those of the input.
    """

    cache: GraphCache
    step: int
    newest: Tensor


class LayerExtractionBlock(nn.Module):
    """Graph convolution on the composition graph, and a query at the next place: logits over types and STOP.

    Chapter IV: the layer that was estimated becomes a node of the graph that the next estimate reads.

    Args:
        vocabulary: Types, window and depth.
        width: d.
        depth: L, number of convolutions.
        memory: ``stacked`` or ``recurrent``.
        summary: Whether nodes also read the mean of all older ones.
    """

    def __init__(
        self, vocabulary: Vocabulary, width: int, depth: int, memory: Memory, *, summary: bool = True
    ) -> None:
        super().__init__()
        self.nodes = CompositionNodes(vocabulary, width)
        self.encoder = GraphEncoder(
            width, vocabulary.window, depth, memory, summary=summary, reads=vocabulary.reads
        )
        self.head = nn.Linear(width, vocabulary.types + 1)
        # All types are equally probable until something is learnt.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: TrajectoryBatch, connections: Tensor | None) -> Tensor:
        """Logits (B, N, T + 1) at every step of known trajectories.

        Args:
            batch: The trajectories.
            connections: (B, N, m - 1), the edges that this block sees beside the chain; None for no others.
        """
        places = slice(1, batch.types.shape[1] + 1)
        nodes = self.nodes.graph(batch.types[:, :-1], batch.features[:, 0])
        logits: Tensor = self.head(self.encoder.answers(nodes, self.nodes.queries(places), connections))
        return logits

    def start(self, features: Tensor) -> BlockState:
        """The state of networks that have only their input node, (B, F)."""
        first = self.nodes.first(features)
        cache = self.encoder.extend(self.encoder.start(len(features), first), first, None)
        return BlockState(cache, 0, features)

    def logits(self, state: BlockState) -> Tensor:
        """Logits (B, T + 1) for the next step."""
        query = self.nodes.queries(state.step + 1)[None]
        logits: Tensor = self.head(self.encoder.query(state.cache, query))
        return logits

    def append(self, state: BlockState, types: Tensor, connections: Tensor | None) -> BlockState:
        """The state with one more layer: types (B), connections (B, m - 1) or None for none."""
        node = self.nodes.layers(types, state.step + 1)
        cache = self.encoder.extend(state.cache, node, connections)
        return BlockState(cache, state.step + 1, state.newest)
