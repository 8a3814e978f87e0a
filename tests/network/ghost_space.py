"""A search space as a user would write it, with two layer types of its own."""

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from gcnas.records import Cost
from gcnas.space import Choice, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets.cnn import Conv2d, MaxPool

RATIO = 2


def half(channels: int) -> int:
    return channels // RATIO


class GhostModule(nn.Module):
    """Half of the channels by a pointwise convolution, the others from them by a cheap grouped one."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        others = filters - half(filters)
        self.primary = nn.Conv2d(channels, half(filters), 1, bias=False)
        self.cheap = nn.Conv2d(
            half(filters), others, 3, padding=1, groups=math.gcd(half(filters), others), bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.primary(x))
        return torch.cat([y, self.cheap(y)], dim=1)


class Ghost(LayerType):
    filters = Choice(8, 16)
    merge = Choice("add", "concat")

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        weights = shape.channels * half(values["filters"]) + 9 * half(values["filters"])
        return Cost(
            weights, weights * shape.height * shape.width, half(values["filters"]) * shape.height * shape.width
        )

    def build(self, shape: Shape, values: Values) -> nn.Module:
        return GhostModule(shape.channels, values["filters"])


class Scale(LayerType):
    """Made of torch's own modules, and imported only when needed."""

    kernel_size = Choice(1, 3)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        return shape.strided(shape.channels, 2 if shape.allows(2) else 1)

    def cost(self, shape: Shape, values: Values) -> Cost:
        inner = self.output_shape(shape, values)
        weights = shape.channels * values["kernel_size"] ** 2
        return Cost(weights + 2 * shape.channels, weights * inner.height * inner.width, inner.numbers)

    def build(self, shape: Shape, values: Values) -> nn.Module:
        from torch.nn import BatchNorm2d, Conv2d, Hardtanh, Sequential

        size, stride = values["kernel_size"], 2 if shape.allows(2) else 1
        return Sequential(
            Conv2d(shape.channels, shape.channels, size, stride, size // 2, groups=shape.channels, bias=False),
            BatchNorm2d(shape.channels),
            Hardtanh(),
        )


SPACE = SearchSpace("ghosts", (Conv2d(), Ghost(), Scale(), MaxPool()), max_depth=6, window=3)
