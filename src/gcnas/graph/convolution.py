"""Graph convolution on a graph that grows: all nodes at once, or one new node from cached products.

Edges point from older nodes to newer ones, so an old node's embedding never changes when a layer is added.
"""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

import torch
from torch import Tensor, nn

from gcnas.graph.messages import Parallel
from gcnas.graph.mixture import Embedded, dense, length, mapped

Memory: TypeAlias = Literal["stacked", "recurrent"]


class GraphConvolution(nn.Module):
    r"""One layer of the directed graph convolution.

    .. math::
        h_i' = \mathrm{LN}(h_i + \mathrm{relu}(W_s h_i + \sum_{\delta=1}^{m} a_\delta W_c h_{i-\delta}
               + \mathrm{mean}_{j \in \mathrm{skips}(i)} W_k h_j + W_g g_{i-1}))

    with a learned importance :math:`a_\delta` for each distance and :math:`g_{i-1}` the mean of all older nodes, a
    summary of what deletion beyond the m newest connections leaves out (Fig. 8 of the paper).

    Args:
        width: d.
        window: m.
        summary: Whether the term with g is there. Without it nothing older than the window reaches a node.
    """

    def __init__(self, width: int, window: int, *, summary: bool = True) -> None:
        super().__init__()
        self.own = nn.Linear(width, width)
        # Products of a node that later nodes read, for the window, skips and the summary, in one multiplication.
        self.outgoing = nn.Linear(width, (3 if summary else 2) * width, bias=False)
        self.importance = nn.Parameter(1.0 / torch.arange(1, window + 1))
        self.norm = nn.LayerNorm(width)

    def update(self, nodes: Tensor, incoming: Tensor) -> Tensor:
        """New embeddings from the old ones and the sum of all messages; both (…, d)."""
        updated: Tensor = self.norm(nodes + torch.relu(self.own(nodes) + incoming))
        return updated


@dataclass(frozen=True)
class GraphCache:
    """What is kept of a growing graph, for each convolution: bounded by m, whatever the depth.

    Shapes:
        - chains, skips: one (m, B, d) for each convolution, products of the newest nodes, newest first
        - sums: one (B, d) for each convolution, the summary's products of all nodes; none without a summary
        - count: number of nodes
        - messages: (B, d) by convolution, what the next place reads, kept once it was asked for: a query and the
          node that comes to its place read the same
    """

    chains: tuple[Tensor, ...]
    skips: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]
    count: int
    messages: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)


class GraphEncoder(nn.Module):
    """Some graph convolutions, in one of two readings of the paper's memory.

    - ``stacked``: convolution l reads the embeddings that convolution l - 1 gave to older nodes, so all nodes of
      known graphs are computed in one parallel pass.
    - ``recurrent``: every convolution reads the stored *final* embeddings of older nodes, so that node n - m already
      carries node n - m - k (chapter IV); nodes are computed one after the other.

    Besides the nodes there are queries: a query at place i reads what node i would read, without its own content.

    Args:
        width: d.
        window: m.
        depth: L, number of convolutions.
        memory: The reading.
        summary: Passed on to :class:`GraphConvolution`.
        reads: (places, m), share of each distance in what a place reads, where the space gives the edges: the
            importances are multiplied with it. Without it every place reads its whole window.
    """

    reads: Tensor | None

    def __init__(
        self,
        width: int,
        window: int,
        depth: int,
        memory: Memory,
        *,
        summary: bool = True,
        reads: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.width, self.window, self.memory, self.summary = width, window, memory, summary
        self.convolutions = nn.ModuleList(
            GraphConvolution(width, window, summary=summary) for _ in range(depth)
        )
        self.register_buffer("reads", reads, persistent=False)

    def forward(self, nodes: Embedded, queries: Embedded, connections: Tensor | None) -> tuple[Tensor, Tensor]:
        """Embeddings of all nodes and queries of known graphs.

        Args:
            nodes: (B, N + 1, d), or (B, N, d) without the last, which no query reads; node 0 is the input.
            queries: (B, N, d), or (N, d) where all graphs have the same; query s stands where node s + 1 is.
            connections: (B, N, m - 1); row s says which of the nodes at distance 2, 3, … node s + 1 reads. None
                where there are no such edges.

        Returns:
            Final embeddings of the nodes and of the queries, of the same shapes.
        """
        if self.memory == "recurrent":
            known = dense(nodes)
            return self._one_by_one(known, dense(queries).expand(len(known), -1, -1), connections)
        shares, answers = _of_nodes(connections, length(nodes)), queries
        for convolution in self._layers:
            nodes, answers = self._parallel(convolution, nodes, answers, shares)
        return dense(nodes), dense(answers)

    def answers(self, nodes: Embedded, queries: Embedded, connections: Tensor | None) -> Tensor:
        """Final embeddings of the queries alone; saves the last convolution of the nodes."""
        if self.memory == "recurrent":
            return self.forward(nodes, queries, connections)[1]
        *layers, last = self._layers
        shares = _of_nodes(connections, length(nodes))
        for convolution in layers:
            nodes, queries = self._parallel(convolution, nodes, queries, shares)
        return self._parallel(last, nodes, queries, None, final=True)[1]

    def embed(self, nodes: Embedded, connections: Tensor | None) -> Tensor:
        """Final embeddings of the nodes alone."""
        if self.memory == "recurrent":
            return self._one_by_one(dense(nodes), None, connections)[0]
        shares = _of_nodes(connections, length(nodes))
        for convolution in self._layers:
            nodes = self._parallel(convolution, nodes, None, shares)[0]
        return dense(nodes)

    @property
    def _layers(self) -> tuple[GraphConvolution, ...]:
        return cast("tuple[GraphConvolution, ...]", tuple(self.convolutions))

    def _parallel(
        self,
        convolution: GraphConvolution,
        nodes: Embedded,
        queries: Embedded | None,
        shares: Tensor | None,
        *,
        final: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """All nodes and queries after a convolution; of queries alone if it is the ``final`` one."""
        outgoing, own, norm = convolution.outgoing.weight, convolution.own.weight, convolution.norm
        if shares is None:
            # Nothing reads what skips would.
            outgoing = torch.cat([outgoing[: self.width], outgoing[2 * self.width :]])
        sent, chain = mapped(nodes, outgoing), convolution.importance[None]
        if self.reads is not None:
            places = max(sent.shape[1], 0 if queries is None else length(queries) + 1)
            chain = chain * self.reads[:places]
        known = (None, None) if final else (dense(nodes), mapped(nodes, own))
        asked: tuple[Tensor | None, Tensor | None] = (None, None)
        if queries is not None:
            shape = (len(sent), -1, -1)
            asked = (dense(queries).expand(shape), mapped(queries, own).expand(shape))
        return Parallel.apply(  # type: ignore[no-any-return, no-untyped-call]
            sent, convolution.own.bias, chain, shares, *known, *asked, norm.weight, norm.bias, norm.eps
        )

    def _one_by_one(
        self, nodes: Tensor, queries: Tensor | None, connections: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        cache = self.start(len(nodes), nodes)
        cache, first = self.append(cache, nodes[:, 0], None)
        final_nodes, final_queries = [first], [first[:0]]
        for step in range(nodes.shape[1] if queries is None else queries.shape[1]):
            if queries is not None:
                final_queries.append(self.query(cache, queries[:, step]))
            if step + 1 < nodes.shape[1]:
                chosen = None if connections is None else connections[:, step]
                cache, node = self.append(cache, nodes[:, step + 1], chosen)
                final_nodes.append(node)
        return torch.stack(final_nodes, 1), torch.stack(final_queries[1:] or final_queries, 1)

    def start(self, count: int, like: Tensor) -> GraphCache:
        """The cache of ``count`` empty graphs, on the device of a tensor."""
        depth = len(self.convolutions)
        window, total = like.new_zeros(self.window, count, self.width), like.new_zeros(count, self.width)
        return GraphCache((window,) * depth, (window,) * depth, (total,) * depth if self.summary else (), 0)

    def query(self, cache: GraphCache, queries: Tensor) -> Tensor:
        """Final embeddings (B, d) of queries (B, d), or (1, d) for all, at the place after the newest node."""
        for index, convolution in enumerate(self._layers):
            queries = convolution.update(queries, self._incoming(cache, index))
        return queries

    def append(self, cache: GraphCache, nodes: Tensor, connections: Tensor | None) -> tuple[GraphCache, Tensor]:
        """Add a node to each graph; costs O(L (d² + m d)) whatever the depth.

        Args:
            cache: The graphs.
            nodes: (B, d).
            connections: (B, m - 1); None without such edges.

        Returns:
            The new cache and the nodes' final embeddings (B, d).
        """
        layers = self._embed(cache, nodes, connections, len(self.convolutions))
        return self._push(cache, layers), layers[-1]

    def extend(self, cache: GraphCache, nodes: Tensor, connections: Tensor | None) -> GraphCache:
        """Add a node whose own final embedding nobody asks for; saves the last convolution if ``stacked``."""
        depth = len(self.convolutions)
        return self._push(cache, self._embed(cache, nodes, connections, depth - (self.memory == "stacked")))

    def _embed(self, cache: GraphCache, nodes: Tensor, connections: Tensor | None, depth: int) -> list[Tensor]:
        """The new nodes before the first convolution and after each of the first ``depth``."""
        shares = None if connections is None else mean_shares(connections).t()[..., None].contiguous()
        embedded = [nodes]
        for index, convolution in enumerate(self._layers[:depth]):
            incoming = self._incoming(cache, index)
            if shares is not None:
                incoming = incoming + (shares * cache.skips[index][1:]).sum(0)
            embedded.append(convolution.update(embedded[-1], incoming))
        return embedded

    def _push(self, cache: GraphCache, embedded: list[Tensor]) -> GraphCache:
        """The cache with what later nodes read of the new ones."""
        depth = len(self.convolutions)
        kept = embedded[-1:] * depth if self.memory == "recurrent" else embedded[:depth]
        products = [
            convolution.outgoing(node).split(self.width, 1)
            for convolution, node in zip(self._layers, kept, strict=True)
        ]
        return GraphCache(
            tuple(_shift(window, new[0]) for window, new in zip(cache.chains, products, strict=True)),
            tuple(_shift(window, new[1]) for window, new in zip(cache.skips, products, strict=True)),
            tuple(total + new[2] for total, new in zip(cache.sums, products, strict=False)),
            cache.count + 1,
        )

    def _incoming(self, cache: GraphCache, index: int) -> Tensor:
        """What the next place reads of its window and the summary: (B, d)."""
        if index not in cache.messages:
            window = cache.chains[index]
            weights: Tensor = self._layers[index].importance
            if self.reads is not None:
                weights = weights * self.reads[cache.count]
            message = (weights @ window.flatten(1)).view(window.shape[1:])
            if self.summary:
                message = torch.add(message, cache.sums[index], alpha=1 / max(cache.count, 1))
            cache.messages[index] = message
        return cache.messages[index]


def mean_shares(connections: Tensor) -> Tensor:
    """Connections (…, m - 1) as the weights of a mean."""
    return connections / connections.sum(-1, keepdim=True).clamp(min=1)


def _of_nodes(connections: Tensor | None, nodes: int) -> Tensor | None:
    """Weights (B, nodes, m - 1) of all nodes' skips, the input's included, from connections (B, N, m - 1)."""
    if connections is None:
        return None
    return nn.functional.pad(mean_shares(connections), (0, 0, 1, nodes - 1 - connections.shape[1]))


def _shift(window: Tensor, newest: Tensor) -> Tensor:
    """The window (m, B, d) with the newest node's product (B, d) in front and without the oldest."""
    return torch.cat([newest[None], window[:-1]])
