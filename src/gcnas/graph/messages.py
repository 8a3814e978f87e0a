"""The messages of a known graph, all nodes at once, and their gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Messages(torch.autograd.Function):
    """What every node is sent, from the products of all nodes.

    Edges reach at most m nodes back, so each distance is one shifted product that is added in place: no copies for
    padding, and nothing but the products is kept for the gradient. It is linear in the number of nodes.

    Shapes:
        - products: (B, N, 2d) for window and skips, or (B, N, 3d) with the summary
        - chain: (N, m), weight with which node i reads node i - δ in its window
        - skips: (B, N, m - 1), weight with which node i reads node i - δ by choice, δ from 2; or None
        - results: messages of window and summary (B, N, d), messages of skips (B, N, d), zero without them
    """

    @staticmethod
    def forward(
        ctx: Any, products: Tensor, chain: Tensor, skips: Tensor | None, width: int
    ) -> tuple[Tensor, Tensor]:
        """Add up; node 0 is sent nothing."""
        window, chosen, *summary = torch.split(products, width, 2)
        incoming, skipped = torch.zeros_like(window), torch.zeros_like(window)
        for distance in _distances(chain):
            weights = chain[distance:, distance - 1, None]
            incoming[:, distance:].addcmul_(window[:, :-distance], weights)
        for distance in _distances(chain, start=2) if skips is not None else ():
            weights = skips[:, distance:, distance - 2, None]  # type: ignore[index]
            skipped[:, distance:].addcmul_(chosen[:, :-distance], weights)
        for part in summary:
            incoming[:, 1:].addcdiv_(part[:, :-1].cumsum(1), _counts(part))
        ctx.width = width
        ctx.save_for_backward(products, chain, skips)
        return incoming, skipped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor, skipped: Tensor) -> tuple[Tensor | None, ...]:
        """The same sums, towards the nodes that were read."""
        products, chain, skips = ctx.saved_tensors
        gradient, to_chain = torch.zeros_like(products), torch.zeros_like(chain)
        window, chosen, *summary = torch.split(gradient, ctx.width, 2)
        for distance in _distances(chain):
            weights = chain[distance:, distance - 1, None]
            window[:, :-distance].addcmul_(incoming[:, distance:], weights)
            read = products[:, :-distance, : ctx.width]
            to_chain[distance:, distance - 1] = (incoming[:, distance:] * read).sum((0, 2))
        for distance in _distances(chain, start=2) if skips is not None else ():
            chosen[:, :-distance].addcmul_(skipped[:, distance:], skips[:, distance:, distance - 2, None])
        for part in summary:
            shares = incoming[:, 1:] / _counts(part)
            part[:, :-1] = shares.flip(1).cumsum(1).flip(1)
        return gradient, to_chain, None, None


def _distances(chain: Tensor, start: int = 1) -> range:
    nodes, window = chain.shape
    return range(start, min(window, nodes - 1) + 1)


def _counts(part: Tensor) -> Tensor:
    """(N - 1, 1), how many nodes there are before each node but the first."""
    return torch.arange(1, part.shape[1], device=part.device, dtype=part.dtype)[:, None]
