import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from tests.run.conftest import MakeTrial
from tests.run.toy import SPACE, TOY

from gcnas.errors import ConfigurationError, DamagedLedgerError, RunFolderError
from gcnas.records import Fidelity, Proposal
from gcnas.run.folder import RunFolder
from gcnas.run.ledger import Ledger
from gcnas.run.past import LEAST, MAX_KEPT, MAX_RUNS, keep_past, kept_past, ranked, read_past
from gcnas.space.presets import CNN


@pytest.fixture
def run(tmp_path: Path, make_trial: MakeTrial) -> Path:
    """A run of six trials: scores 0.1, 0.2, … and the last one failed."""
    folder = tmp_path / "old"
    folder.mkdir()
    trials = [make_trial(n, n / 10) for n in range(1, 6)] + [make_trial(6, error="it broke")]
    with Ledger(folder / "run.db", {"name": "toy"}) as ledger:
        ledger.commit(pending=[replace(t, evaluation=None, elapsed=None) for t in trials], finished=trials)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(("-shm", "-wal"))
    }


def test_the_best_first_and_nothing_is_written(run: Path, proposals: list[Proposal]) -> None:
    before = files(run)
    (past,) = read_past([run], SPACE)
    assert past.name == str(run)
    assert past.architectures == tuple(p.architecture for p in reversed(proposals[:5]))
    assert past.targets == tuple(sorted(past.targets, reverse=True))
    assert sum(past.targets) == pytest.approx(0.0)
    assert files(run) == before


def test_more_training_comes_first_and_repeats_are_averaged(proposals: list[Proposal]) -> None:
    a, b, c, d = (p.architecture for p in proposals[:4])
    found = [(a, 1, 0.9), (b, 1, 0.5), (b, 3, 0.4), (c, 3, 0.2), (c, 3, 0.8), (d, 1, 0.9), (c, 1, 0.1)]
    past = ranked("run", found)
    assert past.architectures[:2] == (c, b)
    assert set(past.architectures[2:]) == {a, d}
    assert past.targets[2] == past.targets[3] < past.targets[1] < past.targets[0]


def test_of_many_the_best_and_an_even_choice_of_the_rest(
    tmp_path: Path, proposals: list[Proposal], make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gcnas.run.past.MAX_KEPT", 10)
    trials = [make_trial(n, n / 100) for n in range(1, 41)]
    with Ledger(tmp_path / "run.db", {}) as ledger:
        ledger.commit(pending=[replace(t, evaluation=None, elapsed=None) for t in trials], finished=trials)
    (past,) = read_past([tmp_path], SPACE)
    assert past.architectures[:5] == tuple(p.architecture for p in reversed(proposals[35:40]))
    assert (len(past.architectures), past.architectures[-1]) == (10, proposals[0].architecture)
    assert MAX_KEPT == 200


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run folder"):
        read_past([tmp_path], SPACE)


def test_a_newer_version(run: Path) -> None:
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(RunFolderError, match="newer version"):
        read_past([run], SPACE)


def test_a_damaged_architecture(run: Path) -> None:
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET architecture = '{' WHERE trial = 2")
    with pytest.raises(DamagedLedgerError, match="is damaged"):
        read_past([run], SPACE)


def test_no_complete_evaluation(tmp_path: Path, make_trial: MakeTrial) -> None:
    with Ledger(tmp_path / "run.db", {}) as ledger:
        ledger.commit(pending=[make_trial(1)])
    with pytest.raises(ConfigurationError, match="no complete evaluation"):
        read_past([tmp_path], SPACE)


def test_too_few(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = [make_trial(n, 0.5) for n in range(1, LEAST)]
    with Ledger(tmp_path / "run.db", {}) as ledger:
        ledger.commit(pending=[replace(t, evaluation=None, elapsed=None) for t in trials], finished=trials)
    with pytest.raises(ConfigurationError, match=f"has {LEAST - 1} evaluated networks"):
        read_past([tmp_path], SPACE)


def test_another_space(run: Path) -> None:
    with pytest.raises(ConfigurationError, match="5 of its 5 networks are no points of 'cnn'"):
        read_past([run], CNN)


def test_a_run_twice_and_too_many(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="named twice"):
        read_past([run, run.parent / "." / run.name], SPACE)
    with pytest.raises(ConfigurationError, match=f"at most {MAX_RUNS}"):
        read_past([tmp_path / str(n) for n in range(MAX_RUNS + 1)], SPACE)


def test_what_is_kept_is_what_was_read(run: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    past = read_past([run], SPACE)
    keep_past(folder, past)
    assert kept_past(folder, TOY) == past


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "[1]",
        '{"version": 1, "runs": []}',
        '{"version": 1, "runs": [{"name": "a", "networks": []}]}',
        "[" * 100_000,
        json.dumps({"runs": [{"name": "a", "networks": [{"target": float("nan"), "layers": []}] * 5}]}),
        json.dumps({"runs": [{"name": "a", "networks": [{"target": 0.0, "layers": []}] * 5}]}),
        json.dumps({"runs": [{"name": "a", "networks": [{"target": 0.0, "layers": 3}] * 5}]}),
    ],
)
def test_a_kept_file_that_is_damaged(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "warm_start.json").write_text(content)
    with pytest.raises(RunFolderError, match="cannot be read"):
        kept_past(RunFolder(tmp_path), TOY)


def test_infinite_scores_are_left_out(run: Path) -> None:
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute("DROP TRIGGER finished_is_final")
        connection.execute("UPDATE trials SET score = 9e999 WHERE trial = 2")
    with Ledger(run / "run.db") as ledger:
        found = ledger.scores(100)
        assert [score for _, _, score in found] == [0.5, 0.4, 0.3, 0.1]
        assert {epochs for _, epochs, _ in found} == {Fidelity(3).epochs}
        assert len(ledger.scores(2)) == 2
