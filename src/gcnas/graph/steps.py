"""Graph convolutions on graphs that grow by one node a step, for sampling: changed in place, without gradients."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from gcnas.graph.convolution import GraphConvolution, GraphEncoder

SPARE = 8
"""A window's buffer holds this many windows, so that only one step in some is spent on moving it."""


class Window:
    """The m newest tensors of a kind, newest first, without copies when a new one comes.

    Args:
        size: m.
        shape: Of each.
        like: Gives type and device.
    """

    def __init__(self, size: int, shape: tuple[int, ...], like: Tensor) -> None:
        self._size = size
        self._buffer = like.new_empty(SPARE * size, *shape)
        self._newest = len(self._buffer) - size
        self.newest.zero_()

    @property
    def newest(self) -> Tensor:
        """(m, …); zeros stand for those that never were."""
        return self._buffer[self._newest : self._newest + self._size]

    def push(self) -> Tensor:
        """The place, to be written to, of a new one in front; the oldest leaves."""
        if not self._newest:
            kept = self._size - 1
            self._newest = len(self._buffer) - kept
            self._buffer[self._newest :] = self._buffer[:kept]
        self._newest -= 1
        return self._buffer[self._newest]


class GraphSteps:
    r"""The same encoder as the module that it is made from, with the same weights, on B graphs; no gradients.

    What nodes add to the first convolution is linear in their embeddings, and these are sums of rows of tables. So the
    tables are multiplied once, by :meth:`rows`, and a node comes as a sum of such rows:
    :math:`(h, W_s h, W_c h, W_k h, W_g h)`, of which queries need the first two. With ``recurrent`` memory, where older
    nodes are read through their final embeddings, the first two are all.

    Args:
        encoder: L convolutions of width d with window m.
        count: B.
        skipping: Whether nodes may read others by choice.
    """

    def __init__(self, encoder: GraphEncoder, count: int, *, skipping: bool = True) -> None:
        layers = cast("tuple[GraphConvolution, ...]", tuple(encoder.convolutions))
        self.width = encoder.width
        self._stacked, self._summary, self._reads = encoder.memory == "stacked", encoder.summary, encoder.reads
        self._own = [layer.own.weight.t() for layer in layers]
        self._outgoing = [torch.split(layer.outgoing.weight.t(), self.width, 1) for layer in layers]
        self._first = torch.cat([self._own[0], *(self._outgoing[0] if self._stacked else ())], 1)
        self._norms = [(layer.norm.weight, layer.norm.bias, layer.norm.eps) for layer in layers]
        self._biases = torch.stack([layer.own.bias for layer in layers])[:, None]
        self._importances = torch.stack([layer.importance for layer in layers])[:, None]
        shape = (len(layers), count, self.width)
        self._chains = Window(encoder.window, shape, self._biases)
        self._skips = Window(encoder.window, shape, self._biases) if skipping else None
        self._sums = self._biases.new_zeros(shape)
        self._count = 0
        self._message: Tensor | None = None

    def rows(self, vectors: Tensor) -> Tensor:
        """Vectors (…, d) and their products in the first convolution, side by side."""
        return torch.cat([vectors, vectors @ self._first], -1)

    def query(self, rows: Tensor) -> Tensor:
        """Final embeddings (B, d) of queries, (B, …) or (1, …) for all, at the place after the newest node."""
        return self._embed(self._parts(rows), self._incoming(), len(self._own))[-1]

    def append(self, rows: Tensor, shares: Tensor | None) -> Tensor:
        """Add a node to each graph, and give the nodes' final embeddings (B, d).

        Args:
            rows: Sums (B, …) of :meth:`rows`.
            shares: (m - 1, B, 1), weights of the nodes at distance 2, 3, …; None where nothing is read by choice.
        """
        parts = self._parts(rows)
        embedded = self._embed(parts, self._of_node(shares), len(self._own))
        self._push(parts, embedded)
        return embedded[-1]

    def extend(self, rows: Tensor, shares: Tensor | None) -> None:
        """Add a node whose own final embedding nobody asks for; saves the last convolution if ``stacked``."""
        parts = self._parts(rows)
        self._push(parts, self._embed(parts, self._of_node(shares), len(self._own) - self._stacked))

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        """The embeddings and each of their products, (B, d)."""
        parts: Sequence[Tensor] = torch.split(rows, self.width, 1)
        return parts

    def _embed(self, parts: Sequence[Tensor], incoming: Tensor, depth: int) -> list[Tensor]:
        """Embeddings after each of the first ``depth`` convolutions, from messages (L, B, d)."""
        embedded: list[Tensor] = []
        node, own, *_ = parts
        for index in range(depth):
            total = torch.addmm(incoming[index], node, self._own[index]) if index else own + incoming[0]
            weight, bias, eps = self._norms[index]
            node = torch.layer_norm(total.relu_().add_(node), (self.width,), weight, bias, eps, False)
            embedded.append(node)
        return embedded

    def _incoming(self) -> Tensor:
        """What the next place reads of its window and the summary, and the bias: (L, B, d); kept until a node comes."""
        if self._message is None:
            weights = self._importances
            if self._reads is not None:
                weights = weights * self._reads[self._count]
            window = self._chains.newest.flatten(2).transpose(0, 1)
            if self._summary:
                sums, share = self._sums.flatten(1)[:, None], 1 / max(self._count, 1)
                message = torch.baddbmm(sums, weights, window, beta=share)
            else:
                message = torch.bmm(weights, window)
            self._message = message.view(self._sums.shape).add_(self._biases)
        return self._message

    def _of_node(self, shares: Tensor | None) -> Tensor:
        """What the next node reads, with what was chosen: (L, B, d)."""
        if shares is None or self._skips is None:
            return self._incoming()
        return (self._skips.newest[1:] * shares[:, None]).sum(0).add_(self._incoming())

    def _push(self, parts: Sequence[Tensor], embedded: list[Tensor]) -> None:
        """Keep what later nodes read of the new ones."""
        chains, skips = self._chains.push(), self._skips.push() if self._skips else None
        for index, (chain, skip, *summary) in enumerate(self._outgoing):
            if self._stacked and not index:
                _, _, sent, chosen, *summed = parts
                chains[0].copy_(sent)
                if skips is not None:
                    skips[0].copy_(chosen)
                if summary:
                    self._sums[0].add_(summed[0])
                continue
            node = embedded[index - 1 if self._stacked else -1]
            torch.mm(node, chain, out=chains[index])
            if skips is not None:
                torch.mm(node, skip, out=skips[index])
            if summary:
                self._sums[index].addmm_(node, summary[0])
        self._count += 1
        self._message = None
