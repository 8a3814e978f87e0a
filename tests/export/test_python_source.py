import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gcnas.errors import ExportError
from gcnas.export import save_weights, source_check, write_model_source
from gcnas.export.source_check import TOLERANCE, relative_difference
from gcnas.network import Network
from gcnas.records import Architecture
from gcnas.space import InputShape, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy import RandomStrategy

from .conftest import trained

GOLDEN = Path(__file__).parent / "golden" / "resnet8_model.py"
DIGITS = [f"digit {number}" for number in range(10)]

# Runs in a process that knows no more than torch, numpy and the exported folder.
RUN = """
import importlib.util, sys
import numpy as np, torch
spec = importlib.util.spec_from_file_location("model", sys.argv[1] + "/model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
network = model.load()
assert not network.training
images = torch.from_numpy(np.load(sys.argv[1] + "/images.npy"))
with torch.no_grad():
    np.save(sys.argv[1] + "/logits.npy", network(images).numpy())
strangers = {"gcnas", "safetensors", "pydantic"} & sys.modules.keys()
assert not strangers, strangers
"""


def write(network: Network, space: SearchSpace, architecture: Architecture) -> str:
    classes = DIGITS[: space.fitted.classes]
    return write_model_source(network, space, architecture, classes=classes, preprocessing="none is needed.")


def outputs_of_process(folder: Path, images: torch.Tensor) -> torch.Tensor:
    np.save(folder / "images.npy", images.numpy())
    command = [sys.executable, "-I", "-W", "error", "-c", RUN, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return torch.from_numpy(np.load(folder / "logits.npy"))


def test_golden_file(network: Network, space: SearchSpace, architecture: Architecture) -> None:
    """After a wanted change: GCNAS_REGENERATE=1 python -m pytest tests/export -k golden, and read the diff."""
    source = write(network, space, architecture)
    if os.environ.get("GCNAS_REGENERATE"):
        GOLDEN.write_text(source, encoding="utf-8")
    assert source == GOLDEN.read_text(encoding="utf-8")


def test_model_alone_reproduces_the_outputs(
    network: Network, space: SearchSpace, architecture: Architecture, tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(write(network, space, architecture), encoding="utf-8")
    save_weights(network, tmp_path / "weights.safetensors")
    images = torch.rand(5, 1, 28, 28)
    with torch.no_grad():
        expected = network.eval()(images)
    torch.testing.assert_close(outputs_of_process(tmp_path, images), expected, atol=1e-5, rtol=0)


def test_model_describes_itself(
    network: Network, space: SearchSpace, architecture: Architecture, tmp_path: Path
) -> None:
    path = tmp_path / "model.py"
    path.write_text(write(network, space, architecture), encoding="utf-8")
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    cost = space.cost(architecture)
    assert f"{cost.parameters:,} parameters, {cost.multiply_adds:,} multiply-adds" in done.stdout
    assert "digit 9" in done.stdout
    assert "(missing)" in done.stdout


@pytest.mark.parametrize("seed", range(3))
def test_random_architectures_can_be_written(seed: int) -> None:
    space = CNN.fit(InputShape(channels=3, height=16, width=16, classes=4))
    for proposal in RandomStrategy(space, seed).ask(5):
        network = trained(space, proposal.architecture)
        source = write(network, space, proposal.architecture)
        assert max(map(len, source.splitlines())) <= 112


def test_writing_changes_nothing(network: Network, space: SearchSpace, architecture: Architecture) -> None:
    random, before = torch.get_rng_state(), {k: v.clone() for k, v in network.state_dict().items()}
    assert network.training
    assert write(network, space, architecture) == write(network, space, architecture)
    assert network.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_only_the_blocks_used_are_copied(
    network: Network, space: SearchSpace, architecture: Architecture
) -> None:
    source = write(network, space, architecture)
    assert "class ResidualBlock" in source
    assert "class InvertedBottleneck" not in source
    assert "gcnas" not in source


@pytest.mark.parametrize(
    "name",
    [
        '"""',
        "\\",
        "\\N{BELL}",
        "'",
        "{}",
        "한국어",
        "a\nb",
        "\x00",
        "\udc80",
        "\u2028",
        "x" * 200,
        "👩\u200d🔬",
    ],
)
def test_names_of_classes_are_data(
    name: str, network: Network, space: SearchSpace, architecture: Architecture
) -> None:
    classes = [name, *DIGITS[1:]]
    source = write_model_source(network, space, architecture, classes=classes, preprocessing=f"none {name}")
    namespace = {"__name__": "model", "__file__": "model.py"}
    exec(compile(source.encode(), "model.py", "exec"), namespace)  # noqa: S102
    assert namespace["CLASSES"] == classes


def test_number_of_names_must_fit(network: Network, space: SearchSpace, architecture: Architecture) -> None:
    with pytest.raises(ExportError, match="Each of the 10 classes needs a name, but 3"):
        write_model_source(network, space, architecture, classes=DIGITS[:3], preprocessing="")


def test_a_copy_that_gives_other_outputs_is_noticed(
    network: Network, space: SearchSpace, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.layer1.activation = torch.nn.Tanh()
    with pytest.raises(ExportError, match=r"outputs of the written model\.py differ"):
        write(network, space, architecture)


def test_large_outputs_may_differ_by_more(
    network: Network, space: SearchSpace, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding is a share of a number: 1e-4 of 1000 is nothing, and 1e-4 of 1 is much."""
    assert relative_difference(torch.tensor([1000.0, 0.001]), torch.tensor([1000.0, 0.0])) < TOLERANCE
    assert relative_difference(torch.tensor([1.0, 0.001]), torch.tensor([1.0, 0.0])) > TOLERANCE
    assert not relative_difference(torch.tensor([torch.nan]), torch.tensor([1.0])) <= TOLERANCE
    with torch.no_grad():
        network.head.linear.weight.mul_(1e6)
    write(network, space, architecture)


def test_images_of_the_check_are_always_the_same(
    network: Network, space: SearchSpace, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    difference = source_check._difference

    def spy(module: torch.nn.Module, expected: torch.nn.Module, images: torch.Tensor) -> float:
        seen.append(images)
        return difference(module, expected, images)

    monkeypatch.setattr(source_check, "_difference", spy)
    for seed in (1, 2):
        torch.manual_seed(seed)
        write(network, space, architecture)
    assert torch.equal(*seen)


@pytest.mark.parametrize("part", ["__deepcopy__", "load_state_dict"])
def test_whatever_a_module_raises_is_an_export_error(
    part: str, network: Network, space: SearchSpace, architecture: Architecture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of a user's type may, for example, keep what it computed, which PyTorch does not copy."""

    def fail(*_: object) -> None:
        raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")

    monkeypatch.setattr(torch.nn.Module, part, fail, raising=False)
    with pytest.raises(ExportError, match=r"cannot be written as Python source: RuntimeError: Only Tensors"):
        write(network, space, architecture)
