"""Graph convolution on a graph that grows: all nodes at once, or one new node from cached products.

Edges point from older nodes to newer ones, so an old node's embedding never changes when a layer is added.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

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
        # Products of a node that later nodes read: for the window and for skips, in one multiplication.
        self.outgoing = nn.Linear(width, 2 * width, bias=False)
        self.importance = nn.Parameter(1.0 / torch.arange(1, window + 1))
        self.summary = nn.Linear(width, width, bias=False) if summary else None
        self.norm = nn.LayerNorm(width)

    def update(self, nodes: Tensor, incoming: Tensor) -> Tensor:
        """New embeddings from the old ones and the sum of all messages; both (…, d)."""
        updated: Tensor = self.norm(nodes + torch.relu(self.own(nodes) + incoming))
        return updated

    def summarise(self, mean: Tensor) -> Tensor | float:
        """Message of the summary; ``mean`` is (…, d)."""
        return 0.0 if self.summary is None else self.summary(mean)


@dataclass(frozen=True)
class GraphCache:
    """What is kept of a growing graph, for each convolution: bounded by m, whatever the depth.

    Shapes:
        - windows: one (B, m, 2d) for each convolution, products of the newest nodes, newest first
        - sums: one (B, d) for each convolution, sum of all nodes
        - count: number of nodes
    """

    windows: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]
    count: int


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
    """

    def __init__(self, width: int, window: int, depth: int, memory: Memory, *, summary: bool = True) -> None:
        super().__init__()
        self.width, self.window, self.memory = width, window, memory
        self.convolutions = nn.ModuleList(
            GraphConvolution(width, window, summary=summary) for _ in range(depth)
        )

    def forward(self, nodes: Tensor, queries: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of all nodes and queries of known graphs.

        Args:
            nodes: (B, N + 1, d); node 0 is the input.
            queries: (B, N, d); query s stands where node s + 1 is.
            connections: (B, N, m - 1); row s says which of the nodes at distance 2, 3, … node s + 1 reads.

        Returns:
            Final embeddings of the nodes (B, N + 1, d) and of the queries (B, N, d).
        """
        if self.memory == "recurrent":
            return self._one_by_one(nodes, queries, connections)
        for module in self.convolutions:
            nodes, queries = self._parallel(module, nodes, queries, connections)  # type: ignore[arg-type]
        return nodes, queries

    def _parallel(
        self, convolution: GraphConvolution, nodes: Tensor, queries: Tensor, connections: Tensor
    ) -> tuple[Tensor, Tensor]:
        steps = queries.shape[1]
        products = convolution.outgoing(nodes[:, :-1])
        # Row s of shifted[δ - 1] is the product of node s + 1 - δ, zero before the input.
        shifted = [
            nn.functional.pad(products, (0, 0, distance - 1, 0))[:, :steps]
            for distance in range(1, self.window + 1)
        ]
        counts = torch.arange(1, steps + 1, device=nodes.device)[:, None]
        means = nodes[:, :-1].cumsum(1) / counts
        incoming = convolution.summarise(means) + sum(
            weight * part[..., : self.width]
            for weight, part in zip(convolution.importance, shifted, strict=True)
        )
        skips = sum(
            (connections[..., index, None] * part[..., self.width :] for index, part in enumerate(shifted[1:])),
            torch.zeros_like(queries),
        ) / connections.sum(2, keepdim=True).clamp(min=1)
        first = convolution.update(nodes[:, :1], torch.zeros_like(nodes[:, :1]))
        rest = convolution.update(nodes[:, 1:], incoming + skips)
        return torch.cat([first, rest], 1), convolution.update(queries, incoming)

    def _one_by_one(self, nodes: Tensor, queries: Tensor, connections: Tensor) -> tuple[Tensor, Tensor]:
        cache = self.start(len(nodes), nodes)
        cache, first = self.append(cache, nodes[:, 0], None)
        final_nodes, final_queries = [first], []
        for step in range(queries.shape[1]):
            final_queries.append(self.query(cache, queries[:, step]))
            cache, node = self.append(cache, nodes[:, step + 1], connections[:, step])
            final_nodes.append(node)
        return torch.stack(final_nodes, 1), torch.stack(final_queries, 1)

    def start(self, count: int, like: Tensor) -> GraphCache:
        """The cache of ``count`` empty graphs, on the device of a tensor."""
        depth = len(self.convolutions)
        window = like.new_zeros(count, self.window, 2 * self.width)
        return GraphCache((window,) * depth, (like.new_zeros(count, self.width),) * depth, 0)

    def query(self, cache: GraphCache, queries: Tensor) -> Tensor:
        """Final embeddings (B, d) of queries (B, d) at the place after the newest node."""
        for index, module in enumerate(self.convolutions):
            queries = module.update(queries, self._incoming(module, cache, index))  # type: ignore[arg-type, operator]
        return queries

    def append(self, cache: GraphCache, nodes: Tensor, connections: Tensor | None) -> tuple[GraphCache, Tensor]:
        """Add a node to each graph; costs O(L (d² + m d)) whatever the depth.

        Args:
            cache: The graphs.
            nodes: (B, d).
            connections: (B, m - 1); None for the input node.

        Returns:
            The new cache and the nodes' final embeddings (B, d).
        """
        layers = [nodes]
        for index, module in enumerate(self.convolutions):
            incoming = torch.zeros_like(nodes)
            if cache.count:
                incoming = self._incoming(module, cache, index)  # type: ignore[arg-type]
            if connections is not None:
                skipped = cache.windows[index][:, 1:, self.width :]
                total = torch.einsum("bk,bkd->bd", connections, skipped)
                incoming = incoming + total / connections.sum(1, keepdim=True).clamp(min=1)
            layers.append(module.update(layers[-1], incoming))  # type: ignore[operator]
        final = layers[-1]
        kept = [final] * len(self.convolutions) if self.memory == "recurrent" else layers[:-1]
        windows = tuple(
            torch.cat([module.outgoing(node)[:, None], window[:, :-1]], 1)  # type: ignore[operator]
            for module, node, window in zip(self.convolutions, kept, cache.windows, strict=True)
        )
        sums = tuple(total + node for total, node in zip(cache.sums, kept, strict=True))
        return GraphCache(windows, sums, cache.count + 1), final

    def _incoming(self, convolution: GraphConvolution, cache: GraphCache, index: int) -> Tensor:
        chain = torch.einsum("m,bmd->bd", convolution.importance, cache.windows[index][..., : self.width])
        return chain + convolution.summarise(cache.sums[index] / max(cache.count, 1))
