from pathlib import Path

import pytest
import torch
from tests.export.test_onnx_model import Keeping
from torch import Tensor, nn

from gcnas.errors import ExportError
from gcnas.export import export_program
from gcnas.network import Network


def test_program_gives_the_networks_outputs_for_any_batch(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    network.train()
    export_program(network, (1, 28, 28), path)
    assert network.training
    program = torch.export.load(path).module()
    network.eval()
    for batch in (1, 2, 7):
        images = torch.rand(batch, 1, 28, 28)
        torch.testing.assert_close(program(images), network(images), atol=1e-5, rtol=0)


def test_equal_networks_give_equal_bytes_that_name_no_file(network: Network, tmp_path: Path) -> None:
    for name in ("a", "b"):
        export_program(network, (1, 28, 28), tmp_path / name)
    content = (tmp_path / "a").read_bytes()
    assert content == (tmp_path / "b").read_bytes()
    assert str(Path(__file__).parent.parent.parent).encode() not in content


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images if images.sum() > 0 else -images


def test_what_cannot_be_traced_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"torch\.export program: ") as caught:
        export_program(Branching(), (1, 4, 4), tmp_path / "model.pt2")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_copied_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"torch\.export program: RuntimeError"):
        export_program(Keeping(), (1, 4, 4), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


class Large(nn.Module):
    """Adds numbers of which much is lost to rounding, in an order that depends on the number of images."""

    def __init__(self, off: float) -> None:
        super().__init__()
        self.off = off

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * 1e4 + (0 if torch.compiler.is_exporting() else self.off)


def test_rounding_is_a_share_of_large_outputs(tmp_path: Path) -> None:
    export_program(Large(0.01), (1, 4, 4), tmp_path / "model.pt2")
    with pytest.raises(ExportError, match="differ from the network's"):
        export_program(Large(1.0), (1, 4, 4), tmp_path / "model.pt2")
