import json
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import gcnas
from gcnas import api
from gcnas.data import load as load_data
from gcnas.delivery import final
from gcnas.delivery.forms import model_onnx
from gcnas.delivery.predict import predict_arrays
from gcnas.errors import ConfigurationError, ExportError, NotFiniteError, SearchFailedError
from gcnas.network import Network
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader
from gcnas.run.observer import Observer
from gcnas.training import Augmentation


class Notes(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_the_test_split_is_opened_once_and_logged(result: Result) -> None:
    with LedgerReader(result.run / "run.db") as ledger:
        kinds = [event.kind for event in ledger.events()]
    assert kinds == ["test-opened", "delivered"]


def test_failed_final_training_delivers_the_searched_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise NotFiniteError("the loss became nan")

    monkeypatch.setattr(final, "train", fail)
    notes = Notes()
    result = gcnas.search(
        "digits", out=tmp_path / "r", budget=1, epochs=1, threads=1, onnx=False, report=False, observer=notes
    )
    assert any("final training failed" in note for note in notes.notes)
    assert result.metrics["state"] == "final"
    assert result.metrics["epochs"] is None
    assert result.test_accuracy is not None


@pytest.mark.parametrize("broken", ["train", "measure"])
def test_whatever_a_training_raises_costs_the_training_alone(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    run, notes, whole, calls = (
        Path(shutil.copytree(result.run, tmp_path / "run")),
        Notes(),
        getattr(final, broken),
        [],
    )

    def fail_first(*args: Any, **named: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise RuntimeError("shape '[2, 8, 4]' is invalid")
        return whole(*args, **named)

    monkeypatch.setattr(final, broken, fail_first)
    options: dict[str, Any] = {"final_epochs": 1, "onnx": False, "report": False, "observer": notes}
    found = gcnas.finalize(run, trial=result.metrics["trial"], **options)
    assert any("failed (crash: RuntimeError: shape" in note for note in notes.notes)
    assert found.metrics["test_accuracy"] == result.metrics["test_accuracy"]


def test_best_is_as_good_as_the_search_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the weights that were trained, and not only a network of the same form."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "deliver", stopped)
    with pytest.raises(KeyboardInterrupt):
        gcnas.search("digits", out=tmp_path / "r", budget=1, epochs=3, threads=1, onnx=False, report=False)
    found, split = gcnas.load(tmp_path / "r"), load_data("digits").validation()
    assert found.metrics["state"] == "search"
    share = (predict_arrays(found.model, split.images).argmax(1) == split.labels).mean()
    assert share == pytest.approx(found.metrics["validation_accuracy"], abs=0.005)
    assert share > 0.5


def test_the_final_training_has_all_threads_and_the_augmentation_of_the_recipe(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, seen = Path(shutil.copytree(result.run, tmp_path / "run")), list[Any]()

    def note(_: object, batches: Any, *, platform: Any, **__: object) -> None:
        seen.append((platform.threads, torch.get_num_threads(), batches._augmentation))
        raise NotFiniteError("made up")

    monkeypatch.setattr(final, "train", note)
    options = {"threads": 2, "final_epochs": 1, "onnx": False, "report": False}
    gcnas.finalize(run, trial=result.metrics["trial"], **options)
    assert seen == [(2, 2, Augmentation(shift=1, mirror=False))]


def test_failed_final_test_delivers_the_weights_that_are_there(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, measure = Path(shutil.copytree(result.run, tmp_path / "run")), final.measure
    weights, calls, notes = (run / "best/weights.safetensors").read_bytes(), [], Notes()

    def fail_first(*args: Any) -> Any:
        calls.append(args)
        if len(calls) != 2:
            raise NotFiniteError("The validation loss is nan.")
        return measure(*args)

    options: dict[str, Any] = {"final_epochs": 1, "onnx": False, "report": False, "observer": notes}
    monkeypatch.setattr(final, "measure", fail_first)
    found = gcnas.finalize(run, trial=result.metrics["trial"], **options)
    assert any("final test failed (not-finite: " in note for note in notes.notes)
    assert (run / "best/weights.safetensors").read_bytes() == weights
    assert found.metrics["test_accuracy"] == result.metrics["test_accuracy"]
    with pytest.raises(SearchFailedError, match="cannot be tested"):
        gcnas.finalize(run, trial=result.metrics["trial"], **options)
    assert (run / "best/weights.safetensors").read_bytes() == weights


def test_whatever_a_network_raises_when_it_is_written_costs_a_file_and_no_network(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol")

    notes, run = Notes(), Path(shutil.copytree(result.run, tmp_path / "run"))
    monkeypatch.setattr(Network, "__deepcopy__", fail, raising=False)
    found = gcnas.finalize(run, final_epochs=1, report=False, observer=notes)
    assert found.metrics["epochs"] == 1
    assert not (run / "best/model.py").exists()
    assert not (run / "best/model.onnx").exists()
    assert "Only Tensors" in found.metrics["model_py_left_out"]
    assert sum("is left out" in note and "Only Tensors" in note for note in notes.notes) == 2


def test_onnx_file_is_delivered_and_reproducible(result: Result) -> None:
    from gcnas.export.onnx_session import OnnxClassifier

    content = (result.run / "best/model.onnx").read_bytes()
    assert content == model_onnx(result.model)
    labels = json.loads(OnnxClassifier(content, threads=1).metadata["labels"])
    assert labels == list(result.model.class_names)


def test_less_than_one_pass_is_no_reason_to_replace_trained_weights(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(result.run, tmp_path / "run"))
    weights = (run / "best/weights.safetensors").read_bytes()
    other = next(trial.number for trial in result.trials if trial.number != result.metrics["trial"])
    notes = Notes()
    train = final._train
    monkeypatch.setattr(final, "_train", lambda *args: replace(train(*args), epochs=0.25))
    options: dict[str, Any] = {"final_epochs": 1, "onnx": False, "report": False, "observer": notes}
    found = gcnas.finalize(run, trial=result.metrics["trial"], **options)
    assert found.metrics["epochs"] == result.metrics["epochs"] is not None
    assert found.metrics["seconds"] == result.metrics["seconds"]
    assert (run / "best/weights.safetensors").read_bytes() == weights
    assert any("0.25 passes" in note and "weights that are there" in note for note in notes.notes)
    # Another network's weights are better than next to none of this one's; the user is told what to do.
    with pytest.raises(SearchFailedError, match=rf"0\.25 passes.*is kept.*--trial {other} --final-epochs"):
        gcnas.finalize(run, trial=other, **options)
    assert (run / "best/weights.safetensors").read_bytes() == weights
    with LedgerReader(run / "run.db") as ledger:
        openings = [event for event in ledger.events() if event.kind == "test-opened"]
    assert len(openings) == 2


@pytest.mark.parametrize("missing", [True, False])
def test_what_forbids_an_onnx_file_is_said_once_and_forbids_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise ExportError("The network has no ONNX form: made up")

    if missing:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    else:
        monkeypatch.setattr(final, "onnx_bytes", fail)
    notes = Notes()
    result = gcnas.search(
        "digits", out=tmp_path / "r", budget=1, epochs=1, final_epochs=1, threads=1, observer=notes
    )
    words = "pip install 'gcnas[onnx]'" if missing else "made up"
    assert [words in note for note in notes.notes if "model.onnx" in note] == [True]
    assert result.test_accuracy is not None
    assert not (result.run / "best/model.onnx").exists()


def test_without_a_test_split_nothing_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {
        "budget": 1,
        "epochs": 1,
        "final_epochs": 1,
        "threads": 1,
        "test_fraction": 0,
        "onnx": False,
        "report": False,
    }
    result = gcnas.search("digits", out=tmp_path / "r", **options)
    with LedgerReader(result.run / "run.db") as ledger:
        assert [event.kind for event in ledger.events()] == ["delivered"]
    assert (result.metrics["state"], result.test_accuracy, result.metrics["test_images"]) == (
        "final",
        None,
        None,
    )

    def fail(*_: object, **__: object) -> None:
        raise NotFiniteError("the loss became nan")

    monkeypatch.setattr(final, "train", fail)
    assert gcnas.search("digits", out=tmp_path / "s", **options).metrics["state"] == "final"


@pytest.mark.slow
def test_final_training_is_reproducible(result: Result, tmp_path: Path) -> None:
    again = gcnas.search(
        "digits", out=tmp_path / "again", budget=3, epochs=2, final_epochs=2, threads=1, max_params="60k"
    )
    weights = "best/weights.safetensors"
    assert (again.run / weights).read_bytes() == (result.run / weights).read_bytes()
    assert (again.run / "best/model.onnx").read_bytes() == (result.run / "best/model.onnx").read_bytes()
    measured = dict.fromkeys(("seconds", "latency_ms", "latency_p95_ms"), 0)
    assert again.metrics | measured == result.metrics | measured


def test_a_time_ends_the_final_training(tmp_path: Path) -> None:
    run = tmp_path / "r"
    gcnas.search("digits", out=run, budget=1, epochs=1, final_epochs=1, threads=1, onnx=False, report=False)
    result = gcnas.finalize(run, seconds=5.0, final_epochs=100_000)
    assert result.metrics["seconds"] < 15  # hours, by epochs
    assert 1 < result.metrics["epochs"] < 100_000


def test_images_are_mixed_in_long_final_trainings_unless_told_not_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = 12
    monkeypatch.setattr("gcnas.run.context.MIXED_FROM", long)
    run = tmp_path / "r"
    small = {"budget": 1, "epochs": 1, "threads": 1, "onnx": False, "report": False}
    images, labels = load_digits(return_X_y=True)
    data = (images[:200].reshape(-1, 8, 8).astype(np.uint8) * 15, labels[:200])
    result = gcnas.search(data, out=run, final_epochs=long, **small)
    assert result.metrics["mixed"] > 0.9
    plain = gcnas.finalize(run, data=data, mixing=False)
    assert plain.metrics["mixed"] == 0
    assert plain.metrics["epochs"] == long
    assert gcnas.finalize(run, data=data, final_epochs=long - 1).metrics["mixed"] == 0
    assert gcnas.resume(run, data=data, mixing=True).metrics["mixed"] > 0.9


@pytest.mark.parametrize(
    ("options", "passes"),
    [({"budget": "5s"}, 600), ({"budget": "5s", "final_epochs": 7}, 7), ({"budget": 1}, 300)],
    ids=["clock", "clock and passes", "trials"],
)
def test_passes_go_on_while_the_wall_clock_has_time(
    options: dict[str, Any], passes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time is kept for 300 passes over the digits; up to twice as many follow where it is left over."""
    most = []

    def fail(*_: object, schedule: Any, **__: object) -> None:
        most.append(getattr(schedule, "max_epochs", None) or schedule.epochs)
        raise NotFiniteError("the loss became nan")

    monkeypatch.setattr(final, "train", fail)
    fast = {"epochs": 1, "workers": 1, "threads": 1, "onnx": False, "report": False}
    with suppress(SearchFailedError):  # where `best` holds another network than the one that repeats chose
        gcnas.search("digits", out=tmp_path / "r", **fast, **options)
    assert most == [passes]
    for seconds in (20.0, None):
        with suppress(SearchFailedError):
            gcnas.finalize(tmp_path / "r", seconds=seconds)
    assert most[1:] == [passes, min(passes, 300)]


def test_what_decides_a_training_cannot_change(result: Result) -> None:
    with pytest.raises(ConfigurationError, match="cannot change seed"):
        gcnas.finalize(result.run, seed=3)
    with pytest.raises(ConfigurationError, match="cannot change precision"):
        gcnas.resume(result.run, precision="float32")


SHORT = {"budget": 1, "epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}


def test_a_delivered_network_is_trained_anew_if_its_training_is_asked_for(tmp_path: Path) -> None:
    run = gcnas.search("digits", out=tmp_path / "r", **SHORT).run
    before = (run / "best/weights.safetensors").read_bytes()
    gcnas.resume(run)
    assert (run / "best/weights.safetensors").read_bytes() == before  # nothing to do
    assert gcnas.resume(run, final_epochs=2).metrics["epochs"] == 2
    with LedgerReader(run / "run.db") as ledger:
        assert [event.kind for event in ledger.events()].count("delivered") == 2


def test_what_finalize_is_told_is_for_once(tmp_path: Path) -> None:
    run = gcnas.search("digits", out=tmp_path / "r", **SHORT).run
    config = (run / "config.yaml").read_text()
    assert gcnas.finalize(run, final_epochs=3).metrics["epochs"] == 3
    assert (run / "config.yaml").read_text() == config
