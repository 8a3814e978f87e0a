"""An image classifier found by architecture search (architecture cbb55c85caa3bdd8).

Input: float tensor of shape (batch, 1, 28, 28), values from 0 to 1.
Preprocessing: none is needed.
Output: logits of shape (batch, 10), one for each name in CLASSES.
Cost: 77,754 parameters, 9,345,920 multiply-adds an image.

Needs torch and the file weights.safetensors beside this one:

    import model
    network = model.load()
    probabilities = network(images).softmax(dim=1)
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = [
    "digit 0",
    "digit 1",
    "digit 2",
    "digit 3",
    "digit 4",
    "digit 5",
    "digit 6",
    "digit 7",
    "digit 8",
    "digit 9",
]
IMAGE_SHAPE = (1, 28, 28)
WEIGHTS = Path(__file__).with_name("weights.safetensors")


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


def activation_module(name: str) -> nn.Module:
    """ReLU (``relu``) or hard swish (``hard_swish``)."""
    return nn.ReLU(inplace=True) if name == "relu" else nn.Hardswish()


def dropout_module(rate: float) -> nn.Module:
    """Dropout of whole channels; nothing where the rate is 0."""
    return nn.Dropout2d(rate) if rate else nn.Identity()


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


class Head(nn.Module):
    """Mean over all positions, then a linear layer with one output per class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


MAX_FILE_BYTES = 2**31


MAX_HEADER_BYTES = 100_000_000


DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def _tensor(content: bytearray, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    kind = DTYPES[dtype]
    begin, end = data_offsets
    if any(type(number) is not int or number < 0 for number in (begin, end, *shape)):
        raise ValueError("sizes and offsets must be whole numbers")
    count = math.prod(shape)
    if end > len(content) - start or end - begin != count * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} does not fit into bytes {begin} to {end}")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(content, dtype=kind, count=count, offset=start + begin).reshape(shape).clone()


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file; ValueError if the file is not one."""
    path = Path(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path} has more than {MAX_FILE_BYTES:,} bytes")
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= len(content):
        raise ValueError(f"{path} is no safetensors file: its header does not fit into it")
    if start > MAX_HEADER_BYTES:
        raise ValueError(f"{path} is no safetensors file: its header has more than {MAX_HEADER_BYTES:,} bytes")
    try:
        header = json.loads(content[8:start])
        header.pop("__metadata__", None)
        tensors: dict[str, Tensor] = {}
        room = len(content) - start
        for name, entry in header.items():
            tensors[name] = _tensor(content, start, **entry)
            room -= tensors[name].nbytes
            if room < 0:
                raise ValueError("its tensors overlap")
        return tensors
    except (
        AttributeError,
        KeyError,
        OverflowError,
        RecursionError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error


class Model(nn.Module):
    """The whole network: a batch of images in, logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.normalise = Normalise(mean=(0.4,), std=(0.3,))
        self.stem = Stem(1, 16)
        self.layer1 = ResidualBlock(16, 16, kernel_size=3)
        self.layer2 = ResidualBlock(16, 32, kernel_size=3, stride=2)
        self.layer3 = ResidualBlock(32, 64, kernel_size=3, stride=2)
        self.head = Head(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x0 = self.stem(self.normalise(images))
        x1 = self.layer1(x0)  # 16 x 28 x 28
        x2 = self.layer2(x1)  # 32 x 14 x 14
        x3 = self.layer3(x2)  # 64 x 7 x 7
        return self.head(x3)


def load(path: str | Path = WEIGHTS) -> Model:
    """The network with its trained weights, ready to classify."""
    model = Model()
    model.load_state_dict(read_safetensors(path))
    return model.eval()


def main() -> None:
    """Print what this network is."""
    print(__doc__)
    print(f"{len(CLASSES)} classes: {', '.join(CLASSES)}")
    print(f"Weights: {WEIGHTS}{'' if WEIGHTS.is_file() else ' (missing)'}")


if __name__ == "__main__":
    main()
