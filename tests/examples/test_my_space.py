import json
import subprocess
import sys
from pathlib import Path

from gcnas.space import InputShape, load_space
from gcnas.testing.space import SpaceTestCase

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_space.py"


class TestMySpace(SpaceTestCase):
    space = load_space(f"{EXAMPLE}:SPACE").fit(InputShape(channels=1, height=8, width=8, classes=10))
    architectures = 60


def test_the_own_type_is_drawn() -> None:
    types = {layer.type for proposal in TestMySpace._proposals() for layer in proposal.architecture.layers}
    assert types == {"two_scales", "conv2d", "residual_block", "max_pool"}


def test_search_with_the_space(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gcnas", "search", "digits", "--space", "my_space.py:SPACE"]
    command += [
        "--budget",
        "2",
        "--epochs",
        "1",
        "--final-epochs",
        "1",
        "--max-params",
        "20k",
        "--threads",
        "1",
        "--no-onnx",
        "--no-report",
    ]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")],
        cwd=EXAMPLE.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "run" / "best" / "metrics.json").read_text(encoding="utf-8"))
    assert 0 < metrics["parameters"] <= 20_000
    layers = json.loads((tmp_path / "run" / "best" / "architecture.json").read_text(encoding="utf-8"))["layers"]
    assert {layer["type"] for layer in layers} <= {"two_scales", "conv2d", "residual_block", "max_pool"}
