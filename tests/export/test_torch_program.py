from pathlib import Path

import pytest
import torch
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
    with pytest.raises(ExportError, match=r"cannot be traced by torch\.export"):
        export_program(Branching(), (1, 4, 4), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())
