import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import gcnas
from gcnas.errors import ConfigurationError, RunFolderError
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader

FAST = {"epochs": 1, "final_epochs": 1, "onnx": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "digits"
    return gcnas.search(
        "digits", out=out, budget=3, epochs=4, final_epochs=6, threads=1, max_params="60k", onnx=False
    )


@pytest.fixture(scope="module")
def turned() -> Mapping[str, np.ndarray]:
    """Digits upside down, four classes, in colour and twice as large."""
    images, labels = load_digits(return_X_y=True)
    images = np.round(images.reshape(-1, 8, 8)[:, ::-1] * (255 / 16)).astype(np.uint8)
    large = np.stack([np.kron(image, np.ones((2, 2), np.uint8)) for image in images[labels < 4]])
    return {"images": np.stack([large, large // 2, 255 - large], -1), "labels": labels[labels < 4]}


def test_a_network_is_moved_to_other_images(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path
) -> None:
    moved = gcnas.transfer(run.run, turned, out=tmp_path / "moved", freeze=1, **FAST)
    assert moved.model.architecture == run.model.architecture
    metrics = moved.metrics
    assert (metrics["state"], len(metrics["classes"]), metrics["trial"]) == ("final", 4, 1)
    states = {part["part"]: part["state"] for part in metrics["inheritance"]["parts"]}
    assert states.pop("head") == "fresh"
    assert states.pop("stem") == "widened"  # from grey to colour
    assert set(states.values()) == {"inherited"}
    assert metrics["inheritance"]["frozen_epochs"] == 1
    document = json.loads((moved.run / "best/architecture.json").read_text())
    assert document["image"] == {"channels": 3, "height": 8, "width": 8, "classes": 4}
    with LedgerReader(moved.run / "run.db") as ledger:
        assert [trial.number for trial in ledger.trials()] == [1]


def test_a_transferred_run_is_searched_on(run: Result, tmp_path: Path) -> None:
    gcnas.transfer(run.run, "digits", out=tmp_path / "moved", **FAST)
    result = gcnas.resume(tmp_path / "moved", budget=3)
    assert len(result.trials) == 3


def test_the_weights_help(run: Result, tmp_path: Path) -> None:
    moved = gcnas.transfer(run.run, "digits", out=tmp_path / "moved", **FAST)
    cold = gcnas.search("digits", out=tmp_path / "cold", budget=1, threads=1, fidelity="full", **FAST)
    assert moved.metrics["validation_accuracy"] > cold.metrics["validation_accuracy"]


def test_what_cannot_be_transferred_is_said(run: Result, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        gcnas.transfer(tmp_path / "none", "digits", out=tmp_path / "r")
    with pytest.raises(ConfigurationError, match="decides budget itself"):
        gcnas.transfer(run.run, "digits", out=tmp_path / "r", budget=3)
    with pytest.raises(ConfigurationError, match="--freeze"):
        gcnas.transfer(run.run, "digits", out=tmp_path / "r", freeze=-1)
    assert not (tmp_path / "r").exists()
