from pathlib import Path

import pytest
import torch
from torch import nn

from gcnas.training.checkpoint import load_checkpoint, save_checkpoint


def network(width: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "1.safetensors"


def test_round_trip(path: Path) -> None:
    stored, other = network(), network(seed=1)
    assert save_checkpoint(stored, 2.25, path)
    assert not same(stored, other)
    assert load_checkpoint(other, path, before=9) == 2.25
    assert same(stored, other)


def test_what_cannot_be_used_leaves_the_network_as_it_was(path: Path) -> None:
    fresh, untouched = network(seed=1), network(seed=1)
    assert load_checkpoint(fresh, path, before=9) == 0.0  # missing
    save_checkpoint(network(width=4), 2.0, path)
    assert load_checkpoint(fresh, path, before=9) == 0.0  # another network
    for epochs in (0.0, 9.0, float("nan"), -1.0):
        save_checkpoint(network(), epochs, path)
        assert load_checkpoint(fresh, path, before=9) == 0.0
    save_checkpoint(network(), 2.0, path)
    path.write_bytes(path.read_bytes()[:-4])
    assert load_checkpoint(fresh, path, before=9) == 0.0  # cut short
    with path.open("wb") as file:
        file.truncate(20_000_000)
    assert load_checkpoint(fresh, path, before=9) == 0.0  # too large
    assert same(fresh, untouched)


def test_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert not save_checkpoint(network(), 1.0, tmp_path / "file" / "1.safetensors")
