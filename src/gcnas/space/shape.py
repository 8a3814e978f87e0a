"""Shapes of the tensors between layers."""

from typing import NamedTuple

from gcnas.errors import SpaceError


class Shape(NamedTuple):
    """Channels, height and width of a feature map (the batch is left out)."""

    channels: int
    height: int
    width: int

    @property
    def numbers(self) -> int:
        """How many numbers a feature map of this shape holds."""
        return self.channels * self.height * self.width

    @property
    def side(self) -> int:
        """The shorter of height and width."""
        return min(self.height, self.width)

    def strided(self, channels: int, stride: int = 1) -> "Shape":
        """Shape after a layer with "same" padding: height and width divided by the stride, rounded up."""
        return Shape(channels, -(-self.height // stride), -(-self.width // stride))

    def allows(self, stride: int) -> bool:
        """Whether the stride leaves at least two whole strides of rows and of columns."""
        return stride == 1 or self.side >= 2 * stride

    def stride_to(self, other: "Shape") -> int:
        """Smallest stride that brings height and width of this shape to those of another.

        Raises:
            SpaceError: If there is none: layer types must keep to "same" padding.
        """
        for stride in range(1, max(self.height, self.width) + 1):
            reduced = self.strided(self.channels, stride)
            if (reduced.height, reduced.width) == (other.height, other.width):
                return stride
        raise SpaceError(
            f"No stride takes {self.height}x{self.width} to {other.height}x{other.width}; the output of a "
            "layer type must have the size ceil(size / stride)."
        )
