"""Layer types of users in `model.py`."""

import os
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import gcnas
from gcnas.errors import ExportError
from gcnas.export import export_program, load_weights, save_weights, write_model_source
from gcnas.network import build
from gcnas.records import Architecture
from gcnas.run.observer import Observer
from gcnas.space import InputShape, SearchSpace, load_space

from .conftest import trained
from .test_python_source import outputs_of_process

PREAMBLE = """
import torch
from torch import nn
from gcnas.records import Cost
from gcnas.space import LayerType, SearchSpace

class Own(LayerType):
    def output_shape(self, shape, values):
        return shape

    def cost(self, shape, values):
        return Cost()

"""


def layers(space: SearchSpace) -> Architecture:
    architecture = Architecture(
        (
            space.layer("ghost", after=0, filters=16),
            space.layer("scale", after=1, kernel_size=3),
            space.layer("ghost", (2, 0), merge="concat"),
            space.layer("conv2d", (3, 2), filters=12),
        )
    )
    space.encode(architecture)
    return architecture


def write(space: SearchSpace, architecture: Architecture) -> str:
    network = trained(space, architecture)
    classes = [str(number) for number in range(space.fitted.classes)]
    return write_model_source(network, space, architecture, classes=classes, preprocessing="none.")


def test_a_type_without_source_costs_model_py_only(tmp_path: Path) -> None:
    """The search goes on and delivers weights and ONNX file; what is left out, and why, is said once."""
    file = tmp_path / "mine.py"
    build_method = (
        "    def build(self, shape, values):\n        return self.activation()\n\n    activation = nn.ReLU\n"
    )
    file.write_text(PREAMBLE + build_method + '\nSPACE = SearchSpace("own", (Own(),), max_depth=3)\n')

    class Notes(Observer):
        said: ClassVar[list[str]] = []

        def note(self, message: str) -> None:
            self.said.append(message)

    options = {"epochs": 1, "final_epochs": 1, "threads": 1, "report": False}
    result = gcnas.search(
        "digits", out=tmp_path / "run", space=f"{file}:SPACE", budget=3, observer=Notes(), **options
    )
    best = result.run / "best"
    assert not (best / "model.py").exists()
    assert (best / "model.onnx").is_file()
    assert result.model.network is not None
    assert "build uses 'self'" in result.metrics["model_py_left_out"]
    assert [note.startswith("best/model.py is left out") for note in Notes.said].count(True) == 1
    with pytest.raises(ExportError, match="build uses 'self'"):
        gcnas.export_network(result.run, "python", out=tmp_path / "source", space=f"{file}:SPACE")
    assert not (tmp_path / "source").exists()


def test_all_exports_of_a_users_types(ghosts: SearchSpace, tmp_path: Path) -> None:
    architecture = layers(ghosts)
    network = trained(ghosts, architecture)
    source = write_model_source(network, ghosts, architecture, classes=["a", "b", "c"], preprocessing="none.")
    assert 'self.layer1 = build_ghost(Shape(16, 12, 12), {"filters": 16, "merge": "add"})' in source
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    save_weights(network, tmp_path / "weights.safetensors")
    export_program(network, (3, 12, 12), tmp_path / "model.pt2")
    again = build(ghosts, architecture, (0.0,) * 3, (1.0,) * 3)
    load_weights(again, tmp_path / "weights.safetensors")

    images = torch.rand(5, 3, 12, 12)
    with torch.no_grad():
        expected = network.eval()(images)
        torch.testing.assert_close(again.eval()(images), expected)
    torch.testing.assert_close(outputs_of_process(tmp_path, images), expected, atol=1e-5, rtol=0)


def space_of(folder: Path, build_source: str) -> SearchSpace:
    path = folder / "own_space.py"
    path.write_text(PREAMBLE + build_source + "\n\nSPACE = SearchSpace('own', (Own(),))\n", encoding="utf-8")
    return load_space(f"{path}:SPACE").fit(InputShape(channels=1, height=8, width=8, classes=2))


@pytest.mark.parametrize(
    "build_source",
    [
        "    def build(self, shape, values): return nn.ReLU()",
        "    def build(self, s, _, /):\n        '''Doc.'''\n        # Why.\n        return nn.ReLU()",
        (
            "    def build(\n        self, shape, values\n    ):\n        size = shape.strided(3, 2).numbers\n"
            "        return nn.Hardtanh(0.0, float(size))"
        ),
        (
            "    def build(self, shape, values):\n        return Wrapped(shape)\n\n\n"
            "class Wrapped(nn.Module):\n    def __init__(self, shape):\n        super().__init__()\n\n"
            "    def forward(self, x):\n        return torch.tanh(x)"
        ),
        (
            "    def build(self, shape, values):\n        class Wrapped(nn.Module):\n"
            "            def __init__(self):\n                super().__init__()\n\n"
            "            def forward(self, x):\n                return torch.tanh(x)\n\n        return Wrapped()"
        ),
        (
            "    def build(self, shape, values):\n        @torch.no_grad()\n        def fill(module):\n"
            "            return module\n\n        return fill(nn.ReLU())"
        ),
    ],
)
def test_forms_of_build_that_can_be_written(build_source: str, tmp_path: Path) -> None:
    space = space_of(tmp_path, build_source)
    source = write(space, Architecture((space.layer("own"),)))
    assert "build_own(Shape(16, 8, 8), {})" in source
    assert ("@torch.no_grad()" in source) is ("no_grad" in build_source)


def test_a_file_that_was_edited_meanwhile_is_read_as_it_is_now(tmp_path: Path) -> None:
    for lines in (0, 3):
        build_source = "\n" * lines + f"    def build(self, shape, values): return nn.LeakyReLU(0.{lines + 1})"
        space = space_of(tmp_path, build_source)
        path = tmp_path / "own_space.py"
        os.utime(path, (lines, lines))  # two edits within a second are told by nothing else
        assert f"nn.LeakyReLU(0.{lines + 1})" in write(space, Architecture((space.layer("own"),)))


@pytest.mark.parametrize(
    ("build_source", "message"),
    [
        (
            "    slope = 0.1\n\n    def build(self, shape, values):\n        return nn.LeakyReLU(self.slope)",
            "build uses 'self'",
        ),
        (
            (
                "    slope = 0.1\n\n    def build(self, shape, values):\n        def made(slope=None):\n"
                "            return nn.LeakyReLU(self.slope)\n\n        return made()"
            ),
            "build uses 'self'",
        ),
        (
            "    def build(self, shape, values):\n        import numpy\n        return nn.LeakyReLU(numpy.pi)",
            "imports 'numpy'",
        ),
        (
            (
                "    def build(self, shape, values):\n        return nn.LeakyReLU(next(SLOPES))\n\n"
                "SLOPES = iter([0.1, 0.2, 0.3, 0.4, 0.5])\nnext(SLOPES)"
            ),
            "gives other outputs",
        ),
        (
            (
                "    def build(self, shape, values):\n        return nn.LeakyReLU(SLOPES.pop())\n\n"
                "SLOPES = []\nSLOPES.append(0.1)"
            ),
            "fails with IndexError",
        ),
        ("    build = lambda self, shape, values: nn.ReLU()", "there is no method in line"),
        (
            "    @torch.no_grad()\n    def build(self, shape, values):\n        return nn.ReLU()",
            "must be a plain method",
        ),
        (
            "    def build(self, shape, values):\n        return Model()\n\nclass Model(nn.ReLU): pass",
            "'Model' is one of model.py's own",
        ),
    ],
)
def test_what_cannot_be_written_is_named(build_source: str, message: str, tmp_path: Path) -> None:
    space = space_of(tmp_path, build_source)
    with pytest.raises(ExportError, match=message) as caught:
        write(space, Architecture((space.layer("own"),)))
    assert "'own'" in str(caught.value) or "'Model'" in str(caught.value)
