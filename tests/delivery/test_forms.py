import shutil
from pathlib import Path

import pytest
import torch

from gcnas.delivery import export_python, export_torch
from gcnas.errors import ExportError, RunFolderError
from gcnas.result import Result


def test_program_gives_the_network_s_outputs(result: Result, tmp_path: Path) -> None:
    path = export_torch(result.model, tmp_path / "net.pt2")
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        expected = result.model.network(images)
    assert torch.allclose(torch.export.load(path).module()(images), expected, atol=1e-5)


def test_program_needs_a_place(result: Result, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot be written"):
        export_torch(result.model, tmp_path / "none" / "net.pt2")


def test_source_folder_can_be_written_again(result: Result, tmp_path: Path) -> None:
    for _ in range(2):
        export_python(result.run, tmp_path / "net")
    assert (tmp_path / "net" / "model.py").read_text() == (result.run / "best" / "model.py").read_text()


def test_foreign_files_are_left_alone(result: Result, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ExportError, match="already holds other files"):
        export_python(result.run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_no_network_yet(result: Result, tmp_path: Path) -> None:
    run = Path(shutil.copytree(result.run, tmp_path / "run"))
    shutil.rmtree(run / "best")
    with pytest.raises(RunFolderError, match="no best network yet"):
        export_python(run, tmp_path / "net")
