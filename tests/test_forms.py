import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.test_api import SMALL, _arrays

import gcnas
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.export.onnx_session import OnnxClassifier


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on arrays, which its folder does not hold."""
    run = tmp_path_factory.mktemp("runs") / "sides"
    gcnas.search(_arrays(), out=run, budget=1, **SMALL)
    return run


@pytest.mark.slow
def test_forms_get_the_name_of_the_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"onnx": "sides.onnx", "torch": "sides.pt2", "python": "sides", "zip": "sides.zip"}
    for form, name in names.items():
        exported = gcnas.export_network(run, form)
        assert (str(exported.path), exported.drop) == (name, None)
        assert exported.path.exists()
    assert gcnas.export_network(run, "onnx", "other.onnx").path.is_file()
    with pytest.raises(ConfigurationError, match="one of onnx, int8, torch, python, zip, but got 'tflite'"):
        gcnas.export_network(run, "tflite")  # type: ignore[arg-type]


def test_no_network_yet(run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(other / "best")
    for form in ("python", "zip"):
        with pytest.raises(RunFolderError, match="no best network yet"):
            gcnas.export_network(other, form, tmp_path / "net")
    with pytest.raises(RunFolderError, match="phi-3 yet; make it with 'gcnas scale"):
        gcnas.export_network(run, "zip", tmp_path / "net", phi=3)


def test_source_needs_no_space(run: Path, tmp_path: Path) -> None:
    """It is in the run folder as it is; the other forms build the network, for which code of the user's is needed."""
    other = Path(shutil.copytree(run, tmp_path / "run"))
    config = (other / "config.yaml").read_text()
    assert "space: cnn\n" in config
    (other / "config.yaml").write_text(config.replace("space: cnn\n", "space: gone.py:SPACE\n"))
    exported = gcnas.export_network(other, "python", tmp_path / "net")
    assert (exported.path / "model.py").is_file()
    with pytest.raises(ConfigurationError, match="is code"):
        gcnas.export_network(other, "zip", tmp_path / "net.zip")


@pytest.mark.slow
def test_a_grown_network_in_all_forms(run: Path, tmp_path: Path) -> None:
    grown = Path(shutil.copytree(run, tmp_path / "grown"))
    gcnas.scale(grown, 1, alpha=1.0, beta=1.1, gamma=1.3, epochs=1, data=_arrays())
    model = gcnas.load(grown).scaled(1)
    assert model.image_shape == (1, 14, 14)
    gcnas.export_network(grown, "python", tmp_path / "source", phi=1)
    assert (tmp_path / "source" / "model.py").read_text() == (grown / "scaled/phi-1/model.py").read_text()
    exported = gcnas.export_network(grown, "int8", tmp_path / "small.onnx", phi=1, data=_arrays(), force=True)
    pixels = np.zeros((2, 14, 14, 1), np.uint8)
    assert OnnxClassifier(exported.path.read_bytes(), 1)(pixels).shape == (2, 2)
    rows = gcnas.benchmark(grown, phi=1, data=_arrays(), repetitions=5)
    assert rows[3].accuracy == exported.accuracy
    image = tmp_path / "image.png"
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(image)
    here, there = gcnas.load(grown).predict([image])[0], gcnas.load(grown).predict([image], phi=1)[0]
    assert here.probability != there.probability


@pytest.mark.slow
def test_what_needs_the_data_asks_for_the_same_ones(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    with pytest.raises(ConfigurationError, match="arrays; give them again"):
        gcnas.export_network(run, "int8", path)
    with pytest.raises(RunFolderError, match="has changed since"):
        gcnas.benchmark(run, data=_arrays(seed=1))
    exported = gcnas.export_network(run, "int8", path, data=_arrays(), force=True)
    assert exported.images == 16
    assert OnnxClassifier(path.read_bytes(), 1)(np.zeros((2, 10, 10, 1), np.uint8)).shape == (2, 2)
    rows = gcnas.benchmark(run, data=_arrays(), repetitions=5)
    assert rows[3].accuracy == exported.accuracy
