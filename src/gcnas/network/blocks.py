"""The modules that networks are made of, one class per kind of layer.

Nothing here depends on anything but torch: an exported ``model.py`` holds copies of these classes. Convolutions
keep the size ("same" padding) up to their stride, have no bias and are followed by batch normalisation.
"""

# ruff: noqa: D102 - the docstring of a module's class says what its forward does

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def activation_module(name: str) -> nn.Module:
    """ReLU (``relu``) or hard swish (``hard_swish``)."""
    return nn.ReLU(inplace=True) if name == "relu" else nn.Hardswish()


def dropout_module(rate: float) -> nn.Module:
    """Dropout of whole channels; nothing where the rate is 0."""
    return nn.Dropout2d(rate) if rate else nn.Identity()


class Normalise(nn.Module):
    """Channels of images from [0, 1], shifted and scaled to mean 0 and deviation 1 on the training images."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class Stem(nn.Module):
    """3x3 convolution, batch normalisation, ReLU."""

    def __init__(self, in_channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, filters, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class Head(nn.Module):
    """Mean over all positions, then a linear layer with one output per class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class MergeAdd(nn.Module):
    """Sum of feature maps; those of another shape than the first go through a strided 1x1 convolution."""

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        filters = channels[0]
        self.projections = nn.ModuleList(
            nn.Identity()
            if (width, stride) == (filters, 1)
            else nn.Sequential(nn.Conv2d(width, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))
            for width, stride in zip(channels[1:], strides[1:], strict=True)
        )

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for projection, x in zip(self.projections, others, strict=True):
            total = total + projection(x)
        return total


class MergeConcat(nn.Module):
    """Feature maps side by side; those larger than the first are average-pooled to its size."""

    def __init__(self, strides: Sequence[int]) -> None:
        super().__init__()
        self.strides = tuple(strides)

    def forward(self, *inputs: Tensor) -> Tensor:
        pooled = [
            x if s == 1 else functional.avg_pool2d(x, s, s, ceil_mode=True, count_include_pad=False)
            for x, s in zip(inputs, self.strides, strict=True)
        ]
        return torch.cat(pooled, dim=1)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation, activation."""

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_channels, filters, kernel_size, stride, padding, dilation, bias=False)
        self.norm = nn.BatchNorm2d(filters)
        self.activation = activation_module(activation)
        self.dropout = dropout_module(dropout)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.dropout(self.activation(self.norm(self.conv(x))))
        return output


class SeparableConv(nn.Module):
    """Depthwise and pointwise convolution, each with batch normalisation and activation."""

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, kernel_size, stride, kernel_size // 2, groups=in_channels, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, filters, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(filters)
        self.activation = activation_module(activation)
        self.dropout = dropout_module(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.depthwise_norm(self.depthwise(x)))
        output: Tensor = self.dropout(self.activation(self.pointwise_norm(self.pointwise(x))))
        return output


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate in (0, 1) computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int, activation: str = "relu") -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.activation = activation_module(activation)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.excite(self.activation(self.squeeze(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class InvertedBottleneck(nn.Module):
    """Expansion, depthwise convolution, squeeze-excitation, projection; the input is added if shapes allow.

    An expansion of 1 and 0 squeezed channels leave out the part that they belong to.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        expansion: int = 1,
        squeezed: int = 0,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.activation = activation_module(activation)
        self.expand: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand = nn.Sequential(
                nn.Conv2d(in_channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), self.activation
            )
        self.depthwise = nn.Conv2d(
            hidden, hidden, kernel_size, stride, kernel_size // 2, groups=hidden, bias=False
        )
        self.depthwise_norm = nn.BatchNorm2d(hidden)
        self.excite = SqueezeExcite(hidden, squeezed, activation) if squeezed else nn.Identity()
        self.project = nn.Conv2d(hidden, filters, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(filters)
        self.dropout = dropout_module(dropout)
        self.residual = stride == 1 and in_channels == filters

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.depthwise_norm(self.depthwise(self.expand(x))))
        y = self.project_norm(self.project(self.excite(y)))
        output: Tensor = self.dropout(x + y if self.residual else y)
        return output


class BottleneckStage(nn.Sequential):
    """Inverted bottlenecks one after the other; the first changes size and channels.

    Squeeze-excitation in the first block and in the others has the two numbers of squeezed channels.
    """

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        repeats: int = 1,
        stride: int = 1,
        expansion: int = 1,
        squeezed: tuple[int, int] = (0, 0),
        activation: str = "relu",
    ) -> None:
        first, others = squeezed
        blocks = [InvertedBottleneck(in_channels, filters, kernel_size, stride, expansion, first, activation)]
        blocks += [
            InvertedBottleneck(filters, filters, kernel_size, 1, expansion, others, activation)
            for _ in range(repeats - 1)
        ]
        super().__init__(*blocks)


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(
        self,
        in_channels: int,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        padding = kernel_size // 2
        self.conv1 = nn.Conv2d(in_channels, filters, kernel_size, stride, padding, bias=False)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, kernel_size, 1, padding, bias=False)
        self.norm2 = nn.BatchNorm2d(filters)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != filters:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )
        self.activation = activation_module(activation)
        self.dropout = dropout_module(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y)) + self.shortcut(x)
        output: Tensor = self.dropout(self.activation(y))
        return output
