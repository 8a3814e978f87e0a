import re
import threading
from dataclasses import replace
from math import prod
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from tests.delivery.test_final import Notes
from tests.delivery.test_latency import made
from torch import nn

import gcnas
from gcnas.data import Preprocessing
from gcnas.delivery import distilling, final
from gcnas.delivery.teachers import find_teacher
from gcnas.errors import ConfigurationError, ExportError
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.space.scaling import Coefficients
from gcnas.training import ImageBatches, Recipe

Own = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, result: Result) -> Path:
    """A copy of the finished run, to be finalised again."""
    import shutil

    return Path(shutil.copytree(result.run, tmp_path / "run"))


def finalized(run: Path, observer: Observer | None = None, **options: Any) -> Own:
    found = gcnas.finalize(run, final_epochs=2, observer=observer, **{"onnx": False, "report": False} | options)
    return dict(found.metrics)


@pytest.mark.slow
def test_an_ensemble_of_the_runs_best_teaches_and_the_settings_are_chosen(run: Path) -> None:
    notes = Notes()
    metrics = finalized(run, notes, distill="ensemble", report=True)
    facts = metrics["distillation"]
    assert facts["teacher"].startswith("ensemble of trials ")
    assert len(facts["settings"]) == 4
    best = max(score for *_, score in facts["settings"])
    assert [facts["temperature"], facts["weight"], best] in facts["settings"]
    assert any("Teacher: ensemble" in note for note in notes.notes)
    page = (run / "report.html").read_text()
    assert "Teacher" in page
    assert "ensemble of trials" in page


def test_teachers_are_chosen_by_accuracy_whatever_the_search_maximised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}
    run = gcnas.search("digits", out=tmp_path / "run", budget=2, soft="macs=1k:-0.5", **options).run
    given: list[Any] = []

    def find(_teacher: Any, _context: Any, _trial: Any, trials: Any) -> Any:
        given.extend(trials)
        raise ConfigurationError("seen")

    monkeypatch.setattr(final, "find_teacher", find)
    with pytest.raises(ConfigurationError, match="seen"):
        gcnas.finalize(run, distill="ensemble")
    assert len(given) == 2
    rewards = [trial.score for trial in gcnas.load(run).trials]
    for trial, reward in zip(given, rewards, strict=True):
        assert trial.score == trial.evaluation.metrics["accuracy"] > 2 * reward


class Locked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (Locked(), "The teacher Locked cannot be copied"),
        (lambda images: images.numpy().reshape(len(images), -1)[:, :10], "AttributeError"),
    ],
)
def test_teachers_that_cannot_be_used_are_told_at_once(result: Result, teacher: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        gcnas.finalize(result.run, distill=teacher, onnx=False, report=False)


def test_the_three_best_teach_together() -> None:
    trials = [made(number, score, 0.1) for number, score in enumerate([0.2, 0.9, 0.5, 0.7, 0.1], start=1)]
    context: Any = SimpleNamespace(space=None)
    assert find_teacher("ensemble", context, trials[0], trials).name == "ensemble of trials 2, 4, 3"


@pytest.mark.parametrize(
    ("teacher", "temperature", "weight", "share"),
    [
        ("larger", None, None, 0.4),
        ("ensemble", 2.0, None, 0.4),
        ("trial=3", 2.0, 0.5, 0.55),
        ("phi=1", None, 0.5, 0.85),
        (nn.Identity(), 2.0, 0.5, 1.0),
    ],
)
def test_what_the_network_that_learns_has_of_the_time(
    teacher: Any, temperature: float | None, weight: float | None, share: float
) -> None:
    assert distilling.Lesson(teacher, temperature, weight).own_share == pytest.approx(share)


def test_the_network_itself_grown_teaches(run: Path) -> None:
    notes = Notes()
    settings = {"temperature": np.int64(2), "distill_weight": np.float32(0.5)}
    metrics = finalized(run, notes, distill="larger", **settings)
    number, own = metrics["trial"], metrics["multiply_adds"] / 1e6
    teacher = metrics["distillation"]["teacher"]
    found = re.fullmatch(rf"trial {number} grown from {own:.2f} to ([0-9.]+) M multiply-adds", teacher)
    assert found is not None, teacher
    assert 2.5 < float(found[1]) / own < 6
    assert notes.notes[0] == f"The teacher is trained first: {teacher}."
    assert metrics["distillation"]["teacher_epochs"] == [2.0]
    assert not any("passes only" in note for note in notes.notes)


@pytest.mark.slow
def test_what_each_training_sees(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Teacher and delivered network see all but the test images; what chooses the settings keeps validation apart."""
    seen: list[tuple[str, int]] = []
    for module in (distilling, final):

        def batches(split: Any, *rest: Any, _module: ModuleType = module) -> ImageBatches:
            seen.append((_module.__name__.rpartition(".")[2], len(split.labels)))
            return ImageBatches(split, *rest)

        monkeypatch.setattr(module, "ImageBatches", batches)
    with LedgerReader(run / "run.db") as ledger:
        counts = ledger.meta()["data"]["counts"]
    finalized(run, distill="trial=1", report=False)
    both = counts["train"] + counts["validation"]
    # The last is the one that opens the test split.
    assert seen[:4] == [
        ("distilling", both),
        ("distilling", counts["train"]),
        ("distilling", counts["validation"]),
        ("final", both),
    ]
    assert [count for _, count in seen[4:]] == [counts["test"]]


@pytest.mark.slow
def test_settings_are_chosen_by_the_reward_at_the_rate_of_the_final_training(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, measured, train = [], iter([0.4, 0.3, 0.2, 0.1]), distilling.train

    def trained(network: nn.Module, batches: Any, recipe: Recipe, *rest: Any, **options: Any) -> Any:
        rates.append(recipe.learning_rate)
        return train(network, batches, recipe, *rest, **options)

    def measure(*_: Any) -> SimpleNamespace:
        accuracy = next(measured)
        return SimpleNamespace(metrics=lambda: {"accuracy": accuracy, "balanced_accuracy": 1 - accuracy})

    monkeypatch.setattr(distilling, "train", trained)
    monkeypatch.setattr(distilling, "measure", measure)
    config = yaml.safe_load((run / "config.yaml").read_text()) | {"reward": "balanced-accuracy"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    facts = finalized(run, distill="trial=1", init_from=run, fine_tune_rate=0.5, report=False)["distillation"]
    assert [score for *_, score in facts["settings"]] == [0.6, 0.7, 0.8, 0.9]
    assert [facts["temperature"], facts["weight"]] == facts["settings"][-1][:2]
    assert rates[1:] == [0.5 * rates[0]] * 4


def test_a_teacher_with_hardly_any_training_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, notes = distilling.train, Notes()
    monkeypatch.setattr(
        distilling, "train", lambda *args, **options: replace(train(*args, **options), epochs=0.123)
    )
    metrics = finalized(run, notes, distill="larger", temperature=2.0, distill_weight=0.5)
    assert metrics["distillation"]["teacher_epochs"] == [0.12]
    assert any(note.startswith("The teacher had time for 0.12 passes only") for note in notes.notes)


def test_what_cannot_be_grown_has_no_larger_teacher(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.delivery.teachers.GROWTH", Coefficients(1.0, 1.0, 1.0))
    with pytest.raises(ConfigurationError, match=r"cannot be grown.*another teacher"):
        finalized(run, distill="larger")


@pytest.mark.slow
def test_given_settings_are_kept_and_runs_are_equal(run: Path) -> None:
    options = {"distill": "trial=1", "temperature": 3.0, "distill_weight": 0.4}
    facts = finalized(run, **options)["distillation"]
    expected = {
        "teacher": "trial 1",
        "teacher_epochs": [2.0],
        "temperature": 3.0,
        "weight": 0.4,
        "settings": [],
    }
    assert facts == expected
    weights = (run / "best/weights.safetensors").read_bytes()
    finalized(run, **options)
    assert (run / "best/weights.safetensors").read_bytes() == weights
    finalized(run)
    assert (run / "best/weights.safetensors").read_bytes() != weights


class Bar(Notes):
    """Keeps the progress as well."""

    def __init__(self) -> None:
        super().__init__()
        self.shares: list[float] = []

    def final_progress(self, share: float) -> None:
        self.shares.append(share)


@pytest.mark.parametrize("length", [{"final_epochs": 2}, {"seconds": 6.0}])
def test_the_training_of_teachers_is_a_part_of_the_progress(run: Path, length: Own) -> None:
    bar = Bar()
    options = length | {"onnx": False, "report": False, "temperature": 4.0, "distill_weight": 0.9}
    assert "distillation" in gcnas.finalize(run, distill="larger", observer=bar, **options).metrics
    assert bar.shares == sorted(bar.shares)
    assert bar.shares[-1] == pytest.approx(1.0)
    share = distilling.TEACHER_SHARE
    teaching = [each for each in bar.shares if each <= share]
    assert teaching[-1] == pytest.approx(share)
    jump = 0.1 if "final_epochs" in length else 0.3  # of a time, a step may take any share on a busy machine
    assert bar.shares[0] < jump
    assert share < bar.shares[len(teaching)] < share + jump


@pytest.mark.slow
def test_a_time_is_for_teacher_and_network_together(run: Path) -> None:
    metrics = gcnas.finalize(
        run, final_epochs=10_000, seconds=12.0, onnx=False, report=False, distill="ensemble"
    ).metrics
    assert metrics["seconds"] < 16
    assert metrics["distillation"]["teacher"].startswith("ensemble")


@pytest.mark.slow
def test_another_run_and_its_onnx_file_teach_the_same(run: Path, result: Result) -> None:
    options = {"temperature": 2.0, "distill_weight": 0.5}
    by_run = finalized(run, distill=str(result.run), **options)
    by_file = finalized(run, distill=str(result.run / "best/model.onnx"), **options)
    assert by_run["distillation"]["teacher"] == str(result.run)
    # The file takes bytes, so that it sees the same images up to rounding.
    assert by_run["test_accuracy"] == pytest.approx(by_file["test_accuracy"], abs=0.06)


def test_a_teacher_that_knows_other_splits_is_told(run: Path, result: Result, tmp_path: Path) -> None:
    options: dict[str, Any] = {"temperature": 2.0, "distill_weight": 0.5}
    least: dict[str, Any] = {"budget": 1, "epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False}
    other = gcnas.search("digits", out=tmp_path / "other", seed=9, report=False, **least)
    for teacher, told in ((result.run, False), (other.run, True)):
        observer = Notes()
        finalized(run, observer, distill=str(teacher), **options)
        assert any("other splits" in note for note in observer.notes) is told


class Raising(nn.Module):
    """A teacher that does not want to."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise self.error


class Bright(nn.Module):
    """A teacher with an opinion that no label supports: everything is the first class."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(images), 10), -10.0)
        logits[:, 0] = 10.0
        return logits


def test_a_users_module_teaches(run: Path) -> None:
    teacher = Bright()
    teacher.unused = nn.Linear(2, 2)
    metrics = finalized(run, distill=teacher, temperature=1.0, distill_weight=1.0)
    # It is the user's, and stays as it was.
    assert teacher.training
    assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert metrics["distillation"]["teacher"] == "Bright"
    confusion = torch.tensor(metrics["test_confusion"])
    assert float(confusion[:, 0].sum() / confusion.sum()) > 0.95


OWN_FILE = """
import torch

class Bright(torch.nn.Module):
    def forward(self, images):
        return torch.nn.functional.one_hot(torch.zeros(len(images), dtype=torch.int64), 10) * 20.0 - 10.0

TEACHER, NUMBER = Bright(), 5
"""


def test_a_module_in_a_users_file_teaches(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN_FILE)
    metrics = finalized(run, distill=f"{file}:TEACHER", temperature=1.0, distill_weight=1.0)
    assert metrics["distillation"]["teacher"] == f"{file}:TEACHER"
    confusion = torch.tensor(metrics["test_confusion"])
    assert float(confusion[:, 0].sum() / confusion.sum()) > 0.95
    for name, message in (("NUMBER", "it is int"), ("Bright", "it is type"), ("NOBODY", "it is NoneType")):
        with pytest.raises(ConfigurationError, match=message):
            finalized(run, distill=f"{file}:{name}")
    file.write_text("1 / 0")
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        finalized(run, distill=f"{file}:TEACHER")
    with pytest.raises(ConfigurationError, match="does not exist"):
        finalized(run, distill=f"{tmp_path / 'none.py'}:TEACHER")


def foreign(file: Path, shape: tuple[str | int, ...], kind: str = "FLOAT", labels: str = "") -> Path:
    """An ONNX file of another tool: a linear layer on all pixels."""
    onnx = pytest.importorskip("onnx")
    make, floats = onnx.helper, onnx.TensorProto.FLOAT
    numbers = prod(8 if isinstance(side, str) else side for side in shape[1:])
    weight = make.make_tensor("w", floats, (numbers, 10), torch.zeros(10 * numbers).tolist())
    graph = make.make_graph(
        [
            make.make_node("Cast", ["x"], ["numbers"], to=floats),
            make.make_node("Flatten", ["numbers"], ["flat"]),
            make.make_node("MatMul", ["flat", "w"], ["logits"]),
        ],
        "other",
        [make.make_tensor_value_info("x", getattr(onnx.TensorProto, kind), shape)],
        [make.make_tensor_value_info("logits", floats, (shape[0], 10))],
        [weight],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    if labels:
        make.set_model_props(model, {"labels": labels})
    onnx.save(model, file)
    return file


@pytest.mark.parametrize("shape", [("n", 1, 8, 8), (1, 3, 12, 10)])
def test_a_float_onnx_file_of_another_tool_teaches(
    run: Path, tmp_path: Path, shape: tuple[str | int, ...]
) -> None:
    """It may take one image at a time, of another size and with other channels than the run's."""
    file = foreign(tmp_path / "other.onnx", shape)
    metrics = finalized(run, distill=file, temperature=2.0, distill_weight=0.5)
    assert metrics["distillation"]["teacher"] == str(file)


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        (("n", 8, 8, 1), "FLOAT"),
        (("n", "h", "w", 3), "FLOAT"),
        (("n", 1, 8, 8), "UINT8"),
        (("n", 3, "h", "w"), "UINT8"),
        (("n", 4, 8, 8), "FLOAT"),
    ],
)
def test_an_onnx_file_with_its_channels_elsewhere_is_refused(
    run: Path, tmp_path: Path, shape: tuple[str | int, ...], kind: str
) -> None:
    """It would be shown something else than the images."""
    file = foreign(tmp_path / "other.onnx", shape, kind)
    with pytest.raises(ConfigurationError, match="images of 1 or 3 channels"):
        finalized(run, distill=file)


@pytest.mark.parametrize("labels", ["cat,dog", '{"0": "cat"}', '"0123456789"', "[[1], [2]]"])
def test_labels_in_another_form_are_no_reason_to_refuse_a_file(run: Path, tmp_path: Path, labels: str) -> None:
    file = foreign(tmp_path / "other.onnx", ("n", 1, 8, 8), labels=labels)
    metrics = finalized(run, distill=file, temperature=2.0, distill_weight=0.5)
    assert metrics["distillation"]["teacher"] == str(file)


def test_labels_of_other_classes_are(run: Path, tmp_path: Path) -> None:
    file = foreign(tmp_path / "other.onnx", ("n", 1, 8, 8), labels='["cat", "dog"]')
    with pytest.raises(ConfigurationError, match="the same classes in the same order"):
        finalized(run, distill=file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distill": "nobody"}, "A teacher is 'larger'"),
        ({"distill": "trial=77"}, "no complete trial 77"),
        ({"distill": "ensemble", "temperature": 0.0}, "temperature is above 0"),
        ({"distill": "ensemble", "distill_weight": 1.5}, "weight of a teacher"),
        ({"temperature": 2.0}, "name one with --distill"),
        ({"freeze": 2}, "name --init-from"),
        ({"distill": nn.Linear(8, 10)}, "must give logits|cannot take images"),
        ({"distill": nn.Sequential(nn.Flatten(), nn.Linear(64, 7))}, "must give logits"),
        ({"distill": Raising(KeyError("pixels"))}, "cannot take images.*KeyError: 'pixels'"),
        ({"distill": Raising(AssertionError())}, "cannot take images.*AssertionError"),
        ({"distill": Raising(ConfigurationError("I teach no digits."))}, "^I teach no digits"),
    ],
)
def test_what_cannot_teach_is_said_before_anything_is_trained(
    run: Path, options: Own, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("nothing should be trained")

    monkeypatch.setattr(final, "train", fail)
    before = (run / "best/metrics.json").read_bytes()
    with pytest.raises(ConfigurationError, match=message):
        finalized(run, **options)
    assert (run / "best/metrics.json").read_bytes() == before


def test_a_damaged_onnx_file_is_an_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ExportError, match="no ONNX file"):
        finalized(run, distill=tmp_path / "bad.onnx")


def test_a_teacher_of_other_classes_is_refused(run: Path, result: Result, tmp_path: Path) -> None:
    import json
    import shutil

    other = Path(shutil.copytree(result.run, tmp_path / "other"))
    metrics = json.loads((other / "best/metrics.json").read_text())
    metrics["classes"] = metrics["classes"][::-1]
    (other / "best/metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ConfigurationError, match="same classes in the same order"):
        finalized(run, distill=other)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_teacher_of_another_size_sees_resized_images(result: Result, colours: int) -> None:
    from dataclasses import replace

    from gcnas.delivery.teachers import _Resized

    model = result.model
    seen: list[torch.Size] = []
    model = replace(model, preprocessing=Preprocessing((8, 8), 1, (0.5,), (0.5,)))
    hook = model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    _Resized(model.network, model.image_shape)(torch.rand(2, colours, 20, 20))
    hook.remove()  # the network is that of all tests
    assert seen == [(2, 1, 8, 8)]
