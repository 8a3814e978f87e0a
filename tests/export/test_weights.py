from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gcnas.errors import ExportError
from gcnas.export import check_size, load_weights, save_weights
from gcnas.network import Network, build
from gcnas.records import Architecture
from gcnas.space import SearchSpace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.safetensors"


def test_round_trip(network: Network, space: SearchSpace, architecture: Architecture, path: Path) -> None:
    save_weights(network, path)
    other = build(space, architecture, (0.0,), (1.0,))
    load_weights(other, path)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(other.eval()(images), network.eval()(images))
    assert load_file(path).keys() == network.state_dict().keys()


def test_equal_states_give_equal_bytes(network: Network, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "a")
    save_weights(network, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"weight": torch.ones(2, 3)}, "bias is missing"),
        ({"weight": torch.ones(2, 3), "bias": torch.ones(2), "gain": torch.ones(1)}, "gain is unknown"),
        ({"weight": torch.ones(3, 2), "bias": torch.ones(2)}, r"weight is .*\(3, 2\).* instead of .*\(2, 3\)"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2).double()},
            "bias is .*float64.* instead of .*float32",
        ),
    ],
)
def test_weights_of_another_module_change_nothing(
    state: dict[str, torch.Tensor], message: str, path: Path
) -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    save_file(state, path)
    with pytest.raises(ExportError, match=message):
        load_weights(module, path)
    assert torch.equal(module.weight, before)


def test_a_network_far_larger_than_its_file_is_not_made(path: Path) -> None:
    save_weights(nn.Linear(3, 2), path)
    check_size(path, 8)
    with pytest.raises(ExportError, match="1,000,000,000 parameters of 4 bytes"):
        check_size(path, 10**9)
    with pytest.raises(ExportError, match="cannot be read"):
        check_size(path.with_name("missing"), 8)


def test_missing_damaged_and_huge_files_are_export_errors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Linear(3, 2)
    with pytest.raises(ExportError, match="cannot be read"):
        load_weights(module, path)
    save_weights(module, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ExportError, match=r"cannot be read.*does not fit"):
        load_weights(module, path)
    monkeypatch.setattr("gcnas.export.weights.HEADER_BYTES", 10)
    with pytest.raises(ExportError, match="needs at most 42"):
        load_weights(module, path)
