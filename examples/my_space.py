"""A search space of your own, with a layer type that the package does not have.

gcnas search digits --budget 2m --space my_space.py:SPACE
"""

import torch
from torch import Tensor, nn

from gcnas.space import Choice, Cost, LayerType, SearchSpace, Shape, Values
from gcnas.space.presets.cnn import Conv2d, MaxPool, ResidualBlock


class TwoScalesModule(nn.Module):
    """Half of the filters look at the next pixels, the other half at those two pixels away."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.near = nn.Conv2d(channels, filters // 2, 3, padding=1, bias=False)
        self.far = nn.Conv2d(channels, filters // 2, 3, padding=2, dilation=2, bias=False)
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of both halves, side by side."""
        return torch.relu(self.norm(torch.cat([self.near(x), self.far(x)], dim=1)))


class TwoScales(LayerType):
    """The type: what the search decides, and three rules. In reports it is called two_scales."""

    # What the search decides. Each Choice lists its options; the attribute's name is the hyper-parameter's.
    filters = Choice(8, 16, 24, 32, 48, 64)

    def output_shape(self, shape: Shape, values: Values) -> Shape:
        """The shape that comes out: other channels, same height and width (a stride would divide them)."""
        return shape.strided(values["filters"])

    def cost(self, shape: Shape, values: Values) -> Cost:
        """What the layer costs, so that limits hold without building it."""
        weights = 9 * shape.channels * values["filters"]
        return Cost(
            parameters=weights + 2 * values["filters"],  # batch normalisation has two a channel
            multiply_adds=weights * shape.height * shape.width,
            activations=values["filters"] * shape.height * shape.width,  # both halves, before they are joined
        )

    def build(self, shape: Shape, values: Values) -> nn.Module:
        """The module itself; a copy of its code goes into the exported model.py."""
        return TwoScalesModule(shape.channels, values["filters"])


# The types that networks are made of: yours beside some of the package's. Mind the brackets: TwoScales().
SPACE = SearchSpace("my space", (TwoScales(), Conv2d(), ResidualBlock(), MaxPool()), max_depth=8)
