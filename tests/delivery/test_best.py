import json
import shutil
from pathlib import Path

import pytest
import torch

from gcnas.data import load as load_data
from gcnas.delivery import load_best
from gcnas.errors import ExportError, GCNASError, RunFolderError
from gcnas.records import Limits
from gcnas.result import Result
from gcnas.run.folder import RunFolder
from gcnas.run.recommendation import recommend
from gcnas.space import SearchSpace
from gcnas.space.presets import CNN


@pytest.fixture
def folder(result: Result, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(result.run, tmp_path / "copy")))


def test_metrics_are_those_of_the_delivered_network(result: Result) -> None:
    metrics = result.metrics
    delivered = next(trial for trial in result.trials if trial.number == metrics["trial"])
    assert metrics["state"] == "final"
    images = len(load_data("digits").validation_index)
    assert delivered == recommend(result.trials, Limits(parameters=60_000), images)
    assert metrics["validation_accuracy"] == delivered.score
    assert metrics["parameters"] == delivered.cost.parameters <= 60_000
    assert metrics["multiply_adds"] == delivered.cost.multiply_adds
    confusion = torch.tensor(metrics["test_confusion"])
    assert confusion.sum() == metrics["test_images"]
    assert confusion.trace() / confusion.sum() == pytest.approx(metrics["test_accuracy"])
    assert metrics["epochs"] == 2
    json.dumps(metrics, allow_nan=False)


def test_loaded_network_counts_as_the_cost_model_says(result: Result) -> None:
    parameters = sum(parameter.numel() for parameter in result.model.network.parameters())
    assert parameters == result.metrics["parameters"]


def test_missing_best_is_explained(folder: RunFolder) -> None:
    shutil.rmtree(folder.best)
    with pytest.raises(RunFolderError, match="no best network yet"):
        load_best(folder, CNN)


def test_another_space_is_refused(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="another space"):
        load_best(folder, SearchSpace("other", CNN.layer_types, window=2))


@pytest.mark.parametrize(
    "name", ["architecture.json", "metrics.json", "preprocessing.json", "weights.safetensors"]
)
@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1, 2]", b"\xff\xfe", b"[" * 100_000, b'{"layers": 3, "image": 1}']
)
def test_damaged_files_give_typed_errors(folder: RunFolder, name: str, content: bytes) -> None:
    (folder.best / name).write_bytes(content)
    with pytest.raises(GCNASError):
        load_best(folder, CNN)


def test_weights_of_another_network_are_refused(folder: RunFolder) -> None:
    document = json.loads((folder.best / "architecture.json").read_text())
    document["layers"] = document["layers"][:1]
    (folder.best / "architecture.json").write_text(json.dumps(document))
    with pytest.raises(ExportError, match="must be those of the network"):
        load_best(folder, CNN)


def test_huge_json_is_not_read(folder: RunFolder) -> None:
    with (folder.best / "architecture.json").open("ab") as file:
        file.truncate(20_000_000)
    with pytest.raises(RunFolderError, match="larger than"):
        load_best(folder, CNN)


@pytest.mark.parametrize("classes", [["a"], [str(number) for number in range(11)], "0123456789", 10])
def test_names_of_other_classes_are_refused(folder: RunFolder, classes: object) -> None:
    path = folder.best / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"classes": classes}))
    with pytest.raises(RunFolderError, match=r"10 classes, and metrics\.json does not name as many"):
        load_best(folder, CNN)


def test_preprocessing_for_other_images_is_refused(folder: RunFolder) -> None:
    path = folder.best / "preprocessing.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"resolution": [8, 24]}))
    with pytest.raises(RunFolderError, match="images of another size"):
        load_best(folder, CNN)


def test_a_number_of_thousands_of_digits_is_damage(folder: RunFolder) -> None:
    (folder.best / "metrics.json").write_text('{"classes": ' + "1" * 5_000 + "}")
    with pytest.raises(RunFolderError, match="cannot be read"):
        load_best(folder, CNN)
