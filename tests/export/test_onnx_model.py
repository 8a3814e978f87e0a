import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.export.conftest import trained
from tests.export.test_own_types import layers
from torch import Tensor, nn

from gcnas.errors import ExportError
from gcnas.export import onnx_bytes
from gcnas.export.onnx_model import check_onnx
from gcnas.export.onnx_session import OnnxClassifier
from gcnas.export.pixels_in import PixelClassifier, made_images
from gcnas.network import Network
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN

LABELS = [f"class “{index}”" for index in range(10)]


def write(network: nn.Module, shape: tuple[int, int, int] = (1, 28, 28), **options: Any) -> bytes:
    return onnx_bytes(network, shape, labels=LABELS, preprocessing={"channels": shape[0]}, **options)


def test_outputs_are_the_networks_for_any_batch(network: Network, capfd: pytest.CaptureFixture[str]) -> None:
    network.train()
    content = write(network)
    assert capfd.readouterr() == ("", "")  # the exporter has much to say
    run = OnnxClassifier(content, threads=1)
    assert network.training
    network.eval()
    images = made_images((1, 28, 28), 7)
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2) / 255).softmax(1).numpy()
    for batch in (1, 2, 7):
        np.testing.assert_allclose(run(images[:batch]), expected[:batch], atol=1e-5)


@pytest.mark.slow
def test_file_says_what_it_is_and_names_no_file_of_this_machine(network: Network) -> None:
    content = write(network)
    assert content == write(network)
    metadata = OnnxClassifier(content, threads=1).metadata
    assert json.loads(metadata["labels"]) == LABELS
    assert json.loads(metadata["preprocessing"]) == {"channels": 1}
    assert str(Path(__file__).parent.parent.parent).encode() not in content
    assert b"gcnas" not in content


class Talking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 10)

    def forward(self, images: Tensor) -> Tensor:
        warnings.warn("a warning of our own", UserWarning, stacklevel=1)
        logits: Tensor = self.linear(images.mean((2, 3)))
        return logits


def test_own_warnings_are_heard() -> None:
    with pytest.warns(UserWarning, match="of our own"):
        write(Talking(), (1, 4, 4))


def test_every_kind_of_layer_has_an_onnx_form() -> None:
    space = CNN.fit(InputShape(channels=3, height=19, width=26, classes=10))
    names = [layer_type.name for layer_type in space.layer_types]
    options = {"conv2d": {"dilation": 2, "dropout": 0.1}, "inverted_bottleneck": {"squeeze_excite": 0.25}}
    chain = [space.layer(name, after=index, **options.get(name, {})) for index, name in enumerate(names)]
    count = len(chain)
    joined = space.layer("conv2d", (count, count - 1), merge="concat", activation="hard_swish")
    added = space.layer("separable_conv2d", (count + 1, count - 1), merge="add", stride=2)
    architecture = Architecture((*chain, joined, added))
    write(trained(space, architecture), (3, 19, 26))


def test_own_layer_types_are_exported(ghosts: SearchSpace) -> None:
    content = onnx_bytes(trained(ghosts, layers(ghosts)), (3, 12, 12), labels="abc", preprocessing={})
    assert OnnxClassifier(content, threads=1)(made_images((3, 12, 12), 2)).shape == (2, 3)


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else -images.mean((2, 3))


def test_what_cannot_be_traced_is_an_export_error() -> None:
    with pytest.raises(ExportError, match=r"has no ONNX form"):
        write(Branching(), (1, 4, 4))


class Keeping(nn.Module):
    """Keeps what it computed, which PyTorch does not copy."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.last = self.scale * 2

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) * self.scale


def test_what_cannot_be_copied_is_an_export_error() -> None:
    with pytest.raises(ExportError, match="has no ONNX form: RuntimeError"):
        write(Keeping(), (1, 4, 4))


class Constant(nn.Module):
    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: Tensor) -> Tensor:
        return self.logits + 0 * images.mean((1, 2, 3))[:, None]


def test_other_outputs_are_noticed() -> None:
    content = write(Constant([0.0, 1e-4]), (1, 4, 4))
    images = made_images((1, 4, 4), 64)
    check_onnx(content, PixelClassifier(Constant([0.0, 1e-4])), images)
    with pytest.raises(ExportError, match="differ from the network's"):
        check_onnx(content, PixelClassifier(Constant([0.0, 1e-2])), images)
    with pytest.raises(ExportError, match="another class than the network on 64 of 64"):
        check_onnx(content, PixelClassifier(Constant([1e-4, 0.0])), images)
    with pytest.raises(ExportError, match="does not run the ONNX file"):
        check_onnx(b"no model", PixelClassifier(Constant([0.0, 1.0])), images)


class Brightest(nn.Module):
    """The larger logit where the first pixel is bright may be another one."""

    def __init__(self, bright: float) -> None:
        super().__init__()
        self.bright = bright

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([0 * images[:, 0, 0, 0], self.bright * images[:, 0, 0, 0]], 1)


def test_images_of_all_classes_are_compared() -> None:
    """Sorted by class, as folders are read: the first hundreds are of one class."""
    content = write(Brightest(1.0), (1, 4, 4))
    images = np.zeros((1000, 4, 4, 1), np.uint8)
    check_onnx(content, PixelClassifier(Brightest(2.0)), images)
    images[800:] = 255
    with pytest.raises(ExportError, match=r"differ from the network's by .* on 64 images"):
        check_onnx(content, PixelClassifier(Brightest(2.0)), images)


def test_missing_packages_are_named(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportError, match=r"needs onnxscript.*pip install 'gcnas\[onnx\]'"):
        write(network)
