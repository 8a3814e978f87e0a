"""The fixed parts around the searched layers: stem and head."""

from dataclasses import dataclass
from typing import Any

from gcnas.errors import SpaceError
from gcnas.records import Cost
from gcnas.space.shape import Shape


@dataclass(frozen=True)
class InputShape:
    """What goes into a network and how many classes come out.

    Attributes:
        channels: 1 for grey images, 3 for colour.
        height: Rows of an image.
        width: Columns of an image.
        classes: Number of classes.
    """

    channels: int
    height: int
    width: int
    classes: int


@dataclass(frozen=True)
class Stem:
    """First layer of every network: a 3x3 convolution, batch normalisation and ReLU.

    By default its stride is 1 up to 48 rows or columns (the shorter side), 2 up to 96 and 4 above, so that the
    searched layers work on at most some 48 rows of images with up to 192.

    Attributes:
        filters: Channels of its output.
        doubled_above: Sides above which the stride doubles; none keeps it at 1.

    Raises:
        SpaceError: If there are no filters, or a side is no whole number.
    """

    filters: int = 16
    doubled_above: tuple[int, ...] = (48, 96)

    def __post_init__(self) -> None:
        if type(self.filters) is not int or self.filters < 1:
            raise SpaceError(f"A stem needs a whole number of filters, at least 1, but got {self.filters!r}.")
        if not all(type(side) is int and side >= 0 for side in self.doubled_above):
            raise SpaceError(
                f"The stride of a stem doubles above sides that are whole numbers, but got {self.doubled_above!r}."
            )

    def stride(self, image: InputShape) -> int:
        """Stride for images of this size."""
        side = min(image.height, image.width)
        return int(2 ** sum(side > limit for limit in self.doubled_above))

    def describe(self) -> Any:
        """JSON form, part of the space's fingerprint."""
        return (
            self.filters
            if self.doubled_above == Stem.doubled_above
            else [self.filters, list(self.doubled_above)]
        )

    def output_shape(self, image: InputShape) -> Shape:
        """Shape of node 0."""
        return Shape(image.channels, image.height, image.width).strided(self.filters, self.stride(image))

    def cost(self, image: InputShape) -> Cost:
        """Cost of the stem."""
        output = self.output_shape(image)
        weights = 9 * image.channels * self.filters
        return Cost(weights + 2 * self.filters, weights * output.height * output.width)


@dataclass(frozen=True)
class Head:
    """Last layer of every network: global average pooling and a linear layer."""

    def cost(self, shape: Shape, classes: int) -> Cost:
        """Cost of the head behind a feature map."""
        return Cost((shape.channels + 1) * classes, shape.channels * classes)
