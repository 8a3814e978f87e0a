import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from tests.delivery.test_final import Notes

import gcnas
from gcnas import api, opening
from gcnas.config import RunConfig
from gcnas.delivery import final, latency
from gcnas.errors import (
    ConfigurationError,
    DamagedLedgerError,
    LimitsTooTightError,
    OutOfMemoryError,
    RunFolderError,
    SpaceError,
    WorkerError,
)
from gcnas.network import weights_bytes
from gcnas.opening import reopen, space_name
from gcnas.report.record import read_run
from gcnas.run import calibration, costs, recommendation, session, workers
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.observer import Observer
from gcnas.space import InputShape, LatencyModel, SearchSpace
from gcnas.space.presets import CNN
from gcnas.strategy.gcnas import GCNASStrategy
from gcnas.training.candidate import build_seeded, weights_of

SMALL = {"epochs": 1, "final_epochs": 1, "threads": 1, "onnx": False, "report": False}


def _arrays(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Bright left or bright right halves, with noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(80) % 2
    images = generator.integers(0, 120, (80, 10, 10), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 5 * label : 5 * label + 5] += 100
    return images, labels


def _table(run: Path) -> list[tuple[object, ...]]:
    with LedgerReader(run / "run.db") as ledger:
        return [(t.number, t.proposal, t.cost, t.fidelity, t.score) for t in ledger.trials()]


def test_arrays_and_an_own_space(tmp_path: Path) -> None:
    space = SearchSpace("tiny", CNN.layer_types[:1], max_depth=3, window=2)
    run = tmp_path / "run"
    result = gcnas.search(_arrays(), out=run, space=space, budget=3, **SMALL)
    assert len(result.trials) == 3
    assert {trial.proposal.source for trial in result.trials} == {"start"}
    assert "test_accuracy" in repr(result)
    with pytest.raises(ConfigurationError, match="arrays"):
        gcnas.resume(run, budget=4, space=space)
    with pytest.raises(ConfigurationError, match=r"space of this run is code \(tiny\).*--space"):
        gcnas.resume(run, data=_arrays(), budget=4)
    again = gcnas.resume(run, data=_arrays(), budget=4, space=space)
    assert len(again.trials) == 4
    with pytest.raises(RunFolderError, match="data"):
        gcnas.resume(run, data=_arrays(seed=1), budget=5, space=space)


def test_changes_are_written_once_the_ledger_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, a run that is resumed would not make the final training that was asked for."""
    run = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL).run
    before, event = (run / "config.yaml").read_text(), Ledger.event

    def killed(ledger: Ledger, elapsed: float, kind: str, detail: str) -> None:
        if kind == "resumed":
            raise KeyboardInterrupt
        event(ledger, elapsed, kind, detail)

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "event", killed)
        with pytest.raises(KeyboardInterrupt):
            gcnas.resume(run, final_epochs=3)
    assert (run / "config.yaml").read_text() == before
    assert gcnas.resume(run, final_epochs=3).metrics["epochs"] == 3
    assert "final_epochs: 3" in (run / "config.yaml").read_text()


def test_a_report_that_cannot_be_written_costs_no_network(tmp_path: Path) -> None:
    run, notes = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL).run, Notes()
    (run / "report.html").mkdir()
    found = gcnas.finalize(run, final_epochs=3, report=True, observer=notes)
    assert found.metrics["epochs"] == 3
    assert any("report.html" in note for note in notes.notes)


def test_an_old_sqlite_is_told_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.run.ledger.LEAST_SQLITE", (99, 0))
    with pytest.raises(RunFolderError, match=r"has SQLite 3\..*but a ledger needs 99\.0"):
        gcnas.search("nothing of this name", out=tmp_path / "run", budget=1)
    assert not (tmp_path / "run").exists()


def test_huge_files_in_best_are_not_read(tmp_path: Path) -> None:
    found = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL)
    os.truncate(found.run / "best" / "metrics.json", 10**10)
    with pytest.raises(RunFolderError, match="larger than"):
        print(found.model)
    assert "best/metrics.json cannot be read." in read_run(found.run).missing


def test_what_is_wrong_with_the_data_is_told_at_once(tmp_path: Path) -> None:
    images, labels = _arrays()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / f"data/{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"data/{label}/{number}.png")
    (tmp_path / "data/0/broken.png").write_bytes(b"no image")
    notes = Notes()
    gcnas.search(str(tmp_path / "data"), out=tmp_path / "run", budget=1, observer=notes, **SMALL)
    assert "1 image is unreadable and left out" in notes.notes[0]
    assert "broken.png" in notes.notes[0]


def test_space_of_a_run_is_executed_only_if_named_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    marker = tmp_path / "executed"
    file.write_text(
        "from gcnas.space import SearchSpace\n"
        "from gcnas.space.presets import CNN\n"
        "from pathlib import Path\n"
        f"path = Path({str(marker)!r})\n"
        "path.write_text(path.read_text() + 'x' if path.exists() else 'x')\n"
        "SPACE = SearchSpace('mine', CNN.layer_types[:1], max_depth=3)\n"
    )
    run = tmp_path / "run"
    gcnas.search("digits", out=run, space=f"{file}:SPACE", budget=1, **SMALL)
    executed = marker.read_text()
    for use in (gcnas.load, gcnas.resume, gcnas.finalize):
        with pytest.raises(ConfigurationError, match="is code"):
            use(run)
        with pytest.raises(SpaceError, match="but got ''"):
            use(run, space="")
    assert marker.read_text() == executed
    assert gcnas.load(run, space=f"{file}:SPACE").model.network is not None
    other = SearchSpace("mine", CNN.layer_types[:1], max_depth=4)
    with pytest.raises(RunFolderError, match="space"):
        gcnas.resume(run, space=other, budget=2)


def test_arrays_that_are_given_later_leave_the_place_of_the_images(tmp_path: Path) -> None:
    run = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL).run
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    gcnas.finalize(run, data=(images, digits.target), final_epochs=1, onnx=False, report=False)
    assert yaml.safe_load((run / "config.yaml").read_text())["data"] == "digits"
    assert len(gcnas.resume(run, budget=2).trials) == 2


def test_a_space_that_only_shares_the_name_of_a_preset_is_named_again(tmp_path: Path) -> None:
    """Else networks would be built as the preset builds them, or the run be said to have changed."""

    class Conv2d(type(CNN.layer_types[0])):  # type: ignore[misc]
        """Of the same name and choices, perhaps with another module."""

    changed = (
        replace(CNN, min_depth=3),
        replace(CNN, layer_types=(Conv2d(), *CNN.layer_types[1:])),
        replace(CNN, references={}),
        replace(CNN, lasting=()),
    )
    assert changed[1].fingerprint == CNN.fingerprint
    assert {space_name(space) for space in changed} == {"own cnn"}
    assert {space_name(space) for space in (CNN, deepcopy(CNN), CNN.fit(InputShape(1, 8, 8, 2)))} == {"cnn"}
    for number, space in enumerate(changed[:2]):
        run = gcnas.search("digits", out=tmp_path / str(number), space=space, budget=1, **SMALL).run
        for use in (gcnas.load, gcnas.resume):
            with pytest.raises(ConfigurationError, match=r"is code \(own cnn\)"):
                use(run)
        assert gcnas.load(run, space=space).model.network is not None
        assert len(gcnas.resume(run, space=space, budget=2).trials) == 2


@pytest.mark.slow
def test_budget_in_seconds_holds_for_everything(tmp_path: Path) -> None:
    import time

    start = time.monotonic()
    result = gcnas.search("digits", out=tmp_path / "run", budget="30s", threads=1, onnx=False, report=False)
    assert time.monotonic() - start < 40
    assert result.test_accuracy is not None
    assert result.metrics["seconds"] > 30 / 3


@pytest.mark.slow
def test_a_raised_wall_clock_is_searched_in(tmp_path: Path) -> None:
    options = {"threads": 1, "onnx": False, "report": False}
    first = gcnas.search("digits", out=tmp_path / "run", budget="20s", **options)
    count = len(first.trials)
    assert len(gcnas.resume(tmp_path / "run", budget="50s").trials) > count


def test_configuration_file_reproduces_a_run(tmp_path: Path) -> None:
    first = gcnas.search("digits", out=tmp_path / "a", budget=4, seed=5, **SMALL)
    options = yaml.safe_load((first.run / "config.yaml").read_text())
    second = gcnas.search(options.pop("data"), out=tmp_path / "b", **options)
    assert _table(first.run) == _table(second.run)


@pytest.mark.slow
def test_references_come_first_and_can_be_left_out(tmp_path: Path) -> None:
    result = gcnas.search("digits", out=tmp_path / "run", budget=3, **SMALL)
    assert [t.proposal.source for t in result.trials] == ["reference", "reference", "edit"]
    alone = gcnas.search("digits", out=tmp_path / "alone", budget=2, references=False, **SMALL)
    assert {t.proposal.source for t in alone.trials} == {"start"}


def test_existing_runs_are_not_overwritten_by_accident(tmp_path: Path) -> None:
    run = tmp_path / "run"
    gcnas.search("digits", out=run, budget=1, **SMALL)
    with pytest.raises(RunFolderError, match="gcnas resume"):
        gcnas.search("digits", out=run, budget=1, **SMALL)
    gcnas.search("digits", out=run, budget=2, overwrite=True, **SMALL)
    assert len(_table(run)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_search_that_cannot_begin_replaces_no_run(tmp_path: Path) -> None:
    """Whether that is found out before its first proposal or there."""
    run = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL).run
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file() and path.name != ".lock"}

    def broken(*_: object, **__: object) -> None:
        raise ConfigurationError("no strategy today")

    with pytest.raises(LimitsTooTightError):
        gcnas.search("digits", out=run, overwrite=True, budget=1, max_params=10, **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_searcher", broken)
        with pytest.raises(ConfigurationError, match="no strategy today"):
            gcnas.search("digits", out=run, overwrite=True, budget=1, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in before} == before
    assert gcnas.load(run).model.network is not None


def test_what_latencies_need_is_looked_for_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("the images were read")

    monkeypatch.setattr(calibration, "missing_packages", lambda: ["onnxruntime"])
    monkeypatch.setattr(api, "load_data", read)
    with pytest.raises(ConfigurationError, match="onnxruntime is not installed"):
        gcnas.search("digits", out=tmp_path / "run", budget=1, soft="latency=1", **SMALL)
    assert not (tmp_path / "run").exists()


def test_one_interrupt_changes_nothing_in_the_final_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = api.deliver

    def interrupted(*given: Any, **named: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return deliver(*given, **named)

    monkeypatch.setattr(api, "deliver", interrupted)
    assert gcnas.search("digits", out=tmp_path / "r", budget=1, **SMALL).metrics["state"] == "final"


def test_what_a_delivery_gets_of_a_wall_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left; after a search that was stopped no more than its share; all it needs if asked for by its length."""
    run, asked, deliver = tmp_path / "run", list[Any](), api.deliver

    def watched(*_: object, **named: Any) -> None:
        asked.append(named["seconds"])
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "deliver", watched)
    with pytest.raises(KeyboardInterrupt):
        gcnas.search("digits", out=run, budget=1, **SMALL)
    for stopped in (False, True):
        driver = SimpleNamespace(run=lambda: None, interrupted=stopped)
        monkeypatch.setattr(api, "open_driver", lambda *_, driver=driver: driver)
        with pytest.raises(KeyboardInterrupt):
            gcnas.resume(run, budget="10m")
    assert asked[0] is None
    assert 400 < asked[1] < 600
    assert asked[2] == 300
    monkeypatch.setattr(api, "deliver", deliver)
    gcnas.resume(run)
    monkeypatch.setattr(api, "deliver", watched)
    with pytest.raises(KeyboardInterrupt):
        gcnas.resume(run, final_epochs=7)
    assert asked[3] is None


@pytest.mark.parametrize("reward", ["accuracy", "balanced-accuracy"])
def test_balanced_accuracy_is_recommended_where_it_is_not_taken(tmp_path: Path, reward: str) -> None:
    images, labels = _arrays()
    kept = np.flatnonzero((labels == 0) | (np.arange(len(labels)) % 8 == 1))
    run = gcnas.search((images[kept], labels[kept]), out=tmp_path / "r", budget=1, reward=reward, **SMALL).run
    (notice,) = (notice for notice in read_run(run).data["notices"] if "The largest class" in notice)
    assert ("consider --reward" in notice) is (reward == "accuracy")


def test_what_is_asked_of_the_data_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.data.store.MEMORY_LIMIT", 1_000)
    asked = {"channels": "rgb", "resolution": 9, "validation_fraction": 0.3, "test_fraction": 0.1}
    run = gcnas.search(_arrays(), out=tmp_path / "r", budget=1, **SMALL, **asked).run
    with LedgerReader(run / "run.db") as ledger:
        meta = ledger.meta()
    assert meta["image"] == {"channels": 3, "height": 9, "width": 9, "classes": 2}
    assert meta["data"]["counts"] == {"train": 48, "validation": 24, "test": 8}
    assert list((run / "cache").glob("*-search.npy"))


@pytest.mark.slow
def test_limits_may_be_tightened_when_a_run_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    gcnas.search("digits", out=run, budget=3, **SMALL)
    result = gcnas.resume(run, budget=6, max_params="20k")
    assert all(trial.cost.parameters <= 20_000 for trial in result.trials[3:])
    assert result.metrics["parameters"] <= 20_000
    assert yaml.safe_load((run / "config.yaml").read_text())["max_params"] == 20_000


def test_what_is_delivered_keeps_to_the_limits_given_last(tmp_path: Path) -> None:
    """Limits that were wider in between, and a network delivered on demand, change nothing about that."""
    run = tmp_path / "run"
    options = {**SMALL, "fidelity": "full"}
    small = gcnas.search("digits", out=run, budget=3, max_params="30k", **options)
    first = small.metrics["trial"]
    assert all(trial.cost.parameters <= 30_000 for trial in small.trials)
    sizes = {trial.number: trial.cost.parameters for trial in small.trials}
    other = next(number for number in sizes if number != first)
    gcnas.finalize(run, trial=other)
    assert gcnas.resume(run).metrics["trial"] == other  # asked for, and nothing happened since
    assert gcnas.resume(run, max_params="29999").metrics["trial"] == first
    least = min(sizes, key=lambda number: sizes[number])
    assert gcnas.resume(run, max_params=sizes[least]).metrics["trial"] == least
    assert gcnas.resume(run, max_params="30k").metrics["trial"] == first


def test_a_delivery_that_was_stopped_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for is in the configuration; the next call need not name it again."""
    run, deliver, calls = tmp_path / "run", api.deliver, []
    gcnas.search("digits", out=run, budget=2, **SMALL)

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return deliver(*given, **named)

    monkeypatch.setattr(api, "deliver", stopped)
    with pytest.raises(KeyboardInterrupt):
        gcnas.resume(run, final_epochs=2)
    monkeypatch.setattr(api, "deliver", counted)
    assert gcnas.resume(run).metrics["epochs"] == 2
    assert gcnas.resume(run).metrics["epochs"] == 2
    assert len(calls) == 1


def test_other_limits_let_the_strategy_reconsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, calls = tmp_path / "run", list[int]()
    gcnas.search("digits", out=run, budget=2, max_params="30k", **SMALL)
    monkeypatch.setattr(GCNASStrategy, "reconsider", lambda _: calls.append(1))
    for changes, expected in (
        ({"budget": 3}, 0),
        ({"budget": 4, "max_params": "40k"}, 1),
        ({"budget": 5, "max_params": "35k"}, 1),
    ):
        gcnas.resume(run, **changes)
        assert len(calls) == expected


def test_a_delivered_network_stays_until_the_next_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, open_driver, written = tmp_path / "run", api.open_driver, []
    first = gcnas.search("digits", out=run, budget=2, **SMALL)

    def improved(context: Any, ledger: Any, clock: Any, keep_best: Any, observer: Any) -> Any:
        keep_best(ledger.trials()[0], {})
        return open_driver(context, ledger, clock, keep_best, observer)

    monkeypatch.setattr(api, "open_driver", improved)
    monkeypatch.setattr(api, "write_searched", lambda *_: written.append(1))
    gcnas.resume(run)
    assert not written
    least = min(trial.cost.parameters for trial in first.trials)
    assert first.metrics["parameters"] > least
    gcnas.resume(run, max_params=least)  # it is beyond this
    assert written


@pytest.mark.parametrize("same", [False, True])
def test_a_final_training_that_fails_leaves_what_the_search_has_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Also where best/ holds what was delivered before, but if that is the same network after a final training."""
    run, open_driver = tmp_path / "run", api.open_driver
    first = gcnas.search("digits", out=run, budget=2, **SMALL)
    other = next(trial for trial in first.trials if (trial.number == first.metrics["trial"]) is same)

    def improved(context: Any, ledger: Any, clock: Any, keep_best: Any, observer: Any) -> Any:
        design = other.proposal.architecture
        keep_best(other, weights_of(build_seeded(context.space, design, context.dataset, context.platform, 0)))
        return open_driver(context, ledger, clock, keep_best, observer)

    def fail(*_: object) -> None:
        raise OutOfMemoryError("too large")

    monkeypatch.setattr(api, "open_driver", improved)
    monkeypatch.setattr(api, "choose_trial", lambda *_, **__: other)
    monkeypatch.setattr(final, "_train", fail)
    assert first.metrics["epochs"] == 1
    again = gcnas.resume(run, final_epochs=2).metrics
    assert (again["trial"], again["state"], again["epochs"]) == (other.number, "final", 1 if same else None)
    assert again["test_accuracy"] is not None
    assert (again["test_accuracy"] == first.metrics["test_accuracy"]) or not same


def test_what_only_delivers_makes_no_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cluster may be gone by then, or there may be no room for images that workers share."""

    def fail(*_: object) -> None:
        raise AssertionError("nothing is evaluated")

    run = tmp_path / "run"
    gcnas.search("digits", out=run, budget=2, **SMALL)
    monkeypatch.setattr(session, "create_executor", fail)
    assert gcnas.resume(run, final_epochs=2).metrics["epochs"] == 2
    with pytest.raises(AssertionError, match="nothing is evaluated"):
        gcnas.resume(run, budget=3)


def test_why_a_design_that_lasts_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommendation, "BEHIND", 1_000)
    run = tmp_path / "run"
    assert gcnas.search("digits", out=run, budget=2, **SMALL).metrics["lasting"] is False
    told: list[tuple[int, bool]] = []
    monkeypatch.setattr(api, "deliver", lambda _, trial, **named: told.append((trial.number, named["lasting"])))
    gcnas.finalize(run, final_epochs=100)
    gcnas.finalize(run, final_epochs=100, trial=1)  # by hand
    gcnas.finalize(run, final_epochs=100, seconds=0.01)
    gcnas.resume(run, final_epochs=100)
    assert told[:2] == [(1, True), (1, False)]
    assert told[2][1] is False
    assert told[3] == (1, True)


@pytest.mark.parametrize(
    ("spent", "options", "seconds", "share", "left"),
    [
        (250.0, set(), None, 0.5, 350.0),
        (599.0, set(), None, 0.5, 1.0),
        (599.0, {"again"}, None, 0.5, 300.0),  # a run that goes on has its share again
        (599.0, {"again"}, None, 0.75, 450.0),
        (250.0, {"again"}, None, 0.5, 350.0),
        (90.0, set(), 100.0, 0.5, 50.0),  # so has a transfer whose first training took long
        (20.0, {"again"}, 100.0, 0.5, 80.0),
        (20.0, {"stopped"}, None, 0.5, 300.0),  # who stops a search waits no longer than for its end
        (420.0, {"stopped"}, None, 0.5, 180.0),
        (20.0, {"stopped"}, 100.0, 0.5, 50.0),
    ],
)
def test_wall_clock_of_the_delivery(
    spent: float, options: set[str], seconds: float | None, share: float, left: float
) -> None:
    config = RunConfig.create(data="digits", budget="10m" if seconds is None else 1, final_share=share)
    context = SimpleNamespace(config=config)
    assert api._seconds_left(context, spent, seconds, **dict.fromkeys(options, True)) == left  # type: ignore[arg-type]


def test_unknown_keywords_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="bugdet"):
        gcnas.search("digits", out=tmp_path / "run", bugdet=3)


def test_names_are_found_without_torch() -> None:
    code = (
        "import sys, gcnas; dir(gcnas); assert 'torch' not in sys.modules; "
        "gcnas.search; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_policy_that_gcnas_has_learnt(tmp_path: Path) -> None:
    space = SearchSpace("tiny", CNN.layer_types[:1], max_depth=3, window=2)
    options = {**SMALL, "strategy": "gcnas", "references": False}
    result = gcnas.search(_arrays(), out=tmp_path / "run", space=space, budget=11, **options)
    assert {trial.proposal.source for trial in result.trials} > {"start"}
    trained, untrained = result.policy().state_dict(), result.policy(untrained="gcnas").state_dict()
    assert any(not torch.equal(trained[name], untrained[name]) for name in trained)
    for state in ('{"inner": 3}', '{"policy": {}}'):
        with closing(sqlite3.connect(result.run / "run.db")) as database, database:
            database.execute("UPDATE strategy SET state = ?", (state,))
        with pytest.raises(DamagedLedgerError, match="is damaged"):
            result.policy()


def test_run_from_before_there_were_rungs_goes_on_as_it_began(tmp_path: Path) -> None:
    options = SMALL | {"epochs": 3, "fidelity": "full", "strategy": "random"}
    run = gcnas.search(_arrays(), out=tmp_path / "run", budget=4, **options).run
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("fidelity: full\n", ""))
    result = gcnas.resume(run, data=_arrays(), budget=5)
    assert [trial.fidelity.epochs for trial in result.trials] == [3] * 5
    with pytest.raises(ConfigurationError, match="cannot change fidelity"):
        gcnas.resume(run, data=_arrays(), budget=6, fidelity="rungs")


@pytest.mark.parametrize("changes", [{}, {"executor": "ray", "budget": 9}])
def test_a_cluster_elsewhere_is_connected_to_only_if_it_is_named_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """The run folder may be somebody else's."""

    def connected(config: RunConfig) -> None:
        raise WorkerError(f"connected to {config.address}")

    monkeypatch.setattr(opening, "settled", connected)
    folder = RunFolder(tmp_path)
    there = {"data": "digits", "executor": "ray", "address": "10.0.0.1:6379"}
    folder.config.write_text(RunConfig.create(**there).to_yaml())
    with pytest.raises(ConfigurationError, match="only if you name it again"):
        reopen(folder, None, None, changes, Observer())
    for other, found in (
        ({"address": "10.0.0.2:6379"}, "10.0.0.2:6379"),
        ({"address": "auto"}, "auto"),
        ({"executor": "processes"}, "None"),
    ):
        with pytest.raises(WorkerError, match=f"connected to {found}"):
            reopen(folder, None, None, changes | other, Observer())
    folder.config.write_text(RunConfig.create(**there | {"address": "auto"}).to_yaml())
    with pytest.raises(WorkerError, match="connected to auto"):
        reopen(folder, None, None, changes, Observer())


def test_a_delivery_asks_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transfer leaves the number of workers open; how many find a place there only a search has to know."""

    def connected(*_: object) -> None:
        raise AssertionError("connected")

    run = gcnas.search("digits", out=tmp_path / "run", budget=1, **SMALL).run
    monkeypatch.setattr(workers, "slots", connected)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config |= {"executor": "ray", "address": "10.0.0.1:6379", "workers": None, "worker_memory": None}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert gcnas.finalize(run, final_epochs=2).metrics["epochs"] == 2
    assert yaml.safe_load((run / "config.yaml").read_text()) == config


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": "random"},
        {"signals": True},
        {"fidelity": "rungs"},
        {"epochs": 2},
        {"reward": "balanced-accuracy"},
        {"soft": "macs=1M"},
        {"latency_threads": 2},
        {"references": False},
        {"resolution": 8},
        {"channels": 3},
        {"flip": True},
        {"seed": 1},
        {"device": "cpu"},
        {"precision": "float32"},
        {"validation_fraction": 0.3},
        {"test_fraction": 0.3},
        {"batch_size": 8},
        {"learning_rate": 0.01},
        {"weight_decay": 0.01},
        {"init_from": "elsewhere"},
        {"warm_start": ["elsewhere"]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_decides_a_training_may_not_change(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Scores of a run are compared with each other."""
    with pytest.raises(ConfigurationError, match=f"cannot change {next(iter(changes))};"):
        reopen(RunFolder(tmp_path), None, None, changes, Observer())


def test_candidates_climb_rungs_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnas.run.rungs.LEAST_STEPS", 1)
    trials = gcnas.search(
        _arrays(), out=tmp_path / "run", budget=12, **SMALL | {"epochs": 3, "strategy": "random"}
    ).trials
    first = [trial for trial in trials if trial.fidelity.epochs == 1]
    higher = {trial.continues: trial for trial in trials if trial.fidelity.epochs == 3}
    # The two designs by people go on at once, of the others the best third.
    assert [trial.continues for trial in trials[:4]] == [None, 1, None, 3]
    assert len(first) + len(higher) == len(trials)
    assert 2 < len(higher) < len(first)
    assert all(
        higher[t.number].proposal.fingerprint == t.proposal.fingerprint for t in first if t.number in higher
    )
    found = [trial for trial in first if trial.proposal.source == "random"]
    assert max(found, key=lambda trial: trial.score).number in higher


def test_finalize_chooses_within_limits_of_its_own(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trials = gcnas.search("digits", out=run, budget=6, max_params="60k", **SMALL).trials
    config = (run / "config.yaml").read_text()
    least = min(trial.cost.parameters for trial in trials)
    result = gcnas.finalize(run, max_params=least)
    assert result.metrics["parameters"] == least
    assert yaml.safe_load((run / "config.yaml").read_text())["max_params"] == 60_000
    assert (run / "config.yaml").read_text() == config
    cheapest = min(trial.cost.multiply_adds for trial in trials)
    assert gcnas.finalize(run, max_macs=cheapest).metrics["multiply_adds"] == cheapest
    activations = min(trial.cost.activations for trial in trials)
    assert gcnas.finalize(run, max_activations=activations).metrics["activations"] == activations
    assert gcnas.finalize(run, max_params=least).metrics["parameters"] == least
    size = (run / "best/weights.safetensors").stat().st_size
    notes = Notes()
    assert gcnas.finalize(run, max_size=size, observer=notes, onnx=True).metrics["parameters"] == least
    assert any(f"the limit of {size:,} is on the file of weights" in note for note in notes.notes)
    with pytest.raises(LimitsTooTightError, match=f"--max-params {least - 1:,} .the least is {least:,}"):
        gcnas.finalize(run, max_params=least - 1)
    with pytest.raises(ConfigurationError, match="not both"):
        gcnas.finalize(run, trial=1, max_macs="1M")
    assert [point.trial for point in result.front("size")] == [point.trial for point in result.front()]


def test_search_within_a_size_a_latency_and_towards_a_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a made latency model, in which every convolution costs; fitting one has tests of its own."""
    weights = {"constant": 0.01, "conv2d: layers": 1.0, "residual_block: layers": 0.01}
    model = LatencyModel(weights, 30, 0.1, 0.2, 1, "made", "made", 1.0)
    monkeypatch.setattr(costs, "calibrate", lambda *_, **__: model)
    monkeypatch.setattr(latency, "measured_latency", lambda *_: 0.015)
    options = SMALL | {"strategy": "random", "fidelity": "full"}
    result = gcnas.search(
        "digits",
        out=tmp_path / "run",
        budget=6,
        max_size="100k",
        max_latency=0.9,
        soft="latency=0.02:-0.5",
        **options,
    )
    assert (result.run / "latency.json").is_file()
    space = CNN.fit(InputShape(1, 8, 8, 10))
    for trial in result.trials:
        assert weights_bytes(space, trial.proposal.architecture) <= 100_000
        kinds = [layer.type for layer in trial.proposal.architecture.layers]
        assert "conv2d" not in kinds
        predicted = 0.01 + 0.01 * kinds.count("residual_block")
        assert trial.evaluation is not None
        expected = trial.evaluation.metrics["accuracy"] * (predicted / 0.02) ** -0.5
        assert trial.score == pytest.approx(expected)
    assert (result.run / "best/weights.safetensors").stat().st_size <= 100_000
    again = gcnas.resume(result.run, budget=7, max_latency=0.015)
    assert all(
        "residual_block" not in {x.type for x in t.proposal.architecture.layers} for t in again.trials[6:]
    )
    with pytest.raises(ConfigurationError, match="cannot change soft"):
        gcnas.resume(result.run, budget=8, soft="macs=1M")


@pytest.mark.parametrize("name", ["luck", "optuna:cmaes"])
def test_a_strategy_that_is_not_there_leaves_no_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="must be one of"):
        gcnas.search("digits", out=tmp_path / "run", strategy=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_warm_start_on_digits_goes_on_when_the_earlier_run_is_gone(tmp_path: Path) -> None:
    """What was learnt before is proposed and never counted; a run that goes on needs the earlier one no more."""
    options = SMALL | {"max_params": "20k", "references": False, "fidelity": "full"}
    old = gcnas.search("digits", out=tmp_path / "old", budget=6, **options)
    known = {trial.proposal.fingerprint for trial in old.trials}
    common = options | {"seed": 1, "warm_start": str(old.run)}
    whole = gcnas.search("digits", out=tmp_path / "whole", budget=12, **common)
    assert [trial.proposal.source for trial in whole.trials[:11]] == ["history"] * 3 + ["start"] * 8
    assert {trial.proposal.fingerprint for trial in whole.trials[:3]} < known
    assert len(whole.trials) == 12
    gcnas.search("digits", out=tmp_path / "parts", budget=11, **common)
    shutil.rmtree(old.run)
    gcnas.resume(tmp_path / "parts", budget=12)
    assert _table(tmp_path / "parts") == _table(whole.run)
    with LedgerReader(whole.run / "run.db") as ledger:
        assert [e.detail for e in ledger.events() if e.kind == "warm-start"] == [f"{old.run} (6 networks)"]
    with pytest.raises(ConfigurationError, match="cannot change warm_start"):
        gcnas.resume(tmp_path / "parts", warm_start=[])
    (tmp_path / "parts/warm_start.json").unlink()
    with pytest.raises(RunFolderError, match=r"warm_start\.json"):
        gcnas.resume(tmp_path / "parts", budget=10)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"strategy": "random"}, "'random' cannot start from earlier runs"), ({}, "is not a run folder")],
)
def test_a_warm_start_that_cannot_be_leaves_no_folder(
    tmp_path: Path, options: dict[str, str], match: str
) -> None:
    with pytest.raises((ConfigurationError, RunFolderError), match=match):
        gcnas.search("digits", out=tmp_path / "new", warm_start=tmp_path / "none", **options)
    assert not (tmp_path / "new").exists()
