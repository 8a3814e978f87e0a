"""A run folder of somebody else: nothing that it holds is executed, and nothing elsewhere is written or deleted."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.run.conftest import MakeTrial

from gcnas.config import RunConfig
from gcnas.errors import ConfigurationError, DamagedLedgerError, RunFolderError
from gcnas.execution.worker_process import _open_log
from gcnas.files import MAX_JSON, read_bounded, read_json
from gcnas.run.checkpoints import Checkpoints
from gcnas.run.cleaning import delete_leftovers
from gcnas.run.folder import RunFolder
from gcnas.run.halving import Ladder
from gcnas.run.ledger import Ledger, LedgerReader
from gcnas.run.salvage import readable_trials

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def run(tmp_path: Path, make_trial: MakeTrial) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run")
    with Ledger(folder.ledger, {"name": "toy"}) as ledger:
        ledger.commit(pending=[make_trial(1), make_trial(2)])
        ledger.commit(finished=[make_trial(1, 0.5)])
    return folder


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "thesis.txt"
    path.write_text("years of work")
    return path


# --- links to other places


def test_what_is_kept_back_for_a_full_disk_is_no_file_elsewhere(run: RunFolder, victim: Path) -> None:
    (run.path / ".run.db.reserve").symlink_to(victim)
    with Ledger(run.ledger):
        pass
    assert victim.read_text() == "years of work"


def test_a_linked_ledger_is_read_and_not_written(run: RunFolder, tmp_path: Path) -> None:
    other = RunFolder.create(tmp_path / "other")
    other.ledger.symlink_to(run.ledger)
    with LedgerReader(other.ledger) as ledger:
        assert len(ledger.trials()) == 2
    with pytest.raises(RunFolderError, match="a link to another place"):
        Ledger(other.ledger)


def test_only_checkpoints_are_deleted_and_only_in_the_run(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "photos").mkdir()
    photos = [tmp_path / "photos" / name for name in ("me.jpg", "7.safetensors")]
    for photo in photos:
        photo.write_text("x")
    (tmp_path / "linked").symlink_to(tmp_path / "photos", target_is_directory=True)
    Checkpoints(tmp_path / "linked", Ladder([])).prune({}, [])
    assert all(photo.exists() for photo in photos)
    Checkpoints(tmp_path / "photos", Ladder([])).prune({}, [])
    assert [photo.exists() for photo in photos] == [True, False]


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path.with_name("thesis.txt"))])
def test_the_log_of_a_worker_is_a_file_of_its_own(
    tmp_path: Path, victim: Path, make: Callable[[Path], None]
) -> None:
    log = tmp_path / "worker-1.log"
    make(log)
    with _open_log(log) as file:
        file.write(b"said")
    assert victim.read_text() == "years of work"
    assert log.read_bytes() == b"said"
    with _open_log(log) as file:
        file.write(b" more")
    assert log.read_bytes() == b"said more"


def test_networks_elsewhere_are_not_moved_nor_replaced(run: RunFolder, tmp_path: Path) -> None:
    there = tmp_path / "there"
    for name in ("phi-1", "phi-2.old", "mine.old"):
        (there / name).mkdir(parents=True)
    run.scaled.symlink_to(there, target_is_directory=True)
    RunFolder.open(run.path)
    with pytest.raises(RunFolderError, match="a link to another place"):
        run.replace(run.scaled / "phi-1", lambda _: None)
    assert sorted(path.name for path in there.iterdir()) == ["mine.old", "phi-1", "phi-2.old"]
    run.scaled.unlink()
    there.rename(run.scaled)
    RunFolder.open(run.path)  # in the run itself only what was cut short is put back
    assert sorted(path.name for path in run.scaled.iterdir()) == ["mine.old", "phi-1", "phi-2"]


def test_a_lock_is_made_nowhere_else(run: RunFolder, tmp_path: Path) -> None:
    (run.path / ".lock").unlink(missing_ok=True)
    (run.path / ".lock").symlink_to(tmp_path / "made")
    with pytest.raises(RunFolderError, match="cannot be written"), run.locked():
        pass
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("exchange", [True, False])
def test_a_linked_best_is_replaced_and_stays_where_it_is(
    run: RunFolder, tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "metrics.json").write_text("{}")
    run.best.symlink_to(there, target_is_directory=True)
    if not exchange:
        monkeypatch.setattr("gcnas.run.folder._exchange", lambda *_: False)
    for content in ("[1]", "[]"):
        run.replace(run.best, lambda fresh, text=content: (fresh / "metrics.json").write_text(text) and None)
    assert (run.best / "metrics.json").read_text() == "[]"
    assert not run.best.is_symlink()
    assert not run.best.with_name("best.old").is_symlink()
    assert (there / "metrics.json").read_text() == "{}"
    assert not list(run.path.glob(".best.*"))


def test_clean_deletes_a_link_and_not_what_lies_elsewhere(run: RunFolder, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "images.npy").write_bytes(b"x" * 100)
    (run.path / "cache").symlink_to(there, target_is_directory=True)
    (run.path / ".best.0123abcd").symlink_to(there, target_is_directory=True)
    assert delete_leftovers(run.path) == 0
    assert not (run.path / "cache").is_symlink()
    assert not (run.path / ".best.0123abcd").is_symlink()
    assert (there / "images.npy").exists()


# --- what would be executed


ENDLESS = """
DROP TABLE meta; CREATE VIEW meta AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
SELECT x AS name, x AS value FROM c
"""
GUARD = """
DROP TRIGGER finished_is_final;
CREATE TRIGGER finished_is_final BEFORE UPDATE ON trials WHEN OLD.state != 'pending'
    BEGIN SELECT RAISE(ABORT, 'a finished evaluation cannot be changed'); END
"""


@pytest.mark.parametrize(
    "script",
    [
        ENDLESS,
        GUARD.replace("; END", "; DELETE FROM meta; END"),
        "CREATE TRIGGER more AFTER UPDATE ON trials BEGIN DELETE FROM events; END",
        "CREATE TABLE more (x INTEGER, y INTEGER GENERATED ALWAYS AS (x + 1))",
        "CREATE VIRTUAL TABLE words USING fts5(text)",
        "CREATE INDEX odd ON trials (abs(trial))",
    ],
)
def test_code_in_a_ledger_is_not_executed(run: RunFolder, script: str) -> None:
    with closing(sqlite3.connect(run.ledger)) as raw:
        raw.executescript(script)
    for opened in (LedgerReader, Ledger):
        with pytest.raises(RunFolderError, match="might be executed"):
            opened(run.ledger)
    assert readable_trials(run.ledger) == []


def test_an_index_of_a_column_may_be_there(run: RunFolder) -> None:
    with closing(sqlite3.connect(run.ledger)) as raw:
        raw.execute("CREATE INDEX by_score ON trials (score, epochs)")
    with LedgerReader(run.ledger) as ledger:
        assert len(ledger.trials()) == 2


# --- what never ends, and numbers of another kind


def test_devices_and_pipes_are_no_files_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("endless", "pipe"):
        with pytest.raises(RunFolderError, match="no regular file"):
            read_json(tmp_path / name)
        with pytest.raises(ConfigurationError, match="no regular file"):
            RunConfig.from_yaml(tmp_path / name)
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(ValueError, match="larger than 10 bytes"):
        read_bounded(tmp_path / "long", 10)
    assert read_bounded(tmp_path / "long", MAX_JSON) == b"x" * 11
    with pytest.raises(IsADirectoryError):
        read_bounded(tmp_path, MAX_JSON)


@pytest.mark.parametrize("line", ["budget: 0x" + "f" * 4_000, "seed: 99999999999999999999"])
def test_numbers_without_end_are_refused_in_a_configuration(tmp_path: Path, line: str) -> None:
    (tmp_path / "config.yaml").write_text(f"data: digits\n{line}\n")
    with pytest.raises(ConfigurationError, match="too large"):
        RunConfig.from_yaml(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("metrics", json.dumps({"trained_epochs": 10**400})),
        ("elapsed", float("inf")),
        ("seconds", float("-inf")),
    ],
)
def test_numbers_that_nothing_can_be_made_of_are_damage(run: RunFolder, column: str, value: object) -> None:
    with closing(sqlite3.connect(run.ledger)) as raw:
        raw.executescript("DROP TRIGGER finished_is_final")
        raw.execute(f"UPDATE trials SET {column} = ? WHERE trial = 1", (value,))  # noqa: S608 - all of it is here
        raw.commit()
    with LedgerReader(run.ledger) as ledger, pytest.raises(DamagedLedgerError):
        ledger.trials()
    assert [trial.number for trial in readable_trials(run.ledger)] == [2]
