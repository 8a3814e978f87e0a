"""Scores of older nodes for all layers at once, and their gradient."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class ScoresAlong(torch.autograd.Function):
    r"""Attention of each layer to the nodes at distances 2 to m: :math:`v^T \sigma(k_{i-\delta} + c_i)`.

    Shifted sums are written where they belong; nothing is padded, and one tensor is kept for the gradient.

    Shapes:
        - anchors: (B, N, d), k, of the node before each layer; zero for those before the first
        - layers: (B, N, d), c
        - weights: (d), v
        - result: (B, N, m - 1)
    """

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, layers: Tensor, weights: Tensor, window: int) -> Tensor:
        """The layer of the same index reads its node at distance 1, which is not asked for."""
        squashed = layers.expand(window - 1, *layers.shape).clone(memory_format=torch.contiguous_format)
        for shift, part in _shifts(squashed):
            part[:, shift:] += anchors[:, : anchors.shape[1] - shift]
        squashed.sigmoid_()
        ctx.save_for_backward(squashed, weights)
        return (squashed @ weights).movedim(0, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Through the sigmoid, then to the nodes that were read."""
        squashed, weights = ctx.saved_tensors
        scores = gradient.movedim(-1, 0).contiguous()
        inner = torch.ops.aten.sigmoid_backward(scores[..., None] * weights, squashed)
        to_anchors = torch.zeros_like(inner[0])
        for shift, part in _shifts(inner):
            to_anchors[:, : part.shape[1] - shift] += part[:, shift:]
        return to_anchors, inner.sum(0), scores.flatten() @ squashed.flatten(0, -2), None


def _shifts(parts: Tensor) -> list[tuple[int, Tensor]]:
    """How much later a layer stands than the node that it reads, and the part of each, of (m - 1, B, N, d)."""
    return [(min(shift, parts.shape[2]), part) for shift, part in enumerate(parts, start=1)]
