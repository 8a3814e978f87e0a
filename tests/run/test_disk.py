"""Disks that are full or read-only: a clear error, nothing finished lost, and the run goes on once there is room."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.execution.deeds import Deeds, job
from tests.run.conftest import MakeTrial, SmallDisk
from tests.run.killing import trials_of
from tests.run.killing_digits import usable
from tests.run.test_kill import COMMAND
from tests.run.toy import read_run, run_toy
from torch import nn

from gcnas import api
from gcnas.data import load, store
from gcnas.errors import DataError, RunFolderError
from gcnas.execution import ProcessExecutor
from gcnas.run import folder as run_folder
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.observer import Observer
from gcnas.run.trial import Trial
from gcnas.training.checkpoint import load_checkpoint, save_checkpoint

# --- full


def test_search_on_a_full_disk_goes_on_once_there_is_room(small_disk: SmallDisk, tmp_path: Path) -> None:
    """Full at every transaction in turn: between two of them the room that the last one needed is given."""
    (tmp_path / "whole").mkdir()
    run_toy(tmp_path / "whole")
    run = small_disk.path / "run"
    run.mkdir()
    ballast, before, refused = small_disk.fill(), [], []
    done = False
    while not done:
        try:
            run_toy(run)
            done = True
        except RunFolderError as error:
            refused.append(str(error))
        after = finished(run)
        # By number: with two workers, a later candidate may be finished before an earlier one.
        assert [trial for trial in after if trial.number in {old.number for old in before}] == before
        before = after
        # More than the notes of the attempts themselves take, which a dead run leaves in the log.
        ballast.write_bytes(bytes(max(0, ballast.stat().st_size - 20_480)))
    assert len(refused) > 5
    assert [message for message in refused if "Make room" not in message or "resume" not in message] == []
    assert read_run(run) == read_run(tmp_path / "whole")


def finished(run: Path) -> list[Trial]:
    return [trial for trial in trials_of(run) if trial.evaluation is not None]


def test_full_disk_uses_up_no_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a run ends for lack of room, no candidate is taken for one that kills its process."""

    def full(*_: Any, **__: Any) -> None:
        raise RunFolderError("database or disk is full")

    with Ledger(tmp_path / "run.db", {"name": "toy"}):
        pass
    commit = Ledger.commit
    for _ in range(4):
        with monkeypatch.context() as patched:
            patched.setattr(
                Ledger, "commit", lambda self, **k: full() if k.get("finished") else commit(self, **k)
            )
            with pytest.raises(RunFolderError, match="full"):
                run_toy(tmp_path)
    assert [trial.attempts for trial in trials_of(tmp_path)] == [0]


SEARCH = ["digits", "--budget", "6", "--epochs", "3", "--final-epochs", "1", "--resolution", "8"]
WORKERS = ["--workers", "2", "--threads", "2"]


@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param(["600k", "200m"], marks=pytest.mark.slow),
        pytest.param(
            ["24k", "80k", "200k", "400k", "800k", "1200k", "2m", "3m", "4m", "6m", "9m", "13m", "20m", "200m"],
            marks=[pytest.mark.slow, pytest.mark.timeout(1_200)],
        ),
    ],
)
def test_real_search_on_a_disk_that_grows(small_disk: SmallDisk, sizes: list[str]) -> None:
    """Images, ledger, checkpoints, best and reports meet their end at one size or another."""
    run, before = small_disk.path / "run", []
    for size in sizes:
        small_disk.resize(size)
        arguments = (
            ["resume", run] if (run / "run.db").is_file() else ["search", *SEARCH, *WORKERS, "--out", run]
        )
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=280
        )
        assert "Traceback" not in done.stderr, done.stderr
        if done.returncode != 0:
            assert done.returncode == 1
            assert "room" in done.stderr.lower(), done.stderr
        after = finished(run)
        # By number: with two workers, a later candidate may be finished before an earlier one.
        assert [trial for trial in after if trial.number in {old.number for old in before}] == before
        assert not [t for t in after if not t.complete], "a full disk is no failure of a candidate"
        before = after
        usable(run)
        if done.returncode == 0:
            break
    assert done.returncode == 0
    assert len(before) == 6


def test_best_without_room_keeps_the_old_one(small_disk: SmallDisk) -> None:
    folder = RunFolder.create(small_disk.path / "run")
    folder.replace(folder.best, lambda fresh: (fresh / "model.py").write_text("1") and None)
    small_disk.fill()
    with pytest.raises(RunFolderError, match=r"cannot be written.*old one is kept.*Make room.*gcnas resume"):
        folder.replace(folder.best, lambda fresh: (fresh / "model.py").write_text("2" * 10_000) and None)
    assert (folder.best / "model.py").read_text() == "1"
    assert {item.name for item in folder.path.iterdir()} == {"best", "logs"}


def test_a_checkpoint_without_room_is_left_out(small_disk: SmallDisk) -> None:
    """The one that was there stays whole."""
    torch.manual_seed(0)
    network, path = nn.Linear(64, 64), small_disk.path / "checkpoints" / "1.safetensors"
    assert save_checkpoint(network, 1.0, path)
    small_disk.fill()
    assert not save_checkpoint(network, 2.0, path)
    assert not save_checkpoint(network, 2.0, path.with_name("2.safetensors"))
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    assert load_checkpoint(nn.Linear(64, 64), path, before=9) == 1.0


def test_best_without_room_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = RunFolder.create(tmp_path / "run")
    monkeypatch.setattr("gcnas.run.folder.Path.mkdir", refuse)
    with pytest.raises(RunFolderError, match=r"No space left.*Make room"):
        folder.replace(folder.best, lambda _: None)


@pytest.mark.parametrize("name", ["trials.csv", "report.html"])
def test_report_without_room_is_told_and_the_result_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    class Notes(Observer):
        heard = ""

        def note(self, message: str) -> None:
            self.heard += message

    write = run_folder.write_atomically

    def refuse(path: Path, content: bytes) -> None:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, content)

    monkeypatch.setattr(run_folder, "write_atomically", refuse)
    notes = Notes()
    result = api.search(
        "digits",
        out=tmp_path / "run",
        budget=2,
        epochs=1,
        final_epochs=1,
        resolution=8,
        workers=1,
        threads=1,
        onnx=False,
        observer=notes,
    )
    assert f"{name} cannot be written (No space left on device)" in notes.heard
    assert "make room" in notes.heard
    assert result.metrics["state"] == "final"


def test_images_in_files_without_room(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free room was there when it was looked at, and is gone when it is needed."""
    monkeypatch.setattr(store, "MEMORY_LIMIT", 1_000)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2**40}))
    small_disk.resize("64k")
    with pytest.raises(DataError, match=r"cannot be kept in .*No space left.*Make room"):
        load("digits", cache=small_disk.path / "cache")
    assert not list((small_disk.path / "cache").iterdir())


def test_a_search_whose_workers_cannot_have_the_images_begins_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store, "_to_file", refuse)
    small = {"epochs": 1, "final_epochs": 1, "resolution": 8, "onnx": False, "report": False}
    with pytest.raises(DataError, match=r"worker processes share cannot be written.*No space left.*workers=1"):
        api.search("digits", out=tmp_path / "run", budget=2, workers=2, threads=2, **small)
    assert trials_of(tmp_path / "run") == []


def test_images_for_workers_without_room(small_disk: SmallDisk) -> None:
    small_disk.resize("64k")
    with pytest.raises(DataError, match=r"cannot be written.*No space left.*Make room.*workers=1"):
        load("digits").for_workers(small_disk.path / "cache" / "workers.npy")
    assert not list((small_disk.path / "cache").iterdir())


def test_log_without_room_is_no_failure_of_a_candidate(small_disk: SmallDisk) -> None:
    logs = small_disk.path / "logs"
    logs.mkdir()
    for number in (1, 2):
        (logs / f"worker-{number}.log").touch()
    small_disk.fill()
    with ProcessExecutor([Deeds()], logs=logs) as executor:
        executor.submit(job(1, "chatter"))
        (outcome,) = executor.wait()
    assert outcome.evaluation.score == 0.01


# --- read-only


def test_run_on_a_read_only_disk_is_read_and_not_gone_on_with(
    small_disk: SmallDisk, make_trial: MakeTrial
) -> None:
    folder = RunFolder.create(small_disk.path / "run")
    with Ledger(folder.ledger) as ledger:
        ledger.commit(pending=[make_trial(1)])
    small_disk.make_read_only()
    try:
        with LedgerReader(folder.ledger) as reader:
            assert reader.trials() == [make_trial(1)]
        with pytest.raises(RunFolderError, match="cannot be written"):
            api.resume(folder.path)
        with pytest.raises(RunFolderError, match="cannot be made"):
            api.search("digits", out=small_disk.path / "other", budget=2)
        with pytest.raises(RunFolderError, match=r"best cannot be written.*mend the permissions"):
            folder.replace(folder.best, lambda _: None)
        with pytest.raises(RunFolderError, match="cannot be"):
            Ledger(folder.ledger)
    finally:
        small_disk.make_writable()
    with Ledger(folder.ledger) as ledger:
        assert ledger.trials() == [make_trial(1)]
