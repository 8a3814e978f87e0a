import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from tests.delivery.test_final import Notes

import gcnas
from gcnas import api
from gcnas.errors import ConfigurationError, GCNASError, RunFolderError
from gcnas.execution import worker
from gcnas.result import Result
from gcnas.run.ledger import LedgerReader

FAST = {"epochs": 1, "final_epochs": 1, "onnx": False, "report": False}

pytestmark = pytest.mark.xdist_group("other data")
"""The run is made once."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("runs") / "digits"
    return gcnas.search(
        "digits",
        out=out,
        budget=3,
        epochs=4,
        final_epochs=6,
        threads=1,
        max_params="60k",
        onnx=False,
        report=False,
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
        assert [(trial.number, trial.proposal.source) for trial in ledger.trials()] == [(1, "transferred")]


@pytest.mark.slow
def test_a_device_that_is_not_here_is_not_taken_over(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path
) -> None:
    elsewhere = Path(shutil.copytree(run.run, tmp_path / "elsewhere"))
    config = yaml.safe_load((elsewhere / "config.yaml").read_text()) | {"device": "cuda:7"}
    (elsewhere / "config.yaml").write_text(yaml.safe_dump(config))
    notes = Notes()
    moved = gcnas.transfer(elsewhere, turned, out=tmp_path / "moved", observer=notes, **FAST)
    assert moved.metrics["state"] == "final"
    assert any("'cuda:7' is not available here" in note and "'cpu'" in note for note in notes.notes)
    with pytest.raises(ConfigurationError, match="cuda:7"):
        gcnas.transfer(run.run, turned, out=tmp_path / "asked", device="cuda:7", **FAST)


def test_a_transferred_run_is_searched_on(run: Result, tmp_path: Path) -> None:
    gcnas.transfer(run.run, "digits", out=tmp_path / "moved", **FAST)
    # As many workers as a search of its own would have.
    assert yaml.safe_load((tmp_path / "moved/config.yaml").read_text())["workers"] is None
    result = gcnas.resume(tmp_path / "moved", budget=3)
    assert len(result.trials) == 3


@pytest.mark.slow
def test_the_weights_help(run: Result, tmp_path: Path) -> None:
    moved = gcnas.transfer(run.run, "digits", out=tmp_path / "moved", **FAST)
    cold = gcnas.search("digits", out=tmp_path / "cold", budget=1, threads=1, fidelity="full", **FAST)
    assert moved.metrics["validation_accuracy"] > cold.metrics["validation_accuracy"]


def test_a_transfer_that_was_killed_goes_on_as_it_was_begun(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked of its final training, and its wall clock, are in the run folder."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out, seconds = tmp_path / "moved", 40.0
    with monkeypatch.context() as context:
        context.setattr(api, "deliver", killed)
        with pytest.raises(KeyboardInterrupt):
            gcnas.transfer(
                run.run,
                turned,
                out=out,
                seconds=seconds,
                freeze=1,
                fine_tune_rate=0.5,
                **FAST | {"final_epochs": 3},
            )
    asked: list[float | None] = []
    deliver = api.deliver

    def watched(*given: Any, **options: Any) -> Any:
        asked.append(options["seconds"])
        return deliver(*given, **options)

    monkeypatch.setattr(api, "deliver", watched)
    inheritance = gcnas.resume(out, data=turned).metrics["inheritance"]
    assert (inheritance["frozen_epochs"], inheritance["rate"]) == (1, 0.5)
    assert asked[0] is not None
    assert 0 < asked[0] < seconds
    gcnas.resume(out, data=turned, budget=2)
    assert asked[1:] == [None]  # another budget is another clock


def test_a_transfer_that_was_killed_before_its_first_training_goes_on_as_one(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "moved"
    with monkeypatch.context() as context:
        context.setattr(api, "open_driver", killed)
        with pytest.raises(KeyboardInterrupt):
            gcnas.transfer(run.run, turned, out=out, **FAST)
    resumed = gcnas.resume(out, data=turned)
    assert [trial.proposal.source for trial in resumed.trials] == ["transferred"]
    assert resumed.model.architecture == run.model.architecture
    # What is searched from there has the designs of the space again.
    assert "reference" in {t.proposal.source for t in gcnas.resume(out, data=turned, budget=2).trials}


def test_the_first_training_of_a_transfer_is_a_share_of_its_time(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []
    monkeypatch.setattr(
        "gcnas.other_data.run_to_the_end", lambda context, *_, **more: begun.append((context, more))
    )
    monkeypatch.setattr("gcnas.run.session._reference_speed", lambda _: 1_000.0)
    for name, seconds in (("free", None), ("timed", 12.0)):
        gcnas.transfer(run.run, turned, out=tmp_path / name, seconds=seconds, onnx=False)
    (free, _), (timed, more) = begun
    images = len(free.dataset.train_index)
    assert more == {"seconds": 12.0}
    assert 1 <= timed.amounts.epochs < free.amounts.epochs
    assert timed.amounts.epochs * images / 1_000 <= 12 / 2
    final = timed.amounts.final_epochs
    assert timed.amounts.most_final_epochs(timed=True) == 2 * final
    assert free.amounts.most_final_epochs(timed=True) == free.amounts.final_epochs
    assert timed.config.budget == free.config.budget
    assert yaml.safe_load((tmp_path / "timed/config.yaml").read_text())["budget"] == "1"


def test_a_result_is_that_of_the_last_delivery(run: Result, tmp_path: Path) -> None:
    shutil.copytree(run.run, tmp_path / "run")
    result = gcnas.load(tmp_path / "run")
    model, metrics = result.model, result.metrics
    assert result.model is model
    gcnas.finalize(result.run, final_epochs=1, threads=1)
    assert (metrics["epochs"], result.metrics["epochs"]) == (6, 1)
    assert result.model is not model
    for damaged in ("{", "[1]", "[" * 5_000):
        (result.run / "best" / "metrics.json").write_text(damaged)
        with pytest.raises(RunFolderError, match=r"metrics\.json cannot be read"):
            _ = result.metrics
        assert "accuracy" not in repr(result)


def test_no_transfer_begins_within_a_worker(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path
) -> None:
    worker._in_worker.set()
    try:
        with pytest.raises(ConfigurationError, match="__main__"):
            gcnas.transfer(run.run, turned, out=tmp_path / "moved", **FAST)
    finally:
        worker._in_worker.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_network_for_oblong_images_is_moved_to_oblong_images(tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    digits = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    wide = {"images": np.concatenate([digits, digits], 2)[..., None], "labels": labels}
    first = gcnas.search(wide, out=tmp_path / "r", budget=1, threads=1, **FAST)
    assert first.model.preprocessing.resolution == (8, 16)
    assert gcnas.transfer(first.run, wide, out=tmp_path / "s", **FAST).model.preprocessing.resolution == (8, 16)


def test_a_network_for_tiny_images_is_moved_to_tiny_images(tmp_path: Path) -> None:
    images, labels = load_digits(return_X_y=True)
    tiny = np.round(images.reshape(-1, 8, 8)[:, 1:7, 1:7] * (255 / 16)).astype(np.uint8)
    data = {"images": tiny[..., None], "labels": labels}
    first = gcnas.search(data, out=tmp_path / "r", budget=1, threads=1, **FAST)
    assert first.model.preprocessing.resolution == (6, 6)
    assert gcnas.transfer(first.run, data, out=tmp_path / "s", **FAST).model.preprocessing.resolution == (6, 6)


def test_what_is_odd_about_the_new_images_is_told(run: Result, tmp_path: Path) -> None:
    images = tmp_path / "images"
    random = np.random.default_rng(0)
    for number, name in enumerate(["dark", "light"] * 12):
        (images / name).mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 120, (8, 8)) + 120 * (name == "light")
        Image.fromarray(pixels.astype(np.uint8)).save(images / name / f"{number}.png")
    (images / "dark" / "phone.heic").write_bytes(b"x")
    notes = Notes()
    gcnas.transfer(run.run, images, out=tmp_path / "moved", observer=notes, **FAST)
    assert any("1 file is left out by its name: 1 .heic" in note for note in notes.notes)


@pytest.mark.parametrize("wrong", [{"warm_start": ["other"]}, {"strategy": "luck"}, {"max_params": 10}])
def test_what_is_refused_replaces_no_run(
    run: Result, turned: Mapping[str, np.ndarray], tmp_path: Path, wrong: dict[str, Any]
) -> None:
    old = Path(shutil.copytree(run.run, tmp_path / "old"))
    with pytest.raises(GCNASError):
        gcnas.transfer(run.run, turned, out=old, overwrite=True, **FAST, **wrong)
    assert gcnas.load(old).metrics == run.metrics
    assert len(gcnas.load(old).trials) == 3


def test_what_cannot_be_transferred_is_said(run: Result, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        gcnas.transfer(tmp_path / "none", "digits", out=tmp_path / "r")
    with pytest.raises(ConfigurationError, match="decides budget itself"):
        gcnas.transfer(run.run, "digits", out=tmp_path / "r", budget=3)
    with pytest.raises(ConfigurationError, match="--freeze"):
        gcnas.transfer(run.run, "digits", out=tmp_path / "r", freeze=-1)
    assert not (tmp_path / "r").exists()
