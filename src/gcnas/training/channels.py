"""Channels of a network that takes over another's weights: which old channel each new one is a copy of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Spread:
    """Which of some old channels each new channel is a copy of.

    Where there are more new channels than old ones, all are copied in turn; where there are fewer, the first stay. So
    three channels become five as 0, 1, 2, 0, 1.

    Attributes:
        index: (new), old channels.
        old: Number of old channels.
    """

    index: Tensor
    old: int

    @classmethod
    def between(cls, old: int, new: int) -> "Spread":
        """From some channels to others."""
        return cls(torch.arange(new) % old, old)

    @classmethod
    def joined(cls, parts: Sequence["Spread"]) -> "Spread":
        """Of feature maps side by side."""
        starts = torch.tensor([0, *(part.old for part in parts)]).cumsum(0).tolist()
        index = torch.cat([part.index + start for part, start in zip(parts, starts, strict=False)])
        return cls(index, starts[-1])

    @property
    def new(self) -> int:
        """Number of new channels."""
        return len(self.index)

    def shares(self, rows: int, generator: torch.Generator) -> Tensor:
        """Share (rows, new) of an old channel's weight that each copy gets; the shares of its copies sum to 1.

        They are unequal by chance: the sum, and so the function, stays, while copies get unlike gradients and can
        become different channels (Net2Net, Chen and others 2016, adds noise for that, which changes the function).
        """
        drawn = torch.rand(rows, self.new, generator=generator) + 0.5
        total = torch.zeros(rows, self.old).index_add_(1, self.index, drawn)
        return drawn / total[:, self.index]


def spread_weight(
    weight: Tensor, reads: Spread | None, writes: Spread, kernel: Sequence[int], generator: torch.Generator
) -> Tensor:
    """The weight of a convolution or a linear layer for other channels and another kernel.

    Args:
        weight: Old weight, (out, in) or (out, in, height, width).
        reads: Its input channels; None for a depthwise convolution, which reads what it writes.
        writes: Its output channels.
        kernel: New height and width, padded with zeros or cropped evenly; nothing for a linear layer.
        generator: Decides the shares of copies.
    """
    weight = weight[writes.index]
    if reads is not None:
        shares = reads.shares(writes.new, generator)
        weight = weight[:, reads.index] * shares.reshape(*shares.shape, *(1 for _ in kernel))
    # Negative padding crops. Both leave the centre where it is, which "same" padding relies on.
    margins = [(new - old) // 2 for new, old in zip(kernel, weight.shape[2:], strict=True)]
    return (
        functional.pad(weight, [margin for m in reversed(margins) for margin in (m, m)]) if margins else weight
    )
