import sys
from pathlib import Path
from types import ModuleType

import pytest

from gcnas.errors import ExportError
from gcnas.export.definitions import Definitions, Import, file_of, import_lines


def collect(folder: Path, source: str, name: str = "root") -> Definitions:
    path = folder / "source.py"
    path.write_text(source, encoding="utf-8")
    definitions = Definitions()
    definitions.add(str(path), name)
    return definitions


def test_what_a_definition_refers_to_stands_before_it(tmp_path: Path) -> None:
    source = """
import math
from torch import nn

SIZE: int = 3
WIDE = [SIZE * part for part in range(3)]

@torch_like
def unused(): return nn

class Base(nn.Module):
    width = WIDE

class Root(Base):
    def area(self, math_free=len):
        SIZE_FREE = [helper(x) for x in range(3)]
        return SIZE_FREE

def helper(x):
    def inner():
        return math.sqrt(x)
    return inner
"""
    definitions = collect(tmp_path, source, "Root")
    assert list(definitions.texts) == ["SIZE", "WIDE", "Base", "helper", "Root"]
    assert definitions.texts["SIZE"] == "SIZE: int = 3"
    assert definitions.imports == {Import("math"), Import("torch", "nn")}


def test_decorators_and_aliases_are_copied(tmp_path: Path) -> None:
    source = """
import torch.nn.functional as F
from functools import cache as remember

@remember
def root():
    return F.relu
"""
    definitions = collect(tmp_path, source)
    assert definitions.texts["root"].startswith("@remember\ndef root")
    assert import_lines(definitions.imports) == [
        "from functools import cache as remember",
        "",
        "from torch.nn import functional as F",
    ]


@pytest.mark.parametrize(
    "imported", ["import torch.nn as nn", "from torch import nn as nn", "from torch import nn"]
)
def test_one_thing_has_one_name_however_it_is_imported(imported: str, tmp_path: Path) -> None:
    definitions = collect(tmp_path, f"{imported}\n\ndef root(): return nn.ReLU\n")
    definitions.add(file_of("gcnas.network.blocks"), "Normalise")
    assert import_lines(definitions.imports)[-1] == "from torch import Tensor, nn"


def test_lines_end_where_python_ends_them(tmp_path: Path) -> None:
    source = "TEXT = '\u2028'\n\x0c\ndef helper(): return 3\n\n\ndef root(): return helper()\n"
    definitions = collect(tmp_path, source)
    assert definitions.texts == {
        "helper": "def helper(): return 3",
        "root": "def root(): return helper()",
    }


def test_recursion_ends(tmp_path: Path) -> None:
    source = "def root(n): return other(n) if n else 0\n\ndef other(n): return root(n - 1)\n"
    assert list(collect(tmp_path, source).texts) == ["other", "root"]


def test_definitions_of_this_package_are_copied(tmp_path: Path) -> None:
    source = "from gcnas.network.blocks import dropout_module\n\ndef root(): return dropout_module(0.5)\n"
    definitions = collect(tmp_path, source)
    assert list(definitions.texts) == ["dropout_module", "root"]
    assert definitions.imports == {Import("torch", "nn")}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import numpy as np\n\ndef root(): return np.ones(1)", "'np' comes from 'numpy'"),
        ("def root():\n    import numpy\n", "imports 'numpy'"),
        ("from . import near\n\ndef root(): return near", "neither torch nor standard library"),
        ("from os import *\n\ndef root(): return getcwd()", "'getcwd' is not defined"),
        ("def other(): pass", "'root' is not defined"),
        (
            (
                "from gcnas.network.blocks import Stem as S, MergeAdd\n\nclass Head: pass\n\n"
                "def root(): return Head, MergeAdd, S"
            ),
            "'S' comes from",
        ),
    ],
)
def test_what_cannot_be_copied_is_named(tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        collect(tmp_path, source)


def test_two_things_of_one_name_are_an_error(tmp_path: Path) -> None:
    definitions = collect(tmp_path, "class Head: pass\n", "Head")
    with pytest.raises(ExportError, match="two different things are called 'Head'"):
        definitions.add(file_of("gcnas.network.blocks"), "Head")


def test_import_lines_are_sorted() -> None:
    imports = [
        Import("torch", "nn"),
        Import("torch"),
        Import("torch", "Tensor"),
        Import("math"),
        Import("collections.abc", "Sequence"),
        Import("json"),
    ]
    expected = ["import json", "import math", "from collections.abc import Sequence", "", "import torch"]
    assert import_lines(imports) == [*expected, "from torch import Tensor, nn"]
    assert "math" in sys.stdlib_module_names


def test_a_module_without_a_source_file_is_an_export_error(monkeypatch: pytest.MonkeyPatch) -> None:
    made = ModuleType("made")
    monkeypatch.setitem(sys.modules, "made", made)  # like __main__ of a script, it has no spec
    made.__spec__ = None
    for name in ("made", "made.part", "nowhere_at_all.part"):
        with pytest.raises(ExportError, match="has no source file"):
            file_of(name)
