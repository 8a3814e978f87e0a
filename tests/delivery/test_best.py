import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

import gcnas
from gcnas.data import load as load_data
from gcnas.delivery import best, heritage, load_best
from gcnas.delivery.packing import unpack
from gcnas.errors import ExportError, GCNASError, RunFolderError
from gcnas.files import MAX_JSON
from gcnas.records import Architecture, Cost, Limits
from gcnas.result import Result
from gcnas.run.folder import RunFolder
from gcnas.run.recommendation import recommend
from gcnas.space import InputShape, SearchSpace, Shape, Values
from gcnas.space.extension import Extension
from gcnas.space.presets import CNN, cnn

MOST_CONFUSED = best.MOST_CONFUSED


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
    with pytest.raises(GCNASError, match=rf"{re.escape(name)}|best is damaged: .*gcnas finalize"):
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


@pytest.mark.parametrize("most", [9, 10])
def test_a_confusion_matrix_of_many_classes_would_be_too_large_to_be_read(
    most: int, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "MOST_CONFUSED", most)
    gcnas.finalize(folder.path, seconds="10m", final_epochs=1, onnx=False, report=False)
    matrix = json.loads((folder.best / "metrics.json").read_text())["test_confusion"]
    assert (matrix is None) == (most < 10)
    assert 6 * (MOST_CONFUSED + 12) ** 2 < MAX_JSON


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


class Crashing(cnn.Conv2d):
    """A type of a user whose next version does not work any more."""

    name = "conv2d"

    def cost(self, shape: Shape, values: Values) -> Cost:
        raise KeyError("filters")


class Other(cnn.Conv2d):
    name = "conv2d"

    def build(self, shape: Shape, values: Values) -> nn.Module:
        raise RuntimeError("It has changed.")


@pytest.mark.parametrize(
    ("kind", "message"), [(Crashing, "KeyError: 'filters'"), (Other, "RuntimeError: It has changed")]
)
def test_a_network_that_cannot_be_built_any_more_is_an_error(
    folder: RunFolder, kind: type[cnn.Conv2d], message: str
) -> None:
    space = SearchSpace("cnn", (kind(),), max_depth=3, window=2)
    fitted = space.fit(InputShape(1, 8, 8, 10))
    layer = fitted.layer("conv2d", inputs=(0,))
    document = json.loads((folder.best / "architecture.json").read_text())
    document |= {"space_fingerprint": fitted.fingerprint, **Architecture((layer,)).to_json()}
    (folder.best / "architecture.json").write_text(json.dumps(document))
    with pytest.raises(RunFolderError, match=f"The network in .*best cannot be built: .*{message}"):
        load_best(folder, space)
    packed = {
        "image": document["image"],
        "space_fingerprint": fitted.fingerprint,
        "architecture": Architecture((layer,)).to_json(),
        "preprocessing": json.loads((folder.best / "preprocessing.json").read_text()),
        "classes": [],
        "weights": {},
    }
    with pytest.raises(RunFolderError, match=r"packed model cannot be built: .*It has changed"):
        unpack(packed, SearchSpace("cnn", (Other(),), max_depth=3, window=2))


def test_an_extension_with_odd_options_is_an_error(folder: RunFolder) -> None:
    document = json.loads((folder.best / "architecture.json").read_text())
    extension = {"max_depth": 9, "window": 3, "stem": {"filters": 16, "doubled_above": []}}
    extension["options"] = {"conv2d": {"filters": ["many"]}}
    space = Extension.from_json(extension).apply(CNN).fit(InputShape(**document["image"]))
    layer = space.layer("conv2d", inputs=(0,), filters="many")
    document |= {"extension": extension, "space_fingerprint": space.fingerprint}
    document |= Architecture((layer,)).to_json()
    (folder.best / "architecture.json").write_text(json.dumps(document))
    with pytest.raises(RunFolderError, match=r"The network in .*best cannot be built: TypeError"):
        load_best(folder, CNN)


def deliver_another(folder: RunFolder) -> None:
    """Replace the delivered network by one that names its classes otherwise and has zeros in its head."""

    def fill(fresh: Path) -> None:
        shutil.copytree(folder.best, fresh, dirs_exist_ok=True)
        weights = load_file(fresh / "weights.safetensors")
        weights["head.linear.bias"] = torch.zeros_like(weights["head.linear.bias"])
        (fresh / "weights.safetensors").write_bytes(save(weights))
        metrics = json.loads((fresh / "metrics.json").read_text())
        metrics["classes"] = [f"new {name}" for name in metrics["classes"]]
        (fresh / "metrics.json").write_text(json.dumps(metrics))

    folder.replace(folder.best, fill)


def test_a_network_that_is_replaced_while_it_is_read_is_read_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, calls = best.check_size, []

    def replaced(*args: Any) -> None:
        if not calls:
            deliver_another(folder)
        calls.append(args)
        check(*args)

    monkeypatch.setattr(best, "check_size", replaced)
    model = load_best(folder, CNN)
    assert len(calls) == 2
    assert model.class_names[0] == "new 0"
    assert not model.network.head.linear.bias.any()


def test_weights_to_take_over_that_are_replaced_meanwhile_are_read_again(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, calls = heritage.read_safetensors, []

    def replaced(path: Path) -> dict[str, torch.Tensor]:
        weights = read(path)
        if not calls:
            deliver_another(folder)
        calls.append(path)
        return weights

    monkeypatch.setattr(heritage, "read_safetensors", replaced)
    donor = heritage.read_donor(folder.path)
    assert donor.classes is not None
    assert donor.classes[0] == "new 0"
    assert not donor.weights["head.linear.bias"].any()


def test_a_network_that_is_replaced_again_and_again_is_an_error(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(best, "check_size", lambda *_: deliver_another(folder))
    with pytest.raises(RunFolderError, match="again and again"):
        load_best(folder, CNN)
